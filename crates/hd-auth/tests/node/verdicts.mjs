// Mints a token for each case, lets jsonwebtoken judge it, and prints one line of JSON per case:
// {name, token, secret, now, options, verdict}. The clock is fixed; nothing depends on the machine.

import { createHmac, generateKeyPairSync } from "node:crypto";
import { judge } from "./judgement.mjs";
import jwt from "jsonwebtoken";

const NOW = 1_700_000_000;
const SECRET = "the secret that both sides of these tests share";
const CLAIMS = {
  usu_id: 42,
  usu_correo: "ana@example.com",
  rol_id: 3,
  reg_id: null,
  car_id: 11,
  dp_id: 7,
  es_nacional: false,
  perfil_ids: [1, 2],
  iat: NOW - 60,
  exp: NOW + 3600,
};

const cases = [];

function add(name, token, { secret = SECRET, now = NOW, options = {} } = {}) {
  cases.push({ name, token, secret, now, options, verdict: judge(token, secret, now, options) });
}

// A token by jsonwebtoken itself.
function mint(claims, { secret = SECRET, ...options } = {}) {
  return jwt.sign(claims, secret, options);
}

// A token by hand: the texts of the header and of the payload are signed as they are.
function forge(header, payload, { secret = SECRET, hash = "sha256", edit = (part) => part } = {}) {
  const encode = (text) => edit(Buffer.from(text).toString("base64url"));
  const signed = `${encode(header)}.${encode(payload)}`;
  return `${signed}.${createHmac(hash, secret).update(signed).digest("base64url")}`;
}

const HEADER = '{"alg":"HS256","typ":"JWT"}';
const without = (...names) =>
  Object.fromEntries(Object.entries(CLAIMS).filter(([name]) => !names.includes(name)));
const withText = (members) => JSON.stringify(without("exp")).slice(0, -1) + `,${members}}`;
const payloadOf = (claims) => JSON.stringify({ ...CLAIMS, ...claims });
const good = mint(CLAIMS);
const [goodHeader, goodPayload, goodSignature] = good.split(".");

// Algorithms
add("HS256", good);
add("HS384", mint(CLAIMS, { algorithm: "HS384" }));
add("HS512", mint(CLAIMS, { algorithm: "HS512" }));
add("HS512 where only HS256 is allowed", mint(CLAIMS, { algorithm: "HS512" }), {
  options: { algorithms: ["HS256"] },
});
add("HS256 where only HS256 is allowed", good, { options: { algorithms: ["HS256"] } });
add("HS384 signature under an HS256 header", forge(HEADER, payloadOf({}), { hash: "sha384" }));
add("alg none, no signature", jwt.sign(CLAIMS, null, { algorithm: "none" }));
add("alg none, signed", forge('{"alg":"none","typ":"JWT"}', payloadOf({})));
add("alg None", forge('{"alg":"None","typ":"JWT"}', payloadOf({})));
add("alg in lower case", forge('{"alg":"hs256","typ":"JWT"}', payloadOf({})));
add("alg with a trailing space", forge('{"alg":"HS256 ","typ":"JWT"}', payloadOf({})));
add("alg missing", forge('{"typ":"JWT"}', payloadOf({})));
add("alg null", forge('{"alg":null,"typ":"JWT"}', payloadOf({})));
add("alg an array", forge('{"alg":["HS256"],"typ":"JWT"}', payloadOf({})));
add("alg with an escape", forge('{"alg":"\\u0048S256","typ":"JWT"}', payloadOf({})));
add("alg twice, the last one good", forge('{"alg":"none","alg":"HS256","typ":"JWT"}', payloadOf({})));
add("alg twice, the last one bad", forge('{"alg":"HS256","alg":"none","typ":"JWT"}', payloadOf({})));
{
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  add("RS256", jwt.sign(CLAIMS, privateKey, { algorithm: "RS256" }));
  const pem = publicKey.export({ type: "spki", format: "pem" });
  add("HS256 signed with a public key", forge(HEADER, payloadOf({}), { secret: pem }));
}
add("RS256 header over an HMAC", forge('{"alg":"RS256","typ":"JWT"}', payloadOf({})));

