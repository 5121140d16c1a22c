//! The one reader of a node: what has changed since it last looked goes to whoever listens.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::coalesce::coalesced;
use super::{Hub, News};
use crate::domain::campaign::CampaignState;
use crate::domain::id::{CampaignId, TenantId};
use crate::domain::realtime::RealtimeEvent;
use crate::error::chain;
use crate::limits::{REALTIME_CAMPAIGNS_MAX, REALTIME_NEWS_PER_BEAT_MAX, REALTIME_USAGES_PER_BEAT_MAX};
use crate::store::StoreError;
use crate::store::campaign_progress::CampaignProgress;
use crate::store::plan_usage::TenantUsage;
use crate::store::realtime::{RealtimeNews, RealtimeRow};

/// How often the database is looked at while somebody listens: each subject is told four times a second at most.
const BEAT: Duration = Duration::from_millis(250);

/// How often it is said that this node listens.
const LISTEN_BEAT: Duration = Duration::from_secs(5);

/// How long rows of the feed are looked for beyond the last look: a transaction that takes longer is told to nobody.
const FEED_AGE: Duration = Duration::from_secs(5);

/// How long before the last look rows are remembered that were seen: longer than they are looked for, on any clock.
const SEEN_AGE: Duration = Duration::from_secs(15);

/// How often the usage of a tenant is looked at, at most.
const USAGE_BEAT: Duration = Duration::from_secs(1);

/// Wait after a failure.
const RETRY_WAIT: Duration = Duration::from_secs(2);

/// What the reader remembers between two looks.
#[derive(Debug, Default)]
struct Memory {
    listened: BTreeSet<TenantId>,
    said_at: Option<Instant>,
    seen: HashMap<Uuid, Instant>,
    looked_at: Option<Instant>,
    stands: HashMap<CampaignId, CampaignProgress>,
    usages: HashMap<TenantId, SeenUsage>,
}

/// What is known of a tenant's usage.
#[derive(Debug, Default)]
struct SeenUsage {
    last: Option<TenantUsage>,
    read_at: Option<Instant>,
}

/// What is told in one beat.
type Told = HashMap<TenantId, Vec<News>>;

