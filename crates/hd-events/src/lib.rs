//! Help-desk events: names, payloads and the validated emit command
