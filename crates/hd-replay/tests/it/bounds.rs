use std::time::Duration;

use hd_replay::{Gap, Log, LogConfig, NewEntry, Offset, Portion, Trimmed, room_key};

use super::{HOUR, NOON, log, missed, rooms, send};

fn bounded(config: LogConfig) -> Log<&'static str> {
    Log::new(config, NOON)
}

#[test]
fn a_room_keeps_its_latest_events_and_who_misses_more_has_a_gap() {
    let mut log = bounded(LogConfig {
        max_events: 2,
        ..LogConfig::default()
    });
    let before = log.last_offset();
    let first = send(&mut log, &["ana"], "1", NOON);
    send(&mut log, &["ana"], "2", NOON);
    assert_eq!(missed(&log, &["ana"], before, NOON), Ok(vec!["1", "2"]));

    send(&mut log, &["ana"], "3", NOON);
    assert_eq!(missed(&log, &["ana"], before, NOON), Err(Gap::Dropped));
    assert_eq!(missed(&log, &["ana"], first, NOON), Ok(vec!["2", "3"]));
    assert_eq!(missed(&log, &["luis"], before, NOON), Ok(vec![]));
    assert_eq!((log.len(), log.bytes()), (2, 2));
}

#[test]
fn everyone_s_events_are_bounded_too() {
    let mut log = bounded(LogConfig {
        max_events: 1,
        ..LogConfig::default()
    });
    let before = log.last_offset();
    send(&mut log, &[], "1", NOON);
    send(&mut log, &[], "2", NOON);
    assert_eq!(missed(&log, &["ana"], before, NOON), Err(Gap::Dropped));
}

#[test]
fn a_room_keeps_so_many_bytes_but_its_latest_event_in_any_case() {
    let mut log = bounded(LogConfig {
        max_bytes: 4,
        ..LogConfig::default()
    });
    let first = send(&mut log, &["ana"], "12", NOON);
    send(&mut log, &["ana"], "34", NOON);
    assert_eq!(log.bytes(), 4);
    let third = send(&mut log, &["ana"], "5", NOON);
    assert_eq!(log.bytes(), 3);
    send(&mut log, &["ana"], "larger than all", NOON);
    assert_eq!(log.len(), 1);
    assert_eq!(missed(&log, &["ana"], first, NOON), Err(Gap::Dropped));
    assert_eq!(
        missed(&log, &["ana"], third, NOON),
        Ok(vec!["larger than all"])
    );
}

#[test]
fn the_bytes_of_a_room_stay_bounded_however_many_events_come() {
    let mut log = bounded(LogConfig {
        max_bytes: 10,
        ..LogConfig::default()
    });
    for _ in 0..100 {
        send(&mut log, &["ana"], "12", NOON);
    }
    assert_eq!((log.len(), log.bytes()), (5, 10));
}

#[test]
fn a_full_log_drops_the_oldest_events_whosever_they_are() {
    let mut log = bounded(LogConfig {
        max_total_bytes: 3,
        ..LogConfig::default()
    });
    let before = log.last_offset();
    let first = send(&mut log, &["ana"], "1", NOON);
    send(&mut log, &["luis"], "2", NOON);
    send(&mut log, &[], "3", NOON);
    assert_eq!(missed(&log, &["luis"], before, NOON), Ok(vec!["2", "3"]));

    send(&mut log, &["luis"], "4", NOON);
    assert_eq!((log.len(), log.bytes(), log.room_count()), (3, 3, 1));
    assert_eq!(missed(&log, &["ana"], before, NOON), Err(Gap::Dropped));
    assert_eq!(missed(&log, &["ana"], first, NOON), Ok(vec!["3"]));
    // What was dropped was Ana's.
    assert_eq!(
        missed(&log, &["luis"], before, NOON),
        Ok(vec!["2", "3", "4"])
    );
}

#[test]
fn a_portion_of_a_replay_has_so_many_bytes_at_most_but_one_event_in_any_case() {
    let mut log = bounded(LogConfig {
        max_replay_bytes: 3,
        ..LogConfig::default()
    });
    let before = log.last_offset();
    let first = send(&mut log, &["ana"], "1", NOON);
    let second = send(&mut log, &[], "23", NOON);
    let third = send(&mut log, &["ana"], "45678", NOON);
    let portion = |after| log.portion(&rooms(&["ana"]), after, NOON);
    let events = vec![(first, &"1"), (second, &"23")];
    let behind = Some(second);
    assert_eq!(portion(before), Ok(Portion { events, behind }));
    let events = vec![(third, &"45678")];
    let behind = None;
    assert_eq!(portion(second), Ok(Portion { events, behind }));
}

