import { test as unlimited } from "node:test";

/** In ms, for a busy machine; only what fails takes that long. A suite's own timeout would be that of all its tests together. */
const LIMIT = 60_000;

/** `test` of node:test that fails when it takes too long. */
export function test(name, ...rest) {
  const body = rest.pop();
  const [options = {}] = rest;
  return unlimited(name, { timeout: LIMIT, ...options }, body);
}
