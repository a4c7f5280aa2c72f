//! Good clients: they connect as socket.io-client does, get notifications, leave and return with `pid` and
//! `offset`, by WebSocket and by polling. What they get is written into the [`Ledger`].

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{
    ledger::{Ledger, Phase},
    random::Random,
    service::Tokens,
    wire::{self, Connection, NAMESPACE, ORIGIN, TEXT, get, post},
};

/// What all good clients share.
#[derive(Debug, Clone)]
pub(crate) struct Crowd {
    pub(crate) address: SocketAddr,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) is_proxied: bool,
    pub(crate) is_churning: bool,
}

/// One good client.
#[derive(Debug)]
struct Client {
    crowd: Crowd,
    index: usize,
    random: Random,
    /// What it carries from one connection to the next.
    pid: Option<String>,
    offset: Option<String>,
}

/// Users of good clients count up from this one.
const FIRST_USER: u64 = 1_000_000;
/// One of so many polls.
const POLLING_EVERY: usize = 5;
/// How long socket.io-client waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Its `reconnectionDelay` and `reconnectionDelayMax`, and by how much they vary (`randomizationFactor`).
const RECONNECT_DELAY: Duration = Duration::from_secs(1);
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(5);
const RANDOMIZATION: f64 = 0.5;
/// One that stays beyond its time listens this long at once.
const MIN_PATIENCE: Duration = Duration::from_millis(100);
/// How long one stays, and stays away, between these many milliseconds.
const STAY: (u64, u64) = (2_000, 8_000);
const ABSENCE: (u64, u64) = (50, 500);

/// The user of a good client.
pub(crate) fn user(index: usize) -> u64 {
    FIRST_USER + index as u64
}

/// The pause before try number `tries` + 1 of socket.io-client.
pub(crate) fn reconnect_delay(tries: u32, random: &mut Random) -> Duration {
    let base = RECONNECT_DELAY * 2_u32.saturating_pow(tries.min(8));
    let spread = 1.0 - RANDOMIZATION + 2.0 * RANDOMIZATION * random.fraction();
    base.mul_f64(spread).min(MAX_RECONNECT_DELAY)
}

impl Crowd {
    /// Starts `count` clients, each from an address of its own.
    pub(crate) fn start(&self, count: usize) {
        for index in 0..count {
            tokio::spawn(
                Client {
                    crowd: self.clone(),
                    index,
                    random: Random::new(index as u64),
                    pid: None,
                    offset: None,
                }
                .live(),
            );
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    async fn live(mut self) {
        // Not all at once.
        sleep(Duration::from_millis(self.random.between(0, 1_000))).await;
        loop {
            self.crowd.ledger().begin_connecting(self.index);
            let mut tries = 0;
            let mut session = loop {
                match timeout(CONNECT_TIMEOUT, self.connect()).await {
                    Ok(Ok(session)) => break session,
                    Ok(Err(error)) => self.crowd.ledger().fail(&error.to_string()),
                    Err(_) => self.crowd.ledger().fail("no answer within 20 s"),
                }
                sleep(reconnect_delay(tries, &mut self.random)).await;
                tries += 1;
            };
            self.crowd.ledger().join(self.index);
            let stay = Duration::from_millis(self.random.between(STAY.0, STAY.1));
            let ended = self.stay(&mut session, Instant::now() + stay).await;
            self.crowd.ledger().leave(self.index);
            match ended {
                Ok(()) => session.leave().await,
                Err(error) => self.crowd.ledger().cut(&error.to_string()),
            }
            drop(session);
            sleep(Duration::from_millis(
                self.random.between(ABSENCE.0, ABSENCE.1),
            ))
            .await;
        }
    }

    /// Receives until it is time to leave; an error when the service ended the connection.
    async fn stay(&mut self, session: &mut Session, until: Instant) -> io::Result<()> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match timeout(left.max(MIN_PATIENCE), session.receive()).await {
                Ok(packets) => {
                    for packet in packets? {
                        self.packet(&packet);
                    }
                }
                // In the end everybody stays, to get what is on its way.
                Err(_) if self.crowd.is_churning && self.crowd.ledger().phase() != Phase::After => {
                    return Ok(());
                }
                Err(_) => {}
            }
        }
    }

    /// A packet of Socket.IO. Whether it was the answer to CONNECT; an error when that was a refusal.
    fn packet(&mut self, packet: &str) -> Option<io::Result<()>> {
        let (kind, rest) = packet.split_once(NAMESPACE)?;
        let data: Value = serde_json::from_str(rest.strip_prefix(',')?).ok()?;
        match kind {
            "40" => {
                self.pid = data["pid"].as_str().map(str::to_owned);
                Some(Ok(()))
            }
            "42" => {
                let arguments = data.as_array()?;
                if let Some(offset) = arguments.get(2).and_then(Value::as_str) {
                    self.offset = Some(offset.to_owned());
                }
                let number = arguments.get(1)?["ticketId"].as_u64()?;
                self.crowd.ledger().deliver(number, self.index);
                None
            }
            _ => Some(Err(io::Error::other(format!(
                "CONNECT was refused: {rest}"
            )))),
        }
    }

