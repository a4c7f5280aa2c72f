// A Redis for one test, which writes what it has to a file: needs redis-server in PATH.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./ports.mjs";

export const withoutRedis = { skip: spawnSync("redis-server", ["--version"]).error && "there is no redis-server" };

export class Redis {
  #child;
  #folder = mkdtempSync(join(tmpdir(), "help-desk-ws-redis-"));

  /** Starts on a free port; it ends with the test. */
  static async start(t) {
    const redis = new Redis();
    redis.port = await freePort();
    redis.url = `redis://127.0.0.1:${redis.port}`;
    t.after(() => redis.kill());
    await redis.startAgain();
    return redis;
  }

  /** Starts it with what it had. */
  async startAgain() {
    // Nothing is to survive more than the end of the process.
    const persistence = ["--save", "", "--appendonly", "yes", "--appendfsync", "no"];
    const settings = ["--port", this.port, "--bind", "127.0.0.1", ...persistence, "--dir", this.#folder];
    this.#child = spawn("redis-server", settings.map(String), { stdio: "ignore" });
    while (!(await isOpen(this.port))) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Starts it empty. */
  async startEmpty() {
    rmSync(this.#folder, { recursive: true });
    mkdirSync(this.#folder);
    await this.startAgain();
  }

  /** Runs `redis-cli` on it: its output. */
  command(...args) {
    return spawnSync("redis-cli", ["-p", String(this.port), ...args], { encoding: "utf8" }).stdout;
  }

  /** Has it stand still, until it is killed or resumed. */
  pause() {
    this.#child.kill("SIGSTOP");
  }

  resume() {
    this.#child.kill("SIGCONT");
  }

  async kill() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, "exit");
      this.#child.kill("SIGKILL");
      await exited;
    }
  }
}

function isOpen(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
