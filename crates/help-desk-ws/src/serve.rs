//! The server: everything wired together.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::Context as _;
use hd_auth::{Algorithm, JwtPayload, Mac, Signer, UserId, Verifier};
use hd_cluster::{ClusterConfig, PresenceConfig, RecordKeys, RecordMac, SharedLog};
use hd_ws_server::{
    AllowedOrigins, Clock, CursorMac, Engine, HttpCloseHook, Namespace, NamespaceConfig,
    OriginPolicy, RecoveryConfig, RejectionHook, Server, ServerConfig, SocketIo, system_clock,
};
use http::header::AUTHORIZATION;
use socketio_proto::{ClientConfig, Limits};
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::Cluster;
use crate::drain::Drainer;
use crate::expiry::Expiries;
use crate::gateway::{Gateway, RefreshRates};
use crate::http_api::{EmitLimits, HttpApi, KEPT_QUERY_PARAMETERS};
use crate::node_peers::{Listener, NodePeers};
use crate::open_files;
use crate::presence::{self, Changes, Presence};
use crate::settings::{CorsOrigin, Guard, NodeEnv, Scope, Settings};
use crate::telemetry::events::{self, Started};
use crate::telemetry::{self, Counters, LogHandle};

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
///
/// What keeps the server from starting.
pub(crate) fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    // First: the log has a thread of its own.
    let max_open_files =
        open_files::make_room().context("the limit of open files cannot be raised")?;
    let log = telemetry::init(settings.log)?;
    telemetry::log_settings(&settings, &log);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers.get())
        .enable_all()
        .build()
        .context("the runtime cannot be started")?
        .block_on(serve(settings, max_open_files, &log))
}

async fn serve(
    settings: Settings,
    max_open_files: u64,
    log: &LogHandle,
) -> anyhow::Result<ExitCode> {
    let counters = Arc::new(Counters::new(log.counts()));
    let expiries = Arc::new(Expiries::new(Arc::clone(&counters)));
    let presence_config = PresenceConfig::default();
    let changes = settings
        .cluster
        .is_some()
        .then(|| Arc::new(Changes::new(presence_config.roster)));
    let gateway = Gateway {
        verifier: Verifier::new(settings.jwt.verifier_config())
            .context("tokens cannot be verified")?,
        auth_failure: settings.auth_failure,
        expiries: Arc::clone(&expiries),
        counters: Arc::clone(&counters),
        changes: changes.clone(),
        refreshes: RefreshRates::new(settings.client_limits.connections_per_user),
    };
    let mut io = SocketIo::new(ClientConfig {
        connect_timeout: settings.connect_timeout,
        limits: Limits {
            // A packet with its attachments is as large as one without.
            max_attachment_bytes: settings.strangers.max_message_bytes.get(),
            ..Limits::default()
        },
        parser: settings.parser,
        ..ClientConfig::default()
    });
    let shared = settings.cluster.clone().map(|config| {
        SharedLog::new(ClusterConfig {
            records: record_keys(&settings),
            ..config
        })
    });
    let config = NamespaceConfig {
        recovery: settings.replay.map(|log| RecoveryConfig {
            log,
            is_shared: settings.cluster.is_some(),
            macs: pid_macs(&settings),
            clock: clock(shared.as_ref()),
        }),
        seen: settings.idempotency,
        // Node's servers send to a socket so.
        own_rooms: settings.node_peers.is_some(),
    };
    let notifications = io.add_namespace_with("/notifications".parse()?, config, gateway);
    let engine = Arc::new(Engine::new(server_config(&settings), io));
    tokio::spawn(async move { expiries.run().await });
    let peers = node_peers(&settings, &notifications, &counters);
    let cluster = shared.map(|log| {
        Arc::new(Cluster::new(
            log,
            notifications.clone(),
            peers.clone(),
            Arc::clone(&counters),
            settings.emit_without_redis,
        ))
    });
    let node = settings.node_name.clone();
    let node = node.unwrap_or_else(presence::default_node_name);
    let presence = match (settings.cluster.clone(), changes) {
        (Some(config), Some(changes)) => {
            let others = hd_cluster::Presence::new(config, presence_config, node.clone());
            Presence::shared(notifications.clone(), node.clone(), others, changes)
        }
        _ => Presence::alone(notifications.clone(), node.clone()),
    };
    let presence = Arc::new(presence);
    let drainer = Arc::new(Drainer::new(Arc::clone(&engine), settings.shutdown_timeout));
    let api = Arc::new(HttpApi {
        notifications: notifications.clone(),
        cluster: cluster.clone(),
        presence: Arc::clone(&presence),
        engine: Arc::clone(&engine),
        started: SystemTime::now(),
        back_end: settings.back_end.clone(),
        emit_without_redis: settings.emit_without_redis,
        metrics_auth: settings.metrics_auth.clone(),
        admin_auth: settings.admin_auth.clone(),
        insecure: settings.insecure.clone(),
        drainer: Arc::clone(&drainer),
        limits: hd_events::EmitLimits::default(),
        emit_limits: EmitLimits::new(&settings.emit_rates, settings.back_end.token_count()),
        counters,
    });

    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be awaited")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be awaited")?;
    if let Some(cluster) = cluster.clone() {
        tokio::select! {
            after = cluster.open() => drop(tokio::spawn(Arc::clone(&cluster).follow(after?))),
            _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
            _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
        }
        if let Some(peers) = peers {
            let max_event_bytes = settings.send_queue_bytes;
            let listener = Listener::new(peers, cluster, notifications, max_event_bytes);
            tokio::select! {
                () = listener.start() => {}
                _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
                _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
            }
        }
    }
    let server = Server::bind(settings.listen)
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let address = server.local_addr()?;
    Started {
        address,
        workers: settings.workers.get(),
        max_open_files,
        node: &node,
    }
    .emit();
    if let Some(hint) = development_hint(&settings, address.port())? {
        log.print(hint);
    }

    let telling = {
        let presence = Arc::clone(&presence);
        tokio::spawn(async move { presence.tell(presence_config.roster.pause).await })
    };
    let stopping = async {
        loop {
            let signal = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            drainer.stop(signal);
        }
    };
    tokio::select! {
        () = server.serve(Arc::clone(&engine), api) => {}
        () = drainer.report() => {}
        () = stopping => {}
    }
    telling.abort();
    // It has ended, or was cut short.
    let _aborted = telling.await;
    // What may be beyond the stop's time: together, and within a second.
    let left = engine.deadline();
    let left = left.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let handing_over = async {
        if let Some(cluster) = &cluster {
            cluster.leave(left.unwrap_or_default()).await;
        }
    };
    tokio::join!(presence.leave(), handing_over);
    log.summarize();
    drainer.stopped();
    Ok(ExitCode::SUCCESS)
}

