//! What processes say of their users, in a Redis.

use std::time::{Duration, Instant};

use hd_cluster::{
    Due, Node, Presence, PresenceConfig, PresenceError, Roster, RosterConfig, Standing, Write,
    Written,
};

use crate::redis_server::RedisServer;

/// A process with some users, each of whom has one socket.
struct Process {
    presence: Presence,
    roster: Roster,
    now: Instant,
    users: Vec<u64>,
}

impl Process {
    fn start(redis: &RedisServer, name: &str, config: PresenceConfig) -> Self {
        let now = Instant::now();
        Self {
            presence: Presence::new(redis.config(), config, name.to_owned()),
            roster: Roster::new(config.roster, now),
            now,
            users: Vec::new(),
        }
    }

    /// One that has said what it has.
    async fn with_users(
        redis: &RedisServer,
        name: &str,
        config: PresenceConfig,
        users: &[u64],
    ) -> Self {
        let mut process = Self::start(redis, name, config);
        process.users = users.to_vec();
        process.write_all().await;
        process
    }

    async fn write(&self, write: &Write) -> Result<Written, PresenceError> {
        let value = |user: &u64| {
            let is_there = self.users.contains(user);
            is_there.then(|| format!("sockets of {user}").into_bytes())
        };
        let users: Vec<_> = write
            .users
            .iter()
            .map(|user| (*user, value(user)))
            .collect();
        self.presence.write(write, &users, self.users.len()).await
    }

    /// What is due at a time when a sign of life is.
    fn poll(&mut self) -> Due {
        self.now += Duration::from_secs(60);
        self.roster.poll(self.now)
    }

    /// The next write.
    fn next(&mut self) -> Write {
        match self.poll() {
            Due::Write(write) => write,
            other @ (Due::Nothing | Due::Everyone) => panic!("{other:?}"),
        }
    }

    /// Writes what is due, and what comes of it.
    async fn write_all(&mut self) {
        let mut due = self.poll();
        loop {
            match due {
                Due::Nothing => return,
                Due::Everyone => self.roster.fill(self.users.clone()),
                Due::Write(write) => {
                    let written = self.write(&write).await.expect("Redis is there");
                    self.roster.handle_written(write, written, self.now);
                }
            }
            due = self.roster.poll(self.now);
        }
    }

    /// The others.
    async fn nodes(&self) -> Vec<Node> {
        self.presence.nodes().await.expect("Redis is there").nodes
    }

    fn come(&mut self, user: u64) {
        self.users.push(user);
        self.roster.changed(user);
    }

    fn go(&mut self, user: u64) {
        self.users.retain(|other| *other != user);
        self.roster.changed(user);
    }

    /// What the others say of a user.
    async fn find(&self, user: u64) -> Vec<Node> {
        let said = self.presence.find(user).await;
        said.expect("Redis is there").nodes
    }
}

fn config() -> PresenceConfig {
    PresenceConfig {
        roster: RosterConfig {
            pause: Duration::ZERO,
            retry: Duration::ZERO,
            ..RosterConfig::default()
        },
        // A loaded machine is no reason to fail.
        answer_timeout: Duration::from_secs(10),
        ..PresenceConfig::default()
    }
}

fn node(name: &str, users: u64, user: Option<&str>) -> Node {
    Node {
        name: name.to_owned(),
        standing: Standing::Current,
        sockets: users,
        users,
        user: user.map(|user| user.as_bytes().to_vec()),
    }
}

#[tokio::test]
async fn a_process_reads_what_the_others_say_and_not_itself() {
    let redis = RedisServer::start();
    let a = Process::with_users(&redis, "a", config(), &[1, 2]).await;
    let b = Process::with_users(&redis, "b", config(), &[2, 3, 4]).await;
    let c = Process::with_users(&redis, "c", config(), &[]).await;
    let of_b = node("b", 3, Some("sockets of 2"));
    assert_eq!(a.find(2).await, [of_b, node("c", 0, None)]);
    assert_eq!(
        b.find(1).await,
        [node("a", 2, Some("sockets of 1")), node("c", 0, None)]
    );
    assert_eq!(c.nodes().await, [node("a", 2, None), node("b", 3, None)]);
}

