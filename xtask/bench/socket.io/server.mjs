// The service on Socket.IO and Node's own http, without a framework. With REDIS_URL it is one instance of several, joined by the
// adapter that ADAPTER names.

import { createServer } from "node:http";

import { createAdapter as createClassicAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import jwt from "jsonwebtoken";
import { createClient } from "redis";
import { Server } from "socket.io";

const { JWT_SECRET, EMIT_TOKEN, HOST = "127.0.0.1", PORT = "0", REDIS_URL, ADAPTER } = process.env;

const http = createServer((request, response) => {
  if (request.method !== "POST") {
    return answer(response, 404, { error: "not found" });
  }
  if (request.headers.authorization !== `Bearer ${EMIT_TOKEN}`) {
    return answer(response, 401, { error: "unauthorized" });
  }
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const { userId, event, payload } = JSON.parse(Buffer.concat(chunks).toString());
    if (request.url === "/notifications/emit") {
      notifications.to(`user_${userId}`).emit(event, payload);
    } else {
      notifications.emit(event, payload);
    }
    answer(response, 201, { success: true });
  });
});

const io = new Server(http, { cors: { origin: "*" }, ...(REDIS_URL ? await clusterOptions() : {}) });
const notifications = io.of("/notifications");

notifications.use((socket, next) => {
  try {
    const { usu_id } = jwt.verify(socket.handshake.auth.token, JWT_SECRET, { algorithms: ["HS256"] });
    socket.data.user = usu_id;
    next();
  } catch (error) {
    next(error);
  }
});
notifications.on("connection", (socket) => socket.join(`user_${socket.data.user}`));

http.listen(Number(PORT), HOST, 4096, () => console.log(`Listening on http://${HOST}:${http.address().port}`));

/** What several instances need. The streams adapter also keeps what recovery needs, as this project's service does. */
async function clusterOptions() {
  switch (ADAPTER) {
    case "streams":
      return { adapter: createStreamsAdapter(await redis()), connectionStateRecovery: {} };
    case "classic":
      return { adapter: createClassicAdapter(await redis(), await redis()) };
    case "sharded":
      return { adapter: createShardedAdapter(await redis(), await redis(), { subscriptionMode: "dynamic-private" }) };
    default:
      throw new Error(`no adapter ${ADAPTER}`);
  }
}

/** A connection to Redis. A run in which it breaks is none. */
function redis() {
  return createClient({ url: REDIS_URL })
    .on("error", (error) => {
      console.error(error);
      process.exit(1);
    })
    .connect();
}

function answer(response, status, body) {
  const json = JSON.stringify(body);
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(json) });
  response.end(json);
}
