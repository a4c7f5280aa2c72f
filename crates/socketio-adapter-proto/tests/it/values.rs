//! Values of MessagePack, as arguments of an event.

use crate::support::{classic_event, hex, with_args};

#[track_caller]
fn check(digits: &str, json: &str) {
    let (event, _) = classic_event(&with_args(&hex(digits), 1)).unwrap();
    assert_eq!(event.args().json(), format!("[{json}]"));
}

#[test]
fn numbers() {
    check("00", "0");
    check("7f", "127");
    check("ff", "-1");
    check("e0", "-32");
    check("cc 80", "128");
    check("cd 0100", "256");
    check("ce ffffffff", "4294967295");
    check("cf ffffffffffffffff", "18446744073709551615");
    check("d0 80", "-128");
    check("d1 8000", "-32768");
    check("d2 80000000", "-2147483648");
    check("d3 8000000000000000", "-9223372036854775808");
    check("d3 0000000000000001", "1");
    check("ca 3fc00000", "1.5");
    check("cb 3ff8000000000000", "1.5");
    check("cb 4014000000000000", "5");
    check("cb 444b1ae4d6e2ef50", "1e+21");
    // NaN, as JSON.stringify has it.
    check("cb 7ff8000000000000", "null");
}

#[test]
fn texts() {
    check("a0", r#""""#);
    check("a5 6f6c610a22", r#""ola\n\"""#);
    check("d9 02 c3b1", r#""ñ""#);
    check("da 0001 61", r#""a""#);
    check("db 00000001 61", r#""a""#);
    // Half of a surrogate pair: replaced, as Node does.
    check("a1 ff", "\"\u{fffd}\"");
}

#[test]
fn arrays_and_objects() {
    check("90", "[]");
    check("dc 0002 01 c0", "[1,null]");
    check("dd 00000001 c3", "[true]");
    check("80", "{}");
    check("82 a161 01 a162 c2", r#"{"a":1,"b":false}"#);
    check("de 0001 05 01", r#"{"5":1}"#);
    check("df 00000001 ff 01", r#"{"-1":1}"#);
}

#[test]
fn dates_and_what_notepack_2_wrote() {
    check("d6ff 6553f100", r#""2023-11-14T22:13:20.000Z""#);
    check(
        "c70cff 3b4e7ec0 ffffffffffffffff",
        r#""1969-12-31T23:59:59.995Z""#,
    );
    check(
        "c70cff 00000000 00000004a817c800",
        r#""2603-10-11T11:33:20.000Z""#,
    );
    check("c70cff 00000000 7fffffffffffffff", "null");
    check("d700 0000018bcfe56800", r#""2023-11-14T22:13:20.000Z""#);
    // `undefined`, which objects leave out and arrays have as null.
    check("91 d40000", "[null]");
    check("82 a161 d40000 a162 01", r#"{"b":1}"#);
    check("82 a161 01 a162 d40000", r#"{"a":1}"#);
    check("81 a161 d40000", "{}");
    // `ArrayBuffer`.
    check("c70200 0102", r#"{"_placeholder":true,"num":0}"#);
    check("c8000200 0102", r#"{"_placeholder":true,"num":0}"#);
    check("c90000000200 0102", r#"{"_placeholder":true,"num":0}"#);
}

#[test]
fn attachments_are_numbered_in_order() {
    let args = hex("c40101 82 a161 c50001 02 a162 91 c600000001 03");
    let (event, _) = classic_event(&with_args(&args, 2)).unwrap();
    let expected = r#"[{"_placeholder":true,"num":0},{"a":{"_placeholder":true,"num":1},"b":[{"_placeholder":true,"num":2}]}]"#;
    assert_eq!(event.args().json(), expected);
    assert_eq!(event.args().attachments(), [&[1][..], &[2], &[3]]);
}
