//! Where a token stands: header, `auth`, query.

#![no_main]

use hd_auth::{TokenSource, TokenSources};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Option<&str>, Option<&str>, Option<&str>)| {
    let (authorization, auth_token, query) = input;
    let sources = TokenSources {
        authorization,
        auth_token,
        query,
    };
    if let Some(found) = sources.lookup() {
        assert!(!found.token.is_empty());
        match found.source {
            TokenSource::Authorization => assert!(authorization.is_some()),
            TokenSource::Auth => assert_eq!(Some(&*found.token), auth_token),
            TokenSource::Query => assert!(query.is_some()),
        }
    }
});
