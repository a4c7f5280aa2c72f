//! The arguments of events and acks: raw JSON, and attachments.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::DecodeError;
use crate::placeholder::check_placeholders;

/// The arguments of a received event or ack, or of an ack to send. They stay the
/// JSON that they came as: most are passed on, and few are looked into.
#[derive(Clone, PartialEq, Eq)]
pub struct Args {
    /// A JSON array.
    json: Box<str>,
    attachments: Vec<Bytes>,
}

impl Args {
    /// These arguments, without attachments, for instance to answer an event.
    #[must_use]
    pub fn new(values: &[&RawValue]) -> Self {
        let mut elements = String::new();
        OutgoingArgs::new(values).write_elements("", &mut elements);
        Self::from_elements(&elements)
    }

    /// These arguments, in which placeholders
    /// (`{"_placeholder":true,"num":0}`) stand for the attachments.
    ///
    /// # Errors
    ///
    /// [`DecodeError::IllegalAttachments`] for a placeholder that is for none of
    /// them: a client that is sent one closes its connection. Where there are no
    /// attachments, nothing is a placeholder.
    pub fn with_attachments(
        values: &[&RawValue],
        attachments: Vec<Bytes>,
    ) -> Result<Self, DecodeError> {
        let mut args = Self::new(values);
        if !attachments.is_empty() {
            check_placeholders(&args.json, attachments.len())?;
        }
        args.attachments = attachments;
        Ok(args)
    }

    /// Arguments from the inside of a JSON array, which is known to be valid.
    pub(crate) fn from_elements(elements: &str) -> Self {
        let mut json = String::with_capacity(elements.len() + 2);
        json.push('[');
        json.push_str(elements);
        json.push(']');
        Self {
            json: json.into(),
            attachments: Vec::new(),
        }
    }

    /// Bytes of memory, about.
    pub(crate) fn memory(&self) -> usize {
        let attachments = self.attachments.iter().map(Bytes::len);
        self.json.len()
            + self.attachments.capacity() * size_of::<Bytes>()
            + attachments.sum::<usize>()
    }

    /// What a parser has read: a JSON array, and what its placeholders stand for.
    pub(crate) fn received(json: String, attachments: Vec<Bytes>) -> Self {
        Self {
            json: json.into(),
            attachments,
        }
    }

    pub(crate) fn push_attachment(&mut self, data: Bytes) {
        self.attachments.push(data);
    }

    /// The arguments as a JSON array. An attachment is its placeholder there,
    /// `{"_placeholder":true,"num":0}`.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The attachments, in the order of their placeholders' numbers.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// The arguments, one by one.
    ///
    /// # Panics
    ///
    /// Never: arguments are checked when they are received.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &RawValue> {
        serde_json::from_str::<Vec<&RawValue>>(&self.json)
            .expect("invariant: the decoder has parsed this array")
            .into_iter()
    }

    /// Deserializes the arguments, for instance into a tuple that has as many
    /// elements as there are arguments.
    ///
    /// # Errors
    ///
    /// What serde says when the arguments are of another type or number.
    pub fn deserialize<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.json)
    }
}

/// Shows sizes only: arguments are notifications, and must be safe to log.
impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args")
            .field("json_bytes", &self.json.len())
            .field("attachments", &self.attachments.len())
            .finish()
    }
}

/// Arguments to send, borrowed: JSON values that are already serialized, or
/// the [`Args`] of a received packet, which go out as they came.
#[derive(Clone, Copy)]
pub struct OutgoingArgs<'a> {
    json: OutgoingJson<'a>,
    last: Option<&'a RawValue>,
    attachments: &'a [Bytes],
}

#[derive(Clone, Copy)]
enum OutgoingJson<'a> {
    Values(&'a [&'a RawValue]),
    /// The inside of an array.
    Elements(&'a str),
}

