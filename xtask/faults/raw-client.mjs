// A Socket.IO client on a bare TCP connection, which can stop reading: no library lets go of its socket.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

export class RawClient {
  #user;
  #token;
  #url;
  #ledger;
  #socket;
  #bytes = Buffer.alloc(0);
  /** Events between the offset and the CONNECT reply, as socket.io-client keeps them. */
  #early;
  #pid;
  #offset;
  /** Bytes that were read from the network. */
  read = 0;

  constructor({ user, token, url, ledger }) {
    this.#user = user;
    this.#token = token;
    this.#url = new URL(url);
    this.#ledger = ledger;
  }

  /** Resolves when the client has joined. Shows what it has of `pid` and offset, as socket.io-client does. */
  async open() {
    const { hostname, port } = this.#url;
    this.#bytes = Buffer.alloc(0);
    this.#early = [];
    this.#socket = connect(Number(port), hostname);
    const socket = this.#socket;
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.write(
      `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: ${hostname}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\n\r\n`,
    );
    await new Promise((resolve, reject) => {
      let isUpgraded = false;
      socket.on("close", () => {
        reject(new Error("closed before the client had joined"));
        if (socket === this.#socket && this.#early === undefined) {
          this.#socket = undefined;
          this.#ledger.disconnected(this.#user, Date.now(), "transport close");
        }
      });
      socket.on("data", (chunk) => {
        this.read += chunk.length;
        this.#bytes = Buffer.concat([this.#bytes, chunk]);
        if (!isUpgraded) {
          const end = this.#bytes.indexOf("\r\n\r\n");
          if (end < 0) {
            return;
          }
          if (!this.#bytes.toString("latin1", 0, 12).endsWith("101")) {
            reject(new Error(`no WebSocket: ${this.#bytes.toString("latin1", 0, end)}`));
          }
          this.#bytes = this.#bytes.subarray(end + 4);
          isUpgraded = true;
          const recovery = this.#pid && { pid: this.#pid, offset: this.#offset };
          this.#send(`40/notifications,${JSON.stringify({ token: this.#token, ...recovery })}`);
        }
        for (let packet = this.#nextPacket(); packet !== undefined; packet = this.#nextPacket()) {
          this.#take(packet, resolve, reject);
        }
      });
    });
  }

  stopReading() {
    this.#socket.pause();
  }

  /** Reads what is left, until nothing has come for a while. Resolves with whether the service had closed the connection. */
  async readOn() {
    const socket = this.#socket;
    socket.resume();
    for (let before = -1; before !== this.read && !socket.destroyed; ) {
      before = this.read;
      await pause(500);
    }
    return socket.destroyed;
  }

  #take(packet, resolve, reject) {
    const connected = "40/notifications,";
    const event = "42/notifications,";
    if (packet === "2") {
      this.#send("3");
    } else if (packet.startsWith(connected)) {
      const { pid } = JSON.parse(packet.slice(connected.length));
      const recovered = this.#pid !== undefined && pid === this.#pid;
      this.#pid = pid;
      this.#ledger.connected(this.#user, Date.now(), recovered);
      const early = this.#early;
      this.#early = undefined;
      early.forEach((data) => this.#receive(data));
      resolve();
    } else if (packet.startsWith("44")) {
      this.#ledger.refused(this.#user, Date.now());
      reject(new Error(packet));
    } else if (packet.startsWith(event)) {
      const data = JSON.parse(packet.slice(event.length));
      if (this.#early) {
        this.#early.push(data);
      } else {
        this.#receive(data);
      }
    }
  }

  #receive([, { to, number }, offset]) {
    this.#offset = offset ?? this.#offset;
    this.#ledger.received(this.#user, to, number, Date.now(), offset);
  }

  /** The payload of the next whole frame; frames of a server have no mask. */
  #nextPacket() {
    const bytes = this.#bytes;
    if (bytes.length < 2) {
      return undefined;
    }
    let length = bytes[1] & 0x7f;
    let start = 2;
    if (length === 126) {
      start = 4;
      length = bytes.length < start ? Infinity : bytes.readUInt16BE(2);
    } else if (length === 127) {
      start = 10;
      length = bytes.length < start ? Infinity : Number(bytes.readBigUInt64BE(2));
    }
    if (bytes.length < start + length) {
      return undefined;
    }
    this.#bytes = bytes.subarray(start + length);
    // A close frame's payload is no packet.
    return (bytes[0] & 0x0f) === 8 ? "" : bytes.toString("utf8", start, start + length);
  }

  /** One masked text frame. The mask may be zero. */
  #send(text) {
    const payload = Buffer.from(text);
    const header = payload.length < 126 ? [0x81, 0x80 | payload.length] : [0x81, 0xfe, payload.length >> 8, payload.length & 0xff];
    this.#socket.write(Buffer.concat([Buffer.from([...header, 0, 0, 0, 0]), payload]));
  }
}