// Signatures and secrets
add("another secret", mint(CLAIMS, { secret: "another secret" }));
add("secret with a trailing newline", good, { secret: `${SECRET}\n` });
add("secret of one byte", mint(CLAIMS, { secret: "x" }), { secret: "x" });
add("secret beyond ASCII", mint(CLAIMS, { secret: "señal — 秘密" }), { secret: "señal — 秘密" });
add("secret longer than a block", mint(CLAIMS, { secret: "s".repeat(200) }), {
  secret: "s".repeat(200),
});
add("payload changed", `${goodHeader}.${Buffer.from(payloadOf({ usu_id: 1 })).toString("base64url")}.${goodSignature}`);
add("header changed", `${Buffer.from('{"typ":"JWT","alg":"HS256"}').toString("base64url")}.${goodPayload}.${goodSignature}`);
add("signature cut short", good.slice(0, -1));
add("signature cut to 16 bytes", `${goodHeader}.${goodPayload}.${Buffer.from(goodSignature, "base64url").subarray(0, 16).toString("base64url")}`);
add("signature with unused bits set", good.slice(0, -1) + nextCharacter(good.at(-1)));
add("signature with one character more", `${good}A`);
add("signature empty", `${goodHeader}.${goodPayload}.`);

// Time
add("exp one second ahead", mint({ ...CLAIMS, exp: NOW + 1 }));
add("exp now", mint({ ...CLAIMS, exp: NOW }));
add("exp one second ago", mint({ ...CLAIMS, exp: NOW - 1 }));
add("exp half a second ahead", mint({ ...CLAIMS, exp: NOW + 0.5 }));
add("exp half a second ago", mint({ ...CLAIMS, exp: NOW - 0.5 }));
add("exp as 1.8e9", forge(HEADER, withText('"exp":1.8e9')));
add("exp as 1.7e9, which is now", forge(HEADER, withText('"exp":1.7e9')));
add("exp as 1e400", forge(HEADER, withText('"exp":1e400')));
add("exp above 2^64", forge(HEADER, withText('"exp":36893488147419103232')));
add("exp negative", mint({ ...CLAIMS, exp: -1 }));
add("exp zero", mint({ ...CLAIMS, exp: 0 }));
add("exp a string", forge(HEADER, withText('"exp":"9999999999"')));
add("exp null", forge(HEADER, withText('"exp":null')));
add("exp an array", forge(HEADER, withText(`"exp":[${NOW + 60}]`)));
add("exp true", forge(HEADER, withText('"exp":true')));
add("exp missing", mint(without("exp")));
add("exp missing where that is allowed", mint(without("exp")), { options: { allowNoExp: true } });
add("exp twice, the last one ahead", forge(HEADER, withText(`"exp":1,"exp":${NOW + 60}`)));
add("exp twice, the last one past", forge(HEADER, withText(`"exp":${NOW + 60},"exp":1`)));
add("exp with an escaped name, past", forge(HEADER, withText('"\\u0065xp":1')));
add("nbf now", mint({ ...CLAIMS, nbf: NOW }));
add("nbf one second ahead", mint({ ...CLAIMS, nbf: NOW + 1 }));
add("nbf a fraction ahead", mint({ ...CLAIMS, nbf: NOW + 0.25 }));
add("nbf past", mint({ ...CLAIMS, nbf: NOW - 1 }));
add("nbf negative", mint({ ...CLAIMS, nbf: -5 }));
add("nbf a string", forge(HEADER, withText(`"nbf":"1","exp":${NOW + 60}`)));
add("nbf null", forge(HEADER, withText(`"nbf":null,"exp":${NOW + 60}`)));
add("nbf ahead and exp past", mint({ ...CLAIMS, nbf: NOW + 1, exp: NOW - 1 }));
add("iat ahead", mint({ ...CLAIMS, iat: NOW + 100 }));
add("iat missing", mint(without("iat"), { noTimestamp: true }));
add("iat a string", forge(HEADER, payloadOf({ iat: "yesterday" })));

