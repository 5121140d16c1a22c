//! Random sequences of everything the store can do keep the ledger.
//!
//! `STORE_SEED=n` runs one seed alone.

use actiwapi_dispatcher::store::heads::HeadRequest;
use std::collections::{HashMap, HashSet};

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::delivery::{DeliveryEvent, DeliveryState};
use actiwapi_dispatcher::domain::failure::Reason;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, SessionId};
use actiwapi_dispatcher::domain::job::Job;
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::journal::{Dismissal, Ended, JournalBatch, StreamSave};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::events::{self, Told};
use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::lanes::AllLanes;
use crate::support::seed::{self, Lane, NOW_MS};

store_contract!(any_sequence_keeps_the_ledger);

const SEEDS: u64 = 12;
const STEPS: usize = 40;

async fn any_sequence_keeps_the_ledger(store: Store) {
    let store = events::recording(&store);
    let only = std::env::var("STORE_SEED").ok().map(|seed| seed.parse().unwrap());
    // Of all seeds: unknown deliveries of an earlier one may be put back in line.
    let mut told = Told::default();
    for seed in 0..SEEDS {
        if only.is_some_and(|only: u64| only != seed) {
            continue;
        }
        eprintln!("seed {seed}; repeat it alone with STORE_SEED={seed}");
        let mut world = World::new(&store, seed).await;
        for step in 0..STEPS {
            world.step(&store).await;
            let place = format!("seed {seed}, step {step}");
            world.check(&store, &place).await;
            told.catch_up(&store, &world.deliveries, &place).await;
        }
    }
}

/// What the test knows about the rows.
struct World {
    random: StdRng,
    lanes: Vec<Lane>,
    campaigns: Vec<CampaignId>,
    jobs: Vec<Job>,
    deliveries: Vec<(Entries, DeliveryId)>,
    /// States that were seen and can not be left.
    reads: HashSet<DeliveryId>,
    /// How far each stream was done when last looked at.
    done: HashMap<(SessionId, CampaignId), i64>,
    now_ms: i64,
}

