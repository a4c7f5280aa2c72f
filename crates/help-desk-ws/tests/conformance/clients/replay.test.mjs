// Clients that lose their connection and come back: needs the binary, WS_BIN.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { emit, post } from "../support/back-end.mjs";
import { CLIENTS, TRANSPORTS, connected, openSocket, received, settled } from "../support/clients.mjs";
import { test } from "../../../../hd-ws-server/tests/conformance/support/limited-test.mjs";
import { freePort } from "../support/ports.mjs";
import { startService, withoutBinary, withoutReference } from "../support/service.mjs";
import { TcpProxy } from "../support/tcp-proxy.mjs";
import { newUser, tokenFor } from "../support/tokens.mjs";

const options = { concurrency: 3, ...withoutBinary, ...withoutReference };
const io4 = CLIENTS["socket.io-client 4.8"];
const io3 = CLIENTS["socket.io-client 3.1"];

/** A client behind a network that can be cut, and every number that it gets. */
async function numbered(t, service, user, { io = io4, transports = ["websocket"], auth = { token: tokenFor(user) } } = {}) {
  const proxy = await TcpProxy.start(t, service.url);
  const socket = openSocket(t, io, proxy.url, {
    transports,
    reconnection: true,
    reconnectionDelay: 50,
    reconnectionDelayMax: 100,
    auth,
  });
  const numbers = [];
  socket.on("number", (number) => numbers.push(number));
  await settled(socket, transports);
  return { proxy, socket, numbers };
}

/** Emits these numbers, each after the one before was taken. */
async function emitNumbers(service, user, from, to) {
  for (let number = from; number <= to; number += 1) {
    await emit(service.url, user, "number", number);
  }
}

function range(to) {
  return Array.from({ length: to }, (_, index) => index + 1);
}

/** Cuts the network; resolves when the client knows. The service may not: one that polls is missed after 45 s. */
async function cut({ proxy, socket }) {
  const id = socket.id;
  const gone = received(socket, "disconnect");
  proxy.cut();
  await gone;
  return id;
}

