//! Events for many sockets at once.
//!
//! Writing to ten thousand sockets takes tens of milliseconds. What is emitted meanwhile for the same
//! audience joins in, and from then on each socket is written to once for all events that are under way.
//! What is emitted for others waits, and everything that comes later waits behind it, so that events
//! keep the order in which they were emitted. That order is decided in [`hd_replay::FanoutQueue`]; here
//! are its lock, its task and the packets.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use engineio_proto::EncodedPacket;
use hd_replay::{Due, FanoutPass, FanoutQueue, Queued, Standing, Start};
use hd_rooms::Audience;
use socketio_proto::Encoded;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::dialect::{Dialect, Variant};
use super::emission;
use super::namespace::Namespace;
use super::socket::Socket;

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

/// The events of a namespace that wait to be sent.
#[derive(Debug)]
pub(super) struct Fanout {
    queue: Mutex<FanoutQueue<Job>>,
    /// Known once a socket has entered.
    runtime: OnceLock<Handle>,
}

/// An event that waits.
#[derive(Debug)]
struct Job {
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
    /// Where there are clients that requested them.
    pub(super) variants: Vec<(Variant, emission::Packets)>,
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

impl Default for Fanout {
    fn default() -> Self {
        Self {
            queue: Mutex::new(FanoutQueue::new(MAX_DIRECT)),
            runtime: OnceLock::new(),
        }
    }
}

impl Fanout {
    /// Whether an event for so many sockets may be sent at once.
    pub(super) fn is_direct(&self, sockets: usize) -> bool {
        self.lock().is_direct(sockets)
    }

    /// A socket enters that is served on this runtime.
    pub(super) fn set_runtime(&self, runtime: &Handle) {
        self.runtime.get_or_init(|| runtime.clone());
    }

    /// After which event of the queue a socket is due the events, when its client stands so to the
    /// log now.
    pub(super) fn after(&self, standing: Standing) -> u64 {
        self.lock().enter(standing)
    }

    /// Queues an event, and starts the task that sends what is queued, `run`, where none runs.
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
            return Emitted::sent(0); // No socket has ever entered.
        };
        let (taken, emitted) = oneshot::channel();
        let job = Job {
            audience,
            event,
            taken,
        };
        let mut queue = self.lock();
        if queue.push(job) == Start::Task {
            runtime.spawn(run());
        }
        Emitted(State::Queued(emitted))
    }

    fn lock(&self) -> MutexGuard<'_, FanoutQueue<Job>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what waits in a namespace, until nothing does.
pub(super) async fn run(namespace: Namespace) {
    loop {
        let first = namespace.fanout().lock().take();
        match first {
            Some(first) => Pass::new(&namespace, first).run(&namespace).await,
            None => return,
        }
    }
}

/// A pass, and the packets of its events one after the other, so that each socket is written to
/// once.
struct Pass {
    audience: Audience,
    /// The registry's, when the sockets were looked up.
    version: u64,
    pass: FanoutPass<Socket, Job>,
    packets: Packets,
}

#[derive(Default)]
struct Packets {
    socket_io: Vec<EncodedPacket>,
    socket_io_2: Vec<EncodedPacket>,
    plain: Vec<EncodedPacket>,
    variants: [Vec<EncodedPacket>; Variant::ALL.len()],
}

impl Pass {
    fn new(namespace: &Namespace, first: Queued<Job>) -> Self {
        let (sockets, version) = namespace.resolve_at_version(&first.job().audience);
        let mut packets = Packets::default();
        packets.push(&first.job().event);
        Self {
            audience: first.job().audience.clone(),
            version,
            pass: FanoutPass::new(sockets, first),
            packets,
        }
    }

    async fn run(mut self, namespace: &Namespace) {
        loop {
            self.accept(namespace);
            self.advance();
            self.end();
            if self.pass.is_empty() {
                return;
            }
            // Others may emit now, and what they emit joins in.
            tokio::task::yield_now().await;
        }
    }

    /// Lets events join that wait for the same sockets.
    fn accept(&mut self, namespace: &Namespace) {
        while self.pass.len() < MAX_TOGETHER {
            // The version is asked for once the event is seen: a socket that entered before it was
            // emitted must not be missing from these.
            let joining = namespace.fanout().lock().take_if(|job| {
                job.audience == self.audience && namespace.version() == self.version
            });
            let Some(queued) = joining else {
                return;
            };
            self.packets.push(&queued.job().event);
            self.pass.begin(queued);
        }
    }

    /// Writes to the next few sockets.
    fn advance(&mut self) {
        let packets = &self.packets;
        let send = |socket: &Socket, due: Due<'_, Job>| match due {
            Due::All => socket.send(packets.for_socket(socket)).is_some(),
            Due::Later(mut jobs) => {
                jobs.all(|job| socket.send(job.event.packets_for(socket)).is_some())
            }
        };
        self.pass.advance(CHUNK, Socket::entered_after, send);
    }

    /// Removes the events that have been everywhere.
    fn end(&mut self) {
        for (job, took) in self.pass.end() {
            self.packets.drop_first(&job.event);
            // Nobody may want to know.
            let _unasked = job.taken.send(took);
        }
    }
}

impl Packets {
    fn push(&mut self, event: &Event) {
        self.socket_io.extend_from_slice(event.socket_io.packets());
        self.socket_io_2.extend_from_slice(event.socket_io_2());
        self.plain.push(event.plain.clone());
        for (variant, packets) in &event.variants {
            self.variants[variant.index()].extend_from_slice(packets);
        }
    }

    fn drop_first(&mut self, event: &Event) {
        self.socket_io.drain(..event.socket_io.packets().len());
        self.socket_io_2.drain(..event.socket_io_2().len());
        self.plain.remove(0);
        for (variant, packets) in &event.variants {
            self.variants[variant.index()].drain(..packets.len());
        }
    }

    fn for_socket(&self, socket: &Socket) -> &[EncodedPacket] {
        match socket.dialect() {
            Dialect::SocketIo => &self.socket_io,
            Dialect::SocketIo2 => &self.socket_io_2,
            Dialect::Plain => &self.plain,
            Dialect::Variant(variant) => &self.variants[variant.index()],
        }
    }
}

impl Event {
    fn socket_io_2(&self) -> &[EncodedPacket] {
        self.socket_io_2.as_ref().map_or(&[], Encoded::packets)
    }

    fn variant(&self, variant: Variant) -> &[EncodedPacket] {
        let mut variants = self.variants.iter();
        let found = variants.find(|(candidate, _)| *candidate == variant);
        found.map_or(&[], |(_, packets)| packets)
    }

    /// The event in the bytes that this socket's client takes.
    pub(super) fn packets_for(&self, socket: &Socket) -> &[EncodedPacket] {
        match socket.dialect() {
            Dialect::SocketIo => self.socket_io.packets(),
            Dialect::SocketIo2 => self.socket_io_2(),
            Dialect::Plain => std::slice::from_ref(&self.plain),
            Dialect::Variant(variant) => self.variant(variant),
        }
    }
}

/// An event for at most so many sockets is sent where it is emitted.
const MAX_DIRECT: usize = 64;
/// Slices of one vectored write; see the pump.
const MAX_TOGETHER: usize = 64;
/// Sockets that are written to before other tasks get their turn: less than a
/// millisecond. It is also how soon an event can join in.
const CHUNK: usize = 128;
