// What was sent, what was acknowledged, and what came to whom: the verdict on a run.
//
// A stream is what goes to one user, or to everyone (0). Its messages are numbered, and the next is sent when the
// one before was acknowledged or given up, so that their order is defined.

/** The stream of what goes to everyone; users are numbered from 1. */
export const EVERYONE = 0;

/** How many examples of each kind of fault a report has. */
const EXAMPLES = 5;

export class Ledger {
  /** Messages by stream, at their number less one. */
  #streams = new Map();
  #clients = new Map();
  #markedAt;

  /** A fault is injected now: what comes back, comes back from it. */
  mark(at) {
    this.#markedAt ??= at;
  }

  /** A message is about to be sent for the first time. Returns its number. */
  sent(to, at) {
    if (!this.#streams.has(to)) {
      this.#streams.set(to, []);
    }
    return this.#streams.get(to).push({ sentAt: at, acknowledgedAt: undefined });
  }

  acknowledged(to, number, at) {
    this.#streams.get(to)[number - 1].acknowledgedAt = at;
  }

  /** A client is connected. A first time, `recovered` says nothing; later, false tells it that it may have missed something. */
  connected(user, at, recovered) {
    const client = this.#clients.get(user);
    if (!client) {
      this.#clients.set(user, {
        user,
        joinedAt: at,
        state: "connected",
        received: new Map([
          [EVERYONE, []],
          [user, []],
        ]),
        toldAt: undefined,
        told: 0,
        recovered: 0,
        gaps: [],
        lostAt: [],
        delays: [],
      });
      return;
    }
    client.state = "connected";
    const last = client.lostAt.at(-1);
    client.gaps.push({ from: last, to: at });
    if (recovered) {
      client.recovered += 1;
    } else {
      client.told += 1;
      client.toldAt = at;
    }
  }

  disconnected(user, at, reason) {
    const client = this.#clients.get(user);
    client.lostAt.push(at);
    // After this one socket.io-client does not come back.
    client.state = reason === "io server disconnect" ? "sent away" : "away";
  }

  /** socket.io-client has used up its attempts. */
  gaveUp(user) {
    this.#clients.get(user).state = "gave up";
  }

  /** The service refused a client that came back: it does not try again. */
  refused(user) {
    this.#clients.get(user).state = "refused";
  }

  received(user, to, number, at) {
    const client = this.#clients.get(user);
    if (!client.received.has(to)) {
      client.received.set(to, []);
    }
    client.received.get(to).push(number);
    const message = this.#streams.get(to)?.[number - 1];
    if (message) {
      client.delays.push(at - message.sentAt);
    }
  }

  /** Clients that are away and may still come back. */
  get away() {
    return this.#in("away");
  }

  /** How often a client lost its connection, so far. */
  get disconnects() {
    return [...this.#clients.values()].reduce((total, client) => total + client.lostAt.length, 0);
  }

  /** How many messages clients that are connected still have to get. */
  get outstanding() {
    let sum = 0;
    for (const client of this.#clients.values()) {
      if (client.state === "connected" || client.state === "away") {
        sum += this.#missing(client).lost.length;
      }
    }
    return sum;
  }

  report() {
    const verdicts = [...this.#clients.values()].map((client) => this.#judge(client));
    const sum = (field) => verdicts.reduce((total, verdict) => total + verdict[field].length, 0);
    const examples = (field) => verdicts.flatMap((verdict) => verdict[field]).slice(0, EXAMPLES);
    const clients = [...this.#clients.values()];
    const messages = [...this.#streams.values()].flat();
    const acknowledged = messages.filter((message) => message.acknowledgedAt !== undefined);
    const gaps = clients.flatMap((client) => client.gaps);
    const ends = clients.flatMap((client) => client.lostAt);
    const afterMark = (times) => times.filter((time) => this.#markedAt !== undefined && time >= this.#markedAt);
    return {
      clients: clients.length,
      emitted: messages.length,
      acknowledged: acknowledged.length,
      received: clients.reduce((total, client) => total + client.delays.length, 0),
      lost: sum("lost"),
      duplicated: sum("duplicated"),
      reordered: sum("reordered"),
      // Not received by a client that was told so.
      excused: sum("excused"),
      disconnects: this.disconnects,
      recovered: clients.reduce((total, client) => total + client.recovered, 0),
      told: clients.reduce((total, client) => total + client.told, 0),
      gaveUp: this.#in("gave up"),
      serverDisconnects: this.#in("sent away"),
      refused: this.#in("refused"),
      stillAway: this.#in("away"),
      gapMs: spread(gaps.map(({ from, to }) => to - from)),
      backMs: Math.max(0, ...afterMark(gaps.map(({ to }) => to))) - (gaps.length > 0 ? this.#markedAt ?? 0 : 0),
      noticedMs: Math.max(0, ...afterMark(ends).map((at) => at - this.#markedAt)),
      closesPerSecond: mostInASecond(ends),
      ackMs: spread(acknowledged.map(({ sentAt, acknowledgedAt }) => acknowledgedAt - sentAt)),
      // Of clients that never lost their connection.
      delayMs: spread(clients.filter((client) => client.lostAt.length === 0).flatMap((client) => client.delays)),
      examples: { lost: examples("lost"), duplicated: examples("duplicated"), reordered: examples("reordered") },
    };
  }

  #in(state) {
    let count = 0;
    for (const client of this.#clients.values()) {
      count += client.state === state ? 1 : 0;
    }
    return count;
  }

  /** Judged by acknowledged messages alone: of the others the back end was not told that they are out. */
  #judge(client) {
    const verdict = { ...this.#missing(client), duplicated: [], reordered: [] };
    for (const [to, numbers] of client.received) {
      const stream = this.#streams.get(to) ?? [];
      const seen = new Set();
      let highest = 0;
      for (const number of numbers) {
        if (seen.has(number)) {
          verdict.duplicated.push({ user: client.user, to, number });
        } else if (stream[number - 1]?.acknowledgedAt !== undefined) {
          if (number < highest) {
            verdict.reordered.push({ user: client.user, to, number, after: highest });
          }
          highest = Math.max(highest, number);
        }
        seen.add(number);
      }
    }
    return verdict;
  }

  #missing(client) {
    const lost = [];
    const excused = [];
    for (const [to, numbers] of client.received) {
      const stream = this.#streams.get(to) ?? [];
      const received = new Set(numbers);
      stream.forEach(({ sentAt, acknowledgedAt }, index) => {
        // What was sent before it came for the first time is not for it.
        if (acknowledgedAt !== undefined && sentAt > client.joinedAt && !received.has(index + 1)) {
          const wasTold = client.toldAt !== undefined && sentAt <= client.toldAt;
          (wasTold ? excused : lost).push({ user: client.user, to, number: index + 1, sentAt, acknowledgedAt });
        }
      });
    }
    return { lost, excused };
  }
}

/** Median, 99th percentile and largest; null when there is nothing. */
function spread(values) {
  if (values.length === 0) {
    return null;
  }
  const sorted = Float64Array.from(values).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
  return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1) };
}

function mostInASecond(times) {
  const sorted = Float64Array.from(times).sort();
  let most = 0;
  let from = 0;
  for (let to = 0; to < sorted.length; to += 1) {
    while (sorted[to] - sorted[from] >= 1000) {
      from += 1;
    }
    most = Math.max(most, to - from + 1);
  }
  return most;
}
