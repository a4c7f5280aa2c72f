//! Engine.IO protocol.

mod frame;
pub use frame::Frame;

mod packet;
pub use packet::{DecodeError, EncodedPacket, Message, Packet, PacketType};
