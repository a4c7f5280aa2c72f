//! A request's query and the verdict on it: only GET begins a session.

#![no_main]

use engineio_proto::{
    Config, Method, OriginVerdict, Query, RequestError, RequestFacts, Revision, Sid, Transport,
    UpgradeHeader, Verified,
};
use libfuzzer_sys::{arbitrary, fuzz_target};

#[derive(arbitrary::Arbitrary, Debug)]
struct Input<'a> {
    query: &'a str,
    method: u8,
    is_upgrade: bool,
    is_allowed: bool,
    is_known: bool,
    is_polling: bool,
}

fuzz_target!(|input: Input<'_>| {
    let facts = RequestFacts {
        method: match input.method % 3 {
            0 => Method::Get,
            1 => Method::Post,
            _ => Method::Other,
        },
        upgrade: if input.is_upgrade {
            UpgradeHeader::WebSocket
        } else {
            UpgradeHeader::Absent
        },
        origin: if input.is_allowed {
            OriginVerdict::Allowed
        } else {
            OriginVerdict::Refused
        },
    };
    let query = Query::parse(input.query);
    // Half of them, without a byte more in the seeds.
    let allow_eio3 = input.query.len() % 2 == 0;
    let config = Config {
        allow_eio3,
        ..Config::default()
    };
    let verified = query.verify(
        facts,
        &config,
        |sid: &Sid| input.is_known.then(|| *sid),
        |_| {
            let transport = if input.is_polling { Transport::Polling } else { Transport::WebSocket };
            (transport, Revision::V4)
        },
    );
    match verified {
        Ok(Verified::Handshake {
            transport,
            revision,
            jsonp,
            ..
        }) => {
            assert!(allow_eio3 || revision == Revision::V4);
            assert!(jsonp.is_none() || revision == Revision::V3);
            assert!(input.is_allowed);
            assert_eq!(facts.method, Method::Get);
            assert_eq!(transport == Transport::WebSocket, input.is_upgrade);
        }
        Ok(Verified::Session { transport, .. }) => {
            assert!(input.is_known && input.is_allowed);
            assert_eq!(transport == Transport::WebSocket, input.is_upgrade);
        }
        Err(error) => {
            assert!(matches!(error.status(), 400 | 403));
            assert_eq!(error.status() == 403, error == RequestError::Forbidden);
        }
    }
});
