//! The verdict on a run: what the tenant was told, what the daemon recorded, and what the provider took.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use sqlx::{Connection, PgConnection, SqliteConnection};
use uuid::Uuid;

use super::by_hand::is_by_hand;
use super::client::{Client, Stats};
use super::provider::{Provider, Sums};
use super::world::World;
use crate::support::wait::{PATIENCE, until};

use crate::support::lanes::AllLanes;

/// What was asked of the daemon.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// Campaigns and their recipients.
    pub(super) campaigns: Vec<(String, u64)>,
    /// Single messages that the API acknowledged.
    pub(super) singles: Vec<String>,
    /// Single messages whose answer never came.
    pub(super) n_unanswered: u64,
    /// The pace of every session.
    pub(super) rate_per_second: f64,
}

/// The daemon's own count, over all campaigns and single messages.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct OwnLedger {
    pub(super) accepted: u64,
    pub(super) sum: u64,
    pub(super) drift: i64,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Findings {
    /// Messages by their status.
    pub(super) by_status: BTreeMap<String, usize>,
    /// Messages that were acknowledged, or were in a campaign, and are nowhere.
    pub(super) n_lost: u64,
    /// Messages of which daemon and provider say what can not both be true.
    pub(super) contradictions: Vec<String>,
    pub(super) stats: Vec<Stats>,
    pub(super) own: OwnLedger,
    pub(super) provider: Sums,
    accepted_least: u64,
    accepted_most: u64,
}

/// What the provider does, as far as it decides which statuses are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Faults {
    /// It takes every message and reports each as delivered.
    None,
    /// It refuses some, and takes some back.
    Some,
}

/// What a verdict is made from.
pub(super) trait Observed {
    /// The tenant.
    fn client(&self) -> &Client;

    /// The provider's ledger.
    fn provider(&self) -> &Provider;

    /// The daemon's own count, as its admin port shows it.
    async fn own_ledger(&self) -> OwnLedger;
}

impl Observed for World {
    fn client(&self) -> &Client {
        &self.client
    }

    fn provider(&self) -> &Provider {
        &self.provider
    }

