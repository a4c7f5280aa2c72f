//! All clients and emitters of a run, in one thread over one epoll.

use std::io::{self, BufRead as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};

use crate::client::{Client, ClientError, Progress, Shared};
use crate::emitter::Emitter;
use crate::mark::{Clock, Mark};
use crate::polling_client::PollingClient;
use crate::target::Target;

/// Everything that this process has open, and what it saw.
#[derive(Debug)]
pub(crate) struct Generator {
    pub(crate) target: Target,
    pub(crate) clock: Clock,
    pub(crate) tally: Tally,
    pub(crate) handshakes: Handshakes,
    clients: Vec<Client>,
    polling: Vec<PollingClient>,
    emitters: Vec<Emitter>,
    last_emitter: usize,
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
}

/// What has arrived.
#[derive(Debug)]
pub(crate) struct Tally {
    /// From the time in the mark to the arrival, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) received: u64,
    pub(crate) bytes: u64,
    /// Events that a client never got, seen by the next one that it got.
    pub(crate) gaps: u64,
    /// Events that a client got again, or after a later one.
    pub(crate) repeats: u64,
    /// Deliveries of each event of a fan-out.
    pub(crate) deliveries: Vec<u32>,
    /// Answers to emits that were no success.
    pub(crate) refused: u64,
    pub(crate) accepted: u64,
    /// From a request to its answer, in nanoseconds.
    pub(crate) acknowledged: Histogram<u64>,
}

/// How clients got in.
#[derive(Debug)]
pub(crate) struct Handshakes {
    /// From the first packet to the answer to CONNECT, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) joined: u64,
    pub(crate) failed: u64,
    /// Of these, the ones that were answered with another status than 101.
    pub(crate) refused: u64,
    /// Clients that were in and whose connection the server closed.
    pub(crate) left: u64,
    pub(crate) first_failure: Option<String>,
    /// Handshakes under way.
    pub(crate) pending: usize,
}

