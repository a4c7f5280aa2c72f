// The history of a run, for the second checker: one line of JSON for each thing that happened. checker/README.md says
// what each line means.

import { closeSync, openSync, writeSync } from "node:fs";
import { Ledger } from "./ledger.mjs";

/** What is held back before it is written. */
const CHUNK_BYTES = 64 * 1024;
/** A run of two hours with thousands of clients stays below this. */
const MAX_BYTES = 1024 ** 3;

/** A file of lines. What does not fit any more is dropped, and the end says so. */
export class History {
  #file;
  #chunk = "";
  #bytes = 0;
  #lines = 0;
  #dropped = 0;
  #maxBytes;

  constructor(path, header, maxBytes = MAX_BYTES) {
    this.#file = openSync(path, "w");
    this.#maxBytes = maxBytes;
    this.write("run", { format: 1, ...header });
  }

  write(kind, details) {
    if (this.#file === undefined) {
      return;
    }
    const line = `${JSON.stringify({ k: kind, ...details })}\n`;
    if (this.#bytes + line.length > this.#maxBytes) {
      this.#dropped += 1;
      return;
    }
    this.#bytes += line.length;
    this.#lines += 1;
    this.#chunk += line;
    if (this.#chunk.length > CHUNK_BYTES) {
      this.#flush();
    }
  }

  /** The last line says how many there are before it, and how many are missing. What happens later is not written. */
  end() {
    this.#chunk += `${JSON.stringify({ k: "end", lines: this.#lines, dropped: this.#dropped })}\n`;
    this.#flush();
    closeSync(this.#file);
    this.#file = undefined;
  }

  #flush() {
    writeSync(this.#file, this.#chunk);
    this.#chunk = "";
  }
}

/** A ledger that also writes down all that it is told, in the order in which it is told. */
export class RecordedLedger extends Ledger {
  #history;
  #streamsOf;
  #userOf;

  constructor(history, streamsOf, userOf) {
    super(streamsOf, userOf);
    this.#history = history;
    this.#streamsOf = streamsOf;
    this.#userOf = userOf;
  }

  emptied(at) {
    super.emptied(at);
    this.#history.write("redis_lost", { t: at });
  }

  remembered(keys, keyOf, at) {
    this.#history.write("redis_has", { t: at, ids: [...keys] });
    return super.remembered(keys, keyOf, at);
  }

  sent(to, at, details = {}) {
    const number = super.sent(to, at, details);
    const { idOf, ttlMs } = details;
    this.#history.write("sent", { s: String(to), n: number, t: at, id: idOf?.(number), ttl: ttlMs });
    return number;
  }

  acknowledged(to, number, at) {
    super.acknowledged(to, number, at);
    this.#history.write("acked", { s: String(to), n: number, t: at });
  }

  connected(client, at, recovered) {
    if (!this.knows(client)) {
      const streams = this.#streamsOf(client).map(String);
      this.#history.write("page", { c: client, u: this.#userOf(client), streams, t: at });
    }
    super.connected(client, at, recovered);
    this.#history.write("connected", { c: client, t: at, recovered });
  }

  joinedRole(client, stream, at) {
    super.joinedRole(client, stream, at);
    this.#history.write("role", { c: client, s: stream, t: at });
  }

  disconnected(client, at, reason) {
    super.disconnected(client, at, reason);
    if (!this.knows(client)) {
      return;
    }
    this.#history.write("disconnected", { c: client, t: at, reason });
  }

  gaveUp(client) {
    super.gaveUp(client);
    this.#history.write("gave_up", { c: client });
  }

  refused(client, at, reason) {
    super.refused(client, at, reason);
    this.#history.write("refused", { c: client, t: at });
  }

  left(client, at) {
    super.left(client, at);
    this.#history.write("left", { c: client, t: at });
  }

  received(client, to, number, at, offset) {
    super.received(client, to, number, at, offset);
    this.#history.write("got", { c: client, s: String(to), n: number, t: at, o: offset });
  }
}
