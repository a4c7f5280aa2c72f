//! `cargo xtask dev`: rebuild and restart the service on change.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result};

use crate::{executables::Executables, process, steps::seconds};

/// How to run the service.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Passed on to help-desk-ws; `serve` when left out.
    #[arg(last = true)]
    arguments: Vec<String>,
}

const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// What a service may take to say good-bye to its clients before a restart kills it.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Never returns, unless the files cannot be watched.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut service: Option<Child> = None;
    let mut built = None;
    loop {
        let files = settled_files()?;
        if built.as_ref() != Some(&files) {
            // Not `?`: the compiler has said what is wrong, and the next change may mend it.
            match build() {
                Ok(executable) => {
                    stop(service.take())?;
                    service = Some(start(&executable, &args.arguments)?);
                }
                Err(error) => println!("{error:#}; waiting for a change"),
            }
            built = Some(files);
        }
        if let Some(status) = service.as_mut().map(Child::try_wait).transpose()?.flatten() {
            println!("the service ended: {status}; waiting for a change");
            service = None;
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// When each watched file was written, once that no longer changes: an editor or git may be at work.
fn settled_files() -> Result<BTreeMap<PathBuf, SystemTime>> {
    let mut files = watched_files()?;
    loop {
        thread::sleep(POLL_INTERVAL / 5);
        let again = watched_files()?;
        if again == files {
            return Ok(files);
        }
        files = again;
    }
}

fn watched_files() -> Result<BTreeMap<PathBuf, SystemTime>> {
    let mut files = BTreeMap::new();
    collect(Path::new("crates"), &mut files).context("cannot watch crates")?;
    for name in ["Cargo.toml", "Cargo.lock", ".env"] {
        if let Ok(written) = fs::metadata(name).and_then(|metadata| metadata.modified()) {
            files.insert(PathBuf::from(name), written);
        }
    }
    Ok(files)
}

/// Skips what the service is not built from. A file that vanishes meanwhile counts as deleted.
fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, SystemTime>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if !["tests", "node_modules", "target", "fuzz"]
                .iter()
                .any(|name| path.ends_with(name))
            {
                collect(&path, files)?;
            }
        } else if let Ok(written) = entry.metadata().and_then(|metadata| metadata.modified()) {
            files.insert(path, written);
        }
    }
    Ok(())
}

fn build() -> Result<PathBuf> {
    let started = Instant::now();
    let executables = Executables::build(&["--package", "help-desk-ws"])?;
    println!("built in {}", seconds(started.elapsed()));
    Ok(executables.path("help-desk-ws")?.to_owned())
}

fn start(executable: &Path, arguments: &[String]) -> Result<Child> {
    let mut command = Command::new(executable);
    if arguments.is_empty() {
        command.arg("serve");
    }
    command
        .args(arguments)
        .spawn()
        .with_context(|| format!("cannot start {}", executable.display()))
}

/// Asks the service to stop, as a container runtime does, and kills it when that takes too long.
fn stop(service: Option<Child>) -> Result<()> {
    let Some(mut service) = service else {
        return Ok(());
    };
    process::succeeds(Command::new("kill").arg(service.id().to_string()));
    let deadline = Instant::now() + STOP_TIMEOUT;
    while service.try_wait()?.is_none() {
        if Instant::now() > deadline {
            println!(
                "the service still runs {} s after SIGTERM: killed",
                STOP_TIMEOUT.as_secs()
            );
            service.kill()?;
            service.wait()?;
            break;
        }
        thread::sleep(POLL_INTERVAL / 10);
    }
    Ok(())
}
