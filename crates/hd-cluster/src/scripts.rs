//! What Redis does in one step: a script is one command, and nothing comes in
//! between.
//!
//! An entry of the stream has the fields `l`, its log; `p`, the entry before;
//! and `r`, the record. One without a record begins a log.
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
/// While the clock is behind, ids leap by a random number, so that what a
/// failover loses meanwhile and what is appended in its place have not the same.
const TAIL: &str = r"
local stream, log_id, hash = KEYS[1], KEYS[2], KEYS[3]
-- Of an entry besides its record: ids, names of fields, and the tree of the stream.
local OVERHEAD = 100
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
local function tail(fresh, name)
    local known = redis.call('HMGET', hash, 'id', 'log', 'len', 'bytes', 'foreign', name or 'id')
    local len = redis.call('XLEN', stream)
    local at = {
        id = known[1], log = known[2], len = len, bytes = tonumber(known[4] or 0),
        foreign = tonumber(known[5] or 0), answered = name and known[6], now = now(),
    }
    local is_known = at.id and len > 0 and tonumber(known[3]) == len
    if is_known and not redis.call('XREAD', 'COUNT', 1, 'STREAMS', stream, at.id) then
        at.millis = tonumber(at.id:match('%d+'))
        return at
    end
    local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    if last then
        at.id, at.log = last[1], redis.call('GET', log_id) or '0'
        for i = 1, #last[2], 2 do
            if last[2][i] == 'l' then
                at.log = last[2][i + 1]
            end
        end
        if known[3] and tonumber(known[3]) > 0 then
            at.bytes = at.bytes * len / known[3]
        else
            at.bytes = redis.call('MEMORY', 'USAGE', stream)
        end
        at.foreign, at.is_foreign = at.now, true
    else
        redis.call('SET', log_id, fresh)
        at.id, at.log = redis.call('XADD', stream, '*', 'l', fresh), fresh
        at.len, at.bytes = 1, OVERHEAD
    end
    at.millis = tonumber(at.id:match('%d+'))
    save(at, math.huge)
    return at
end
local function add(at, leap, ...)
    local id = '*'
    if at.millis > at.now then
        local millis, count = at.id:match('(%d+)-(%d+)')
        id = millis .. '-' .. integer(count + 1 + leap)
    end
    at.id = redis.call('XADD', stream, id, 'l', at.log, 'p', at.id, ...)
    at.len = at.len + 1
end
local function append(at, leap, record)
    add(at, leap, 'r', record)
    at.bytes = at.bytes + #record + OVERHEAD
end
";

/// Keys: stream, log id, tail; and where there are ids, two buckets of them, the
/// current one and the one before, and for each the key of older versions.
/// Arguments: fresh log id, leap, instance, number of its group, bucket, size of
/// a bucket in milliseconds, most records; then for each record its id, or nothing, and itself.
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
for i = FIRST, #ARGV, 2 do
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
local answers, kept, in_group, place = {at.log}, {}, {}, 0
for i = FIRST, #ARGV, 2 do
    local id, first = ARGV[i], false
    if id ~= '' then
        place = place + 1
        first = current[place] or before[place] or older and older[place] or in_group[id]
    end
    if first then
        answers[#answers + 1] = '=' .. first
    else
        append(at, leap, ARGV[i + 1])
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
local answer = table.concat(answers, ' ')
save(at, ARGV[7], instance, group .. ' ' .. integer(at.now) .. ' ' .. answer)
return {1, answer}
";

/// Keys: stream, log id, tail, prefix of observations. Arguments: fresh log id,
/// leap, record, observer, number of this report; in milliseconds: when it began,
/// time to live; where it observes; and most records.
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
append(at, ARGV[2], record)
save(at, ARGV[9])
times = string.sub(times .. string.format('%.0f ', now), -LONGEST_TIMES)
redis.call('HSET', observed, 'appended', seen, 'offset', at.id, 'times', times)
return {1, at.id, at.log}
";

/// Keys: stream, log id, tail. Argument: fresh log id.
const BEGIN: &str = r"
tail(ARGV[1])
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
