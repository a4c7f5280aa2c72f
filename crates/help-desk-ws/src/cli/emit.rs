//! `help-desk-ws emit`.

use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use clap::Args;
use hd_auth::UserId;
use hd_events::{EmitCommand, EventName, Recipients, Target, Targets};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::value::RawValue;

use super::server_url::ServerUrl;
use super::{Failure, http_client, token};
use crate::settings::EmitClientSettings;

#[derive(Debug, Args)]
#[command(after_help = "The token comes from EMIT_TOKEN, in the environment or in .env.")]
pub(super) struct EmitArgs {
    /// Where the server is [default: http://localhost:PORT].
    #[arg(long, value_parser = ServerUrl::parse)]
    url: Option<ServerUrl>,
    #[command(flatten)]
    to: To,
    /// Name of the event, such as new_notification.
    #[arg(long, value_name = "NAME", value_parser = event_name)]
    event: EventName,
    /// Payload in JSON; - reads it from stdin, and @FILE from a file.
    #[arg(long, value_name = "JSON|-|@FILE")]
    payload: String,
    /// Time in which the server answers.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = super::timeout)]
    timeout: Duration,
}

/// Each may be repeated.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct To {
    /// User id of a recipient.
    #[arg(long = "user", value_name = "ID", value_parser = token::user_id)]
    users: Vec<UserId>,
    /// Whoever has this role (claim rol_id).
    #[arg(long = "role", value_name = "ID")]
    roles: Vec<u64>,
    /// Whoever has this department (dp_id).
    #[arg(long = "department", value_name = "ID")]
    departments: Vec<u64>,
    /// Whoever has this regional office (reg_id).
    #[arg(long = "region", value_name = "ID")]
    regions: Vec<u64>,
    /// Whoever has this position (car_id).
    #[arg(long = "position", value_name = "ID")]
    positions: Vec<u64>,
    /// Everyone.
    #[arg(long)]
    broadcast: bool,
}

impl To {
    fn recipients(self) -> Recipients {
        let users = self.users.into_iter().map(|id| Target::User(id.get()));
        let targets = users
            .chain(self.roles.into_iter().map(Target::Role))
            .chain(self.departments.into_iter().map(Target::Department))
            .chain(self.regions.into_iter().map(Target::Region))
            .chain(self.positions.into_iter().map(Target::Position))
            .collect();
        // Without any it is for everyone: clap has asked for one or the other.
        match Targets::new(targets) {
            Some(targets) if !self.broadcast => Recipients::AnyOf(targets),
            Some(_) | None => Recipients::Everyone,
        }
    }
}

pub(super) fn run(args: EmitArgs) -> Result<ExitCode, Failure> {
    let payload = RawValue::from_string(payload(&args.payload)?.trim().to_owned())
        .map_err(|error| Failure::Usage(format!("the payload is not JSON: {error}")))?;
    let settings = EmitClientSettings::load()?;
    let url = args.url.unwrap_or_else(|| ServerUrl::local(settings.port));
    let command = EmitCommand::new(args.to.recipients(), args.event, payload);
    let body = serde_json::to_vec(&command).map_err(anyhow::Error::from)?;

    let mut request = Request::post(format!("{}/notifications/emit", url.path()))
        .header(header::HOST, url.authority())
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = &settings.token {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .context("EMIT_TOKEN does not fit into a header")?;
        authorization.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(anyhow::Error::from)?;

    let answer = super::block_on(async {
        tokio::time::timeout(args.timeout, async {
            http_client::exchange(url.connect().await?, request).await
        })
        .await
        .unwrap_or_else(|_| {
            Err(Failure::Unavailable(format!(
                "{url} does not answer in time"
            )))
        })
    })?;
    super::print_line(String::from_utf8_lossy(answer.body()).trim_end())?;
    match answer.status() {
        status if status.is_success() => Ok(ExitCode::SUCCESS),
        StatusCode::UNAUTHORIZED if settings.token.is_none() => {
            Err(anyhow!("{url} asks for a token: set EMIT_TOKEN to the server's").into())
        }
        status => Err(anyhow!("{url} refuses: {status}").into()),
    }
}

fn payload(argument: &str) -> Result<String, Failure> {
    if argument == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::Usage(format!("cannot read the payload: {error}")))?;
        return Ok(text);
    }
    match argument.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            Failure::Usage(format!("cannot read the payload from {path}: {error}"))
        }),
        None => Ok(argument.to_owned()),
    }
}

fn event_name(text: &str) -> Result<EventName, hd_events::EventNameError> {
    EventName::new(text)
}