fn node_peers(
    settings: &Settings,
    notifications: &Namespace,
    counters: &Arc<Counters>,
) -> Option<Arc<NodePeers>> {
    let (config, peers) = settings
        .cluster
        .as_ref()
        .zip(settings.node_peers.as_ref())?;
    let name = notifications.name().clone();
    let peers = NodePeers::new(config.clone(), peers, name, Arc::clone(counters));
    Some(Arc::new(peers))
}

/// What seals the `pid` of a client, and what sealed it before the secret was
/// changed.
fn pid_macs(settings: &Settings) -> Vec<CursorMac> {
    let macs = macs(settings, "help-desk-ws pid");
    macs.map(|mac| Box::new(mac) as CursorMac).collect()
}

/// The time that offsets have: that of Redis, where it assigns them.
fn clock(shared: Option<&SharedLog>) -> Clock {
    match shared.cloned() {
        Some(log) => Box::new(move || log.now_millis()),
        None => system_clock(),
    }
}

/// What signs records of the shared log: by the secret that all instances have
/// anyway, and by the one before while it is being changed. One that was made up
/// for this run is no other instance's, and signs nothing.
fn record_keys(settings: &Settings) -> RecordKeys {
    if settings.jwt.is_ephemeral {
        return RecordKeys::default();
    }
    // The number is that of the format in which a record is signed.
    let macs = macs(settings, "help-desk-ws log record 1");
    let macs = macs.map(|mac| Box::new(mac) as RecordMac).collect();
    RecordKeys::new(macs, settings.unsigned_records)
}

/// Codes for a purpose, by each secret, the current one first.
fn macs(
    settings: &Settings,
    purpose: &'static str,
) -> impl Iterator<Item = impl Fn(&[u8]) -> [u8; 16] + use<>> + use<> {
    let config = settings.jwt.verifier_config();
    std::iter::once(config.secret)
        .chain(config.previous_secrets)
        .map(move |secret| {
            let mac = Mac::new(&secret, purpose);
            move |message: &[u8]| {
                let code = mac.code(message);
                *code.first_chunk().expect("invariant: half of 32 bytes")
            }
        })
}

