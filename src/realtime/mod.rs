//! What people who look on are told while it happens: one reader for all listeners of a node.
//!
//! Nothing here is on the path of a message. While somebody listens, the reader looks at the database four times a second:
//! at the campaigns that are watched or that run for a tenant somebody listens to, and at the feed of those tenants, which
//! the transactions write that make things happen, on whichever node. So each subject is told at most four times a second,
//! and with nobody listening nothing is read or written. Knows no HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::clock::Clock;
use crate::domain::id::{CampaignId, TenantId};
use crate::error::{Error, Result};
use crate::limits::{
    EVENT_STREAMS_MAX, EVENT_STREAMS_PER_TENANT_MAX, REALTIME_BEATS_BEHIND_MAX, REALTIME_CLIENTS_MAX,
    REALTIME_CLIENTS_PER_TENANT_MAX,
};
use crate::store::Store;
use crate::store::campaign_progress::CampaignProgress;
use crate::store::plan_usage::TenantUsage;
use crate::store::realtime::RealtimeNews;

mod coalesce;

mod reader;

/// When whoever finds no place may come again.
const COME_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Something to be told.
#[derive(Debug, Clone)]
pub enum News {
    /// It was put down when it happened.
    Happened(RealtimeNews),
    /// The numbers or the state of a campaign are others.
    Progress(CampaignProgress),
    /// The last delivery of a campaign is settled.
    Completed(CampaignProgress),
    /// More or less of the plan is used.
    Usage(Box<TenantUsage>),
}

/// What is told at once.
pub type Beat = Arc<[News]>;

/// Where a campaign stands, as last read; none before the first look, and when it is gone.
pub type Watched = Option<Arc<CampaignProgress>>;

/// Where listeners come and go; cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    /// Names this hub among those of all nodes.
    node_id: Uuid,
    listeners: Mutex<Listeners>,
    /// Somebody came.
    wake: Notify,
}

/// Who listens.
#[derive(Debug, Default)]
struct Listeners {
    rooms: HashMap<TenantId, Room>,
    campaigns: HashMap<CampaignId, Stand>,
    n_clients: usize,
    n_streams: usize,
}

/// The listeners of a tenant.
#[derive(Debug)]
struct Room {
    sender: broadcast::Sender<Beat>,
    n_clients: usize,
}

/// Those who watch a campaign.
#[derive(Debug)]
struct Stand {
    tenant_id: TenantId,
    sender: watch::Sender<Watched>,
    n_streams: usize,
}

impl Hub {
    /// Makes a hub without listeners; [`Self::run`] serves them.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        let (listeners, wake) = (Mutex::default(), Notify::new());
        Self(Arc::new(Inner { store, clock, node_id: Uuid::now_v7(), listeners, wake }))
    }

    /// Listens to a tenant.
    ///
    /// # Errors
    /// `RateLimited` when the tenant has as many listeners here as may be, `Unavailable` when the node has.
    pub fn listen(&self, tenant_id: TenantId) -> Result<Listener> {
        let mut listeners = self.listeners();
        if REALTIME_CLIENTS_MAX <= listeners.n_clients {
            return Err(Error::Unavailable("listening"));
        }
        let room = listeners
            .rooms
            .entry(tenant_id)
            .or_insert_with(|| Room { sender: broadcast::Sender::new(REALTIME_BEATS_BEHIND_MAX), n_clients: 0 });
        if REALTIME_CLIENTS_PER_TENANT_MAX <= room.n_clients {
            return Err(Error::RateLimited { retry_after: COME_AGAIN });
        }
        room.n_clients += 1;
        let beats = room.sender.subscribe();
        listeners.n_clients += 1;
        self.0.wake.notify_one();
        Ok(Listener { beats, tenant_id, hub: self.clone() })
    }

    /// Watches a campaign of a tenant; that it is the tenant's is the caller's to know.
    ///
    /// # Errors
    /// `RateLimited` when the tenant has as many watchers here as may be, `Unavailable` when the node has.
    pub fn watch(&self, tenant_id: TenantId, id: CampaignId) -> Result<Watcher> {
        let mut listeners = self.listeners();
        if EVENT_STREAMS_MAX <= listeners.n_streams {
            return Err(Error::Unavailable("event streams"));
        }
        let own = listeners.campaigns.values().filter(|stand| stand.tenant_id == tenant_id);
        if EVENT_STREAMS_PER_TENANT_MAX <= own.map(|stand| stand.n_streams).sum() {
            return Err(Error::RateLimited { retry_after: COME_AGAIN });
        }
        let stand = listeners.campaigns.entry(id).or_insert_with(|| Stand {
            tenant_id,
            sender: watch::Sender::new(None),
            n_streams: 0,
        });
        stand.n_streams += 1;
        let progress = stand.sender.subscribe();
        listeners.n_streams += 1;
        self.0.wake.notify_one();
        Ok(Watcher { progress, id, hub: self.clone() })
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who listens to a tenant, until dropped.
#[derive(Debug)]
pub struct Listener {
    beats: broadcast::Receiver<Beat>,
    tenant_id: TenantId,
    hub: Hub,
}

impl Listener {
    /// Waits for what is told next; none when the listener was too slow and has lost something.
    pub async fn next(&mut self) -> Option<Beat> {
        self.beats.recv().await.ok()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listeners = self.hub.listeners();
        listeners.n_clients -= 1;
        if let Some(room) = listeners.rooms.get_mut(&self.tenant_id) {
            room.n_clients -= 1;
            if room.n_clients == 0 {
                listeners.rooms.remove(&self.tenant_id);
            }
        }
    }
}

/// Somebody who watches a campaign, until dropped.
#[derive(Debug)]
pub struct Watcher {
    progress: watch::Receiver<Watched>,
    id: CampaignId,
    hub: Hub,
}

impl Watcher {
    /// Waits until the campaign stands elsewhere; none when it is gone.
    pub async fn next(&mut self) -> Watched {
        self.progress.changed().await.ok()?;
        self.progress.borrow_and_update().clone()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut listeners = self.hub.listeners();
        listeners.n_streams -= 1;
        if let Some(stand) = listeners.campaigns.get_mut(&self.id) {
            stand.n_streams -= 1;
            if stand.n_streams == 0 {
                listeners.campaigns.remove(&self.id);
            }
        }
    }
}
