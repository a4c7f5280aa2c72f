//! Entries of the stream, as Redis answers them. Anybody who can write to Redis can add one of any
//! form: what is not of the form that our scripts append is passed over.

use hd_replay::{Link, LogId, Offset, Place};
use redis::Value;

use crate::records::{RecordKeys, Rejection};

/// An entry of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) offset: Offset,
    /// Of its record and the codes over it.
    pub(crate) bytes: u64,
    pub(crate) content: Content,
}

/// What an entry has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A log begins.
    Beginning(Link),
    /// A record that counts.
    Record(Link, Vec<u8>),
    /// A record that does not, at a place that our scripts gave to it.
    Untrusted(Link, Rejection),
    /// It is not part of the log.
    Foreign,
}

/// What of an entry is plausible.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plausible {
    now_millis: u64,
}

/// The fields of an entry that mean something.
#[derive(Default)]
struct Fields<'a> {
    log: Option<&'a [u8]>,
    before: Option<&'a [u8]>,
    record: Option<&'a [u8]>,
    codes: Option<&'a [u8]>,
}

impl Plausible {
    pub(crate) const fn at(now_millis: u64) -> Self {
        Self { now_millis }
    }

    /// Whether our scripts may have appended an entry under this id. They abandon a stream whose
    /// end is further in the future than this.
    pub(crate) const fn is_offset(self, offset: Offset) -> bool {
        offset.millis() <= self.now_millis.saturating_add(HORIZON_MILLIS)
    }

    /// Whether an instance may have named a log so. A later log needs a greater id, so that one
    /// that leaves none must not be taken over.
    const fn is_log(self, log: u64) -> bool {
        let latest = self.now_millis.saturating_add(HORIZON_MILLIS);
        log <= latest.saturating_mul(LOG_IDS_OF_A_MILLISECOND)
    }
}

impl Entry {
    fn parse(value: &Value, keys: &RecordKeys, plausible: Plausible) -> Option<Self> {
        let [id, fields] = array(value)? else {
            return None;
        };
        let offset: Offset = str::from_utf8(bytes(id)?).ok()?.parse().ok()?;
        let fields = fields_of(fields);
        let bytes = fields.as_ref().map_or(0, Fields::bytes);
        let content = fields
            .and_then(|fields| fields.content(offset, keys, plausible))
            .unwrap_or(Content::Foreign);
        Some(Self {
            offset,
            bytes,
            content,
        })
    }

    pub(crate) const fn link(&self) -> Option<Link> {
        match self.content {
            Content::Beginning(link) | Content::Record(link, _) | Content::Untrusted(link, _) => {
                Some(link)
            }
            Content::Foreign => None,
        }
    }

    pub(crate) const fn rejection(&self) -> Option<Rejection> {
        match self.content {
            Content::Beginning(_) | Content::Record(..) => None,
            Content::Untrusted(_, rejection) => Some(rejection),
            Content::Foreign => Some(Rejection::Malformed),
        }
    }
}

impl Fields<'_> {
    fn bytes(&self) -> u64 {
        let lengths = [self.record, self.codes].map(|field| field.map_or(0, <[u8]>::len));
        lengths.iter().sum::<usize>() as u64
    }

    fn content(&self, offset: Offset, keys: &RecordKeys, plausible: Plausible) -> Option<Content> {
        let text = |bytes| str::from_utf8(bytes).ok();
        let log = number(text(self.log?)?)?;
        let before = match self.before {
            Some(before) => Some(text(before)?.parse::<Offset>().ok()?),
            None => None,
        };
        let is_in_order = before.is_none_or(|before| before < offset);
        if !is_in_order || !plausible.is_offset(offset) || !plausible.is_log(log) {
            return None;
        }
        let link = Link {
            log: LogId(log),
            before,
            is_beginning: self.record.is_none(),
        };
        Some(match (self.record, before) {
            (None, _) => Content::Beginning(link),
            // Our scripts begin a log before they append to it.
            (Some(_), None) => return None,
            (Some(record), Some(_)) => match keys.verify(record, self.codes) {
                Ok(()) => Content::Record(link, record.to_vec()),
                Err(rejection) => Content::Untrusted(link, rejection),
            },
        })
    }
}

/// The entries of an answer to `XRANGE`.
pub(crate) fn entries(answer: &Value, keys: &RecordKeys, plausible: Plausible) -> Vec<Entry> {
    let entries = array(answer).unwrap_or_default().iter();
    entries
        .filter_map(|entry| Entry::parse(entry, keys, plausible))
        .collect()
}

/// Bytes of the fields of an answer to `XRANGE`, as the script counts them that ends a page.
pub(crate) fn bytes_of(answer: &Value) -> usize {
    let entries = array(answer).unwrap_or_default().iter();
    let fields = entries.filter_map(|entry| array(array(entry)?.get(1)?));
    let lengths = fields.flatten().filter_map(bytes).map(<[u8]>::len);
    lengths.sum()
}

/// Those of an answer to `XREAD` of one stream: that of RESP3 is a map.
pub(crate) fn entries_of_stream(answer: &Value) -> &Value {
    let entries = if let Value::Map(streams) = answer {
        streams.first().map(|(_, entries)| entries)
    } else {
        array(answer)
            .and_then(<[Value]>::first)
            .and_then(array)
            .and_then(|stream| stream.get(1))
    };
    entries.unwrap_or(&Value::Nil)
}

/// Where a log begins of which an entry is the first one that is left, and what was read of it.
pub(crate) fn begin(offset: Offset, link: Link) -> (Place, Place) {
    let read = Place {
        log: link.log,
        offset,
    };
    (link.begins_after(offset), read)
}

