//! The worker as a process, driven over its socket, against a stand-in for WhatsApp that speaks the real layers.

mod ends;
mod fake;
mod idle;
mod pairing;
mod sending;
mod worker;
