// A process full of clients: unmodified socket.io-client with the settings of the front end. What they see goes to the
// parent, in batches and in order.

import { setTimeout as pause } from "node:timers/promises";
import { io } from "socket.io-client";
import { randomFrom } from "./random.mjs";
import { expiryOf, tokenFor, userOf } from "./tokens.mjs";

/** Handshakes under way at a time while the clients come for the first time. */
const AT_ONCE = 50;
const BATCH_MS = 50;
/** How long a page that is closed stays closed: up to this. */
const CLOSED_MS = 2000;

/**
 * `tokenLifeS`: every second client has a token of that life and keeps it, the others get a new one for each handshake.
 * `urlOf`: by which address a client comes that is not to come by `url`.
 * `users`: how many there are, when some have several clients.
 * `roles`: every client has another role, 1 or 2, at each handshake.
 * `transports`: `websocket`, `polling`, or `mixed`: a third of each, and a third that polls and upgrades.
 */
const { url, from, to, seed, tokenLifeS, urlOf, users, transports, roles } = JSON.parse(process.argv[2]);

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
/** The role in the token that a client has handed in last. */
const roleOf = new Map();

/** What a page hands in: a fixed token as the front end does, or one that is fetched for each handshake. */
function authOf(client) {
  const user = userOf(client, users);
  const fetched = () => {
    const token = tokenFor(user, process.env.JWT_SECRET, tokenLifeS);
    note("gotToken", client, expiryOf(token));
    return { token };
  };
  if (roles) {
    return (callback) => {
      roleOf.set(client, roleOf.has(client) ? 3 - roleOf.get(client) : 1 + (client % 2));
      callback({ token: tokenFor(user, process.env.JWT_SECRET, undefined, roleOf.get(client)) });
    };
  }
  if (tokenLifeS !== undefined && client % 2 === 0) {
    return (callback) => callback(fetched());
  }
  return tokenLifeS === undefined ? { token: tokenFor(user, process.env.JWT_SECRET) } : fetched();
}

function transportsOf(client) {
  const mixed = [["websocket"], ["polling"], ["polling", "websocket"]];
  return { websocket: mixed[0], polling: mixed[1], mixed: mixed[client % 3] }[transports];
}

/** Resolves when the client is connected for the first time. */
function open(client) {
  return new Promise((resolve, reject) => {
    const socket = io(`${urlOf?.[client] ?? url}/notifications`, {
      auth: authOf(client),
      transports: transportsOf(client),
      // Polls need the cookie by which a load balancer finds their session's instance.
      withCredentials: transports !== "websocket",
      reconnectionDelay: 1000,
      reconnectionAttempts: 5,
      forceNew: true,
    });
    sockets.set(client, socket);
    socket.on("connect", () => {
      note("connected", client, Date.now(), socket.recovered === true);
      if (roles) {
        note("joinedRole", client, `role:${roleOf.get(client)}`, Date.now());
      }
      resolve();
    });
    socket.on("numbered", ({ to, number }, offset) => note("received", client, to, number, Date.now(), offset));
    socket.on("disconnect", (reason) => note("disconnected", client, Date.now(), reason));
    socket.on("connect_error", (error) => {
      // Refused by the service: the client does not try again. Any other is a fault of the network.
      if (!socket.active) {
        note("refused", client, Date.now(), error.message);
        reject(error);
      }
    });
    socket.io.on("reconnect_failed", () => {
      note("gaveUp", client);
      reject(new Error("the first attempts to connect failed"));
    });
  });
}

/** Closes pages and opens them again, `perMinute` of them, for ever. One that is just coming back is left alone. */
async function churn(perMinute) {
  const random = randomFrom(seed + from);
  for (;;) {
    await pause((2 * random() * 60_000) / perMinute);
    const client = from + Math.floor(random() * (to - from + 1));
    const socket = sockets.get(client);
    if (socket.connected) {
      socket.off();
      socket.io.off();
      socket.disconnect();
      note("left", client, Date.now());
      // Whether it gets in is in the ledger.
      pause(random() * CLOSED_MS).then(() => open(client)).catch(() => {});
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
