//! `help-desk-ws emit`.

use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use clap::Args;
use hd_auth::UserId;
use hd_events::EventName;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
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
    /// User id of the recipient.
    #[arg(long, value_name = "ID", value_parser = token::user_id)]
    user: UserId,
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

pub(super) fn run(args: EmitArgs) -> Result<ExitCode, Failure> {
    let payload = RawValue::from_string(payload(&args.payload)?.trim().to_owned())
        .map_err(|error| Failure::Usage(format!("the payload is not JSON: {error}")))?;
    let settings = EmitClientSettings::load()?;
    let url = args.url.unwrap_or_else(|| ServerUrl::local(settings.port));
    let body = serde_json::to_vec(&Body {
        user_id: args.user,
        event: args.event.as_str(),
        payload: &payload,
    })
    .map_err(anyhow::Error::from)?;

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

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "userId")]
    user_id: UserId,
    event: &'a str,
    payload: &'a RawValue,
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
