use std::fmt;
use std::str::FromStr;
use std::sync::Once;

use redis::{AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo as _, RedisError};

/// Where a Redis is. It may hold a password, and does not show.
///
/// | form | |
/// |---|---|
/// | `redis://[user[:password]@]host[:port][/db]` | a server |
/// | `rediss://…` | the same, by TLS; its certificate is judged by the system's authorities, or those in the file that `SSL_CERT_FILE` names |
/// | `redis+unix:///path` | a server at a socket |
/// | `redis+sentinel://[user[:password]@]host:port[,host:port…]/master[/db]` | the master that Sentinels name; user and password are the master's |
/// | `rediss+sentinel://…` | the same, by TLS to both |
#[derive(Clone)]
pub struct RedisUrl(Place);

#[derive(Clone)]
enum Place {
    Server(Client),
    Sentinels {
        sentinels: Vec<Client>,
        /// The name that they know the master by.
        master: String,
        /// What is before and after the master's address in its URL.
        around: (String, String),
    },
}

/// A text is no [`RedisUrl`].
#[derive(Debug, thiserror::Error)]
#[error("not a URL such as redis://user:password@host:6379/0")]
pub struct InvalidUrl;

impl RedisUrl {
    /// The server to connect to now.
    pub(crate) async fn client(
        &self,
        timeouts: &AsyncConnectionConfig,
    ) -> Result<Client, RedisError> {
        match &self.0 {
            Place::Server(client) => Ok(client.clone()),
            Place::Sentinels {
                sentinels,
                master,
                around,
            } => {
                let what = "no Sentinel knows the master";
                let mut result = Err(RedisError::from((ErrorKind::Io, what)));
                for sentinel in sentinels {
                    match ask(sentinel, master, timeouts).await {
                        Ok(Some((host, port))) => {
                            let (before, after) = around;
                            return Client::open(format!("{before}{host}:{port}{after}"));
                        }
                        Ok(None) => {}
                        Err(error) => result = Err(error),
                    }
                }
                result
            }
        }
    }
}

async fn ask(
    sentinel: &Client,
    master: &str,
    timeouts: &AsyncConnectionConfig,
) -> Result<Option<(String, u16)>, RedisError> {
    let connecting = sentinel.get_multiplexed_async_connection_with_config(timeouts);
    let mut connection = Box::pin(connecting).await?;
    redis::cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(master)
        .query_async(&mut connection)
        .await
}

impl FromStr for RedisUrl {
    type Err = InvalidUrl;

    fn from_str(url: &str) -> Result<Self, InvalidUrl> {
        use_one_cryptography();
        for scheme in ["redis", "rediss"] {
            let rest = url.strip_prefix(scheme);
            if let Some(rest) = rest.and_then(|rest| rest.strip_prefix("+sentinel://")) {
                return sentinels(scheme, rest).map(Self);
            }
        }
        client(url).map(|client| Self(Place::Server(client)))
    }
}

fn sentinels(scheme: &str, rest: &str) -> Result<Place, InvalidUrl> {
    let (authority, path) = rest.split_once('/').ok_or(InvalidUrl)?;
    let (user, hosts) = authority
        .rsplit_once('@')
        .map_or(("", authority), |(user, hosts)| {
            (&authority[..=user.len()], hosts)
        });
    let (master, db) = path.split_once('/').map_or((path, ""), |(master, db)| {
        (master, &path[master.len()..=master.len() + db.len()])
    });
    if master.is_empty() {
        return Err(InvalidUrl);
    }
    let around = (format!("{scheme}://{user}"), db.to_owned());
    // What would be made of an answer is good, or bad, now.
    client(&format!("{}host:1{}", around.0, around.1))?;
    let sentinels = hosts
        .split(',')
        .map(|host| client(&format!("{scheme}://{host}")));
    Ok(Place::Sentinels {
        sentinels: sentinels.collect::<Result<_, _>>()?,
        master: master.to_owned(),
        around,
    })
}

fn client(url: &str) -> Result<Client, InvalidUrl> {
    let info = url.into_connection_info().map_err(|_| InvalidUrl)?;
    Client::open(info).map_err(|_| InvalidUrl)
}

/// rustls is to use the library that verifies tokens too.
fn use_one_cryptography() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Somebody else in this process may have chosen before.
        let _chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisUrl").finish_non_exhaustive()
    }
}
