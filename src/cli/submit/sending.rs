//! The way of a file to the topic: read a piece, cut it, write a batch, wait until it is durable.
//!
//! One batch is under way at a time, so memory does not grow with the file. Knows no form of files.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::cutting::{Cutter, ReadyJob, Taken};
use super::lines::JobLines;
use super::progress::Progress;
use crate::broker::{Broker, Outgoing, Producer, TopicProblem};
use crate::cli::signals::Signals;
use crate::domain::partition::PartitionNo;
use crate::domain::recipient_csv::{FileProblem, RecipientCsv};
use crate::limits::{IMPORT_STEP_BYTES_MAX, SUBMIT_BYTES_MAX, SUBMIT_JOBS_MAX};

/// How long an interrupted run waits for the batch under way.
const PATIENCE: Duration = Duration::from_secs(5);

/// A file and its form.
pub(super) enum Reader {
    Csv(Box<(RecipientCsv, Cutter)>),
    JsonLines(JobLines),
}

impl Reader {
    fn feed(&mut self, chunk: &[u8], taken: &mut Taken) -> Result<(), FileProblem> {
        match self {
            Self::Csv(parts) => {
                let (csv, cutter) = &mut **parts;
                csv.feed(chunk, &mut |row| cutter.take(row, taken))
            }
            Self::JsonLines(lines) => {
                lines.feed(chunk, taken);
                Ok(())
            }
        }
    }

    fn finish(self, taken: &mut Taken) -> Result<(), FileProblem> {
        match self {
            Self::Csv(parts) => {
                let (csv, mut cutter) = *parts;
                csv.finish(&mut |row| cutter.take(row, taken))?;
                cutter.cut_all(taken);
            }
            Self::JsonLines(mut lines) => lines.finish(taken),
        }
        Ok(())
    }
}

/// How far a run has come.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) n_bytes_read: u64,
    /// Jobs that the broker has for good.
    pub(super) n_jobs: u64,
    /// Deliveries in them.
    pub(super) n_deliveries: u64,
    /// Jobs that were on their way when the run ended; the broker may have them or not.
    pub(super) n_jobs_in_doubt: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} durable with {}", count(self.n_jobs, "job", "jobs"), self.deliveries())
    }
}

impl Tally {
    /// Returns the deliveries in words.
    pub(super) fn deliveries(&self) -> String {
        count(self.n_deliveries, "delivery", "deliveries")
    }

    fn add(&mut self, jobs: &[ReadyJob]) {
        self.n_jobs += as_u64(jobs.len());
        self.n_deliveries += jobs.iter().map(|job| as_u64(job.n_deliveries)).sum::<u64>();
    }
}

/// How a run ended early.
#[derive(Debug)]
pub(super) enum Ended {
    Interrupted,
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Ended {
    fn from(problem: E) -> Self {
        Self::Failed(problem.into())
    }
}

/// A run of `submit`.
pub(super) struct Run<'a> {
    pub(super) broker: &'a Broker,
    pub(super) signals: &'a mut Signals,
    pub(super) progress: Progress,
    pub(super) tally: Tally,
    pub(super) taken: Taken,
}

impl Run<'_> {
    /// Brings the whole file to the topic; what became durable stands in `tally`, however it ends.
    pub(super) async fn carry_out(&mut self, mut file: File, mut reader: Reader) -> Result<(), Ended> {
        self.prepare().await?;
        let producer = Producer::start(self.broker).context("make a Kafka client")?;
        let mut chunk = vec![0; IMPORT_STEP_BYTES_MAX];
        loop {
            let n_read = tokio::select! {
                n_read = file.read(&mut chunk) => n_read.context("read the file")?,
                () = self.signals.asked() => return Err(Ended::Interrupted),
            };
            if n_read == 0 {
                break;
            }
            self.tally.n_bytes_read += as_u64(n_read);
            reader.feed(&chunk[..n_read], &mut self.taken)?;
            let n_bytes: usize = self.taken.jobs.iter().map(|job| job.payload.len()).sum();
            if SUBMIT_JOBS_MAX <= self.taken.jobs.len() || SUBMIT_BYTES_MAX <= n_bytes {
                self.send(&producer).await?;
            }
            self.progress.show(&self.tally);
        }
        reader.finish(&mut self.taken)?;
        self.send(&producer).await
    }

    /// Makes sure that the topic is there and has as many partitions as jobs are placed in.
    async fn prepare(&mut self) -> Result<(), Ended> {
        let prepared = tokio::select! {
            prepared = self.broker.prepare_topics() => prepared,
            () = self.signals.asked() => return Err(Ended::Interrupted),
        };
        prepared.map_err(|problem| match problem {
            TopicProblem::Refused(text) => Ended::Failed(anyhow::Error::msg(text)),
            problem => Ended::Failed(problem.into()),
        })
    }

    /// Writes what was cut so far and waits until it is durable.
    async fn send(&mut self, producer: &Producer) -> Result<(), Ended> {
        let mut jobs = std::mem::take(&mut self.taken.jobs);
        while !jobs.is_empty() {
            let rest = jobs.split_off(jobs.len().min(SUBMIT_JOBS_MAX));
            self.send_batch(producer, &jobs).await?;
            jobs = rest;
        }
        Ok(())
    }

    async fn send_batch(&mut self, producer: &Producer, jobs: &[ReadyJob]) -> Result<(), Ended> {
        let records = jobs.iter().map(|job| record_of(self.broker, job)).collect();
        let mut sending = std::pin::pin!(producer.send_all(records));
        let sent = tokio::select! {
            sent = &mut sending => Some(sent),
            () = self.signals.asked() => None,
        };
        let is_interrupted = sent.is_none();
        let sent = match sent {
            Some(sent) => Some(sent),
            None => tokio::time::timeout(PATIENCE, sending).await.ok(),
        };
        match sent {
            Some(Ok(())) => self.tally.add(jobs),
            _ => self.tally.n_jobs_in_doubt = as_u64(jobs.len()),
        }
        self.progress.show(&self.tally);
        match sent {
            Some(Err(problem)) => Err(Ended::Failed(anyhow::Error::new(problem).context("write to the topic"))),
            _ if is_interrupted => Err(Ended::Interrupted),
            _ => Ok(()),
        }
    }
}

/// Makes the record of a job: keyed by its session, in the partition that owns it.
fn record_of(broker: &Broker, job: &ReadyJob) -> Outgoing {
    Outgoing {
        topic: broker.topics().jobs.clone(),
        partition: Some(PartitionNo::of(job.session_id, broker.partitions())),
        key: Some(Bytes::from(job.session_id.to_string())),
        payload: Some(job.payload.clone()),
        headers: Vec::new(),
    }
}

/// Says a number with its noun.
pub(super) fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

fn as_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
