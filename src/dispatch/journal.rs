//! The group commit: attempts, outcomes and receipts of all lanes, written by one task in batches.
//!
//! An attempt is durable before its message leaves, because the shard is told only after the
//! commit. While the database is away the same batch is tried again: nothing new is begun, so
//! nothing is sent, and work goes on by itself when it is back. Decides nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use crate::dispatch::lane::memory::LaneStanding;
use crate::dispatch::lane::work::Work;
use crate::dispatch::lead::Lead;
use crate::dispatch::shard::{LaneIndex, Report};
use crate::domain::id::{DeliveryId, SessionId};
use crate::domain::message::Content;
use crate::domain::partition::Fence;
use crate::domain::receipt::Receipt;
use crate::error::chain;
use crate::kill_point;
use crate::limits::{IN_FLIGHT_MAX, JOURNAL_BATCH_MAX, JOURNAL_QUEUE_MAX};
use crate::patience::Patience;
use crate::store::Store;
use crate::store::journal::{Begin, Dismissal, End, JournalBatch, StreamSave, Written};
use crate::telemetry::metrics::{DispatchMetrics, Metrics};

/// Least time between two commits: on a quick disk, batches grow instead of commits.
const COMMIT_SPACING: Duration = Duration::from_millis(3);

/// One thing to write.
#[derive(Debug)]
pub enum Entry {
    /// An attempt, before its message leaves.
    Begin(Box<Beginning>),
    /// How an attempt ended.
    End(End, Reply),
    /// How an attempt ended whose delivery is pending again: withdrawn or deferred.
    PutBack(End, Reply, Box<Work>),
    /// A delivery settled without an attempt.
    Dismiss(Dismissal, SessionId, Fence),
    /// A lane's limiter state; the last one of a batch counts. Goes with the next other entry.
    Lane(Arc<LaneStanding>, Fence),
    /// Up to where a stream is settled.
    Stream(StreamSave, Fence),
    /// Reports of the provider; told when they are durable.
    Receipts(Vec<Receipt>, oneshot::Sender<()>),
}

/// An attempt to write, and what goes on when it is durable.
#[derive(Debug)]
pub struct Beginning {
    /// The row.
    pub row: Begin,
    /// Whom to tell.
    pub reply: Reply,
    /// The delivery.
    pub work: Box<Work>,
    /// What it says.
    pub content: Content,
    /// Where the lane stands with this attempt counted, to be durable with it.
    pub save: Option<Arc<LaneStanding>>,
}

/// Whom to tell after the commit.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    /// Which shard.
    pub shard: usize,
    /// Which of its lanes.
    pub lane: LaneIndex,
    /// By what right it is written.
    pub fence: Fence,
}

impl Entry {
    /// Returns the session whose lane writes this, and by what right; receipts need none.
    fn right(&self) -> Option<(SessionId, Fence)> {
        match self {
            Self::Begin(begin) => Some((begin.row.session_id, begin.reply.fence)),
            Self::End(end, reply) | Self::PutBack(end, reply, _) => Some((end.session_id, reply.fence)),
            Self::Dismiss(_, session_id, fence) => Some((*session_id, *fence)),
            Self::Lane(save, fence) => Some((save.session_id, *fence)),
            Self::Stream(save, fence) => Some((save.session_id, *fence)),
            Self::Receipts(..) => None,
        }
    }
}

/// Hands entries to the journal; cheap to clone.
///
/// Attempts have a queue of their own and are written first: whoever waits for one waits for at
/// most the commit under way, however many outcomes and receipts are waiting.
#[derive(Debug, Clone)]
pub struct JournalSender {
    begins: mpsc::Sender<Entry>,
    others: mpsc::Sender<Entry>,
}

/// The reading ends of the journal's queues.
#[derive(Debug)]
pub struct JournalQueues {
    begins: mpsc::Receiver<Entry>,
    others: mpsc::Receiver<Entry>,
}

/// Makes the journal's queues.
#[must_use]
pub fn queues() -> (JournalSender, JournalQueues) {
    let (begin_sender, begins) = mpsc::channel(IN_FLIGHT_MAX);
    let (other_sender, others) = mpsc::channel(JOURNAL_QUEUE_MAX);
    (JournalSender { begins: begin_sender, others: other_sender }, JournalQueues { begins, others })
}

