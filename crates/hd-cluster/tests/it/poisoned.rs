//! Entries of the stream that somebody else has written there.

use std::time::Duration;

use hd_cluster::{
    Appended, ClusterConfig, Followed, Offset, RecordKeys, RecordMac, Rejection, SharedLog,
    UnsignedRecords,
};

use crate::following::{Follower, LOG, append, text};
use crate::redis_server::RedisServer;
use crate::snapshot::Whole as _;

const GREATEST: &str = "18446744073709551615";

async fn append_one(log: &SharedLog, record: &str) -> Offset {
    match log.append(None, record.as_bytes()).await {
        Ok(Appended::New(offset)) => offset,
        other => panic!("{other:?}"),
    }
}

/// The next records, whatever is rejected meanwhile.
async fn next_texts(follower: &mut Follower) -> Vec<String> {
    loop {
        match follower.next().await {
            Followed::Records(records) => return records.into_iter().map(text).collect(),
            Followed::Rejected(..) => {}
            other @ (Followed::Gap(..)
            | Followed::CutOff(_)
            | Followed::Back
            | Followed::Moved
            | Followed::End(_)) => {
                panic!("{other:?}")
            }
        }
    }
}

#[tokio::test]
async fn foreign_entries_are_passed_over_by_those_who_append_and_read() {
    let redis = RedisServer::start();
    let log = redis.log();
    let began = log.open().await.unwrap().began;
    let mut follower = Follower::start(&log, began);
    append(&log, 0..1).await;
    assert_eq!(follower.texts(1).await, ["0"]);
    let last = append_one(&log, "x").await.to_string();
    assert_eq!(follower.texts(1).await, ["x"]);
    let no_place = format!("{GREATEST}-{GREATEST}");
    for fields in [
        &["r", "x"][..],
        &["l", "x", "p", &last, "r", "x"],
        &["l", GREATEST, "p", &last, "r", "x"],
        &["l", "9999999999999999999", "p", &last, "r", "x"],
        &["l", "99999999999999999999999", "r", "x"],
        &["l", "1", "p", &no_place, "r", "x"],
        &["l", "-1"],
        &["l", ""],
        &["anything", "at all"],
        &["\u{e9}", "x"],
    ] {
        redis.command(&[&["XADD", LOG, "*"], fields].concat());
        append_one(&log, "after").await;
        // No gap, and no other log.
        assert_eq!(next_texts(&mut follower).await, ["after"], "{fields:?}");
    }
    let found = redis.log().open().await.unwrap();
    assert_eq!(found.began, began);
    assert_eq!((found.records.len(), found.rejected.len()), (12, 10));
}

#[tokio::test]
async fn a_forged_beginning_does_not_rename_the_log() {
    let redis = RedisServer::start();
    let log = redis.log();
    let began = log.open().await.unwrap().began;
    append_one(&log, "before").await;
    redis.command(&["XADD", LOG, "*", "l", "1"]);
    append_one(&log, "after").await;
    let found = redis.log().open().await.unwrap();
    assert_eq!(found.end.log, began.log);
    let texts: Vec<String> = found.records.into_iter().map(text).collect();
    assert_eq!(texts, ["after"]);
}

#[tokio::test]
async fn a_flood_of_foreign_entries_does_not_stop_the_log() {
    let redis = RedisServer::start();
    let log = redis.log();
    let began = log.open().await.unwrap().began;
    let flood = "for _ = 1, 1500 do redis.call('XADD', KEYS[1], '*', 'r', 'x') end";
    redis.command(&["EVAL", flood, "1", LOG]);
    append_one(&log, "after").await;
    let found = redis.log().open().await.unwrap();
    let texts: Vec<String> = found.records.into_iter().map(text).collect();
    assert_eq!(texts, ["after"]);
    // What was before is too far away to be found.
    assert!(found.began.log > began.log);
}

