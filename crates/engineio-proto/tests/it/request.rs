use engineio_proto::payload::v3::JsonpIndex;
use engineio_proto::{
    CacheBuster, Config, Method, OriginVerdict, Query, RequestError, RequestFacts, Revision, Sid,
    Transport, Transports, UpgradeHeader, Verified,
};

use crate::pair::{SID_TEXT, sid};

const GET: RequestFacts = RequestFacts {
    method: Method::Get,
    upgrade: UpgradeHeader::Absent,
    origin: OriginVerdict::Allowed,
};
const POST: RequestFacts = RequestFacts {
    method: Method::Post,
    ..GET
};
const PUT: RequestFacts = RequestFacts {
    method: Method::Other,
    ..GET
};
const UPGRADE: RequestFacts = RequestFacts {
    upgrade: UpgradeHeader::WebSocket,
    ..GET
};

const fn from_elsewhere(request: RequestFacts) -> RequestFacts {
    RequestFacts {
        origin: OriginVerdict::Refused,
        ..request
    }
}

/// The verdict of a server that has one session, `SID_TEXT`, on `transport`.
fn verify_with(
    transport: Transport,
    transports: Transports,
    query: &str,
    request: RequestFacts,
) -> Result<Verified<Sid>, RequestError> {
    let config = Config {
        transports,
        ..Config::default()
    };
    verify_by(&config, (transport, Revision::V4), query, request)
}

/// The verdict of a server with these settings and this session.
fn verify_by(
    config: &Config,
    of_session: (Transport, Revision),
    query: &str,
    request: RequestFacts,
) -> Result<Verified<Sid>, RequestError> {
    let query = query.replace("SID", SID_TEXT);
    Query::parse(&query).verify(
        request,
        config,
        |&asked| (asked == sid()).then_some(asked),
        |_| of_session,
    )
}

fn verify(query: &str, request: RequestFacts) -> Result<Verified<Sid>, RequestError> {
    verify_with(Transport::Polling, Transports::Both, query, request)
}

#[track_caller]
fn check_refused(query: &str, request: RequestFacts, error: RequestError) {
    assert_eq!(verify(query, request), Err(error), "{query} {request:?}");
}

fn session(transport: Transport) -> Result<Verified<Sid>, RequestError> {
    Ok(Verified::Session {
        session: sid(),
        transport,
    })
}

fn handshake(transport: Transport, supports_binary: bool) -> Result<Verified<Sid>, RequestError> {
    Ok(Verified::Handshake {
        transport,
        revision: Revision::V4,
        supports_binary,
        jsonp: None,
    })
}

#[test]
fn a_handshake_names_transport_and_revision() {
    assert_eq!(
        verify("EIO=4&transport=polling", GET),
        handshake(Transport::Polling, true)
    );
    assert_eq!(
        verify("EIO=4&transport=websocket", UPGRADE),
        handshake(Transport::WebSocket, true)
    );
    // A cache buster and application keys are none of ours.
    assert_eq!(
        verify("token=a%20b&t=abc&EIO=4&transport=polling&x", GET),
        handshake(Transport::Polling, true)
    );
}

#[test]
fn any_value_of_b64_but_the_empty_one_refuses_binary() {
    for (b64, supports_binary) in [
        ("b64=1", false),
        ("b64=0", false),
        ("b64=true", false),
        ("b64=", true),
        ("b64", true),
        ("b64=1&b64=", true),
    ] {
        assert_eq!(
            verify(&format!("EIO=4&transport=polling&{b64}"), GET),
            handshake(Transport::Polling, supports_binary),
            "{b64}"
        );
    }
}

