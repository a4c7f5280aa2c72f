//! Each broken rule is noticed.

use super::mutant::Mutant;
use super::plan::Weather;
use super::{SEEDS, report, run};

#[track_caller]
fn assert_noticed(mutant: Mutant) {
    let noticed = (0..SEEDS).find_map(|seed| {
        let violation = run(seed, Weather::Rough, Some(mutant)).err()?;
        Some((seed, violation))
    });
    let Some((seed, violation)) = noticed else {
        panic!("{mutant:?} goes unnoticed in {SEEDS} seeds");
    };
    report(&format!("{mutant:?}: seed {seed}, {violation}"));
}

macro_rules! mutants {
    ($($test:ident: $mutant:ident,)*) => {
        $(#[test]
        fn $test() {
            assert_noticed(Mutant::$mutant);
        })*
    };
}

mutants! {
    ids_are_taken_once: TakesIdsTwice,
    the_log_is_read_before_the_rooms_are_entered: EntersBeforeReading,
    nothing_comes_between_the_log_and_the_rooms: EntersAfterReading,
    what_was_missed_comes_before_what_is_new: SendsMissedLater,
    what_was_missed_comes_after_the_reply: SendsMissedBeforeReply,
    a_node_that_stops_closes_the_transport: DisconnectsOnDrain,
    a_pid_is_its_user_s_own: TakesAnybodysPid,
    what_was_trimmed_is_a_gap: TrimsInSilence,
    offsets_follow_each_other_whatever_the_clock_says: FollowsTheClockBack,
    a_stream_that_was_lost_is_another_log: GoesOnWhenStreamIsLost,
    what_was_read_and_lost_is_noticed: GoesOnWhenEndIsLost,
    where_the_stream_ends_is_looked_at: TrustsTheEnd,
    what_was_acknowledged_and_lost_is_noticed: ForgetsWhatWasAcknowledged,
    a_node_waits_for_its_reader: LetsInAheadOfItsReader,
    an_offset_from_before_the_pid_does_not_count: TakesStaleOffsets,
    an_offset_of_another_log_does_not_count: TakesOffsetsOfOtherLogs,
    a_socket_gets_nothing_that_was_queued_before_it_entered: SendsQueuedToNewcomers,
    nothing_overtakes_the_queue: OvertakesTheQueue,
    a_pid_is_of_its_rooms: TakesPidsOfOtherRooms,
    what_is_not_understood_is_a_gap: SkipsTheUnreadable,
    a_client_that_is_behind_gets_portions_only: SendsPublishedToThoseBehind,
    the_stream_s_clock_counts: GoesByItsOwnClock,
    what_was_trimmed_is_remembered: ForgetsWhatWasTrimmed,
    what_was_trimmed_is_remembered_for_each_room: ForgetsWhoseWasTrimmed,
    an_earlier_end_of_the_stream_proves_nothing: BelievesAnEarlierEnd,
}
