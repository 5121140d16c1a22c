//! Deliveries to real receivers over HTTP, by a clock that the tests move.

mod receiver;
mod world;

mod deliveries;

mod outages;
