//! The REST front from outside: an in-process router over a SQLite store of its own per test.
//!
//! Nothing is sent here; what the lanes do with accepted messages is tested with them.

mod answer;
mod doubles;
mod support;

mod surface;

mod layers;
mod levers;

mod bad_input;

mod system;

mod auth;

mod accounts;

mod team;

mod audit;

mod api_keys;

mod external;

mod idempotency;

mod rates;

mod node;
mod pairing;
mod sessions;

mod message_types;

mod messages;

mod media;

mod templates;

mod campaigns;

mod campaign_changes;

mod realtime;

mod contacts;

mod recipients;

mod documented;
mod export;

mod forecast;

mod provider;

mod ops;

mod billing;
mod plans;

mod analytics;

mod socket;

mod webhooks;
