// nginx in front of the service: needs nginx in PATH.

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./ports.mjs";

export const withoutNginx = { skip: spawnSync("nginx", ["-v"]).error && "there is no nginx" };

/**
 * Starts nginx in front of what listens on `port`, and resolves to its URL; it ends with the test. The port is in the
 * upstream twice: nginx repeats a GET at the next server when a connection breaks before the answer, as it does by
 * itself (`proxy_next_upstream error timeout`).
 */
export async function startNginx(t, port) {
  const folder = mkdtempSync(join(tmpdir(), "help-desk-ws-nginx-"));
  mkdirSync(join(folder, "logs"));
  const own = await freePort();
  const configuration = join(folder, "nginx.conf");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((what) => `${what}_temp_path ${folder}/${what};`);
  writeFileSync(configuration, `
    daemon off;
    master_process off;
    pid ${folder}/nginx.pid;
    error_log ${folder}/error.log;
    events {}
    http {
      access_log off;
      ${temporary.join("\n")}
      upstream service {
        server 127.0.0.1:${port} max_fails=0;
        server 127.0.0.1:${port} max_fails=0;
        keepalive 16;
      }
      server {
        listen 127.0.0.1:${own};
        location / {
          proxy_pass http://service;
          proxy_http_version 1.1;
          proxy_set_header Connection "";
        }
      }
    }`);
  const child = spawn("nginx", ["-p", folder, "-c", configuration], { stdio: "ignore" });
  t.after(async () => {
    child.kill("SIGKILL");
    await once(child, "close");
    rmSync(folder, { recursive: true });
  });
  while (!(await isOpen(own))) {
    if (child.exitCode !== null) {
      throw new Error("nginx ended");
    }
  }
  return `http://127.0.0.1:${own}`;
}

/** Whether something listens on the port. */
function isOpen(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true));
    socket.on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}
