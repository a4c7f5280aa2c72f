// A machine whose clock is wrong: a library that the service loads before its own.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SOURCE = `
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *time) {
  int result = syscall(SYS_clock_gettime, id, time);
  if (id == CLOCK_REALTIME) time->tv_sec += atol(getenv("SECONDS_AHEAD"));
  return result;
}
`;

export const withoutCompiler = { skip: spawnSync("cc", ["--version"]).error && "there is no C compiler" };

/** The environment of a process whose clock is ahead. */
export function ahead(t, seconds) {
  const folder = mkdtempSync(join(tmpdir(), "help-desk-ws-clock-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [source, library] = [join(folder, "clock.c"), join(folder, "clock.so")];
  writeFileSync(source, SOURCE);
  const { status, stderr } = spawnSync("cc", ["-shared", "-fPIC", "-o", library, source], { encoding: "utf8" });
  if (status !== 0) {
    throw new Error(stderr);
  }
  return { LD_PRELOAD: library, SECONDS_AHEAD: String(seconds) };
}