// Audience
add("aud where none is asked for", mint({ ...CLAIMS, aud: "elsewhere" }));
add("aud as asked for", mint({ ...CLAIMS, aud: "help-desk-ws" }), {
  options: { audience: "help-desk-ws" },
});
add("aud in an array", mint({ ...CLAIMS, aud: ["other", "help-desk-ws"] }), {
  options: { audience: "help-desk-ws" },
});
add("aud of another", mint({ ...CLAIMS, aud: "help-desk-web" }), {
  options: { audience: "help-desk-ws" },
});
add("aud missing", good, { options: { audience: "help-desk-ws" } });
add("aud a number", forge(HEADER, payloadOf({ aud: 5 })), { options: { audience: "5" } });

// Claims
add("only usu_id and exp", mint({ usu_id: 42, exp: NOW + 60 }, { noTimestamp: true }));
add("usu_id zero", mint({ ...CLAIMS, usu_id: 0 }));
add("usu_id 2^53 - 1", mint({ ...CLAIMS, usu_id: Number.MAX_SAFE_INTEGER }));
add("usu_id written as 42.0", forge(HEADER, payloadOf({}).replace('"usu_id":42', '"usu_id":42.0')));
add("usu_id written as 4.2e1", forge(HEADER, payloadOf({}).replace('"usu_id":42', '"usu_id":4.2e1')));
add("usu_id twice", forge(HEADER, payloadOf({}).replace("{", '{"usu_id":1,')));
add("usu_id 2^53", forge(HEADER, payloadOf({ usu_id: 2 ** 53 })));
add("usu_id negative", mint({ ...CLAIMS, usu_id: -1 }));
add("usu_id 1.5", mint({ ...CLAIMS, usu_id: 1.5 }));
add("usu_id missing", mint(without("usu_id")));
add("usu_id null", mint({ ...CLAIMS, usu_id: null }));
add("usu_id empty", mint({ ...CLAIMS, usu_id: "" }));
add("usu_id a numeric string", mint({ ...CLAIMS, usu_id: "42" }));
add("usu_id a string of SQL", mint({ ...CLAIMS, usu_id: "1 OR" }));
add("usu_id an array", mint({ ...CLAIMS, usu_id: [42] }));
add("usu_id an object", mint({ ...CLAIMS, usu_id: { id: 42 } }));
add("usu_id true", mint({ ...CLAIMS, usu_id: true }));
add("other claims of other types", mint({
  ...CLAIMS, usu_correo: 1, rol_id: "3", reg_id: [], car_id: {}, dp_id: 1.5, es_nacional: "true", perfil_ids: "1,2",
}));
add("claims nobody knows", mint({ ...CLAIMS, sub: "x", nested: { deep: [[[]]] }, usu_clave: 1 }));
add("claims with accents and emoji", mint({ ...CLAIMS, usu_correo: "peña+📬@example.com" }));
add("claims with a lone surrogate", mint({ ...CLAIMS, usu_correo: "\ud800" }));
add("claims with a surrogate in a name", mint({ ...CLAIMS, "\ud800": 1 }));
add("claims that are not UTF-8", forge(HEADER, Buffer.concat([
  Buffer.from(payloadOf({}).slice(0, -1) + ',"x":"'), Buffer.from([0xff, 0xc3]), Buffer.from('"}'),
])));
add("claims nested 2000 deep", forge(HEADER, payloadOf({}).slice(0, -1) + ',"x":' + "[".repeat(2000) + "]".repeat(2000) + "}"));

