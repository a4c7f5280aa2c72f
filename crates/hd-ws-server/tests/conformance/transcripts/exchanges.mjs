// The exchanges that are compared between servers: `[name, async (io) => …]`, where `io` is a
// Recording. They cover the tables of how Node's Engine.IO and Socket.IO servers answer, odd input
// included, and run against a server with the settings of the echo example.

const POLLING = { EIO: 4, transport: "polling" };
const UNKNOWN_SID = "abcdefghijklmnopqrst";

/** Joins the main namespace over polling; what that answers is recorded. */
async function joinedPolling(io) {
  const session = await io.polling();
  await session.post("40");
  await session.get();
  return session;
}

/** Joins the main namespace over WebSocket; what that answers is recorded. */
async function joinedWebSocket(io) {
  const socket = await io.webSocketSession();
  socket.send("40");
  await socket.receive("connect");
  await socket.receive("auth event");
  return socket;
}

/** What a joined WebSocket session answers to `frames`: an echo asked for last, or the end. */
function afterJoin(frames) {
  return async (io) => {
    const socket = await joinedWebSocket(io);
    for (const frame of frames) {
      socket.send(frame);
    }
    if (frames.every((frame) => typeof frame === "string")) {
      socket.send('42["message","last"]');
    }
    await socket.receive("answer");
  };
}

/** What a session that joined nothing answers to `packet`. */
function beforeJoin(packet) {
  return async (io) => {
    const socket = await io.webSocketSession();
    socket.send(packet);
    await socket.receive("answer");
  };
}

async function upgraded(io) {
  const session = await io.polling();
  const socket = await io.webSocket({ sid: session.sid });
  socket.send("2probe");
  await socket.receive("probe");
  socket.send("5");
  socket.send("40");
  await socket.receive("connect");
  await socket.receive("auth event");
  return { session, socket };
}

const bytes = Buffer.from([1, 2, 3]);
const placeholder = '{"_placeholder":true,"num":0}';

