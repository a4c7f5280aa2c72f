//! The command line: what was typed, and which command runs.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use thiserror::Error;

use crate::serve;
use crate::settings::{self, Flags, Problems, Settings, Sources, VARIABLES};

mod emit;
mod health;
mod http_client;
mod listen;
mod server_url;
mod token;

/// Pushes notifications of help-desk-back to browsers, over Socket.IO and WebSocket.
///
/// Without a command it serves. A setting is taken from its flag, else from the environment, else
/// from .env in the working directory, else from its default; an empty value counts as none.
/// Times are written as 300ms, 25s, 10m, 24h or 7d.
#[derive(Debug, Parser)]
#[command(name = "help-desk-ws", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients and the back end; the default.
    Serve(ServeArgs),
    /// Mint a token for development and print it.
    Token(token::TokenArgs),
    /// Send a notification to users, roles or others, as help-desk-back does.
    Emit(emit::EmitArgs),
    /// Connect as a browser does, and print each notification as a line of JSON.
    Listen(listen::ListenArgs),
    /// Ask the server of this machine how it is.
    Health(health::HealthArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Check the settings, print them without secrets, and end.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Why a command ends without success.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The command line itself; clap has the words for it, those of `--help` included.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Settings(#[from] Problems),
    /// There is no server, or it went away.
    #[error("{0}")]
    Unavailable(String),
    /// Everything else.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl Failure {
    /// Tells the person at the terminal, and says what to exit with.
    pub(crate) fn report(self) -> ExitCode {
        let told = match &self {
            Self::CommandLine(error) => error.print(),
            Self::Failed(error) if is_broken_pipe(error) => return ExitCode::SUCCESS,
            Self::Usage(_) | Self::Settings(_) | Self::Unavailable(_) | Self::Failed(_) => {
                writeln!(io::stderr().lock(), "help-desk-ws: {self}")
            }
        };
        // There is nowhere to tell that stderr is gone.
        drop(told);
        match self {
            Self::CommandLine(error) if !error.use_stderr() => ExitCode::SUCCESS,
            Self::CommandLine(_) | Self::Usage(_) | Self::Settings(_) => ExitCode::from(EX_USAGE),
            Self::Unavailable(_) => ExitCode::from(EX_UNAVAILABLE),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

/// What was typed.
///
/// # Errors
///
/// [`Failure::CommandLine`], for `--help` and `--version` too.
pub(crate) fn parse() -> Result<Cli, Failure> {
    let command = <Cli as clap::CommandFactory>::command().after_help(after_help());
    let matches = command.try_get_matches()?;
    Ok(<Cli as clap::FromArgMatches>::from_arg_matches(&matches)?)
}

/// Runs the command that was typed.
///
/// # Errors
///
/// [`Failure`], with what to exit with.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => {
            let settings = Settings::load(Sources::read(args.flags))?;
            if args.check {
                check(&settings)
            } else {
                Ok(serve::run(settings)?)
            }
        }
        Command::Token(args) => token::run(args),
        Command::Emit(args) => emit::run(args),
        Command::Listen(args) => listen::run(args),
        Command::Health(args) => health::run(args),
    }
}

fn check(settings: &Settings) -> Result<ExitCode, Failure> {
    print(&settings.description.to_string())?;
    for warning in &settings.warnings {
        writeln!(io::stderr().lock(), "warning: {warning}").map_err(anyhow::Error::from)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes text to stdout, at once.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::Failed(error.into()))
}

fn print_line(line: &str) -> Result<(), Failure> {
    print(&format!("{line}\n"))
}

/// Writes a line for the person at the terminal, beside what stdout is for.
fn note(text: &str) {
    // There is nowhere to tell that stderr is gone.
    drop(writeln!(io::stderr().lock(), "help-desk-ws: {text}"));
}

/// `help-desk-ws listen | head -1` has got all it wanted.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A `--timeout`.
fn timeout(text: &str) -> Result<Duration, String> {
    settings::duration(
        text,
        Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60),
    )
    .map_err(|refusal| refusal.to_string())
}

/// The runtime of the small commands, which wait for one connection.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(error.into()))?
        .block_on(future)
}

fn after_help() -> String {
    let secrets: String = VARIABLES
        .iter()
        .filter(|variable| variable.is_secret)
        .map(|variable| format!("  {:20} {}\n", variable.name, variable.help))
        .collect();
    format!("{AFTER_HELP_SECRETS}\n{secrets}\n{AFTER_HELP_EXAMPLES}")
}

const AFTER_HELP_SECRETS: &str = "\
Secrets, from the environment or .env only, because command lines are visible to others:";

const AFTER_HELP_EXAMPLES: &str = "\
Examples:
  help-desk-ws                              serve on port 3001, for development
  help-desk-ws --port 4000 --log-level debug
  help-desk-ws serve --check                check the settings and print them
  help-desk-ws token --user 42              a token for user 42
  help-desk-ws listen --user 42 --count 1   wait for one notification of user 42
  help-desk-ws emit --user 42 --event ticket_closed \\
      --payload '{\"mensaje\": \"Cerrado\", \"ticketId\": 7, \"fecha\": \"2026-01-31T10:00:00Z\"}'
  help-desk-ws health --port 4000           for the health check of a container

Exit codes:
  0   success
  1   failure: what the server refused is one, and so is bad health
  64  the command line or a setting cannot be used
  69  no server answers, or it went away";

/// `EX_USAGE` of sysexits.
const EX_USAGE: u8 = 64;
/// `EX_UNAVAILABLE` of sysexits.
const EX_UNAVAILABLE: u8 = 69;
