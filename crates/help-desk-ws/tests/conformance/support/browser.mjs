// A real browser, and pages in it that hold a socket as the front end does.

import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import puppeteer from "puppeteer-core";

const PROGRAMS = [process.env.CHROMIUM, "chromium", "google-chrome"].filter(Boolean);
const program = PROGRAMS.map((name) => spawnSync("which", [name], { encoding: "utf8" }).stdout.trim()).find(Boolean);

export const withoutBrowser = { skip: !program && "there is no Chromium" };

/** The script of each client, in its package. */
const CLIENTS = { sio4: "socket.io.min.js", sio3: "socket.io.min.js", sio2: "socket.io.js" };
const ARGS = [
  // It runs as root in containers, where its sandbox cannot.
  "--no-sandbox",
  // Containers have a small /dev/shm.
  "--disable-dev-shm-usage",
  // Pages in the background are to be slowed down only where a test says so.
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
];

export class Browser {
  #browser;
  #server;

  /** Starts the browser, and what serves its pages: from another origin than the service's. */
  static async start(after) {
    const browser = new Browser();
    browser.#server = createServer((request, response) => browser.#serve(request, response)).listen(0, "127.0.0.1");
    await once(browser.#server, "listening");
    browser.origin = `http://127.0.0.1:${browser.#server.address().port}`;
    browser.#browser = await puppeteer.launch({ executablePath: program, args: ARGS });
    after(async () => {
      await browser.#browser.close();
      browser.#server.close();
    });
    return browser;
  }

  /** Opens a page; it closes with the test. */
  async open(t, client = "sio4") {
    const page = await this.#browser.newPage();
    t.after(() => page.isClosed() || page.close());
    await page.goto(`${this.origin}/?${client}`);
    return new Page(page);
  }

  #serve(request, response) {
    const { pathname, search } = new URL(request.url, this.origin);
    const client = pathname.slice(1).replace(/\.js$/, "");
    if (client in CLIENTS) {
      const url = new URL(`../node_modules/${client}/dist/${CLIENTS[client]}`, import.meta.url);
      response.setHeader("Content-Type", "text/javascript");
      response.end(readFileSync(url));
    } else if (pathname === "/") {
      response.setHeader("Content-Type", "text/html");
      response.end(`<!doctype html><title>page</title><script src="/${search.slice(1)}.js"></script>`);
    } else {
      response.statusCode = 404;
      response.end();
    }
  }
}

class Page {
  #page;

  constructor(page) {
    this.#page = page;
  }

  /**
   * Connects, and writes down what happens. Returns what the first attempt came to: `{connected: true}`, or
   * `{message, data}` of the refusal; what clients of Socket.IO 2 know as `error` is in `data`.
   */
  connect(base, options) {
    return this.#page.evaluate(
      (url, options) => {
        const socket = io(url, options);
        Object.assign(globalThis, { socket, received: [], happened: [], upgraded: false });
        if (socket.onAny) {
          socket.onAny((event, ...args) => received.push([event, ...args]));
        } else {
          const onevent = socket.onevent;
          socket.onevent = (packet) => {
            received.push([...packet.data]);
            onevent.call(socket, packet);
          };
        }
        socket.on("connect", () => happened.push(socket.recovered ? "recovered" : "connect"));
        socket.on("disconnect", (reason) => happened.push(reason));
        socket.io.on("open", () => socket.io.engine.on("upgrade", () => (upgraded = true)));
        return new Promise((resolve) => {
          socket.once("connect", () => resolve({ connected: true }));
          socket.once("connect_error", ({ message, data }) => resolve({ message, data }));
          socket.once("error", (data) => resolve({ data }));
        });
      },
      `${base}/notifications`,
      options,
    );
  }

  /** Waits until a function of the page returns something. */
  async until(condition, ...args) {
    await this.#page.waitForFunction(condition, { polling: 20, timeout: 10_000 }, ...args);
  }

  evaluate(body, ...args) {
    return this.#page.evaluate(body, ...args);
  }

  /** `[event, ...args]` of each event so far, without its offset, once there are so many. */
  async received(count) {
    await this.until((count) => received.length >= count, count);
    const all = await this.#page.evaluate(() => received);
    return all.map((event) => (/^[0-9]+-[0-9]+$/.test(event.at(-1)) ? event.slice(0, -1) : event));
  }

  /** Connects and disconnects so far, in order: `connect`, `recovered`, or why it was disconnected. */
  happened() {
    return this.#page.evaluate(() => happened);
  }

  /** Freezes the page, as browsers do with tabs that were not looked at for a while, and computers that sleep. */
  async freeze() {
    await this.#setState("frozen");
  }

  async thaw() {
    await this.#setState("active");
  }

  async #setState(state) {
    const session = await this.#page.createCDPSession();
    await session.send("Page.setWebLifecycleState", { state });
    await session.detach();
  }

  reload() {
    return this.#page.reload();
  }

  close() {
    return this.#page.close();
  }
}
