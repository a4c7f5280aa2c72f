// Whom an emit reaches, what it may say besides, and several of them in one request.

import assert from "node:assert/strict";
import { once } from "node:events";
import { describe } from "node:test";
import { WebSocket } from "ws";
import { emit, post } from "../support/back-end.mjs";
import { CLIENTS, COMBINATIONS, openSocket, settled, withoutOffset } from "../support/clients.mjs";
import { test } from "../../../../hd-ws-server/tests/conformance/support/limited-test.mjs";
import { startService, withoutBinary, withoutReference } from "../support/service.mjs";
import { newUser, tokenFor } from "../support/tokens.mjs";

const { WS_URL } = process.env;
const [io4] = Object.values(CLIENTS);
/** Each target with the claim that it looks at, and the room that the claim gives. */
const CLAIMS = [
  ["role", "rol_id"],
  ["department", "dp_id"],
  ["region", "reg_id"],
  ["position", "car_id"],
];
/** Ids that no other test uses, as users are. */
const newId = newUser;

/** A client of a new user with these claims, which keeps all that it is sent. */
async function join(t, claims = {}, { io = io4, transports = ["websocket"] } = {}) {
  const user = newUser();
  const noClaims = { rol_id: null, dp_id: null, reg_id: null, car_id: null };
  const socket = openSocket(t, io, WS_URL, { transports, auth: { token: tokenFor(user, { ...noClaims, ...claims }) } });
  const events = [];
  socket.onAny((event, ...args) => events.push([event, ...withoutOffset(args)]));
  await settled(socket, transports);
  return { user, socket, events };
}

/** Emits; resolves to the number of sockets. */
async function send(command) {
  const { status, json } = await post(`${WS_URL}/emit`, { event: "x", data: 1, ...command });
  assert.equal(status, 201, JSON.stringify(json));
  return json.deliveredLocally;
}

/** All that a client was sent so far. What comes last on a connection shows that nothing is under way. */
async function eventsOf({ user, socket, events }) {
  const last = new Promise((resolve) => socket.once("last", resolve));
  await emit(WS_URL, user, "last", null);
  await last;
  return events.filter(([event]) => event !== "last");
}

async function assertEvents(expected) {
  for (const [client, events] of expected) {
    // Those for everyone are of other tests.
    const own = (await eventsOf(client)).filter(([event]) => !event.startsWith("announcement"));
    assert.deepEqual(own, events);
  }
}

