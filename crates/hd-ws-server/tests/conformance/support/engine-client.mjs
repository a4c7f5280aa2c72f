// The client's side of Engine.IO v4 reduced to what tests need: nothing is hidden, nothing is retried.

import { once } from "node:events";
import { WebSocket } from "ws";
import { Inbox } from "./inbox.mjs";

const SEPARATOR = "\x1e";

/** One Engine.IO endpoint, e.g. `http://127.0.0.1:3000` + `/engine.io/`. */
export class Endpoint {
  constructor(base, path) {
    this.base = base;
    this.path = path;
  }

  url(query) {
    return `${this.base}${this.path}?${new URLSearchParams(query)}`;
  }

  webSocketUrl(query) {
    return this.url(query).replace(/^http/, "ws");
  }

  /** A bare request; the query is written as given. */
  async request(query, init = {}) {
    const response = await fetch(this.url(query), { signal: AbortSignal.timeout(30_000), ...init });
    return { status: response.status, headers: response.headers, body: await response.text() };
  }

  /** Opens a session over polling: the open packet's content is in `handshake`. */
  async openPolling(t) {
    const { status, body } = await this.request({ EIO: 4, transport: "polling" });
    if (status !== 200 || !body.startsWith("0")) {
      throw new Error(`polling handshake failed: ${status} ${body}`);
    }
    const session = new PollingSession(this, JSON.parse(body.slice(1)));
    t.after(() => session.abandon());
    return session;
  }

  /**
   * Opens a WebSocket (and with a `sid` in `query` a WebSocket for an existing session). Pings are
   * answered and left out of what `next()` returns, unless `answerPings` is false.
   */
  async openWebSocket(t, query = {}, { answerPings = true, headers = {} } = {}) {
    const socket = new WebSocket(this.webSocketUrl({ EIO: 4, transport: "websocket", ...query }), { headers });
    const peer = new WebSocketPeer(socket, answerPings);
    t.after(() => socket.terminate());
    await once(socket, "open");
    return peer;
  }

  /** Opens a session over WebSocket: the open packet's content is in `handshake`. */
  async openWebSocketSession(t, options) {
    const peer = await this.openWebSocket(t, {}, options);
    const open = await peer.next();
    if (typeof open !== "string" || !open.startsWith("0")) {
      throw new Error(`expected an open packet, got ${open}`);
    }
    peer.handshake = JSON.parse(open.slice(1));
    return peer;
  }

  /** Resolves once the server does not know the session any more. */
  async sessionGone(sid) {
    const deadline = performance.now() + 30_000;
    while (performance.now() < deadline) {
      // A POST, because a GET would wait for data, and an empty pong leaves a live session as it is.
      const { status, body } = await this.request({ EIO: 4, transport: "polling", sid }, { method: "POST", body: "3" });
      if (status === 400 && JSON.parse(body).code === 1) {
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error("the session lives");
  }

  /** What a WebSocket attempt comes to: `{status, body}` of a refusal, or `{closed}` with its packets. */
  async webSocketRefusal(query, headers = {}) {
    const socket = new WebSocket(this.webSocketUrl(query), { headers });
    const packets = [];
    socket.on("message", (data) => packets.push(data.toString()));
    const outcome = await new Promise((resolve) => {
      socket.on("unexpected-response", (_request, response) => {
        let body = "";
        response.on("data", (chunk) => (body += chunk));
        response.on("end", () => resolve({ status: response.statusCode, body }));
        response.on("aborted", () => resolve({ status: response.statusCode, body }));
      });
      socket.on("error", () => resolve({ closed: true, packets }));
      socket.on("close", () => resolve({ closed: true, packets }));
      setTimeout(() => resolve({ closed: false, packets }), 10_000).unref();
    });
    socket.on("error", () => {});
    socket.terminate();
    return outcome;
  }
}

export class PollingSession {
  #abandoned = new AbortController();
  #posted = Promise.resolve();

  constructor(endpoint, handshake) {
    this.endpoint = endpoint;
    this.handshake = handshake;
    this.query = { EIO: 4, transport: "polling", sid: handshake.sid };
  }

  /** One POST, after those before it, be it a pong: two at a time end the session. `body` goes out as it is. */
  post(body, init = {}) {
    const posted = this.#posted.then(() => this.endpoint.request(this.query, { method: "POST", body, signal: this.#signal(), ...init }));
    this.#posted = posted.catch(() => {});
    return posted;
  }

  /** One GET, whatever it answers. */
  poll() {
    return this.endpoint.request(this.query, { signal: this.#signal() });
  }

  /** `packets` without the noops that release a poll while an upgrade is under way. */
  async messages(count = 1) {
    const received = [];
    while (received.length < count) {
      received.push(...(await this.packets()).filter((packet) => packet !== "6"));
    }
    return received;
  }

  /** Packets until at least `count` were received that are not pings; pings are answered. */
  async packets(count = 1) {
    const received = [];
    while (received.length < count) {
      const { status, body } = await this.poll();
      if (status !== 200) {
        throw new Error(`poll was answered ${status} ${body}`);
      }
      for (const packet of body.split(SEPARATOR)) {
        if (packet === "2") {
          await this.post("3");
        } else {
          received.push(packet);
        }
      }
    }
    return received;
  }

  /** Aborts whatever request is under way. */
  abandon() {
    this.#abandoned.abort();
  }

  #signal() {
    return AbortSignal.any([this.#abandoned.signal, AbortSignal.timeout(30_000)]);
  }
}

export class WebSocketPeer {
  #inbox = new Inbox();

  constructor(socket, answerPings) {
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.on("close", (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    socket.on("error", () => {});
    socket.on("message", (data, isBinary) => {
      const packet = isBinary ? data : data.toString();
      if (packet === "2" && answerPings) {
        socket.send("3");
      } else {
        this.#inbox.push(packet);
      }
    });
    this.closed.then(({ code }) => this.#inbox.end(`the WebSocket closed with ${code}`));
  }

  send(packet) {
    this.socket.send(packet);
  }

  /** The next packet: a string, or a Buffer for a binary frame. */
  next(timeout) {
    return this.#inbox.next(timeout);
  }
}
