// Pages in a real browser, from another origin than the service's: needs the binary, WS_BIN, and Chromium.

import assert from "node:assert/strict";
import { after, before, describe } from "node:test";
import { emit } from "../support/back-end.mjs";
import { Browser, withoutBrowser } from "../support/browser.mjs";
import { TRANSPORTS } from "../support/clients.mjs";
import { test } from "../../../../hd-ws-server/tests/conformance/support/limited-test.mjs";
import { Redis, withoutRedis } from "../support/redis.mjs";
import { startService, withoutBinary, withoutReference } from "../support/service.mjs";
import { TcpProxy } from "../support/tcp-proxy.mjs";
import { newUser, tokenFor } from "../support/tokens.mjs";

const options = { skip: withoutBinary.skip || withoutBrowser.skip };
/** As the front end in production, but that it tries sooner. */
const FRONT_END = { transports: ["websocket"], reconnectionDelay: 50, reconnectionDelayMax: 100 };
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => ["number", from + index]);

let browser;
// Pages are taken down at the end of their tests, the browser after all of them.
const atEnd = [];
before(async () => {
  if (!options.skip) {
    browser = await Browser.start((end) => atEnd.push(end));
  }
});
after(() => Promise.all(atEnd.map((end) => end())));

async function emitNumbers(service, user, from, to) {
  for (const [event, number] of numbers(from, to)) {
    await emit(service.url, user, event, number);
  }
}

