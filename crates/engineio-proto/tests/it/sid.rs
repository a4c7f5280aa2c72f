use std::collections::HashSet;

use engineio_proto::{InvalidSid, Sid};

use crate::pair::{SID_TEXT, sid};

#[test]
fn is_twenty_characters_of_url_safe_base64() {
    assert_eq!(sid().as_str(), SID_TEXT);
    assert_eq!(sid().to_string(), SID_TEXT);
    assert_eq!(
        Sid::from_random([0xff; Sid::RANDOM_BYTES]).as_str(),
        "____________________"
    );
}

#[test]
fn every_random_bit_shows() {
    let ids: HashSet<Sid> = (0..Sid::RANDOM_BYTES * 8)
        .map(|bit| {
            let mut bytes = [0; Sid::RANDOM_BYTES];
            bytes[bit / 8] = 1 << (bit % 8);
            Sid::from_random(bytes)
        })
        .collect();
    assert_eq!(ids.len(), Sid::RANDOM_BYTES * 8);
}

#[test]
fn parses_what_it_makes() {
    assert_eq!(SID_TEXT.parse(), Ok(sid()));
}

#[test]
fn refuses_what_it_could_not_have_made() {
    for text in [
        "",
        "__proto__",
        "AAECAwQFBgcICQoLDA0",
        "AAECAwQFBgcICQoLDA0OO",
        "AAECAwQFBgcICQoLDA0=",
        "AAECAwQFBgcICQoLDA+/",
        "AAECAwQFBgcICQoLDA €",
        "../../../etc/passwd0",
    ] {
        assert_eq!(text.parse::<Sid>(), Err(InvalidSid), "{text}");
    }
}
