//! Carries news to the parts that act on it: from services of this node, and from other nodes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::background::Nudges;
use crate::dispatch::DispatchHandle;
use crate::dispatch::lease::HeldLeases;
use crate::dispatch::shard::Offer;
use crate::domain::campaign::CampaignState;
use crate::domain::control::ControlMessage;
use crate::domain::id::SessionId;
use crate::error::chain;
use crate::notice::{Notice, NoticeReader};
use crate::patience::Patience;
use crate::store::lanes::LaneRow;
use crate::store::{Store, StoreError};

/// How often everything is looked at, because a nudge may be lost: between nodes, and inside one process, where only a
/// race can lose it.
const FULL_LOOK_BEATS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(300));

/// Carries what changed to the parts that act on it.
pub(super) struct Follower {
    /// The database, which is the truth.
    pub(super) store: Store,
    /// The lanes.
    pub(super) dispatch: DispatchHandle,
    /// Wakes whoever drains the outbox.
    pub(super) outbox: Arc<Notify>,
    /// Wakes the reconcilers.
    pub(super) nudges: Nudges,
    /// What other nodes are to be told; none where there are none.
    pub(super) elsewhere: Option<mpsc::Sender<ControlMessage>>,
}

impl Follower {
    /// Follows until told to stop.
    pub(super) async fn run(
        self,
        mut own: NoticeReader,
        mut from_nodes: mpsc::Receiver<ControlMessage>,
        stop: CancellationToken,
    ) {
        let beat = if self.elsewhere.is_some() { FULL_LOOK_BEATS.0 } else { FULL_LOOK_BEATS.1 };
        let mut full_look = tokio::time::interval(beat);
        full_look.reset();
        loop {
            let notice = tokio::select! {
                () = stop.cancelled() => return,
                notice = own.next() => match notice {
                    Some(notice) => {
                        self.pass_on(notice);
                        notice
                    }
                    None => return,
                },
                Some(message) = from_nodes.recv() => match message {
                    ControlMessage::OutboxWritten {} => Notice::OutboxWritten,
                    ControlMessage::CampaignChanged { campaign_id } => Notice::CampaignChanged(campaign_id),
                    ControlMessage::SessionChanged { session_id } => Notice::SessionChanged(session_id),
                    ControlMessage::TenantChanged { tenant_id } => Notice::TenantChanged(tenant_id),
                    ControlMessage::LanesChanged {} => Notice::LanesChanged,
                    ControlMessage::WorkAdmitted {
                        session_id,
                        campaign_id,
                        band,
                        zone,
                        traffic_class,
                        done_below_seq,
                    } => {
                        let offer = Offer { session_id, campaign_id, band, zone, traffic_class, done_below_seq };
                        self.dispatch.offer_here(offer).await;
                        continue;
                    }
                },
                _ = full_look.tick() => Notice::Everything,
            };
            let mut patience = Patience::default();
            while let Err(error) = self.follow(notice).await {
                tracing::warn!(error = chain(&error), "notice could not be followed, will try again");
                if !patience.wait_unless(&stop).await {
                    return;
                }
            }
        }
    }

    /// Tells the other nodes; a nudge that finds no place is made good by their next full look.
    fn pass_on(&self, notice: Notice) {
        let Some(elsewhere) = &self.elsewhere else { return };
        let message = match notice {
            Notice::OutboxWritten => ControlMessage::OutboxWritten {},
            Notice::CampaignChanged(campaign_id) => ControlMessage::CampaignChanged { campaign_id },
            Notice::SessionChanged(session_id) => ControlMessage::SessionChanged { session_id },
            Notice::TenantChanged(tenant_id) => ControlMessage::TenantChanged { tenant_id },
            Notice::LanesChanged => ControlMessage::LanesChanged {},
            Notice::Everything => return,
        };
        elsewhere.try_send(message).ok();
    }

    async fn follow(&self, notice: Notice) -> Result<(), StoreError> {
        match notice {
            Notice::OutboxWritten => self.outbox.notify_one(),
            Notice::CampaignChanged(campaign_id) => {
                if let Some(state) = self.store.campaign_state(campaign_id).await? {
                    self.dispatch.campaign_changed(campaign_id, state).await;
                    if state == CampaignState::Running {
                        // What was admitted during a pause was offered to nobody.
                        let mut streams = self.store.streams_of_campaign(campaign_id).await?;
                        streams.retain(|row| self.dispatch.leases().owns(row.session_id));
                        self.dispatch.offer_streams(streams).await;
                    }
                }
                self.nudges.cancelled.notify_one();
                self.nudges.settled.notify_one();
            }
            Notice::SessionChanged(session_id) => {
                let held = self.dispatch.leases().held();
                if held.of_session(session_id).is_none() {
                    return Ok(());
                }
                if let Some(row) = self.store.lane(session_id).await? {
                    self.dispatch.session_changed(row, &held).await;
                    self.dispatch.offer_streams(self.store.streams_of_sessions(&[session_id]).await?).await;
                }
            }
            Notice::TenantChanged(tenant_id) => {
                let held = self.dispatch.leases().held();
                self.look_at(self.store.lanes_of_tenant(tenant_id).await?, &held).await?;
            }
            Notice::LanesChanged => self.look_at_all_lanes().await?,
            Notice::Everything => {
                self.outbox.notify_one();
                self.nudges.cancelled.notify_one();
                self.look_at_all_lanes().await?;
                for campaign_id in self.store.open_campaigns().await? {
                    if let Some(state) = self.store.campaign_state(campaign_id).await? {
                        self.dispatch.campaign_changed(campaign_id, state).await;
                    }
                }
            }
        }
        Ok(())
    }

    async fn look_at_all_lanes(&self) -> Result<(), StoreError> {
        let held = self.dispatch.leases().held();
        self.look_at(self.store.lanes().await?, &held).await
    }

    /// Tells dispatch of lanes that are ours, as read after `held` was taken.
    async fn look_at(&self, mut rows: Vec<LaneRow>, held: &HeldLeases) -> Result<(), StoreError> {
        rows.retain(|row| held.of_session(row.session_id).is_some());
        let sessions: Vec<SessionId> = rows.iter().map(|row| row.session_id).collect();
        for row in rows {
            self.dispatch.session_changed(row, held).await;
        }
        self.dispatch.offer_streams(self.store.streams_of_sessions(&sessions).await?).await;
        Ok(())
    }
}
