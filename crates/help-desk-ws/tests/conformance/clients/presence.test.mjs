// Who is connected, as the back end asks for it: needs the binary, WS_BIN; with several instances redis-server too.

import assert from "node:assert/strict";
import { once } from "node:events";
import { describe } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import WebSocket from "ws";
import { get } from "../support/back-end.mjs";
import { CLIENTS, openSocket, settled } from "../support/clients.mjs";
import { test } from "../../../../hd-ws-server/tests/conformance/support/limited-test.mjs";
import { Redis, withoutRedis } from "../support/redis.mjs";
import { startService, withoutBinary, withoutReference } from "../support/service.mjs";
import { newUser, tokenFor } from "../support/tokens.mjs";

const io4 = CLIENTS["socket.io-client 4.8"];
const skip = withoutBinary.skip || withoutReference.skip;
/** From the last sign of life to silence it is 7 s, and 15 s to the end. */
const PATIENCE = { timeout: 120_000 };

/** A client that is in; it does not come back, unless it is told to. */
async function client(t, service, user, transports = ["websocket"], options = {}) {
  return settled(openSocket(t, io4, service.url, { transports, auth: { token: tokenFor(user) }, ...options }), transports);
}

async function socketsOf(service, user) {
  const { status, json } = await get(`${service.url}/users/${user}/sockets`);
  assert.equal(status, 200);
  return json;
}

async function totals(service) {
  const { status, json } = await get(`${service.url}/sockets`);
  assert.equal(status, 200);
  return json;
}

/** Asks until the answer is right. */
async function until(ask, isRight) {
  for (;;) {
    const answer = await ask();
    if (isRight(answer)) {
      return answer;
    }
    await pause(20);
  }
}

