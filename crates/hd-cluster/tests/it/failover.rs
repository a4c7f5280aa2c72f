//! Sentinels name another master.

use std::time::{Duration, Instant};

use hd_cluster::{
    Appended, ClusterConfig, Due, Followed, Heard, Place, Presence, PresenceConfig, PubSub,
    Publish, Roster, SharedLog, Topic, Written,
};
use tokio::sync::mpsc;

use crate::fake_sentinel::{FakeSentinel, Says};
use crate::listener::Listener;
use crate::redis_cluster::append_for_ever;
use crate::redis_server::{PATIENCE, RedisServer, Sentinel, wait_until};
use crate::snapshot::Whole as _;

const LOG: &str = "{help-desk-ws}:log";
/// What no test waits for.
const NEVER: Duration = Duration::from_secs(3600);

/// By Sentinels of which the first is not there.
fn config(sentinels: &[&str]) -> ClusterConfig {
    let url = format!("redis+sentinel://127.0.0.1:1,{}/main", sentinels.join(","));
    ClusterConfig {
        command_timeout: PATIENCE,
        read_wait: Duration::from_millis(200),
        max_backoff: Duration::from_millis(100),
        sentinel_interval: Duration::from_millis(20),
        ..ClusterConfig::new(url.parse().expect("a URL"))
    }
}

fn has(server: &RedisServer, id: &str) -> bool {
    let buckets = server.command(&["KEYS", "{help-desk-ws}:ids:*"]);
    let mut buckets = buckets.lines().filter(|bucket| !bucket.is_empty());
    buckets.any(|bucket| server.command(&["HEXISTS", bucket, id]) == "1\n")
}

async fn append(log: &SharedLog, id: &str) {
    let appended = log.append(Some(id), id.as_bytes()).await;
    assert!(matches!(appended, Ok(Appended::New(_))), "{appended:?}");
}

/// A process that follows a log.
fn follow(log: &SharedLog, from: Place) -> mpsc::UnboundedReceiver<Followed> {
    let (sender, followed) = mpsc::unbounded_channel();
    let log = log.clone();
    tokio::spawn(async move {
        let take = |what| {
            if !matches!(what, Followed::End(_)) {
                let _unheard = sender.send(what);
            }
            std::future::ready(())
        };
        log.follow(from, take).await;
    });
    followed
}

async fn next_of<T>(waiting: &mut mpsc::UnboundedReceiver<T>) -> T {
    let next = tokio::time::timeout(PATIENCE, waiting.recv());
    next.await.expect("it comes").expect("it goes on")
}

