// When the next message is due.

import { EVERYONE } from "./ledger.mjs";

const TICK_MS = 10;
const EVERYONE_EVERY_MS = 2000;

/** Calls `tick` for `anyone()`, `rate` times a second, and every 2 s for everyone. Returns what ends it. */
export function paced(rate, anyone, tick) {
  const started = Date.now();
  let ticks = 0;
  const catchUp = () => {
    const due = Math.floor(((Date.now() - started) * rate) / 1000);
    for (; ticks < due; ticks += 1) {
      tick(anyone());
    }
  };
  const timers = [setInterval(catchUp, TICK_MS), setInterval(() => tick(EVERYONE), EVERYONE_EVERY_MS)];
  return () => timers.forEach(clearInterval);
}
