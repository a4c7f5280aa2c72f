// A Socket.IO server of Node with one of its Redis adapters, as a help desk has it before it moves.

import { once } from "node:events";
import { createServer } from "node:http";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { Emitter } from "@socket.io/redis-emitter";
import { Cluster } from "ioredis";
import jwt from "jsonwebtoken";
import { createClient } from "redis";
import { Server } from "socket.io";
import { JWT_SECRET } from "./service.mjs";

export const ADAPTERS = {
  classic: (publisher, subscriber) => createAdapter(publisher, subscriber),
  "sharded, dynamic": (publisher, subscriber) => createShardedAdapter(publisher, subscriber, { subscriptionMode: "dynamic" }),
  "sharded, static": (publisher, subscriber) => createShardedAdapter(publisher, subscriber, { subscriptionMode: "static" }),
};

/** A connected client of Redis, or of a Redis Cluster, which ends with the test. */
export async function redisClient(t, redis) {
  if (redis.nodes) {
    return clusterClient(t, redis);
  }
  const client = createClient({ url: redis.url, socket: { reconnectStrategy: 20 } });
  client.on("error", () => {}); // it connects again
  await client.connect();
  t.after(() => client.disconnect());
  return client;
}

/** That of the `redis` package does not listen any more to a channel whose slot has moved. */
async function clusterClient(t, { nodes }) {
  const client = new Cluster(nodes.map(({ port }) => ({ host: "127.0.0.1", port })), { shardedSubscribers: true });
  client.on("error", () => {});
  t.after(() => client.disconnect());
  await once(client, "ready");
  return client;
}

function ignoreFailures(client) {
  for (const command of ["unsubscribe", "pUnsubscribe", "sUnsubscribe", "punsubscribe", "sunsubscribe", "publish", "sPublish", "spublish"]) {
    const give = client[command]?.bind(client);
    if (give) {
      client[command] = (...args) => Promise.resolve(give(...args)).catch(() => {});
    }
  }
}

/** The namespace of a server that lets in whoever has a token, into the user's room: `{ url, namespace }`. */
export async function startNodeServer(t, redis, adapter) {
  const [publisher, subscriber] = await Promise.all([redisClient(t, redis), redisClient(t, redis)]);
  const httpServer = createServer();
  const io = new Server(httpServer, { adapter: ADAPTERS[adapter](publisher, subscriber), serveClient: false });
  const namespace = io.of("/notifications");
  namespace.use((socket, next) => {
    const { usu_id: user } = jwt.verify(socket.handshake.auth.token, JWT_SECRET);
    socket.join(`user_${user}`);
    next();
  });
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
  t.after(() => {
    // The adapter leaves its channels, and looks at no answer; the test may have ended its Redis before.
    [publisher, subscriber].forEach(ignoreFailures);
    return new Promise((resolve) => io.close(resolve));
  });
  return { url: `http://127.0.0.1:${httpServer.address().port}`, namespace };
}

export async function startEmitter(t, redis) {
  return new Emitter(await redisClient(t, redis), {}, "/notifications");
}
