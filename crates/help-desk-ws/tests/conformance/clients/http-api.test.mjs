// The HTTP side of the service at WS_URL, and the plain WebSocket endpoint.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { createInterface } from "node:readline";
import { describe } from "node:test";
import { fileURLToPath } from "node:url";
import { WebSocket } from "ws";
import { ROUTES, emit, post } from "../support/back-end.mjs";
import { CLIENTS, connected, openSocket, received } from "../support/clients.mjs";
import { test } from "../../../../hd-ws-server/tests/conformance/support/limited-test.mjs";
import { EMIT_TOKEN, startService, withoutBinary } from "../support/service.mjs";
import { newUser, refusedTokens, tokenFor } from "../support/tokens.mjs";

const { WS_URL } = process.env;
const PATHS = [...Object.keys(ROUTES), "/notifications/broadcast"];

for (const path of PATHS) {
  describe(`POST ${path}`, { concurrency: 4 }, () => {
    const url = WS_URL + path;
    const body = (fields = {}) => {
      const command = path in ROUTES ? ROUTES[path](newUser(), "new_notification", { ticketId: 1 }) : { event: `nobody listens ${newUser()}`, payload: {} };
      return { ...command, ...fields };
    };
    const without = (field) => {
      const command = body();
      delete command[field];
      return command;
    };

    test("answers 201 and the number of sockets", async () => {
      const { status, headers, json } = await post(url, body());
      assert.equal(status, 201);
      assert.match(headers.get("content-type"), /^application\/json/);
      assert.deepEqual(Object.keys(json), ["success", "accepted", "deliveredLocally"]);
      assert.equal(json.success, true);
      assert.equal(json.accepted, true);
      assert.ok(Number.isInteger(json.deliveredLocally), `deliveredLocally is ${json.deliveredLocally}`);
      if (path in ROUTES) {
        assert.equal(json.deliveredLocally, 0);
      }
    });

    test("takes a body whatever its Content-Type says about the charset", async () => {
      const { status } = await post(url, body(), { headers: { "Content-Type": "application/json; charset=utf-8" } });
      assert.equal(status, 201);
    });

    const unauthorized = [
      ["no token", null],
      ["a wrong token", "wrong"],
      ["the token and more", `${EMIT_TOKEN}x`],
      ["the beginning of the token", EMIT_TOKEN?.slice(0, -1)],
      ["a token of a client", tokenFor(1)],
    ];
    for (const [what, token] of unauthorized) {
      test(`answers 401 for ${what}`, async () => {
        const { status, json } = await post(url, body(), { token });
        assert.equal(status, 401);
        refused(json);
      });
    }

    test("answers 401 for another scheme than Bearer", async () => {
      const { status } = await post(url, body(), { token: null, headers: { Authorization: `Basic ${EMIT_TOKEN}` } });
      assert.equal(status, 401);
    });

    test("answers 401 before it looks at the body", async () => {
      assert.equal((await post(url, "{", { token: "wrong" })).status, 401);
    });

    const bad = [
      ["no body", "", "invalid_json"],
      ["broken JSON", '{"userId": 1,', "invalid_json"],
      ["JSON that is no object", "[]", "not_an_object"],
      ["null", "null", "not_an_object"],
      ["an empty object", "{}", "missing_field"],
      ["no event", without("event"), "missing_field"],
      ["an event that is no text", body({ event: 1 }), "invalid_event"],
      ["an event without a name", body({ event: "" }), "invalid_event"],
      ...["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"].map((event) => [
        `the reserved event ${event}`,
        body({ event }),
        "reserved_event",
      ]),
    ];
    if (path in ROUTES) {
      bad.push(["no userId", without("userId"), "missing_field"]);
      for (const userId of ["abc", "1 OR 1=1", 1.5, -1, 2 ** 53, null, true, [1], {}]) {
        bad.push([`userId ${JSON.stringify(userId)}`, body({ userId }), "invalid_user_id"]);
      }
    }
    for (const [what, sent, code] of bad) {
      test(`answers 400 ${code} for ${what}`, async () => {
        const { status, json } = await post(url, sent);
        assert.equal(status, 400);
        refused(json, code);
      });
    }

    test("answers 413 for a payload that is too large", async () => {
      const field = path === "/emit" ? "data" : "payload";
      const { status, json } = await post(url, body({ [field]: "x".repeat(300_000) }));
      assert.equal(status, 413);
      refused(json);
    });

    test("answers 413 for a body that is too large", async () => {
      assert.equal(await statusOfUpload(url, 2_000_000), 413);
      // The service lives.
      assert.equal((await post(url, body())).status, 201);
    });

    for (const method of ["GET", "PUT", "DELETE", "PATCH"]) {
      test(`answers 405 for ${method}, and names what is allowed`, async () => {
        const response = await fetch(url, { method, headers: { Authorization: `Bearer ${EMIT_TOKEN}` } });
        assert.equal(response.status, 405);
        assert.match(response.headers.get("allow"), /\bPOST\b/);
        refused(await response.json());
      });
    }
  });
}