#[tokio::test]
async fn an_id_in_the_far_future_begins_another_log() {
    let future = format!("{}-0", 99_999_999_999_999_u64);
    let last = format!("{GREATEST}-{GREATEST}");
    let nearly = format!("{GREATEST}-5");
    for id in [future, last, nearly] {
        let redis = RedisServer::start();
        let log = redis.log();
        let began = log.open().await.unwrap().began;
        let mut follower = Follower::start(&log, began);
        append_one(&log, "before").await;
        assert_eq!(follower.texts(1).await, ["before"]);
        redis.command(&["XADD", LOG, &id, "r", "x"]);
        append_one(&log, "after").await;
        let gap = loop {
            match follower.next().await {
                Followed::Gap(gap, _) => break gap,
                Followed::Rejected(..) | Followed::CutOff(_) | Followed::Back => {}
                other @ (Followed::Records(_) | Followed::Moved | Followed::End(_)) => {
                    panic!("{other:?}")
                }
            }
        };
        assert!(gap.log > began.log, "{id}");
        append_one(&log, "later").await;
        let mut texts = next_texts(&mut follower).await;
        while texts.last().is_none_or(|text| text != "later") {
            texts.extend(next_texts(&mut follower).await);
        }
    }
}

#[tokio::test]
async fn an_instance_that_starts_finds_its_way_past_an_id_in_the_far_future() {
    let redis = RedisServer::start();
    let began = redis.log().open().await.unwrap().began;
    let last = format!("{GREATEST}-{GREATEST}");
    redis.command(&["XADD", LOG, &last, "l", "1", "p", "0-1", "r", "x"]);
    assert!(redis.log().open().await.unwrap().began.log > began.log);
}

#[tokio::test]
async fn a_last_id_that_no_id_follows_does_not_stop_the_log() {
    let redis = RedisServer::start();
    let log = redis.log();
    log.open().await.unwrap();
    append_one(&log, "before").await;
    let last = format!("{GREATEST}-{GREATEST}");
    redis.command(&["XSETID", LOG, &last]);
    append_one(&log, "after").await;
    let found = redis.log().open().await.unwrap();
    let texts: Vec<String> = found.records.into_iter().map(text).collect();
    assert_eq!(texts, ["after"]);
}

#[tokio::test]
async fn a_count_that_numbers_of_lua_do_not_hold_is_followed() {
    let redis = RedisServer::start();
    let log = redis.log();
    log.open().await.unwrap();
    let soon = redis.millis() + 3_600_000;
    redis.command(&["XADD", LOG, &format!("{soon}-{GREATEST}"), "r", "x"]);
    let after = append_one(&log, "after").await;
    assert_eq!(after.millis(), soon + 1);
}

/// No MAC, and different for each key.
fn keys(keys: &[u8], unsigned: UnsignedRecords) -> RecordKeys {
    let mac = |key: u8| -> RecordMac {
        Box::new(move |record| [record.iter().fold(key, |sum, byte| sum.wrapping_add(*byte)); 16])
    };
    RecordKeys::new(keys.iter().map(|key| mac(*key)).collect(), unsigned)
}

fn log_with(redis: &RedisServer, records: RecordKeys) -> SharedLog {
    SharedLog::new(ClusterConfig {
        records,
        ..redis.config()
    })
}

