use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hd_cluster::{
    AppendError, Appended, ClusterConfig, Observer, Offset, Publish, SharedLog, Source,
};

use crate::redis_server::{PATIENCE, RedisServer, wait_until};
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

/// Ids are forgotten together: those of one time to live when another one is over.
#[tokio::test]
async fn an_id_is_forgotten_after_its_time() {
    let redis = RedisServer::start();
    let log = SharedLog::new(ClusterConfig {
        id_ttl: Duration::from_millis(200),
        ..redis.config()
    });
    let began = Instant::now();
    let mut offsets = Vec::new();
    while offsets.len() < 2 {
        match log.append(Some("a"), b"").await.unwrap() {
            Appended::New(offset) => offsets.push(offset),
            Appended::Repeated(offset) => assert_eq!(offset, offsets[0]),
        }
        assert!(began.elapsed() < PATIENCE);
    }
    let remembered = offsets[1].millis() - offsets[0].millis();
    assert!(remembered >= 200, "{remembered} ms");
    wait_until("the ids expire", || {
        redis.command(&["KEYS", "{help-desk-ws}:ids:*"]) == "\n"
    });
}

#[tokio::test]
async fn an_id_is_a_duplicate_also_within_one_group_and_one_bucket_later() {
    let redis = RedisServer::start();
    let log = SharedLog::new(ClusterConfig {
        id_ttl: Duration::from_secs(1),
        ..redis.config()
    });
    log.open().await.unwrap();
    // Those that come while the first is under way are one group.
    let tasks = ["x", "a", "b", "a", "b", "a"].map(|id| {
        let log = log.clone();
        tokio::spawn(async move { (id, log.append(Some(id), id.as_bytes()).await.unwrap()) })
    });
    let mut new = Vec::new();
    for task in tasks {
        if let (id, Appended::New(offset)) = task.await.unwrap() {
            new.push((id, offset));
        }
    }
    let mut ids: Vec<&str> = new.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a", "b", "x"]);
    // The bucket after the one that they are in.
    let bucket = |millis: u64| millis / 1000;
    let first = bucket(new[0].1.millis());
    wait_until("the next second begins", || bucket(redis.millis()) > first);
    if bucket(redis.millis()) == first + 1 {
        let repeated = log.append(Some(new[0].0), b"").await.unwrap();
        // It may have become later meanwhile.
        let is_later = bucket(redis.millis()) > first + 1;
        assert!(is_later || repeated == Appended::Repeated(new[0].1));
    }
}

/// While the clock is behind the log, for up to a day, one hash has the ids of all that time.
#[tokio::test]
async fn an_id_is_kept_for_its_time_though_its_hash_is_old() {
    let redis = RedisServer::start();
    let log = redis.log();
    log.append(Some("a"), b"").await.unwrap();
    let hash = redis.command(&["KEYS", "{help-desk-ws}:ids:*"]);
    let hash = hash.trim();
    redis.command(&["PEXPIRE", hash, "60000"]);
    log.append(Some("b"), b"").await.unwrap();
    let left = redis.command(&["PTTL", hash]);
    let left: u128 = left.trim().parse().expect("a number");
    assert!(left > redis.config().id_ttl.as_millis(), "{left} ms");
}

#[tokio::test]
async fn groups_are_appended_after_redis_has_forgotten_its_scripts() {
    let redis = RedisServer::start();
    let log = redis.log();
    for flush in [&["SCRIPT", "FLUSH"][..], &["FLUSHALL"]] {
        redis.command(flush);
        for append in append_ten(&log) {
            append.await.unwrap().unwrap();
        }
    }
}

