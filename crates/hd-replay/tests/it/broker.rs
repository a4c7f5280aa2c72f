//! Decisions about the events of a namespace, for one socket and one record at a time.

use std::time::Duration;

use hd_replay::{
    Arrival, Broker, BrokerConfig, FollowOutcome, Gap, LogConfig, LogId, NewEntry, Offset, Place,
    PublishOutcome, SeenConfig, Standing, Trimmed,
};

use super::{NOON, rooms};

const LOG: LogId = LogId(7);

/// A broker of a shared log that has been read up to 10.
fn broker() -> Broker<&'static str, u32> {
    let config = BrokerConfig {
        log: Some(LogConfig::default()),
        is_shared: true,
        ids: SeenConfig::default(),
    };
    let mut broker = Broker::new(config, LOG, NOON);
    broker.begin_log_at(place(10), Trimmed::nothing());
    broker
}

fn at(count: u64) -> Offset {
    Offset::new(NOON, count)
}

fn place(count: u64) -> Place {
    let offset = at(count);
    Place { log: LOG, offset }
}

/// Reads the record at `count`; the sockets that it is not sent to, or `None` when it is sent to nobody.
fn read(broker: &mut Broker<&'static str, u32>, count: u64, left: &[u32]) -> Option<Vec<u32>> {
    let has_left = |socket: &u32| left.contains(socket);
    match broker.publish_at(at(count), has_left, || NewEntry::to(&[], 5, "event")) {
        FollowOutcome::Accepted { except } => Some(except.iter().map(|it| it.socket).collect()),
        FollowOutcome::OutOfOrder => None,
    }
}

/// A client presents an offset and enters at once.
fn enter(broker: &mut Broker<&'static str, u32>, socket: u32, count: u64) -> Arrival {
    let arrival = broker.arrive();
    broker.enter(socket, (Standing::Ahead(at(count)), arrival), |_| false);
    arrival
}

#[test]
fn a_socket_is_skipped_up_to_the_offset_that_its_client_has_received() {
    let mut broker = broker();
    enter(&mut broker, 1, 12);
    let arrival = broker.arrive();
    broker.enter(2, (Standing::Current, arrival), |_| false);
    assert_eq!(read(&mut broker, 11, &[]), Some(vec![1]));
    assert_eq!(read(&mut broker, 12, &[]), Some(vec![1]));
    assert_eq!(read(&mut broker, 13, &[]), Some(vec![]));
}

#[test]
fn sockets_that_have_left_are_forgotten_and_the_others_are_not() {
    let mut broker = broker();
    for socket in 1..=3 {
        enter(&mut broker, socket, 20);
    }
    assert_eq!(read(&mut broker, 11, &[2]), Some(vec![1, 3]));
    assert_eq!(read(&mut broker, 12, &[]), Some(vec![1, 3]));

    // Nothing is read meanwhile, and every earlier socket but the first has left.
    for socket in 4..1000 {
        let arrival = broker.arrive();
        let standing = Standing::Ahead(at(20));
        broker.enter(socket, (standing, arrival), |&it| it != 1);
    }
    let skipped = read(&mut broker, 13, &[]).expect("a later record");
    assert!(skipped.contains(&1) && skipped.contains(&999));
    assert!(skipped.len() <= 4, "{skipped:?}");
}

#[test]
fn a_record_that_was_read_before_is_sent_to_nobody() {
    let mut broker = broker();
    assert_eq!(read(&mut broker, 11, &[]), Some(vec![]));
    for count in [9, 10, 11] {
        assert_eq!(read(&mut broker, count, &[]), None);
    }
    assert_eq!(broker.log().map(hd_replay::Log::len), Some(1));
    assert_eq!(broker.end(), Some(place(11)));
}

#[test]
fn a_record_expires_by_the_time_of_its_offset() {
    let mut broker = broker();
    let day = LogConfig::default().ttl;
    let ttl = u64::try_from(day.as_millis()).unwrap();
    read(&mut broker, 11, &[]);
    let later = Offset::new(NOON + ttl + 1, 0);
    let _ = broker.publish_at(later, |_| false, || NewEntry::to(&[], 5, "event"));
    assert_eq!(broker.log().map(hd_replay::Log::len), Some(1));
}

#[test]
fn an_unreadable_record_is_a_gap_for_everyone() {
    let mut broker = broker();
    read(&mut broker, 11, &[]);
    enter(&mut broker, 1, 20);
    assert!(broker.handle_unreadable(at(12)));
    assert_eq!(broker.end(), Some(place(12)));
    let log = broker.log().expect("there is a log");
    let ana = rooms(&["ana"]);
    assert_eq!(log.missed(&ana, at(11), NOON), Err(Gap::BeforeLog));
    assert_eq!(log.missed(&ana, at(12), NOON), Ok(vec![]));
    // The transport of the socket has been closed.
    assert_eq!(read(&mut broker, 13, &[]), Some(vec![]));
}