impl Hub {
    /// Serves listeners until told to stop; rests while there are none.
    pub async fn run(self, stop: CancellationToken) {
        let mut memory = Memory::default();
        while !stop.is_cancelled() {
            let (tenants, watched) = self.wanted();
            if tenants.is_empty() && watched.is_empty() {
                self.rest(&mut memory).await;
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.0.wake.notified() => {}
                }
                continue;
            }
            let wait = match self.beat(&mut memory, &tenants, &watched).await {
                Ok(()) => BEAT,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "what happens could not be read, will try again");
                    RETRY_WAIT
                }
            };
            stop.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        self.rest(&mut memory).await;
    }

    fn wanted(&self) -> (BTreeSet<TenantId>, Vec<CampaignId>) {
        let listeners = self.listeners();
        (listeners.rooms.keys().copied().collect(), listeners.campaigns.keys().copied().collect())
    }

    /// Says that nobody listens here any more, and forgets everything.
    async fn rest(&self, memory: &mut Memory) {
        let listened: Vec<TenantId> = std::mem::take(memory).listened.into_iter().collect();
        if !listened.is_empty()
            && let Err(error) = self.0.store.unlisten_to(&listened, self.0.node_id).await
        {
            tracing::debug!(error = chain(&error), "that nobody listens was not noted, it will run out");
        }
    }

    /// Looks once, and tells what has changed.
    async fn beat(
        &self,
        memory: &mut Memory,
        tenants: &BTreeSet<TenantId>,
        watched: &[CampaignId],
    ) -> Result<(), StoreError> {
        self.say_who_is_listened_to(memory, tenants).await?;
        let listened: Vec<TenantId> = tenants.iter().copied().collect();
        let rows = self.feed(memory, &listened).await?;
        let mut told = Told::new();
        self.look_at_campaigns(memory, (&rows, &listened, watched), &mut told).await?;
        for row in rows {
            let news = row.news.into_iter().filter(|news| news.event != RealtimeEvent::CampaignProgress);
            told.entry(row.tenant_id).or_default().extend(news.map(News::Happened));
        }
        // What was found is not found again: it is told before anything else can fail.
        self.tell(told);
        let mut told = Told::new();
        let looked = self.look_at_usage(memory, &listened, &mut told).await;
        self.tell(told);
        looked
    }

    async fn say_who_is_listened_to(
        &self,
        memory: &mut Memory,
        tenants: &BTreeSet<TenantId>,
    ) -> Result<(), StoreError> {
        let gone: Vec<TenantId> = memory.listened.difference(tenants).copied().collect();
        if !gone.is_empty() {
            self.0.store.unlisten_to(&gone, self.0.node_id).await?;
            memory.usages.retain(|tenant_id, _| tenants.contains(tenant_id));
        }
        let is_old = memory.said_at.is_none_or(|said_at| LISTEN_BEAT <= said_at.elapsed());
        if !tenants.is_empty() && (is_old || !tenants.is_subset(&memory.listened)) {
            let all: Vec<TenantId> = tenants.iter().copied().collect();
            self.0.store.listen_to(&all, self.0.node_id).await?;
            memory.said_at = Some(Instant::now());
        }
        memory.listened.clone_from(tenants);
        Ok(())
    }

    async fn feed(&self, memory: &mut Memory, listened: &[TenantId]) -> Result<Vec<RealtimeRow>, StoreError> {
        if listened.is_empty() {
            return Ok(Vec::new());
        }
        let now = Instant::now();
        let last = memory.looked_at.unwrap_or(now);
        memory.seen.retain(|_, seen_at| last.duration_since(*seen_at) < SEEN_AGE);
        let seen: Vec<Uuid> = memory.seen.keys().copied().collect();
        // A look that was late, because the database was busy or away, looks back so much further.
        let age = FEED_AGE + now.duration_since(last);
        let rows =
            self.0.store.realtime_news(listened, &seen, i64::try_from(age.as_millis()).unwrap_or(i64::MAX)).await?;
        memory.looked_at = Some(now);
        memory.seen.extend(rows.iter().map(|row| (row.feed_id, Instant::now())));
        Ok(rows)
    }

    async fn look_at_campaigns(
        &self,
        memory: &mut Memory,
        (rows, listened, watched): (&[RealtimeRow], &[TenantId], &[CampaignId]),
        told: &mut Told,
    ) -> Result<(), StoreError> {
        let moved = campaigns_of(rows);
        // Those that somebody looks at come first, where there are more than are read.
        let mut known = HashSet::new();
        let look = watched.iter().chain(moved.keys()).chain(memory.stands.keys()).copied();
        let ids: Vec<CampaignId> = look.filter(|id| known.insert(*id)).take(REALTIME_CAMPAIGNS_MAX as usize).collect();
        let read = self.0.store.campaign_progress(&ids, listened).await?;
        let is_whole = read.len() < REALTIME_CAMPAIGNS_MAX as usize;
        let mut found = HashSet::new();
        for progress in read {
            found.insert(progress.id);
            let before = memory.stands.insert(progress.id, progress.clone());
            if before.as_ref() == Some(&progress) {
                continue;
            }
            // Whoever has just come reads how campaigns stand; what is told is what changes.
            let is_news = before.is_some() || moved.contains_key(&progress.id);
            let has_moved = before.map_or(moved.get(&progress.id) == Some(&true), |was| was.state != progress.state);
            let of_tenant = told.entry(progress.tenant_id).or_default();
            if is_news {
                of_tenant.push(News::Progress(progress.clone()));
            }
            if has_moved && progress.state == CampaignState::Completed {
                of_tenant.push(News::Completed(progress.clone()));
            }
            self.show(progress.id, Some(progress));
        }
        for gone in watched.iter().filter(|id| is_whole && !found.contains(id)) {
            self.show(*gone, None);
        }
        let is_followed = |stand: &CampaignProgress| {
            let is_open = matches!(stand.state, CampaignState::Running | CampaignState::Paused);
            is_open && found.contains(&stand.id) && listened.contains(&stand.tenant_id)
        };
        memory.stands.retain(|id, stand| is_followed(stand) || watched.contains(id));
        Ok(())
    }

    /// Shows those who watch a campaign where it stands.
    fn show(&self, id: CampaignId, progress: Option<CampaignProgress>) {
        if let Some(stand) = self.listeners().campaigns.get(&id) {
            stand.sender.send_replace(progress.map(Arc::new));
        }
    }

    async fn look_at_usage(
        &self,
        memory: &mut Memory,
        listened: &[TenantId],
        told: &mut Told,
    ) -> Result<(), StoreError> {
        let now_ms = self.0.clock.now().as_ms();
        let read_at = |tenant_id: &TenantId| memory.usages.get(tenant_id).and_then(|seen| seen.read_at);
        let is_due = |at: &Option<Instant>| at.is_none_or(|at| USAGE_BEAT <= at.elapsed());
        let mut due: Vec<_> =
            listened.iter().map(|tenant_id| (read_at(tenant_id), *tenant_id)).filter(|(at, _)| is_due(at)).collect();
        // Those that were read longest ago, so that all have their turn.
        due.sort_unstable();
        for (_, tenant_id) in due.into_iter().take(REALTIME_USAGES_PER_BEAT_MAX) {
            let seen = memory.usages.entry(tenant_id).or_default();
            let usage = self.0.store.usage_of_tenant(tenant_id, now_ms).await?;
            let is_first = seen.read_at.replace(Instant::now()).is_none();
            if let Some(usage) = usage.filter(|usage| seen.last.as_ref() != Some(usage)) {
                if !is_first {
                    told.entry(tenant_id).or_default().push(News::Usage(Box::new(usage.clone())));
                }
                seen.last = Some(usage);
            }
        }
        Ok(())
    }

    fn tell(&self, told: Told) {
        let listeners = self.listeners();
        for (tenant_id, news) in told {
            if let Some(room) = listeners.rooms.get(&tenant_id)
                && !news.is_empty()
            {
                // Without a receiver nobody listens any more.
                room.sender.send(in_measure(news).into()).ok();
            }
        }
    }
}

