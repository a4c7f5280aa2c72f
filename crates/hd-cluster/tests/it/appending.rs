use std::time::{Duration, Instant};

use hd_cluster::{
    AppendError, Appended, ClusterConfig, Observer, Offset, Publish, SharedLog, Source,
};

use crate::redis_server::{PATIENCE, RedisServer};
use crate::relay::Relay;
use crate::snapshot::Whole as _;

#[tokio::test]
async fn records_get_offsets_in_order() {
    let redis = RedisServer::start();
    let log = redis.log();
    let mut offsets = Vec::new();
    for record in ["one", "two", "three"] {
        let Appended::New(offset) = log.append(None, record.as_bytes()).await.unwrap() else {
            panic!("{record} was repeated");
        };
        offsets.push(offset);
    }
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
    let snapshot = redis.log().open().await.unwrap();
    let records: Vec<&[u8]> = snapshot
        .records
        .iter()
        .map(|record| &*record.bytes)
        .collect();
    assert_eq!(records, [&b"one"[..], b"two", b"three"]);
}

#[tokio::test]
async fn offsets_follow_each_other_and_leap_while_the_clock_is_behind() {
    let redis = RedisServer::start();
    let log = redis.log();
    log.open().await.unwrap();
    let future = format!("{}-7", redis.millis() + 3_600_000);
    redis.command(&["XADD", "{help-desk-ws}:log", &future, "r", "x"]);
    let mut before: Offset = future.parse().unwrap();
    let mut leaps = Vec::new();
    for _ in 0..4 {
        let Appended::New(offset) = log.append(None, b"x").await.unwrap() else {
            panic!("it is new");
        };
        assert_eq!(offset.millis(), before.millis());
        leaps.push(offset.count() - before.count());
        before = offset;
    }
    assert!(leaps.iter().all(|leap| *leap > 0), "{leaps:?}");
    // Random numbers up to 65,536: four of them are not all small.
    assert!(leaps.iter().any(|leap| *leap > 100), "{leaps:?}");
}

#[tokio::test]
async fn an_id_is_taken_once_whichever_process_it_comes_to() {
    let redis = RedisServer::start();
    let logs: Vec<_> = (0..3).map(|_| redis.log()).collect();
    let tasks: Vec<_> = (0..100)
        .map(|turn| {
            let log = logs[turn % 3].clone();
            tokio::spawn(async move { log.append(Some("same"), b"once").await })
        })
        .collect();
    let mut new = Vec::new();
    let mut repeated = Vec::new();
    for task in tasks {
        match task.await.unwrap().unwrap() {
            Appended::New(offset) => new.push(offset),
            Appended::Repeated(offset) => repeated.push(offset),
        }
    }
    assert_eq!((new.len(), repeated.len()), (1, 99));
    assert!(repeated.iter().all(|offset| *offset == new[0]));
    assert_eq!(logs[0].open().await.unwrap().records.len(), 1);
}

#[tokio::test]
async fn an_id_is_forgotten_after_its_time() {
    let redis = RedisServer::start();
    let log = SharedLog::new(ClusterConfig {
        id_ttl: Duration::from_millis(1),
        ..redis.config()
    });
    assert!(matches!(
        log.append(Some("a"), b"").await,
        Ok(Appended::New(_))
    ));
    while redis.command(&["EXISTS", "{help-desk-ws}:id:a"]) != "0\n" {
        std::thread::yield_now();
    }
    assert!(matches!(
        log.append(Some("a"), b"").await,
        Ok(Appended::New(_))
    ));
}

#[tokio::test]
async fn the_stream_keeps_so_many_records_roughly() {
    let redis = RedisServer::start();
    let log = SharedLog::new(ClusterConfig {
        max_records: 100,
        ..redis.config()
    });
    for _ in 0..1000 {
        log.append(None, b"x").await.unwrap();
    }
    let snapshot = log.open().await.unwrap();
    let count = snapshot.records.len();
    assert!((99..300).contains(&count), "{count} records");
    // What is before the first record that is left may be missing.
    assert!(
        snapshot
            .records
            .iter()
            .all(|record| record.offset > snapshot.began.offset)
    );
}