fn server_config(settings: &Settings) -> ServerConfig {
    let strangers = &settings.strangers;
    ServerConfig {
        engine: engineio_proto::Config {
            ping_interval: settings.ping_interval,
            ping_timeout: settings.ping_timeout,
            upgrade_timeout: settings.upgrade_timeout,
            max_payload: settings.max_payload,
            send_queue_bytes: settings.send_queue_bytes,
            allow_eio3: settings.allow_eio3,
            ..engineio_proto::Config::default()
        },
        origins: OriginPolicy {
            allowed: match &settings.cors_origin {
                CorsOrigin::Any => AllowedOrigins::Any,
                CorsOrigin::List(list) => AllowedOrigins::List(list.clone()),
            },
            allow_missing: settings.allow_no_origin,
        },
        trusted_proxies: settings.trusted_proxies.clone(),
        on_rejected: RejectionHook::new(events::rejected),
        on_http_closed: HttpCloseHook::new(events::http_closed),
        header_timeout: settings.header_timeout,
        http_write_timeout: settings.http_write_timeout,
        keep_alive_timeout: settings.keep_alive_timeout,
        max_requests_per_connection: settings.max_requests_per_connection,
        drain_window: settings.drain_window,
        drain_rate: settings.drain_rate,
        max_connection_age: settings.max_connection_age,
        max_connections: Some(settings.max_connections),
        max_unjoined_connections: Some(strangers.max_unjoined_connections),
        max_connections_per_address: Some(strangers.max_connections_per_address),
        max_handshakes_per_connection: Some(strangers.max_handshakes_per_connection),
        max_handshakes_per_address: Some(strangers.max_handshakes_per_address),
        max_auth_failures_per_address: Some(strangers.max_auth_failures_per_address),
        limit_private_addresses: strangers.limit_private_addresses,
        max_unjoined_message_bytes: Some(strangers.max_unjoined_message_bytes),
        max_message_bytes: Some(strangers.max_message_bytes),
        max_unjoined_packets: Some(strangers.max_unjoined_packets),
        max_partial_input_bytes: Some(strangers.max_partial_input_bytes),
        max_messages_per_second: Some(settings.client_limits.messages),
        max_inbound_bytes_per_second: Some(settings.client_limits.inbound_bytes),
        max_connections_per_user: Some(settings.client_limits.connections_per_user),
        max_send_queue_total_bytes: settings.client_limits.send_queue_total_bytes,
        max_sockets: Some(settings.max_sockets),
        kept_headers: vec![AUTHORIZATION],
        kept_query_parameters: KEPT_QUERY_PARAMETERS.to_vec(),
        ..ServerConfig::default()
    }
}

/// With a secret that was made up for this run nobody could mint a token, and with a token that was
/// made up nobody could emit: so both are shown, and what to try with them.
fn development_hint(settings: &Settings, port: u16) -> anyhow::Result<Option<String>> {
    let ephemeral = settings.back_end.ephemeral();
    let is_needed = settings.jwt.is_ephemeral || ephemeral.is_some();
    if settings.node_env == NodeEnv::Production || !is_needed {
        return Ok(None);
    }
    // As this process was called, so that it can be pasted.
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
    let mut hint = String::new();
    let listen = if settings.jwt.is_ephemeral {
        let token = token_of_user_42(settings)?;
        writeln!(
            hint,
            "\nA token for user 42, good until this process ends:\n\n  {token}"
        )?;
        format!("{program} listen --url http://127.0.0.1:{port} --token {token}")
    } else {
        format!("{program} listen --url http://127.0.0.1:{port} --user 42")
    };
    if let Some(token) = ephemeral {
        writeln!(
            hint,
            "\nAn EMIT_TOKEN, good until this process ends:\n\n  {}",
            token.expose()
        )?;
    }
    let authorization = match (settings.back_end.guard(Scope::Emit), ephemeral) {
        (Guard::Open | Guard::Loopback | Guard::Closed, _) => String::new(),
        (Guard::Token, Some(token)) => {
            format!("-H 'Authorization: Bearer {}' ", token.expose())
        }
        (Guard::Token, None) => "-H \"Authorization: Bearer $EMIT_TOKEN\" ".to_owned(),
    };
    writeln!(
        hint,
        "\nTry, in two other terminals:\n\n  {listen}\n  curl -i {authorization}-H 'Content-Type: \
         application/json' \\\n    -d '{{\"userId\":42,\"event\":\"new_notification\",\"payload\":\
         {{\"mensaje\":\"Hola\",\"ticketId\":7,\"fecha\":\"2026-01-31T10:00:00Z\"}}}}' \\\n    \
         http://127.0.0.1:{port}/notifications/emit\n"
    )?;
    Ok(Some(hint))
}

fn token_of_user_42(settings: &Settings) -> anyhow::Result<String> {
    let user = UserId::new(42).context("42 is a user id")?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Signer::new(&settings.jwt.secret, Algorithm::HS256).sign(
        &JwtPayload::new(user),
        now.as_secs(),
        settings.jwt_expires_in,
    )?)
}
