use std::time::Duration;

use hd_replay::{Gap, Log, LogConfig, NewEntry, Offset, Trimmed};

use super::{HOUR, NOON, log, missed, room, rooms, send};

#[test]
fn what_comes_after_an_offset_is_missed_and_nothing_else() {
    let mut log = log();
    assert!(log.is_empty());
    let before = log.last_offset();
    let first = send(&mut log, &["ana"], "one", NOON);
    let second = send(&mut log, &["ana"], "two", NOON + 1);
    assert!(!log.is_empty());

    assert_eq!(missed(&log, &["ana"], before, NOON), Ok(vec!["one", "two"]));
    assert_eq!(missed(&log, &["ana"], first, NOON), Ok(vec!["two"]));
    assert_eq!(missed(&log, &["ana"], second, NOON), Ok(vec![]));
    assert_eq!(missed(&log, &["luis"], before, NOON), Ok(vec![]));
}

#[test]
fn all_rooms_of_a_client_have_one_order() {
    let mut log = log();
    let before = log.last_offset();
    send(&mut log, &["ana"], "1", NOON);
    send(&mut log, &[], "2", NOON);
    send(&mut log, &["agents"], "3", NOON);
    send(&mut log, &["ana"], "4", NOON);
    send(&mut log, &["luis"], "5", NOON);
    send(&mut log, &[], "6", NOON);

    let of = &["ana", "agents"];
    assert_eq!(
        missed(&log, of, before, NOON),
        Ok(vec!["1", "2", "3", "4", "6"])
    );
    assert_eq!(missed(&log, &[], before, NOON), Ok(vec!["2", "6"]));
}

#[test]
fn an_event_for_several_rooms_of_a_client_is_missed_once() {
    let mut log = log();
    let before = log.last_offset();
    send(&mut log, &["ana", "agents", "ana"], "once", NOON);
    assert_eq!(log.len(), 1);
    assert_eq!(
        missed(&log, &["agents", "ana"], before, NOON),
        Ok(vec!["once"])
    );
}

#[test]
fn members_of_an_excepted_room_miss_nothing() {
    let mut log = log();
    let before = log.last_offset();
    let offset = log.next_offset(NOON);
    let except = [room("bosses")];
    let entry = NewEntry {
        except: &except,
        ..NewEntry::to(&[], 1, "to all but some")
    };
    log.append(offset, entry, NOON);
    assert_eq!(
        missed(&log, &["ana"], before, NOON),
        Ok(vec!["to all but some"])
    );
    assert_eq!(missed(&log, &["ana", "bosses"], before, NOON), Ok(vec![]));
}

#[test]
fn an_event_with_a_shorter_life_is_left_out_in_silence() {
    let mut log = log();
    let before = log.last_offset();
    let offset = log.next_offset(NOON);
    let ana = rooms(&["ana"]);
    let entry = NewEntry {
        ttl: Some(Duration::from_secs(60)),
        ..NewEntry::to(&ana, 1, "soon stale")
    };
    log.append(offset, entry, NOON);
    send(&mut log, &["ana"], "stays", NOON);

    let last_moment = NOON + 59_999;
    assert_eq!(
        missed(&log, &["ana"], before, last_moment),
        Ok(vec!["soon stale", "stays"])
    );
    assert_eq!(
        missed(&log, &["ana"], before, last_moment + 1),
        Ok(vec!["stays"])
    );
}

#[test]
fn offsets_of_another_log_are_gaps() {
    let mut log = log();
    send(&mut log, &["ana"], "one", NOON + 10);
    let before = Offset::new(NOON - 1, 0);
    assert_eq!(missed(&log, &["ana"], before, NOON), Err(Gap::BeforeLog));
    let after = Offset::new(NOON + 10, 1);
    assert_eq!(missed(&log, &["ana"], after, NOON), Err(Gap::AfterLog));
}

#[test]
fn a_client_to_which_nothing_was_sent_has_no_gap_however_long_it_was_away() {
    let mut log = log();
    let before = log.last_offset();
    let first = send(&mut log, &["ana"], "one", NOON + HOUR);
    let later = NOON + 26 * HOUR;
    assert_eq!(missed(&log, &["ana"], before, later), Err(Gap::TooOld));
    assert_eq!(missed(&log, &["luis"], before, later), Ok(vec![]));

    log.expire(later);
    assert_eq!(missed(&log, &["ana"], before, later), Err(Gap::TooOld));
    assert_eq!(missed(&log, &["ana"], first, later), Ok(vec![]));
    send(&mut log, &["luis"], "two", later);
    assert_eq!(missed(&log, &["luis"], before, later), Ok(vec!["two"]));
}

#[test]
fn an_event_that_was_stale_when_it_was_removed_is_no_gap() {
    let mut log = log();
    let before = log.last_offset();
    let offset = log.next_offset(NOON);
    let ana = rooms(&["ana"]);
    let entry = NewEntry {
        ttl: Some(Duration::from_secs(60)),
        ..NewEntry::to(&ana, 3, "one")
    };
    log.append(offset, entry, NOON);
    let later = NOON + 25 * HOUR;
    log.expire(later);
    assert!(log.is_empty());
    assert_eq!(missed(&log, &["ana"], before, later), Ok(vec![]));
}

#[test]
fn what_has_expired_is_a_gap_though_the_clock_is_set_back() {
    let mut log = log();
    let before = log.last_offset();
    send(&mut log, &["ana"], "one", NOON);
    let day = NOON + 24 * HOUR;
    log.expire(day + 1);
    assert_eq!(missed(&log, &["ana"], before, day), Err(Gap::Dropped));
    let after = log.last_offset();
    assert_eq!(missed(&log, &["ana"], after, day), Ok(vec![]));
}

#[test]
fn a_copy_of_the_rest_of_a_log_says_what_it_has_not() {
    let [began, next] = [0, 1].map(|count| Offset::new(NOON, count));
    let mut log = Log::starting_at(LogConfig::default(), began, Trimmed::all_up_to(began));
    log.append(next, NewEntry::to(&[], 3, "one"), NOON);
    assert_eq!(missed(&log, &[], began, NOON), Ok(vec!["one"]));
    let before = Offset::new(NOON - 1, 9);
    assert_eq!(missed(&log, &[], before, NOON), Err(Gap::BeforeLog));
}

#[test]
fn a_clock_that_is_set_back_does_not_change_the_order() {
    let mut log = log();
    let before = log.last_offset();
    let first = send(&mut log, &["ana"], "one", NOON + HOUR);
    let second = send(&mut log, &["ana"], "two", NOON);
    assert!(first < second);
    assert_eq!(missed(&log, &["ana"], before, NOON), Ok(vec!["one", "two"]));
}

#[test]
#[should_panic(expected = "an offset follows the last one")]
fn an_offset_is_used_once() {
    let mut log = log();
    let offset = send(&mut log, &["ana"], "one", NOON);
    log.append(offset, NewEntry::to(&[], 1, "two"), NOON);
}
