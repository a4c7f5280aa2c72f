// What one exchange does and sees, as a list of steps in which everything that differs from run to
// run is masked: ids, dates, and whatever depends on the connection or on the moment of a heartbeat.

import { RawConnection } from "./raw-connection.mjs";

const PATH = "/socket.io/";
// In ms, for something that is not going to come.
const PATIENCE = 5000;
// In ms; what ends a session ends it at once on an idle machine, and pongs keep it from ending for another reason.
const MOMENT = 1000;
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

  /** As `http`, but not recorded: what comes in how many answers is a matter of moments. */
  silently(method, query, { headers = [], body = "" } = {}) {
    return this.#send(method, query, { headers, body, path: PATH });
  }

  /** Records something that the exchange has found out. */
  note(step, value) {
    this.steps.push({ step, value });
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
      getLater: async () => {
        const waiting = await this.httpLater("GET", session);
        // Another connection has no order with this one; some requests later it has been read.
        for (let round = 0; round < 3; round += 1) {
          await this.#send("GET", {}, { headers: [], body: "", path: PATH });
        }
        return waiting;
      },
      post: (packets, headers = []) => this.http("POST", session, { body: packets, headers }),
    };
  }

  /** A WebSocket handshake, whatever comes of it. `answerPings` false records heartbeats. */
  async webSocket(query = {}, { headers = [], path = PATH, answerPings = true } = {}) {
    const connection = this.#connect();
    const all = typeof query === "string" ? query : { EIO: 4, transport: "websocket", ...query };
    const given = headers.map(([name]) => name);
    connection.request("GET", target(path, all), [...HANDSHAKE.filter(([name]) => !given.includes(name)), ...headers]);
    const response = await connection.response();
    this.#record(`WebSocket ${shown(path, all)}`, response);
    const nextFrame = async () => {
      // Pings go on whatever happens; they must not prolong the wait.
      const deadline = performance.now() + PATIENCE;
      while (performance.now() < deadline) {
        const frame = await connection.frame(deadline - performance.now());
        if (answerPings && frame?.type === "text" && frame.data === "2") {
          connection.send(1, "3");
        } else if (frame?.type === "close") {
          connection.send(8, frame.payload.subarray(0, 2));
          return { type: "close", data: frame.data };
        } else if (frame) {
          return frame;
        }
      }
      return { type: "nothing" };
    };
    return {
      response,
      /** Sends text, or a binary frame for a Buffer. */
      send: (data) => connection.send(typeof data === "string" ? 1 : 2, data),
      sendFrame: (opcode, data) => connection.send(opcode, data),
      sendBytes: (bytes) => connection.sendBytes(bytes),
      /**
       * Records the next frame that is no heartbeat, as one line: `text …`, `binary …`, `close <code>`;
       * `end` when the connection ended without one, `refused` when it never became a WebSocket.
       */
      receive: async (label = "frame") => {
        const frame = response.status === 101 ? await nextFrame() : { type: "refused" };
        this.steps.push({ step: label, frame: [frame.type, frame.data].filter((part) => part !== undefined).join(" ") });
        return frame.data;
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
    await this.#known({ EIO: 4, transport: "polling", sid }, "3");
  }

  /** The same, of a session of revision 3, which is polled by this query. */
  async knownAs(query) {
    await this.#known(query, "1:6");
  }

  async #known(query, keepsAlive) {
    const deadline = performance.now() + MOMENT;
    let known = true;
    while (known && performance.now() < deadline) {
      const { body } = await this.#send("POST", query, { headers: [], body: keepsAlive, path: PATH });
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
  const sids = new Set([...text.matchAll(/\\+"sid\\+":\\+"([^"\\]+)\\/g)].map(([, sid]) => sid));
  [...sids].forEach((sid, index) => {
    text = text.replaceAll(sid, `<sid ${index + 1}>`);
  });
  return JSON.parse(text);
}