/// Returns the campaigns that rows tell of, and whether they moved; otherwise only a message of theirs did.
fn campaigns_of(rows: &[RealtimeRow]) -> HashMap<CampaignId, bool> {
    let mut campaigns = HashMap::new();
    for news in rows.iter().flat_map(|row| &row.news) {
        match news.event {
            RealtimeEvent::CampaignProgress => drop(campaigns.insert(CampaignId(news.subject_id), true)),
            RealtimeEvent::MessageStatus => {
                let id = news.data["campaignId"].as_str().and_then(|id| id.parse().ok());
                id.map(|id| campaigns.entry(CampaignId(id)).or_insert(false));
            }
            _ => {}
        }
    }
    campaigns
}

/// Leaves the last news of each subject, and not more of them than anybody can read.
fn in_measure(news: Vec<News>) -> Vec<News> {
    let (mut happened, mut others): (Vec<RealtimeNews>, Vec<News>) = (Vec::new(), Vec::new());
    for news in news {
        match news {
            News::Happened(news) => happened.push(news),
            other => others.push(other),
        }
    }
    // A code to be scanned must not be lost among messages.
    happened.sort_by_key(|news| news.event == RealtimeEvent::MessageStatus);
    coalesced(happened, REALTIME_NEWS_PER_BEAT_MAX).into_iter().map(News::Happened).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_code_is_not_lost_among_messages() {
        let news = |event, subject_id| News::Happened(RealtimeNews { event, subject_id, data: json!(null) });
        let message = |_| news(RealtimeEvent::MessageStatus, Uuid::new_v4());
        let mut all: Vec<News> = (0..2 * REALTIME_NEWS_PER_BEAT_MAX).map(message).collect();
        all.push(news(RealtimeEvent::SessionQr, Uuid::nil()));
        let told = in_measure(all);
        assert_eq!(told.len(), REALTIME_NEWS_PER_BEAT_MAX);
        let is_code = |news: &News| matches!(news, News::Happened(news) if news.event == RealtimeEvent::SessionQr);
        assert!(told.iter().any(is_code));
    }
}
