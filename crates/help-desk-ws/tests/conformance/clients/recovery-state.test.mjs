// Clients without connection state recovery, which keep their position as docs/front-end.md shows: its
// snippets are what runs here. Needs the binary, WS_BIN.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { describe } from "node:test";
import { io as io3 } from "sio3";
import { io as io4 } from "sio4";
import { io as io44 } from "sio44";
import { WebSocket } from "ws";
import { test } from "../../../../hd-ws-server/tests/conformance/support/limited-test.mjs";
import { emit, post } from "../support/back-end.mjs";
import { openSocket, received } from "../support/clients.mjs";
import { startService, withoutBinary, withoutReference } from "../support/service.mjs";
import { TcpProxy } from "../support/tcp-proxy.mjs";
import { newUser, tokenFor } from "../support/tokens.mjs";

const options = { concurrency: 3, ...withoutBinary, ...withoutReference };
const io2 = createRequire(import.meta.url)("sio2");
const GUIDE = readFileSync(new URL("../../../../../docs/front-end.md", import.meta.url), "utf8");

const OLDER = "socket.io-client 3.x and 4.0 to 4.5";
const CLIENTS = {
  "socket.io-client 3.1": { heading: OLDER, io: io3 },
  "socket.io-client 4.4": { heading: OLDER, io: io44 },
  "socket.io-client 4.8": { heading: OLDER, io: io4 },
  "socket.io-client 2.5": { heading: "socket.io-client 2.x with recovery", io: io2 },
  "plain WebSocket": { heading: "Plain WebSockets" },
};

/** The code under a heading of the guide, for the service at `url`. */
function snippet(heading, url) {
  const section = GUIDE.slice(GUIDE.indexOf(`### ${heading}\n`));
  const [, code] = /```js\n([^]*?)```/.exec(section);
  return code
    .replace(/^import .*$/gm, "")
    .replace("https://ws.example.com", url)
    .replace("wss://ws.example.com", url.replace("http", "ws"));
}

/** A client of the guide behind a network that can be cut: what it shows, and how often it reads its list. */
async function start(t, service, { heading, io }, user = newUser()) {
  const proxy = await TcpProxy.start(t, service.url);
  const client = { proxy, user, token: tokenFor(user), pids: [], shown: [], reloads: 0, changed: () => {} };
  const sockets = [];
  const timers = new Set();
  let hasEnded = false;
  t.after(() => {
    hasEnded = true;
    timers.forEach(clearTimeout);
    sockets.forEach((close) => close());
  });
  const names = {
    io: (url, given) => {
      const socket = io(url, { forceNew: true, transports: ["websocket"], reconnectionDelay: 50, reconnectionDelayMax: 100, ...given });
      sockets.push(() => (socket.io._close ?? socket.io.close).call(socket.io));
      return socket;
    },
    WebSocket: function (url) {
      const socket = new WebSocket(url);
      socket.on("error", () => {}); // its close follows
      sockets.push(() => socket.terminate());
      return socket;
    },
    setTimeout: (call) => hasEnded || timers.add(setTimeout(call, 50)),
    localStorage: { getItem: () => client.token },
    Object: {
      assign: (position, state) => {
        client.pids.push(state.pid);
        return Object.assign(position, state);
      },
    },
    reloadNotifications: () => {
      client.reloads += 1;
      client.changed();
    },
    show: ({ n }) => {
      client.shown.push(n);
      client.changed();
    },
  };
  client.until = async (condition) => {
    while (!condition()) {
      await new Promise((resolve) => (client.changed = resolve));
    }
  };
  new Function(...Object.keys(names), snippet(heading, proxy.url))(...Object.values(names));
  await client.until(() => client.reloads === 1);
  return client;
}

async function emitNumbers(service, user, from, to) {
  for (let n = from; n <= to; n += 1) {
    await emit(service.url, user, "new_notification", { n });
  }
}

const range = (to) => Array.from({ length: to }, (_, index) => index + 1);

