//! Whether Redis drops keys of its own accord, of which the log is one.

use redis::InfoDict;

use crate::SharedLog;
use crate::shared_log::Inner;

impl SharedLog {
    /// The `maxmemory-policy` by which Redis drops keys when its memory is full:
    /// events and ids that it has acknowledged would be among them. `None` where
    /// it drops none, or does not say.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn eviction_policy(&self) -> Option<String> {
        let Inner {
            config, commands, ..
        } = &*self.0;
        let asking = async {
            let lease = commands.get(config).await.ok()?;
            let asking = commands.run(lease, async |mut connection| {
                let mut info = redis::cmd("INFO");
                info.arg("memory").query_async(&mut connection).await
            });
            let info: InfoDict = asking
                .await
                .inspect_err(|error| tracing::debug!(%error, "Redis does not say how it evicts"))
                .ok()?;
            evicts(&info)
        };
        tokio::time::timeout(config.command_timeout, Box::pin(asking))
            .await
            .ok()?
    }
}

fn evicts(info: &InfoDict) -> Option<String> {
    let is_bounded = info.get::<u64>("maxmemory")? > 0;
    let policy: String = info.get("maxmemory_policy")?;
    (is_bounded && policy != "noeviction").then_some(policy)
}
