//! One HTTP exchange over one connection.

use std::error::Error;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Failure;

/// Sends a request and collects its answer.
///
/// # Errors
///
/// [`Failure::Unavailable`] when what comes back is not an HTTP answer, not a whole one, or one of
/// more than [`MOST_BODY_BYTES`].
pub(super) async fn exchange(
    stream: TcpStream,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(no_answer)?;
    // Owns the sender: the connection ends with it.
    let answer = async move {
        let (head, body) = sender
            .send_request(request)
            .await
            .map_err(no_answer)?
            .into_parts();
        let body = Limited::new(body, MOST_BODY_BYTES)
            .collect()
            .await
            .map_err(no_answer)?
            .to_bytes();
        Ok(Response::from_parts(head, body))
    };
    // What ends the connection early ends the exchange as well, with the better words.
    let (answer, _) = tokio::join!(answer, connection);
    answer
}

fn no_answer(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
    Failure::Unavailable(format!("no usable answer: {}", error.into()))
}

/// Answers of the service are a few hundred bytes long.
const MOST_BODY_BYTES: usize = 1024 * 1024;
