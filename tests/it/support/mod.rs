//! What the integration tests share. Tests nothing itself.

pub(crate) mod db;

pub(crate) mod seed;

pub(crate) mod journal;

pub(crate) mod lanes;

pub(crate) mod wait;
