/// Working memory for [`Rooms::visit`](crate::Rooms::visit), reused from call to
/// call, so that finding members of several rooms once each needs no allocation.
///
/// Grows to 4 bytes per member of the largest registry it was used with. One
/// per publishing thread is meant; it may serve several registries in turn.
#[derive(Debug, Clone, Default)]
pub struct AudienceScratch {
    /// By member index: the call that last marked the member.
    marks: Vec<u32>,
    /// The present call. Zero marks nobody.
    epoch: u32,
}

impl AudienceScratch {
    /// Allocates nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            marks: Vec::new(),
            epoch: 0,
        }
    }

    /// Forgets all marks and makes room for indices below `index_end`.
    pub(crate) fn begin(&mut self, index_end: usize) {
        if self.marks.len() < index_end {
            self.marks.resize(index_end, 0);
        }
        self.epoch = self.epoch.checked_add(1).unwrap_or_else(|| {
            self.marks.fill(0);
            1
        });
    }

    /// Marks a member; true when it was not marked yet.
    pub(crate) fn mark(&mut self, index: u32) -> bool {
        let mark = &mut self.marks[index as usize];
        let new = *mark != self.epoch;
        *mark = self.epoch;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_forgotten_when_the_epochs_start_over() {
        let mut scratch = AudienceScratch::new();
        scratch.begin(2);
        assert!(scratch.mark(0));
        assert!(!scratch.mark(0));

        // Index 0 keeps a mark of epoch 1, which comes round again.
        scratch.epoch = u32::MAX - 1;
        scratch.begin(2);
        assert_eq!(scratch.epoch, u32::MAX);
        assert!(scratch.mark(1));
        scratch.begin(2);
        assert_eq!(scratch.epoch, 1);
        assert!(scratch.mark(0));
        assert!(scratch.mark(1));
    }
}