#[test]
fn step_1_the_transport_is_one_that_is_offered() {
    for transport in [
        "",
        "transport",
        "transport=",
        "transport=abc",
        "transport=Polling",
        "transport=polling2",
        "transport=webtransport",
        // CVE-2023-31125: properties of every JavaScript object.
        "transport=__proto__",
        "transport=constructor",
        "transport=toString",
        "transport=hasOwnProperty",
        "TRANSPORT=polling",
        "transport=%70olling",
        "transport=polling%00",
        "transport=polling&transport=abc",
    ] {
        let query = format!("EIO=4&{transport}");
        check_refused(&query, GET, RequestError::TransportUnknown);
        check_refused(&query, UPGRADE, RequestError::TransportUnknown);
    }
    for (transports, query, request) in [
        (Transports::WebSocket, "EIO=4&transport=polling", GET),
        (Transports::Polling, "EIO=4&transport=websocket", UPGRADE),
    ] {
        assert_eq!(
            verify_with(Transport::Polling, transports, query, request),
            Err(RequestError::TransportUnknown)
        );
    }
}

#[test]
fn step_3_the_session_is_known() {
    for sid in [
        "sid=BBBBBBBBBBBBBBBBBBBB",
        "sid=short",
        "sid=__proto__",
        "sid=hasOwnProperty",
        "sid=%41AECAwQFBgcICQoLDA0O",
        "sid=SIDx",
        "sid=SID&sid=unknown",
    ] {
        let query = format!("EIO=4&transport=polling&{sid}");
        check_refused(&query, GET, RequestError::SessionIdUnknown);
        check_refused(&query, POST, RequestError::SessionIdUnknown);
        let query = format!("EIO=4&transport=websocket&{sid}");
        check_refused(&query, UPGRADE, RequestError::SessionIdUnknown);
    }
}

#[test]
fn an_empty_sid_is_none() {
    for query in [
        "EIO=4&transport=polling&sid=",
        "EIO=4&transport=polling&sid",
        "EIO=4&transport=polling&sid=SID&sid=",
    ] {
        assert_eq!(verify(query, GET), handshake(Transport::Polling, true));
    }
}

#[test]
fn step_4_a_session_is_asked_for_by_its_transport_or_upgraded() {
    let polling = "EIO=4&transport=polling&sid=SID";
    let websocket = "EIO=4&transport=websocket&sid=SID";
    assert_eq!(verify(polling, GET), session(Transport::Polling));
    assert_eq!(verify(polling, POST), session(Transport::Polling));
    // Which methods polling has is the transport's to know.
    assert_eq!(verify(polling, PUT), session(Transport::Polling));
    assert_eq!(verify(websocket, UPGRADE), session(Transport::WebSocket));

    check_refused(websocket, GET, RequestError::BadRequest);
    check_refused(polling, UPGRADE, RequestError::BadRequest);
    for request in [GET, POST] {
        assert_eq!(
            verify_with(Transport::WebSocket, Transports::Both, polling, request),
            Err(RequestError::BadRequest)
        );
    }
    // The session refuses a second WebSocket by itself.
    assert_eq!(
        verify_with(Transport::WebSocket, Transports::Both, websocket, UPGRADE),
        session(Transport::WebSocket)
    );
}

#[test]
fn an_upgrade_is_a_get() {
    for method in [Method::Post, Method::Other] {
        let request = RequestFacts { method, ..UPGRADE };
        check_refused(
            "EIO=4&transport=websocket&sid=SID",
            request,
            RequestError::BadRequest,
        );
        check_refused(
            "EIO=4&transport=websocket",
            request,
            RequestError::BadHandshakeMethod,
        );
    }
}

#[test]
fn a_session_is_asked_for_with_its_revision() {
    for query in [
        "transport=polling&sid=SID",
        "EIO=3&transport=polling&sid=SID",
        "EIO=&transport=polling&sid=SID",
        "EIO=4&EIO=3&transport=polling&sid=SID",
    ] {
        check_refused(query, GET, RequestError::BadRequest);
        check_refused(query, POST, RequestError::BadRequest);
    }
}

#[test]
fn step_5_a_handshake_is_a_get() {
    for request in [POST, PUT] {
        check_refused(
            "EIO=4&transport=polling",
            request,
            RequestError::BadHandshakeMethod,
        );
        check_refused(
            "EIO=4&transport=websocket",
            request,
            RequestError::BadHandshakeMethod,
        );
    }
}