impl JournalSender {
    /// Hands over an entry, waiting when its queue is full; `false` when the journal has ended.
    pub async fn send(&self, entry: Entry) -> bool {
        let queue = if matches!(entry, Entry::Begin(..)) { &self.begins } else { &self.others };
        queue.send(entry).await.is_ok()
    }
}

impl JournalQueues {
    /// Waits for an entry, an attempt before anything else; `None` when all senders are gone.
    async fn next(&mut self) -> Option<Entry> {
        tokio::select! {
            biased;
            Some(entry) = self.begins.recv() => Some(entry),
            Some(entry) = self.others.recv() => Some(entry),
            else => None,
        }
    }

    fn try_next(&mut self) -> Option<Entry> {
        self.begins.try_recv().or_else(|_| self.others.try_recv()).ok()
    }

    fn len(&self) -> usize {
        self.begins.len() + self.others.len()
    }
}

/// Writes the journal.
#[derive(Debug)]
pub struct Journal {
    /// The database.
    pub store: Store,
    /// Whom to tell, by shard.
    pub shards: Vec<mpsc::Sender<Report>>,
    /// Who looks whether a campaign is over.
    pub settled: Arc<Notify>,
    /// Whom to tell of fences that were stale.
    pub stale: mpsc::Sender<Fence>,
    /// How long a commit takes, for whoever plans ahead.
    pub lead: Lead,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// A batch being put together, and whom to tell about it.
#[derive(Debug, Default)]
struct Batch {
    rows: JournalBatch,
    begins: HashMap<DeliveryId, (Reply, Box<Work>, Content)>,
    put_back: Vec<(Reply, Box<Work>)>,
    /// Lanes with an end, by shard.
    ended: HashMap<usize, Vec<LaneIndex>>,
    receipts: Vec<oneshot::Sender<()>>,
    lanes: HashMap<SessionId, Arc<LaneStanding>>,
    n_rows: usize,
}

impl Journal {
    /// Writes until every sender is gone and everything is written.
    pub async fn run(self, mut queues: JournalQueues) {
        let mut committed_at: Option<Instant> = None;
        let mut batch = Batch::default();
        let mut left_over: Option<Entry> = None;
        loop {
            let next = match left_over.take() {
                Some(entry) => Some(entry),
                None => queues.next().await,
            };
            let Some(first) = next else { break };
            if batch.takes(&first)
                && let Entry::Lane(..) = first
            {
                // No reason to commit: it is needed no sooner than what comes next.
                batch.add(first);
                continue;
            }
            if let Some(at) = committed_at {
                tokio::time::sleep_until(at + COMMIT_SPACING).await;
            }
            let mut next = Some(first);
            while let Some(entry) = next {
                if !batch.takes(&entry) {
                    left_over = Some(entry);
                    break;
                }
                self.count(&entry);
                batch.add(entry);
                next = if batch.n_rows < JOURNAL_BATCH_MAX { queues.try_next() } else { None };
            }
            self.dispatch_metrics().journal_backlog.set(i64::try_from(queues.len()).unwrap_or(i64::MAX));
            self.commit(std::mem::take(&mut batch)).await;
            committed_at = Some(Instant::now());
        }
        if !batch.lanes.is_empty() {
            self.commit(batch).await;
        }
    }

    async fn commit(&self, mut batch: Batch) {
        batch.rows.lanes = std::mem::take(&mut batch.lanes).values().map(|save| save.row()).collect();
        let started_at = Instant::now();
        let (begins, ends, receipts) =
            (!batch.begins.is_empty(), !batch.rows.ends.is_empty(), !batch.rows.receipts.is_empty());
        if begins {
            kill_point!("journal: before attempts are written");
        }
        if ends {
            kill_point!("journal: before outcomes are written");
        }
        if receipts {
            kill_point!("journal: before receipts are written");
        }
        self.dispatch_metrics().journal_writing_seconds.set(Some(started_at));
        let written = self.write(&mut batch.rows).await;
        self.dispatch_metrics().journal_writing_seconds.set(None);
        if begins {
            kill_point!("journal: before lanes are told of attempts");
        }
        if ends {
            kill_point!("journal: after outcomes are written");
        }
        if receipts {
            kill_point!("journal: before the provider is told of receipts");
        }
        let took = started_at.elapsed();
        self.lead.committed(took);
        let metrics = self.dispatch_metrics();
        metrics.journal_commit_seconds.observe(took.as_secs_f64());
        metrics.journal_rows.observe(f64::from(u32::try_from(batch.n_rows).unwrap_or(u32::MAX)));
        metrics.receipts_applied.inc_by(u64::try_from(written.n_receipts_applied).unwrap_or(u64::MAX));
        metrics.fenced.inc_by(u64::try_from(written.stale.len()).unwrap_or(u64::MAX));
        self.tell(batch, &written).await;
        for fence in written.stale {
            // When the queue is full the owner finds out by itself, at the next renewal.
            self.stale.try_send(fence).ok();
        }
        for (campaign_id, counters) in written.counters {
            if counters.pending + counters.sending == 0 && !campaign_id.is_direct() {
                self.settled.notify_one();
            }
        }
    }

