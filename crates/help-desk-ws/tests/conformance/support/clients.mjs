// The official clients that are in use, and the ways in which they connect.

import { io as io3 } from "sio3";
import { io as io4 } from "sio4";

export const CLIENTS = { "socket.io-client 4.8": io4, "socket.io-client 3.1": io3 };
export const TRANSPORTS = {
  "websocket only": ["websocket"],
  "polling only": ["polling"],
  "polling with upgrade": ["polling", "websocket"],
};

/** `[name, io, transports]` of every client with every transport. */
export const COMBINATIONS = Object.entries(CLIENTS).flatMap(([client, io]) =>
  Object.entries(TRANSPORTS).map(([name, transports]) => [`${client}, ${name}`, io, transports]),
);

/** A socket of the namespace, which is closed with the test. It does not reconnect unless told to. */
export function openSocket(t, io, base, options) {
  const socket = io(`${base}/notifications`, { forceNew: true, reconnection: false, ...options });
  t.after(() => socket.io._close());
  return socket;
}

/** The arguments of the next `event`, without the offset that comes last where events can be replayed. */
export function received(socket, event) {
  return new Promise((resolve) => socket.once(event, (...args) => resolve(withoutOffset(args))));
}

/** The arguments that the back end gave. */
export function withoutOffset(args) {
  const hasOffset = typeof args.at(-1) === "string" && /^[0-9]+-[0-9]+$/.test(args.at(-1));
  return hasOffset ? args.slice(0, -1) : args;
}

/** Resolves once `socket` is in the namespace; rejects when it is refused. */
export function connected(socket) {
  return new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", reject);
  });
}

/** Resolves once the connection is on WebSocket; to be called before it opens. */
export function upgraded(socket) {
  return new Promise((resolve) => {
    socket.io.on("open", () => socket.io.engine.once("upgrade", resolve));
  });
}

/** As `connected`, and on the transport that the test is about. */
export async function settled(socket, transports) {
  const ready = transports.length > 1 ? upgraded(socket) : undefined;
  await connected(socket);
  await ready;
  return socket;
}
