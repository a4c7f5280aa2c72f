//! The service on socketioxide and axum.

use std::sync::Arc;

use axum::extract::{Json, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef};
use tokio::net::TcpSocket;

#[derive(Deserialize)]
struct Auth {
    token: String,
}

#[derive(Deserialize)]
struct Claims {
    usu_id: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Emit {
    user_id: u64,
    event: String,
    payload: Value,
}

#[derive(Deserialize)]
struct Broadcast {
    event: String,
    payload: Value,
}

struct App {
    io: SocketIo,
    authorization: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = std::env::var("JWT_SECRET")?;
    let key = Arc::new(DecodingKey::from_secret(secret.as_bytes()));
    let validation = Arc::new(Validation::new(Algorithm::HS256));

    let (layer, io) = SocketIo::new_layer();
    io.ns("/notifications", async move |socket: SocketRef, Data(auth): Data<Auth>| {
        match decode::<Claims>(&auth.token, &key, &validation) {
            Ok(token) => socket.join(format!("user_{}", token.claims.usu_id)),
            Err(_) => {
                let _ = socket.disconnect();
            }
        }
    });

    let app = App {
        io,
        authorization: format!("Bearer {}", std::env::var("EMIT_TOKEN")?),
    };
    let router = axum::Router::new()
        .route("/notifications/emit", post(emit))
        .route("/notifications/broadcast", post(broadcast))
        .with_state(Arc::new(app))
        .layer(layer);

    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    let port = std::env::var("PORT").unwrap_or_else(|_| "0".to_owned());
    socket.bind(format!("127.0.0.1:{port}").parse()?)?;
    let listener = socket.listen(4096)?;
    println!("Listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}

async fn emit(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(emit): Json<Emit>,
) -> (StatusCode, Json<Value>) {
    if !app.is_allowed(&headers) {
        return unauthorized();
    }
    let room = format!("user_{}", emit.user_id);
    if let Some(notifications) = app.io.of("/notifications") {
        let _ = notifications.to(room).emit(emit.event, &emit.payload).await;
    }
    created()
}

async fn broadcast(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(broadcast): Json<Broadcast>,
) -> (StatusCode, Json<Value>) {
    if !app.is_allowed(&headers) {
        return unauthorized();
    }
    if let Some(notifications) = app.io.of("/notifications") {
        let _ = notifications.emit(broadcast.event, &broadcast.payload).await;
    }
    created()
}

impl App {
    fn is_allowed(&self, headers: &HeaderMap) -> bool {
        headers
            .get(AUTHORIZATION)
            .is_some_and(|value| value.as_bytes() == self.authorization.as_bytes())
    }
}

fn created() -> (StatusCode, Json<Value>) {
    (StatusCode::CREATED, Json(json!({"success": true})))
}

fn unauthorized() -> (StatusCode, Json<Value>) {
    (StatusCode::UNAUTHORIZED, Json(json!({"error": "unauthorized"})))
}
