// The checker itself: each fault that it is there to find is found.

import assert from "node:assert/strict";
import { test } from "node:test";
import { EVERYONE, Ledger } from "./ledger.mjs";

const USER = 7;

/** A ledger with one client, and `count` acknowledged messages to it, sent at 1, 2, 3… */
function ledgerWith(count, to = USER) {
  const ledger = new Ledger();
  ledger.connected(USER, 0, false);
  for (let at = 1; at <= count; at += 1) {
    ledger.acknowledged(to, ledger.sent(to, at), at);
  }
  return ledger;
}

function check(ledger, expected) {
  const { lost, duplicated, reordered, excused, told } = ledger.report();
  assert.deepEqual({ lost, duplicated, reordered, excused, told }, { lost: 0, duplicated: 0, reordered: 0, excused: 0, told: 0, ...expected });
}

function receive(ledger, numbers, to = USER) {
  for (const number of numbers) {
    ledger.received(USER, to, number, 10 + number, `${number}-0`);
  }
}

test("once and in order is no fault", () => {
  const ledger = ledgerWith(3);
  receive(ledger, [1, 2, 3]);
  check(ledger, {});
  assert.equal(ledger.outstanding, 0);
});

test("what does not come is lost, to a user and to everyone", () => {
  for (const to of [USER, EVERYONE]) {
    const ledger = ledgerWith(3, to);
    receive(ledger, [1, 3], to);
    assert.equal(ledger.outstanding, 1);
    check(ledger, { lost: 1 });
    const [{ sentAt, ...example }] = ledger.report().examples.lost;
    assert.deepEqual(example, { user: USER, to, number: 2, acknowledgedAt: 2 });
  }
});

test("what comes twice is duplicated, and not reordered", () => {
  const ledger = ledgerWith(3);
  receive(ledger, [1, 2, 1, 3]);
  check(ledger, { duplicated: 1 });
});

test("what comes after a later one is reordered", () => {
  const ledger = ledgerWith(3);
  receive(ledger, [2, 1, 3]);
  check(ledger, { reordered: 1 });
});

test("what was never acknowledged may be missing, or late, but not come twice", () => {
  const ledger = ledgerWith(0);
  ledger.sent(USER, 1);
  ledger.acknowledged(USER, ledger.sent(USER, 2), 2);
  receive(ledger, [2]);
  check(ledger, {});
  receive(ledger, [1]);
  check(ledger, {});
  receive(ledger, [1]);
  check(ledger, { duplicated: 1 });
});

test("a client that recovered must have everything", () => {
  const ledger = ledgerWith(2);
  receive(ledger, [1]);
  ledger.disconnected(USER, 20, "transport close");
  ledger.connected(USER, 30, true);
  check(ledger, { lost: 1 });
});

test("a client that was told is excused from what was sent before, not from what comes after", () => {
  const ledger = ledgerWith(2);
  receive(ledger, [1]);
  ledger.disconnected(USER, 20, "transport close");
  ledger.connected(USER, 30, false);
  check(ledger, { excused: 1, told: 1 });
  ledger.acknowledged(USER, ledger.sent(USER, 31), 32);
  check(ledger, { excused: 1, told: 1, lost: 1 });
});

test("a client that comes late need not have what was sent before", () => {
  const ledger = new Ledger();
  for (const at of [1, 2]) {
    ledger.acknowledged(EVERYONE, ledger.sent(EVERYONE, at), at + 1);
  }
  ledger.connected(USER, 1, false);
  check(ledger, { lost: 1 });
});

test("who does not come back is counted by why", () => {
  const ledger = new Ledger();
  for (const user of [1, 2, 3, 4]) {
    ledger.connected(user, 0, false);
  }
  ledger.disconnected(1, 1, "io server disconnect");
  for (const user of [2, 3, 4]) {
    ledger.disconnected(user, 1, "transport close");
  }
  ledger.gaveUp(2);
  ledger.refused(3, 2);
  const { serverDisconnects, gaveUp, refused, stillAway } = ledger.report();
  assert.deepEqual({ serverDisconnects, gaveUp, refused, stillAway }, { serverDisconnects: 1, gaveUp: 1, refused: 1, stillAway: 1 });
});

test("gaps, the time until all are back, and the rate of closes are measured", () => {
  const ledger = new Ledger();
  for (const user of [1, 2, 3]) {
    ledger.connected(user, 0, false);
  }
  ledger.mark(1000);
  ledger.disconnected(1, 1010, "transport close");
  ledger.disconnected(2, 1500, "transport close");
  ledger.disconnected(3, 2400, "transport close");
  ledger.connected(1, 1110, true);
  ledger.connected(2, 2500, true);
  ledger.connected(3, 2600, true);
  const { gapMs, backMs, noticedMs, closesPerSecond } = ledger.report();
  assert.deepEqual(gapMs, { p50: 200, p99: 1000, max: 1000 });
  assert.deepEqual([backMs, noticedMs, closesPerSecond], [1600, 1400, 2]);
});

