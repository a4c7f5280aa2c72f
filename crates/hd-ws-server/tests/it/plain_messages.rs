//! What raw WebSocket clients send reaches the application.

use std::io::Write as _;

use engineio_proto::EncodedPacket;
use hd_ws_server::{ClientHandshake, HttpHandler, HttpReply, RemoteAddress, ServerConfig};
use http::Request;
use hyper::body::Incoming;

use crate::client::{WebSocket, connect, frame, read_until, websocket_head};
use crate::echo_server::{Echo, EchoServer};

struct Upgrade;

impl HttpHandler<Echo> for Upgrade {
    async fn handle(
        &self,
        request: Request<Incoming>,
        remote_address: RemoteAddress,
    ) -> HttpReply<Echo> {
        let handshake = ClientHandshake::new(remote_address, None, request.headers(), &[], &[]);
        HttpReply::UpgradePlain(
            handshake,
            Box::new(|connection| {
                let hello = EncodedPacket::from_frame(engineio_proto::Frame::text("hello"));
                connection.send(&[hello]).expect("it is open");
            }),
        )
    }
}

#[test]
fn text_and_binary_data_reach_the_application_in_order() {
    let server = EchoServer::start_with(ServerConfig::default(), Upgrade);
    let mut stream = connect(server.address);
    let head = websocket_head("", "").replacen("/socket.io/", "/raw", 1);
    stream.write_all(head.as_bytes()).expect("a request");
    read_until(&mut stream, "\r\n\r\n");
    let mut client = WebSocket(stream);
    assert_eq!(client.text(), "hello");
    client.send_text("one");
    client.send(&frame(0x82, b"two"));
    client.send_text("three");
    assert_eq!(client.next(), Some((0x81, b"one".to_vec())));
    assert_eq!(client.next(), Some((0x82, b"two".to_vec())));
    assert_eq!(client.next(), Some((0x81, b"three".to_vec())));
}
