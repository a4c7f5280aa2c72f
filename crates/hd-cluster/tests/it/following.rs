use std::sync::{Arc, Mutex};

use hd_cluster::{Followed, Offset, Record, SharedLog, Status};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::redis_server::{PATIENCE, RedisServer};

/// A process that follows a log.
struct Follower {
    task: JoinHandle<()>,
    followed: mpsc::UnboundedReceiver<Followed>,
    last: Arc<Mutex<Offset>>,
}

impl Follower {
    fn start(log: &SharedLog, after: Offset) -> Self {
        let (sender, followed) = mpsc::unbounded_channel();
        let last = Arc::new(Mutex::new(after));
        let log = log.clone();
        let seen = Arc::clone(&last);
        let task = tokio::spawn(async move {
            log.follow(after, |what| {
                if let Followed::Records(records) = &what {
                    *seen.lock().expect("no panic") = records.last().expect("some").offset;
                }
                let _unheard = sender.send(what);
                std::future::ready(())
            })
            .await;
        });
        Self {
            task,
            followed,
            last,
        }
    }

    async fn next(&mut self) -> Followed {
        let next = tokio::time::timeout(PATIENCE, self.followed.recv());
        next.await.expect("something comes").expect("it follows")
    }

    /// The next records, as many as are wanted; nothing else may come.
    async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            match self.next().await {
                Followed::Records(records) => texts.extend(records.into_iter().map(text)),
                other @ (Followed::Gap(_) | Followed::CutOff | Followed::Back) => {
                    panic!("{other:?}")
                }
            }
        }
        texts
    }

    /// Stops, and says where.
    fn stop(self) -> Offset {
        self.task.abort();
        *self.last.lock().expect("no panic")
    }
}

fn text(record: Record) -> String {
    String::from_utf8(record.bytes).expect("text")
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn append(log: &SharedLog, range: std::ops::Range<u32>) {
    for number in numbers(range) {
        log.append(None, number.as_bytes())
            .await
            .expect("Redis is there");
    }
}

#[tokio::test]
async fn every_process_gets_every_record_in_order() {
    let redis = RedisServer::start();
    let logs = [redis.log(), redis.log()];
    let began = logs[0].open().await.unwrap().began;
    let mut followers = logs.each_ref().map(|log| Follower::start(log, began));
    append(&logs[0], 0..50).await;
    append(&logs[1], 50..60).await;
    for follower in &mut followers {
        assert_eq!(follower.texts(60).await, numbers(0..60));
    }
    assert_eq!(logs[0].status(), Status::Following);
}

#[tokio::test]
async fn a_new_process_finds_what_was_there_and_follows_from_its_end() {
    let redis = RedisServer::start();
    let old = redis.log();
    old.open().await.unwrap();
    append(&old, 0..1200).await;
    let new = redis.log();
    let snapshot = new.open().await.unwrap();
    let last = snapshot.records.last().unwrap().offset;
    let texts: Vec<String> = snapshot.records.into_iter().map(text).collect();
    assert_eq!(texts, numbers(0..1200));
    let mut follower = Follower::start(&new, last);
    append(&old, 1200..1201).await;
    assert_eq!(follower.texts(1).await, ["1200"]);
}

#[tokio::test]
async fn who_was_cut_off_reads_on_where_it_stood() {
    let redis = RedisServer::start();
    let log = redis.log();
    let began = log.open().await.unwrap().began;
    let mut follower = Follower::start(&log, began);
    append(&log, 0..10).await;
    assert_eq!(follower.texts(10).await, numbers(0..10));
    let last = follower.stop();
    append(&log, 10..20).await;
    let mut again = Follower::start(&log, last);
    assert_eq!(again.texts(10).await, numbers(10..20));

    redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert_eq!(again.next().await, Followed::CutOff);
    append(&log, 20..30).await;
    assert_eq!(again.next().await, Followed::Back);
    assert_eq!(again.texts(10).await, numbers(20..30));
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_is_followed_on() {
    let mut redis = RedisServer::start();
    let log = redis.log();
    let began = log.open().await.unwrap().began;
    let mut follower = Follower::start(&log, began);
    append(&log, 0..3).await;
    assert_eq!(follower.texts(3).await, numbers(0..3));
    redis.kill();
    assert_eq!(follower.next().await, Followed::CutOff);
    assert_eq!(log.status(), Status::CutOff);
    redis.start_again();
    append(&log, 3..6).await;
    assert_eq!(follower.next().await, Followed::Back);
    assert_eq!(follower.texts(3).await, numbers(3..6));
    // Who begins now knows nothing of what was lost.
    let snapshot = redis.log().open().await.unwrap();
    assert!(snapshot.began > began);
}

#[tokio::test]
async fn records_that_were_trimmed_unread_are_a_gap() {
    let redis = RedisServer::start();
    let log = redis.log();
    let began = log.open().await.unwrap().began;
    append(&log, 0..10).await;
    redis.command(&["XTRIM", "{help-desk-ws}:log", "MAXLEN", "=", "3"]);
    let mut follower = Follower::start(&log, began);
    let Followed::Gap(gap) = follower.next().await else {
        panic!("no gap");
    };
    assert!(gap > began);
    // The first one that is left is where the gap ends.
    assert_eq!(follower.texts(2).await, numbers(8..10));
    let snapshot = log.open().await.unwrap();
    assert_eq!(snapshot.began, gap);
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_a_gap() {
    let redis = RedisServer::start();
    let log = redis.log();
    let future = Offset::new(99_999_999_999_999, 0);
    append(&log, 0..1).await;
    let last = log.open().await.unwrap().records[0].offset;
    let mut follower = Follower::start(&log, future);
    assert_eq!(follower.next().await, Followed::Gap(last));
    append(&log, 1..2).await;
    assert_eq!(follower.texts(1).await, ["1"]);
}
