// A Socket.IO server of Node, as a help desk has it before it moves: with a Redis adapter, and each user in a room. It emits
// what its parent tells it, and ends with it.

import { once } from "node:events";
import { createServer } from "node:http";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import jwt from "jsonwebtoken";
import { createClient } from "redis";
import { Server } from "socket.io";

const ADAPTERS = { classic: createAdapter, sharded: createShardedAdapter };

const { redisUrl, adapter, namespace: name } = JSON.parse(process.argv[2]);

process.on("disconnect", () => process.exit());

/** A connection to Redis. When it breaks, what is published meanwhile would be lost: the run is not one then. */
const redis = () =>
  createClient({ url: redisUrl })
    .on("error", (error) => {
      console.error(error);
      process.exit(1);
    })
    .connect();

const [publisher, subscriber] = await Promise.all([redis(), redis()]);
const httpServer = createServer();
const io = new Server(httpServer, { adapter: ADAPTERS[adapter](publisher, subscriber), serveClient: false });
const namespace = io.of(name);
namespace.on("connection", (socket) => {
  // As the NestJS service does: a bad token is sent away after it has been let in.
  try {
    const { usu_id: user } = jwt.verify(socket.handshake.auth.token, process.env.JWT_SECRET);
    socket.join(`user_${user}`);
  } catch {
    socket.disconnect();
  }
});

process.on("message", ({ room, message }) => {
  (room ? namespace.to(room) : namespace).emit("numbered", message);
  process.send({ published: message });
});

httpServer.listen(0, "127.0.0.1");
await once(httpServer, "listening");
// The adapter has subscribed by then: commands of a connection are answered in their order.
await subscriber.ping();
process.send({ url: `http://127.0.0.1:${httpServer.address().port}` });
