// As exchanges.mjs, of clients of Engine.IO 3 and Socket.IO 2, against servers that allow them.

const POLLING = { EIO: 3, transport: "polling" };
const WEBSOCKET = { EIO: 3 };
const bytes = Buffer.from([4, 1, 2, 3]);
const placeholder = '{"_placeholder":true,"num":0}';

/** Opens a polling session; the query that names it. */
async function opened(io, query = {}) {
  const { body } = await io.http("GET", { ...POLLING, ...query });
  const [, sid] = /\\?"sid\\?":\\?"([^"\\]+)/.exec(body);
  return { ...POLLING, ...query, sid };
}

/** Opens a polling session and records what tells the client that it is in the main namespace. */
async function joined(io, query) {
  const session = await opened(io, query);
  await polled(io, session, query?.j === undefined ? '42["auth",{}]' : '42[\\"auth\\",{}]');
  return session;
}

/** Polls until `last` has come: how many packets come together is a matter of moments. */
async function polled(io, session, last) {
  let body = "";
  for (let round = 0; round < 5 && !body.includes(last); round += 1) {
    body += (await io.silently("GET", session)).body;
  }
  io.note("polled", body.replaceAll(/"\);___eio\[\d+\]\("/g, ""));
}

/** A body of packets, each with its length in UTF-16 code units. */
function payload(...packets) {
  return packets.map((packet) => `${packet.length}:${packet}`).join("");
}

async function webSocket(io, query = {}) {
  return io.webSocketSession({ ...WEBSOCKET, ...query });
}

async function joinedWebSocket(io) {
  const socket = await webSocket(io);
  await socket.receive("connect");
  await socket.receive("auth event");
  return socket;
}

