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
/** One message in so many is a large one, where some are to be. */
const LARGE_EVERY = 5;
const SHARE_TO_ROLES = 0.05;
/** Events of a batch. */
const BATCH = 100;
/** A pool as a back end has one: beyond it nothing is sent, and the tick is counted as skipped. */
const MOST_UNDER_WAY = 256;

export class Publisher {
  counts = { repeated: 0, abandoned: 0, skipped: 0, rejected: 0, inDoubt: 0, statuses: {} };
  #agent = new Agent({ keepAlive: true });
  /** The last emit of each stream: the next waits for it. */
  #last = new Map();
  #underWay = 0;
  #sent = 0;
  #isSuspended = () => false;
  #stopTicking = () => {};
  #options;

  /**
   * `options`: ledger, url, token, users (how many), rate (emits a second), random, run (a prefix of every key); and `without`:
   * every second message has no id, `ttlS`: the time to live of every one, `largest`: some have up to so many bytes, `roles`: some
   * go to all who have a role.
   */
  constructor(options) {
    this.#options = options;
  }

  start() {
    const { rate, roles, random } = this.#options;
    const role = () => `role:${random() < 0.5 ? 1 : 2}`;
    const next = () => (roles && random() < SHARE_TO_ROLES ? role() : this.anyone());
    this.#stopTicking = paced(rate, next, (to) => this.#tick(to));
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
  emit(to, send, padding) {
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

  /** Emits nothing more to these users but in bursts. Resolves when nothing is under way to them. */
  async suspend(from, to) {
    this.#isSuspended = (user) => user >= from && user <= to;
    await Promise.all([...this.#last].filter(([user]) => this.#isSuspended(user)).map(([, last]) => last));
  }

  #tick(to) {
    if (this.#isSuspended(to)) {
      return;
    }
    if (this.#underWay >= MOST_UNDER_WAY) {
      this.counts.skipped += 1;
    } else {
      this.emit(to);
    }
  }

  async #emit(to, send, padding) {
    const { ledger, token } = this.#options;
    const { without, ttlS, largest } = this.#options;
    this.#underWay += 1;
    const idOf = without && send === undefined && this.#sent % 2 === 0 ? undefined : (number) => this.keyOf(to, number);
    this.#sent += 1;
    const number = ledger.sent(to, Date.now(), { idOf, ttlMs: ttlS ? ttlS * 1000 : undefined });
    if (largest && padding === undefined && this.#sent % LARGE_EVERY === 0) {
      // Every order of magnitude up to the bound, and the bound itself.
      const size = this.#sent % (4 * LARGE_EVERY) === 0 ? largest : largest ** (0.5 + this.#options.random() / 2);
      padding = "x".repeat(Math.floor(size) - JSON.stringify({ to, number, padding: "" }).length);
    }
    const target = to === EVERYONE ? {} : String(to).startsWith("role:") ? { role: Number(to.slice(5)) } : { userId: to };
    const message = {
      path: to === EVERYONE ? "/notifications/broadcast" : "/notifications/emit",
      body: JSON.stringify({ ...target, event: "numbered", ttl: ttlS ?? undefined, payload: { to, number, padding: padding ?? "" } }),
      headers: {
        Authorization: `Bearer ${token}`,
        "Content-Type": "application/json",
        ...(idOf && { "Idempotency-Key": idOf(number) }),
      },
    };
    send ??= idOf ? (message) => this.#untilAcknowledged(message) : (message) => this.#once(message);
    if (await send(message)) {
      ledger.acknowledged(to, number, Date.now());
    }
    this.#underWay -= 1;
  }

  /** Without an id an emit is not repeated: it might be carried out twice. Unless it is answered with 201 it is in doubt. */
  async #once(message) {
    const status = await this.attempt(message);
    if (status !== 201) {
      this.counts.statuses[status] = (this.counts.statuses[status] ?? 0) + 1;
      this.counts.inDoubt += 1;
    }
    return status === 201;
  }

  /** `events` to each of these users, 100 in a request at one of `urls`; the events of a user in their order. */
  async burst(users, events, bytes, urls) {
    const bursts = users.map((to, index) => {
      const before = this.#last.get(to) ?? Promise.resolve();
      const done = before.then(() => this.#burst(to, events, "x".repeat(bytes), urls[index % urls.length]));
      this.#last.set(to, done);
      return done;
    });
    await Promise.all(bursts);
  }

  async #burst(to, events, padding, url) {
    const { ledger, token } = this.#options;
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
    for (let left = events; left > 0; left -= BATCH) {
      const numbers = Array.from({ length: Math.min(BATCH, left) }, () =>
        ledger.sent(to, Date.now(), { idOf: (number) => this.keyOf(to, number) }),
      );
      const items = numbers.map((number) => ({
        userId: to,
        event: "numbered",
        id: this.keyOf(to, number),
        payload: { to, number, padding },
      }));
      const message = { path: "/notifications/emit/batch", body: JSON.stringify({ items }), headers };
      if (await this.#untilAcknowledged(message, url)) {
        numbers.forEach((number) => ledger.acknowledged(to, number, Date.now()));
      }
    }
  }

  async #untilAcknowledged(message, url) {
    const deadline = Date.now() + REPEAT_MS;
    for (let wait = PAUSE_MS.first; ; wait = Math.min(2 * wait, PAUSE_MS.most)) {
      const status = await this.attempt(message, url);
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
