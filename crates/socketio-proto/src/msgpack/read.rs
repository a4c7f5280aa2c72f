//! MessagePack to JSON.

use bytes::Bytes;

use super::date::write_date;
use super::token::{Token, Tokens};
use super::{Limits, MsgpackError};
use crate::encode::write_string;

/// Writes values as JSON, one after the other.
pub(super) struct Reader<'a> {
    tokens: Tokens<'a>,
    limits: &'a Limits,
    out: String,
    attachments: Vec<Bytes>,
    /// A map has been read that looks like a placeholder.
    has_fake_placeholder: bool,
}

/// Whether something was written: notepack.io 2 has a value for `undefined`,
/// which objects leave out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    True,
    Value,
    Undefined,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], limits: &'a Limits) -> Self {
        Self::of(Tokens::new(bytes), limits)
    }

    pub(super) const fn of(tokens: Tokens<'a>, limits: &'a Limits) -> Self {
        Self {
            tokens,
            limits,
            out: String::new(),
            attachments: Vec::new(),
            has_fake_placeholder: false,
        }
    }

    /// Reads one value; what is `undefined` is `null`.
    pub(super) fn value(&mut self) -> Result<(), MsgpackError> {
        self.element(0)
    }

    /// Reads so many values, the elements of an array whose head has been read.
    pub(super) fn array(&mut self, len: usize) -> Result<(), MsgpackError> {
        self.elements(len, 0)
    }

    /// Whether there is a map beside binary data that an application would take
    /// for a placeholder. Where there is no binary data, nothing is one.
    pub(super) const fn has_fake_placeholder(&self) -> bool {
        self.has_fake_placeholder && !self.attachments.is_empty()
    }

    /// What was read, when that is all there is.
    pub(super) fn finish(self) -> Result<(String, Vec<Bytes>), MsgpackError> {
        if !self.tokens.is_empty() {
            return Err(MsgpackError::Malformed);
        }
        Ok((self.out, self.attachments))
    }

    fn element(&mut self, depth: usize) -> Result<(), MsgpackError> {
        if self.written(depth)? == Written::Undefined {
            self.out.push_str("null");
        }
        Ok(())
    }

    fn written(&mut self, depth: usize) -> Result<Written, MsgpackError> {
        match self.tokens.next()? {
            Token::Nil => self.out.push_str("null"),
            Token::Undefined => return Ok(Written::Undefined),
            Token::Bool(true) => {
                self.out.push_str("true");
                return Ok(Written::True);
            }
            Token::Bool(false) => self.out.push_str("false"),
            Token::Unsigned(number) => self.integer(number),
            Token::Signed(number) => self.integer(number),
            Token::Float(number) => self.float(number),
            // Half of a surrogate pair is replaced, as by Node.
            Token::Text(text) => write_string(&mut self.out, &String::from_utf8_lossy(text)),
            Token::Binary(data) => self.binary(data)?,
            Token::Date(millis) => write_date(millis, &mut self.out),
            Token::Array(len) => self.elements(len, depth)?,
            Token::Map(len) => self.map(len, depth)?,
        }
        Ok(Written::Value)
    }

    fn elements(&mut self, len: usize, depth: usize) -> Result<(), MsgpackError> {
        let depth = self.deeper(depth)?;
        self.out.push('[');
        for index in 0..len {
            if index > 0 {
                self.out.push(',');
            }
            self.element(depth)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<(), MsgpackError> {
        let depth = self.deeper(depth)?;
        self.out.push('{');
        let mut is_empty = true;
        for _ in 0..len {
            let before = self.out.len();
            if !is_empty {
                self.out.push(',');
            }
            let is_mark = self.key()?;
            self.out.push(':');
            let written = self.written(depth)?;
            self.has_fake_placeholder |= is_mark && written == Written::True;
            match written {
                Written::True | Written::Value => is_empty = false,
                Written::Undefined => self.out.truncate(before),
            }
        }
        self.out.push('}');
        Ok(())
    }

    /// A text, or a whole number, which is a text to JavaScript. Returns whether
    /// it is what marks a placeholder.
    fn key(&mut self) -> Result<bool, MsgpackError> {
        match self.tokens.next()? {
            Token::Text(text) => {
                write_string(&mut self.out, &String::from_utf8_lossy(text));
                return Ok(text == b"_placeholder");
            }
            Token::Unsigned(number) => self.quoted(number),
            Token::Signed(number) => self.quoted(number),
            Token::Nil
            | Token::Undefined
            | Token::Bool(_)
            | Token::Float(_)
            | Token::Binary(_)
            | Token::Date(_)
            | Token::Array(_)
            | Token::Map(_) => return Err(MsgpackError::Malformed),
        }
        Ok(false)
    }

    fn binary(&mut self, data: &[u8]) -> Result<(), MsgpackError> {
        let limit = self.limits.max_attachments;
        if self.attachments.len() >= limit {
            return Err(MsgpackError::TooManyAttachments { limit });
        }
        self.out.push_str("{\"_placeholder\":true,\"num\":");
        self.integer(self.attachments.len());
        self.out.push('}');
        self.attachments.push(Bytes::copy_from_slice(data));
        Ok(())
    }

    /// What JavaScript would not tell from a whole number is one.
    fn float(&mut self, number: f64) {
        let whole = number as i64;
        if number.abs() < MAX_SAFE_INTEGER && whole as f64 == number {
            self.integer(whole);
        } else if number.is_finite() {
            let text = serde_json::to_string(&number).expect("invariant: a number is JSON");
            self.out.push_str(&text);
        } else {
            self.out.push_str("null");
        }
    }

    fn quoted(&mut self, number: impl itoa::Integer) {
        self.out.push('"');
        self.integer(number);
        self.out.push('"');
    }

    fn integer(&mut self, number: impl itoa::Integer) {
        self.out.push_str(itoa::Buffer::new().format(number));
    }

    fn deeper(&self, depth: usize) -> Result<usize, MsgpackError> {
        let limit = self.limits.max_depth;
        if depth < limit {
            Ok(depth + 1)
        } else {
            Err(MsgpackError::TooDeep { limit })
        }
    }
}

/// 2^53 − 1.
pub(super) const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;
