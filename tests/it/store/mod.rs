//! Contracts of the store: each runs on PostgreSQL and on SQLite.

mod admissions;

mod analytics;

mod api_keys;

mod audit;

mod contacts;

mod conversations;

mod events;

mod failover;

mod fleet;

mod forecasts;

mod heads;

mod history;

mod idempotency;

mod journal;

mod lanes;

mod messages;

mod opt_out_news;
mod opt_outs;

mod media;

mod outbox;
mod partitions;

mod places;

mod property;
mod quota;

mod quota_histories;

mod receipts;

mod recalls;

mod recovery;

mod retention;

mod refusals;

mod schema;
mod session_counters;

mod templates;

mod tiers;

mod webhooks;