#[test]
fn an_unreadable_record_that_was_read_before_is_no_gap() {
    let mut broker = broker();
    read(&mut broker, 11, &[]);
    for count in [10, 11] {
        assert!(!broker.handle_unreadable(at(count)));
    }
    let log = broker.log().expect("there is a log");
    let missed = log.missed(&[], at(10), NOON);
    assert_eq!(missed, Ok(vec![(at(11), &"event")]));
}

#[test]
fn an_end_before_what_clients_have_received_names_their_sockets() {
    let mut broker = broker();
    enter(&mut broker, 1, 12);
    enter(&mut broker, 2, 13);
    enter(&mut broker, 3, 14);
    let asked = broker.arrivals();
    // The log may have had this one only after its end was asked for.
    enter(&mut broker, 4, 14);
    assert_eq!(broker.handle_end(place(12), asked), [2, 3]);
    // They are gone, and the others are skipped as before.
    assert_eq!(read(&mut broker, 11, &[]), Some(vec![1, 4]));
    let asked = broker.arrivals();
    assert_eq!(broker.handle_end(place(12), asked), [4]);
}

#[test]
fn the_end_of_another_log_proves_nothing() {
    let mut broker = broker();
    let arrival = enter(&mut broker, 1, 14);
    let other = Place {
        log: LogId(6),
        ..place(12)
    };
    let asked = broker.arrivals();
    assert_eq!(broker.handle_end(other, asked), []);
    assert_eq!(read(&mut broker, 11, &[]), Some(vec![1]));
    assert!(!broker.may_resume(place(14), arrival));
}

#[test]
fn a_client_waits_until_the_log_is_read_as_far_as_it_has_received() {
    let mut broker = broker();
    let arrival = broker.arrive();
    assert!(broker.may_resume(place(9), arrival));
    assert!(broker.may_resume(place(10), arrival));
    assert!(!broker.may_resume(place(11), arrival));
    assert!(broker.has_reached(place(10)) && !broker.has_reached(place(11)));
    read(&mut broker, 11, &[]);
    assert!(broker.may_resume(place(11), arrival));

    let [earlier, later] = [6, 8].map(LogId);
    let of = |log| Place { log, ..place(11) };
    assert!(broker.may_resume(
        Place {
            offset: at(99),
            ..of(earlier)
        },
        arrival
    ));
    assert!(!broker.may_resume(
        Place {
            offset: at(1),
            ..of(later)
        },
        arrival
    ));
}

#[test]
fn a_client_does_not_wait_for_what_the_log_has_lost() {
    let mut broker = broker();
    let before = broker.arrive();
    let asked = broker.arrivals();
    let after = broker.arrive();
    assert_eq!(broker.handle_end(place(11), asked), []);
    assert!(broker.may_resume(place(12), before));
    // It is there, and has yet to be read.
    assert!(!broker.may_resume(place(11), before));
    // It may have been appended after the end was asked for.
    assert!(!broker.may_resume(place(12), after));
    // The end of this log says nothing about the next one.
    let next = Place {
        log: LogId(8),
        ..place(12)
    };
    assert!(!broker.may_resume(next, before));
    // Nor about a log that has begun since.
    broker.begin_log_at(place(10), Trimmed::nothing());
    assert!(!broker.may_resume(place(12), before));
}

#[test]
fn without_a_log_nobody_waits() {
    let mut broker: Broker<&str, u32> = Broker::new(BrokerConfig::default(), LOG, NOON);
    let arrival = broker.arrive();
    assert!(broker.log().is_none() && broker.end().is_none());
    assert!(broker.has_reached(place(99)) && broker.may_resume(place(99), arrival));
    assert_eq!(
        broker.publish(None, NOON, |_| NewEntry::to(&[], 5, "event")),
        PublishOutcome::Accepted {
            offset: None,
            forgot_id: false
        }
    );
}

#[test]
fn an_id_is_taken_once_and_counted() {
    let config = BrokerConfig {
        log: Some(LogConfig::default()),
        is_shared: false,
        ids: SeenConfig {
            max_ids: 2,
            ttl: Duration::from_secs(60),
        },
    };
    let mut broker: Broker<&str, u32> = Broker::new(config, LOG, NOON);
    let mut publish = |id| broker.publish(Some(id), NOON, |_| NewEntry::to(&[], 5, "event"));
    let accepted = |count, forgot_id| PublishOutcome::Accepted {
        offset: Some(at(count)),
        forgot_id,
    };
    assert_eq!(publish("a"), accepted(1, false));
    assert_eq!(publish("a"), PublishOutcome::Duplicate);
    assert_eq!(publish("b"), accepted(2, false));
    assert_eq!(publish("c"), accepted(3, true));
    assert_eq!(publish("a"), accepted(4, true));
    assert_eq!(broker.id_count(), 2);
}

#[test]
fn debug_output_has_counts_and_neither_events_nor_sockets() {
    let mut broker = broker();
    enter(&mut broker, 987_654, 20);
    read(&mut broker, 11, &[]);
    let text = format!("{broker:?}");
    assert!(
        text.contains("ahead: 1") && text.contains("ids: 0"),
        "{text}"
    );
    assert!(
        !text.contains("event") && !text.contains("987654"),
        "{text}"
    );
}
