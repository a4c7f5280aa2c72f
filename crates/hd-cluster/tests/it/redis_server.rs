//! A Redis for one test.

use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
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
    settings: Vec<String>,
    process: Child,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// A node of a cluster, which knows no other and has no slot.
    pub(crate) fn start_in_cluster() -> Self {
        Self::start_in_cluster_with(&[])
    }

    pub(crate) fn start_in_cluster_with(settings: &[&str]) -> Self {
        let bus = free_port().to_string();
        let cluster = [
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus,
            "--cluster-node-timeout",
            "5000",
        ];
        Self::start_with(&[&cluster[..], settings].concat())
    }

    /// With more settings than these tests have anyway.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        let (port, folder) = place();
        let process = spawn(port, &folder, settings);
        let server = Self {
            port,
            folder,
            settings: settings.iter().map(|word| (*word).to_owned()).collect(),
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

    /// By its clock.
    pub(crate) fn millis(&self) -> u64 {
        let time = self.command(&["TIME"]);
        let (seconds, micros) = time.trim().split_once('\n').expect("two numbers");
        let number = |text: &str| -> u64 { text.trim().parse().expect("a number") };
        number(seconds) * 1000 + number(micros) / 1000
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Makes it a replica, and waits until it has what the master has.
    pub(crate) fn follow(&self, master: &Self) {
        self.command(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
        wait_until("it follows", || {
            self.command(&["INFO", "replication"])
                .contains("master_link_status:up")
        });
    }

    /// Ends it as a machine that dies does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ended");
    }

    /// Has it stand still, until it is killed.
    pub(crate) fn pause(&self) {
        let pid = self.process.id().to_string();
        let signalled = Command::new("kill").args(["-STOP", &pid]).status();
        assert!(signalled.is_ok_and(|status| status.success()));
    }

    /// Starts it again, with what its files have: nothing, unless it was told to
    /// save.
    pub(crate) fn start_again(&mut self) {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        self.process = spawn(self.port, &self.folder, &settings);
        self.wait_until_it_answers();
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
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
        wait_until("redis-server answers", || {
            self.command(&["PING"]) == "PONG\n"
        });
    }
}

pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < patience, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// A Sentinel that knows a master as `main`.
pub(crate) struct Sentinel {
    server: RedisServer,
}

impl Sentinel {
    pub(crate) fn start(master: &RedisServer) -> Self {
        let (port, folder) = place();
        let file = folder.join("sentinel.conf");
        let settings = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 1\n",
            master.port
        );
        std::fs::write(&file, settings).expect("a file");
        let process = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server");
        let server = RedisServer {
            port,
            folder,
            settings: Vec::new(),
            process,
        };
        server.wait_until_it_answers();
        let sentinel = Self { server };
        wait_until("it knows the replica", || {
            sentinel
                .server
                .command(&["SENTINEL", "REPLICAS", "main"])
                .contains("slave")
        });
        sentinel
    }

    pub(crate) fn address(&self) -> String {
        self.server.address()
    }

    /// Has the replica become the master, and waits until it is.
    pub(crate) fn fail_over(&self) {
        let master = || {
            self.server
                .command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"])
        };
        let before = master();
        wait_until("it fails over", || {
            self.server.command(&["SENTINEL", "FAILOVER", "main"]) == "OK\n"
        });
        wait_until("there is another master", || master() != before);
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

/// A free port, and a folder.
fn place() -> (u16, PathBuf) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("hd-cluster-{}-{count}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    (free_port(), folder)
}

/// A port that is free, and is given to nobody until a server takes it: another
/// one each time, below those of outgoing connections, which are from 32768 on
/// (Linux). Two runs side by side begin at different ones.
fn free_port() -> u16 {
    const RANGE: Range<u32> = 10_240..32_768;
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    loop {
        let step = first.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        let port = RANGE.start + step % (RANGE.end - RANGE.start);
        let port = u16::try_from(port).expect("below 32768");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn spawn(port: u16, folder: &Path, settings: &[&str]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(folder)
        .args(settings)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server, which Debian's package of that name has")
}
