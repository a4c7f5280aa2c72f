// Pages that poll, through proxies that lose answers and repeat polls: needs the binary, WS_BIN.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { describe } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { emit } from "../support/back-end.mjs";
import { CLIENTS, connected, openSocket, received } from "../support/clients.mjs";
import { test } from "../../../../hd-ws-server/tests/conformance/support/limited-test.mjs";
import { LossyProxy, ResettingNetwork } from "../support/lossy-proxy.mjs";
import { startNginx, withoutNginx } from "../support/nginx.mjs";
import { Redis, withoutRedis } from "../support/redis.mjs";
import { startService, withoutBinary, withoutReference } from "../support/service.mjs";
import { newUser, tokenFor } from "../support/tokens.mjs";

const options = { concurrency: 2, skip: withoutBinary.skip || withoutReference.skip };
const io4 = CLIENTS["socket.io-client 4.8"];
const io2 = createRequire(import.meta.url)("sio2");
const back = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50 };
/** Numbers for one page: fewer than REPLAY_MAX_EVENTS. */
const COUNT = 200;
/** Numbers for each of many pages. */
const FEW = 100;

/** A page, every number that it shows, and how its connections were. */
async function openPage(t, url, user, transports = ["polling"]) {
  const socket = openSocket(t, io4, url, { transports, ...back, auth: { token: tokenFor(user) } });
  const page = { socket, numbers: [], recovered: [], reasons: [] };
  socket.on("number", (number) => page.numbers.push(number));
  socket.on("connect", () => page.recovered.push(socket.recovered));
  socket.on("disconnect", (reason) => page.reasons.push(reason));
  await connected(socket);
  return page;
}

/** Emits the numbers up to `last`, at a pace at which pages poll in between. */
async function emitNumbers(service, user, last, pause = 5) {
  for (let number = 1; number <= last; number += 1) {
    await emit(service.url, user, "number", number);
    await sleep(pause);
  }
}

/** Resolves once the page shows this number. */
async function shows({ socket, numbers }, last) {
  while (!numbers.includes(last)) {
    await received(socket, "number");
  }
}

const range = (to) => Array.from({ length: to }, (_, index) => index + 1);

/** Each number was shown once and in order, and the page was never told that it missed something. */
function assertComplete(page, last) {
  const missing = range(last).filter((number) => !page.numbers.includes(number));
  const repeated = page.numbers.filter((number, at) => page.numbers.indexOf(number) !== at);
  assert.deepEqual({ missing, repeated }, { missing: [], repeated: [] });
  assert.deepEqual(page.numbers, range(last), "out of order");
  assert.deepEqual([...new Set(page.recovered.slice(1))].filter((recovered) => !recovered), []);
}

/** Resolves when the transport of each page was closed. */
function closesOf(pages) {
  return Promise.all(pages.map(({ socket }) => received(socket, "disconnect")));
}

/** As `assertComplete`, of pages whose transports were closed: they show one number more than they were sent until then. */
async function assertMovedPagesComplete(service, users, pages) {
  // Whatever a page shows at its connect, it shows before the number that is emitted now.
  await Promise.all(pages.map(({ socket }) => socket.connected || connected(socket)));
  await Promise.all(users.map((user) => emit(service.url, user, "number", FEW + 1)));
  for (const page of pages) {
    await shows(page, FEW + 1);
    assertComplete(page, FEW + 1);
    assert.deepEqual([...new Set(page.reasons)], ["transport close"]);
  }
}

