//! Who is in which room, and who is meant by "to these rooms, except those".
//!
//! [`Rooms`] is the registry of one namespace: its members, the rooms they
//! joined, and the resolution of an [`Audience`] to members, each exactly once.
//! What a member *is* belongs to the caller, typically an `Arc` of a connection.
//!
//! The crate has no I/O, no locks, no clock and no protocol. The caller wraps a
//! registry in its own lock, resolves an audience under it, releases it, and
//! only then sends. Results never depend on hash order: the same calls in the
//! same order give the same members in the same order.
//!
//! ```
//! use hd_rooms::{Audience, AudienceScratch, RoomName, Rooms, RoomsConfig};
//!
//! let mut rooms = Rooms::new(RoomsConfig::default());
//! let phone = rooms.insert("phone")?;
//! let laptop = rooms.insert("laptop")?;
//! let stranger = rooms.insert("stranger")?;
//!
//! let user_42 = RoomName::new("user_42")?;
//! let office_7 = RoomName::new("office_7")?;
//! rooms.join(phone, &user_42)?;
//! rooms.join(laptop, &user_42)?;
//! rooms.join(laptop, &office_7)?;
//! rooms.join(stranger, &office_7)?;
//!
//! // Scratch and output outlive the call, so that a busy publisher reuses them.
//! let mut scratch = AudienceScratch::new();
//! let mut out = Vec::new();
//! rooms.resolve(&Audience::room(user_42.clone()), &mut scratch, &mut out);
//! assert_eq!(out, ["phone", "laptop"]);
//!
//! // In both rooms, but named once; the sender itself is left out.
//! let audience = Audience::room(user_42).to(office_7).except_member(phone);
//! out.clear();
//! rooms.resolve(&audience, &mut scratch, &mut out);
//! assert_eq!(out, ["laptop", "stranger"]);
//!
//! // Removal leaves every room; the stale key means nothing from then on.
//! assert_eq!(rooms.remove(laptop), Some("laptop"));
//! assert_eq!(rooms.room_len("user_42"), 1);
//! assert_eq!(rooms.get(laptop), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Cost
//!
//! With `R` the number of rooms of the member concerned (at most
//! [`RoomsConfig::max_rooms_per_member`], usually one or two):
//!
//! | call | time |
//! |---|---|
//! | `insert`, `get`, `room_len` | O(1) |
//! | `join`, `leave`, `contains` | O(`R`) to look through the member's own rooms, never O(members of the room) |
//! | `remove` | O(`R`) |
//! | `visit`, `resolve` of everyone | O(most members there have been), one linear walk |
//! | `visit`, `resolve` of one room | O(members of it), no allocation |
//! | `visit`, `resolve` otherwise | O(members of all rooms named, in `to` and in `except`) |
//!
//! A member with a room of its own costs 120 bytes in place, for a pointer-sized
//! `M`, plus its share of the hash index; nothing of it is allocated singly.
//! The tables grow by doubling and keep the size of the busiest moment.

mod audience;
mod config;
mod error;
mod members;
mod room_name;
mod room_table;
mod rooms;
mod scratch;

pub use audience::Audience;
pub use config::RoomsConfig;
pub use error::{InsertError, JoinError, RoomNameError};
pub use members::MemberKey;
pub use room_name::{MAX_ROOM_NAME_BYTES, RoomName};
pub use rooms::{Joined, Rooms};
pub use scratch::AudienceScratch;
