// Several instances that share a log in Redis: needs the binary, WS_BIN, and redis-server.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";
import { ROUTES, emit, post } from "../support/back-end.mjs";
import { CLIENTS, TRANSPORTS, openSocket, received, settled } from "../support/clients.mjs";
import { test } from "../../../../hd-ws-server/tests/conformance/support/limited-test.mjs";
import { Redis, RedisCluster, certificate, withoutRedis } from "../support/redis.mjs";
import { ahead, withoutCompiler } from "../support/clock.mjs";
import { GREATEST, LOG, TRIMMED, append, sign } from "../support/shared-log.mjs";
import { JWT_SECRET, beginService, startService, withoutBinary, withoutReference } from "../support/service.mjs";
import { newUser, tokenFor } from "../support/tokens.mjs";

/** The answer to an emit that Redis did not take, whatever it said. */
const NOT_KEPT = "the event could not be kept in Redis; retry it under the same id";
const options = { concurrency: 3, skip: withoutBinary.skip || withoutReference.skip || withoutRedis.skip };
const io4 = CLIENTS["socket.io-client 4.8"];

/** Instances that share a Redis of their own. */
async function cluster(t, count, env = {}) {
  const redis = await Redis.start(t);
  const start = () => startService(t, { REDIS_URL: redis.url, ...env });
  return { redis, start, services: await Promise.all(Array.from({ length: count }, start)) };
}

/** A client of an instance, and every number that it gets. */
async function numbered(t, service, user, transports = ["websocket"]) {
  const socket = openSocket(t, io4, service.url, {
    transports,
    reconnection: true,
    reconnectionDelay: 50,
    reconnectionDelayMax: 100,
    auth: { token: tokenFor(user) },
  });
  const numbers = [];
  socket.on("number", (number) => numbers.push(number));
  await settled(socket, transports);
  return { socket, numbers };
}

/** Resolves once a client has so many numbers. */
async function have({ socket, numbers }, count) {
  while (numbers.length < count) {
    await received(socket, "number");
  }
}

/** Emits a number: the answer. */
function number(service, user, value, id) {
  const headers = id === undefined ? {} : { "Idempotency-Key": id };
  return post(`${service.url}/emit`, ROUTES["/emit"](user, "number", value), { headers });
}

const range = (to) => Array.from({ length: to }, (_, index) => index + 1);

