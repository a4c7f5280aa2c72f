//! The claims' types.

use hd_auth::{JwtPayload, UserId};
use serde_json::json;

#[test]
fn a_user_id_is_a_number_that_javascript_holds_exactly() {
    assert_eq!(UserId::MAX.get(), 9_007_199_254_740_991);
    assert!(UserId::new(9_007_199_254_740_991).is_ok());
    assert!(UserId::new(9_007_199_254_740_992).is_err());

    let id: UserId = serde_json::from_str("42").unwrap();
    assert_eq!(serde_json::to_string(&id).unwrap(), "42");
    assert_eq!(id.to_string(), "42");
    for bad in ["9007199254740992", "-1", "1.5", "\"42\"", "null"] {
        assert!(serde_json::from_str::<UserId>(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_claims_have_the_back_ends_names() {
    let payload = JwtPayload {
        usu_correo: Some("ana@example.com".into()),
        rol_id: Some(3),
        reg_id: None,
        car_id: Some(1),
        dp_id: Some(2),
        es_nacional: true,
        perfil_ids: Some(vec![4]),
        iat: Some(5),
        exp: Some(6),
        ..JwtPayload::new(UserId::new(42).unwrap())
    };
    assert_eq!(
        serde_json::to_value(&payload).unwrap(),
        json!({
            "usu_id": 42, "usu_correo": "ana@example.com", "rol_id": 3, "reg_id": null,
            "car_id": 1, "dp_id": 2, "es_nacional": true, "perfil_ids": [4], "iat": 5, "exp": 6,
        })
    );
}

#[test]
fn debug_does_not_print_the_e_mail() {
    let payload = JwtPayload {
        usu_correo: Some("ana@example.com".into()),
        ..JwtPayload::new(UserId::new(42).unwrap())
    };
    let text = format!("{payload:?}");
    assert!(text.contains("UserId(42)"), "{text}");
    assert!(!text.contains("ana"), "{text}");
}