describe("POST /notifications/emit", { concurrency: true }, () => {
  test("takes a userId in digits as text, as the NestJS service did", async (t) => {
    const user = newUser();
    const socket = openSocket(t, CLIENTS["socket.io-client 4.8"], WS_URL, { transports: ["websocket"], auth: { token: tokenFor(user) } });
    await connected(socket);
    const event = received(socket, "ticket_closed");
    assert.equal(await emit(WS_URL, String(user), "ticket_closed", {}), 1);
    await event;
  });
});

describe("an emit without a payload", { concurrency: true }, () => {
  for (const path of Object.keys(ROUTES)) {
    test(`to ${path} sends null, as the NestJS service did`, async (t) => {
      const user = newUser();
      const socket = openSocket(t, CLIENTS["socket.io-client 4.8"], WS_URL, { transports: ["websocket"], auth: { token: tokenFor(user) } });
      await connected(socket);
      const event = received(socket, "ticket_closed");
      assert.equal((await post(WS_URL + path, { userId: user, event: "ticket_closed" })).json.deliveredLocally, 1);
      assert.deepEqual(await event, [null]);
    });
  }
});

describe("other paths", { concurrency: true }, () => {
  for (const path of ["/health", "/"]) {
    test(`GET ${path} says that the service is well`, async () => {
      const response = await fetch(WS_URL + path);
      assert.equal(response.status, 200);
      assert.match(response.headers.get("content-type"), /^application\/json/);
      assert.deepEqual(await response.json(), { status: "ok", service: "help-desk-ws" });
    });
  }

  for (const path of ["/livez", "/readyz"]) {
    test(`GET ${path} answers 200`, async () => {
      const response = await fetch(WS_URL + path);
      assert.equal(response.status, 200);
      await response.text();
    });
  }

  test("HEAD /health answers 200 without a body", async () => {
    const response = await fetch(`${WS_URL}/health`, { method: "HEAD" });
    assert.equal(response.status, 200);
  });

  test("POST /health is answered 405", async () => {
    const response = await fetch(`${WS_URL}/health`, { method: "POST", body: "{}" });
    assert.equal(response.status, 405);
    refused(await response.json());
  });

  for (const path of ["/nothing", "/notifications/emitx", "/emit/", "/healthz"]) {
    test(`${path} is answered 404 in JSON`, async () => {
      const response = await fetch(WS_URL + path);
      assert.equal(response.status, 404);
      assert.match(response.headers.get("content-type"), /^application\/json/);
      refused(await response.json());
    });
  }
});