describe("targets of an emit", { concurrency: 4, ...withoutReference }, () => {
  for (const [target, claim] of CLAIMS) {
    for (const [combination, io, transports] of COMBINATIONS) {
      test(`${target} is who has its ${claim}: ${combination}`, async (t) => {
        const [id, otherId] = [newId(), newId()];
        const clients = await Promise.all([id, id, otherId, null].map((value) => join(t, { [claim]: value }, { io, transports })));
        assert.equal(await send({ [target]: id }), 2);
        await assertEvents(clients.map((client, n) => [client, n < 2 ? [["x", 1]] : []]));
        assert.equal(await send({ [target]: [id, String(otherId)] }), 3);
        // Another claim of the same number is another room.
        const [elsewhere] = CLAIMS.find(([other]) => other !== target);
        assert.equal(await send({ [elsewhere]: id }), 0);
      });
    }
  }

  test("a claim of null is in no room", async (t) => {
    await join(t);
    assert.equal(await send({ rooms: CLAIMS.flatMap(([target]) => [`${target}_null`, `${target}_`, `${target}_undefined`]) }), 0);
  });

  test("userIds and rooms are lists", async (t) => {
    const role = newId();
    const [a, b, c, d] = await Promise.all([join(t), join(t), join(t, { rol_id: role }), join(t)]);
    assert.equal(await send({ userIds: [a.user, String(b.user)], rooms: [`role_${role}`, "nobody is here"] }), 3);
    await assertEvents([[a, [["x", 1]]], [b, [["x", 1]]], [c, [["x", 1]]], [d, []]]);
  });

  test("a client that several targets mean gets one copy", async (t) => {
    const claims = { rol_id: newId(), dp_id: newId(), reg_id: newId(), car_id: newId() };
    const client = await join(t, claims);
    const other = await join(t, { ...claims, rol_id: newId() });
    const all = {
      userId: client.user,
      userIds: [client.user, client.user],
      rooms: [`user_${client.user}`, `role_${claims.rol_id}`],
      role: [claims.rol_id, claims.rol_id],
      department: claims.dp_id,
      region: claims.reg_id,
      position: claims.car_id,
    };
    assert.equal(await send(all), 2);
    await assertEvents([[client, [["x", 1]]], [other, [["x", 1]]]]);
  });

  test("except takes out users, rooms and whoever has a claim", async (t) => {
    const [role, department, position] = [newId(), newId(), newId()];
    const [plain, user, inRoom, inDepartment, ofPosition] = await Promise.all([
      join(t, { rol_id: role }),
      join(t, { rol_id: role }),
      join(t, { rol_id: role }),
      join(t, { rol_id: role, dp_id: department }),
      join(t, { rol_id: role, car_id: position }),
    ]);
    const except = { userId: user.user, rooms: [`user_${inRoom.user}`], department: [department], position };
    assert.equal(await send({ role, except }), 1);
    assert.equal(await send({ role, event: "volatile", volatile: true, except }), 1);
    await assertEvents([[plain, [["x", 1], ["volatile", 1]]], [user, []], [inRoom, []], [inDepartment, []], [ofPosition, []]]);
    // It outweighs every target.
    assert.equal(await send({ userId: user.user, role, except: { role } }), 0);
  });

  for (const [route, fields] of [["/emit", { broadcast: true }], ["/notifications/broadcast", {}]]) {
    test(`a broadcast by ${route} leaves out its exceptions`, async (t) => {
      const role = newId();
      const [a, b] = await Promise.all([join(t), join(t, { rol_id: role })]);
      const event = `announcement ${newId()}`;
      const { status, json } = await post(WS_URL + route, { ...fields, event, payload: 1, except: { role } });
      assert.equal(status, 201);
      assert.ok(json.deliveredLocally >= 1);
      const isThere = async (client) => (await eventsOf(client)).some(([name]) => name === event);
      assert.deepEqual([await isThere(a), await isThere(b)], [true, false]);
    });
  }

  test("a plain WebSocket is in the rooms of its token", async (t) => {
    const role = newId();
    const socket = new WebSocket(`${WS_URL.replace("http", "ws")}/notifications?token=${tokenFor(newUser(), { rol_id: role })}`);
    t.after(() => socket.terminate());
    await once(socket, "open");
    const frame = new Promise((resolve) => {
      // Those for everyone are of other tests.
      socket.on("message", (data) => String(data).includes("announcement") || resolve(data));
    });
    assert.equal(await send({ role }), 1);
    assert.deepEqual(JSON.parse(await frame), { event: "x", data: 1 });
  });

  test("a new token moves a client to the rooms of its claims", async (t) => {
    const [before, after, department] = [newId(), newId(), newId()];
    const client = await join(t, { rol_id: before, dp_id: department });
    const token = tokenFor(client.user, { rol_id: after, dp_id: department, reg_id: null, car_id: null });
    assert.equal((await new Promise((resolve) => client.socket.emit("auth:refresh", token, resolve))).ok, true);
    assert.equal(await send({ role: before }), 0);
    assert.equal(await send({ role: after, event: "role" }), 1);
    assert.equal(await send({ department, event: "department" }), 1);
    assert.equal(await send({ userId: client.user, event: "user" }), 1);
    await assertEvents([[client, [["role", 1], ["department", 1], ["user", 1]]]]);
  });

  const bad = [
    ["no target", {}, "missing_field"],
    ["empty lists", { userIds: [], rooms: [] }, "missing_field"],
    ["exceptions alone", { except: { userId: 1 } }, "missing_field"],
    ["userIds that are no list", { userIds: 1 }, "invalid_user_id"],
    ["a role that is no id", { userId: 1, role: "admin" }, "invalid_target"],
    ["a role of null", { userId: 1, role: null }, "invalid_target"],
    ["a room without a name", { rooms: [""] }, "invalid_target"],
    ["an unknown exception", { userId: 1, except: { roles: [1] } }, "invalid_target"],
    ["more than 1,000 targets", { userIds: Array.from({ length: 1001 }, (_, n) => n) }, "too_many_targets"],
    ["volatile as text", { userId: 1, volatile: "true" }, "invalid_volatile"],
    ["a ttl of 29 days", { userId: 1, ttl: 29 * 86_400 }, "invalid_ttl"],
    ["an id with a space", { userId: 1, id: "a b" }, "invalid_id"],
  ];
  for (const [what, command, code] of bad) {
    test(`${what} is answered 400 ${code}`, async () => {
      const { status, json } = await post(`${WS_URL}/notifications/emit`, { event: "x", payload: 1, ...command });
      assert.equal(status, 400);
      assert.equal(json.error.code, code);
    });
  }

  test("a thousand of the longest ids fit beside the largest payload", async () => {
    const userIds = Array.from({ length: 1000 }, (_, n) => Number.MAX_SAFE_INTEGER - n);
    const { status } = await post(`${WS_URL}/emit`, { userIds, event: "x", data: "x".repeat(256 * 1024 - 2) });
    assert.equal(status, 201);
  });
});

