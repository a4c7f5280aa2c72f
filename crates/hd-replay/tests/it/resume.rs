//! Where a client that connects resumes.

use std::collections::HashSet;

use hd_replay::{
    Broker, BrokerConfig, Cursor, CursorError, Gap, InvalidOffset, LogConfig, LogId, NewEntry,
    Offset, Place, Reconnect, ResumeOutcome, ResumeRefusal, ResumeRequest, SeenConfig, Standing,
    Trimmed, room_set_key,
};
use hd_rooms::RoomName;

use super::{HOUR, NOON, room, rooms};

const LOG: LogId = LogId(7);
const ANA: u64 = 42;

/// A broker of a shared log that begins at 10, with an event for Ana at 11, for everyone at 12, and
/// for her own socket's room at 13.
fn broker() -> Broker<&'static str, u32> {
    broker_of(true)
}

fn broker_of(is_shared: bool) -> Broker<&'static str, u32> {
    let log = LogConfig {
        // Two of the events.
        max_replay_bytes: 2,
        ..LogConfig::default()
    };
    let config = BrokerConfig {
        log: Some(log),
        is_shared,
        ids: SeenConfig::default(),
    };
    let mut broker = Broker::new(config, LOG, NOON);
    broker.begin_log_at(place(10), Trimmed::all_up_to(at(10)));
    let own = [room("own")];
    for (count, to, event) in [(11, ana().as_slice(), "1"), (12, &[], "2"), (13, &own, "3")] {
        let _ = broker.publish_at(at(count), |_| false, || NewEntry::to(to, 1, event));
    }
    broker
}

fn ana() -> Vec<RoomName> {
    rooms(&["ana"])
}

fn at(count: u64) -> Offset {
    Offset::new(NOON, count)
}

fn place(count: u64) -> Place {
    let offset = at(count);
    Place { log: LOG, offset }
}

/// Ana's cursor, from the time when the log ended there.
fn cursor(start: u64) -> Cursor {
    Cursor {
        identity: ANA,
        log: LOG,
        start: at(start),
        stale: None,
        rooms: Some(room_set_key(&ana())),
        sid: "kept".to_owned(),
    }
}

fn presented(cursor: Cursor, shown: Option<Offset>) -> Reconnect {
    Reconnect {
        cursor: Ok(cursor),
        shown: Ok(shown),
    }
}

/// How a client of Ana's resumes.
#[derive(Debug, PartialEq)]
struct Outcome {
    outcome: ResumeOutcome,
    missed: Vec<&'static str>,
    standing: Standing,
    cursor: Option<Cursor>,
    lost: Option<Place>,
}

fn resume_at(
    broker: &mut Broker<&'static str, u32>,
    reconnect: Option<&Reconnect>,
    now: u64,
) -> Outcome {
    let arrival = broker.arrive();
    resume_after(broker, reconnect, arrival, now)
}

fn resume_after(
    broker: &mut Broker<&'static str, u32>,
    reconnect: Option<&Reconnect>,
    arrival: hd_replay::Arrival,
    now: u64,
) -> Outcome {
    let rooms = ana();
    let request = ResumeRequest {
        identity: ANA,
        rooms: &rooms,
        own_room: None,
        reconnect,
        arrival,
    };
    let resumed = broker.resume(&request, || "new".to_owned(), now);
    let resumed = resumed.expect("there is a log");
    Outcome {
        outcome: resumed.outcome,
        missed: resumed
            .missed
            .into_iter()
            .map(|(_, event)| *event)
            .collect(),
        standing: resumed.standing,
        cursor: resumed.cursor,
        lost: resumed.lost,
    }
}

fn resume(broker: &mut Broker<&'static str, u32>, reconnect: &Reconnect) -> Outcome {
    resume_at(broker, Some(reconnect), NOON)
}

