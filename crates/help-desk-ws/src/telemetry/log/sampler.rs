//! Which log lines are written, and which are only counted.
//!
//! A machine without I/O and without a clock. The first lines of a kind in a second are written
//! whole. The rest are suppressed, and a summary with their number follows [`SUMMARY_DELAY`] after
//! the first of them, whether the flood lasts or not. Kinds have nothing to do with each other: a
//! flood of one suppresses no line of another.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use tracing::Level;

/// What is sampled together: the lines of one place in the code, with the same reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind<C> {
    /// The place in the code. The program has so many of them, whatever strangers send.
    pub(super) callsite: C,
    pub(super) reason: Option<Reason>,
}

/// The value of a line's `reason` or `code` field, which is one of the program's own codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reason {
    field: &'static str,
    bytes: [u8; MAX_REASON_BYTES],
    len: usize,
}

impl Reason {
    /// `None` for what does not look like a code of the program.
    pub(super) fn new(field: &'static str, code: &str) -> Option<Self> {
        let is_code = code.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_ ".contains(&byte)
        });
        let mut bytes = [0; MAX_REASON_BYTES];
        bytes
            .get_mut(..code.len())?
            .copy_from_slice(code.as_bytes());
        is_code.then_some(Self {
            field,
            bytes,
            len: code.len(),
        })
    }

    /// The field that had it.
    pub(super) const fn field(&self) -> &'static str {
        self.field
    }

    pub(super) fn as_str(&self) -> &str {
        let code = std::str::from_utf8(&self.bytes[..self.len]);
        code.expect("invariant: it was taken from text, whole")
    }
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Write,
    /// It is counted in the next summary of its kind. `is_first` says that it is the first such
    /// line: [`Sampler::poll_timeout`] may have changed.
    Suppress {
        is_first: bool,
    },
}

/// What the lines of a kind have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Title {
    pub(super) level: Level,
    pub(super) context: String,
    /// The beginning of the message, which is the same in all of them.
    pub(super) event: String,
}

/// What stands for the suppressed lines of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) title: Title,
    pub(super) reason: Option<Reason>,
    /// How many lines were suppressed.
    pub(super) lines: u64,
    /// Time since the first of them.
    pub(super) elapsed: Duration,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Sampler<C> {
    positions: HashMap<Kind<C>, usize>,
    kinds: Vec<KindState>,
    /// When the summary of which kind is due, the next one first.
    due: VecDeque<(Instant, usize)>,
}

#[derive(Debug)]
struct KindState {
    title: Title,
    reason: Option<Reason>,
    /// When the present second began.
    second: Instant,
    /// Lines written in it.
    written: u32,
    /// Lines suppressed since the last summary.
    suppressed: u64,
    suppressed_since: Instant,
}

impl<C: Eq + Hash> Sampler<C> {
    pub(super) fn new() -> Self {
        Self {
            positions: HashMap::new(),
            kinds: Vec::new(),
            due: VecDeque::new(),
        }
    }

    /// Judges a line of a kind of which `lines_per_second` are written. `title` is called for the
    /// first line of a kind only.
    #[must_use]
    pub(super) fn handle_line(
        &mut self,
        kind: Kind<C>,
        lines_per_second: u32,
        now: Instant,
        title: impl FnOnce() -> Title,
    ) -> Verdict {
        let position = self.position(kind, now, title);
        let state = &mut self.kinds[position];
        if now.saturating_duration_since(state.second) >= SECOND {
            state.second = now;
            state.written = 0;
        }
        if state.written < lines_per_second {
            state.written += 1;
            return Verdict::Write;
        }
        let is_first = state.suppressed == 0;
        state.suppressed += 1;
        if is_first {
            state.suppressed_since = now;
            self.due.push_back((now + SUMMARY_DELAY, position));
        }
        Verdict::Suppress { is_first }
    }

