//! The machine of one client under any sequence of messages, answers and times:
//! it never panics and keeps within its bounds.

#![no_main]

use std::sync::Arc;
use std::time::{Duration, Instant};

use engineio_proto::Message;
use libfuzzer_sys::{arbitrary, fuzz_target};
use socketio_proto::{Client, ClientConfig, ClientEvent, Namespace, Revision};

#[derive(arbitrary::Arbitrary, Debug)]
enum Input<'a> {
    Wait { millis: u16 },
    Text(&'a str),
    Connect(Name),
    EventFrom(Name),
    Leave(Name),
    Ack(Name, u8),
    Binary(&'a [u8]),
    Accept(Name),
    Refuse(Name),
    Disconnect(Name),
    AwaitAck(Name, u16),
    ForgetAck(u8),
}

#[derive(arbitrary::Arbitrary, Clone, Copy, Debug)]
enum Name {
    Root,
    A,
    B,
    C,
}

impl Name {
    fn text(self) -> &'static str {
        match self {
            Self::Root => "/",
            Self::A => "/a",
            Self::B => "/b",
            Self::C => "/c",
        }
    }

    fn namespace(self) -> Namespace {
        Namespace::new(self.text()).expect("a short name")
    }
}

const MAX_NAMESPACES: usize = 3;

fuzz_target!(|inputs: Vec<Input<'_>>| {
    let config = ClientConfig {
        max_namespaces: MAX_NAMESPACES,
        max_awaited_acks: 4,
        max_connects_per_minute: 8,
        ..ClientConfig::default()
    };
    let mut now = Instant::now();
    // Every fourth, without a byte more in the seeds.
    let revision = if inputs.len() % 4 == 3 {
        Revision::V4
    } else {
        Revision::V5
    };
    let mut client = Client::with_revision(Arc::new(config), revision, now);
    for input in inputs {
        let text;
        let message = match input {
            Input::Text(text) => Message::Text(text),
            Input::Binary(data) => Message::Binary(data.into()),
            Input::Connect(name) => {
                text = format!("0{},", name.text());
                Message::Text(&text)
            }
            Input::EventFrom(name) => {
                text = format!("2{},1[\"e\"]", name.text());
                Message::Text(&text)
            }
            Input::Leave(name) => {
                text = format!("1{},", name.text());
                Message::Text(&text)
            }
            Input::Ack(name, id) => {
                text = format!("3{},{id}[]", name.text());
                Message::Text(&text)
            }
            Input::Wait { millis } => {
                now += Duration::from_millis(millis.into());
                while client.handle_timeout(now).is_some() {}
                assert!(client.poll_timeout().is_none_or(|(at, _)| at > now));
                continue;
            }
            Input::Accept(name) => {
                let _was_asking = client.accept(&name.namespace());
                continue;
            }
            Input::Refuse(name) => {
                let _was_asking = client.refuse(&name.namespace());
                continue;
            }
            Input::Disconnect(name) => {
                let _lost = client.disconnect(&name.namespace(), now);
                continue;
            }
            Input::AwaitAck(name, millis) => {
                let deadline = now + Duration::from_millis(millis.into());
                let _ = client.await_ack(&name.namespace(), deadline);
                continue;
            }
            Input::ForgetAck(id) => {
                let _was_awaited = client.forget_ack(id.into());
                continue;
            }
        };
        match client.handle_message(message, now) {
            Ok(Some(ClientEvent::Event { namespace, .. } | ClientEvent::Ack { namespace, .. })) => {
                assert!(client.namespaces().any(|joined| *joined == namespace));
            }
            Ok(Some(ClientEvent::Disconnect { namespace, .. })) => {
                assert!(client.namespaces().all(|joined| *joined != namespace));
            }
            Ok(_) => {}
            // The connection is closed, and the machine with it.
            Err(_) => return,
        }
        assert!(client.namespaces().count() <= MAX_NAMESPACES);
    }
});
