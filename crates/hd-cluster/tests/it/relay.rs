use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// A network before a server, whose connections can die without a word, or hold
/// what a client has sent and deliver it late. It ends with the test.
pub(crate) struct Relay {
    address: String,
    fates: watch::Sender<Fate>,
    /// Before a new connection is made.
    latency: watch::Sender<Duration>,
    /// What was delivered late, and answered.
    delivered: mpsc::UnboundedReceiver<()>,
    _task: JoinSet<()>,
}

/// Of the connections that there are when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Alive,
    Dead,
    Held,
    Delivered,
    Muted,
}

impl Relay {
    pub(crate) async fn to(server: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (fates, fate) = watch::channel(Fate::Alive);
        let (latencies, latency) = watch::channel(Duration::ZERO);
        let (done, delivered) = mpsc::unbounded_channel();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (server, mut fate) = (server.clone(), fate.clone());
                fate.mark_unchanged();
                let done = done.clone();
                let latency = *latency.borrow();
                connections.spawn(async move {
                    tokio::time::sleep(latency).await;
                    let server = TcpStream::connect(server).await.expect("the server");
                    relay(client, server, fate, done).await;
                });
            }
        });
        Self {
            address,
            fates,
            latency: latencies,
            delivered,
            _task: task,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// New connections take this long to be made.
    pub(crate) fn slow_down(&self, latency: Duration) {
        self.latency.send_replace(latency);
    }

    /// Nothing goes through any more on the connections that there are.
    pub(crate) fn freeze(&self) {
        self.fates.send_replace(Fate::Dead);
    }

    /// What comes from now on from the clients on the connections that there are
    /// is held, also when they close them.
    pub(crate) fn hold(&self) {
        self.fates.send_replace(Fate::Held);
    }

    /// What the clients send is delivered, and not answered any more, on the
    /// connections that there are.
    pub(crate) fn mute(&self) {
        self.fates.send_replace(Fate::Muted);
    }

    /// Delivers what was held. Returns when the server has answered it.
    pub(crate) async fn deliver(&mut self) {
        self.fates.send_replace(Fate::Delivered);
        self.delivered.recv().await.expect("something was held");
    }
}

async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    mut fate: watch::Receiver<Fate>,
    done: mpsc::UnboundedSender<()>,
) {
    tokio::select! {
        _ended = copy_bidirectional(&mut client, &mut server) => return,
        _changed = fate.changed() => {}
    }
    if *fate.borrow() == Fate::Dead {
        std::future::pending::<()>().await;
    }
    if *fate.borrow() == Fate::Muted {
        // It is over when the client gives the connection up.
        let _ended = copy(&mut client, &mut server).await;
        return;
    }
    let mut held = Vec::new();
    let reading = client.read_to_end(&mut held);
    // It is over when the client gives the connection up.
    let _ended = reading.await;
    let is_due = fate.wait_for(|fate| *fate == Fate::Delivered);
    drop(is_due.await);
    if held.is_empty() {
        return;
    }
    server.write_all(&held).await.expect("the server is there");
    let mut answer = [0; 1];
    let _answered = server.read(&mut answer).await;
    let _unheard = done.send(());
}
