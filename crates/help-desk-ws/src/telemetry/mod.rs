//! What the service tells about itself: log lines on stdout, and counts.

use std::sync::Arc;

use anyhow::Context as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::settings::{LogFormat, LogSettings, Settings};

mod counters;
pub(crate) mod events;
mod log;
pub(crate) mod metrics;

pub(crate) use counters::{Counters, LogCounts};
pub(crate) use log::LogHandle;

use log::{LIFECYCLE, Log, LogLayer};

/// Starts the log.
///
/// # Errors
///
/// When it has been started already, or when there can be no thread for it.
pub(crate) fn init(settings: LogSettings) -> anyhow::Result<LogHandle> {
    let counts = Arc::new(LogCounts::default());
    let log = Arc::new(Log::new(settings.format, settings.lines_per_second, counts));
    tracing_subscriber::registry()
        .with(targets(settings))
        .with(LogLayer::new(Arc::clone(&log)))
        .try_init()?;
    LogHandle::start(&log).context("the log cannot be written")
}

/// Logs the effective settings and what should be looked at: in text the settings as a table, in
/// JSON each as a line of its own.
pub(crate) fn log_settings(settings: &Settings, log: &LogHandle) {
    let description = &settings.description;
    match settings.log.format {
        LogFormat::Text if settings.log.level >= LevelFilter::INFO => {
            log.print(description.to_string());
        }
        LogFormat::Text => {}
        LogFormat::Json => {
            for row in description.rows() {
                let (name, value, source) = (row.name, &row.value, row.source);
                tracing::info!(target: LIFECYCLE, context = "Settings", name, %value, %source, "Setting");
            }
        }
    }
    for warning in &settings.warnings {
        let name = &*warning.name;
        tracing::warn!(target: LIFECYCLE, context = "Settings", told.name = name, "{warning}");
    }
}

/// Our own crates at the level that was asked for. Libraries never below warnings: at `trace`,
/// HTTP and WebSocket libraries log tokens and payloads.
fn targets(log: LogSettings) -> Targets {
    let libraries = log.level.min(LevelFilter::WARN);
    OUR_CRATES
        .iter()
        .fold(Targets::new().with_default(libraries), |targets, name| {
            targets.with_target(*name, log.level)
        })
}

const OUR_CRATES: [&str; 3] = ["help_desk_ws", "hd_ws_server", "hd_cluster"];

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_never_log_what_they_carry() {
        let log = |level| LogSettings {
            format: LogFormat::Text,
            level,
            lines_per_second: 10,
        };
        let verbose = targets(log(LevelFilter::TRACE));
        assert!(verbose.would_enable("help_desk_ws::telemetry", &Level::TRACE));
        assert!(verbose.would_enable(LIFECYCLE, &Level::INFO));
        assert!(verbose.would_enable("hd_cluster::reader", &Level::DEBUG));
        assert!(verbose.would_enable("hyper::proto", &Level::WARN));
        assert!(!verbose.would_enable("hyper::proto", &Level::INFO));

        let quiet = targets(log(LevelFilter::ERROR));
        assert!(!quiet.would_enable("help_desk_ws", &Level::WARN));
        assert!(!quiet.would_enable("hyper::proto", &Level::WARN));
    }
}
