//! The broker's side against a real Kafka, and the document that describes its topics.

mod asyncapi;

mod control;

mod dead_letters;

mod events;

mod group;

mod poison;

mod pressure;

mod records;

pub(crate) mod support;

mod topics;
