//! `help-desk-ws token`.

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

/// A `--user`.
pub(super) fn user_id(text: &str) -> Result<UserId, String> {
    text.parse::<u64>()
        .ok()
        .and_then(|id| UserId::new(id).ok())
        .ok_or_else(|| hd_auth::InvalidUserId.to_string())
}
