use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Once};

use redis::{AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo as _, RedisError};
use tokio::task::JoinSet;

use crate::ClusterConfig;
use crate::address::Address;
use crate::sentinels::{Sentinels, Tenure};
use crate::slots::{Slots, slot_of};

/// Where a Redis is. It may hold a password, and does not show.
///
/// | form | |
/// |---|---|
/// | `redis://[user[:password]@]host[:port][/db]` | a server |
/// | `rediss://…` | the same, by TLS; its certificate is judged by the system's authorities, or those in the file that `SSL_CERT_FILE` names |
/// | `redis+unix:///path` | a server at a socket |
/// | `redis+sentinel://[user[:password]@]host:port[,host:port…]/master[/db]` | the master that Sentinels name, as long as they do; user and password are the master's |
/// | `rediss+sentinel://…` | the same, by TLS to both |
/// | `redis+cluster://[user[:password]@]host:port[,host:port…]` | a Redis Cluster, by some of its nodes: the master of the one slot that all our keys are in |
/// | `rediss+cluster://…` | the same, by TLS to all nodes |
#[derive(Clone)]
pub struct RedisUrl(Place);

#[derive(Clone)]
enum Place {
    Server(Client),
    Sentinels {
        sentinels: Arc<Sentinels>,
        /// What is before and after the master's address in its URL.
        around: (String, String),
    },
    Cluster(RedisCluster),
}

/// A Redis Cluster, by some of its nodes.
#[derive(Clone)]
pub(crate) struct RedisCluster {
    /// Nodes that are asked, with the names that they are reached by.
    seeds: Vec<(Address, Client)>,
    /// What is before a node's address in its URL.
    before: String,
}

/// A text is no [`RedisUrl`].
#[derive(Debug, thiserror::Error)]
#[error("not a URL such as redis://user:password@host:6379/0")]
pub struct InvalidUrl;

impl RedisUrl {
    /// The server to connect to now, and for how long it is the one.
    pub(crate) async fn master(
        &self,
        config: &ClusterConfig,
        timeouts: &AsyncConnectionConfig,
    ) -> Result<(Client, Tenure), RedisError> {
        match &self.0 {
            Place::Server(client) => Ok((client.clone(), Tenure::Unlimited)),
            Place::Sentinels {
                sentinels,
                around: (before, after),
            } => {
                let (address, tenure) = sentinels.master(config).await?;
                Ok((Client::open(format!("{before}{address}{after}"))?, tenure))
            }
            Place::Cluster(cluster) => {
                let slot = slot_of(&config.log_key());
                let (_, master) = cluster.slots(slot, timeouts).await?;
                Ok((cluster.client(&master)?, Tenure::Unlimited))
            }
        }
    }

    /// Returns when it is not known that another master is about to be named.
    pub(crate) async fn promoted(&self) {
        match &self.0 {
            Place::Sentinels { sentinels, .. } => sentinels.promoted().await,
            Place::Server(_) | Place::Cluster(_) => {}
        }
    }

    /// Where there are several servers.
    pub(crate) fn cluster(&self) -> Option<&RedisCluster> {
        match &self.0 {
            Place::Cluster(cluster) => Some(cluster),
            Place::Server(_) | Place::Sentinels { .. } => None,
        }
    }
}

impl RedisCluster {
    /// Where slots are, and this one of them, of the first node that knows it.
    pub(crate) async fn slots(
        &self,
        slot: u16,
        timeouts: &AsyncConnectionConfig,
    ) -> Result<(Slots, Address), RedisError> {
        let asking = self.seeds.iter().map(|(node, seed)| {
            let (node, seed, timeouts) = (node.clone(), seed.clone(), timeouts.clone());
            async move {
                let connecting = seed.get_multiplexed_async_connection_with_config(&timeouts);
                let mut connection = Box::pin(connecting).await?;
                let slots = Slots::ask(&mut connection, &node).await?;
                let master = slots.master(slot).cloned();
                Ok(master.map(|master| (slots, master)))
            }
        });
        first(asking, "no node of the cluster knows who has the slot").await
    }

    /// To be connected to one of its nodes.
    pub(crate) fn client(&self, node: &Address) -> Result<Client, RedisError> {
        Client::open(format!("{}{node}", self.before))
    }
}

/// The first answer of all who are asked at once: one that is silent takes none
/// of the time that the others have.
async fn first<T: Send + 'static>(
    asking: impl Iterator<Item = impl Future<Output = Result<Option<T>, RedisError>> + Send + 'static>,
    nobody: &'static str,
) -> Result<T, RedisError> {
    let mut asked: JoinSet<_> = asking.collect();
    let mut result = Err(RedisError::from((ErrorKind::Io, nobody)));
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok(Ok(Some(found))) => return Ok(found),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => result = Err(error),
            // The runtime is about to end.
            Err(_) => {}
        }
    }
    result
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
            if let Some(rest) = rest.and_then(|rest| rest.strip_prefix("+cluster://")) {
                return cluster(scheme, rest).map(Self);
            }
        }
        client(url).map(|client| Self(Place::Server(client)))
    }
}

fn sentinels(scheme: &str, rest: &str) -> Result<Place, InvalidUrl> {
    let (authority, path) = rest.split_once('/').ok_or(InvalidUrl)?;
    let (user, hosts) = user_and_hosts(authority);
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
    let sentinels = sentinels.collect::<Result<_, _>>()?;
    Ok(Place::Sentinels {
        sentinels: Arc::new(Sentinels::new(sentinels, master.to_owned())),
        around,
    })
}

fn cluster(scheme: &str, rest: &str) -> Result<Place, InvalidUrl> {
    // A cluster has one database.
    if rest.contains('/') {
        return Err(InvalidUrl);
    }
    let (user, hosts) = user_and_hosts(rest);
    let before = format!("{scheme}://{user}");
    let seed = |address: &str| {
        let seed = client(&format!("{before}{address}"))?;
        let node = Address::of(seed.get_connection_info()).ok_or(InvalidUrl)?;
        Ok((node, seed))
    };
    let seeds = hosts.split(',').map(seed).collect::<Result<_, _>>()?;
    Ok(Place::Cluster(RedisCluster { seeds, before }))
}

/// The user with its `@`, if there is one.
fn user_and_hosts(authority: &str) -> (&str, &str) {
    authority
        .rsplit_once('@')
        .map_or(("", authority), |(user, hosts)| {
            (&authority[..=user.len()], hosts)
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

impl fmt::Debug for RedisCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCluster").finish_non_exhaustive()
    }
}
