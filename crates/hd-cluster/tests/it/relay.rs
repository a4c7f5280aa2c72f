use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A network before a server, whose connections can die without a word. It ends
/// with the test.
pub(crate) struct Relay {
    address: String,
    deaths: watch::Sender<()>,
    _task: JoinSet<()>,
}

impl Relay {
    pub(crate) async fn to(server: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (deaths, dies) = watch::channel(());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let (server, mut dies) = (server.clone(), dies.clone());
                dies.mark_unchanged();
                connections.spawn(async move {
                    let mut server = TcpStream::connect(server).await.expect("the server");
                    tokio::select! {
                        _ended = copy_bidirectional(&mut client, &mut server) => {}
                        _dead = dies.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self {
            address,
            deaths,
            _task: task,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Nothing goes through any more on the connections that there are.
    pub(crate) fn freeze(&self) {
        self.deaths.send_replace(());
    }
}
