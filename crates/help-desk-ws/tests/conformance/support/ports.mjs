// Ports for what is started late, or again.

import { once } from "node:events";
import { createServer } from "node:net";

// Outgoing connections take theirs from 32768 on (Linux): a port from there that is free now may not be later.
const [FIRST, END] = [10_240, 32_768];
// Each file is a process of its own, and begins at another one.
let step = process.pid * 97;

/** A port that is free, another one each time. */
export async function freePort() {
  for (;;) {
    step += 1;
    const port = FIRST + (step % (END - FIRST));
    const server = createServer().listen(port, "127.0.0.1");
    try {
      await once(server, "listening");
    } catch {
      continue;
    }
    server.close();
    await once(server, "close");
    return port;
  }
}
