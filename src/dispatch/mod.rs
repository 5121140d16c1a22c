//! The hot path.

pub mod pacer;
