//! What is measured, and what is aimed at.

use super::{
    figure::{Figure, Goal, Quantity},
    servers::Kind,
};

/// One way of loading a server.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// Also the beginning of its charts' file names.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) arguments: Vec<String>,
    pub(crate) servers: Vec<Kind>,
    pub(crate) figures: Vec<Figure>,
}

use Goal::{AtLeast, AtMost, Below};
use Kind::{HelpDeskWs, Limit, LimitMerged, Nestjs, SocketIo, Socketioxide};

const PEERS: [Kind; 4] = [HelpDeskWs, Socketioxide, SocketIo, Nestjs];

pub(crate) fn scenarios(quick: bool) -> Vec<Scenario> {
    let pick = |full: u32, short: u32| if quick { short } else { full };
    let (many, most) = (pick(10_000, 4_000), pick(18_000, 6_000));
    let seconds = pick(6, 2);
    let mut scenarios = vec![
        fanout(
            "fanout-1k-w1",
            "Fan-out to 1,000, window 1",
            1000,
            1,
            pick(300, 60),
        ),
        fanout(
            "fanout-10k-w1",
            "Fan-out to 10,000, window 1",
            many,
            1,
            pick(40, 10),
        ),
        fanout(
            "fanout-1k-w4",
            "Fan-out to 1,000, window 4",
            1000,
            4,
            pick(600, 100),
        ),
        fanout(
            "fanout-10k-w4",
            "Fan-out to 10,000, window 4",
            many,
            4,
            pick(80, 20),
        ),
        Scenario {
            name: "unicast-k64",
            title: "Unicast over HTTP, 64 at a time",
            arguments: words(&format!(
                "unicast --clients 1000 --concurrency 64 --duration {seconds}s"
            )),
            servers: with_limit(&[Limit]),
            figures: vec![
                figure(
                    "events",
                    Quantity::DeliveriesPerSecond,
                    &[
                        AtLeast(0.75, Limit),
                        AtLeast(1.6, Socketioxide),
                        AtLeast(4.5, SocketIo),
                        AtLeast(20.0, Nestjs),
                    ],
                ),
                figure("p99 end to end", Quantity::LatencyP99, &[]),
            ],
        },
        Scenario {
            name: "unicast-1000",
            title: "Unicast over HTTP, 1,000 a second",
            arguments: words(&format!(
                "unicast --clients 1000 --concurrency 64 --rate 1000 --duration {seconds}s"
            )),
            servers: with_limit(&[Limit]),
            figures: vec![
                figure(
                    "p99 end to end",
                    Quantity::LatencyP99,
                    &[
                        AtMost(2.0, Limit),
                        AtMost(1.0, Socketioxide),
                        AtMost(1.0, SocketIo),
                        AtMost(1.0, Nestjs),
                    ],
                ),
                figure(
                    "server CPU per million events",
                    Quantity::CpuPerMillion,
                    &[],
                ),
            ],
        },
        connect("connect-10k", "Connects with a JWT, to 10,000", many),
        Scenario {
            figures: [
                connect_figures(),
                vec![
                    figure(
                        "RSS per connection",
                        Quantity::RssPerConnection,
                        &[Below(3.0)],
                    ),
                    figure(
                        "RSS per connection, after 8 KiB to all",
                        Quantity::RssAfterBroadcast,
                        &[Below(3.5)],
                    ),
                ],
            ]
            .concat(),
            arguments: words(&format!(
                "connect --clients {most} --hold 1s --broadcast-bytes 8192"
            )),
            ..connect("connect-18k", "Connects with a JWT, to 18,000", most)
        },
        Scenario {
            name: "idle-10k",
            title: "10,000 idle connections, heartbeats every 25 s",
            arguments: words(&format!(
                "connect --clients {many} --hold {}s",
                pick(75, 52)
            )),
            servers: PEERS.to_vec(),
            figures: vec![figure(
                "CPU",
                Quantity::IdleCpu,
                &[AtMost(0.5, Socketioxide), AtMost(0.25, SocketIo)],
            )],
        },
        Scenario {
            name: "polling-500",
            title: "Fan-out to 500 that poll",
            arguments: words(&format!("polling --clients 500 --events {}", pick(200, 40))),
            servers: PEERS.to_vec(),
            figures: vec![figure(
                "deliveries",
                Quantity::DeliveriesPerSecond,
                &[AtLeast(1.3, Socketioxide)],
            )],
        },
        Scenario {
            name: "storm-5k",
            title: "5,000 connections cut, and back at once",
            arguments: words("storm --clients 5000 --times 2"),
            servers: with_limit(&[Limit]),
            figures: vec![
                figure("until the last is back", Quantity::BackMs, &[]),
                figure("handshake p99", Quantity::HandshakeP99, &[]),
            ],
        },
        Scenario {
            name: "churn",
            title: "1,000 connections, 300 of them replaced a second",
            arguments: words(&format!(
                "churn --clients 1000 --rate 300 --duration {seconds}s"
            )),
            servers: with_limit(&[Limit]),
            figures: vec![
                figure("handshake p99", Quantity::HandshakeP99, &[]),
                figure(
                    "server CPU per million connections",
                    Quantity::CpuPerMillion,
                    &[],
                ),
            ],
        },
    ];
    for (name, title, clients, events) in [
        (
            "scale-100",
            "Fan-out to 100, window 1",
            100,
            pick(2000, 300),
        ),
        (
            "scale-18k",
            "Fan-out to 18,000, window 1",
            most,
            pick(20, 8),
        ),
    ] {
        scenarios.push(Scenario {
            servers: vec![Limit, HelpDeskWs],
            figures: vec![figure(
                "server CPU per million deliveries",
                Quantity::CpuPerMillion,
                &[],
            )],
            ..fanout(name, title, clients, 1, events)
        });
    }
    scenarios.push(Scenario {
        name: "start",
        title: "From the start of the process to the first connection",
        arguments: words("connect --clients 1"),
        servers: PEERS.to_vec(),
        figures: vec![figure("start", Quantity::StartMs, &[Below(20.0)])],
    });
    scenarios
}