describe("one instance", { concurrency: 3, skip }, () => {
  test("says who is connected, since when and by what", async (t) => {
    const before = Date.now();
    const service = await startService(t, { NODE_NAME: "alone" });
    const user = newUser();
    const polling = await client(t, service, user, ["polling"]);
    const websocket = await client(t, service, user);
    const plain = new WebSocket(`${service.url.replace("http", "ws")}/notifications?token=${tokenFor(user)}`);
    t.after(() => plain.close());
    await once(plain, "open");
    await client(t, service, newUser());

    const answer = await until(() => socketsOf(service, user), ({ count }) => count === 3);
    const { sockets, ...rest } = answer;
    assert.deepEqual(rest, { userId: user, connected: true, count: 3, partial: false, silent: [] });
    const known = new Map(sockets.map((socket) => [socket.transport, socket]));
    assert.equal(known.get("polling").id, polling.id);
    assert.equal(known.get("websocket").id, websocket.id);
    assert.ok(known.has("plain"));
    for (const { node, since } of sockets) {
      assert.equal(node, "alone");
      assert.match(since, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assert.ok(Date.parse(since) >= before - 1 && Date.parse(since) <= Date.now());
    }
    assert.deepEqual(await totals(service), {
      sockets: 4,
      users: 2,
      nodes: [{ node: "alone", sockets: 4, users: 2 }],
      partial: false,
      silent: [],
    });

    polling.disconnect();
    websocket.disconnect();
    plain.close();
    const gone = await until(() => socketsOf(service, user), ({ count }) => count === 0);
    assert.deepEqual(gone, { userId: user, connected: false, count: 0, sockets: [], partial: false, silent: [] });
  });

  test("knows nothing of a user who was never there, and refuses what is no user", async (t) => {
    const service = await startService(t);
    assert.deepEqual((await socketsOf(service, 9007199254740991)).count, 0);
    for (const id of ["x", "-1", "1.5", "042", "9007199254740992", "%34", ""]) {
      const { status, json } = await get(`${service.url}/users/${id}/sockets`);
      assert.deepEqual([status, json.error.code], [400, "invalid_user_id"], id);
    }
    for (const path of ["/users/1", "/users/1/2/sockets", "/sockets/"]) {
      assert.equal((await get(service.url + path)).status, 404, path);
    }
  });

  test("tells it to who may emit, and to nobody else", async (t) => {
    const service = await startService(t);
    for (const path of ["/users/1/sockets", "/users/x/sockets", "/sockets"]) {
      const url = service.url + path;
      const [missing, wrong] = [await get(url, { token: null }), await get(url, { token: "wrong" })];
      assert.deepEqual([missing.status, missing.json.error.code], [401, "missing_token"]);
      assert.deepEqual([wrong.status, wrong.json.error.code], [401, "invalid_token"]);
      const posted = await get(url, { method: "POST" });
      assert.deepEqual([posted.status, posted.headers.get("allow")], [405, "GET"]);
    }
    // Open emits open no presence: it has a token, or answers this machine only.
    const open = await startService(t, { EMIT_AUTH: "open" });
    assert.equal((await get(`${open.url}/sockets`, { token: null })).status, 401);
    assert.equal((await get(`${open.url}/sockets`)).status, 200);
    const local = await startService(t, { EMIT_AUTH: "open", EMIT_TOKEN: "" });
    assert.equal((await get(`${local.url}/sockets`, { token: null })).status, 200);
  });
});

/** Instances called a and b that share a Redis of their own. */
async function pair(t) {
  const redis = await Redis.start(t);
  // As if it had been in use for long. What an empty one knows is partial for 7 s.
  redis.command("HSET", "{help-desk-ws}:nodes", ".", "0");
  const start = (name) => startService(t, { REDIS_URL: redis.url, NODE_NAME: name });
  const [a, b] = await Promise.all([start("a"), start("b")]);
  return { redis, start, a, b };
}

/** `[node, sockets, users]` of each. */
const summary = ({ nodes }) => nodes.map(({ node, sockets, users }) => [node, sockets, users]);
const isWhole = ({ partial }) => !partial;

describe("several instances", { concurrency: 4, skip: skip || withoutRedis.skip }, () => {
  test("say of each other who is connected", async (t) => {
    const { a, b } = await pair(t);
    const user = newUser();
    const here = await client(t, a, user);
    const there = await client(t, b, user, ["polling", "websocket"]);
    await client(t, b, newUser());

    const both = await until(() => socketsOf(a, user), ({ sockets }) => sockets.filter(({ transport }) => transport === "websocket").length === 2);
    const places = both.sockets.map(({ id, node }) => [node, id]).sort();
    assert.deepEqual(places, [["a", here.id], ["b", there.id]]);
    assert.deepEqual([both.count, both.connected, both.partial, both.silent], [2, true, false, []]);
    await until(() => totals(a), ({ users }) => users === 3);
    assert.deepEqual(summary(await totals(a)), [["a", 1, 1], ["b", 2, 2]]);
    // Its own it knows at once.
    assert.deepEqual(summary(await totals(b))[0], ["b", 2, 2]);

    there.disconnect();
    await until(() => socketsOf(a, user), ({ count }) => count === 1);
    here.disconnect();
    await until(() => socketsOf(b, user), ({ connected }) => !connected);
  });

  test("name one that was killed as silent, and then forget it", PATIENCE, async (t) => {
    const { a, b } = await pair(t);
    const user = newUser();
    await client(t, b, user);
    await until(() => socketsOf(a, user), ({ count }) => count === 1);
    await b.kill();
    const silent = await until(() => socketsOf(a, user), ({ partial }) => partial);
    assert.deepEqual(silent, { userId: user, connected: false, count: 0, sockets: [], partial: true, silent: ["b"] });
    const sum = await totals(a);
    assert.deepEqual([sum.sockets, sum.silent, summary(sum)], [0, ["b"], [["a", 0, 0]]]);
    await until(() => totals(a), isWhole);
  });

  test("name one that stands still as silent, until it goes on", PATIENCE, async (t) => {
    const { a, b } = await pair(t);
    const user = newUser();
    await client(t, b, user);
    await until(() => socketsOf(a, user), ({ count }) => count === 1);
    b.pause();
    t.after(() => b.resume());
    const silent = await until(() => socketsOf(a, user), ({ partial }) => partial);
    assert.deepEqual([silent.count, silent.silent], [0, ["b"]]);
    // For longer than what it had written is kept.
    await until(() => totals(a), isWhole);
    b.resume();
    const back = await until(() => socketsOf(a, user), ({ count }) => count === 1);
    assert.deepEqual([back.partial, back.silent], [false, []]);
  });

  test("forget one at once that was stopped", async (t) => {
    const { a, b } = await pair(t);
    const user = newUser();
    await client(t, b, user);
    await until(() => socketsOf(a, user), ({ count }) => count === 1);
    assert.equal((await b.terminate()).code, 0);
    const left = await totals(a);
    assert.deepEqual([left.sockets, left.partial, summary(left)], [0, false, [["a", 0, 0]]]);
    assert.equal((await socketsOf(a, user)).connected, false);
  });

  test("say what they have themselves while Redis is away, and all once it is back", async (t) => {
    const { redis, a, b } = await pair(t);
    const user = newUser();
    await Promise.all([client(t, a, user), client(t, b, user)]);
    await until(() => socketsOf(a, user), ({ count }) => count === 2);

    await redis.kill();
    const started = performance.now();
    const away = await socketsOf(a, user);
    assert.ok(performance.now() - started < 2_000);
    assert.deepEqual([away.count, away.sockets[0].node, away.partial, away.silent, away.redis], [1, "a", true, [], "away"]);
    const sum = await totals(b);
    assert.deepEqual([sum.partial, sum.redis, summary(sum)], [true, "away", [["b", 1, 1]]]);
    // Who comes meanwhile is told when it is back.
    await client(t, b, user);

    await redis.startAgain();
    const back = await until(() => socketsOf(a, user), ({ count }) => count === 3);
    assert.deepEqual([back.partial, back.redis], [false, undefined]);
    await until(() => totals(a), ({ sockets }) => sockets === 3);
  });

  test("tell a Redis that has lost everything all that they have, and until then that it is new", PATIENCE, async (t) => {
    const { redis, a, b } = await pair(t);
    const user = newUser();
    // All clients are closed then, and told when they come back.
    const returning = { reconnection: true, reconnectionDelay: 50 };
    await Promise.all([a, b].map((service) => client(t, service, user, ["websocket"], returning)));
    await until(() => socketsOf(a, user), ({ count }) => count === 2);
    await redis.kill();
    // Not before everyone must have noticed.
    const started = performance.now();
    await redis.startEmpty();
    const fresh = await until(() => socketsOf(a, user), ({ redis }) => redis === "new");
    assert.ok(fresh.partial);
    const back = await until(() => socketsOf(a, user), ({ partial, count }) => !partial && count === 2);
    assert.ok(performance.now() - started > 6_000);
    assert.deepEqual(back.sockets.map(({ node }) => node).sort(), ["a", "b"]);
  });

  test("have an answer soon while Redis stands still", async (t) => {
    const { redis, a } = await pair(t);
    const user = newUser();
    await client(t, a, user);
    redis.pause();
    const started = performance.now();
    const still = await socketsOf(a, user);
    assert.ok(performance.now() - started < 2_000);
    assert.deepEqual([still.count, still.partial, still.redis], [1, true, "away"]);
  });
});

// Alone: it keeps this process busy.
describe("many clients", { skip: skip || withoutRedis.skip }, () => {
  test("are counted, though three thousand come and go in a moment", PATIENCE, async (t) => {
    const { redis, a, b } = await pair(t);
    const users = Array.from({ length: 1500 }, newUser);
    // A busy machine may not let so many in within the 20 s after which a client tries again, if it is to.
    const patient = { timeout: 100_000, reconnection: true };
    const open = (user) => openSocket(t, io4, b.url, { transports: ["websocket"], auth: { token: tokenFor(user) }, ...patient });
    const sockets = [...users, ...users].map(open);
    // Users are told in parts of a thousand, and with each part how many sockets there are by then.
    const sum = await until(() => totals(a), (answer) => answer.sockets === 3000 && answer.users === 1500);
    assert.equal(sum.partial, false);
    await until(() => socketsOf(a, users[7]), ({ count }) => count === 2);
    sockets.forEach((socket) => socket.disconnect());
    await until(() => totals(a), (answer) => answer.sockets === 0 && answer.users === 0);
    // Not a command for each: the script that writes sets its own fields, and its sign of life.
    const [, calls] = /cmdstat_hset:calls=(\d+)/.exec(redis.command("INFO", "commandstats"));
    assert.ok(calls / 2 < 200, `${calls / 2} writes`);
  });
});
