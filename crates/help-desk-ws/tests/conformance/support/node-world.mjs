// A Socket.IO server of Node and two instances of the service that hear each other by one Redis.

import assert from "node:assert/strict";
import { post } from "./back-end.mjs";
import { CLIENTS, connected, openSocket, received, withoutOffset } from "./clients.mjs";
import { redisClient, startNodeServer } from "./node-server.mjs";
import { Redis } from "./redis.mjs";
import { startService } from "./service.mjs";
import { tokenFor } from "./tokens.mjs";

const io4 = CLIENTS["socket.io-client 4.8"];
export const MAIN = "socket.io#/notifications#";
export const REQUESTS = "socket.io-request#/notifications#";
export const METRICS_TOKEN = "metrics-token-of-at-least-32-bytes-for-tests";

/** A client, and every event that it gets. */
export class Peer {
  events = [];
  /** The name of events that do not count. */
  ignored;

  constructor(t, url, user, claims, extra) {
    this.socket = openSocket(t, io4, url, { transports: ["websocket"], auth: { token: tokenFor(user, claims) }, ...extra });
    this.socket.onAny((event, ...args) => event !== this.ignored && this.events.push([event, ...withoutOffset(args)]));
    this.connected = connected(this.socket);
  }

  /** Lets it come to a service, where it recovers. */
  async comeBack(service) {
    const back = received(this.socket, "connect");
    this.socket.io.uri = service.url;
    await back;
    assert.equal(this.socket.recovered, true);
  }

  /** Resolves once it has got so many events of this name. */
  async has(event, times = 1) {
    while (this.events.filter(([name]) => name === event).length < times) {
      await new Promise((resolve) => {
        const listener = () => resolve(this.socket.offAny(listener));
        this.socket.onAny(listener);
      });
    }
  }
}

/** A server of Node and two of ours that hear each other. */
export class World {
  /** By user, who listens to the channel of its room, where rooms have channels. */
  #listeners = new Map();

  static async start(t, adapter, setting, Kind = Redis) {
    const world = new World();
    const redis = await Kind.start(t);
    const env = { REDIS_URL: redis.url, REDIS_PUBSUB: setting, METRICS_TOKEN };
    Object.assign(world, { t, adapter, isSharded: adapter !== "classic", redis, env });
    [world.client, world.node, ...world.services] = await Promise.all([
      redisClient(t, world.redis),
      startNodeServer(t, world.redis, adapter),
      startService(t, env),
      startService(t, env),
    ]);
    await world.isComplete();
    return world;
  }

  /** Resolves once all three listen, or so many. */
  async isComplete(servers = 3) {
    await (this.isSharded ? this.heard("SHARDNUMSUB", MAIN, servers) : this.heard("NUMSUB", REQUESTS, servers));
  }

  async heard(command, channel, subscribers) {
    const args = ["PUBSUB", command, channel];
    const ask = this.redis.nodes
      ? () => Promise.all(this.client.nodes("master").map((node) => node.call(...args)))
      : async () => [await this.client.sendCommand(args)];
    for (;;) {
      const counts = (await ask()).map(([, count]) => Number(count));
      if (counts.reduce((sum, count) => sum + count) >= subscribers) {
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /** A client of one of ours. */
  ours(index, user, { claims = {}, ...extra } = {}) {
    return this.#joined(this.services[index], user, claims, extra);
  }

  /** A client of the first of ours that was sent ["n", 1] by Node's server, and has lost its connection. */
  async away(user) {
    const client = await this.ours(0, user, { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100 });
    this.node.namespace.to(`user_${user}`).emit("n", 1);
    await client.has("n");
    const gone = received(client.socket, "disconnect");
    // Nobody is there, until it is told where to come to.
    client.socket.io.uri = "http://127.0.0.1:1";
    const { id } = client.socket;
    client.socket.io.engine.close();
    await gone;
    await this.services[0].logged(new RegExp(`Client disconnected: ${id}`));
    return client;
  }

  /** A client of Node's server. */
  nodes(user) {
    return this.#joined(this.node, user);
  }

  /** A client of a server which listens to the channel of its user's room, as all others do that have such clients. */
  async #joined(server, user, claims, extra) {
    const listeners = this.#listeners.get(user) ?? new Set();
    this.#listeners.set(user, listeners.add(server));
    const peer = new Peer(this.t, server.url, user, claims, extra);
    await peer.connected;
    if (this.adapter === "sharded, dynamic") {
      await this.heard("SHARDNUMSUB", `${MAIN}user_${user}#`, listeners.size);
    }
    return peer;
  }

  /** Asserts that these clients have got these events, and nothing else. */
  async got(expected) {
    this.node.namespace.emit("end of node");
    await Promise.all(expected.map(([peer]) => peer.has("end of node")));
    await post(`${this.services[1].url}/notifications/broadcast`, { event: "end of ours", payload: null });
    await Promise.all(expected.map(([peer]) => peer.has("end of ours")));
    for (const [peer, ...events] of expected) {
      assert.deepEqual(peer.events.splice(0).filter(([event]) => !event.startsWith("end of")), events);
    }
  }

  emit(index, fields) {
    return post(`${this.services[index].url}/notifications/emit`, { event: "e", payload: { n: 1 }, ...fields });
  }
}
