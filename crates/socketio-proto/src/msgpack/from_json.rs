//! JSON to MessagePack.
//!
//! The head of an array or a map says how long it is, so the text is gone
//! through twice: once to count, and once to write. Neither takes stack,
//! however deep the text is nested.

use std::borrow::Cow;

use bytes::Bytes;

use super::read::MAX_SAFE_INTEGER;
use super::write::Writer;

/// JSON values, separated by commas, which are known to be valid: the inside of
/// an array, or one value.
pub(super) struct Values<'a> {
    text: &'a str,
    attachments: &'a [Bytes],
    len: usize,
    /// The arrays and maps, in the order in which they begin.
    containers: Vec<Container>,
}

/// An array or a map.
#[derive(Clone, Copy)]
struct Container {
    len: usize,
    /// The attachment that it is a placeholder for.
    attachment: Option<usize>,
    /// Where the text goes on after it.
    end: usize,
    /// How many containers begin before its end.
    next: usize,
}

impl<'a> Values<'a> {
    pub(super) fn new(text: &'a str, attachments: &'a [Bytes]) -> Self {
        let (len, containers) = Count::new(attachments.len()).run(text);
        Self {
            text,
            attachments,
            len,
            containers,
        }
    }

    /// How many values there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Writes the values one after the other.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut out = Writer(out);
        let mut containers = 0;
        let mut position = 0;
        while let Some(piece) = Piece::next(self.text, position) {
            position = piece.end();
            match piece {
                Piece::Array { .. } | Piece::Map { .. } => {
                    let container = self.containers[containers];
                    containers += 1;
                    let data = container
                        .attachment
                        .and_then(|index| self.attachments.get(index));
                    match (data, piece) {
                        (Some(data), _) => {
                            out.binary(data);
                            position = container.end;
                            containers = container.next;
                        }
                        (None, Piece::Array { .. }) => out.array(container.len),
                        (None, _) => out.map(container.len),
                    }
                }
                Piece::Text { inside, .. } => out.text(&unescaped(inside)),
                Piece::Scalar { text, .. } => scalar(text, &mut out),
                Piece::Close { .. } | Piece::Comma { .. } | Piece::Colon { .. } => {}
            }
        }
    }
}

/// A piece of JSON, and where the text goes on after it.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Array {
        end: usize,
    },
    Map {
        end: usize,
    },
    Close {
        end: usize,
    },
    Comma {
        end: usize,
    },
    Colon {
        end: usize,
    },
    /// What is between the quotes, escaped.
    Text {
        inside: &'a str,
        end: usize,
    },
    /// A number, `true`, `false` or `null`.
    Scalar {
        text: &'a str,
        end: usize,
    },
}

impl<'a> Piece<'a> {
    fn next(text: &'a str, position: usize) -> Option<Self> {
        let bytes = text.as_bytes();
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let start = position
            + bytes
                .get(position..)?
                .iter()
                .take_while(|b| blank(b))
                .count();
        let end = start + 1;
        Some(match bytes.get(start)? {
            b'[' => Self::Array { end },
            b'{' => Self::Map { end },
            b']' | b'}' => Self::Close { end },
            b',' => Self::Comma { end },
            b':' => Self::Colon { end },
            b'"' => {
                let mut quote = end;
                while let Some(byte) = bytes.get(quote) {
                    match byte {
                        b'"' => break,
                        b'\\' => quote += 2,
                        _ => quote += 1,
                    }
                }
                Self::Text {
                    inside: text.get(end..quote)?,
                    end: quote + 1,
                }
            }
            _ => {
                let inside =
                    |byte: &&u8| !matches!(byte, b',' | b':' | b']' | b'}') && !blank(byte);
                let end = start + bytes[start..].iter().take_while(inside).count().max(1);
                let text = text.get(start..end)?;
                Self::Scalar { text, end }
            }
        })
    }

    const fn end(self) -> usize {
        match self {
            Self::Array { end }
            | Self::Map { end }
            | Self::Close { end }
            | Self::Comma { end }
            | Self::Colon { end }
            | Self::Text { end, .. }
            | Self::Scalar { end, .. } => end,
        }
    }
}

/// Counts what arrays and maps hold, and finds placeholders.
struct Count {
    len: usize,
    containers: Vec<Container>,
    open: Vec<Open>,
    /// Which attachments have no placeholder so far.
    unplaced: Vec<bool>,
}

/// An array or a map that has begun.
struct Open {
    container: usize,
    is_map: bool,
    /// In a map, whether what comes next is a key.
    at_key: bool,
    /// The last key.
    key: Key,
    is_placeholder: bool,
    number: Option<usize>,
}

/// The keys that matter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Placeholder,
    Number,
    Other,
}

impl Count {
    fn new(attachments: usize) -> Self {
        Self {
            len: 0,
            containers: Vec::new(),
            open: Vec::new(),
            unplaced: vec![true; attachments],
        }
    }

