//! Log lines.
//!
//! Text, for people: `<time> <LEVEL> [<context>] <message> <field>=<value> …`. JSON: one flat
//! object. The context is an event's `context` field, or the module that it comes from.
//! A field named `told.<name>` is part of the message already: text leaves it out, and JSON has
//! it as `<name>`.

use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::settings::LogFormat;

/// Writes each event as one line, with one write, under one lock.
///
/// Lines are written by the thread that logs: a reader of stdout that stops reading stops the
/// service. Events on the way of a notification are therefore below the default level.
#[derive(Debug)]
pub(crate) struct LogLayer<W> {
    format: LogFormat,
    output: Mutex<W>,
}

impl<W: Write> LogLayer<W> {
    pub(crate) const fn new(format: LogFormat, output: W) -> Self {
        Self {
            format,
            output: Mutex::new(output),
        }
    }
}

impl<W: Write + 'static, S: Subscriber> Layer<S> for LogLayer<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let context = fields.context.take();
        let context = context.as_deref().unwrap_or_else(|| metadata.target());
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let level = metadata.level();
        let mut line = match self.format {
            LogFormat::Text => fields.text(format_args!("{time} {level:<5} [{context}]")),
            LogFormat::Json => fields.json(time, *level, context),
        };
        line.push('\n');

        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        // There is nowhere to tell that stdout is gone.
        drop(
            output
                .write_all(line.as_bytes())
                .and_then(|()| output.flush()),
        );
    }
}

/// The fields of one event, in their order.
#[derive(Debug, Default)]
struct Fields {
    context: Option<String>,
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn text(&self, start: fmt::Arguments<'_>) -> String {
        let mut line = format!("{start} ");
        push_escaped(&mut line, &self.message);
        for (name, value) in &self.others {
            if name.starts_with(TOLD) {
                continue;
            }
            line.push(' ');
            line.push_str(name);
            line.push('=');
            match value {
                Value::String(text) if is_plain(text) => line.push_str(text),
                Value::String(text) => {
                    line.push('"');
                    for c in text.chars() {
                        line.extend(c.escape_debug());
                    }
                    line.push('"');
                }
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_) => line.push_str(&value.to_string()),
            }
        }
        line
    }

    fn json(self, time: impl fmt::Display, level: tracing::Level, context: &str) -> String {
        let mut line = Map::new();
        for (name, value) in self.others {
            let name = name.strip_prefix(TOLD).unwrap_or(name);
            line.insert(name.to_owned(), value);
        }
        // Last, so that no field takes their place.
        let level = level.as_str().to_ascii_lowercase();
        line.insert("timestamp".to_owned(), time.to_string().into());
        line.insert("level".to_owned(), level.into());
        line.insert("context".to_owned(), context.into());
        line.insert("message".to_owned(), self.message.into());
        Value::Object(line).to_string()
    }

    fn record(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("context", Value::String(context)) => self.context = Some(context),
            ("message", Value::String(message)) => self.message = message,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record(field, value.into());
    }
}

/// A message holds what peers sent, a line feed for instance: it must not look like another line.
fn push_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '='))
}

const TOLD: &str = "told.";
