use hd_replay::{Log, LogConfig, NewEntry};

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
