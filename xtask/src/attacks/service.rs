//! The release build under attack: how it is started, and what it writes.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use hd_auth::{Algorithm, JwtPayload, Secret, Signer, UserId};

use super::{field::Environment, measure};
use crate::server::{Output, Server};

/// A running service.
#[derive(Debug)]
pub(crate) struct Service {
    server: Server,
    log: PathBuf,
    read: u64,
    lines: u64,
}

/// Lines and bytes that it has written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
}

/// Tokens of users, signed with the service's secret.
#[derive(Debug)]
pub(crate) struct Tokens {
    signer: Signer,
    issued_at: u64,
}

const JWT_SECRET: &str = "attack-rig-secret-of-at-least-32-bytes";
pub(crate) const EMIT_TOKEN: &str = "attack-rig-emit-token-of-at-least-32-bytes";
/// That of another caller.
pub(crate) const OTHER_EMIT_TOKEN: &str = "attack-rig-other-emit-token-of-at-least-32-bytes";
pub(crate) const METRICS_TOKEN: &str = "attack-rig-metrics-token-of-at-least-32-bytes";
pub(crate) const ADMIN_TOKEN: &str = "attack-rig-admin-token-of-at-least-32-bytes";
const TOKEN_LIFE: Duration = Duration::from_secs(3600);
/// The service has the first core and the rig the second.
const CORES: &str = "0";
/// Open files: those of the rig and of the service stay below 15,000 together.
const OPEN_FILES: u32 = 20_000;

impl Service {
    /// Starts `executable` on a free port of the loopback interface, in `folder`.
    pub(crate) fn start(
        executable: &Path,
        environment: &Environment,
        settings: &[(&str, &str)],
        folder: &Path,
    ) -> Result<Self> {
        let open_files = environment.open_files.unwrap_or(OPEN_FILES);
        let mut command = Command::new("taskset");
        command
            .args(["--cpu-list", CORES, "prlimit"])
            .arg(format!("--nofile={open_files}:{open_files}"))
            .arg(executable);
        let mut all = vec![
            ("HOST", "127.0.0.1"),
            ("JWT_SECRET", JWT_SECRET),
            ("CORS_ORIGIN", super::wire::ORIGIN),
        ];
        let image = image_environment()?;
        all.extend(image.iter().map(|(name, value)| (&name[..], &value[..])));
        if !environment.is_bare {
            all.extend([
                ("EMIT_TOKEN", EMIT_TOKEN),
                ("METRICS_TOKEN", METRICS_TOKEN),
                ("ADMIN_TOKEN", ADMIN_TOKEN),
            ]);
        }
        all.extend_from_slice(settings);
        let output = if environment.is_log_unread {
            Output::Unread
        } else {
            Output::Logged
        };
        let server = Server::start_with_output("service", command, &all, folder, output)?;
        Ok(Self {
            server,
            log: folder.join("service.log"),
            read: 0,
            lines: 0,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }

    pub(crate) fn rss(&self) -> Result<u64> {
        measure::rss(self.pid())
    }

    pub(crate) fn check_alive(&mut self) -> Result<()> {
        self.server.check_alive()
    }

    /// What it has written so far.
    pub(crate) fn written(&mut self) -> Result<Written> {
        let mut file = File::open(&self.log).context("the service's log")?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(self.read))?;
        let mut scratch = vec![0; 1 << 16];
        loop {
            let count = file.read(&mut scratch)?;
            if count == 0 {
                break;
            }
            self.read += count as u64;
            let lines = scratch[..count].iter().filter(|byte| **byte == b'\n');
            self.lines += lines.count() as u64;
        }
        Ok(Written {
            lines: self.lines,
            bytes: self.read,
        })
    }

    /// Shortens its log to what is worth keeping: a flood of lines fills a disk.
    pub(crate) fn shorten_log(&self) -> Result<()> {
        if fs::metadata(&self.log)?.len() > MAX_LOG_BYTES {
            File::options()
                .write(true)
                .open(&self.log)?
                .set_len(MAX_LOG_BYTES)?;
        }
        Ok(())
    }
}

/// What the image sets by itself.
fn image_environment() -> Result<Vec<(String, String)>> {
    let dockerfile = fs::read_to_string("Dockerfile").context("Dockerfile")?;
    Ok(dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("ENV "))
        .flat_map(str::split_whitespace)
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

const MAX_LOG_BYTES: u64 = 1 << 20;

impl Tokens {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let secret = Secret::new(JWT_SECRET.as_bytes()).context("the rig's secret")?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(Arc::new(Self {
            signer: Signer::new(&secret, Algorithm::HS256),
            issued_at: now.as_secs(),
        }))
    }

    /// A token of the size that help-desk-back signs.
    pub(crate) fn of(&self, user: u64) -> Result<String> {
        let mut payload = JwtPayload::new(UserId::new(user)?);
        payload.usu_correo = Some(format!("user.{user}@helpdesk.example"));
        Ok(self.signer.sign(&payload, self.issued_at, TOKEN_LIFE)?)
    }
}
