// What one exchange does and sees, as a list of steps in which everything that differs from run to
// run is masked: ids, dates, and whatever depends on the connection or on the moment of a heartbeat.

import { RawConnection } from "./raw-connection.mjs";

const PATH = "/socket.io/";
// In ms; what ends a session ends it at once, and pongs keep it from ending for another reason.
const MOMENT = 200;
const SEPARATOR = "\x1e";
const OF_THE_CONNECTION = ["date", "connection", "keep-alive"];
// From RFC 6455, section 1.3; with a fixed key the accept value is the same each time and compared.
const HANDSHAKE = [
  ["Connection", "Upgrade"],
  ["Upgrade", "websocket"],
  ["Sec-WebSocket-Version", "13"],
  ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
];

export class Recording {
  #base;
  #connections = [];
  steps = [];

  constructor(base) {
    this.#base = base;
  }

  /** One HTTP request on its own connection. `query` is an object or the query string itself. */
  async http(method, query, options = {}) {
    return (await this.httpLater(method, query, options)).recorded();
  }

  /** As `http`, but recorded when `recorded()` is awaited: for a request that waits. */
  async httpLater(method, query, { headers = [], body = "", path = PATH } = {}) {
    const send = () => this.#send(method, query, { headers, body, path });
    let answer = send();
    answer.catch(() => {});
    return {
      recorded: async () => {
        let response = await answer;
        // A poll that only brought a heartbeat is answered and repeated, as if it had not been.
        while (isPollOfSession(method, query) && response.status === 200 && response.body === "2") {
          await this.pong(query);
          answer = send();
          response = await answer;
        }
        const packets = response.body.split(SEPARATOR);
        if (isPollOfSession(method, query) && response.status === 200 && packets.includes("2")) {
          await this.pong(query);
          response.body = packets.filter((packet) => packet !== "2").join(SEPARATOR);
        }
        this.#record(`${method} ${shown(path, query)}${body && ` ${abridged(body)}`}`, response);
        return response;
      },
    };
  }

  /** Answers a ping without recording it. */
  async pong(query) {
    await this.#send("POST", query, { headers: [], body: "3", path: PATH });
  }

  /** Opens a polling session. */
  async polling(query = {}) {
    const { body } = await this.http("GET", { EIO: 4, transport: "polling", ...query });
    const { sid } = JSON.parse(body.slice(1));
    const session = { EIO: 4, transport: "polling", ...query, sid };
    return {
      sid,
      query: session,
      get: () => this.http("GET", session),
      getLater: () => this.httpLater("GET", session),
      post: (packets, headers = []) => this.http("POST", session, { body: packets, headers }),
    };
  }

  /** A WebSocket handshake, whatever comes of it. `answerPings` false records heartbeats. */
  async webSocket(query = {}, { headers = [], path = PATH, answerPings = true } = {}) {
    const connection = this.#connect();
    const all = typeof query === "string" ? query : { EIO: 4, transport: "websocket", ...query };
    connection.request("GET", target(path, all), [...HANDSHAKE, ...headers]);
    const response = await connection.response();
    this.#record(`WebSocket ${shown(path, all)}`, response);
    return {
      response,
      /** Sends text, or a binary frame for a Buffer. */
      send: (data) => connection.send(typeof data === "string" ? 1 : 2, data),
      sendFrame: (opcode, data) => connection.send(opcode, data),
      sendBytes: (bytes) => connection.sendBytes(bytes),
      /** Records the next frame that is no heartbeat. */
      receive: async (label = "frame") => {
        for (;;) {
          const frame = await connection.frame();
          if (answerPings && frame.type === "text" && frame.data === "2") {
            connection.send(1, "3");
            continue;
          }
          if (frame.type === "close") {
            connection.send(8, frame.data.code === null ? "" : Buffer.from([frame.data.code >> 8, frame.data.code & 255]));
          }
          this.steps.push({ step: label, ...frame });
          return frame.data;
        }
      },
      destroy: () => connection.destroy(),
    };
  }

  /** A session on WebSocket whose open packet was recorded. */
  async webSocketSession(query, options) {
    const webSocket = await this.webSocket(query, options);
    const open = await webSocket.receive("open packet");
    return Object.assign(webSocket, { sid: JSON.parse(open.slice(1)).sid });
  }

  /** Records whether the session outlives what was done to it: it is given a moment to end. */
  async known(sid) {
    const deadline = performance.now() + MOMENT;
    let known = true;
    while (known && performance.now() < deadline) {
      const query = { EIO: 4, transport: "polling", sid };
      const { body } = await this.#send("POST", query, { headers: [], body: "3", path: PATH });
      known = !body.includes('"code":1');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    this.steps.push({ step: "is the session known", known });
  }

  fail(error) {
    this.steps.push({ step: "error", message: error.message });
  }

  end() {
    for (const connection of this.#connections) {
      connection.destroy();
    }
    return masked(this.steps);
  }

  #connect() {
    const connection = new RawConnection(this.#base);
    this.#connections.push(connection);
    return connection;
  }

  #send(method, query, { headers, body, path }) {
    const connection = this.#connect();
    connection.request(method, target(path, query), [["Connection", "close"], ...headers], body);
    return connection.response();
  }

  #record(step, { status, headers, length, body }) {
    const kept = Object.entries(headers)
      .filter(([name]) => !OF_THE_CONNECTION.includes(name))
      .map(([name, value]) => [name, name === "content-length" && Number(value) === length ? "<exact>" : value])
      .sort(([a], [b]) => (a < b ? -1 : 1));
    this.steps.push({ step, status, headers: Object.fromEntries(kept), body: abridged(body) });
  }
}

function target(path, query) {
  const text = typeof query === "string" ? query : new URLSearchParams(query).toString();
  return text ? `${path}?${text}` : path;
}

function shown(path, query) {
  return decodeURIComponent(target(path, query));
}

function abridged(text) {
  return text.length > 400 ? `${text.slice(0, 40)}… (${text.length} characters)` : text;
}

function isPollOfSession(method, query) {
  return method === "GET" && typeof query === "object" && query.sid !== undefined;
}

/** Replaces each session id by its number of appearance. */
function masked(steps) {
  let text = JSON.stringify(steps);
  const sids = new Set([...text.matchAll(/\\"sid\\":\\"([^"\\]+)\\"/g)].map(([, sid]) => sid));
  [...sids].forEach((sid, index) => {
    text = text.replaceAll(sid, `<sid ${index + 1}>`);
  });
  return JSON.parse(text);
}
