//! The one integration binary: tests that look at the package from outside.
//!
//! Tests of one module's insides stand beside that module.
#![expect(clippy::unwrap_used, reason = "tests")]

mod api;

mod broker;

mod cli;

mod daemon;

mod deploy;

mod docs;

mod gateway;

mod mail;

mod service;

mod store;

mod support;

mod tidy;

mod webhooks;