describe("several instances", options, () => {
  test("bring each event to the clients of all, in one order", async (t) => {
    const { services } = await cluster(t, 3);
    const user = newUser();
    const clients = await Promise.all(services.map((service) => numbered(t, service, user)));
    for (const value of range(30)) {
      assert.equal((await number(services[value % 3], user, value)).status, 201);
    }
    for (const client of clients) {
      await have(client, 30);
      assert.deepEqual(client.numbers, range(30));
    }
  });

  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    test(`send a client of one that was killed what it missed, over ${name}`, async (t) => {
      const { services: [first, second] } = await cluster(t, 2);
      const user = newUser();
      const client = await numbered(t, first, user, transports);
      await emit(second.url, user, "number", 1);
      await have(client, 1);
      const id = client.socket.id;
      const [gone, back] = [received(client.socket, "disconnect"), received(client.socket, "connect")];
      client.socket.io.uri = second.url;
      await first.kill();
      await gone;
      for (const value of [2, 3, 4]) {
        await emit(second.url, user, "number", value);
      }
      await back;
      await have(client, 4);
      assert.deepEqual([client.numbers, client.socket.recovered, client.socket.id], [range(4), true, id]);
    });
  }

  test("send a client what it missed, though it comes to one that has just begun", async (t) => {
    const { services: [first], start } = await cluster(t, 1);
    const user = newUser();
    const client = await numbered(t, first, user);
    await emit(first.url, user, "number", 1);
    await have(client, 1);
    const [gone, back] = [received(client.socket, "disconnect"), received(client.socket, "connect")];
    // Nobody is there, until the other one has begun.
    client.socket.io.uri = "http://127.0.0.1:1";
    client.socket.io.engine.close();
    await gone;
    for (const value of [2, 3]) {
      await emit(first.url, user, "number", value);
    }
    const second = await start();
    await first.kill();
    client.socket.io.uri = second.url;
    await back;
    await have(client, 3);
    assert.deepEqual([client.numbers, client.socket.recovered], [range(3), true]);
  });

  test("carry out an id once, whichever it comes to", async (t) => {
    const { services } = await cluster(t, 3);
    const user = newUser();
    const client = await numbered(t, services[0], user);
    const answers = await Promise.all(Array.from({ length: 30 }, (_, turn) => number(services[turn % 3], user, 1, `id-of-${user}`)));
    for (const { status, json } of answers) {
      assert.deepEqual([status, json.accepted], [201, true]);
    }
    await number(services[1], user, 2);
    await have(client, 2);
    assert.deepEqual(client.numbers, [1, 2]);
  });

  test("answer for their own sockets, and count what each delivers", async (t) => {
    const { services: [first, second] } = await cluster(t, 2);
    const user = newUser();
    const clients = [await numbered(t, second, user), await numbered(t, second, user)];
    const accepted = await number(first, user, 1, `id-of-${user}`);
    assert.deepEqual(accepted.json, { success: true, accepted: true, deliveredLocally: 0 });
    const duplicate = await number(second, user, 1, `id-of-${user}`);
    assert.deepEqual(duplicate.json, { success: true, accepted: true, duplicate: true });
    assert.equal((await number(second, user, 2)).json.deliveredLocally, 2);
    await Promise.all(clients.map((client) => have(client, 2)));
    const deliveries = async ({ url }) => Number(/^helpdesk_ws_deliveries_total (\d+)$/m.exec(await (await fetch(`${url}/metrics`)).text())[1]);
    assert.deepEqual([await deliveries(first), await deliveries(second)], [0, 4]);
  });

  test("send a plain WebSocket what it missed, though it reconnects to another one", async (t) => {
    const { services: [first, second] } = await cluster(t, 2);
    const user = newUser();
    const frames = [];
    let changed = () => {};
    const open = (service, place) => {
      const query = new URLSearchParams({ token: tokenFor(user), recovery: 1, ...place });
      const socket = new WebSocket(`${service.url.replace("http", "ws")}/notifications?${query}`);
      t.after(() => socket.terminate());
      socket.on("message", (data) => {
        frames.push(JSON.parse(data));
        changed();
      });
      return socket;
    };
    const until = async (count) => {
      while (frames.length < count) {
        await new Promise((resolve) => (changed = resolve));
      }
    };
    const before = open(first);
    await until(1);
    before.terminate();
    const [{ data: { pid, offset } }] = frames.splice(0);
    for (const value of [1, 2]) {
      await number(first, user, value);
    }
    open(second, { pid, offset });
    await number(second, user, 3);
    await until(4);
    const [state, ...events] = frames;
    assert.deepEqual([state.event, state.data.recovered, state.data.pid], ["recovery:state", true, pid]);
    assert.deepEqual(events.map(({ data }) => data), [1, 2, 3]);
  });

  test("refuse emits while Redis is away, keep their clients, and go on when it is back", async (t) => {
    const { redis, services } = await cluster(t, 2);
    const user = newUser();
    const client = await numbered(t, services[0], user);
    await number(services[1], user, 1);
    await have(client, 1);

    await redis.kill();
    const refused = await number(services[1], user, 2, `retry-of-${user}`);
    assert.deepEqual([refused.status, refused.json.error.code, refused.headers.get("retry-after")], [503, "log_unavailable", "1"]);
    assert.equal(refused.json.error.message, NOT_KEPT);
    await services[1].logged(/\[Cluster\] Redis does not answer: .+; emits are answered with 503 until it does/);
    const ready = await fetch(`${services[1].url}/readyz`);
    assert.deepEqual([ready.status, await ready.json()], [200, { status: "degraded" }]);
    const other = await numbered(t, services[1], user);

    await redis.startAgain();
    let answer = await number(services[1], user, 2, `retry-of-${user}`);
    while (answer.status === 503) {
      answer = await number(services[1], user, 2, `retry-of-${user}`);
    }
    assert.equal(answer.status, 201);
    await Promise.all([have(client, 2), have(other, 1)]);
    assert.deepEqual([client.numbers, other.numbers, client.socket.connected], [[1, 2], [2], true]);
    await services[1].logged(/\[Cluster\] Redis answers again/);
  });

  test("refuse emits while the memory of Redis is full, and warn of one that would make room", async (t) => {
    const { redis, services: [service], start } = await cluster(t, 1);
    const user = newUser();
    const client = await numbered(t, service, user);
    await number(service, user, 1);
    await have(client, 1);

    redis.command("CONFIG", "SET", "maxmemory", "1");
    const refused = await number(service, user, 2, `retry-of-${user}`);
    assert.deepEqual([refused.status, refused.json.error.code], [503, "log_unavailable"]);
    // What Redis said is in the log only.
    assert.equal(refused.json.error.message, NOT_KEPT);
    await service.logged(/Event not kept: .*OOM/);
    redis.command("CONFIG", "SET", "maxmemory", "100mb");
    assert.equal((await number(service, user, 2, `retry-of-${user}`)).status, 201);
    await have(client, 2);
    assert.deepEqual([client.numbers, client.socket.connected], [[1, 2], true]);

    assert.doesNotMatch(service.output, /of its own accord/);
    redis.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru");
    const second = await start();
    await second.logged(/Redis drops events and ids of its own accord .*policy=volatile-lru/);
  });

  test("tell a client from before when the one that it comes to knows nothing of then", async (t) => {
    const { redis, services: [first], start } = await cluster(t, 1);
    const user = newUser();
    const client = await numbered(t, first, user);
    await emit(first.url, user, "number", 1);
    await have(client, 1);
    const [gone, back] = [received(client.socket, "disconnect"), received(client.socket, "connect")];
    client.socket.io.uri = "http://127.0.0.1:1";
    await first.kill();
    await gone;
    await redis.kill();
    await redis.startEmpty();
    const second = await start();
    client.socket.io.uri = second.url;
    await back;
    assert.equal(client.socket.recovered, false);
    await second.logged(/Client may have missed events: .* reason=other_log/);
  });

  test("refuse the rest of a batch once Redis has not kept an item", async (t) => {
    const { redis, services: [service] } = await cluster(t, 1);
    await redis.kill();
    // If each waited for Redis, they would take two minutes.
    const items = Array.from({ length: 60 }, (_, index) => ROUTES["/emit"](newUser(), "number", index));
    const { status, json } = await post(`${service.url}/emit/batch`, { items });
    assert.equal(status, 207);
    assert.deepEqual(json.results.map(({ error }) => error.code), items.map(() => "log_unavailable"));
  });

  test("tell everyone when Redis has lost what it had, and go on", async (t) => {
    const { redis, services } = await cluster(t, 2);
    const user = newUser();
    const clients = await Promise.all(services.map((service) => numbered(t, service, user)));
    await number(services[0], user, 1);
    await Promise.all(clients.map((client) => have(client, 1)));
    const told = clients.map(async ({ socket }) => {
      const [[reason]] = await Promise.all([received(socket, "disconnect"), received(socket, "connect")]);
      return [reason, socket.recovered];
    });
    await redis.kill();
    await redis.startEmpty();
    assert.deepEqual(await Promise.all(told), services.map(() => ["transport close", false]));
    await number(services[1], user, 2);
    for (const client of clients) {
      await have(client, 2);
      assert.deepEqual(client.numbers, [1, 2]);
    }
  });

  test("bring a volatile event to the clients of all that are there, and to nobody later", async (t) => {
    const { services } = await cluster(t, 2);
    const user = newUser();
    const volatile = (service, value) => post(`${service.url}/emit`, { ...ROUTES["/emit"](user, "number", value), volatile: true });
    const [here, away] = await Promise.all(services.map((service) => numbered(t, service, user)));
    await volatile(services[0], 1);
    await Promise.all([have(here, 1), have(away, 1)]);

    const [gone, back] = [received(away.socket, "disconnect"), received(away.socket, "connect")];
    away.socket.io.uri = "http://127.0.0.1:1";
    away.socket.io.engine.close();
    await gone;
    assert.equal((await volatile(services[1], 2)).status, 201);
    await have(here, 2);
    await number(services[1], user, 3);
    away.socket.io.uri = services[1].url;
    await back;
    await Promise.all([have(here, 3), have(away, 2)]);
    assert.deepEqual([here.numbers, away.numbers, away.socket.recovered], [[1, 2, 3], [1, 3], true]);
  });

  test("bring a volatile event to who is at the process that takes it while Redis is away", async (t) => {
    const { redis, services } = await cluster(t, 1);
    const user = newUser();
    const client = await numbered(t, services[0], user);
    await redis.kill();
    await services[0].logged(/\[Cluster\] Redis does not answer/);
    const answer = await post(`${services[0].url}/emit`, { ...ROUTES["/emit"](user, "number", 1), volatile: true });
    assert.deepEqual([answer.status, answer.json.deliveredLocally], [201, 1]);
    await have(client, 1);
  });

  test("accept emits for their own clients while Redis is away, where that is wanted", async (t) => {
    const { redis, services: [first, second] } = await cluster(t, 2, { EMIT_WITHOUT_REDIS: "accept-local" });
    const user = newUser();
    const [here, there] = [await numbered(t, first, user), await numbered(t, second, user)];
    const taken = await number(first, user, 1, `id-of-${user}`);
    assert.deepEqual([taken.status, taken.json.accepted], [201, true]);
    await Promise.all([have(here, 1), have(there, 1)]);

    await redis.kill();
    await first.logged(/\[Cluster\] Redis does not answer: .+; emits reach the clients of this instance only until it does/);
    const { status, json } = await number(first, user, 2, `other-id-of-${user}`);
    assert.deepEqual([status, json], [201, { success: true, accepted: false, deliveredLocally: 1 }]);
    const item = ROUTES["/emit"](user, "number", 3);
    const batch = await post(`${first.url}/emit/batch`, { items: [item, item] });
    assert.deepEqual([batch.status, batch.json.results], [201, [json, json]]);
    await have(here, 4);
    const metrics = await (await fetch(`${first.url}/metrics`)).text();
    assert.match(metrics, /^helpdesk_ws_emits_total\{result="local"\} 3$/m);
    assert.match(metrics, /^helpdesk_ws_emits_total\{result="accepted"\} 1$/m);

    await redis.startAgain();
    let back = await number(first, user, 4);
    while (!back.json.accepted) {
      back = await number(first, user, 4);
    }
    await have(there, 2);
    // Nothing of it was kept.
    assert.deepEqual(there.numbers, [1, 4]);
    assert.deepEqual(here.numbers.slice(0, 4), [1, 2, 3, 3]);
    // Sampled, as every kind of line.
    assert.ok(first.output.match(/Emitted to the clients of this process only/g).length >= 3);
  });

  test("refuse an emit that Redis was asked to keep and gave no answer to, also where others are accepted", async (t) => {
    const { redis, services: [service] } = await cluster(t, 1, { EMIT_WITHOUT_REDIS: "accept-local" });
    const user = newUser();
    const client = await numbered(t, service, user);
    // Redis knows the script from now on: what it is asked meanwhile it carries out.
    await number(service, user, 0);
    redis.pause();
    const asked = await number(service, user, 1);
    assert.deepEqual([asked.status, asked.json.error.code], [503, "log_unavailable"]);
    await service.logged(/\[Cluster\] Redis does not answer/);
    const { json } = await number(service, user, 2);
    assert.deepEqual([json.accepted, json.deliveredLocally], [false, 1]);
    // It had been kept, and comes now, once.
    redis.resume();
    await have(client, 3);
    let back = await number(service, user, 3);
    while (!back.json.accepted) {
      back = await number(service, user, 3);
    }
    while (client.numbers.at(-1) !== 3) {
      await received(client.socket, "number");
    }
    assert.deepEqual(client.numbers.filter((value) => value < 3), [0, 2, 1]);
  });

  test("remember an id for IDEMPOTENCY_TTL", async (t) => {
    const { redis, services: [service] } = await cluster(t, 1, { IDEMPOTENCY_TTL: "10m" });
    await number(service, newUser(), 1, "kept-for-ten-minutes");
    // The ids of ten minutes are in one hash, which is looked into for ten minutes more.
    const bucket = redis.command("KEYS", "{help-desk-ws}:ids:*").trim();
    const number_of_bucket = Number(bucket.split(":ids:")[1]);
    assert.ok(Math.abs(number_of_bucket - Date.now() / 600_000) < 2, bucket);
    assert.equal(redis.command("HEXISTS", bucket, "kept-for-ten-minutes").trim(), "1");
    const left = Number(redis.command("PTTL", bucket));
    assert.ok(left > 1_200_000, `${left} ms`);
  });
});

