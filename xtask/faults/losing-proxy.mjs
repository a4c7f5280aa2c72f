// A proxy for HTTP that loses answers of polls, and that sends a poll again whose answer it has lost, as proxies and browsers
// may: RFC 9110 calls GET idempotent (section 9.2.2). Upgrades pass as they are.

import { once } from "node:events";
import { Agent, createServer, request } from "node:http";
import { connect } from "node:net";

export class LosingProxy {
  counts = { polls: 0, lost: 0, repeated: 0 };
  #agent = new Agent({ keepAlive: true });
  #target;
  #random;
  #shares = { lost: 0, repeated: 0 };

  /** Listens in front of `target` for as long as this process runs. It loses nothing until `begin`. */
  static async listen(target, random) {
    const proxy = new LosingProxy();
    proxy.#target = new URL(target);
    proxy.#random = random;
    const server = createServer((incoming, outgoing) => proxy.#exchange(incoming, outgoing));
    server.on("upgrade", (incoming, socket, head) => proxy.#tunnel(incoming, socket, head));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    proxy.url = `http://127.0.0.1:${server.address().port}`;
    return proxy;
  }

  /** From now on these shares of the polls are `lost` with their connection, and `repeated` after their answer was lost. */
  begin(shares) {
    this.#shares = shares;
  }

  async #exchange(incoming, outgoing) {
    const chunks = [];
    for await (const chunk of incoming) {
      chunks.push(chunk);
    }
    const body = Buffer.concat(chunks);
    const isPoll = incoming.method === "GET" && incoming.url.includes("sid=");
    const dice = isPoll ? this.#random() : 1;
    this.counts.polls += isPoll ? 1 : 0;
    try {
      let answer = await this.#send(incoming, body, outgoing);
      if (dice < this.#shares.lost) {
        this.counts.lost += 1;
        outgoing.destroy();
        return;
      }
      if (dice < this.#shares.lost + this.#shares.repeated && answer.status === 200) {
        this.counts.repeated += 1;
        answer = await this.#send(incoming, body, outgoing);
      }
      outgoing.writeHead(answer.status, answer.headers);
      outgoing.end(answer.body);
    } catch {
      outgoing.destroy();
    }
  }

  /** One request, and its whole answer. It is given up when the client is gone. */
  #send(incoming, body, outgoing) {
    return new Promise((resolve, reject) => {
      const { hostname, port } = this.#target;
      const { method, url: path, rawHeaders } = incoming;
      const sent = request({ hostname, port, method, path, headers: pairs(rawHeaders), agent: this.#agent }, async (answer) => {
        const chunks = [];
        try {
          for await (const chunk of answer) {
            chunks.push(chunk);
          }
        } catch (error) {
          reject(error);
        }
        resolve({ status: answer.statusCode, headers: pairs(answer.rawHeaders), body: Buffer.concat(chunks) });
      });
      sent.on("error", reject);
      outgoing.on("close", () => sent.destroy());
      sent.end(body);
    });
  }

  #tunnel(incoming, client, head) {
    const service = connect(Number(this.#target.port), this.#target.hostname);
    const lines = [];
    for (let index = 0; index < incoming.rawHeaders.length; index += 2) {
      lines.push(`${incoming.rawHeaders[index]}: ${incoming.rawHeaders[index + 1]}\r\n`);
    }
    service.write(`${incoming.method} ${incoming.url} HTTP/1.1\r\n${lines.join("")}\r\n`);
    service.write(head);
    client.pipe(service).pipe(client);
    client.on("error", () => service.destroy());
    service.on("error", () => client.destroy());
  }
}

/** Headers by name, without those of one hop; several of one name are kept. */
function pairs(rawHeaders) {
  const headers = {};
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index].toLowerCase();
    if (!["connection", "keep-alive", "transfer-encoding"].includes(name)) {
      headers[name] = name in headers ? [headers[name], rawHeaders[index + 1]].flat() : rawHeaders[index + 1];
    }
  }
  return headers;
}
