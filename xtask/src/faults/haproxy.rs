//! HAProxy in front of the nodes, as the load balancer.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::daemon::{Daemon, POLL_INTERVAL};

/// HAProxy, and its admin socket.
#[derive(Debug)]
pub(crate) struct Haproxy {
    port: u16,
    admin_port: u16,
    daemon: Daemon,
}

/// In front of all nodes, those that are started later too: a server that does not answer is left out.
///
/// Like an ALB it tries one node for each request, and leaves connections alone when their node fails its checks.
/// Small buffers, so that what a client does not read waits at the node.
const CONFIGURATION: &str = "
global
    maxconn 9000
    tune.sndbuf.client 65536
    tune.rcvbuf.server 65536
    log stdout format raw local0
defaults
    mode http
    log global
    option httplog
    option dontlog-normal
    maxconn 9000
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    timeout http-keep-alive 60s
    retries 0
backend nodes
    balance leastconn
    option httpchk GET /readyz
";

/// How it chooses among nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Balancing {
    pub(crate) checks: Checks,
    pub(crate) sessions: Sessions,
}

/// How nodes are asked whether they are ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    /// One that stands still is soon left out.
    Quick,
    /// Where all are busy at once. An ALB allows 5 s by default.
    Patient,
}

/// Whether the requests of a polling session reach the instance that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sessions {
    /// There are none: every client has one connection.
    Unknown,
    /// As long as the instance is ready: after that, as an ALB does, they go to another one.
    WhileReady,
    /// As long as the instance runs. New sessions go to instances that are ready: they have no cookie yet.
    WhileRunning,
}

impl Sessions {
    fn configuration(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::WhileReady => "    cookie INSTANCE insert indirect nocache\n",
            Self::WhileRunning => {
                "    cookie INSTANCE insert indirect nocache\n    \
                 force-persist if { url_param(sid) -m found }\n"
            }
        }
    }
}

impl Checks {
    fn configuration(self) -> &'static str {
        match self {
            Self::Quick => {
                "    timeout check 500ms\n    default-server check inter 200ms fall 2 rise 1\n"
            }
            Self::Patient => {
                "    timeout check 2s\n    default-server check inter 1s fastinter 200ms downinter 200ms fall 2 rise 1\n"
            }
        }
    }
}

/// The name that a server of the configuration has.
fn server_name(index: usize) -> String {
    format!("n{index}")
}

/// Two checks that fail, and some more.
const CHECKS_TIMEOUT: Duration = Duration::from_secs(10);

impl Haproxy {
    /// On `port`, of `more_addresses` too, with an admin socket on `admin_port`, in front of what listens on the ports of `nodes`.
    pub(crate) fn start(
        name: &str,
        port: u16,
        admin_port: u16,
        nodes: &[u16],
        more_addresses: &[String],
        Balancing { checks, sessions }: Balancing,
        folder: &Path,
    ) -> Result<Self> {
        let mut configuration = CONFIGURATION.to_owned();
        configuration += checks.configuration();
        configuration += sessions.configuration();
        for (index, port) in nodes.iter().enumerate() {
            let name = server_name(index);
            writeln!(
                configuration,
                "    server {name} 127.0.0.1:{port}{}",
                match sessions {
                    Sessions::Unknown => String::new(),
                    Sessions::WhileReady | Sessions::WhileRunning => format!(" cookie {name}"),
                }
            )?;
        }
        let more: String = more_addresses
            .iter()
            .map(|address| format!(",{address}:{port}"))
            .collect();
        write!(
            configuration,
            "frontend front\n    bind 127.0.0.1:{port}{more}\n    default_backend nodes\n\
             global\n    stats socket ipv4@127.0.0.1:{admin_port} level admin\n"
        )?;
        let path = folder.join(format!("{name}.cfg"));
        fs::write(&path, configuration)?;
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(&path);
        let mut daemon = Daemon::start(name, &command, folder, false)?;
        daemon.wait_until_it_listens(port)?;
        daemon.wait_until_it_listens(admin_port)?;
        Ok(Self {
            port,
            admin_port,
            daemon,
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns once it sends clients to these nodes, and to no others.
    pub(crate) fn wait_until_up(&mut self, nodes: &[usize]) -> Result<()> {
        let deadline = Instant::now() + CHECKS_TIMEOUT;
        loop {
            self.daemon.check_alive()?;
            let up = self.up()?;
            if up == nodes {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("HAProxy sends clients to the nodes {up:?} instead of {nodes:?}");
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Ends every connection to a node, without a word of the node, and sends it no more.
    pub(crate) fn cut(&self, node: usize) -> Result<()> {
        let server = format!("nodes/{}", server_name(node));
        self.command(&format!("disable server {server}"))?;
        self.command(&format!("shutdown sessions server {server}"))?;
        Ok(())
    }

    /// Takes a node back after [`cut`](Self::cut).
    pub(crate) fn enable(&self, node: usize) -> Result<()> {
        self.command(&format!("enable server nodes/{}", server_name(node)))?;
        Ok(())
    }

    fn up(&self) -> Result<Vec<usize>> {
        let statistics = self.command("show stat")?;
        let rows = statistics
            .lines()
            .map(|line| line.split(',').collect::<Vec<_>>());
        Ok(rows
            .filter(|fields| fields.first() == Some(&"nodes"))
            .filter(|fields| {
                fields
                    .get(STATUS_FIELD)
                    // `UP 1/2` after a check that failed: it is sent clients still.
                    .is_some_and(|status| status.starts_with("UP"))
            })
            .filter_map(|fields| fields.get(1)?.strip_prefix('n')?.parse().ok())
            .collect())
    }

    fn command(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.admin_port))?;
        writeln!(stream, "{command}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// Where `show stat` has a server's status.
const STATUS_FIELD: usize = 17;
