// The clients, in as many processes as they need.

import { fork } from "node:child_process";

/** A process gets slow with more, and late reading would look like a late service. */
const CLIENTS_OF_A_PROCESS = 3000;

/** Clients, numbered from 1. What happens to them goes into the ledger. */
export class Population {
  #children = [];
  #count;

  /** Starts `count` clients; `settings` are those of `clients.mjs`. Resolves when each is connected. */
  static async start(ledger, count, settings) {
    const population = new Population();
    population.#count = count;
    const processes = Math.ceil(count / CLIENTS_OF_A_PROCESS);
    const share = Math.ceil(count / processes);
    await Promise.all(
      Array.from({ length: processes }, (_, index) => {
        const [from, to] = [index * share + 1, Math.min(count, (index + 1) * share)];
        return start(ledger, { ...settings, from, to }, population.#children);
      }),
    );
    return population;
  }

  /** From now on this share of the pages is closed and opened again each minute. */
  churn(sharePerMinute) {
    const churnPerMinute = (sharePerMinute * this.#count) / this.#children.length;
    this.#children.forEach((child) => child.send({ churnPerMinute }));
  }
}

function start(ledger, settings, children) {
  return new Promise((resolve, reject) => {
    const child = fork(new URL("clients.mjs", import.meta.url), [JSON.stringify(settings)]);
    children.push(child);
    child.on("message", ({ batch, failed }) => {
      if (failed) {
        reject(new Error(failed));
      }
      for (const [what, ...details] of batch ?? []) {
        if (what === "ready") {
          resolve();
        } else {
          ledger[what](...details);
        }
      }
    });
    child.on("exit", (code) => {
      reject(new Error(`the clients ended with ${code}`));
      // Nothing that the checker says after this would be true.
      process.exit(1);
    });
  });
}
