// What was sent, what was acknowledged, and what came to whom: the verdict on a run.
//
// A stream is what goes to one user, or to everyone (0), from one who publishes. Its messages are numbered, and the next
// is sent when the one before was acknowledged or given up, so that their order is defined.

/** The stream of what goes to everyone; users are numbered from 1. */
export const EVERYONE = 0;

/** A client for each user, and all is published by the back end. */
const ONE_CLIENT_EACH = (client) => [EVERYONE, client];

/** How many examples of each kind of fault a report has. */
const EXAMPLES = 5;
/**
 * A page may be closed while its connection is dead without anybody knowing, for as long as heartbeats take to tell, 4 s:
 * what was acknowledged meanwhile cannot reach it any more.
 */
const UNNOTICED_MS = 5000;
/** What was acknowledged this long before a client went, or before Redis lost what it had, may not have got further. */
const ON_ITS_WAY_MS = 1000;
/** A replay begins a moment after a client is connected: an event whose time is over by then need not be in it. */
const TTL_MARGIN_MS = 2000;

/** The tolerances that both judges have. */
export const TOLERANCES = { unnoticed_ms: UNNOTICED_MS, on_its_way_ms: ON_ITS_WAY_MS };

export class Ledger {
  /** Messages by stream, at their number less one. */
  #streams = new Map();
  #clients = new Map();
  /** Clients whose page was closed. */
  #gone = [];
  /** Clients that never got in. */
  #neverIn = { "gave up": 0, refused: 0 };
  /** When the token expires that a user has handed in last. */
  #expiries = new Map();
  #markedAt;
  /** When Redis lost what it had. */
  #emptiedAt = [];
  /** Acknowledged emits of which Redis is known to have none; undefined where that is not known. */
  #forgotten;
  #streamsOf;
  #userOf;
  acknowledgedCount = 0;

  /** `streamsOf`: the streams of which a client is promised everything. `userOf`: whose a client is. */
  constructor(streamsOf = ONE_CLIENT_EACH, userOf = (client) => client) {
    this.#streamsOf = streamsOf;
    this.#userOf = userOf;
  }

  /** Whether a client is there or may still return. */
  knows(client) {
    return this.#clients.has(client);
  }

  /** A fault is injected now: what comes back, comes back from it. */
  mark(at) {
    this.#markedAt ??= at;
  }

  /** Redis loses what it has: what was on its way may be lost, and an emit that is repeated come twice. */
  emptied(at) {
    this.#emptiedAt.push(at);
  }

  /** Redis remembered the emits with these keys. Returns how many that were acknowledged before it did not. */
  remembered(keys, keyOf, at) {
    this.#forgotten = new Set();
    for (const [to, messages] of this.#streams) {
      messages.forEach(({ acknowledgedAt }, index) => {
        if (acknowledgedAt < at && !keys.has(keyOf(to, index + 1))) {
          this.#forgotten.add(`${to}-${index + 1}`);
        }
      });
    }
    return this.#forgotten.size;
  }

  /** A client is about to hand in a token. */
  gotToken(user, expiresAt) {
    this.#expiries.set(user, expiresAt);
  }

  /** A message is about to be sent for the first time. Returns its number. */
  sent(to, at, { ttlMs } = {}) {
    if (!this.#streams.has(to)) {
      this.#streams.set(to, []);
    }
    return this.#streams.get(to).push({ sentAt: at, acknowledgedAt: undefined, ttlMs });
  }

