//! What the service tells about itself: log lines on stdout, and counts.

use std::io::{self, Write as _};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::settings::{LogFormat, LogSettings, Settings};

mod counters;
pub(crate) mod events;
mod log_layer;
pub(crate) mod metrics;
mod pace;

pub(crate) use counters::Counters;
pub(crate) use pace::Pace;

use log_layer::LogLayer;

/// Starts logging to stdout, where the NestJS service logged.
///
/// # Errors
///
/// [`TryInitError`] when logging has been started already.
pub(crate) fn init(log: LogSettings) -> Result<(), TryInitError> {
    tracing_subscriber::registry()
        .with(targets(log))
        .with(LogLayer::new(log.format, io::stdout()))
        .try_init()
}

/// Logs the effective settings and what should be looked at: in text the settings as a table, in
/// JSON each as a line of its own.
pub(crate) fn log_settings(settings: &Settings) -> io::Result<()> {
    let description = &settings.description;
    match settings.log.format {
        LogFormat::Text if settings.log.level >= LevelFilter::INFO => {
            write!(io::stdout().lock(), "{description}")?;
        }
        LogFormat::Text => {}
        LogFormat::Json => {
            for row in description.rows() {
                let (name, value, source) = (row.name, &row.value, row.source);
                tracing::info!(context = "Settings", name, %value, %source, "Setting");
            }
        }
    }
    for warning in &settings.warnings {
        tracing::warn!(
            context = "Settings",
            told.name = &*warning.name,
            "{warning}"
        );
    }
    Ok(())
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

const OUR_CRATES: [&str; 2] = ["help_desk_ws", "hd_ws_server"];

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_never_log_what_they_carry() {
        let log = |level| LogSettings {
            format: LogFormat::Text,
            level,
        };
        let verbose = targets(log(LevelFilter::TRACE));
        assert!(verbose.would_enable("help_desk_ws::telemetry", &Level::TRACE));
        assert!(verbose.would_enable("hyper::proto", &Level::WARN));
        assert!(!verbose.would_enable("hyper::proto", &Level::INFO));

        let quiet = targets(log(LevelFilter::ERROR));
        assert!(!quiet.would_enable("help_desk_ws", &Level::WARN));
        assert!(!quiet.would_enable("hyper::proto", &Level::WARN));
    }
}
