#!/usr/bin/env node
// The service on the socket.io npm package, by the same contract: what the suites were developed
// against. It is an executable with the commands serve, token, emit and health, so that it can stand
// in for the binary (WS_BIN) as well.

import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import jwt from "jsonwebtoken";
import { Server } from "socket.io";
import { WebSocketServer } from "ws";
import { readSettings } from "./settings.mjs";

const RESERVED = ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
const MAX_BODY = 1_000_000;
const MAX_PAYLOAD = 256 * 1024;

const [command = "serve", ...rest] = process.argv.slice(2);
const commands = { serve, token: printToken, emit, health };
await commands[command](rest);

async function serve() {
  const { settings, problems } = readSettings(process.env);
  if (problems.length > 0) {
    console.error(problems.join("\n"));
    process.exit(64);
  }
  if (settings.secrets.length === 0) {
    settings.secrets.push(randomBytes(32).toString("hex"));
    console.log(`a token to try: ${jwt.sign({ usu_id: 1 }, settings.secrets[0], { expiresIn: "24h" })}`);
  }

  const plainClients = new Map();
  const httpServer = createServer((request, response) => answer(request, response).catch(() => response.destroy()));
  const originAllowed = (origin) => {
    if (origin === undefined) {
      return settings.allowNoOrigin;
    }
    return origin !== "null" && (settings.origins.includes("*") || settings.origins.includes(origin));
  };
  const io = new Server(httpServer, {
    pingInterval: settings.pingInterval,
    pingTimeout: settings.pingTimeout,
    connectTimeout: settings.connectTimeout,
    cors: { origin: settings.origins.includes("*") ? "*" : settings.origins },
    allowRequest: (request, decide) => decide(null, originAllowed(request.headers.origin)),
    destroyUpgrade: false,
    allowEIO3: settings.allowEio3,
    serveClient: false,
  });
  // A client of Socket.IO 2 takes a refusal of the main namespace for one of every namespace.
  io.use((socket, next) => (socket.conn.protocol === 3 ? next() : next(new Error("Invalid namespace"))));

  const notifications = io.of("/notifications");
  notifications.use((socket, next) => {
    const { authorization } = socket.handshake.headers;
    const token = bearer(authorization) || socket.handshake.auth.token || socket.handshake.query.token;
    const { claims, code, message } = verify(token, settings);
    if (claims) {
      socket.data.claims = claims;
      return next();
    }
    log("WARN", `Authentication failed: ${message} reason=${code}`);
    if (settings.legacy) {
      return next();
    }
    return next(Object.assign(new Error(message), { data: { code } }));
  });
  notifications.on("connection", (socket) => {
    const { claims } = socket.data;
    if (!claims) {
      return socket.disconnect(false);
    }
    const room = `user_${claims.usu_id}`;
    socket.join(room);
    log("INFO", `Client connected: ${socket.id}, User ID: ${claims.usu_id}, Room: ${room}`);
    const expire = () => {
      socket.emit("auth:expired");
      socket.conn.close();
    };
    let expiry = setTimeout(expire, untilExpiry(claims));
    socket.on("auth:refresh", (token, reply) => {
      const renewed = verify(typeof token === "string" ? token : undefined, settings);
      if (renewed.claims && renewed.claims.usu_id === claims.usu_id) {
        clearTimeout(expiry);
        expiry = setTimeout(expire, untilExpiry(renewed.claims));
        return reply({ ok: true, exp: renewed.claims.exp ?? null });
      }
      return reply({ ok: false, code: renewed.code ?? "token_other_user" });
    });
    socket.on("disconnect", (reason) => {
      clearTimeout(expiry);
      log("INFO", `Client disconnected: ${socket.id} reason="${reason}"`);
    });
  });

  const plain = new WebSocketServer({ noServer: true });
  httpServer.on("upgrade", (request, socket, head) => {
    const url = new URL(request.url, "http://service");
    if (url.pathname.startsWith("/socket.io/")) {
      return;
    }
    const refuse = (status) => socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    if (url.pathname !== "/notifications") {
      return refuse("404 Not Found");
    }
    if (!originAllowed(request.headers.origin)) {
      return refuse("403 Forbidden");
    }
    const { claims, code, message } = verify(bearer(request.headers.authorization) || url.searchParams.get("token"), settings);
    if (!claims) {
      log("WARN", `Authentication failed: ${message} reason=${code}`);
      return refuse("401 Unauthorized");
    }
    plain.handleUpgrade(request, socket, head, (client) => {
      plainClients.set(client, `user_${claims.usu_id}`);
      const expiry = setTimeout(() => client.close(), untilExpiry(claims));
      client.on("close", () => {
        clearTimeout(expiry);
        plainClients.delete(client);
      });
    });
  });

  httpServer.listen(settings.port, settings.host, () => {
    const { address, port } = httpServer.address();
    log("INFO", `Listening on http://${address}:${port}`, "HelpDeskWs");
  });
  process.once("SIGTERM", () => {
    setTimeout(() => process.exit(0), settings.shutdownTimeout);
    plainClients.forEach((_room, client) => client.close(1001));
    io.close(() => process.exit(0));
    httpServer.closeAllConnections();
  });

  async function answer(request, response) {
    const json = (status, body, headers = {}) => {
      response.writeHead(status, { "Content-Type": "application/json", ...headers });
      response.end(JSON.stringify(body));
    };
    const refuse = (status, code, message, headers) => json(status, { error: { code, message } }, headers);

    const { pathname } = new URL(request.url, "http://service");
    const emitting = { "/notifications/emit": toUser, "/emit": toUser, "/notifications/broadcast": toEverybody }[pathname];
    if (["/", "/health", "/livez", "/readyz"].includes(pathname)) {
      return request.method === "GET" || request.method === "HEAD"
        ? json(200, { status: "ok", service: "help-desk-ws" })
        : refuse(405, "method_not_allowed", "only GET is allowed", { Allow: "GET, HEAD" });
    }
    if (!emitting) {
      return refuse(404, "not_found", "there is nothing at this path");
    }
    if (request.method !== "POST") {
      return refuse(405, "method_not_allowed", "only POST is allowed", { Allow: "POST" });
    }
    if (!settings.emitOpen && settings.production && settings.emitTokens.length === 0) {
      return refuse(404, "emit_closed", "no EMIT_TOKEN is set");
    }
    if (!settings.emitOpen && !settings.emitTokens.includes(bearer(request.headers.authorization))) {
      return refuse(401, "unauthorized", "a token is needed", { "WWW-Authenticate": "Bearer" });
    }
    const chunks = [];
    let length = 0;
    // Read to its end: a client that is still sending would see a reset instead of the answer.
    for await (const chunk of request) {
      length += chunk.length;
      if (length <= MAX_BODY) {
        chunks.push(chunk);
      }
    }
    if (length > MAX_BODY) {
      return refuse(413, "body_too_large", "the body is too large");
    }
    let fields;
    try {
      fields = JSON.parse(Buffer.concat(chunks));
    } catch {
      return refuse(400, "invalid_json", "the body is not valid JSON");
    }
    if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
      return refuse(400, "not_an_object", "the body must be a JSON object");
    }
    return emitting(fields, json, refuse);
  }

  function toUser(fields, json, refuse) {
    const user = /^(0|[1-9]\d*)$/.test(fields.userId) && typeof fields.userId !== "object" ? Number(fields.userId) : NaN;
    if (fields.userId === undefined) {
      return refuse(400, "missing_field", 'the field "userId" is missing');
    }
    if (!Number.isSafeInteger(user)) {
      return refuse(400, "invalid_user_id", '"userId" must be an integer');
    }
    return send(`user_${user}`, fields, json, refuse);
  }

  function toEverybody(fields, json, refuse) {
    return send(undefined, fields, json, refuse);
  }

  function send(room, fields, json, refuse) {
    const { event } = fields;
    const payload = fields.payload === undefined ? (fields.data ?? null) : fields.payload;
    if (event === undefined) {
      return refuse(400, "missing_field", "a field is missing");
    }
    if (typeof event !== "string" || event === "") {
      return refuse(400, "invalid_event", '"event" must be a string');
    }
    if (RESERVED.includes(event)) {
      return refuse(400, "reserved_event", "the event name is reserved by Socket.IO");
    }
    if (JSON.stringify(payload).length > MAX_PAYLOAD) {
      return refuse(413, "payload_too_large", "the payload is too large");
    }
    const plainOnes = [...plainClients].filter(([, joined]) => room === undefined || joined === room);
    plainOnes.forEach(([client]) => client.send(JSON.stringify({ event, data: payload })));
    const sockets = room === undefined ? notifications.sockets : (notifications.adapter.rooms.get(room) ?? new Set());
    (room === undefined ? notifications : notifications.to(room)).emit(event, payload);
    return json(201, { success: true, accepted: true, deliveredLocally: sockets.size + plainOnes.length });
  }
}