describe("plain WebSocket at /notifications", { concurrency: true }, () => {
  const endpoint = `${WS_URL?.replace("http", "ws")}/notifications`;

  test("gets each notification as one JSON text frame", async (t) => {
    const user = newUser();
    const socket = await openPlain(t, `${endpoint}?token=${tokenFor(user)}`);
    const frame = once(socket, "message");
    const payload = { mensaje: "ñandú €", ticketId: 456, list: [1, null] };
    assert.equal(await emit(WS_URL, user, "new_notification", payload), 1);
    const [data, isBinary] = await frame;
    assert.equal(isBinary, false);
    assert.deepEqual(JSON.parse(data), { event: "new_notification", data: payload });
  });

  test("takes the token from the Authorization header", async (t) => {
    const user = newUser();
    const socket = await openPlain(t, endpoint, { headers: { Authorization: `Bearer ${tokenFor(user)}` } });
    const frame = once(socket, "message");
    await emit(WS_URL, user, "ticket_updated", { ticketId: 1 });
    assert.deepEqual(JSON.parse((await frame)[0]), { event: "ticket_updated", data: { ticketId: 1 } });
  });

  test("shares the user with a Socket.IO client, and nobody else's", async (t) => {
    const [user, stranger] = [newUser(), newUser()];
    const plain = await openPlain(t, `${endpoint}?token=${tokenFor(user)}`);
    const other = await openPlain(t, `${endpoint}?token=${tokenFor(stranger)}`);
    const socket = openSocket(t, CLIENTS["socket.io-client 4.8"], WS_URL, { transports: ["websocket"], auth: { token: tokenFor(user) } });
    await connected(socket);
    const [frame, event, last] = [once(plain, "message"), received(socket, "x"), once(other, "message")];
    assert.equal(await emit(WS_URL, user, "x", { n: 1 }), 2);
    assert.deepEqual(JSON.parse((await frame)[0]), { event: "x", data: { n: 1 } });
    assert.deepEqual(await event, [{ n: 1 }]);
    await emit(WS_URL, stranger, "last", null);
    assert.deepEqual(JSON.parse((await last)[0]), { event: "last", data: null });
  });

  test("receives 500 events in order", async (t) => {
    const user = newUser();
    const socket = await openPlain(t, `${endpoint}?token=${tokenFor(user)}`);
    const numbers = [];
    const all = new Promise((resolve) => {
      socket.on("message", (data) => {
        numbers.push(JSON.parse(data).data);
        if (numbers.length === 500) {
          resolve();
        }
      });
    });
    for (let n = 0; n < 500; n += 1) {
      await emit(WS_URL, user, "number", n);
    }
    await all;
    assert.deepEqual(numbers, Array.from({ length: 500 }, (_, n) => n));
  });

  for (const [what, token, code] of refusedTokens()) {
    test(`refuses ${what} with 401 (${code})`, async () => {
      assert.equal(await refusalOf(token === undefined ? endpoint : `${endpoint}?token=${encodeURIComponent(token)}`), 401);
    });
  }

  test("closes when the token expires", async (t) => {
    const socket = await openPlain(t, `${endpoint}?token=${tokenFor(newUser(), { expiresIn: 3 })}`);
    await once(socket, "close");
  });

  test("wscat prints the notification", async (t) => {
    const user = newUser();
    const wscat = spawn(
      process.execPath,
      [fileURLToPath(new URL("../node_modules/wscat/bin/wscat", import.meta.url)), "--no-color", "-c", `${endpoint}?token=${tokenFor(user)}`],
      { stdio: ["pipe", "pipe", "pipe"] },
    );
    t.after(() => wscat.kill("SIGKILL"));
    const line = new Promise((resolve) => {
      createInterface({ input: wscat.stdout }).on("line", (text) => text.includes("{") && resolve(text));
    });
    // wscat does not tell that it is connected when its output is no terminal.
    while (!t.signal.aborted && (await emit(WS_URL, user, "new_notification", { ticketId: 456 })) === 0) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const printed = await line;
    assert.deepEqual(JSON.parse(printed.slice(printed.indexOf("{"))), { event: "new_notification", data: { ticketId: 456 } });
  });
});