describe("a client that lost its connection", options, () => {
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    test(`gets what it missed, once and in order, over ${name}`, async (t) => {
      const service = await startService(t);
      const user = newUser();
      const client = await numbered(t, service, user, { transports });
      assert.equal(client.socket.recovered, false);
      const first = received(client.socket, "number");
      await emitNumbers(service, user, 1, 1);
      await first;

      const id = await cut(client);
      await emitNumbers(service, user, 2, 20);
      const back = received(client.socket, "connect");
      client.proxy.mend();
      await back;
      await emitNumbers(service, user, 21, 22);
      while (client.numbers.length < 22) {
        await received(client.socket, "number");
      }
      assert.deepEqual(client.numbers, range(22));
      assert.equal(client.socket.recovered, true);
      assert.equal(client.socket.id, id);
    });
  }

  // Some twenty times what may wait for a client: it goes out in portions, at the client's pace.
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    test(`gets more than its queue holds, over ${name}`, async (t) => {
      const service = await startService(t, {
        SEND_QUEUE_BYTES: String(260 * 1024),
        REPLAY_MAX_BYTES: String(16 * 1024 * 1024),
      });
      const user = newUser();
      const client = await numbered(t, service, user, { transports });
      const seen = [];
      client.socket.on("large", ({ number }) => seen.push(number));
      const id = await cut(client);
      const padding = "x".repeat(200 * 1024);
      for (let number = 1; number <= 25; number += 1) {
        await emit(service.url, user, "large", { number, padding });
      }
      const back = received(client.socket, "connect");
      client.proxy.mend();
      await back;
      await emit(service.url, user, "large", { number: 26 });
      while (seen.length < 26) {
        await received(client.socket, "large");
      }
      assert.deepEqual([seen, client.socket.recovered, client.socket.id], [range(26), true, id]);
    });
  }

  test("gets it though it had never been sent anything", async (t) => {
    const service = await startService(t);
    const user = newUser();
    const client = await numbered(t, service, user);
    const id = await cut(client);
    await emitNumbers(service, user, 1, 3);
    const back = received(client.socket, "connect");
    client.proxy.mend();
    await back;
    assert.deepEqual([client.numbers, client.socket.recovered, client.socket.id], [range(3), true, id]);
  });

  test("gets it again and again", async (t) => {
    const service = await startService(t);
    const user = newUser();
    const client = await numbered(t, service, user);
    let sent = 0;
    for (let round = 0; round < 5; round += 1) {
      const gone = received(client.socket, "disconnect");
      client.proxy.cut();
      await gone;
      await emitNumbers(service, user, sent + 1, sent + 7);
      sent += 7;
      const back = received(client.socket, "connect");
      client.proxy.mend();
      await back;
    }
    assert.deepEqual(client.numbers, range(sent));
  });

  test("is told when more was sent than is kept", async (t) => {
    const service = await startService(t, { REPLAY_MAX_EVENTS: "5" });
    const user = newUser();
    const client = await numbered(t, service, user);
    const id = await cut(client);
    await emitNumbers(service, user, 1, 6);
    const back = received(client.socket, "connect");
    client.proxy.mend();
    await back;
    assert.deepEqual([client.numbers, client.socket.recovered], [[], false]);
    assert.notEqual(client.socket.id, id);
    await service.logged(/Client may have missed events: .* reason=dropped/);
  });

  test("is told when the service is a new process", async (t) => {
    const first = await startService(t, { PORT: String(await freePort()) });
    const user = newUser();
    const socket = openSocket(t, io4, first.url, { transports: ["websocket"], reconnection: true, reconnectionDelay: 50, auth: { token: tokenFor(user) } });
    await connected(socket);
    const gone = received(socket, "disconnect");
    await first.terminate();
    await gone;
    const back = received(socket, "connect");
    const second = await startService(t, { PORT: first.port });
    await back;
    assert.equal(socket.recovered, false);
    await second.logged(/Client may have missed events: .* reason=other_log/);
  });

  test("gets what all that it is was sent, once, without what it was excepted from or what is stale", async (t) => {
    const service = await startService(t);
    const user = newUser();
    const token = tokenFor(user, { rol_id: 2, dp_id: 7, reg_id: 5, car_id: null });
    const client = await numbered(t, service, user, { auth: { token } });
    await cut(client);
    const commands = [
      { role: 2 },
      { role: 3 },
      { userId: user, rooms: ["role_2"], department: [6, 7], region: 5 },
      { role: 2, except: { userId: user } },
      { broadcast: true, except: { department: 7 } },
      { department: 7, ttl: 0 },
      { department: 7, volatile: true },
      { department: 7, ttl: 60, id: "once" },
      { department: 7, ttl: 60, id: "once" },
      { broadcast: true },
    ];
    const items = commands.map((command, number) => ({ ...command, event: "number", payload: number }));
    assert.equal((await post(`${service.url}/emit/batch`, { items })).status, 201);
    const back = received(client.socket, "connect");
    client.proxy.mend();
    await back;
    const last = received(client.socket, "last");
    await emit(service.url, user, "last", null);
    await last;
    assert.deepEqual(client.numbers, [0, 2, 7, 9]);
    assert.equal(client.socket.recovered, true);
  });

  test("is nothing new to socket.io-client 3.1, which gets what comes", async (t) => {
    const service = await startService(t);
    const user = newUser();
    const client = await numbered(t, service, user, { io: io3 });
    await cut(client);
    await emitNumbers(service, user, 1, 2);
    const back = received(client.socket, "connect");
    client.proxy.mend();
    await back;
    const next = received(client.socket, "number");
    await emitNumbers(service, user, 3, 3);
    await next;
    assert.deepEqual(client.numbers, [3]);
  });

  test("has to show a good token all the same", async (t) => {
    const service = await startService(t);
    const user = newUser();
    let token = tokenFor(user);
    const client = await numbered(t, service, user, { auth: (send) => send({ token }) });
    await cut(client);
    await emitNumbers(service, user, 1, 1);
    token = tokenFor(user, { expiresIn: -1 });
    const refused = received(client.socket, "connect_error");
    client.proxy.mend();
    const [error] = await refused;
    assert.equal(error.data.code, "token_expired");
    assert.deepEqual(client.numbers, []);
  });

  test("gets nothing of another user, whose pid it shows", async (t) => {
    const service = await startService(t);
    const user = newUser();
    const client = await numbered(t, service, user);
    const pid = client.socket._pid;
    assert.equal(typeof pid, "string");
    await cut(client);
    await emitNumbers(service, user, 1, 3);
    const thief = await numbered(t, service, newUser(), { auth: { token: tokenFor(newUser()), pid } });
    await service.logged(/Client may have missed events: .* reason=pid_other_user/);
    assert.deepEqual([thief.numbers, thief.socket.recovered], [[], false]);
    assert.notEqual(thief.socket._pid, pid);
  });
});

describe("REPLAY=off", options, () => {
  test("hands out no pid and adds nothing to events", async (t) => {
    const service = await startService(t, { REPLAY: "off" });
    const user = newUser();
    const client = await numbered(t, service, user);
    assert.equal(client.socket._pid, undefined);
    const args = new Promise((resolve) => client.socket.once("x", (...all) => resolve(all)));
    await emit(service.url, user, "x", { n: 1 });
    assert.deepEqual(await args, [{ n: 1 }]);
  });
});
