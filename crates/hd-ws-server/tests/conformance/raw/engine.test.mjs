// Engine.IO v4 by hand, against the server at ENGINE_URL that echoes every message on `/engine.io/`, and the one at
// HEARTBEAT_URL, which does so with frequent pings.
// Node's engine.io package passes all of it, but for the tests that say what we refuse and Node does not.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { describe } from "node:test";
import { Endpoint } from "../support/engine-client.mjs";
import { test } from "../support/limited-test.mjs";

const endpoint = new Endpoint(process.env.ENGINE_URL, "/engine.io/");
const beating = new Endpoint(process.env.HEARTBEAT_URL, "/engine.io/");
const stricterThanNode = { skip: process.env.REFERENCE === "1" && "Node is more lenient" };

/** Of HEARTBEAT_URL. */
const PING_INTERVAL = 300;
const PING_TIMEOUT = 2000;

/**
 * What a waiting GET is answered when a POST of `packets` ends its session, and what the POST was.
 *
 * The two requests are on two connections, so the POST may arrive first: then there was no waiting GET, and the
 * same is tried with a new session.
 */
async function waitingPoll(t, packets) {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const session = await endpoint.openPolling(t);
    const waiting = session.poll();
    const posted = await session.post(packets);
    const { status, body } = await waiting;
    await endpoint.sessionGone(session.handshake.sid);
    if (status === 400 && JSON.parse(body).code === 1) {
      continue;
    }
    assert.equal(status, 200);
    return { posted, body };
  }
  return assert.fail("the GET never arrived before the POST");
}

describe("handshake over polling", { concurrency: true }, () => {
  test("answers an open packet with every field, keys in Node's order", async () => {
    const { status, headers, body } = await endpoint.request({ EIO: 4, transport: "polling" });
    assert.equal(status, 200);
    assert.equal(headers.get("content-type"), "text/plain; charset=UTF-8");
    assert.equal(headers.get("cache-control"), "no-store");
    assert.equal(body[0], "0");
    const open = JSON.parse(body.slice(1));
    assert.deepEqual(Object.keys(open), ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]);
    assert.match(open.sid, /^[A-Za-z0-9_-]{20}$/);
    assert.deepEqual({ ...open, sid: "" }, {
      sid: "",
      upgrades: ["websocket"],
      pingInterval: 25_000,
      pingTimeout: 20_000,
      maxPayload: 1_000_000,
    });
  });

  test("gives every session its own id", async () => {
    const opens = await Promise.all(Array.from({ length: 20 }, () => endpoint.request({ EIO: 4, transport: "polling" })));
    const sids = new Set(opens.map(({ body }) => JSON.parse(body.slice(1)).sid));
    assert.equal(sids.size, 20);
  });

  const refused = [
    ["transport is missing", { EIO: 4 }, {}, 0, "Transport unknown"],
    ["transport is unknown", { EIO: 4, transport: "abc" }, {}, 0, "Transport unknown"],
    ["transport is a property of every object", { EIO: 4, transport: "__proto__" }, {}, 0, "Transport unknown"],
    ["transport is `constructor`", { EIO: 4, transport: "constructor" }, {}, 0, "Transport unknown"],
    ["transport is webtransport", { EIO: 4, transport: "webtransport" }, {}, 0, "Transport unknown"],
    ["transport is websocket without an upgrade", { EIO: 4, transport: "websocket" }, {}, 3, "Bad request"],
    ["sid is unknown", { EIO: 4, transport: "polling", sid: "abcdefghijklmnopqrst" }, {}, 1, "Session ID unknown"],
    ["sid is no session id at all", { EIO: 4, transport: "polling", sid: "__proto__" }, {}, 1, "Session ID unknown"],
    ["method is POST", { EIO: 4, transport: "polling" }, { method: "POST", body: "4a" }, 2, "Bad handshake method"],
    ["method is PUT", { EIO: 4, transport: "polling" }, { method: "PUT", body: "4a" }, 2, "Bad handshake method"],
    ["EIO is missing", { transport: "polling" }, {}, 5, "Unsupported protocol version"],
    ["EIO is 3", { EIO: 3, transport: "polling" }, {}, 5, "Unsupported protocol version"],
    ["EIO is 5", { EIO: 5, transport: "polling" }, {}, 5, "Unsupported protocol version"],
    ["EIO is not a number", { EIO: "abc", transport: "polling" }, {}, 5, "Unsupported protocol version"],
    ["EIO is 04", { EIO: "04", transport: "polling" }, {}, 5, "Unsupported protocol version"],
  ];
  for (const [reason, query, init, code, message] of refused) {
    test(`is refused with code ${code} when ${reason}`, async () => {
      const { status, headers, body } = await endpoint.request(query, init);
      assert.equal(status, 400);
      assert.match(headers.get("content-type"), /^application\/json/);
      assert.equal(body, JSON.stringify({ code, message }));
    });
  }

  test("checks the transport before the session id, and both before EIO", async () => {
    const both = await endpoint.request({ EIO: 3, transport: "abc", sid: "unknown" });
    assert.equal(JSON.parse(both.body).code, 0);
    const sid = await endpoint.request({ EIO: 3, transport: "polling", sid: "unknown" });
    assert.equal(JSON.parse(sid.body).code, 1);
  });

  test("the last of two equal query keys counts", async () => {
    const response = await fetch(`${endpoint.base}/engine.io/?EIO=3&EIO=4&transport=abc&transport=polling`);
    assert.equal(response.status, 200);
    assert.equal((await response.text())[0], "0");
  });

  test("the path without its slash is not served", async () => {
    const response = await fetch(`${endpoint.base}/engine.io?EIO=4&transport=polling`);
    assert.equal(response.status, 404);
    await response.text();
  });
});

