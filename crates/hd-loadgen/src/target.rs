//! The server under load.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Args;
use hd_auth::{Algorithm, JwtPayload, Secret, Signer, UserId};

/// Where the server is, and how to get in.
#[derive(Args, Clone, Debug)]
pub(crate) struct TargetArgs {
    /// Address of the server; its Engine.IO path is /socket.io/. Of several instances, separated by commas, each gets
    /// its share of clients and of emits
    #[arg(long, default_value = "127.0.0.1:3001", value_delimiter = ',')]
    address: Vec<SocketAddr>,
    /// Namespace that every client joins
    #[arg(long, default_value = "/notifications")]
    namespace: String,
    /// Secret of the clients' tokens
    #[arg(long, env = "JWT_SECRET", hide_env_values = true)]
    jwt_secret: String,
    /// Token of the emit API
    #[arg(long, env = "EMIT_TOKEN", hide_env_values = true)]
    emit_token: String,
    /// User id of the first client; the others count up from it
    #[arg(long, default_value_t = 1)]
    first_user: u64,
    /// First of the addresses that clients come from: 127.N.0.1
    #[arg(long, default_value_t = 1)]
    first_source: u8,
    /// The server's process, to be watched
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
}

/// The server, ready to be connected to.
#[derive(Debug)]
pub(crate) struct Target {
    /// The first instance's.
    pub(crate) address: SocketAddr,
    pub(crate) namespace: String,
    pub(crate) emit_token: String,
    instances: Vec<SocketAddr>,
    first_user: u64,
    first_source: u8,
    signer: Signer,
    issued_at: u64,
}

impl TargetArgs {
    /// # Errors
    ///
    /// A secret that signs nothing.
    pub(crate) fn target(&self) -> anyhow::Result<Target> {
        let secret = Secret::new(self.jwt_secret.as_bytes()).context("--jwt-secret")?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(Target {
            address: *self.address.first().context("--address")?,
            instances: self.address.clone(),
            namespace: self.namespace.clone(),
            emit_token: self.emit_token.clone(),
            first_user: self.first_user,
            first_source: self.first_source,
            signer: Signer::new(&secret, Algorithm::HS256),
            issued_at: now.as_secs(),
        })
    }
}

impl Target {
    /// The instance that a client connects to: they take turns.
    pub(crate) fn instance_of_client(&self, client: usize) -> SocketAddr {
        self.instances[client % self.instances.len()]
    }

    /// The instance that one of `count` emitters connects to. Its neighbours have the same one: emitters and clients are
    /// both used in turn, and in step each emit would reach the instance that has its client.
    pub(crate) fn instance_of_emitter(&self, emitter: usize, count: usize) -> SocketAddr {
        let index = emitter * self.instances.len() / count.max(1);
        self.instances[index.min(self.instances.len() - 1)]
    }

    pub(crate) fn user(&self, client: usize) -> u64 {
        self.first_user + client as u64
    }

    /// # Errors
    ///
    /// A user id that no token can have.
    pub(crate) fn token(&self, client: usize) -> anyhow::Result<String> {
        let mut payload = JwtPayload::new(UserId::new(self.user(client))?);
        // A token of the size that help-desk-back signs.
        payload.usu_correo = Some(format!("user.{}@helpdesk.example", self.user(client)));
        Ok(self.signer.sign(&payload, self.issued_at, TOKEN_LIFE)?)
    }

    /// The local address for a client: a loopback address has too few ports
    /// for all, and there are 16 million of them. `None` when the server is
    /// elsewhere.
    pub(crate) fn source(&self, client: usize) -> Option<IpAddr> {
        let IpAddr::V4(server) = self.address.ip() else {
            return None;
        };
        let block = u16::try_from(client / CLIENTS_PER_SOURCE).ok()?;
        let [high, low] = block.to_be_bytes();
        server
            .is_loopback()
            .then(|| Ipv4Addr::new(127, self.first_source, high, low.wrapping_add(1)).into())
    }
}

/// Longer than any run.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Far under the 28,000 ephemeral ports that Linux hands out: the more of them
/// are taken, the longer the kernel looks for one that is free.
const CLIENTS_PER_SOURCE: usize = 1_000;
