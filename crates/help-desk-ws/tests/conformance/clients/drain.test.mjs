// Clients that are moved from one instance to another: needs the binary, WS_BIN.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { emit } from "../support/back-end.mjs";
import { CLIENTS, COMBINATIONS, openSocket, received, settled } from "../support/clients.mjs";
import { test } from "../../../../hd-ws-server/tests/conformance/support/limited-test.mjs";
import { startService, withoutBinary, withoutReference } from "../support/service.mjs";
import { newUser, tokenFor } from "../support/tokens.mjs";

const options = { concurrency: 3, skip: withoutBinary.skip || withoutReference.skip };
const io4 = CLIENTS["socket.io-client 4.8"];
const back = { reconnection: true, reconnectionDelay: 100, reconnectionDelayMax: 200 };

/** Begins a drain, or asks how it gets on: the answer. */
async function drain(service, method = "GET", query = "") {
  const response = await fetch(`${service.url}/admin/drain${query}`, { method });
  assert.equal(response.status, method === "POST" ? 202 : 200);
  return response.json();
}

/** Has the client's next connection go elsewhere, as a load balancer would. */
function route(socket, service) {
  socket.io.uri = service.url;
}

describe("a drain", options, () => {
  for (const [combination, io, transports] of COMBINATIONS) {
    test(`moves ${combination}`, async (t) => {
      const user = newUser();
      const [first, second] = await Promise.all([startService(t), startService(t)]);
      const socket = openSocket(t, io, first.url, { transports, ...back, auth: { token: tokenFor(user) } });
      await settled(socket, transports);
      assert.deepEqual(await drain(first), { state: "serving", clients: 1 });
      // A DISCONNECT or CONNECT_ERROR packet would keep the client from coming back.
      const packets = [];
      socket.io.engine.on("packet", ({ type, data }) => packets.push(`${type} ${data ?? ""}`));
      const [gone, again] = [received(socket, "disconnect"), received(socket, "connect")];

      const { state, clients, windowMs } = await drain(first, "POST", "?window=1h");
      assert.deepEqual([state, clients, windowMs], ["draining", 1, 3_600_000]);
      for (const [route, status] of [["readyz", 503], ["health", 200], ["livez", 200]]) {
        assert.equal((await fetch(`${first.url}/${route}`)).status, status, route);
      }
      const event = received(socket, "new_notification");
      assert.equal(await emit(first.url, user, "new_notification", { ticketId: 1 }), 1);
      assert.deepEqual(await event, [{ ticketId: 1 }]);

      route(socket, second);
      await drain(first, "POST", "?window=0s");
      assert.equal((await gone)[0], "transport close");
      assert.deepEqual(packets.filter((packet) => /^message [14]/.test(packet)), []);
      await again;
      const there = received(socket, "new_notification");
      assert.equal(await emit(second.url, user, "new_notification", { ticketId: 2 }), 1);
      assert.deepEqual(await there, [{ ticketId: 2 }]);

      await first.logged(/\[HelpDeskWs\] Drained: moved 1 of 1, lost 0 /);
      const { code, elapsed } = await first.terminate();
      assert.equal(code, 0);
      assert.ok(elapsed < 6000, `ended after ${elapsed} ms`);
      await first.logged(/\[HelpDeskWs\] Stopped: moved 1 of 1, lost 0 /);
    });
  }

  test("loses nothing that was delivered meanwhile", async (t) => {
    const user = newUser();
    const [first, second] = await Promise.all([startService(t), startService(t)]);
    let heard = 0;
    const sockets = await Promise.all(
      [...COMBINATIONS, ...COMBINATIONS].map(async ([, io, transports]) => {
        const socket = openSocket(t, io, first.url, { transports, ...back, auth: { token: tokenFor(user) } });
        socket.on("number", () => (heard += 1));
        await settled(socket, transports);
        route(socket, second);
        return socket;
      }),
    );
    const reasons = Promise.all(sockets.map((socket) => received(socket, "disconnect")));
    const again = Promise.all(sockets.map((socket) => received(socket, "connect")));
    await drain(first, "POST", "?window=2s");
    let delivered = 0;
    for (let number = 0; (await drain(first)).clients > 0; number += 1) {
      delivered += await emit(first.url, user, "number", number);
    }
    assert.deepEqual([...new Set((await reasons).flat())].filter((reason) => typeof reason === "string"), ["transport close"]);
    await again;
    assert.ok(delivered > sockets.length, `${delivered} delivered`);
    assert.equal(heard, delivered);
    const { state, clients, clientsAtStart, lost } = await drain(first);
    assert.deepEqual({ state, clients, clientsAtStart, lost }, { state: "draining", clients: 0, clientsAtStart: sockets.length, lost: 0 });
  });

  test("sends a new client elsewhere", async (t) => {
    const [first, second] = await Promise.all([startService(t), startService(t)]);
    await drain(first, "POST");
    for (const transports of [["websocket"], ["polling"]]) {
      const socket = openSocket(t, io4, first.url, { transports, ...back, auth: { token: tokenFor(newUser()) } });
      const refused = received(socket, "connect_error");
      const [error] = await refused;
      assert.equal(error.data, undefined, "no CONNECT_ERROR");
      assert.ok(socket.active, "it tries again");
      const there = received(socket, "connect");
      route(socket, second);
      await there;
    }
  });

  test("is hastened by SIGTERM", async (t) => {
    const [first, second] = await Promise.all([startService(t), startService(t)]);
    const socket = openSocket(t, io4, first.url, { transports: ["websocket"], ...back, auth: { token: tokenFor(newUser()) } });
    await settled(socket, ["websocket"]);
    route(socket, second);
    const [gone, again] = [received(socket, "disconnect"), received(socket, "connect")];
    await drain(first, "POST", "?window=1h");
    const { code, elapsed } = await first.terminate();
    assert.equal(code, 0);
    assert.ok(elapsed < 8000, `ended after ${elapsed} ms`);
    assert.equal((await gone)[0], "transport close");
    await again;
    await first.logged(/Stopped: moved 1 of 1, lost 0 /);
  });
});