describe("handshake over WebSocket", { concurrency: true }, () => {
  test("sends an open packet that offers no upgrade", async (t) => {
    const peer = await endpoint.openWebSocketSession(t);
    assert.match(peer.handshake.sid, /^[A-Za-z0-9_-]{20}$/);
    assert.deepEqual({ ...peer.handshake, sid: "" }, {
      sid: "",
      upgrades: [],
      pingInterval: 25_000,
      pingTimeout: 20_000,
      maxPayload: 1_000_000,
    });
  });

  const refused = [
    ["transport is missing", { EIO: 4 }],
    ["transport is unknown", { EIO: 4, transport: "abc" }],
    ["sid is unknown", { EIO: 4, transport: "websocket", sid: "abcdefghijklmnopqrst" }],
  ];
  for (const [reason, query] of refused) {
    test(`is refused with 400 when ${reason}`, async () => {
      assert.equal((await endpoint.webSocketRefusal(query)).status, 400);
    });
  }

  for (const EIO of [undefined, "3", "abc"]) {
    test(`gets no session when EIO is ${EIO}`, async () => {
      const query = { transport: "websocket", ...(EIO && { EIO }) };
      const { closed, status, packets = [] } = await endpoint.webSocketRefusal(query);
      assert.ok(closed || status === 400, "the WebSocket stayed open");
      assert.deepEqual(packets, []);
    });
  }

  test("is refused before 101 when EIO is 3", stricterThanNode, async () => {
    assert.equal((await endpoint.webSocketRefusal({ EIO: 3, transport: "websocket" })).status, 400);
  });
});