fn recovered(missed: &[&'static str], standing: Standing) -> Outcome {
    Outcome {
        outcome: ResumeOutcome::Recovered,
        missed: missed.to_vec(),
        standing,
        cursor: None,
        lost: None,
    }
}

#[track_caller]
fn assert_refused(reconnect: &Reconnect, refusal: ResumeRefusal) {
    let outcome = resume(&mut broker(), reconnect);
    assert_eq!(outcome.outcome, ResumeOutcome::Refused(refusal));
    assert_eq!(outcome.missed, Vec::<&str>::new());
    assert_eq!(outcome.standing, Standing::Current);
    assert_eq!(outcome.lost, None);
    let cursor = outcome.cursor.expect("a new one");
    assert_eq!((cursor.identity, cursor.log), (ANA, LOG));
    assert_eq!(cursor.sid, "new");
}

#[test]
fn a_client_that_connects_for_the_first_time_begins_at_the_end() {
    let outcome = resume_at(&mut broker(), None, NOON);
    assert_eq!(outcome.outcome, ResumeOutcome::First);
    let new = Cursor {
        sid: "new".to_owned(),
        ..cursor(13)
    };
    assert_eq!(outcome.cursor, Some(new));
    assert_eq!(outcome.missed, Vec::<&str>::new());
}

#[test]
fn a_client_that_reconnects_is_sent_what_it_missed_and_keeps_its_cursor() {
    let mut broker = broker();
    let reconnect = presented(cursor(10), None);
    assert_eq!(
        resume(&mut broker, &reconnect),
        recovered(&["1", "2"], Standing::Current)
    );
    let reconnect = presented(cursor(10), Some(at(11)));
    assert_eq!(
        resume(&mut broker, &reconnect),
        recovered(&["2"], Standing::Current)
    );
}

#[test]
fn a_replay_that_exceeds_a_portion_continues_after_it() {
    let mut broker = broker();
    let arrival = broker.arrive();
    let reconnect = presented(cursor(10), None);
    let (rooms, own) = (ana(), room("own"));
    let request = ResumeRequest {
        identity: ANA,
        rooms: &rooms,
        own_room: Some(&own),
        reconnect: Some(&reconnect),
        arrival,
    };
    let resumed = broker
        .resume(&request, String::new, NOON)
        .expect("there is a log");
    assert_eq!(resumed.missed, [(at(11), &"1"), (at(12), &"2")]);
    assert_eq!(resumed.standing, Standing::Behind(place(12)));

    let both = rooms_of(&rooms, &own);
    let next = broker.next_portion(place(12), &both, NOON);
    assert_eq!(next, Ok((vec![(at(13), &"3")], Standing::Current)));
}

fn rooms_of(rooms: &[RoomName], own: &RoomName) -> Vec<RoomName> {
    rooms.iter().chain([own]).cloned().collect()
}

#[test]
fn a_portion_of_another_log_is_a_gap() {
    let mut broker = broker();
    let other = Place {
        log: LogId(6),
        ..place(12)
    };
    assert_eq!(
        broker.next_portion(other, &ana(), NOON),
        Err(Gap::BeforeLog)
    );
    let late = NOON + 25 * HOUR;
    assert_eq!(
        broker.next_portion(place(10), &ana(), late),
        Err(Gap::TooOld)
    );
}

#[test]
fn without_a_log_nobody_recovers() {
    let mut broker: Broker<&str, u32> = Broker::new(BrokerConfig::default(), LOG, NOON);
    let rooms = ana();
    let reconnect = presented(cursor(10), None);
    let request = ResumeRequest {
        identity: ANA,
        rooms: &rooms,
        own_room: None,
        reconnect: Some(&reconnect),
        arrival: broker.arrive(),
    };
    assert!(broker.resume(&request, String::new, NOON).is_none());
    assert_eq!(
        broker.next_portion(place(10), &rooms, NOON),
        Err(Gap::BeforeLog)
    );
}

#[test]
fn a_pid_or_offset_that_is_invalid_is_refused() {
    for error in [CursorError::Malformed, CursorError::Forged] {
        let reconnect = Reconnect {
            cursor: Err(error),
            shown: Ok(None),
        };
        assert_refused(&reconnect, ResumeRefusal::Pid(error));
        assert_eq!(reconnect.place(), None);
    }
    let reconnect = Reconnect {
        cursor: Ok(cursor(10)),
        shown: Err(InvalidOffset),
    };
    assert_refused(&reconnect, ResumeRefusal::Offset);
    assert_eq!(reconnect.place(), None);
}

#[test]
fn a_pid_of_another_user_log_or_set_of_rooms_is_refused() {
    let other_user = Cursor {
        identity: 43,
        ..cursor(10)
    };
    assert_refused(&presented(other_user, None), ResumeRefusal::OtherIdentity);
    let other_log = Cursor {
        log: LogId(6),
        ..cursor(10)
    };
    assert_refused(&presented(other_log, None), ResumeRefusal::OtherLog);
    let other_rooms = Cursor {
        rooms: Some(room_set_key(&rooms(&["ana", "agents"]))),
        ..cursor(10)
    };
    assert_refused(&presented(other_rooms, None), ResumeRefusal::RoomsChanged);
}

#[test]
fn a_pid_without_rooms_recovers_for_as_long_as_events_are_kept() {
    let reconnect = presented(
        Cursor {
            rooms: None,
            ..cursor(13)
        },
        None,
    );
    let day = NOON + 24 * HOUR;
    let outcome = resume_at(&mut broker(), Some(&reconnect), day);
    assert_eq!(outcome.outcome, ResumeOutcome::Recovered);
    let outcome = resume_at(&mut broker(), Some(&reconnect), day + 1);
    let refused = ResumeOutcome::Refused(ResumeRefusal::RoomsChanged);
    assert_eq!(outcome.outcome, refused);
}

#[test]
fn a_client_that_has_received_more_than_this_instance_has_read_is_ahead() {
    let reconnect = presented(cursor(10), Some(at(20)));
    assert_eq!(reconnect.place(), Some(place(20)));
    let ahead = recovered(&[], Standing::Ahead(at(20)));
    assert_eq!(resume(&mut broker(), &reconnect), ahead);

    // Nobody else appends to a log that is not shared.
    let outcome = resume(&mut broker_of(false), &reconnect);
    let refused = ResumeOutcome::Refused(ResumeRefusal::Gap(Gap::AfterLog));
    assert_eq!(outcome.outcome, refused);
}

#[test]
fn an_offset_from_the_far_future_is_not_ahead() {
    // The clock of Redis may be ahead by a minute.
    let soon = Offset::new(NOON + 60_000, 0);
    let outcome = resume(&mut broker(), &presented(cursor(10), Some(soon)));
    assert_eq!(outcome, recovered(&[], Standing::Ahead(soon)));
    let future = Offset::new(NOON + 60_001, 0);
    let reconnect = presented(cursor(10), Some(future));
    assert_refused(&reconnect, ResumeRefusal::Gap(Gap::AfterLog));
}

/// The end of the log was asked for after the client presented its offset, and is at 13.
fn resume_after_loss(reconnect: &Reconnect) -> Outcome {
    let mut broker = broker();
    let arrival = broker.arrive();
    assert_eq!(broker.handle_end(place(13), arrival), []);
    resume_after(&mut broker, Some(reconnect), arrival, NOON)
}

#[test]
fn a_cursor_beyond_the_end_of_the_log_proves_that_the_log_has_lost_it() {
    let outcome = resume_after_loss(&presented(cursor(14), None));
    let refused = ResumeOutcome::Refused(ResumeRefusal::LostEnd);
    assert_eq!(outcome.outcome, refused);
    assert_eq!(outcome.lost, Some(place(14)));
}

#[test]
fn an_offset_that_a_client_shows_proves_nothing_about_the_log() {
    for start in [10, 13] {
        let outcome = resume_after_loss(&presented(cursor(start), Some(at(14))));
        let refused = ResumeOutcome::Refused(ResumeRefusal::LostEnd);
        assert_eq!(outcome.outcome, refused);
        assert_eq!(outcome.lost, None);
        // The log may get another event at that offset: it does not count as received.
        let cursor = outcome.cursor.expect("a new one");
        assert!(cursor.after(Some(at(14))) < at(14));
    }
}

#[test]
fn a_refusal_for_another_reason_proves_no_loss() {
    let other_user = Cursor {
        identity: 43,
        ..cursor(14)
    };
    let outcome = resume_after_loss(&presented(other_user, None));
    let refused = ResumeOutcome::Refused(ResumeRefusal::OtherIdentity);
    assert_eq!(outcome.outcome, refused);
    assert_eq!(outcome.lost, None);
}

#[test]
fn what_a_client_shows_counts_in_its_next_cursor_when_nothing_was_lost() {
    // Its rooms are the same, and the log has expired what it missed.
    let mut broker = broker();
    let reconnect = presented(cursor(10), Some(at(10)));
    let outcome = resume_at(&mut broker, Some(&reconnect), NOON + 25 * HOUR);
    let refused = ResumeOutcome::Refused(ResumeRefusal::Gap(Gap::TooOld));
    assert_eq!(outcome.outcome, refused);
    let cursor = outcome.cursor.expect("a new one");
    assert_eq!(cursor.start, at(13));
}

#[test]
fn every_refusal_has_a_code_of_its_own() {
    let codes: HashSet<&str> = ResumeRefusal::ALL.map(ResumeRefusal::code).into();
    assert_eq!(codes.len(), ResumeRefusal::ALL.len());
    assert!(codes.iter().all(|code| !code.is_empty()));
}
