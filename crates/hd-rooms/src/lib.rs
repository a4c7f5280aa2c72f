//! Room registry and audience resolution, without I/O and without a protocol
