//! The thread that polls: collects batches, hands them over, pauses and resumes.
//!
//! Whatever happens, the client is polled at least every second, or the group takes this member for dead.

use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

use super::Membership;
use super::shared::Callbacks;
use crate::broker::record::Record;
use crate::limits::{PRESSURE_MAX, RECORD_BATCH_BYTES_MAX, RECORD_BATCH_MAX, RECORD_BATCH_WAIT};

/// Longest time in one poll while nothing comes: offsets and the end of the thread wait for it.
const IDLE_POLL: Duration = Duration::from_millis(50);

/// Time between two tries to hand a batch over.
const HAND_OVER_INTERVAL: Duration = Duration::from_millis(5);

/// The state of the poll thread.
pub(super) struct Poller {
    consumer: BaseConsumer<Callbacks>,
    records: mpsc::Sender<Vec<Record>>,
    membership: mpsc::Sender<Membership>,
    /// A batch that was not taken yet.
    held: Vec<Record>,
    full_since: Option<Instant>,
    is_paused: bool,
    fatal: Option<String>,
}

enum HandOver {
    Taken,
    Full,
    NobodyThere,
}

impl Poller {
    pub(super) fn new(
        consumer: BaseConsumer<Callbacks>,
        records: mpsc::Sender<Vec<Record>>,
        membership: mpsc::Sender<Membership>,
    ) -> Self {
        Self { consumer, records, membership, held: Vec::new(), full_since: None, is_paused: false, fatal: None }
    }

    /// Polls until it is stopped, nobody takes records any more, or the group refuses this member for good.
    pub(super) fn run(mut self) {
        while !self.consumer.context().shared.is_stopping() && self.fatal.is_none() {
            self.after_rebalance();
            self.consumer.context().store_finished(&self.consumer);
            match self.hand_over() {
                HandOver::Taken => {
                    self.resume_when_there_is_room();
                    self.collect();
                }
                HandOver::Full => self.wait_for_room(),
                HandOver::NobodyThere => break,
            }
        }
        self.report_fatal();
        self.consumer.context().store_finished(&self.consumer);
        // Dropping the consumer commits what is stored and leaves the group.
    }

    /// Does what a rebalance left to do.
    fn after_rebalance(&mut self) {
        let mut assignment = self.consumer.context().assignment();
        if assignment.is_news {
            let news = Membership::Assigned(assignment.partitions.clone());
            // While the queue is full the news waits, and grows into the latest.
            assignment.is_news = matches!(self.membership.try_send(news), Err(TrySendError::Full(_)));
        }
        let has_new = std::mem::take(&mut assignment.has_new);
        drop(assignment);
        match (has_new, self.is_paused) {
            (true, true) => self.pause(),
            // The client keeps the mark of a pause on a partition that goes and comes back.
            (true, false) => self.resume(),
            (false, _) => {}
        }
    }

    fn hand_over(&mut self) -> HandOver {
        if self.held.is_empty() {
            self.full_since = None;
            return if self.records.is_closed() { HandOver::NobodyThere } else { HandOver::Taken };
        }
        match self.records.try_send(std::mem::take(&mut self.held)) {
            Ok(()) => {
                self.full_since = None;
                HandOver::Taken
            }
            Err(TrySendError::Full(batch)) => {
                self.held = batch;
                HandOver::Full
            }
            Err(TrySendError::Closed(_)) => HandOver::NobodyThere,
        }
    }

    /// Waits a little; under lasting pressure with the partitions paused, so that the client can be polled.
    fn wait_for_room(&mut self) {
        if self.is_paused {
            // Polls for callbacks; a record that was on its way when the pause was set joins the batch.
            self.poll(HAND_OVER_INTERVAL);
            return;
        }
        let full_since = *self.full_since.get_or_insert_with(Instant::now);
        if full_since.elapsed() < PRESSURE_MAX {
            thread::park_timeout(HAND_OVER_INTERVAL);
        } else {
            tracing::info!("intake is full, partitions are paused");
            self.pause();
        }
    }

    /// Resumes with hysteresis: pausing throws away what was fetched ahead, so it must not flutter.
    fn resume_when_there_is_room(&mut self) {
        let (free, all) = (self.records.capacity(), self.records.max_capacity());
        if !self.is_paused || free * 10 < all * 4 {
            return;
        }
        tracing::info!("intake has room, partitions are resumed");
        self.resume();
    }

    fn resume(&mut self) {
        match self.consumer.assignment().and_then(|assigned| self.consumer.resume(&assigned)) {
            Ok(()) => self.set_paused(false),
            Err(error) => tracing::warn!(%error, "partitions can not be resumed"),
        }
    }

    fn pause(&mut self) {
        match self.consumer.assignment().and_then(|assigned| self.consumer.pause(&assigned)) {
            Ok(()) => self.set_paused(true),
            Err(error) => tracing::warn!(%error, "partitions can not be paused"),
        }
    }

    fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
        self.consumer.context().shared.note_paused(is_paused);
    }

    /// Collects a batch into `held`: until it is large enough, or its first record has waited long enough.
    fn collect(&mut self) {
        let mut n_bytes = 0;
        let mut until = None;
        while self.held.len() < RECORD_BATCH_MAX && n_bytes < RECORD_BATCH_BYTES_MAX {
            let wait = until.map_or(IDLE_POLL, |until: Instant| until.saturating_duration_since(Instant::now()));
            match self.poll(wait) {
                Some(n) => n_bytes += n,
                // A callback may have run, or there is nothing.
                None if self.held.is_empty() || wait.is_zero() => return,
                None => {}
            }
            if self.fatal.is_some() {
                return;
            }
            until.get_or_insert_with(|| Instant::now() + RECORD_BATCH_WAIT);
        }
    }

    /// Polls once; returns the bytes of the record that came, which joins `held`.
    fn poll(&mut self, wait: Duration) -> Option<usize> {
        match self.consumer.poll(wait)? {
            Ok(message) => {
                let record = Record::copy(&message);
                let n_bytes = record.n_bytes();
                self.held.push(record);
                Some(n_bytes)
            }
            Err(error) => {
                self.note_error(&error);
                None
            }
        }
    }

    /// Most errors pass by themselves and are logged by the callback; a fatal one does not.
    fn note_error(&mut self, error: &KafkaError) {
        if let Some((code, reason)) = self.consumer.client().fatal_error() {
            tracing::error!(%code, reason, "the group refuses this member for good");
            self.fatal = Some(format!("{code}: {reason}"));
        } else {
            tracing::debug!(%error, "polling the job topic reports a problem");
        }
    }

    fn report_fatal(&mut self) {
        let Some(reason) = self.fatal.take() else { return };
        let mut news = Membership::Fatal(reason);
        while let Err(TrySendError::Full(unsent)) = self.membership.try_send(news) {
            if self.consumer.context().shared.is_stopping() {
                return;
            }
            news = unsent;
            thread::park_timeout(HAND_OVER_INTERVAL);
        }
    }
}
