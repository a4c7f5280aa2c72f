//! Which records count: those that carry the code of an instance of ours.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;

/// Bytes of a record's code: HMAC-SHA-256, truncated to half as RFC 2104 §5 allows.
pub const RECORD_CODE_BYTES: usize = 16;

/// Computes the code over a record. The key is for this purpose and for this version of the
/// format only.
pub type RecordMac = Box<dyn Fn(&[u8]) -> [u8; RECORD_CODE_BYTES] + Send + Sync>;

/// The keys of the instances, and what becomes of a record without a code. A clone has the same.
#[derive(Clone, Default)]
pub struct RecordKeys {
    macs: Arc<[RecordMac]>,
    unsigned: UnsignedRecords,
}

/// What becomes of a record without a code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnsignedRecords {
    /// It counts.
    Accept,
    /// It does not.
    #[default]
    Reject,
}

/// Why an entry of the stream does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It has not the form of an entry that our scripts append.
    #[error("malformed")]
    Malformed,
    /// It has no code.
    #[error("unsigned")]
    Unsigned,
    /// Its code is not one of ours.
    #[error("forged")]
    Forged,
}

impl RecordKeys {
    /// Records get a code of each of these, and count with a code of any of them: of the current
    /// secret, and of the one before it. So instances that know one of two secrets, while the
    /// secret is changed, believe each other. Without any key, records get no code, and none is
    /// looked at.
    #[must_use]
    pub fn new(macs: Vec<RecordMac>, unsigned: UnsignedRecords) -> Self {
        Self {
            macs: macs.into(),
            unsigned,
        }
    }

    /// The codes over a record, one after the other.
    pub(crate) fn sign(&self, record: &[u8]) -> Vec<u8> {
        self.macs.iter().flat_map(|mac| mac(record)).collect()
    }

    pub(crate) fn verify(&self, record: &[u8], codes: Option<&[u8]>) -> Result<(), Rejection> {
        if self.macs.is_empty() {
            return Ok(());
        }
        let codes = codes.unwrap_or_default();
        if codes.is_empty() {
            return match self.unsigned {
                UnsignedRecords::Accept => Ok(()),
                UnsignedRecords::Reject => Err(Rejection::Unsigned),
            };
        }
        let (codes, rest) = codes.as_chunks::<RECORD_CODE_BYTES>();
        if !rest.is_empty() || codes.len() > MAX_CODES {
            return Err(Rejection::Forged);
        }
        let is_ours = self.macs.iter().any(|mac| {
            let own = mac(record);
            codes.iter().any(|code| bool::from(own.ct_eq(code)))
        });
        if is_ours {
            Ok(())
        } else {
            Err(Rejection::Forged)
        }
    }
}

/// Shows no key.
impl fmt::Debug for RecordKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordKeys")
            .field("macs", &self.macs.len())
            .field("unsigned", &self.unsigned)
            .finish()
    }
}

/// Of an entry: the current secret's, the one's before it, and some more for versions to come.
const MAX_CODES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// No MAC, and different for each key.
    fn mac(key: u8) -> RecordMac {
        Box::new(move |record| {
            let sum = record.iter().fold(key, |sum, byte| sum.wrapping_add(*byte));
            [sum; RECORD_CODE_BYTES]
        })
    }

    fn keys(keys: &[u8], unsigned: UnsignedRecords) -> RecordKeys {
        RecordKeys::new(keys.iter().map(|key| mac(*key)).collect(), unsigned)
    }

    #[test]
    fn a_record_counts_with_a_code_of_any_key() {
        let [old, both, new] =
            [&[1][..], &[2, 1], &[2]].map(|of| keys(of, UnsignedRecords::Reject));
        for (signer, verifier, verdict) in [
            (&old, &both, Ok(())),
            (&both, &old, Ok(())),
            (&both, &new, Ok(())),
            (&new, &both, Ok(())),
            (&old, &new, Err(Rejection::Forged)),
            (&new, &old, Err(Rejection::Forged)),
        ] {
            let codes = signer.sign(b"record");
            assert_eq!(verifier.verify(b"record", Some(&codes)), verdict);
            assert_eq!(
                verifier.verify(b"other", Some(&codes)),
                Err(Rejection::Forged)
            );
        }
    }

    #[test]
    fn codes_of_another_length_are_forged() {
        let keys = keys(&[1], UnsignedRecords::Accept);
        let codes = keys.sign(b"record");
        let many = codes.repeat(MAX_CODES + 1);
        for codes in [&codes[..15], &many, &many[..20]] {
            assert_eq!(keys.verify(b"record", Some(codes)), Err(Rejection::Forged));
        }
        assert_eq!(keys.verify(b"record", Some(&many[16..])), Ok(()));
    }

    #[test]
    fn a_record_without_a_code_counts_where_that_is_accepted() {
        for (keys, verdict) in [
            (
                keys(&[1], UnsignedRecords::Reject),
                Err(Rejection::Unsigned),
            ),
            (keys(&[1], UnsignedRecords::Accept), Ok(())),
            (RecordKeys::default(), Ok(())),
        ] {
            assert_eq!(keys.verify(b"record", None), verdict);
            assert_eq!(keys.verify(b"record", Some(b"")), verdict);
        }
    }
}
