// What is promised beside a server of Node: each breach of it is found.

import assert from "node:assert/strict";
import { test } from "node:test";
import { EVERYONE, Ledger } from "./ledger.mjs";
import { Mix, streamOf } from "./mix.mjs";
import { userOf } from "./tokens.mjs";

const PUBLISHERS = ["ours", "node", "emitter"];
/** Of six clients 3 and 6 are at Node's server; 5 and 6 are second ones of the users 1 and 2. */
const CLIENTS = [1, 2, 3, 4, 5, 6];
const CLIENTS_OF = { [EVERYONE]: CLIENTS, 1: [1, 5], 2: [2, 6], 3: [3], 4: [4] };
/** A user with a client at each kind of server. */
const USER = 2;
const [OURS, NODES] = CLIENTS_OF[USER];

/** A ledger in which each who publishes has sent two messages to `to`, at 1 and 2. */
function ledgerWith(to, adapter) {
  const mix = new Mix(CLIENTS.length, adapter);
  const ledger = new Ledger((client) => mix.streamsOf(client), (client) => userOf(client, mix.users));
  CLIENTS.forEach((client) => ledger.connected(client, 0, false));
  for (const stream of PUBLISHERS.map((by) => streamOf(by, to))) {
    for (const at of [1, 2]) {
      ledger.acknowledged(stream, ledger.sent(stream, at), at);
    }
  }
  return ledger;
}

/** Every client has got both messages of each who publishes to `to`, but for what `change` makes of `[client, by, numbers]`. */
function receive(ledger, to, adapter, change = (_client, _by, numbers) => numbers) {
  for (const client of CLIENTS_OF[to]) {
    for (const by of PUBLISHERS.filter((by) => adapter === "classic" || client % 3 !== 0 || by !== "emitter")) {
      change(client, by, [1, 2]).forEach((number) => ledger.received(client, streamOf(by, to), number, 10, undefined));
    }
  }
}

function check(ledger, expected) {
  const { lost, duplicated, reordered } = ledger.report();
  assert.deepEqual({ lost, duplicated, reordered }, { lost: 0, duplicated: 0, reordered: 0, ...expected });
}

test("a third of the clients is at Node's server, and some users are at both", () => {
  const mix = new Mix(600, "classic");
  assert.equal(mix.users, 400);
  assert.equal(mix.clientsOfNode.length, 200);
  const places = Array.from({ length: mix.users }, (_, index) => mix.placesOf(index + 1));
  assert.equal(places.filter(({ node, ours }) => node === 1 && ours === 1).length, 133);
  assert.equal(places.filter(({ ours }) => ours === 2).length, 67);
  assert.equal(places.reduce((total, { node, ours }) => total + node + ours, 0), 600);
});

for (const adapter of ["classic", "sharded"]) {
  for (const to of [EVERYONE, USER]) {
    const what = `${to === EVERYONE ? "to everyone" : "to a user at both"}, with the ${adapter} adapter`;

    test(`once, and in the order of each who publishes, is no fault: ${what}`, () => {
      const ledger = ledgerWith(to, adapter);
      assert.ok(ledger.outstanding > 0);
      receive(ledger, to, adapter);
      assert.equal(ledger.outstanding, 0);
      check(ledger, {});
    });

    for (const client of [OURS, NODES]) {
      for (const by of PUBLISHERS.filter((by) => adapter === "classic" || client === OURS || by !== "emitter")) {
        test(`what one client misses, gets twice or late is found: by ${by} ${what}, client ${client}`, () => {
          for (const [numbers, expected] of [
            [[2], { lost: 1 }],
            [[1], { lost: 1 }],
            [[], { lost: 2 }],
            [[1, 2, 2], { duplicated: 1 }],
            [[2, 1], { reordered: 1 }],
          ]) {
            const ledger = ledgerWith(to, adapter);
            const change = (...which) => (which[0] === client && which[1] === by ? numbers : which[2]);
            receive(ledger, to, adapter, change);
            check(ledger, expected);
          }
        });
      }
    }
  }
}

test("the emitter is promised to nobody at a server with the sharded adapter, and to all of ours", () => {
  const mix = new Mix(6, "sharded");
  const hearsEmitter = (client) => mix.streamsOf(client).some((stream) => String(stream).startsWith("emitter"));
  assert.deepEqual(CLIENTS.filter(hearsEmitter), [1, 2, 4, 5]);
});

test("streams of several who publish have no order among each other", () => {
  const ledger = ledgerWith(USER, "classic");
  for (const client of [OURS, NODES]) {
    for (const number of [1, 2]) {
      [...PUBLISHERS].reverse().forEach((by) => ledger.received(client, streamOf(by, USER), number, 10, undefined));
    }
  }
  check(ledger, {});
});
