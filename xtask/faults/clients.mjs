// A process full of clients: unmodified socket.io-client with the settings of the front end. What they see goes to the
// parent, in batches and in order.

import { setTimeout as pause } from "node:timers/promises";
import { io } from "socket.io-client";
import { randomFrom } from "./random.mjs";
import { expiryOf, tokenFor } from "./tokens.mjs";

/** Handshakes under way at a time while the clients come for the first time. */
const AT_ONCE = 50;
const BATCH_MS = 50;
/** How long a page that is closed stays closed: up to this. */
const CLOSED_MS = 2000;

/**
 * `tokenLifeS`: every second user has a token of that life and keeps it, the others get a new one for each handshake.
 * `urlOf`: by which address a client comes that is not to come by `url`.
 */
const { url, from, to, seed, tokenLifeS, urlOf } = JSON.parse(process.argv[2]);

let batch = [];
setInterval(() => {
  if (batch.length > 0) {
    process.send({ batch });
    batch = [];
  }
}, BATCH_MS);
process.on("disconnect", () => process.exit());

const note = (...what) => batch.push(what);
const sockets = new Map();

/** What a page hands in: a fixed token as the front end does, or one that is fetched for each handshake. */
function authOf(user) {
  const fetched = () => {
    const token = tokenFor(user, process.env.JWT_SECRET, tokenLifeS);
    note("gotToken", user, expiryOf(token));
    return { token };
  };
  if (tokenLifeS !== undefined && user % 2 === 0) {
    return (callback) => callback(fetched());
  }
  return tokenLifeS === undefined ? { token: tokenFor(user, process.env.JWT_SECRET) } : fetched();
}

/** Resolves when the client is connected for the first time. */
function open(user) {
  return new Promise((resolve, reject) => {
    const socket = io(`${urlOf?.[user] ?? url}/notifications`, {
      auth: authOf(user),
      transports: ["websocket"],
      reconnectionDelay: 1000,
      reconnectionAttempts: 5,
      forceNew: true,
    });
    sockets.set(user, socket);
    socket.on("connect", () => {
      note("connected", user, Date.now(), socket.recovered === true);
      resolve();
    });
    socket.on("numbered", ({ to, number }, offset) => note("received", user, to, number, Date.now(), offset));
    socket.on("disconnect", (reason) => note("disconnected", user, Date.now(), reason));
    socket.on("connect_error", (error) => {
      // Refused by the service: the client does not try again. Any other is a fault of the network.
      if (!socket.active) {
        note("refused", user, Date.now(), error.message);
        reject(error);
      }
    });
    socket.io.on("reconnect_failed", () => {
      note("gaveUp", user);
      reject(new Error("the first attempts to connect failed"));
    });
  });
}

/** Closes pages and opens them again, `perMinute` of them, for ever. One that is just coming back is left alone. */
async function churn(perMinute) {
  const random = randomFrom(seed + from);
  for (;;) {
    await pause((2 * random() * 60_000) / perMinute);
    const user = from + Math.floor(random() * (to - from + 1));
    const socket = sockets.get(user);
    if (socket.connected) {
      socket.off();
      socket.io.off();
      socket.disconnect();
      note("left", user, Date.now());
      // Whether it gets in is in the ledger.
      pause(random() * CLOSED_MS).then(() => open(user)).catch(() => {});
    }
  }
}

process.on("message", ({ churnPerMinute }) => churn(churnPerMinute));

let next = from;
async function openSome() {
  while (next <= to) {
    await open(next++);
  }
}

try {
  await Promise.all(Array.from({ length: AT_ONCE }, openSome));
  note("ready");
} catch (error) {
  process.send({ failed: String(error) });
}
