//! Answers that the server waits for.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socketio_proto::{Args, AwaitAckError};
use tokio::sync::oneshot;

use super::Socket;

/// The answer to an event that one client was sent.
///
/// Its deadline is looked at together with the heartbeats, so it may end up to
/// a second after it, and up to a sixteenth of the shorter of ping interval and
/// ping timeout when these are short.
///
/// # Cancel safety
///
/// Safe to cancel: dropping it forgets the ack, which is ignored if it comes.
/// The event has been sent by then.
#[must_use = "an ack that is dropped is not awaited"]
pub struct PendingAck(State);

enum State {
    Failed(AckError),
    Awaited {
        answer: oneshot::Receiver<Result<Args, AckError>>,
        socket: Socket,
        id: u64,
    },
    Over,
}

/// Why a client's answer does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// It did not come in time.
    #[error("the client did not answer in time")]
    TimedOut,
    /// The socket left the namespace before it answered, or had left it before
    /// the event was sent.
    #[error("the client is gone")]
    Disconnected,
    /// As many acks are awaited from this client as
    /// [`ClientConfig::max_awaited_acks`](socketio_proto::ClientConfig) allows.
    /// The event was not sent.
    #[error("{limit} acks are awaited from this client already")]
    TooManyAcks {
        /// The setting in force.
        limit: usize,
    },
    /// A plain WebSocket has no way to answer. It was sent the event.
    #[error("a plain WebSocket cannot answer")]
    PlainWebSocket,
}

/// What the sockets of an audience answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// The sockets that answered, and what.
    pub answered: Vec<(Socket, Args)>,
    /// The sockets that did not, and why.
    pub missing: Vec<(Socket, AckError)>,
}

/// The acks that are awaited from one client, in all its namespaces. Their
/// deadlines, and how many there may be, are the protocol machine's.
#[derive(Default)]
pub(super) struct AwaitedAcks(Vec<(u64, Asker)>);

/// Whoever waits for an ack. Dropping it says that the client is gone.
pub(super) struct Asker(oneshot::Sender<Result<Args, AckError>>);

impl PendingAck {
    pub(super) const fn failed(error: AckError) -> Self {
        Self(State::Failed(error))
    }

    /// An ack that is about to be asked for, and the end to answer it by.
    pub(super) fn of(socket: &Socket, id: u64) -> (Self, Asker) {
        let (asker, answer) = oneshot::channel();
        let socket = socket.clone();
        let pending = State::Awaited { answer, socket, id };
        (Self(pending), Asker(asker))
    }
}

impl Future for PendingAck {
    type Output = Result<Args, AckError>;

    /// # Panics
    ///
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &mut self.0 {
            State::Failed(error) => Err(*error),
            State::Awaited { answer, .. } => {
                ready!(Pin::new(answer).poll(cx)).unwrap_or(Err(AckError::Disconnected))
            }
            State::Over => panic!("an ack is polled after it was ready"),
        };
        self.0 = State::Over;
        Poll::Ready(result)
    }
}

impl Drop for PendingAck {
    fn drop(&mut self) {
        if let State::Awaited { socket, id, .. } = &self.0 {
            socket.forget_ack(*id);
        }
    }
}

impl fmt::Debug for PendingAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAck").finish_non_exhaustive()
    }
}

impl AwaitedAcks {
    pub(super) fn push(&mut self, id: u64, asker: Asker) {
        self.0.push((id, asker));
    }

    pub(super) fn take(&mut self, id: u64) -> Option<Asker> {
        let position = self.0.iter().position(|(awaited, _)| *awaited == id)?;
        Some(self.0.swap_remove(position).1)
    }

    pub(super) fn take_all(&mut self, ids: &[u64]) -> Vec<Asker> {
        ids.iter().filter_map(|id| self.take(*id)).collect()
    }
}

impl Asker {
    /// Not under a lock: it wakes whoever waits.
    pub(super) fn answer(self, result: Result<Args, AckError>) {
        // Nobody may be waiting any more.
        let _forgotten = self.0.send(result);
    }
}

impl From<AwaitAckError> for AckError {
    fn from(error: AwaitAckError) -> Self {
        match error {
            AwaitAckError::TooManyAcks { limit } => Self::TooManyAcks { limit },
            AwaitAckError::NotConnected | _ => Self::Disconnected,
        }
    }
}

/// The longest that an ack is awaited. What a caller waits for longer is no
/// answer any more, and the end of time cannot be reckoned with.
pub(super) const MAX_ACK_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
