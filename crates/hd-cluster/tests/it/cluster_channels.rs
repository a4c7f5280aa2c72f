//! Channels in a Redis Cluster: those of shards are at the server that has their
//! slot, and all others at any.

use std::collections::HashSet;

use hd_cluster::{ClusterConfig, Heard, PubSub, Publish, Topic};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::cluster_servers::Cluster;
use crate::listener::Listener;
use crate::redis_server::{PATIENCE, RedisServer, wait_until};

fn shard(name: impl Into<String>) -> Topic {
    Topic::Shard(name.into())
}

/// A channel of a shard whose slot this master has.
pub(crate) fn channel_at(node: &RedisServer) -> String {
    let names = (0..).map(|number| format!("channel {number}"));
    let mut found = names.filter(|name| node.command(&["SPUBLISH", name, "x"]) == "0\n");
    found.next().expect("half of all slots")
}

/// Tries again as who publishes does not: until it is heard.
pub(crate) async fn say_until_heard(channels: &PubSub, channel: &str, payload: &[u8]) {
    let saying = async {
        while !matches!(
            channels.publish(Publish::Sharded, channel, payload).await,
            Ok(1..)
        ) {}
    };
    let said = tokio::time::timeout(PATIENCE, saying).await;
    said.expect("somebody listens");
}

/// Other channels are asked for and given up, all the time.
fn come_and_go(
    channels: &PubSub,
    name: impl Fn(usize, usize) -> String + Send + 'static,
) -> JoinHandle<()> {
    let channels = channels.clone();
    tokio::spawn(async move {
        for turn in 0.. {
            let topics: Vec<Topic> = (0..200).map(|number| shard(name(turn, number))).collect();
            channels.subscribe(topics.clone());
            tokio::task::yield_now().await;
            channels.unsubscribe(&topics);
        }
    })
}

impl Listener {
    async fn in_cluster(
        cluster: &Cluster,
        topics: impl IntoIterator<Item = Topic>,
    ) -> (Self, PubSub) {
        let config = cluster.config(&[&cluster.owner, &cluster.other]);
        let channels = PubSub::new(config.clone());
        channels.subscribe(topics);
        let mut listener = Self::start(channels);
        listener.listening().await;
        (listener, PubSub::new(config))
    }

    /// Something was missed, and is heard again from here on.
    async fn listens_again(&mut self) {
        assert_eq!(self.next().await, Heard::CutOff);
        self.listening().await;
    }
}

