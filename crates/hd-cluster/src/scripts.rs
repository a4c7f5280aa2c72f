//! What Redis does in one step: a script is one command, and nothing comes in
//! between.
//!
//! An entry of the stream has the fields `l`, its log; `p`, the entry before;
//! `r`, the record; and `m`, codes over the record. One without a record begins
//! a log.
//!
//! A hash beside the stream, the tail, has what the next append needs: the last
//! entry (`id`, `log`), how many entries the stream has and how many bytes,
//! roughly (`len`, `bytes`), when an entry was found in it last that a script of
//! an older version wrote (`foreign`), and for each instance its last group.

use redis::Script;

use crate::ClusterConfig;

#[derive(Debug)]
pub(crate) struct Scripts {
    /// A group of records, each unless its id is a duplicate.
    pub(crate) append: Script,
    /// A record that every process has seen, and each appends.
    pub(crate) append_observed: Script,
    /// A log, where there is none.
    pub(crate) begin: Script,
    /// Another log, where this one is still the one that is appended to.
    pub(crate) fork: Script,
    /// The oldest entries go, and are remembered for each room.
    pub(crate) trim: Script,
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
            trim: Script::new(TRIM),
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

    /// Where the stream ends.
    pub(crate) fn tail_key(&self) -> String {
        format!("{{{}}}:tail", self.prefix)
    }

    /// What was trimmed: it is a hash, from the room to the latest offset.
    pub(crate) fn trimmed_key(&self) -> String {
        format!("{{{}}}:trimmed", self.prefix)
    }

    /// The ids that were appended during one [`id_ttl`](Self::id_ttl): it is a
    /// hash, from the id to the offset.
    pub(crate) fn ids_key(&self, bucket: u64) -> String {
        format!("{{{}}}:ids:{bucket}", self.prefix)
    }

    /// An id that an older version appended.
    pub(crate) fn older_id_key(&self, id: &str) -> String {
        format!("{{{}}}:id:{id}", self.prefix)
    }

    /// What the names of records that were observed begin with.
    pub(crate) fn observed_key(&self) -> String {
        format!("{{{}}}:observed:", self.prefix)
    }
}

/// The log that is appended to, and its last entry. Where the stream is empty
/// another log begins: what there was is lost.
///
/// The hash is believed if nothing follows the entry that it names and the
/// stream has as many entries as it says. Otherwise an older version has
/// appended, or the stream has lost something, and the stream's own last entry
/// is read.
///
/// Entries that are not of the form of ours are passed over. Where the stream ends
/// in many of them, or in an id so far in the future that offsets mean no time any
/// more, or that no id follows, another log begins as well.
///
/// While the clock is behind, ids leap by a random number, so that what a
/// failover loses meanwhile and what is appended in its place have not the same.
const TAIL: &str = r"
local stream, log_id, hash = KEYS[1], KEYS[2], KEYS[3]
-- Of an entry besides its record: ids, names of fields, and the tree of the stream.
local OVERHEAD = 100
local DAY = 24 * 60 * 60 * 1000
-- Log ids have twenty bits besides the time.
local LOG_IDS = 1048576
-- Of entries that are not ours, as many are passed over.
local FOREIGN = 1000
local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function integer(number)
    return string.format('%.0f', number)
