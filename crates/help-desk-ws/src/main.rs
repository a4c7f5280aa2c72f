//! Help-desk WebSocket service: real-time notifications for browsers

fn main() {}