describe("messages over polling", { concurrency: 4 }, () => {
  test("a POST is answered `ok` and echoed to a GET", async (t) => {
    const session = await endpoint.openPolling(t);
    const posted = await session.post("4hello");
    assert.equal(posted.status, 200);
    assert.match(posted.headers.get("content-type"), /^text\/html/);
    assert.equal(posted.body, "ok");
    assert.deepEqual(await session.packets(), ["4hello"]);
  });

  test("a waiting GET is answered as soon as there is a message", async (t) => {
    const session = await endpoint.openPolling(t);
    const waiting = session.packets();
    await session.post("4€ and 🙂");
    assert.deepEqual(await waiting, ["4€ and 🙂"]);
  });

  test("several packets in one POST come back in order", async (t) => {
    const session = await endpoint.openPolling(t);
    await session.post("4one\x1e4two\x1e4three");
    assert.deepEqual(await session.packets(3), ["4one", "4two", "4three"]);
  });

  test("packets that are ready together share one payload", async (t) => {
    const session = await endpoint.openPolling(t);
    await session.post("4one\x1e4two");
    const { body } = await session.poll();
    assert.deepEqual(body.split("\x1e").filter((packet) => packet !== "2"), ["4one", "4two"]);
  });

  test("binary travels as base64", async (t) => {
    const session = await endpoint.openPolling(t);
    await session.post("bAQIDBA==");
    assert.deepEqual(await session.packets(), ["bAQIDBA=="]);
  });

  test("text and binary mix in one payload", async (t) => {
    const session = await endpoint.openPolling(t);
    await session.post("4text\x1ebAAH/\x1e4more");
    assert.deepEqual(await session.packets(3), ["4text", "bAAH/", "4more"]);
  });

  test("a message may contain what looks like a packet", async (t) => {
    const session = await endpoint.openPolling(t);
    await session.post('42["event",{"a":"1"}]');
    assert.deepEqual(await session.packets(), ['42["event",{"a":"1"}]']);
  });

  test("an unknown packet type ends the session", async (t) => {
    const session = await endpoint.openPolling(t);
    await session.post("abc");
    await endpoint.sessionGone(session.handshake.sid);
  });

  test("packets before an unknown type are processed", async (t) => {
    const { body } = await waitingPoll(t, "4first\x1eabc");
    assert.equal(body.split("\x1e").find((packet) => packet.startsWith("4")), "4first");
  });

  test("a body over maxPayload is answered 413 and the session lives", async (t) => {
    const session = await endpoint.openPolling(t);
    const { status } = await session.post(`4${"a".repeat(1_000_000)}`);
    assert.equal(status, 413);
    await session.post("4still here");
    assert.deepEqual(await session.packets(), ["4still here"]);
  });

  test("a body of exactly maxPayload is accepted", async (t) => {
    const session = await endpoint.openPolling(t);
    const message = `4${"a".repeat(999_999)}`;
    assert.equal((await session.post(message)).body, "ok");
    const [echoed] = await session.packets();
    assert.equal(echoed.length, message.length);
  });

  test("maxPayload counts bytes, not characters", async (t) => {
    const session = await endpoint.openPolling(t);
    assert.equal((await session.post(`4${"€".repeat(400_000)}`)).status, 413);
  });

  test("a binary body is refused with 400 and ends the session", async (t) => {
    const session = await endpoint.openPolling(t);
    const { status } = await session.post(Buffer.from([1, 2, 3]), {
      headers: { "content-type": "application/octet-stream" },
    });
    assert.equal(status, 400);
    await endpoint.sessionGone(session.handshake.sid);
  });

  test("a second GET while one waits ends the session", async (t) => {
    const session = await endpoint.openPolling(t);
    const polls = await Promise.all([session.poll(), session.poll()]);
    const refused = polls.filter(({ status }) => status === 400);
    assert.equal(refused.length, 1, "exactly one of the two polls is refused");
    await endpoint.sessionGone(session.handshake.sid);
  });

  test("a GET given up by the client ends the session", async (t) => {
    const session = await endpoint.openPolling(t);
    const { hostname, port, pathname, search } = new URL(endpoint.url(session.query));
    const connection = connect(Number(port), hostname);
    await once(connection, "connect");
    const request = `GET ${pathname}${search} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`;
    await new Promise((resolve) => connection.write(request, resolve));
    connection.destroy();
    await endpoint.sessionGone(session.handshake.sid);
  });

  test("a method that is neither GET nor POST is refused and the session lives", async (t) => {
    const session = await endpoint.openPolling(t);
    const { status } = await endpoint.request(session.query, { method: "PUT", body: "4a" });
    assert.ok(status >= 400, `PUT was answered ${status}`);
    await session.post("4still here");
    assert.deepEqual(await session.packets(), ["4still here"]);
  });

  test("another EIO for an existing session is refused with code 3 and the session lives", async (t) => {
    const session = await endpoint.openPolling(t);
    for (const query of [{ ...session.query, EIO: 3 }, { transport: "polling", sid: session.handshake.sid }]) {
      const { status, body } = await endpoint.request(query);
      assert.equal(status, 400);
      assert.equal(JSON.parse(body).code, 3);
    }
    await session.post("4still here");
    assert.deepEqual(await session.packets(), ["4still here"]);
  });

  test("transport=websocket without an upgrade for a polling session is refused with code 3", async (t) => {
    const session = await endpoint.openPolling(t);
    const { status, body } = await endpoint.request({ ...session.query, transport: "websocket" });
    assert.equal(status, 400);
    assert.equal(JSON.parse(body).code, 3);
  });

  test("large answers are compressed when the client accepts it", async (t) => {
    const session = await endpoint.openPolling(t);
    await session.post(`4${"a".repeat(10_000)}`);
    // fetch decodes what it gets and asks for gzip by itself.
    const [echoed] = await session.packets();
    assert.equal(echoed.length, 10_001);
  });
});

