use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script};

use crate::connection::{Commands, Leaving};
use crate::error::is_of_connection;
use crate::roster::{Write, Written};
use crate::{ClusterConfig, RosterConfig};

/// What each process says of the users that are connected to it. A process
/// writes its own part, which expires when it does not, and reads those of the
/// others: nobody is asked, so that nobody is waited for.
#[derive(Debug)]
pub struct Presence {
    cluster: ClusterConfig,
    config: PresenceConfig,
    node: String,
    /// This process, whatever others call themselves, and whatever it was
    /// called before.
    id: String,
    commands: Commands,
    write: Script,
    read: Script,
    leave: Script,
}

/// Times and bounds of [`Presence`].
#[derive(Clone, Copy, Debug)]
pub struct PresenceConfig {
    /// When a process writes.
    pub roster: RosterConfig,
    /// How old the latest sign of life of a process may be before it counts as
    /// [`Silent`](Standing::Silent). 7 s: two that did not come, and a second.
    pub late: Duration,
    /// How long what a process wrote is there after its latest sign of life.
    /// 15 s.
    pub expiry: Duration,
    /// How long an answer may take. 500 ms: who asks has an answer without it.
    pub answer_timeout: Duration,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self {
            roster: RosterConfig::default(),
            late: Duration::from_secs(7),
            expiry: Duration::from_secs(15),
            answer_timeout: Duration::from_millis(500),
        }
    }
}

/// What the other processes said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The other processes.
    pub nodes: Vec<Node>,
    /// Whether Redis was empty less than [`late`](PresenceConfig::late) ago:
    /// some may not have noticed yet that they have to write everything again.
    pub is_new: bool,
}

/// Another process, by what it said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name; more than one may have the same.
    pub name: String,
    /// Whether it can be relied on.
    pub standing: Standing,
    /// Sockets that are connected to it.
    pub sockets: u64,
    /// Users that these are of.
    pub users: u64,
    /// What it says of the user who was asked for, if it knows of one.
    pub user: Option<Vec<u8>>,
}

/// Whether what a process wrote can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It writes, and has written all that it has.
    Current,
    /// It writes, and has not written all yet.
    Filling,
    /// It has given no sign of life for a while: it was killed, stands still,
    /// or cannot reach Redis.
    Silent,
}

