// Tokens as help-desk-back signs them.

import { createHmac } from "node:crypto";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

export function tokenFor(user, secret) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    usu_id: user,
    usu_correo: `user${user}@example.com`,
    rol_id: null,
    reg_id: null,
    car_id: null,
    dp_id: null,
    es_nacional: false,
    iat: now,
    exp: now + 24 * 3600,
  };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}
