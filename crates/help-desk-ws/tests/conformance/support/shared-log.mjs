// The log that instances share in Redis, as its entries are there: what somebody writes who can write to Redis.

import { createHmac } from "node:crypto";
import { JWT_SECRET } from "./service.mjs";

export const LOG = "{help-desk-ws}:log";
/** The latest offset of each room that was trimmed. */
export const TRIMMED = "{help-desk-ws}:trimmed";
export const GREATEST = "18446744073709551615";

/** The code of a record, by the secret of the instances or another one. */
export function sign(record, secret = JWT_SECRET) {
  return createHmac("sha256", secret).update("help-desk-ws log record 1\0").update(record).digest().subarray(0, 16);
}

const APPEND = `
local function bytes(hex)
  return (hex:gsub('..', function(pair) return string.char(tonumber(pair, 16)) end))
end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local before, log = last[1], nil
for i = 1, #last[2], 2 do
  if last[2][i] == 'l' then log = last[2][i + 1] end
end
local records = {}
for at = 2, #ARGV, 2 do
  local record = {'r', bytes(ARGV[at])}
  if ARGV[at + 1] ~= '' then
    record[3], record[4] = 'm', bytes(ARGV[at + 1])
  end
  records[#records + 1] = record
end
for turn = 1, tonumber(ARGV[1]) do
  local fields = {'l', log, 'p', before, unpack(records[1 + (turn - 1) % #records])}
  before = redis.call('XADD', KEYS[1], '*', unpack(fields))
end`;

/** Appends entries of the form that instances append, of these records and codes in turn. */
export function append(redis, records, count = records.length) {
  const args = records.flatMap(([record, code]) => [Buffer.from(record).toString("hex"), Buffer.from(code ?? "").toString("hex")]);
  const answer = redis.command("EVAL", APPEND, "1", LOG, String(count), ...args);
  if (answer.trim() !== "") {
    throw new Error(answer);
  }
}
