//! Services over a real store: rules, races and tenancy, on PostgreSQL and on SQLite.

mod front;

mod auth;

mod sessions;

mod campaigns;

mod campaign_control;

mod recipient_import;

mod messages;

mod tenancy;
