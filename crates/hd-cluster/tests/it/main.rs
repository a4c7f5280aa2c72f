//! Tests of the public API, against a Redis of their own.

mod appending;
mod channels;
mod cluster_channels;
mod cluster_servers;
mod failover;
mod fake_sentinel;
mod following;
mod listener;
mod places;
mod poisoned;
mod presence;
mod redis_cluster;
mod redis_server;
mod relay;
mod restored;
mod roster;
mod snapshot;
mod trimming;
mod unasked;
mod unwell_masters;
