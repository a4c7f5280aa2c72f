use std::fmt;

use crate::{codecs, replay, requests, rooms, sessions};

/// Something whose cost is measured.
#[derive(Clone, Copy)]
pub struct Operation {
    name: &'static str,
    prepare: fn() -> Box<dyn FnMut()>,
}

impl Operation {
    pub(crate) const fn new(name: &'static str, prepare: fn() -> Box<dyn FnMut()>) -> Self {
        Self { name, prepare }
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        [
            codecs::OPERATIONS,
            rooms::OPERATIONS,
            sessions::OPERATIONS,
            replay::OPERATIONS,
            requests::OPERATIONS,
        ]
        .into_iter()
        .flatten()
        .copied()
    }

    /// The one with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::all().find(|operation| operation.name == name)
    }

    /// Its module and what it does, such as `codecs/decode-event`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Makes what it works on. Each call of the closure is one turn.
    #[must_use]
    pub fn prepare(&self) -> Box<dyn FnMut()> {
        (self.prepare)()
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Operation").field(&self.name).finish()
    }
}