/** The claims, or why the token is refused. */
function verify(token, { secrets, requireExp }) {
  if (!token) {
    return { code: "token_missing", message: "no token was given" };
  }
  let refused;
  for (const secret of secrets) {
    try {
      const claims = jwt.verify(token, secret, { algorithms: ["HS256", "HS384", "HS512"] });
      if (requireExp && claims.exp === undefined) {
        return { code: "token_exp_missing", message: "the token has no exp claim" };
      }
      if (!Number.isSafeInteger(claims.usu_id) || claims.usu_id < 0) {
        return { code: "token_user_id", message: "the token's usu_id claim is not a user id" };
      }
      return { claims };
    } catch (error) {
      refused = error.message;
    }
  }
  const code = {
    "jwt expired": "token_expired",
    "invalid signature": "token_signature",
    "invalid algorithm": "token_algorithm",
    "jwt signature is required": "token_algorithm",
  }[refused];
  return { code: code ?? "token_malformed", message: refused };
}

/** setTimeout takes 31 bits. */
function untilExpiry({ exp }) {
  return Math.min(exp === undefined ? Infinity : exp * 1000 - Date.now(), 2 ** 31 - 1);
}

function bearer(authorization) {
  return /^Bearer (.+)$/i.exec(authorization ?? "")?.[1];
}

function log(level, message, context = "NotificationsGateway") {
  console.log(`${new Date().toISOString()} ${level.padEnd(5)} [${context}] ${message}`);
}

function printToken(args) {
  const { values } = parseArgs({ args, options: { user: { type: "string" } } });
  console.log(jwt.sign({ usu_id: Number(values.user) }, process.env.JWT_SECRET, { expiresIn: "24h" }));
}

async function emit(args) {
  const options = Object.fromEntries(["url", "user", "event", "payload"].map((name) => [name, { type: "string" }]));
  const { values } = parseArgs({ args, options });
  const response = await fetch(`${values.url}/notifications/emit`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${process.env.EMIT_TOKEN}` },
    body: JSON.stringify({ userId: Number(values.user), event: values.event, payload: JSON.parse(values.payload) }),
  });
  console.log(await response.text());
  process.exitCode = response.ok ? 0 : 1;
}

async function health(args) {
  const { values } = parseArgs({ args, options: { host: { type: "string" }, port: { type: "string" } } });
  const response = await fetch(`http://${values.host}:${values.port}/health`).catch(() => undefined);
  process.exitCode = response?.ok ? 0 : 1;
}
