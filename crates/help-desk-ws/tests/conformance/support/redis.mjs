// A Redis for one test, which writes what it has to a file: needs redis-server in PATH.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./ports.mjs";

export const withoutRedis = { skip: spawnSync("redis-server", ["--version"]).error && "there is no redis-server" };

export class Redis {
  #child;
  #folder = mkdtempSync(join(tmpdir(), "help-desk-ws-redis-"));

  #settings;
  #certificate;

  constructor(settings, certificate) {
    this.#settings = settings;
    this.#certificate = certificate;
  }

  /** Starts on a free port, with more settings than it has anyway, by TLS with a certificate; it ends with the test. */
  static async start(t, settings = [], certificate = undefined) {
    const redis = new Redis(settings, certificate);
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
    const ports = this.#certificate ? ["--port", 0, "--tls-port", this.port, ...this.#certificate.settings] : ["--port", this.port];
    const settings = [...ports, "--bind", "127.0.0.1", ...persistence, "--dir", this.#folder, ...this.#settings];
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

  /** Keeps what it has written so far. */
  backUp() {
    this.backup = mkdtempSync(join(tmpdir(), "help-desk-ws-redis-"));
    cpSync(this.#folder, this.backup, { recursive: true });
  }

  /** Starts it with what was kept. */
  async startFromBackup() {
    rmSync(this.#folder, { recursive: true });
    cpSync(this.backup, this.#folder, { recursive: true });
    rmSync(this.backup, { recursive: true });
    await this.startAgain();
  }

  /** Runs `redis-cli` on it: its output. */
  command(...args) {
    return spawnSync("redis-cli", ["-p", String(this.port), ...(this.#certificate?.ofClient ?? []), ...args], { encoding: "utf8" }).stdout;
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

/** A certificate for 127.0.0.1, of an authority that nobody else knows: that one is in the file `authority`. */
export function certificate(t) {
  const folder = mkdtempSync(join(tmpdir(), "help-desk-ws-tls-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [authority, authorityKey, file, key] = ["ca.crt", "ca.key", "redis.crt", "redis.key"].map((name) => join(folder, name));
  const fresh = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const ofAuthority = ["-CA", authority, "-CAkey", authorityKey];
  const extensions = ["subjectAltName=IP:127.0.0.1", "basicConstraints=critical,CA:FALSE"].flatMap((value) => ["-addext", value]);
  for (const args of [
    [...fresh, "-subj", "/CN=authority", "-keyout", authorityKey, "-out", authority],
    [...fresh, "-subj", "/CN=redis", "-keyout", key, "-out", file, ...ofAuthority, ...extensions],
  ]) {
    const { status, stderr } = spawnSync("openssl", args, { encoding: "utf8" });
    if (status !== 0) {
      throw new Error(stderr);
    }
  }
  const settings = ["--tls-cert-file", file, "--tls-key-file", key, "--tls-ca-cert-file", authority];
  return {
    authority,
    settings: [...settings, "--tls-auth-clients", "no", "--tls-cluster", "yes", "--tls-replication", "yes"],
    ofClient: ["--tls", "--cacert", authority],
  };
}

/** A Redis Cluster for one test, of three masters that have a third of the slots each. */
export class RedisCluster {
  static async start(t, certificate) {
    const cluster = new RedisCluster();
    cluster.nodes = await Promise.all([0, 1, 2].map(async () => {
      const bus = await freePort();
      const node = await Redis.start(t, ["--cluster-enabled", "yes", "--cluster-port", String(bus), "--cluster-node-timeout", "5000"], certificate);
      return Object.assign(node, { bus, id: node.command("CLUSTER", "MYID").trim() });
    }));
    const [first, ...others] = cluster.nodes;
    for (const [index, node] of cluster.nodes.entries()) {
      node.command("CLUSTER", "ADDSLOTSRANGE", String(Math.ceil((index * 16384) / 3)), String(Math.ceil(((index + 1) * 16384) / 3) - 1));
    }
    for (const node of others) {
      first.command("CLUSTER", "MEET", "127.0.0.1", String(node.port), String(node.bus));
    }
    const isWhole = (node) => node.command("CLUSTER", "INFO").includes("cluster_state:ok")
      && cluster.nodes.every(({ id }) => node.command("CLUSTER", "SLOTS").includes(id));
    while (!cluster.nodes.every(isWhole)) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    cluster.url = `${certificate ? "rediss" : "redis"}+cluster://${cluster.nodes.map(({ port }) => `127.0.0.1:${port}`).join(",")}`;
    return cluster;
  }

  /** Moves the slot of a channel, which has no keys, to the next master. */
  moveSlot(channel) {
    const slot = this.nodes[0].command("CLUSTER", "KEYSLOT", channel).trim();
    const from = this.nodes.findIndex((node) => !node.command("SPUBLISH", channel, "{}").startsWith("MOVED"));
    const [source, target] = [this.nodes[from], this.nodes[(from + 1) % this.nodes.length]];
    const set = (node, ...args) => {
      const answer = node.command("CLUSTER", "SETSLOT", slot, ...args);
      if (answer !== "OK\n") {
        throw new Error(answer);
      }
    };
    set(target, "IMPORTING", source.id);
    set(source, "MIGRATING", target.id);
    set(target, "NODE", target.id);
    set(source, "NODE", target.id);
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
