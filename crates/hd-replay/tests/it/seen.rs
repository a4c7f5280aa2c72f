use std::time::Duration;

use hd_replay::{Seen, SeenConfig};

use super::NOON;

fn seen(max_ids: usize) -> Seen<u32> {
    Seen::new(SeenConfig {
        max_ids,
        ttl: Duration::from_secs(60),
    })
}

#[test]
fn an_id_is_remembered_for_its_time() {
    let mut seen = seen(10);
    assert_eq!(seen.find("a", NOON), None);
    assert!(!seen.insert("a", 1, NOON));
    assert!(!seen.is_empty());
    assert_eq!(seen.find("a", NOON + 59_999), Some(&1));
    assert_eq!(seen.find("b", NOON + 59_999), None);
    assert_eq!(seen.find("a", NOON + 60_000), None);
    assert!(seen.is_empty());
}

#[test]
fn the_oldest_is_forgotten_when_it_is_full_and_that_is_told() {
    let mut seen = seen(2);
    assert!(!seen.insert("a", 1, NOON));
    assert!(!seen.insert("b", 2, NOON));
    assert!(seen.insert("c", 3, NOON));
    assert_eq!(seen.find("a", NOON), None);
    assert_eq!(seen.find("b", NOON), Some(&2));
    assert_eq!(seen.len(), 2);
}

#[test]
fn an_id_that_comes_again_takes_no_second_place() {
    let mut seen = seen(2);
    for _ in 0..5 {
        assert!(!seen.insert("a", 1, NOON));
    }
    assert_eq!(seen.len(), 1);
}