#[tokio::test]
async fn without_redis_nothing_is_accepted_and_soon_said() {
    let mut redis = RedisServer::start();
    let log = SharedLog::new(ClusterConfig {
        command_timeout: Duration::from_secs(2),
        ..redis.config()
    });
    log.append(None, b"there").await.unwrap();
    redis.kill();
    let started = Instant::now();
    let refused = log.append(Some("a"), b"away").await;
    assert!(
        matches!(refused, Err(AppendError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(started.elapsed() < PATIENCE / 2);
    redis.start_again();
    assert!(matches!(
        log.append(Some("a"), b"back").await,
        Ok(Appended::New(_))
    ));
}

#[tokio::test]
async fn a_full_redis_refuses() {
    let redis = RedisServer::start();
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = redis.log().append(None, b"x").await;
    assert!(
        matches!(refused, Err(AppendError::Refused(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_every_process_observes_is_in_the_log_once() {
    let redis = RedisServer::start();
    let logs = [redis.log(), redis.log(), redis.log()];
    // The same record three times, and another one in between.
    let observed = [&b"same"[..], b"same", b"other", b"same"];
    let mut pairs = Vec::new();
    for log in &logs {
        pairs.push((log.clone(), Observing::now(&redis)));
    }
    let tasks = pairs.into_iter().map(|(log, observer)| {
        tokio::spawn(async move {
            let mut new = 0;
            for record in observed {
                let appended = log
                    .append_observed(&observer.observer, observer.source("a"), record)
                    .await
                    .expect("Redis is there");
                new += usize::from(matches!(appended, Appended::New(_)));
            }
            new
        })
    });
    let mut new = 0;
    for task in tasks {
        new += task.await.unwrap();
    }
    assert_eq!(new, 4);
    let records = logs[0].open().await.unwrap().records;
    let mut records: Vec<&[u8]> = records.iter().map(|record| &*record.bytes).collect();
    records.sort_unstable();
    assert_eq!(records, [&b"other"[..], b"same", b"same", b"same"]);
}

#[tokio::test]
async fn who_lags_behind_appends_nothing_again() {
    let redis = RedisServer::start();
    let log = redis.log();
    let quick = Observing::now(&redis);
    let slow = Observing::now(&redis);
    for _ in 0..3 {
        assert!(observe(&log, &quick).await);
    }
    for _ in 0..3 {
        assert!(!observe(&log, &slow).await);
    }
    assert!(observe(&log, &slow).await);
}

#[tokio::test]
async fn who_begins_to_observe_counts_from_there() {
    let redis = RedisServer::start();
    let log = redis.log();
    let old = Observing::now(&redis);
    for _ in 0..3 {
        assert!(observe(&log, &old).await);
    }
    wait_for_the_next_millisecond(&redis);
    let new = Observing::now(&redis);
    // It has not seen those, and comes first with the next one.
    assert!(observe(&log, &new).await);
    assert!(!observe(&log, &old).await);
    // And last with two more.
    for _ in 0..2 {
        assert!(observe(&log, &old).await);
    }
    for _ in 0..2 {
        assert!(!observe(&log, &new).await);
    }
    // One that had begun before these, and reports only now, has seen the same.
    wait_for_the_next_millisecond(&redis);
    let silent = Observing::now(&redis);
    for _ in 0..2 {
        assert!(observe(&log, &old).await);
    }
    for _ in 0..2 {
        assert!(!observe(&log, &silent).await);
    }
    assert!(observe(&log, &silent).await);
    assert!(!observe(&log, &old).await);
}

#[tokio::test]
async fn what_is_the_same_at_two_places_is_two() {
    let redis = RedisServer::start();
    let log = redis.log();
    let (quick, slow) = (Observing::now(&redis), Observing::now(&redis));
    assert!(observe_at(&log, &quick, "a").await);
    assert!(observe_at(&log, &quick, "b").await);
    assert!(!observe_at(&log, &slow, "b").await);
    assert!(!observe_at(&log, &slow, "a").await);
}

/// Who observed it long and who began a moment ago are one process, as for what
/// was asked for later, or moved.
#[tokio::test]
async fn who_begins_to_observe_another_place_counts_from_there() {
    let redis = RedisServer::start();
    let log = redis.log();
    let other = Observing::now(&redis);
    let process = Observing::now(&redis);
    for _ in 0..3 {
        assert!(observe_at(&log, &other, "b").await);
    }
    wait_for_the_next_millisecond(&redis);
    let process = Observing {
        since: redis.millis(),
        ..process
    };
    assert!(observe_at(&log, &process, "b").await);
    assert!(!observe_at(&log, &other, "b").await);
}

/// Who observes, and since when.
struct Observing {
    observer: Observer,
    since: u64,
}

impl Observing {
    fn now(redis: &RedisServer) -> Self {
        Self {
            observer: Observer::default(),
            since: redis.millis(),
        }
    }

    fn source<'a>(&self, channel: &'a str) -> Source<'a> {
        Source {
            publish: Publish::Classic,
            channel,
            since: self.since,
        }
    }
}

fn wait_for_the_next_millisecond(redis: &RedisServer) {
    let now = redis.millis();
    while redis.millis() == now {}
}

/// Whether the one record of these tests is appended.
async fn observe(log: &SharedLog, observer: &Observing) -> bool {
    observe_at(log, observer, "a").await
}

async fn observe_at(log: &SharedLog, observing: &Observing, channel: &str) -> bool {
    let Observing { observer, .. } = observing;
    let source = observing.source(channel);
    let appended = log.append_observed(observer, source, b"same").await;
    matches!(appended.expect("Redis is there"), Appended::New(_))
}

#[tokio::test]
async fn a_redis_whose_memory_is_full_refuses_and_has_what_it_had() {
    let redis = RedisServer::start();
    let log = redis.log();
    log.append(Some("a"), b"one").await.unwrap();
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = log.append(Some("b"), b"two").await;
    assert!(
        matches!(refused, Err(AppendError::Refused(_))),
        "{refused:?}"
    );
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    let appended = log.append(Some("b"), b"two").await;
    assert!(matches!(appended, Ok(Appended::New(_))), "{appended:?}");
    let repeated = log.append(Some("a"), b"one").await;
    assert!(
        matches!(repeated, Ok(Appended::Repeated(_))),
        "{repeated:?}"
    );
    assert_eq!(redis.log().open().await.unwrap().records.len(), 2);
}

#[tokio::test]
async fn a_redis_that_evicts_says_so_when_its_memory_has_a_bound() {
    let redis = RedisServer::start();
    let log = redis.log();
    assert_eq!(log.eviction_policy().await, None);
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    assert_eq!(log.eviction_policy().await, None);
    redis.command(&["CONFIG", "SET", "maxmemory", "100mb"]);
    assert_eq!(log.eviction_policy().await.as_deref(), Some("volatile-lru"));
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    assert_eq!(log.eviction_policy().await, None);
    redis.command(&["ACL", "SETUSER", "default", "-info"]);
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert_eq!(log.eviction_policy().await, None);
    drop(redis);
    assert_eq!(log.eviction_policy().await, None);
}

#[tokio::test]
async fn a_connection_that_has_died_without_a_word_is_left_in_time_for_another_one() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.address()).await;
    let url = format!("redis://{}", relay.address());
    let log = SharedLog::new(ClusterConfig {
        command_timeout: Duration::from_secs(4),
        ..ClusterConfig::new(url.parse().unwrap())
    });
    log.append(Some("a"), b"one").await.unwrap();
    relay.freeze();
    let appended = log.append(Some("b"), b"two").await;
    assert!(matches!(appended, Ok(Appended::New(_))), "{appended:?}");
}
