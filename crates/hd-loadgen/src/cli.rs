//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::limit;
use crate::scenario::{churn, connect, fanout, polling, reconnect, storm, unicast};

/// Load for socket.io servers; each scenario ends in one line of JSON
///
/// The server is expected to have a namespace whose clients join the room of their token's user, and
/// `POST /notifications/emit` and `/notifications/broadcast`. Sources of a loopback server are spread over 127.0.0.0/8.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Connect clients, hold them, and look at what they cost the server
    Connect(connect::Options),
    /// Emit to everyone, a number of events at a time
    Fanout(fanout::Options),
    /// Emit to one user at a time over HTTP
    Unicast(unicast::Options),
    /// Emit to everyone, all of whom poll
    Polling(polling::Options),
    /// Cut every connection at once and let every client come back at once
    Storm(storm::Options),
    /// Hold clients that come back as the front end's do when they are cut, until standard input ends
    Reconnect(reconnect::Options),
    /// Let clients come and go at a steady rate
    Churn(churn::Options),
    /// Serve as the limit: a bare loop that does nothing but what the system calls for
    Limit {
        /// Port of 127.0.0.1 to listen on; 0 is one of the system's choice
        #[arg(long, env = "PORT", default_value_t = 0)]
        port: u16,
        /// Send what is pending for a socket at the end of a turn, at once
        #[arg(long)]
        merge: bool,
    },
}

impl Cli {
    /// # Errors
    ///
    /// What kept the scenario from its end.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Connect(options) => connect::run(&options),
            Command::Fanout(options) => fanout::run(&options),
            Command::Unicast(options) => unicast::run(&options),
            Command::Polling(options) => polling::run(&options),
            Command::Storm(options) => storm::run(&options),
            Command::Reconnect(options) => reconnect::run(&options),
            Command::Churn(options) => churn::run(&options),
            Command::Limit { port, merge } => {
                limit::serve(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), merge)
            }
        }
    }
}

/// A duration such as `10s`.
pub(crate) fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}
