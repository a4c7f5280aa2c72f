//! The routes by which the back end asks who is connected.

use bytes::Bytes;
use hd_auth::UserId;
use hd_ws_server::RemoteAddress;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::access::Caller;
use super::{HttpApi, Refused, json_of};
use crate::settings::Scope;

/// Whether a path is one of them.
pub(super) fn is_route(path: &str) -> bool {
    path == TOTALS || user_segment(path).is_some()
}

/// What stands for the user in `/users/{id}/sockets`.
fn user_segment(path: &str) -> Option<&str> {
    let segment = path.strip_prefix("/users/")?.strip_suffix("/sockets")?;
    (!segment.contains('/')).then_some(segment)
}

impl HttpApi {
    pub(super) async fn who_is_connected<B: Sync>(
        &self,
        request: &Request<B>,
        remote_address: RemoteAddress,
    ) -> Result<Response<Full<Bytes>>, Refused> {
        if request.method() != Method::GET {
            return Err(Refused::method("GET"));
        }
        Caller::new(request, remote_address)
            .authorize_back_end(&self.back_end, &[Scope::Presence])?;
        let Some(segment) = user_segment(request.uri().path()) else {
            let totals = Box::pin(self.presence.totals()).await;
            return Ok(json_of(StatusCode::OK, &totals));
        };
        let user_id = user_id(segment).ok_or_else(|| {
            let message = format!("the user is an integer from 0 to {}", UserId::MAX.get());
            Refused::new(StatusCode::BAD_REQUEST, "invalid_user_id", message)
        })?;
        let user = Box::pin(self.presence.of_user(user_id)).await;
        Ok(json_of(StatusCode::OK, &user))
    }
}

/// In the usual notation, as `userId` of an emit.
fn user_id(segment: &str) -> Option<UserId> {
    let id: u64 = segment.parse().ok()?;
    let is_canonical = id.to_string() == segment;
    UserId::new(id).ok().filter(|_| is_canonical)
}

const TOTALS: &str = "/sockets";
