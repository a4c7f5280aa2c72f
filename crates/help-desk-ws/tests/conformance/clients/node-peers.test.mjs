// Two instances beside a Socket.IO server of Node, on one Redis: needs the binary, WS_BIN, and redis-server.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { encode } from "notepack.io";
import { ROUTES, emit, post } from "../support/back-end.mjs";
import { received } from "../support/clients.mjs";
import { test } from "../../../../hd-ws-server/tests/conformance/support/limited-test.mjs";
import { redisClient, startEmitter } from "../support/node-server.mjs";
import { MAIN, METRICS_TOKEN, Peer, REQUESTS, World } from "../support/node-world.mjs";
import { Redis, RedisCluster, withoutRedis } from "../support/redis.mjs";
import { startService, withoutBinary, withoutReference } from "../support/service.mjs";
import { newUser, tokenFor } from "../support/tokens.mjs";

const options = { concurrency: 3, skip: withoutBinary.skip || withoutReference.skip || withoutRedis.skip };

/** `[adapter of Node's server, setting of ours]` */
const WORLDS = [
  ["classic", "classic"],
  ["classic", "auto"],
  ["sharded, dynamic", "sharded"],
  ["sharded, static", "auto"],
];

for (const [adapter, setting] of WORLDS) {
  describe(`beside Node's adapter (${adapter}), with REDIS_PUBSUB=${setting},`, options, () => {
    test("what is emitted here reaches the clients of all, once", async (t) => {
      const world = await World.start(t, adapter, setting);
      const [ana, luis] = [newUser(), newUser()];
      const [ana1, ana2, anaNode, luis1, luisNode] = await Promise.all([
        world.ours(0, ana), world.ours(1, ana), world.nodes(ana), world.ours(0, luis), world.nodes(luis),
      ]);
      const payload = { mensaje: "Ñandú \u{1f514}", ticketId: 2 ** 40, list: [1.5, null, true, -7, { x: {} }] };
      await emit(world.services[0].url, ana, "to a user", payload);
      await world.emit(1, { userIds: [ana, luis], event: "to two" });
      await world.emit(0, { broadcast: true, except: { userId: luis }, event: "but one" });
      await world.emit(1, { broadcast: true, event: "to all" });
      const all = [["to two", { n: 1 }], ["to all", { n: 1 }]];
      const anas = [["to a user", payload], all[0], ["but one", { n: 1 }], all[1]];
      await world.got([[ana1, ...anas], [ana2, ...anas], [anaNode, ...anas], [luis1, ...all], [luisNode, ...all]]);
    });

    test("what is emitted there reaches the clients of all, once", async (t) => {
      const world = await World.start(t, adapter, setting);
      const [ana, luis] = [newUser(), newUser()];
      const [ana1, ana2, anaNode, luis1, luisNode] = await Promise.all([
        world.ours(0, ana), world.ours(1, ana), world.nodes(ana), world.ours(1, luis), world.nodes(luis),
      ]);
      const { namespace } = world.node;
      const args = [{ mensaje: "Ñandú \u{1f514}", n: 2 ** 40 }, "two", 3.5, null, [true]];
      namespace.to(`user_${ana}`).emit("to a user", ...args);
      namespace.to(`user_${ana}`).to(`user_${luis}`).emit("to two", 1);
      namespace.except(`user_${luis}`).emit("but one");
      namespace.emit("to all", 1);
      namespace.to("nobody").emit("to nobody", 1);
      const all = [["to two", 1], ["to all", 1]];
      const anas = [["to a user", ...args], all[0], ["but one"], all[1]];
      // Node's server publishes for one room on another channel than the rest: ours take them as they hear them.
      await world.got([[ana1, ...anas], [ana2, ...anas], [anaNode, ...anas], [luis1, ...all], [luisNode, ...all]]);
    });

    test("what is the same is sent as often as it was emitted", async (t) => {
      const world = await World.start(t, adapter, setting);
      const user = newUser();
      const [first, second, node] = await Promise.all([world.ours(0, user), world.ours(1, user), world.nodes(user)]);
      const same = Array.from({ length: 20 }, () => ["same", { n: 1 }]);
      for (const [event, payload] of same) {
        world.node.namespace.to(`user_${user}`).emit(event, payload);
      }
      await world.got([[first, ...same], [second, ...same], [node, ...same]]);
    });

    test("what both emit at the same time arrives once, in the order of each", async (t) => {
      const world = await World.start(t, adapter, setting);
      const users = Array.from({ length: 5 }, newUser);
      const peers = await Promise.all(users.map((user) => Promise.all([world.ours(0, user), world.ours(1, user), world.nodes(user)])));
      const count = 100;
      const byNode = async () => {
        for (let n = 0; n < count; n += 1) {
          for (const user of users) {
            world.node.namespace.to(`user_${user}`).emit("of node", { n });
          }
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      const byOurs = async (index, event) => {
        for (let n = 0; n < count; n += 1) {
          await world.emit(index, { userIds: users, event, payload: { n } });
        }
      };
      await Promise.all([byNode(), byOurs(0, "of the first"), byOurs(1, "of the second")]);
      const numbers = Array.from({ length: count }, (_, n) => n);
      for (const [first, second, node] of peers) {
        for (const peer of [first, second, node]) {
          for (const event of ["of node", "of the first", "of the second"]) {
            await peer.has(event, count);
            assert.deepEqual(peer.events.filter(([name]) => name === event).map(([, { n }]) => n), numbers);
          }
        }
        // And ours have one order among all of them.
        assert.deepEqual(first.events, second.events);
      }
    });

    test("binary data goes through", async (t) => {
      const world = await World.start(t, adapter, setting);
      const user = newUser();
      const [client, node] = await Promise.all([world.ours(0, user), world.nodes(user)]);
      const data = Buffer.from([0, 1, 2, 255]);
      world.node.namespace.to(`user_${user}`).emit("binary", { file: data, list: [Buffer.alloc(0)] }, "last");
      const event = ["binary", { file: data, list: [Buffer.alloc(0)] }, "last"];
      await world.got([[client, event], [node, event]]);
    });

    test("volatile events go both ways", async (t) => {
      const world = await World.start(t, adapter, setting);
      const user = newUser();
      const [first, second, node] = await Promise.all([world.ours(0, user), world.ours(1, user), world.nodes(user)]);
      world.node.namespace.volatile.to(`user_${user}`).emit("of node", 1);
      await Promise.all([first, second, node].map((peer) => peer.has("of node")));
      await world.emit(0, { userId: user, event: "of ours", volatile: true });
      const events = [["of node", 1], ["of ours", { n: 1 }]];
      await world.got([[first, ...events], [second, ...events], [node, ...events]]);
    });

    test("Node's server gets the acks of the clients of all", async (t) => {
      const world = await World.start(t, adapter, setting);
      const [user, stranger] = [newUser(), newUser()];
      const peers = await Promise.all([world.ours(0, user), world.ours(1, user), world.nodes(user)]);
      await world.ours(0, stranger);
      for (const [index, { socket }] of peers.entries()) {
        socket.on("question", (n, answer) => answer({ index, n, data: Buffer.from([index]) }));
      }
      const answers = await world.node.namespace.timeout(20_000).to(`user_${user}`).emitWithAck("question", 7);
      answers.sort((one, other) => one.index - other.index);
      assert.deepEqual(answers, peers.map((_, index) => ({ index, n: 7, data: Buffer.from([index]) })));
      // Nobody is there, and all servers say so.
      assert.deepEqual(await world.node.namespace.timeout(20_000).to("nobody").emitWithAck("question", 7), []);
      // One that does not answer is waited for in vain.
      peers[0].socket.off("question");
      const late = world.node.namespace.timeout(2000).to(`user_${user}`).emitWithAck("question", 8);
      await assert.rejects(late, (error) => error.responses.length === 2);
    });

    test("a socket is addressed by its id", async (t) => {
      const world = await World.start(t, adapter, setting);
      const user = newUser();
      const [first, second] = await Promise.all([world.ours(0, user), world.ours(1, user)]);
      const { namespace } = world.node;
      namespace.to(first.socket.id).emit("yours", 1);
      namespace.to(`user_${user}`).except(first.socket.id).emit("others", 1);
      await world.got([[first, ["yours", 1]], [second, ["others", 1]]]);
      second.socket.on("question", (answer) => answer("me"));
      const sockets = await namespace.in(second.socket.id).fetchSockets();
      assert.deepEqual(sockets.map(({ id }) => id), [second.socket.id]);
      assert.equal(await sockets[0].timeout(20_000).emitWithAck("question"), "me");
    });

    test("fetchSockets tells of all, and of no token", async (t) => {
      const world = await World.start(t, adapter, setting);
      const user = newUser();
      const [first, second, node] = await Promise.all([world.ours(0, user), world.ours(1, user), world.nodes(user)]);
      const sockets = await world.node.namespace.in(`user_${user}`).fetchSockets();
      const ids = [first, second, node].map(({ socket }) => socket.id).sort();
      assert.deepEqual(sockets.map(({ id }) => id).sort(), ids);
      const ours = sockets.find(({ id }) => id === first.socket.id);
      assert.deepEqual([...ours.rooms].sort(), [first.socket.id, "region_5", "role_2", `user_${user}`].sort());
      assert.deepEqual(ours.handshake, { headers: {}, query: {}, auth: {} });
      assert.deepEqual(ours.data, {});
      assert.equal((await world.node.namespace.fetchSockets()).length, 3);
      assert.equal((await world.node.namespace.except(`user_${user}`).fetchSockets()).length, 0);
      if (!world.isSharded) {
        const rooms = await world.node.namespace.adapter.allRooms();
        assert.ok([...ids, `user_${user}`, "role_2"].every((room) => rooms.has(room)));
      }
    });

    test("sockets join rooms and leave them", async (t) => {
      const world = await World.start(t, adapter, setting);
      const [ana, luis] = [newUser(), newUser()];
      const [ana1, luis1, anaNode] = await Promise.all([world.ours(0, ana), world.ours(1, luis), world.nodes(ana)]);
      const { namespace } = world.node;
      namespace.in(`user_${ana}`).socketsJoin(["chat", "more"]);
      if (adapter === "sharded, dynamic") {
        await world.heard("SHARDNUMSUB", `${MAIN}chat#`, 2);
      } else {
        while ((await namespace.in("chat").fetchSockets()).length < 2) {}
      }
      namespace.to("chat").emit("from node", 1);
      await Promise.all([ana1.has("from node"), anaNode.has("from node")]);
      await world.emit(1, { rooms: ["chat"], event: "from ours" });
      const both = [["from node", 1], ["from ours", { n: 1 }]];
      await world.got([[ana1, ...both], [anaNode, ...both], [luis1]]);
      // A token that is renewed gives back nothing of it, and takes nothing away.
      await ana1.socket.timeout(20_000).emitWithAck("auth:refresh", tokenFor(ana, { rol_id: 3 }));
      namespace.to("more").emit("still there");
      await world.got([[ana1, ["still there"]], [anaNode, ["still there"]], [luis1]]);
      // What was emitted before reaches them, what is emitted after does not.
      namespace.to("chat").to("more").emit("last");
      namespace.in("chat").socketsLeave(["chat", "more"]);
      namespace.to("chat").to("more").emit("too late");
      // Node's classic server takes its own clients out only when it hears itself.
      const late = world.isSharded ? [] : [["too late"]];
      await world.got([[ana1, ["last"]], [anaNode, ["last"], ...late], [luis1]]);
    });

    test("who is put into a room is there for what comes next", async (t) => {
      const world = await World.start(t, adapter, setting);
      const [ana, luis] = [newUser(), newUser()];
      const [ana1, luis1] = await Promise.all([world.ours(0, ana), world.ours(1, luis)]);
      const { namespace } = world.node;
      const expected = [];
      for (let turn = 0; turn < 10; turn += 1) {
        const room = `chat ${turn}`;
        namespace.in(`user_${ana}`).in(`user_${luis}`).socketsJoin(room);
        // Not to the room alone, on whose own channel nobody may be yet.
        namespace.to(room).to("nobody").emit("kept", turn);
        namespace.volatile.to(room).to("nobody").emit("volatile", turn);
        const there = (await namespace.in(room).fetchSockets()).map(({ id }) => id);
        assert.ok([ana1, luis1].every(({ socket }) => there.includes(socket.id)), room);
        expected.push(["kept", turn], ["volatile", turn]);
      }
      await world.got([[ana1, ...expected], [luis1, ...expected]]);
    });

    test("sockets are disconnected, after what they were sent before", async (t) => {
      const world = await World.start(t, adapter, setting);
      const [ana, luis, eva] = [newUser(), newUser(), newUser()];
      const [ana1, luis1, eva1] = await Promise.all([world.ours(0, ana), world.ours(1, luis), world.ours(1, eva)]);
      const ended = ({ socket }) => received(socket, "disconnect");
      const [anaEnded, luisEnded] = [ended(ana1), ended(luis1)];
      const luisClosed = new Promise((resolve) => luis1.socket.io.engine.once("close", resolve));
      const { namespace } = world.node;
      namespace.to(`user_${ana}`).to(`user_${luis}`).emit("bye", 1);
      namespace.in(`user_${ana}`).disconnectSockets();
      namespace.in(`user_${luis}`).disconnectSockets(true);
      // No client comes back after this.
      assert.deepEqual([await anaEnded, await luisEnded].map(([reason]) => reason), Array(2).fill("io server disconnect"));
      await luisClosed;
      assert.deepEqual([ana1.events, luis1.events], [[["bye", 1]], [["bye", 1]]]);
      await world.got([[eva1]]);
    });

    test("a client that was away gets what was emitted there, once", async (t) => {
      const world = await World.start(t, adapter, setting);
      const user = newUser();
      const client = await world.away(user);
      // What would have been given up with the last client is given up by now: 10 ms are many round trips.
      for (let turn = 0; turn < 50; turn += 1) {
        await world.node.namespace.fetchSockets();
      }
      for (const n of [2, 3]) {
        world.node.namespace.to(`user_${user}`).emit("n", n);
      }
      // Both have heard them, as far as they listen.
      await world.node.namespace.fetchSockets();
      await client.comeBack(world.services[1]);
      await client.has("n", 3);
      await world.got([[client, ["n", 1], ["n", 2], ["n", 3]]]);
    });

    test("a client of one that has ended gets what was emitted there meanwhile, once", async (t) => {
      const world = await World.start(t, adapter, setting);
      const user = newUser();
      const client = await world.away(user);
      assert.equal((await world.services[0].terminate()).code, 0);
      for (const n of [2, 3]) {
        world.node.namespace.to(`user_${user}`).emit("n", n);
      }
      await client.comeBack(world.services[1]);
      await client.has("n", 3);
      await world.got([[client, ["n", 1], ["n", 2], ["n", 3]]]);
    });

    test("a client of the last one that has ended gets what was emitted there since another began, once", async (t) => {
      const world = await World.start(t, adapter, setting);
      const user = newUser();
      const client = await world.away(user);
      for (const service of world.services) {
        assert.equal((await service.terminate()).code, 0);
      }
      const next = await startService(t, world.env);
      await world.isComplete(2);
      if (adapter === "sharded, dynamic") {
        await world.heard("SHARDNUMSUB", `${MAIN}user_${user}#`, 1);
      }
      for (const n of [2, 3]) {
        world.node.namespace.to(`user_${user}`).emit("n", n);
      }
      await client.comeBack(next);
      await client.has("n", 3);
      assert.deepEqual(client.events, [["n", 1], ["n", 2], ["n", 3]]);
    });

    test("a client of one that is killed misses nothing of what is emitted there", async (t) => {
      const world = await World.start(t, adapter, setting);
      const user = newUser();
      // Somebody of the user's is at the other one: it hears what is for the user in every mode of the adapter.
      const [client, other] = await Promise.all([
        world.ours(0, user, { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100 }),
        world.ours(1, user),
      ]);
      const count = 200;
      const emitting = (async () => {
        for (let n = 0; n < count; n += 1) {
          world.node.namespace.to(`user_${user}`).emit("n", n);
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
      })();
      await client.has("n", 20);
      const back = received(client.socket, "connect");
      client.socket.io.uri = world.services[1].url;
      await world.services[0].kill();
      await back;
      await emitting;
      await Promise.all([client.has("n", count), other.has("n", count)]);
      const expected = Array.from({ length: count }, (_, n) => ["n", n]);
      await world.got([[client, ...expected], [other, ...expected]]);
      assert.equal(client.socket.recovered, true);
    });

    test("a Redis that is started again is shared again", async (t) => {
      const world = await World.start(t, adapter, setting);
      await world.redis.kill();
      await Promise.all(world.services.map((service) => service.logged(/channels of Node's servers are cut off/)));
      await world.redis.startAgain();
      await world.isComplete();
      const user = newUser();
      const [client, node] = await Promise.all([world.ours(0, user), world.nodes(user)]);
      world.node.namespace.to(`user_${user}`).emit("of node", 1);
      await client.has("of node");
      while ((await world.emit(1, { userId: user, event: "of ours" })).status === 503) {}
      const events = [["of node", 1], ["of ours", { n: 1 }]];
      await world.got([[client, ...events], [node, ...events]]);
    });
  });
}

/** `[adapter of Node's server, setting of ours]` */
const CLUSTER_WORLDS = [
  ["classic", "classic"],
  ["sharded, dynamic", "sharded"],
  ["sharded, static", "auto"],
  ["sharded, dynamic", "auto"],
];

/** In ms: it takes some seconds until three masters know each other. */
const CLUSTER_LIMIT = 40_000;

for (const [adapter, setting] of CLUSTER_WORLDS) {
  describe(`beside Node's adapter (${adapter}) on a Redis Cluster, with REDIS_PUBSUB=${setting},`, options, () => {
    /** Ana and Luis at each of the three. */
    async function start(t) {
      const world = await World.start(t, adapter, setting, RedisCluster);
      const [ana, luis] = [newUser(), newUser()];
      const peersOf = (user) => Promise.all([world.ours(0, user), world.ours(1, user), world.nodes(user)]);
      return { world, ana, luis, anas: await peersOf(ana), luises: await peersOf(luis) };
    }

    /** Channels of different slots come in any order. */
    async function gotInAnyOrder(world, expected) {
      const sorted = (events) => events.map((event) => JSON.stringify(event)).sort();
      await Promise.all(expected.flatMap(([peer, ...events]) => events.map(([event]) => peer.has(event))));
      await world.got(expected.map(([peer, ...events]) => {
        assert.deepEqual(sorted(peer.events.splice(0)), sorted(events));
        return [peer];
      }));
    }

    test("what is emitted at either reaches the clients of all, once", { timeout: CLUSTER_LIMIT }, async (t) => {
      const { world, ana, luis, anas, luises } = await start(t);
      await world.emit(0, { userId: ana, event: "ours, to a user" });
      await world.emit(1, { userIds: [ana, luis], event: "ours, to two" });
      await world.emit(1, { broadcast: true, event: "ours, to all" });
      const { namespace } = world.node;
      namespace.to(`user_${ana}`).emit("node's, to a user", 1);
      namespace.to(`user_${ana}`).to(`user_${luis}`).emit("node's, to two", Buffer.from([1]));
      namespace.emit("node's, to all", 3);
      const all = [
        ["ours, to two", { n: 1 }], ["ours, to all", { n: 1 }], ["node's, to two", Buffer.from([1])], ["node's, to all", 3],
      ];
      await gotInAnyOrder(world, [
        ...anas.map((peer) => [peer, ["ours, to a user", { n: 1 }], ["node's, to a user", 1], ...all]),
        ...luises.map((peer) => [peer, ...all]),
      ]);
    });

    test("Node's server finds the sockets of all, and gets their acks", { timeout: CLUSTER_LIMIT }, async (t) => {
      const { world, ana, anas } = await start(t);
      const { namespace } = world.node;
      const sockets = await namespace.in(`user_${ana}`).fetchSockets();
      assert.deepEqual(sockets.map(({ id }) => id).sort(), anas.map(({ socket }) => socket.id).sort());
      assert.equal((await namespace.fetchSockets()).length, 6);
      for (const [index, { socket }] of anas.entries()) {
        socket.on("question", (n, answer) => answer(index + n));
      }
      const answers = await namespace.timeout(5000).to(`user_${ana}`).emitWithAck("question", 7);
      assert.deepEqual(answers.sort(), [7, 8, 9]);
    });

    test("slots that move meanwhile are followed", { timeout: CLUSTER_LIMIT }, async (t) => {
      const { world, ana, anas } = await start(t);
      const { namespace } = world.node;
      // What goes by another slot misses nothing while these move.
      const channels = [MAIN, `${MAIN}user_${ana}#`];
      const count = 60;
      for (let n = 0; n < count; n += 1) {
        if (n % 20 === 10) {
          channels.forEach((channel) => world.redis.moveSlot(channel));
        }
        await world.emit(n % 2, { userId: ana, event: "n", payload: n });
      }
      for (const peer of anas.slice(0, 2)) {
        await peer.has("n", count);
        assert.deepEqual(peer.events.splice(0), Array.from({ length: count }, (_, n) => ["n", n]));
      }
      // What is published while a slot moves is heard by who is there: from here on by all.
      await world.isComplete();
      if (adapter === "sharded, dynamic") {
        await world.heard("SHARDNUMSUB", channels[1], 3);
      }
      // Node's client may have missed some, and the last ones are on their way to it.
      Object.assign(anas[2], { events: [], ignored: "n" });
      await world.emit(0, { userId: ana, event: "ours" });
      namespace.to(`user_${ana}`).emit("node's, to a user", 1);
      namespace.emit("node's, to all", 1);
      const events = [["ours", { n: 1 }], ["node's, to a user", 1], ["node's, to all", 1]];
      await gotInAnyOrder(world, anas.map((peer) => [peer, ...events]));
      assert.equal((await namespace.fetchSockets()).length, 6);
    });
  });
}

describe("beside an emitter, with REDIS_PUBSUB=auto,", options, () => {
  async function start(t) {
    const redis = await Redis.start(t);
    const env = { REDIS_URL: redis.url, REDIS_PUBSUB: "auto", METRICS_TOKEN };
    const services = await Promise.all([startService(t, env), startService(t, env)]);
    const peer = async (index, user) => {
      const peer = new Peer(t, services[index].url, user);
      await peer.connected;
      return peer;
    };
    return { services, peer, emitter: await startEmitter(t, redis), client: await redisClient(t, redis) };
  }

  test("what it emits arrives once, and in order", async (t) => {
    const { services, peer, emitter } = await start(t);
    const [ana, luis] = [newUser(), newUser()];
    const [ana1, ana2, luis1] = await Promise.all([peer(0, ana), peer(1, ana), peer(1, luis)]);
    const date = new Date(1_700_000_000_123);
    emitter.to(`user_${ana}`).emit("new_notification", { mensaje: "Ticket asignado", ticketId: 456, date, file: Buffer.from([1]) }, 2 ** 53);
    emitter.to([`user_${ana}`, `user_${luis}`]).except("role_9").emit("to two");
    emitter.emit("to all", [undefined]);
    emitter.emit("end");
    const notification = { mensaje: "Ticket asignado", ticketId: 456, date: date.toJSON(), file: Buffer.from([1]) };
    const all = [["to two"], ["to all", [null]], ["end"]];
    for (const [client, ...events] of [[ana1, ["new_notification", notification, 2 ** 53], ...all], [ana2, ["new_notification", notification, 2 ** 53], ...all], [luis1, ...all]]) {
      await client.has("end");
      assert.deepEqual(client.events, events);
    }
    const metrics = await fetch(`${services[0].url}/metrics`, { headers: { Authorization: `Bearer ${METRICS_TOKEN}` } });
    assert.match(await metrics.text(), /helpdesk_ws_peer_messages_total\{result="event"\} 4\n/);
  });

  test("it moves sockets", async (t) => {
    const { peer, emitter } = await start(t);
    const [ana, luis] = [newUser(), newUser()];
    const [ana1, luis1] = await Promise.all([peer(0, ana), peer(1, luis)]);
    emitter.in(`user_${ana}`).socketsJoin("chat");
    emitter.to("chat").emit("in chat");
    emitter.in("chat").socketsLeave(["chat"]);
    emitter.to("chat").emit("too late");
    const gone = received(luis1.socket, "disconnect");
    emitter.in(`user_${luis}`).disconnectSockets();
    assert.equal((await gone)[0], "io server disconnect");
    emitter.emit("end");
    await ana1.has("end");
    assert.deepEqual(ana1.events, [["in chat"], ["end"]]);
  });

  test("garbage on every channel is passed over", async (t) => {
    const { services, peer, emitter, client } = await start(t);
    const user = newUser();
    const one = await peer(0, user);
    await client.sendCommand(["PING"]);
    const packet = { type: 2, data: ["e"], nsp: "/notifications" };
    const opts = { rooms: [], except: [], flags: {} };
    let deep = "x";
    for (let depth = 0; depth < 5000; depth += 1) {
      deep = [deep];
    }
    const garbage = [
      Buffer.alloc(0), Buffer.from("not msgpack"), Buffer.from("{"), Buffer.from("{}"), Buffer.from("null"), Buffer.from([0xc1]),
      Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]), Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff]), Buffer.from([0xc6, 0xff, 0xff, 0xff, 0xff]),
      Buffer.alloc(1_100_000, 0x91), Buffer.alloc(100_000, 0x91), Buffer.from("[".repeat(100_000)), Buffer.from(`{"a":${"[".repeat(100_000)}`),
      ...[7, null, "x", [], {}, [1], ["u"], ["u", 1, 2], ["u", packet], ["u", packet, { rooms: "everyone" }], ["u", packet, { rooms: [{}] }],
        ["u", packet, {}], ["u", { ...packet, type: 3 }, opts], ["u", { ...packet, data: [] }, opts], ["u", { ...packet, data: ["connect"] }, opts],
        ["u", { ...packet, nsp: "/other" }, opts], ["u", { ...packet, data: ["e", ...Array(11).fill(Buffer.from([1]))] }, opts],
        ["u", { ...packet, data: ["e", { _placeholder: true, num: 9 }, Buffer.from([1])] }, opts],
        ["u", { ...packet, data: ["e", "x".repeat(1_050_000)] }, opts], ["u", packet, { ...opts, rooms: Array(1001).fill("r") }],
      ].map((value) => encode(value)),
      ...[{ type: 4, close: true }, { type: 4, opts: {}, close: true }, { type: 2, opts }, { type: 5, opts }, { type: 7, requestId: "r" },
        { type: "4", opts }, { uid: "u", nsp: "/notifications", type: 6, data: { close: true } }, { uid: "u", nsp: "/notifications", type: 3, data: { opts } },
        { uid: {}, type: 3 }, { type: 99 }, { uid: "u", requestId: {}, type: 0, rooms: [] },
      ].map((value) => Buffer.from(JSON.stringify(value))),
    ];
    for (const bytes of garbage) {
      for (const channel of [MAIN, `${MAIN}user_${user}#`, REQUESTS, `${MAIN}#`]) {
        await client.sendCommand(["PUBLISH", channel, bytes]);
        await client.sendCommand(["SPUBLISH", channel, bytes]);
      }
    }
    emitter.to(`user_${user}`).emit("still here", 1);
    await one.has("still here");
    assert.deepEqual(one.events, [["still here", 1]]);
    for (const service of services) {
      assert.equal((await fetch(`${service.url}/health`)).status, 200);
      const metrics = await fetch(`${service.url}/metrics`, { headers: { Authorization: `Bearer ${METRICS_TOKEN}` } });
      const [, refused] = /peer_messages_total\{result="refused"\} (\d+)/.exec(await metrics.text());
      assert.ok(Number(refused) > garbage.length, refused);
      const lines = service.output.split("\n").filter((line) => line.includes("passed over"));
      // Sampled, as every kind of line: ten in a second.
      assert.ok(lines.length >= 10 && lines.length <= Number(refused), lines.join("\n"));
      assert.ok(!service.output.includes("panicked"));
    }
    assert.equal((await post(`${services[1].url}/emit`, ROUTES["/emit"](user, "and on", 2))).status, 201);
    await one.has("and on");
  });
});
