// Packets of socket.io-msgpack-parser, one by one, at the echo server at SERVER_URL and at Node's with the same parser:
// what is echoed has to be the same, and so has what ends the connection. Both servers have PARSER=msgpack.

import assert from "node:assert/strict";
import { after, before, describe } from "node:test";
import { io } from "sio4";
import msgpackParser from "socket.io-msgpack-parser";
import { Endpoint } from "../support/engine-client.mjs";
import { test } from "../support/limited-test.mjs";
import { openSession } from "../support/socket-client.mjs";
import { spawnReference } from "../support/spawned-server.mjs";

const TRANSPORTS = ["websocket", "polling"];
const stricterThanNode = { skip: process.env.REFERENCE === "1" && "Node is more lenient" };

let node;
before(async () => {
  node = await spawnReference("reference/echo-server.mjs", { PARSER: "msgpack" });
});
after(() => node.stop());

function encoded(value) {
  return new msgpackParser.Encoder().encode(value)[0];
}

function decoded(bytes) {
  const decoder = new msgpackParser.Decoder();
  let packet;
  decoder.on("decoded", (value) => (packet = value));
  decoder.add(bytes);
  return packet;
}

/** As text that can be compared: dates and `undefined` are what JSON has for them, as in events of the other parser. */
function readable({ type, nsp, id, data }) {
  const payload = data?.sid ? { sid: typeof data.sid } : data;
  // Node's echo of an ArrayBuffer is one, and ours is as that of a Buffer.
  return JSON.stringify({ type, nsp, id, data: payload }, (_, value) => (value instanceof ArrayBuffer ? Buffer.from(value).toJSON() : value));
}

/** A map by hand, since an object has each key once: `[[key, value], …]`. */
function mapOf(entries) {
  return Buffer.concat([Buffer.from([0x80 | entries.length]), ...entries.flat().map((value) => encoded(value))]);
}

function event(...data) {
  return encoded({ type: 2, data, nsp: "/" });
}

/** An event whose one argument is in these bytes. */
function eventOf(hex) {
  const placed = event("message", "PLACE");
  const at = placed.indexOf("PLACE") - 1;
  return Buffer.concat([placed.subarray(0, at), Buffer.from(hex.replaceAll(" ", ""), "hex"), placed.subarray(at + 6)]);
}

/** What a server answers to `packet` once the main namespace is joined, up to the echo of a last event, or to the end. */
async function answers(t, url, transport, packet) {
  const session = await openSession(t, new Endpoint(url, "/socket.io/"), transport);
  await session.send(encoded({ type: 0, nsp: "/" }));
  const all = [await session.next(), await session.next()];
  assert.deepEqual(all.map((bytes) => decoded(bytes).type), [0, 2]);
  // A POST to a session that has ended is refused, which is an end as well.
  await session.send(packet).catch(() => {});
  await session.send(event("message", "last")).catch(() => {});
  for (;;) {
    const bytes = await session.next().catch((error) => error);
    if (bytes instanceof Error) {
      assert.match(bytes.message, /nothing more will be received/);
      return [...all.map((bytes) => readable(decoded(bytes))), "end"];
    }
    all.push(bytes);
    if (decoded(bytes).data?.[1] === "last") {
      return all.map((bytes) => readable(decoded(bytes)));
    }
  }
}

const bytes = Buffer.from([0, 1, 254, 255]);

const ECHOED = {
  "an event": event("message", 1, "2", { 3: ["4", null, true, 1.5, -1e300] }, [], "€ 🙂 \u001e"),
  "numbers of every size": event("message", ...[1, -1, 127, 128, -32, -33, 255, 256, -128, -129, 65_535, 65_536].flatMap((n) => [n, n * 2 ** 16, -n * 2 ** 32])),
  "long texts, arrays and objects": event("message", "x".repeat(300), Array(70_000).fill(0), Object.fromEntries(Array(20).entries())),
  "binary data": event("message", bytes, { deep: [bytes, Buffer.alloc(0)] }),
  "an ArrayBuffer": event("message", new Uint8Array(bytes).buffer),
  "dates": event("message", new Date(1_700_000_000_123), { at: new Date(-1) }),
  "undefined": event("message", undefined, { a: undefined, b: 1 }),
  "an event with an id": encoded({ type: 2, data: ["message-with-ack", bytes, 1], id: 300, nsp: "/" }),
  "what socket.io-client adds": encoded({ type: 2, data: ["message", 1], options: { compress: true }, nsp: "/" }),
  "an id that is undefined": encoded({ type: 2, data: ["message", 1], id: undefined, nsp: "/" }),
  "keys in another order": encoded({ nsp: "/", data: ["message", 1], type: 2 }),
  "keys twice": mapOf([["type", "x"], ["data", null], ["nsp", 7], ["type", 2], ["data", ["message", 1]], ["nsp", "/"]]),
  "a key that is a number": mapOf([[1, 2], ["type", 2], ["data", ["message", 1]], ["nsp", "/"]]),
  "a type that is a whole float": Buffer.concat([Buffer.from("83a474797065ca40000000", "hex"), event("message", 1).subarray(7)]),
  "an ack that nobody waits for": encoded({ type: 3, data: [], id: 7, nsp: "/" }),
  "an ack without an id": encoded({ type: 3, data: [], nsp: "/" }),
  "CONNECT to an unknown namespace": encoded({ type: 0, nsp: "/unknown" }),
  "text that is no UTF-8": eventOf("a4 61 ff ed a0"),
  "a map that looks like a placeholder": event("message", { _placeholder: true, num: 0 }),
};

