//! Under a virtual clock.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::{CancelDrain, Drain, Lifecycle, Phase, Step, jittered};

type Client = usize;

/// A lifecycle, and the time that it is.
struct Server {
    lifecycle: Lifecycle<Client>,
    began: Instant,
    now: Instant,
    seed: u64,
}

impl Server {
    /// One that serves, with the default settings.
    fn new() -> Self {
        let rate = NonZeroU32::new(200).unwrap();
        let mut lifecycle = Lifecycle::new(seconds(60), rate);
        assert_eq!(lifecycle.phase(), Phase::Starting);
        lifecycle.handle_started();
        let now = Instant::now();
        Self {
            lifecycle,
            began: now,
            now,
            seed: 1,
        }
    }

    fn drain(&mut self, clients: usize, window: Option<Duration>) -> Drain {
        let random = random(&mut self.seed);
        let clients = (0..clients).collect();
        self.lifecycle
            .handle_drain(clients, window, self.now, random)
    }

    /// Returns the window.
    fn stop(&mut self, clients: usize, timeout: Duration) -> Duration {
        let random = random(&mut self.seed);
        let clients = (0..clients).collect();
        let plan = self
            .lifecycle
            .handle_stop(clients, timeout, self.now, random);
        plan.window
    }

    /// What is done now, and at which time of the test.
    fn poll(&mut self) -> Vec<(Duration, Step<Client>)> {
        let at = self.now - self.began;
        std::iter::from_fn(|| Some((at, self.lifecycle.poll(self.now)?))).collect()
    }

    /// Lets time pass. Returns what was done, and when.
    fn pass(&mut self, time: Duration) -> Vec<(Duration, Step<Client>)> {
        let end = self.now + time;
        let mut steps = self.poll();
        while let Some(at) = self.lifecycle.poll_timeout().filter(|at| *at <= end) {
            assert!(at >= self.now, "a moment in the past");
            self.now = at;
            steps.extend(self.poll());
        }
        self.now = end;
        steps
    }
}

