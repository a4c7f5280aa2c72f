use hd_replay::{Log, LogConfig, NewEntry};
use hd_rooms::MAX_ROOM_NAME_BYTES;

use super::{NOON, room};

#[test]
fn a_user_to_whom_nothing_was_sent_costs_nothing_and_one_event_little() {
    let users: Vec<_> = (0..1000)
        .map(|user| [room(&format!("user_{user}"))])
        .collect();
    let mut log = Log::new(LogConfig::default(), NOON);
    let idle = allocation_counter::measure(|| {
        for user in &users {
            let after = log.last_offset();
            assert_eq!(
                log.missed(user, after, NOON).map(|missed| missed.len()),
                Ok(0)
            );
        }
    });
    assert_eq!(idle.bytes_current, 0);

    let used = allocation_counter::measure(|| {
        for user in &users {
            let offset = log.next_offset(NOON);
            log.append(offset, NewEntry::to(user, 1, ()), NOON);
        }
    });
    let each = used.bytes_current / 1000;
    // The event's place in its room, in the order of all, and itself.
    assert!(each <= 500, "{each} bytes");
}

#[test]
fn an_event_for_many_rooms_costs_no_more_than_it_counts_for() {
    let named =
        |kind: &str| -> Vec<_> { (0..1000).map(|n| room(&format!("{kind}_{n}"))).collect() };
    let longest = "x".repeat(MAX_ROOM_NAME_BYTES - "_999".len());
    let kinds = [
        "user",
        "a name of many more bytes than fit in place",
        &longest,
    ];
    let excepts = [named("except"), vec![]];
    for (kind, except) in kinds
        .iter()
        .flat_map(|kind| excepts.iter().map(move |it| (kind, it)))
    {
        let rooms = named(kind);
        let mut log = Log::new(LogConfig::default(), NOON);
        let used = allocation_counter::measure(|| {
            let offset = log.next_offset(NOON);
            let entry = NewEntry {
                except,
                ..NewEntry::to(&rooms, 400, ())
            };
            log.append(offset, entry, NOON);
        });
        let counted = i64::try_from(log.bytes()).unwrap();
        let used = used.bytes_current;
        assert!(used <= counted, "{used} bytes, {counted} counted");
        assert!(used >= counted / 4, "{used} bytes, {counted} counted");
    }
}

#[test]
fn events_that_their_rooms_have_dropped_cost_nothing() {
    let config = LogConfig {
        max_events: 16,
        ..LogConfig::default()
    };
    let user = [room("user_1")];
    let mut log = Log::new(config, NOON);
    let mut append = |count: usize| {
        for _ in 0..count {
            let offset = log.next_offset(NOON);
            log.append(offset, NewEntry::to(&user, 1, ()), NOON);
        }
    };
    append(1000);
    let used = allocation_counter::measure(|| append(100_000));
    assert!(used.bytes_current < 20_000, "{used:?}");
}
