use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use hd_cluster::{Followed, Place, Record, SharedLog, Status, Trimmed};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::redis_server::{PATIENCE, RedisServer};
use crate::snapshot::Whole as _;

pub(crate) const LOG: &str = "{help-desk-ws}:log";
const COPY: &str = "{help-desk-ws}:copy";
const TAIL: &str = "{help-desk-ws}:tail";
const TAIL_COPY: &str = "{help-desk-ws}:copy-of-tail";

/// A process that follows a log.
pub(crate) struct Follower {
    task: JoinHandle<()>,
    followed: mpsc::UnboundedReceiver<Followed>,
    last: Arc<Mutex<Place>>,
}

impl Follower {
    pub(crate) fn start(log: &SharedLog, from: Place) -> Self {
        Self::start_with(log, from, watch::channel(true).1)
    }

    fn start_with(log: &SharedLog, from: Place, is_let_go: watch::Receiver<bool>) -> Self {
        let (sender, followed) = mpsc::unbounded_channel();
        let last = Arc::new(Mutex::new(from));
        let log = log.clone();
        let seen = Arc::clone(&last);
        let task = tokio::spawn(async move {
            log.follow(from, |what| {
                if let Followed::Records(records) = &what {
                    seen.lock().expect("no panic").offset = records.last().expect("some").offset;
                }
                if !matches!(what, Followed::End(_)) {
                    let _unheard = sender.send(what);
                }
                let mut is_let_go = is_let_go.clone();
                // The test may be over.
                async move { drop(is_let_go.wait_for(|is_let_go| *is_let_go).await) }
            })
            .await;
        });
        Self {
            task,
            followed,
            last,
        }
    }

    pub(crate) async fn next(&mut self) -> Followed {
        let next = tokio::time::timeout(PATIENCE, self.followed.recv());
        next.await.expect("something comes").expect("it follows")
    }

    /// The next records, as many as are wanted; nothing else may come.
    pub(crate) async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            match self.next().await {
                Followed::Records(records) => texts.extend(records.into_iter().map(text)),
                other @ (Followed::Gap(..)
                | Followed::Rejected(..)
                | Followed::CutOff(_)
                | Followed::Back
                | Followed::Moved
                | Followed::End(_)) => panic!("{other:?}"),
            }
        }
        texts
    }

    /// What comes now is a gap, and where the log goes on.
    pub(crate) async fn gap(&mut self) -> Place {
        self.missing().await.0
    }

    /// As [`gap`](Self::gap), and what was trimmed before that.
    pub(crate) async fn missing(&mut self) -> (Place, Trimmed) {
        match self.next().await {
            Followed::Gap(place, trimmed) => (place, trimmed),
            other @ (Followed::Records(_)
            | Followed::Rejected(..)
            | Followed::CutOff(_)
            | Followed::Back
            | Followed::Moved
            | Followed::End(_)) => panic!("{other:?}"),
        }
    }

    /// Stops, and says where.
    pub(crate) fn stop(self) -> Place {
        self.task.abort();
        *self.last.lock().expect("no panic")
    }
}

/// A process that is busy with what it was given first.
struct Lagging {
    follower: Follower,
    is_let_go: watch::Sender<bool>,
}

impl Lagging {
    fn start(log: &SharedLog, from: Place) -> Self {
        let (is_let_go, wait) = watch::channel(false);
        Self {
            follower: Follower::start_with(log, from, wait),
            is_let_go,
        }
    }

    fn let_go(&self) {
        self.is_let_go.send(true).expect("it waits");
    }
}

pub(crate) fn text(record: Record) -> String {
    String::from_utf8(record.bytes).expect("text")
}

pub(crate) fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

