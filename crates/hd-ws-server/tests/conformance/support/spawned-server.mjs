import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/**
 * Starts a Node reference server on a port of the system's choice and resolves once it listens.
 * `script` is relative to this project.
 */
export async function spawnReference(script, env = {}) {
  const path = fileURLToPath(new URL(`../${script}`, import.meta.url));
  const child = spawn(process.execPath, [path], {
    env: { ...process.env, PORT: "0", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const port = await Promise.race([
    new Promise((resolve) => createInterface({ input: child.stdout }).once("line", resolve)),
    exited.then((code) => {
      throw new Error(`${script} ended with ${code} before it listened`);
    }),
  ]);
  return {
    url: `http://127.0.0.1:${Number(port)}`,
    async stop() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
