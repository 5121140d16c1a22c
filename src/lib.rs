//! The dispatcher of WhatsApp bulk campaigns, as a library for its own binary, tests and benches.
//!
#![doc = include_str!("ARCHITECTURE.md")]

pub mod domain;

pub mod store;

pub mod error;

pub mod service;

pub mod api;

pub mod notice;

pub mod clock;

pub mod node;

pub mod dispatch;

pub mod gateway;

pub mod media;

pub mod broker;

pub mod intake;

pub mod events;

pub mod realtime;

pub mod webhooks;

pub mod mail;

pub mod background;

pub mod ownership;

pub mod receipts;

pub mod limits;

pub mod patience;

pub mod config;

pub mod telemetry;

pub mod simulator;

pub mod shutdown;

pub mod daemon;

pub mod demo;

pub mod bench;

pub mod cli;

#[cfg(feature = "kill-points")]
pub mod kill_point;

/// Lets the process die here when a test has chosen this point; nothing without the feature.
#[cfg(not(feature = "kill-points"))]
#[macro_export]
macro_rules! kill_point {
    ($name:literal) => {};
}
