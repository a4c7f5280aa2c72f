// One running instance of the service, from its binary, and the few things that are known of its
// command line.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** The binary; suites that need instances of their own are skipped without it. */
export const WS_BIN = process.env.WS_BIN;
export const withoutBinary = { skip: !WS_BIN && "WS_BIN is not set" };

export const JWT_SECRET = process.env.JWT_SECRET;
export const EMIT_TOKEN = process.env.EMIT_TOKEN;

/** For tests of what the reference service does not have. */
export const withoutReference = { skip: Boolean(process.env.REFERENCE) && "the reference service has none of this" };

/** Arguments of the commands that tests call. */
export const COMMANDS = {
  token: (user) => ["token", "--user", String(user)],
  emit: (url, user, event, payload) => ["emit", "--url", url, "--user", String(user), "--event", event, "--payload", JSON.stringify(payload)],
  listen: (url, token, count) => ["listen", "--url", `${url}/notifications`, "--token", token, "--count", String(count), "--timeout", "30s"],
  health: (port) => ["health", "--host", "127.0.0.1", "--port", String(port)],
};

// A directory without an `.env`, which would be read.
const directory = WS_BIN && mkdtempSync(join(tmpdir(), "help-desk-ws-"));

/** Starts a command with nothing of this process' environment but PATH. */
function start(args, env, options) {
  return spawn(WS_BIN, args, {
    cwd: directory,
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    ...options,
  });
}

/** Runs a command to its end: `{code, stdout, stderr}`. One that does not end by itself has no code. */
export async function runCommand(args, env = {}) {
  const child = start(args, env, { timeout: 30_000, killSignal: "SIGKILL" });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  return { code, stdout, stderr };
}

/** Starts an instance on a port of the system's choice, or on `env.PORT`; it ends with the test. */
export async function startService(t, env = {}) {
  const service = beginService(t, env);
  await service.listening;
  return service;
}

/** Starts an instance that may never listen; it ends with the test. */
export function beginService(t, env) {
  const service = new Service(env);
  service.listening.catch(() => {}); // it may end before
  t.after(() => service.kill());
  return service;
}

class Service {
  #child;
  #lines = [];
  #changed = () => {};
  #hasEnded = false;

  constructor(env) {
    this.env = { HOST: "127.0.0.1", PORT: "0", JWT_SECRET, EMIT_TOKEN, ...env };
    this.#child = start([], this.env);
    // "close" comes after all that it printed, "exit" may come before.
    this.exited = once(this.#child, "close").then(([code, signal]) => ({ code, signal }));
    this.exited.then(() => {
      this.#hasEnded = true;
      this.#changed();
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        this.#lines.push(line);
        this.#changed();
      });
    }
    this.listening = this.logged(/Listening on (http:\/\/[^\s"]+)/).then(([, url]) => {
      this.url = url;
      this.port = new URL(url).port;
    });
  }

  /** Everything it printed so far. */
  get output() {
    return this.#lines.join("\n");
  }

  /** The most memory that it has had, in bytes (Linux). */
  get peakMemory() {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)[1]) * 1024;
  }

  /** The match of the first line that `pattern` matches, waited for; rejects when it ends without. */
  async logged(pattern) {
    for (;;) {
      const line = this.#lines.find((candidate) => pattern.test(candidate));
      if (line) {
        return pattern.exec(line);
      }
      if (this.#hasEnded) {
        throw new Error(`the service ended without printing ${pattern}; it printed:\n${this.output}`);
      }
      await new Promise((resolve) => (this.#changed = resolve));
    }
  }

  /** Asks it to end; resolves to `{code, signal, elapsed}`. */
  async terminate() {
    const started = performance.now();
    this.#child.kill("SIGTERM");
    return { ...(await this.exited), elapsed: performance.now() - started };
  }

  /** Has it stand still, as a machine that is overloaded; `resume` has it go on. */
  pause() {
    this.#child.kill("SIGSTOP");
  }

  resume() {
    this.#child.kill("SIGCONT");
  }

  async kill() {
    this.#child.kill("SIGKILL");
    await this.exited;
  }
}

async function text(stream) {
  let all = "";
  for await (const chunk of stream) {
    all += chunk;
  }
  return all;
}
