//! The log as an instance finds it that starts, for tests whose logs are short.

use hd_cluster::{Followed, OpenError, Place, Record, Rejection, SharedLog, Trimmed};

/// The log as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Of what is after it, everything is there.
    pub(crate) began: Place,
    pub(crate) records: Vec<Record>,
    pub(crate) rejected: Vec<Rejection>,
    pub(crate) end: Place,
    /// What was trimmed before it began.
    pub(crate) trimmed: Trimmed,
}

pub(crate) trait Whole {
    /// Reads all that is there.
    async fn open(&self) -> Result<Snapshot, OpenError>;
}

impl Whole for SharedLog {
    async fn open(&self) -> Result<Snapshot, OpenError> {
        let mut began = None;
        let (mut records, mut rejected) = (Vec::new(), Vec::new());
        let loading = self.load(|followed| {
            match followed {
                Followed::Gap(place, trimmed) => {
                    began = Some((place, trimmed));
                    records.clear();
                }
                Followed::Records(more) => records.extend(more),
                Followed::Rejected(_, rejection) => rejected.push(rejection),
                other @ (Followed::CutOff(_)
                | Followed::Back
                | Followed::Moved
                | Followed::End(_)) => {
                    panic!("{other:?}")
                }
            }
            std::future::ready(())
        });
        let loaded = loading.await?;
        let (began, trimmed) = began.expect("the log begins somewhere");
        assert_eq!(began, loaded.began);
        Ok(Snapshot {
            began,
            records,
            rejected,
            end: loaded.end,
            trimmed,
        })
    }
}
