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
        let script = |parts: &[&str]| Script::new(&parts.concat());
        let [deduplicate, append, answer] = APPEND;
        let [count, append_observed, remember] = APPEND_OBSERVED;
        Self {
            append: script(&[
                INSTANCE,
                TAIL,
                deduplicate,
                NEXT_ID,
                append,
                TRIM_UNTRIMMED,
                answer,
            ]),
            append_observed: script(&[
                count,
                NO_INSTANCE,
                TAIL,
                NEXT_ID,
                append_observed,
                TRIM_UNTRIMMED,
                remember,
            ]),
            // Keys: stream, log id, tail. Argument: fresh log id.
            begin: script(&[NO_INSTANCE, TAIL]),
            fork: script(&[NO_INSTANCE, TAIL, NEXT_ID, FORK]),
            trim: script(&[TRIM]),
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
///
/// It is text that scripts begin with, and not a function: for one record, what
/// Lua needs to make functions is a fifth of the script.
const TAIL: &str = r"
local call = redis.call
local stream, log_id, hash, fresh = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
-- Of an entry besides its record: ids, names of fields, and the tree of the stream.
local OVERHEAD = 100
local known = call('HMGET', hash, 'id', 'log', 'len', 'bytes', 'foreign', instance)
-- The last entry and its log; entries and bytes of the stream; when an older
-- version was seen.
local last, log, len = known[1], known[2], call('XLEN', stream)
local bytes, foreign = known[4] or 0, tonumber(known[5] or 0)
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local is_known = last and len > 0 and tonumber(known[3]) == len
if not is_known or call('XREAD', 'COUNT', 1, 'STREAMS', stream, last) then
    local entry = call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    if entry then
        last, log = entry[1], call('GET', log_id) or '0'
        for i = 1, #entry[2], 2 do
            if entry[2][i] == 'l' then
                log = entry[2][i + 1]
            end
        end
        if known[3] and tonumber(known[3]) > 0 then
            bytes = math.floor(bytes * len / known[3])
        else
            bytes = call('MEMORY', 'USAGE', stream)
        end
        foreign = now
    else
        call('SET', log_id, fresh)
        last, log = call('XADD', stream, '*', 'l', fresh), fresh
        len, bytes = 1, OVERHEAD
    end
    call('HSET', hash, 'id', last, 'log', log, 'len', len, 'bytes', bytes, 'foreign', foreign)
end
local millis = tonumber(string.match(last, '%d+'))
";

/// Whose last group is read as well.
const INSTANCE: &str = "local instance = ARGV[3]";
const NO_INSTANCE: &str = "local instance = 'id'";

/// The id of the next entry.
const NEXT_ID: &str = r"
local next_id = '*'
if millis > now then
    local part, count = string.match(last, '(%d+)-(%d+)')
    next_id = part .. '-' .. string.format('%.0f', count + 1 + ARGV[2])
end
";

/// The stream is trimmed if nobody else does.
const TRIM_UNTRIMMED: &str = r"
if len > most then
    local left = len - call('XTRIM', stream, 'MAXLEN', '~', most)
    bytes, len = math.floor(bytes * left / len), left
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
const APPEND: [&str; 3] = [
    r"
-- Older versions run beside this one for no longer than an update lasts.
local UPDATE_MILLIS = 3600000
local group, size, most, FIRST = ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[7]), 8
local answered = known[6]
if answered then
    local number, answer = string.match(answered, '^(%d+) %d+ (.*)$')
    if number == group then
        return {1, answer}
    elseif tonumber(number) > tonumber(group) then
        return redis.error_reply('STALE this group was given up')
    end
end
local current, before, older, is_update, kept, in_group
if KEYS[4] then
    local latest = math.max(now, millis)
    if math.floor(latest / size) ~= tonumber(ARGV[5]) then
        return {0, string.format('%.0f', latest)}
    end
    local ids = {}
    kept, in_group = {}, {}
    for i = FIRST, #ARGV, 2 do
        if ARGV[i] ~= '' then
            ids[#ids + 1] = ARGV[i]
        end
    end
    current = call('HMGET', KEYS[4], unpack(ids))
    before = call('HMGET', KEYS[5], unpack(ids))
    if now - foreign < size then
        older = call('MGET', unpack(KEYS, 6))
        is_update = now - foreign < UPDATE_MILLIS
    end
end
local answers, place = {}, 0
for i = FIRST, #ARGV, 2 do
    local id, first = ARGV[i], false
    if id ~= '' then
        place = place + 1
        first = current[place] or before[place] or older and older[place] or in_group[id]
    end
    if first then
        answers[#answers + 1] = ' =' .. first
    else
",
    r"        local record = ARGV[i + 1]
        last = call('XADD', stream, next_id, 'l', log, 'p', last, 'r', record)
        len, bytes = len + 1, bytes + #record + OVERHEAD
        answers[#answers + 1] = ' +' .. last
        if id ~= '' then
            kept[#kept + 1] = id
            kept[#kept + 1] = last
            in_group[id] = last
            if is_update then
                call('SET', KEYS[5 + place], last, 'PX', size)
            end
        end
    end
end
if kept and #kept > 0 then
    call('HSET', KEYS[4], unpack(kept))
    call('PEXPIRE', KEYS[4], 3 * size, 'NX')
end
local answer = log .. table.concat(answers)
",
    r"
answered = group .. ' ' .. now .. ' ' .. answer
call('HSET', hash, 'id', last, 'log', log, 'len', len, 'bytes', bytes, instance, answered)
return {1, answer}
",
];

/// Keys: stream, log id, tail, prefix of observations. Arguments: fresh log id,
/// leap, record, observer, number of this report; in milliseconds: when it began,
/// time to live; where it observes; and most records.
///
/// Each observer counts how often it has seen a record there, from what was
/// appended before it began. It is appended by who has seen it once more often
/// than it was appended.
const APPEND_OBSERVED: [&str; 3] = [
    r"
-- Of the latest 256 appends, each with thirteen digits.
local LONGEST_TIMES = 256 * 14
local record, observer, number, began = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local observed = KEYS[4] .. redis.sha1hex(ARGV[8] .. '\0' .. record)
local count, report = observer .. ':count', observer .. ':report'
if redis.call('HGET', observed, report) == number then
    return {0, redis.call('HGET', observed, 'offset') or '0-0', '0'}
end
redis.call('HSET', observed, report, number)
local clock = redis.call('TIME')
local seen_at = clock[1] * 1000 + math.floor(clock[2] / 1000)
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
",
    r"
last = call('XADD', stream, next_id, 'l', log, 'p', last, 'r', record)
len, bytes = len + 1, bytes + #record + OVERHEAD
local most = tonumber(ARGV[9])
",
    r"
redis.call('HSET', hash, 'id', last, 'log', log, 'len', len, 'bytes', bytes)
times = string.sub(times .. string.format('%.0f ', seen_at), -LONGEST_TIMES)
redis.call('HSET', observed, 'appended', seen, 'offset', last, 'times', times)
return {1, last, log}
",
];

/// Keys: stream, log id, tail. Arguments: fresh log id, leap, the log that has
/// lost something.
const FORK: &str = r"
if log == ARGV[3] then
    log = ARGV[1]
    call('SET', log_id, log)
    last = call('XADD', stream, next_id, 'l', log, 'p', last)
    call('HSET', hash, 'id', last, 'log', log, 'len', len + 1, 'bytes', bytes + OVERHEAD)
end
return log
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
