//! Reading a request's body within bounds.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

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
    tokio::time::timeout(timeout, read(body, limit))
        .await
        .unwrap_or(Err(BodyError::TimedOut))
}

async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    let mut bytes = BytesMut::new();
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::Incomplete)?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        seen = seen.saturating_add(data.len());
        if seen <= limit {
            bytes.extend_from_slice(data);
        } else if seen > limit.saturating_add(THROWN_AWAY) {
            break;
        } else {
            bytes = BytesMut::new();
        }
    }
    if seen <= limit {
        Ok(bytes.freeze())
    } else {
        Err(BodyError::TooLarge)
    }
}

/// Most bytes over the limit that are read for the answer's sake.
const THROWN_AWAY: usize = 16 * 1024 * 1024;
