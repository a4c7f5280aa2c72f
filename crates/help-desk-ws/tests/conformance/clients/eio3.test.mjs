// Clients of Socket.IO 2, which ALLOW_EIO3 lets in: each with each transport. Needs the binary, WS_BIN.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, describe } from "node:test";
import { emit, post } from "../support/back-end.mjs";
import { TRANSPORTS } from "../support/clients.mjs";
import { test } from "../../../../hd-ws-server/tests/conformance/support/limited-test.mjs";
import { startService, withoutBinary, withoutReference } from "../support/service.mjs";
import { TcpProxy } from "../support/tcp-proxy.mjs";
import { newUser, refusedTokens, tokenFor } from "../support/tokens.mjs";

const require = createRequire(import.meta.url);
const CLIENTS = { "socket.io-client 2.5": require("sio2"), "socket.io-client 2.0": require("sio20") };
const REFUSED = refusedTokens();
const NOTIFICATION = { id: 7, mensaje: "Ticket asignado: ñandú €", ticketId: 456, fecha: "2026-01-31T10:00:00.000Z" };

// One service for all of them.
let service;
const atEnd = [];
before(async () => {
  if (!withoutBinary.skip) {
    service = await startService({ after: (end) => atEnd.push(end) }, { ALLOW_EIO3: "true", CONNECT_TIMEOUT: "2s" });
  }
});
after(() => Promise.all(atEnd.map((end) => end())));

