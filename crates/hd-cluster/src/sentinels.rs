use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, PushInfo, RedisError, Value};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::ClusterConfig;
use crate::address::Address;
use crate::configuration::{Configuration, Configurations, Verdict};
use crate::connection::{backoff, open_for_pushes, timeouts};
use crate::error::is_of_connection;

/// The Sentinels of a URL. From the first connection on, each of them is
/// listened to, so that a master that runs on is left when they name another.
#[derive(Debug)]
pub(crate) struct Sentinels {
    clients: Vec<Client>,
    /// The name that they know the master by.
    master: String,
    watched: OnceLock<Watched>,
}

/// Ends with the last clone of the URL.
#[derive(Debug)]
struct Watched {
    said: watch::Receiver<Configurations>,
    _tasks: JoinSet<()>,
}

/// The time for which a server is the one to speak to. A clone is of the same
/// server.
#[derive(Clone, Debug)]
pub(crate) enum Tenure {
    /// Nobody names another one.
    Unlimited,
    /// As long as Sentinels name it.
    Named {
        address: Address,
        said: watch::Receiver<Configurations>,
    },
}

/// Who asks one of the Sentinels, again and again.
struct Watcher {
    number: usize,
    sentinel: Client,
    master: String,
    timeouts: AsyncConnectionConfig,
    max_backoff: Duration,
    interval: Duration,
    said: Arc<watch::Sender<Configurations>>,
}

impl Sentinels {
    pub(crate) fn new(clients: Vec<Client>, master: String) -> Self {
        Self {
            clients,
            master,
            watched: OnceLock::new(),
        }
    }

    /// The master, as soon as one of them names it.
    pub(crate) async fn master(
        &self,
        config: &ClusterConfig,
    ) -> Result<(Address, Tenure), RedisError> {
        let watched = self.watched.get_or_init(|| self.watch(config));
        let mut said = watched.said.clone();
        let naming = said.wait_for(|said| said.verdict() != Verdict::Asking);
        let what = "no Sentinel names the master";
        let nobody = |why: &str| RedisError::from((ErrorKind::Io, what, why.to_owned()));
        let address = match tokio::time::timeout(config.command_timeout, naming).await {
            Ok(Ok(said)) => match said.verdict() {
                Verdict::Master(address) => address.clone(),
                Verdict::Nobody(why) => return Err(nobody(why)),
                Verdict::Asking => unreachable!("invariant: that was waited for"),
            },
            Ok(Err(_)) => return Err(nobody("the runtime has ended")),
            Err(_) => return Err(nobody("they do not answer")),
        };
        let tenure = Tenure::Named {
            address: address.clone(),
            said,
        };
        Ok((address, tenure))
    }

    /// Returns when no replica is on its way to be the master, or when that
    /// takes too long.
    pub(crate) async fn promoted(&self) {
        let Some(watched) = self.watched.get() else {
            return;
        };
        let mut said = watched.said.clone();
        loop {
            let Some(ends) = said.borrow_and_update().promotion_ends_at(Instant::now()) else {
                return;
            };
            // Either way it is looked again; no task, no promotion.
            if let Ok(Err(_)) = tokio::time::timeout_at(ends.into(), said.changed()).await {
                return;
            }
        }
    }

    fn watch(&self, config: &ClusterConfig) -> Watched {
        let said = Configurations::new(self.clients.len(), config.promotion_wait);
        let (said, receiver) = watch::channel(said);
        let said = Arc::new(said);
        let watchers = self.clients.iter().enumerate().map(|(number, sentinel)| {
            let watcher = Watcher {
                number,
                sentinel: sentinel.clone(),
                master: self.master.clone(),
                timeouts: timeouts(config, config.command_timeout),
                max_backoff: config.max_backoff,
                interval: config.sentinel_interval,
                said: Arc::clone(&said),
            };
            watcher.watch()
        });
        Watched {
            said: receiver,
            _tasks: watchers.collect(),
        }
    }
}

