//! A request's query and the verdict on it: only GET begins a session.

#![no_main]

use engineio_proto::{
    Method, OriginVerdict, Query, RequestError, RequestFacts, Sid, Transport, Transports,
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
    let verified = query.verify(
        facts,
        Transports::Both,
        |sid: &Sid| input.is_known.then(|| *sid),
        |_| if input.is_polling { Transport::Polling } else { Transport::WebSocket },
    );
    match verified {
        Ok(Verified::Handshake { transport, .. }) => {
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