// Headers
add("typ missing", forge('{"alg":"HS256"}', payloadOf({})));
add("typ in lower case", forge('{"alg":"HS256","typ":"jwt"}', payloadOf({})));
add("typ a number", forge('{"alg":"HS256","typ":5}', payloadOf({})));
add("typ at+jwt", forge('{"alg":"HS256","typ":"at+jwt"}', payloadOf({})));
add("kid", mint(CLAIMS, { keyid: "2024-01" }));
add("kid of another type", forge('{"alg":"HS256","typ":"JWT","kid":{}}', payloadOf({})));
add("jku, x5u and jwk", forge('{"alg":"HS256","typ":"JWT","jku":"https://evil.example/keys","x5u":7,"jwk":{"kty":"oct","k":"eA"}}', payloadOf({})));
add("crit of an unknown extension", forge('{"alg":"HS256","typ":"JWT","crit":["exp2"],"exp2":1}', payloadOf({})));
add("crit empty", forge('{"alg":"HS256","typ":"JWT","crit":[]}', payloadOf({})));
add("header in Latin-1", forge(Buffer.concat([Buffer.from('{"alg":"HS256","typ":"JWT","x":"'), Buffer.from([0xe9]), Buffer.from('"}')]), payloadOf({})));
add("header an array", forge('["HS256"]', payloadOf({})));
add("header null", forge("null", payloadOf({})));
add("header not JSON", forge("{alg:HS256}", payloadOf({})));
add("header with spaces", forge(' { "alg" : "HS256" }\n', payloadOf({})));
add("header with a byte order mark", forge(`\ufeff${HEADER}`, payloadOf({})));

// Form
add("empty", "");
add("one part", goodHeader);
add("two parts", `${goodHeader}.${goodPayload}`);
add("four parts", `${good}.${goodSignature}`);
add("a dot in front", `.${good}`);
add("a dot at the end", `${good}.`);
add("only dots", "..");
add("header empty", `.${goodPayload}.${goodSignature}`);
add("payload empty", `${goodHeader}..${goodSignature}`);
add("space in front", ` ${good}`);
add("newline at the end", `${good}\n`);
add("space within", `${goodHeader}. ${goodPayload}.${goodSignature}`);
add("Bearer in front", `Bearer ${good}`);
add("quoted", `"${good}"`);
add("not ASCII", `${goodHeader}.é.${goodSignature}`);
add("padding in the payload", forge(HEADER, "{}", { edit: (part) => part + "=".repeat((4 - (part.length % 4)) % 4) }));
add("padding in the signature", `${good}=`);
add("base64 with + and /", forge(HEADER, payloadOf({ x: "???>>>" }), { edit: (part) => part.replaceAll("-", "+").replaceAll("_", "/") }));
add("payload with unused bits set", forge(HEADER, pad(payloadOf({}), 2), { edit: (part) => (part.length % 4 === 2 ? part.slice(0, -1) + nextCharacter(part.at(-1)) : part) }));
add("payload with a character too many", forge(HEADER, pad(payloadOf({}), 0), { edit: (part) => (part.length % 4 === 0 ? `${part}A` : part) }));
add("payload not JSON", forge(HEADER, "not json"));
add("payload cut short", forge(HEADER, payloadOf({}).slice(0, -1)));
add("payload with a trailing comma", forge(HEADER, payloadOf({}).slice(0, -1) + ",}"));
add("payload followed by more", forge(HEADER, `${payloadOf({})}{}`));
add("payload an array", forge(HEADER, "[42]"));
add("payload a string", forge(HEADER, '"42"'));
add("payload null", forge(HEADER, "null"));
add("payload not JSON, typ missing", forge('{"alg":"HS256"}', "plain text"));
add("of 8 KiB", sized(8192));
add("of 8 KiB and a byte", sized(8193));
add("of 1 MB, unsigned", `${goodHeader}.${"A".repeat(1_000_000)}.${goodSignature}`);

// The next base64url character, which differs in unused bits only.
function nextCharacter(character) {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return alphabet[alphabet.indexOf(character) + 1];
}

// JSON with spaces, so that its base64url has `remainder` characters over a multiple of four.
function pad(json, remainder) {
  while (Buffer.from(json).toString("base64url").length % 4 !== remainder) {
    json += " ";
  }
  return json;
}

// A good token of exactly that many bytes: spaces grow the payload by 3 bytes for 4 characters.
function sized(bytes) {
  for (const header of [HEADER, `${HEADER} `, `${HEADER}  `]) {
    let json = payloadOf({});
    for (;;) {
      const token = forge(header, json);
      if (token.length === bytes) return token;
      if (token.length > bytes) break;
      json += " ".repeat(Math.max(1, Math.floor((bytes - token.length) / 2)));
    }
  }
  throw new Error(`no token of ${bytes} bytes`);
}

for (const line of cases) {
  console.log(JSON.stringify(line));
}
