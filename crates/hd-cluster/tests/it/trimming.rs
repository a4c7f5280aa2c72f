//! The bounds of the stream, and what is known of what was beyond them.

use std::collections::HashMap;
use std::time::Duration;

use hd_cluster::{
    Appended, ClusterConfig, Followed, Offset, RecordKeys, RecordMac, SharedLog, Trimmed,
    UnsignedRecords,
};
use hd_replay::{EVERYONE_KEY, room_key};

use crate::following::Follower;
use crate::redis_server::{RedisServer, wait_until};
use crate::snapshot::Whole as _;

/// The record's text up to a colon.
fn room_of(record: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(record);
    text.split(':').take(1).map(str::to_owned).collect()
}

/// Of these rooms, and of no others.
fn trimmed<const N: usize>(rooms: [(&str, Offset); N]) -> Trimmed {
    let rooms = rooms.map(|(room, latest)| (room_key(room), latest));
    Trimmed::from_parts(Offset::default(), rooms)
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
    let snapshot = log.open().await.unwrap();
    let records: Vec<&[u8]> = snapshot.records.iter().map(|r| &*r.bytes).collect();
    assert_eq!(records, [b"c:3", b"a:4"]);
    let expected = trimmed([("a", offsets[2]), ("b", offsets[1])]);
    assert_eq!(snapshot.trimmed, expected);
    assert_eq!(snapshot.began.offset, offsets[2]);
    // There is nothing to do for the others, and the log goes on.
    assert_eq!(log.trim().await.unwrap(), 0);
    append(&log, "b:5").await;
    assert_eq!(log.trim().await.unwrap(), 1);
    let snapshot = log.open().await.unwrap();
    assert_eq!(snapshot.trimmed.rooms().len(), 3);
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
    assert_eq!(snapshot.trimmed.floor(), offsets[2]);
    assert_eq!(log.trim().await.unwrap(), 1);
    let snapshot = log.open().await.unwrap();
    assert_eq!(snapshot.trimmed.floor(), offsets[2]);
    assert_eq!(
        snapshot.trimmed,
        Trimmed::from_parts(offsets[2], [(room_key("a"), offsets[3])])
    );
}

#[tokio::test]
async fn what_was_trimmed_of_a_deleted_stream_says_nothing_of_the_next_one() {
    let redis = RedisServer::start();
    let log = log(&redis, |_| {});
    append(&log, "a:before").await;
    // The clock was far ahead then.
    redis.command(&["HSET", "{help-desk-ws}:tail", "up-to", "9999999999999-0"]);
    redis.command(&["DEL", "{help-desk-ws}:log"]);
    let mut offsets = Vec::new();
    for number in 0..6 {
        offsets.push(append(&log, &format!("a:{number}")).await);
    }
    redis.command(&["XTRIM", "{help-desk-ws}:log", "MAXLEN", "=", "3"]);
    let snapshot = log.open().await.unwrap();
    assert_eq!(snapshot.trimmed.floor(), offsets[2]);
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
    assert_eq!(snapshot.trimmed.rooms().len(), 10);
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
    let (said, mut relieved) = tokio::sync::mpsc::unbounded_channel();
    let trimming = log.clone();
    let trimming = tokio::spawn(async move {
        let say = |records| said.send(records).expect("it is heard");
        trimming.keep_trimmed(say).await;
    });
    let mut last = Offset::default();
    for _ in 0..300 {
        last = append(&log, &record).await;
    }
    let relieved = relieved.recv().await.expect("it is said how many");
    assert!(relieved > 0, "{relieved}");
    trimming.abort();
    let snapshot = log.open().await.unwrap();
    let records = snapshot.records.len();
    assert!((200..700).contains(&records), "{records}");
    assert_eq!(snapshot.end.offset, last);
    // What was lost is remembered.
    assert_eq!(snapshot.trimmed, trimmed([("a", snapshot.began.offset)]));
}