/// Otherwise those that have waited longest end each attempt to connect.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_connection_is_made_however_many_appends_wait_for_it() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.address()).await;
    let url = format!("redis://{}", relay.address());
    let log = SharedLog::new(ClusterConfig {
        command_timeout: Duration::from_secs(1),
        ..ClusterConfig::new(url.parse().unwrap())
    });
    log.append(None, b"first").await.unwrap();
    relay.freeze();
    relay.slow_down(Duration::from_millis(400));
    let (sender, mut appended) = tokio::sync::mpsc::unbounded_channel();
    let load = log.clone();
    let load = tokio::spawn(async move {
        loop {
            // 2,600 a second.
            for _ in 0..26 {
                let (log, sender) = (load.clone(), sender.clone());
                tokio::spawn(async move {
                    if log.append(None, b"x").await.is_ok() {
                        let _unheard = sender.send(());
                    }
                });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let first = tokio::time::timeout(PATIENCE, appended.recv()).await;
    load.abort();
    first.expect("some are appended");
}

/// At two instances, of which one loses an answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_comes_two_thousand_times_at_once_is_taken_once() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.address()).await;
    let url = format!("redis://{}", relay.address());
    let log = SharedLog::new(ClusterConfig {
        command_timeout: Duration::from_secs(4),
        ..ClusterConfig::new(url.parse().unwrap())
    });
    let other = redis.log();
    log.append(None, b"first").await.unwrap();
    relay.mute();
    let tasks: Vec<_> = (0..2000)
        .map(|turn| {
            let log = if turn % 2 == 0 { &log } else { &other }.clone();
            tokio::spawn(async move { log.append(Some(" +=1 -"), b"once").await })
        })
        .collect();
    let (mut new, mut offsets) = (0, BTreeSet::new());
    for task in tasks {
        let appended = task.await.unwrap().unwrap();
        let (Appended::New(offset) | Appended::Repeated(offset)) = appended;
        offsets.insert(offset);
        new += usize::from(appended == Appended::New(offset));
    }
    assert_eq!((new, offsets.len()), (1, 1));
}

#[tokio::test]
async fn appends_that_wait_cost_few_commands_and_an_idle_one_few_as_well() {
    let redis = RedisServer::start();
    let log = redis.log();
    log.append(None, b"the script is loaded").await.unwrap();
    let commands = |redis: &RedisServer| -> BTreeMap<String, usize> {
        let stats = redis.command(&["INFO", "commandstats"]);
        let calls = stats.lines().filter_map(|line| {
            let (name, calls) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let is_ours = !name.starts_with("info") && !name.starts_with("config");
            let calls = calls.split(',').next()?.parse().ok()?;
            is_ours.then(|| (name.to_owned(), calls))
        });
        calls.collect()
    };
    redis.command(&["CONFIG", "RESETSTAT"]);
    for _ in 0..10 {
        log.append(None, b"x").await.unwrap();
    }
    let mut alone = commands(&redis);
    // Only where two have the same millisecond.
    assert!(alone.remove("time").unwrap_or_default() < 10);
    let expected = ["evalsha", "hmget", "hset", "xadd", "xread"].map(|name| (name.to_owned(), 10));
    assert_eq!(alone, BTreeMap::from(expected));

    redis.command(&["CONFIG", "RESETSTAT"]);
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { log.append(None, b"x").await })
        })
        .collect();
    for task in tasks {
        assert!(matches!(task.await.unwrap(), Ok(Appended::New(_))));
    }
    let each: usize = commands(&redis).values().sum();
    assert!(each <= 1300, "{each} commands for 1,000 appends");
    assert_eq!(log.open().await.unwrap().records.len(), 1011);
}

/// A group whose answer is lost is retried, and appended once; so is one whose
/// bytes arrive when all is over.
#[tokio::test]
async fn a_group_that_arrives_late_as_well_is_appended_once() {
    let redis = RedisServer::start();
    let mut relay = Relay::to(redis.address()).await;
    let url = format!("redis://{}", relay.address());
    let log = SharedLog::new(ClusterConfig {
        command_timeout: Duration::from_secs(4),
        ..ClusterConfig::new(url.parse().unwrap())
    });
    log.append(None, b"first").await.unwrap();
    relay.hold();
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { log.append(None, b"x").await })
        })
        .collect();
    for task in tasks {
        let appended = task.await.unwrap();
        assert!(matches!(appended, Ok(Appended::New(_))), "{appended:?}");
    }
    let appended = || redis.command(&["XLEN", "{help-desk-ws}:log"]);
    let before = appended();
    // The entry that begins the log, and these.
    assert_eq!(before, "12\n");
    relay.deliver().await;
    assert_eq!(appended(), before);
    // And it goes on.
    log.append(None, b"last").await.unwrap();
    assert_eq!(redis.log().open().await.unwrap().records.len(), 12);
}

