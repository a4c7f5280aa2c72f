//! MessagePack, one head at a time.

use super::MsgpackError;

/// What one head says. Elements of arrays, and keys and values of maps, are the
/// tokens that follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    /// An extension of notepack.io 2.
    Undefined,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// UTF-8, or half of a surrogate pair.
    Text(&'a [u8]),
    Binary(&'a [u8]),
    /// Milliseconds since 1970.
    Date(i64),
    /// So many elements are announced.
    Array(usize),
    /// So many keys and values are announced.
    Map(usize),
}

impl Token<'_> {
    /// Whether it can be a key: a text, or a whole number, which is a text to
    /// JavaScript.
    pub(super) const fn is_key(self) -> bool {
        matches!(self, Self::Text(_) | Self::Unsigned(_) | Self::Signed(_))
    }
}

/// Bytes that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, MsgpackError> {
        Ok(match self.byte()? {
            number @ 0x00..=0x7f => Token::Unsigned(number.into()),
            head @ 0x80..=0x8f => Token::Map(usize::from(head & 0x0f)),
            head @ 0x90..=0x9f => Token::Array(usize::from(head & 0x0f)),
            head @ 0xa0..=0xbf => Token::Text(self.take(usize::from(head & 0x1f))?),
            0xc0 => Token::Nil,
            // Never used.
            0xc1 => return Err(MsgpackError::Malformed),
            head @ (0xc2 | 0xc3) => Token::Bool(head == 0xc3),
            0xc4 => Token::Binary(self.prefixed::<1>()?),
            0xc5 => Token::Binary(self.prefixed::<2>()?),
            0xc6 => Token::Binary(self.prefixed::<4>()?),
            0xc7 => self.length::<1>().and_then(|len| self.extension(len))?,
            0xc8 => self.length::<2>().and_then(|len| self.extension(len))?,
            0xc9 => self.length::<4>().and_then(|len| self.extension(len))?,
            0xca => Token::Float(f32::from_be_bytes(self.array_of()?).into()),
            0xcb => Token::Float(f64::from_be_bytes(self.array_of()?)),
            0xcc => self.unsigned::<1>()?,
            0xcd => self.unsigned::<2>()?,
            0xce => self.unsigned::<4>()?,
            0xcf => self.unsigned::<8>()?,
            0xd0 => self.signed::<1>()?,
            0xd1 => self.signed::<2>()?,
            0xd2 => self.signed::<4>()?,
            0xd3 => self.signed::<8>()?,
            head @ 0xd4..=0xd8 => self.fixed_extension(1 << (head - 0xd4))?,
            0xd9 => Token::Text(self.prefixed::<1>()?),
            0xda => Token::Text(self.prefixed::<2>()?),
            0xdb => Token::Text(self.prefixed::<4>()?),
            0xdc => Token::Array(self.length::<2>()?),
            0xdd => Token::Array(self.length::<4>()?),
            0xde => Token::Map(self.length::<2>()?),
            0xdf => Token::Map(self.length::<4>()?),
            number @ 0xe0..=0xff => Token::Signed(number.cast_signed().into()),
        })
    }

    /// The bytes of the next value. However deep it is, this takes no stack.
    pub(super) fn next_value(&mut self) -> Result<Self, MsgpackError> {
        let bytes = self.rest;
        let mut due = 1_u64;
        while due > 0 {
            due -= 1;
            match self.next()? {
                // They end with the bytes, so this is not the length that is announced.
                Token::Array(len) => due = due.saturating_add(len as u64),
                Token::Map(len) => due = due.saturating_add(2 * len as u64),
                Token::Nil
                | Token::Undefined
                | Token::Bool(_)
                | Token::Unsigned(_)
                | Token::Signed(_)
                | Token::Float(_)
                | Token::Text(_)
                | Token::Binary(_)
                | Token::Date(_) => {}
            }
        }
        Ok(Self::new(&bytes[..bytes.len() - self.rest.len()]))
    }

    /// Binary data of notepack.io 2, or a date that is out of the usual range.
    fn extension(&mut self, len: usize) -> Result<Token<'a>, MsgpackError> {
        match (self.byte()?, len) {
            (BINARY, _) => Ok(Token::Binary(self.take(len)?)),
            (TIMESTAMP, 12) => {
                let nanos = u32::from_be_bytes(self.array_of()?);
                let seconds = i64::from_be_bytes(self.array_of()?);
                Ok(date(seconds, nanos))
            }
            _ => Err(MsgpackError::Malformed),
        }
    }

    fn fixed_extension(&mut self, len: usize) -> Result<Token<'a>, MsgpackError> {
        match (self.byte()?, len) {
            (UNDEFINED, 1) => {
                self.byte()?;
                Ok(Token::Undefined)
            }
            (TIMESTAMP, 4) => {
                let seconds = u32::from_be_bytes(self.array_of()?);
                Ok(date(seconds.into(), 0))
            }
            (TIMESTAMP, 8) => {
                let number = u64::from_be_bytes(self.array_of()?);
                let seconds = number & ((1 << 34) - 1);
                let nanos = u32::try_from(number >> 34).unwrap_or(0);
                Ok(date(seconds.cast_signed(), nanos))
            }
            // notepack.io 2.
            (DATE, 8) => Ok(Token::Date(i64::from_be_bytes(self.array_of()?))),
            _ => Err(MsgpackError::Malformed),
        }
    }

    fn unsigned<const N: usize>(&mut self) -> Result<Token<'a>, MsgpackError> {
        let mut bytes = [0; 8];
        bytes[8 - N..].copy_from_slice(self.take(N)?);
        Ok(Token::Unsigned(u64::from_be_bytes(bytes)))
    }

    fn signed<const N: usize>(&mut self) -> Result<Token<'a>, MsgpackError> {
        let taken = self.take(N)?;
        let sign = if taken[0] < 0x80 { 0 } else { 0xff };
        let mut bytes = [sign; 8];
        bytes[8 - N..].copy_from_slice(taken);
        Ok(Token::Signed(i64::from_be_bytes(bytes)))
    }

    /// Bytes after their length.
    fn prefixed<const N: usize>(&mut self) -> Result<&'a [u8], MsgpackError> {
        let len = self.length::<N>()?;
        self.take(len)
    }

    fn length<const N: usize>(&mut self) -> Result<usize, MsgpackError> {
        let mut bytes = [0; 4];
        bytes[4 - N..].copy_from_slice(self.take(N)?);
        usize::try_from(u32::from_be_bytes(bytes)).map_err(|_| MsgpackError::Malformed)
    }

    fn byte(&mut self) -> Result<u8, MsgpackError> {
        let [byte] = self.array_of()?;
        Ok(byte)
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], MsgpackError> {
        let (first, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(MsgpackError::Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], MsgpackError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(MsgpackError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn date<'a>(seconds: i64, nanos: u32) -> Token<'a> {
    let millis = seconds.saturating_mul(1000);
    Token::Date(millis.saturating_add(i64::from(nanos / 1_000_000)))
}

/// Types of extensions: those of notepack.io 2 are all 0, and told apart by their
/// lengths.
const TIMESTAMP: u8 = 0xff;
const BINARY: u8 = 0;
const UNDEFINED: u8 = 0;
const DATE: u8 = 0;