    async fn connect(&mut self) -> io::Result<Session> {
        let token = self
            .crowd
            .tokens
            .of(user(self.index))
            .map_err(io::Error::other)?;
        let mut auth = serde_json::json!({ "token": token });
        for (name, value) in [("pid", &self.pid), ("offset", &self.offset)] {
            if let Some(value) = value {
                auth[name] = value.clone().into();
            }
        }
        let connect = format!("40{NAMESPACE},{auth}");
        let source = source(self.index);
        let headers = self.headers();
        let mut session = if self.index.is_multiple_of(POLLING_EVERY) {
            Session::poll(self.crowd.address, source, &headers).await?
        } else {
            let mut connection = Connection::open(self.crowd.address, Some(source)).await?;
            connection.open_session(&headers).await?;
            Session::WebSocket(connection)
        };
        session.send(&connect).await?;
        loop {
            let mut joined = None;
            // What was missed comes before the answer, and by polling more may come with it.
            for packet in session.receive().await? {
                joined = self.packet(&packet).or(joined);
            }
            if let Some(answer) = joined {
                return answer.map(|()| session);
            }
        }
    }

    fn headers(&self) -> String {
        let forwarded = if self.crowd.is_proxied {
            format!("X-Forwarded-For: {}\r\n", public_source(self.index))
        } else {
            String::new()
        };
        format!("Origin: {ORIGIN}\r\n{forwarded}")
    }
}

/// Good clients come from 127.0.2.1 on.
fn source(index: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x7f00_0201 + index as u32)
}

/// Behind a proxy, from 50.0.0.1 on.
pub(crate) fn public_source(index: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x3200_0001 + index as u32)
}

/// A session by either transport.
enum Session {
    WebSocket(Connection),
    Polling(Box<Polling>),
}

/// GETs on one connection, POSTs on the other.
struct Polling {
    gets: Connection,
    posts: Connection,
    address: SocketAddr,
    source: Ipv4Addr,
    path: String,
    headers: String,
    /// Whether a GET is under way.
    is_asked: bool,
}

impl Session {
    async fn poll(address: SocketAddr, source: Ipv4Addr, headers: &str) -> io::Result<Self> {
        let mut gets = Connection::open(address, Some(source)).await?;
        let request = get("/socket.io/?EIO=4&transport=polling", headers);
        let sid = wire::sid(&gets.ask(request.as_bytes()).await?)?;
        Ok(Self::Polling(Box::new(Polling {
            gets,
            posts: Connection::open(address, Some(source)).await?,
            address,
            source,
            path: format!("/socket.io/?EIO=4&transport=polling&sid={sid}"),
            headers: headers.to_owned(),
            is_asked: false,
        })))
    }

    async fn send(&mut self, packet: &str) -> io::Result<()> {
        match self {
            Self::WebSocket(connection) => connection.send(TEXT, packet.as_bytes()).await,
            Self::Polling(polling) => {
                let request = post(&polling.path, &polling.headers, packet);
                let asked = polling.posts.ask(request.as_bytes()).await;
                let response = match asked {
                    Ok(response) => response,
                    // The connection had rested and was closed: a browser takes another one.
                    Err(_) => {
                        polling.posts =
                            Connection::open(polling.address, Some(polling.source)).await?;
                        polling.posts.ask(request.as_bytes()).await?
                    }
                };
                match response.status {
                    200 => Ok(()),
                    status => Err(io::Error::other(format!(
                        "a POST was answered with {status}"
                    ))),
                }
            }
        }
    }

    /// Packets of Socket.IO that have come; may be given up and called again.
    async fn receive(&mut self) -> io::Result<Vec<String>> {
        let packets = match self {
            Self::WebSocket(connection) => {
                let frame = connection.reader.frame().await?;
                if let Some((opcode, payload)) = wire::pong(&frame) {
                    connection.send(opcode, payload).await?;
                    return Ok(Vec::new());
                }
                if frame.opcode == wire::CLOSE {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                vec![String::from_utf8_lossy(&frame.payload).into_owned()]
            }
            Self::Polling(polling) => {
                if !polling.is_asked {
                    let request = get(&polling.path, &polling.headers);
                    polling.is_asked = true;
                    polling.gets.write(request.as_bytes()).await?;
                }
                let response = polling.gets.reader.response().await?;
                polling.is_asked = false;
                if response.status != 200 {
                    return Err(io::Error::other(format!(
                        "a poll was answered with {}",
                        response.status
                    )));
                }
                String::from_utf8_lossy(&response.body)
                    .split('\u{1e}')
                    .map(str::to_owned)
                    .collect()
            }
        };
        if packets
            .iter()
            .any(|packet| packet == "1" || packet.starts_with("41"))
        {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if packets.iter().any(|packet| packet == "2") {
            self.send("3").await?;
        }
        Ok(packets)
    }

    /// Closes as a page does that is left.
    async fn leave(&mut self) {
        let leaving = async {
            match self {
                Self::WebSocket(connection) => {
                    connection.send(wire::CLOSE, &1001_u16.to_be_bytes()).await
                }
                Self::Polling(_) => self.send("1").await,
            }
        };
        // It leaves, whether it is heard or not.
        timeout(RECONNECT_DELAY, leaving).await.ok();
    }
}
