// The official clients over each transport, against the echo server at SERVER_URL. With PARSER=msgpack they have
// socket.io-msgpack-parser, as the server then has.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { io as io3 } from "sio3";
import { io as io4 } from "sio4";
import msgpackParser from "socket.io-msgpack-parser";
import { test } from "../support/limited-test.mjs";

const CLIENTS = { "socket.io-client 4.8": io4, "socket.io-client 3.1": io3 };
const TRANSPORTS = {
  "websocket only": ["websocket"],
  "polling only": ["polling"],
  "polling with upgrade": ["polling", "websocket"],
};

const isMsgpack = process.env.PARSER === "msgpack";
// A POST carries it in base64, a third longer.
const LARGE = isMsgpack ? 700_000 : 900_000;

for (const [client, io] of Object.entries(CLIENTS)) {
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    describe(`${client}, ${name}`, { concurrency: 3 }, () => {
      function open(t, namespace = "/", options = {}) {
        const socket = io(process.env.SERVER_URL + namespace, {
          transports,
          forceNew: true,
          reconnection: false,
          ...(isMsgpack && { parser: msgpackParser }),
          ...options,
        });
        t.after(() => socket.io._close());
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

      test("connects, and the payload of the CONNECT arrives", async (t) => {
        const socket = open(t, "/", { auth: { token: "abc", n: [1, null] } });
        const [[payload]] = await Promise.all([received(socket, "auth"), received(socket, "connect")]);
        assert.deepEqual(payload, { token: "abc", n: [1, null] });
        assert.ok(socket.id);
      });

      test("connects without a payload", async (t) => {
        const socket = open(t);
        assert.deepEqual(await received(socket, "auth"), [{}]);
      });

      test("connects to a custom namespace and is echoed there", async (t) => {
        const socket = await connected(t, "/custom");
        const back = received(socket, "message-back");
        socket.emit("message", "custom");
        assert.deepEqual(await back, ["custom"]);
      });

      test("gets connect_error for an unknown namespace", async (t) => {
        const socket = open(t, "/unknown");
        const [error] = await received(socket, "connect_error");
        assert.equal(error.message, "Invalid namespace");
      });

      test("is echoed text and JSON", async (t) => {
        const socket = await connected(t);
        const args = [1, "2", { 3: ["4", null, true] }, [], "€ 🙂 \u001e"];
        const back = received(socket, "message-back");
        socket.emit("message", ...args);
        assert.deepEqual(await back, args);
      });

      test("is echoed binary", async (t) => {
        const socket = await connected(t);
        const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
        const back = received(socket, "message-back");
        socket.emit("message", bytes, { deep: [bytes, "text"] }, Buffer.alloc(0));
        const [first, second, empty] = await back;
        assert.deepEqual(Buffer.from(first), bytes);
        assert.deepEqual(Buffer.from(second.deep[0]), bytes);
        assert.equal(second.deep[1], "text");
        assert.equal(empty.length ?? empty.byteLength, 0);
      });

      test("gets an ack with text and JSON", async (t) => {
        const socket = await connected(t);
        assert.deepEqual(await acknowledged(socket, 1, "2", { 3: [false] }), [1, "2", { 3: [false] }]);
        assert.deepEqual(await acknowledged(socket), []);
      });

      test("gets an ack with binary", async (t) => {
        const socket = await connected(t, "/custom");
        const bytes = Buffer.from([0, 1, 254, 255]);
        const [first, second] = await acknowledged(socket, bytes, { deep: bytes });
        assert.deepEqual(Buffer.from(first), bytes);
        assert.deepEqual(Buffer.from(second.deep), bytes);
      });

      test("gets the acks of many events, each its own", async (t) => {
        const socket = await connected(t);
        const numbers = Array.from({ length: 100 }, (_, i) => i);
        const acks = await Promise.all(numbers.map((i) => acknowledged(socket, i)));
        assert.deepEqual(acks, numbers.map((i) => [i]));
      });

      test("is echoed in order what it sent from its first moment", async (t) => {
        const socket = open(t);
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
        const text = "x".repeat(LARGE);
        const back = received(socket, "message-back");
        socket.emit("message", text);
        assert.equal((await back)[0].length, text.length);
      });

      test("uses two namespaces over one connection", async (t) => {
        const main = open(t);
        const custom = main.io.socket("/custom", {});
        custom.connect();
        await Promise.all([received(main, "connect"), received(custom, "connect")]);
        assert.notEqual(main.id, custom.id);
        assert.deepEqual(await acknowledged(main, "main"), ["main"]);
        custom.disconnect();
        assert.deepEqual(await acknowledged(main, "still here"), ["still here"]);
      });

      test("disconnects and connects again with the same socket", async (t) => {
        const socket = await connected(t);
        const first = socket.id;
        const gone = received(socket, "disconnect");
        // 3.1 loses a connection that is opened while the one before is still closing.
        const closed = new Promise((resolve) => socket.io.engine.once("close", resolve));
        socket.disconnect();
        assert.equal((await gone)[0], "io client disconnect");
        await closed;
        socket.connect();
        await received(socket, "connect");
        assert.notEqual(socket.id, first);
        assert.deepEqual(await acknowledged(socket, "again"), ["again"]);
      });

      test("outlives several heartbeats", async (t) => {
        const socket = await connected(t);
        let pings = 0;
        const three = new Promise((resolve) => {
          socket.io.engine.on("packet", ({ type }) => {
            pings += type === "ping" ? 1 : 0;
            if (pings === 3) {
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