/// Why it is not known what the others say.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// Redis cannot be reached, or does not answer in time.
    #[error("Redis does not answer")]
    Unavailable(#[source] Option<RedisError>),
    /// Redis refuses, for instance because its memory is full.
    #[error("Redis refuses: {0}")]
    Refused(#[source] RedisError),
}

impl Presence {
    /// What a process of this name, a word, says and hears. Nothing is
    /// connected yet.
    #[must_use]
    pub fn new(cluster: ClusterConfig, config: PresenceConfig, node: String) -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("invariant: the operating system gives random bytes");
        Self {
            id: format!("{node}:{:016x}", u64::from_ne_bytes(random)),
            cluster,
            config,
            node,
            commands: Commands::new(Leaving::WhenReplaced),
            write: Script::new(WRITE),
            read: Script::new(READ),
            leave: Script::new(LEAVE),
        }
    }

    /// Writes what there is of the users that a [`Write`] is about, `None` for
    /// those who are gone, and how many sockets there are in all.
    ///
    /// # Errors
    ///
    /// [`PresenceError`]; it is [`Written::Unanswered`] for the roster.
    ///
    /// # Cancel safety
    ///
    /// It may be written or not, as after an error.
    pub async fn write(
        &self,
        write: &Write,
        users: &[(u64, Option<Vec<u8>>)],
        sockets: usize,
    ) -> Result<Written, PresenceError> {
        let mut invocation = self.write.prepare_invoke();
        invocation
            .key(self.nodes_key())
            .key(self.sockets_key(&self.id))
            .arg(&self.id)
            .arg(&self.node)
            .arg(write.after)
            .arg(write.number)
            .arg(u8::from(write.begins_anew))
            .arg(u8::from(write.is_whole))
            .arg(sockets)
            .arg(millis(self.config.expiry));
        for (user, value) in users {
            invocation.arg(user).arg(value.as_deref().unwrap_or(GONE));
        }
        let written = async |mut connection: MultiplexedConnection| {
            let is_kept: bool = invocation.invoke_async(&mut connection).await?;
            Ok(if is_kept {
                Written::Kept
            } else {
                Written::Lost
            })
        };
        self.run(self.cluster.command_timeout, written).await
    }

    /// What the other processes say of a user.
    ///
    /// # Errors
    ///
    /// [`PresenceError`].
    ///
    /// # Cancel safety
    ///
    /// Safe to cancel.
    pub async fn find(&self, user: u64) -> Result<Said, PresenceError> {
        self.read(&user.to_string()).await
    }

    /// The other processes.
    ///
    /// # Errors
    ///
    /// [`PresenceError`].
    ///
    /// # Cancel safety
    ///
    /// Safe to cancel.
    pub async fn nodes(&self) -> Result<Said, PresenceError> {
        self.read("").await
    }

    async fn read(&self, user: &str) -> Result<Said, PresenceError> {
        let mut invocation = self.read.prepare_invoke();
        invocation
            .key(self.nodes_key())
            .arg(self.sockets_key(""))
            .arg(user);
        let read = async |mut connection: MultiplexedConnection| {
            invocation.invoke_async(&mut connection).await
        };
        let (now, found): (u64, Vec<Vec<u8>>) = self.run(self.config.answer_timeout, read).await?;
        let mut began = now;
        let mut nodes = Vec::new();
        for entry in found.chunks_exact(3) {
            let [id, told, user] = entry else {
                unreachable!("invariant: chunks of three");
            };
            if id == BEGAN {
                began = number(told).unwrap_or(now);
            } else if *id != self.id.as_bytes() {
                nodes.extend(self.node(now, told, user));
            }
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Said {
            nodes,
            is_new: now.saturating_sub(began) < millis(self.config.late),
        })
    }

    /// `None` for one that is gone, and for what is none of ours.
    fn node(&self, now: u64, told: &[u8], user: &[u8]) -> Option<Node> {
        let mut words = told.split(|byte| *byte == b' ');
        let mut next = || number(words.next()?);
        let (at, is_whole, sockets, users) = (next()?, next()?, next()?, next()?);
        let age = now.saturating_sub(at);
        if age >= millis(self.config.expiry) {
            return None;
        }
        // A Redis whose clock is behind has taken over, and it has not written
        // there.
        let is_of_another_clock = at > now + CLOCK_SLACK_MILLIS;
        let standing = if age > millis(self.config.late) || is_of_another_clock {
            Standing::Silent
        } else if is_whole == 0 {
            Standing::Filling
        } else {
            Standing::Current
        };
        Some(Node {
            name: String::from_utf8(words.next()?.to_vec()).ok()?,
            standing,
            sockets,
            users,
            user: (user != GONE).then(|| user.to_vec()),
        })
    }

    /// Takes out what this process wrote. It has to write nothing after it.
    ///
    /// # Errors
    ///
    /// [`PresenceError`]; it expires then.
    pub async fn leave(&self) -> Result<(), PresenceError> {
        let mut invocation = self.leave.prepare_invoke();
        invocation
            .key(self.nodes_key())
            .key(self.sockets_key(&self.id))
            .arg(&self.id);
        let left = async |mut connection: MultiplexedConnection| {
            invocation.invoke_async(&mut connection).await
        };
        self.run(self.config.answer_timeout, left).await
    }

    async fn run<T>(
        &self,
        timeout: Duration,
        command: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, PresenceError> {
        let running = async {
            let unavailable = |error| PresenceError::Unavailable(Some(error));
            let lease = self.commands.get(&self.cluster).await;
            let result = self.commands.run(lease.map_err(unavailable)?, command);
            result.await.map_err(|error| {
                if is_of_connection(&error) {
                    unavailable(error)
                } else {
                    PresenceError::Refused(error)
                }
            })
        };
        // Some 2 kB, which every caller would have to have room for.
        tokio::time::timeout(timeout, Box::pin(running))
            .await
            .unwrap_or(Err(PresenceError::Unavailable(None)))
    }

    fn nodes_key(&self) -> String {
        format!("{{{}}}:nodes", self.cluster.prefix)
    }

    fn sockets_key(&self, id: &str) -> String {
        format!("{{{}}}:sockets:{id}", self.cluster.prefix)
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Clocks of Redis servers that are in order differ by less.
const CLOCK_SLACK_MILLIS: u64 = 1000;
/// In the place of a user who has no socket.
const GONE: &[u8] = b"";

/// The field of the processes' hash that says since when Redis has known any.
const BEGAN: &[u8] = b".";

/// The field `.` of a process' hash is the number of its last write, by which a
/// hash that is gone, or has lost its end, is noticed. The fields of those that
/// are gone go too.
const WRITE: &str = r"
local nodes, sockets = KEYS[1], KEYS[2]
local id, name, after, number = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local begins_anew, is_whole, count, expiry = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local last = tonumber(redis.call('HGET', sockets, '.') or nil)
if last and last >= number then
    return 0
elseif begins_anew == '1' then
    redis.call('UNLINK', sockets)
elseif not last or last < after then
    return 0
end
local set, gone = {'.', ARGV[4]}, {}
for i = 9, #ARGV, 2 do
    if ARGV[i + 1] == '' then
        gone[#gone + 1] = ARGV[i]
    else
        set[#set + 1] = ARGV[i]
        set[#set + 1] = ARGV[i + 1]
    end
end
redis.call('HSET', sockets, unpack(set))
if #gone > 0 then
    redis.call('HDEL', sockets, unpack(gone))
end
redis.call('PEXPIRE', sockets, expiry)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local users = redis.call('HLEN', sockets) - 1
local entry = string.format('%.0f', now) .. ' ' .. is_whole .. ' ' .. count .. ' ' .. users .. ' ' .. name
redis.call('HSETNX', nodes, '.', string.format('%.0f', now))
redis.call('HSET', nodes, id, entry)
local all = redis.call('HGETALL', nodes)
for i = 1, #all, 2 do
    local at = tonumber(string.match(all[i + 1], '^%d+') or 0)
    if all[i] ~= '.' and now - at >= expiry then
        redis.call('HDEL', nodes, all[i])
    end
end
redis.call('PEXPIRE', nodes, expiry)
return 1
";

/// The time, and for each process its id, its entry, and what it has of the
/// user.
const READ: &str = r"
local time = redis.call('TIME')
local nodes = redis.call('HGETALL', KEYS[1])
local found = {}
for i = 1, #nodes, 2 do
    found[#found + 1] = nodes[i]
    found[#found + 1] = nodes[i + 1]
    found[#found + 1] = ARGV[2] ~= '' and redis.call('HGET', ARGV[1] .. nodes[i], ARGV[2]) or ''
end
return {string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), found}
";

const LEAVE: &str = r"
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('UNLINK', KEYS[2])
return redis.status_reply('OK')
";
