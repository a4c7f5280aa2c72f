//! Where the token is taken from.

use hd_auth::{TokenSource, TokenSources};

#[track_caller]
fn check(
    authorization: Option<&str>,
    auth_token: Option<&str>,
    query: Option<&str>,
    expected: Option<(&str, TokenSource)>,
) {
    let found = TokenSources {
        authorization,
        auth_token,
        query,
    }
    .lookup();
    let found = found.as_ref().map(|found| (&*found.token, found.source));
    assert_eq!(found, expected);
}

#[test]
fn the_order_is_header_auth_query() {
    let header = Some("Bearer a.b.c");
    let auth = Some("d.e.f");
    let query = Some("token=g.h.i");
    check(
        header,
        auth,
        query,
        Some(("a.b.c", TokenSource::Authorization)),
    );
    check(None, auth, query, Some(("d.e.f", TokenSource::Auth)));
    check(None, None, query, Some(("g.h.i", TokenSource::Query)));
    check(None, None, None, None);
}

#[test]
fn the_scheme_is_bearer_in_any_case() {
    for header in [
        "Bearer t",
        "bearer t",
        "BEARER t",
        "Bearer   t",
        " Bearer t ",
        "Bearer\tt",
    ] {
        check(
            Some(header),
            None,
            None,
            Some(("t", TokenSource::Authorization)),
        );
    }
}

#[test]
fn a_header_of_another_scheme_falls_through() {
    for header in [
        "Basic dXNlcg==",
        "t",
        "Bearert",
        "Bearer",
        "Bearer ",
        "",
        "Bearer:t",
    ] {
        check(
            Some(header),
            Some("u"),
            None,
            Some(("u", TokenSource::Auth)),
        );
        check(Some(header), None, None, None);
    }
}

#[test]
fn empty_values_fall_through() {
    check(
        None,
        Some(""),
        Some("token=q"),
        Some(("q", TokenSource::Query)),
    );
    check(None, Some(""), Some("token="), None);
    check(None, Some(""), Some("token"), None);
}

#[test]
fn the_query_is_read_as_url_search_params_does() {
    for (query, expected) in [
        ("?token=a.b.c", Some("a.b.c")),
        ("EIO=4&transport=websocket&token=a.b.c", Some("a.b.c")),
        ("token=a.b.c&EIO=4", Some("a.b.c")),
        ("token=first&token=last", Some("last")),
        ("token=first&token=", None),
        ("token=a%2Eb%2ec", Some("a.b.c")),
        ("%74oken=a", Some("a")),
        ("token=a+b", Some("a b")),
        ("token=a=b", Some("a=b")),
        ("token=%", Some("%")),
        ("token=%4", Some("%4")),
        ("token=%zz%41", Some("%zzA")),
        ("token=%C3%B1", Some("ñ")),
        ("token=%FF", Some("\u{fffd}")),
        ("xtoken=a", None),
        ("Token=a", None),
        ("&&", None),
        ("", None),
    ] {
        let expected = expected.map(|token| (token, TokenSource::Query));
        check(None, None, Some(query), expected);
    }
}

#[test]
fn debug_prints_no_token() {
    let sources = TokenSources {
        authorization: Some("Bearer hush"),
        auth_token: Some("hush"),
        query: Some("token=hush"),
    };
    assert!(!format!("{sources:?}").contains("hush"));
    let found = format!("{:?}", sources.lookup().unwrap());
    assert!(!found.contains("hush"), "{found}");
    assert!(found.contains("Authorization"), "{found}");
}
