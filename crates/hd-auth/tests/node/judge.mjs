// Reads lines of JSON {token, secret, now} and prints jsonwebtoken's verdict on each.

import { createInterface } from "node:readline";
import { judge } from "./judgement.mjs";

for await (const line of createInterface({ input: process.stdin })) {
  const { token, secret, now } = JSON.parse(line);
  console.log(JSON.stringify(judge(token, secret, now)));
}
