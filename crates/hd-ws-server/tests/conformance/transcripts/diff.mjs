// Compares what the server at OURS_URL answers with what Node's socket.io answers, exchange by
// exchange, and both with `expected-differences.json`, which expected.mjs describes. Exits non-zero on
// a difference that is not listed there, on a listed one that did not occur, on one without a reason,
// and when the table in docs/conformance.md is another than that of the file.
//
//   OURS_URL=http://127.0.0.1:3000 OURS_EIO3_URL=http://127.0.0.1:3001 node transcripts/diff.mjs [--self]
//   node transcripts/diff.mjs --write-table       writes the table and compares nothing
//
// OURS_EIO3_URL is a server with ALLOW_EIO3=true.
//
// `--self` (and REFERENCE=1) compares a second Node server instead and expects no difference: what
// differs then is a run, not a server.

import { readFileSync, writeFileSync } from "node:fs";
import { spawnReference } from "../support/spawned-server.mjs";
import { exchanges } from "./exchanges.mjs";
import { exchangesOfRevision3 } from "./exchanges-eio3.mjs";
import { judge, readExpected, table } from "./expected.mjs";
import { record } from "./record.mjs";

const DOCUMENT = new URL("../../../../../docs/conformance.md", import.meta.url);
const BEGIN = "<!-- differences: begin -->\n";
const END = "\n<!-- differences: end -->";

const groups = readExpected([...exchanges, ...exchangesOfRevision3].map(([name]) => name));
const self = process.argv.includes("--self") || process.env.REFERENCE === "1";
if (process.argv.includes("--write-table")) {
  const [before, , after] = documentParts();
  writeFileSync(DOCUMENT, before + BEGIN + table(groups) + END + after);
} else if (self || (process.env.OURS_URL && process.env.OURS_EIO3_URL)) {
  process.exitCode = (await compareServers()) && (self || tableIsCurrent()) ? 0 : 1;
} else {
  console.error("set OURS_URL and OURS_EIO3_URL to the servers to compare, or pass --self");
  process.exitCode = 64;
}

async function compareServers() {
  const [node, ours] = (
    await Promise.all([
      compared(exchanges, process.env.OURS_URL),
      compared(exchangesOfRevision3, process.env.OURS_EIO3_URL, { ALLOW_EIO3: "true" }),
    ])
  ).reduce(([node, ours], [more, ofOurs]) => [
    { ...node, ...more },
    { ...ours, ...ofOurs },
  ]);
  const differences = Object.keys(node).flatMap((exchange) => compare(exchange, node[exchange], ours[exchange]));
  const { unexpected, gone } = judge(differences, self ? [] : groups);
  if (unexpected.length > 0) {
    console.log(`${unexpected.length} unexpected difference(s); to accept one, add it to expected-differences.json with a reason:\n`);
    console.log(unexpected.map((difference) => JSON.stringify(difference)).join(",\n"));
  }
  if (gone.length > 0) {
    console.log(`\n${gone.length} expected difference(s) that did not occur; remove them from expected-differences.json:\n`);
    console.log(gone.map((entry) => JSON.stringify(entry)).join(",\n"));
  }
  console.log(
    `\n${Object.keys(node).length} exchanges, ${differences.length} difference(s), ` +
      `${unexpected.length} unexpected, ${gone.length} expected but gone`,
  );
  return unexpected.length + gone.length === 0;
}

/** What Node's server and the one at `url`, or another one of Node's, answer to these exchanges. */
async function compared(list, url, env = {}) {
  const reference = await spawnReference("reference/echo-server.mjs", env);
  const second = self ? await spawnReference("reference/echo-server.mjs", env) : undefined;
  try {
    return await Promise.all([record(reference.url, list), record(second?.url ?? url, list)]);
  } finally {
    await Promise.all([reference.stop(), second?.stop()]);
  }
}

function tableIsCurrent() {
  const current = documentParts()[1] === table(groups);
  if (!current) {
    console.log("\nthe table in docs/conformance.md is out of date: node transcripts/diff.mjs --write-table");
  }
  return current;
}

/** Before the table, the table, after it. */
function documentParts() {
  const document = readFileSync(DOCUMENT, "utf8");
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin === -1 || end === -1) {
    throw new Error("docs/conformance.md has no place for the table of differences");
  }
  return [document.slice(0, begin), document.slice(begin + BEGIN.length, end), document.slice(end + END.length)];
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