for (const [name, kind] of Object.entries(CLIENTS)) {
  describe(`${name}, as in the guide`, options, () => {
    test("gets everything once and in order across lost connections", async (t) => {
      const service = await startService(t, { ALLOW_EIO3: "true" });
      const client = await start(t, service, kind);
      let sent = 0;
      for (let round = 0; round < 4; round += 1) {
        // The network is cut and mended while events are emitted.
        const emitting = emitNumbers(service, client.user, sent + 1, sent + 20);
        await client.until(() => client.shown.length >= sent + 3);
        client.proxy.cut();
        await emitting;
        client.proxy.mend();
        sent += 20;
        await client.until(() => client.shown.length >= sent);
      }
      assert.deepEqual(client.shown, range(80));
      assert.equal(client.reloads, 1);
    });

    test("gets what it missed though it had never been sent anything", async (t) => {
      const service = await startService(t, { ALLOW_EIO3: "true" });
      const client = await start(t, service, kind);
      client.proxy.cut();
      await emitNumbers(service, client.user, 1, 3);
      client.proxy.mend();
      await client.until(() => client.shown.length >= 3);
      assert.deepEqual([client.shown, client.reloads], [range(3), 1]);
    });

    test("reads its list when the log no longer reaches back", async (t) => {
      const service = await startService(t, { ALLOW_EIO3: "true", REPLAY_MAX_EVENTS: "5" });
      const client = await start(t, service, kind);
      client.proxy.cut();
      await emitNumbers(service, client.user, 1, 6);
      client.proxy.mend();
      await client.until(() => client.reloads === 2);
      await service.logged(/Client may have missed events: .* reason=dropped/);
      await emitNumbers(service, client.user, 7, 7);
      await client.until(() => client.shown.length > 0);
      assert.deepEqual(client.shown, [7]);
    });

    // The snippet for 2.x keeps its token where its position is; the others read it at each connect.
    const asksAnew = { skip: kind.io === io2 && "the snippet asks for its token once" };
    test("recovers nothing when another user signs in", asksAnew, async (t) => {
      const service = await startService(t, { ALLOW_EIO3: "true" });
      const client = await start(t, service, kind);
      client.proxy.cut();
      const other = newUser();
      client.token = tokenFor(other); // before any attempt to connect again
      await emitNumbers(service, client.user, 1, 3);
      client.proxy.mend();
      await client.until(() => client.reloads === 2);
      await service.logged(/Client may have missed events: .* reason=pid_other_user/);
      await emitNumbers(service, other, 9, 9);
      await client.until(() => client.shown.length > 0);
      assert.deepEqual(client.shown, [9]);
      assert.equal(new Set(client.pids).size, 2);
      const logged = client.pids.filter((pid) => service.output.includes(pid));
      assert.deepEqual(logged, [], "no pid in the log");
      assert.ok(!service.output.includes("pid="), "no query in the log");
    });
  });
}

describe("a client that requests recovery", options, () => {
  /** The arguments of every event, as they come. */
  async function connect(t, service, user, auth) {
    const socket = openSocket(t, io3, service.url, { transports: ["websocket"], auth: { token: tokenFor(user), ...auth } });
    const events = [];
    socket.onAny((...all) => events.push(all));
    await received(socket, "connect");
    return { socket, events };
  }

  test("gets its offsets in the payload, or none", async (t) => {
    const service = await startService(t);
    const user = newUser();
    const inside = await connect(t, service, user, { recovery: true, offsets: "payload" });
    const none = await connect(t, service, user, { offsets: "none" });
    const last = [inside, none].map(({ socket }) => received(socket, "last"));
    await emit(service.url, user, "x", { n: 1 });
    await emit(service.url, user, "x", [1]);
    await emit(service.url, user, "last", {});
    await Promise.all(last);
    assert.deepEqual(none.events, [["x", { n: 1 }], ["x", [1]], ["last", {}]]);
    const [[state, { recovered, pid }], first, second] = inside.events;
    assert.deepEqual([state, recovered, typeof pid], ["recovery:state", false, "string"]);
    assert.match(first[1]._offset, /^\d+-\d+$/);
    assert.deepEqual(first, ["x", { n: 1, _offset: first[1]._offset }]);
    assert.deepEqual(second, ["x", [1]]);
  });

  test("is served whatever it presents", async (t) => {
    const service = await startService(t);
    const user = newUser();
    for (const odd of [{ pid: 7 }, { pid: "x", offset: {} }, { pid: "x".repeat(5000) }, { offset: "1-0" }, { offsets: ["payload"] }]) {
      const { socket, events } = await connect(t, service, user, { recovery: true, ...odd });
      const next = received(socket, "x");
      await emit(service.url, user, "x", { n: 1 });
      await next;
      assert.equal(events[0][0], "recovery:state", JSON.stringify(odd));
      assert.equal(events[0][1].recovered, false, JSON.stringify(odd));
      socket.disconnect();
    }
  });

  test("learns that nothing can be recovered with REPLAY=off", async (t) => {
    const service = await startService(t, { REPLAY: "off" });
    const socket = openSocket(t, io3, service.url, { transports: ["websocket"], auth: { token: tokenFor(newUser()), recovery: "true" } });
    assert.deepEqual(await received(socket, "recovery:state"), [{ recovered: false }]);
  });

  test("is sent its state by the service alone", async (t) => {
    const service = await startService(t);
    const { status, json } = await post(`${service.url}/emit`, { userId: newUser(), event: "recovery:state", payload: {} });
    assert.deepEqual([status, json.error.code], [400, "reserved_event"]);
  });
});
