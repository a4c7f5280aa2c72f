// Instances of the service from their start to their end: needs the binary, WS_BIN.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { WebSocket } from "ws";
import { ROUTES, emit, post } from "../support/back-end.mjs";
import { CLIENTS, COMBINATIONS, connected, openSocket, received, settled, upgraded } from "../support/clients.mjs";
import { test } from "../../../../hd-ws-server/tests/conformance/support/limited-test.mjs";
import { freePort } from "../support/ports.mjs";
import { COMMANDS, EMIT_TOKEN, JWT_SECRET, runCommand, startService, withoutBinary, withoutReference } from "../support/service.mjs";
import { TcpProxy } from "../support/tcp-proxy.mjs";
import { newUser, refusedTokens, tokenFor } from "../support/tokens.mjs";

const options = { concurrency: 3, ...withoutBinary };
const io4 = CLIENTS["socket.io-client 4.8"];

describe("the end", options, () => {
  for (const [combination, io, transports] of COMBINATIONS) {
    test(`is followed by a new beginning for ${combination}`, async (t) => {
      const user = newUser();
      const first = await startService(t, { PORT: String(await freePort()), SHUTDOWN_TIMEOUT: "4s" });
      const socket = openSocket(t, io, first.url, {
        transports,
        reconnection: true,
        reconnectionDelay: 100,
        reconnectionDelayMax: 200,
        auth: { token: tokenFor(user) },
      });
      await settled(socket, transports);
      const [gone, back] = [received(socket, "disconnect"), received(socket, "connect")];
      // A DISCONNECT packet would keep the client from coming back.
      const packets = [];
      socket.io.engine.on("packet", ({ type, data }) => packets.push(`${type} ${data ?? ""}`));

      const { code, signal, elapsed } = await first.terminate();
      assert.deepEqual({ code, signal }, { code: 0, signal: null });
      assert.ok(elapsed < 8000, `ended after ${elapsed} ms`);
      const [reason] = await gone;
      assert.ok(["transport close", "transport error"].includes(reason), reason);
      assert.deepEqual(packets.filter((packet) => packet.startsWith("message 1")), []);

      const second = await startService(t, { PORT: first.port });
      await back;
      const event = received(socket, "new_notification");
      assert.equal(await emit(second.url, user, "new_notification", { ticketId: 1 }), 1);
      assert.deepEqual(await event, [{ ticketId: 1 }]);
    });
  }

  test("closes plain WebSockets", async (t) => {
    const service = await startService(t, { SHUTDOWN_TIMEOUT: "4s" });
    const socket = new WebSocket(`${service.url.replace("http", "ws")}/notifications?token=${tokenFor(newUser())}`);
    t.after(() => socket.terminate());
    await new Promise((resolve) => socket.once("open", resolve));
    const closed = new Promise((resolve) => socket.once("close", resolve));
    assert.equal((await service.terminate()).code, 0);
    await closed;
  });

  test("comes in its deadline even when a client does not take part", async (t) => {
    const service = await startService(t, { SHUTDOWN_TIMEOUT: "1s" });
    const proxy = await TcpProxy.start(t, service.url);
    const socket = openSocket(t, io4, proxy.url, { transports: ["websocket"], auth: { token: tokenFor(newUser()) } });
    await connected(socket);
    proxy.freeze();
    const { code, elapsed } = await service.terminate();
    assert.equal(code, 0);
    assert.ok(elapsed < 6000, `ended after ${elapsed} ms`);
  });

  test("what was emitted just before is still delivered", async (t) => {
    const service = await startService(t, { SHUTDOWN_TIMEOUT: "4s" });
    const user = newUser();
    const socket = openSocket(t, io4, service.url, { transports: ["websocket"], auth: { token: tokenFor(user) } });
    await connected(socket);
    const numbers = [];
    socket.on("number", (n) => numbers.push(n));
    const gone = received(socket, "disconnect");
    for (let n = 0; n < 100; n += 1) {
      await emit(service.url, user, "number", n);
    }
    await Promise.all([service.terminate(), gone]);
    assert.deepEqual(numbers, Array.from({ length: 100 }, (_, n) => n));
  });
});

