//! Values and rules of the field: what a delivery is, how it moves, what a failure means.
//!
//! Nothing here does I/O, reads a clock, draws its own randomness or knows that async exists:
//! time and seeds are arguments, so every rule can be tested by table and by property.

pub mod moment;

mod words;

pub mod zone;

pub mod held_by;

pub mod hours;
pub mod lever;

pub mod id;

pub mod recipient;

pub mod inbound;

pub mod contact;

pub mod opt_out;

pub mod recipient_csv;

pub mod message;

pub mod media;

pub mod job;

pub mod partition;

pub mod control;

pub mod event;

pub mod dead_letter;

pub mod campaign;

pub mod safeguards;

pub mod delivery;

pub mod recall;

pub mod failure;

pub mod attempt;

pub mod receipt;

pub mod session;

pub mod session_change;

pub mod pacing;

pub mod plan;

pub mod billing;

pub mod quota;

pub mod day;

pub mod backoff;

pub mod user;

pub mod ability;

pub mod team;

pub mod mail;

pub mod api_key;

pub mod webhook;

pub mod realtime;