/// Appends one record and, while that is under way, nine more, all with ids.
fn append_ten(log: &SharedLog) -> Vec<tokio::task::JoinHandle<Result<Appended, AppendError>>> {
    let ids = (0..10).map(|number| format!("id {number}"));
    let appends = ids.map(|id| {
        let log = log.clone();
        tokio::spawn(async move { log.append(Some(&id), id.as_bytes()).await })
    });
    appends.collect()
}

#[tokio::test]
async fn a_group_whose_answer_is_lost_is_retried_and_appended_once() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.address()).await;
    let url = format!("redis://{}", relay.address());
    let log = SharedLog::new(ClusterConfig {
        command_timeout: Duration::from_secs(4),
        ..ClusterConfig::new(url.parse().unwrap())
    });
    log.append(None, b"first").await.unwrap();
    relay.mute();
    let mut offsets = Vec::new();
    for append in append_ten(&log) {
        // To its caller a retry is the append.
        match append.await.unwrap().unwrap() {
            Appended::New(offset) => offsets.push(offset),
            Appended::Repeated(offset) => panic!("{offset} is repeated"),
        }
    }
    let records = redis.log().open().await.unwrap().records;
    let there: Vec<Offset> = records.iter().skip(1).map(|record| record.offset).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, there);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_instance_appended_before_it_died_is_repeated_by_another() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.address()).await;
    let url = format!("redis://{}", relay.address());
    let dying = SharedLog::new(ClusterConfig::new(url.parse().unwrap()));
    dying.append(None, b"first").await.unwrap();
    relay.mute();
    let appends = append_ten(&dying);
    wait_until("the first is there", || {
        let length = redis.command(&["XLEN", "{help-desk-ws}:log"]);
        // The entry that begins the log, and one.
        length
            .trim()
            .parse::<usize>()
            .is_ok_and(|length| length > 2)
    });
    for append in appends {
        append.abort();
    }
    let other = redis.log();
    for append in append_ten(&other) {
        append.await.unwrap().unwrap();
    }
    assert_eq!(other.open().await.unwrap().records.len(), 11);
}

/// What an instance of an older version does to the same keys.
fn append_as_an_older_version(redis: &RedisServer, record: &str, id: &str) {
    let last = redis.command(&["XREVRANGE", "{help-desk-ws}:log", "+", "-", "COUNT", "1"]);
    let mut lines = last.lines();
    let before = lines.next().expect("an entry");
    let log = lines.nth(1).expect("its log");
    let stream = "{help-desk-ws}:log";
    let offset = redis.command(&["XADD", stream, "*", "l", log, "p", before, "r", record]);
    let key = format!("{{help-desk-ws}}:id:{id}");
    redis.command(&["SET", &key, offset.trim(), "PX", "60000"]);
}

#[tokio::test]
async fn an_older_version_appends_to_the_same_log_and_its_ids_are_known() {
    let redis = RedisServer::start();
    let log = redis.log();
    log.append(Some("ours"), b"0").await.unwrap();
    append_as_an_older_version(&redis, "1", "theirs");
    let repeated = log.append(Some("theirs"), b"x").await.unwrap();
    assert!(matches!(repeated, Appended::Repeated(_)), "{repeated:?}");
    log.append(Some("ours too"), b"2").await.unwrap();
    append_as_an_older_version(&redis, "3", "more");
    log.append(None, b"4").await.unwrap();
    // One log, in which each entry names the one before.
    let snapshot = redis.log().open().await.unwrap();
    let records: Vec<&[u8]> = snapshot.records.iter().map(|r| &*r.bytes).collect();
    assert_eq!(records, [b"0", b"1", b"2", b"3", b"4"]);
    // An older version looks for the id where it always was.
    let key = "{help-desk-ws}:id:ours too";
    assert_eq!(redis.command(&["EXISTS", key]), "1\n");
}

#[tokio::test]
async fn the_stream_keeps_twice_as_many_records_while_nobody_trims_it() {
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
    assert!((199..400).contains(&count), "{count} records");
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
