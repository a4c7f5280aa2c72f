//! Events for many sockets at once.
//!
//! Writing to ten thousand sockets takes tens of milliseconds. What is emitted
//! meanwhile for the same audience joins in, and from then on each socket is
//! written to once for all events that are under way. What is emitted for
//! others waits, and everything that comes later waits behind it, so that
//! events keep the order in which they were emitted.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use engineio_proto::EncodedPacket;
use hd_rooms::Audience;
use socketio_proto::Encoded;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::namespace::Namespace;
use super::socket::{Dialect, Socket};

/// How many sockets took an event, as far as that is known.
///
/// The event is sent whether this is polled or not. An event for a few sockets
/// has been sent already.
#[derive(Debug)]
pub struct Emitted(State);

#[derive(Debug)]
enum State {
    Sent(usize),
    Queued(oneshot::Receiver<usize>),
}

/// The events of a namespace that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Fanout {
    queue: Mutex<Queue>,
    /// Known once a socket has entered.
    runtime: OnceLock<Handle>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Job>,
    turn: Turn,
    /// Events that were queued so far.
    count: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Turn {
    #[default]
    Idle,
    /// A task carries out what was queued, and will look again.
    Running,
}

/// An event that waits.
#[derive(Debug)]
struct Job {
    number: u64,
    audience: Audience,
    event: Event,
    taken: oneshot::Sender<usize>,
}

/// An event, encoded for every kind of socket that the namespace has.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) socket_io: Encoded,
    /// Where there is a client of Socket.IO 2. For one that comes in while this is
    /// made, the event was emitted before.
    pub(super) socket_io_2: Option<Encoded>,
    pub(super) plain: EncodedPacket,
}

impl Emitted {
    pub(super) const fn sent(sockets: usize) -> Self {
        Self(State::Sent(sockets))
    }
}

impl Future for Emitted {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        match &mut self.0 {
            State::Sent(sockets) => Poll::Ready(*sockets),
            // It is dropped unsent when the runtime shuts down.
            State::Queued(taken) => Pin::new(taken).poll(cx).map(Result::unwrap_or_default),
        }
    }
}

