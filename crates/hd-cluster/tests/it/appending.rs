use std::time::{Duration, Instant};

use hd_cluster::{AppendError, Appended, ClusterConfig};

use crate::redis_server::RedisServer;

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
    let log = hd_cluster::SharedLog::new(ClusterConfig {
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
    let log = hd_cluster::SharedLog::new(ClusterConfig {
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
            .all(|record| record.offset > snapshot.began)
    );
}

#[tokio::test]
async fn without_redis_nothing_is_accepted_and_soon_said() {
    let mut redis = RedisServer::start();
    let log = hd_cluster::SharedLog::new(ClusterConfig {
        command_timeout: Duration::from_millis(300),
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
    assert!(started.elapsed() < Duration::from_secs(5));
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
