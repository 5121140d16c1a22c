//! The gateways against a provider that they reach over HTTP.

mod linked;

mod types;
