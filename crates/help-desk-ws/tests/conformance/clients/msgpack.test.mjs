// PARSER=msgpack: official clients with socket.io-msgpack-parser, and what is promised to every client. Needs the binary, WS_BIN.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe } from "node:test";
import WebSocket from "ws";
import msgpackParser from "socket.io-msgpack-parser";
import { emit } from "../support/back-end.mjs";
import { CLIENTS, COMBINATIONS, openSocket, received, settled } from "../support/clients.mjs";
import { test } from "../../../../hd-ws-server/tests/conformance/support/limited-test.mjs";
import { COMMANDS, runCommand, startService, withoutBinary, withoutReference } from "../support/service.mjs";
import { TcpProxy } from "../support/tcp-proxy.mjs";
import { newUser, refusedTokens, tokenFor } from "../support/tokens.mjs";

const PARSER = "msgpack";
const NOTIFICATION = { id: 7, mensaje: "Ticket asignado: ñandú €", ticketId: 2 ** 40, fecha: "2026-01-31T10:00:00.000Z", deep: [1.5, null, { a: [] }] };
const suite = { concurrency: 3, ...withoutBinary, ...withoutReference };

function open(t, io, base, user, options) {
  return openSocket(t, io, base, { parser: msgpackParser, auth: { token: tokenFor(user) }, ...options });
}

for (const [combination, io, transports] of COMBINATIONS) {
  describe(`${combination}, with the MessagePack parser`, suite, () => {
    test("gets a notification, and asks for a new token", async (t) => {
      const service = await startService(t, { PARSER });
      const user = newUser();
      const socket = await settled(open(t, io, service.url, user, { transports }), transports);
      const event = received(socket, "new_notification");
      assert.equal(await emit(service.url, user, "new_notification", NOTIFICATION), 1);
      assert.deepEqual(await event, [NOTIFICATION]);
      const answer = await new Promise((resolve) => socket.emit("auth:refresh", tokenFor(user), resolve));
      assert.equal(answer.ok, true);
      const refused = await new Promise((resolve) => socket.emit("auth:refresh", Buffer.from("x"), resolve));
      assert.equal(refused.ok, false);
    });

    test("is refused for its token, with the code", async (t) => {
      const service = await startService(t, { PARSER });
      const [, token, code] = refusedTokens().find(([what]) => what === "an expired token");
      const socket = open(t, io, service.url, newUser(), { transports, auth: { token } });
      socket.once("connect", () => assert.fail("connected"));
      const [error] = await received(socket, "connect_error");
      assert.equal(error.data.code, code);
    });

    test("is sent what it missed, in order and once", { skip: io !== CLIENTS["socket.io-client 4.8"] && "it recovers nothing" }, async (t) => {
      const service = await startService(t, { PARSER });
      const proxy = await TcpProxy.start(t, service.url);
      const user = newUser();
      const reconnection = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100 };
      const socket = open(t, io, proxy.url, user, { transports, ...reconnection });
      const numbers = [];
      socket.on("number", (number) => numbers.push(number));
      await settled(socket, transports);
      const { id } = socket;
      const first = received(socket, "number");
      await emit(service.url, user, "number", 1);
      await first;
      const gone = received(socket, "disconnect");
      proxy.cut();
      await gone;
      for (const number of [2, 3, 4]) {
        await emit(service.url, user, "number", number);
      }
      const back = received(socket, "connect");
      proxy.mend();
      await back;
      await emit(service.url, user, "number", 5);
      while (numbers.at(-1) !== 5) {
        await received(socket, "number");
      }
      assert.deepEqual(numbers, [1, 2, 3, 4, 5]);
      assert.deepEqual([socket.recovered, socket.id], [true, id]);
    });
  });
}

describe("PARSER=msgpack", suite, () => {
  test("the snippet of docs/front-end.md shows a notification", async (t) => {
    const service = await startService(t, { PARSER });
    const user = newUser();
    const guide = readFileSync(new URL("../../../../../docs/front-end.md", import.meta.url), "utf8");
    const [, snippet] = /## MessagePack[^]*?```ts\n([^]*?)```/.exec(guide);
    const code = snippet.replace(/^import .*$/gm, "").replace("https://ws.example.com", service.url);
    const shown = new Promise((show) => {
      const run = new Function("io", "parser", "localStorage", "show", `${code}; return socket;`);
      const socket = run(CLIENTS["socket.io-client 4.8"], msgpackParser, { getItem: () => tokenFor(user) }, show);
      t.after(() => socket.io._close());
    });
    await service.logged(/Client connected/);
    await emit(service.url, user, "new_notification", NOTIFICATION);
    assert.deepEqual(await shown, NOTIFICATION);
  });

  test("a raw WebSocket is sent JSON", async (t) => {
    const service = await startService(t, { PARSER });
    const user = newUser();
    const socket = new WebSocket(`${service.url.replace("http", "ws")}/notifications?token=${tokenFor(user)}`);
    t.after(() => socket.terminate());
    await new Promise((resolve) => socket.once("open", resolve));
    const frame = new Promise((resolve) => socket.once("message", (data, isBinary) => resolve({ data, isBinary })));
    await emit(service.url, user, "new_notification", NOTIFICATION);
    const { data, isBinary } = await frame;
    assert.equal(isBinary, false);
    assert.deepEqual(JSON.parse(data), { event: "new_notification", data: NOTIFICATION });
  });

  test("a client with the default parser is closed, and never joins", async (t) => {
    const service = await startService(t, { PARSER });
    const socket = open(t, CLIENTS["socket.io-client 4.8"], service.url, newUser(), { parser: undefined, transports: ["websocket"] });
    socket.on("connect", () => assert.fail("connected"));
    await new Promise((resolve) => socket.io.on("close", resolve));
  });

  test("a client with this parser is closed where PARSER is default", async (t) => {
    const service = await startService(t);
    const socket = open(t, CLIENTS["socket.io-client 4.8"], service.url, newUser(), { transports: ["websocket"] });
    socket.on("connect", () => assert.fail("connected"));
    await new Promise((resolve) => socket.io.on("close", resolve));
  });

  test("AUTH_FAILURE=legacy connects and disconnects", async (t) => {
    const service = await startService(t, { PARSER, AUTH_FAILURE: "legacy" });
    const socket = open(t, CLIENTS["socket.io-client 4.8"], service.url, newUser(), { auth: {}, transports: ["websocket"] });
    const [reason] = await received(socket, "disconnect");
    assert.equal(reason, "io server disconnect");
  });

  for (const [how, flags, env] of [["the setting", [], { PARSER }], ["its flag", ["--parser", "msgpack"], {}]]) {
    test(`the command listen speaks it, by ${how}`, async (t) => {
      const service = await startService(t, { PARSER });
      const user = newUser();
      const listening = runCommand([...COMMANDS.listen(service.url, tokenFor(user), 1), ...flags], env);
      await service.logged(/Client connected/);
      assert.equal(await emit(service.url, user, "started", {}), 1);
      const { code, stdout } = await listening;
      assert.equal(code, 0);
      assert.deepEqual(JSON.parse(stdout), { event: "started", data: {} });
    });
  }
});
