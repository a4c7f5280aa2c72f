//! Reads settings one by one, and collects what is wrong with them instead of stopping.

use std::borrow::Cow;
use std::fmt;

use super::problem::{Problem, Problems, shown};
use super::sources::{Source, Sources};
use super::unknown;
use super::values::Refusal;
use super::variables::{self, Variable};

/// Typed values come out; problems, warnings and the list to print at start pile up.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    sources: &'a Sources,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
    insecure: Vec<&'static str>,
    rows: Vec<Row>,
}

/// A setting that works, and that somebody should look at.
#[derive(Debug)]
pub(crate) struct Warning {
    /// The setting's name, or one that is close to a setting's.
    pub(crate) name: Cow<'static, str>,
    /// What is the matter, and what to do about it.
    pub(crate) text: String,
}

/// One effective setting, as it may be shown.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) source: Source,
}

impl<'a> Reader<'a> {
    /// `.env` itself has been read already; what was wrong with it concerns every setting.
    pub(super) fn new(sources: &'a mut Sources) -> Self {
        let problems = std::mem::take(&mut sources.problems);
        Self {
            sources,
            problems,
            warnings: Vec::new(),
            insecure: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Reads a setting that has a default. A value that cannot be used becomes a problem, and the
    /// default stands in for it until [`Self::finish`] reports it.
    pub(super) fn value<T>(
        &mut self,
        variable: &'static Variable,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> T {
        let default = variable
            .default
            .expect("invariant: settings read with `value` have a default");
        self.value_or(variable, default, parse)
    }

    /// [`Self::value`] with a default that is known only now.
    pub(super) fn value_or<T>(
        &mut self,
        variable: &'static Variable,
        default: &str,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> T {
        if let Some(value) = self.given(variable, &parse) {
            return value;
        }
        self.row(variable, default.to_owned(), Source::Default);
        match parse(default) {
            Ok(value) => value,
            Err(refusal) => unreachable!("invariant: defaults are valid: {refusal:?}"),
        }
    }

    /// Reads a setting that may be missing.
    pub(super) fn optional<T>(
        &mut self,
        variable: &'static Variable,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let given = self.given(variable, parse);
        if given.is_none() {
            self.row(variable, "not set".to_owned(), Source::Default);
        }
        given
    }

    /// The value that somebody chose, if it can be used.
    fn given<T>(
        &mut self,
        variable: &'static Variable,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let (bytes, source) = self.sources.bytes(variable)?;
        let parsed = str::from_utf8(bytes)
            .map_err(|_| Refusal::new("is not UTF-8", "use plain text"))
            .and_then(|text| Ok((parse(text.trim())?, shown(text.trim()))));
        match parsed {
            Ok((value, shown)) => {
                self.row(variable, shown, source);
                Some(value)
            }
            Err(refusal) => {
                self.problem(variable, refusal.what, refusal.fix);
                None
            }
        }
    }

    /// The bytes of a secret, untouched.
    pub(super) fn secret(&mut self, variable: &'static Variable) -> Option<&'a [u8]> {
        match self.sources.bytes(variable) {
            Some((bytes, source)) => {
                self.row(variable, format!("set ({} bytes)", bytes.len()), source);
                if bytes.trim_ascii().len() != bytes.len() {
                    self.warn(
                        variable,
                        "begins or ends with white space, which counts as part of it; take it \
                         out if it came from a file's last line",
                    );
                }
                Some(bytes)
            }
            None => {
                self.row(variable, "not set".to_owned(), Source::Default);
                None
            }
        }
    }

    /// Notes that a setting that was not set has been made up.
    pub(super) fn generated(&mut self, variable: &'static Variable, len: usize) {
        self.rows.retain(|row| row.name != variable.name);
        self.row(
            variable,
            format!("set for this run ({len} bytes)"),
            Source::Generated,
        );
    }

    /// Whether somebody chose the setting's value.
    pub(super) fn is_explicit(&self, variable: &'static Variable) -> bool {
        self.sources
            .bytes(variable)
            .is_some_and(|(_, source)| source.is_explicit())
    }

    pub(super) fn problem(
        &mut self,
        variable: &'static Variable,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let given = self.sources.bytes(variable);
        self.problems.push(Problem::new(variable, given, what, fix));
    }

    pub(super) fn warn(&mut self, variable: &'static Variable, text: impl Into<String>) {
        self.warnings.push(Warning {
            name: variable.name.into(),
            text: text.into(),
        });
    }

    /// Warns of a choice that opens a door, and counts it among those that the metrics name.
    pub(super) fn insecure(&mut self, variable: &'static Variable, text: impl Into<String>) {
        if !self.insecure.contains(&variable.name) {
            self.insecure.push(variable.name);
        }
        self.warn(variable, text);
    }

    /// Warns of names that were probably meant to be a setting's.
    pub(super) fn warn_of_unknown_names(&mut self) {
        for (name, source) in self.sources.unknown_names() {
            if let Some(meant) = unknown::meant_by(name) {
                self.warnings.push(Warning {
                    name: shown(name).into(),
                    text: format!("({source}) is not a setting; did you mean {}?", meant.name),
                });
            }
        }
    }

    /// The settings that [`Self::insecure`] was told of.
    pub(super) fn insecure_settings(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.insecure)
    }

    fn row(&mut self, variable: &'static Variable, value: String, source: Source) {
        self.rows.push(Row {
            name: variable.name,
            value,
            source,
        });
    }

    /// Everything that was found, or every problem.
    pub(super) fn finish(mut self) -> Result<(Vec<Warning>, Description), Problems> {
        if self.problems.is_empty() {
            let place = |row: &Row| variables::ALL.iter().position(|v| v.name == row.name);
            self.rows.sort_by_key(place);
            Ok((self.warnings, Description(self.rows)))
        } else {
            Err(Problems(self.problems))
        }
    }
}

/// The effective settings with their sources; secrets by their length only.
#[derive(Debug)]
pub(crate) struct Description(Vec<Row>);

impl Description {
    /// The settings, one by one.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.0
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&Row) -> &str| {
            self.0
                .iter()
                .map(|row| of(row).chars().count())
                .max()
                .unwrap_or_default()
        };
        let (name_width, value_width) = (width(|row| row.name), width(|row| &row.value));
        for row in &self.0 {
            writeln!(
                f,
                "{:name_width$}  {:value_width$}  {}",
                row.name, row.value, row.source
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.text)
    }
}
