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
/// What is larger is read on for a while and thrown away: a client that is
/// still sending when the connection closes sees a broken connection, and not
/// the answer.
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
    // Of which no more is allocated than twice what has come.
    let declared = body.size_hint().upper();
    let declared = declared.and_then(|len| usize::try_from(len).ok());
    let whole = declared.map_or(limit, |len| len.min(limit));
    let mut bytes = Vec::new();
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::Incomplete)?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        seen = seen.saturating_add(data.len());
        if seen <= limit {
            append(&mut bytes, data, whole);
            if !hold(bytes.capacity()) {
                return Ok(None);
            }
        } else if seen > limit.saturating_add(THROWN_AWAY) {
            break;
        } else {
            bytes = Vec::new();
        }
    }
    if seen <= limit {
        Ok(Some(bytes.into()))
    } else {
        Err(BodyError::TooLarge)
    }
}

/// Most bytes over the limit that are read for the answer's sake.
const THROWN_AWAY: usize = 16 * 1024 * 1024;