describe("messages over WebSocket", { concurrency: true }, () => {
  test("text is echoed as text", async (t) => {
    const peer = await endpoint.openWebSocketSession(t);
    peer.send("4hello €");
    assert.equal(await peer.next(), "4hello €");
  });

  test("binary is echoed as binary", async (t) => {
    const peer = await endpoint.openWebSocketSession(t);
    peer.send(Buffer.from([1, 2, 3, 4]));
    assert.deepEqual(await peer.next(), Buffer.from([1, 2, 3, 4]));
  });

  test("text that begins with b is base64 binary", async (t) => {
    const peer = await endpoint.openWebSocketSession(t);
    peer.send("bAQIDBA==");
    assert.deepEqual(await peer.next(), Buffer.from([1, 2, 3, 4]));
  });

  test("b64=1 turns outbound binary into base64 text", async (t) => {
    const peer = await endpoint.openWebSocket(t, { b64: 1 });
    assert.equal((await peer.next())[0], "0");
    peer.send(Buffer.from([1, 2, 3, 4]));
    assert.equal(await peer.next(), "bAQIDBA==");
  });

  test("a thousand messages come back in order", async (t) => {
    const peer = await endpoint.openWebSocketSession(t);
    for (let i = 0; i < 1000; i += 1) {
      peer.send(`4${i}`);
    }
    for (let i = 0; i < 1000; i += 1) {
      assert.equal(await peer.next(), `4${i}`);
    }
  });

  test("an unknown packet type closes the connection", async (t) => {
    const peer = await endpoint.openWebSocketSession(t);
    peer.send("abc");
    await peer.closed;
    await endpoint.sessionGone(peer.handshake.sid);
  });

  test("a message over maxPayload closes with 1009", async (t) => {
    const peer = await endpoint.openWebSocketSession(t);
    peer.send(`4${"a".repeat(1_000_000)}`);
    assert.equal((await peer.closed).code, 1009);
    await endpoint.sessionGone(peer.handshake.sid);
  });

  test("polling for a WebSocket session is refused with code 3", async (t) => {
    const peer = await endpoint.openWebSocketSession(t);
    const { status, body } = await endpoint.request({ EIO: 4, transport: "polling", sid: peer.handshake.sid });
    assert.equal(status, 400);
    assert.equal(JSON.parse(body).code, 3);
    peer.send("4still here");
    assert.equal(await peer.next(), "4still here");
  });
});

describe("heartbeat", { concurrency: true }, () => {
  test("over polling the server pings and a pong keeps the session", async (t) => {
    const session = await beating.openPolling(t);
    for (let beat = 0; beat < 3; beat += 1) {
      assert.equal((await session.poll()).body, "2");
      assert.equal((await session.post("3")).body, "ok");
    }
  });

  test("over WebSocket the server pings every pingInterval and a pong keeps the session", async (t) => {
    let started = performance.now();
    const peer = await beating.openWebSocketSession(t, { answerPings: false });
    // From before the session, or the pong, that the interval begins with.
    for (let beat = 0; beat < 3; beat += 1) {
      assert.equal(await peer.next(), "2");
      const waited = performance.now() - started;
      assert.ok(waited > PING_INTERVAL / 2 && waited < PING_INTERVAL + PING_TIMEOUT, `ping after ${waited} ms`);
      started = performance.now();
      peer.send("3");
    }
  });

  test("over polling a missing pong ends the session", async (t) => {
    const session = await beating.openPolling(t);
    assert.equal((await session.poll()).body, "2");
    const released = await session.poll();
    assert.ok(released.status === 400 || released.body === "1", `${released.status} ${released.body}`);
    await beating.sessionGone(session.handshake.sid);
  });

  test("over WebSocket a missing pong closes the connection", async (t) => {
    const started = performance.now();
    const peer = await beating.openWebSocketSession(t, { answerPings: false });
    assert.equal(await peer.next(), "2");
    await peer.closed;
    const waited = performance.now() - started;
    assert.ok(waited > PING_TIMEOUT, `closed after ${waited} ms already`);
    assert.ok(waited < 4 * (PING_INTERVAL + PING_TIMEOUT), `closed after ${waited} ms only`);
  });

  test("over polling a ping by the client ends the session", async (t) => {
    const session = await beating.openPolling(t);
    await session.post("2");
    await beating.sessionGone(session.handshake.sid);
  });

  test("over WebSocket a ping by the client closes the connection", async (t) => {
    const peer = await beating.openWebSocketSession(t);
    peer.send("2");
    await peer.closed;
    await beating.sessionGone(peer.handshake.sid);
  });
});

