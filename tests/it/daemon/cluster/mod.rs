//! Several nodes on one Kafka and one PostgreSQL: killed, stopped, starved of their servers, and judged by the
//! provider's own ledger.
//!
//! The servers are those of scripts/test: `DATABASE_URL` and `KAFKA_BROKERS` name calm ones, the same with
//! `CHAOS_` in front those that tests restart.

mod broker_away;
mod chaos;
mod downtime;
mod kill_points;
mod nodes;
mod plan;
mod records;
mod replay;
mod scheduled;
mod stalled;
mod storm;
