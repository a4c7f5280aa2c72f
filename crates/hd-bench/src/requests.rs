//! What is done for a request.

use std::hint::black_box;
use std::time::Duration;

use engineio_proto::Query;
use hd_auth::{Algorithm, JwtPayload, Secret, Signer, UserId, Verifier, VerifierConfig};
use hd_events::{EmitCommand, EmitLimits};

use crate::Operation;
use crate::codecs::PAYLOAD;

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation::new("requests/parse-query", || {
        let query = "EIO=4&transport=polling&t=PxR2q8a&sid=BwcHBwcHBwcHBwcHBwcH";
        Box::new(move || {
            black_box(Query::parse(black_box(query)));
        })
    }),
    Operation::new("requests/parse-emit", || {
        let body = format!(r#"{{"userId":42,"event":"new_notification","payload":{PAYLOAD}}}"#);
        let limits = EmitLimits::default();
        Box::new(move || {
            let command = EmitCommand::parse(black_box(body.as_bytes()), &limits);
            drop(black_box(command.expect("a command")));
        })
    }),
    Operation::new("requests/verify-token-hs256", || {
        let secret = Secret::new("a secret of at least thirty-two bytes").expect("long enough");
        let payload = JwtPayload {
            usu_correo: Some("ana@example.com".to_owned()),
            rol_id: Some(2),
            reg_id: Some(1),
            car_id: Some(3),
            dp_id: Some(4),
            perfil_ids: Some(vec![1, 2, 3]),
            ..JwtPayload::new(UserId::new(42).expect("an id"))
        };
        let token = Signer::new(&secret, Algorithm::HS256)
            .sign(&payload, NOW, Duration::from_secs(3600))
            .expect("a token");
        let verifier = Verifier::new(VerifierConfig::new(secret)).expect("a verifier");
        Box::new(move || {
            let payload = verifier.verify(black_box(&token), NOW + 1);
            drop(black_box(payload.expect("a good token")));
        })
    }),
];

/// In seconds since 1970.
const NOW: u64 = 1_800_000_000;