pub(crate) async fn append(log: &SharedLog, range: std::ops::Range<u32>) {
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
    let texts: Vec<String> = snapshot.records.into_iter().map(text).collect();
    assert_eq!(texts, numbers(0..1200));
    let mut follower = Follower::start(&new, snapshot.end);
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
    assert!(matches!(again.next().await, Followed::CutOff(_)));
    append(&log, 20..30).await;
    assert!(matches!(again.next().await, Followed::Back));
    assert_eq!(again.texts(10).await, numbers(20..30));
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_has_another_log() {
    let mut redis = RedisServer::start();
    let logs = [redis.log(), redis.log()];
    let began = logs[0].open().await.unwrap().began;
    let mut followers = logs.each_ref().map(|log| Follower::start(log, began));
    append(&logs[0], 0..3).await;
    for follower in &mut followers {
        assert_eq!(follower.texts(3).await, numbers(0..3));
    }
    redis.kill();
    for follower in &mut followers {
        assert!(matches!(follower.next().await, Followed::CutOff(_)));
    }
    assert_eq!(logs[0].status(), Status::CutOff);
    redis.start_again();
    append(&logs[0], 3..6).await;
    let mut places = Vec::new();
    for follower in &mut followers {
        assert!(matches!(follower.next().await, Followed::Back));
        places.push(follower.gap().await);
        assert_eq!(follower.texts(3).await, numbers(3..6));
    }
    // It is the same one for all, also for who begins now.
    assert!(places[0].log > began.log);
    assert_eq!(places[0], places[1]);
    assert_eq!(redis.log().open().await.unwrap().began, places[0]);
}

#[tokio::test]
async fn a_redis_that_is_emptied_has_another_log() {
    let redis = RedisServer::start();
    let log = redis.log();
    let began = log.open().await.unwrap().began;
    let mut follower = Follower::start(&log, began);
    append(&log, 0..1).await;
    assert_eq!(follower.texts(1).await, ["0"]);
    redis.command(&["FLUSHALL"]);
    append(&log, 1..2).await;
    assert!(follower.gap().await.log > began.log);
    assert_eq!(follower.texts(1).await, ["1"]);
}

#[tokio::test]
async fn records_that_were_trimmed_unread_are_a_gap() {
    let redis = RedisServer::start();
    let log = redis.log();
    let began = log.open().await.unwrap().began;
    append(&log, 0..10).await;
    redis.command(&["XTRIM", LOG, "MAXLEN", "=", "3"]);
    let mut follower = Follower::start(&log, began);
    let gap = follower.gap().await;
    // Only here: others go on.
    assert_eq!(gap.log, began.log);
    assert!(gap.offset > began.offset);
    assert_eq!(follower.texts(3).await, numbers(7..10));
    let snapshot = log.open().await.unwrap();
    assert_eq!(snapshot.began, gap);
    assert_eq!(snapshot.records.len(), 3);
}

#[tokio::test]
async fn records_that_are_trimmed_under_a_reader_that_lags_are_a_gap() {
    let redis = RedisServer::start();
    let log = redis.log();
    let began = log.open().await.unwrap().began;
    let mut reader = Lagging::start(&log, began);
    append(&log, 0..1).await;
    assert_eq!(reader.follower.texts(1).await, ["0"]);
    append(&log, 1..10).await;
    redis.command(&["XTRIM", LOG, "MAXLEN", "=", "2"]);
    reader.let_go();
    assert_eq!(reader.follower.gap().await.log, began.log);
    assert_eq!(reader.follower.texts(2).await, numbers(8..10));
}

/// A Redis takes the place of another one that had not sent it everything yet.
fn lose_what_is_not_in_the_copy(redis: &RedisServer) {
    redis.command(&["COPY", COPY, LOG, "REPLACE"]);
    redis.command(&["COPY", TAIL_COPY, TAIL, "REPLACE"]);
}

fn copy(redis: &RedisServer) {
    redis.command(&["COPY", LOG, COPY]);
    redis.command(&["COPY", TAIL, TAIL_COPY]);
}

#[tokio::test]
async fn a_log_that_lost_what_was_read_is_another_one_for_all() {
    let redis = RedisServer::start();
    let [reader, idle, appender] = [redis.log(), redis.log(), redis.log()];
    let began = reader.open().await.unwrap().began;
    append(&appender, 0..1).await;
    let mut follower = Follower::start(&reader, began);
    assert_eq!(follower.texts(1).await, ["0"]);
    // This one does not read what will be lost.
    let mut other = Follower::start(&idle, began);
    assert_eq!(other.texts(1).await, ["0"]);
    let place = other.stop();
    copy(&redis);
    append(&appender, 1..3).await;
    assert_eq!(follower.texts(2).await, ["1", "2"]);
    lose_what_is_not_in_the_copy(&redis);

    append(&appender, 3..4).await;
    let gap = follower.gap().await;
    assert!(gap.log > began.log);
    // It would not notice by itself. What is sent until it is told, is told of too.
    let mut other = Follower::start(&idle, place);
    assert_eq!(other.texts(1).await, ["3"]);
    assert_eq!(other.gap().await, gap);
    append(&appender, 4..5).await;
    assert_eq!(follower.texts(1).await, ["4"]);
    assert_eq!(other.texts(1).await, ["4"]);
    assert_eq!(redis.log().open().await.unwrap().began, gap);
}

/// The next entry names one that is not there. Who has read that has missed nothing.
#[tokio::test]
async fn a_stream_that_alone_lost_its_end_is_a_gap_for_who_had_not_read_it() {
    let redis = RedisServer::start();
    let [reader, idle, appender] = [redis.log(), redis.log(), redis.log()];
    let began = reader.open().await.unwrap().began;
    let mut follower = Follower::start(&reader, began);
    redis.command(&["COPY", LOG, COPY]);
    append(&appender, 0..2).await;
    assert_eq!(follower.texts(2).await, ["0", "1"]);
    redis.command(&["COPY", COPY, LOG, "REPLACE"]);
    append(&appender, 2..3).await;
    assert_eq!(follower.texts(1).await, ["2"]);
    let mut other = Follower::start(&idle, began);
    let (gap, missing) = other.missing().await;
    assert_eq!((gap.log, missing.floor()), (began.log, gap.offset));
    assert!(gap.offset > began.offset);
    assert_eq!(other.texts(1).await, ["2"]);
}

#[tokio::test]
async fn so_is_one_that_lost_what_was_acknowledged() {
    let redis = RedisServer::start();
    let log = redis.log();
    let began = log.open().await.unwrap().began;
    copy(&redis);
    append(&log, 0..1).await;
    lose_what_is_not_in_the_copy(&redis);
    // Nothing is appended any more.
    let mut follower = Follower::start(&log, began);
    assert!(follower.gap().await.log > began.log);
    append(&log, 1..2).await;
    assert_eq!(follower.texts(1).await, ["1"]);
}

#[tokio::test]
async fn a_redis_that_has_not_what_was_acknowledged_is_not_read_for_ever() {
    let redis = RedisServer::start();
    let log = redis.log();
    let began = log.open().await.unwrap().began;
    let mut reader = Lagging::start(&log, began);
    append(&log, 0..1).await;
    assert_eq!(reader.follower.texts(1).await, ["0"]);
    copy(&redis);
    append(&log, 1..2).await;
    lose_what_is_not_in_the_copy(&redis);
    reader.let_go();
    // It may be that another Redis is the one to read from.
    assert!(matches!(reader.follower.next().await, Followed::CutOff(_)));
    assert!(matches!(reader.follower.next().await, Followed::Back));
    assert!(reader.follower.gap().await.log > began.log);
}

/// What waits is read in two steps; that is no lag.
#[tokio::test]
async fn a_burst_does_not_cut_off_a_reader_that_was_at_the_end() {
    let redis = RedisServer::start();
    let log = redis.log();
    let end = log.open().await.unwrap().end;
    let (sender, mut followed) = mpsc::unbounded_channel();
    let (is_let_go, wait) = watch::channel(false);
    let following = log.clone();
    let task = tokio::spawn(async move {
        let log = following.clone();
        following
            .follow(end, |what| {
                let status = log.status();
                let _unheard = sender.send((what, status));
                let mut wait = wait.clone();
                async move { drop(wait.wait_for(|is_let_go| *is_let_go).await) }
            })
            .await;
    });
    let first = followed.recv().await.expect("it follows");
    assert!(matches!(first, (Followed::End(_), Status::Following)));
    append(&redis.log(), 0..100).await;
    is_let_go.send(true).expect("it waits");
    let mut count = 0;
    while count < 100 {
        let next = tokio::time::timeout(PATIENCE, followed.recv()).await;
        let (what, status) = next.expect("something comes").expect("it follows");
        if let Followed::Records(records) = what {
            count += records.len();
            assert_eq!(status, Status::Following, "at {count}");
        }
    }
    task.abort();
}

/// Otherwise an instance would never be there where others append all the time.
#[tokio::test]
async fn a_page_with_room_left_is_the_last_though_more_is_appended() {
    const MAX_APPENDS: u32 = 20;
    let redis = RedisServer::start();
    let (log, other) = (redis.log(), redis.log());
    let began = log.open().await.unwrap().began;
    append(&other, 0..1).await;
    let pages = AtomicU32::new(0);
    let take = async |what: Followed| {
        if matches!(what, Followed::Records(_))
            && pages.fetch_add(1, Ordering::Relaxed) < MAX_APPENDS
        {
            append(&other, 0..1).await;
        }
    };
    log.load(&take).await.unwrap();
    assert_eq!(pages.load(Ordering::Relaxed), 1);

    pages.store(0, Ordering::Relaxed);
    let (ended, end) = tokio::sync::oneshot::channel();
    let mut ended = Some(ended);
    let following = log.follow(began, |what| {
        if matches!(what, Followed::End(_))
            && let Some(ended) = ended.take()
        {
            let _unheard = ended.send(());
        }
        take(what)
    });
    tokio::select! {
        () = following => {}
        end = end => end.expect("it is said"),
    }
    assert_eq!(pages.load(Ordering::Relaxed), 1);
}