    /// Writes the batch, however long the database is away.
    async fn write(&self, rows: &mut JournalBatch) -> Written {
        let mut patience = Patience::default();
        loop {
            match self.store.write_journal(rows).await {
                Ok(written) => return written,
                Err(error) => {
                    rows.repeated = true;
                    self.dispatch_metrics().journal_failures.inc();
                    tracing::error!(error = chain(&error), "journal could not be written, sending waits");
                    patience.wait().await;
                }
            }
        }
    }

    async fn tell(&self, mut batch: Batch, written: &Written) {
        for delivery_id in &written.begun {
            if let Some((reply, work, content)) = batch.begins.remove(delivery_id) {
                self.report(reply.shard, Report::Begun(reply.lane, work, content)).await;
            }
        }
        // The last one first: each goes back to the head of its stream.
        for (delivery_id, why) in written.refused.iter().rev() {
            if let Some((reply, work, _)) = batch.begins.remove(delivery_id) {
                self.report(reply.shard, Report::BeginRefused(reply.lane, work, *why)).await;
            }
        }
        for (reply, work) in batch.put_back {
            self.report(reply.shard, Report::PutBack(reply.lane, work)).await;
        }
        for (shard, lanes) in batch.ended {
            self.report(shard, Report::Written(lanes)).await;
        }
        for waiter in batch.receipts {
            // Whoever asked may have hung up; the receipts are durable all the same.
            waiter.send(()).ok();
        }
    }

    fn count(&self, entry: &Entry) {
        if let Entry::Receipts(receipts, _) = entry {
            for receipt in receipts {
                self.dispatch_metrics().receipts.of(receipt.kind).inc();
            }
        }
    }

    async fn report(&self, shard: usize, report: Report) {
        if self.shards[shard].send(report).await.is_err() {
            tracing::debug!("a shard ended before its journal");
        }
    }

    fn dispatch_metrics(&self) -> &DispatchMetrics {
        &self.metrics.dispatch
    }
}

impl Batch {
    /// Tells whether an entry may go into this batch: all of one session have the same right.
    fn takes(&self, entry: &Entry) -> bool {
        entry.right().is_none_or(|(session_id, fence)| {
            self.rows.fences.get(&session_id).is_none_or(|in_batch| *in_batch == fence)
        })
    }

    /// Keeps the latest state of each lane: those that go with attempts overtake the others.
    fn save(&mut self, save: Arc<LaneStanding>) {
        if self.lanes.get(&save.session_id).is_none_or(|known| known.saved_at_us < save.saved_at_us) {
            self.lanes.insert(save.session_id, save);
        }
    }

    fn add(&mut self, entry: Entry) {
        self.n_rows += 1;
        self.rows.fences.extend(entry.right());
        match entry {
            Entry::Begin(begin) => {
                let Beginning { row, reply, work, content, save } = *begin;
                self.begins.insert(row.delivery_id, (reply, work, content));
                self.rows.begins.push(row);
                save.into_iter().for_each(|save| self.save(save));
            }
            Entry::End(end, reply) => {
                self.rows.ends.push(end);
                self.ended.entry(reply.shard).or_default().push(reply.lane);
            }
            Entry::PutBack(end, reply, work) => {
                self.rows.ends.push(end);
                self.put_back.push((reply, work));
            }
            Entry::Dismiss(dismissal, ..) => self.rows.dismissals.push(dismissal),
            Entry::Lane(save, _) => self.save(save),
            Entry::Stream(save, _) => self.rows.streams.push(save),
            Entry::Receipts(mut receipts, waiter) => {
                self.n_rows += receipts.len();
                self.rows.receipts.append(&mut receipts);
                self.receipts.push(waiter);
            }
        }
    }
}
