//! `help-desk-ws token`.

use std::io::Read as _;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Args;
use hd_auth::{Algorithm, JwtPayload, Signer, UserId};

use super::Failure;
use crate::settings::{NodeEnv, SigningSettings};

/// The claims that help-desk-back signs, under plainer names.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// User id (claim usu_id).
    #[arg(long, value_name = "ID", value_parser = user_id)]
    user: UserId,
    /// E-mail (usu_correo).
    #[arg(long)]
    email: Option<String>,
    /// Role (rol_id).
    #[arg(long, value_name = "ID")]
    role: Option<i64>,
    /// Regional office (reg_id).
    #[arg(long, value_name = "ID")]
    region: Option<i64>,
    /// Position (car_id).
    #[arg(long, value_name = "ID")]
    position: Option<i64>,
    /// Department (dp_id).
    #[arg(long, value_name = "ID")]
    department: Option<i64>,
    /// National scope (es_nacional).
    #[arg(long)]
    national: bool,
    /// An extra active profile (perfil_ids); may be repeated.
    #[arg(long = "profile", value_name = "ID")]
    profiles: Vec<i64>,
    /// Life of the token, such as 15m or 7d [default: JWT_EXPIRES_IN, which is 24h].
    #[arg(long, value_name = "TIME")]
    expires_in: Option<String>,
    /// Sign even though NODE_ENV is production.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: TokenArgs) -> Result<ExitCode, Failure> {
    let mut payload = JwtPayload::new(args.user);
    payload.usu_correo = args.email;
    payload.rol_id = args.role;
    payload.reg_id = args.region;
    payload.car_id = args.position;
    payload.dp_id = args.department;
    payload.es_nacional = args.national;
    payload.perfil_ids = (!args.profiles.is_empty()).then_some(args.profiles);

    let settings = SigningSettings::load(args.expires_in)?;
    if settings.node_env == NodeEnv::Production && !args.force {
        return Err(Failure::Usage(
            "NODE_ENV is production, where the token would be a real user's; add --force if \
             that is what you want"
                .to_owned(),
        ));
    }
    super::print_line(&mint(&payload, &settings)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Signs a payload now.
pub(super) fn mint(payload: &JwtPayload, settings: &SigningSettings) -> Result<String, Failure> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .context("the clock is before 1970")?;
    Ok(Signer::new(&settings.secret, Algorithm::HS256)
        .sign(payload, now.as_secs(), settings.expires_in)
        .context("the token cannot be signed")?)
}

/// The token in a file, or on stdin, without white space around it.
pub(super) fn from_file(path: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == "-" {
        std::io::stdin()
            .take(MAX_TOKEN_BYTES)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_TOKEN_BYTES).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::Usage(format!("cannot read a token from {path}: {error}")))?;
    match text.trim() {
        "" => Err(Failure::Usage(format!("there is no token in {path}"))),
        token => Ok(token.to_owned()),
    }
}

/// The token in `HELP_DESK_WS_TOKEN`.
pub(super) fn from_environment() -> Result<String, Failure> {
    match std::env::var(TOKEN_VARIABLE) {
        Ok(token) if !token.trim().is_empty() => Ok(token.trim().to_owned()),
        _ => Err(Failure::Usage(format!(
            "no token is given: use --token-file FILE, {TOKEN_VARIABLE} in the environment, \
             --token JWT, or --user ID in development"
        ))),
    }
}

/// A `--user`.
pub(super) fn user_id(text: &str) -> Result<UserId, String> {
    text.parse::<u64>()
        .ok()
        .and_then(|id| UserId::new(id).ok())
        .ok_or_else(|| hd_auth::InvalidUserId.to_string())
}

/// Not a setting of the server: the token of one client.
const TOKEN_VARIABLE: &str = "HELP_DESK_WS_TOKEN";
/// Twice what a server looks at.
const MAX_TOKEN_BYTES: u64 = 16 * 1024;