/** Resolves to why a client lost its connection, and whether it then recovered. */
async function reconnected({ socket }) {
  const [[reason]] = await Promise.all([received(socket, "disconnect"), received(socket, "connect")]);
  return [reason, socket.recovered];
}

/** What an instance counts. */
async function metric(service, name) {
  const metrics = await (await fetch(`${service.url}/metrics`)).text();
  return Number(metrics.split("\n").find((line) => line.startsWith(`helpdesk_ws_${name} `))?.split(" ").at(-1));
}

const rejected = (service, reason) => metric(service, `log_records_rejected_total{reason="${reason}"}`);
const record = (user, value, more = {}) => JSON.stringify({ event: "number", payload: value, rooms: [`user_${user}`], ...more });

/** Disconnects clients from all instances: a function that has them connect to one, and says which of them recovered. */
async function away(clients) {
  const gone = clients.map(({ socket }) => received(socket, "disconnect"));
  for (const { socket } of clients) {
    socket.io.uri = "http://127.0.0.1:1";
    socket.io.engine.close();
  }
  await Promise.all(gone);
  return async (service) => {
    const back = clients.map(({ socket }) => received(socket, "connect"));
    for (const { socket } of clients) {
      socket.io.uri = service.url;
    }
    await Promise.all(back);
    return clients.map(({ socket }) => socket.recovered);
  };
}

