use hd_replay::{Acknowledged, Chain, ChainStep, Link, LogId, Offset, Place};

const OLD: LogId = LogId(7);
const NEW: LogId = LogId(8);

fn at(number: u64) -> Offset {
    Offset::new(number, 0)
}

/// It has read up to 10.
fn chain() -> Chain {
    Chain::at(place(OLD, 10))
}

fn link(log: LogId, before: u64) -> Link {
    Link {
        log,
        before: Some(at(before)),
        is_beginning: false,
    }
}

/// Nothing was acknowledged.
fn entry(chain: &mut Chain, link: Link, offset: u64) -> ChainStep {
    chain.handle_entry(at(offset), Some(link), &mut Acknowledged::default())
}

fn acknowledged(numbers: &[u64]) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    for number in numbers {
        acknowledged.insert(place(OLD, *number));
    }
    acknowledged
}

fn place(log: LogId, number: u64) -> Place {
    let offset = at(number);
    Place { log, offset }
}

fn began(log: LogId, offset: u64) -> ChainStep {
    ChainStep::Began(place(log, offset))
}

#[test]
fn each_entry_names_the_one_before() {
    let mut chain = chain();
    assert_eq!(entry(&mut chain, link(OLD, 10), 11), ChainStep::Next);
    let step = chain.handle_entry(
        at(15),
        Some(link(OLD, 11)),
        &mut acknowledged(&[11, 15, 16]),
    );
    assert_eq!(step, ChainStep::Next);
    assert_eq!(chain.place().offset, at(15));
}

#[test]
fn what_was_trimmed_is_missing_here_only() {
    let mut chain = chain();
    assert_eq!(entry(&mut chain, link(OLD, 20), 21), began(OLD, 20));
    assert_eq!(chain.forked(), None);
    assert_eq!(entry(&mut chain, link(OLD, 21), 22), ChainStep::Next);
}

#[test]
fn a_log_that_was_lost_is_another_one() {
    let mut chain = chain();
    let beginning = Link {
        log: NEW,
        before: None,
        is_beginning: true,
    };
    assert_eq!(entry(&mut chain, beginning, 30), began(NEW, 30));
    assert_eq!(entry(&mut chain, link(NEW, 30), 31), ChainStep::Next);
}

#[test]
fn its_beginning_may_have_been_trimmed() {
    let mut chain = chain();
    assert_eq!(entry(&mut chain, link(NEW, 40), 41), began(NEW, 40));
}

#[test]
fn what_was_read_and_is_not_there_any_more_forks_the_log() {
    let mut chain = chain();
    assert_eq!(entry(&mut chain, link(OLD, 8), 12), ChainStep::Lost);
    assert_eq!(chain.forked(), Some(OLD));
    // Who would be sent this is told anyway.
    assert_eq!(entry(&mut chain, link(OLD, 12), 13), ChainStep::Passed);
    let beginning = Link {
        is_beginning: true,
        ..link(NEW, 13)
    };
    assert_eq!(entry(&mut chain, beginning, 14), began(NEW, 14));
    assert_eq!(chain.forked(), None);
    assert_eq!(entry(&mut chain, link(NEW, 14), 15), ChainStep::Next);
}

#[test]
fn so_does_what_was_acknowledged_and_is_not_there() {
    let mut chain = chain();
    // Also when something that is there was acknowledged since.
    let mut acknowledged = acknowledged(&[11, 12]);
    let step = chain.handle_entry(at(12), Some(link(OLD, 10)), &mut acknowledged);
    assert_eq!(step, ChainStep::Lost);
    assert_eq!(acknowledged.latest(OLD), None);
}

#[test]
fn so_does_an_end_before_what_was_read_or_acknowledged() {
    for (end, acknowledged) in [(9, None), (10, Some(at(11)))] {
        let mut chain = chain();
        chain.handle_end(at(end), acknowledged);
        assert_eq!(chain.forked(), Some(OLD));
        // It is read from its beginning, wherever that is.
        assert_eq!(chain.place().offset, at(0));
    }
    let mut chain = chain();
    chain.handle_end(at(10), Some(at(10)));
    assert_eq!(chain.forked(), None);
}

#[test]
fn older_logs_are_passed_over_when_it_is_read_from_its_beginning() {
    let mut chain = chain();
    chain.handle_end(at(9), None);
    chain.handle_fork(NEW);
    let older = LogId(6);
    let first = Link {
        before: None,
        is_beginning: true,
        ..link(older, 0)
    };
    assert_eq!(entry(&mut chain, first, 1), ChainStep::Passed);
    assert_eq!(entry(&mut chain, link(older, 1), 2), ChainStep::Passed);
    assert_eq!(entry(&mut chain, link(OLD, 2), 9), ChainStep::Passed);
    assert_eq!(entry(&mut chain, link(NEW, 9), 10), began(NEW, 9));
}