impl World {
    async fn new(store: &Store, seed: u64) -> Self {
        let lane = seed::lane(store).await;
        let lanes = vec![lane, seed::another_lane(store, lane.tenant_id).await];
        let mut campaigns = vec![CampaignId::DIRECT, CampaignId::generate()];
        for on_unknown in [OnUnknown::Quarantine, OnUnknown::Resend] {
            campaigns.push(seed::campaign(store, lane.tenant_id, CampaignState::Running, on_unknown).await);
        }
        Self {
            random: StdRng::seed_from_u64(seed),
            lanes,
            campaigns,
            jobs: Vec::new(),
            deliveries: Vec::new(),
            reads: HashSet::new(),
            done: HashMap::new(),
            now_ms: NOW_MS,
        }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())].clone()
    }

    async fn step(&mut self, store: &Store) {
        self.now_ms += 10;
        match self.random.random_range(0..20) {
            0..4 => self.admit(store).await,
            4 => drop(store.orphan_in_flight(self.now_ms).await.unwrap()),
            5 => drop(store.requeue_unknown(self.now_ms - 20, 3).await.unwrap()),
            6 => {
                let (campaigns, lanes) = (self.campaigns.clone(), self.lanes.clone());
                let (campaign_id, session_id) = (self.pick(&campaigns), self.pick(&lanes).session_id);
                if self.random.random_bool(0.3) && !campaign_id.is_direct() {
                    seed::set_campaign_state(store, campaign_id, CampaignState::Cancelled).await;
                }
                let after_seq = seed::place(self.random.random_range(-1..=100));
                let band = seed::band_of(campaign_id);
                let request = HeadRequest { session_id, campaign_id, band, after_seq, limit: 4 };
                store.cancel_pending(request).await.unwrap();
            }
            7 => {
                let campaign_id = self.campaigns[2];
                store.finish_if_settled(campaign_id, self.now_ms).await.unwrap();
            }
            _ if self.deliveries.is_empty() => self.admit(store).await,
            _ => self.journal(store).await,
        }
    }

    async fn admit(&mut self, store: &Store) {
        let mut jobs = Vec::new();
        for _ in 0..self.random.random_range(1..4) {
            if !self.jobs.is_empty() && self.random.random_bool(0.3) {
                let known = self.jobs.clone();
                jobs.push(self.pick(&known));
                continue;
            }
            let (lanes, campaigns) = (self.lanes.clone(), self.campaigns.clone());
            let (lane, campaign_id) = (self.pick(&lanes), self.pick(&campaigns));
            let n = self.random.random_range(1..8);
            let mut job = seed::job(lane, campaign_id, n);
            if campaign_id == self.campaigns[3] {
                job.on_unknown = OnUnknown::Resend;
            }
            let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: self.now_ms };
            self.deliveries.extend(job.deliveries.iter().map(|delivery| (entries, delivery.id)));
            jobs.push(job);
        }
        // The clocks of nodes differ, and the places come close to each other.
        let now_us = seed::NOW_US + self.random.random_range(-100..100);
        store.admit_jobs(&jobs.iter().collect::<Vec<_>>(), now_us).await.unwrap();
        self.jobs.extend(jobs);
    }

    async fn journal(&mut self, store: &Store) {
        let mut batch = JournalBatch::default();
        for _ in 0..self.random.random_range(1..30) {
            let known = self.deliveries.clone();
            let (entries, id) = self.pick(&known);
            let entries = Entries { at_ms: self.now_ms + self.random.random_range(-5..5), ..entries };
            let attempt_no = self.random.random_range(1..4);
            match self.random.random_range(0..10) {
                0..4 => batch.begins.push(entries.begin(id, attempt_no)),
                4..7 => {
                    let ended = [
                        journal::accepted(),
                        journal::deferred(),
                        journal::rejected(),
                        journal::unknown(),
                        Ended::Withdrawn,
                    ];
                    let ended = self.pick(&ended);
                    batch.ends.push(entries.end(id, attempt_no, ended));
                }
                7 => {
                    let (event, reason) = (DeliveryEvent::Skipped, Reason::Expired);
                    let campaign_id = entries.campaign_id;
                    let at_ms = self.now_ms;
                    batch.dismissals.push(Dismissal {
                        delivery_id: id,
                        campaign_id,
                        event,
                        reason,
                        class: None,
                        at_ms,
                    });
                }
                _ => {
                    let kinds = [ReceiptKind::Sent, ReceiptKind::Delivered, ReceiptKind::Read, ReceiptKind::Failed];
                    let kind = self.pick(&kinds);
                    batch.receipts.push(entries.receipt(id, kind));
                }
            }
        }
        let (lanes, campaigns) = (self.lanes.clone(), self.campaigns.clone());
        let campaign_id = self.pick(&campaigns);
        batch.streams.push(StreamSave {
            session_id: self.pick(&lanes).session_id,
            campaign_id,
            band: seed::band_of(campaign_id),
            done_below_seq: seed::place(self.random.random_range(-100..100)),
        });
        let written = journal::write(store, batch.clone()).await;
        for id in &written.begun {
            assert!(batch.begins.iter().any(|begin| begin.delivery_id == *id));
        }
        for (campaign_id, counters) in written.counters {
            assert_eq!(seed::ledger(store, campaign_id).await, counters);
        }
        if self.random.random_bool(0.5) {
            let receipts = batch.receipts.clone();
            let again = journal::write(store, JournalBatch { receipts, ..JournalBatch::default() }).await;
            assert_eq!((again.counters.len(), again.n_receipts_applied), (0, 0), "receipts again");
        }
    }

    async fn check(&mut self, store: &Store, place: &str) {
        for (campaign_id, stored, counted) in store.recount().await.unwrap() {
            assert_eq!(stored, counted, "{place}: stored and counted of {campaign_id}");
            assert_eq!(stored.drift(), 0, "{place}: drift of {campaign_id}");
        }
        let read: HashSet<DeliveryId> = self.states(store).await;
        assert!(self.reads.is_subset(&read), "{place}: a read delivery went back");
        self.reads = read;
        let twice = "deliveries d JOIN deliveries e ON e.session_id = d.session_id \
             AND e.campaign_id = d.campaign_id AND e.seq = d.seq AND e.delivery_id <> d.delivery_id";
        assert_eq!(seed::count(store, twice).await, 0, "{place}: two deliveries at one place");
        let beyond = "deliveries d LEFT JOIN lane_streams s ON s.session_id = d.session_id \
             AND s.campaign_id = d.campaign_id WHERE s.last_seq IS NULL OR s.last_seq < d.seq";
        assert_eq!(seed::count(store, beyond).await, 0, "{place}: a place behind the last one");
        for campaign_id in self.campaigns.clone() {
            for stream in store.streams_of_campaign(campaign_id).await.unwrap() {
                let done = self.done.entry((stream.session_id, campaign_id)).or_insert(stream.done_below_seq);
                assert!(*done <= stream.done_below_seq, "{place}: what is settled went back");
                *done = stream.done_below_seq;
            }
        }
        let strays = "deliveries d JOIN jobs j ON j.job_id = d.job_id \
             LEFT JOIN resends r ON r.delivery_id = d.delivery_id LEFT JOIN campaigns c ON c.campaign_id = d.campaign_id \
             WHERE (r.delivery_id IS NULL) = (d.state = 'unknown' AND j.on_unknown = 'resend') \
               AND COALESCE(c.state, '') <> 'cancelled'";
        assert_eq!(seed::count(store, strays).await, 0, "{place}: unknown deliveries and the list to send again");
        let ended = "attempt_outcomes o LEFT JOIN attempts a ON a.delivery_id = o.delivery_id \
             AND a.attempt_no = o.attempt_no WHERE a.delivery_id IS NULL";
        assert_eq!(seed::count(store, ended).await, 0, "{place}: outcomes without an attempt");
        let open = "deliveries d WHERE d.state = 'sending' AND NOT EXISTS (SELECT 1 FROM attempts a \
             WHERE a.delivery_id = d.delivery_id AND a.attempt_no = d.n_attempts)";
        assert_eq!(seed::count(store, open).await, 0, "{place}: sending without a durable attempt");
    }

    async fn states(&self, store: &Store) -> HashSet<DeliveryId> {
        let mut read = HashSet::new();
        for (_, id) in &self.deliveries {
            if seed::state(store, *id).await == DeliveryState::Read {
                read.insert(*id);
            }
        }
        read
    }
}
