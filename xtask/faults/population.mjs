// The clients, in as many processes as they need.

import { fork } from "node:child_process";

/** A process gets slow with more, and late reading would look like a late service. */
const CLIENTS_OF_A_PROCESS = 3000;

/** Starts clients 1 to `count`, and resolves when each is connected. What happens to them goes into the ledger. */
export async function populate(ledger, url, count) {
  const processes = Math.ceil(count / CLIENTS_OF_A_PROCESS);
  const share = Math.ceil(count / processes);
  await Promise.all(
    Array.from({ length: processes }, (_, index) =>
      start(ledger, url, index * share + 1, Math.min(count, (index + 1) * share)),
    ),
  );
}

function start(ledger, url, from, to) {
  return new Promise((resolve, reject) => {
    const child = fork(new URL("clients.mjs", import.meta.url), [url, from, to]);
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
