// Proxies between a client and the service that lose the answers to polls.

import { once } from "node:events";
import { Agent, createServer, request as httpRequest } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** Of the answers to polls that hold an event, one in so many is lost. */
const LOST_ONE_IN = 5;

/**
 * An HTTP proxy that delays requests and answers. It may lose answers and send their polls again, and lets no WebSocket
 * through before it has lost `losesFirst`.
 */
export class LossyProxy {
  /** How many answers it has lost. */
  lost = 0;
  #events = 0;
  #tellLostEnough;
  #lostEnough = new Promise((resolve) => (this.#tellLostEnough = resolve));
  #agent = new Agent({ keepAlive: true });
  #sockets = new Set();

  /** Listens in front of the service at `target`; it ends with the test. */
  static async start(t, target, { latency = 0, losesFirst = 0 } = {}) {
    const proxy = new LossyProxy();
    Object.assign(proxy, { target: new URL(target), latency, losesFirst });
    if (losesFirst === 0) {
      proxy.#tellLostEnough();
    }
    const server = createServer((request, response) => proxy.#serve(request, response).catch(() => response.destroy()));
    server.on("upgrade", (request, socket, head) => proxy.#upgrade(request, socket, head));
    server.on("connection", (socket) => proxy.#keep(socket));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    proxy.url = `http://127.0.0.1:${server.address().port}`;
    t.after(() => {
      server.close();
      proxy.#agent.destroy();
      proxy.#sockets.forEach((socket) => socket.destroy());
    });
    return proxy;
  }

  async #serve(request, response) {
    const chunks = [];
    for await (const chunk of request) {
      chunks.push(chunk);
    }
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    await sleep(this.latency);
    const ask = () => this.#ask(request, Buffer.concat(chunks), gone.signal);
    let answer = await ask();
    const isPoll = request.method === "GET" && /[?&]sid=/.test(request.url);
    if (this.losesFirst > 0 && isPoll && answer.body.includes('42/notifications,["number"')) {
      this.#events += 1;
      if (this.#events % LOST_ONE_IN === 0) {
        this.lost += 1;
        answer = await ask();
        if (this.lost === this.losesFirst) {
          this.#tellLostEnough();
        }
      }
    }
    await sleep(this.latency);
    response.writeHead(answer.status, answer.headers).end(answer.body);
  }

  async #ask({ method, url, headers }, body, signal) {
    const { hostname, port } = this.target;
    const request = httpRequest({ hostname, port, method, path: url, headers, agent: this.#agent, signal });
    request.end(body);
    const [answer] = await once(request, "response");
    const chunks = [];
    for await (const chunk of answer) {
      chunks.push(chunk);
    }
    return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) };
  }

  async #upgrade(request, client, head) {
    await this.#lostEnough;
    const service = connect(Number(this.target.port), this.target.hostname);
    this.#keep(service);
    const headers = request.rawHeaders.map((value, at) => (at % 2 === 0 ? `${value}: ` : `${value}\r\n`)).join("");
    service.write(`${request.method} ${request.url} HTTP/1.1\r\n${headers}\r\n`);
    service.write(head);
    client.pipe(service).pipe(client);
  }

  #keep(socket) {
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
  }
}

/** A network that resets a connection instead of bringing the answer to a poll; who repeats the poll is behind it. */
export class ResettingNetwork {
  /** How many answers it has lost. */
  lost = 0;
  #events = 0;
  #sockets = new Set();

  /** Listens in front of the service at `target`; it ends with the test. */
  static async start(t, target) {
    const network = new ResettingNetwork();
    const { hostname, port } = new URL(target);
    const server = createTcpServer((client) => network.#forward(client, connect(Number(port), hostname)));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    network.port = server.address().port;
    t.after(() => {
      server.close();
      network.#sockets.forEach((socket) => socket.destroy());
    });
    return network;
  }

  #forward(client, service) {
    for (const socket of [client, service]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        this.#sockets.delete(socket);
        client.destroy();
        service.destroy();
      });
    }
    client.on("data", (chunk) => service.write(chunk));
    service.on("data", (chunk) => {
      // The head and the body of an answer come together.
      const holdsEvent = chunk.subarray(0, 8).toString("latin1") === "HTTP/1.1" && chunk.includes('42/notifications,["number"');
      this.#events += Number(holdsEvent);
      if (holdsEvent && this.#events % LOST_ONE_IN === 0) {
        this.lost += 1;
        client.resetAndDestroy();
      } else {
        client.write(chunk);
      }
    });
  }
}
