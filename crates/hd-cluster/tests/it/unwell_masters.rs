//! Masters of a Redis Cluster that do not do what they are there for, while the
//! others do.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hd_cluster::{ClusterConfig, Heard, PubSub, Publish, Topic};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::cluster_channels::{channel_at, say_until_heard};
use crate::cluster_servers::Cluster;
use crate::listener::Listener;
use crate::redis_server::{PATIENCE, wait_until};
use crate::unasked::{push, read_command};

/// Where slots are, as all nodes say it.
#[derive(Clone, Default)]
struct Slots(Arc<Mutex<String>>);

impl Slots {
    /// The first and the last one, and the port of their master.
    fn set(&self, ranges: &[(u16, u16, u16)]) {
        let range = |(first, last, port)| {
            format!("*3\r\n:{first}\r\n:{last}\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
        };
        let ranges: Vec<String> = ranges.iter().copied().map(range).collect();
        *self.0.lock().expect("no panic") = format!("*{}\r\n{}", ranges.len(), ranges.concat());
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Well,
    /// It closes each connection once it has answered a subscription.
    Closes,
}

async fn serve(stream: TcpStream, slots: Slots, manner: Manner) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut answered = Vec::new();
    loop {
        let command = read_command(&mut stream).await?;
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let answer = match words[..] {
            ["HELLO", ..] => "%1\r\n$5\r\nproto\r\n:3\r\n".to_owned(),
            ["TIME"] => "*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n".to_owned(),
            ["PING", fence] => format!("${}\r\n{fence}\r\n", fence.len()),
            ["CLUSTER", "SLOTS"] => slots.0.lock().expect("no panic").clone(),
            ["SSUBSCRIBE", channel] => push("ssubscribe", channel, ":1"),
            ["SPUBLISH", ..] => ":1\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        };
        stream.get_mut().write_all(answer.as_bytes()).await?;
        answered.push(command[0].clone());
        if manner == Manner::Closes && answered.ends_with(&["SSUBSCRIBE".into(), "PING".into()]) {
            return Ok(());
        }
    }
}

async fn bind() -> (TcpListener, u16) {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = server.local_addr().expect("its own").port();
    (server, port)
}

/// A node that does well, until the test ends.
async fn node(slots: &Slots) -> u16 {
    let (node, port) = bind().await;
    let slots = slots.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = node.accept().await {
            tokio::spawn(serve(stream, slots.clone(), Manner::Well));
        }
    });
    port
}

fn config(seed: u16) -> ClusterConfig {
    let url = format!("redis+cluster://127.0.0.1:{seed}");
    ClusterConfig::new(url.parse().expect("a URL"))
}

/// It takes connections, and says nothing.
#[tokio::test]
async fn a_master_that_died_without_a_word_is_published_to_until_another_one_is_named() {
    let slots = Slots::default();
    let port = node(&slots).await;
    let (_dead, dead) = bind().await;
    slots.set(&[(0, 16383, dead)]);
    let channels = PubSub::new(config(port));
    // Each waits for less time than connecting may take, as those do that wait
    // for others to connect.
    let publish = || {
        let publishing = channels.publish(Publish::Sharded, "a", b"x");
        tokio::time::timeout(Duration::from_millis(200), publishing)
    };
    publish().await.expect_err("it is dead");
    slots.set(&[(0, 16383, port)]);
    let publishing = async { while !matches!(publish().await, Ok(Ok(1))) {} };
    let published = tokio::time::timeout(PATIENCE, publishing).await;
    published.expect("the other one is published to");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_master_that_refuses_takes_nothing_from_the_others() {
    let cluster = Cluster::start();
    let user = [
        "ACL", "SETUSER", "app", "on", ">hunter2", "+@all", "~*", "&*",
    ];
    for node in [&cluster.owner, &cluster.other] {
        assert_eq!(node.command(&user), "OK\n");
    }
    let (there, here) = (channel_at(&cluster.other), channel_at(&cluster.owner));
    let url = format!("redis+cluster://app:hunter2@{}", cluster.owner.address());
    let channels = PubSub::new(ClusterConfig {
        url: url.parse().unwrap(),
        ..cluster.owner.config()
    });
    let pattern = Topic::Pattern("a#*".to_owned());
    let shards = [&here, &there].map(|name| Topic::Shard(name.clone()));
    channels.subscribe([pattern].into_iter().chain(shards));
    let mut listener = Listener::start(channels.clone());
    listener.listening().await;

    let before = cluster.owner.millis();
    assert_eq!(cluster.other.command(&["ACL", "DELUSER", "app"]), "1\n");
    assert_eq!(listener.next().await, Heard::CutOff);
    let refused = || cluster.other.command(&["ACL", "LOG"]).contains("auth");
    wait_until("it is refused", refused);
    for number in 0..20 {
        cluster
            .owner
            .command(&["PUBLISH", "a#1", &number.to_string()]);
        say_until_heard(&channels, &here, b"x").await;
        for _message in 0..2 {
            let heard = listener.next().await;
            assert!(
                matches!(heard, Heard::Message { since, .. } if since <= before),
                "it was heard all the time: {heard:?}"
            );
        }
    }
    assert_eq!(cluster.other.command(&user), "OK\n");
    listener.listening().await;
    say_until_heard(&channels, &there, b"y").await;
    listener.hears(Publish::Sharded, &there, b"y").await;
}

#[tokio::test]
async fn a_master_that_closes_what_it_accepts_is_not_connected_to_without_a_pause() {
    let slots = Slots::default();
    let port = node(&slots).await;
    let (closing, other) = bind().await;
    // The log's slot is 9382.
    slots.set(&[(0, 9381, other), (9382, 16383, port)]);
    let channels = PubSub::new(config(port));
    // Its slot is 341.
    channels.subscribe([Topic::Shard("{help-desk-ws".to_owned())]);
    let _listener = Listener::start(channels);
    let begin = Instant::now();
    for _connection in 0..7 {
        let accepted = tokio::time::timeout(PATIENCE, closing.accept()).await;
        let (stream, _) = accepted.expect("it comes back").unwrap();
        // Ended by it, or by who connects.
        let _ended = serve(stream, slots.clone(), Manner::Closes).await;
    }
    // Half of 20 ms, of 40 ms and so on.
    assert!(begin.elapsed() >= Duration::from_millis(630));
}

/// It runs on, alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_the_log_that_is_taken_out_of_the_cluster_is_left() {
    let cluster = Cluster::start();
    let channels = PubSub::new(cluster.config(&[&cluster.owner, &cluster.other]));
    let (ours, theirs) = ("a#1", "b");
    channels.subscribe([Topic::Pattern("a#*".to_owned())]);
    let mut listener = Listener::start(channels.clone());
    listener.listening().await;
    let publishing = channels.publish(Publish::Classic, theirs, b"x");
    assert_eq!(publishing.await.expect("the cluster is there"), 0);

    cluster.take_owner_out();
    assert_eq!(listener.next().await, Heard::CutOff);
    listener.listening().await;
    cluster.other.command(&["PUBLISH", ours, "1"]);
    listener.hears(Publish::Classic, ours, b"1").await;

    let node = PubSub::new(cluster.config(&[&cluster.other]));
    node.subscribe([Topic::Channel(theirs.to_owned())]);
    let mut node = Listener::start(node);
    node.listening().await;
    let publishing = async {
        while !matches!(
            channels.publish(Publish::Classic, theirs, b"2").await,
            Ok(1)
        ) {}
    };
    let published = tokio::time::timeout(PATIENCE, publishing).await;
    published.expect("the other one is published to");
    node.hears(Publish::Classic, theirs, b"2").await;
}
