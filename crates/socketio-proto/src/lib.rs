//! Socket.IO protocol: packets, parsers, and the per-client namespace machine, without I/O