#[tokio::test]
async fn a_gap_of_an_instance_that_follows_has_what_was_trimmed() {
    let redis = RedisServer::start();
    let log = log(&redis, |config| config.max_records = 2);
    log.open().await.unwrap();
    append(&log, "a:0").await;
    let read = log.open().await.unwrap().end;
    let mut offsets = Vec::new();
    for record in ["a:1", "b:2", "c:3", "c:4"] {
        offsets.push(append(&log, record).await);
    }
    log.trim().await.unwrap();
    let mut follower = Follower::start(&log, read);
    let (began, missing) = follower.missing().await;
    assert_eq!(began.offset, offsets[1]);
    assert_eq!(missing, trimmed([("a", offsets[0]), ("b", offsets[1])]));
    assert_eq!(follower.texts(2).await, ["c:3", "c:4"]);
}

/// What is trimmed while the log is read is either read or remembered.
#[tokio::test]
async fn what_is_trimmed_between_two_pages_is_a_gap_with_what_was_trimmed() {
    let redis = RedisServer::start();
    let reader = log(&redis, |config| config.read_records = 2);
    let trimmer = log(&redis, |config| config.max_records = 2);
    reader.open().await.unwrap();
    let mut offsets = Vec::new();
    for record in ["a:0", "b:1", "a:2", "c:3", "c:4"] {
        offsets.push(append(&reader, record).await);
    }
    let mut gaps = Vec::new();
    let mut has_trimmed = false;
    let loading = reader.load(|followed| {
        let trims = match followed {
            Followed::Gap(place, missing) => {
                gaps.push((place.offset, missing));
                false
            }
            Followed::Records(_) => !std::mem::replace(&mut has_trimmed, true),
            Followed::Rejected(..)
            | Followed::CutOff(_)
            | Followed::Back
            | Followed::Moved
            | Followed::End(_) => false,
        };
        let trimmer = trimmer.clone();
        async move {
            if trims {
                trimmer.trim().await.unwrap();
            }
        }
    });
    let loaded = Box::pin(loading).await.unwrap();
    assert_eq!(loaded.end.offset, offsets[4]);
    let (began, missing) = gaps.pop().expect("there is a gap");
    assert_eq!((began, gaps.len()), (offsets[2], 1));
    assert_eq!(missing, trimmed([("a", offsets[2]), ("b", offsets[1])]));
}

/// What was trimmed after the beginning that was read is read as well.
#[tokio::test]
async fn what_is_remembered_counts_up_to_the_beginning_at_most() {
    let redis = RedisServer::start();
    let log = log(&redis, |config| config.max_records = 2);
    log.open().await.unwrap();
    for record in ["a:0", "b:1", "c:2", "c:3"] {
        append(&log, record).await;
    }
    log.trim().await.unwrap();
    let later = format!("{}-0", redis.millis() + 60_000);
    redis.command(&["HSET", "{help-desk-ws}:trimmed", "b", &later]);
    redis.command(&["HSET", "{help-desk-ws}:tail", "floor", &later]);
    let snapshot = log.open().await.unwrap();
    let began = snapshot.began.offset;
    assert_eq!(snapshot.trimmed, Trimmed::all_up_to(began));
}

#[tokio::test]
async fn an_entry_that_somebody_deleted_is_of_unknown_rooms() {
    let redis = RedisServer::start();
    let log = log(&redis, |config| config.max_records = 2);
    log.open().await.unwrap();
    let mut offsets = Vec::new();
    for number in 0..6 {
        offsets.push(append(&log, &format!("a:{number}")).await);
    }
    redis.command(&["XDEL", "{help-desk-ws}:log", &offsets[1].to_string()]);
    log.trim().await.unwrap();
    let snapshot = log.open().await.unwrap();
    assert_eq!(snapshot.trimmed.floor(), offsets[1]);
    assert_eq!(snapshot.records.len(), 2);
}