end
local function save(at, most, name, value)
    if at.len > tonumber(most) then
        local left = at.len - redis.call('XTRIM', stream, 'MAXLEN', '~', most)
        at.bytes, at.len = at.bytes * left / at.len, left
    end
    local fields = {'id', at.id, 'log', at.log, 'len', at.len, 'bytes', integer(at.bytes)}
    if at.is_foreign then
        fields[#fields + 1] = 'foreign'
        fields[#fields + 1] = integer(at.foreign)
    end
    if name then
        fields[#fields + 1] = name
        fields[#fields + 1] = value
    end
    redis.call('HSET', hash, unpack(fields))
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
-- Another log begins, and nothing stays of this one.
local function restart(at)
    -- The first write: where memory is full it is refused, and what follows it would not be.
    redis.call('SET', log_id, at.fresh)
    redis.call('DEL', stream)
    at.id, at.log = redis.call('XADD', stream, '*', 'l', at.fresh), at.fresh
    at.last, at.len, at.bytes = at.id, 1, OVERHEAD
end
-- The last entry that is ours: its id and its log.
local function find(last, now)
    local current = redis.call('GET', log_id)
    if not current or not is_log(current, now) then
        current = nil
    end
    local log = log_of(last, current, now)
    if log then
        return last[1], log
    end
    for _, entry in ipairs(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', FOREIGN)) do
        log = log_of(entry, current, now)
        if log then
            return entry[1], log
        end
    end
end
local function tail(fresh, name)
    local known = redis.call('HMGET', hash, 'id', 'log', 'len', 'bytes', 'foreign', name or 'id')
    local len = redis.call('XLEN', stream)
    local at = {
        id = known[1], log = known[2], len = len, bytes = tonumber(known[4]) or 0,
        foreign = tonumber(known[5]) or 0, answered = name and known[6], now = now(),
        fresh = fresh, last = known[1],
    }
    local is_known = at.id and at.log and is_log(at.log, at.now) and len > 0
        and tonumber(known[3]) == len and (parts(at.id) or math.huge) <= at.now + DAY
    if is_known and not redis.call('XREAD', 'COUNT', 1, 'STREAMS', stream, at.id) then
        at.millis = parts(at.id)
        return at
    end
    local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    if last and parts(last[1]) <= at.now + DAY then
        at.id, at.log = find(last, at.now)
    else
        at.id = nil
    end
    if at.id then
        at.last = last[1]
        local former = tonumber(known[3])
        if former and former > 0 then
            at.bytes = at.bytes * len / former
        else
            at.bytes = redis.call('MEMORY', 'USAGE', stream)
        end
        at.foreign, at.is_foreign = at.now, true
    else
        restart(at)
    end
    at.millis = parts(at.last)
    save(at, math.huge)
    return at
end
local function next_id(at, leap)
    local millis, count, text = parts(at.last)
    if millis <= at.now then
        return '*'
    elseif count > 2 ^ 52 then
        -- Numbers of Lua are exact up to 2^53.
        return integer(millis + 1) .. '-' .. leap
    end
    return text .. '-' .. integer(count + 1 + leap)
end
local function is_exhausted(added)
    return type(added) == 'table' and added.err
        and (added.err:find('exhausted', 1, true) or added.err:find('equal or smaller', 1, true))
end
local function add(at, leap, ...)
    local added = redis.pcall('XADD', stream, next_id(at, leap), 'l', at.log, 'p', at.id, ...)
    if is_exhausted(added) then
        -- The stream had an id that no id follows.
        restart(at)
        added = redis.pcall('XADD', stream, next_id(at, leap), 'l', at.log, 'p', at.id, ...)
    end
    if type(added) == 'table' and added.err then
        error(added)
    end
    at.id, at.last, at.len = added, added, at.len + 1
end
local function append(at, leap, record, code)
    if code == '' then
        add(at, leap, 'r', record)
    else
        add(at, leap, 'r', record, 'm', code)
    end
    at.bytes = at.bytes + #record + #code + OVERHEAD
end
";

/// Keys: stream, log id, tail; and where there are ids, two buckets of them, the
/// current one and the one before, and for each the key of older versions.
/// Arguments: fresh log id, leap, instance, number of its group, bucket, size of
/// a bucket in milliseconds, most records; then for each record its id, or nothing, itself, and its
/// code, or nothing.
///
/// Answers `0` and the time if that bucket is not the current one. Otherwise the
/// log, and for each record its offset, after `+` if it is new and `=` if it was
/// there before.
///
/// The last group of an instance is answered as it was, and an earlier one is
/// refused: it comes late, from a connection that was given up.
const APPEND: &str = r"
-- Older versions run beside this one for no longer than an update lasts.
local UPDATE_MILLIS = 3600000
local leap, instance, group, size = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[6])
local FIRST = 8
local at = tail(ARGV[1], instance)
if at.answered then
    local number, answer = at.answered:match('^(%d+) %d+ (.*)$')
    if number == group then
        return {1, answer}
    elseif tonumber(number) > tonumber(group) then
        return redis.error_reply('STALE this group was given up')
    end
end
local ids = {}
for i = FIRST, #ARGV, 3 do
    if ARGV[i] ~= '' then
        ids[#ids + 1] = ARGV[i]
    end
end
local current, before, older, is_update
if #ids > 0 then
    local time = math.max(at.now, at.millis)
    if integer(math.floor(time / size)) ~= ARGV[5] then
        return {0, integer(time)}
    end
    current = redis.call('HMGET', KEYS[4], unpack(ids))
    before = redis.call('HMGET', KEYS[5], unpack(ids))
    if at.now - at.foreign < size then
        older = redis.call('MGET', unpack(KEYS, 6))
        is_update = at.now - at.foreign < UPDATE_MILLIS
    end
end
local answers, kept, in_group, place = {''}, {}, {}, 0
for i = FIRST, #ARGV, 3 do
    local id, first = ARGV[i], false
    if id ~= '' then
        place = place + 1
        first = current[place] or before[place] or older and older[place] or in_group[id]
    end
    if first then
        answers[#answers + 1] = '=' .. first
    else
        append(at, leap, ARGV[i + 1], ARGV[i + 2])
        answers[#answers + 1] = '+' .. at.id
        if id ~= '' then
            kept[#kept + 1] = id
            kept[#kept + 1] = at.id
            in_group[id] = at.id
            if is_update then
                redis.call('SET', KEYS[5 + place], at.id, 'PX', size)
            end
        end
    end
end
if #kept > 0 then
    redis.call('HSET', KEYS[4], unpack(kept))
    redis.call('PEXPIRE', KEYS[4], 3 * size, 'NX')
end
-- It may be another one than before.
answers[1] = at.log
local answer = table.concat(answers, ' ')
save(at, ARGV[7], instance, group .. ' ' .. integer(at.now) .. ' ' .. answer)
return {1, answer}
";

/// Keys: stream, log id, tail, prefix of observations. Arguments: fresh log id,
/// leap, record, observer, number of this report; in milliseconds: when it began,
/// time to live; where it observes; most records; and the code, or nothing.
///
/// Each observer counts how often it has seen a record there, from what was
/// appended before it began. It is appended by who has seen it once more often
/// than it was appended.
const APPEND_OBSERVED: &str = r"
-- Of the latest 256 appends, each with thirteen digits.
local LONGEST_TIMES = 256 * 14
local record, observer, number, began = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local observed = KEYS[4] .. redis.sha1hex(ARGV[8] .. '\0' .. record)
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
redis.call('PEXPIRE', observed, ARGV[7])
if seen <= appended then
    return {0, redis.call('HGET', observed, 'offset'), '0'}
end
local at = tail(ARGV[1])
append(at, ARGV[2], record, ARGV[10])
save(at, ARGV[9])
times = string.sub(times .. string.format('%.0f ', now), -LONGEST_TIMES)
redis.call('HSET', observed, 'appended', seen, 'offset', at.id, 'times', times)
return {1, at.id, at.log}
";

/// Keys: stream, log id, tail. Argument: fresh log id. Returns the log.
const BEGIN: &str = r"
return tail(ARGV[1]).log
";

/// Keys: stream, log id, tail. Arguments: fresh log id, leap, the log that has
/// lost something.
const FORK: &str = r"
local at = tail(ARGV[1])
if at.log == ARGV[3] then
    redis.call('SET', log_id, ARGV[1])
    at.log = ARGV[1]
    add(at, ARGV[2])
    at.bytes = at.bytes + OVERHEAD
    save(at, math.huge)
end
return at.log
";

/// Keys: stream, tail, what was trimmed. Arguments: the first entry that there
/// should be, and the one before it; the first to be kept; the last one to be
/// trimmed; bytes of them; most rooms; then each room and its latest offset
/// among them.
///
/// `up-to` is the last entry that was trimmed so, and `floor` the last one of
/// which it is not known for which rooms it was. A full Redis takes writes after
/// the first that frees memory. The groups of instances that have ended are
/// forgotten after an hour: TCP gives up sooner.
const TRIM: &str = r"
local INSTANCE_MILLIS = 3600000
local stream, hash, trimmed = KEYS[1], KEYS[2], KEYS[3]
local first, before, kept, last = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local found = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
if not found or found[1] ~= first then
    return 0
end
local count = redis.call('XTRIM', stream, 'MINID', '=', kept)
local known = redis.call('HMGET', hash, 'len', 'bytes', 'up-to', 'floor')
local fields = {'up-to', last}
if known[1] then
    fields[3], fields[4] = 'len', known[1] - count
    fields[5], fields[6] = 'bytes', string.format('%.0f', math.max(0, known[2] - ARGV[5]))
end
if before ~= '' and before ~= known[3] then
    fields[#fields + 1] = 'floor'
    fields[#fields + 1] = before
end
if #ARGV > 6 then
    redis.call('HSET', trimmed, unpack(ARGV, 7))
    if redis.call('HLEN', trimmed) > tonumber(ARGV[6]) then
        redis.call('UNLINK', trimmed)
        fields[#fields + 1] = 'floor'
        fields[#fields + 1] = last
    end
end
redis.call('HSET', hash, unpack(fields))
local time = redis.call('TIME')
local now = time[1] * 1000
if now - (redis.call('HGET', hash, 'swept') or 0) > INSTANCE_MILLIS then
    redis.call('HSET', hash, 'swept', string.format('%.0f', now))
    local all = redis.call('HGETALL', hash)
    for i = 1, #all, 2 do
        local at = all[i]:match('^instance:') and all[i + 1]:match('^%d+ (%d+)')
        if at and now - at > INSTANCE_MILLIS then
            redis.call('HDEL', hash, all[i])
        end
    end
end
return 1
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
