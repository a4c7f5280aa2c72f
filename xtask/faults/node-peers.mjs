// Those of Node's world that stand beside our nodes, on the same Redis: a Socket.IO server, and a back end with the Redis emitter.

import { fork } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { streamOf } from "./mix.mjs";
import { paced } from "./pace.mjs";

const NAMESPACE = "/notifications";
/** Where the sharded adapter publishes what is for one room. */
const channelOf = (user) => `socket.io#${NAMESPACE}#user_${user}#`;
const POLL_MS = 10;

export class NodePeers {
  counts = { node: 0, emitter: 0 };
  url;
  #options;
  #server;
  #redis;
  #emitter;
  #stops = [];
  /** Messages that Node's server has been told to emit, and has not yet. */
  #underWay = 0;

  /** `options`: ledger, mix, redisUrl, adapter, rate (of each, a second), anyone. Resolves when all are there. */
  static async start(options) {
    const peers = new NodePeers();
    peers.#options = options;
    peers.#redis = await createClient({ url: options.redisUrl }).on("error", fail).connect();
    peers.#emitter = new Emitter(peers.#redis, {}, NAMESPACE);
    await peers.#startServer();
    return peers;
  }

  /** Resolves when what is for one user's room is listened to by whoever has clients of the user. */
  async heard() {
    const { adapter, mix } = this.#options;
    if (adapter !== "sharded") {
      // Node's server and ours listen to all rooms at once, and did so before they let anybody in.
      return;
    }
    const users = Array.from({ length: mix.users }, (_, index) => index + 1);
    // A user whose clients are all at ours may have them at one node.
    const listeners = (user) => Object.values(mix.placesOf(user)).filter((clients) => clients > 0).length;
    for (;;) {
      const counts = await this.#redis.sendCommand(["PUBSUB", "SHARDNUMSUB", ...users.map(channelOf)]);
      if (users.every((user, index) => counts[2 * index + 1] >= listeners(user))) {
        return;
      }
      await pause(POLL_MS);
    }
  }

  /** Both begin to publish. */
  begin() {
    const { rate, anyone } = this.#options;
    this.#stops = Object.keys(this.counts).map((by) => paced(rate, anyone, (to) => this.#publish(by, to)));
  }

  /** Resolves when everything is published. */
  async stop() {
    this.#stops.forEach((stop) => stop());
    // The emitter's commands go before it.
    await this.#redis.sendCommand(["PING"]);
    while (this.#underWay > 0) {
      await pause(POLL_MS);
    }
  }

  #publish(by, to) {
    const stream = streamOf(by, to);
    const message = { to: stream, number: this.#options.ledger.sent(stream, Date.now()) };
    this.counts[by] += 1;
    const room = to > 0 ? `user_${to}` : undefined;
    if (by === "node") {
      this.#underWay += 1;
      this.#server.send({ room, message });
    } else {
      (room ? this.#emitter.to(room) : this.#emitter).emit("numbered", message);
      this.#published(message);
    }
  }

  /** Nobody acknowledges it: it is promised from here on. */
  #published({ to, number }) {
    this.#options.ledger.acknowledged(to, number, Date.now());
  }

  async #startServer() {
    const { redisUrl, adapter } = this.#options;
    this.#server = fork(new URL("node-server.mjs", import.meta.url), [JSON.stringify({ redisUrl, adapter, namespace: NAMESPACE })]);
    this.#server.on("exit", (code) => fail(new Error(`Node's server ended with ${code}`)));
    this.url = await new Promise((resolve) => {
      this.#server.on("message", ({ url, published }) => {
        if (url) {
          resolve(url);
        } else {
          this.#underWay -= 1;
          this.#published(published);
        }
      });
    });
  }
}

/** Nothing that the checker says after this would be true. */
function fail(error) {
  console.error(error);
  process.exit(1);
}