    async fn own_ledger(&self) -> OwnLedger {
        let (_, text) = self.admin("/ledger").await.unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

/// Waits until every campaign is completed, every single message settled and every receipt handed over.
pub(super) async fn wait_for_the_end(world: &impl Observed, asked: &Asked) {
    let (client, provider) = (world.client(), world.provider());
    for (campaign, _) in &asked.campaigns {
        let completed = async || {
            let stats = client.stats(campaign).await.ok()?;
            (stats.status == "completed").then_some(())
        };
        until("the campaign is completed", PATIENCE * if is_by_hand() { 10 } else { 1 }, completed).await;
    }
    for single in &asked.singles {
        let settled = async || {
            let status = client.status_of(single).await;
            (!matches!(status.as_deref(), Some("queued" | "sending"))).then_some(())
        };
        until("the single message is settled", PATIENCE, settled).await;
    }
    let handed_over = async || {
        let sums = provider.sums(1.0).await;
        (sums.receipts_waiting == 0).then_some(())
    };
    until("all receipts are handed over", PATIENCE, handed_over).await;
}

/// Compares what everybody says.
pub(super) async fn judge(world: &impl Observed, asked: &Asked, faults: Faults) -> Findings {
    let (client, provider) = (world.client(), world.provider());
    let (mut statuses, mut stats, mut n_lost) = (BTreeMap::new(), Vec::new(), 0);
    for (campaign, n_recipients) in &asked.campaigns {
        let exported = client.export(campaign).await;
        n_lost += n_recipients.saturating_sub(exported.len() as u64);
        statuses.extend(exported);
        stats.push(client.stats(campaign).await.unwrap());
    }
    for single in &asked.singles {
        match client.status_of(single).await {
            Some(status) => drop(statuses.insert(single.clone(), status)),
            None => n_lost += 1,
        }
    }
    let entries = provider.entries().await;
    let taken: HashSet<String> =
        entries.into_iter().filter(|entry| entry.is_acceptance()).filter_map(|entry| entry.token).collect();
    let contradictions = statuses
        .iter()
        .filter(|(id, status)| !fits(status, taken.contains(*id), faults))
        .map(|(id, status)| format!("{id}: {status}, taken: {}", taken.contains(id)))
        .collect();
    let mut by_status = BTreeMap::new();
    for status in statuses.into_values() {
        *by_status.entry(status).or_default() += 1;
    }
    let provider_sums = provider.sums(asked.rate_per_second).await;
    if provider_sums.pace_violations != 0 {
        let early = provider.early(asked.rate_per_second).await;
        let first = early.iter().take(20).collect::<Vec<_>>();
        eprintln!("too soon after the one before, as (when, number, how long after it in us): {first:?}");
    }
    let n_asked = asked.campaigns.iter().map(|(_, n)| n).sum::<u64>() + asked.singles.len() as u64;
    Findings {
        by_status,
        n_lost,
        contradictions,
        stats,
        own: world.own_ledger().await,
        provider: provider_sums,
        accepted_least: n_asked,
        accepted_most: n_asked + asked.n_unanswered,
    }
}

/// Tells whether a settled status can be true of a message that the provider took, or did not.
fn fits(status: &str, taken: bool, faults: Faults) -> bool {
    match (faults, taken, status) {
        // A receipt settles everything that was taken, also what was in flight when the daemon died.
        (Faults::None, true, "delivered" | "read") | (Faults::None, false, "unknown") => true,
        (Faults::Some, true, "sent" | "delivered" | "read" | "failed" | "unknown") => true,
        (Faults::Some, false, "failed" | "unknown") => true,
        _ => false,
    }
}

impl Findings {
    /// Fails unless every promise was kept.
    pub(super) fn assert_kept(&self) {
        let shown = self.contradictions.iter().take(10).collect::<Vec<_>>();
        assert_eq!(self.n_lost, 0, "messages are lost: {self:?}");
        assert!(shown.is_empty(), "{} contradictions: {shown:#?}", self.contradictions.len());
        assert_eq!(self.provider.duplicates, 0, "sent twice: {self:?}");
        assert_eq!(self.provider.pace_violations, 0, "faster than the pace: {self:?}");
        assert_eq!((self.provider.unrecorded, self.provider.receipts_dropped), (0, 0), "{self:?}");
        for Stats { status, counters, ledger_drift } in &self.stats {
            assert_eq!(status, "completed", "{self:?}");
            assert_eq!((counters.sum(), *ledger_drift), (counters.total, 0), "{self:?}");
            assert_eq!(counters.queued + counters.sending, 0, "{self:?}");
        }
        let OwnLedger { accepted, sum, drift } = self.own;
        assert_eq!((sum, drift), (accepted, 0), "{self:?}");
        assert!(
            (self.accepted_least..=self.accepted_most).contains(&accepted),
            "{} to {} were accepted: {self:?}",
            self.accepted_least,
            self.accepted_most
        );
    }

    /// Returns how many messages are unknown for good.
    pub(super) fn n_unknown(&self) -> usize {
        self.by_status.get("unknown").copied().unwrap_or(0)
    }
}

/// Fails when a message has arrived whose attempt is not in the database, as whoever reads it there finds it.
pub(super) async fn assert_attempts_are_durable(world: &World, store_url: &str) {
    // Arrivals first: an attempt is written before its message arrives.
    let entries = world.provider.entries().await;
    let sql = "SELECT delivery_id FROM attempts";
    let attempted: Vec<Uuid> = if store_url.starts_with("sqlite:") {
        let mut connection = SqliteConnection::connect(store_url).await.unwrap();
        sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
    } else {
        let mut connection = PgConnection::connect(store_url).await.unwrap();
        sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
    };
    let attempted: HashSet<String> = attempted.iter().map(Uuid::to_string).collect();
    let left_before: Vec<_> =
        entries.iter().filter(|entry| !entry.token.as_ref().is_some_and(|token| attempted.contains(token))).collect();
    assert!(left_before.is_empty(), "{} messages left before their attempts were durable", left_before.len());
}

/// Drains the daemon and looks into its database: nothing may be under way or wait in the outbox.
pub(super) async fn assert_nothing_is_left(world: &mut World) {
    let store = world.stop_daemon().await;
    let (in_flight, outbox) = (store.sessions_in_flight().await, store.outbox_next(1).await);
    assert_eq!(in_flight.unwrap().len(), 0, "attempts are under way after the drain");
    assert_eq!(outbox.unwrap().len(), 0, "the outbox is not empty");
    store.close().await;
}
