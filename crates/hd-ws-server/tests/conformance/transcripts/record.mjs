// Prints what the server at the given base URL answers to every exchange, as JSON.
//
//   node transcripts/record.mjs http://127.0.0.1:3000

import { fileURLToPath } from "node:url";
import { exchanges } from "./exchanges.mjs";
import { Recording } from "./recording.mjs";

/** `{name: steps}` of every exchange, one after the other: what two servers do at once is no matter. */
export async function record(base) {
  const transcript = {};
  for (const [name, run] of exchanges) {
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
  const base = process.argv[2];
  if (!base) {
    console.error("usage: node transcripts/record.mjs http://host:port");
    process.exit(64);
  }
  console.log(JSON.stringify(await record(base), null, 2));
}
