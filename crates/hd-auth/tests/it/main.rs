//! Tests of hd-auth through its public surface.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "clippy takes helpers of tests for other code"
)]

mod lookup;
mod mac;
mod matching;
mod node;
mod payload;
mod secrets;
mod signer;
mod verdicts;
mod verifier;
