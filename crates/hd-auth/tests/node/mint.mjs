// Reads lines of JSON {claims, secret, algorithm, life} and prints the token that jsonwebtoken
// makes of each, as JSON. `claims` is a text of JSON; its `iat` is the time of signing; `life` is in seconds.

import { createInterface } from "node:readline";
import jwt from "jsonwebtoken";

for await (const line of createInterface({ input: process.stdin })) {
  const { claims, secret, algorithm, life } = JSON.parse(line);
  console.log(JSON.stringify(jwt.sign(JSON.parse(claims), secret, { algorithm, expiresIn: life })));
}