for (const [client, io] of Object.entries(CLIENTS)) {
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    describe(`${client}, ${name}`, { concurrency: 4, ...withoutBinary }, () => {
      function open(t, options, base = service.url, namespace = "/notifications") {
        const socket = io(base + namespace, { transports, forceNew: true, reconnection: false, ...options });
        t.after(() => socket.io.close());
        return socket;
      }

      /** In the namespace, and on the transport that the case is about. */
      async function join(t, user, options = { query: { token: tokenFor(user) } }, base) {
        const socket = open(t, options, base);
        const upgraded = transports.length > 1 && new Promise((resolve) => {
          socket.io.on("open", () => socket.io.engine.once("upgrade", resolve));
        });
        await Promise.race([received(socket, "connect"), received(socket, "error").then(([error]) => assert.fail(JSON.stringify(error)))]);
        await upgraded;
        return socket;
      }

      /** The arguments of the next event, as they come: there is no offset among them. */
      function received(socket, event) {
        return new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
      }

      async function recognized(t, user, options) {
        const socket = await join(t, user, options);
        const event = received(socket, "new_notification");
        assert.equal(await emit(service.url, user, "new_notification", NOTIFICATION), 1);
        assert.deepEqual(await event, [NOTIFICATION]);
      }

      test("connects with the token in the query", async (t) => {
        const user = newUser();
        await recognized(t, user, { query: { token: tokenFor(user) } });
      });

      test("connects with the token in the query of the namespace alone", async (t) => {
        const user = newUser();
        const main = open(t, {}, service.url, "/");
        const socket = main.io.socket("/notifications", { query: `token=${tokenFor(user)}` });
        socket.open();
        await received(socket, "connect");
        const event = received(socket, "new_notification");
        assert.equal(await emit(service.url, user, "new_notification", NOTIFICATION), 1);
        assert.deepEqual(await event, [NOTIFICATION]);
      });

      test("connects with the token in the Authorization header", async (t) => {
        const user = newUser();
        await recognized(t, user, { extraHeaders: { Authorization: `Bearer ${tokenFor(user)}` } });
      });

      for (const [what, token, code] of REFUSED) {
        test(`gets error with ${code} for ${what}`, async (t) => {
          const socket = open(t, token === undefined ? {} : { query: { token } });
          socket.once("connect", () => assert.fail("connected"));
          const [error] = await received(socket, "error");
          assert.equal(error.code, code);
          assert.equal(socket.connected, false);
        });
      }

      test("receives any payload and any event name unchanged", async (t) => {
        const user = newUser();
        const socket = await join(t, user);
        for (const [name, payload] of [
          ["ticket_overdue", { ticketId: 1 }],
          ["a new event: 123", { deep: { list: [1, "2", null, { 3: false }] }, text: "€ 🙂 \u001e \\ \"" }],
          ["text", "text"],
          ["null", null],
          ["list", [1, [2, []]]],
          ["123", { "": "empty key" }],
        ]) {
          const event = received(socket, name);
          await emit(service.url, user, name, payload);
          assert.deepEqual(await event, [payload], name);
        }
      });

      test("receives a large payload", async (t) => {
        const user = newUser();
        const socket = await join(t, user);
        const event = received(socket, "new_notification");
        await emit(service.url, user, "new_notification", { mensaje: "ñ".repeat(100_000) });
        assert.equal((await event)[0].mensaje.length, 100_000);
      });

      test("receives a broadcast", async (t) => {
        const sockets = await Promise.all([join(t, newUser()), join(t, newUser())]);
        const event = `announcement ${newUser()}`;
        const events = sockets.map((socket) => received(socket, event));
        const { status } = await post(`${service.url}/notifications/broadcast`, { event, payload: { text: "hello" } });
        assert.equal(status, 201);
        assert.deepEqual(await Promise.all(events), [[{ text: "hello" }], [{ text: "hello" }]]);
      });

      test("receives 500 events in order from the moment it is connected", async (t) => {
        const user = newUser();
        const socket = open(t, { query: { token: tokenFor(user) } });
        const numbers = [];
        const all = new Promise((resolve) => socket.on("number", (number) => numbers.push(number) === 500 && resolve()));
        await received(socket, "connect");
        for (let number = 0; number < 500; number += 1) {
          await emit(service.url, user, "number", number);
        }
        await all;
        assert.deepEqual(numbers, Array.from({ length: 500 }, (_, number) => number));
      });

      test("hands in a new token", async (t) => {
        const user = newUser();
        const socket = await join(t, user);
        const answer = await new Promise((resolve) => socket.emit("auth:refresh", tokenFor(user), resolve));
        assert.equal(answer.ok, true, JSON.stringify(answer));
      });

      test("gets auth:expired and is closed when its token expires", async (t) => {
        const socket = await join(t, newUser(), { query: { token: tokenFor(newUser(), { expiresIn: "2s" }) } });
        const gone = received(socket, "disconnect");
        await received(socket, "auth:expired");
        const [reason] = await gone;
        assert.ok(["transport close", "transport error"].includes(reason), reason);
      });

      test("connects again by itself when the connection is cut", async (t) => {
        const user = newUser();
        const proxy = await TcpProxy.start(t, service.url);
        const options = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200, query: { token: tokenFor(user) } };
        const socket = await join(t, user, options, proxy.url);
        const [gone, back] = [received(socket, "disconnect"), received(socket, "connect")];
        proxy.cut();
        await gone;
        proxy.mend();
        await back;
        const event = received(socket, "new_notification");
        await emit(service.url, user, "new_notification", NOTIFICATION);
        assert.deepEqual(await event, [NOTIFICATION]);
      });

      test("is closed when it joins nothing in time", withoutReference, async (t) => {
        const socket = open(t, {}, service.url, "/");
        const [reason] = await received(socket, "disconnect");
        assert.ok(["transport close", "transport error"].includes(reason), reason);
      });
    });
  }

  test(`${client} is not let in by default`, withoutBinary, async (t) => {
    const closed = await startService(t);
    const socket = io(`${closed.url}/notifications`, { forceNew: true, reconnection: false, query: { token: tokenFor(newUser()) } });
    t.after(() => socket.io.close());
    await new Promise((resolve) => socket.once("connect_error", resolve));
    const response = await fetch(`${closed.url}/socket.io/?EIO=3&transport=polling`);
    assert.equal(response.status, 400);
    assert.equal((await response.json()).code, 5);
  });
}