impl<'a> OutgoingArgs<'a> {
    /// These arguments, without attachments.
    #[must_use]
    pub const fn new(values: &'a [&'a RawValue]) -> Self {
        Self::with_attachments(values, &[])
    }

    /// These arguments, in which placeholders
    /// (`{"_placeholder":true,"num":0}`) stand for the attachments.
    #[must_use]
    pub const fn with_attachments(values: &'a [&'a RawValue], attachments: &'a [Bytes]) -> Self {
        Self {
            json: OutgoingJson::Values(values),
            last: None,
            attachments,
        }
    }

    /// The same, with one argument more: the offset of connection state
    /// recovery comes last.
    #[must_use]
    pub const fn with_last(self, last: &'a RawValue) -> Self {
        Self {
            last: Some(last),
            ..self
        }
    }

    /// Whether the array of an event ends in a string: its last argument, or
    /// its name when there is none. socket.io-client takes that for the offset
    /// of connection state recovery, whatever it is.
    #[must_use]
    pub fn ends_in_string(&self) -> bool {
        let last = match (self.last, self.json) {
            (Some(last), _) => last.get(),
            (None, OutgoingJson::Values(values)) => match values.last() {
                Some(value) => value.get(),
                None => return true,
            },
            (None, OutgoingJson::Elements("")) => return true,
            (None, OutgoingJson::Elements(elements)) => elements,
        };
        last.trim_ascii_end().ends_with('"')
    }

    /// The attachments.
    #[must_use]
    pub const fn attachments(&self) -> &'a [Bytes] {
        self.attachments
    }

    /// Length of what [`write_elements`](Self::write_elements) writes, and of
    /// a comma: the arguments as JSON, without the attachments.
    #[must_use]
    pub fn json_bytes(&self) -> usize {
        let last = self.last.map_or(0, |value| value.get().len() + 1);
        last + match self.json {
            OutgoingJson::Values(values) => values.iter().map(|value| value.get().len() + 1).sum(),
            OutgoingJson::Elements(elements) => elements.len() + 1,
        }
    }

    /// The arguments, separated by commas.
    pub(crate) fn elements(&self) -> Cow<'a, str> {
        match (self.json, self.last) {
            (OutgoingJson::Elements(elements), None) => Cow::Borrowed(elements),
            (OutgoingJson::Values([value]), None) => Cow::Borrowed(value.get()),
            (OutgoingJson::Values(_) | OutgoingJson::Elements(_), _) => {
                let mut elements = String::with_capacity(self.json_bytes());
                self.write_elements("", &mut elements);
                Cow::Owned(elements)
            }
        }
    }

    /// Writes the arguments separated by commas, and `before` in front of them
    /// if there are any.
    pub fn write_elements(&self, before: &str, out: &mut String) {
        let mut separator = before;
        let mut write = |text: &str| {
            out.push_str(separator);
            out.push_str(text);
            separator = ",";
        };
        match self.json {
            OutgoingJson::Values(values) => {
                for value in values {
                    write(value.get());
                }
            }
            OutgoingJson::Elements("") => {}
            OutgoingJson::Elements(elements) => write(elements),
        }
        if let Some(last) = self.last {
            write(last.get());
        }
    }
}

impl<'a> From<&'a [&'a RawValue]> for OutgoingArgs<'a> {
    fn from(values: &'a [&'a RawValue]) -> Self {
        Self::new(values)
    }
}

impl<'a, const N: usize> From<&'a [&'a RawValue; N]> for OutgoingArgs<'a> {
    fn from(values: &'a [&'a RawValue; N]) -> Self {
        Self::new(values)
    }
}

impl<'a> From<&'a Args> for OutgoingArgs<'a> {
    fn from(args: &'a Args) -> Self {
        Self {
            json: OutgoingJson::Elements(&args.json[1..args.json.len() - 1]),
            last: None,
            attachments: &args.attachments,
        }
    }
}

/// Shows sizes only: arguments are notifications, and must be safe to log.
impl std::fmt::Debug for OutgoingArgs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutgoingArgs")
            .field("json_bytes", &self.json_bytes())
            .field("attachments", &self.attachments.len())
            .finish()
    }
}
