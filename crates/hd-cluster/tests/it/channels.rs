use std::time::Duration;

use hd_cluster::{AppendError, ClusterConfig, Heard, PubSub, Publish, Topic};
use tokio::sync::mpsc;

use crate::listener::Listener;
use crate::redis_server::{PATIENCE, RedisServer};

/// It listens to these, once this returns.
async fn listen(redis: &RedisServer, topics: impl IntoIterator<Item = Topic>) -> Listener {
    let channels = PubSub::new(redis.config());
    channels.subscribe(topics);
    let mut listener = Listener::start(channels);
    listener.listening().await;
    listener
}

async fn say(channels: &PubSub, publish: Publish, channel: &str, payload: &[u8]) -> u64 {
    let saying = channels.publish(publish, channel, payload);
    saying.await.expect("Redis is there")
}

/// Says it again until as many hear it as are to.
async fn say_until(
    channels: &PubSub,
    publish: Publish,
    channel: &str,
    payload: &[u8],
    is_heard: impl Fn(u64) -> bool,
) {
    let saying = async { while !is_heard(say(channels, publish, channel, payload).await) {} };
    let said = tokio::time::timeout(PATIENCE, saying).await;
    said.expect("subscribed, or not any more");
}

fn pattern(name: &str) -> Topic {
    Topic::Pattern(name.to_owned())
}

fn shard(name: &str) -> Topic {
    Topic::Shard(name.to_owned())
}

#[tokio::test]
async fn what_is_published_is_heard_in_order_as_it_was_published() {
    let redis = RedisServer::start();
    let mut listener = listen(&redis, [pattern("a#*"), shard("s")]).await;
    let other = PubSub::new(redis.config());
    assert_eq!(
        say(&other, Publish::Classic, "a#1", b"\xff\x00one").await,
        1
    );
    assert_eq!(say(&other, Publish::Sharded, "s", b"two").await, 1);
    assert_eq!(say(&other, Publish::Classic, "b", b"nobody").await, 0);
    assert_eq!(say(&other, Publish::Classic, "a#2", b"three").await, 1);
    listener
        .hears(Publish::Classic, "a#1", b"\xff\x00one")
        .await;
    listener.hears(Publish::Sharded, "s", b"two").await;
    listener.hears(Publish::Classic, "a#2", b"three").await;
}

#[tokio::test]
async fn a_channel_counts_its_listeners_and_a_pattern_does_not() {
    let redis = RedisServer::start();
    let channel = Topic::Channel("requests".to_owned());
    let mut listener = listen(&redis, [channel.clone(), pattern("a#*")]).await;
    let count = |channel| redis.command(&["PUBSUB", "NUMSUB", channel]);
    assert_eq!(count("requests"), "requests\n1\n");
    assert_eq!(count("a#1"), "a#1\n0\n");
    say(&listener.channels, Publish::Classic, "requests", b"1").await;
    listener.hears(Publish::Classic, "requests", b"1").await;
    listener.channels.unsubscribe([&channel]);
    say_until(
        &listener.channels,
        Publish::Classic,
        "requests",
        b"2",
        |heard| heard == 0,
    )
    .await;
}

#[tokio::test]
async fn topics_come_and_go() {
    let redis = RedisServer::start();
    let mut listener = listen(&redis, []).await;
    // More than one batch.
    let rooms: Vec<Topic> = (0..2500)
        .map(|room| shard(&format!("room_{room}")))
        .collect();
    listener.channels.subscribe(rooms.clone());
    // A subscription takes a moment.
    say_until(
        &listener.channels,
        Publish::Sharded,
        "room_2499",
        b"again",
        |heard| heard > 0,
    )
    .await;
    listener
        .hears(Publish::Sharded, "room_2499", b"again")
        .await;
    listener.channels.unsubscribe(&rooms[1..]);
    say_until(
        &listener.channels,
        Publish::Sharded,
        "room_2499",
        b"x",
        |heard| heard == 0,
    )
    .await;
    assert_eq!(
        say(&listener.channels, Publish::Sharded, "room_0", b"x").await,
        1
    );
}

#[tokio::test]
async fn after_a_cut_everything_is_listened_to_again() {
    let mut redis = RedisServer::start();
    let mut listener = listen(&redis, [pattern("a"), shard("s")]).await;
    redis.kill();
    assert_eq!(listener.next().await, Heard::CutOff);
    redis.start_again();
    listener.listening().await;
    say(&listener.channels, Publish::Classic, "a", b"1").await;
    say(&listener.channels, Publish::Sharded, "s", b"2").await;
    listener.hears(Publish::Classic, "a", b"1").await;
    listener.hears(Publish::Sharded, "s", b"2").await;
}