/** What a WebSocket session in the main namespace answers to `frames`: an echo asked for last, or the end. */
function after(frames) {
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

/** What the body of a POST is answered with, and whether the session outlives it. */
function posted(body, headers = []) {
  return async (io) => {
    const session = await joined(io);
    await io.http("POST", session, { body, headers });
    await io.knownAs(session);
  };
}

export const exchangesOfRevision3 = [
  ["EIO3: handshake polling", (io) => opened(io)],
  ["EIO3: handshake polling with b64", (io) => opened(io, { b64: 1 })],
  ["EIO3: handshake polling by JSONP", (io) => opened(io, { j: 0 })],
  ["EIO3: handshake websocket", (io) => webSocket(io)],
  ["EIO3: handshake, EIO missing", (io) => io.http("GET", { transport: "polling" })],
  ["EIO3: handshake, EIO no number", (io) => io.http("GET", { EIO: "abc", transport: "polling" })],
  ["EIO3: handshake by POST", (io) => io.http("POST", POLLING, { body: "1:2" })],
  ["EIO3: a session with another EIO", async (io) => {
    const session = await opened(io);
    await io.http("GET", { ...session, EIO: 4 });
    await io.knownAs(session);
  }],
  ["EIO3: polling joins the main namespace", (io) => joined(io)],
  ["EIO3: websocket joins the main namespace", (io) => joinedWebSocket(io)],

  // Payloads
  ["EIO3: payload of several packets", async (io) => {
    const session = await joined(io);
    await io.http("POST", session, { body: payload('42["message","a"]', '42["message","é🙂"]') });
    await polled(io, session, "🙂");
  }],
  ["EIO3: payload with binary in base64", async (io) => {
    const session = await joined(io, { b64: 1 });
    await io.http("POST", session, { body: payload(`451-["message",${placeholder}]`, "b4AQID") });
    await polled(io, session, "b4AQID");
  }],
  ["EIO3: payload of bytes", async (io) => {
    const session = await joined(io);
    const packet = Buffer.from('42["message","é"]');
    const digits = [...String(packet.length)].map(Number);
    const body = Buffer.concat([Buffer.from([0, ...digits, 255]), packet]);
    await io.http("POST", session, { body, headers: [["Content-Type", "application/octet-stream"]] });
    await polled(io, session, "é");
  }],
  ["EIO3: binary by polling is answered in bytes", async (io) => {
    const session = await joined(io);
    await io.http("POST", session, { body: payload(`451-["message",${placeholder}]`, "b4AQID") });
    const { headers } = await io.silently("GET", session);
    io.note("content-type", headers["content-type"]);
  }],
  ["EIO3: payload without a length", posted("abc")],
  ["EIO3: payload with a length that is too long", posted("7:4hello")],
  ["EIO3: payload with an unknown packet type", posted("1:7")],
  ["EIO3: payload that is empty", posted("")],
  ["EIO3: ping by polling", async (io) => {
    const session = await joined(io);
    await io.http("POST", session, { body: "1:2" });
    await polled(io, session, "1:3");
  }],
  ["EIO3: pong by polling", posted("1:3")],
  ["EIO3: close by polling", posted("1:1")],

  // JSONP
  ["EIO3: JSONP", async (io) => {
    const session = await joined(io, { j: 4 });
    // As the client writes it into its form: a backslash and an n, which is how JSON ends a line.
    const d = payload('42["message","a\\n\u2028é🙂"]').replaceAll("\\n", "\\\n").replaceAll("\n", "\\n");
    const body = new URLSearchParams({ d }).toString();
    const headers = [["Content-Type", "application/x-www-form-urlencoded"]];
    await io.http("POST", session, { body, headers });
    await polled(io, session, "message-back");
  }],

  // WebSocket
  ["EIO3: ping by websocket", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.send("2");
    await socket.receive("pong");
  }],
  ["EIO3: pong by websocket", after(["3"])],
  ["EIO3: binary by websocket", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.send(`451-["message",${placeholder}]`);
    socket.send(bytes);
    await socket.receive("event");
    await socket.receive("attachment");
  }],
  ["EIO3: binary by websocket with b64", async (io) => {
    const socket = await webSocket(io, { b64: 1 });
    await socket.receive("connect");
    await socket.receive("auth event");
    socket.send(`451-["message",${placeholder}]`);
    socket.send("b4AQID");
    await socket.receive("event");
    await socket.receive("attachment");
  }],
  ["EIO3: upgrade", async (io) => {
    const session = await joined(io);
    const socket = await io.webSocket({ ...WEBSOCKET, sid: session.sid });
    socket.send("2probe");
    await socket.receive("probe");
    socket.send("5");
    socket.send('42["message","moved"]');
    await socket.receive("event");
    socket.send("2");
    await socket.receive("pong");
  }],
  ["EIO3: upgrade of an upgraded session", async (io) => {
    const session = await joined(io);
    const socket = await io.webSocket({ ...WEBSOCKET, sid: session.sid });
    socket.send("2probe");
    await socket.receive("probe");
    socket.send("5");
    socket.send("2");
    await socket.receive("pong");
    const second = await io.webSocket({ ...WEBSOCKET, sid: session.sid });
    await second.receive("answer to the second");
  }],

  // Socket.IO 2
  ["EIO3: a namespace", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.send("40/custom,");
    await socket.receive("connect");
    await socket.receive("auth event");
  }],
  ["EIO3: a namespace with a query", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.send("40/custom?token=abc&x=a%20b+c&x=%C3%A9,");
    await socket.receive("connect");
    await socket.receive("auth event");
    socket.send('42/custom,["message","there"]');
    await socket.receive("event");
    socket.send("41/custom,");
    socket.send('42["message","here"]');
    await socket.receive("event");
  }],
  ["EIO3: an unknown namespace", after(["40/random,"])],
  ["EIO3: an ack", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.send('427["message-with-ack",1,"é"]');
    await socket.receive("ack");
  }],
  ["EIO3: connect to the main namespace", after(["40"])],
  ["EIO3: connect error by the client", after(['44"no"'])],
  ["EIO3: event for a namespace not joined", after(['42/custom,["message"]'])],
  ["EIO3: disconnect", async (io) => {
    const socket = await joinedWebSocket(io);
    socket.send("41");
    socket.send('42["message"]');
    await socket.receive("answer");
  }],
];
