// The main job: a client with a token gets what the back end emits for its user. Each official client
// with each transport, against the service at WS_URL.

import assert from "node:assert/strict";
import { describe } from "node:test";
import jwt from "jsonwebtoken";
import { ROUTES, emit, post } from "../support/back-end.mjs";
import { CLIENTS, COMBINATIONS, connected, openSocket, received, settled, upgraded } from "../support/clients.mjs";
import { test } from "../../../../hd-ws-server/tests/conformance/support/limited-test.mjs";
import { TcpProxy } from "../support/tcp-proxy.mjs";
import { newUser, refusedTokens, tokenFor } from "../support/tokens.mjs";

const { WS_URL } = process.env;
const REFUSED = refusedTokens();

const NOTIFICATION = { id: 7, mensaje: "Ticket asignado: ñandú €", ticketId: 456, fecha: "2026-01-31T10:00:00.000Z" };

for (const [combination, io, transports] of COMBINATIONS) {
  describe(combination, { concurrency: 4 }, () => {
    const open = (t, options, base = WS_URL) => openSocket(t, io, base, { transports, ...options });
    const join = (t, user, options, base) =>
      settled(open(t, { auth: { token: tokenFor(user) }, ...options }, base), transports);

    /** The token in the place named, and the event that shows that the user was recognized. */
    async function recognized(t, user, options) {
      const socket = await settled(open(t, options), transports);
      const event = received(socket, "new_notification");
      assert.equal(await emit(WS_URL, user, "new_notification", NOTIFICATION), 1);
      assert.deepEqual(await event, [NOTIFICATION]);
    }

    test("connects with the token in auth", async (t) => {
      const user = newUser();
      await recognized(t, user, { auth: { token: tokenFor(user) } });
    });

    test("connects with the token in the Authorization header", async (t) => {
      const user = newUser();
      await recognized(t, user, { extraHeaders: { Authorization: `Bearer ${tokenFor(user)}` } });
    });

    test("connects with the token in the query", async (t) => {
      const user = newUser();
      await recognized(t, user, { query: { token: tokenFor(user) } });
    });

    test("is taken for the user in the header before auth, and in auth before the query", async (t) => {
      const [first, second, third] = [newUser(), newUser(), newUser()];
      await recognized(t, first, {
        extraHeaders: { Authorization: `Bearer ${tokenFor(first)}` },
        auth: { token: tokenFor(second) },
        query: { token: tokenFor(third) },
      });
      await recognized(t, second, { auth: { token: tokenFor(second) }, query: { token: tokenFor(third) } });
    });

    for (const algorithm of ["HS384", "HS512"]) {
      test(`connects with a token signed with ${algorithm}`, async (t) => {
        const user = newUser();
        await recognized(t, user, { auth: { token: tokenFor(user, { algorithm }) } });
      });
    }

    for (const [what, token, code] of REFUSED) {
      test(`is refused with ${code} for ${what}`, async (t) => {
        const socket = open(t, token === undefined ? {} : { auth: { token } });
        socket.once("connect", () => assert.fail("connected"));
        const [error] = await received(socket, "connect_error");
        assert.equal(error.data?.code, code);
        assert.ok(error.message.length > 0);
        assert.ok(!token || !error.message.includes(token), "the message holds the token");
        assert.equal(socket.connected, false);
      });
    }

    test("a bad token in the header is not made good by one in auth", async (t) => {
      const [, expired, code] = REFUSED.find(([what]) => what === "an expired token");
      const socket = open(t, {
        extraHeaders: { Authorization: `Bearer ${expired}` },
        auth: { token: tokenFor(newUser()) },
      });
      const [error] = await received(socket, "connect_error");
      assert.equal(error.data?.code, code);
    });

    test("is refused in the main namespace", async (t) => {
      const socket = io(`${WS_URL}/`, { transports, forceNew: true, reconnection: false, auth: { token: tokenFor(newUser()) } });
      t.after(() => socket.io._close());
      const [error] = await received(socket, "connect_error");
      assert.equal(error.message, "Invalid namespace");
    });

    for (const route of Object.keys(ROUTES)) {
      test(`receives what is posted to ${route}`, async (t) => {
        const user = newUser();
        const socket = await join(t, user);
        const event = received(socket, "ticket_assigned");
        assert.equal(await emit(WS_URL, user, "ticket_assigned", NOTIFICATION, route), 1);
        assert.deepEqual(await event, [NOTIFICATION]);
      });
    }

    test("receives any payload and any event name unchanged", async (t) => {
      const user = newUser();
      const socket = await join(t, user);
      const cases = [
        ["ticket_overdue", { ticketId: 1 }],
        ["a new event: 123", { deep: { list: [1, "2", null, { 3: false }] }, text: "€ 🙂 \u001e \\ \"" }],
        ["text", "text"],
        ["number", 1.5],
        ["null", null],
        ["list", [1, [2, []]]],
        ["message", { _placeholder: false, num: 0 }],
        ["error", {}],
        ["123", { "": "empty key" }],
      ];
      for (const [name, payload] of cases) {
        const event = received(socket, name);
        await emit(WS_URL, user, name, payload);
        assert.deepEqual(await event, [payload], name);
      }
    });

    test("receives a large payload", async (t) => {
      const user = newUser();
      const socket = await join(t, user);
      const event = received(socket, "new_notification");
      await emit(WS_URL, user, "new_notification", { mensaje: "ñ".repeat(100_000) });
      assert.equal((await event)[0].mensaje.length, 100_000);
    });

    test("each of several tabs of a user receives, and nobody else", async (t) => {
      const [user, stranger] = [newUser(), newUser()];
      const tabs = await Promise.all([join(t, user), join(t, user), join(t, user)]);
      const other = await join(t, stranger);
      other.once("new_notification", () => assert.fail("another user received it"));
      const events = tabs.map((tab) => received(tab, "new_notification"));
      assert.equal(await emit(WS_URL, user, "new_notification", NOTIFICATION), 3);
      assert.deepEqual(await Promise.all(events), [[NOTIFICATION], [NOTIFICATION], [NOTIFICATION]]);
      // What comes later on the same connection shows that nothing was under way before.
      const last = received(other, "last");
      assert.equal(await emit(WS_URL, stranger, "last", {}), 1);
      await last;
    });

    test("receives a broadcast", async (t) => {
      const sockets = await Promise.all([join(t, newUser()), join(t, newUser())]);
      const name = `announcement ${newUser()}`;
      const events = sockets.map((socket) => received(socket, name));
      const { status, json } = await post(`${WS_URL}/notifications/broadcast`, { event: name, payload: { text: "hello" } });
      assert.equal(status, 201);
      assert.equal(json.success, true);
      assert.ok(json.deliveredLocally >= 2, `delivered to ${json.deliveredLocally}`);
      assert.deepEqual(await Promise.all(events), [[{ text: "hello" }], [{ text: "hello" }]]);
    });

    test("receives 500 events in order from the moment it is connected", async (t) => {
      const user = newUser();
      const socket = open(t, { auth: { token: tokenFor(user) } });
      const numbers = collected(socket, 500);
      await connected(socket);
      await emitNumbers(user, 0, 500);
      assert.deepEqual(await numbers, upTo(500));
    });

    test("disconnects, and receives nothing any more", async (t) => {
      const user = newUser();
      const [leaving, staying] = await Promise.all([join(t, user), join(t, user)]);
      const gone = received(leaving, "disconnect");
      leaving.disconnect();
      assert.equal((await gone)[0], "io client disconnect");
      await deliveredTo(t, user, 1);
      const event = received(staying, "new_notification");
      await emit(WS_URL, user, "new_notification", NOTIFICATION);
      assert.deepEqual(await event, [NOTIFICATION]);
    });

    test("connects again by itself when the connection is cut", async (t) => {
      const user = newUser();
      const proxy = await TcpProxy.start(t, WS_URL);
      const socket = await join(t, user, { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200 }, proxy.url);
      const first = socket.id;
      const [gone, back] = [received(socket, "disconnect"), received(socket, "connect")];
      proxy.cut();
      const [reason] = await gone;
      proxy.mend();
      assert.ok(["transport close", "transport error"].includes(reason), reason);
      await back;
      // One that recovers keeps its id.
      assert.equal(socket.id === first, socket.recovered === true);
      const events = [];
      socket.on("new_notification", (payload) => events.push(payload));
      const last = received(socket, "last");
      await emit(WS_URL, user, "new_notification", NOTIFICATION);
      await emit(WS_URL, user, "last", {});
      await last;
      assert.deepEqual(events, [NOTIFICATION]);
    });

    test("gets auth:expired and is closed when its token expires", async (t) => {
      const user = newUser();
      const socket = open(t, { auth: { token: tokenFor(user, { expiresIn: 3 }) } });
      const happened = [];
      socket.on("auth:expired", () => happened.push("auth:expired"));
      const gone = received(socket, "disconnect");
      await connected(socket);
      const [reason] = await gone;
      assert.deepEqual(happened, ["auth:expired"]);
      assert.ok(["transport close", "transport error"].includes(reason), reason);
      await deliveredTo(t, user, 0);
    });

    test("comes back with a new token as if nothing had been", async (t) => {
      const user = newUser();
      const tokens = [tokenFor(user, { expiresIn: 3 }), tokenFor(user)];
      const auth = (callback) => callback({ token: tokens.shift() });
      const socket = open(t, { auth, reconnection: true, reconnectionDelay: 100 });
      await connected(socket);
      const [first, gone, again] = [received(socket, "first"), received(socket, "disconnect"), received(socket, "connect")];
      await emit(WS_URL, user, "first", {});
      await first;
      await gone;
      const missed = received(socket, "missed");
      await emit(WS_URL, user, "missed", {});
      await again;
      // As far as the client knows of recovery, and the reference has none.
      if (!process.env.REFERENCE && socket.recovered !== undefined) {
        assert.equal(socket.recovered, true);
        await missed;
      }
    });

    test("stays when it hands in a new token in time", async (t) => {
      const user = newUser();
      const auth = { token: tokenFor(user, { expiresIn: 4 }) };
      const [stays, goes] = [open(t, { auth }), open(t, { auth })];
      const happened = [];
      stays.on("auth:expired", () => happened.push("auth:expired"));
      stays.on("disconnect", () => happened.push("disconnect"));
      const gone = received(goes, "disconnect");
      await Promise.all([connected(stays), connected(goes)]);
      const token = tokenFor(user);
      const { exp } = jwt.decode(token);
      assert.deepEqual(await refreshed(stays, token), { ok: true, exp });
      await gone;
      await deliveredTo(t, user, 1);
      assert.deepEqual(happened, []);
    });

    test("hands in a new token that expires sooner", async (t) => {
      const user = newUser();
      const socket = await join(t, user);
      const [expired, gone] = [received(socket, "auth:expired"), received(socket, "disconnect")];
      assert.equal((await refreshed(socket, tokenFor(user, { expiresIn: 3 }))).ok, true);
      await Promise.all([expired, gone]);
    });

    test("is told why a new token is refused, and goes on with the old one", async (t) => {
      const user = newUser();
      const sockets = [];
      const refused = [...REFUSED, ["a token of another user", tokenFor(newUser()), "token_other_user"], ["a number", 7, "token_missing"]];
      for (const [turn, [what, token, code]] of refused.entries()) {
        // A client's first six are looked at.
        if (turn % 6 === 0) {
          sockets.push(await join(t, user));
        }
        assert.deepEqual(await refreshed(sockets.at(-1), token), { ok: false, code }, what);
      }
      await deliveredTo(t, user, sockets.length);
    });

    test("is told to wait when it hands in tokens without end", async (t) => {
      const user = newUser();
      const socket = await join(t, user);
      for (let turn = 0; turn < 6; turn++) {
        assert.equal((await refreshed(socket, tokenFor(user))).ok, true);
      }
      assert.deepEqual(await refreshed(socket, tokenFor(user)), { ok: false, code: "rate_limited" });
      await deliveredTo(t, user, 1);
    });

    /** What the service answers to a new token. */
    function refreshed(socket, token) {
      return new Promise((resolve) => socket.emit("auth:refresh", token, resolve));
    }

    /** Waits until `count` sockets of the user are left: the service notices a lost client in its own time. */
    async function deliveredTo(t, user, count) {
      while (!t.signal.aborted && (await emit(WS_URL, user, "count", {})) !== count) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  });
}

for (const [client, io] of Object.entries(CLIENTS)) {
  describe(`${client}, during the upgrade`, { concurrency: true }, () => {
    test("500 events arrive in order, none lost and none doubled", async (t) => {
      const user = newUser();
      const proxy = await TcpProxy.start(t, WS_URL);
      const release = proxy.holdWebSockets();
      const socket = openSocket(t, io, proxy.url, {
        auth: { token: tokenFor(user) },
        transports: ["polling", "websocket"],
      });
      const numbers = collected(socket, 500);
      const upgrade = upgraded(socket);
      let upgradedAt;
      let emitted = 0;
      upgrade.then(() => (upgradedAt = emitted));
      await connected(socket);
      for (; emitted < 500; emitted += 1) {
        if (emitted === 100) {
          release();
        }
        if (emitted === 400) {
          // By far enough has flowed during the upgrade; the rest has to flow after it.
          await upgrade;
        }
        await emitNumbers(user, emitted, emitted + 1);
      }
      assert.deepEqual(await numbers, upTo(500));
      assert.equal(socket.io.engine.transport.name, "websocket");
      assert.ok(upgradedAt >= 100 && upgradedAt <= 400, `upgraded after ${upgradedAt} events`);
    });
  });

  describe(`${client}, websocket only, with the options of the front end in production`, { concurrency: true }, () => {
    const options = { transports: ["websocket"], reconnection: true, reconnectionDelay: 1000, reconnectionAttempts: 5 };

    test("receives, and is back after a cut", async (t) => {
      const user = newUser();
      const proxy = await TcpProxy.start(t, WS_URL);
      const socket = openSocket(t, io, proxy.url, { ...options, auth: { token: tokenFor(user) } });
      await connected(socket);
      for (let round = 0; round < 2; round += 1) {
        const event = received(socket, "new_notification");
        await emit(WS_URL, user, "new_notification", { ...NOTIFICATION, id: round });
        assert.deepEqual(await event, [{ ...NOTIFICATION, id: round }]);
        if (round === 0) {
          const [gone, back] = [received(socket, "disconnect"), received(socket, "connect")];
          proxy.cut();
          await gone;
          proxy.mend();
          await back;
        }
      }
    });

    test("is not let in again with a token that has expired, and is told so", async (t) => {
      const user = newUser();
      const socket = openSocket(t, io, WS_URL, { ...options, auth: { token: tokenFor(user, { expiresIn: 3 }) } });
      const expired = received(socket, "auth:expired");
      await connected(socket);
      await expired;
      const [error] = await received(socket, "connect_error");
      assert.equal(error.data?.code, "token_expired");
    });
  });
}

/** The payloads of the next `count` events called `number`. */
function collected(socket, count) {
  const numbers = [];
  return new Promise((resolve) => {
    socket.on("number", ({ n }) => {
      numbers.push(n);
      if (n === count - 1) {
        resolve(numbers);
      }
    });
  });
}

/** One after the other: only then there is an order to keep. */
async function emitNumbers(user, from, to) {
  for (let n = from; n < to; n += 1) {
    await emit(WS_URL, user, "number", { n });
  }
}

function upTo(count) {
  return Array.from({ length: count }, (_, n) => n);
}