const ENDED = {
  "text": '2["message"]',
  "text of the other parser's CONNECT": "0",
  "empty text": "",
  "nothing": Buffer.alloc(0),
  "null": encoded(null),
  "an array": encoded([2, ["message"], "/"]),
  "what ends too early": event("message", "text").subarray(0, -3),
  "what ends too late": Buffer.concat([event("message"), Buffer.from([0])]),
  "a length that is not there": eventOf("c6 ff ff ff ff"),
  "the byte that is never used": eventOf("c1"),
  "no type": encoded({ data: ["message"], nsp: "/" }),
  "type 5": encoded({ type: 5, data: ["message"], nsp: "/" }),
  "a type that is text": encoded({ type: "2", data: ["message"], nsp: "/" }),
  "a type that is a fraction": encoded({ type: 2.5, data: ["message"], nsp: "/" }),
  "no namespace": encoded({ type: 2, data: ["message"] }),
  "a namespace that is no text": encoded({ type: 2, data: ["message"], nsp: 1 }),
  "a namespace that was not joined": encoded({ type: 2, data: ["message"], nsp: "/custom" }),
  "an id that is text": encoded({ type: 2, data: ["message"], id: "1", nsp: "/" }),
  "an id that is null": encoded({ type: 2, data: ["message"], id: null, nsp: "/" }),
  "an event without data": encoded({ type: 2, nsp: "/" }),
  "an event of an object": encoded({ type: 2, data: {}, nsp: "/" }),
  "an ack of text": encoded({ type: 3, data: "x", id: 1, nsp: "/" }),
  "CONNECT with an array": encoded({ type: 0, data: [], nsp: "/custom" }),
  "CONNECT with null": encoded({ type: 0, data: null, nsp: "/custom" }),
  "a second CONNECT": encoded({ type: 0, nsp: "/" }),
  "DISCONNECT with data": encoded({ type: 1, data: {}, nsp: "/" }),
  "CONNECT_ERROR": encoded({ type: 4, data: { message: "no" }, nsp: "/" }),
};

/** What no client sends: docs/conformance.md says why. */
const ENDED_BY_US = {
  "a reserved event": event("disconnect"),
  "no event name": event(),
  "an event name that is an object": event({}),
  "an id below zero": encoded({ type: 2, data: ["message", 1], id: -1, nsp: "/" }),
  "a namespace without a slash": encoded({ type: 0, nsp: "custom" }),
  "a namespace with a comma": encoded({ type: 0, nsp: "/a,b" }),
  "another extension": eventOf("d4 05 00"),
  "a key that is null": eventOf("81 c0 01"),
  "100 levels": eventOf("91".repeat(99) + "90"),
  "11 attachments": event("message", ...Array(11).fill(bytes)),
  "binary data in CONNECT": encoded({ type: 0, data: { token: bytes }, nsp: "/custom" }),
  "a map beside binary data that looks like a placeholder": event("message", bytes, { _placeholder: true, num: 0 }),
};

for (const transport of TRANSPORTS) {
  describe(`both servers over ${transport}`, { concurrency: 4 }, () => {
    for (const [name, packet] of Object.entries(ECHOED)) {
      test(`answer the same to ${name}`, async (t) => {
        const ours = await answers(t, process.env.SERVER_URL, transport, packet);
        assert.deepEqual(ours, await answers(t, node.url, transport, packet));
        assert.notEqual(ours.at(-1), "end");
      });
    }
    for (const [name, packet] of Object.entries(ENDED)) {
      test(`end the connection for ${name}`, async (t) => {
        for (const url of [process.env.SERVER_URL, node.url]) {
          assert.equal((await answers(t, url, transport, packet)).at(-1), "end", url);
        }
      });
    }
  });
}

describe("ours is stricter", { concurrency: 4, ...stricterThanNode }, () => {
  for (const [name, packet] of Object.entries(ENDED_BY_US)) {
    test(`it ends the connection for ${name}, and Node's does not`, async (t) => {
      assert.equal((await answers(t, process.env.SERVER_URL, "websocket", packet)).at(-1), "end");
      assert.notEqual((await answers(t, node.url, "websocket", packet)).at(-1), "end");
    });
  }
});

describe("socket.io-client 4.8 with the parser", { concurrency: 4 }, () => {
  for (const transport of TRANSPORTS) {
    test(`is echoed over ${transport} what JSON makes of a Date and of undefined`, async (t) => {
      const socket = io(process.env.SERVER_URL, { transports: [transport], parser: msgpackParser, forceNew: true });
      t.after(() => socket.close());
      const back = new Promise((resolve) => socket.once("message-back", (...args) => resolve(args)));
      socket.emit("message", new Date(0), undefined, { a: undefined, at: new Date(5) });
      const expected = ["1970-01-01T00:00:00.000Z", null, { at: "1970-01-01T00:00:00.005Z" }];
      // JSON.stringify, since Node's server has dates on both sides.
      assert.equal(JSON.stringify(await back), JSON.stringify(expected));
    });
  }

  test("is refused by a server that speaks the other parser", async (t) => {
    const other = await spawnReference("reference/echo-server.mjs", { PARSER: "default" });
    t.after(() => other.stop());
    const socket = io(other.url, { transports: ["websocket"], parser: msgpackParser, forceNew: true, reconnection: false });
    t.after(() => socket.close());
    socket.on("connect", () => assert.fail("connected"));
    await new Promise((resolve) => socket.io.on("close", resolve));
  });
});

test("a client without the parser is closed", async (t) => {
  const socket = io(process.env.SERVER_URL, { transports: ["websocket"], forceNew: true, reconnection: false });
  t.after(() => socket.close());
  socket.on("connect", () => assert.fail("connected"));
  await new Promise((resolve) => socket.io.on("close", resolve));
});
