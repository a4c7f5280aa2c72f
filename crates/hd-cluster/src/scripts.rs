//! What Redis does in one step: a script is one command, and nothing comes in
//! between.
//!
//! An entry of the stream has the fields `l`, its log; `p`, the entry before;
//! `r`, the record; and `m`, codes over the record. One without a record begins
//! a log.
//!
//! A hash beside the stream, the tail, has what the next append needs. Its field
//! `end` has, in this order: the last entry and its log; how many entries the stream
//! has, and how many bytes, roughly; and when an entry was found in it last that a
//! script of an older version wrote. Each instance has a field with its last group.

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
        let script = |parts: &[&str]| Script::new(&parts.concat());
        let tail = [TAIL, RESTART, TAIL_KNOWN].concat();
        let add = [ADD, IS_EXHAUSTED, RESTART, ADDED].concat();
        let [deduplicate, added, answer] = APPEND;
        let tail_of_instance = [KNOWN, FENCE, SIMPLE, &tail].concat();
        let tail = [KNOWN, &tail].concat();
        let [count, observed, remember] = APPEND_OBSERVED;
        let [fork, forked] = FORK;
        let append = [deduplicate, NEXT_ID, &add, added, TRIM_UNTRIMMED, answer];
        let append_observed = [observed, NEXT_ID, &add, TRIM_UNTRIMMED, remember];
        let fork = [NEXT_ID, fork, IS_EXHAUSTED, RESTART, forked];
        Self {
            append: script(&[INSTANCE, &tail_of_instance, &append.concat()]),
            append_observed: script(&[count, NO_INSTANCE, &tail, &append_observed.concat()]),
            begin: script(&[NO_INSTANCE, &tail, BEGIN]),
            fork: script(&[NO_INSTANCE, &tail, &fork.concat()]),
            trim: script(&[TRIM]),
            page: script(&[PAGE]),
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

/// What is known of the end of the stream.
const KNOWN: &str = r"
local call, pcall, match, format = redis.call, redis.pcall, string.match, string.format
local stream, log_id, hash, fresh = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
-- Of an entry besides its record: ids, names of fields, and the tree of the stream.
local OVERHEAD = 100
-- The last id is no further in the future than a day.
local DAY = 24 * 60 * 60 * 1000
-- Log ids have twenty bits besides the time.
local LOG_IDS = 1048576
local known = call('HMGET', hash, 'end', instance)
-- The last entry that is ours, its time, and its log; entries and bytes of the stream;
-- when an entry of something else was found in it.
local id, millis, log, len, bytes, foreign
if known[1] then
    id, millis, log, len, bytes, foreign =
        match(known[1], '^((%d+)%-%d+) (%d+) (%d+) (%d+) (%d+)$')
end
-- An id after the last entry that is not to be used.
local skipped
";

/// The last group of an instance is answered as it was, and an earlier one is
/// refused: it comes late, from a connection that was given up.
const FENCE: &str = r"
local group, most, FIRST = ARGV[4], ARGV[5], 6
-- Numbers are compared as text: Lua takes a thousand instructions to read one, and two
-- thousand to write one.
if known[2] then
    local number = match(known[2], '^%d+')
    if number == group then
        return match(known[2], '^%d+ %d+ (.*)$')
    elseif number and (#number > #group or #number == #group and number > group) then
        return redis.error_reply('STALE this group was given up')
    end
end
";

/// What can be appended with few commands is: records without ids, to a stream
/// whose end is known.
///
/// If the stream has gone, nothing is appended. If it ends in something later than the
/// entry that the tail names, `XREAD` finds it. If it ends in something earlier, its end
/// is lost, and the new entry names one that is not there: that is a gap for all
/// who have not read it. So neither the length nor the time has to be asked for;
/// the new id shows the time, unless it has the time of the entry before, or is
/// a day later. A log that begins later than any that might begin now is looked at
/// below.
const SIMPLE: &str = r"
local is_plausible = id and (#log < #fresh or #log == #fresh and log <= fresh)
    and (#len < #most or #len == #most and len < most)
if is_plausible and not KEYS[4] and not pcall('XREAD', 'COUNT', 1, 'STREAMS', stream, id) then
    local record, code, added = ARGV[FIRST + 1], ARGV[FIRST + 2], nil
    if code == '' then
        added = pcall('XADD', stream, 'NOMKSTREAM', '*', 'l', log, 'p', id, 'r', record)
    else
        added = pcall('XADD', stream, 'NOMKSTREAM', '*', 'l', log, 'p', id, 'r', record, 'm', code)
    end
    if added and not added.err then
        local at = match(added, '^%d+')
        -- A hundred million milliseconds have the same beginning.
        local is_now = #at == #millis and at > millis
            and string.sub(at, 1, -9) == string.sub(millis, 1, -9)
        if not is_now and (#at > #millis or #at == #millis and at >= millis) then
            local time = call('TIME')
            is_now = tonumber(at) <= time[1] * 1000 + math.floor(time[2] / 1000)
        end
        if is_now then
            bytes = bytes + #record + #code + OVERHEAD
            local answer = log .. ' +' .. added
            if #ARGV > FIRST + 2 then
                local answers = {answer}
                for i = FIRST + 3, #ARGV, 3 do
                    record, code = ARGV[i + 1], ARGV[i + 2]
                    if code == '' then
                        added = call('XADD', stream, '*', 'l', log, 'p', added, 'r', record)
                    else
                        added = call('XADD', stream, '*', 'l', log, 'p', added, 'r', record, 'm', code)
                    end
                    bytes = bytes + #record + #code + OVERHEAD
                    answers[#answers + 1] = ' +' .. added
                end
                answer = table.concat(answers)
            end
            call('HSET', hash,
                'end', added .. ' ' .. log .. ' ' .. len + (#ARGV - FIRST + 1) / 3 .. ' ' .. bytes .. ' ' .. foreign,
                instance, group .. ' ' .. at .. ' ' .. answer)
            return answer
        end
        -- The clock is behind, or this is not the end of the log.
        call('XDEL', stream, added)
        skipped = added
    end
end
";

/// The log that is appended to, its last entry, and the last id of the stream. Where
/// the stream is empty another log begins: what there was is lost.
///
/// The tail is believed if nothing follows the entry that it names and the
/// stream has as many entries as it says. Otherwise an older version has
/// appended, or the stream has lost something, or somebody else has written to
/// it, and the stream's own last entry is read.
///
/// Entries that are not of the form of ours are passed over. Where the stream ends
/// in many of them, or in an id so far in the future that offsets mean no time any
/// more, or that no id follows, another log begins as well.
///
/// It is text that scripts begin with, and not a function: for one record, what
/// Lua needs to make functions is a fifth of the script.
const TAIL: &str = r"
local former = tonumber(len)
len, bytes, foreign = call('XLEN', stream), tonumber(bytes) or 0, tonumber(foreign) or 0
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local horizon = now + DAY
-- The last id.
local last = skipped or id
millis = last and tonumber(match(last, '^%d+'))
local is_far = skipped and millis > horizon
local is_known = id and millis <= horizon and len > 0 and former == len
    and #log <= 19 and tonumber(log) <= horizon * LOG_IDS
if not is_known or pcall('XREAD', 'COUNT', 1, 'STREAMS', stream, id) then
    -- Of entries that are not ours, as many are passed over.
    local FOREIGN = 1000
    local function is_log(log)
        return #log <= 19 and match(log, '^%d+$') and tonumber(log) <= horizon * LOG_IDS
    end
    -- The log of an entry that has the form of ours.
    local function log_of(entry, current)
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
        local is_ours = log and is_log(log) and (not current or log == current)
            and (before or not record) and (not before or match(before, '^%d+-%d+$'))
        return is_ours and log
    end
    local entry = call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    id, last = nil, entry and entry[1]
    millis = last and tonumber(match(last, '^%d+'))
    if last and millis <= horizon and not is_far then
        local current = call('GET', log_id)
        if not current or not is_log(current) then
            current = nil
        end
        log = log_of(entry, current)
        id = log and last
        if not id then
            for _, entry in ipairs(call('XREVRANGE', stream, '+', '-', 'COUNT', FOREIGN)) do
                log = log_of(entry, current)
                if log then
                    id = entry[1]
                    break
                end
            end
        end
    end
    if id then
        if former and former > 0 then
            bytes = math.floor(bytes * len / former)
        else
            bytes = call('MEMORY', 'USAGE', stream)
        end
        foreign = now
    else
";

/// Another log begins, and nothing stays of this one.
const RESTART: &str = r"
        -- The first write: where memory is full it is refused, and what follows it would not be.
        call('SET', log_id, fresh)
        call('DEL', stream)
        -- It was an entry of that stream, perhaps of a later time than this one's.
        call('HDEL', hash, 'up-to')
        id, log = call('XADD', stream, '*', 'l', fresh), fresh
        last, millis, len, bytes = id, now, 1, OVERHEAD
";

const TAIL_KNOWN: &str = r"
    end
    call('HSET', hash, 'end', format('%s %s %.0f %.0f %.0f', id, log, len, bytes, foreign))
end
";

/// Whose last group is read as well.
const INSTANCE: &str = "local instance = ARGV[3]";
const NO_INSTANCE: &str = "local instance = 'id'";

/// The id of the next entry.
///
/// While the clock is behind, ids leap by a random number, so that what a
/// failover loses meanwhile and what is appended in its place have not the same.
const NEXT_ID: &str = r"
local next_id = '*'
if millis > now then
    local part, count = match(last, '^(%d+)-(%d+)$')
    local leap = match(ARGV[2], '^%d+')
    if tonumber(count) > 2 ^ 52 then
        -- Numbers of Lua are exact up to 2^53.
        next_id = format('%.0f', millis + 1) .. '-' .. leap
    else
        next_id = part .. '-' .. format('%.0f', count + 1 + leap)
    end
end
";

/// Appends a record, and its code if it has one.
const ADD: &str = r"
local added
if code == '' then
    added = pcall('XADD', stream, next_id, 'l', log, 'p', id, 'r', record)
else
    added = pcall('XADD', stream, next_id, 'l', log, 'p', id, 'r', record, 'm', code)
end
if added.err then
";

/// The stream had an id that no id follows; or else it is an error.
const IS_EXHAUSTED: &str = r"
    local is_exhausted = string.find(added.err, 'exhausted', 1, true)
        or string.find(added.err, 'equal or smaller', 1, true)
    if not is_exhausted then
        error(added)
    end
";

const ADDED: &str = r"
    added = call('XADD', stream, '*', 'l', log, 'p', id, 'r', record, 'm', code)
end
id, last = added, added
len, bytes = len + 1, bytes + #record + #code + OVERHEAD
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
/// Arguments: fresh log id, leap and, where there are ids, after the leap the bucket and its size
/// in milliseconds; instance, number of its group, most records; then for each record its id, or
/// nothing, itself, and its code, or nothing.
///
/// Answers `~` and the time if that bucket is not the current one. Otherwise the
/// log, and for each record its offset, after `+` if it is new and `=` if it was
/// there before.
const APPEND: [&str; 3] = [
    r"
-- Older versions run beside this one for no longer than an update lasts.
local UPDATE_MILLIS = 3600000
most = tonumber(most)
local current, before, older, is_update, kept, in_group
local size
if KEYS[4] then
    -- The current bucket, and how many milliseconds it is for.
    local bucket, duration = match(ARGV[2], '^%d+ (%d+) (%d+)$')
    size = tonumber(duration)
    local latest = math.max(now, millis)
    if math.floor(latest / size) ~= tonumber(bucket) then
        return '~' .. format('%.0f', latest)
    end
    local ids = {}
    kept, in_group = {}, {}
    for i = FIRST, #ARGV, 3 do
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
for i = FIRST, #ARGV, 3 do
    local name, first = ARGV[i], false
    if name ~= '' then
        place = place + 1
        first = current[place] or before[place] or older and older[place] or in_group[name]
    end
    if first then
        answers[#answers + 1] = ' =' .. first
    else
        local record, code = ARGV[i + 1], ARGV[i + 2]
",
    r"
        answers[#answers + 1] = ' +' .. id
        if name ~= '' then
            kept[#kept + 1] = name
            kept[#kept + 1] = id
            in_group[name] = id
            if is_update then
                call('SET', KEYS[5 + place], id, 'PX', size)
            end
        end
    end
end
if kept and #kept > 0 then
    call('HSET', KEYS[4], unpack(kept))
    -- Anew each time: while the clock is behind, this is the current one for longer than that.
    call('PEXPIRE', KEYS[4], 3 * size)
end
local answer = log .. table.concat(answers)
",
    r"
call('HSET', hash, 'end', format('%s %s %.0f %.0f %.0f', id, log, len, bytes, foreign),
    instance, group .. ' ' .. format('%.0f', now) .. ' ' .. answer)
return answer
",
];

/// Keys: stream, log id, tail, prefix of observations. Arguments: fresh log id,
/// leap, record, observer, number of this report; in milliseconds: when it began,
/// time to live; where it observes; most records; and the code, or nothing.
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
local most, code = tonumber(ARGV[9]), ARGV[10]
",
    r"
call('HSET', hash, 'end', format('%s %s %.0f %.0f %.0f', id, log, len, bytes, foreign))
times = string.sub(times .. format('%.0f ', seen_at), -LONGEST_TIMES)
call('HSET', observed, 'appended', seen, 'offset', id, 'times', times)
return {1, id, log}
",
];

/// Keys: stream, log id, tail. Argument: fresh log id. Returns the log.
const BEGIN: &str = r"
return log
";

/// Keys: stream, log id, tail. Arguments: fresh log id, leap, the log that has
/// lost something. Returns the one that is appended to then.
const FORK: [&str; 2] = [
    r"
if log ~= ARGV[3] then
    return log
end
log = fresh
call('SET', log_id, log)
local added = pcall('XADD', stream, next_id, 'l', log, 'p', id)
if added.err then
",
    r"
else
    id, len, bytes = added, len + 1, bytes + OVERHEAD
end
call('HSET', hash, 'end', format('%s %s %.0f %.0f %.0f', id, log, len, bytes, foreign))
return log
",
];

/// Keys: stream, tail, what was trimmed. Arguments: the first entry that there
/// should be, and what the first one that is part of the log follows; the first to
/// be kept; the last one of the log to be trimmed; bytes of them; most rooms; up to
/// where nobody knows for which rooms they are; then each room and its latest offset
/// among them.
///
/// `up-to` is the last entry that was trimmed so, and `floor` the last one of
/// which it is not known for which rooms it was. A full Redis takes writes after
/// the first that frees memory. The groups of instances that have ended are
/// forgotten after an hour: TCP gives up sooner.
const TRIM: &str = r"
local INSTANCE_MILLIS = 3600000
local stream, hash, trimmed = KEYS[1], KEYS[2], KEYS[3]
local first, before, kept, last, floor = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[7]
local found = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
if not found or found[1] ~= first then
    return 0
end
local count = redis.call('XTRIM', stream, 'MINID', '=', kept)
local known = redis.call('HMGET', hash, 'end', 'up-to')
local fields = {}
local function set(name, value)
    fields[#fields + 1], fields[#fields + 2] = name, value
end
if last ~= '' then
    set('up-to', last)
end
if known[1] then
    local entry, len, bytes, foreign = known[1]:match('^(%S+ %d+) (%d+) (%d+) (%d+)$')
    if entry then
        len, bytes = math.max(0, len - count), math.max(0, bytes - ARGV[5])
        set('end', string.format('%s %.0f %.0f %s', entry, len, bytes, foreign))
    end
end
if floor == '' and before ~= '' and before ~= known[2] then
    floor = before
end
if #ARGV > 7 then
    redis.call('HSET', trimmed, unpack(ARGV, 8))
    if redis.call('HLEN', trimmed) > tonumber(ARGV[6]) then
        redis.call('UNLINK', trimmed)
        floor = last
    end
end
if floor ~= '' then
    set('floor', floor)
end
local time = redis.call('TIME')
local now = time[1] * 1000
if now - (tonumber(redis.call('HGET', hash, 'swept')) or 0) > INSTANCE_MILLIS then
    set('swept', string.format('%.0f', now))
    local all = redis.call('HGETALL', hash)
    for i = 1, #all, 2 do
        local at = all[i]:match('^instance:') and all[i + 1]:match('^%d+ (%d+)')
        if at and now - at > INSTANCE_MILLIS then
            redis.call('HDEL', hash, all[i])
        end
    end
end
if #fields > 0 then
    redis.call('HSET', hash, unpack(fields))
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
