//! Random sequences of everything the store can do keep the ledger.
//!
//! `STORE_SEED=n` runs one seed alone.

use std::collections::{HashMap, HashSet};

use actiwapi_dispatcher::domain::campaign::CampaignState;
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, SessionId};
use actiwapi_dispatcher::domain::plan::OnLimit;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::journal::{JournalBatch, StreamSave};
use rand::RngExt;

use super::events::{self, Told};
use super::history::{History, seeds};
use crate::support::db::store_contract;
use crate::support::journal;
use crate::support::lanes::AllLanes;
use crate::support::seed;

store_contract!(any_sequence_keeps_the_ledger);

const SEEDS: u64 = 12;
const STEPS: usize = 40;

async fn any_sequence_keeps_the_ledger(store: Store) {
    let store = events::recording(&store);
    // Of all seeds: unknown deliveries of an earlier one may be put back in line.
    let mut told = Told::default();
    for seed in seeds(SEEDS) {
        let mut world = World::new(&store, seed).await;
        for step in 0..STEPS {
            world.step(&store).await;
            let place = format!("seed {seed}, step {step}");
            world.check(&store, &place).await;
            told.catch_up(&store, &world.history.deliveries, &place).await;
        }
    }
}

/// What the test knows about the rows.
struct World {
    history: History,
    /// States that were seen and can not be left.
    reads: HashSet<DeliveryId>,
    /// How far each stream was done when last looked at.
    done: HashMap<(SessionId, CampaignId), i64>,
}

impl World {
    async fn new(store: &Store, seed: u64) -> Self {
        let lane = seed::lane(store).await;
        let lanes = vec![lane, seed::another_lane(store, lane.tenant_id).await];
        let mut history = History::new(store, seed, lanes).await;
        // One that is not in our tables.
        history.campaigns.insert(1, CampaignId::generate());
        Self { history, reads: HashSet::new(), done: HashMap::new() }
    }

    async fn step(&mut self, store: &Store) {
        let history = &mut self.history;
        history.now_ms += 10;
        match history.random.random_range(0..20) {
            0..4 => self.admit(store).await,
            4 => drop(store.orphan_in_flight(history.now_ms).await.unwrap()),
            5 => drop(store.requeue_unknown(history.now_ms - 20, 3).await.unwrap()),
            6 => {
                let stream = history.pick_stream();
                if history.random.random_bool(0.3) && !stream.1.is_direct() {
                    seed::set_campaign_state(store, stream.1, CampaignState::Cancelled).await;
                }
                let after_seq = seed::place(history.random.random_range(-1..=100));
                history.cancel(store, stream, after_seq).await;
            }
            7 => {
                store.finish_if_settled(history.campaigns[2], history.now_ms).await.unwrap();
            }
            _ if history.deliveries.is_empty() => self.admit(store).await,
            _ => self.journal(store).await,
        }
    }

    async fn admit(&mut self, store: &Store) {
        // The clocks of nodes differ, and the places come close to each other.
        let now_us = seed::NOW_US + self.history.random.random_range(-100..100);
        self.history.admit(store, now_us, &[OnLimit::Hold]).await;
    }

    async fn journal(&mut self, store: &Store) {
        let mut batch = self.history.batch(30, 5);
        let (lane, campaign_id) = self.history.pick_stream();
        batch.streams.push(StreamSave {
            session_id: lane.session_id,
            campaign_id,
            band: seed::band_of(campaign_id),
            done_below_seq: seed::place(self.history.random.random_range(-100..100)),
        });
        let written = journal::write(store, batch.clone()).await;
        for id in &written.begun {
            assert!(batch.begins.iter().any(|begin| begin.delivery_id == *id));
        }
        for (campaign_id, counters) in written.counters {
            assert_eq!(seed::ledger(store, campaign_id).await, counters);
        }
        if self.history.random.random_bool(0.5) {
            let receipts = batch.receipts.clone();
            let again = journal::write(store, JournalBatch { receipts, ..JournalBatch::default() }).await;
            assert_eq!((again.counters.len(), again.n_receipts_applied), (0, 0), "receipts again");
        }
    }

    async fn check(&mut self, store: &Store, place: &str) {
        seed::days(store).await;
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
        for campaign_id in self.history.campaigns.clone() {
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
        for (_, id) in &self.history.deliveries {
            if seed::state(store, *id).await == DeliveryState::Read {
                read.insert(*id);
            }
        }
        read
    }
}