    /// When the next summary is due. To be asked again after a line was suppressed as the first,
    /// and after a summary.
    #[must_use]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.front().map(|(at, _)| *at)
    }

    /// A summary that is due; to be called until there is none.
    #[must_use]
    pub(super) fn poll_summary(&mut self, now: Instant) -> Option<Summary> {
        let is_due = self.poll_timeout().is_some_and(|at| at <= now);
        is_due.then(|| self.flush_summary(now))?
    }

    /// A summary that is due or will be, for the end of the log.
    #[must_use]
    pub(super) fn flush_summary(&mut self, now: Instant) -> Option<Summary> {
        let (_, position) = self.due.pop_front()?;
        let state = &mut self.kinds[position];
        Some(Summary {
            title: state.title.clone(),
            reason: state.reason,
            lines: std::mem::take(&mut state.suppressed),
            elapsed: now.saturating_duration_since(state.suppressed_since),
        })
    }

    fn position(&mut self, kind: Kind<C>, now: Instant, title: impl FnOnce() -> Title) -> usize {
        let mut kind = kind;
        if let Some(position) = self.positions.get(&kind) {
            return *position;
        }
        if self.kinds.len() >= MAX_KINDS {
            // Without its reason: there are no more of these than places in the code.
            kind.reason = None;
            if let Some(position) = self.positions.get(&kind) {
                return *position;
            }
        }
        let position = self.kinds.len();
        self.kinds.push(KindState {
            title: title(),
            reason: kind.reason,
            second: now,
            written: 0,
            suppressed: 0,
            suppressed_since: now,
        });
        self.positions.insert(kind, position);
        position
    }
}

