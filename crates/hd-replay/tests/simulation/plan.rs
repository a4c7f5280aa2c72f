//! What a world is made of, by its seed.

use std::time::Duration;

use hd_replay::LogConfig;

use super::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Nodes and connections die, answers are lost, and clocks are wrong; but
    /// nothing reaches a bound, and the stream stays.
    Gentle,
    /// Logs are short, and the stream is trimmed, paused and lost as well.
    Rough,
}

pub(crate) struct Plan {
    pub(crate) weather: Weather,
    pub(crate) users: usize,
    /// Whose each device is.
    pub(crate) devices: Vec<usize>,
    pub(crate) nodes: usize,
    pub(crate) publications: usize,
    /// How long faults go on, in milliseconds.
    pub(crate) length: u64,
    pub(crate) mean_time_between_faults: u64,
    pub(crate) stream_max: usize,
    pub(crate) read_most: usize,
    pub(crate) log: LogConfig,
    pub(crate) max_trimmed_rooms: usize,
    /// Whether nodes that start later write what the first ones do not understand.
    pub(crate) has_two_versions: bool,
    /// Whether most users are sent nothing.
    pub(crate) is_quiet: bool,
    /// Whether all users are in the same rooms.
    pub(crate) shares_rooms: bool,
}

impl Plan {
    pub(crate) fn new(random: &mut Random, weather: Weather) -> Self {
        let users = 1 + random.below(4);
        let devices = (0..users)
            .flat_map(|user| std::iter::repeat_n(user, 1 + random.below(3)))
            .collect();
        let length = random.between(60_000, 600_000);
        let faults = random.between(5, 40);
        let (log, stream_max) = match weather {
            Weather::Gentle => (gentle_log(random), usize::MAX),
            Weather::Rough => (short_log(random), short_stream(random)),
        };
        Self {
            weather,
            users,
            devices,
            nodes: 1 + random.below(3),
            publications: 10 + random.below(90),
            length,
            mean_time_between_faults: length / faults,
            stream_max,
            read_most: 1 + random.below(20),
            log,
            max_trimmed_rooms: if random.has_chance(20) { 2 } else { MANY_ROOMS },
            is_quiet: random.has_chance(30),
            shares_rooms: random.has_chance(10),
            has_two_versions: weather == Weather::Rough && random.has_chance(20),
        }
    }
}

/// One that is long enough, and replays in portions.
fn gentle_log(random: &mut Random) -> LogConfig {
    let mut log = LogConfig::default();
    if random.has_chance(50) {
        log.max_replay_bytes = 10 + random.below(100);
    }
    log
}

fn short_log(random: &mut Random) -> LogConfig {
    let mut log = gentle_log(random);
    if random.has_chance(30) {
        log.max_events = 2 + random.below(20);
    }
    if random.has_chance(20) {
        log.max_total_bytes = 50 + random.below(400);
    }
    if random.has_chance(20) {
        log.max_bytes = 50 + random.below(200);
    }
    if random.has_chance(20) {
        log.max_trimmed_rooms = random.below(3);
    }
    if random.has_chance(30) {
        log.ttl = Duration::from_millis(random.between(5_000, 60_000));
    }
    log
}

impl Plan {
    /// Whether what was trimmed is remembered for every room there is.
    pub(crate) fn remembers_all_rooms(&self) -> bool {
        let rooms = self.max_trimmed_rooms.min(self.log.max_trimmed_rooms);
        rooms >= MANY_ROOMS && !self.has_two_versions
    }
}

fn short_stream(random: &mut Random) -> usize {
    if random.has_chance(40) {
        3 + random.below(40)
    } else {
        usize::MAX
    }
}

/// More than there are.
const MANY_ROOMS: usize = 100;
