//! The whole daemon as a process, killed, starved and cut off, judged by the provider's own ledger.
//!
//! Daemon and simulator are child processes, everything goes over REST. The way of one test: [`world`] starts
//! both, [`client`] does what a tenant would, [`provider`] reads the simulator's ledger, [`judge`] compares the two.
//! Sizes and seed can be set by hand, see [`by_hand`].

mod by_hand;
mod client;
mod cluster;
mod contract;
mod drain;
mod faults;
mod full_disk;
mod judge;
mod kill_nine;
mod kill_points;
mod levers;
mod linked;
mod lost_database;
mod media;
mod mixed_rates;
mod pauses;
mod process;
mod provider;
mod singles;
mod slow_lane;
mod subscriptions;
mod throttled;
mod token;
mod world;
