//! Who listens to channels in a test.

use hd_cluster::{Heard, PubSub, Publish};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::redis_server::PATIENCE;

/// It ends with the test.
pub(crate) struct Listener {
    pub(crate) channels: PubSub,
    heard: mpsc::UnboundedReceiver<Heard>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) fn start(channels: PubSub) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        let listening = channels.clone();
        let task = tokio::spawn(async move {
            let take = |heard| {
                let _unheard = sender.send(heard);
                std::future::ready(())
            };
            listening.listen(take).await;
        });
        Self {
            channels,
            heard,
            task,
        }
    }

    pub(crate) async fn next(&mut self) -> Heard {
        let next = tokio::time::timeout(PATIENCE, self.heard.recv());
        next.await.expect("something comes").expect("it listens")
    }

    /// What comes next is this message.
    pub(crate) async fn hears(&mut self, publish: Publish, channel: &str, payload: &[u8]) {
        let next = self.next().await;
        let Heard::Message { since, .. } = next else {
            panic!("{next:?}");
        };
        let message = Heard::Message {
            channel: channel.to_owned(),
            publish,
            since,
            payload: payload.to_owned(),
        };
        assert_eq!(next, message);
    }

    /// What comes next is that it listens.
    pub(crate) async fn listening(&mut self) {
        assert_eq!(self.next().await, Heard::Listening);
    }

    pub(crate) fn has_heard_nothing_more(&self) -> bool {
        self.heard.is_empty()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}