/// What is read until some record, whatever Redis loses meanwhile.
async fn read_until(
    followed: &mut mpsc::UnboundedReceiver<Followed>,
    last: &str,
) -> (Vec<String>, Vec<Followed>) {
    let (mut texts, mut others) = (Vec::new(), Vec::new());
    while texts.last().is_none_or(|text| text != last) {
        match next_of(followed).await {
            Followed::Records(records) => {
                let records = records.into_iter().map(|record| record.bytes);
                texts.extend(records.map(|bytes| String::from_utf8(bytes).expect("text")));
            }
            other @ (Followed::Gap(..)
            | Followed::Rejected(..)
            | Followed::CutOff(_)
            | Followed::Back
            | Followed::Moved
            | Followed::End(_)) => others.push(other),
        }
    }
    (texts, others)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_runs_on_is_left_once_another_one_is_named() {
    let [first, second] = [RedisServer::start(), RedisServer::start()];
    second.follow(&first);
    let sentinel = Sentinel::start(&first);
    let log = SharedLog::new(ClusterConfig {
        sentinel_interval: NEVER,
        ..config(&[&sentinel.address()])
    });
    let began = log.open().await.unwrap().began;
    let mut followed = follow(&log, began);
    let (appending, mut accepted) = append_for_ever(&log);
    while next_of(&mut accepted).await < 50 {}
    assert!(has(&first, "50"));

    tokio::task::block_in_place(|| sentinel.fail_over());
    let named = Instant::now();
    append(&log, "named").await;
    assert!(
        named.elapsed() < Duration::from_secs(1),
        "{:?}",
        named.elapsed()
    );
    assert!(has(&second, "named"));
    assert!(
        first
            .command(&["INFO", "replication"])
            .contains("role:master"),
        "it was left before Sentinel demoted it"
    );
    let mut last = 0;
    while let Ok(number) = accepted.try_recv() {
        last = number;
    }
    let after = last + 1..last + 50;
    for number in after.clone() {
        assert_eq!(next_of(&mut accepted).await, number);
        assert!(has(&second, &number.to_string()), "{number}");
    }
    drop(accepted);
    appending.await.unwrap();
    append(&log, "end").await;
    let (texts, others) = read_until(&mut followed, "end").await;
    let mut moved = others.iter();
    assert!(
        moved.any(|other| matches!(other, Followed::Moved)),
        "{others:?}"
    );
    for number in after {
        assert!(texts.contains(&number.to_string()), "{number}");
    }
}

/// Nothing is lost when it had everything.
#[tokio::test]
async fn who_follows_goes_to_the_other_one() {
    let [first, second] = [RedisServer::start(), RedisServer::start()];
    second.follow(&first);
    let mut sentinel = FakeSentinel::start(Says::master(1, &first)).await;
    // Who appends too would miss there what it has appended here.
    let config = config(&[sentinel.address()]);
    let (reader, log) = (SharedLog::new(config.clone()), SharedLog::new(config));
    let began = reader.open().await.unwrap().began;
    let mut followed = follow(&reader, began);
    append(&log, "a").await;
    assert_eq!(read_until(&mut followed, "a").await.0, ["a"]);
    wait_until("the replica has it", || has(&second, "a"));
    second.command(&["REPLICAOF", "NO", "ONE"]);
    sentinel.say(Says::master(2, &second));
    sentinel.wait_until_it_was_heard().await;
    append(&log, "b").await;
    assert!(has(&second, "b"));
    let (texts, others) = read_until(&mut followed, "b").await;
    assert_eq!(texts, ["b"]);
    assert!(matches!(*others, [Followed::Moved]), "{others:?}");
}

#[tokio::test]
async fn an_event_is_a_reason_to_ask() {
    for event in ["+selected-slave", "+promoted-slave", "+switch-master"] {
        let [first, second] = [RedisServer::start(), RedisServer::start()];
        let sentinel = FakeSentinel::start(Says::master(1, &first)).await;
        let log = SharedLog::new(ClusterConfig {
            sentinel_interval: NEVER,
            ..config(&[sentinel.address()])
        });
        append(&log, "a").await;
        assert!(has(&first, "a"));
        sentinel.say(Says::master(2, &second));
        sentinel.publish(event, "whatever");
        append_until_it_is_at(&log, &second).await;
    }
}

#[tokio::test]
async fn who_hears_no_event_asks_all_the_same() {
    let [first, second] = [RedisServer::start(), RedisServer::start()];
    let sentinel = FakeSentinel::start(Says::master(1, &first)).await;
    let log = SharedLog::new(config(&[sentinel.address()]));
    append(&log, "a").await;
    sentinel.say(Says::master(2, &second));
    append_until_it_is_at(&log, &second).await;
}

async fn append_until_it_is_at(log: &SharedLog, server: &RedisServer) {
    let patience = Instant::now() + PATIENCE;
    for id in 0.. {
        assert!(Instant::now() < patience, "in vain");
        append(log, &id.to_string()).await;
        if has(server, &id.to_string()) {
            return;
        }
    }
}

#[tokio::test]
async fn the_newer_one_of_two_sentinels_is_believed() {
    let [first, second] = [RedisServer::start(), RedisServer::start()];
    let mut late = FakeSentinel::start(Says::master(1, &first)).await;
    let mut leader = FakeSentinel::start(Says::master(2, &second)).await;
    let log = SharedLog::new(config(&[late.address(), leader.address()]));
    append_until_it_is_at(&log, &second).await;
    late.wait_until_it_was_heard().await;
    leader.wait_until_it_was_heard().await;
    append(&log, "a").await;
    assert!(has(&second, "a"));
}

/// It stands still, and does not answer.
#[tokio::test]
async fn what_waits_for_an_answer_is_given_to_the_other_one() {
    let [first, second] = [RedisServer::start(), RedisServer::start()];
    let sentinel = FakeSentinel::start(Says::master(1, &first)).await;
    let log = SharedLog::new(ClusterConfig {
        command_timeout: PATIENCE * 2,
        ..config(&[sentinel.address()])
    });
    append(&log, "a").await;
    first.pause();
    let waiting = tokio::spawn({
        let log = log.clone();
        async move { append(&log, "b").await }
    });
    sentinel.say(Says::master(2, &second));
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.expect("it is left").unwrap();
    assert!(has(&second, "b"));
}

/// It would take writes, and lose them when it follows another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_not_taken_for_the_master_before_it_is() {
    let master = RedisServer::start();
    let replica = RedisServer::start_with(&["--replica-read-only", "no"]);
    replica.follow(&master);
    let mut sentinel = FakeSentinel::start(Says::master(1, &replica)).await;
    let log = SharedLog::new(config(&[sentinel.address()]));
    let appending = tokio::spawn({
        let log = log.clone();
        async move { append(&log, "a").await }
    });
    sentinel.wait_until_it_was_heard().await;
    let hellos = || -> u32 {
        let stats = replica.command(&["INFO", "commandstats"]);
        let (_, calls) = stats.split_once("cmdstat_hello:calls=").unwrap_or_default();
        let digits = calls.split(',').next().unwrap_or_default();
        digits.parse().unwrap_or(0)
    };
    wait_until("it was connected to again", || hellos() > 1);
    assert!(!has(&replica, "a"));
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    appending.await.unwrap();
    assert!(has(&replica, "a"));
}

