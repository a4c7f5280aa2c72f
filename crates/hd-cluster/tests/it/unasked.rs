//! What a server says of slots that leave looks like answers to what it was
//! asked, and may come before them: a server that does so on purpose.

use std::fmt::Write as _;

use hd_cluster::{ClusterConfig, PubSub, Publish, Topic};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::listener::Listener;

/// It says of two channels that they have left, which are as many answers as a
/// subscription and the end of its pipeline have. Their own come with those to
/// the next command.
async fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut held_back = String::new();
    loop {
        let command = read_command(&mut stream).await?;
        let mut answers = std::mem::take(&mut held_back);
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        match words[..] {
            ["HELLO", ..] => answers.push_str("%1\r\n$5\r\nproto\r\n:3\r\n"),
            ["TIME"] => answers.push_str("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"),
            ["PING", fence] => {
                write!(answers, "${}\r\n{fence}\r\n", fence.len()).expect("memory");
            }
            ["SSUBSCRIBE", channel] => {
                let [_, fence] = &read_command(&mut stream).await?[..] else {
                    panic!("a command that ends the pipeline");
                };
                answers.push_str(&push("sunsubscribe", "never", ":0"));
                answers.push_str(&push("sunsubscribe", "neither", ":0"));
                held_back.push_str(&push("ssubscribe", channel, ":1"));
                write!(held_back, "${}\r\n{fence}\r\n", fence.len()).expect("memory");
                held_back.push_str(&push("smessage", channel, "$1\r\nx"));
            }
            _ => answers.push_str("+OK\r\n"),
        }
        stream.get_mut().write_all(answers.as_bytes()).await?;
    }
}

pub(crate) fn push(kind: &str, channel: &str, last: &str) -> String {
    let (kind_len, channel_len) = (kind.len(), channel.len());
    format!(">3\r\n${kind_len}\r\n{kind}\r\n${channel_len}\r\n{channel}\r\n{last}\r\n")
}

pub(crate) async fn read_command(
    stream: &mut BufReader<TcpStream>,
) -> std::io::Result<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..read_number(stream).await? {
        let mut word = vec![0; read_number(stream).await? + 2];
        stream.read_exact(&mut word).await?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8(word).expect("text"));
    }
    Ok(words)
}

/// What is after `*` or `$`.
async fn read_number(stream: &mut BufReader<TcpStream>) -> std::io::Result<usize> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line[1..].trim().parse().expect("a number"))
}

#[tokio::test]
async fn what_is_confirmed_late_is_listened_to() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", server.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = server.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    let channels = PubSub::new(ClusterConfig::new(url.parse().unwrap()));
    let mut listener = Listener::start(channels);
    listener.listening().await;
    let topic = Topic::Shard("a".to_owned());
    listener.channels.subscribe([topic]);
    listener.hears(Publish::Sharded, "a", b"x").await;
    serving.abort();
}
