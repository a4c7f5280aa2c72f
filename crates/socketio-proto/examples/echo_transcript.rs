//! A server that sends every event back, without any I/O: a script stands for
//! the network. A real server does the same with messages from Engine.IO.
//!
//! Run with `cargo run -p socketio-proto --example echo_transcript`.

#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use engineio_proto::Message;
use serde_json::value::to_raw_value;
use socketio_proto::{Client, ClientConfig, ClientEvent, Encoded, Namespace, encode};

/// Namespaces that there are.
const NAMESPACES: [&str; 2] = ["/", "/chat"];

/// What the client sends.
const SCRIPT: [Message<'static>; 7] = [
    Message::Text("0/nowhere"),
    Message::Text(r#"0/chat,{"token":"letmein"}"#),
    Message::Text(r#"2/chat,["message","hello",{"n":1}]"#),
    Message::Text(r#"2/chat,1["message","did you get this?"]"#),
    Message::Text(r#"51-/chat,["picture",{"_placeholder":true,"num":0}]"#),
    Message::Binary(std::borrow::Cow::Borrowed(&[0x89, 0x50, 0x4e, 0x47])),
    Message::Text("1/chat"),
];

fn main() -> Result<(), Box<dyn Error>> {
    #[expect(clippy::disallowed_methods, reason = "here is where time comes in")]
    let now = Instant::now();
    let mut client = Client::new(Arc::new(ClientConfig::default()), now);
    for message in SCRIPT {
        show("client", &message);
        let Some(event) = client.handle_message(message, now)? else {
            continue;
        };
        let Some(answer) = answer(&mut client, event)? else {
            continue;
        };
        for packet in answer.packets() {
            let payload = packet.frame().payload();
            // The `4` is Engine.IO's: this is a message.
            match std::str::from_utf8(payload) {
                Ok(text) if packet.frame().is_text() => show("server", &Message::Text(&text[1..])),
                _ => show("server", &Message::Binary(payload.into())),
            }
        }
    }
    Ok(())
}

fn answer(client: &mut Client, event: ClientEvent) -> Result<Option<Encoded>, Box<dyn Error>> {
    Ok(match event {
        ClientEvent::Connect { namespace, .. } => Some(connect(client, &namespace)?),
        ClientEvent::Event { namespace, event } => Some(match event.id {
            Some(id) => encode::ack(&namespace, id, &event.args),
            None => encode::event(&namespace, None, event.name(), &event.args),
        }),
        ClientEvent::Ack { .. } | ClientEvent::Disconnect { .. } => None,
    })
}

fn connect(client: &mut Client, namespace: &Namespace) -> Result<Encoded, Box<dyn Error>> {
    if NAMESPACES.contains(&namespace.as_str()) && client.accept(namespace) {
        // A real server takes it from the system's random numbers.
        return Ok(encode::connect(namespace, "CjdVH4TQvovi1VvgAC5Z", None));
    }
    if client.refuse(namespace) {
        let data = to_raw_value(&NAMESPACES)?;
        return Ok(encode::connect_error(
            namespace,
            "Invalid namespace",
            Some(&data),
        ));
    }
    Err("the client has not asked for the namespace".into())
}

fn show(who: &str, message: &Message<'_>) {
    match message {
        Message::Text(text) => println!("{who}: {text}"),
        Message::Binary(data) => println!("{who}: {} bytes", data.len()),
    }
}
