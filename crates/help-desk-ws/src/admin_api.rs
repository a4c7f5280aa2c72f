//! `/admin/drain`: what a pipeline calls before it takes an instance away, or keeps it after all.

use std::time::Duration;

use bytes::Bytes;
use hd_ws_server::{CancelDrain, Phase};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;

use crate::drain::Drainer;
use crate::http_api::{Refused, json};
use crate::settings::{self, DRAIN_WINDOWS};

/// Serves `/admin/drain` to a caller who may use it: POST begins a drain, DELETE cancels it, GET
/// tells how it gets on.
pub(crate) fn serve_drain<B>(
    request: &Request<B>,
    drainer: &Drainer,
) -> Result<Response<Full<Bytes>>, Refused> {
    let status = match *request.method() {
        Method::GET => StatusCode::OK,
        Method::POST => {
            drainer.begin(window(request.uri().query().unwrap_or_default())?);
            StatusCode::ACCEPTED
        }
        // Asked for twice, or after nothing, it changes nothing.
        Method::DELETE => match drainer.cancel() {
            CancelDrain::Cancelled(_) | CancelDrain::NotDraining => StatusCode::OK,
            CancelDrain::Stopping => {
                let message = "the process is stopping, which cannot be cancelled";
                return Err(Refused::new(StatusCode::CONFLICT, "stopping", message));
            }
        },
        _ => return Err(Refused::method("GET, POST, DELETE")),
    };
    Ok(json(status, state(drainer)))
}

/// The window that the query asks for. A misspelt parameter must not become a drain with another
/// window than was meant.
fn window(query: &str) -> Result<Option<Duration>, Refused> {
    let mut window = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some(("window", text)) = pair.split_once('=') else {
            let message = "the only parameter is window, such as ?window=90s";
            return Err(Refused::new(
                StatusCode::BAD_REQUEST,
                "unknown_parameter",
                message,
            ));
        };
        let parsed = settings::duration(text, DRAIN_WINDOWS).map_err(|refusal| {
            let message = format!("window {refusal}");
            Refused::new(StatusCode::BAD_REQUEST, "invalid_window", message)
        })?;
        window = Some(parsed);
    }
    Ok(window)
}

fn state(drainer: &Drainer) -> String {
    let engine = drainer.engine();
    let (state, plan) = match engine.phase() {
        Phase::Starting => ("starting", None),
        Phase::Serving => ("serving", None),
        Phase::Draining(plan) => ("draining", Some(plan)),
        Phase::Stopped(plan) => ("stopped", Some(plan)),
    };
    let mut answer = serde_json::json!({"state": state, "clients": engine.len()});
    if let Some(plan) = plan {
        answer["clientsAtStart"] = plan.clients.into();
        answer["lost"] = drainer.lost().into();
        answer["windowMs"] = millis(plan.window).into();
        answer["elapsedMs"] = millis(plan.began.elapsed()).into();
    }
    answer.to_string()
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