describe("MAX_CONNECTION_AGE", options, () => {
  for (const [combination, io, transports] of COMBINATIONS) {
    test(`has ${combination} come back`, async (t) => {
      const service = await startService(t, { MAX_CONNECTION_AGE: "1s" });
      const socket = openSocket(t, io, service.url, { transports, ...back, auth: { token: tokenFor(newUser()) } });
      await settled(socket, transports);
      const [gone, again] = [received(socket, "disconnect"), received(socket, "connect")];
      assert.equal((await gone)[0], "transport close");
      await again;
      await service.logged(/Client disconnected: \S+ reason="connection too old"/);
      assert.equal((await fetch(`${service.url}/readyz`)).status, 200);
    });
  }
});

describe("MAX_CONNECTIONS", options, () => {
  for (const [combination, io, transports] of COMBINATIONS) {
    test(`has ${combination} wait for a place`, async (t) => {
      const user = newUser();
      const service = await startService(t, { MAX_CONNECTIONS: "1" });
      const first = openSocket(t, io, service.url, { transports, auth: { token: tokenFor(user) } });
      await settled(first, transports);

      const second = openSocket(t, io, service.url, { transports, ...back, auth: { token: tokenFor(newUser()) } });
      const [error] = await received(second, "connect_error");
      assert.equal(error.data, undefined, "no CONNECT_ERROR");
      assert.ok(second.active ?? second.io._reconnection, "it tries again");
      await service.logged(/WARN .*Request rejected: MAX_CONNECTIONS is reached reason=max_connections remote_address=127.0.0.1/);

      for (const route of ["health", "readyz"]) {
        assert.equal((await fetch(`${service.url}/${route}`)).status, 200, route);
      }
      const event = received(first, "new_notification");
      assert.equal(await emit(service.url, user, "new_notification", { ticketId: 1 }), 1);
      assert.deepEqual(await event, [{ ticketId: 1 }]);

      const there = received(second, "connect");
      first.disconnect();
      await there;
    });
  }
});
