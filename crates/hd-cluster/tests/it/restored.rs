//! A Redis that is started again with less than it had acknowledged, and who notices.

use std::fs::OpenOptions;
use std::path::PathBuf;

use hd_cluster::{ClusterConfig, Followed, LogId, SharedLog};

use crate::following::{Follower, append, text};
use crate::redis_server::{PATIENCE, RedisServer, wait_until};
use crate::snapshot::{Snapshot, Whole as _};

fn texts(snapshot: &Snapshot) -> Vec<String> {
    snapshot.records.iter().cloned().map(text).collect()
}

/// Kills the server, and starts it with what it last saved.
fn restart(redis: &mut RedisServer) {
    redis.kill();
    redis.start_again();
}

async fn log_of(redis: &RedisServer) -> LogId {
    redis.log().open().await.expect("Redis is there").end.log
}

#[tokio::test]
async fn an_older_snapshot_is_another_log_for_instances_without_memory() {
    let mut redis = RedisServer::start();
    let dead = redis.log();
    let began = dead.open().await.unwrap().began;
    append(&dead, 0..2).await;
    redis.command(&["SAVE"]);
    append(&dead, 2..3).await;
    drop(dead);
    restart(&mut redis);

    let new = redis.log();
    let found = new.open().await.unwrap();
    assert!(found.end.log > began.log);
    assert_eq!((found.began, texts(&found)), (found.end, vec![]));
    // Once: it is the log for all from now on.
    append(&new, 3..4).await;
    let other = redis.log().open().await.unwrap();
    assert_eq!(other.began, found.began);
    assert_eq!(texts(&other), ["3"]);
}

#[tokio::test]
async fn two_instances_without_memory_begin_one_other_log() {
    let mut redis = RedisServer::start();
    let began = redis.log().open().await.unwrap().began;
    redis.command(&["SAVE"]);
    restart(&mut redis);
    let (one, other) = (redis.log(), redis.log());
    let (one, other) = tokio::join!(one.open(), other.open());
    assert_eq!(one.unwrap().end.log, other.unwrap().end.log);
    assert!(log_of(&redis).await > began.log);
}

#[tokio::test]
async fn an_append_only_file_without_its_end_is_another_log() {
    let settings = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = RedisServer::start_with(&settings);
    let dead = redis.log();
    let began = dead.open().await.unwrap().began;
    append(&dead, 0..2).await;
    let file = incremental_file(&redis);
    let length = file.metadata().unwrap().len();
    append(&dead, 2..3).await;
    redis.kill();
    let file = OpenOptions::new().write(true).open(&file).unwrap();
    file.set_len(length).unwrap();
    redis.start_again();
    assert!(log_of(&redis).await > began.log);
}

fn incremental_file(redis: &RedisServer) -> PathBuf {
    let folder = redis.folder().join("appendonlydir");
    let mut files = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|file| file.expect("a file").path());
    let is_incremental = |file: &PathBuf| file.to_string_lossy().ends_with(".incr.aof");
    files.find(is_incremental).expect("it has one")
}

#[tokio::test]
async fn a_living_instance_vouches_for_a_redis_that_has_all_that_it_read() {
    let mut redis = RedisServer::start();
    let living = redis.log();
    let began = living.open().await.unwrap().began;
    let mut follower = Follower::start(&living, began);
    append(&living, 0..2).await;
    assert_eq!(follower.texts(2).await, ["0", "1"]);
    redis.command(&["SAVE"]);
    restart(&mut redis);
    assert!(matches!(follower.next().await, Followed::CutOff(_)));
    assert!(matches!(follower.next().await, Followed::Back));
    // One that starts now goes on as well, and nobody is notified.
    let new = redis.log().open().await.unwrap();
    assert_eq!(new.end.log, began.log);
    assert_eq!(texts(&new), ["0", "1"]);
    append(&living, 2..3).await;
    assert_eq!(follower.texts(1).await, ["2"]);
}

#[tokio::test]
async fn an_instance_without_memory_waits_for_one_that_has_it() {
    let mut redis = RedisServer::start();
    let living = redis.log();
    let began = living.open().await.unwrap().began;
    let mut follower = Follower::start(&living, began);
    append(&living, 0..1).await;
    assert_eq!(follower.texts(1).await, ["0"]);
    redis.command(&["SAVE"]);
    restart(&mut redis);
    let new = SharedLog::new(ClusterConfig {
        max_backoff: PATIENCE,
        ..redis.config()
    });
    assert_eq!(new.open().await.unwrap().end.log, began.log);
}

#[tokio::test]
async fn a_living_instance_begins_another_log_when_what_it_read_is_missing() {
    let mut redis = RedisServer::start();
    let living = redis.log();
    let began = living.open().await.unwrap().began;
    let mut follower = Follower::start(&living, began);
    append(&living, 0..1).await;
    assert_eq!(follower.texts(1).await, ["0"]);
    redis.command(&["SAVE"]);
    append(&living, 1..2).await;
    assert_eq!(follower.texts(1).await, ["1"]);
    restart(&mut redis);
    assert!(matches!(follower.next().await, Followed::CutOff(_)));
    assert!(matches!(follower.next().await, Followed::Back));
    let gap = follower.gap().await;
    assert!(gap.log > began.log);
    let new = redis.log().open().await.unwrap();
    assert_eq!((new.began, texts(&new)), (gap, vec![]));
}

#[tokio::test]
async fn a_promoted_replica_has_the_same_log_for_instances_without_memory() {
    let mut master = RedisServer::start();
    let replica = RedisServer::start();
    replica.follow(&master);
    // Seconds count: the replica has been there before the log is written to.
    wait_until("a second has passed", || {
        !replica
            .command(&["INFO", "server"])
            .contains("uptime_in_seconds:0")
    });
    let dead = master.log();
    let began = dead.open().await.unwrap().began;
    append(&dead, 0..2).await;
    master.command(&["WAIT", "1", "0"]);
    master.kill();
    replica.command(&["REPLICAOF", "NO", "ONE"]);

    let new = replica.log().open().await.unwrap();
    assert_eq!(new.end.log, began.log);
    assert_eq!(texts(&new), ["0", "1"]);
    // It is written down: the next one looks no further.
    assert_eq!(log_of(&replica).await, began.log);
}

#[tokio::test]
async fn a_redis_that_stays_has_the_same_log_for_instances_without_memory() {
    let redis = RedisServer::start();
    let began = redis.log().open().await.unwrap().began;
    for _ in 0..3 {
        assert_eq!(log_of(&redis).await, began.log);
    }
}

#[tokio::test]
async fn a_proof_of_loss_begins_another_log_once() {
    let redis = RedisServer::start();
    let log = redis.log();
    let began = log.open().await.unwrap().began;
    let mut follower = Follower::start(&log, began);
    let (one, other) = (redis.log(), redis.log());
    let (one, other) = tokio::join!(one.begin_another(began.log), other.begin_another(began.log));
    one.unwrap();
    other.unwrap();
    let gap = follower.gap().await;
    assert!(gap.log > began.log);
    append(&log, 0..1).await;
    assert_eq!(follower.texts(1).await, ["0"]);
    assert_eq!(log_of(&redis).await, gap.log);
}