#[test]
fn what_was_trimmed_elsewhere_is_a_gap_for_its_rooms_only() {
    let [before, trimmed, began] = [0, 1, 2].map(|count| Offset::new(NOON, count));
    let memory = [(room_key("ana"), trimmed)];
    let memory = Trimmed::from_parts(Offset::default(), memory);
    let log: Log<&str> = Log::starting_at(LogConfig::default(), began, memory);
    assert_eq!(missed(&log, &["ana"], before, NOON), Err(Gap::Dropped));
    assert_eq!(missed(&log, &["ana"], trimmed, NOON), Ok(vec![]));
    assert_eq!(missed(&log, &["luis"], before, NOON), Ok(vec![]));
}

#[test]
fn so_many_rooms_of_which_something_was_removed_are_remembered() {
    let mut log = bounded(LogConfig {
        max_events: 1,
        max_trimmed_rooms: 4,
        ..LogConfig::default()
    });
    let before = log.last_offset();
    let users = ["1", "2", "3", "4", "5"];
    let mut removed = before;
    for user in users {
        removed = send(&mut log, &[user], "removed", NOON);
        send(&mut log, &[user], "retained", NOON);
        assert!(log.trimmed().rooms().len() <= 4);
    }
    assert!(log.trimmed().floor() > before && log.trimmed().floor() < removed);
    for user in users {
        assert!(missed(&log, &[user], before, NOON).is_err());
    }
    assert_eq!(missed(&log, &["6"], before, NOON), Err(Gap::BeforeLog));
    assert_eq!(missed(&log, &["6"], removed, NOON), Ok(vec![]));
}

#[test]
fn old_events_go_with_their_rooms() {
    let mut log = log();
    send(&mut log, &["ana"], "1", NOON);
    send(&mut log, &["ana", "agents"], "2", NOON + HOUR);
    send(&mut log, &[], "3", NOON + HOUR);

    log.expire(NOON + 24 * HOUR);
    assert_eq!((log.len(), log.room_count()), (3, 2));
    log.expire(NOON + 24 * HOUR + 1);
    assert_eq!((log.len(), log.room_count()), (2, 2));
    log.expire(NOON + 25 * HOUR + 1);
    assert_eq!((log.len(), log.bytes(), log.room_count()), (0, 0, 0));
    assert!(log.is_empty());
}

#[test]
fn a_bound_that_removes_a_stale_event_makes_no_gap() {
    let of_a_room = LogConfig {
        max_events: 1,
        ..LogConfig::default()
    };
    let in_all = LogConfig {
        max_total_bytes: 4,
        ..LogConfig::default()
    };
    for config in [of_a_room, in_all] {
        for (now, expected) in [
            (NOON + 59_999, Err(Gap::Dropped)),
            (NOON + 60_000, Ok(vec!["next"])),
        ] {
            let mut log = bounded(config);
            let before = log.last_offset();
            let offset = log.next_offset(NOON);
            let ana = rooms(&["ana"]);
            let entry = NewEntry {
                ttl: Some(Duration::from_secs(60)),
                ..NewEntry::to(&ana, 1, "a minute")
            };
            log.append(offset, entry, NOON);
            send(&mut log, &["ana"], "next", now);
            assert_eq!(log.len(), 1);
            assert_eq!(missed(&log, &["ana"], before, now), expected);
        }
    }
}

#[test]
fn appending_drops_old_events_too() {
    let mut log = log();
    send(&mut log, &["ana"], "1", NOON);
    send(&mut log, &["luis"], "2", NOON + 24 * HOUR + 1);
    assert_eq!((log.len(), log.room_count()), (1, 1));
}

#[test]
fn each_further_room_of_an_event_counts_in_the_whole_log() {
    let mut log = bounded(LogConfig {
        max_total_bytes: 1000,
        ..LogConfig::default()
    });
    send(&mut log, &["ana", "luis", "agents"], "1", NOON);
    assert!(log.bytes() > 500, "{} bytes", log.bytes());
    let before = log.last_offset();
    send(&mut log, &["ana", "luis", "agents"], "2", NOON);
    assert_eq!((log.len(), log.room_count()), (1, 3));
    assert_eq!(missed(&log, &["ana"], before, NOON), Ok(vec!["2"]));

    // One that is larger than all is not kept, and who is away is told.
    send(&mut log, &["a", "b", "c", "d", "e", "f"], "3", NOON);
    assert_eq!((log.len(), log.bytes(), log.room_count()), (0, 0, 0));
    assert_eq!(missed(&log, &["a"], before, NOON), Err(Gap::Dropped));
}