#[tokio::test]
async fn entries_of_strangers_are_trimmed_and_a_forged_record_counts_for_everyone() {
    let redis = RedisServer::start();
    let keys = |key: u8| {
        let mac: RecordMac = Box::new(move |_| [key; 16]);
        RecordKeys::new(vec![mac], UnsignedRecords::Reject)
    };
    let ours = log(&redis, |config| {
        config.max_records = 150;
        config.records = keys(1);
    });
    let stranger = log(&redis, |config| config.records = keys(2));
    ours.open().await.unwrap();
    let first = append(&ours, "a:0").await;
    let forged = append(&stranger, "b:1").await;
    for _ in 0..100 {
        let poison = r"
            redis.call('XADD', KEYS[1], '*', '\255\254', '\255', 'r', '\255')
            redis.call('XADD', KEYS[1], '*', 'l', 'x', 'p', '\255', 'r', 'b:2')
        ";
        redis.command(&["EVAL", poison, "1", "{help-desk-ws}:log"]);
    }
    for number in 2..6 {
        append(&ours, &format!("c:{number}")).await;
    }
    redis.command(&[
        "HSET",
        "{help-desk-ws}:tail",
        "swept",
        "x",
        "instance:x",
        "x",
    ]);
    ours.trim().await.unwrap();
    let snapshot = ours.open().await.unwrap();
    assert_eq!((snapshot.records.len(), snapshot.rejected.len()), (4, 146));
    let rooms: HashMap<u64, Offset> = snapshot.trimmed.rooms().collect();
    assert_eq!(snapshot.trimmed.floor(), Offset::default());
    assert_eq!(rooms.get(&room_key("a")), Some(&first));
    assert_eq!(rooms.get(&EVERYONE_KEY), Some(&forged));
    // Not what a stranger says that it is for.
    assert_eq!(rooms.get(&room_key("b")), None);
}

#[tokio::test]
async fn a_memory_that_is_something_else_is_no_memory() {
    let redis = RedisServer::start();
    let log = log(&redis, |config| config.max_records = 2);
    for number in 0..4 {
        append(&log, &format!("a:{number}")).await;
    }
    log.trim().await.unwrap();
    redis.command(&["SET", "{help-desk-ws}:trimmed", "x"]);
    let snapshot = log.open().await.unwrap();
    assert_eq!(snapshot.trimmed, Trimmed::all_up_to(snapshot.began.offset));
}

/// Or what was counted and never subtracted would trim the log to nothing.
#[tokio::test]
async fn the_bytes_that_are_left_are_those_of_what_is_left() {
    let redis = RedisServer::start();
    let log = log(&redis, |config| {
        config.max_records = 200;
        let mac: RecordMac = Box::new(|_| [1; 16]);
        config.records = RecordKeys::new(vec![mac], UnsignedRecords::Reject);
    });
    log.open().await.unwrap();
    for number in 0..300 {
        append(&log, &format!("a:{number:03}")).await;
    }
    log.trim().await.unwrap();
    let end = redis.command(&["HGET", "{help-desk-ws}:tail", "end"]);
    let counts: Vec<&str> = end.split(' ').skip(2).take(2).collect();
    assert_eq!(counts, ["200", "24200"]);
}

/// Without it the log would not be found, and another one would begin.
#[tokio::test]
async fn the_last_entry_of_the_log_stays_whatever_strangers_append_after_it() {
    let redis = RedisServer::start();
    let log = log(&redis, |config| config.max_age = Duration::ZERO);
    let began = log.open().await.unwrap().began;
    let last = append(&log, "a:0").await;
    let poison = r"
        for i = 1, 200 do
            redis.call('XADD', KEYS[1], '*', 'x', 'y')
        end
    ";
    redis.command(&["EVAL", poison, "1", "{help-desk-ws}:log"]);
    wait_until("all of it is old", || redis.millis() > last.millis() + 1000);
    log.trim().await.unwrap();
    let snapshot = log.open().await.unwrap();
    assert_eq!(snapshot.end.log, began.log);
    assert_eq!(snapshot.end.offset, last);
    // Until there is one after it.
    append(&log, "a:1").await;
    log.trim().await.unwrap();
    assert_eq!(log.open().await.unwrap().rejected, []);
}
