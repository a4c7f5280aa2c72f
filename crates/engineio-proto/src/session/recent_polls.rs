//! Which polls a session has answered already.

use crate::CacheBuster;

/// The cache busters of a session's latest polls, by which a repeated poll is
/// recognized.
///
/// A session that never polled keeps nothing, so an idle WebSocket does not pay.
#[derive(Debug, Default)]
pub(super) enum RecentPolls {
    /// Not even the handshake's poll has arrived.
    #[default]
    None,
    /// The handshake's poll, which has no session id: no poll can repeat it.
    Handshake(CacheBuster),
    /// The client sends no cache buster, or the same one with every request.
    /// Its polls cannot be told apart.
    Indistinct,
    /// The latest first.
    Distinct(Box<[Option<CacheBuster>; MAX_RECENT_POLLS]>),
}

impl RecentPolls {
    /// Takes note of a poll. Returns whether it repeats one of the latest.
    pub(super) fn is_repeated(&mut self, poll: Option<CacheBuster>) -> bool {
        let Some(poll) = poll else {
            if matches!(self, Self::None) {
                *self = Self::Indistinct;
            }
            return false;
        };
        match self {
            Self::None => *self = Self::Handshake(poll),
            Self::Handshake(handshake) if *handshake == poll => *self = Self::Indistinct,
            Self::Handshake(_) => {
                let mut recent = Box::new([None; MAX_RECENT_POLLS]);
                recent[0] = Some(poll);
                *self = Self::Distinct(recent);
            }
            Self::Indistinct => {}
            Self::Distinct(recent) => {
                if recent.contains(&Some(poll)) {
                    return true;
                }
                recent.rotate_right(1);
                recent[0] = Some(poll);
            }
        }
        false
    }
}

/// A proxy repeats a poll before it has answered the client, which sends no
/// other poll until then: one would do. The others are for a poll that was held
/// up on the way and arrives when its repetition is answered already. They take
/// 128 bytes.
const MAX_RECENT_POLLS: usize = 16;
