import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** What the npm project needs whose `run.mjs` has this `import.meta.url`. */
export function project(url) {
  const folder = fileURLToPath(new URL(".", url));
  /** The interpreter of the project's virtual environment. */
  const PYTHON = `${folder}.venv/bin/python`;

  /** Installs what `package-lock.json` and `requirements.txt` pin, unless that was done before. A registry is not always well. */
  async function installDependencies() {
    await installOnce("node_modules/.installed", "package-lock.json", [["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=5"]]);
    await installOnce(".venv/.installed", "requirements.txt", [
      [process.env.PYTHON ?? "python3", "-m", "venv", ".venv"],
      [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries=10", "-r", "requirements.txt"],
    ]);
  }

  /** Runs a command in the project with its output shown; resolves to its exit code. */
  async function run(command, args, env = {}) {
    const child = spawn(command, args, { cwd: folder, env: { ...process.env, ...env }, stdio: "inherit" });
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code, signal) => resolve(code ?? `signal ${signal}`));
    });
  }

  /** `stamp` holds what was installed, so that a changed pin installs again. */
  async function installOnce(stamp, pins, commands) {
    const wanted = readFileSync(folder + pins, "utf8");
    if (existsSync(folder + stamp) && readFileSync(folder + stamp, "utf8") === wanted) {
      return;
    }
    for (const [command, ...args] of commands) {
      const code = await run(command, args);
      if (code !== 0) {
        throw new Error(`${command} ${args.join(" ")} ended with ${code}`);
      }
    }
    writeFileSync(folder + stamp, wanted);
  }

  return { PYTHON, installDependencies, run };
}
