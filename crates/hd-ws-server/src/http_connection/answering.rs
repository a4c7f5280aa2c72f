//! The service of an HTTP connection within bounds.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use engineio_proto::UpgradeHeader;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Body;
use hyper::service::Service;

use super::state::{Activity, FollowingBody, HttpState};
use crate::HttpClose;
use crate::engine::{Asked, asks_for_websocket};

/// A service that answers as fast as its answers are read, and says when the
/// connection ends after one.
pub(super) struct Answering<S> {
    pub(super) service: S,
    pub(super) state: Arc<HttpState>,
    pub(super) max_requests: NonZeroU32,
}

/// A request that is being answered.
pub(super) struct Answer<F> {
    /// `None`: the request is refused.
    future: Option<F>,
    state: Arc<HttpState>,
    is_last: bool,
}

impl<B, C, S> Service<Request<B>> for Answering<S>
where
    B: Body,
    C: Default,
    S: Service<Asked<B>, Response = Response<C>>,
    S::Future: Unpin,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let state = &self.state;
        let asks = asks_for_websocket(request.headers());
        let is_upgrade = asks == UpgradeHeader::WebSocket;
        let body = request.body().size_hint().exact();
        state.set_body(match body {
            _ if is_upgrade => FollowingBody::Upgraded,
            Some(len) => FollowingBody::Sized(len),
            None => FollowingBody::Chunked,
        });
        state.set_activity(Activity::Answering);
        let is_ambiguous = !state.take_whole_head();
        // What follows would be a body to one reader, and frames to another.
        let is_upgrade_with_body = is_upgrade && body != Some(0);
        if is_ambiguous || is_upgrade_with_body {
            state.set_close(HttpClose::AmbiguousHead);
        }
        Answer {
            is_last: state.count_request() >= self.max_requests.get(),
            future: (!is_ambiguous && !is_upgrade_with_body)
                .then(|| self.service.call((request, asks))),
            state: Arc::clone(state),
        }
    }
}

impl<C: Default, E, F> Future for Answer<F>
where
    F: Future<Output = Result<Response<C>, E>> + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // hyper takes the heads of answers without a bound. The writing side
        // wakes this task.
        if self.state.is_blocked() {
            return Poll::Pending;
        }
        let mut response = match &mut self.future {
            Some(future) => ready!(Pin::new(future).poll(cx))?,
            None => {
                let mut response = Response::new(C::default());
                *response.status_mut() = StatusCode::BAD_REQUEST;
                response
            }
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // It is answering until it speaks HTTP no more.
            return Poll::Ready(Ok(response));
        }
        self.state.set_activity(Activity::Resting);
        let reason = match response.status() {
            StatusCode::PAYLOAD_TOO_LARGE if response.headers().contains_key(CONNECTION) => {
                Some(HttpClose::BodyTooLarge)
            }
            _ if self.future.is_none() => Some(HttpClose::AmbiguousHead),
            _ if self.is_last => Some(HttpClose::MaxRequests),
            _ => None,
        };
        if let Some(reason) = reason {
            self.state.set_close(reason);
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response))
    }
}
