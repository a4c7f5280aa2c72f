//! Engine.IO protocol: packets, payloads, requests and the session machine, without I/O