/// From the first suppressed line of a kind to the summary: soon enough for who watches, and seldom
/// enough that summaries are no flood themselves.
const SUMMARY_DELAY: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);
/// Kinds that are told apart; there are some hundred. Beyond, lines of one place in the code are
/// one kind, whatever their reason.
const MAX_KINDS: usize = 512;
/// The longest code has 29.
const MAX_REASON_BYTES: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges lines at times, in milliseconds since the start.
    struct Line {
        sampler: Sampler<&'static str>,
        start: Instant,
    }

    impl Line {
        fn new() -> Self {
            Self {
                sampler: Sampler::new(),
                start: Instant::now(),
            }
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        fn verdict(&mut self, callsite: &'static str, code: &str, millis: u64) -> Verdict {
            let reason = Reason::new("code", code);
            let now = self.at(millis);
            let title = || Title {
                level: Level::WARN,
                context: "Server".to_owned(),
                event: callsite.to_owned(),
            };
            self.sampler
                .handle_line(Kind { callsite, reason }, 3, now, title)
        }

        /// How many of a kind's lines are written of so many at one time.
        fn written(&mut self, code: &str, lines: usize, millis: u64) -> usize {
            let verdicts = (0..lines).map(|_| self.verdict("emit", code, millis));
            verdicts
                .filter(|verdict| *verdict == Verdict::Write)
                .count()
        }

        /// The summaries that are due: code, lines, and time in milliseconds.
        fn summaries(&mut self, millis: u64) -> Vec<(String, u64, u128)> {
            let now = self.at(millis);
            std::iter::from_fn(|| self.sampler.poll_summary(now))
                .map(shown)
                .collect()
        }
    }

    fn shown(summary: Summary) -> (String, u64, u128) {
        let code = summary.reason.as_ref().map(Reason::as_str);
        let code = code.unwrap_or("none").to_owned();
        (code, summary.lines, summary.elapsed.as_millis())
    }

    #[test]
    fn the_first_lines_of_each_second_are_written() {
        let mut line = Line::new();
        assert_eq!(line.written("a", 100, 0), 3);
        assert_eq!(line.written("a", 100, 999), 0);
        assert_eq!(line.written("a", 2, 1_000), 2);
        assert_eq!(line.written("a", 2, 1_500), 1);
        assert_eq!(line.written("a", 4, 60_000), 3);
    }

    #[test]
    fn a_line_now_and_then_is_always_written() {
        let mut line = Line::new();
        for second in 0..1_000 {
            assert_eq!(line.written("a", 1, second * 400), 1);
        }
        assert_eq!(line.summaries(1_000_000), []);
        assert_eq!(line.sampler.poll_timeout(), None);
    }

    #[test]
    fn a_flood_suppresses_no_line_of_another_kind() {
        let mut line = Line::new();
        assert_eq!(line.written("a", 1_000, 0), 3);
        assert_eq!(line.written("b", 2, 0), 2);
        assert_eq!(line.verdict("request", "a", 0), Verdict::Write);
    }

    #[test]
    fn a_summary_counts_the_suppressed_lines_after_five_seconds_though_the_flood_is_over() {
        let mut line = Line::new();
        line.written("a", 3, 0);
        assert_eq!(
            line.verdict("emit", "a", 10),
            Verdict::Suppress { is_first: true }
        );
        assert_eq!(
            line.verdict("emit", "a", 20),
            Verdict::Suppress { is_first: false }
        );
        assert_eq!(line.sampler.poll_timeout(), Some(line.at(5_010)));
        assert_eq!(line.summaries(5_009), []);
        assert_eq!(line.summaries(5_010), [("a".to_owned(), 2, 5_000)]);
        assert_eq!(line.summaries(20_000), []);
        assert_eq!(line.sampler.poll_timeout(), None);
    }

    #[test]
    fn a_flood_that_lasts_has_a_summary_every_five_seconds_and_no_line_is_lost() {
        let mut line = Line::new();
        let (mut written, mut summarized, mut summaries) = (0, 0, 0);
        for tick in 0..6_000 {
            let millis = tick * 10;
            written += line.written("a", 10, millis);
            for (_, lines, _) in line.summaries(millis) {
                summarized += lines;
                summaries += 1;
            }
        }
        assert_eq!(written, 60 * 3);
        assert_eq!(summaries, 11);
        let rest = line.sampler.flush_summary(line.at(60_000)).map(shown);
        summarized += rest.unwrap().1;
        assert_eq!(written as u64 + summarized, 60_000);
    }

    #[test]
    fn summaries_come_in_the_order_of_their_floods() {
        let mut line = Line::new();
        for (millis, code) in [(0, "c"), (1, "a"), (2, "b")] {
            line.written(code, 4, millis);
        }
        let codes: Vec<_> = line.summaries(5_002).into_iter().collect();
        assert_eq!(
            codes,
            [("c", 5_002), ("a", 5_001), ("b", 5_000)].map(|(code, elapsed)| (
                code.to_owned(),
                1,
                elapsed
            ))
        );
    }

    #[test]
    fn the_end_of_the_log_has_every_summary_at_once() {
        let mut line = Line::new();
        line.written("a", 10, 0);
        line.written("b", 5, 0);
        let now = line.at(7);
        let rest: Vec<_> = std::iter::from_fn(|| line.sampler.flush_summary(now))
            .map(shown)
            .collect();
        assert_eq!(rest, [("a".to_owned(), 7, 7), ("b".to_owned(), 2, 7)]);
    }

    #[test]
    fn a_stranger_makes_no_kinds() {
        for text in [
            "https://evil.example",
            "User 42",
            "a\nb",
            "ñ",
            &"a".repeat(MAX_REASON_BYTES + 1),
        ] {
            assert_eq!(Reason::new("reason", text), None, "{text}");
        }
        let mut line = Line::new();
        for number in 0..100_000 {
            let _verdict = line.verdict("emit", &format!("code_{number}"), 0);
        }
        assert_eq!(line.sampler.kinds.len(), MAX_KINDS + 1);
        assert_eq!(line.sampler.positions.len(), MAX_KINDS + 1);
        // Those beyond the bound share what is written of one kind.
        assert_eq!(line.written("code_99999", 5, 2_000), 3);
        assert_eq!(line.written("code_99998", 5, 2_000), 0);
        assert_eq!(line.written("code_1", 5, 2_000), 3);
        let rest = std::iter::from_fn(|| line.sampler.flush_summary(line.start));
        let beyond: Vec<_> = rest.filter(|summary| summary.reason.is_none()).collect();
        assert_eq!(beyond.len(), 1);
    }

    #[test]
    fn a_clock_that_is_read_out_of_order_does_no_harm() {
        let mut line = Line::new();
        assert_eq!(line.written("a", 3, 1_000), 3);
        assert_eq!(line.written("a", 1, 999), 0);
        assert_eq!(line.written("a", 1, 2_000), 1);
    }
}
