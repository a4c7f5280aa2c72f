//! What Redis does in one step: a script is one command, and nothing comes in
//! between.
//!
//! An entry of the stream has the fields `l`, its log; `p`, the entry before;
//! `r`, the record; and `m`, codes over the record. One without a record begins
//! a log.

use redis::Script;

use crate::ClusterConfig;

#[derive(Debug)]
pub(crate) struct Scripts {
    /// A record, unless its id has come before.
    pub(crate) append: Script,
    /// A record that every process has seen, and each appends.
    pub(crate) append_observed: Script,
    /// A log, where there is none.
    pub(crate) begin: Script,
    /// Another log, where this one is still the one that is appended to.
    pub(crate) fork: Script,
    /// Entries, no more of them than fit.
    pub(crate) page: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        let script = |body| Script::new(&format!("{TAIL}{body}"));
        Self {
            append: script(APPEND),
            append_observed: script(APPEND_OBSERVED),
            begin: script(BEGIN),
            fork: script(FORK),
            page: Script::new(PAGE),
        }
    }
}

impl ClusterConfig {
    /// The stream. The braces keep all keys on one node of a Redis Cluster.
    pub(crate) fn log_key(&self) -> String {
        format!("{{{}}}:log", self.prefix)
    }

    /// Which log is being appended to.
    pub(crate) fn log_id_key(&self) -> String {
        format!("{{{}}}:log-id", self.prefix)
    }

    /// Which server the log was last known to be complete at.
    pub(crate) fn server_key(&self) -> String {
        format!("{{{}}}:server", self.prefix)
    }

    /// An id that came.
    pub(crate) fn id_key(&self, id: &str) -> String {
        format!("{{{}}}:id:{id}", self.prefix)
    }

    /// What the names of records that were observed begin with.
    pub(crate) fn observed_key(&self) -> String {
        format!("{{{}}}:observed:", self.prefix)
    }
}

/// The log that is appended to, its last entry, and the last id of the stream.
///
/// Where the stream is empty another log begins: what there was is lost. So it does where the
/// stream ends in what no script of ours appended, and would be in the way of what is appended: an
/// id so far in the future that offsets mean no time any more, or no id after it. Any other entry
/// that is not ours is passed over.
///
/// While the clock is behind, ids leap by a random number, so that what a failover loses meanwhile
/// and what is appended in its place have not the same.
const TAIL: &str = r"
local DAY = 24 * 60 * 60 * 1000
-- Log ids have twenty bits besides the time.
local LOG_IDS = 1048576
-- Of entries that are not ours, as many are passed over.
local FOREIGN = 1000
local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function parts(id)
    local millis, count = id:match('^(%d+)-(%d+)$')
    return tonumber(millis), tonumber(count), millis
end
local function is_log(id, now)
    return #id <= 19 and id:match('^%d+$') and tonumber(id) <= (now + DAY) * LOG_IDS
end
-- The log of an entry that has the form of ours.
local function log_of(entry, current, now)
    local log, before, record
    for i = 1, #entry[2], 2 do
        local name, value = entry[2][i], entry[2][i + 1]
        if name == 'l' then
            log = value
        elseif name == 'p' then
            before = value
        elseif name == 'r' then
            record = value
        end
    end
    local is_ours = log and is_log(log, now) and (not current or log == current)
        and (before or not record) and (not before or before:match('^%d+-%d+$'))
    return is_ours and log
end
local function restart(stream, log_id, fresh)
    -- The first write: where memory is full it is refused, and what follows it would not be.
    redis.call('SET', log_id, fresh)
    redis.call('DEL', stream)
    local id = redis.call('XADD', stream, '*', 'l', fresh)
    return fresh, id, id
