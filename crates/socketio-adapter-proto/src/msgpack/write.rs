//! JSON to MessagePack.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// JSON as MessagePack, in which what the placeholders stand for is in their
/// places; `None` when it is nested deeper than serde_json reads, 128.
pub(crate) fn from_json(json: &str, attachments: &[Bytes]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(json.len());
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Write {
        attachments,
        out: &mut out,
    }
    .deserialize(&mut deserializer)
    .ok()?;
    Some(out)
}

/// Writes one value.
struct Write<'a> {
    attachments: &'a [Bytes],
    out: &'a mut Vec<u8>,
}

/// What a value is, as far as it matters for placeholders.
#[derive(Clone, Copy)]
enum Written {
    True,
    Index(u64),
    Other,
}

impl Write<'_> {
    fn again(&mut self) -> Write<'_> {
        Write {
            attachments: self.attachments,
            out: self.out,
        }
    }

    fn unsigned(&mut self, number: u64) {
        let bytes = number.to_be_bytes();
        let (head, len) = match number {
            0..0x80 => return self.out.push(bytes[7]),
            0x80..0x100 => (0xcc, 1),
            0x100..0x1_0000 => (0xcd, 2),
            0x1_0000..0x1_0000_0000 => (0xce, 4),
            _ => (0xcf, 8),
        };
        self.out.push(head);
        self.out.extend_from_slice(&bytes[8 - len..]);
    }

    fn negative(&mut self, number: i64) {
        let bytes = number.to_be_bytes();
        let (head, len) = match number {
            -0x20.. => return self.out.push(bytes[7]),
            -0x80.. => (0xd0, 1),
            -0x8000.. => (0xd1, 2),
            -0x8000_0000.. => (0xd2, 4),
            _ => (0xd3, 8),
        };
        self.out.push(head);
        self.out.extend_from_slice(&bytes[8 - len..]);
    }

    fn text(&mut self, text: &str) {
        self.out
            .extend_from_slice(TEXT.for_len(text.len()).as_slice());
        self.out.extend_from_slice(text.as_bytes());
    }

    fn binary(&mut self, data: &[u8]) {
        self.out
            .extend_from_slice(BINARY.for_len(data.len()).as_slice());
        self.out.extend_from_slice(data);
    }

    /// Puts the head in front of what was written since. One byte was left for
    /// it.
    fn put_head(&mut self, at: usize, heads: &Heads, len: usize) {
        let head = heads.for_len(len);
        self.out.splice(at..=at, head.as_slice().iter().copied());
    }
}

impl<'de> DeserializeSeed<'de> for Write<'_> {
    type Value = Written;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Written, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Write<'_> {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        self.out.push(0xc0);
        Ok(Written::Other)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Written, E> {
        self.out.push(if value { 0xc3 } else { 0xc2 });
        Ok(if value { Written::True } else { Written::Other })
    }

    fn visit_u64<E>(mut self, number: u64) -> Result<Written, E> {
        self.unsigned(number);
        Ok(Written::Index(number))
    }

    fn visit_i64<E>(mut self, number: i64) -> Result<Written, E> {
        match u64::try_from(number) {
            Ok(number) => self.unsigned(number),
            Err(_) => self.negative(number),
        }
        Ok(Written::Other)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Written, E> {
        self.out.push(0xcb);
        self.out.extend_from_slice(&number.to_be_bytes());
        Ok(Written::Other)
    }

    fn visit_str<E>(mut self, text: &str) -> Result<Written, E> {
        self.text(text);
        Ok(Written::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Written, A::Error> {
        let at = self.out.len();
        self.out.push(0);
        let mut len = 0;
        while items.next_element_seed(self.again())?.is_some() {
            len += 1;
        }
        self.put_head(at, &ARRAY, len);
        Ok(Written::Other)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Written, A::Error> {
        let at = self.out.len();
        self.out.push(0);
        let mut len = 0;
        let mut is_placeholder = false;
        let mut index = None;
        loop {
            let key_at = self.out.len();
            if fields.next_key_seed(self.again())?.is_none() {
                break;
            }
            let key = &self.out[key_at..];
            let (names_placeholder, names_number) = (key == PLACEHOLDER, key == NUMBER);
            match fields.next_value_seed(self.again())? {
                Written::True if names_placeholder => is_placeholder = true,
                Written::Index(number) if names_number => index = usize::try_from(number).ok(),
                Written::True | Written::Index(_) | Written::Other => {}
            }
            len += 1;
        }
        let attachment = index
            .filter(|_| is_placeholder)
            .and_then(|index| self.attachments.get(index));
        match attachment {
            Some(data) => {
                self.out.truncate(at);
                self.binary(data);
            }
            None => self.put_head(at, &MAP, len),
        }
        Ok(Written::Other)
    }
}

/// The heads that values of one kind may have.
struct Heads {
    /// With the length in the byte itself, below so much.
    fixed: Option<(u8, u32)>,
    /// With a length of one byte.
    one: Option<u8>,
    two: u8,
    four: u8,
}

/// The first bytes of a value.
struct Head {
    bytes: [u8; 5],
    len: usize,
}

impl Heads {
    /// The smallest that has room for a length.
    fn for_len(&self, len: usize) -> Head {
        let len = u32::try_from(len).expect("invariant: what is sent is not 4 GB");
        let [a, b, c, d] = len.to_be_bytes();
        match (self.fixed, self.one) {
            (Some((fixed, below)), _) if len < below => Head::new([fixed | d]),
            (_, Some(one)) if len < 0x100 => Head::new([one, d]),
            _ if len < 0x1_0000 => Head::new([self.two, c, d]),
            _ => Head::new([self.four, a, b, c, d]),
        }
    }
}

impl Head {
    fn new<const N: usize>(head: [u8; N]) -> Self {
        let mut bytes = [0; 5];
        bytes[..N].copy_from_slice(&head);
        Self { bytes, len: N }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

const TEXT: Heads = Heads {
    fixed: Some((0xa0, 0x20)),
    one: Some(0xd9),
    two: 0xda,
    four: 0xdb,
};
const BINARY: Heads = Heads {
    fixed: None,
    one: Some(0xc4),
    two: 0xc5,
    four: 0xc6,
};
const ARRAY: Heads = Heads {
    fixed: Some((0x90, 0x10)),
    one: None,
    two: 0xdc,
    four: 0xdd,
};
const MAP: Heads = Heads {
    fixed: Some((0x80, 0x10)),
    one: None,
    two: 0xde,
    four: 0xdf,
};

const PLACEHOLDER: &[u8] = b"\xac_placeholder";
const NUMBER: &[u8] = b"\xa3num";
