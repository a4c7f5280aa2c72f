//! What is wrong with settings, for the person who has to put it right.

use std::fmt;

use super::sources::Source;
use super::variables::Variable;

/// One reason not to start.
#[derive(Debug)]
pub(crate) enum Problem {
    /// `.env` cannot be read.
    DotEnvFile { what: String },
    /// A line of `.env` is none. Nothing of it is shown: it may be a secret.
    DotEnvLine { line: usize, what: String },
    /// A setting is missing, or its value cannot be used.
    Setting {
        name: &'static str,
        /// `None` for a secret, or when nothing is set.
        value: Option<String>,
        source: Option<Source>,
        what: String,
        fix: String,
    },
}

impl Problem {
    /// A problem with the value that `source` gave; `None` when there is none.
    pub(super) fn new(
        variable: &'static Variable,
        given: Option<(&[u8], Source)>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::Setting {
            name: variable.name,
            value: given
                .filter(|_| !variable.is_secret)
                .map(|(value, _)| shown(&String::from_utf8_lossy(value))),
            source: given.map(|(_, source)| source),
            what: what.into(),
            fix: fix.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DotEnvFile { what } => write!(f, ".env {what}"),
            Self::DotEnvLine { line, what } => write!(f, ".env, line {line}: {what}"),
            Self::Setting {
                name,
                value,
                source,
                what,
                fix,
            } => {
                f.write_str(name)?;
                if let Some(value) = value {
                    write!(f, "={value}")?;
                }
                match source {
                    Some(source) => write!(f, " ({source})")?,
                    None => f.write_str(" (not set)")?,
                }
                write!(f, " {what}\n    fix: {fix}")
            }
        }
    }
}

/// Every reason not to start, at once.
#[derive(Debug)]
pub(crate) struct Problems(pub(super) Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("a setting cannot be used:")?,
            count => write!(f, "{count} settings cannot be used:")?,
        }
        for problem in &self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A value as one line of moderate length.
pub(super) fn shown(value: &str) -> String {
    const MOST_CHARS: usize = 120;
    let mut shown: String = value
        .chars()
        .take(MOST_CHARS)
        .flat_map(|c| {
            let (escaped, plain) = if c.is_control() {
                (Some(c.escape_default()), None)
            } else {
                (None, Some(c))
            };
            escaped.into_iter().flatten().chain(plain)
        })
        .collect();
    if value.chars().nth(MOST_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
