// Runs every suite of this project and exits non-zero when one fails.
//
//   SERVER_URL=http://127.0.0.1:3000 EIO3_URL=http://127.0.0.1:3001 ENGINE_URL=http://127.0.0.1:3002
//     HEARTBEAT_URL=http://127.0.0.1:3003 MSGPACK_URL=http://127.0.0.1:3004 node run.mjs
//   node run.mjs --reference        against Node's socket.io and engine.io instead
//   node run.mjs raw transcripts    only these of: raw, clients, msgpack, python, transcripts
//
// SERVER_URL is the example echo with PING_INTERVAL=300, PING_TIMEOUT=2000 and CONNECT_TIMEOUT=3000; EIO3_URL is the
// same with ALLOW_EIO3=true, and MSGPACK_URL with PARSER=msgpack. HEARTBEAT_URL is as ENGINE_URL, with PING_INTERVAL=300
// and PING_TIMEOUT=2000. What does not test the heartbeat is better off without: on a busy machine a ping comes in between
// anywhere.

import { project } from "./support/project.mjs";
import { spawnReference } from "./support/spawned-server.mjs";

const { PYTHON, installDependencies, run } = project(import.meta.url);

const SUITES = {
  raw: (env) => nodeTests(["raw/engine.test.mjs", "raw/socket.test.mjs"], env),
  clients: (env) => nodeTests(["clients/echo.test.mjs", "clients/echo-2.test.mjs"], env),
  msgpack: async (env) => {
    const msgpack = { ...env, SERVER_URL: env.MSGPACK_URL, PARSER: "msgpack" };
    const code = await nodeTests(["clients/echo.test.mjs", "clients/msgpack.test.mjs"], msgpack);
    return code !== 0 ? code : run(PYTHON, ["python/test_echo.py"], msgpack);
  },
  python: (env) => run(PYTHON, ["python/test_echo.py"], env),
  transcripts: (env) => run(process.execPath, ["transcripts/diff.mjs"], env),
};

const args = process.argv.slice(2);
const reference = args.includes("--reference");
const wanted = args.filter((arg) => arg !== "--reference");
const unknown = wanted.filter((name) => !(name in SUITES));
if (unknown.length > 0) {
  console.error(`unknown suite ${unknown.join(", ")}; there are ${Object.keys(SUITES).join(", ")}`);
  process.exit(64);
}
const URLS = ["SERVER_URL", "EIO3_URL", "ENGINE_URL", "HEARTBEAT_URL", "MSGPACK_URL"];
if (!reference && !URLS.every((name) => process.env[name])) {
  console.error(`set ${URLS.join(", ")} to the servers to test, or pass --reference`);
  process.exit(64);
}

await installDependencies();
const servers = reference
  ? [
      await spawnReference("reference/echo-server.mjs"),
      await spawnReference("reference/echo-server.mjs", { ALLOW_EIO3: "true" }),
      await spawnReference("reference/engine-echo-server.mjs"),
      await spawnReference("reference/engine-echo-server.mjs", { PING_INTERVAL: "300", PING_TIMEOUT: "2000" }),
      await spawnReference("reference/echo-server.mjs", { PARSER: "msgpack" }),
    ]
  : [];
const [SERVER_URL, EIO3_URL, ENGINE_URL, HEARTBEAT_URL, MSGPACK_URL] = servers.map(({ url }) => url);
const env = reference
  ? { REFERENCE: "1", SERVER_URL, EIO3_URL, ENGINE_URL, HEARTBEAT_URL, MSGPACK_URL, OURS_URL: SERVER_URL, OURS_EIO3_URL: EIO3_URL }
  : { MSGPACK_URL: process.env.MSGPACK_URL, OURS_URL: process.env.SERVER_URL, OURS_EIO3_URL: process.env.EIO3_URL };

const failed = [];
try {
  for (const name of wanted.length > 0 ? wanted : Object.keys(SUITES)) {
    console.log(`\n=== ${name}`);
    const code = await SUITES[name](env);
    if (code !== 0) {
      failed.push(name);
    }
  }
} finally {
  await Promise.all(servers.map((server) => server.stop()));
}
console.log(failed.length > 0 ? `\nfailed: ${failed.join(", ")}` : "\nall suites passed");
process.exitCode = failed.length > 0 ? 1 : 0;

function nodeTests(files, env) {
  return run(process.execPath, ["--test", "--test-concurrency=1", "--test-reporter=spec", ...files], env);
}
