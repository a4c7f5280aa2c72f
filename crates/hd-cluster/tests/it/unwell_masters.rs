//! Masters of a Redis Cluster that do not do what they are there for, while the
//! others do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use hd_cluster::{ClusterConfig, PubSub, Publish};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::redis_server::PATIENCE;
use crate::unasked::read_command;

/// A node that says who has all slots, and hears what is published.
async fn serve(stream: TcpStream, master: Arc<AtomicU16>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let command = read_command(&mut stream).await?;
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let answer = match words[..] {
            ["CLUSTER", "SLOTS"] => {
                let port = master.load(Ordering::SeqCst);
                format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
            }
            ["SPUBLISH" | "PUBLISH", ..] => ":1\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        };
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
}

async fn bind() -> (TcpListener, u16) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    (server, port)
}

/// It takes connections, and says nothing.
#[tokio::test]
async fn a_master_that_died_without_a_word_is_published_to_until_another_one_is_named() {
    let (node, port) = bind().await;
    let (_dead, dead) = bind().await;
    let master = Arc::new(AtomicU16::new(dead));
    let named = Arc::clone(&master);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = node.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&named)));
        }
    });
    let url = format!("redis+cluster://127.0.0.1:{port}");
    let channels = PubSub::new(ClusterConfig::new(url.parse().unwrap()));
    // Each waits for less time than connecting may take, as those do that wait
    // for others to connect.
    let publish = || {
        let publishing = channels.publish(Publish::Sharded, "a", b"x");
        tokio::time::timeout(Duration::from_millis(200), publishing)
    };
    publish().await.expect_err("it is dead");
    master.store(port, Ordering::SeqCst);
    let publishing = async { while !matches!(publish().await, Ok(Ok(1))) {} };
    let published = tokio::time::timeout(PATIENCE, publishing).await;
    published.expect("the other one is published to");
    serving.abort();
}
