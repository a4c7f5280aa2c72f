// The verdict of jsonwebtoken on one token: {ok: true, claims} or {ok: false, error, message}.
// Of the claims only the known ones are returned, without strings, which may be anything.

import jwt from "jsonwebtoken";

const CLAIMS = ["usu_id", "rol_id", "reg_id", "car_id", "dp_id", "es_nacional", "perfil_ids", "iat", "exp"];

export function judge(token, secret, now, { allowNoExp, ...options } = {}) {
  try {
    const payload = jwt.verify(token, secret, { ...options, clockTimestamp: now });
    const claims = Object.fromEntries(CLAIMS.map((name) => [name, payload[name]]));
    return { ok: true, claims };
  } catch (error) {
    return { ok: false, error: error.name, message: error.message };
  }
}
