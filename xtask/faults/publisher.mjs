// The back end: emits at a fixed rate, and repeats what was not acknowledged under the same Idempotency-Key.

import { once } from "node:events";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { EVERYONE } from "./ledger.mjs";
import { paced } from "./pace.mjs";

/** As docs/back-end.md shows it. */
const ATTEMPT_MS = 5000;
/** How long an emit is repeated. */
const REPEAT_MS = 30_000;
const PAUSE_MS = { first: 100, most: 1000 };
/** A pool as a back end has one: beyond it nothing is sent, and the tick is counted as skipped. */
const MOST_UNDER_WAY = 256;

export class Publisher {
  counts = { repeated: 0, abandoned: 0, skipped: 0, rejected: 0, statuses: {} };
  #agent = new Agent({ keepAlive: true });
  /** The last emit of each stream: the next waits for it. */
  #last = new Map();
  #underWay = 0;
  #stopTicking = () => {};
  #options;

  /** `options`: ledger, url, token, users (how many), rate (emits a second), random, run (a prefix of every key). */
  constructor(options) {
    this.#options = options;
  }

  start() {
    this.#stopTicking = paced(this.#options.rate, () => this.anyone(), (to) => this.#tick(to));
  }

  /** Resolves when nothing is under way any more. */
  async stop() {
    this.#stopTicking();
    await Promise.all(this.#last.values());
  }

  anyone() {
    const { random, users } = this.#options;
    return 1 + Math.floor(random() * users);
  }

  /** The id of a message. */
  keyOf(to, number) {
    return `${this.#options.run}-${to}-${number}`;
  }

  /** Sends the next message of a stream, once the one before is done with. Resolves when this one is. */
  emit(to, send = (message) => this.#untilAcknowledged(message), padding) {
    const before = this.#last.get(to) ?? Promise.resolve();
    const done = before.then(() => this.#emit(to, send, padding));
    this.#last.set(to, done);
    return done;
  }

  /** One request at `url`. Resolves with the status, or 0 when there was no answer. */
  attempt({ path, body, headers }, url = this.#options.url) {
    return new Promise((resolve) => {
      const options = { method: "POST", agent: this.#agent, headers, signal: AbortSignal.timeout(ATTEMPT_MS) };
      const sent = request(new URL(path, url), options, (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode));
        response.on("error", () => resolve(0));
      });
      sent.on("error", () => resolve(0));
      sent.end(body);
    });
  }

  /** Sends a request and drops the connection within 20 ms, whether it was answered or not; then as ever. */
  async emitDying(to) {
    const { url, random } = this.#options;
    return this.emit(to, async (message) => {
      const { hostname, port } = new URL(url);
      const socket = connect(Number(port), hostname);
      socket.on("error", () => {});
      await once(socket, "connect");
      const headers = { Host: hostname, "Content-Length": Buffer.byteLength(message.body), ...message.headers };
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`POST ${message.path} HTTP/1.1\r\n${lines.join("")}\r\n${message.body}`);
      await pause(random() * 20);
      socket.destroy();
      return this.#untilAcknowledged(message);
    });
  }

  #tick(to) {
    if (this.#underWay >= MOST_UNDER_WAY) {
      this.counts.skipped += 1;
    } else {
      this.emit(to);
    }
  }

  async #emit(to, send, padding = "") {
    const { ledger, token } = this.#options;
    this.#underWay += 1;
    const number = ledger.sent(to, Date.now(), { idOf: (number) => this.keyOf(to, number) });
    const target = to === EVERYONE ? {} : { userId: to };
    const message = {
      path: to === EVERYONE ? "/notifications/broadcast" : "/notifications/emit",
      body: JSON.stringify({ ...target, event: "numbered", payload: { to, number, padding } }),
      headers: {
        Authorization: `Bearer ${token}`,
        "Content-Type": "application/json",
        "Idempotency-Key": this.keyOf(to, number),
      },
    };
    if (await send(message)) {
      ledger.acknowledged(to, number, Date.now());
    }
    this.#underWay -= 1;
  }

  async #untilAcknowledged(message) {
    const deadline = Date.now() + REPEAT_MS;
    for (let wait = PAUSE_MS.first; ; wait = Math.min(2 * wait, PAUSE_MS.most)) {
      const status = await this.attempt(message);
      if (status === 201) {
        return true;
      }
      this.counts.statuses[status] = (this.counts.statuses[status] ?? 0) + 1;
      if (status >= 400 && status < 500 && status !== 408) {
        this.counts.rejected += 1;
        return false;
      }
      if (Date.now() + wait > deadline) {
        this.counts.abandoned += 1;
        return false;
      }
      this.counts.repeated += 1;
      await pause(wait * (0.5 + this.#options.random()));
    }
  }
}
