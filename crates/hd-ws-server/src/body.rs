//! Reading a request's body within bounds.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::engine::append;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than the limit.
    #[error("the body is too large")]
    TooLarge,
    /// It did not come in time.
    #[error("the body did not come in time")]
    TimedOut,
    /// The client went away in the middle of it.
    #[error("the body ended early")]
    Incomplete,
}

/// Reads a body of at most `limit` bytes that comes within `timeout`.
///
/// One that is larger, or declared to be, is not read on: its answer must say
/// `Connection: close`. The connection is ended so that a client which is still
/// sending sees the answer.
///
/// # Errors
///
/// [`BodyError`].
///
/// # Cancel safety
///
/// What was read is lost.
pub async fn read_body(
    body: Incoming,
    limit: usize,
    timeout: Duration,
) -> Result<Bytes, BodyError> {
    let body = read_held_body(body, limit, timeout, |_| true).await?;
    // There is room for it.
    body.ok_or(BodyError::TooLarge)
}

/// As [`read_body`]. `hold` is told how much memory the body takes so far, and
/// says whether there is room for it; `None` when there is not.
pub(crate) async fn read_held_body(
    body: Incoming,
    limit: usize,
    timeout: Duration,
    hold: impl FnMut(usize) -> bool,
) -> Result<Option<Bytes>, BodyError> {
    tokio::time::timeout(timeout, read(body, limit, hold))
        .await
        .unwrap_or(Err(BodyError::TimedOut))
}

async fn read(
    mut body: Incoming,
    limit: usize,
    mut hold: impl FnMut(usize) -> bool,
) -> Result<Option<Bytes>, BodyError> {
    let limit_in_header = u64::try_from(limit).unwrap_or(u64::MAX);
    let declared = body.size_hint();
    if declared.lower() > limit_in_header {
        return Err(BodyError::TooLarge);
    }
    // Of which no more is allocated than twice what has come.
    let declared = declared.upper().and_then(|len| usize::try_from(len).ok());
    let whole = declared.map_or(limit, |len| len.min(limit));
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::Incomplete)?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if data.len() > limit.saturating_sub(bytes.len()) {
            return Err(BodyError::TooLarge);
        }
        if Some(data.len()) == declared {
            // It has come in one piece, which is not copied.
            return Ok(hold(data.len()).then(|| data.clone()));
        }
        append(&mut bytes, data, whole);
        if !hold(bytes.capacity()) {
            return Ok(None);
        }
    }
    Ok(Some(bytes.into()))
}
