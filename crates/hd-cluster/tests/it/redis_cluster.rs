//! A Redis Cluster: whoever has the slot now is written to and followed.

use std::time::Duration;

use hd_cluster::{
    AppendError, Appended, ClusterConfig, Due, Followed, Place, Presence, PresenceConfig, Roster,
    SharedLog, Written,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::cluster_servers::Cluster;
use crate::redis_server::{PATIENCE, RedisServer, wait_until};
use crate::snapshot::Whole as _;

/// Appends numbers, each until it is answered, and gives them out.
pub(crate) fn append_for_ever(log: &SharedLog) -> (JoinHandle<()>, mpsc::UnboundedReceiver<u32>) {
    let (sender, accepted) = mpsc::unbounded_channel();
    let log = log.clone();
    let task = tokio::spawn(async move {
        for number in 0.. {
            append(&log, number).await;
            if sender.send(number).is_err() {
                return;
            }
        }
    });
    (task, accepted)
}

/// Under an id, so that it is there once, however often it is tried.
async fn append(log: &SharedLog, number: u32) {
    let text = number.to_string();
    loop {
        match log.append(Some(&text), text.as_bytes()).await {
            Ok(Appended::New(_) | Appended::Repeated(_)) => return,
            Err(AppendError::Unavailable(_)) => {}
            Err(error @ AppendError::Refused(_)) => panic!("{error}"),
        }
    }
}

/// The numbers that a process reads, and whether anything was missing.
fn follow(log: &SharedLog, began: Place) -> mpsc::UnboundedReceiver<u32> {
    let (sender, numbers) = mpsc::unbounded_channel();
    let log = log.clone();
    tokio::spawn(async move {
        log.follow(began, |followed| {
            match followed {
                Followed::Records(records) => {
                    for record in records {
                        let text = String::from_utf8(record.bytes).expect("text");
                        let _unheard = sender.send(text.parse().expect("a number"));
                    }
                }
                Followed::CutOff(_)
                | Followed::Back
                | Followed::Moved
                | Followed::End(_)
                | Followed::Rejected(..) => {}
                other => panic!("{other:?}"),
            }
            std::future::ready(())
        })
        .await;
    });
    numbers
}

async fn next(numbers: &mut mpsc::UnboundedReceiver<u32>) -> u32 {
    let next = tokio::time::timeout(PATIENCE, numbers.recv());
    next.await.expect("it comes").expect("it goes on")
}

/// Waits for a number, and for each before it in order.
async fn count_to(numbers: &mut mpsc::UnboundedReceiver<u32>, from: u32, to: u32) {
    for expected in from..=to {
        assert_eq!(next(numbers).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_moves_and_the_log_with_it() {
    let cluster = Cluster::start();
    let log = SharedLog::new(cluster.config(&[&cluster.other]));
    let began = log.open().await.unwrap().began;
    let mut followed = follow(&log, began);
    let (appending, mut accepted) = append_for_ever(&log);
    count_to(&mut accepted, 0, 50).await;
    assert!(cluster.owner.command(&["DBSIZE"]) != "0\n");

    tokio::task::block_in_place(|| {
        cluster.move_slot(&cluster.slot, &cluster.owner, &cluster.other)
    });
    assert_eq!(cluster.owner.command(&["DBSIZE"]), "0\n");
    let last = next(&mut accepted).await + 200;
    while next(&mut accepted).await < last {}
    drop(accepted);
    appending.await.unwrap();
    count_to(&mut followed, 0, last).await;
    // Another process finds all of it.
    let found = SharedLog::new(cluster.config(&[&cluster.owner]));
    let records = found.open().await.unwrap().records;
    assert!(records.len() > last as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_over_and_nothing_that_it_has_is_missing() {
    let mut cluster = Cluster::start();
    let replica = cluster.replica(&cluster.owner);
    let log = SharedLog::new(cluster.config(&[&cluster.owner, &cluster.other]));
    let began = log.open().await.unwrap().began;
    let mut followed = follow(&log, began);
    for number in 0..20 {
        append(&log, number).await;
    }
    let offset = |server: &RedisServer| {
        let info = server.command(&["INFO", "replication"]);
        let mut lines = info.lines();
        let offset = lines.find_map(|line| line.strip_prefix("master_repl_offset:"));
        offset.expect("it replicates").to_owned()
    };
    wait_until("the replica has it", || {
        offset(&replica) == offset(&cluster.owner)
    });
    cluster.owner.kill();
    assert_eq!(
        replica.command(&["CLUSTER", "FAILOVER", "TAKEOVER"]),
        "OK\n"
    );
    for number in 20..40 {
        append(&log, number).await;
    }
    count_to(&mut followed, 0, 39).await;
    assert_eq!(
        replica.command(&["XLEN", "{help-desk-ws}:log"]),
        "41\n",
        "its beginning, and none twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_becomes_a_replica_is_left() {
    let cluster = Cluster::start();
    let replica = cluster.replica(&cluster.owner);
    let log = SharedLog::new(cluster.config(&[&cluster.other]));
    let began = log.open().await.unwrap().began;
    let mut followed = follow(&log, began);
    let (appending, mut accepted) = append_for_ever(&log);
    count_to(&mut accepted, 0, 50).await;
    // The master waits until the replica has everything.
    assert_eq!(replica.command(&["CLUSTER", "FAILOVER"]), "OK\n");
    wait_until("it has taken over", || {
        replica
            .command(&["INFO", "replication"])
            .contains("role:master")
    });
    let last = next(&mut accepted).await + 200;
    while next(&mut accepted).await < last {}
    drop(accepted);
    appending.await.unwrap();
    count_to(&mut followed, 0, last).await;
}

#[tokio::test]
async fn a_user_with_few_rights_does_in_a_cluster() {
    let cluster = Cluster::start();
    for node in [&cluster.owner, &cluster.other] {
        // As the operators' guide says it.
        let rights = [
            "+@read",
            "+@write",
            "+@scripting",
            "+ping",
            "+time",
            "+cluster|slots",
            "~{help-desk-ws}:*",
        ];
        let user = ["ACL", "SETUSER", "app", "on", ">hunter2"];
        assert_eq!(node.command(&[&user[..], &rights].concat()), "OK\n");
    }
    let url = format!("redis+cluster://app:hunter2@{}", cluster.other.address());
    let config = ClusterConfig {
        url: url.parse().unwrap(),
        ..cluster.owner.config()
    };
    let log = SharedLog::new(config.clone());
    let began = log.open().await.unwrap().began;
    let mut followed = follow(&log, began);
    append(&log, 0).await;
    count_to(&mut followed, 0, 0).await;

    let presence = |name: &str| {
        let presence = PresenceConfig {
            answer_timeout: PATIENCE,
            ..PresenceConfig::default()
        };
        Presence::new(config.clone(), presence, name.to_owned())
    };
    let now = std::time::Instant::now();
    let (a, mut roster) = (
        presence("a"),
        Roster::new(PresenceConfig::default().roster, now),
    );
    assert_eq!(roster.poll(now), Due::Everyone);
    roster.fill(vec![42]);
    let Due::Write(write) = roster.poll(now) else {
        panic!("nothing to write");
    };
    let users = [(42, Some(b"here".to_vec()))];
    assert_eq!(a.write(&write, &users, 1).await.unwrap(), Written::Kept);
    let found = presence("b").find(42).await.unwrap();
    assert_eq!(found.nodes[0].user.as_deref(), Some(&b"here"[..]));
    a.leave().await.unwrap();
}

#[tokio::test]
async fn without_the_slot_nothing_is_accepted() {
    let alone = RedisServer::start_in_cluster();
    let url = format!("redis+cluster://{}", alone.address());
    let log = SharedLog::new(ClusterConfig {
        command_timeout: Duration::from_millis(300),
        ..ClusterConfig::new(url.parse().unwrap())
    });
    let refused = log.append(None, b"x").await;
    assert!(
        matches!(refused, Err(AppendError::Unavailable(_))),
        "{refused:?}"
    );
}
