// Runs every suite of this project and exits non-zero when one fails.
//
//   WS_URL=http://127.0.0.1:3001 JWT_SECRET=… EMIT_TOKEN=… WS_BIN=/path/to/help-desk-ws node run.mjs
//   node run.mjs --reference          against a service of the same contract on Node's socket.io
//   node run.mjs notifications        only these of: notifications, eio3, http-api, emit-api, lifecycle, replay, recovery-state, msgpack, drain, polling, cluster, node-peers, presence, browser, python, python-recovery
//
// WS_URL is a running service with the default settings and that JWT_SECRET and EMIT_TOKEN. Tests that
// need instances with other settings start WS_BIN; without it they are skipped.

import { fileURLToPath } from "node:url";
import { project } from "../../../hd-ws-server/tests/conformance/support/project.mjs";

const { PYTHON, installDependencies, run } = project(import.meta.url);

const SUITES = {
  notifications: (env) => nodeTests("clients/notifications.test.mjs", env),
  eio3: (env) => nodeTests("clients/eio3.test.mjs", env),
  "http-api": (env) => nodeTests("clients/http-api.test.mjs", env),
  "emit-api": (env) => nodeTests("clients/emit-api.test.mjs", env),
  lifecycle: (env) => nodeTests("clients/lifecycle.test.mjs", env),
  replay: (env) => nodeTests("clients/replay.test.mjs", env),
  "recovery-state": (env) => nodeTests("clients/recovery-state.test.mjs", env),
  msgpack: (env) => nodeTests("clients/msgpack.test.mjs", env),
  drain: (env) => nodeTests("clients/drain.test.mjs", env),
  polling: (env) => nodeTests("clients/polling.test.mjs", env),
  cluster: (env) => nodeTests("clients/cluster.test.mjs", env),
  "node-peers": (env) => nodeTests("clients/node-peers.test.mjs", env),
  presence: (env) => nodeTests("clients/presence.test.mjs", env),
  browser: (env) => nodeTests("clients/browser.test.mjs", env),
  python: (env) => run(PYTHON, ["python/test_notifications.py"], env),
  "python-recovery": (env) => run(PYTHON, ["python/test_recovery.py"], env),
};
const REFERENCE = {
  REFERENCE: "1",
  JWT_SECRET: "reference-secret-of-at-least-32-bytes",
  EMIT_TOKEN: "reference-emit-token-of-at-least-32-bytes",
  WS_BIN: fileURLToPath(new URL("reference/service.mjs", import.meta.url)),
};

const args = process.argv.slice(2);
const reference = args.includes("--reference");
const wanted = args.filter((arg) => arg !== "--reference");
const unknown = wanted.filter((name) => !(name in SUITES));
if (unknown.length > 0) {
  console.error(`unknown suite ${unknown.join(", ")}; there are ${Object.keys(SUITES).join(", ")}`);
  process.exit(64);
}
const missing = ["WS_URL", "JWT_SECRET", "EMIT_TOKEN"].filter((name) => !process.env[name]);
if (!reference && missing.length > 0) {
  console.error(`set ${missing.join(", ")}, or pass --reference`);
  process.exit(64);
}

await installDependencies();
if (reference) {
  Object.assign(process.env, REFERENCE);
}
// Only now: it reads the environment.
const { startService } = await import("./support/service.mjs");
const atEnd = [];
if (reference) {
  const service = await startService({ after: (stop) => atEnd.push(stop) });
  process.env.WS_URL = service.url;
}

const failed = [];
try {
  for (const name of wanted.length > 0 ? wanted : Object.keys(SUITES)) {
    console.log(`\n=== ${name}`);
    const code = await SUITES[name]({});
    if (code !== 0) {
      failed.push(name);
    }
  }
} finally {
  await Promise.all(atEnd.map((stop) => stop()));
}
console.log(failed.length > 0 ? `\nfailed: ${failed.join(", ")}` : "\nall suites passed");
process.exitCode = failed.length > 0 ? 1 : 0;

function nodeTests(file, env) {
  return run(process.execPath, ["--test", "--test-reporter=spec", file], env);
}