impl Tenure {
    /// Whether the server is to be left.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Unlimited => false,
            Self::Named { address, said } => !said.borrow().is_master(address),
        }
    }

    /// Returns when the server is to be left.
    ///
    /// # Cancel safety
    ///
    /// Safe to cancel.
    pub(crate) async fn ended(&mut self) {
        if let Self::Named { address, said } = self
            && said.wait_for(|said| !said.is_master(address)).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }

    /// Refuses a server that does not take itself for the master that it was
    /// named as.
    pub(crate) async fn verify(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), RedisError> {
        if matches!(self, Self::Unlimited) {
            return Ok(());
        }
        // ROLE needs a right of its own, and this one none.
        let hello: HashMap<String, Value> = redis::cmd("HELLO").query_async(connection).await?;
        match hello.get("role") {
            Some(Value::BulkString(role)) if role == b"master" => Ok(()),
            Some(_) | None => {
                let what = "the server that Sentinel names is no master yet";
                Err(RedisError::from((ErrorKind::Io, what)))
            }
        }
    }
}

impl Watcher {
    async fn watch(self) {
        let mut attempt = 0;
        loop {
            let Err(error) = self.watch_on_a_connection(&mut attempt).await;
            if attempt == 0 && !is_of_connection(&error) {
                // Its rights, or what it watches: that does not mend itself.
                tracing::warn!(%error, "a Sentinel refuses to be asked; trying again");
            } else {
                tracing::debug!(%error, "a Sentinel cannot be asked; trying again");
            }
            let now = Instant::now();
            self.tell(|said| said.handle_gone(self.number, error.to_string(), now));
            tokio::time::sleep(backoff(attempt, self.max_backoff)).await;
            attempt = attempt.saturating_add(1);
        }
    }

    async fn watch_on_a_connection(&self, attempt: &mut u32) -> Result<Infallible, RedisError> {
        let events = Arc::new(Notify::new());
        let heard = Arc::clone(&events);
        let push = move |_: PushInfo| -> Result<(), Infallible> {
            heard.notify_one();
            Ok(())
        };
        let mut connection = open_for_pushes(&self.sentinel, &self.timeouts, push).await?;
        let mut subscribing = redis::pipe();
        for event in EVENTS {
            subscribing.cmd("SUBSCRIBE").arg(event);
        }
        subscribing.exec_async(&mut connection).await?;
        loop {
            let configuration = self.ask(&mut connection).await?;
            *attempt = 0;
            let now = Instant::now();
            self.tell(|said| said.handle_answer(self.number, configuration, now));
            // An event is a reason to ask, whatever is in it: the answer has the
            // epoch too.
            let _either = tokio::time::timeout(self.interval, events.notified()).await;
        }
    }

    async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Configuration, RedisError> {
        let mut questions = redis::pipe();
        for question in ["MASTER", "REPLICAS", "GET-MASTER-ADDR-BY-NAME"] {
            let question = questions.cmd("SENTINEL").arg(question);
            question.arg(&self.master);
        }
        let (master, replicas, address): (_, Vec<_>, _) = questions.query_async(connection).await?;
        Configuration::parse(&master, &replicas, address).map_err(|error| {
            let what = "the answer is no configuration";
            RedisError::from((ErrorKind::UnexpectedReturnType, what, error.to_string()))
        })
    }

    fn tell(&self, what: impl FnOnce(&mut Configurations)) {
        let mut named = None;
        self.said.send_modify(|said| {
            let before = said.master().cloned();
            what(said);
            named = said
                .master()
                .filter(|_| before.is_some() && before.as_ref() != said.master())
                .cloned();
        });
        if let Some(master) = named {
            tracing::debug!(%master, "Sentinel names another master");
        }
    }
}

/// What is done when a tenure has ended.
pub(crate) fn another_is_named() -> RedisError {
    RedisError::from((ErrorKind::Io, "Sentinel names another master"))
}

/// Those after which a Sentinel has something else to say. The one that leads a
/// failover says the first before it tells a replica to be the master, and the
/// second when it has seen that it is: some time before the third, which all
/// say.
const EVENTS: [&str; 3] = ["+selected-slave", "+promoted-slave", "+switch-master"];