fn fanout(
    name: &'static str,
    title: &'static str,
    clients: u32,
    window: u32,
    events: u32,
) -> Scenario {
    let (limits, goals): (&[Kind], _) = if window == 1 {
        (
            &[Limit],
            vec![
                AtLeast(0.9, Limit),
                AtLeast(1.6, Socketioxide),
                AtLeast(2.3, SocketIo),
            ],
        )
    } else {
        (
            &[Limit, LimitMerged],
            vec![AtLeast(0.7, LimitMerged), AtLeast(1.7, Socketioxide)],
        )
    };
    Scenario {
        name,
        title,
        arguments: words(&format!(
            "fanout --clients {clients} --window {window} --events {events}"
        )),
        servers: with_limit(limits),
        figures: vec![
            figure("deliveries", Quantity::DeliveriesPerSecond, &goals),
            figure("p99 end to end", Quantity::LatencyP99, &[]),
            figure(
                "server CPU per million deliveries",
                Quantity::CpuPerMillion,
                &[],
            ),
        ],
    }
}

fn connect(name: &'static str, title: &'static str, clients: u32) -> Scenario {
    Scenario {
        name,
        title,
        arguments: words(&format!("connect --clients {clients}")),
        servers: with_limit(&[Limit]),
        figures: connect_figures(),
    }
}

/// The limit checks no token.
fn connect_figures() -> Vec<Figure> {
    vec![figure(
        "connects",
        Quantity::ConnectsPerSecond,
        &[
            AtLeast(0.65, Limit),
            AtLeast(1.5, Socketioxide),
            AtLeast(14.0, SocketIo),
        ],
    )]
}

fn figure(title: &'static str, quantity: Quantity, goals: &[Goal]) -> Figure {
    Figure {
        title,
        quantity,
        goals: goals.to_vec(),
    }
}

fn with_limit(limits: &[Kind]) -> Vec<Kind> {
    [limits, &PEERS].concat()
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}
