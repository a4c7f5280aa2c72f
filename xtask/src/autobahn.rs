//! `cargo xtask autobahn`: the Autobahn test suite against a WebSocket echo.
//!
//! The echo is the example `websocket_echo` of hd-ws-server: the frame reader, queue and writer of every WebSocket
//! of the service. The suite is a Python 2 program; its virtual environment is made in `target/autobahn`. What each
//! case is to give is committed beside the list of its packages, and a case that gives anything else fails the run.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{
    executables::Executables,
    metadata,
    process::{run as run_command, succeeds},
    server::Server,
};

/// What to do with the results.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Replace the expected results by what this run gives.
    #[arg(long)]
    bless: bool,
}

/// The suite's verdict on one case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Verdict {
    behavior: String,
    #[serde(rename = "behaviorClose")]
    behavior_close: String,
}

const FOLDER: &str = "crates/hd-ws-server/tests/autobahn";
/// How the suite calls the server in its reports.
const AGENT: &str = "help-desk-ws";
/// The last version that makes environments for Python 2.7.
const VIRTUALENV: &str = "virtualenv==20.15.1";
const CASES: usize = 517;

/// Runs every case, and fails when one gives another result than is expected.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Some(python) = python_2() else {
        bail!("the Autobahn test suite needs CPython 2.7: set PYTHON2 to its path");
    };
    let executables =
        Executables::build(&["--package", "hd-ws-server", "--example", "websocket_echo"])?;
    let folder = metadata::target_directory()?.join("autobahn");
    let wstest = install(&python, &folder)?;
    let mut server = Server::start(
        "websocket_echo",
        executables.path("websocket_echo")?,
        &[],
        &folder,
    )?;
    let reports = folder.join("reports");
    let spec = folder.join("fuzzingclient.json");
    let url = server.url().replacen("http", "ws", 1);
    let text = serde_json::json!({
        "outdir": reports,
        "servers": [{"agent": AGENT, "url": url}],
        "cases": ["*"],
        "exclude-cases": [],
        "exclude-agent-cases": {},
    });
    fs::write(&spec, text.to_string())?;
    let log = fs::File::create(folder.join("wstest.log"))?;
    run_command(
        Command::new(wstest)
            .args(["--mode", "fuzzingclient", "--spec"])
            .arg(&spec)
            .stdout(log.try_clone()?)
            .stderr(log),
    )?;
    server.check_alive()?;
    judge(&reports, args.bless)
}

/// As [`run`], in CI: says so where there is no Python 2.7.
pub(crate) fn run_if_possible() -> Result<()> {
    if python_2().is_some() {
        return run(&Args::default());
    }
    println!("NOT RUN, since there is no CPython 2.7: the Autobahn test suite");
    Ok(())
}

/// `PYTHON2`, `python2.7`, or one that pyenv has.
fn python_2() -> Option<PathBuf> {
    let pyenv = env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pyenv")));
    let versions = pyenv
        .and_then(|root| fs::read_dir(root.join("versions")).ok())
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin/python2.7")));
    env::var_os("PYTHON2")
        .map(PathBuf::from)
        .into_iter()
        .chain(["python2.7".into()])
        .chain(versions)
        .find(|python| succeeds(Command::new(python).args(["-c", "import ssl"])))
}

/// Makes the suite's environment, unless it is there. Returns its program.
fn install(python: &Path, folder: &Path) -> Result<PathBuf> {
    let requirements = fs::read(Path::new(FOLDER).join("requirements.txt"))?;
    let environment = folder.join("python2");
    let installed = environment.join("installed.txt");
    let wstest = environment.join("bin/wstest");
    if fs::read(&installed).is_ok_and(|installed| installed == requirements) && wstest.exists() {
        return Ok(wstest);
    }
    let maker = folder.join("python3");
    let python_3 = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    run_command(Command::new(python_3).args(["-m", "venv"]).arg(&maker))?;
    run_command(Command::new(maker.join("bin/pip")).args(["install", "--quiet", VIRTUALENV]))?;
    run_command(
        Command::new(maker.join("bin/virtualenv"))
            .args(["--quiet", "--python"])
            .arg(python)
            .arg(&environment),
    )?;
    run_command(
        Command::new(environment.join("bin/pip"))
            .args(["install", "--quiet", "--requirement"])
            .arg(Path::new(FOLDER).join("requirements.txt")),
    )?;
    fs::write(installed, requirements)?;
    Ok(wstest)
}

/// Compares the results with those that are expected.
fn judge(reports: &Path, bless: bool) -> Result<()> {
    let index = fs::read_to_string(reports.join("index.json")).context("the suite's results")?;
    let mut index: BTreeMap<String, BTreeMap<String, Verdict>> = serde_json::from_str(&index)?;
    let results = index.remove(AGENT).context("results of the server")?;
    if results.len() != CASES {
        bail!("the suite ran {} of {CASES} cases", results.len());
    }
    let got: BTreeMap<String, String> = results
        .iter()
        .map(|(case, verdict)| (case.clone(), verdict.short()))
        .collect();
    let path = Path::new(FOLDER).join("expected-results.json");
    if bless {
        fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&got)?))?;
        println!("wrote {}", path.display());
    }
    let expected: BTreeMap<String, String> = serde_json::from_str(&fs::read_to_string(&path)?)?;
    let mut unexpected = 0;
    for (case, result) in &got {
        if expected.get(case) != Some(result) {
            unexpected += 1;
            let expected = expected.get(case).map_or("nothing", String::as_str);
            println!("case {case}: {result}, where {expected} is expected");
        }
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for result in got.values() {
        *counts.entry(result).or_default() += 1;
    }
    for (result, count) in counts {
        println!("{count:>4} {result}");
    }
    if unexpected > 0 {
        bail!("{unexpected} of {CASES} cases gave another result than is expected");
    }
    println!("all {CASES} cases gave the expected result");
    Ok(())
}

impl Verdict {
    /// `OK`, or both verdicts where they differ.
    fn short(&self) -> String {
        if self.behavior == self.behavior_close {
            self.behavior.clone()
        } else {
            format!("{}, closing {}", self.behavior, self.behavior_close)
        }
    }
}
