//! Exports: every message of a campaign as CSV.