    fn run(mut self, text: &str) -> (usize, Vec<Container>) {
        let mut position = 0;
        while let Some(piece) = Piece::next(text, position) {
            position = piece.end();
            match piece {
                Piece::Array { end } => self.begin(false, end),
                Piece::Map { end } => self.begin(true, end),
                Piece::Close { end } => self.close(end),
                Piece::Comma { .. } => {
                    if let Some(open) = self.open.last_mut() {
                        open.at_key = open.is_map;
                    }
                }
                Piece::Colon { .. } => {
                    if let Some(open) = self.open.last_mut() {
                        open.at_key = false;
                    }
                }
                Piece::Text { inside, .. } => self.text(inside),
                Piece::Scalar { text, .. } => self.scalar(text),
            }
        }
        (self.len, self.containers)
    }

    fn begin(&mut self, is_map: bool, end: usize) {
        self.value();
        let container = self.containers.len();
        self.containers.push(Container {
            len: 0,
            attachment: None,
            end,
            next: container + 1,
        });
        self.open.push(Open {
            container,
            is_map,
            at_key: is_map,
            key: Key::Other,
            is_placeholder: false,
            number: None,
        });
    }

    fn close(&mut self, end: usize) {
        let Some(open) = self.open.pop() else {
            return;
        };
        let next = self.containers.len();
        let container = &mut self.containers[open.container];
        container.end = end;
        container.next = next;
        if let Some(number) = open.number.filter(|_| open.is_placeholder)
            && let Some(unplaced) = self.unplaced.get_mut(number)
            && std::mem::replace(unplaced, false)
        {
            container.attachment = Some(number);
        }
    }

    /// Counts a value of what is open: in a map, its key.
    fn value(&mut self) {
        match self.open.last() {
            None => self.len += 1,
            Some(open) if open.is_map && !open.at_key => {}
            Some(open) => self.containers[open.container].len += 1,
        }
    }

    fn text(&mut self, inside: &str) {
        self.value();
        if let Some(open) = self.open.last_mut()
            && open.at_key
        {
            open.key = match &*unescaped(inside) {
                "_placeholder" => Key::Placeholder,
                "num" => Key::Number,
                _ => Key::Other,
            };
        }
    }

    fn scalar(&mut self, text: &str) {
        self.value();
        let Some(open) = self.open.last_mut() else {
            return;
        };
        match open.key {
            Key::Placeholder => open.is_placeholder |= text == "true",
            Key::Number => open.number = text.parse().ok(),
            Key::Other => {}
        }
    }
}

/// A number, `true`, `false` or `null`.
fn scalar(text: &str, out: &mut Writer<'_>) {
    match text {
        "null" => out.nil(),
        "true" => out.bool(true),
        "false" => out.bool(false),
        _ => {
            if let Ok(number) = text.parse() {
                return out.unsigned(number);
            }
            if let Ok(number) = text.parse() {
                return out.signed(number);
            }
            // Infinity for what is too large, as by JavaScript.
            let number: f64 = text.parse().unwrap_or(f64::NAN);
            let whole = number as i64;
            if number.abs() < MAX_SAFE_INTEGER && whole as f64 == number {
                out.signed(whole);
            } else {
                out.float(number);
            }
        }
    }
}

/// What a JSON string stands for. Half of a surrogate pair, which UTF-8 cannot
/// carry, is replaced.
fn unescaped(inside: &str) -> Cow<'_, str> {
    let Some(first) = inside.find('\\') else {
        return Cow::Borrowed(inside);
    };
    let mut text = String::with_capacity(inside.len());
    text.push_str(&inside[..first]);
    let mut rest = &inside[first..];
    while let Some(escaped) = rest.strip_prefix('\\') {
        let mut chars = escaped.chars();
        match chars.next() {
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('u') => text.push(code_point(&mut chars)),
            Some(char) => text.push(char),
            None => {}
        }
        rest = chars.as_str();
        let plain = rest.find('\\').unwrap_or(rest.len());
        text.push_str(&rest[..plain]);
        rest = &rest[plain..];
    }
    Cow::Owned(text)
}

/// The character of a `\u` escape, or of two of them.
fn code_point(chars: &mut std::str::Chars<'_>) -> char {
    let unit = |chars: &mut std::str::Chars<'_>| {
        let digits = chars.as_str().get(..4)?;
        let unit = u32::from_str_radix(digits, 16).ok()?;
        *chars = chars.as_str()[4..].chars();
        Some(unit)
    };
    let Some(first) = unit(chars) else {
        return char::REPLACEMENT_CHARACTER;
    };
    if (0xd800..0xdc00).contains(&first)
        && let Some(after) = chars.as_str().strip_prefix("\\u")
    {
        let mut after = after.chars();
        if let Some(second) = unit(&mut after).filter(|unit| (0xdc00..0xe000).contains(unit)) {
            *chars = after;
            let pair = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
    }
    char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
}
