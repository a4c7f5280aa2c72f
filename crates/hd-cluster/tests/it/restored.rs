//! A Redis that is started again with less than it had acknowledged, and who notices.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use hd_cluster::{ClusterConfig, Followed, LogId, OpenError, SharedLog};

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
    // Seconds count, and a busy server is late by some of one: the replica has been there before
    // the log is written to.
    wait_until("two seconds have passed", || {
        let info = replica.command(&["INFO", "server"]);
        let mut lines = info.lines();
        let uptime = lines.find_map(|line| line.strip_prefix("uptime_in_seconds:"));
        uptime.is_some_and(|uptime| uptime.trim().parse().is_ok_and(|uptime: u32| uptime >= 2))
    });
    let dead = master.log();
    let began = dead.open().await.unwrap().began;
    append(&dead, 0..2).await;
    // `WAIT` would wait for what its own connection has written.
    wait_until("the replica has it", || {
        replica.command(&["XLEN", "{help-desk-ws}:log"]) == "3\n"
    });
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

/// A Redis to which this run of it is not written down, and that is full.
fn fill(redis: &RedisServer) {
    redis.command(&["DEL", "{help-desk-ws}:server"]);
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_that_was_promoted_is_followed() {
    let redis = RedisServer::start();
    let log = SharedLog::new(ClusterConfig {
        clock_interval: Duration::from_millis(100),
        ..redis.config()
    });
    let began = log.open().await.unwrap().began;
    append(&log, 0..2).await;
    fill(&redis);
    let mut follower = Follower::start(&log, began);
    assert_eq!(follower.texts(2).await, ["0", "1"]);
    // It is written down once there is room.
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    wait_until("the server is written down", || {
        redis.command(&["EXISTS", "{help-desk-ws}:server"]) == "1\n"
    });
}

#[tokio::test]
async fn an_instance_starts_with_a_full_redis() {
    let redis = RedisServer::start();
    let log = redis.log();
    log.open().await.unwrap();
    append(&log, 0..2).await;
    fill(&redis);
    assert_eq!(texts(&redis.log().open().await.unwrap()), ["0", "1"]);
}

/// Room is made for it, as for an append.
#[tokio::test]
async fn another_log_begins_in_a_full_redis() {
    let redis = RedisServer::start();
    let log = redis.log();
    let began = log.open().await.unwrap().began;
    for _ in 0..400 {
        log.append(None, &[b'x'; 8000]).await.unwrap();
    }
    redis.command(&["SET", "{help-desk-ws}:server", "another run 1"]);
    let memory = redis.command(&["INFO", "memory"]);
    let mut lines = memory.lines();
    let used = lines.find_map(|line| line.strip_prefix("used_memory:"));
    let used = used.expect("a line").trim();
    redis.command(&["CONFIG", "SET", "maxmemory", used]);
    let until = tokio::time::Instant::now() + PATIENCE;
    let found = loop {
        match redis.log().open().await {
            Ok(found) => break found,
            Err(OpenError::Unavailable(_)) => assert!(tokio::time::Instant::now() < until),
            Err(error) => panic!("{error}"),
        }
    };
    assert!(found.end.log > began.log);
}

#[tokio::test]
async fn a_redis_that_refuses_writes_for_a_while_is_waited_for() {
    let redis = RedisServer::start();
    let log = redis.log();
    log.open().await.unwrap();
    redis.command(&["SET", "{help-desk-ws}:server", "another run 1"]);
    redis.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let opened = redis.log().open().await;
    assert!(
        matches!(opened, Err(OpenError::Unavailable(_))),
        "{opened:?}"
    );
}
