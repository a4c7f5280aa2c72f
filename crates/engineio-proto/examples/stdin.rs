//! A session driven by lines: no socket, no runtime, no I/O framework.
//!
//! ```text
//! cargo run -p engineio-proto --example stdin
//! ```
//!
//! Each line is one packet of a POST by a polling client: `4hello` is echoed,
//! `3` answers a ping, `1` closes. After each line a poll is made, and what it
//! gets is printed. Pings become due with the time, as for any client.

use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use engineio_proto::{
    CloseReason, Config, EncodedPacket, Event, Message, Packet, Revision, Session, Sid, Transport,
};

fn main() -> io::Result<ExitCode> {
    // A server takes these bytes from the system's generator.
    let sid = Sid::from_random(*b"not random here");
    let config = Arc::new(Config::default());
    let mut session = Session::new(config, sid, Transport::Polling, Revision::V4, true, clock());
    let mut out = io::stdout().lock();
    let mut poll = Poll::Idle;
    poll.make(&mut session, &mut out)?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        session.handle_timeout(clock());
        if let Err(error) = post(&mut session, &line) {
            writeln!(out, "refused: {error}")?;
        }
        poll.make(&mut session, &mut out)?;
        if let Some(Event::Closed(reason)) = session.poll_event() {
            writeln!(out, "closed: {}", reason.as_str())?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    session.close(CloseReason::ServerShuttingDown, clock());
    poll.make(&mut session, &mut out)?;
    Ok(ExitCode::SUCCESS)
}

/// A POST with one packet in it, whose message is echoed.
fn post(session: &mut Session, line: &str) -> Result<(), Box<dyn std::error::Error>> {
    session.handle_post(clock())?;
    let packet = Packet::decode(line).inspect_err(|_| session.abort(CloseReason::ParseError))?;
    let message = session.handle_packet(Transport::Polling, packet, clock())?;
    session.handle_post_end();
    match message {
        Some(Message::Text(text)) => session.send(EncodedPacket::message(text))?,
        Some(Message::Binary(data)) => session.send(EncodedPacket::binary_message(&data))?,
        None => {}
    }
    Ok(())
}

/// The client's GET.
#[derive(PartialEq)]
enum Poll {
    Idle,
    Waiting,
}

impl Poll {
    /// Makes a GET, unless the last one still waits, and prints what it gets.
    fn make(&mut self, session: &mut Session, out: &mut impl io::Write) -> io::Result<()> {
        if *self == Self::Idle {
            if let Err(error) = session.handle_poll(None, clock()) {
                return writeln!(out, "refused: {error}");
            }
            *self = Self::Waiting;
        }
        match session.poll_response() {
            Some(body) => {
                *self = Self::Idle;
                writeln!(out, "{}", String::from_utf8_lossy(&body))
            }
            None => writeln!(out, "(the poll waits)"),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the machine has no clock, so its driver has one"
)]
fn clock() -> Instant {
    Instant::now()
}
