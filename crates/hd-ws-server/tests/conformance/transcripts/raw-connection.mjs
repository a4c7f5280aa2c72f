// One TCP connection and what comes back on it, byte for byte: an HTTP response, and behind a 101
// WebSocket frames. Clients would hide what transcripts are about (order, close codes, refusals).

import { connect } from "node:net";
import { gunzipSync, inflateSync } from "node:zlib";
import { Inbox } from "../support/inbox.mjs";

const OPCODES = { 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong" };

export class RawConnection {
  #socket;
  #buffer = Buffer.alloc(0);
  #response;
  #inbox = new Inbox();
  #upgraded = false;
  #ended = false;
  #method;

  constructor(base) {
    const { hostname, port } = new URL(base);
    this.#socket = connect(Number(port), hostname);
    this.#socket.setNoDelay(true);
    this.#socket.on("data", (chunk) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#parse();
    });
    // A reset and an orderly end are the same to a client; which one comes depends on timing.
    this.#socket.on("error", () => this.#finish());
    this.#socket.on("close", () => this.#finish());
    this.host = `${hostname}:${port}`;
  }

  /** Sends a request head and body as given; `headers` are `[name, value]` pairs. */
  request(method, target, headers = [], body = "") {
    this.#method = method;
    const bytes = Buffer.from(body);
    const all = [["Host", this.host], ...headers];
    if (bytes.length > 0 || method === "POST") {
      all.push(["Content-Length", bytes.length]);
    }
    const head = `${method} ${target} HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
    this.#socket.write(Buffer.concat([Buffer.from(head), bytes]));
  }

  /** The response: `{status, headers, length, body}`, the body decoded and its length on the wire; status 0 if none came. */
  async response(timeout = 20_000) {
    try {
      return await this.#inbox.next(timeout);
    } catch (error) {
      if (this.#ended) {
        return { status: 0, headers: {}, length: 0, body: "" };
      }
      throw error;
    }
  }

  /** The next frame: `{type, data}`, `{type: "end"}` once the connection is over, nothing after `timeout` ms. */
  frame(timeout) {
    return this.#inbox.next(timeout).catch(() => (this.#ended ? { type: "end" } : undefined));
  }

  /** Sends one masked frame; `opcode` 1 is text, 2 binary, 8 close. */
  send(opcode, data) {
    const payload = Buffer.from(data);
    // An all-zero mask is a legal mask and leaves the payload readable.
    const mask = Buffer.alloc(4);
    let head;
    if (payload.length < 126) {
      head = Buffer.from([0x80 | opcode, 0x80 | payload.length]);
    } else if (payload.length < 65_536) {
      head = Buffer.from([0x80 | opcode, 0x80 | 126, payload.length >> 8, payload.length & 255]);
    } else {
      head = Buffer.alloc(10);
      head[0] = 0x80 | opcode;
      head[1] = 0x80 | 127;
      head.writeBigUInt64BE(BigInt(payload.length), 2);
    }
    this.#socket.write(Buffer.concat([head, mask, payload]));
  }

  /** Sends bytes as they are. */
  sendBytes(bytes) {
    this.#socket.write(bytes);
  }

  destroy() {
    this.#socket.destroy();
  }

  #parse() {
    if (this.#upgraded) {
      this.#parseFrames();
    } else if (!this.#response || !this.#response.done) {
      this.#parseResponse();
    }
  }

  #parseResponse() {
    if (!this.#response) {
      const end = this.#buffer.indexOf("\r\n\r\n");
      if (end === -1) {
        return;
      }
      const [statusLine, ...lines] = this.#buffer.subarray(0, end).toString("latin1").split("\r\n");
      const headers = {};
      for (const line of lines) {
        const colon = line.indexOf(":");
        headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
      }
      this.#response = { status: Number(statusLine.split(" ")[1]), headers };
      this.#buffer = this.#buffer.subarray(end + 4);
    }
    const response = this.#response;
    if (response.status === 101) {
      this.#deliver();
      this.#upgraded = true;
      this.#parseFrames();
    } else if (this.#method === "HEAD" || response.status === 204 || response.status === 304) {
      this.#deliver();
    } else if (response.headers["transfer-encoding"] === "chunked") {
      const body = unchunked(this.#buffer);
      if (body !== undefined) {
        this.#deliver(body);
      }
    } else if (response.headers["content-length"] !== undefined) {
      const length = Number(response.headers["content-length"]);
      if (this.#buffer.length >= length) {
        this.#deliver(this.#buffer.subarray(0, length));
      }
    }
  }

  #deliver(bytes = Buffer.alloc(0)) {
    const { status, headers } = this.#response;
    this.#response.done = true;
    // Two servers need not compress to the same bytes.
    const decode = { gzip: gunzipSync, deflate: inflateSync }[headers["content-encoding"]] ?? ((same) => same);
    this.#inbox.push({ status, headers, length: bytes.length, body: decode(bytes).toString() });
  }

  #parseFrames() {
    for (;;) {
      if (this.#buffer.length < 2) {
        return;
      }
      let length = this.#buffer[1] & 127;
      let head = 2;
      if (length === 126 && this.#buffer.length >= 4) {
        length = this.#buffer.readUInt16BE(2);
        head = 4;
      } else if (length === 127 && this.#buffer.length >= 10) {
        length = Number(this.#buffer.readBigUInt64BE(2));
        head = 10;
      } else if (length > 125) {
        return;
      }
      if (this.#buffer.length < head + length) {
        return;
      }
      const type = OPCODES[this.#buffer[0] & 15] ?? `opcode ${this.#buffer[0] & 15}`;
      const payload = this.#buffer.subarray(head, head + length);
      this.#buffer = this.#buffer.subarray(head + length);
      if (type === "close") {
        const code = payload.length >= 2 ? `${payload.readUInt16BE(0)} ${payload.subarray(2)}`.trim() : "without a code";
        this.#inbox.push({ type, data: code, payload });
      } else {
        this.#inbox.push({ type, data: type === "text" ? payload.toString() : payload.toString("hex") });
      }
    }
  }

  #finish() {
    if (this.#ended) {
      return;
    }
    this.#ended = true;
    // A response without a length ends with its connection.
    if (this.#response && !this.#response.done && !this.#upgraded) {
      this.#deliver(this.#buffer);
    }
    this.#inbox.end("the connection ended");
  }
}

/** The body once its last chunk is there. */
function unchunked(buffer) {
  const parts = [];
  let at = 0;
  for (;;) {
    const end = buffer.indexOf("\r\n", at);
    if (end === -1) {
      return undefined;
    }
    const length = Number.parseInt(buffer.subarray(at, end).toString(), 16);
    const next = end + 2 + length + 2;
    if (buffer.length < next) {
      return undefined;
    }
    if (length === 0) {
      return Buffer.concat(parts);
    }
    parts.push(buffer.subarray(end + 2, end + 2 + length));
    at = next;
  }
}
