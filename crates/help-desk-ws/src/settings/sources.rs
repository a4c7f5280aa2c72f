//! Where settings come from: flags, the environment, `.env`, defaults, in this order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command};

use super::dotenv;
use super::problem::Problem;
use super::variables::{self, Variable};

/// The settings that were typed as flags, not yet looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags(BTreeMap<&'static str, String>);

impl Flags {
    /// Takes the value of a flag that a command has under a name of its own.
    #[must_use]
    pub(crate) fn with(mut self, variable: &'static Variable, value: Option<String>) -> Self {
        if let Some(value) = value {
            self.0.insert(variable.name, value);
        }
        self
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        variables::ALL.iter().fold(command, |command, variable| {
            let default = variable.default.unwrap_or(variable.default_in_words);
            let help = format!(
                "{} [default: {default}, env: {}]",
                variable.help, variable.name
            );
            command.arg(
                Arg::new(variable.name)
                    .long(variable.flag)
                    .value_name(variable.value_name)
                    .help_heading(variable.heading)
                    .hide(variable.is_secret)
                    .help(help),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for variable in variables::ALL {
            let Some(value) = matches.get_one::<String>(variable.name) else {
                continue;
            };
            if variable.is_secret {
                let message = format!(
                    "--{} is refused, because command lines are visible to others; set {} in the \
                     environment or in .env\n",
                    variable.flag, variable.name
                );
                return Err(clap::Error::raw(ErrorKind::UnknownArgument, message));
            }
            self.0.insert(variable.name, value.clone());
        }
        Ok(())
    }
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Flag,
    Environment,
    DotEnv,
    Default,
    /// Made up by this process.
    Generated,
}

impl Source {
    /// Whether somebody chose the value.
    pub(super) const fn is_explicit(self) -> bool {
        matches!(self, Self::Flag | Self::Environment | Self::DotEnv)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::DotEnv => ".env",
            Self::Default => "default",
            Self::Generated => "generated",
        })
    }
}

/// What every source says, as it stood when the program started.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    flags: Flags,
    environment: HashMap<&'static str, OsString>,
    /// Names in the environment that are no setting's.
    unknown: Vec<String>,
    dotenv: HashMap<String, String>,
    /// What is wrong with `.env` as a file.
    pub(super) problems: Vec<Problem>,
}

impl Sources {
    /// Reads the environment, and `.env` in the working directory if there is one.
    pub(crate) fn read(flags: Flags) -> Self {
        let environment = variables::ALL
            .iter()
            .filter_map(|variable| Some((variable.name, std::env::var_os(variable.name)?)))
            .collect();
        let unknown = std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .filter(|name| !is_setting(name))
            .collect();
        let mut sources = Self {
            flags,
            environment,
            unknown,
            ..Self::default()
        };
        sources.read_dotenv(Path::new(".env"));
        sources
    }

    fn read_dotenv(&mut self, path: &Path) {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let (entries, bad_lines) = dotenv::parse(&text);
                self.dotenv = entries
                    .into_iter()
                    .map(|entry| (entry.name, entry.value))
                    .collect();
                self.problems
                    .extend(bad_lines.into_iter().map(|bad| Problem::DotEnvLine {
                        line: bad.line,
                        what: bad.error.to_string(),
                    }));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.problems.push(Problem::DotEnvFile {
                what: if error.kind() == io::ErrorKind::InvalidData {
                    "is not UTF-8".to_owned()
                } else {
                    format!("cannot be read: {error}")
                },
            }),
        }
    }

    /// Names in the environment and in `.env` that are no setting's, in alphabetical order.
    pub(super) fn unknown_names(&self) -> BTreeSet<(&str, Source)> {
        let environment = self
            .unknown
            .iter()
            .map(|name| (&**name, Source::Environment));
        let dotenv = self.dotenv.keys().filter(|name| !is_setting(name));
        environment
            .chain(dotenv.map(|name| (&**name, Source::DotEnv)))
            .collect()
    }

    /// The bytes of a variable and where they come from. An empty value counts as none, so that
    /// `docker run -e NAME=` takes a setting back.
    pub(super) fn bytes(&self, variable: &Variable) -> Option<(&[u8], Source)> {
        let flag = self.flags.0.get(variable.name).map(String::as_bytes);
        let environment = self
            .environment
            .get(variable.name)
            .map(|value| value.as_encoded_bytes());
        let dotenv = self.dotenv.get(variable.name).map(String::as_bytes);
        [
            (flag, Source::Flag),
            (environment, Source::Environment),
            (dotenv, Source::DotEnv),
        ]
        .into_iter()
        .find_map(|(value, source)| {
            let value = value?;
            let is_blank = if variable.is_secret {
                value.is_empty()
            } else {
                value.trim_ascii().is_empty()
            };
            (!is_blank).then_some((value, source))
        })
    }
}

fn is_setting(name: &str) -> bool {
    variables::ALL.iter().any(|variable| variable.name == name)
}
