//! How much is run.

use std::time::Duration;

/// A version of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// For continuous integration: some rows, once.
    Short,
    /// All rows, several times.
    Normal,
    /// The same with as many clients as a machine of two cores can play.
    Full,
}

impl Version {
    pub(crate) fn runs(self) -> u32 {
        match self {
            Self::Short => 1,
            Self::Normal | Self::Full => 5,
        }
    }

    pub(crate) fn clients(self) -> usize {
        match self {
            Self::Short | Self::Normal => 600,
            Self::Full => 6000,
        }
    }

    /// Emits a second.
    pub(crate) fn rate(self) -> u32 {
        match self {
            Self::Short | Self::Normal => 100,
            Self::Full => 500,
        }
    }

    /// How often the connections to Redis are cut, once a second.
    pub(crate) fn flaps(self) -> u32 {
        match self {
            Self::Short | Self::Normal => 10,
            Self::Full => 60,
        }
    }

    /// How long packets between a node and Redis are dropped.
    pub(crate) fn partition(self) -> Duration {
        match self {
            Self::Short | Self::Normal => Duration::from_secs(10),
            Self::Full => Duration::from_secs(30),
        }
    }

    /// How long things go on to break.
    pub(crate) fn soak(self) -> Duration {
        match self {
            Self::Short | Self::Normal => Duration::from_secs(20 * 60),
            Self::Full => Duration::from_secs(2 * 60 * 60),
        }
    }

    /// How long Redis stops answering, one after the other.
    pub(crate) fn redis_pauses(self) -> &'static [Duration] {
        const SHORT: Duration = Duration::from_secs(5);
        const LONG: Duration = Duration::from_secs(30);
        match self {
            Self::Short | Self::Normal => &[SHORT],
            Self::Full => &[SHORT, LONG],
        }
    }
}