describe("settings", options, () => {
  const production = {
    NODE_ENV: "production",
    CORS_ORIGIN: "https://front.example",
    JWT_SECRET: "a-secret-of-production-with-32-bytes-or-more",
    EMIT_TOKEN: "an-emit-token-of-production-with-32-bytes",
  };
  const bad = [
    ["PORT", { PORT: "http" }, "http"],
    ["PORT", { PORT: "65536" }, "65536"],
    ["NODE_ENV", { NODE_ENV: "prod" }, "prod"],
    ["CORS_ORIGIN", { CORS_ORIGIN: "https://front.example/path" }, "https://front.example/path"],
    ["AUTH_FAILURE", { AUTH_FAILURE: "maybe" }, "maybe"],
    ["PING_INTERVAL", { PING_INTERVAL: "soon" }, "soon"],
    ["PING_TIMEOUT", { PING_TIMEOUT: "25" }, "25"],
    ["SHUTDOWN_TIMEOUT", { SHUTDOWN_TIMEOUT: "-1s" }, "-1s"],
    ["JWT_SECRET", { ...production, JWT_SECRET: "" }],
    ["JWT_SECRET", { ...production, JWT_SECRET: "default-secret" }],
    ["JWT_SECRET", { ...production, JWT_SECRET: "default-secret-change-me" }],
    ["CORS_ORIGIN", { ...production, CORS_ORIGIN: "" }],
  ];
  for (const [name, env, value] of bad) {
    const shown = Object.entries(env).filter(([key]) => key === name || key === "NODE_ENV").map(([key, text]) => `${key}=${text}`);
    test(`${shown.join(" ")} ends with 64 and the setting's name`, async () => {
      const { code, stdout, stderr } = await runCommand([], { PORT: "0", JWT_SECRET, EMIT_TOKEN, ...env });
      assert.equal(code, 64, stdout + stderr);
      assert.ok(stderr.includes(name), stderr);
      if (value) {
        assert.ok(stderr.includes(value), stderr);
      }
      for (const secret of [JWT_SECRET, EMIT_TOKEN, production.JWT_SECRET, production.EMIT_TOKEN]) {
        assert.ok(!(stdout + stderr).includes(secret), "a secret was printed");
      }
    });
  }

  test("of production without EMIT_TOKEN start, with the emit routes closed", async (t) => {
    const service = await startService(t, { ...production, EMIT_TOKEN: "" });
    const { status, json } = await post(`${service.url}/emit`, { userId: newUser(), event: "x", payload: 1 });
    assert.deepEqual([status, json.error.code], [404, "emit_closed"]);
  });

  test("of production start", async (t) => {
    const service = await startService(t, production);
    assert.equal((await fetch(`${service.url}/readyz`)).status, 200);
  });

  test("of a rotation: both secrets and both emit tokens are accepted", async (t) => {
    const [oldSecret, oldToken] = ["the-secret-before-with-32-bytes-or-more!", "the-emit-token-before-with-32-bytes"];
    const service = await startService(t, { JWT_SECRET_PREVIOUS: oldSecret, EMIT_TOKEN_PREVIOUS: oldToken });
    for (const secret of [JWT_SECRET, oldSecret]) {
      for (const token of [EMIT_TOKEN, oldToken]) {
        const user = newUser();
        const socket = openSocket(t, io4, service.url, { transports: ["websocket"], auth: { token: tokenFor(user, { secret }) } });
        await connected(socket);
        const { json } = await post(`${service.url}/emit`, ROUTES["/emit"](user, "x", {}), { token });
        assert.deepEqual(json, { success: true, accepted: true, deliveredLocally: 1 });
      }
    }
    assert.equal((await post(`${service.url}/emit`, {}, { token: "neither" })).status, 401);
  });

  for (const [combination, io, transports] of COMBINATIONS) {
    test(`JWT_SECRET_PREVIOUS lets ${combination} in, and hand in a token of the new secret`, async (t) => {
      const secret = "the-secret-before-with-32-bytes-or-more!";
      const service = await startService(t, { JWT_SECRET_PREVIOUS: secret });
      const user = newUser();
      const socket = openSocket(t, io, service.url, { transports, auth: { token: tokenFor(user, { secret }) } });
      await connected(socket);
      const reply = new Promise((resolve) => socket.emit("auth:refresh", tokenFor(user), resolve));
      assert.equal((await reply).ok, true);
      const stranger = tokenFor(user, { secret: "a-third-secret-with-32-bytes-or-more" });
      const refused = openSocket(t, io, service.url, { transports, auth: { token: stranger } });
      assert.equal((await received(refused, "connect_error"))[0].data.code, "token_signature");
    });
  }

  test("EMIT_AUTH=open asks for no token", async (t) => {
    const service = await startService(t, { EMIT_AUTH: "open" });
    const { status } = await post(`${service.url}/emit`, ROUTES["/emit"](newUser(), "x", {}), { token: null });
    assert.equal(status, 201);
  });

  test("JWT_REQUIRE_EXP=false lets a token without exp in", async (t) => {
    const service = await startService(t, { JWT_REQUIRE_EXP: "false" });
    const token = tokenFor(newUser(), { expiresIn: undefined });
    await connected(openSocket(t, io4, service.url, { transports: ["websocket"], auth: { token } }));
  });

  for (const [combination, io, transports] of COMBINATIONS) {
    test(`AUTH_FAILURE=legacy connects and disconnects ${combination}`, async (t) => {
      const service = await startService(t, { AUTH_FAILURE: "legacy" });
      const user = newUser();
      const socket = openSocket(t, io, service.url, { transports, auth: { token: "bad" } });
      const happened = [];
      socket.on("connect", () => happened.push("connect"));
      socket.on("connect_error", () => happened.push("connect_error"));
      const [reason] = await received(socket, "disconnect");
      assert.deepEqual(happened, ["connect"]);
      assert.equal(reason, "io server disconnect");
      await service.logged(/\[NotificationsGateway\] Authentication failed: .* reason=token_malformed/);
      // As with the NestJS service, the client may try again by itself. Version 3 closes its connection first, and
      // one that it has begun meanwhile with it.
      const { engine } = socket.io;
      if (io !== io4 && engine.readyState !== "closed") {
        await new Promise((resolve) => engine.once("close", resolve));
      }
      socket.auth = { token: tokenFor(user) };
      const again = received(socket, "connect");
      socket.connect();
      await again;
      assert.equal(await emit(service.url, user, "x", {}), 1);
    });
  }

  test("AUTH_FAILURE=legacy: CONNECT, then DISCONNECT, and the transport stays open", async (t) => {
    const service = await startService(t, { AUTH_FAILURE: "legacy" });
    const raw = new WebSocket(`${service.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
    t.after(() => raw.terminate());
    const frames = [];
    const three = new Promise((resolve) => {
      raw.on("message", (data) => {
        frames.push(data.toString());
        if (frames.length === 1) {
          raw.send('40/notifications,{"token":"bad"}');
        } else if (frames.length === 3) {
          resolve();
        }
      });
    });
    await three;
    assert.match(frames[1], /^40\/notifications,\{"sid":/);
    assert.equal(frames[2], "41/notifications,");
    assert.equal(raw.readyState, WebSocket.OPEN);
  });

  test("without a secret in development there is a token to try, and it works", async (t) => {
    const service = await startService(t, { JWT_SECRET: "" });
    const [token] = await service.logged(/eyJ[\w-]+\.[\w-]+\.[\w-]+/);
    await connected(openSocket(t, io4, service.url, { transports: ["websocket"], auth: { token } }));
  });
});

describe("the log", options, () => {
  test("has the contract's lines, and never a token", async (t) => {
    const service = await startService(t, { LOG_LEVEL: "debug" });
    const user = newUser();
    const token = tokenFor(user);
    const socket = openSocket(t, io4, service.url, { transports: ["websocket"], auth: { token }, query: { token } });
    await connected(socket);
    const line = await service.logged(/\[NotificationsGateway\] Client connected: (\S+), User ID: (\d+), Room: (\S+)$/);
    assert.deepEqual(line.slice(1), [socket.id, String(user), `user_${user}`]);
    const { id } = socket;
    socket.disconnect();
    await service.logged(new RegExp(`\\[NotificationsGateway\\] Client disconnected: ${id}(\\s|$)`));

    const secrets = [token, JWT_SECRET, EMIT_TOKEN];
    for (const [, bad, code] of refusedTokens()) {
      for (const place of [{ auth: { token: bad } }, { query: { token: bad } }, { extraHeaders: { Authorization: `Bearer ${bad}` } }]) {
        const refused = openSocket(t, io4, service.url, { transports: ["websocket"], ...(bad !== undefined && place) });
        await received(refused, "connect_error");
        refused.disconnect();
      }
      await service.logged(new RegExp(`\\[NotificationsGateway\\] .*${code}`));
      if (bad) {
        secrets.push(bad);
      }
    }
    await post(`${service.url}/emit`, {}, { token: "a-wrong-emit-token" });
    secrets.push("a-wrong-emit-token");
    await service.terminate();
    for (const secret of secrets) {
      assert.ok(!service.output.includes(secret), `the log holds ${secret}`);
    }
  });

  test("has one line for the client that stops answering", async (t) => {
    const service = await startService(t, { PING_INTERVAL: "300ms", PING_TIMEOUT: "2s" });
    const proxy = await TcpProxy.start(t, service.url);
    const socket = openSocket(t, io4, proxy.url, { transports: ["websocket"], auth: { token: tokenFor(newUser()) } });
    await connected(socket);
    const { id } = socket;
    const gone = received(socket, "disconnect");
    proxy.freeze();
    await service.logged(new RegExp(`Client disconnected: ${id} reason="ping timeout"`));
    assert.equal((await gone)[0], "ping timeout");
  });

  test("is not filled by a client that hands in bad tokens", orSkip(withoutReference), async (t) => {
    const service = await startService(t);
    const socket = openSocket(t, io4, service.url, { transports: ["websocket"], auth: { token: tokenFor(newUser()) } });
    await connected(socket);
    const refresh = () => new Promise((resolve) => socket.emit("auth:refresh", "bad", resolve));
    const replies = await Promise.all(Array.from({ length: 100 }, refresh));
    // Six in a row are looked at.
    const codes = replies.map(({ code }) => code);
    assert.ok(codes.slice(0, 6).every((code) => code === "token_malformed"));
    assert.ok(codes.slice(6).every((code) => code === "rate_limited"));
    socket.disconnect();
    await service.logged(/Client disconnected/);
    const { code } = await service.terminate();
    assert.equal(code, 0);
    // LOG_LINES_PER_SECOND of a reason, more when a second ends in between, and then how many there were.
    const lines = service.output.match(/Token refresh refused sid=/g).length;
    const summaries = service.output.matchAll(/Token refresh refused: (\d+) more lines were suppressed/g);
    const more = [...summaries].reduce((sum, [, count]) => sum + Number(count), 0);
    assert.ok(lines >= 10 && lines < 50, `${lines} lines`);
    assert.equal(lines + more, 100);
  });
});

describe("the log in JSON", { ...options, ...orSkip(withoutReference) }, () => {
  test("is one object for each line, with the contract's texts and the fields in them", async (t) => {
    const service = await startService(t, { LOG_FORMAT: "json" });
    const user = newUser();
    const socket = openSocket(t, io4, service.url, { transports: ["websocket"], auth: { token: tokenFor(user) } });
    await connected(socket);
    const { id } = socket;
    socket.disconnect();
    await service.logged(/Client disconnected/);
    const refused = openSocket(t, io4, service.url, { transports: ["websocket"], auth: { token: "bad" } });
    await received(refused, "connect_error");
    await service.logged(/Authentication failed/);
    assert.equal((await service.terminate()).code, 0);

    const lines = service.output.split("\n").map((line) => JSON.parse(line));
    for (const line of lines) {
      assert.ok(!Number.isNaN(Date.parse(line.timestamp)), line.timestamp);
      for (const field of ["level", "context", "message"]) {
        assert.equal(typeof line[field], "string", field);
      }
    }
    const [on, off, failed] = ["Client connected", "Client disconnected", "Authentication failed"].map((text) =>
      lines.find(({ message }) => message.startsWith(text)),
    );
    const room = `user_${user}`;
    const gateway = "NotificationsGateway";
    assert.equal(on.message, `Client connected: ${id}, User ID: ${user}, Room: ${room}`);
    assert.deepEqual([on.context, on.level, on.sid, on.user_id, on.room], [gateway, "info", id, user, room]);
    assert.deepEqual([off.context, off.sid, off.message], [gateway, id, `Client disconnected: ${id}`]);
    assert.deepEqual([failed.context, failed.level, failed.reason], [gateway, "warn", "token_malformed"]);
  });
});

describe("metrics", { ...options, ...orSkip(withoutReference) }, () => {
  const METRICS_TOKEN = "a-metrics-token-with-32-bytes-or-more";
  const production = { NODE_ENV: "production", CORS_ORIGIN: "https://front.example" };
  const get = (service, token, method = "GET") =>
    fetch(`${service.url}/metrics`, { method, headers: token === undefined ? {} : { Authorization: `Bearer ${token}` } });

  test("count what happens", async (t) => {
    const service = await startService(t);
    const user = newUser();
    const token = tokenFor(user);
    const websocket = openSocket(t, io4, service.url, { transports: ["websocket"], auth: { token } });
    const polling = openSocket(t, io4, service.url, { transports: ["polling"], auth: { token } });
    const leaves = openSocket(t, io4, service.url, { transports: ["polling", "websocket"], auth: { token } });
    const upgrade = upgraded(leaves);
    await Promise.all([connected(websocket), connected(polling), connected(leaves)]);
    await upgrade;
    leaves.disconnect();
    await service.logged(/Client disconnected/);
    const plain = new WebSocket(`${service.url.replace("http", "ws")}/notifications?token=${token}`);
    t.after(() => plain.terminate());
    await new Promise((resolve) => plain.once("open", resolve));
    for (const bad of ["bad", tokenFor(user, { expiresIn: -10 })]) {
      const refused = openSocket(t, io4, service.url, { transports: ["websocket"], auth: { token: bad } });
      await received(refused, "connect_error");
      refused.io._close();
    }
    await new Promise((resolve) => websocket.emit("auth:refresh", token, resolve));
    await new Promise((resolve) => websocket.emit("auth:refresh", "bad", resolve));
    assert.equal(await emit(service.url, user, "x", {}), 3);
    await post(`${service.url}/emit`, {}, { token: "wrong" });

    const response = await get(service);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    const { samples, types } = parseMetrics(await response.text());
    const expected = {
      helpdesk_ws_sockets: 3,
      helpdesk_ws_draining: 0,
      'helpdesk_ws_sessions{transport="plain"}': 1,
      'helpdesk_ws_sessions{transport="polling"}': 1,
      helpdesk_ws_sessions_opened_total: 6,
      helpdesk_ws_upgrades_total: 1,
      helpdesk_ws_drain_closes_total: 0,
      helpdesk_ws_drain_losses_total: 0,
      helpdesk_ws_too_old_closes_total: 0,
      helpdesk_ws_connects_total: 4,
      helpdesk_ws_disconnects_total: 1,
      'helpdesk_ws_authentication_failures_total{reason="token_malformed"}': 1,
      'helpdesk_ws_authentication_failures_total{reason="token_expired"}': 1,
      'helpdesk_ws_authentication_failures_total{reason="token_signature"}': 0,
      helpdesk_ws_query_tokens_total: 1,
      'helpdesk_ws_token_refreshes_total{result="accepted"}': 1,
      'helpdesk_ws_token_refreshes_total{result="refused"}': 1,
      helpdesk_ws_tokens_expired_total: 0,
      'helpdesk_ws_emits_total{result="accepted"}': 1,
      'helpdesk_ws_emits_total{result="refused"}': 1,
      helpdesk_ws_deliveries_total: 3,
      helpdesk_ws_slow_consumers_total: 0,
    };
    for (const [name, value] of Object.entries(expected)) {
      assert.equal(samples.get(name), value, name);
    }
    const started = samples.get("helpdesk_ws_start_time_seconds");
    assert.ok(started > Date.now() / 1000 - 60 && started <= Date.now() / 1000, `started at ${started}`);
    for (const [name, type] of types) {
      assert.match(name, /^helpdesk_ws_/);
      assert.equal(type, name.endsWith("_total") ? "counter" : "gauge", name);
    }
  });

  test("are read with METRICS_TOKEN only", async (t) => {
    const service = await startService(t, { ...production, METRICS_TOKEN });
    assert.equal((await get(service, METRICS_TOKEN)).status, 200);
    for (const wrong of [undefined, EMIT_TOKEN, `${METRICS_TOKEN}x`, METRICS_TOKEN.slice(1)]) {
      const response = await get(service, wrong);
      assert.equal(response.status, 401);
      assert.equal(response.headers.get("www-authenticate"), "Bearer");
      assert.ok(!(await response.text()).includes("helpdesk_ws_"));
    }
    const response = await get(service, METRICS_TOKEN, "POST");
    assert.deepEqual([response.status, response.headers.get("allow")], [405, "GET"]);
    assert.ok(!service.output.includes(METRICS_TOKEN));
  });

  test("are not there in production without METRICS_TOKEN", async (t) => {
    const service = await startService(t, production);
    for (const method of ["GET", "POST"]) {
      assert.equal((await get(service, undefined, method)).status, 404);
    }
  });
});

describe("commands", options, () => {
  test("token prints a token that connects", async (t) => {
    const service = await startService(t);
    const user = newUser();
    const { code, stdout } = await runCommand(COMMANDS.token(user), { JWT_SECRET });
    assert.equal(code, 0);
    const socket = openSocket(t, io4, service.url, { transports: ["websocket"], auth: { token: stdout.trim() } });
    await connected(socket);
    assert.equal(await emit(service.url, user, "x", {}), 1);
  });

  test("emit reaches the user", async (t) => {
    const service = await startService(t);
    const user = newUser();
    const socket = openSocket(t, io4, service.url, { transports: ["websocket"], auth: { token: tokenFor(user) } });
    await connected(socket);
    const event = received(socket, "ticket_closed");
    const { code, stdout } = await runCommand(COMMANDS.emit(service.url, user, "ticket_closed", { ticketId: 7 }), { EMIT_TOKEN });
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), { success: true, accepted: true, deliveredLocally: 1 });
    assert.deepEqual(await event, [{ ticketId: 7 }]);
  });

  test("listen prints what its user is sent, and ends", orSkip(withoutReference), async (t) => {
    const service = await startService(t);
    const user = newUser();
    const listening = runCommand(COMMANDS.listen(service.url, tokenFor(user), 2));
    await service.logged(/Client connected/);
    assert.equal(await emit(service.url, user, "new_notification", { ticketId: 1, mensaje: "ñandú" }), 1);
    assert.equal(await emit(service.url, newUser(), "new_notification", {}), 0);
    assert.equal(await emit(service.url, user, "ticket_closed", [1, null]), 1);
    const { code, stdout } = await listening;
    assert.equal(code, 0);
    assert.deepEqual(stdout.trimEnd().split("\n").map((line) => JSON.parse(line)), [
      { event: "new_notification", data: { ticketId: 1, mensaje: "ñandú" } },
      { event: "ticket_closed", data: [1, null] },
    ]);
  });

  test("listen says why it is refused, and does not print the token", orSkip(withoutReference), async (t) => {
    const service = await startService(t);
    const token = tokenFor(newUser(), { expiresIn: -10 });
    const { code, stdout, stderr } = await runCommand(COMMANDS.listen(service.url, token, 1));
    assert.notEqual(code, 0);
    assert.equal(stdout, "");
    assert.match(stderr, /expired/);
    assert.ok(!stderr.includes(token));
  });

  test("emit fails with a wrong token", async (t) => {
    const service = await startService(t);
    const { code } = await runCommand(COMMANDS.emit(service.url, newUser(), "x", {}), { EMIT_TOKEN: "wrong-token-of-at-least-32-bytes-here" });
    assert.notEqual(code, 0);
  });

  test("health tells a service that runs from one that does not", async (t) => {
    const service = await startService(t);
    assert.equal((await runCommand(COMMANDS.health(service.port))).code, 0);
    await service.terminate();
    assert.notEqual((await runCommand(COMMANDS.health(service.port))).code, 0);
  });
});

/** Options of which the first reason to skip counts. */
function orSkip(...reasons) {
  return { skip: [withoutBinary, ...reasons].map(({ skip }) => skip).find(Boolean) ?? false };
}

/** Prometheus' text format: the value of each sample, and the type of each family, which must have a help. */
function parseMetrics(page) {
  const [samples, types, helped] = [new Map(), new Map(), new Set()];
  assert.ok(page.endsWith("\n"));
  for (const line of page.trimEnd().split("\n")) {
    const [, kind, name, rest] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (kind === "HELP") {
      helped.add(name);
    } else if (kind === "TYPE") {
      assert.ok(helped.has(name) && !types.has(name), line);
      types.set(name, rest);
    } else {
      const [, sample, family, value] = /^((\w+)(?:\{\w+="[^"]*"\})?) ([\d.]+)$/.exec(line) ?? assert.fail(line);
      assert.ok(types.has(family) && !samples.has(sample), line);
      samples.set(sample, Number(value));
    }
  }
  return { samples, types };
}
