//! `help-desk-ws listen`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::Args;
use engineio_proto::{ClientEvent, ClientSession, EncodedPacket, Packet};
use futures_util::{SinkExt as _, StreamExt as _};
use hd_auth::{JwtPayload, UserId};
use http::StatusCode;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use socketio_proto::{ConnectError, Decoder, Event, Limits, Namespace, PacketData, Parser};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::server_url::ServerUrl;
use super::{Failure, token};
use crate::settings::{EmitClientSettings, ListenSettings, NodeEnv, SigningSettings};

/// The token comes from --token, --token-file or HELP_DESK_WS_TOKEN, or is signed for --user with
/// JWT_SECRET.
#[derive(Debug, Args)]
pub(super) struct ListenArgs {
    /// Where the server is; the path is the namespace, as in socket.io clients
    /// [default: http://localhost:PORT/notifications].
    #[arg(long, value_parser = ServerUrl::parse)]
    url: Option<ServerUrl>,
    /// Token to connect with. Every process of the machine can read it here: in production use
    /// --token-file, or the environment variable HELP_DESK_WS_TOKEN.
    #[arg(long, value_name = "JWT")]
    token: Option<String>,
    /// File with the token to connect with; - reads it from stdin.
    #[arg(long, value_name = "FILE|-", conflicts_with = "token")]
    token_file: Option<String>,
    /// User id to sign a token for, in development.
    #[arg(
        long,
        value_name = "ID",
        value_parser = token::user_id,
        conflicts_with_all = ["token", "token_file"]
    )]
    user: Option<UserId>,
    /// Parser that the server has, default or msgpack [default: PARSER, else default].
    #[arg(long, value_name = "NAME")]
    parser: Option<String>,
    /// End after this many notifications.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after listening for this time; with --count, it is a failure if it comes first.
    #[arg(long, value_name = "TIME", value_parser = super::timeout)]
    timeout: Option<Duration>,
}

pub(super) fn run(args: ListenArgs) -> Result<ExitCode, Failure> {
    let token = match (args.token, args.token_file, args.user) {
        (Some(token), ..) => token,
        (None, Some(file), _) => token::from_file(&file)?,
        (None, None, Some(user)) => sign(user)?,
        (None, None, None) => token::from_environment()?,
    };
    let parser = ListenSettings::load(args.parser)?.parser;
    let url = match args.url {
        Some(url) => url,
        None => ServerUrl::local(EmitClientSettings::load()?.port),
    };
    let namespace = match url.path() {
        "" => DEFAULT_NAMESPACE,
        path => path,
    };
    let namespace =
        Namespace::new(namespace).map_err(|error| Failure::Usage(format!("--url: {error}")))?;
    let auth = to_raw_value(&Auth { token: &token }).map_err(anyhow::Error::from)?;

    super::block_on(async {
        let setup_deadline = Instant::now() + SETUP_TIMEOUT;
        let web_socket = tokio::time::timeout_at(setup_deadline.into(), open(&url))
            .await
            .map_err(|_| Failure::Unavailable(format!("{url} does not answer in time")))??;
        let mut listener = Listener {
            url: &url,
            namespace,
            auth,
            web_socket,
            session: ClientSession::new(),
            parser,
            decoder: Decoder::with_parser(parser),
            setup_deadline: Some(setup_deadline),
            timeout: args.timeout,
            deadline: None,
            printed: 0,
        };
        listener.listen(args.count).await?;
        // The server learns at once that nobody listens; if it is gone, it need not.
        let close = listener.web_socket.close(None);
        drop(tokio::time::timeout(CLOSE_TIMEOUT, close).await);
        Ok(ExitCode::SUCCESS)
    })
}

fn sign(user: UserId) -> Result<String, Failure> {
    let settings = SigningSettings::load(None)?;
    if settings.node_env == NodeEnv::Production {
        return Err(Failure::Usage(
            "NODE_ENV is production, where --user would listen to a real user; give a token \
             by --token-file or HELP_DESK_WS_TOKEN"
                .to_owned(),
        ));
    }
    token::mint(&JwtPayload::new(user), &settings)
}

async fn open(url: &ServerUrl) -> Result<WebSocketStream<TcpStream>, Failure> {
    let stream = url.connect().await?;
    let target = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket",
        url.authority()
    );
    let config = WebSocketConfig::default()
        .max_message_size(Some(MOST_MESSAGE_BYTES))
        .max_frame_size(Some(MOST_MESSAGE_BYTES));
    match client_async_with_config(target, stream, Some(config)).await {
        Ok((web_socket, _)) => Ok(web_socket),
        Err(tungstenite::Error::Http(answer)) => Err(refusal(url, answer.status())),
        Err(error) => Err(Failure::Unavailable(format!(
            "{url} does not speak WebSocket: {error}"
        ))),
    }
}

fn refusal(url: &ServerUrl, status: StatusCode) -> Failure {
    let refusal = format!("{url} refuses the connection: {status}");
    if status.is_server_error() {
        Failure::Unavailable(refusal)
    } else {
        Failure::Failed(anyhow!(refusal))
    }
}

/// A client in one namespace, over one WebSocket.
struct Listener<'a> {
    url: &'a ServerUrl,
    namespace: Namespace,
    auth: Box<RawValue>,
    web_socket: WebSocketStream<TcpStream>,
    session: ClientSession,
    parser: Parser,
    decoder: Decoder,
    /// Until the namespace is joined.
    setup_deadline: Option<Instant>,
    timeout: Option<Duration>,
    /// The end of `timeout`, once the namespace is joined.
    deadline: Option<Instant>,
    printed: u64,
}

