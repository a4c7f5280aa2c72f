//! Whether a payload falls under a filter.

use hd_auth::{ClaimsFilter, JwtPayload, UserId};

fn user(id: u64) -> UserId {
    UserId::new(id).unwrap()
}

fn agent() -> JwtPayload {
    JwtPayload {
        rol_id: Some(2),
        reg_id: Some(5),
        car_id: Some(11),
        dp_id: Some(7),
        perfil_ids: Some(vec![20, 21]),
        ..JwtPayload::new(user(42))
    }
}

#[test]
fn each_criterion_looks_at_its_own_claim() {
    let filter = ClaimsFilter::new;
    for (matching, other) in [
        (filter().usu_id(user(42)), filter().usu_id(user(2))),
        (filter().rol_id(2), filter().rol_id(5)),
        (filter().reg_id(5), filter().reg_id(2)),
        (filter().car_id(11), filter().car_id(7)),
        (filter().dp_id(7), filter().dp_id(11)),
        (filter().perfil_id(21), filter().perfil_id(2)),
    ] {
        assert!(matching.matches(&agent()), "{matching:?}");
        assert!(!other.matches(&agent()), "{other:?}");
        let nobody = JwtPayload::new(user(1));
        assert!(!matching.matches(&nobody), "{matching:?}");
    }
}

#[test]
fn values_are_alternatives_and_criteria_are_conditions() {
    let filter = ClaimsFilter::new().rol_id(1).rol_id(2).dp_id(7);
    assert!(filter.matches(&agent()));
    assert!(!filter.clone().reg_id(9).matches(&agent()));
    assert!(filter.reg_id(9).reg_id(5).matches(&agent()));
}

#[test]
fn national_scope_sees_every_regional_office_and_no_more() {
    let national = JwtPayload {
        es_nacional: true,
        ..agent()
    };
    assert!(national.sees_regional_office(9));
    assert!(!agent().sees_regional_office(9));
    assert!(ClaimsFilter::new().reg_id(9).matches(&national));
    assert!(!ClaimsFilter::new().reg_id(9).dp_id(1).matches(&national));
    assert!(!ClaimsFilter::new().dp_id(1).matches(&national));
}

#[test]
fn an_empty_filter_matches_nobody() {
    assert!(ClaimsFilter::new().is_empty());
    assert!(!ClaimsFilter::new().matches(&agent()));
    assert!(!ClaimsFilter::new().rol_id(1).is_empty());
}
