//! Scenarios. Each connects its clients, works, and prints its report.

pub(crate) mod churn;
pub(crate) mod connect;
pub(crate) mod fanout;
pub(crate) mod polling;
pub(crate) mod storm;
pub(crate) mod unicast;

use std::time::Duration;

use clap::Args;

use crate::cli::duration;

/// How clients are connected, in every scenario.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ClientArgs {
    /// Clients
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// Handshakes under way at a time
    #[arg(long, default_value_t = 64)]
    at_once: usize,
    /// Give up when the clients are not in after this
    #[arg(long, default_value = "120s", value_parser = duration)]
    connect_within: Duration,
}

/// Waiting for a delivery that does not come ends a scenario after this long.
const STUCK: Duration = Duration::from_secs(20);