describe("ids of emits", { skip: withoutBinary.skip || withoutReference.skip }, () => {
  test("are forgotten when there are more than IDEMPOTENCY_MAX_IDS", async (t) => {
    const service = await startService(t, { IDEMPOTENCY_MAX_IDS: "1" });
    const user = newUser();
    await settled(openSocket(t, io4, service.url, { transports: ["websocket"], auth: { token: tokenFor(user) } }), ["websocket"]);
    const delivered = async (id) => (await post(`${service.url}/emit`, { userId: user, event: "x", id })).json.deliveredLocally;
    assert.deepEqual([await delivered("a"), await delivered("a")], [1, undefined]);
    assert.deepEqual([await delivered("b"), await delivered("a")], [1, 1]);
  });

  test("are forgotten after IDEMPOTENCY_TTL", async (t) => {
    const service = await startService(t, { IDEMPOTENCY_TTL: "1s" });
    const user = newUser();
    await settled(openSocket(t, io4, service.url, { transports: ["websocket"], auth: { token: tokenFor(user) } }), ["websocket"]);
    const delivered = async () => (await post(`${service.url}/emit`, { userId: user, event: "x", id: "a" })).json.deliveredLocally;
    assert.equal(await delivered(), 1);
    while ((await delivered()) === undefined) {}
  });
});

describe("the id of an emit", { concurrency: 4, ...withoutReference }, () => {
  test("is carried out once, by whichever route and for whomever it comes again", async (t) => {
    const client = await join(t);
    const id = `once-${newId()}`;
    const userId = client.user;
    assert.equal(await send({ userId, id }), 1);
    assert.equal(await send({ userId, id }), undefined);
    const again = await post(`${WS_URL}/notifications/emit`, { userId, event: "again" }, { headers: { "Idempotency-Key": id } });
    assert.deepEqual([again.status, again.json], [201, { success: true, accepted: true, duplicate: true }]);
    const items = [{ userId, event: "again", id }, { userId, event: "other", id: `${id}-2` }, { userId, event: "again", id: `${id}-2` }];
    const { status, json } = await post(`${WS_URL}/emit/batch`, { items });
    assert.deepEqual([status, json.results.map((result) => result.deliveredLocally)], [201, [undefined, 1, undefined]]);
    await assertEvents([[client, [["x", 1], ["other", null]]]]);
  });

  test("of a command that was refused is free", async (t) => {
    const client = await join(t);
    const id = `refused-${newId()}`;
    assert.equal((await post(`${WS_URL}/emit`, { userId: client.user, event: "connect", id })).status, 400);
    assert.equal(await send({ userId: client.user, id }), 1);
  });

  const answers = [
    ["in the body", { id: "order-17" }, undefined, 201],
    ["in the header", {}, "order-17", 201],
    ["in both", { id: "order-17" }, "order-17", 201],
    ["in both, which differ", { id: "order-17" }, "order-18", 400, "ambiguous_id"],
    ["in a header with a space", {}, "a b", 400, "invalid_id"],
    ["in a header of 129 characters", {}, "k".repeat(129), 400, "invalid_id"],
    ["in a header with more than ASCII", {}, "\u00f1", 400, "invalid_id"],
    ["in an empty header", {}, "", 400, "invalid_id"],
  ];
  for (const path of ["/notifications/emit", "/emit", "/notifications/broadcast"]) {
    for (const [where, fields, header, expected, code] of answers) {
      test(`${where} is answered ${expected} by ${path}`, async () => {
        const headers = header === undefined ? {} : { "Idempotency-Key": header };
        const { status, json } = await post(WS_URL + path, { userId: newUser(), event: `announcement ${newId()}`, ...fields, ttl: 60 }, { headers });
        assert.equal(status, expected);
        assert.equal(json.error?.code, code);
      });
    }
  }
});