describe("origins", { concurrency: 1, ...withoutBinary }, () => {
  const ALLOWED = ["https://front.example", "http://localhost:5173"];
  const REFUSED = [
    "null",
    "https://evil.example",
    "http://front.example",
    "https://front.example:8443",
    "https://front.example.evil.example",
    "https://evilfront.example",
    "https://sub.front.example",
    "http://localhost",
  ];

  async function outcomes(service, origin) {
    const headers = origin === undefined ? {} : { Origin: origin };
    const polling = await fetch(`${service.url}/socket.io/?EIO=4&transport=polling`, { headers });
    const body = await polling.text();
    return {
      polling: polling.status,
      body,
      allowOrigin: polling.headers.get("access-control-allow-origin"),
      webSocket: await refusalOf(`${service.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`, headers),
      plain: await refusalOf(`${service.url.replace("http", "ws")}/notifications?token=${tokenFor(newUser())}`, headers),
    };
  }

  test("of a list are let in, and no others", async (t) => {
    const service = await startService(t, { CORS_ORIGIN: ALLOWED.join(", ") });
    for (const origin of ALLOWED) {
      const { polling, allowOrigin, webSocket, plain } = await outcomes(service, origin);
      assert.deepEqual({ polling, allowOrigin, webSocket, plain }, { polling: 200, allowOrigin: origin, webSocket: 101, plain: 101 }, origin);
    }
    for (const origin of REFUSED) {
      const { polling, body, allowOrigin, webSocket, plain } = await outcomes(service, origin);
      assert.equal(polling, 403, origin);
      assert.equal(body, '{"code":4,"message":"Forbidden"}');
      assert.notEqual(allowOrigin, origin);
      assert.ok([400, 403].includes(webSocket), `${origin} was answered ${webSocket}`);
      assert.ok([400, 403].includes(plain), `${origin} was answered ${plain}`);
    }
    const { polling, webSocket, plain } = await outcomes(service, undefined);
    assert.deepEqual({ polling, webSocket, plain }, { polling: 200, webSocket: 101, plain: 101 }, "no origin");
  });

  test("may be required", async (t) => {
    const service = await startService(t, { CORS_ORIGIN: ALLOWED[0], ALLOW_NO_ORIGIN: "false" });
    const { polling, webSocket, plain } = await outcomes(service, undefined);
    assert.equal(polling, 403);
    assert.ok([400, 403].includes(webSocket));
    assert.ok([400, 403].includes(plain));
    assert.equal((await outcomes(service, ALLOWED[0])).polling, 200);
  });

  test("are all let in by *, but for null", async (t) => {
    const service = await startService(t, { CORS_ORIGIN: "*" });
    const { polling, webSocket, plain } = await outcomes(service, "https://anywhere.example");
    assert.deepEqual({ polling, webSocket, plain }, { polling: 200, webSocket: 101, plain: 101 });
    assert.equal((await outcomes(service, "null")).polling, 403);
  });

  test("are answered before a preflight's request", async (t) => {
    const service = await startService(t, { CORS_ORIGIN: ALLOWED[0] });
    const preflight = await fetch(`${service.url}/socket.io/?EIO=4&transport=polling`, {
      method: "OPTIONS",
      headers: { Origin: ALLOWED[0], "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization" },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get("access-control-allow-origin"), ALLOWED[0]);
    assert.match(preflight.headers.get("access-control-allow-methods"), /\bPOST\b/);
    assert.match(preflight.headers.get("access-control-allow-headers"), /authorization/i);
  });

  for (const [client, io] of Object.entries(CLIENTS)) {
    test(`decide for ${client} over polling and websocket`, async (t) => {
      const service = await startService(t, { CORS_ORIGIN: ALLOWED[0] });
      for (const transports of [["websocket"], ["polling"]]) {
        const open = (Origin) =>
          openSocket(t, io, service.url, { transports, extraHeaders: { Origin }, auth: { token: tokenFor(newUser()) } });
        await connected(open(ALLOWED[0]));
        await assert.rejects(connected(open("https://evil.example")), `${transports} let it in`);
      }
    });
  }
});

/** An error is `{error: {code, message}}` and nothing else. */
function refused(json, code) {
  assert.deepEqual(Object.keys(json), ["error"]);
  assert.equal(typeof json.error.code, "string");
  assert.equal(typeof json.error.message, "string");
  assert.ok(json.error.message.length > 0);
  if (code) {
    assert.equal(json.error.code, code);
  }
}

/** The status of an upload, which may be refused before its end is sent. */
function statusOfUpload(url, length) {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Content-Length": length, Authorization: `Bearer ${EMIT_TOKEN}` },
    });
    request.on("response", (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on("error", reject);
    request.end(Buffer.alloc(length, "x"));
  });
}

async function openPlain(t, url, options) {
  const socket = new WebSocket(url, options);
  t.after(() => socket.terminate());
  await once(socket, "open");
  return socket;
}

/** The status that a WebSocket handshake is answered with, 101 included. */
function refusalOf(url, headers = {}) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { headers });
    socket.on("open", () => {
      resolve(101);
      socket.terminate();
    });
    socket.on("unexpected-response", (request, response) => {
      resolve(response.statusCode);
      request.destroy();
    });
    socket.on("error", reject);
  });
}