export const exchanges = [
  // Handshake and verification
  ["handshake polling", (io) => io.polling()],
  ["handshake polling, HTTP path below the endpoint", (io) => io.http("GET", POLLING, { path: "/socket.io/xyz" })],
  ["handshake polling, path without slash", (io) => io.http("GET", POLLING, { path: "/socket.io" })],
  ["handshake polling, another path", (io) => io.http("GET", POLLING, { path: "/elsewhere" })],
  ["handshake polling with b64", (io) => io.polling({ b64: 1 })],
  ["handshake polling with an Origin", (io) => io.http("GET", POLLING, { headers: [["Origin", "http://front.example"]] })],
  ["handshake polling by Internet Explorer", (io) =>
    io.http("GET", POLLING, { headers: [["User-Agent", "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko"]] })],
  ["handshake websocket", (io) => io.webSocketSession()],
  ["handshake websocket with an Origin", (io) => io.webSocketSession({}, { headers: [["Origin", "http://front.example"]] })],
  ["handshake websocket, offered subprotocol", (io) => io.webSocketSession({}, { headers: [["Sec-WebSocket-Protocol", "chat"]] })],
  ["handshake websocket, offered compression", (io) =>
    io.webSocketSession({}, { headers: [["Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"]] })],
  ["handshake websocket, path without slash", (io) => io.webSocket({}, { path: "/socket.io" })],
  ["preflight", (io) =>
    io.http("OPTIONS", POLLING, {
      headers: [
        ["Origin", "http://front.example"],
        ["Access-Control-Request-Method", "POST"],
        ["Access-Control-Request-Headers", "authorization"],
      ],
    })],
  ["OPTIONS without an Origin", (io) => io.http("OPTIONS", POLLING)],
  ["HEAD handshake", (io) => io.http("HEAD", POLLING)],
  ["transport missing", (io) => io.http("GET", { EIO: 4 })],
  ["no query at all", (io) => io.http("GET", "")],
  ["transport unknown", (io) => io.http("GET", { EIO: 4, transport: "abc" })],
  ["transport __proto__", (io) => io.http("GET", { EIO: 4, transport: "__proto__" })],
  ["transport webtransport", (io) => io.http("GET", { EIO: 4, transport: "webtransport" })],
  ["transport polling in capitals", (io) => io.http("GET", { EIO: 4, transport: "POLLING" })],
  ["transport websocket without upgrade", (io) => io.http("GET", { EIO: 4, transport: "websocket" })],
  ["sid unknown", (io) => io.http("GET", { ...POLLING, sid: UNKNOWN_SID })],
  ["sid empty", (io) => io.http("GET", { ...POLLING, sid: "" })],
  ["sid unknown, POST", (io) => io.http("POST", { ...POLLING, sid: UNKNOWN_SID }, { body: "4a" })],
  ["handshake by POST", (io) => io.http("POST", POLLING, { body: "4a" })],
  ["handshake by PUT", (io) => io.http("PUT", POLLING, { body: "4a" })],
  ["handshake by DELETE", (io) => io.http("DELETE", POLLING)],
  ["EIO missing", (io) => io.http("GET", { transport: "polling" })],
  ["EIO 3", (io) => io.http("GET", { EIO: 3, transport: "polling" })],
  ["EIO 5", (io) => io.http("GET", { EIO: 5, transport: "polling" })],
  ["EIO no number", (io) => io.http("GET", { EIO: "4abc", transport: "polling" })],
  ["transport wins over EIO and sid", (io) => io.http("GET", { EIO: 3, transport: "abc", sid: UNKNOWN_SID })],
  ["sid wins over EIO", (io) => io.http("GET", { EIO: 3, transport: "polling", sid: UNKNOWN_SID })],
  ["method wins over EIO", (io) => io.http("POST", { EIO: 3, transport: "polling" }, { body: "4a" })],
  ["query keys twice, the last is right", (io) => io.http("GET", "EIO=3&EIO=4&transport=abc&transport=polling")],
  ["query keys twice, the last is wrong", (io) => io.http("GET", "EIO=4&transport=polling&transport=abc")],
  ["websocket, transport missing", (io) => io.webSocket("EIO=4")],
  ["websocket, transport unknown", (io) => io.webSocket({ transport: "abc" })],
  ["websocket, transport polling", (io) => io.webSocket({ transport: "polling" })],
  ["websocket, sid unknown", (io) => io.webSocket({ sid: UNKNOWN_SID })],
  ["websocket, EIO 3", (io) => io.webSocket({ EIO: 3 })],
  ["websocket, version 12", (io) => io.webSocket({}, { headers: [["Sec-WebSocket-Version", "12"]] })],
  ["session with another EIO", async (io) => {
    const session = await io.polling();
    await io.http("GET", { ...session.query, EIO: 3 });
    await io.http("POST", { transport: "polling", sid: session.sid }, { body: "40" });
    await io.known(session.sid);
  }],
  ["session with transport websocket without upgrade", async (io) => {
    const session = await io.polling();
    await io.http("GET", { ...session.query, transport: "websocket" });
    await io.known(session.sid);
  }],
  ["polling for a WebSocket session", async (io) => {
    const socket = await io.webSocketSession();
    await io.http("GET", { ...POLLING, sid: socket.sid });
    await io.http("POST", { ...POLLING, sid: socket.sid }, { body: "40" });
    await io.known(socket.sid);
  }],

  // Polling
  ["polling connect, event, ack, disconnect", async (io) => {
    const session = await joinedPolling(io);
    await session.post('42["message","hello",1,{"a":null}]');
    await session.get();
    await session.post('427["message-with-ack","hello"]');
    await session.get();
    await session.post("41");
    await io.known(session.sid);
  }],
  ["polling binary event and ack", async (io) => {
    const session = await joinedPolling(io);
    await session.post(`451-["message",${placeholder}]\x1ebAQID`);
    await session.get();
    await session.post(`451-7["message-with-ack",${placeholder}]\x1ebAQID`);
    await session.get();
  }],
  ["polling several packets in one payload", async (io) => {
    const session = await joinedPolling(io);
    await session.post('42["message",1]\x1e42["message",2]\x1e42["message",3]');
    await session.get();
  }],
  ["polling a waiting GET gets the event", async (io) => {
    const session = await joinedPolling(io);
    const waiting = await session.getLater();
    await session.post('42["message","woken"]');
    await waiting.recorded();
  }],
  ["polling GET with an Origin", async (io) => {
    const session = await io.polling();
    await session.post("40", [["Origin", "http://front.example"]]);
    await io.http("GET", session.query, { headers: [["Origin", "http://front.example"]] });
  }],
  ["polling other methods with a session", async (io) => {
    const session = await io.polling();
    for (const method of ["PUT", "DELETE", "PATCH"]) {
      await io.http(method, session.query);
    }
    await io.known(session.sid);
  }],
  ["polling HEAD with a session", async (io) => {
    const session = await io.polling();
    await io.http("HEAD", session.query);
    await io.known(session.sid);
  }],
  ["polling OPTIONS with a session", async (io) => {
    const session = await io.polling();
    await io.http("OPTIONS", session.query, { headers: [["Origin", "http://front.example"]] });
    await io.known(session.sid);
  }],
  ["polling binary content type", async (io) => {
    const session = await io.polling();
    await session.post("40", [["Content-Type", "application/octet-stream"]]);
    await io.known(session.sid);
  }],
  ["polling JSON content type", async (io) => {
    const session = await io.polling();
    await session.post("40", [["Content-Type", "application/json"]]);
    await session.get();
  }],
  ["polling body over maxPayload", async (io) => {
    const session = await io.polling();
    await session.post(`4${"a".repeat(1_000_000)}`);
    await io.known(session.sid);
  }],
  ["polling empty body", async (io) => {
    const session = await io.polling();
    await session.post("");
    await io.known(session.sid);
  }],
  ["polling unknown packet type", async (io) => {
    const session = await io.polling();
    await session.post("abc");
    await io.known(session.sid);
  }],
  ["polling unknown packet type while a GET waits", async (io) => {
    const session = await joinedPolling(io);
    const waiting = await session.getLater();
    await io.http("POST", session.query, { body: "abc" });
    await waiting.recorded();
    await io.known(session.sid);
  }],
  ["polling broken base64", async (io) => {
    const session = await joinedPolling(io);
    await session.post(`451-["message",${placeholder}]\x1eb***`);
    await session.get();
  }],
  ["polling a second GET while one waits", async (io) => {
    const session = await io.polling();
    const first = await session.getLater();
    await io.http("GET", session.query);
    await first.recorded();
    await io.known(session.sid);
  }],
  ["polling the same GET twice", async (io) => {
    const session = await io.polling({ t: "handshake" });
    const poll = { ...session.query, t: "poll" };
    await session.post("40");
    await io.http("GET", poll);
    await session.post('42["message","second"]');
    await io.http("GET", poll);
    await io.known(session.sid);
  }],
  ["polling close packet while a GET waits", async (io) => {
    const session = await io.polling();
    const waiting = await session.getLater();
    await session.post("1");
    await waiting.recorded();
    await io.known(session.sid);
  }],
  ["polling close packet, nothing waits", async (io) => {
    const session = await io.polling();
    await session.post("1");
    await io.known(session.sid);
  }],
  ["polling ping by the client", async (io) => {
    const session = await io.polling();
    await session.post("2");
    await io.known(session.sid);
  }],
  ["polling noop, open and upgrade packets by the client", async (io) => {
    for (const packet of ["0", "5", "6"]) {
      const session = await io.polling();
      await session.post(packet);
      await io.known(session.sid);
    }
  }],
  ["polling answer over the compression threshold", async (io) => {
    const session = await joinedPolling(io);
    await session.post(`42["message","${"a".repeat(2000)}"]`);
    await io.http("GET", session.query, { headers: [["Accept-Encoding", "gzip"]] });
  }],
  ["polling answer under the compression threshold", async (io) => {
    const session = await joinedPolling(io);
    await session.post('42["message","small"]');
    await io.http("GET", session.query, { headers: [["Accept-Encoding", "gzip, deflate"]] });
  }],
  ["polling large answer without Accept-Encoding", async (io) => {
    const session = await joinedPolling(io);
    await session.post(`42["message","${"a".repeat(2000)}"]`);
    await session.get();
  }],
  ["polling text beyond ASCII", async (io) => {
    const session = await joinedPolling(io);
    await session.post('42["message","ñandú € 🙂"]');
    await session.get();
  }],

  // WebSocket
  ["websocket connect, event, ack, disconnect", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.send('42["message","hello",1,{"a":null}]');
    await socket.receive("event");
    socket.send('427["message-with-ack","hello"]');
    await socket.receive("ack");
    socket.send("41");
    await io.known(socket.sid);
  }],
  ["websocket binary event and ack", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.send(`451-["message",${placeholder}]`);
    socket.send(bytes);
    await socket.receive("event");
    await socket.receive("attachment");
    socket.send(`451-7["message-with-ack",${placeholder}]`);
    socket.send(bytes);
    await socket.receive("ack");
    await socket.receive("attachment");
  }],
  ["websocket binary as base64 text", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.send(`451-["message",${placeholder}]`);
    socket.send("bAQID");
    await socket.receive("event");
    await socket.receive("attachment");
  }],
  ["websocket with b64 gets binary as base64 text", async (io) => {
    const socket = await io.webSocketSession({ b64: 1 });
    socket.send("40");
    await socket.receive("connect");
    await socket.receive("auth event");
    socket.send(`451-["message",${placeholder}]`);
    socket.send(bytes);
    await socket.receive("event");
    await socket.receive("attachment");
  }],
  ["websocket heartbeat", async (io) => {
    const socket = await io.webSocketSession({}, { answerPings: false });
    socket.send("40");
    await socket.receive("connect");
    await socket.receive("auth event");
    for (let beat = 0; beat < 2; beat += 1) {
      await socket.receive("ping");
      socket.send("3");
    }
  }],
  ["websocket missing pong", async (io) => {
    const socket = await io.webSocketSession({}, { answerPings: false });
    await socket.receive("ping");
    await socket.receive("end");
    await io.known(socket.sid);
  }],
  ["websocket ping by the client", async (io) => {
    const socket = await io.webSocketSession();
    socket.send("2");
    await socket.receive("end");
    await io.known(socket.sid);
  }],
  ["websocket unasked pong", afterJoin(["3"])],
  ["websocket noop", afterJoin(["6"])],
  ["websocket open packet by the client", afterJoin(["0"])],
  ["websocket close packet by the client", afterJoin(["1"])],
  ["websocket upgrade packet without an upgrade", afterJoin(["5"])],
  ["websocket unknown packet type", afterJoin(["abc"])],
  ["websocket empty text frame", afterJoin([""])],
  ["websocket message over maxPayload", afterJoin([`4${"a".repeat(1_000_000)}`])],
  ["websocket protocol ping", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.sendFrame(9, "abc");
    await socket.receive("pong");
  }],
  ["websocket close by the client", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.sendFrame(8, Buffer.from([0x03, 0xe8]));
    await socket.receive("close");
    await io.known(socket.sid);
  }],
  ["websocket unmasked frame", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.sendBytes(Buffer.from([0x81, 0x01, 0x33]));
    await socket.receive("answer");
  }],
  ["websocket reserved bits", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.sendBytes(Buffer.from([0xf1, 0x80, 0, 0, 0, 0]));
    await socket.receive("answer");
  }],
  ["websocket reserved opcode", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.sendBytes(Buffer.from([0x83, 0x80, 0, 0, 0, 0]));
    await socket.receive("answer");
  }],
  ["websocket text that is no UTF-8", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.sendFrame(1, Buffer.from([0x34, 0xff, 0xfe]));
    await socket.receive("answer");
  }],
  ["websocket declared length of 2^40", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.sendBytes(Buffer.from([0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    await socket.receive("answer");
  }],

  // Upgrade
  ["upgrade", async (io) => {
    const { socket } = await upgraded(io);
    socket.send('42["message","by websocket"]');
    await socket.receive("event");
  }],
  ["upgrade releases a waiting GET with noop", async (io) => {
    const session = await io.polling();
    const waiting = await session.getLater();
    const socket = await io.webSocket({ sid: session.sid });
    socket.send("2probe");
    await socket.receive("probe");
    await waiting.recorded();
  }],
  ["upgrade flushes what was not polled", async (io) => {
    const session = await io.polling();
    const socket = await io.webSocket({ sid: session.sid });
    socket.send("2probe");
    await socket.receive("probe");
    await session.post("40");
    socket.send("5");
    await socket.receive("connect");
    await socket.receive("auth event");
  }],
  ["upgrade, polling afterwards", async (io) => {
    const { session, socket } = await upgraded(io);
    await io.http("GET", session.query);
    await io.http("POST", session.query, { body: '42["message","too late"]' });
    socket.send('42["message","still here"]');
    await socket.receive("event");
  }],
  ["upgrade without a probe", async (io) => {
    const session = await io.polling();
    const socket = await io.webSocket({ sid: session.sid });
    socket.send("5");
    socket.send("40");
    await socket.receive("answer");
    await io.known(session.sid);
  }],
  ["upgrade with a message instead of a probe", async (io) => {
    const session = await io.polling();
    const socket = await io.webSocket({ sid: session.sid });
    socket.send("40");
    await socket.receive("answer");
    await io.known(session.sid);
  }],
  ["upgrade with a wrong probe", async (io) => {
    const session = await io.polling();
    const socket = await io.webSocket({ sid: session.sid });
    socket.send("2probing");
    await socket.receive("answer");
    await io.known(session.sid);
  }],
  ["upgrade with a second probe", async (io) => {
    const session = await io.polling();
    const socket = await io.webSocket({ sid: session.sid });
    socket.send("2probe");
    await socket.receive("probe");
    socket.send("2probe");
    await socket.receive("answer");
  }],
  ["upgrade twice at once", async (io) => {
    const session = await io.polling();
    const first = await io.webSocket({ sid: session.sid });
    first.send("2probe");
    await first.receive("probe");
    const second = await io.webSocket({ sid: session.sid });
    await second.receive("answer to the second");
    first.send("5");
    first.send("40");
    await first.receive("connect");
  }],
  ["upgrade of an upgraded session", async (io) => {
    const { session, socket } = await upgraded(io);
    const second = await io.webSocket({ sid: session.sid });
    await second.receive("answer to the second");
    socket.send('42["message","still here"]');
    await socket.receive("event");
  }],
  ["upgrade of a WebSocket session", async (io) => {
    const socket = await joinedWebSocket(io);
    const second = await io.webSocket({ sid: socket.sid });
    second.send("2probe");
    await second.receive("answer to the second");
    await io.known(socket.sid);
  }],

  // Namespaces
  ["connect with a payload", async (io) => {
    const socket = await io.webSocketSession();
    socket.send('40{"token":"abc"}');
    await socket.receive("connect");
    await socket.receive("auth event");
  }],
  ["connect to a custom namespace", async (io) => {
    const socket = await io.webSocketSession();
    socket.send('40/custom,{"token":"abc"}');
    await socket.receive("connect");
    await socket.receive("auth event");
  }],
  ["connect without the comma", async (io) => {
    const socket = await io.webSocketSession();
    socket.send("40/custom");
    await socket.receive("connect");
    await socket.receive("auth event");
  }],
  ["connect to two namespaces", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.send("40/custom,");
    await socket.receive("connect");
    await socket.receive("auth event");
    socket.send('42/custom,5["message-with-ack",1]');
    await socket.receive("ack");
  }],
  ["connect to an unknown namespace", async (io) => {
    const socket = await io.webSocketSession();
    socket.send("40/unknown,");
    await socket.receive("error");
    socket.send("40");
    await socket.receive("connect");
  }],
  ["connect to a namespace with a query", beforeJoin("40/custom?token=abc,")],
  ["connect to a namespace whose name is a property of every object", beforeJoin("40/__proto__,")],
  ["connect to / by name", beforeJoin("40/,")],
  ["connect with null", beforeJoin("40null")],
  ["connect with text", beforeJoin('40"token"')],
  ["connect with an array", beforeJoin("40[]")],
  ["connect with a number", beforeJoin("401")],
  ["connect with broken JSON", beforeJoin("40{")],
  ["connect with pid and offset of nobody", beforeJoin('40{"pid":"unknown","offset":"unknown"}')],
  ["event before connect", beforeJoin('42["message"]')],
  ["message packet with nothing in it", beforeJoin("4")],
  ["nothing joined within connectTimeout", async (io) => {
    const socket = await io.webSocketSession();
    await socket.receive("end");
  }],
  ["connect twice", afterJoin(["40"])],
  ["event for a namespace not joined", afterJoin(['42/custom,["message"]'])],
  ["disconnect of a namespace not joined", afterJoin(["41/custom,"])],
  ["connect error by the client", afterJoin(['44{"message":"no"}'])],

  // Parser
  ["parser: unknown packet type", afterJoin(["4999"])],
  ["parser: event without data", afterJoin(["42"])],
  ["parser: event with id and without data", afterJoin(["421"])],
  ["parser: event with an empty array", afterJoin(["42[]"])],
  ["parser: event that is an object", afterJoin(['42{"a":1}'])],
  ["parser: event name is an object", afterJoin(['42[{"toString":"foo"}]'])],
  ["parser: event name is a boolean", afterJoin(["42[true]"])],
  ["parser: event name is a number", afterJoin(["42[1]"])],
  ["parser: event name is null", afterJoin(["42[null]"])],
  ["parser: event name is empty", afterJoin(['42[""]'])],
  ["parser: reserved event name", afterJoin(['42["connect"]'])],
  ["parser: reserved event name newListener", afterJoin(['42["newListener"]'])],
  ["parser: event called error", afterJoin(['42["error",{}]'])],
  ["parser: negative id", afterJoin(['42-1["message"]'])],
  ["parser: space before the id", afterJoin(['42 12["message"]'])],
  ["parser: id with leading zeros", afterJoin(['42007["message-with-ack"]'])],
  ["parser: id of 2^53", afterJoin(['429007199254740992["message-with-ack"]'])],
  ["parser: id of 20 digits", afterJoin(['4299999999999999999999["message-with-ack"]'])],
  ["parser: ack that is an object", afterJoin(["431{}"])],
  ["parser: ack without an id", afterJoin(["43[]"])],
  ["parser: disconnect with data", afterJoin(["41{}"])],
  ["parser: white space in JSON", afterJoin(['42[ "message" , 1.0 , 1e2 ]'])],
  ["parser: escapes in JSON", afterJoin(['42["message","\\u00e9\\ud83d\\ude42\\u0000\\/"]'])],
  ["parser: half a surrogate pair", afterJoin(['42["message","\\ud83d"]'])],
  ["parser: keys twice in JSON", afterJoin(['42["message",{"a":1,"a":2}]'])],
  ["parser: number beyond a double", afterJoin(['42["message",12345678901234567890,1e400]'])],
  ["parser: count without a dash", afterJoin(["451"])],
  ["parser: count missing", afterJoin([`45-["message",${placeholder}]`])],
  ["parser: count is no number", afterJoin(["45a-"])],
  ["parser: count is a fraction", afterJoin(["451.23-"])],
  ["parser: count of zero", afterJoin(['450-["message"]'])],
  ["parser: count of zero and a binary frame", afterJoin(['450-["message"]', bytes])],
  ["parser: count of eleven", afterJoin([`4511-["message",${placeholder}]`])],
  ["parser: count with a space", afterJoin([`45 1-["message",${placeholder}]`, bytes])],
  ["parser: count in hexadecimal", afterJoin([`450x1-["message",${placeholder}]`, bytes])],
  ["parser: count in exponential notation", afterJoin([`451e0-["message",${placeholder}]`, bytes])],
  ["parser: count with leading zeros", afterJoin([`45001-["message",${placeholder}]`, bytes])],
  ["parser: placeholder out of range", afterJoin(['451-["message",{"_placeholder":true,"num":1}]', bytes])],
  ["parser: placeholder is text", afterJoin(['451-["message",{"_placeholder":true,"num":"splice"}]', bytes])],
  ["parser: placeholder is a fraction", afterJoin(['451-["message",{"_placeholder":true,"num":0.5}]', bytes])],
  ["parser: attachment never used", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.send('451-["message","text"]');
    socket.send(bytes);
    await socket.receive("answer");
  }],
  ["parser: placeholder used twice", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.send(`451-["message",${placeholder},${placeholder}]`);
    socket.send(bytes);
    await socket.receive("event");
    await socket.receive("first attachment");
    await socket.receive("second attachment");
  }],
  ["parser: placeholder in a text event", afterJoin([`42["message",${placeholder}]`])],
  ["parser: text while an attachment is due", afterJoin([`451-["message",${placeholder}]`, '42["message"]'])],
  ["parser: binary frame when none is due", afterJoin([bytes])],
];