#[test]
fn step_6_a_websocket_handshake_is_an_upgrade() {
    check_refused("EIO=4&transport=websocket", GET, RequestError::BadRequest);
    check_refused("EIO=4&transport=polling", UPGRADE, RequestError::BadRequest);
}

#[test]
fn step_7_the_origin_is_allowed() {
    for (query, request) in [
        ("EIO=4&transport=polling", GET),
        ("EIO=4&transport=websocket", UPGRADE),
        ("EIO=4&transport=polling&sid=SID", GET),
        ("EIO=4&transport=polling&sid=SID", POST),
        ("EIO=4&transport=websocket&sid=SID", UPGRADE),
    ] {
        assert!(verify(query, request).is_ok());
        check_refused(query, from_elsewhere(request), RequestError::Forbidden);
    }
}

#[test]
fn step_8_the_revision_is_4() {
    for revision in [
        "",
        "EIO",
        "EIO=",
        "EIO=3",
        "EIO=5",
        "EIO=04",
        "EIO=4.0",
        "EIO=%34",
        "EIO=4%20",
        "eio=4",
        "EIO=4&EIO=3",
        "EIO=44",
    ] {
        let query = format!("{revision}&transport=polling");
        check_refused(&query, GET, RequestError::UnsupportedProtocolVersion);
    }
}

#[test]
fn the_first_fault_in_the_order_is_told() {
    let put_from_elsewhere = from_elsewhere(PUT);
    // Each query mends one more fault.
    for (query, request, error) in [
        (
            "EIO=3&transport=abc&sid=unknown",
            put_from_elsewhere,
            RequestError::TransportUnknown,
        ),
        (
            "EIO=3&transport=websocket&sid=unknown",
            put_from_elsewhere,
            RequestError::SessionIdUnknown,
        ),
        (
            "EIO=3&transport=websocket&sid=SID",
            put_from_elsewhere,
            RequestError::BadRequest,
        ),
        (
            "EIO=3&transport=websocket",
            put_from_elsewhere,
            RequestError::BadHandshakeMethod,
        ),
        (
            "EIO=3&transport=websocket",
            from_elsewhere(GET),
            RequestError::BadRequest,
        ),
        (
            "EIO=3&transport=websocket",
            from_elsewhere(UPGRADE),
            RequestError::Forbidden,
        ),
        (
            "EIO=3&transport=websocket",
            UPGRADE,
            RequestError::UnsupportedProtocolVersion,
        ),
    ] {
        check_refused(query, request, error);
    }
    assert!(verify("EIO=4&transport=websocket", UPGRADE).is_ok());
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    assert_eq!(
        verify("EIO=3&transport=websocket&EIO=4&transport=polling", GET),
        handshake(Transport::Polling, true)
    );
    assert_eq!(
        verify("EIO=4&transport=polling&sid=unknown&sid=SID", GET),
        session(Transport::Polling)
    );
}