/** Appends more records than the bounds of the log allow for. */
const trimmed = (redis, text) => append(redis, [[text, sign(text)]], 1100);

/** Resolves once an instance has trimmed something of a room. */
async function remembered(redis, room) {
  while (redis.command("HEXISTS", TRIMMED, room).trim() !== "1") {
    await delay(100);
  }
}

describe("the log of several instances", options, () => {
  test("has each payload as one instance without a log would send it", async (t) => {
    const alone = await startService(t);
    const { services: [first, second] } = await cluster(t, 2);
    // Without binary data nothing is a placeholder to a client.
    const payloads = [null, false, 0, "", [], {}, { a: null }, { _placeholder: true, num: 0 }, { a: { _placeholder: true } }];
    for (const [emitter, place] of [[alone, alone], [first, second]]) {
      const user = newUser();
      const { socket } = await numbered(t, place, user);
      for (const payload of payloads) {
        const got = received(socket, "payload");
        const { status } = await post(`${emitter.url}/emit`, ROUTES["/emit"](user, "payload", payload));
        assert.deepEqual([status, await got], [201, [payload]]);
      }
      assert.ok(socket.connected);
    }
  });

  test("is another one when Redis and all instances die and Redis returns with an older copy", async (t) => {
    const { redis, start, services: [first] } = await cluster(t, 1);
    const user = newUser();
    const client = await numbered(t, first, user);
    await number(first, user, 1);
    await have(client, 1);
    const [gone, back] = [received(client.socket, "disconnect"), received(client.socket, "connect")];
    client.socket.io.uri = "http://127.0.0.1:1";
    client.socket.io.engine.close();
    await gone;
    redis.backUp();
    // It is acknowledged, and nobody has it.
    assert.equal((await number(first, user, 2)).status, 201);
    await Promise.all([first.kill(), redis.kill()]);
    await redis.startFromBackup();
    const second = await start();
    client.socket.io.uri = second.url;
    await back;
    assert.equal(client.socket.recovered, false);
    await number(second, user, 3);
    await have(client, 2);
    assert.deepEqual(client.numbers, [1, 3]);
  });

  test("is another one when a client proves that Redis has lost its end", async (t) => {
    const { redis, start, services: [first] } = await cluster(t, 1);
    const user = newUser();
    await number(first, user, 1);
    redis.backUp();
    await number(first, user, 2);
    // Its place is after what will be lost.
    const client = await numbered(t, first, user);
    client.socket.io.uri = "http://127.0.0.1:1";
    await Promise.all([first.kill(), redis.kill()]);
    await redis.startFromBackup();
    // As where nobody may ask Redis which one it is.
    redis.command("DEL", "{help-desk-ws}:server");
    const second = await start();
    const other = await numbered(t, second, user);
    const notified = reconnected(other);
    let isProven = false;
    const proven = second.logged(/Redis has lost events that a client has received; another log begins/).then(() => (isProven = true));
    client.socket.io.uri = second.url;
    while (!isProven) {
      await Promise.race([proven, received(client.socket, "connect")]);
      if (!isProven) {
        // It was let in before the end was known, for it waits two seconds at most, and returns with the same place.
        client.socket.io.engine.close();
      }
    }
    while (!client.socket.connected || client.socket.recovered) {
      await received(client.socket, "connect");
    }
    assert.deepEqual(await notified, ["transport close", false]);
    while (!client.numbers.includes(3)) {
      await number(second, user, 3);
    }
  });

  test("stays when Redis alone dies and returns with all that it had", async (t) => {
    const { redis, start, services: [first] } = await cluster(t, 1);
    const user = newUser();
    const client = await numbered(t, first, user);
    await number(first, user, 1);
    await have(client, 1);
    await redis.kill();
    await redis.startAgain();
    await first.logged(/\[Cluster\] Redis answers again/);
    const second = await start();
    const back = reconnected(client);
    client.socket.io.uri = second.url;
    client.socket.io.engine.close();
    assert.deepEqual(await back, ["forced close", true]);
    await number(first, user, 2);
    await have(client, 2);
    assert.deepEqual(client.numbers, [1, 2]);
  });

  test("is read within REPLAY_MAX_TOTAL_BYTES when an instance starts", { timeout: 120_000 }, async (t) => {
    const { redis, services: [first], start } = await cluster(t, 1, { REPLAY_MAX_TOTAL_BYTES: String(8 * 1024 * 1024) });
    const before = first.peakMemory;
    await first.terminate();
    const fill = "x".repeat(8000);
    const records = range(40).map((user) => record(user, fill)).map((text) => [text, sign(text)]);
    for (let batch = 0; batch < 10; batch += 1) {
      append(redis, records.slice(batch * 4, batch * 4 + 4), 2000);
    }
    const second = await start();
    await second.logged(/Sharing a log in Redis.*events=20000/);
    const more = second.peakMemory - before;
    // 160 MB are there.
    assert.ok(more < 32 * 1024 * 1024, `${more} bytes more than with an empty log, ${before}`);
    t.diagnostic(`${(more / 1048576).toFixed(1)} MiB more than the ${(before / 1048576).toFixed(1)} MiB with an empty log`);
  });

  for (const seconds of [120, -120]) {
    test(`has the time of Redis at an instance that is ${seconds} s ahead`, withoutCompiler, async (t) => {
      const { services: [service] } = await cluster(t, 1, ahead(t, seconds));
      const user = newUser();
      const client = await numbered(t, service, user);
      await number(service, user, 1);
      await have(client, 1);
      const [gone, back] = [received(client.socket, "disconnect"), received(client.socket, "connect")];
      client.socket.io.uri = "http://127.0.0.1:1";
      client.socket.io.engine.close();
      await gone;
      const emit = (value, ttl) => post(`${service.url}/emit`, { ...ROUTES["/emit"](user, "number", value), ttl });
      assert.equal((await emit(2, 60)).status, 201);
      assert.equal((await emit(3, 1)).status, 201);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      client.socket.io.uri = service.url;
      await back;
      await number(service, user, 4);
      await have(client, 3);
      // What was worth a second is over.
      assert.deepEqual([client.numbers, client.socket.recovered], [[1, 2, 4], true]);
    });
  }

  test("has a gap where a record is of a later version", async (t) => {
    const { redis, services: [service], start } = await cluster(t, 1);
    const user = newUser();
    const client = await numbered(t, service, user);
    await number(service, user, 1);
    await have(client, 1);
    const back = reconnected(client);
    const newer = record(user, 2, { v: 2 });
    append(redis, [[newer, sign(newer)]]);
    assert.deepEqual(await back, ["transport close", false]);
    await number(service, user, 3);
    await have(client, 2);
    assert.deepEqual([client.numbers, await rejected(service, "newer_version")], [[1, 3], 1]);
    // One that starts knows no more of what is before it.
    const second = await start();
    assert.equal(await rejected(second, "newer_version"), 1);
    const same = record(user, 4, { v: 1, later: "ignored" });
    append(redis, [[same, sign(same)]]);
    await have(client, 3);
    assert.deepEqual(client.numbers, [1, 3, 4]);
  });

  for (const [bound, env] of [["age", { REPLAY_TTL: "3s" }], ["number", { REPLAY_STREAM_EVENTS: "1000" }]]) {
    test(`is remembered for each room where it was trimmed by ${bound}, also by an instance that has just begun`, async (t) => {
      const { redis, services: [first], start } = await cluster(t, 1, env);
      const [quiet, busy] = [newUser(), newUser()];
      const clients = await Promise.all([quiet, busy].map((user) => numbered(t, first, user)));
      await number(first, quiet, 1);
      await have(clients[0], 1);
      const back = await away(clients);
      trimmed(redis, record(busy, 666));
      await remembered(redis, `user_${busy}`);
      const second = await start();
      await first.kill();
      await number(second, quiet, 2);
      assert.deepEqual(await back(second), [true, false]);
      await have(clients[0], 2);
      assert.deepEqual(clients[0].numbers, [1, 2]);

      const again = await away(clients);
      trimmed(redis, record(busy, 666, { rooms: [] }));
      await remembered(redis, "");
      const third = await start();
      await second.kill();
      // What was trimmed was for everyone.
      assert.deepEqual(await again(third), [false, false]);
    });
  }

  test("has no record that an instance has not signed", async (t) => {
    const { redis, services: [service] } = await cluster(t, 1);
    const user = newUser();
    const client = await numbered(t, service, user);
    const text = record(user, 666);
    for (const [reason, code] of [["unsigned", undefined], ["forged", sign(text, "another secret of thirty-two bytes")]]) {
      const back = reconnected(client);
      append(redis, [[text, code]]);
      assert.deepEqual(await back, ["transport close", false]);
      assert.equal(await rejected(service, reason), 1);
    }
    await number(service, user, 1);
    await have(client, 1);
    assert.deepEqual(client.numbers, [1]);
    await service.logged(/Rejected an entry of the log in Redis.*reason=forged/);
  });

  test("has records of the release before where REDIS_UNSIGNED_RECORDS accepts them", async (t) => {
    const { redis, services: [service] } = await cluster(t, 1, { REDIS_UNSIGNED_RECORDS: "accept" });
    const user = newUser();
    const client = await numbered(t, service, user);
    append(redis, [[record(user, 1)]]);
    await number(service, user, 2);
    await have(client, 2);
    assert.deepEqual([client.numbers, client.socket.connected], [[1, 2], true]);
  });

  test("is read by instances with the old and the new JWT_SECRET while it is changed", async (t) => {
    const redis = await Redis.start(t);
    const next = "the secret after it, of 32 bytes and more";
    const env = { REDIS_URL: redis.url };
    const first = await startService(t, env);
    const second = await startService(t, { ...env, JWT_SECRET: next, JWT_SECRET_PREVIOUS: JWT_SECRET });
    const user = newUser();
    const clients = await Promise.all([first, second].map((service) => numbered(t, service, user)));
    await number(first, user, 1);
    await number(second, user, 2);
    // Later, tokens of the old secret have expired.
    const third = await startService(t, { ...env, JWT_SECRET: next });
    await number(second, user, 3);
    for (const client of clients) {
      await have(client, 3);
      assert.deepEqual([client.numbers, client.socket.connected], [[1, 2, 3], true]);
    }
    // What only the old secret signed is too old to be missed then.
    assert.deepEqual(await Promise.all([first, second, third].map((service) => rejected(service, "forged"))), [0, 0, 1]);
  });

  test("goes on past entries that nobody can read", async (t) => {
    const { redis, services: [first, second] } = await cluster(t, 2);
    const user = newUser();
    const client = await numbered(t, first, user);
    let count = 0;
    for (const fields of [
      ["anything", "at all"],
      ["l", "x", "p", "0-1", "r", record(user, 666)],
      ["l", GREATEST, "p", "0-1", "r", record(user, 666)],
      ["l", "1", "p", `${GREATEST}-${GREATEST}`, "r", record(user, 666)],
    ]) {
      redis.command("XADD", LOG, "*", ...fields);
      count += 1;
      assert.equal((await number(second, user, count)).status, 201, fields.join(" "));
      await have(client, count);
    }
    assert.deepEqual([client.numbers, client.socket.connected], [range(count), true]);
    assert.equal(await rejected(first, "malformed"), count);
  });

  test("is another one after an id that no id follows", async (t) => {
    const { redis, services: [service] } = await cluster(t, 1);
    const user = newUser();
    const client = await numbered(t, service, user);
    const back = reconnected(client);
    redis.command("XADD", LOG, `${GREATEST}-${GREATEST}`, "l", "1", "p", "0-1", "r", record(user, 666));
    assert.equal((await number(service, user, 1)).status, 201);
    assert.deepEqual(await back, ["transport close", false]);
    await number(service, user, 2);
    while (client.numbers.at(-1) !== 2) {
      await received(client.socket, "number");
    }
  });
});