describe("a page in a browser", options, () => {
  for (const client of ["sio4", "sio3"]) {
    for (const [name, transports] of Object.entries(TRANSPORTS)) {
      test(`receives with ${client} over ${name}`, async (t) => {
        const service = await startService(t, { CORS_ORIGIN: browser.origin });
        const user = newUser();
        const page = await browser.open(t, client);
        assert.deepEqual(await page.connect(service.url, { transports, auth: { token: tokenFor(user) } }), { connected: true });
        if (transports.length > 1) {
          await page.until(() => upgraded);
        }
        // Enough to be compressed over polling.
        const payload = { mensaje: "Ticket asignado: ñ, 漢字, 🙂 ".repeat(200), ticketId: 7, fecha: "2026-01-31T10:00:00Z" };
        assert.equal(await emit(service.url, user, "new_notification", payload), 1);
        assert.deepEqual(await page.received(1), [["new_notification", payload]]);
      });
    }
  }

  for (const [name, options] of [
    ...Object.entries(TRANSPORTS).map(([name, transports]) => [name, { transports }]),
    ["JSONP", { transports: ["polling"], forceJSONP: true }],
    ["JSONP with upgrade", { transports: ["polling", "websocket"], forceJSONP: true }],
  ]) {
    test(`receives with sio2 over ${name}`, async (t) => {
      const service = await startService(t, { CORS_ORIGIN: browser.origin, ALLOW_EIO3: "true" });
      const user = newUser();
      const page = await browser.open(t, "sio2");
      const connecting = page.connect(service.url, { ...options, query: { token: tokenFor(user) } });
      assert.deepEqual(await connecting, { connected: true });
      if (options.transports.length > 1) {
        await page.until(() => upgraded);
      }
      const payload = { mensaje: "Ticket asignado: ñ, 漢字, 🙂, \u2028 \\n ".repeat(200), ticketId: 7, fecha: "2026-01-31T10:00:00Z" };
      assert.equal(await emit(service.url, user, "new_notification", payload), 1);
      assert.deepEqual(await page.received(1), [["new_notification", payload]]);
      // And the other way: what the page says is in a form with JSONP.
      const token = tokenFor(user, { note: "é \\n \n 🙂" });
      const refreshed = await page.evaluate((token) => new Promise((resolve) => socket.emit("auth:refresh", token, resolve)), token);
      assert.equal(refreshed.ok, true, JSON.stringify(refreshed));
    });
  }

  test("with sio2 is told why its token is refused", async (t) => {
    const service = await startService(t, { ALLOW_EIO3: "true" });
    const page = await browser.open(t, "sio2");
    const { data } = await page.connect(service.url, { ...FRONT_END, query: { token: tokenFor(newUser(), { expiresIn: -10 }) } });
    assert.equal(data.code, "token_expired");
  });

  test("of another site gets no session by an <img>, and reaches no route of operators", withoutReference, async (t) => {
    const service = await startService(t, { NODE_ENV: "development" });
    const page = await browser.open(t);
    // Another site than 127.0.0.1, and the same machine.
    const url = `http://localhost:${service.port}`;
    await page.evaluate(
      (sources) =>
        Promise.all(
          sources.map((source) => {
            const image = document.body.appendChild(new Image());
            const done = new Promise((resolve) => (image.onload = image.onerror = resolve));
            image.src = source;
            return done;
          }),
        ),
      [`${url}/socket.io/?EIO=4&transport=polling`, `${url}/metrics`, `${url}/admin/drain`],
    );
    await page.evaluate(
      (target) => fetch(target, { method: "POST", mode: "no-cors" }).catch(() => {}),
      `${url}/admin/drain?window=0s`,
    );
    const state = await (await fetch(`${service.url}/admin/drain`)).json();
    assert.deepEqual(state, { state: "serving", clients: 0 });
    const metrics = await (await fetch(`${service.url}/metrics`)).text();
    assert.match(metrics, /^helpdesk_ws_sessions_opened_total 0$/m);
    assert.match(metrics, /^helpdesk_ws_requests_rejected_total\{reason="cross_site"\} 3$/m);
  });

  test("polls with credentials, as behind sticky sessions", withoutReference, async (t) => {
    const service = await startService(t, { CORS_ORIGIN: browser.origin });
    const user = newUser();
    const page = await browser.open(t);
    const options = { transports: ["polling"], withCredentials: true, auth: { token: tokenFor(user) } };
    assert.deepEqual(await page.connect(service.url, options), { connected: true });
    await emit(service.url, user, "number", 1);
    assert.deepEqual(await page.received(1), [["number", 1]]);
  });

  for (const [name, transports, message] of [
    ["WebSocket", ["websocket"], "websocket error"],
    ["polling", ["polling"], "xhr poll error"],
  ]) {
    test(`is refused over ${name} when its origin is not allowed`, async (t) => {
      const service = await startService(t, { CORS_ORIGIN: "https://help.example.com" });
      const page = await browser.open(t);
      const outcome = await page.connect(service.url, { transports, reconnection: false, auth: { token: tokenFor(newUser()) } });
      assert.deepEqual(outcome, { message });
    });
  }

  test("is told why its token is refused", async (t) => {
    const service = await startService(t);
    const page = await browser.open(t);
    const { data } = await page.connect(service.url, { ...FRONT_END, auth: { token: tokenFor(newUser(), { expiresIn: -10 }) } });
    assert.equal(data.code, "token_expired");
  });

  test("gets what it missed while its network was away", withoutReference, async (t) => {
    const service = await startService(t);
    const proxy = await TcpProxy.start(t, service.url);
    const user = newUser();
    const page = await browser.open(t);
    await page.connect(proxy.url, { ...FRONT_END, auth: { token: tokenFor(user) } });
    await emitNumbers(service, user, 1, 2);
    await page.received(2);
    proxy.cut();
    await page.until(() => happened.length === 2);
    await emitNumbers(service, user, 3, 9);
    proxy.mend();
    await page.until(() => happened.length === 3);
    await emitNumbers(service, user, 10, 10);
    assert.deepEqual(await page.received(10), numbers(1, 10));
    assert.deepEqual(await page.happened(), ["connect", "transport close", "recovered"]);
  });

  test("gets what was sent while it was frozen, for longer than the service waited", withoutReference, async (t) => {
    const service = await startService(t, { PING_INTERVAL: "300ms", PING_TIMEOUT: "300ms" });
    const user = newUser();
    const page = await browser.open(t);
    await page.connect(service.url, { ...FRONT_END, auth: { token: tokenFor(user) } });
    await page.freeze();
    await emitNumbers(service, user, 1, 3);
    await service.logged(/Client disconnected/);
    await emitNumbers(service, user, 4, 6);
    await page.thaw();
    await page.until(() => happened.at(-1) === "recovered");
    assert.deepEqual(await page.received(6), numbers(1, 6));
  });

  test("begins anew when it is reloaded, and the socket that it had is gone", async (t) => {
    const service = await startService(t);
    const user = newUser();
    const page = await browser.open(t);
    const auth = { token: tokenFor(user) };
    await page.connect(service.url, { ...FRONT_END, auth });
    await page.reload();
    await service.logged(/Client disconnected/);
    assert.equal(await emit(service.url, user, "number", 1), 0);
    await page.connect(service.url, { ...FRONT_END, auth });
    assert.equal(await emit(service.url, user, "number", 2), 1);
    assert.deepEqual(await page.received(1), [["number", 2]]);
    assert.deepEqual(await page.happened(), ["connect"]);
  });

  test("gets each event in each tab, until that is closed", async (t) => {
    const service = await startService(t);
    const user = newUser();
    const pages = [await browser.open(t), await browser.open(t)];
    for (const page of pages) {
      await page.connect(service.url, { ...FRONT_END, auth: { token: tokenFor(user) } });
    }
    assert.equal(await emit(service.url, user, "number", 1), 2);
    for (const page of pages) {
      assert.deepEqual(await page.received(1), [["number", 1]]);
    }
    await pages[0].close();
    await service.logged(/Client disconnected/);
    assert.equal(await emit(service.url, user, "number", 2), 1);
    assert.deepEqual(await pages[1].received(2), numbers(1, 2));
  });
});

describe("a page and several instances", { skip: options.skip || withoutReference.skip || withoutRedis.skip }, () => {
  for (const [what, end] of [
    ["is updated", (service) => service.terminate()],
    ["is killed", (service) => service.kill()],
  ]) {
    test(`gets everything once and in order when its instance ${what}`, async (t) => {
      const redis = await Redis.start(t);
      const [first, second] = await Promise.all([1, 2].map(() => startService(t, { REDIS_URL: redis.url })));
      const user = newUser();
      const page = await browser.open(t);
      await page.connect(first.url, { ...FRONT_END, auth: { token: tokenFor(user) } });
      await emitNumbers(second, user, 1, 2);
      await page.received(2);
      await page.evaluate((url) => (socket.io.uri = url), second.url);
      await Promise.all([end(first), emitNumbers(second, user, 3, 9)]);
      await page.until(() => happened.at(-1) === "recovered");
      await emitNumbers(second, user, 10, 10);
      assert.deepEqual(await page.received(10), numbers(1, 10));
      const [begun, lost, ...others] = await page.happened();
      assert.deepEqual([begun, ...others], ["connect", "recovered"]);
      // A connection that is reset is an error.
      assert.match(lost, /^transport (close|error)$/);
    });
  }
});
