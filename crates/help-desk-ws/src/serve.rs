//! The server.

use std::process::ExitCode;

use anyhow::bail;

use crate::settings::Settings;
use crate::telemetry;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
///
/// What keeps the server from starting.
pub(crate) fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    telemetry::init(settings.log)?;
    telemetry::log_settings(&settings)?;
    bail!("the server is not built yet")
}