#[test]
fn another_fork_may_come_before_the_first_is_read() {
    let mut chain = chain();
    chain.handle_end(at(9), None);
    chain.handle_fork(NEW);
    chain.handle_fork(LogId(9));
    assert_eq!(entry(&mut chain, link(NEW, 9), 10), ChainStep::Passed);
    assert_eq!(
        entry(&mut chain, link(LogId(9), 10), 11),
        began(LogId(9), 10)
    );
}

#[test]
fn what_was_acknowledged_of_the_next_log_counts_there() {
    let mut chain = chain();
    let mut acknowledged = acknowledged(&[15, 25]);
    acknowledged.insert(place(NEW, 22));
    let step = chain.handle_entry(at(20), Some(link(NEW, 19)), &mut acknowledged);
    assert_eq!(step, began(NEW, 19));
    assert_eq!(acknowledged.latest(OLD), None);
    let step = chain.handle_entry(at(23), Some(link(NEW, 20)), &mut acknowledged);
    assert_eq!(step, ChainStep::Lost);
}

#[test]
fn entries_without_a_link_follow() {
    let mut chain = chain();
    let step = chain.handle_entry(at(11), None, &mut Acknowledged::default());
    assert_eq!(step, ChainStep::Next);
    assert_eq!(entry(&mut chain, link(OLD, 11), 12), ChainStep::Next);
}

#[test]
fn what_is_missing_in_the_middle_of_another_log_need_not_be_trimmed() {
    let link = |is_beginning| Link {
        log: LogId(2),
        before: Some(Offset::new(9, 0)),
        is_beginning,
    };
    let read = |log, millis| Place {
        log: LogId(log),
        offset: Offset::new(millis, 0),
    };
    assert!(!link(false).follows_what_was_trimmed(read(1, 5)));
    assert!(link(false).follows_what_was_trimmed(read(2, 5)));
    assert!(link(false).follows_what_was_trimmed(read(1, 0)));
    assert!(link(true).follows_what_was_trimmed(read(1, 5)));
}

/// An answer may come when the reader is in the next log already.
#[test]
fn what_was_acknowledged_of_a_former_log_does_not_stay_for_ever() {
    let mut chain = Chain::at(place(NEW, 10));
    let mut acknowledged = acknowledged(&[9]);
    for offset in 11..100_000 {
        acknowledged.insert(place(NEW, offset));
        let step = chain.handle_entry(at(offset), Some(link(NEW, offset - 1)), &mut acknowledged);
        assert_eq!(step, ChainStep::Next);
    }
    assert_eq!(acknowledged.latest(NEW), None);
    assert_eq!(acknowledged.latest(OLD), None);
}

#[test]
fn an_entry_that_is_read_again_is_lost_and_no_panic() {
    // A server that answers with what was not asked for.
    for offset in [10, 5] {
        let mut chain = chain();
        let mut acknowledged = acknowledged(&[7, 10, 12]);
        let step = chain.handle_entry(at(offset), Some(link(OLD, 4)), &mut acknowledged);
        assert_eq!(step, ChainStep::Lost);
        assert_eq!(acknowledged.latest(OLD), Some(at(12)));
    }
}

#[test]
fn what_was_acknowledged_is_remembered_until_it_is_read() {
    let mut chain = chain();
    let mut acknowledged = acknowledged(&[11, 15]);
    acknowledged.insert(place(NEW, 5));
    assert_eq!(acknowledged.latest(OLD), Some(at(15)));
    let step = chain.handle_entry(at(11), Some(link(OLD, 10)), &mut acknowledged);
    assert_eq!(step, ChainStep::Next);
    assert_eq!(acknowledged.latest(OLD), Some(at(15)));
    let step = chain.handle_entry(at(15), Some(link(OLD, 11)), &mut acknowledged);
    assert_eq!(step, ChainStep::Next);
    assert_eq!(acknowledged.latest(OLD), None);
    assert_eq!(acknowledged.latest(NEW), Some(at(5)));
}

#[test]
fn of_too_many_acknowledged_offsets_the_first_are_remembered() {
    let numbers: Vec<u64> = (11..80_000).collect();
    let mut acknowledged = acknowledged(&numbers);
    assert_eq!(acknowledged.latest(OLD), Some(at(10 + 65_536)));
    let step = chain().handle_entry(at(12), Some(link(OLD, 10)), &mut acknowledged);
    assert_eq!(step, ChainStep::Lost);
}