#[test]
fn each_refusal_has_the_code_status_and_body_of_engine_io() {
    for (error, code, status, body) in [
        (
            RequestError::TransportUnknown,
            0,
            400,
            r#"{"code":0,"message":"Transport unknown"}"#,
        ),
        (
            RequestError::SessionIdUnknown,
            1,
            400,
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            RequestError::BadHandshakeMethod,
            2,
            400,
            r#"{"code":2,"message":"Bad handshake method"}"#,
        ),
        (
            RequestError::BadRequest,
            3,
            400,
            r#"{"code":3,"message":"Bad request"}"#,
        ),
        (
            RequestError::Forbidden,
            4,
            403,
            r#"{"code":4,"message":"Forbidden"}"#,
        ),
        (
            RequestError::UnsupportedProtocolVersion,
            5,
            400,
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
        ),
    ] {
        assert_eq!(error.code(), code);
        assert_eq!(error.status(), status);
        assert_eq!(error.body(), body);
        assert_eq!(
            body,
            format!(r#"{{"code":{code},"message":"{error}"}}"#),
            "the words are the error's own"
        );
    }
}

const EIO3_ALLOWED: fn() -> Config = || Config {
    allow_eio3: true,
    ..Config::default()
};

#[test]
fn any_revision_but_4_is_3_where_that_is_allowed() {
    for revision in ["EIO=3", "EIO=2", "EIO=abc", "EIO=", "x=1"] {
        for (transport, request) in [("polling", GET), ("websocket", UPGRADE)] {
            let query = format!("{revision}&transport={transport}");
            let verdict = verify_by(
                &EIO3_ALLOWED(),
                (Transport::Polling, Revision::V4),
                &query,
                request,
            );
            let Ok(Verified::Handshake { revision, .. }) = verdict else {
                panic!("{query}: {verdict:?}");
            };
            assert_eq!(revision, Revision::V3);
            check_refused(&query, request, RequestError::UnsupportedProtocolVersion);
        }
    }
}

#[test]
fn a_session_keeps_its_revision() {
    for (of_session, query, is_ok) in [
        (Revision::V3, "EIO=3&transport=polling&sid=SID", true),
        (Revision::V3, "EIO=4&transport=polling&sid=SID", false),
        (Revision::V4, "EIO=3&transport=polling&sid=SID", false),
        (Revision::V4, "EIO=4&transport=polling&sid=SID", true),
    ] {
        let verdict = verify_by(
            &EIO3_ALLOWED(),
            (Transport::Polling, of_session),
            query,
            GET,
        );
        let expected = if is_ok {
            session(Transport::Polling)
        } else {
            Err(RequestError::BadRequest)
        };
        assert_eq!(verdict, expected, "{of_session:?} {query}");
    }
}

#[test]
fn jsonp_is_for_polls_of_revision_3() {
    let jsonp_of = |query: &str, request| {
        let session = (Transport::Polling, Revision::V3);
        match verify_by(&EIO3_ALLOWED(), session, query, request) {
            Ok(Verified::Handshake {
                jsonp,
                supports_binary,
                ..
            }) => Ok((jsonp, supports_binary)),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        }
    };
    let index = JsonpIndex::parse("7");
    assert!(index.is_some());
    assert_eq!(
        jsonp_of("EIO=3&transport=polling&j=7", GET),
        Ok((index, false))
    );
    assert_eq!(
        jsonp_of("EIO=3&transport=polling&j=a7)", GET),
        Ok((index, false))
    );
    assert_eq!(
        jsonp_of("EIO=4&transport=polling&j=7", GET),
        Ok((None, true))
    );
    assert_eq!(
        jsonp_of("EIO=3&transport=websocket&j=7", UPGRADE),
        Ok((None, true))
    );
    for j in ["j=", "j", "j=abc", "j=99999999999"] {
        let query = format!("EIO=3&transport=polling&{j}");
        assert_eq!(jsonp_of(&query, GET), Err(RequestError::BadRequest), "{j}");
    }
}

#[test]
fn a_cache_buster_is_the_value_of_t() {
    let of = |query: &str| Query::parse(query).cache_buster();
    assert_eq!(of("EIO=4&transport=polling&t=abc"), CacheBuster::new("abc"));
    assert_eq!(
        of("t=a&sid=x&t=abc"),
        CacheBuster::new("abc"),
        "the last one"
    );
    assert_ne!(of("t=abc"), of("t=abd"));
    for without in ["", "EIO=4&transport=polling", "t", "t=", "T=abc", "tt=abc"] {
        assert_eq!(of(without), None, "{without}");
    }
}

/// As socket.io-client-csharp sends them. Two polls in one second are no
/// repetition.
#[test]
fn a_clock_in_seconds_or_finer_digits_is_no_cache_buster() {
    for clock in ["1764540000", "1764540000123"] {
        assert_eq!(CacheBuster::new(clock), None, "{clock}");
    }
    // Of socket.io-client 4.8 and 4.7, and of python-engineio.
    for unique in ["k3x91ab2", "04618223", "PNqBx1X", "1764540000.1234567"] {
        assert!(CacheBuster::new(unique).is_some(), "{unique}");
    }
}
