//! Names that were probably meant to be a setting's.

use super::variables::{self, Variable};

/// The setting that a name was probably meant to be, if it is none itself.
///
/// An environment is full of names that are not ours, so a name has to be close: it begins with
/// the same letter, and differs by as many slips as its length lets pass, or is a setting's name
/// with something behind it.
pub(super) fn meant_by(name: &str) -> Option<&'static Variable> {
    let is_ours = |ours: &&Variable| ours.name == name;
    if name.len() > MAX_NAME_BYTES || variables::ALL.iter().any(is_ours) {
        return None;
    }
    let name = name.to_ascii_uppercase();
    variables::ALL
        .iter()
        .filter_map(|ours| Some((slips_between(&name, ours.name)?, *ours)))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, ours)| ours)
}

/// How far a name is from a setting's, if it is close to it.
fn slips_between(name: &str, ours: &str) -> Option<usize> {
    if name.bytes().next() != ours.bytes().next() {
        return None;
    }
    let slips = distance(name.as_bytes(), ours.as_bytes());
    let is_longer = ours.len() >= MIN_LONG_NAME
        && name
            .strip_prefix(ours)
            .is_some_and(|rest| rest.starts_with('_'));
    let max_slips = match ours.len() {
        // PORT and HOST are next to too many words: only another case is a slip.
        0..=5 => 0,
        6..MIN_LONG_NAME => 1,
        MIN_LONG_NAME..=13 => 2,
        _ => 3,
    };
    (slips <= max_slips || is_longer).then_some(slips)
}

/// Letters left out, put in, replaced, or swapped with their neighbour (optimal string alignment).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            next[j] = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                next[j] = next[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

/// From this length on a name is so much ours that more may be behind it.
const MIN_LONG_NAME: usize = 10;
/// Longer ones are never close.
const MAX_NAME_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        for (name, ours) in [
            ("JWT_SECERT", "JWT_SECRET"),
            ("JWT_SECRET_KEY", "JWT_SECRET"),
            ("JWTSECRET", "JWT_SECRET"),
            ("jwt_secret", "JWT_SECRET"),
            ("CORS_ORIGINS", "CORS_ORIGIN"),
            ("CORS_ORIGN", "CORS_ORIGIN"),
            ("EMIT_TOKENS", "EMIT_TOKEN"),
            ("REDIS_URI", "REDIS_URL"),
            ("NODE_ENVS", "NODE_ENV"),
            ("port", "PORT"),
            ("EMIT_TOKEN_PREVIUS", "EMIT_TOKEN_PREVIOUS"),
            ("MAX_CONECTIONS", "MAX_CONNECTIONS"),
        ] {
            let meant = meant_by(name).map(|variable| variable.name);
            assert_eq!(meant, Some(ours), "{name}");
        }
    }

    #[test]
    fn settings_and_the_names_of_a_container_are_none() {
        for variable in variables::ALL {
            assert!(meant_by(variable.name).is_none(), "{}", variable.name);
        }
        for name in "PATH HOME HOSTNAME PWD OLDPWD SHLVL TERM LANG LC_ALL USER LOGNAME SHELL TZ _ \
                     POD_NAME POD_IP NODE_IP NODE_HOME NODE_PATH NODE_VERSION NODE_OPTIONS \
                     YARN_VERSION npm_config_cache KUBERNETES_PORT KUBERNETES_SERVICE_HOST \
                     KUBERNETES_SERVICE_PORT REDIS_HOST REDIS_PORT REDIS_PASSWORD REDIS_DB DB_HOST \
                     DB_PORT POSTGRES_PASSWORD AWS_REGION AWS_DEFAULT_REGION AWS_EXECUTION_ENV \
                     AWS_CONTAINER_CREDENTIALS_RELATIVE_URI ECS_CONTAINER_METADATA_URI_V4 \
                     ECS_AGENT_URI SSL_CERT_FILE SSL_CERT_DIR RUST_LOG RUST_BACKTRACE http_proxy \
                     no_proxy HTTP_PROXY PUBLISHED_PORT GIT_TOKEN GITHUB_TOKEN CI DEBUG POST \
                     SORT COST HOSTS JWT_PUBLIC_KEY JWT_ALGORITHM LOG_FILE LOG_DIR MAIL_HOST \
                     HELP_DESK_WS_TOKEN container DEBIAN_FRONTEND LD_LIBRARY_PATH"
            .split_whitespace()
        {
            let meant = meant_by(name).map(|variable| variable.name);
            assert_eq!(meant, None, "{name}");
        }
    }
}
