// A network with latency, and one that holds bytes for a while and then delivers them, as after retransmissions.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** What may wait in one direction of a connection before its sender has to wait too. */
const MAX_WAITING_BYTES = 1_000_000;

export class DelayingProxy {
  #delayMs;
  #directions = new Set();
  #isHeld = false;

  /** Listens in front of `target` for as long as this process runs; what passes takes `delayMs` each way. */
  static async listen(target, delayMs) {
    const proxy = new DelayingProxy();
    proxy.#delayMs = delayMs;
    const { hostname, port } = new URL(target);
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      const service = connect({ port: Number(port), host: hostname, allowHalfOpen: true, noDelay: true });
      proxy.#forward(client, service);
      proxy.#forward(service, client);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    proxy.url = `http://127.0.0.1:${server.address().port}`;
    return proxy;
  }

  /** Delivers nothing until `release`; what comes meanwhile is kept. */
  hold() {
    this.#isHeld = true;
  }

  release() {
    this.#isHeld = false;
    this.#directions.forEach((deliver) => deliver());
  }

  /** Bytes, and the end, of one direction in their order. */
  #forward(from, to) {
    const waiting = [];
    let bytes = 0;
    const deliver = () => {
      while (!this.#isHeld && waiting.length > 0 && waiting[0].dueAt <= Date.now()) {
        const { chunk } = waiting.shift();
        if (chunk) {
          bytes -= chunk.length;
          to.write(chunk);
        } else {
          to.end();
          this.#directions.delete(deliver);
        }
      }
      if (bytes < MAX_WAITING_BYTES) {
        from.resume();
      }
    };
    const take = (chunk) => {
      waiting.push({ dueAt: Date.now() + this.#delayMs, chunk });
      bytes += chunk?.length ?? 0;
      if (bytes >= MAX_WAITING_BYTES) {
        from.pause();
      }
      // A timer may fire a moment before the clock shows its time.
      setTimeout(deliver, this.#delayMs + 1);
    };
    this.#directions.add(deliver);
    from.on("data", take);
    from.on("end", () => take(undefined));
    // A reset is an end too: what was on its way still arrives.
    from.on("error", () => take(undefined));
    from.on("close", () => waiting.length === 0 && to.end());
  }
}
