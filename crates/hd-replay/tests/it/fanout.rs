//! The order in which events reach many sockets.

use hd_replay::{
    DUE_NONE, Due, FanoutPass, FanoutQueue, LogId, Offset, Place, Queued, Standing, Start,
};

type Queue = FanoutQueue<&'static str>;
type Pass = FanoutPass<usize, &'static str>;

/// What each of three sockets was sent.
type Sent = [Vec<&'static str>; 3];

fn queued(queue: &mut Queue, event: &'static str) -> Queued<&'static str> {
    let _start = queue.push(event);
    queue.take().expect("it was pushed")
}

/// Up to `max` sockets, of which the one at `index` entered after event `entered[index]`, take all.
fn advance(pass: &mut Pass, max: usize, entered: [u64; 3], sent: &mut Sent) {
    pass.advance(
        max,
        |&socket| entered[socket],
        |&socket, due| {
            match due {
                Due::All => sent[socket].push("all"),
                Due::Later(later) => sent[socket].extend(later),
            }
            true
        },
    );
}

fn ended(pass: &mut Pass) -> Vec<(&'static str, usize)> {
    pass.end().collect()
}

#[test]
fn an_event_for_few_sockets_is_sent_at_once_unless_events_wait() {
    let mut queue = Queue::new(2);
    assert!(queue.is_direct(0) && queue.is_direct(2));
    assert!(!queue.is_direct(3));

    assert_eq!(queue.push("first"), Start::Task);
    assert_eq!(queue.push("second"), Start::Nothing);
    assert!(!queue.is_direct(1));
    assert_eq!(queue.take().map(|it| *it.job()), Some("first"));
    assert_eq!(queue.take().map(|it| *it.job()), Some("second"));
    // The task is still at it.
    assert!(!queue.is_direct(1));
    assert!(queue.take().is_none());
    assert!(queue.is_direct(1));
    assert_eq!(queue.push("third"), Start::Task);
}

#[test]
fn an_event_joins_a_pass_only_if_it_may_and_the_task_continues() {
    let mut queue = Queue::new(2);
    assert_eq!(queue.push("first"), Start::Task);
    assert!(queue.take_if(|_| false).is_none());
    let joined = queue.take_if(|&event| event == "first");
    assert_eq!(joined.map(|it| *it.job()), Some("first"));
    assert!(queue.take_if(|_| true).is_none());
    assert_eq!(queue.push("second"), Start::Nothing);
}

#[test]
fn a_socket_is_due_what_is_queued_after_it_entered() {
    let mut queue = Queue::new(2);
    assert_eq!(queue.enter(Standing::Current), 0);
    assert_eq!(queue.push("first"), Start::Task);
    assert_eq!(queue.push("second"), Start::Nothing);
    assert_eq!(queue.enter(Standing::Current), 2);
    assert_eq!(queue.enter(Standing::Ahead(Offset::new(1, 0))), 2);
    let position = Place {
        log: LogId(7),
        offset: Offset::new(1, 0),
    };
    assert_eq!(queue.enter(Standing::Behind(position)), DUE_NONE);
}

#[test]
fn a_pass_sends_to_every_socket_once_in_portions() {
    let mut queue = Queue::new(0);
    let mut pass = Pass::new(vec![0, 1, 2], queued(&mut queue, "first"));
    let mut sent = Sent::default();
    advance(&mut pass, 2, [0; 3], &mut sent);
    assert_eq!(sent.each_ref().map(Vec::len), [1, 1, 0]);
    assert_eq!(ended(&mut pass), []);
    assert_eq!(pass.len(), 1);
    advance(&mut pass, 2, [0; 3], &mut sent);
    assert_eq!(sent.each_ref().map(Vec::len), [1, 1, 1]);
    assert!(!pass.is_empty());
    assert_eq!(ended(&mut pass), [("first", 3)]);
    assert!(pass.is_empty());
    assert_eq!(pass.len(), 0);
    advance(&mut pass, 2, [0; 3], &mut sent);
    assert_eq!(sent.each_ref().map(Vec::len), [1, 1, 1]);
}

#[test]
fn an_event_that_joins_ends_where_it_began() {
    let mut queue = Queue::new(0);
    let mut pass = Pass::new(vec![0, 1, 2], queued(&mut queue, "first"));
    let mut sent = Sent::default();
    advance(&mut pass, 1, [0; 3], &mut sent);
    pass.begin(queued(&mut queue, "second"));
    assert_eq!(pass.len(), 2);
    // No further than to the last socket, and not beyond where the first one ends.
    advance(&mut pass, 100, [0; 3], &mut sent);
    assert_eq!(sent.each_ref().map(Vec::len), [1, 1, 1]);
    assert_eq!(ended(&mut pass), [("first", 3)]);
    assert_eq!(pass.len(), 1);
    advance(&mut pass, 100, [0; 3], &mut sent);
    assert_eq!(sent.each_ref().map(Vec::len), [2, 1, 1]);
    assert_eq!(ended(&mut pass), [("second", 3)]);
}

#[test]
fn a_pass_stops_where_its_oldest_event_ends() {
    let mut queue = Queue::new(0);
    let mut pass = Pass::new(vec![0, 1, 2], queued(&mut queue, "first"));
    let mut sent = Sent::default();
    advance(&mut pass, 2, [0; 3], &mut sent);
    pass.begin(queued(&mut queue, "second"));
    advance(&mut pass, 1, [0; 3], &mut sent);
    assert_eq!(ended(&mut pass), [("first", 3)]);
    // It began at the last socket, and has the first two left.
    pass.begin(queued(&mut queue, "third"));
    advance(&mut pass, 3, [0; 3], &mut sent);
    assert_eq!(sent.each_ref().map(Vec::len), [2, 2, 1]);
    assert_eq!(ended(&mut pass), [("second", 3)]);
    advance(&mut pass, 3, [0; 3], &mut sent);
    assert_eq!(sent.each_ref().map(Vec::len), [2, 2, 2]);
    assert_eq!(ended(&mut pass), [("third", 3)]);
}

#[test]
fn a_socket_that_entered_meanwhile_is_sent_the_later_events_only() {
    let mut queue = Queue::new(0);
    let mut pass = Pass::new(vec![0, 1, 2], queued(&mut queue, "first"));
    pass.begin(queued(&mut queue, "second"));
    pass.begin(queued(&mut queue, "third"));
    let mut sent = Sent::default();
    // The first was there before, the second entered after the first event, the third after all.
    advance(&mut pass, 3, [0, 1, 3], &mut sent);
    assert_eq!(sent, [vec!["all"], vec!["second", "third"], vec![]]);
    assert_eq!(
        ended(&mut pass),
        [("first", 1), ("second", 2), ("third", 2)]
    );
}

#[test]
fn only_sockets_that_took_an_event_count() {
    let mut queue = Queue::new(0);
    let mut pass = Pass::new(vec![0, 1, 2], queued(&mut queue, "first"));
    pass.begin(queued(&mut queue, "second"));
    // The last two entered after the first event; of those, one is closed.
    pass.advance(3, |&socket| u64::from(socket > 0), |&socket, _| socket != 1);
    assert_eq!(ended(&mut pass), [("first", 1), ("second", 2)]);
}

#[test]
fn an_event_for_no_socket_ends_at_once() {
    let mut queue = Queue::new(0);
    let mut pass = Pass::new(vec![], queued(&mut queue, "first"));
    advance(&mut pass, 3, [0; 3], &mut Sent::default());
    assert_eq!(ended(&mut pass), [("first", 0)]);
}