#[tokio::test]
async fn records_of_strangers_are_a_gap_and_do_not_count() {
    let redis = RedisServer::start();
    let log = log_with(&redis, keys(&[1], UnsignedRecords::Reject));
    let stranger = log_with(&redis, keys(&[2], UnsignedRecords::Reject));
    let unsigned = redis.log();
    let began = log.open().await.unwrap().began;
    let mut follower = Follower::start(&log, began);
    append_one(&log, "ours").await;
    assert_eq!(follower.texts(1).await, ["ours"]);
    for (other, why) in [
        (&stranger, Rejection::Forged),
        (&unsigned, Rejection::Unsigned),
    ] {
        let offset = append_one(other, "theirs").await;
        match follower.next().await {
            Followed::Rejected(rejected, rejection) => {
                assert_eq!((rejected, rejection), (offset, why));
            }
            other @ (Followed::Records(_)
            | Followed::Gap(..)
            | Followed::CutOff(_)
            | Followed::Back
            | Followed::Moved
            | Followed::End(_)) => panic!("{other:?}"),
        }
        let gap = follower.gap().await;
        // The same log goes on after it.
        assert_eq!((gap.log, gap.offset), (began.log, offset));
        append_one(&log, "ours").await;
        assert_eq!(follower.texts(1).await, ["ours"]);
    }
    let found = log_with(&redis, keys(&[1], UnsignedRecords::Reject))
        .open()
        .await
        .unwrap();
    assert_eq!((found.records.len(), found.rejected.len()), (1, 2));
}

#[tokio::test]
async fn records_of_the_release_before_count_where_that_is_accepted() {
    let redis = RedisServer::start();
    let unsigned = redis.log();
    let began = unsigned.open().await.unwrap().began;
    let log = log_with(&redis, keys(&[1], UnsignedRecords::Accept));
    let mut follower = Follower::start(&log, began);
    append(&unsigned, 0..2).await;
    append(&log, 2..3).await;
    assert_eq!(follower.texts(3).await, ["0", "1", "2"]);
    // And that one reads ours.
    let mut other = Follower::start(&unsigned, began);
    assert_eq!(other.texts(3).await, ["0", "1", "2"]);
}

#[tokio::test]
async fn instances_believe_each_other_while_a_secret_is_changed() {
    let redis = RedisServer::start();
    let steps = [&[1][..], &[2, 1], &[2]];
    let [old, both, new] = steps.map(|step| log_with(&redis, keys(step, UnsignedRecords::Reject)));
    let began = old.open().await.unwrap().began;
    let mut followers = [Follower::start(&old, began), Follower::start(&both, began)];
    append(&old, 0..1).await;
    append(&both, 1..2).await;
    for follower in &mut followers {
        assert_eq!(follower.texts(2).await, ["0", "1"]);
    }
    let from = followers.map(Follower::stop)[1];
    let mut followers = [Follower::start(&both, from), Follower::start(&new, from)];
    append(&both, 2..3).await;
    append(&new, 3..4).await;
    for follower in &mut followers {
        assert_eq!(follower.texts(2).await, ["2", "3"]);
    }
}

#[tokio::test]
async fn pages_are_bounded_in_bytes() {
    let redis = RedisServer::start();
    let log = SharedLog::new(ClusterConfig {
        read_bytes: 10_000,
        ..redis.config()
    });
    log.open().await.unwrap();
    for size in [1_usize, 4_000, 4_000, 4_000, 30_000, 1, 1] {
        append_one(&log, &"x".repeat(size)).await;
    }
    let mut pages = Vec::new();
    let loading = log.load(|followed| {
        if let Followed::Records(records) = followed {
            pages.push(
                records
                    .iter()
                    .map(|record| record.bytes.len())
                    .collect::<Vec<_>>(),
            );
        }
        std::future::ready(())
    });
    loading.await.unwrap();
    assert_eq!(
        pages,
        [vec![1, 4_000, 4_000, 4_000], vec![30_000], vec![1, 1]]
    );
}

#[tokio::test]
async fn the_time_is_that_of_redis() {
    let redis = RedisServer::start();
    let log = redis.log();
    log.open().await.unwrap();
    let before = redis.millis();
    let now = log.now_millis();
    let after = redis.millis();
    // What an answer takes is not known.
    let patience = Duration::from_secs(1)
        .as_millis()
        .try_into()
        .unwrap_or(u64::MAX);
    assert!(
        before <= now + patience && now <= after + patience,
        "{before} {now} {after}"
    );
}