#[tokio::test]
async fn nothing_is_appended_while_a_replica_is_being_promoted() {
    let [first, second] = [RedisServer::start(), RedisServer::start()];
    let mut sentinel = FakeSentinel::start(Says::master(1, &first)).await;
    let log = SharedLog::new(ClusterConfig {
        promotion_wait: NEVER,
        ..config(&[sentinel.address()])
    });
    append(&log, "a").await;
    sentinel.say(Says::Master {
        epoch: 1,
        port: first.port(),
        promoted: Some(second.port()),
    });
    sentinel.wait_until_it_was_heard().await;
    let appending = tokio::spawn({
        let log = log.clone();
        async move { append(&log, "b").await }
    });
    // Who would not wait would be done by now.
    sentinel.wait_until_it_was_heard().await;
    assert!(!has(&first, "b"));
    sentinel.say(Says::master(2, &second));
    appending.await.unwrap();
    assert!(has(&second, "b") && !has(&first, "b"));
}

#[tokio::test]
async fn a_promotion_that_comes_to_nothing_is_not_waited_for_long() {
    let [first, second] = [RedisServer::start(), RedisServer::start()];
    let mut sentinel = FakeSentinel::start(Says::master(1, &first)).await;
    let config = ClusterConfig {
        promotion_wait: Duration::from_millis(500),
        ..config(&[sentinel.address()])
    };
    let log = SharedLog::new(config.clone());
    append(&log, "a").await;
    let began = Instant::now();
    sentinel.say(Says::Master {
        epoch: 1,
        port: first.port(),
        promoted: Some(second.port()),
    });
    sentinel.wait_until_it_was_heard().await;
    append(&log, "b").await;
    assert!(began.elapsed() >= config.promotion_wait);
    assert!(has(&first, "b"));
}

#[tokio::test]
async fn nonsense_changes_nothing() {
    let first = RedisServer::start();
    let mut sentinel = FakeSentinel::start(Says::master(5, &first)).await;
    let mut other = FakeSentinel::start(Says::Nonsense("-ERR no such master\r\n")).await;
    let log = SharedLog::new(config(&[sentinel.address(), other.address()]));
    append(&log, "0").await;
    for (number, nonsense) in [
        "$-1\r\n",
        "*0\r\n",
        ":1\r\n",
        "+QUEUED\r\n",
        "%1\r\n$12\r\nconfig-epoch\r\n$2\r\n-1\r\n",
        "*2\r\n$4\r\nhost\r\n$5\r\n99999\r\n",
        "what?\r\n",
        "%1000000000\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        other.say(Says::Nonsense(nonsense));
        if number < 6 {
            other.wait_until_it_was_heard().await;
        }
        for event in ["+switch-master", "+promoted-slave", "+selected-slave", "x"] {
            sentinel.publish(event, "main 127.0.0.1 1 127.0.0.1 2");
            sentinel.publish(event, "other 127.0.0.1 1 127.0.0.1 2");
            sentinel.publish(event, "\0 @");
        }
        sentinel.wait_until_it_was_heard().await;
        let id = format!("nonsense {number}");
        append(&log, &id).await;
        assert!(has(&first, &id));
    }
}

#[tokio::test]
async fn sentinels_that_are_away_are_not_needed_once_the_master_is_known() {
    let first = RedisServer::start();
    let sentinel = FakeSentinel::start(Says::master(1, &first)).await;
    let config = ClusterConfig {
        sentinel_interval: NEVER,
        ..config(&[sentinel.address()])
    };
    let log = SharedLog::new(config.clone());
    append(&log, "a").await;
    drop(sentinel);
    first.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    append(&log, "b").await;
    assert_eq!(first.command(&["XLEN", LOG]), "3\n");
    // Who does not know it is told that nobody says.
    let other = ClusterConfig {
        command_timeout: Duration::from_millis(300),
        ..self::config(&["127.0.0.1:2"])
    };
    let refused = SharedLog::new(other).append(None, b"x").await.unwrap_err();
    assert!(
        refused.to_string().contains("no Sentinel names the master"),
        "{refused}"
    );
}

