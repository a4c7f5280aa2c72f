//! What the smaller commands need. Each reads its own settings only: a container's health check
//! must not depend on the server's secrets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hd_auth::Secret;
use socketio_proto::Parser;

use super::reader::Reader;
use super::secrets::{self, BearerToken};
use super::variables as var;
use super::{Flags, NodeEnv, Problems, Sources, expires_in, listen_address, values};

/// What signing a token needs.
#[derive(Debug)]
pub(crate) struct SigningSettings {
    pub(crate) node_env: NodeEnv,
    pub(crate) secret: Secret,
    /// Life of the token, in whole seconds.
    pub(crate) expires_in: Duration,
}

impl SigningSettings {
    /// Checks what the sources say; `expires_in` is what was typed.
    ///
    /// # Errors
    ///
    /// [`Problems`], a missing secret among them.
    pub(crate) fn load(typed_expires_in: Option<String>) -> Result<Self, Problems> {
        let mut sources =
            Sources::read(Flags::default().with(&var::JWT_EXPIRES_IN, typed_expires_in));
        let mut reader = Reader::new(&mut sources);
        let node_env = reader.value(&var::NODE_ENV, values::word);
        let secret = secrets::given_jwt_secret(&mut reader);
        let expires_in = expires_in(&mut reader);
        reader.finish()?;
        Ok(Self {
            node_env,
            secret: secret.expect("invariant: a missing secret is a problem"),
            expires_in,
        })
    }
}

/// What a client of a server on this machine needs.
#[derive(Debug)]
pub(crate) struct EmitClientSettings {
    pub(crate) port: u16,
    pub(crate) token: Option<BearerToken>,
}

impl EmitClientSettings {
    /// Checks what the sources say.
    ///
    /// # Errors
    ///
    /// [`Problems`] with `PORT` or `EMIT_TOKEN`.
    pub(crate) fn load() -> Result<Self, Problems> {
        let mut sources = Sources::read(Flags::default());
        let mut reader = Reader::new(&mut sources);
        let port = listen_address(&mut reader).port();
        let token = secrets::bearer_token(&mut reader, &var::EMIT_TOKEN);
        reader.finish()?;
        Ok(Self { port, token })
    }
}

/// What a client of Socket.IO needs.
#[derive(Debug)]
pub(crate) struct ListenSettings {
    pub(crate) parser: Parser,
}

impl ListenSettings {
    /// Checks what the sources say; `parser` is what was typed.
    ///
    /// # Errors
    ///
    /// [`Problems`] with `PARSER`.
    pub(crate) fn load(parser: Option<String>) -> Result<Self, Problems> {
        let mut sources = Sources::read(Flags::default().with(&var::PARSER, parser));
        let mut reader = Reader::new(&mut sources);
        let parser = reader.value(&var::PARSER, values::word);
        reader.finish()?;
        Ok(Self { parser })
    }
}

/// Where the server of this machine answers.
#[derive(Debug)]
pub(crate) struct HealthSettings {
    pub(crate) address: SocketAddr,
}

impl HealthSettings {
    /// Checks what the sources say; `host` and `port` are what was typed.
    ///
    /// # Errors
    ///
    /// [`Problems`] with `HOST` or `PORT`.
    pub(crate) fn load(host: Option<String>, port: Option<String>) -> Result<Self, Problems> {
        let flags = Flags::default()
            .with(&var::HOST, host)
            .with(&var::PORT, port);
        let mut sources = Sources::read(flags);
        let mut reader = Reader::new(&mut sources);
        let mut address = listen_address(&mut reader);
        reader.finish()?;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
        }
        Ok(Self { address })
    }
}
