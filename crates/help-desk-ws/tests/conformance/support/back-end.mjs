// What help-desk-back does: it emits by HTTP.

import assert from "node:assert/strict";
import { EMIT_TOKEN } from "./service.mjs";

export const ROUTES = {
  "/notifications/emit": (userId, event, payload) => ({ userId, event, payload }),
  "/emit": (userId, event, data) => ({ userId, event, data }),
};

/** A POST with whatever body, and without a token when that is null: `{status, headers, json}`. */
export async function post(url, body, { token = EMIT_TOKEN, headers = {} } = {}) {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      ...(token !== null && { Authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: typeof body === "string" ? body : JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
  return { status: response.status, headers: response.headers, json: await response.json() };
}

/** A GET, without a token when that is null: `{status, headers, json}`. */
export async function get(url, { token = EMIT_TOKEN, method = "GET" } = {}) {
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  const response = await fetch(url, { method, headers, signal: AbortSignal.timeout(30_000) });
  return { status: response.status, headers: response.headers, json: await response.json() };
}

/** Emits to a user; resolves to the number of sockets that it was delivered to. */
export async function emit(base, userId, event, payload, route = "/notifications/emit") {
  const { status, json } = await post(base + route, ROUTES[route](userId, event, payload));
  assert.equal(status, 201);
  assert.equal(json.success, true);
  return json.deliveredLocally;
}
