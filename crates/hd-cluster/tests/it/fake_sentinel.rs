//! A Sentinel that says what a test has it say.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::redis_server::{PATIENCE, RedisServer};

/// It ends with the test.
pub(crate) struct FakeSentinel {
    address: String,
    says: watch::Sender<Says>,
    events: broadcast::Sender<Event>,
    /// How often it was asked who the master is.
    asked: watch::Receiver<u32>,
    task: JoinHandle<()>,
}

/// Of a master that is called `main`.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    Master {
        epoch: u64,
        port: u16,
        /// A replica that is being promoted.
        promoted: Option<u16>,
    },
    /// This, to every question.
    Nonsense(&'static str),
}

type Event = (&'static str, &'static str);

struct Connection {
    stream: BufReader<TcpStream>,
    says: watch::Receiver<Says>,
    events: broadcast::Receiver<Event>,
    asked: watch::Sender<u32>,
}

impl FakeSentinel {
    pub(crate) async fn start(says: Says) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (says, said) = watch::channel(says);
        let (events, _) = broadcast::channel(100);
        let (asking, asked) = watch::channel(0);
        let pushed = events.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let connection = Connection {
                    stream: BufReader::new(stream),
                    says: said.clone(),
                    events: pushed.subscribe(),
                    asked: asking.clone(),
                };
                connections.spawn(connection.serve());
            }
        });
        Self {
            address,
            says,
            events,
            asked,
            task,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What it says from now on, without an event.
    pub(crate) fn say(&self, says: Says) {
        self.says.send_replace(says);
    }

    pub(crate) fn publish(&self, event: &'static str, text: &'static str) {
        self.events.send((event, text)).expect("it is listened to");
    }

    /// Waits until what it says was heard: who asks again has heard the answer
    /// to what it asked before.
    pub(crate) async fn wait_until_it_was_heard(&mut self) {
        let before = *self.asked.borrow_and_update();
        let asking = self.asked.wait_for(|asked| *asked >= before + 3);
        let waited = tokio::time::timeout(PATIENCE, asking).await;
        waited.expect("it is asked").expect("it runs");
    }
}

impl Drop for FakeSentinel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Says {
    pub(crate) fn master(epoch: u64, server: &RedisServer) -> Self {
        Self::Master {
            epoch,
            port: server.port(),
            promoted: None,
        }
    }
}

impl Connection {
    async fn serve(mut self) -> io::Result<()> {
        loop {
            tokio::select! {
                // Nothing is sent in pieces by who asks.
                command = read(&mut self.stream) => {
                    let answer = self.answer(&command?);
                    self.stream.write_all(answer.as_bytes()).await?;
                }
                Ok((event, text)) = self.events.recv() => {
                    let push = format!(">3\r\n{}{}{}", bulk("message"), bulk(event), bulk(text));
                    self.stream.write_all(push.as_bytes()).await?;
                }
            }
        }
    }

    fn answer(&self, command: &[String]) -> String {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        match (words.as_slice(), &*self.says.borrow()) {
            (["HELLO", ..], _) => format!("%1\r\n{}:3\r\n", bulk("proto")),
            (["SUBSCRIBE", event], _) => {
                format!(">3\r\n{}{}:1\r\n", bulk("subscribe"), bulk(event))
            }
            (["SENTINEL", question, "main"], says) => {
                if *question == "MASTER" {
                    self.asked.send_modify(|asked| *asked += 1);
                }
                says.answer(question)
            }
            _ => "+OK\r\n".to_owned(),
        }
    }
}

impl Says {
    fn answer(&self, question: &str) -> String {
        let (epoch, port, promoted) = match self {
            Self::Nonsense(text) => return (*text).to_owned(),
            Self::Master {
                epoch,
                port,
                promoted,
            } => (epoch, port, promoted),
        };
        match (question, promoted) {
            ("MASTER", _) => format!("%1\r\n{}{}", bulk("config-epoch"), bulk(epoch)),
            ("REPLICAS", None) => "*0\r\n".to_owned(),
            ("REPLICAS", Some(port)) => {
                let flags = format!("{}{}", bulk("flags"), bulk("slave,promoted"));
                let ip = format!("{}{}", bulk("ip"), bulk("127.0.0.1"));
                format!("*1\r\n%3\r\n{flags}{ip}{}{}", bulk("port"), bulk(port))
            }
            _ => format!("*2\r\n{}{}", bulk("127.0.0.1"), bulk(port)),
        }
    }
}

/// A command: an array of strings.
async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<String>> {
    let mut command = Vec::new();
    for _ in 0..number(stream).await? {
        let mut word = vec![0; number(stream).await? + 2];
        stream.read_exact(&mut word).await?;
        word.truncate(word.len() - 2);
        command.push(String::from_utf8(word).map_err(io::Error::other)?);
    }
    Ok(command)
}

async fn number(stream: &mut BufReader<TcpStream>) -> io::Result<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let digits = line.trim().get(1..).ok_or(io::ErrorKind::UnexpectedEof)?;
    digits.parse().map_err(io::Error::other)
}

fn bulk(text: impl ToString) -> String {
    let text = text.to_string();
    format!("${}\r\n{text}\r\n", text.len())
}