impl Fanout {
    /// Whether nothing waits, so that an event may be sent at once.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().turn == Turn::Idle
    }

    /// A socket enters that is served on this runtime. Returns how many events
    /// were queued so far: it is meant by none of them.
    pub(super) fn enter(&self, runtime: &Handle) -> u64 {
        self.runtime.get_or_init(|| runtime.clone());
        self.lock().count
    }

    /// Queues an event, and starts the task that carries it out, `run`, where
    /// none runs.
    pub(super) fn queue<F>(
        &self,
        audience: Audience,
        event: Event,
        run: impl FnOnce() -> F,
    ) -> Emitted
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(runtime) = self.runtime.get() else {
            return Emitted::sent(0); // Nobody has ever been here.
        };
        let (taken, emitted) = oneshot::channel();
        let mut queue = self.lock();
        queue.count += 1;
        let job = Job {
            number: queue.count,
            audience,
            event,
            taken,
        };
        queue.waiting.push_back(job);
        if queue.turn == Turn::Idle {
            queue.turn = Turn::Running;
            runtime.spawn(run());
        }
        Emitted(State::Queued(emitted))
    }

    /// The event that has waited longest. When none waits, the turn is over.
    fn take(&self) -> Option<Job> {
        let mut queue = self.lock();
        let first = queue.waiting.pop_front();
        if first.is_none() {
            queue.turn = Turn::Idle;
        }
        first
    }

    /// The same, if it is one that may join in; the turn goes on.
    fn take_if(&self, may_join: impl FnOnce(&Job) -> bool) -> Option<Job> {
        let mut queue = self.lock();
        queue.waiting.pop_front_if(|job| may_join(job))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries out what waits in a namespace, until nothing does.
pub(super) async fn run(namespace: Namespace) {
    while let Some(first) = namespace.fanout().take() {
        Round::new(&namespace, first).run(&namespace).await;
    }
}

/// Events that go round the sockets of one audience.
///
/// An event begins where the round is when it comes, and ends when it is there
/// again; each socket is written to once for all events that are under way. As
/// events begin in the order in which they were queued, no socket gets one
/// before an earlier one.
struct Round {
    audience: Audience,
    sockets: Vec<Socket>,
    /// The registry's, when the sockets were looked up.
    version: u64,
    position: usize,
    under_way: Vec<UnderWay>,
    socket_io: Vec<EncodedPacket>,
    socket_io_2: Vec<EncodedPacket>,
    plain: Vec<EncodedPacket>,
}

/// An event that goes round.
struct UnderWay {
    job: Job,
    /// Sockets that are still to be written to.
    left: usize,
    took: usize,
}

impl Round {
    fn new(namespace: &Namespace, first: Job) -> Self {
        let (sockets, version) = namespace.resolve_at_version(&first.audience);
        let mut round = Self {
            audience: first.audience.clone(),
            sockets,
            version,
            position: 0,
            under_way: Vec::new(),
            socket_io: Vec::new(),
            socket_io_2: Vec::new(),
            plain: Vec::new(),
        };
        round.begin(first);
        round
    }

    async fn run(mut self, namespace: &Namespace) {
        loop {
            self.accept(namespace);
            self.advance();
            self.end();
            if self.under_way.is_empty() {
                return;
            }
            // Others may emit now, and what they emit joins in.
            tokio::task::yield_now().await;
        }
    }

    /// Lets events join in that wait for the same sockets.
    fn accept(&mut self, namespace: &Namespace) {
        while self.under_way.len() < MAX_TOGETHER {
            // The version is asked for once the event is seen: who entered
            // before it was emitted must not be missing from these sockets.
            let joining = namespace.fanout().take_if(|job| {
                job.audience == self.audience && namespace.version() == self.version
            });
            let Some(job) = joining else {
                return;
            };
            self.begin(job);
        }
    }

    fn begin(&mut self, job: Job) {
        self.socket_io
            .extend_from_slice(job.event.socket_io.packets());
        self.socket_io_2.extend_from_slice(job.event.socket_io_2());
        self.plain.push(job.event.plain.clone());
        self.under_way.push(UnderWay {
            job,
            left: self.sockets.len(),
            took: 0,
        });
    }

    /// Writes to the next few sockets.
    fn advance(&mut self) {
        let Some(oldest) = self.under_way.first() else {
            return;
        };
        let first = oldest.job.number;
        let end = (self.position + CHUNK.min(oldest.left)).min(self.sockets.len());
        let chunk = &self.sockets[self.position..end];
        let mut took_all = 0;
        for socket in chunk {
            if socket.entered_after() >= first {
                send_later_ones(socket, &mut self.under_way);
                continue;
            }
            let packets = match socket.dialect() {
                Dialect::SocketIo => &self.socket_io,
                Dialect::SocketIo2 => &self.socket_io_2,
                Dialect::Plain => &self.plain,
            };
            took_all += usize::from(socket.send(packets).is_some());
        }
        for event in &mut self.under_way {
            event.left -= chunk.len();
            event.took += took_all;
        }
        self.position = if end == self.sockets.len() { 0 } else { end };
    }

    /// Takes out the events that have been everywhere.
    fn end(&mut self) {
        let ended = self.under_way.iter().take_while(|event| event.left == 0);
        let ended = ended.count();
        for event in self.under_way.drain(..ended) {
            let packets = event.job.event.socket_io.packets().len();
            self.socket_io.drain(..packets);
            let packets = event.job.event.socket_io_2().len();
            self.socket_io_2.drain(..packets);
            self.plain.remove(0);
            // Nobody may want to know.
            let _unasked = event.job.taken.send(event.took);
        }
    }
}

/// Sends a socket that entered meanwhile the events that were emitted after it
/// had.
fn send_later_ones(socket: &Socket, events: &mut [UnderWay]) {
    for UnderWay { job, took, .. } in events {
        if job.number > socket.entered_after() {
            *took += usize::from(socket.send(job.event.packets_for(socket)).is_some());
        }
    }
}

impl Event {
    fn socket_io_2(&self) -> &[EncodedPacket] {
        self.socket_io_2.as_ref().map_or(&[], Encoded::packets)
    }

    /// The event in the bytes that this socket's client takes.
    pub(super) fn packets_for(&self, socket: &Socket) -> &[EncodedPacket] {
        match socket.dialect() {
            Dialect::SocketIo => self.socket_io.packets(),
            Dialect::SocketIo2 => self.socket_io_2(),
            Dialect::Plain => std::slice::from_ref(&self.plain),
        }
    }
}

/// An event for at most so many sockets is sent where it is emitted.
pub(super) const FEW: usize = 64;
/// Slices of one vectored write; see the pump.
const MAX_TOGETHER: usize = 64;
/// Sockets that are written to before other tasks get their turn: less than a
/// millisecond. It is also how soon an event can join in.
const CHUNK: usize = 128;