  acknowledged(to, number, at) {
    this.acknowledgedCount += 1;
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
        received: new Map(this.#streamsOf(user).map((stream) => [stream, []])),
        toldAt: undefined,
        told: 0,
        recovered: 0,
        gaps: [],
        lostAt: [],
        delays: [],
        count: 0,
        misdelivered: [],
        roles: [],
        expiryMs: [],
        leftAt: undefined,
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

  /** A client is connected with this role, and no other. */
  joinedRole(user, stream, at) {
    const client = this.#clients.get(user);
    client.roles.push({ stream, from: at, to: Infinity });
    if (!client.received.has(stream)) {
      client.received.set(stream, []);
    }
  }

  disconnected(user, at, reason) {
    const client = this.#clients.get(user);
    if (client?.state !== "connected") {
      // socket.io-client says so also when an attempt ends before its CONNECT is answered.
      return;
    }
    client.lostAt.push(at);
    if (client.roles.length > 0) {
      client.roles.at(-1).to = at;
    }
    if (this.#expiries.has(user)) {
      client.expiryMs.push(at - this.#expiries.get(user));
    }
    // After this one socket.io-client does not come back.
    client.state = reason === "io server disconnect" ? "sent away" : "away";
  }

  /** socket.io-client has used up its attempts. */
  gaveUp(user) {
    this.#ends(user, "gave up");
  }

  /** The service refused a client that came back: it does not try again. */
  refused(user, at) {
    this.#ends(user, "refused", at);
  }

  /** Its page is closed. */
  left(user, at) {
    const client = this.#clients.get(user);
    client.leftAt = at;
    client.state = "left";
    this.#clients.delete(user);
    this.#gone.push(client);
  }

  received(user, to, number, at, offset) {
    const client = this.#clients.get(user);
    if (![undefined, this.#userOf(user)].includes(userOfStream(to)) || this.#isOfFormerRole(client, to, number)) {
      client.misdelivered.push({ client: user, to, number });
      client.count += 1;
      return;
    }
    if (!client.received.has(to)) {
      client.received.set(to, []);
    }
    client.received.get(to).push({ number, offset });
    client.count += 1;
    const message = this.#streams.get(to)?.[number - 1];
    if (message) {
      client.delays.push(at - message.sentAt);
    }
  }

  /** The spread of delays so far of these users, which are forgotten. */
  takeDelays(isMeant) {
    const clients = [...this.#clients.values()];
    const taken = spread(clients.filter(({ user }) => isMeant(user)).flatMap((client) => client.delays));
    clients.forEach((client) => (client.delays = []));
    return taken;
  }

  /** Clients that are away and may still come back. */
  get away() {
    return this.#in("away");
  }

  /** How often a client lost its connection, so far. */
  get disconnects() {
    return this.#all.reduce((total, client) => total + client.lostAt.length, 0);
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
    const clients = this.#all;
    const verdicts = clients.map((client) => this.#judge(client));
    const sum = (field) => verdicts.reduce((total, verdict) => total + verdict[field].length, 0);
    const examples = (field) => verdicts.flatMap((verdict) => verdict[field]).slice(0, EXAMPLES);
    const messages = [...this.#streams.values()].flat();
    const acknowledged = messages.filter((message) => message.acknowledgedAt !== undefined);
    const gaps = clients.flatMap((client) => client.gaps);
    const ends = clients.flatMap((client) => client.lostAt);
    const afterMark = (times) => times.filter((time) => this.#markedAt !== undefined && time >= this.#markedAt);
    return {
      clients: clients.length,
      emitted: messages.length,
      acknowledged: acknowledged.length,
      received: clients.reduce((total, client) => total + client.count, 0),
      lost: sum("lost"),
      duplicated: sum("duplicated"),
      reordered: sum("reordered"),
      // Received by a client of another user.
      misdelivered: sum("misdelivered"),
      // Not received by a client that was told so.
      excused: sum("excused"),
      // Not received because Redis lost it; received twice because Redis had lost it when it was sent again.
      forgotten: sum("forgotten"),
      appendedTwice: sum("appendedTwice"),
      closedPages: this.#gone.length,
      disconnects: this.disconnects,
      recovered: clients.reduce((total, client) => total + client.recovered, 0),
      told: clients.reduce((total, client) => total + client.told, 0),
      gaveUp: this.#in("gave up") + this.#neverIn["gave up"],
      serverDisconnects: this.#in("sent away"),
      refused: this.#in("refused") + this.#neverIn.refused,
      stillAway: this.#in("away"),
      gapMs: spread(gaps.map(({ from, to }) => to - from)),
      backMs: Math.max(0, ...afterMark(gaps.map(({ to }) => to))) - (gaps.length > 0 ? this.#markedAt ?? 0 : 0),
      noticedMs: Math.max(0, ...afterMark(ends).map((at) => at - this.#markedAt)),
      closesPerSecond: mostInASecond(ends),
      ackMs: spread(acknowledged.map(({ sentAt, acknowledgedAt }) => acknowledgedAt - sentAt)),
      // The longest time in which no emit was acknowledged.
      writeGapMs: longestPause(afterMark(acknowledged.map(({ acknowledgedAt }) => acknowledgedAt))),
      // From the end of a token to that of the connection.
      expiryMs: spread(clients.flatMap((client) => client.expiryMs)),
      earliestExpiryMs: Math.min(0, ...clients.flatMap((client) => client.expiryMs)),
      // Of clients that never lost their connection.
      delayMs: spread(clients.filter((client) => client.lostAt.length === 0).flatMap((client) => client.delays)),
      examples: { lost: examples("lost"), duplicated: examples("duplicated"), reordered: examples("reordered"), misdelivered: examples("misdelivered") },
    };
  }

  get #all() {
    return [...this.#gone, ...this.#clients.values()];
  }

  #ends(user, state) {
    const client = this.#clients.get(user);
    if (client) {
      client.state = state;
    } else {
      this.#neverIn[state] += 1;
    }
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
    const verdict = { ...this.#missing(client), duplicated: [], appendedTwice: [], reordered: [], misdelivered: client.misdelivered };
    for (const [to, receipts] of client.received) {
      const stream = this.#streams.get(to) ?? [];
      const seen = new Map();
      let highest = 0;
      for (const { number, offset } of receipts) {
        const message = stream[number - 1];
        if (seen.has(number)) {
          // Under another offset it was appended once more; else the service has sent it twice.
          const isOfRedis = seen.get(number) !== offset && this.#emptiedAt.some((at) => message?.sentAt <= at);
          verdict[isOfRedis ? "appendedTwice" : "duplicated"].push({ user: client.user, to, number });
        } else if (message?.acknowledgedAt !== undefined) {
          if (number < highest) {
            verdict.reordered.push({ user: client.user, to, number, after: highest });
          }
          highest = Math.max(highest, number);
        }
        seen.set(number, offset);
      }
    }
    return verdict;
  }

  #missing(client) {
    const missing = { lost: [], excused: [], forgotten: [] };
    for (const [to, receipts] of client.received) {
      const stream = this.#streams.get(to) ?? [];
      const received = new Set(receipts.map(({ number }) => number));
      stream.forEach((message, index) => {
        // What was sent before it came for the first time is not for it.
        if (isOwed(client, to, message) && !received.has(index + 1)) {
          const { sentAt, acknowledgedAt } = message;
          missing[this.#why(client, message, to, index + 1)]?.push({ user: client.user, to, number: index + 1, sentAt, acknowledgedAt });
        }
      });
    }
    return missing;
  }

  /** Whether it is for a role, and was sent when the client had come with another one. */
  #isOfFormerRole(client, to, number) {
    const role = client.roles.at(-1);
    return isRole(to) && (role === undefined || (role.stream !== to && this.#streams.get(to)[number - 1].sentAt > role.from));
  }

  /** Why a client has not received what was acknowledged. */
  #why(client, { sentAt, acknowledgedAt, ttlMs }, to, number) {
    if (acknowledgedAt > client.leftAt - UNNOTICED_MS) {
      return "not there";
    }
    const wasTold = client.toldAt !== undefined && sentAt <= client.toldAt;
    const isRefused = client.state === "refused" && acknowledgedAt > client.lostAt.at(-1) - ON_ITS_WAY_MS;
    const isOutlived = ttlMs !== undefined && wasAwayFor(client, acknowledgedAt, sentAt + ttlMs - TTL_MARGIN_MS);
    if (wasTold || isRefused || isOutlived) {
      return "excused";
    }
    const isForgotten = this.#forgotten
      ? this.#forgotten.has(`${to}-${number}`)
      : this.#emptiedAt.some((at) => Math.abs(acknowledgedAt - at) < ON_ITS_WAY_MS);
    return isForgotten ? "forgotten" : "lost";
  }
}

/** What is acknowledged, and was sent after a client came; of a role's, also before it left with that role. */
function isOwed(client, to, { sentAt, acknowledgedAt }) {
  if (acknowledgedAt === undefined || sentAt <= client.joinedAt) {
    return false;
  }
  const hasRole = ({ stream, from, to: until }) => stream === to && sentAt > from && acknowledgedAt < until - ON_ITS_WAY_MS;
  return !isRole(to) || client.roles.some(hasRole);
}

function isRole(stream) {
  return String(stream).startsWith("role:");
}

/** Whom a stream is for, when it is for one user. `node 7` is one to user 7. */
function userOfStream(stream) {
  if (isRole(stream)) {
    return undefined;
  }
  const user = Number(String(stream).split(" ").at(-1));
  return user === EVERYONE ? undefined : user;
}

/** Whether a client was away from before `from` until after `to`. */
function wasAwayFor(client, from, to) {
  const isAway = client.state !== "connected" && client.lostAt.at(-1) <= from;
  return isAway || client.gaps.some((gap) => gap.from <= from && gap.to >= to);
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

function longestPause(times) {
  const sorted = Float64Array.from(times).sort();
  return sorted.reduce((longest, time, index) => Math.max(longest, index > 0 ? time - sorted[index - 1] : 0), 0);
}
