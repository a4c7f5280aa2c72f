//! Which server of a Redis Cluster has a key, or a channel of `SSUBSCRIBE`.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value, from_redis_value_ref};

use crate::address::Address;

/// The masters of slots, as one of the nodes knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slots {
    /// The first and the last slot of each range.
    ranges: Vec<(u16, u16, Address)>,
    /// Those that have left their range since.
    moved: HashMap<u16, Address>,
}

impl Slots {
    /// As a node says it.
    pub(crate) async fn ask(
        connection: &mut MultiplexedConnection,
        answering: &Address,
    ) -> Result<Self, RedisError> {
        let mut slots = redis::cmd("CLUSTER");
        let ranges: Vec<Vec<Value>> = slots.arg("SLOTS").query_async(connection).await?;
        Ok(Self::parse(&ranges, answering))
    }

    fn parse(ranges: &[Vec<Value>], answering: &Address) -> Self {
        let ranges = ranges.iter().filter_map(|range| master(range, answering));
        Self {
            ranges: ranges.collect(),
            moved: HashMap::new(),
        }
    }

    pub(crate) fn master(&self, slot: u16) -> Option<&Address> {
        self.moved.get(&slot).or_else(|| {
            let mut ranges = self.ranges.iter();
            let range = ranges.find(|(first, last, _)| (*first..=*last).contains(&slot));
            range.map(|(_, _, master)| master)
        })
    }

    /// Whether a node is the master of any.
    pub(crate) fn has(&self, node: &Address) -> bool {
        let masters = self.ranges.iter().map(|(_, _, master)| master);
        masters
            .chain(self.moved.values())
            .any(|master| master == node)
    }

    /// Takes over what a node answers when a slot is not its own. Returns whether
    /// it says where the slot is.
    pub(crate) fn redirect(&mut self, error: &RedisError, answering: &Address) -> bool {
        let Some((address, slot)) = error.redirect_node() else {
            return false;
        };
        let Some(node) = redirection(address, answering) else {
            return false;
        };
        self.moved.insert(slot, node);
        true
    }
}

#[cfg(test)]
impl Slots {
    pub(crate) fn all_at(node: Address) -> Self {
        Self {
            ranges: vec![(0, SLOTS - 1, node)],
            moved: HashMap::new(),
        }
    }
}

/// Of a redirection: `host:port`, where an address of IPv6 has brackets or none,
/// and no host is that of who answers.
fn redirection(address: &str, answering: &Address) -> Option<Address> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host {
        "" => Some(Address::new(answering.host(), port)),
        // It is to be reached by a name, and has none.
        "?" => None,
        _ => Some(Address::new(host, port)),
    }
}

/// Of an entry of `CLUSTER SLOTS`: the first slot, the last one, the master, and
/// its replicas.
fn master(range: &[Value], answering: &Address) -> Option<(u16, u16, Address)> {
    let [first, last, Value::Array(master), ..] = range else {
        return None;
    };
    let [host, port, ..] = master.as_slice() else {
        return None;
    };
    let number = |value: &Value| {
        let number: i64 = from_redis_value_ref(value).ok()?;
        u16::try_from(number).ok()
    };
    let host: Option<String> = from_redis_value_ref(host).ok()?;
    let host = match host.as_deref() {
        Some("?") => return None,
        Some("") | None => answering.host(),
        Some(host) => host,
    };
    let node = Address::new(host, number(port)?);
    Some((number(first)?, number(last)?, node))
}

/// The slot of a key, or of a channel.
pub(crate) fn slot_of(key: &str) -> u16 {
    crc16(hash_tag(key).as_bytes()) % SLOTS
}

/// What is between the first brace and the next one that closes, unless that is
/// nothing.
fn hash_tag(key: &str) -> &str {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    match tag {
        None | Some(("", _)) => key,
        Some((tag, _)) => tag,
    }
}

/// The CRC-16 of XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let polynomial = if crc & 0x8000 == 0 { 0 } else { 0x1021 };
            (crc << 1) ^ polynomial
        })
    })
}

/// Of every Redis Cluster.
const SLOTS: u16 = 16384;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    /// An entry with a master, and a replica that is passed over.
    fn range(first: i64, last: i64, host: Value, port: i64) -> Vec<Value> {
        let node = |host: Value, port| {
            let id = text("0123");
            Value::Array(vec![host, Value::Int(port), id, Value::Array(Vec::new())])
        };
        let replica = node(text("10.0.0.9"), 7009);
        vec![
            Value::Int(first),
            Value::Int(last),
            node(host, port),
            replica,
        ]
    }

    #[test]
    fn keys_have_the_slots_that_redis_gives_them() {
        // By `CLUSTER KEYSLOT`.
        for (key, slot) in [
            ("", 0),
            ("123456789", 12739),
            ("socket.io#/notifications#", 7098),
            ("{help-desk-ws}:log", 9382),
            ("help-desk-ws", 9382),
            ("{}help-desk-ws", 6257),
            ("a{help-desk-ws}b{c}", 9382),
            ("{help-desk-ws", 341),
        ] {
            assert_eq!(slot_of(key), slot, "{key}");
        }
    }

    #[test]
    fn masters_are_found_by_name_address_and_where_they_say_neither() {
        let answering = Address::new("seed", 6379);
        let slots = Slots::parse(
            &[
                range(0, 99, text("10.0.0.1"), 7001),
                range(100, 199, text("2001:db8::1"), 7002),
                range(200, 299, text(""), 7003),
                range(300, 399, Value::Nil, 7004),
                range(400, 499, text("?"), 7005),
                vec![Value::Int(500), Value::Int(16383)],
                range(600, 70_000, text("10.0.0.1"), 7001),
            ],
            &answering,
        );
        for (slot, master) in [
            (0, Some("10.0.0.1:7001")),
            (99, Some("10.0.0.1:7001")),
            (100, Some("[2001:db8::1]:7002")),
            (200, Some("seed:7003")),
            (399, Some("seed:7004")),
            (400, None),
            (500, None),
            (600, None),
        ] {
            let found = slots.master(slot).map(Address::to_string);
            assert_eq!(found.as_deref(), master, "{slot}");
        }
    }

    #[test]
    fn a_redirection_names_a_node() {
        let answering = Address::new("seed", 6379);
        for (address, node) in [
            ("10.0.0.1:7001", Some("10.0.0.1:7001")),
            ("a.example:7001", Some("a.example:7001")),
            ("::1:7001", Some("[::1]:7001")),
            ("[::1]:7001", Some("[::1]:7001")),
            (":7001", Some("seed:7001")),
            ("?:7001", None),
            ("10.0.0.1", None),
            ("10.0.0.1:70001", None),
            ("", None),
        ] {
            let parsed = redirection(address, &answering).map(|node| node.to_string());
            assert_eq!(parsed.as_deref(), node, "{address}");
        }
    }
}
