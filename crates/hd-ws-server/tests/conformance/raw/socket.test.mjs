// Socket.IO v5 by hand over both transports, against the echo server at SERVER_URL. Node's socket.io
// package passes all of it, but for the tests that say what we refuse and Node does not.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { Endpoint } from "../support/engine-client.mjs";
import { test } from "../support/limited-test.mjs";
import { openSession } from "../support/socket-client.mjs";

const endpoint = new Endpoint(process.env.SERVER_URL, "/socket.io/");
const stricterThanNode = { skip: process.env.REFERENCE === "1" && "Node is more lenient" };

const CONNECT_TIMEOUT = 3000;

const BYTES_1 = Buffer.from([1, 2, 3]);
const BYTES_2 = Buffer.from([0, 255, 128, 10]);

for (const transport of ["websocket", "polling"]) {
  const open = (t) => openSession(t, endpoint, transport);

  /** Joins `namespace` (`""` is the main one, `"/custom,"` the other) and reads the `auth` event. */
  async function join(session, namespace = "", auth = "") {
    await session.send(`0${namespace}${auth}`);
    const connected = await session.next();
    assert.ok(connected.startsWith(`0${namespace}{`), `expected CONNECT, got ${connected}`);
    const [event, payload] = JSON.parse((await session.next()).slice(1 + namespace.length));
    assert.equal(event, "auth");
    return { sid: JSON.parse(connected.slice(1 + namespace.length)).sid, auth: payload };
  }

  async function joined(t, namespace) {
    const session = await open(t);
    await join(session, namespace);
    return session;
  }

  /** At once, with nothing sent before: waiting longer would let connectTimeout end the session as well. */
  async function closedNow(session) {
    const received = await session.next(CONNECT_TIMEOUT / 2).catch((error) => error);
    assert.ok(received instanceof Error, `got ${received}`);
    assert.match(received.message, /nothing more will be received/);
  }

  describe(`connect over ${transport}`, { concurrency: 4 }, () => {
    test("to the main namespace", async (t) => {
      const session = await open(t);
      await session.send("0");
      const connected = await session.next();
      assert.match(connected, /^0\{"sid":"[^"]+"\}$/);
      assert.equal(await session.next(), '2["auth",{}]');
    });

    test("to the main namespace with a payload", async (t) => {
      const session = await open(t);
      assert.deepEqual((await join(session, "", '{"token":"123"}')).auth, { token: "123" });
    });

    test("to a custom namespace", async (t) => {
      const session = await open(t);
      await session.send("0/custom,");
      assert.match(await session.next(), /^0\/custom,\{"sid":"[^"]+"\}$/);
      assert.equal(await session.next(), '2/custom,["auth",{}]');
    });

    test("to a custom namespace with a payload", async (t) => {
      const session = await open(t);
      assert.deepEqual((await join(session, "/custom,", '{"token":"abc","list":[1,null]}')).auth, {
        token: "abc",
        list: [1, null],
      });
    });

    test("to a custom namespace without the closing comma", async (t) => {
      const session = await open(t);
      await session.send("0/custom");
      assert.match(await session.next(), /^0\/custom,\{/);
    });

    test("to an unknown namespace is answered CONNECT_ERROR and the session lives", async (t) => {
      const session = await open(t);
      await session.send("0/random");
      assert.equal(await session.next(), '4/random,{"message":"Invalid namespace"}');
      await join(session);
    });

    test("every namespace has its own public id, none of them the session's", async (t) => {
      const session = await open(t);
      const main = await join(session);
      const custom = await join(session, "/custom,");
      const secret = (session.peer ?? session.session).handshake.sid;
      assert.equal(new Set([main.sid, custom.sid, secret]).size, 3);
    });

    test("not at all within connectTimeout ends the session", async (t) => {
      const started = performance.now();
      const session = await open(t);
      await session.closed;
      const waited = performance.now() - started;
      assert.ok(waited > CONNECT_TIMEOUT / 2 && waited < CONNECT_TIMEOUT * 4, `closed after ${waited} ms`);
    });

    test("only to an unknown namespace within connectTimeout ends the session", async (t) => {
      const session = await open(t);
      await session.send("0/random");
      assert.match(await session.next(), /^4\/random,/);
      await session.closed;
    });

    test("in time keeps the session beyond connectTimeout", async (t) => {
      const session = await joined(t);
      const closed = await Promise.race([
        session.closed.then(() => true),
        new Promise((resolve) => setTimeout(() => resolve(false), CONNECT_TIMEOUT * 1.5)),
      ]);
      assert.equal(closed, false);
      await session.send('2["message","still here"]');
      assert.equal(await session.next(), '2["message-back","still here"]');
    });
  });

  describe(`disconnect over ${transport}`, { concurrency: 4 }, () => {
    test("leaves the namespace and keeps the session for another", async (t) => {
      const session = await joined(t);
      await join(session, "/custom,");
      await session.send("1");
      await session.send('2/custom,["message","after"]');
      assert.equal(await session.next(), '2/custom,["message-back","after"]');
    });

    test("allows to join the same namespace again", async (t) => {
      const session = await joined(t);
      await leaveCustom(session);
      await join(session, "/custom,");
    });

    test("an event for the namespace that was left closes the connection", async (t) => {
      const session = await joined(t);
      await leaveCustom(session);
      await session.send('2/custom,["message","late"]');
      await closedNow(session);
    });

    /** Waits for an echo in the main namespace: Node leaves a moment after it has read the packet. */
    async function leaveCustom(session) {
      await join(session, "/custom,");
      await session.send("1/custom,");
      await session.send('2["message","left"]');
      assert.equal(await session.next(), '2["message-back","left"]');
    }
  });

  describe(`events over ${transport}`, { concurrency: 4 }, () => {
    const echoed = [
      ["no argument", '["message"]', '["message-back"]'],
      ["text", '["message","a","€ 🙂 \\" \\\\ \\n"]', '["message-back","a","€ 🙂 \\" \\\\ \\n"]'],
      ["every JSON type", '["message",1,2.5,-3,"4",[5],{"six":[6,"7",true]},false,null]', undefined],
      ["what looks like a packet", '["message","42[\\"x\\"]","\\u001e"]', '["message-back","42[\\"x\\"]","\\u001e"]'],
      ["a large integer in full", '["message",9007199254740991]', '["message-back",9007199254740991]'],
    ];
    for (const [what, sent, received] of echoed) {
      test(`echo ${what}`, async (t) => {
        const session = await joined(t);
        await session.send(`2${sent}`);
        const packet = await session.next();
        assert.equal(packet[0], "2");
        const expected = received ?? sent.replace("message", "message-back");
        assert.deepEqual(JSON.parse(packet.slice(1)), JSON.parse(expected));
      });
    }

    test("an event nobody listens to is ignored", async (t) => {
      const session = await joined(t);
      await session.send('2["unheard",1]', '2["message",2]');
      assert.equal(await session.next(), '2["message-back",2]');
    });

    for (const name of ["error", "123", "__proto__", "constructor"]) {
      test(`an event called ${name} is legal`, async (t) => {
        const session = await joined(t);
        await session.send(`2[${JSON.stringify(name)},{}]`, '2["message",2]');
        assert.equal(await session.next(), '2["message-back",2]');
      });
    }

    test("a numeric event name is legal", async (t) => {
      const session = await joined(t);
      await session.send("2[1,2]", '2["message",2]');
      assert.equal(await session.next(), '2["message-back",2]');
    });

    test("the ack carries the id and the arguments", async (t) => {
      const session = await joined(t);
      await session.send('2456["message-with-ack",1,"2",{"three":[false]}]');
      assert.equal(await session.next(), '3456[1,"2",{"three":[false]}]');
    });

    test("the ack of the id 0", async (t) => {
      const session = await joined(t);
      await session.send('20["message-with-ack","zero"]');
      assert.equal(await session.next(), '30["zero"]');
    });

    test("the ack of the largest safe id", async (t) => {
      const session = await joined(t);
      await session.send('29007199254740991["message-with-ack"]');
      assert.equal(await session.next(), "39007199254740991[]");
    });

    test("the ack in a custom namespace", async (t) => {
      const session = await joined(t, "/custom,");
      await session.send('2/custom,7["message-with-ack",1]');
      assert.equal(await session.next(), "3/custom,7[1]");
    });

    test("an ack that nobody asked for is ignored", async (t) => {
      const session = await joined(t);
      await session.send("3123[1]", '2["message",2]');
      assert.equal(await session.next(), '2["message-back",2]');
    });

    test("binary arguments come back", async (t) => {
      const session = await joined(t);
      await session.send(
        '52-["message",{"_placeholder":true,"num":0},"text",{"deep":[{"_placeholder":true,"num":1}]}]',
        BYTES_1,
        BYTES_2,
      );
      const packet = await session.next();
      assert.match(packet, /^52-\[/);
      assert.deepEqual(JSON.parse(packet.slice(3)), [
        "message-back",
        { _placeholder: true, num: 0 },
        "text",
        { deep: [{ _placeholder: true, num: 1 }] },
      ]);
      assert.deepEqual(await session.next(), BYTES_1);
      assert.deepEqual(await session.next(), BYTES_2);
    });

    test("an empty attachment comes back", async (t) => {
      const session = await joined(t);
      await session.send('51-["message",{"_placeholder":true,"num":0}]', Buffer.alloc(0));
      assert.equal(await session.next(), '51-["message-back",{"_placeholder":true,"num":0}]');
      assert.equal((await session.next()).length, 0);
    });

    test("a binary ack comes back in its namespace", async (t) => {
      const session = await joined(t, "/custom,");
      await session.send('52-/custom,789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', BYTES_1, BYTES_2);
      assert.equal(
        await session.next(),
        '62-/custom,789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
      );
      assert.deepEqual(await session.next(), BYTES_1);
      assert.deepEqual(await session.next(), BYTES_2);
    });

    test("ten attachments are accepted", async (t) => {
      const session = await joined(t);
      const placeholders = Array.from({ length: 10 }, (_, num) => ({ _placeholder: true, num }));
      await session.send(`510-${JSON.stringify(["message", ...placeholders])}`, ...placeholders.map(({ num }) => Buffer.from([num])));
      assert.match(await session.next(), /^510-\["message-back",/);
      for (const { num } of placeholders) {
        assert.deepEqual(await session.next(), Buffer.from([num]));
      }
    });

    test("two namespaces on one session do not mix", async (t) => {
      const session = await joined(t);
      await join(session, "/custom,");
      await session.send('2["message","main"]', '2/custom,["message","custom"]', '2["message","main again"]');
      assert.deepEqual(
        [await session.next(), await session.next(), await session.next()],
        ['2["message-back","main"]', '2/custom,["message-back","custom"]', '2["message-back","main again"]'],
      );
    });

    test("five hundred events come back in order", async (t) => {
      const session = await joined(t);
      const numbers = Array.from({ length: 500 }, (_, i) => i);
      await session.send(...numbers.map((i) => `2["message",${i}]`));
      for (const i of numbers) {
        assert.equal(await session.next(), `2["message-back",${i}]`);
      }
    });
  });

  describe(`input that closes the connection over ${transport}`, { concurrency: 4 }, () => {
    const beforeConnect = [
      ["an event before CONNECT", '2["message"]'],
      ["an event for a namespace before CONNECT", '2/custom,["message"]'],
      ["CONNECT with a payload that is null", "0null"],
      ["CONNECT with a payload that is text", '0"token"'],
      ["CONNECT with a payload that is an array", "0[]"],
      ["CONNECT with a payload that is no JSON", "0{"],
      ["CONNECT_ERROR from a client", '4{"message":"no"}'],
      ["an unknown packet type", "999"],
      ["no Socket.IO packet at all", "abc"],
      ["an empty message", ""],
    ];
    for (const [what, packet] of beforeConnect) {
      test(what, async (t) => {
        const session = await open(t);
        await session.send(packet);
        await closedNow(session);
      });
    }

    const placeholder = { _placeholder: true, num: 0 };
    const afterConnect = [
      ["an event that is not an array", '2{"message":1}'],
      ["an event with no name", "2[]"],
      ["an event whose name is an object", '2[{"toString":"foo"}]'],
      ["an event whose name is a boolean", "2[true]"],
      ["an event whose name is null", "2[null]"],
      ["a reserved event name", '2["connect"]'],
      ["the reserved event name disconnecting", '2["disconnecting"]'],
      ["the reserved event name newListener", '2["newListener"]'],
      ["an event that is broken JSON", '2["message"'],
      ["an event with a negative id", '2-1["message"]'],
      ["an ack that is no array", "31{}"],
      ["DISCONNECT with data", "1{}"],
      ["a second CONNECT to the same namespace", "0"],
      ["an event for a namespace not joined", '2/custom,["message"]'],
      ["an event for a namespace that does not exist", '2/random,["message"]'],
      ["DISCONNECT of a namespace not joined", "1/custom,"],
      ["CONNECT_ERROR from a client", '4{"message":"no"}'],
      ["an unknown packet type", "7"],
      ["an empty message", ""],
      ["a binary event without a count", '5["message"]'],
      ["a binary event without a dash", "51"],
      ["a binary event with a count that is no number", '5a-["message"]'],
      ["a binary event with a fraction as count", '51.23-["message"]'],
      ["eleven attachments", `511-${JSON.stringify(["message", placeholder])}`],
      ["an attachment when none is due", BYTES_1],
      ["text while an attachment is due", `51-${JSON.stringify(["message", placeholder])}`, '2["message"]'],
      ["a placeholder out of range", '51-["message",{"_placeholder":true,"num":1}]', BYTES_1],
      ["a negative placeholder", '51-["message",{"_placeholder":true,"num":-1}]', BYTES_1],
      ["a placeholder that is a property of every array", '51-["message",{"_placeholder":true,"num":"splice"}]', BYTES_1],
      ["a binary reserved event", '51-["connect",{"_placeholder":true,"num":0}]', BYTES_1],
    ];
    for (const [what, ...packets] of afterConnect) {
      test(what, async (t) => {
        const session = await joined(t);
        await session.send(...packets);
        await closedNow(session);
      });
    }

    const refusedByUs = [
      ["an event without data", "2"],
      ["an event with an id and no data", "21"],
      ["a space before the id", '2 12["message"]'],
      ["an id beyond 2^53-1", '29007199254740992["message-with-ack"]'],
      ["a count with a leading zero", `501-${JSON.stringify(["message", placeholder])}`],
      ["a count with a space", `5 1-${JSON.stringify(["message", placeholder])}`],
      ["a count in hexadecimal", `50x1-${JSON.stringify(["message", placeholder])}`],
      ["a count in exponential notation", `51e0-${JSON.stringify(["message", placeholder])}`],
      ["a placeholder between two attachments", '51-["message",{"_placeholder":true,"num":0.5}]', BYTES_1],
      ["a binary event with no attachment", '50-["message"]'],
    ];
    for (const [what, ...packets] of refusedByUs) {
      test(what, stricterThanNode, async (t) => {
        const session = await joined(t);
        await session.send(...packets);
        await closedNow(session);
      });
    }

  });
}