impl Generator {
    /// # Errors
    ///
    /// No epoll could be had.
    pub(crate) fn new(target: Target) -> anyhow::Result<Self> {
        Ok(Self {
            target,
            clock: Clock::start(),
            tally: Tally::new()?,
            handshakes: Handshakes::new()?,
            clients: Vec::new(),
            polling: Vec::new(),
            emitters: Vec::new(),
            last_emitter: 0,
            poll: Poll::new().context("epoll")?,
            events: Events::with_capacity(1024),
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    /// Connects clients until `count` are there, `at_once` handshakes at a
    /// time. Returns how long it took.
    ///
    /// # Errors
    ///
    /// Some did not get in, or not in time.
    pub(crate) fn connect(
        &mut self,
        count: usize,
        at_once: usize,
        within: Duration,
    ) -> anyhow::Result<Duration> {
        self.clients.resize_with(count, Client::default);
        let start = self.clock.now();
        let mut next = 0;
        let before = self.handshakes.failed;
        while next < count || self.handshakes.pending > 0 {
            while next < count && self.handshakes.pending < at_once {
                if self.clients[next].is_absent() {
                    self.begin(next);
                }
                next += 1;
            }
            self.turn(Some(STEP))?;
            if self.clock.now() - start > within {
                bail!(
                    "{} of {count} clients are in after {within:?}",
                    self.joined()
                );
            }
        }
        let failed = self.handshakes.failed - before;
        if failed > 0 {
            let why = self.handshakes.first_failure.as_deref();
            bail!(
                "{failed} of {count} handshakes failed: {}",
                why.unwrap_or("unknown")
            );
        }
        Ok(self.clock.now() - start)
    }

    /// Begins one handshake.
    pub(crate) fn begin(&mut self, index: usize) {
        let now = self.clock.now();
        let client = &mut self.clients[index];
        match client.connect(index, &self.target, self.poll.registry(), now) {
            Ok(()) => self.handshakes.pending += 1,
            Err(error) => self.handshakes.fail(&error),
        }
    }

    /// Adds polling clients and waits for them to be in.
    ///
    /// # Errors
    ///
    /// Some did not get in, or not in time.
    pub(crate) fn connect_polling(
        &mut self,
        count: usize,
        within: Duration,
    ) -> anyhow::Result<Duration> {
        let start = self.clock.now();
        for index in 0..count {
            let tokens = [Token(POLLING + 2 * index), Token(POLLING + 2 * index + 1)];
            self.polling.push(PollingClient::connect(
                &self.target,
                index,
                self.poll.registry(),
                tokens,
                self.clock.now(),
            )?);
            self.handshakes.pending += 1;
            while self.handshakes.pending >= POLLING_AT_ONCE {
                self.turn(Some(STEP))?;
                if self.clock.now() - start > within {
                    bail!("the server takes in no polling client any more");
                }
            }
        }
        while self.handshakes.pending > 0 {
            self.turn(Some(STEP))?;
            if self.clock.now() - start > within {
                bail!("{} polling clients are not in", self.handshakes.pending);
            }
        }
        Ok(self.clock.now() - start)
    }

    /// Opens the back end's connections.
    ///
    /// # Errors
    ///
    /// No socket could be had.
    pub(crate) fn connect_emitters(&mut self, count: usize) -> anyhow::Result<()> {
        for index in self.emitters.len()..count {
            let token = Token(EMITTERS + index);
            let instance = self.target.instance_of_emitter(index, count);
            let registry = self.poll.registry();
            let emitter = Emitter::connect(&self.target, instance, index, registry, token)
                .context("cannot connect to the emit API")?;
            self.emitters.push(emitter);
        }
        Ok(())
    }

    /// An emitter that is free: the one after the last, so that none rests for
    /// so long that the server closes it. Node does after 5 s.
    pub(crate) fn free_emitter(&mut self) -> Option<usize> {
        let count = self.emitters.len();
        let mut turn = (1..=count).map(|step| (self.last_emitter + step) % count);
        let free = turn.find(|&index| !self.emitters[index].is_busy())?;
        self.last_emitter = free;
        Some(free)
    }

    /// Emits to one client's user, or to everyone.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(crate) fn emit(
        &mut self,
        emitter: usize,
        client: Option<usize>,
        mark: Mark,
        payload_bytes: usize,
    ) -> anyhow::Result<()> {
        let user = client.map(|client| self.target.user(client));
        self.emitters[emitter]
            .emit(&self.target, user, mark, payload_bytes, self.clock.now())
            .context("the emit API")
    }

    pub(crate) fn client(&mut self, index: usize) -> &mut Client {
        &mut self.clients[index]
    }

    /// Clients that are in.
    pub(crate) fn joined(&self) -> usize {
        self.clients
            .iter()
            .filter(|client| client.is_joined())
            .count()
    }

    /// Waits for something to happen, and handles it.
    ///
    /// # Errors
    ///
    /// An emitter or a polling client broke.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>) -> anyhow::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error).context("epoll"),
        }
        let mut shared = Shared {
            target: &self.target,
            scratch: &mut self.scratch,
            tally: &mut self.tally,
            clock: self.clock,
        };
        for event in &self.events {
            let is_ending = event.is_read_closed() || event.is_error();
            match event.token().0 {
                token @ EMITTERS.. => {
                    let emitter = &mut self.emitters[token - EMITTERS];
                    match emitter
                        .ready(is_ending, shared.scratch)
                        .context("the emit API")?
                    {
                        Some((200..=299, sent)) => shared.tally.accept(shared.clock.now() - sent),
                        Some(_) => shared.tally.refused += 1,
                        None => {}
                    }
                }
                token @ POLLING.. => {
                    let number = token - POLLING;
                    let client = &mut self.polling[number / 2];
                    let joined = client
                        .ready(number / 2, number % 2, is_ending, &mut shared)
                        .context("a polling client")?;
                    if let Some(took) = joined {
                        self.handshakes.join(took);
                    }
                }
                index => {
                    let client = &mut self.clients[index];
                    let was_pending = !client.is_joined() && !client.is_absent();
                    match client.ready(index, is_ending, &mut shared) {
                        Ok(Progress::Nothing) => {}
                        Ok(Progress::Joined(took)) => self.handshakes.join(took),
                        Ok(Progress::Left) => self.handshakes.left += 1,
                        Err(error) => {
                            self.handshakes.fail(&error);
                            if was_pending {
                                self.handshakes.pending -= 1;
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Keeps the clients alive until a line comes on standard input, or its end.
    ///
    /// # Errors
    ///
    /// Standard input cannot be read.
    pub(crate) fn wait_for_line(&mut self) -> anyhow::Result<()> {
        let has_come = Arc::new(AtomicBool::new(false));
        let waiting = Arc::clone(&has_come);
        let reader = thread::spawn(move || {
            let mut line = String::new();
            let read = io::stdin().lock().read_line(&mut line);
            waiting.store(true, Ordering::Release);
            read
        });
        while !has_come.load(Ordering::Acquire) {
            self.turn(Some(INPUT_STEP))?;
        }
        let read = reader
            .join()
            .map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        read.context("standard input")?;
        Ok(())
    }
}

/// Leaves without a goodbye: the ports of twenty thousand connections that
/// close in order stay taken for a minute, and the next run wants them.
impl Drop for Generator {
    fn drop(&mut self) {
        for client in &mut self.clients {
            client.cut();
        }
    }
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latency: histogram()?,
            received: 0,
            bytes: 0,
            gaps: 0,
            repeats: 0,
            deliveries: Vec::new(),
            refused: 0,
            accepted: 0,
            acknowledged: histogram()?,
        })
    }

    /// Forgets what was counted so far.
    ///
    /// # Errors
    ///
    /// Never for these bounds.
    pub(crate) fn clear(&mut self) -> anyhow::Result<()> {
        *self = Self::new()?;
        Ok(())
    }

    /// An emit was answered with success after this long.
    fn accept(&mut self, took: Duration) {
        self.accepted += 1;
        self.acknowledged.saturating_record(took.as_nanos() as u64);
    }

    /// An event has arrived at a client that expects number `expected`.
    pub(crate) fn record(&mut self, text: &[u8], expected: &mut u64, now: Duration) {
        let Some(mark) = Mark::find(text) else {
            return;
        };
        self.received += 1;
        self.bytes += text.len() as u64;
        let late = now.saturating_sub(mark.at).as_nanos() as u64;
        self.latency.saturating_record(late);
        if mark.sequence < *expected {
            self.repeats += 1;
        } else {
            self.gaps += mark.sequence - *expected;
            *expected = mark.sequence + 1;
        }
        if let Some(deliveries) = self.deliveries.get_mut(mark.sequence as usize) {
            *deliveries += 1;
        }
    }
}

impl Handshakes {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latency: histogram()?,
            joined: 0,
            failed: 0,
            refused: 0,
            left: 0,
            first_failure: None,
            pending: 0,
        })
    }

    fn join(&mut self, took: Duration) {
        self.joined += 1;
        self.pending -= 1;
        self.latency.saturating_record(took.as_nanos() as u64);
    }

    fn fail(&mut self, error: &ClientError) {
        self.failed += 1;
        if matches!(error, ClientError::Refused(_)) {
            self.refused += 1;
        }
        self.first_failure.get_or_insert_with(|| error.to_string());
    }
}

/// For nanoseconds up to two minutes, to three digits.
fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 120_000_000_000, 3)?)
}

/// For what arrives at one socket in one turn.
const SCRATCH_BYTES: usize = 256 * 1024;
/// How long a turn waits where a deadline is watched.
const STEP: Duration = Duration::from_millis(100);
/// The same where standard input is watched.
const INPUT_STEP: Duration = Duration::from_millis(5);
/// Tokens from here on are those of emitters, and below them of the two
/// connections of polling clients.
const EMITTERS: usize = 1 << 32;
const POLLING: usize = 1 << 31;
const POLLING_AT_ONCE: usize = 64;
