// A network that fails on demand, between a client and the service.

import { once } from "node:events";
import { connect, createServer } from "node:net";

export class TcpProxy {
  #server;
  #pairs = new Set();
  #held;
  #broken = false;

  /** Listens in front of the service at `target`; it ends with the test. */
  static async start(t, target) {
    const proxy = await TcpProxy.listen(target);
    t.after(() => proxy.#stop());
    return proxy;
  }

  /** Listens in front of the service at `target` for as long as this process runs. */
  static async listen(target) {
    const proxy = new TcpProxy();
    const { hostname, port } = new URL(target);
    proxy.#server = createServer((client) => {
      if (proxy.#broken) {
        client.destroy();
      } else {
        proxy.#forward(client, connect(Number(port), hostname));
      }
    });
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    proxy.url = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  /** Cuts every connection, and new ones at once, until `mend` is called. */
  cut() {
    this.#broken = true;
    for (const [client, service] of this.#pairs) {
      client.destroy();
      service.destroy();
    }
  }

  mend() {
    this.#broken = false;
  }

  /** Lets nothing through any more on the connections that there are: no byte, and no end of one side to the other. */
  freeze() {
    for (const pair of this.#pairs) {
      for (const socket of pair) {
        socket.removeAllListeners("data");
        socket.removeAllListeners("close");
        // What comes is taken and dropped, or its sender would notice.
        socket.resume();
      }
    }
  }

  /** Holds WebSocket handshakes back until the function that it returns is called. */
  holdWebSockets() {
    let release;
    this.#held = new Promise((resolve) => (release = resolve));
    return release;
  }

  #forward(client, service) {
    const pair = [client, service];
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      client.destroy();
      service.destroy();
    };
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", end);
    }
    service.on("data", (chunk) => client.write(chunk));
    let ready = Promise.resolve();
    client.on("data", (chunk) => {
      if (this.#held && /^GET \S*transport=websocket/.test(chunk.subarray(0, 200).toString("latin1"))) {
        ready = this.#held;
      }
      ready = ready.then(() => service.write(chunk));
    });
  }

  #stop() {
    this.cut();
    this.#server.close();
  }
}
