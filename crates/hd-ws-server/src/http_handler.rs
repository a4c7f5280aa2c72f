//! What a server does with requests that are not Engine.IO's.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::{Application, ClientHandshake, Connection, RemoteAddress};

/// Answers requests outside the Engine.IO path.
///
/// Requests for a WebSocket get here only from an origin that the policy
/// allows, and not while the server drains.
pub trait HttpHandler<A: Application>: Send + Sync + 'static {
    /// Answers one request.
    fn handle(
        &self,
        request: Request<Incoming>,
        remote_address: RemoteAddress,
    ) -> impl Future<Output = HttpReply<A>> + Send;
}

/// What a request is answered with.
pub enum HttpReply<A: Application> {
    /// A response.
    Response(Response<Full<Bytes>>),
    /// A WebSocket without Engine.IO on it. The function gets the connection
    /// before the client's handshake is answered, so what is sent from then on
    /// reaches it. A request that is no proper WebSocket handshake is refused
    /// instead.
    UpgradePlain(ClientHandshake, PlainOpened<A>),
}

/// Called once with the connection of a plain WebSocket client.
pub type PlainOpened<A> = Box<dyn FnOnce(&Arc<Connection<A>>) + Send>;

impl<A: Application> fmt::Debug for HttpReply<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(response) => f.debug_tuple("Response").field(response).finish(),
            Self::UpgradePlain(..) => f.debug_tuple("UpgradePlain").finish_non_exhaustive(),
        }
    }
}

/// Answers every request with 404.
#[derive(Clone, Copy, Debug)]
pub struct NotFound;

impl<A: Application> HttpHandler<A> for NotFound {
    async fn handle(
        &self,
        _request: Request<Incoming>,
        _remote_address: RemoteAddress,
    ) -> HttpReply<A> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        HttpReply::Response(response)
    }
}
