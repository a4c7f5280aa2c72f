//! A Redis for one test.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hd_cluster::{ClusterConfig, SharedLog};

/// How long a test waits for what must come. Only a failing test waits it out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A `redis-server` on a free port, without persistence; it ends with the test.
pub(crate) struct RedisServer {
    port: u16,
    folder: PathBuf,
    process: Child,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hd-cluster-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let process = spawn(port, &folder);
        let server = Self {
            port,
            folder,
            process,
        };
        server.wait_until_it_answers();
        server
    }

    /// A log there, with short times.
    pub(crate) fn log(&self) -> SharedLog {
        SharedLog::new(self.config())
    }

    pub(crate) fn config(&self) -> ClusterConfig {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let config = ClusterConfig::new(url.parse().expect("a URL"));
        ClusterConfig {
            read_wait: Duration::from_millis(200),
            max_backoff: Duration::from_millis(100),
            ..config
        }
    }

    /// Ends it as a machine that dies does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ended");
    }

    /// Starts it again, empty.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(self.port, &self.folder);
        self.wait_until_it_answers();
    }

    /// Runs `redis-cli` on it.
    pub(crate) fn command(&self, args: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(args)
            .output()
            .expect("redis-cli");
        String::from_utf8(output.stdout).expect("text")
    }

    fn wait_until_it_answers(&self) {
        let patience = Instant::now() + PATIENCE;
        while self.command(&["PING"]) != "PONG\n" {
            assert!(Instant::now() < patience, "redis-server does not answer");
            std::thread::yield_now();
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
        let _left = std::fs::remove_dir_all(&self.folder);
    }
}

fn spawn(port: u16, folder: &PathBuf) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server, which Debian's package of that name has")
}
