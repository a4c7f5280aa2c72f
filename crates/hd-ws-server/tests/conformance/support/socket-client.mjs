// A session that carries Socket.IO packets, the same over both transports: what is sent and received
// are Engine.IO messages without their prefix, text as strings and attachments as Buffers.

import { Inbox } from "./inbox.mjs";

/** Opens a session on `endpoint` and leaves the CONNECT to the caller. */
export async function openSession(t, endpoint, transport) {
  return transport === "websocket" ? WebSocketSession.open(t, endpoint) : PollingMessages.open(t, endpoint);
}

class WebSocketSession {
  static async open(t, endpoint) {
    const session = new WebSocketSession();
    session.peer = await endpoint.openWebSocketSession(t);
    session.closed = session.peer.closed;
    return session;
  }

  async send(...packets) {
    for (const packet of packets) {
      this.peer.send(typeof packet === "string" ? `4${packet}` : packet);
    }
  }

  async next(timeout) {
    const packet = await this.peer.next(timeout);
    return typeof packet === "string" ? withoutPrefix(packet) : packet;
  }
}

class PollingMessages {
  #inbox = new Inbox();

  static async open(t, endpoint) {
    const messages = new PollingMessages();
    messages.session = await endpoint.openPolling(t);
    messages.closed = messages.#pump();
    return messages;
  }

  /** All packets travel in one POST. A session that has ended refuses it; `closed` tells. */
  async send(...packets) {
    const payload = packets.map((packet) =>
      typeof packet === "string" ? `4${packet}` : `b${packet.toString("base64")}`,
    );
    await this.session.post(payload.join("\x1e"));
  }

  next(timeout) {
    return this.#inbox.next(timeout);
  }

  /** Polls until the session ends. */
  async #pump() {
    for (;;) {
      let packets;
      try {
        packets = await this.session.packets();
      } catch (error) {
        return this.#inbox.end(error.message);
      }
      for (const packet of packets) {
        if (packet === "1" || packet === "6") {
          continue;
        }
        this.#inbox.push(packet[0] === "b" ? Buffer.from(packet.slice(1), "base64") : withoutPrefix(packet));
      }
    }
  }
}

function withoutPrefix(packet) {
  if (packet[0] !== "4") {
    throw new Error(`expected a message packet, got ${packet}`);
  }
  return packet.slice(1);
}
