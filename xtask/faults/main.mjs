// Load and checker of `cargo xtask faults`, which writes commands to the standard input and reads one line of JSON for
// each from the standard output. Ends when its input does.

import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { Ledger } from "./ledger.mjs";
import { populate } from "./population.mjs";
import { Publisher } from "./publisher.mjs";
import { RawClient } from "./raw-client.mjs";
import { StaleNetwork } from "./stale-network.mjs";
import { tokenFor } from "./tokens.mjs";

/** How long what is acknowledged may take to arrive, after the last acknowledgement. */
const SETTLE_MS = 15_000;
const POLL_MS = 50;
/** Who is back stays back: one that is cut twice is not counted in between. */
const BACK_FOR_MS = 1500;

const { url, clients, rate, seed, stale } = JSON.parse(process.argv[2]);
const { JWT_SECRET, EMIT_TOKEN } = process.env;

/** mulberry32: the same emits for the same seed. */
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

const ledger = new Ledger();
const random = randomFrom(seed);
const publisher = new Publisher({ ledger, url, token: EMIT_TOKEN, clients, rate, random, run: `faults-${seed}` });
const network = stale ? await StaleNetwork.start(url) : undefined;

/** Asks again and again until it holds, or the time is over. Resolves with whether it did. */
async function holdsWithin(condition, ms) {
  const deadline = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > deadline) {
      return false;
    }
    await pause(POLL_MS);
  }
  return true;
}

const commands = {
  /** Connects the clients. */
  async populate() {
    await populate(ledger, network?.url ?? url, clients);
    return {};
  },

  /** Begins to emit. */
  async emit() {
    publisher.start();
    return {};
  },

  async mark() {
    ledger.mark(Date.now());
    return {};
  },

  /** Waits until no client is away, and has not been for a while. */
  async back({ withinMs }) {
    const deadline = Date.now() + withinMs;
    let since = Date.now();
    while (Date.now() - since < BACK_FOR_MS && Date.now() < deadline) {
      await pause(POLL_MS);
      if (ledger.away > 0) {
        since = Date.now();
      }
    }
    return {};
  },

  async disconnects() {
    return { disconnects: ledger.disconnects };
  },

  async freeze() {
    network.freeze();
    return {};
  },

  /** A client that stops reading while `bytes` go to its user, reads on, and comes back if it was closed. */
  async stopReading({ bytes, eventBytes }) {
    const user = clients + 1;
    const client = new RawClient({ user, token: tokenFor(user, JWT_SECRET), url, ledger });
    await client.open();
    client.stopReading();
    for (let sent = 0; sent < bytes; sent += eventBytes) {
      await publisher.emit(user, undefined, "x".repeat(eventBytes));
    }
    const readBefore = client.read;
    const closed = await client.readOn();
    const buffered = client.read - readBefore;
    if (closed) {
      await client.open();
    }
    await publisher.emit(user);
    return { closed, buffered };
  },

  /** Events that every node of `urls` is asked to send, `times` in all for each, under one id. */
  async sameId({ urls, events, times }) {
    const statuses = {};
    for (let event = 0; event < events; event += 1) {
      await publisher.emit(publisher.anyone(), async (message) => {
        const attempts = Array.from({ length: times }, (_, index) => publisher.attempt(message, urls[index % urls.length]));
        const answers = await Promise.all(attempts);
        answers.forEach((status) => (statuses[status] = (statuses[status] ?? 0) + 1));
        return answers.includes(201);
      });
    }
    return { statuses };
  },

  /** Publishers that die between their request and its answer, and ask again. */
  async die({ events }) {
    for (let event = 0; event < events; event += 1) {
      await publisher.emitDying(publisher.anyone());
    }
    return {};
  },

  /** Stops emitting, lets everything arrive, and says what became of it. */
  async report() {
    await publisher.stop();
    await holdsWithin(() => ledger.away === 0 && ledger.outstanding === 0, SETTLE_MS);
    return { ...ledger.report(), ...publisher.counts };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...details } = JSON.parse(line);
  let answer;
  try {
    answer = await commands[command](details);
  } catch (error) {
    answer = { error: `${command}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit();