describe("several instances at a Redis Cluster by TLS", options, () => {
  test("trust the authority in SSL_CERT_FILE, and nobody else", { timeout: 40_000 }, async (t) => {
    // It takes some seconds until three masters know each other.
    const tls = certificate(t);
    const redis = await RedisCluster.start(t, tls);
    const env = { REDIS_URL: redis.url, SSL_CERT_FILE: tls.authority, REDIS_PUBSUB: "auto" };
    const services = await Promise.all([startService(t, env), startService(t, env)]);
    const user = newUser();
    const clients = await Promise.all(services.map((service) => numbered(t, service, user)));
    for (const value of range(10)) {
      assert.equal((await number(services[value % 2], user, value)).status, 201);
    }
    for (const client of clients) {
      await have(client, 10);
      assert.deepEqual(client.numbers, range(10));
    }
    // Channels of slots at three masters, by TLS as well.
    const channels = redis.nodes.flatMap((node) => node.command("PUBSUB", "SHARDCHANNELS").split("\n").filter((name) => name !== ""));
    assert.ok(channels.includes(`socket.io#/notifications#user_${user}#`), channels.join());
    await beginService(t, { REDIS_URL: redis.url }).logged(/Waiting for Redis before the service starts.*UnknownIssuer/);
  });
});
