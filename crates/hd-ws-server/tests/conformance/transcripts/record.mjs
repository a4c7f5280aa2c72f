// Prints what the server at the given base URL answers to every exchange, as JSON.
//
//   node transcripts/record.mjs http://127.0.0.1:3000
//   node transcripts/record.mjs --eio3 http://127.0.0.1:3000     those of revision 3, of a server that allows it

import { fileURLToPath } from "node:url";
import { exchanges } from "./exchanges.mjs";
import { exchangesOfRevision3 } from "./exchanges-eio3.mjs";
import { Recording } from "./recording.mjs";

/** `{name: steps}` of every exchange, one after the other: what two servers do at once is no matter. */
export async function record(base, list = exchanges) {
  const transcript = {};
  for (const [name, run] of list) {
    if (name in transcript) {
      throw new Error(`two exchanges are called "${name}"`);
    }
    const recording = new Recording(base);
    try {
      await run(recording);
    } catch (error) {
      recording.fail(error);
    }
    transcript[name] = recording.end();
  }
  return transcript;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const base = process.argv.at(-1);
  if (!base.startsWith("http")) {
    console.error("usage: node transcripts/record.mjs [--eio3] http://host:port");
    process.exit(64);
  }
  const list = process.argv.includes("--eio3") ? exchangesOfRevision3 : exchanges;
  console.log(JSON.stringify(await record(base, list), null, 2));
}