#[tokio::test]
async fn users_come_and_go() {
    let redis = RedisServer::start();
    let mut a = Process::with_users(&redis, "a", config(), &[1, 2]).await;
    let b = Process::with_users(&redis, "b", config(), &[]).await;
    a.come(3);
    a.go(1);
    a.write_all().await;
    assert_eq!(b.find(1).await, [node("a", 2, None)]);
    assert_eq!(b.find(3).await, [node("a", 2, Some("sockets of 3"))]);
}

#[tokio::test]
async fn many_are_written_in_parts_and_until_then_are_not_whole() {
    let redis = RedisServer::start();
    let users: Vec<u64> = (0..2500).collect();
    let mut a = Process::start(&redis, "a", config());
    a.users = users;
    let b = Process::with_users(&redis, "b", config(), &[]).await;
    assert_eq!(a.poll(), Due::Everyone);
    a.roster.fill(a.users.clone());
    let mut seen = Vec::new();
    while let Due::Write(write) = a.roster.poll(a.now) {
        let written = a.write(&write).await.unwrap();
        a.roster.handle_written(write, written, a.now);
        let [node] = b.nodes().await.try_into().unwrap();
        seen.push((node.standing, node.users));
    }
    let (filling, current) = (Standing::Filling, Standing::Current);
    assert_eq!(seen, [(filling, 1000), (filling, 2000), (current, 2500)]);
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_is_filled_again() {
    let mut redis = RedisServer::start();
    let mut a = Process::with_users(&redis, "a", config(), &[1, 2]).await;
    redis.kill();
    redis.start_again();
    let b = Process::with_users(&redis, "b", config(), &[]).await;
    assert_eq!(b.find(1).await, []);
    a.come(3);
    // The connection broke; nobody knows what became of the first attempt.
    let write = a.next();
    let unanswered = a.write(&write).await;
    assert!(
        matches!(unanswered, Err(PresenceError::Unavailable(_))),
        "{unanswered:?}"
    );
    a.roster.handle_written(write, Written::Unanswered, a.now);
    a.write_all().await;
    assert_eq!(b.find(1).await, [node("a", 3, Some("sockets of 1"))]);
}

#[tokio::test]
async fn what_expired_or_lost_its_end_is_written_again() {
    let redis = RedisServer::start();
    let mut a = Process::with_users(&redis, "a", config(), &[1, 2]).await;
    let b = Process::with_users(&redis, "b", config(), &[]).await;
    let sockets = redis.command(&["KEYS", "{help-desk-ws}:sockets:a:*"]);
    let sockets = sockets.trim();

    redis.command(&["DEL", sockets]);
    a.write_all().await;
    assert_eq!(b.find(1).await, [node("a", 2, Some("sockets of 1"))]);

    // A failover to a replica that had not everything yet.
    let number = redis.command(&["HGET", sockets, "."]);
    let number: u64 = number.trim().parse().unwrap();
    redis.command(&["HDEL", sockets, "1"]);
    redis.command(&["HSET", sockets, ".", &(number - 1).to_string()]);
    a.write_all().await;
    assert_eq!(b.find(1).await, [node("a", 2, Some("sockets of 1"))]);
}

#[tokio::test]
async fn a_write_that_arrives_after_a_later_one_is_not_wanted() {
    let redis = RedisServer::start();
    let mut a = Process::with_users(&redis, "a", config(), &[1]).await;
    let b = Process::with_users(&redis, "b", config(), &[]).await;
    a.go(1);
    let late = a.next();
    let copy = Write {
        users: late.users.clone(),
        ..late
    };
    a.roster.handle_written(late, Written::Unanswered, a.now);
    a.come(1);
    a.write_all().await;
    a.users.clear();
    assert_eq!(a.write(&copy).await.unwrap(), Written::Lost);
    assert_eq!(b.find(1).await, [node("a", 1, Some("sockets of 1"))]);
}

#[tokio::test]
async fn who_gives_no_sign_of_life_is_silent_and_then_gone() {
    let redis = RedisServer::start();
    let short = PresenceConfig {
        late: Duration::from_millis(1),
        expiry: Duration::from_secs(3),
        ..config()
    };
    let _a = Process::with_users(&redis, "a", short, &[1]).await;
    let b = Process::with_users(&redis, "b", short, &[]).await;
    let mut standings = Vec::new();
    loop {
        let nodes = b.nodes().await;
        let Some(node) = nodes.first() else { break };
        if standings.last() != Some(&node.standing) {
            standings.push(node.standing);
        }
    }
    assert_eq!(standings.last(), Some(&Standing::Silent));
    while redis.command(&["KEYS", "*"]) != "\n" {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn the_living_take_out_the_dead() {
    let redis = RedisServer::start();
    let short = PresenceConfig {
        expiry: Duration::from_millis(1),
        ..config()
    };
    let _dead = Process::with_users(&redis, "dead", short, &[1]).await;
    while redis.command(&["EXISTS", "{help-desk-ws}:nodes"]) != "0\n" {
        std::thread::yield_now();
    }
    redis.command(&["HSET", "{help-desk-ws}:nodes", "dead:1", "1000 1 1 1 dead"]);
    redis.command(&["HSET", "{help-desk-ws}:nodes", "other", "not ours"]);
    let a = Process::with_users(&redis, "a", config(), &[]).await;
    let left = redis.command(&["HKEYS", "{help-desk-ws}:nodes"]);
    assert_eq!(left.lines().count(), 2, "since when, and itself: {left}");
    assert_eq!(a.nodes().await, []);
}

#[tokio::test]
async fn who_leaves_leaves_nothing() {
    let redis = RedisServer::start();
    let a = Process::with_users(&redis, "a", config(), &[1]).await;
    a.presence.leave().await.unwrap();
    assert_eq!(redis.command(&["KEYS", "*:sockets:*"]), "\n");
    let left = redis.command(&["HKEYS", "{help-desk-ws}:nodes"]);
    assert_eq!(left, ".\n", "since when there were any");
}

#[tokio::test]
async fn a_redis_that_was_empty_a_moment_ago_may_not_know_all() {
    let redis = RedisServer::start();
    let short = PresenceConfig {
        late: Duration::from_secs(2),
        ..config()
    };
    let a = Process::start(&redis, "a", short);
    assert!(a.presence.nodes().await.unwrap().is_new, "it knows nobody");
    let b = Process::with_users(&redis, "b", short, &[1]).await;
    assert!(a.presence.nodes().await.unwrap().is_new);
    while b.presence.nodes().await.unwrap().is_new {}
    redis.command(&["FLUSHALL"]);
    assert!(b.presence.nodes().await.unwrap().is_new);
}

#[tokio::test]
async fn two_of_one_name_are_two() {
    let redis = RedisServer::start();
    let first = Process::with_users(&redis, "a", config(), &[1]).await;
    let second = Process::with_users(&redis, "a", config(), &[1, 2]).await;
    assert_eq!(first.find(2).await, [node("a", 2, Some("sockets of 2"))]);
    assert_eq!(second.find(1).await, [node("a", 1, Some("sockets of 1"))]);
}

#[tokio::test]
async fn without_redis_that_is_said_soon() {
    let mut redis = RedisServer::start();
    let quick = PresenceConfig {
        answer_timeout: Duration::from_millis(100),
        ..config()
    };
    let a = Process::with_users(&redis, "a", quick, &[1]).await;
    // It stands still: the connection is there, and no answer comes.
    redis.pause();
    let unanswered = a.presence.find(1).await;
    assert!(
        matches!(unanswered, Err(PresenceError::Unavailable(_))),
        "{unanswered:?}"
    );
    redis.kill();
    let refused = a.presence.find(1).await;
    assert!(
        matches!(refused, Err(PresenceError::Unavailable(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_full_redis_refuses_and_can_be_read() {
    let redis = RedisServer::start();
    let mut a = Process::with_users(&redis, "a", config(), &[1]).await;
    let b = Process::with_users(&redis, "b", config(), &[]).await;
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    a.come(2);
    let write = a.next();
    let refused = a.write(&write).await;
    assert!(
        matches!(refused, Err(PresenceError::Refused(_))),
        "{refused:?}"
    );
    assert_eq!(b.find(1).await, [node("a", 1, Some("sockets of 1"))]);
}
