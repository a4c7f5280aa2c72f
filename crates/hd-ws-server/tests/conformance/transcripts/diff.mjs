// Compares what the server at OURS_URL answers with what Node's socket.io answers, exchange by
// exchange, and both with `expected-differences.json`. Exits non-zero on a difference that is not
// listed there, on a listed one that did not occur, and on one without a reason.
//
//   OURS_URL=http://127.0.0.1:3000 node transcripts/diff.mjs [--self]
//
// `--self` (and REFERENCE=1) compares a second Node server instead and expects no difference: what
// differs then is a run, not a server.
//
// An entry is `{exchange, field, node, ours, why}`, as printed here for an unexpected difference, with
// `why` filled in. `"exchange": "*"` with a field `"*.headers.<name>"` or `"*.frame"` covers every place in
// which exactly these two values differ.

import { readFileSync } from "node:fs";
import { spawnReference } from "../support/spawned-server.mjs";
import { record } from "./record.mjs";

const self = process.argv.includes("--self") || process.env.REFERENCE === "1";
if (!self && !process.env.OURS_URL) {
  console.error("set OURS_URL to the server to compare, or pass --self");
  process.exit(64);
}

const reference = await spawnReference("reference/echo-server.mjs");
const second = self ? await spawnReference("reference/echo-server.mjs") : undefined;
let node;
let ours;
try {
  [node, ours] = await Promise.all([record(reference.url), record(second?.url ?? process.env.OURS_URL)]);
} finally {
  await Promise.all([reference.stop(), second?.stop()]);
}

const expected = self ? [] : readExpected();
const differences = Object.keys(node).flatMap((exchange) => compare(exchange, node[exchange], ours[exchange]));
const unexpected = differences.filter((difference) => !expected.some((entry) => covers(entry, difference)));
const missing = expected.filter((entry) => !differences.some((difference) => covers(entry, difference)));

if (unexpected.length > 0) {
  console.log(`${unexpected.length} unexpected difference(s); to accept one, paste it with a reason into expected-differences.json:\n`);
  console.log(unexpected.map((difference) => JSON.stringify({ ...difference, why: "" })).join(",\n"));
}
if (missing.length > 0) {
  console.log(`\n${missing.length} expected difference(s) that did not occur; remove them from expected-differences.json:\n`);
  console.log(missing.map((entry) => JSON.stringify(entry)).join(",\n"));
}
console.log(
  `\n${Object.keys(node).length} exchanges, ${differences.length} difference(s), ` +
    `${unexpected.length} unexpected, ${missing.length} expected but gone`,
);
process.exitCode = unexpected.length + missing.length > 0 ? 1 : 0;

function readExpected() {
  const entries = JSON.parse(readFileSync(new URL("expected-differences.json", import.meta.url), "utf8"));
  for (const entry of entries) {
    const everywhere = entry.exchange === "*";
    const valid =
      entry.why?.trim() &&
      "node" in entry &&
      "ours" in entry &&
      (everywhere ? /^\*\.(frame|headers\.[a-z0-9-]+)$/.test(entry.field) : entry.exchange in node && /^\d+\./.test(entry.field));
    if (!valid) {
      console.error(`expected-differences.json: not a valid entry, or one without a reason: ${JSON.stringify(entry)}`);
      process.exit(65);
    }
  }
  return entries;
}

function covers(entry, difference) {
  const sameField =
    entry.exchange === "*"
      ? difference.field.replace(/^\d+/, "*") === entry.field
      : entry.exchange === difference.exchange && entry.field === difference.field;
  return sameField && entry.node === difference.node && entry.ours === difference.ours;
}

/** The fields in which two lists of steps differ; what one of them does not have is null there. */
function compare(exchange, nodeSteps, oursSteps) {
  const left = flattened(nodeSteps);
  const right = flattened(oursSteps);
  const fields = [...new Set([...left.keys(), ...right.keys()])];
  return fields
    .map((field) => ({ exchange, field, node: left.get(field) ?? null, ours: right.get(field) ?? null }))
    .filter((difference) => difference.node !== difference.ours);
}

/** `[{status, headers: {a}}]` as `0.status`, `0.headers.a`. */
function flattened(value, path = "", fields = new Map()) {
  if (value !== null && typeof value === "object") {
    for (const [key, inner] of Object.entries(value)) {
      flattened(inner, path ? `${path}.${key}` : key, fields);
    }
  } else {
    fields.set(path, value);
  }
  return fields;
}