#[tokio::test]
async fn presence_goes_with_the_log_and_channels_stay_until_they_are_cut_off() {
    let [first, second] = [RedisServer::start(), RedisServer::start()];
    let sentinel = FakeSentinel::start(Says::master(1, &first)).await;
    let config = config(&[sentinel.address()]);
    let times = PresenceConfig::default();
    let presence = Presence::new(config.clone(), times, "a".to_owned());
    let now = Instant::now();
    let mut roster = Roster::new(times.roster, now);
    assert_eq!(roster.poll(now), Due::Everyone);
    roster.fill(Vec::new());
    let Due::Write(write) = roster.poll(now) else {
        panic!("nothing to write");
    };
    assert_eq!(
        presence.write(&write, &[], 0).await.unwrap(),
        Written::Kept,
        "by the first"
    );
    let channels = PubSub::new(config.clone());
    channels.subscribe([Topic::Pattern("a#*".to_owned())]);
    let mut listener = Listener::start(channels);
    listener.listening().await;
    let publish = || listener.channels.publish(Publish::Classic, "a#1", b"x");
    assert_eq!(publish().await.unwrap(), 1);

    sentinel.say(Says::master(2, &second));
    append_until_it_is_at(&SharedLog::new(config), &second).await;
    let nodes = |server: &RedisServer| server.command(&["HLEN", "{help-desk-ws}:nodes"]);
    assert_eq!(nodes(&second), "0\n");
    let written = presence.write(&write, &[], 0).await.unwrap();
    assert_eq!(written, Written::Kept, "what begins anew needs nothing");
    assert_eq!(nodes(&second), "2\n", "it, and since when there are any");
    // Who else is there has not left it.
    assert_eq!(publish().await.unwrap(), 1);
    for _ in 0..2 {
        assert!(matches!(listener.next().await, Heard::Message { .. }));
    }
    first.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert_eq!(listener.next().await, Heard::CutOff);
    listener.listening().await;
    let heard = second.command(&["PUBLISH", "a#1", "x"]);
    assert_eq!(heard, "1\n");
}

/// What the new master has acknowledged is not missing at the former one: that
/// one is not the log any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_former_master_that_answers_late_does_not_end_the_log() {
    let [first, second] = [RedisServer::start(), RedisServer::start()];
    second.follow(&first);
    let mut sentinel = FakeSentinel::start(Says::master(1, &first)).await;
    let log = SharedLog::new(config(&[sentinel.address()]));
    let began = log.open().await.unwrap().began;
    append(&log, "a").await;
    wait_until("the replica has it", || has(&second, "a"));
    second.command(&["REPLICAOF", "NO", "ONE"]);
    first.command(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let mut followed = follow(&log, began);
    wait_until("the reader waits for it", || {
        let waiting = first.command(&["INFO", "clients"]);
        waiting.contains("blocked_clients:1")
    });
    sentinel.say(Says::master(2, &second));
    sentinel.wait_until_it_was_heard().await;
    append(&log, "b").await;
    assert!(has(&second, "b"));
    first.command(&["CLIENT", "UNPAUSE"]);
    let (texts, others) = read_until(&mut followed, "b").await;
    assert_eq!(texts, ["a", "b"]);
    let is_gap = |step: &Followed| matches!(step, Followed::Gap(..));
    assert!(!others.iter().any(is_gap), "{others:?}");
}

#[tokio::test]
async fn a_connection_to_a_sentinel_that_breaks_does_not_lead_back_to_the_former_master() {
    let [first, second] = [RedisServer::start(), RedisServer::start()];
    second.follow(&first);
    let mut late = FakeSentinel::start(Says::master(1, &first)).await;
    let mut leader = FakeSentinel::start(Says::master(1, &first)).await;
    let config = config(&[late.address(), leader.address()]);
    let log = SharedLog::new(config);
    log.open().await.unwrap();
    append(&log, "a").await;
    wait_until("the replica has it", || has(&second, "a"));
    second.command(&["REPLICAOF", "NO", "ONE"]);
    leader.say(Says::master(2, &second));
    leader.wait_until_it_was_heard().await;
    append(&log, "b").await;
    drop(leader);
    for id in ["c", "d", "e"] {
        late.wait_until_it_was_heard().await;
        append(&log, id).await;
        assert!(has(&second, id) && !has(&first, id), "{id}");
    }
}
