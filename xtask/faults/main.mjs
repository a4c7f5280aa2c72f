// Load and checker of `cargo xtask faults`, which writes commands to the standard input and reads one line of JSON for
// each from the standard output. Ends when its input does.

import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { History, RecordedLedger } from "./history.mjs";
import { EVERYONE, TOLERANCES } from "./ledger.mjs";
import { DelayingProxy } from "./delaying-proxy.mjs";
import { LosingProxy } from "./losing-proxy.mjs";
import { Mix } from "./mix.mjs";
import { NodePeers } from "./node-peers.mjs";
import { Population } from "./population.mjs";
import { Publisher } from "./publisher.mjs";
import { randomFrom } from "./random.mjs";
import { RawClient } from "./raw-client.mjs";
import { tokenFor, userOf } from "./tokens.mjs";
import { TcpProxy } from "../../crates/help-desk-ws/tests/conformance/support/tcp-proxy.mjs";

/** How long what is acknowledged may take to arrive, after the last acknowledgement. */
const SETTLE_MS = 15_000;
const POLL_MS = 50;
/** Who is back stays back: one that is cut twice is not counted in between. */
const BACK_FOR_MS = 1500;

const { url, clients, rate, seed, poor, ...rest } = JSON.parse(process.argv[2]);
const tokenLifeS = rest.tokenLifeS ?? undefined;
const { JWT_SECRET, EMIT_TOKEN } = process.env;

/** Where a server of Node stands beside ours: `{ redisUrl, adapter }`. */
const nodePeers = rest.nodePeers ?? undefined;
const mix = nodePeers && new Mix(clients, nodePeers.adapter);
const users = mix?.users ?? clients;
/** The rate is that of all who publish. */
const rateOfEach = mix ? rate / 3 : rate;
const history = new History(rest.history, { notify: rest.notify, ...TOLERANCES });
/** Whose a client is. The raw client of a row is a user more than there are. */
const ownerOf = (client) => (client > clients ? client : userOf(client, users));
const ledger = new RecordedLedger(history, (client) => mix?.streamsOf(client) ?? [EVERYONE, ownerOf(client)], ownerOf);
const random = randomFrom(seed);
const network = await networkOf(rest.network);
const publisher = new Publisher({
  ledger,
  url: rest.publishesThroughNetwork ? network.url : url,
  token: EMIT_TOKEN,
  users,
  rate: rateOfEach,
  random,
  run: `faults-${seed}`,
  ...rest.emits,
});
const peers = mix && (await NodePeers.start({ ledger, mix, ...nodePeers, rate: rateOfEach, anyone: () => publisher.anyone() }));
/** The last clients come by addresses to which the network is poor, one each. */
const firstPoor = clients - poor.length + 1;
let population;

/** What stands between the clients and the load balancer. */
async function networkOf({ kind, delayMs }) {
  switch (kind) {
    case "stale":
      return TcpProxy.listen(url);
    case "delaying":
      return DelayingProxy.listen(url, delayMs);
    case "losing":
      return LosingProxy.listen(url, randomFrom(seed + 1));
    default:
      return undefined;
  }
}

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
    const poorOnes = poor.map((url, index) => [firstPoor + index, url]);
    const urlOf = Object.fromEntries([...poorOnes, ...(mix?.clientsOfNode ?? []).map((client) => [client, peers.url])]);
    population = await Population.start(ledger, clients, { url: network?.url ?? url, seed, tokenLifeS, urlOf, users: mix?.users, transports: rest.transports, roles: rest.emits.roles });
    await peers?.heard();
    return {};
  },

  /** Begins to emit. */
  async emit() {
    publisher.start();
    peers?.begin();
    return {};
  },

  /** Begins to close pages and to open them again. */
  async churn({ sharePerMinute }) {
    population.churn(sharePerMinute);
    return {};
  },

  /** Redis loses now what it has. */
  async emptied() {
    ledger.emptied(Date.now());
    return {};
  },

  /** After a failover, `keys` are those of the emits that Redis remembered `at` some time. Says how many it has lost. */
  async remembered({ keys, at }) {
    return { forgotten: ledger.remembered(new Set(keys), (to, number) => publisher.keyOf(to, number), at) };
  },

  /** More for clients of a poor network than it carries, for a while: `bytesPerSecond` to each. */
  async flood({ ms, bytesPerSecond, eventBytes }) {
    const end = Date.now() + ms;
    const flooding = poor.map(async (_, index) => {
      while (Date.now() < end) {
        const next = pause((1000 * eventBytes) / bytesPerSecond);
        await Promise.all([publisher.emit(firstPoor + index, undefined, "x".repeat(eventBytes)), next]);
      }
    });
    await Promise.all(flooding);
    return {};
  },

  /** Forgets the delays so far, and says what they were, of clients that are not on a poor network. */
  async delays() {
    return { delayMs: ledger.takeDelays((user) => user < firstPoor) };
  },

  /** What there is of Node's world, and how much has come from it so far. */
  async nodePeers() {
    return { clients: mix.clientsOfNode.length, published: peers.counts };
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

  /** Delivers nothing for a while, and then all of it. */
  async hold({ ms }) {
    network.hold();
    await pause(ms);
    network.release();
    return {};
  },

  /** From now on these shares of the answers to polls are lost. */
  async lose(shares) {
    network.begin(shares);
    return {};
  },

  /** Stops losing answers, and says what was lost. */
  async lost() {
    network.begin({ lost: 0, repeated: 0 });
    return network.counts;
  },

  /** Emits nothing more to the users numbered from `from` to `to` but in bursts. */
  async suspend({ from, to }) {
    await publisher.suspend(from, to);
    return {};
  },

  /** `events` to each of the users numbered from `from` to `to`, as fast as they are acknowledged. */
  async burst({ from, to, events, bytes, urls }) {
    const users = Array.from({ length: to - from + 1 }, (_, index) => from + index);
    await publisher.burst(users, events, bytes, urls);
    return {};
  },

  /** How many emits were acknowledged so far. */
  async acknowledged() {
    return { acknowledged: ledger.acknowledgedCount };
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
    await Promise.all([publisher.stop(), peers?.stop()]);
    await holdsWithin(() => ledger.away === 0 && ledger.outstanding === 0, SETTLE_MS);
    const report = { ...ledger.report(), ...publisher.counts };
    history.end();
    return report;
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