impl Listener<'_> {
    /// Prints notifications until there have been `count`, or until the time is up.
    async fn listen(&mut self, count: Option<u64>) -> Result<(), Failure> {
        while count.is_none_or(|count| self.printed < count) {
            let wake = [
                self.session.poll_timeout(),
                self.setup_deadline,
                self.deadline,
            ]
            .into_iter()
            .flatten()
            .min()
            .expect("invariant: the setup deadline is there until the session is open");
            match tokio::time::timeout_at(wake.into(), self.web_socket.next()).await {
                Ok(Some(Ok(message))) => self.handle_message(message).await?,
                Ok(Some(Err(error))) => {
                    return Err(self.gone(&format!("breaks the connection: {error}")));
                }
                Ok(None) => return Err(self.gone("closes the connection")),
                Err(_) => {
                    let now = Instant::now();
                    if self.session.handle_timeout(now) {
                        return Err(self.gone("is silent"));
                    }
                    if self.setup_deadline.is_some_and(|by| by <= now) {
                        return Err(self.gone("does not answer in time"));
                    }
                    if self.deadline.is_some_and(|by| by <= now) {
                        return self.time_is_up(count);
                    }
                }
            }
        }
        Ok(())
    }

    fn time_is_up(&self, count: Option<u64>) -> Result<(), Failure> {
        match count {
            None => Ok(()),
            Some(count) => {
                Err(anyhow!("time is up after {} of {count} notifications", self.printed).into())
            }
        }
    }

    async fn handle_message(&mut self, message: Message) -> Result<(), Failure> {
        let packet = match &message {
            Message::Text(text) => {
                Packet::decode(text).map_err(|error| self.gone(&format!("errs: {error}")))?
            }
            Message::Binary(data) => Packet::from_binary(data),
            Message::Close(_) => return Err(self.gone("closes the connection")),
            // The library answers pings.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(()),
        };
        let event = self
            .session
            .handle_packet(packet, Instant::now())
            .map_err(|error| self.gone(&format!("errs: {error}")))?;
        match event {
            None => Ok(()),
            Some(ClientEvent::Opened) => {
                let request = self
                    .parser
                    .connect_request(&self.namespace, Some(&self.auth));
                for packet in request.packets() {
                    self.send(packet).await?;
                }
                Ok(())
            }
            Some(ClientEvent::Reply(packet)) => self.send(&packet).await,
            Some(ClientEvent::Message(message)) => {
                let packet = self
                    .decoder
                    .add(message, &Limits::default(), Instant::now())
                    .map_err(|error| self.gone(&format!("errs: {error}")))?;
                match packet {
                    Some(packet) if packet.namespace == self.namespace => {
                        self.handle_packet(packet.data)
                    }
                    _ => Ok(()),
                }
            }
            Some(ClientEvent::Closed) => Err(self.gone("closes the session")),
        }
    }

    fn handle_packet(&mut self, packet: PacketData) -> Result<(), Failure> {
        match packet {
            PacketData::Connect { .. } => {
                self.setup_deadline = None;
                self.deadline = self.timeout.map(|timeout| Instant::now() + timeout);
                super::note(&format!("listening to {}{}", self.url, self.suffix()));
                Ok(())
            }
            PacketData::ConnectError { error } => {
                let error = ConnectError::from_json(&error)
                    .context("the server refuses, in words that are none")?;
                let data = error
                    .data
                    .map_or_else(String::new, |data| format!(" {data}"));
                Err(anyhow!("{} refuses: {}{data}", self.url, error.message).into())
            }
            PacketData::Event(event) => {
                super::print_line(&notification(&event)?)?;
                self.printed += 1;
                Ok(())
            }
            // So does the NestJS service end a bad token.
            PacketData::Disconnect => Err(anyhow!(
                "{} takes this client out of {}: the token may be refused",
                self.url,
                self.namespace.as_str()
            )
            .into()),
            PacketData::Ack { .. } => Ok(()),
        }
    }

    async fn send(&mut self, packet: &EncodedPacket) -> Result<(), Failure> {
        let frame = packet.frame();
        let message = match str::from_utf8(frame.payload()) {
            Ok(text) if frame.is_text() => Message::text(text),
            _ => Message::binary(frame.payload().to_vec()),
        };
        self.web_socket
            .send(message)
            .await
            .map_err(|error| self.gone(&format!("breaks the connection: {error}")))
    }

    /// The namespace, where the URL does not say it.
    fn suffix(&self) -> &str {
        if self.url.path().is_empty() {
            self.namespace.as_str()
        } else {
            ""
        }
    }

    fn gone(&self, what: &str) -> Failure {
        Failure::Unavailable(format!("{} {what}", self.url))
    }
}

/// The line of a notification, as a plain WebSocket of the service has it.
fn notification(event: &Event) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Notification<'a> {
        event: &'a str,
        data: Option<&'a RawValue>,
    }

    let line = serde_json::to_string(&Notification {
        event: event.name().as_str(),
        // What follows is the offset of connection state recovery.
        data: event.args.iter().next(),
    });
    Ok(line.map_err(anyhow::Error::from)?)
}

#[derive(Serialize)]
struct Auth<'a> {
    token: &'a str,
}

const DEFAULT_NAMESPACE: &str = "/notifications";
/// `timeout` of socket.io-client.
const SETUP_TIMEOUT: Duration = Duration::from_secs(20);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Far above the largest notification, 256 KiB.
const MOST_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
