//! x
pub mod clock;
pub mod simulator;
