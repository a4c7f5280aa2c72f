//! What is counted about strangers, without I/O and without a clock: sessions
//! that have joined nothing, and what comes from each address.

mod pool;
mod rates;

pub(crate) use pool::{Pool, Ticket};
pub(crate) use rates::{Rate, Rates};