end
local function tail(stream, log_id, fresh)
    local now = now()
    local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    if not last or parts(last[1]) > now + DAY then
        return restart(stream, log_id, fresh)
    end
    local current = redis.call('GET', log_id)
    if not current or not is_log(current, now) then
        current = nil
    end
    local log = log_of(last, current, now)
    if log then
        return log, last[1], last[1]
    end
    for _, entry in ipairs(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', FOREIGN)) do
        log = log_of(entry, current, now)
        if log then
            return log, entry[1], last[1]
        end
    end
    return restart(stream, log_id, fresh)
end
local function next_id(last, leap)
    local millis, count, text = parts(last)
    if millis <= now() then
        return '*'
    end
    if count > 2 ^ 52 then
        -- Numbers of Lua are exact up to 2^53.
        return string.format('%.0f', millis + 1) .. '-' .. leap
    end
    return text .. '-' .. string.format('%.0f', count + 1 + tonumber(leap))
end
local function is_exhausted(added)
    return type(added) == 'table' and added.err
        and (added.err:find('exhausted', 1, true) or added.err:find('equal or smaller', 1, true))
end
local function add(stream, most, id, fields)
    local args = {'XADD', stream}
    if most then
        args[3], args[4], args[5] = 'MAXLEN', '~', most
    end
    args[#args + 1] = id
    for _, field in ipairs(fields) do
        args[#args + 1] = field
    end
    return redis.pcall(unpack(args))
end
-- An entry with the next id. Where the stream has an id that no id follows, another log begins, and
-- the entry is its next one. `fields` are given the log and the entry before.
local function add_next(stream, log_id, fresh, leap, most, log, before, last, fields)
    local added = add(stream, most, next_id(last, leap), fields(log, before))
    if is_exhausted(added) then
        log, before, last = restart(stream, log_id, fresh)
        added = add(stream, most, next_id(last, leap), fields(log, before))
    end
    if type(added) == 'table' and added.err then
        error(added)
    end
    return added, log
end
local function append(stream, log_id, fresh, leap, most, record, code)
    local log, before, last = tail(stream, log_id, fresh)
    return add_next(stream, log_id, fresh, leap, most, log, before, last, function(log, before)
        local fields = {'l', log, 'p', before, 'r', record}
        if code ~= '' then
            fields[7], fields[8] = 'm', code
        end
        return fields
    end)
end
";

/// Keys: stream, log id, id. Arguments: fresh log id, leap, most records, record,
/// time to live of the id, code.
const APPEND: &str = r"
local first = redis.call('GET', KEYS[3])
if first then
    return {0, first, '0'}
end
local offset, log = append(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[6])
redis.call('SET', KEYS[3], offset, 'PX', ARGV[5])
return {1, offset, log}
";

/// Keys: stream, log id, prefix of observations. Arguments: fresh log id, leap,
/// most records, record, observer, number of this report; in milliseconds: when
/// it began, time to live; where it observes; code.
///
/// Each observer counts how often it has seen a record there, from what was
/// appended before it began. It is appended by who has seen it once more often
/// than it was appended.
const APPEND_OBSERVED: &str = r"
-- Of the latest 256 appends, each with thirteen digits.
local LONGEST_TIMES = 256 * 14
local record, observer, number, began = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local observed = KEYS[3] .. redis.sha1hex(ARGV[9] .. '\0' .. record)
local count, report = observer .. ':count', observer .. ':report'
if redis.call('HGET', observed, report) == number then
    return {0, redis.call('HGET', observed, 'offset') or '0-0', '0'}
end
redis.call('HSET', observed, report, number)
local now = now()
local appended = tonumber(redis.call('HGET', observed, 'appended') or '0')
local times = redis.call('HGET', observed, 'times') or ''
local seen = tonumber(redis.call('HGET', observed, count) or nil)
if not seen then
    seen = appended
    for time in times:gmatch('%d+') do
        if tonumber(time) >= began then
            seen = seen - 1
        end
    end
end
seen = seen + 1
redis.call('HSET', observed, count, seen)
redis.call('PEXPIRE', observed, ARGV[8])
if seen <= appended then
    return {0, redis.call('HGET', observed, 'offset'), '0'}
end
local offset, log = append(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], record, ARGV[10])
times = string.sub(times .. string.format('%.0f ', now), -LONGEST_TIMES)
redis.call('HSET', observed, 'appended', seen, 'offset', offset, 'times', times)
return {1, offset, log}
";

/// Keys: stream, log id. Argument: fresh log id. Returns the log.
const BEGIN: &str = r"
local log = tail(KEYS[1], KEYS[2], ARGV[1])
return log
";

/// Keys: stream, log id. Arguments: fresh log id, leap, the log that has lost
/// something.
const FORK: &str = r"
local log, before, last = tail(KEYS[1], KEYS[2], ARGV[1])
if log == ARGV[3] then
    redis.call('SET', KEYS[2], ARGV[1])
    local fields = function(_, before)
        return {'l', ARGV[1], 'p', before}
    end
    add_next(KEYS[1], KEYS[2], ARGV[1], ARGV[2], nil, log, before, last, fields)
    log = ARGV[1]
end
return log
";

/// Keys: stream. Arguments: after which id, most records, most bytes. Returns the entries after
/// the id, as `XRANGE` does, up to the first one with which they have this many bytes.
const PAGE: &str = r"
local after, left, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local page = {}
while left > 0 and room > 0 do
    local step = math.min(left, 16)
    local entries = redis.call('XRANGE', KEYS[1], after, '+', 'COUNT', step)
    for _, entry in ipairs(entries) do
        if room <= 0 then
            return page
        end
        for _, field in ipairs(entry[2]) do
            room = room - #field
        end
        page[#page + 1] = entry
        after = '(' .. entry[1]
    end
    left = left - step
    if #entries < step then
        break
    end
end
return page
";
