//! Services over a real store: rules, races and tenancy, on PostgreSQL and on SQLite.

pub(crate) mod front;

mod auth;

mod invitations;
mod team;

mod api_keys;

mod idempotency;

mod safeguards;

mod pairing;
mod sessions;

mod session_news;

mod session_settings;

mod campaigns;

mod contacts;

mod erasure;

mod campaign_changes;
mod campaign_control;

mod campaign_recall;

mod levers;

mod recipient_import;

mod messages;

mod media;

mod templates;

mod plans;

pub(crate) mod billing;

mod timeline;

mod realtime;

mod tenancy;

mod retention;
