// Tokens as help-desk-back signs them.

import { createHmac } from "node:crypto";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Whose a client is: a user has one, and the first ones have more where there are fewer `users`. */
export function userOf(client, users = Infinity) {
  return 1 + ((client - 1) % users);
}

/** A token of `lifeS` seconds, with a role or without. */
export function tokenFor(user, secret, lifeS = 24 * 3600, role = null) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    usu_id: user,
    usu_correo: `user${user}@example.com`,
    rol_id: role,
    reg_id: null,
    car_id: null,
    dp_id: null,
    es_nacional: false,
    iat: now,
    exp: now + lifeS,
  };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** When a token expires, in milliseconds since 1970. */
export function expiryOf(token) {
  return JSON.parse(Buffer.from(token.split(".")[1], "base64url")).exp * 1000;
}
