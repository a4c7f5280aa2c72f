//! `help-desk-ws health`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use tokio::net::TcpStream;

use super::{Failure, http_client};
use crate::settings::HealthSettings;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Address that the server listens on [default: HOST].
    #[arg(long, value_name = "IP")]
    host: Option<String>,
    /// Port that the server listens on [default: PORT, which is 3001].
    #[arg(long)]
    port: Option<String>,
    /// Time in which the server answers.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = super::timeout)]
    timeout: Duration,
}

/// The answer of `GET /health`, and exit code 0 for a good one. Whatever else comes of it is bad
/// health and gives 1, which is all that a container's health check knows.
pub(super) fn run(args: HealthArgs) -> Result<ExitCode, Failure> {
    let HealthSettings { address } = HealthSettings::load(args.host, args.port)?;
    let request = Request::get("/health")
        .header(header::HOST, address.to_string())
        .body(Full::<Bytes>::default())
        .map_err(anyhow::Error::from)?;
    let ask = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| anyhow!("cannot connect to http://{address}: {error}"))?;
        match http_client::exchange(stream, request).await {
            Ok(answer) => Ok(answer),
            Err(failure) => Err(anyhow!("http://{address}/health: {failure}").into()),
        }
    };
    let answer = super::block_on(async {
        tokio::time::timeout(args.timeout, ask)
            .await
            .unwrap_or_else(|_| {
                Err(anyhow!("http://{address}/health does not answer in time").into())
            })
    })?;
    if answer.status() != StatusCode::OK {
        return Err(anyhow!("http://{address}/health answers {}", answer.status()).into());
    }
    super::print_line(String::from_utf8_lossy(answer.body()).trim_end())?;
    Ok(ExitCode::SUCCESS)
}
