//! Runs the program in an empty environment and a directory of its own.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// One run, being prepared.
pub(crate) struct Program {
    command: Command,
    directory: Directory,
    stdin: Vec<u8>,
}

impl Program {
    pub(crate) fn new(args: &[&str]) -> Self {
        let directory = Directory::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_help-desk-ws"));
        command
            .args(args)
            .env_clear()
            .current_dir(&directory.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            command,
            directory,
            stdin: Vec::new(),
        }
    }

    /// The same, from a shell that lowers the soft limit of open files.
    pub(crate) fn with_few_open_files(mut self, limit: u32) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", &format!("ulimit -Sn {limit}; exec \"$0\" \"$@\"")])
            .arg(self.command.get_program())
            .args(self.command.get_args())
            .env_clear()
            .current_dir(&self.directory.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.command = shell;
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Every setting that production insists on.
    pub(crate) fn production(self) -> Self {
        self.env("NODE_ENV", "production")
            .env("JWT_SECRET", GOOD_SECRET)
            .env("EMIT_TOKEN", GOOD_TOKEN)
            .env("CORS_ORIGIN", "https://help.example.com")
    }

    /// The same settings, to be checked only.
    pub(crate) fn check(mut self) -> Self {
        self.command.arg("--check");
        self
    }

    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.directory.0.join(name), content).unwrap();
        self
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory.0
    }

    pub(crate) fn stdin(mut self, text: &str) -> Self {
        self.stdin = text.into();
        self
    }

    pub(crate) fn start(&mut self) -> Child {
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&self.stdin).unwrap();
        child
    }

    pub(crate) fn run(mut self) -> Run {
        let child = self.start();
        Run::from(child.wait_with_output().unwrap())
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    #[track_caller]
    pub(crate) fn check_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn check_stderr(&self, expected: &str) -> &Self {
        assert!(
            self.stderr.contains(expected),
            "no {expected:?} in {self:?}"
        );
        self
    }

    /// The names of all settings, as `serve --check` lists them.
    pub(crate) fn settings(&self) -> Vec<&str> {
        self.check_code(0);
        let lines = self.stdout.lines();
        lines
            .filter_map(|line| line.split_whitespace().next())
            .collect()
    }

    /// Value and source of a setting, as `serve --check` lists them.
    #[track_caller]
    pub(crate) fn setting(&self, name: &str) -> (String, String) {
        self.check_code(0);
        let line = self
            .stdout
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name))
            .unwrap_or_else(|| panic!("no {name} in {self:?}"));
        let (value, source) = line[name.len()..].trim().rsplit_once("  ").unwrap();
        (value.trim().to_owned(), source.to_owned())
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// `serve --check` with these variables.
pub(crate) fn check_settings(variables: &[(&str, &str)]) -> Run {
    variables
        .iter()
        .fold(
            Program::new(&["serve", "--check"]),
            |program, (name, value)| program.env(name, value),
        )
        .run()
}

pub(crate) const GOOD_SECRET: &str = "zCq5uWk1-a-secret-of-enough-bytes";
pub(crate) const GOOD_TOKEN: &str = "9f8e7d6c5b4a39281706f5e4d3c2b1a0";

/// A directory that ends with its run.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}