#[tokio::test]
async fn a_redis_without_shards_is_listened_to_all_the_same() {
    let redis = RedisServer::start_with(&["--rename-command", "SSUBSCRIBE", ""]);
    let channels = PubSub::new(redis.config());
    channels.subscribe([shard("s"), pattern("a")]);
    let mut listener = Listener::start(channels);
    assert_eq!(listener.next().await, Heard::NoShards);
    listener.listening().await;
    say(&listener.channels, Publish::Classic, "a", b"1").await;
    listener.hears(Publish::Classic, "a", b"1").await;
}

#[tokio::test]
async fn what_comes_too_fast_is_dropped_and_counted() {
    let redis = RedisServer::start();
    let channels = PubSub::new(redis.config());
    channels.subscribe([pattern("a")]);
    let (sender, mut heard) = mpsc::channel(1);
    let listening = channels.clone();
    let task = tokio::spawn(async move {
        // Each is taken only when the test has taken the one before.
        listening
            .listen(|heard| {
                let sender = sender.clone();
                async move { drop(sender.send(heard).await) }
            })
            .await;
    });
    assert!(matches!(heard.recv().await, Some(Heard::Listening)));
    let published = 5000;
    for _ in 0..published {
        say(&channels, Publish::Classic, "a", b"x").await;
    }
    let (mut messages, mut dropped) = (0, 0);
    while messages + dropped < published {
        match heard.recv().await.expect("it listens") {
            Heard::Message { .. } => messages += 1,
            Heard::Dropped(count) => dropped += count,
            other @ (Heard::Listening | Heard::NoShards | Heard::CutOff) => {
                panic!("{other:?}")
            }
        }
    }
    assert!((4096..=4100).contains(&messages), "{messages} messages");
    assert!(dropped > 0);
    task.abort();
}

#[tokio::test]
async fn an_acl_user_needs_what_the_guide_says() {
    let guide = include_str!("../../../../docs/operator.md");
    let rights = |before: &str| {
        let (_, rights) = guide.split_once(before).expect("the guide has it");
        let (rights, _) = rights.split_once('`').expect("its end");
        rights.split(' ')
    };
    let redis = RedisServer::start();
    let user = ["ACL", "SETUSER", "help-desk", "on", ">pw", "resetchannels"];
    let user: Vec<&str> = user
        .into_iter()
        .chain(rights("An ACL user needs\n`"))
        .chain(rights("an ACL user needs\n`"))
        .collect();
    assert_eq!(redis.command(&user), "OK\n");
    let url = format!("redis://help-desk:pw@{}", redis.address());
    let channels = PubSub::new(ClusterConfig::new(url.parse().unwrap()));
    let name = |text: &str| text.to_owned();
    channels.subscribe([
        Topic::Pattern(name("socket.io#/notifications#*")),
        Topic::Channel(name("socket.io-request#/notifications#")),
        Topic::Shard(name("socket.io#/notifications#")),
        Topic::Shard(name("socket.io#/notifications#user_1#")),
    ]);
    let mut listener = Listener::start(channels);
    listener.listening().await;
    let main = "socket.io#/notifications#";
    assert_eq!(
        say(&listener.channels, Publish::Classic, main, b"x").await,
        1
    );
    assert_eq!(
        say(&listener.channels, Publish::Sharded, main, b"x").await,
        1
    );
    let response = "socket.io-response#/notifications#";
    assert_eq!(
        say(&listener.channels, Publish::Classic, response, b"x").await,
        0
    );
}

/// It does not try again without a pause, either.
#[tokio::test]
async fn what_redis_refuses_is_told_once_and_listened_to_when_it_does_not_any_more() {
    let redis = RedisServer::start();
    redis.command(&["ACL", "SETUSER", "default", "resetchannels"]);
    let channels = PubSub::new(redis.config());
    channels.subscribe([pattern("a")]);
    let mut listener = Listener::start(channels);
    assert_eq!(listener.next().await, Heard::CutOff);
    let refusals = || {
        let log = redis.command(&["ACL", "LOG"]);
        let mut lines = log.lines().skip_while(|line| *line != "count");
        let count = lines.nth(1).and_then(|count| count.parse().ok());
        count.unwrap_or(0_u32)
    };
    // Some of the attempts, each later than the one before.
    while refusals() < 4 {
        tokio::task::yield_now().await;
    }
    assert!(listener.has_heard_nothing_more());
    redis.command(&["ACL", "SETUSER", "default", "allchannels"]);
    listener.listening().await;
}

#[tokio::test]
async fn without_redis_nothing_is_published_and_soon_said() {
    let mut redis = RedisServer::start();
    let channels = PubSub::new(ClusterConfig {
        command_timeout: Duration::from_secs(2),
        ..redis.config()
    });
    say(&channels, Publish::Classic, "a", b"x").await;
    redis.kill();
    let refused = channels.publish(Publish::Classic, "a", b"x").await;
    assert!(
        matches!(refused, Err(AppendError::Unavailable(_))),
        "{refused:?}"
    );
}
