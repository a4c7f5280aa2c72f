// A network that stops without a word, between clients and the load balancer.

import { once } from "node:events";
import { connect, createServer } from "node:net";

export class StaleNetwork {
  #pairs = new Set();

  /** Forwards to `target`, from a port of its own. */
  static async start(target) {
    const network = new StaleNetwork();
    const { hostname, port } = new URL(target);
    const server = createServer((client) => network.#forward(client, connect(Number(port), hostname)));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    network.url = `http://127.0.0.1:${server.address().port}`;
    return network;
  }

  /**
   * From now on nothing passes on the connections that there are: no byte, and no end of one side to the other. New
   * connections work.
   */
  freeze() {
    for (const socket of [...this.#pairs].flat()) {
      socket.removeAllListeners("data");
      socket.removeAllListeners("close");
      // What comes is taken and dropped, or its sender would notice.
      socket.resume();
    }
    this.#pairs.clear();
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
    client.on("data", (chunk) => service.write(chunk));
    service.on("data", (chunk) => client.write(chunk));
  }
}