/// SplitMix64.
fn random(seed: &mut u64) -> impl FnMut() -> u64 {
    || {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// When which client was closed. Nothing else may have been done.
#[track_caller]
fn closes(steps: &[(Duration, Step<Client>)]) -> Vec<(Duration, Client)> {
    let close = |(at, step): &(Duration, Step<Client>)| match step {
        Step::Close(client) => (*at, *client),
        Step::EndPolling | Step::EndAll => panic!("{step:?} at {at:?}"),
    };
    steps.iter().map(close).collect()
}

/// Checks that each of the clients was closed once.
#[track_caller]
fn check_each_once(closes: &[(Duration, Client)], clients: usize) {
    let mut closed: Vec<Client> = closes.iter().map(|(_, client)| *client).collect();
    closed.sort_unstable();
    assert_eq!(closed, (0..clients).collect::<Vec<_>>());
}

/// The most closes in any second, wherever it begins.
fn busiest_second(closes: &[(Duration, Client)]) -> usize {
    let mut first = 0;
    let within = |(index, (at, _)): (usize, &(Duration, Client))| {
        while closes[first].0 + seconds(1) <= *at {
            first += 1;
        }
        index + 1 - first
    };
    closes.iter().enumerate().map(within).max().unwrap_or(0)
}

#[test]
fn a_drain_closes_everyone_once_all_over_the_window() {
    let mut server = Server::new();
    assert!(!server.lifecycle.is_draining());
    let Drain::Begun(plan) = server.drain(3000, None) else {
        panic!("no drain was under way");
    };
    assert_eq!((plan.clients, plan.window), (3000, seconds(60)));
    assert!(server.lifecycle.is_draining());
    let closes = closes(&server.pass(seconds(60)));
    check_each_once(&closes, 3000);
    for second in 0..60 {
        let range = seconds(second)..seconds(second + 1);
        let count = closes.iter().filter(|(at, _)| range.contains(at)).count();
        assert!((49..=51).contains(&count), "{count} in second {second}");
    }
    // Not in the order in which they came, and not on a beat.
    assert!(!closes.is_sorted_by_key(|(_, client)| *client));
    let gaps = closes.windows(2).map(|pair| pair[1].0 - pair[0].0);
    let (short, long) = (gaps.clone().min().unwrap(), gaps.max().unwrap());
    assert!(
        short < millis(10) && long > millis(30),
        "{short:?}, {long:?}"
    );
    // The server stays.
    assert_eq!(server.pass(seconds(3600)), []);
    assert_eq!(server.lifecycle.phase(), Phase::Draining(plan));
    server.lifecycle.handle_emptied();
    assert_eq!(server.lifecycle.phase(), Phase::Draining(plan));
}

#[test]
fn any_moment_of_the_window_is_as_likely_for_a_client() {
    let mut quarters = [0_u32; 4];
    for seed in 0..400 {
        let mut server = Server::new();
        server.seed = seed;
        server.drain(10, Some(seconds(40)));
        let closes = closes(&server.pass(seconds(40)));
        let (at, _) = closes.iter().find(|(_, client)| *client == 0).unwrap();
        quarters[(at.as_secs() / 10) as usize] += 1;
    }
    // 100 each; the standard deviation is 8.7.
    assert!(
        quarters.iter().all(|count| (65..=135).contains(count)),
        "{quarters:?}"
    );
}

#[test]
fn a_window_too_short_for_the_rate_is_made_longer() {
    for window in [Some(Duration::ZERO), Some(seconds(10)), None] {
        let mut server = Server::new();
        let Drain::Begun(plan) = server.drain(20_000, window) else {
            panic!("no drain was under way");
        };
        assert_eq!(plan.window, seconds(100));
        let closes = closes(&server.pass(seconds(100)));
        check_each_once(&closes, 20_000);
        assert!(busiest_second(&closes) <= 200);
    }
}

#[test]
fn few_clients_do_not_take_the_whole_window_unless_it_was_asked_for() {
    for (clients, asked, window) in [
        (0, None, Duration::ZERO),
        (1, None, millis(100)),
        (30, None, seconds(3)),
        (600, None, seconds(60)),
        (1, Some(seconds(90)), seconds(90)),
        (0, Some(seconds(90)), seconds(90)),
    ] {
        let mut server = Server::new();
        let Drain::Begun(plan) = server.drain(clients, asked) else {
            panic!("no drain was under way");
        };
        assert_eq!(plan.window, window, "{clients} clients");
        check_each_once(&closes(&server.pass(window)), clients);
    }
}

#[test]
fn a_second_drain_can_only_hasten_the_first() {
    let mut server = Server::new();
    server.drain(100, Some(seconds(100)));
    let mut all = closes(&server.pass(seconds(50)));
    assert_eq!(all.len(), 50);
    for later in [None, Some(seconds(300))] {
        let Drain::UnderWay(plan) = server.drain(100, later) else {
            panic!("a drain was under way");
        };
        assert_eq!((plan.clients, plan.window), (100, seconds(100)));
    }
    let Drain::UnderWay(plan) = server.drain(100, Some(seconds(5))) else {
        panic!("a drain was under way");
    };
    assert_eq!(plan.window, seconds(55));
    all.extend(closes(&server.pass(seconds(5))));
    check_each_once(&all, 100);
}

#[test]
fn a_stop_closes_everyone_and_leaves_time_for_what_waits() {
    for (timeout, window) in [(seconds(8), seconds(6)), (seconds(40), seconds(35))] {
        let mut server = Server::new();
        assert_eq!(server.stop(600, timeout), window);
        let deadline = server.lifecycle.deadline().unwrap();
        assert_eq!(deadline, server.began + timeout);
        let steps = server.pass(timeout);
        let (last, closed) = steps.split_at(600);
        check_each_once(&closes(last), 600);
        let last = last[599].0;
        assert!(last <= window);
        let give_up = last + (timeout - window);
        assert_eq!(
            closed,
            [(give_up, Step::EndPolling), (timeout, Step::EndAll)]
        );
        assert!(matches!(server.lifecycle.phase(), Phase::Stopped(_)));
        assert_eq!(server.pass(timeout), []);
    }
}

#[test]
fn the_deadline_of_a_stop_counts_more_than_the_rate() {
    let mut server = Server::new();
    assert_eq!(server.stop(20_000, seconds(8)), seconds(6));
    let steps = server.pass(seconds(6));
    check_each_once(&closes(&steps), 20_000);
}

#[test]
fn a_stop_ends_with_the_last_client() {
    let mut server = Server::new();
    server.stop(1, seconds(8));
    check_each_once(&closes(&server.pass(millis(100))), 1);
    server.lifecycle.handle_emptied();
    assert!(matches!(server.lifecycle.phase(), Phase::Stopped(_)));
    assert_eq!(server.lifecycle.poll_timeout(), None);
}

#[test]
fn a_stop_hastens_a_drain_that_is_under_way() {
    let mut server = Server::new();
    server.drain(100, Some(seconds(100)));
    let mut all = closes(&server.pass(seconds(50)));
    assert_eq!(server.lifecycle.deadline(), None);
    // 50 clients are left, which a stop takes five seconds for.
    assert_eq!(server.stop(50, seconds(8)), seconds(55));
    all.extend(closes(&server.pass(seconds(5))));
    check_each_once(&all, 100);
    server.lifecycle.handle_emptied();
    assert!(matches!(server.lifecycle.phase(), Phase::Stopped(plan) if plan.clients == 100));
}

#[test]
fn a_second_stop_closes_the_rest_at_once() {
    let mut server = Server::new();
    server.stop(600, seconds(40));
    let mut all = closes(&server.pass(seconds(5)));
    assert!(all.len() < 100);
    assert_eq!(server.stop(600, seconds(40)), seconds(5));
    all.extend(closes(&server.poll()));
    check_each_once(&all, 600);
    // What waits has the time that it would have had at the end.
    assert_eq!(server.lifecycle.deadline(), Some(server.now + seconds(5)));
    let rest = server.pass(seconds(5));
    assert_eq!(rest, [(seconds(10), Step::EndAll)]);
}

#[test]
fn a_second_stop_does_not_wait_for_slow_clients() {
    let mut server = Server::new();
    server.stop(1, seconds(40));
    server.pass(seconds(20));
    server.stop(1, seconds(40));
    assert_eq!(server.poll(), [(seconds(20), Step::EndAll)]);
}

#[test]
fn a_drain_does_not_lengthen_a_stop() {
    let mut server = Server::new();
    let window = server.stop(600, seconds(8));
    assert!(
        matches!(server.drain(600, Some(seconds(90))), Drain::UnderWay(plan) if plan.window == window)
    );
    check_each_once(&closes(&server.pass(window)), 600);
}

#[test]
fn a_cancelled_drain_closes_nobody_else_and_admits_new_clients() {
    let mut server = Server::new();
    let Drain::Begun(plan) = server.drain(100, Some(seconds(100))) else {
        panic!("no drain was under way");
    };
    assert_eq!(closes(&server.pass(seconds(50))).len(), 50);
    assert_eq!(
        server.lifecycle.handle_drain_cancelled(),
        CancelDrain::Cancelled(plan)
    );
    assert!(!server.lifecycle.is_draining());
    assert_eq!(server.lifecycle.phase(), Phase::Serving);
    assert_eq!(server.lifecycle.poll_timeout(), None);
    assert_eq!(server.pass(seconds(3600)), []);
    // The next drain begins anew, with whoever is connected then.
    let Drain::Begun(plan) = server.drain(70, Some(seconds(10))) else {
        panic!("no drain was under way");
    };
    assert_eq!((plan.clients, plan.window), (70, seconds(10)));
    check_each_once(&closes(&server.pass(seconds(10))), 70);
}

#[test]
fn a_drain_can_be_cancelled_after_its_last_client_has_left() {
    let mut server = Server::new();
    server.drain(1, None);
    server.pass(seconds(1));
    server.lifecycle.handle_emptied();
    assert!(matches!(
        server.lifecycle.handle_drain_cancelled(),
        CancelDrain::Cancelled(_)
    ));
    assert_eq!(server.lifecycle.phase(), Phase::Serving);
}

#[test]
fn there_is_nothing_to_cancel_without_a_drain() {
    let mut server = Server::new();
    assert_eq!(
        server.lifecycle.handle_drain_cancelled(),
        CancelDrain::NotDraining
    );
    assert_eq!(server.lifecycle.phase(), Phase::Serving);
}

#[test]
fn a_stop_cannot_be_cancelled_whatever_it_has_come_to() {
    let mut server = Server::new();
    server.drain(100, Some(seconds(100)));
    server.stop(100, seconds(8));
    for _ in 0..10 {
        assert_eq!(
            server.lifecycle.handle_drain_cancelled(),
            CancelDrain::Stopping
        );
        server.pass(seconds(1));
    }
    assert!(matches!(server.lifecycle.phase(), Phase::Stopped(_)));
    assert!(server.lifecycle.is_draining());
}

#[test]
fn after_a_pause_of_the_process_clients_are_not_closed_all_at_once() {
    let mut server = Server::new();
    server.drain(3000, None);
    // As with SIGSTOP.
    server.now += seconds(30);
    let burst = server.poll();
    assert_eq!(burst.len(), 200);
    let mut all = closes(&burst);
    all.extend(closes(&server.pass(seconds(60))));
    check_each_once(&all, 3000);
    for second in 0..60 {
        let range = seconds(30 + second)..seconds(31 + second);
        let count = all.iter().filter(|(at, _)| range.contains(at)).count();
        assert!(count <= 200, "{count} in second {second}");
    }
}

#[test]
fn a_stop_before_the_start_ends_it() {
    let rate = NonZeroU32::new(200).unwrap();
    let mut lifecycle: Lifecycle<Client> = Lifecycle::new(seconds(60), rate);
    lifecycle.handle_stop(Vec::new(), seconds(8), Instant::now(), || 0);
    lifecycle.handle_started();
    assert!(lifecycle.is_draining());
    lifecycle.handle_emptied();
    assert!(matches!(lifecycle.phase(), Phase::Stopped(_)));
}

#[test]
fn ages_differ_by_up_to_a_tenth() {
    assert_eq!(jittered(seconds(100), 0), seconds(90));
    assert_eq!(jittered(seconds(100), u64::MAX / 2 + 1), seconds(100));
    assert!(jittered(seconds(100), u64::MAX) < seconds(110));
    assert!(jittered(seconds(100), u64::MAX) > seconds(109));
}
