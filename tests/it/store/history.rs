//! What random histories of the store have in common: lanes, campaigns, jobs that come once or again, and journal batches
//! of any content.
//!
//! Checks nothing: see [`super::property`] and [`super::quota_histories`].

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::delivery::DeliveryEvent;
use actiwapi_dispatcher::domain::failure::Reason;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId};
use actiwapi_dispatcher::domain::job::Job;
use actiwapi_dispatcher::domain::plan::OnLimit;
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::heads::HeadRequest;
use actiwapi_dispatcher::store::journal::{Dismissal, Ended, JournalBatch};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::journal::{self, Entries};
use crate::support::seed::{self, Lane, NOW_MS};

/// Returns the seeds to run: all of them, or the one that `STORE_SEED` names.
pub(super) fn seeds(n: u64) -> impl Iterator<Item = u64> {
    let only: Option<u64> = std::env::var("STORE_SEED").ok().map(|seed| seed.parse().unwrap());
    (0..n)
        .filter(move |seed| only.is_none_or(|only| only == *seed))
        .inspect(|seed| eprintln!("seed {seed}; repeat it alone with STORE_SEED={seed}"))
}

/// What a test knows about the rows.
pub(super) struct History {
    pub(super) random: StdRng,
    /// The campaigns are of the tenant of the first one.
    pub(super) lanes: Vec<Lane>,
    /// Deliveries of the last one are sent again when nobody knows whether they went.
    pub(super) campaigns: Vec<CampaignId>,
    pub(super) jobs: Vec<Job>,
    pub(super) deliveries: Vec<(Entries, DeliveryId)>,
    pub(super) now_ms: i64,
}

impl History {
    /// Begins with some lanes, single messages, and a campaign of each policy.
    pub(super) async fn new(store: &Store, seed: u64, lanes: Vec<Lane>) -> Self {
        let mut campaigns = vec![CampaignId::DIRECT];
        for on_unknown in [OnUnknown::Quarantine, OnUnknown::Resend] {
            campaigns.push(seed::campaign(store, lanes[0].tenant_id, CampaignState::Running, on_unknown).await);
        }
        let random = StdRng::seed_from_u64(seed);
        Self { random, lanes, campaigns, jobs: Vec::new(), deliveries: Vec::new(), now_ms: NOW_MS }
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())].clone()
    }

    /// Picks a lane and a campaign, which need not belong together.
    pub(super) fn pick_stream(&mut self) -> (Lane, CampaignId) {
        let (lanes, campaigns) = (self.lanes.clone(), self.campaigns.clone());
        (self.pick(&lanes), self.pick(&campaigns))
    }

    /// Cancels what waits in some stream behind a place.
    pub(super) async fn cancel(&mut self, store: &Store, (lane, campaign_id): (Lane, CampaignId), after_seq: i64) {
        let (session_id, band) = (lane.session_id, seed::band_of(campaign_id));
        let request = HeadRequest { session_id, campaign_id, band, after_seq, limit: 4 };
        store.cancel_pending(request).await.unwrap();
    }

    /// Admits a few jobs, some of them once more.
    pub(super) async fn admit(&mut self, store: &Store, now_us: i64, policies: &[OnLimit]) {
        let mut jobs = Vec::new();
        for _ in 0..self.random.random_range(1..4) {
            if !self.jobs.is_empty() && self.random.random_bool(0.3) {
                let known = self.jobs.clone();
                jobs.push(self.pick(&known));
                continue;
            }
            let (lane, campaign_id) = self.pick_stream();
            let is_own = lane.tenant_id == self.lanes[0].tenant_id;
            let campaign_id = if is_own { campaign_id } else { CampaignId::DIRECT };
            let n = self.random.random_range(1..8);
            let mut job = seed::job(lane, campaign_id, n);
            job.on_limit = self.pick(policies);
            if Some(&campaign_id) == self.campaigns.last() {
                job.on_unknown = OnUnknown::Resend;
            }
            let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: self.now_ms };
            self.deliveries.extend(job.deliveries.iter().map(|delivery| (entries, delivery.id)));
            jobs.push(job);
        }
        store.admit_jobs(&jobs.iter().collect::<Vec<_>>(), now_us).await.unwrap();
        self.jobs.extend(jobs);
    }

    /// Makes a batch of attempts, outcomes, dismissals and receipts, whether or not they fit; clocks differ by so much.
    pub(super) fn batch(&mut self, n_max: usize, jitter_ms: i64) -> JournalBatch {
        let mut batch = JournalBatch::default();
        for _ in 0..self.random.random_range(1..n_max) {
            let known = self.deliveries.clone();
            let (entries, id) = self.pick(&known);
            let entries = Entries { at_ms: self.now_ms + self.random.random_range(-jitter_ms..=jitter_ms), ..entries };
            let attempt_no = self.random.random_range(1..4);
            match self.random.random_range(0..10) {
                0..5 => batch.begins.push(entries.begin(id, attempt_no)),
                5..8 => {
                    let ended = [
                        journal::accepted(),
                        journal::deferred(),
                        journal::rejected(),
                        journal::unknown(),
                        Ended::Withdrawn,
                    ];
                    batch.ends.push(entries.end(id, attempt_no, self.pick(&ended)));
                }
                8 if self.random.random_bool(0.5) => batch.dismissals.push(Dismissal {
                    delivery_id: id,
                    campaign_id: entries.campaign_id,
                    event: DeliveryEvent::Skipped,
                    reason: Reason::Expired,
                    class: None,
                    at_ms: self.now_ms,
                }),
                _ => {
                    let kinds = [ReceiptKind::Sent, ReceiptKind::Delivered, ReceiptKind::Read, ReceiptKind::Failed];
                    batch.receipts.push(entries.receipt(id, self.pick(&kinds)));
                }
            }
        }
        batch
    }
}
