// A process full of clients: unmodified socket.io-client with the settings of the front end. What they see goes to the
// parent, in batches and in order.

import { io } from "socket.io-client";
import { tokenFor } from "./tokens.mjs";

/** Handshakes under way at a time while the clients come for the first time. */
const AT_ONCE = 50;
const BATCH_MS = 50;

const [url, from, to] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];

let batch = [];
setInterval(() => {
  if (batch.length > 0) {
    process.send({ batch });
    batch = [];
  }
}, BATCH_MS);
process.on("disconnect", () => process.exit());

const note = (...what) => batch.push(what);

/** Resolves when the client is connected for the first time. */
function open(user) {
  return new Promise((resolve, reject) => {
    const socket = io(`${url}/notifications`, {
      auth: { token: tokenFor(user, process.env.JWT_SECRET) },
      transports: ["websocket"],
      reconnectionDelay: 1000,
      reconnectionAttempts: 5,
      forceNew: true,
    });
    socket.on("connect", () => {
      note("connected", user, Date.now(), socket.recovered === true);
      resolve();
    });
    socket.on("numbered", ({ to, number }) => note("received", user, to, number, Date.now()));
    socket.on("disconnect", (reason) => note("disconnected", user, Date.now(), reason));
    socket.on("connect_error", (error) => {
      // Refused by the service: the client does not try again. Any other is a fault of the network.
      if (!socket.active) {
        note("refused", user, error.message);
        reject(error);
      }
    });
    socket.io.on("reconnect_failed", () => {
      note("gaveUp", user);
      reject(new Error("the first attempts to connect failed"));
    });
  });
}

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