describe("a poll whose answer is lost and that is repeated", options, () => {
  for (const transports of [["polling"], ["polling", "websocket"]]) {
    test(`costs a page nothing: ${transports.join(", ")}`, async (t) => {
      const service = await startService(t);
      const proxy = await LossyProxy.start(t, service.url, { latency: 5, losesFirst: 3 });
      const user = newUser();
      const page = await openPage(t, proxy.url, user, transports);
      await emitNumbers(service, user, COUNT);
      await shows(page, COUNT);
      assertComplete(page, COUNT);
      assert.ok(proxy.lost >= 3, `${proxy.lost} lost`);
      assert.ok(page.reasons.length >= proxy.lost && page.reasons.every((reason) => reason === "transport error"), `${page.reasons}`);
    });
  }

  test("costs a page nothing when nginx repeats it", { ...withoutNginx }, async (t) => {
    const service = await startService(t);
    const network = await ResettingNetwork.start(t, service.url);
    const url = await startNginx(t, network.port);
    const user = newUser();
    const page = await openPage(t, url, user);
    await emitNumbers(service, user, COUNT);
    await shows(page, COUNT);
    assertComplete(page, COUNT);
    assert.ok(network.lost >= 5, `${network.lost} lost`);
    assert.ok(page.reasons.length > 0, "nginx repeated none");
  });

  test("disconnects a client of Socket.IO 2, which is sent nothing again", async (t) => {
    const service = await startService(t, { ALLOW_EIO3: "true" });
    const proxy = await LossyProxy.start(t, service.url, { latency: 5, losesFirst: 3 });
    const user = newUser();
    const socket = io2(`${proxy.url}/notifications`, { transports: ["polling"], forceNew: true, ...back, query: { token: tokenFor(user) } });
    t.after(() => socket.io.close());
    const seen = [];
    socket.on("number", (number) => seen.push(number));
    socket.on("disconnect", () => seen.push("disconnect"));
    await new Promise((resolve) => socket.once("connect", resolve));
    const disconnects = () => seen.filter((entry) => entry === "disconnect").length;
    // Until the client has noticed every loss, and has got a number after the last.
    const isDone = () => proxy.lost >= 5 && disconnects() >= proxy.lost && seen.at(-1) !== "disconnect";
    for (let number = 1; number <= COUNT || (number <= 10 * COUNT && !isDone()); number += 1) {
      await emit(service.url, user, "number", number);
      await sleep(5);
    }
    for (const [at, number] of seen.entries()) {
      const before = seen[at - 1];
      if (number !== "disconnect" && before !== "disconnect") {
        assert.equal(number, (before ?? 0) + 1, "a number is missing that no disconnect tells of");
      }
    }
  });
});

describe("a page that polls over a slow network", options, () => {
  test("shows nothing twice when its transport is closed for its age", async (t) => {
    const service = await startService(t, { MAX_CONNECTION_AGE: "1s" });
    const proxy = await LossyProxy.start(t, service.url, { latency: 25 });
    const users = Array.from({ length: 5 }, newUser);
    const pages = await Promise.all(users.flatMap((user) => Array.from({ length: 4 }, () => openPage(t, proxy.url, user))));
    const closed = closesOf(pages);
    await Promise.all(users.map((user) => emitNumbers(service, user, FEW, 10)));
    await closed;
    await assertMovedPagesComplete(service, users, pages);
  });

  test("shows nothing twice in a rolling update", { skip: withoutRedis.skip }, async (t) => {
    const redis = await Redis.start(t);
    const [first, second] = await Promise.all([0, 1].map(() => startService(t, { REDIS_URL: redis.url, DRAIN_WINDOW: "3s" })));
    const proxies = await Promise.all([first, second].map(({ url }) => LossyProxy.start(t, url, { latency: 25 })));
    const users = Array.from({ length: 10 }, newUser);
    const pages = await Promise.all(users.flatMap((user) => Array.from({ length: 10 }, () => openPage(t, proxies[0].url, user))));
    const moved = closesOf(pages);
    const emitting = Promise.all(users.map((user) => emitNumbers(second, user, FEW, 10)));
    for (const page of pages) {
      page.socket.io.uri = proxies[1].url;
    }
    await shows(pages[0], 20);
    await first.terminate();
    await emitting;
    await moved;
    await assertMovedPagesComplete(second, users, pages);
  });
});
