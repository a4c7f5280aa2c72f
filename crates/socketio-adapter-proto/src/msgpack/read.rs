//! MessagePack to JSON.

use std::borrow::Cow;

use bytes::Bytes;

use super::date::write_date;
use crate::{Limits, ParseError};

/// One value as JSON, and the binary data that its placeholders stand for.
///
/// It allocates by what it has read, never by what is announced: at most some
/// six times the bytes, since a control character is `\u0001` in JSON.
pub(crate) fn to_json(bytes: &[u8], limits: &Limits) -> Result<(String, Vec<Bytes>), ParseError> {
    let mut reader = Reader {
        rest: bytes,
        limits,
        out: String::with_capacity(bytes.len() * 3 / 2),
        attachments: Vec::new(),
    };
    reader.value(0)?;
    if !reader.rest.is_empty() {
        return Err(ParseError::Malformed);
    }
    Ok((reader.out, reader.attachments))
}

struct Reader<'a> {
    rest: &'a [u8],
    limits: &'a Limits,
    out: String,
    attachments: Vec<Bytes>,
}

/// Whether something was written: notepack 2 has a value for `undefined`, which
/// objects leave out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Value,
    Undefined,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Written, ParseError> {
        match self.byte()? {
            number @ 0x00..=0x7f => self.write(u64::from(number)),
            head @ 0x80..=0x8f => self.map(usize::from(head & 0x0f), depth)?,
            head @ 0x90..=0x9f => self.array(usize::from(head & 0x0f), depth)?,
            head @ 0xa0..=0xbf => self.text(usize::from(head & 0x1f))?,
            0xc0 => self.write(()),
            // Never used.
            0xc1 => return Err(ParseError::Malformed),
            head @ (0xc2 | 0xc3) => self.write(head == 0xc3),
            0xc4 => self.length::<1>().and_then(|len| self.binary(len))?,
            0xc5 => self.length::<2>().and_then(|len| self.binary(len))?,
            0xc6 => self.length::<4>().and_then(|len| self.binary(len))?,
            0xc7 => self.length::<1>().and_then(|len| self.extension(len))?,
            0xc8 => self.length::<2>().and_then(|len| self.extension(len))?,
            0xc9 => self.length::<4>().and_then(|len| self.extension(len))?,
            0xca => {
                let number = f32::from_be_bytes(self.array_of()?);
                self.float(number.into());
            }
            0xcb => {
                let number = f64::from_be_bytes(self.array_of()?);
                self.float(number);
            }
            0xcc => self.unsigned::<1>()?,
            0xcd => self.unsigned::<2>()?,
            0xce => self.unsigned::<4>()?,
            0xcf => self.unsigned::<8>()?,
            0xd0 => self.signed::<1>()?,
            0xd1 => self.signed::<2>()?,
            0xd2 => self.signed::<4>()?,
            0xd3 => self.signed::<8>()?,
            head @ 0xd4..=0xd8 => return self.fixed_extension(1 << (head - 0xd4)),
            0xd9 => self.length::<1>().and_then(|len| self.text(len))?,
            0xda => self.length::<2>().and_then(|len| self.text(len))?,
            0xdb => self.length::<4>().and_then(|len| self.text(len))?,
            0xdc => self.length::<2>().and_then(|len| self.array(len, depth))?,
            0xdd => self.length::<4>().and_then(|len| self.array(len, depth))?,
            0xde => self.length::<2>().and_then(|len| self.map(len, depth))?,
            0xdf => self.length::<4>().and_then(|len| self.map(len, depth))?,
            number @ 0xe0..=0xff => self.write(i64::from(number.cast_signed())),
        }
        Ok(Written::Value)
    }

    fn array(&mut self, len: usize, depth: usize) -> Result<(), ParseError> {
        let depth = self.deeper(depth)?;
        self.out.push('[');
        for index in 0..len {
            if index > 0 {
                self.out.push(',');
            }
            if self.value(depth)? == Written::Undefined {
                self.out.push_str("null");
            }
        }
        self.out.push(']');
        Ok(())
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<(), ParseError> {
        let depth = self.deeper(depth)?;
        self.out.push('{');
        let mut is_empty = true;
        for _ in 0..len {
            let before = self.out.len();
            if !is_empty {
                self.out.push(',');
            }
            self.key()?;
            self.out.push(':');
            match self.value(depth)? {
                Written::Value => is_empty = false,
                Written::Undefined => self.out.truncate(before),
            }
        }
        self.out.push('}');
        Ok(())
    }

    /// A text, or a whole number, which is a text to JavaScript.
    fn key(&mut self) -> Result<(), ParseError> {
        match self.rest.first() {
            Some(0xa0..=0xbf | 0xd9..=0xdb) => self.value(0).map(drop),
            Some(0x00..=0x7f | 0xcc..=0xcf | 0xd0..=0xd3 | 0xe0..=0xff) => {
                self.out.push('"');
                self.value(0)?;
                self.out.push('"');
                Ok(())
            }
            _ => Err(ParseError::Malformed),
        }
    }

    /// What is not UTF-8 is half of a surrogate pair: Node replaces it likewise.
    fn text(&mut self, len: usize) -> Result<(), ParseError> {
        let text: Cow<'_, str> = String::from_utf8_lossy(self.take(len)?);
        self.write(text);
        Ok(())
    }

    fn binary(&mut self, len: usize) -> Result<(), ParseError> {
        let data = self.take(len)?;
        let limit = self.limits.max_attachments;
        if self.attachments.len() >= limit {
            return Err(ParseError::TooManyAttachments { limit });
        }
        self.out.push_str("{\"_placeholder\":true,\"num\":");
        self.write(self.attachments.len());
        self.out.push('}');
        self.attachments.push(Bytes::copy_from_slice(data));
        Ok(())
    }

    /// Binary data of notepack 2, or a date that is out of the usual range.
    fn extension(&mut self, len: usize) -> Result<(), ParseError> {
        match (self.byte()?, len) {
            (BINARY, _) => self.binary(len),
            (TIMESTAMP, 12) => {
                let nanos = u32::from_be_bytes(self.array_of()?);
                let seconds = i64::from_be_bytes(self.array_of()?);
                self.date(seconds, nanos);
                Ok(())
            }
            _ => Err(ParseError::Malformed),
        }
    }

    fn fixed_extension(&mut self, len: usize) -> Result<Written, ParseError> {
        match (self.byte()?, len) {
            (UNDEFINED, 1) => {
                self.byte()?;
                return Ok(Written::Undefined);
            }
            (TIMESTAMP, 4) => {
                let seconds = u32::from_be_bytes(self.array_of()?);
                self.date(seconds.into(), 0);
            }
            (TIMESTAMP, 8) => {
                let number = u64::from_be_bytes(self.array_of()?);
                let seconds = number & ((1 << 34) - 1);
                let nanos = u32::try_from(number >> 34).unwrap_or(0);
                self.date(seconds.cast_signed(), nanos);
            }
            // notepack 2.
            (DATE, 8) => {
                let millis = i64::from_be_bytes(self.array_of()?);
                write_date(millis, &mut self.out);
            }
            _ => return Err(ParseError::Malformed),
        }
        Ok(Written::Value)
    }

    fn date(&mut self, seconds: i64, nanos: u32) {
        let millis = seconds
            .saturating_mul(1000)
            .saturating_add(i64::from(nanos / 1_000_000));
        write_date(millis, &mut self.out);
    }

    /// What JavaScript would not tell from a whole number is one.
    fn float(&mut self, number: f64) {
        let whole = number as i64;
        if number.abs() < MAX_SAFE_INTEGER && whole as f64 == number {
            self.write(whole);
        } else {
            // `null` for what is not finite.
            self.write(number);
        }
    }

    fn unsigned<const N: usize>(&mut self) -> Result<(), ParseError> {
        let mut bytes = [0; 8];
        bytes[8 - N..].copy_from_slice(self.take(N)?);
        self.write(u64::from_be_bytes(bytes));
        Ok(())
    }

    fn signed<const N: usize>(&mut self) -> Result<(), ParseError> {
        let taken = self.take(N)?;
        let sign = if taken[0] < 0x80 { 0 } else { 0xff };
        let mut bytes = [sign; 8];
        bytes[8 - N..].copy_from_slice(taken);
        self.write(i64::from_be_bytes(bytes));
        Ok(())
    }

    fn length<const N: usize>(&mut self) -> Result<usize, ParseError> {
        let mut bytes = [0; 4];
        bytes[4 - N..].copy_from_slice(self.take(N)?);
        usize::try_from(u32::from_be_bytes(bytes)).map_err(|_| ParseError::Malformed)
    }

    fn deeper(&self, depth: usize) -> Result<usize, ParseError> {
        let limit = self.limits.max_depth;
        if depth < limit {
            Ok(depth + 1)
        } else {
            Err(ParseError::TooDeep { limit })
        }
    }

    fn byte(&mut self) -> Result<u8, ParseError> {
        let [byte] = self.array_of()?;
        Ok(byte)
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(ParseError::Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], ParseError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(ParseError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn write(&mut self, value: impl serde::Serialize) {
        let text = serde_json::to_string(&value).expect("invariant: scalars are JSON");
        self.out.push_str(&text);
    }
}

/// Types of extensions: those of notepack 2 are all 0, and told apart by their
/// lengths.
const TIMESTAMP: u8 = 0xff;
const BINARY: u8 = 0;
const UNDEFINED: u8 = 0;
const DATE: u8 = 0;
/// 2^53 − 1.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;
