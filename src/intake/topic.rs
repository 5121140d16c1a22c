//! Takes jobs from the topic: persisted first, then the offset is stored; what cannot be a job is kept aside.
//!
//! Knows nothing of lanes and waits for none. Anything may be read again: the ids in the jobs make that
//! harmless. A record that is no job never holds up those behind it.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::Interval;
use tokio_util::sync::CancellationToken;

use crate::broker::{DeadLetters, JobConsumer, NewDeadLetter, Record};
use crate::dispatch::lease::Leases;
use crate::domain::job::Job;
use crate::domain::partition::PartitionNo;
use crate::error::chain;
use crate::intake::Intake;
use crate::intake::decode::{Dead, decode};
use crate::kill_point;
use crate::limits::TAKEN_TOGETHER_BYTES_MAX;
use crate::patience::Patience;
use crate::telemetry::admin::Readiness;

/// How often the lag is noted.
const BEAT: Duration = Duration::from_secs(1);

/// Takes jobs from the topic.
pub struct TopicIntake {
    /// What persists jobs.
    pub intake: Intake,
    /// Where records come from.
    pub consumer: JobConsumer,
    /// Where those go that are no jobs.
    pub dead_letters: DeadLetters,
    /// Where the lag of our partitions is noted.
    pub leases: Leases,
    /// Shows whether the broker is there.
    pub readiness: Readiness,
}

/// A record and what it turned out to be.
type Decoded = (Record, Result<Job, Dead>);

