//! Dates as JavaScript writes them into JSON.

use std::fmt::Write as _;

/// Writes what `new Date(millis).toJSON()` gives: ISO 8601, or `null` for what
/// is no date.
pub(super) fn write_date(millis: i64, out: &mut String) {
    if millis.unsigned_abs() > MAX_MILLIS.unsigned_abs() {
        out.push_str("null");
        return;
    }
    let (days, millis) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
    let (second, milli) = (millis / 1000 % 60, millis % 1000);
    let written = match year {
        0..=9999 => write!(out, "\"{year:04}"),
        _ => write!(out, "\"{year:+07}"),
    };
    written
        .and_then(|()| {
            write!(
                out,
                "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z\""
            )
        })
        .expect("invariant: a String takes any text");
}

/// Year, month and day of a day since 1970, in the Gregorian calendar of all
/// times. Years begin in March here, so that a leap day is the last one; eras of
/// 400 years repeat.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // from 0000-03-01 to 1970-01-01
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + next, month, day)
}

const DAY: i64 = 24 * 60 * 60 * 1000;
/// ECMAScript's.
const MAX_MILLIS: i64 = 8_640_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_by_javascript() {
        let check = |millis, expected: &str| {
            let mut out = String::new();
            write_date(millis, &mut out);
            assert_eq!(out, expected);
        };
        check(0, r#""1970-01-01T00:00:00.000Z""#);
        check(1_700_000_000_123, r#""2023-11-14T22:13:20.123Z""#);
        check(951_827_696_789, r#""2000-02-29T12:34:56.789Z""#);
        check(-5, r#""1969-12-31T23:59:59.995Z""#);
        check(253_402_300_800_000, r#""+010000-01-01T00:00:00.000Z""#);
        check(-62_167_219_200_001, r#""-000001-12-31T23:59:59.999Z""#);
        check(MAX_MILLIS, r#""+275760-09-13T00:00:00.000Z""#);
        check(MAX_MILLIS + 1, "null");
    }
}
