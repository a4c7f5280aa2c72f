//! No input makes the machine panic or break its bounds.

use std::time::Duration;

use proptest::prelude::*;
use socketio_proto::{ClientConfig, Limits, PacketData, Timeout};

use crate::support::{Peer, decode, namespace};

const NAMES: [&str; 4] = ["/", "/a", "/b", "/c"];

fn config() -> ClientConfig {
    ClientConfig {
        max_namespaces: 3,
        max_awaited_acks: 4,
        limits: Limits {
            max_attachment_bytes: 50,
            ..Limits::default()
        },
        ..ClientConfig::default()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Text(String),
    Binary(Vec<u8>),
    Accept(usize),
    Refuse(usize),
    Disconnect(usize),
    AwaitAck(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    prop_oneof![
        4 => text().prop_map(Step::Text),
        2 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Step::Binary),
        2 => name.clone().prop_map(Step::Accept),
        1 => name.clone().prop_map(Step::Refuse),
        1 => name.clone().prop_map(Step::Disconnect),
        1 => name.prop_map(Step::AwaitAck),
        1 => (0..30_u64).prop_map(Step::Wait),
    ]
}

fn text() -> impl Strategy<Value = String> {
    let payload = prop_oneof![
        Just(""),
        Just("{}"),
        Just(r#"["ev",1]"#),
        Just(r#"["ev",{"_placeholder":true,"num":0}]"#),
        Just(r#"["connect"]"#),
        Just("[]"),
    ];
    prop_oneof![
        3 => ("[0-6]([0-3]-)?", 0..NAMES.len(), "[0-4]?", payload)
            .prop_map(|(head, name, id, payload)| format!("{head}{},{id}{payload}", NAMES[name])),
        1 => any::<String>(),
        1 => "[0-7][0-9-]{0,3}(/[a-c]?,?)?[0-9 ]{0,22}[\\[\\]{}\",:a0-9\\\\ ]{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn text_never_panics(text in text()) {
        let mut peer = Peer::new(config());
        if let Ok(Some(event)) = peer.text(&text) {
            prop_assert!(text.starts_with('0'), "{:?}", event);
        }
    }

    #[test]
    fn what_is_decoded_can_be_read(tail in "[\\[\\]{}\",:a0-9\\\\ ]{0,12}") {
        if let Ok(packet) = decode(&format!("2[\"ev\"{tail}]"), &[])
            && let PacketData::Event(event) = packet.data
        {
            let values: Vec<serde_json::Value> = event.args.deserialize().unwrap();
            prop_assert_eq!(values.len(), event.args.iter().len());
        }
    }

    #[test]
    fn sequences_never_panic(steps in proptest::collection::vec(step(), 0..60)) {
        let mut peer = Peer::new(config());
        let mut awaited = 0;
        for step in steps {
            match step {
                Step::Text(text) => { drop(peer.text(&text)); }
                Step::Binary(data) => { drop(peer.binary(&data)); }
                Step::Accept(name) => { peer.client.accept(&namespace(NAMES[name])).then_some(()); }
                Step::Refuse(name) => { peer.client.refuse(&namespace(NAMES[name])).then_some(()); }
                Step::Disconnect(name) => {
                    drop(peer.client.disconnect(&namespace(NAMES[name]), peer.now));
                }
                Step::AwaitAck(name) => {
                    let deadline = peer.now + Duration::from_secs(10);
                    if let Ok(id) = peer.client.await_ack(&namespace(NAMES[name]), deadline) {
                        prop_assert_eq!(id, awaited);
                        awaited += 1;
                    }
                }
                Step::Wait(seconds) => peer.wait(Duration::from_secs(seconds)),
            }
            prop_assert!(peer.client.namespaces().count() <= 3);
            let is_anywhere = peer.client.namespaces().next().is_some();
            while let Some(timeout) = peer.client.handle_timeout(peer.now) {
                prop_assert!(timeout != Timeout::Connect || !is_anywhere);
            }
            // What is due has been told.
            if let Some((deadline, _)) = peer.client.poll_timeout() {
                prop_assert!(deadline > peer.now);
            }
        }
    }
}
