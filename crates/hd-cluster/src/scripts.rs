//! What Redis does in one step: a script is one command, and nothing comes in
//! between.
//!
//! An entry of the stream has the fields `l`, its log; `p`, the entry before;
//! and `r`, the record. One without a record begins a log.

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
}

impl Scripts {
    pub(crate) fn new() -> Self {
        let script = |body| Script::new(&format!("{TAIL}{body}"));
        Self {
            append: script(APPEND),
            append_observed: script(APPEND_OBSERVED),
            begin: script(BEGIN),
            fork: script(FORK),
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

    /// An id that came.
    pub(crate) fn id_key(&self, id: &str) -> String {
        format!("{{{}}}:id:{id}", self.prefix)
    }

    /// What the names of records that were observed begin with.
    pub(crate) fn observed_key(&self) -> String {
        format!("{{{}}}:observed:", self.prefix)
    }
}

/// The log that is appended to, and its last entry. Where the stream is empty
/// another log begins: what there was is lost. While the clock is behind, ids
/// leap by a random number, so that what a failover loses meanwhile and what is
/// appended in its place have not the same.
const TAIL: &str = r"
local function tail(stream, log_id, fresh)
    local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    if last then
        local log = redis.call('GET', log_id) or '0'
        for i = 1, #last[2], 2 do
            if last[2][i] == 'l' then
                log = last[2][i + 1]
            end
        end
        return log, last[1]
    end
    redis.call('SET', log_id, fresh)
    return fresh, redis.call('XADD', stream, '*', 'l', fresh)
end
local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function next_id(before, leap)
    local millis, count = before:match('(%d+)-(%d+)')
    if tonumber(millis) <= now() then
        return '*'
    end
    return millis .. '-' .. string.format('%.0f', tonumber(count) + 1 + tonumber(leap))
end
local function append(stream, log_id, fresh, leap, most, record)
    local log, before = tail(stream, log_id, fresh)
    local id = next_id(before, leap)
    local fields = {'l', log, 'p', before, 'r', record}
    return redis.call('XADD', stream, 'MAXLEN', '~', most, id, unpack(fields)), log
end
";

/// Keys: stream, log id, id. Arguments: fresh log id, leap, most records, record,
/// time to live of the id.
const APPEND: &str = r"
local first = redis.call('GET', KEYS[3])
if first then
    return {0, first, '0'}
end
local offset, log = append(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
redis.call('SET', KEYS[3], offset, 'PX', ARGV[5])
return {1, offset, log}
";

/// Keys: stream, log id, prefix of observations. Arguments: fresh log id, leap,
/// most records, record, observer, number of this report; in milliseconds: when
/// it began, time to live; and where it observes.
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
local offset, log = append(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], record)
times = string.sub(times .. string.format('%.0f ', now), -LONGEST_TIMES)
redis.call('HSET', observed, 'appended', seen, 'offset', offset, 'times', times)
return {1, offset, log}
";

/// Keys: stream, log id. Argument: fresh log id.
const BEGIN: &str = r"
tail(KEYS[1], KEYS[2], ARGV[1])
";

/// Keys: stream, log id. Arguments: fresh log id, leap, the log that has lost
/// something.
const FORK: &str = r"
local log, before = tail(KEYS[1], KEYS[2], ARGV[1])
if log == ARGV[3] then
    redis.call('SET', KEYS[2], ARGV[1])
    redis.call('XADD', KEYS[1], next_id(before, ARGV[2]), 'l', ARGV[1], 'p', before)
    log = ARGV[1]
end
return log
";