#[tokio::test]
async fn what_is_published_at_any_node_is_heard() {
    let cluster = Cluster::start();
    let pattern = Topic::Pattern("a#*".to_owned());
    let channel = Topic::Channel("b".to_owned());
    let (mut listener, other) = Listener::in_cluster(&cluster, [pattern, channel]).await;
    for (node, payload) in [(&cluster.owner, "1"), (&cluster.other, "2")] {
        node.command(&["PUBLISH", "a#1", payload]);
        listener
            .hears(Publish::Classic, "a#1", payload.as_bytes())
            .await;
        node.command(&["PUBLISH", "b", payload]);
        listener
            .hears(Publish::Classic, "b", payload.as_bytes())
            .await;
    }
    let saying = other.publish(Publish::Classic, "b", b"3");
    assert_eq!(saying.await.expect("the cluster is there"), 1);
    listener.hears(Publish::Classic, "b", b"3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_of_shards_are_heard_wherever_they_are() {
    let cluster = Cluster::start();
    let names: Vec<String> = (0..40).map(|number| format!("shard {number}")).collect();
    let (mut listener, other) = Listener::in_cluster(&cluster, names.iter().map(shard)).await;
    let is_at = |node: &RedisServer| {
        let channels = node.command(&["PUBSUB", "SHARDCHANNELS"]);
        channels.split_whitespace().count() / 2
    };
    assert!(is_at(&cluster.owner) > 5 && is_at(&cluster.other) > 5);
    assert_eq!(is_at(&cluster.owner) + is_at(&cluster.other), 40);
    for name in &names {
        let saying = other.publish(Publish::Sharded, name, name.as_bytes());
        assert_eq!(saying.await.expect("the cluster is there"), 1);
        listener
            .hears(Publish::Sharded, name, name.as_bytes())
            .await;
    }
    // Each is given up where it is.
    let given_up: Vec<Topic> = names[1..].iter().map(shard).collect();
    listener.channels.unsubscribe(&given_up);
    wait_until("they are given up", || {
        is_at(&cluster.owner) + is_at(&cluster.other) == 1
    });
    let saying = other.publish(Publish::Sharded, &names[0], b"x");
    assert_eq!(saying.await.expect("the cluster is there"), 1);
}

#[tokio::test]
async fn a_channel_is_followed_when_its_slot_moves() {
    let cluster = Cluster::start();
    let (moving, staying) = (channel_at(&cluster.other), channel_at(&cluster.owner));
    let topics = [shard(&moving), shard(&staying)];
    let (mut listener, other) = Listener::in_cluster(&cluster, topics).await;
    say_until_heard(&other, &moving, b"1").await;
    listener.hears(Publish::Sharded, &moving, b"1").await;

    let before = cluster.owner.millis();
    cluster.move_slot(&cluster.slot_of(&moving), &cluster.other, &cluster.owner);
    listener.listens_again().await;
    // Who publishes has not heard of it yet.
    let saying = other.publish(Publish::Sharded, &moving, b"2");
    assert_eq!(saying.await.expect("it is sent on"), 1);
    let heard = listener.next().await;
    assert!(
        matches!(&heard, Heard::Message { since, .. } if *since >= before),
        "what was published until then may have been missed: {heard:?}"
    );
    // What stayed was heard all the time.
    say_until_heard(&other, &staying, b"3").await;
    let heard = listener.next().await;
    assert!(
        matches!(&heard, Heard::Message { since, .. } if *since < before),
        "{heard:?}"
    );
    // And back.
    cluster.move_slot(&cluster.slot_of(&moving), &cluster.owner, &cluster.other);
    listener.listens_again().await;
    say_until_heard(&other, &moving, b"4").await;
    listener.hears(Publish::Sharded, &moving, b"4").await;
    assert!(listener.has_heard_nothing_more());
}

/// What the server says of slots that leave comes between the answers to what is
/// asked at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move_while_channels_come_and_go_lose_none() {
    let cluster = Cluster::start();
    // Several in each slot, each of which its server says is gone.
    let name = |slot: usize, number: usize| format!("{{{slot}}} {number}");
    let kept: Vec<String> = (0..8)
        .flat_map(|slot| (0..20).map(move |number| name(slot, number)))
        .collect();
    let (mut listener, other) = Listener::in_cluster(&cluster, kept.iter().map(shard)).await;
    let coming_and_going = come_and_go(&listener.channels, move |turn, number| {
        name(turn % 8, 1000 + number)
    });
    for _turn in 0..3 {
        for slot in 0..8 {
            let slot = name(slot, 0);
            let masters = [&cluster.owner, &cluster.other];
            let is_at = |node: &&RedisServer| !node.command(&["GET", &slot]).starts_with("MOVED");
            let (from, to) = if is_at(&masters[0]) {
                (masters[0], masters[1])
            } else {
                (masters[1], masters[0])
            };
            cluster.move_slot(&cluster.slot_of(&slot), from, to);
        }
    }
    coming_and_going.abort();
    for name in &kept {
        say_until_heard(&other, name, b"here").await;
    }
    let mut left: HashSet<&str> = kept.iter().map(String::as_str).collect();
    while !left.is_empty() {
        if let Heard::Message { channel, .. } = listener.next().await {
            left.remove(&*channel);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_takes_over_is_listened_to() {
    let mut cluster = Cluster::start();
    let replica = cluster.replica(&cluster.other);
    let (there, here) = (channel_at(&cluster.other), channel_at(&cluster.owner));
    let (mut listener, other) = Listener::in_cluster(&cluster, [shard(&there), shard(&here)]).await;
    say_until_heard(&other, &there, b"1").await;
    listener.hears(Publish::Sharded, &there, b"1").await;
    // What else is asked for does not keep it from looking.
    let coming_and_going = come_and_go(&listener.channels, |_, number| format!("other {number}"));
    cluster.other.kill();
    assert_eq!(listener.next().await, Heard::CutOff);
    // What is elsewhere is heard all the time.
    say_until_heard(&other, &here, b"2").await;
    listener.hears(Publish::Sharded, &here, b"2").await;
    assert_eq!(
        replica.command(&["CLUSTER", "FAILOVER", "TAKEOVER"]),
        "OK\n"
    );
    listener.listening().await;
    coming_and_going.abort();
    say_until_heard(&other, &there, b"3").await;
    listener.hears(Publish::Sharded, &there, b"3").await;
}

#[tokio::test]
async fn a_replica_of_the_logs_server_that_takes_over_is_listened_to() {
    let mut cluster = Cluster::start();
    let replica = cluster.replica(&cluster.owner);
    let (there, here) = (channel_at(&cluster.other), channel_at(&cluster.owner));
    let topics = [
        shard(&there),
        shard(&here),
        Topic::Pattern("a#*".to_owned()),
    ];
    let (mut listener, other) = Listener::in_cluster(&cluster, topics).await;
    cluster.owner.kill();
    assert_eq!(listener.next().await, Heard::CutOff);
    assert_eq!(
        replica.command(&["CLUSTER", "FAILOVER", "TAKEOVER"]),
        "OK\n"
    );
    while listener.next().await != Heard::Listening {}
    for name in [&there, &here] {
        say_until_heard(&other, name, b"x").await;
        listener.hears(Publish::Sharded, name, b"x").await;
    }
    replica.command(&["PUBLISH", "a#1", "x"]);
    listener.hears(Publish::Classic, "a#1", b"x").await;
}

/// It hears what is published in its shard, and is left all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_becomes_a_replica_is_left() {
    let cluster = Cluster::start();
    let replica = cluster.replica(&cluster.other);
    let name = channel_at(&cluster.other);
    let (mut listener, other) = Listener::in_cluster(&cluster, [shard(&name)]).await;
    assert_eq!(replica.command(&["CLUSTER", "FAILOVER"]), "OK\n");
    wait_until("the new master is listened to", || {
        let channels = replica.command(&["PUBSUB", "SHARDCHANNELS"]);
        channels.lines().any(|channel| channel == name)
    });
    wait_until("the former one is left", || {
        let channels = cluster.other.command(&["PUBSUB", "SHARDCHANNELS"]);
        channels.trim().is_empty()
    });
    say_until_heard(&other, &name, b"1").await;
    let mut messages = 0;
    say_until_heard(&other, &name, b"end").await;
    loop {
        if let Heard::Message { payload, .. } = listener.next().await {
            messages += 1;
            if payload == b"end" {
                break;
            }
        }
    }
    assert_eq!(messages, 2, "none of them twice");
}

#[tokio::test]
async fn what_comes_too_fast_from_all_servers_has_one_bound() {
    let cluster = Cluster::start();
    let names = [channel_at(&cluster.owner), channel_at(&cluster.other)];
    let channels = PubSub::new(cluster.config(&[&cluster.owner]));
    channels.subscribe(names.iter().map(shard));
    let (sender, mut heard) = mpsc::channel(1);
    let listening = channels.clone();
    let task = tokio::spawn(async move {
        // Each is taken only when the test has taken the one before.
        let take = |heard| {
            let sender = sender.clone();
            async move { drop(sender.send(heard).await) }
        };
        listening.listen(take).await;
    });
    assert_eq!(heard.recv().await, Some(Heard::Listening));
    let published = 6000;
    for number in 0..published {
        let name = &names[number % 2];
        let saying = channels.publish(Publish::Sharded, name, b"x");
        assert_eq!(saying.await.expect("the cluster is there"), 1);
    }
    let (mut messages, mut dropped) = (0, 0);
    while messages + dropped < published {
        match heard.recv().await.expect("it listens") {
            Heard::Message { .. } => messages += 1,
            Heard::Dropped(count) => dropped += usize::try_from(count).expect("few"),
            other @ (Heard::Listening | Heard::NoShards | Heard::CutOff) => panic!("{other:?}"),
        }
    }
    assert!((4096..=4100).contains(&messages), "{messages} messages");
    task.abort();
}

#[tokio::test]
async fn a_cluster_without_shards_is_listened_to_all_the_same() {
    let cluster = Cluster::start_with(&["--rename-command", "SSUBSCRIBE", ""]);
    let channels = PubSub::new(cluster.config(&[&cluster.other]));
    channels.subscribe([shard("s"), Topic::Pattern("a#*".to_owned())]);
    let mut listener = Listener::start(channels);
    assert_eq!(listener.next().await, Heard::NoShards);
    listener.listening().await;
    cluster.other.command(&["PUBLISH", "a#1", "x"]);
    listener.hears(Publish::Classic, "a#1", b"x").await;
}

/// One that is spoken to as if it were one server.
#[tokio::test]
async fn one_node_of_a_cluster_has_no_shards_for_who_knows_only_it() {
    let cluster = Cluster::start();
    let channels = PubSub::new(cluster.owner.config());
    channels.subscribe([
        shard(channel_at(&cluster.other)),
        Topic::Pattern("a#*".to_owned()),
    ]);
    let mut listener = Listener::start(channels);
    assert_eq!(listener.next().await, Heard::NoShards);
    listener.listening().await;
}

#[tokio::test]
async fn a_user_with_few_rights_hears_and_is_heard() {
    let guide = include_str!("../../../../docs/operator.md");
    let rights = |before: &str| {
        let (_, rights) = guide.split_once(before).expect("the guide has it");
        let (rights, _) = rights.split_once('`').expect("its end");
        rights.split(' ')
    };
    let cluster = Cluster::start();
    for node in [&cluster.owner, &cluster.other] {
        let user = ["ACL", "SETUSER", "app", "on", ">hunter2", "resetchannels"];
        let user: Vec<&str> = user
            .into_iter()
            .chain(rights("An ACL user needs\n`"))
            .chain(rights("and in a cluster `"))
            .chain(rights("an ACL user needs\n`"))
            .collect();
        assert_eq!(node.command(&user), "OK\n");
    }
    let url = format!("redis+cluster://app:hunter2@{}", cluster.other.address());
    let config = ClusterConfig::new(url.parse().unwrap());
    let channels = PubSub::new(config);
    let names = ["", "user_1#", "user_2#", "user_3#", "user_4#"];
    let names = names.map(|room| format!("socket.io#/notifications#{room}"));
    channels.subscribe(names.iter().map(shard));
    let mut listener = Listener::start(channels.clone());
    listener.listening().await;
    for name in &names {
        let saying = channels.publish(Publish::Sharded, name, b"x");
        assert_eq!(saying.await.expect("it may"), 1);
        listener.hears(Publish::Sharded, name, b"x").await;
    }
}