describe("close", { concurrency: true }, () => {
  test("over polling a close packet releases the waiting poll with noop", async (t) => {
    const { posted, body } = await waitingPoll(t, "1");
    assert.equal(posted.status, 200);
    assert.equal(posted.body, "ok");
    assert.equal(body, "6");
  });

  test("over WebSocket the closing handshake ends the session", async (t) => {
    const peer = await endpoint.openWebSocketSession(t);
    peer.socket.close(1000);
    assert.equal((await peer.closed).code, 1000);
    await endpoint.sessionGone(peer.handshake.sid);
  });

  test("over WebSocket a cut connection ends the session", async (t) => {
    const peer = await endpoint.openWebSocketSession(t);
    peer.socket.terminate();
    await endpoint.sessionGone(peer.handshake.sid);
  });
});

describe("upgrade", { concurrency: 4 }, () => {
  async function probe(t, session, options) {
    const peer = await session.endpoint.openWebSocket(t, { sid: session.handshake.sid }, options);
    peer.send("2probe");
    assert.equal(await peer.next(), "3probe");
    return peer;
  }

  test("a probe is answered, and after it messages go over WebSocket", async (t) => {
    const session = await endpoint.openPolling(t);
    const peer = await probe(t, session);
    peer.send("5");
    peer.send("4hello");
    assert.equal(await peer.next(), "4hello");
  });

  test("a waiting poll is released with noop once the probe was answered", async (t) => {
    const session = await endpoint.openPolling(t);
    const waiting = session.poll();
    await probe(t, session);
    const { status, body } = await waiting;
    assert.equal(status, 200);
    assert.equal(body, "6");
  });

  test("messages go on over polling between the probe and the upgrade", async (t) => {
    const session = await endpoint.openPolling(t);
    const peer = await probe(t, session);
    await session.post("4by polling");
    assert.deepEqual(await session.messages(), ["4by polling"]);
    peer.send("5");
    peer.send("4by websocket");
    assert.equal(await peer.next(), "4by websocket");
  });

  test("what was posted before the upgrade and not polled is flushed over WebSocket first", async (t) => {
    const session = await endpoint.openPolling(t);
    const peer = await probe(t, session);
    await session.post("4one\x1e4two");
    peer.send("5");
    peer.send("4three");
    assert.deepEqual([await peer.next(), await peer.next(), await peer.next()], ["4one", "4two", "4three"]);
  });

  test("binary is flushed as binary frames", async (t) => {
    const session = await endpoint.openPolling(t);
    const peer = await probe(t, session);
    await session.post("bAQIDBA==");
    peer.send("5");
    assert.deepEqual(await peer.next(), Buffer.from([1, 2, 3, 4]));
  });

  test("polling is refused after the upgrade, with code 3, and the session lives", async (t) => {
    const session = await endpoint.openPolling(t);
    const peer = await probe(t, session);
    peer.send("5");
    peer.send("4upgraded");
    assert.equal(await peer.next(), "4upgraded");
    for (const { status, body } of [await session.poll(), await session.post("4too late")]) {
      assert.equal(status, 400);
      assert.equal(JSON.parse(body).code, 3);
    }
    peer.send("4still here");
    assert.equal(await peer.next(), "4still here");
  });

  test("a poll that waits while the upgrade completes is released without a message", async (t) => {
    const session = await endpoint.openPolling(t);
    const peer = await probe(t, session);
    const waiting = session.poll();
    peer.send("5");
    const { status, body } = await waiting;
    // Over two connections, the poll can also come after the upgrade.
    assert.match(`${status} ${body}`, /^(200 [16]|400 \{"code":3,.*)$/);
    peer.send("4hello");
    assert.equal(await peer.next(), "4hello");
  });

  test("the server pings over WebSocket after the upgrade", async (t) => {
    const session = await beating.openPolling(t);
    const peer = await probe(t, session, { answerPings: false });
    peer.send("5");
    assert.equal(await peer.next(), "2");
    peer.send("3");
    assert.equal(await peer.next(), "2");
  });

  for (const packet of ["2", "2prob", "4hello", "6", "3probe", "abc"]) {
    test(`${packet} instead of a probe closes the new transport only`, async (t) => {
      const session = await endpoint.openPolling(t);
      const peer = await endpoint.openWebSocket(t, { sid: session.handshake.sid }, { answerPings: false });
      peer.send(packet);
      await peer.closed;
      await session.post("4still here");
      assert.deepEqual(await session.packets(), ["4still here"]);
    });
  }

  test("a message between the probe and the upgrade closes the new transport only", async (t) => {
    const session = await endpoint.openPolling(t);
    const peer = await probe(t, session);
    peer.send("4too early");
    await peer.closed;
    await session.post("4still here");
    assert.deepEqual(await session.messages(), ["4still here"]);
  });

  test("a new transport that is cut leaves the session on polling", async (t) => {
    const session = await endpoint.openPolling(t);
    const peer = await endpoint.openWebSocket(t, { sid: session.handshake.sid });
    peer.socket.terminate();
    await session.post("4still here");
    assert.deepEqual(await session.packets(), ["4still here"]);
  });

  test("a second upgrade while one runs is closed and the first completes", async (t) => {
    const session = await endpoint.openPolling(t);
    const first = await probe(t, session);
    const second = await endpoint.webSocketRefusal({ ...session.query, transport: "websocket" });
    assert.ok(second.closed, "opened, and closed again");
    first.send("5");
    first.send("4hello");
    assert.equal(await first.next(), "4hello");
  });

  test("an upgrade of an upgraded session is closed and the session lives", async (t) => {
    const session = await endpoint.openPolling(t);
    const first = await probe(t, session);
    first.send("5");
    first.send("4upgraded");
    assert.equal(await first.next(), "4upgraded");
    const second = await endpoint.webSocketRefusal({ ...session.query, transport: "websocket" });
    assert.ok(second.closed, "opened, and closed again");
    first.send("4still here");
    assert.equal(await first.next(), "4still here");
  });

  test("an upgrade of a session that began on WebSocket is closed and the session lives", stricterThanNode, async (t) => {
    const peer = await endpoint.openWebSocketSession(t);
    const second = await endpoint.webSocketRefusal({ EIO: 4, transport: "websocket", sid: peer.handshake.sid });
    assert.ok(second.closed, "opened, and closed again");
    peer.send("4still here");
    assert.equal(await peer.next(), "4still here");
  });

  test("nothing is lost or doubled while messages flow in both directions", async (t) => {
    const session = await endpoint.openPolling(t);
    const echoed = [];
    let upgraded = false;
    const polls = (async () => {
      while (!upgraded) {
        const { status, body } = await session.poll();
        if (status !== 200) {
          return;
        }
        const packets = body.split("\x1e");
        echoed.push(...packets.filter((packet) => packet[0] === "4"));
        if (packets.includes("2")) {
          await session.post("3");
        }
        if (packets.includes("6") || packets.includes("1")) {
          return;
        }
      }
    })();
    for (let i = 0; i < 20; i += 1) {
      await session.post(`4${i}`);
    }
    const peer = await probe(t, session);
    for (let i = 20; i < 40; i += 1) {
      await session.post(`4${i}`);
    }
    await polls;
    upgraded = true;
    peer.send("5");
    for (let i = 40; i < 60; i += 1) {
      peer.send(`4${i}`);
    }
    while (echoed.at(-1) !== "459") {
      echoed.push(await peer.next());
    }
    assert.deepEqual(echoed, Array.from({ length: 60 }, (_, i) => `4${i}`));
  });
});
