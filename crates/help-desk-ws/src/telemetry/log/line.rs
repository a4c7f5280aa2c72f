//! The shape of a log line.
//!
//! Text, for people: `<time> <LEVEL> [<context>] <message> <field>=<value> …`. JSON: one flat
//! object. The context is an event's `context` field, or the module that it comes from.
//! A field named `told.<name>` is part of the message already: text leaves it out, and JSON has
//! it as `<name>`.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::sampler::{Summary, Title};
use crate::settings::LogFormat;

/// One line, before it has a shape.
#[derive(Debug)]
pub(super) struct LogLine {
    level: Level,
    context: String,
    fields: Fields,
}

impl LogLine {
    pub(super) fn of_event(event: &Event<'_>) -> Self {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let context = fields.context.take();
        Self {
            level: *metadata.level(),
            context: context.unwrap_or_else(|| metadata.target().to_owned()),
            fields,
        }
    }

    /// The line that stands for suppressed ones.
    pub(super) fn of_summary(summary: Summary) -> Self {
        let Summary {
            title,
            reason,
            lines,
            elapsed,
        } = summary;
        let elapsed = humantime::format_duration(whole_millis(elapsed)).to_string();
        let reason = reason.map(|reason| (reason.field(), reason.as_str().into()));
        Self {
            level: title.level,
            context: title.context,
            fields: Fields {
                context: None,
                message: format!("{}: {lines} more lines were suppressed", title.event),
                others: reason
                    .into_iter()
                    .chain([
                        ("told.suppressed", lines.into()),
                        ("elapsed", elapsed.into()),
                    ])
                    .collect(),
            },
        }
    }

    /// The line that stands for dropped ones.
    pub(super) fn of_dropped(lines: u64) -> Self {
        Self {
            level: Level::WARN,
            context: "Log".to_owned(),
            fields: Fields {
                context: None,
                message: format!("{lines} log lines were dropped: stdout was not read in time"),
                others: vec![("told.dropped", lines.into())],
            },
        }
    }

    /// What it has in common with others of its kind. A message says first what happened, and
    /// after a colon the cause, which may be what a stranger sent.
    pub(super) fn into_title(self) -> Title {
        let message = self.fields.message;
        let event = message.split(": ").next().unwrap_or_default();
        Title {
            level: self.level,
            context: self.context,
            event: event.chars().take(MAX_EVENT_CHARS).collect(),
        }
    }

    /// With the present time, and a line feed at its end.
    pub(super) fn render(self, format: LogFormat) -> String {
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let (level, context) = (self.level, &self.context);
        let mut line = match format {
            LogFormat::Text => self
                .fields
                .text(format_args!("{time} {level:<5} [{context}]")),
            LogFormat::Json => self.fields.json(time, level, context),
        };
        line.push('\n');
        line
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

    fn json(self, time: impl fmt::Display, level: Level, context: &str) -> String {
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

/// Without what is finer than a millisecond.
fn whole_millis(time: Duration) -> Duration {
    Duration::from_millis(time.as_millis().try_into().unwrap_or(u64::MAX))
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '='))
}

const TOLD: &str = "told.";
/// Our own have at most half as many.
const MAX_EVENT_CHARS: usize = 160;