test("what Redis is known to have lost is told apart", () => {
  const ledger = ledgerWith(3);
  receive(ledger, [1]);
  ledger.emptied(2);
  const remembered = (at) => ledger.remembered(new Set(["7-1", "7-3"]), (to, number) => `${to}-${number}`, at);
  // What is acknowledged later need not be there.
  assert.equal(remembered(2), 0);
  assert.equal(remembered(3), 1);
  check(ledger, { lost: 1 });
  assert.equal(ledger.report().forgotten, 1);
});

test("what was acknowledged just before Redis lost everything may be lost, and nothing else", () => {
  const ledger = ledgerWith(0);
  for (const at of [1000, 4500, 6500]) {
    ledger.acknowledged(USER, ledger.sent(USER, at), at);
  }
  ledger.emptied(5000);
  check(ledger, { lost: 2 });
  assert.equal(ledger.report().forgotten, 1);
});

test("what comes again under another offset after Redis had lost it is told apart", () => {
  for (const [emptiedAt, offset, expected] of [
    [2, "9-0", { appendedTwice: 1, duplicated: 0 }],
    [2, "1-0", { appendedTwice: 0, duplicated: 1 }],
    [0, "9-0", { appendedTwice: 0, duplicated: 1 }],
  ]) {
    const ledger = ledgerWith(1);
    ledger.emptied(emptiedAt);
    receive(ledger, [1]);
    ledger.received(USER, USER, 1, 20, offset);
    const { appendedTwice, duplicated } = ledger.report();
    assert.deepEqual({ appendedTwice, duplicated }, expected);
  }
});

test("a page that was closed needs nothing from then on, and one that is opened again is a new one", () => {
  const ledger = ledgerWith(0);
  for (const at of [1000, 1500, 6500, 7500, 11000]) {
    ledger.acknowledged(USER, ledger.sent(USER, at), at);
  }
  receive(ledger, [1]);
  ledger.left(USER, 7000);
  ledger.connected(USER, 8000, false);
  assert.equal(ledger.report().closedPages, 1);
  check(ledger, { lost: 2 });
  receive(ledger, [5]);
  check(ledger, { lost: 1 });
});

test("who is refused for its token is told, from when it lost its connection on", () => {
  const ledger = ledgerWith(0);
  ledger.gotToken(USER, 4000);
  for (const at of [1000, 4500]) {
    ledger.acknowledged(USER, ledger.sent(USER, at), at);
  }
  ledger.disconnected(USER, 4100, "transport close");
  ledger.refused(USER, 5000);
  check(ledger, { lost: 1, excused: 1 });
  const { expiryMs, earliestExpiryMs } = ledger.report();
  assert.deepEqual([expiryMs.max, earliestExpiryMs], [100, 0]);
});

test("the longest time without an acknowledgement counts from the fault on", () => {
  const ledger = ledgerWith(0);
  ledger.mark(1000);
  for (const at of [10, 1010, 1020, 3000, 3010]) {
    ledger.acknowledged(USER, ledger.sent(USER, at), at);
  }
  assert.equal(ledger.report().writeGapMs, 1980);
});

test("delays are taken of whom they are asked", () => {
  const ledger = ledgerWith(1, EVERYONE);
  ledger.connected(8, 0, false);
  ledger.received(USER, EVERYONE, 1, 5);
  ledger.received(8, EVERYONE, 1, 1000);
  assert.equal(ledger.takeDelays((user) => user === USER).max, 4);
  assert.equal(ledger.takeDelays(() => true), null);
});

test("a gap lasts until the client is in again, through attempts that fail", () => {
  const ledger = ledgerWith(0);
  ledger.disconnected(USER, 100, "transport close");
  ledger.disconnected(USER, 900, "transport close");
  ledger.connected(USER, 1000, true);
  const { gapMs, disconnects } = ledger.report();
  assert.deepEqual([gapMs.max, disconnects], [900, 1]);
});

test("what is for another user is misdelivered, and nothing else", () => {
  const ledger = ledgerWith(1);
  receive(ledger, [1]);
  ledger.connected(8, 0, false);
  ledger.acknowledged(8, ledger.sent(8, 5), 6);
  ledger.received(USER, 8, 1, 10);
  check(ledger, { lost: 1 });
  assert.equal(ledger.report().misdelivered, 1);
});

test("an event whose time was over before its page returned is not lost", () => {
  for (const [backAt, expected] of [
    [12_000, { excused: 1 }],
    [3000, { lost: 1 }],
  ]) {
    const ledger = ledgerWith(0);
    ledger.disconnected(USER, 900, "transport close");
    ledger.acknowledged(USER, ledger.sent(USER, 1000, { ttlMs: 10_000 }), 1005);
    ledger.connected(USER, backAt, true);
    check(ledger, expected);
  }
});

test("what is for a role is for who has it", () => {
  for (const [from, received, expected] of [
    ["role:1", [], { lost: 1 }],
    ["role:1", [1], {}],
    ["role:2", [], {}],
    ["role:2", [1], { misdelivered: 1 }],
  ]) {
    const ledger = ledgerWith(0);
    ledger.joinedRole(USER, from, 0);
    ledger.acknowledged("role:1", ledger.sent("role:1", 5), 6);
    received.forEach((number) => ledger.received(USER, "role:1", number, 10));
    const { lost, misdelivered } = ledger.report();
    assert.deepEqual({ lost, misdelivered }, { lost: 0, misdelivered: 0, ...expected });
  }
});
