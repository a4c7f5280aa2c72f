// Tokens as help-desk-back signs them, and the ones that have to be refused.

import { generateKeyPairSync } from "node:crypto";
import jwt from "jsonwebtoken";
import { JWT_SECRET } from "./service.mjs";

// Each file is a process of its own, and its users are nobody else's.
let lastUser = process.pid * 10_000;

/** A user whom no other test uses. */
export function newUser() {
  lastUser += 1;
  return lastUser;
}

/** A token of help-desk-back for `user`. */
export function tokenFor(user, { secret = JWT_SECRET, algorithm = "HS256", expiresIn = "1h", ...claims } = {}) {
  const payload = {
    usu_id: user,
    usu_correo: "user@example.org",
    rol_id: 2,
    reg_id: 5,
    car_id: null,
    dp_id: null,
    es_nacional: false,
    ...claims,
  };
  return jwt.sign(payload, secret, { algorithm, ...(expiresIn !== undefined && { expiresIn }) });
}

/** `[what, token, data.code]` of tokens that are refused. */
export function refusedTokens() {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const user = newUser();
  return [
    ["no token", undefined, "token_missing"],
    ["a token signed with another secret", tokenFor(user, { secret: "another-secret-of-at-least-32-bytes!" }), "token_signature"],
    ["an expired token", tokenFor(user, { expiresIn: -10 }), "token_expired"],
    ["a token signed with RS256", tokenFor(user, { secret: rsa, algorithm: "RS256" }), "token_algorithm"],
    ["a token with alg none", tokenFor(user, { secret: "", algorithm: "none" }), "token_algorithm"],
    ["text that is no token", "not.a.token", "token_malformed"],
    ["a token without exp", jwt.sign({ usu_id: user }, JWT_SECRET), "token_exp_missing"],
    ["a token whose usu_id is text", tokenFor("1 OR 1=1"), "token_user_id"],
  ];
}