impl TopicIntake {
    /// Takes records until told to stop; finishes those it has begun with, and leaves the group.
    pub async fn run(self, mut records: mpsc::Receiver<Vec<Record>>, stop: CancellationToken) {
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = beat.tick() => self.note_lag(),
                batch = records.recv() => match batch {
                    Some(batch) => {
                        if !self.take_noting(together(batch, &mut records), &stop, &mut beat).await {
                            break;
                        }
                    }
                    None => break,
                },
            }
        }
        self.consumer.stop().await;
    }

    /// Takes records in and goes on noting the lag, which grows just when the database makes this wait.
    async fn take_noting(&self, records: Vec<Record>, stop: &CancellationToken, beat: &mut Interval) -> bool {
        let taking = self.take(records, stop);
        tokio::pin!(taking);
        loop {
            tokio::select! {
                goes_on = &mut taking => return goes_on,
                _ = beat.tick() => self.note_lag(),
            }
        }
    }

    /// Takes records in; `false` when told to stop before that was done.
    async fn take(&self, records: Vec<Record>, stop: &CancellationToken) -> bool {
        let finished = last_offsets(&records);
        let written_at: Vec<i64> = records.iter().filter_map(|record| record.timestamp_ms).collect();
        let decoding = tokio::task::spawn_blocking(move || records.into_iter().map(read).collect::<Vec<Decoded>>());
        let Ok(mut decoded) = decoding.await else {
            tracing::error!("reading records panicked");
            return false;
        };
        if !self.admit(&mut decoded, stop).await || !self.keep_dead(&decoded, stop).await {
            return false;
        }
        kill_point!("topic: before offsets are stored");
        self.consumer.store_offsets(&finished);
        self.note_ages(&written_at);
        self.note_lag();
        true
    }

    /// Persists the jobs, however long the database is away; those that are refused become dead.
    async fn admit(&self, decoded: &mut [Decoded], stop: &CancellationToken) -> bool {
        let places: Vec<usize> = (0..decoded.len()).filter(|place| decoded[*place].1.is_ok()).collect();
        let jobs: Vec<Job> = decoded.iter().filter_map(|(_, job)| job.as_ref().ok().cloned()).collect();
        let mut patience = Patience::default();
        loop {
            match self.intake.admit(&jobs).await {
                Ok(refused) => {
                    for (place, dead) in refused {
                        decoded[places[place]].1 = Err(dead);
                    }
                    return true;
                }
                Err(error) => {
                    self.intake.metrics.intake.failures.inc();
                    tracing::warn!(error = chain(&error), "jobs could not be admitted, will try again");
                }
            }
            if !patience.wait_unless(stop).await {
                return false;
            }
        }
    }

    /// Keeps what is no job, however long the broker is away.
    async fn keep_dead(&self, decoded: &[Decoded], stop: &CancellationToken) -> bool {
        let now = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.intake.clock.now().0));
        let at = now.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let letters: Vec<NewDeadLetter<'_>> = decoded
            .iter()
            .filter_map(|(record, job)| {
                let dead = job.as_ref().err()?;
                Some(NewDeadLetter { record, cause: dead.cause, detail: &dead.detail, at })
            })
            .collect();
        if letters.is_empty() {
            return true;
        }
        for letter in &letters {
            let (partition, offset) = (letter.record.partition.0, letter.record.offset);
            tracing::warn!(partition, offset, cause = letter.cause.as_str(), "record is kept as a dead letter");
        }
        kill_point!("topic: before dead letters are kept");
        let mut patience = Patience::default();
        loop {
            let error = match stop.run_until_cancelled(self.dead_letters.keep(&letters)).await {
                Some(Ok(())) => break,
                Some(Err(error)) => error,
                None => return false,
            };
            tracing::warn!(error = chain(&error), "dead letters could not be kept, will try again");
            if !patience.wait_unless(stop).await {
                return false;
            }
        }
        self.intake.metrics.intake.jobs_dead.inc_by(u64::try_from(letters.len()).unwrap_or(u64::MAX));
        true
    }

    fn note_ages(&self, written_at: &[i64]) {
        let now_ms = self.intake.clock.now().as_ms();
        for at_ms in written_at {
            let age = Duration::from_millis(u64::try_from(now_ms - at_ms).unwrap_or(0));
            self.intake.metrics.kafka.record_age_seconds.observe(age.as_secs_f64());
        }
    }

    fn note_lag(&self) {
        let kafka = &self.intake.metrics.kafka;
        let lag = self.consumer.lag();
        kafka.lag_records.set(lag.iter().map(|(_, lag)| lag).sum());
        let n_assigned = i64::try_from(self.consumer.n_assigned()).unwrap_or(i64::MAX);
        kafka.partitions.of("assigned").set(n_assigned);
        kafka.partitions.of("paused").set(if self.consumer.is_paused() { n_assigned } else { 0 });
        for (kind, n) in ["assign", "revoke"].into_iter().zip(self.consumer.take_rebalances()) {
            kafka.rebalances.of(kind).inc_by(n);
        }
        for (partition, lag) in lag {
            if let Some(lease) = self.leases.of(partition) {
                lease.set_lag(lag);
            }
        }
        self.readiness.set_broker(self.consumer.is_connected());
        self.intake.metrics.intake.broker_connected.set(i64::from(self.consumer.is_connected()));
    }
}

fn read(record: Record) -> Decoded {
    let job = decode(&record);
    (record, job)
}

/// Adds what has come meanwhile: while one transaction is written, the next one grows.
fn together(mut batch: Vec<Record>, records: &mut mpsc::Receiver<Vec<Record>>) -> Vec<Record> {
    let mut n_bytes: usize = batch.iter().map(Record::n_bytes).sum();
    while n_bytes < TAKEN_TOGETHER_BYTES_MAX
        && let Ok(more) = records.try_recv()
    {
        n_bytes += more.iter().map(Record::n_bytes).sum::<usize>();
        batch.extend(more);
    }
    batch
}

/// The last offset of each partition: records come in order, so everything before it is in the batch or done.
fn last_offsets(records: &[Record]) -> Vec<(PartitionNo, i64)> {
    let mut last: BTreeMap<PartitionNo, i64> = BTreeMap::new();
    for record in records {
        let offset = last.entry(record.partition).or_insert(record.offset);
        *offset = record.offset.max(*offset);
    }
    last.into_iter().collect()
}
