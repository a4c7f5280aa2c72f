// The differences that are accepted: `expected-differences.json`, a list of
//
//   { "why": "…", "differences": [{ "exchange", "field", "node", "ours" }, …] }
//
// A difference is written as diff.mjs prints an unexpected one. To cover several places at once,
// `exchange` may be a list of names, or "*" for any, and the number of the step in `field` may be "*".
// Nothing in it may be idle: each exchange that is named must differ so, and "*" must in some place.

import { readFileSync } from "node:fs";

const FILE = "expected-differences.json";

/** The groups of the file. Throws when one of them says nothing, or gives no reason. */
export function readExpected(exchanges) {
  const groups = JSON.parse(readFileSync(new URL(FILE, import.meta.url), "utf8"));
  for (const group of groups) {
    if (!group.why?.trim() || !(group.differences?.length > 0)) {
      throw new Error(`${FILE}: no reason, or nothing that it is for: ${JSON.stringify(group)}`);
    }
    for (const entry of group.differences) {
      const valid =
        "node" in entry &&
        "ours" in entry &&
        entry.node !== entry.ours &&
        (entry.exchange === "*"
          ? /^\*\.(frame|headers\.[a-z0-9-]+)$/.test(entry.field)
          : names(entry).length > 0 && names(entry).every((name) => exchanges.includes(name)) && /^(\d+|\*)\./.test(entry.field));
      if (!valid) {
        throw new Error(`${FILE}: no valid difference: ${JSON.stringify(entry)}`);
      }
    }
  }
  return groups;
}

/** What of `differences` no group covers, and what the groups cover that does not occur. */
export function judge(differences, groups) {
  const entries = groups.flatMap((group) => group.differences);
  const unexpected = differences.filter((difference) => !entries.some((entry) => covers(entry, difference)));
  const gone = entries.flatMap((entry) =>
    (entry.exchange === "*" ? ["*"] : names(entry))
      .map((exchange) => ({ ...entry, exchange }))
      .filter((single) => !differences.some((difference) => covers(single, difference))),
  );
  return { unexpected, gone };
}

/** The groups as the table of docs/conformance.md. */
export function table(groups) {
  const rows = groups.map(({ why, differences }) => {
    const changes = new Map();
    for (const entry of differences) {
      changes.set(where(entry), [...(changes.get(where(entry)) ?? []), change(entry)]);
    }
    const places = [...changes].map(([place, parts]) => `**${place}**: ${parts.join(", ")}`);
    return `| ${cell(places.join("<br>"))} | ${cell(why)} |`;
  });
  return ["| where, and what: Node → ours | why |", "|---|---|", ...rows].join("\n");
}

function names(entry) {
  return [entry.exchange].flat();
}

function covers(entry, difference) {
  const sameExchange = entry.exchange === "*" || names(entry).includes(difference.exchange);
  const field = entry.field.startsWith("*") ? difference.field.replace(/^\d+/, "*") : difference.field;
  return sameExchange && field === entry.field && entry.node === difference.node && entry.ours === difference.ours;
}

function where(entry) {
  return entry.exchange === "*" ? "anywhere" : names(entry).join("; ");
}

function change({ field, node, ours }) {
  return `${field.replace(/^(\d+|\*)\./, "").replace(/^headers\./, "")} ${shown(node)} → ${shown(ours)}`;
}

function shown(value) {
  if (value === null) {
    return "none";
  }
  // The only control character in these values separates packets.
  return value === "" ? "empty" : `\`${String(value).replaceAll("\x1e", "\\x1e")}\``;
}

function cell(text) {
  return text.replaceAll("|", "\\|");
}