fn fields_of(value: &Value) -> Option<Fields<'_>> {
    let (pairs, rest) = array(value)?.as_chunks::<2>();
    let mut fields = Fields::default();
    for [name, value] in pairs {
        let field = match bytes(name)? {
            b"l" => &mut fields.log,
            b"p" => &mut fields.before,
            b"r" => &mut fields.record,
            b"m" => &mut fields.codes,
            _ => continue,
        };
        if field.replace(bytes(value)?).is_some() {
            return None;
        }
    }
    rest.is_empty().then_some(fields)
}

/// As Redis' scripts compare it: digits, and no more of them than they can.
fn number(text: &str) -> Option<u64> {
    let is_number = text.len() <= MAX_LOG_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

fn array(value: &Value) -> Option<&[Value]> {
    if let Value::Array(values) = value {
        return Some(values);
    }
    None
}

fn bytes(value: &Value) -> Option<&[u8]> {
    if let Value::BulkString(bytes) = value {
        return Some(bytes);
    }
    None
}

/// Two days: an instance sees the clock of Redis a little later than the scripts do, which allow
/// for one day.
const HORIZON_MILLIS: u64 = 2 * 24 * 60 * 60 * 1000;
/// A log is named by a time and twenty random bits.
const LOG_IDS_OF_A_MILLISECOND: u64 = 1 << 20;
/// Any number of so many digits is one of 64 bits.
const MAX_LOG_DIGITS: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;
    const LOG: u64 = NOW << 20;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn entry(id: &str, fields: &[(&str, &str)]) -> Value {
        let fields = fields
            .iter()
            .flat_map(|(name, value)| [text(name), text(value)]);
        Value::Array(vec![text(id), Value::Array(fields.collect())])
    }

    fn parse(value: &Value) -> Option<Entry> {
        Entry::parse(value, &RecordKeys::default(), Plausible::at(NOW))
    }

    fn content(id: &str, fields: &[(&str, &str)]) -> Content {
        parse(&entry(id, fields)).expect("an entry").content
    }

    fn link(before: Option<&str>, is_beginning: bool) -> Link {
        Link {
            log: LogId(LOG),
            before: before.map(|before| before.parse().unwrap()),
            is_beginning,
        }
    }

    #[test]
    fn entries_of_our_scripts_are_read() {
        let log = LOG.to_string();
        let record = content("5-1", &[("l", &log), ("p", "5-0"), ("r", "x"), ("m", "y")]);
        assert_eq!(
            record,
            Content::Record(link(Some("5-0"), false), b"x".to_vec())
        );
        let begun = content("5-1", &[("l", &log)]);
        assert_eq!(begun, Content::Beginning(link(None, true)));
        let begun = content(
            "5-1",
            &[("l", &log), ("p", "5-0"), ("x", "of a later version")],
        );
        assert_eq!(begun, Content::Beginning(link(Some("5-0"), true)));
    }

    #[test]
    fn entries_of_another_form_are_foreign() {
        let log = LOG.to_string();
        let greatest = u64::MAX.to_string();
        let last = format!("{greatest}-{greatest}");
        let future = format!("{}-0", NOW + HORIZON_MILLIS + 1);
        for (id, fields) in [
            ("5-1", &[][..]),
            ("5-1", &[("r", "x")]),
            ("5-1", &[("l", "x"), ("p", "5-0"), ("r", "x")]),
            ("5-1", &[("l", "-1"), ("p", "5-0"), ("r", "x")]),
            ("5-1", &[("l", "+1"), ("p", "5-0"), ("r", "x")]),
            ("5-1", &[("l", ""), ("p", "5-0"), ("r", "x")]),
            ("5-1", &[("l", &greatest), ("p", "5-0"), ("r", "x")]),
            (
                "5-1",
                &[("l", "9999999999999999999"), ("p", "5-0"), ("r", "x")],
            ),
            ("5-1", &[("l", &log), ("r", "x")]),
            ("5-1", &[("l", &log), ("p", "x"), ("r", "x")]),
            ("5-1", &[("l", &log), ("p", "5-1"), ("r", "x")]),
            ("5-1", &[("l", &log), ("p", &last), ("r", "x")]),
            ("5-1", &[("l", &log), ("l", &log), ("p", "5-0"), ("r", "x")]),
            (&last, &[("l", &log), ("p", "5-0"), ("r", "x")]),
            (&future, &[("l", &log), ("p", "5-0"), ("r", "x")]),
        ] {
            assert_eq!(content(id, fields), Content::Foreign, "{id} {fields:?}");
        }
        let not_text = Value::BulkString(vec![0xff]);
        let fields = Value::Array(vec![not_text, text("x")]);
        let entry = Value::Array(vec![text("5-1"), fields]);
        assert_eq!(parse(&entry).expect("an entry").content, Content::Foreign);
    }

    #[test]
    fn answers_that_are_none_have_no_entries() {
        let keys = RecordKeys::default();
        let read = |answer: &Value| {
            let entries = entries(entries_of_stream(answer), &keys, Plausible::at(NOW));
            entries
                .into_iter()
                .map(|entry| entry.offset.to_string())
                .collect::<Vec<_>>()
        };
        let stream = Value::Array(vec![entry("5-1", &[]), Value::Nil, entry("x", &[])]);
        let resp2 = Value::Array(vec![Value::Array(vec![text("key"), stream.clone()])]);
        assert_eq!(read(&resp2), ["5-1"]);
        assert_eq!(read(&Value::Map(vec![(text("key"), stream)])), ["5-1"]);
        for answer in [
            Value::Nil,
            Value::Int(1),
            Value::Array(vec![]),
            Value::Map(vec![]),
        ] {
            assert_eq!(read(&answer), [""; 0]);
        }
    }
}