for (const path of ["/emit/batch", "/notifications/emit/batch"]) {
  describe(`POST ${path}`, { concurrency: 4, ...withoutReference }, () => {
    const url = WS_URL + path;
    const good = (deliveredLocally) => ({ success: true, accepted: true, deliveredLocally });

    test("sends its items in order, and says what became of each", async (t) => {
      const role = newId();
      const [a, b] = await Promise.all([join(t, { rol_id: role }), join(t)]);
      const items = [
        { userId: a.user, event: "first", payload: { n: 1 } },
        { role, event: "second", data: 2, id: `second-${role}`, ttl: 60 },
        { userIds: [a.user, b.user], event: "third", volatile: true },
        { userId: newUser(), event: "to nobody" },
      ];
      const { status, json } = await post(url, { items });
      assert.equal(status, 201);
      assert.deepEqual(json, { results: [good(1), good(1), good(2), good(0)] });
      await assertEvents([[a, [["first", { n: 1 }], ["second", 2], ["third", null]]], [b, [["third", null]]]]);
    });

    test("sends the good items beside the bad, and answers 207", async (t) => {
      const client = await join(t);
      const items = [
        { event: "x" },
        { userId: client.user, event: "good", payload: 1 },
        null,
        { userId: client.user, event: "disconnect" },
        { userId: client.user, event: "x", payload: "x".repeat(300_000) },
        { userId: client.user, event: "good too" },
      ];
      const { status, json } = await post(url, { items });
      assert.equal(status, 207);
      const codes = json.results.map((result) => result.error?.code ?? result);
      assert.deepEqual(codes, ["missing_field", good(1), "not_an_object", "reserved_event", "payload_too_large", good(1)]);
      for (const { success, error } of [json.results[0], json.results[2]]) {
        assert.equal(success, false);
        assert.deepEqual(Object.keys(error).sort(), ["code", "message"]);
      }
      await assertEvents([[client, [["good", 1], ["good too", null]]]]);
    });

    test("takes no items, and a hundred", async () => {
      assert.deepEqual(await statusAndCount({ items: [] }), [201, 0]);
      const items = Array.from({ length: 100 }, () => ({ userId: newUser(), event: "x" }));
      assert.deepEqual(await statusAndCount({ items }), [201, 100]);
      async function statusAndCount(body) {
        const { status, json } = await post(url, body);
        return [status, json.results.length];
      }
    });

    const refused = [
      ["more than a hundred items", { items: Array(101).fill({ userId: 1, event: "x" }) }, 413, "too_many_items"],
      ["more than 1 MiB", { items: Array(5).fill({ userId: 1, event: "x", payload: "x".repeat(250_000) }) }, 413, "payload_too_large"],
      ["no items", { userId: 1, event: "x" }, 400, "missing_field"],
      ["items that are no list", { items: {} }, 400, "invalid_items"],
      ["a list", [], 400, "not_an_object"],
      ["broken JSON", "{", 400, "invalid_json"],
    ];
    for (const [what, body, expected, code] of refused) {
      test(`answers ${expected} ${code} for ${what}`, async () => {
        const { status, json } = await post(url, body);
        assert.equal(status, expected);
        assert.equal(json.error.code, code);
      });
    }

    test("answers 400 for a key that would be that of all items", async () => {
      const { status, json } = await post(url, { items: [] }, { headers: { "Idempotency-Key": "a" } });
      assert.equal(status, 400);
      assert.equal(json.error.code, "invalid_id");
    });

    test("answers 401 without a token or with a wrong one, before it looks at the body", async () => {
      for (const token of [null, "wrong"]) {
        const { status } = await post(url, "{", { token });
        assert.equal(status, 401);
      }
    });

    test("answers 405 for GET", async () => {
      const response = await fetch(url);
      assert.equal(response.status, 405);
      assert.equal(response.headers.get("allow"), "POST");
      await response.text();
    });
  });
}
