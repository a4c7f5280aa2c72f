// Clients of Socket.IO 2 over each transport, against the echo server at EIO3_URL, which allows them.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { describe } from "node:test";
import { test } from "../support/limited-test.mjs";

const require = createRequire(import.meta.url);
const CLIENTS = { "socket.io-client 2.5": require("sio2"), "socket.io-client 2.0": require("sio20") };
const TRANSPORTS = {
  "websocket only": ["websocket"],
  "polling only": ["polling"],
  "polling with upgrade": ["polling", "websocket"],
};

for (const [client, io] of Object.entries(CLIENTS)) {
  test(`${client} is refused where it is not allowed`, async (t) => {
    const socket = io(process.env.SERVER_URL, { forceNew: true, reconnection: false });
    t.after(() => socket.close());
    const error = await new Promise((resolve) => socket.once("connect_error", resolve));
    assert.match(String(error), /xhr poll error/);
  });

  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    describe(`${client}, ${name}`, { concurrency: 3 }, () => {
      function open(t, namespace = "/", options = {}) {
        const socket = io(process.env.EIO3_URL + namespace, { transports, forceNew: true, reconnection: false, ...options });
        t.after(() => socket.io.close());
        return socket;
      }

      /** Connected, and on the transport that the case is about. */
      async function connected(t, namespace, options) {
        const socket = open(t, namespace, options);
        const upgraded = transports.length > 1 && new Promise((resolve) => {
          socket.io.on("open", () => socket.io.engine.once("upgrade", resolve));
        });
        await received(socket, "connect");
        await upgraded;
        assert.equal(socket.io.engine.transport.name, transports.at(-1));
        return socket;
      }

      function received(socket, event) {
        return new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
      }

      function acknowledged(socket, ...args) {
        return new Promise((resolve) => socket.emit("message-with-ack", ...args, (...back) => resolve(back)));
      }

      test("is in the main namespace without asking", async (t) => {
        const socket = open(t);
        const [[payload]] = await Promise.all([received(socket, "auth"), received(socket, "connect")]);
        assert.deepEqual(payload, {});
        assert.equal(socket.id, socket.io.engine.id);
      });

      test("connects to a namespace, and its query arrives as a payload", async (t) => {
        const socket = open(t, "/custom", { query: { token: "a.b-c_d", text: "é & ü" } });
        const [[payload]] = await Promise.all([received(socket, "auth"), received(socket, "connect")]);
        assert.deepEqual(payload, { token: "a.b-c_d", text: "é & ü" });
        assert.equal(socket.id, `/custom#${socket.io.engine.id}`);
        const back = received(socket, "message-back");
        socket.emit("message", "custom");
        assert.deepEqual(await back, ["custom"]);
      });

      test("gets error for an unknown namespace", async (t) => {
        const socket = open(t, "/unknown");
        const [error] = await received(socket, "error");
        assert.equal(error.message ?? error, "Invalid namespace");
      });

      test("is echoed text and JSON", async (t) => {
        const socket = await connected(t);
        const args = [1, "2", { 3: ["4", null, true] }, [], "€ 🙂 \u001e \\n \n 7:4x"];
        const back = received(socket, "message-back");
        socket.emit("message", ...args);
        assert.deepEqual(await back, args);
      });

      test("is echoed binary", async (t) => {
        const socket = await connected(t, "/custom");
        const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
        const back = received(socket, "message-back");
        socket.emit("message", bytes, { deep: [bytes, "text"] }, Buffer.alloc(0));
        const [first, second, empty] = await back;
        assert.deepEqual(Buffer.from(first), bytes);
        assert.deepEqual(Buffer.from(second.deep[0]), bytes);
        assert.equal(second.deep[1], "text");
        assert.equal(empty.length ?? empty.byteLength, 0);
      });

      test("gets acks, with binary too", async (t) => {
        const socket = await connected(t, "/custom");
        const bytes = Buffer.from([0, 1, 254, 255]);
        assert.deepEqual(await acknowledged(socket, 1, "2", { 3: [false] }), [1, "2", { 3: [false] }]);
        const [first, second] = await acknowledged(socket, bytes, { deep: bytes });
        assert.deepEqual(Buffer.from(first), bytes);
        assert.deepEqual(Buffer.from(second.deep), bytes);
        const numbers = Array.from({ length: 100 }, (_, i) => i);
        assert.deepEqual(await Promise.all(numbers.map((i) => acknowledged(socket, i))), numbers.map((i) => [i]));
      });

      test("is echoed in order what it sent from its first moment", async (t) => {
        const socket = open(t, "/custom");
        const echoed = [];
        const last = new Promise((resolve) => {
          socket.on("message-back", (i) => {
            echoed.push(i);
            if (i === 199) {
              resolve();
            }
          });
        });
        for (let i = 0; i < 200; i += 1) {
          socket.emit("message", i, i % 10 === 0 ? Buffer.from([i]) : "text");
        }
        await last;
        assert.deepEqual(echoed, Array.from({ length: 200 }, (_, i) => i));
      });

      test("is echoed a message close to maxPayload", async (t) => {
        const socket = await connected(t);
        const text = "x".repeat(900_000);
        const back = received(socket, "message-back");
        socket.emit("message", text);
        assert.equal((await back)[0].length, text.length);
      });

      test("uses two namespaces over one connection", async (t) => {
        const main = open(t);
        const custom = main.io.socket("/custom");
        custom.open();
        await Promise.all([received(main, "connect"), received(custom, "connect")]);
        assert.deepEqual(await acknowledged(main, "main"), ["main"]);
        assert.deepEqual(await acknowledged(custom, "custom"), ["custom"]);
        custom.close();
        assert.deepEqual(await acknowledged(main, "still here"), ["still here"]);
      });

      test("outlives several heartbeats", async (t) => {
        const socket = await connected(t, "/custom");
        let pongs = 0;
        const three = new Promise((resolve) => {
          socket.io.engine.on("packet", ({ type }) => {
            pongs += type === "pong" ? 1 : 0;
            if (pongs === 3) {
              resolve();
            }
          });
        });
        await Promise.race([
          three,
          received(socket, "disconnect").then(([reason]) => assert.fail(`disconnected: ${reason}`)),
        ]);
        assert.deepEqual(await acknowledged(socket, "alive"), ["alive"]);
      });
    });
  }
}
