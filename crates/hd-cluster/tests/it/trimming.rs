//! The bounds of the stream, and what is known of what was beyond them.

use std::time::Duration;

use hd_cluster::{Appended, ClusterConfig, Offset, SharedLog};

use crate::redis_server::RedisServer;

/// The record's text up to a colon.
fn room_of(record: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(record);
    text.split(':').take(1).map(str::to_owned).collect()
}

fn log(redis: &RedisServer, bounds: impl FnOnce(&mut ClusterConfig)) -> SharedLog {
    let mut config = redis.config();
    config.rooms_of = room_of;
    bounds(&mut config);
    SharedLog::new(config)
}

async fn append(log: &SharedLog, record: &str) -> Offset {
    match log
        .append(None, record.as_bytes())
        .await
        .expect("Redis is there")
    {
        Appended::New(offset) => offset,
        Appended::Repeated(_) => panic!("it has no id"),
    }
}

#[tokio::test]
async fn the_latest_trimmed_event_of_each_room_is_remembered() {
    let redis = RedisServer::start();
    let log = log(&redis, |config| config.max_records = 2);
    log.open().await.unwrap();
    let mut offsets = Vec::new();
    for record in ["a:0", "b:1", "a:2", "c:3", "a:4"] {
        offsets.push(append(&log, record).await);
    }
    // With the entry that begins the log.
    assert_eq!(log.trim().await.unwrap(), 4);
    let mut snapshot = log.open().await.unwrap();
    let records: Vec<&[u8]> = snapshot.records.iter().map(|r| &*r.bytes).collect();
    assert_eq!(records, [b"c:3", b"a:4"]);
    snapshot.trimmed.sort();
    let expected = [("a".to_owned(), offsets[2]), ("b".to_owned(), offsets[1])];
    assert_eq!(snapshot.trimmed, expected);
    assert_eq!(snapshot.began.offset, offsets[2]);
    assert!(snapshot.trimmed_unknown < offsets[0]);
    // There is nothing to do for the others, and the log goes on.
    assert_eq!(log.trim().await.unwrap(), 0);
    append(&log, "b:5").await;
    assert_eq!(log.trim().await.unwrap(), 1);
    let snapshot = log.open().await.unwrap();
    assert_eq!(snapshot.trimmed.len(), 3);
    assert_eq!(snapshot.records.len(), 2);
}

#[tokio::test]
async fn what_something_else_trims_is_of_unknown_rooms() {
    let redis = RedisServer::start();
    let log = log(&redis, |config| config.max_records = 2);
    let mut offsets = Vec::new();
    for number in 0..6 {
        offsets.push(append(&log, &format!("a:{number}")).await);
    }
    redis.command(&["XTRIM", "{help-desk-ws}:log", "MAXLEN", "=", "3"]);
    let snapshot = log.open().await.unwrap();
    assert_eq!(snapshot.trimmed_unknown, offsets[2]);
    assert_eq!(log.trim().await.unwrap(), 1);
    let snapshot = log.open().await.unwrap();
    assert_eq!(snapshot.trimmed_unknown, offsets[2]);
    assert_eq!(snapshot.trimmed, [("a".to_owned(), offsets[3])]);
}

#[tokio::test]
async fn the_stream_is_trimmed_by_bytes_and_by_age_and_never_to_nothing() {
    let redis = RedisServer::start();
    let by_bytes = log(&redis, |config| config.max_bytes = 10_000);
    for _ in 0..200 {
        append(&by_bytes, &"x".repeat(900)).await;
    }
    by_bytes.trim().await.unwrap();
    // Each counts for a hundred bytes more.
    assert_eq!(by_bytes.open().await.unwrap().records.len(), 10);

    let last = append(&by_bytes, "a:last").await;
    let by_age = log(&redis, |config| config.max_age = Duration::ZERO);
    while redis.millis() == last.millis() {}
    by_age.trim().await.unwrap();
    let snapshot = by_age.open().await.unwrap();
    assert_eq!(snapshot.records.len(), 1);
    assert_eq!(snapshot.records[0].offset, last);
    // The same log goes on after it.
    append(&by_age, "a:next").await;
    let next = by_age.open().await.unwrap();
    assert_eq!(next.records.len(), 2);
    assert_eq!(next.began.log, snapshot.began.log);
}

#[tokio::test]
async fn instances_that_trim_together_trim_no_more_than_one() {
    let redis = RedisServer::start();
    let logs: Vec<_> = (0..3)
        .map(|_| log(&redis, |config| config.max_records = 100))
        .collect();
    for number in 0..150 {
        append(&logs[number % 3], &format!("{}:{number}", number % 10)).await;
    }
    let trims = logs.iter().cloned();
    let trims: Vec<_> = trims
        .map(|log| tokio::spawn(async move { log.trim().await.unwrap() }))
        .collect();
    let mut trimmed = 0;
    for trim in trims {
        trimmed += trim.await.unwrap();
    }
    // And the entry that begins the log.
    assert!(trimmed <= 51, "{trimmed}");
    logs[0].trim().await.unwrap();
    let snapshot = logs[0].open().await.unwrap();
    assert_eq!(snapshot.records.len(), 100);
    assert_eq!(snapshot.trimmed.len(), 10);
}

/// It used to refuse every record from then on.
#[tokio::test]
async fn a_full_redis_loses_the_oldest_records_and_takes_new_ones() {
    let redis = RedisServer::start();
    let log = log(&redis, |_| {});
    let record = format!("a:{}", "x".repeat(8000));
    for _ in 0..400 {
        append(&log, &record).await;
    }
    let memory = redis.command(&["INFO", "memory"]);
    let mut lines = memory.lines();
    let used = lines.find_map(|line| line.strip_prefix("used_memory:"));
    let used = used.and_then(|used| used.trim().parse::<u64>().ok());
    // Room for some two hundred more.
    let limit = used.expect("a number") + 1_600_000;
    redis.command(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
    let mut last = Offset::default();
    for _ in 0..300 {
        last = append(&log, &record).await;
    }
    let snapshot = log.open().await.unwrap();
    let records = snapshot.records.len();
    assert!((200..700).contains(&records), "{records}");
    assert_eq!(snapshot.end.offset, last);
    // What was lost is remembered.
    let latest = ("a".to_owned(), snapshot.began.offset);
    assert_eq!(snapshot.trimmed, [latest]);
}
