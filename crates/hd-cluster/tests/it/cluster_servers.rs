//! A Redis Cluster for one test.

use hd_cluster::ClusterConfig;

use crate::redis_server::{RedisServer, wait_until};

/// Two masters, each with half of the slots.
pub(crate) struct Cluster {
    /// Has the slot of our keys.
    pub(crate) owner: RedisServer,
    pub(crate) other: RedisServer,
    pub(crate) slot: String,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more settings than these tests have anyway.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        let [owner, other] = [(); 2].map(|()| RedisServer::start_in_cluster_with(settings));
        let slot = owner.command(&["CLUSTER", "KEYSLOT", "{help-desk-ws}:log"]);
        let slot = slot.trim().to_owned();
        let (lower, upper) = (["0", "8191"], ["8192", "16383"]);
        let number: u32 = slot.parse().expect("a slot");
        let (owned, others) = if number < 8192 {
            (lower, upper)
        } else {
            (upper, lower)
        };
        for (node, [first, last]) in [(&owner, owned), (&other, others)] {
            assert_eq!(
                node.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]),
                "OK\n"
            );
        }
        meet(&owner, &other);
        let cluster = Self { owner, other, slot };
        for node in [&cluster.owner, &cluster.other] {
            wait_until("the cluster is there", || {
                let slots = node.command(&["CLUSTER", "SLOTS"]);
                node.command(&["CLUSTER", "INFO"])
                    .contains("cluster_state:ok")
                    && slots.contains(&cluster.owner.port().to_string())
                    && slots.contains(&cluster.other.port().to_string())
            });
        }
        cluster
    }

    /// A replica of a master, which has all that it has.
    pub(crate) fn replica(&self, master: &RedisServer) -> RedisServer {
        let replica = RedisServer::start_in_cluster();
        meet(&self.other, &replica);
        let master = id(master);
        wait_until("it knows the master", || {
            replica.command(&["CLUSTER", "REPLICATE", &master]) == "OK\n"
        });
        wait_until("it follows", || {
            replica
                .command(&["INFO", "replication"])
                .contains("master_link_status:up")
        });
        wait_until("all know of it", || {
            let id = id(&replica);
            [&self.owner, &self.other]
                .iter()
                .all(|node| node.command(&["CLUSTER", "NODES"]).contains(&id))
        });
        replica
    }

    /// The slot of a key, or of a channel.
    pub(crate) fn slot_of(&self, key: &str) -> String {
        let slot = self.owner.command(&["CLUSTER", "KEYSLOT", key]);
        slot.trim().to_owned()
    }

    /// Moves a slot from one master to the other, key by key.
    pub(crate) fn move_slot(&self, slot: &str, from: &RedisServer, to: &RedisServer) {
        let ids = [id(from), id(to)];
        let set = |node: &RedisServer, args: &[&str]| {
            let command = [&["CLUSTER", "SETSLOT", slot], args].concat();
            assert_eq!(node.command(&command), "OK\n", "{command:?}");
        };
        set(to, &["IMPORTING", &ids[0]]);
        set(from, &["MIGRATING", &ids[1]]);
        loop {
            let keys = from.command(&["CLUSTER", "GETKEYSINSLOT", slot, "100"]);
            let keys: Vec<&str> = keys.split_whitespace().collect();
            if keys.is_empty() {
                break;
            }
            let port = to.port().to_string();
            let migrate = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            assert_eq!(from.command(&[&migrate[..], &keys].concat()), "OK\n");
        }
        for node in [to, from] {
            set(node, &["NODE", &ids[1]]);
        }
    }

    /// Takes the master of our slot out, which runs on: the other one has all
    /// slots.
    pub(crate) fn take_owner_out(&self) {
        let slot: u32 = self.slot.parse().expect("a slot");
        let [first, last] = if slot < 8192 {
            ["0", "8191"]
        } else {
            ["8192", "16383"]
        };
        let owner = id(&self.owner);
        for (node, command) in [
            (&self.other, &["CLUSTER", "FORGET", &owner][..]),
            (&self.owner, &["CLUSTER", "RESET", "SOFT"]),
            (&self.other, &["CLUSTER", "ADDSLOTSRANGE", first, last]),
        ] {
            assert_eq!(node.command(command), "OK\n", "{command:?}");
        }
    }

    /// By nodes of which the first is not there.
    pub(crate) fn config(&self, seeds: &[&RedisServer]) -> ClusterConfig {
        let seeds: Vec<String> = seeds.iter().map(|node| node.address()).collect();
        let url = format!("redis+cluster://127.0.0.1:1,{}", seeds.join(","));
        ClusterConfig {
            url: url.parse().expect("a URL"),
            ..self.owner.config()
        }
    }
}

fn id(node: &RedisServer) -> String {
    node.command(&["CLUSTER", "MYID"]).trim().to_owned()
}

fn meet(node: &RedisServer, new: &RedisServer) {
    let myself = new.command(&["CLUSTER", "NODES"]);
    // `<id> <host>:<port>@<bus>…`
    let (_, bus) = myself.split_once('@').expect("its own line");
    let bus: String = bus.chars().take_while(char::is_ascii_digit).collect();
    let port = new.port().to_string();
    assert_eq!(
        node.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]),
        "OK\n"
    );
}
