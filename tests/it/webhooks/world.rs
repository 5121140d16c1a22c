//! A store with couriers over it, and a clock that the test moves.

use std::time::Duration;

use actiwapi_dispatcher::clock::{Clock, ManualClock, Moment};
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, TenantId, WebhookId};
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::domain::webhook::WebhookEvent;
use actiwapi_dispatcher::notice::notices;
use actiwapi_dispatcher::service::{Tools, WebhookService};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::webhook_history::WebhookDeliveryRecord;
use actiwapi_dispatcher::store::webhooks::{NewWebhook, WebhookRecord};
use actiwapi_dispatcher::telemetry::metrics::Metrics;
use actiwapi_dispatcher::webhooks::{Courier, CourierSettings, TIMEOUT};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::receiver::Receiver;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, Lane, NOW_MS};
use crate::support::wait::until_so;

/// What signs in all tests.
pub(super) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// All that a test needs.
pub(super) struct World {
    pub(super) store: Store,
    pub(super) clock: ManualClock,
    pub(super) service: WebhookService,
}

/// A courier at work.
pub(super) struct Working {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Working {
    /// Lets it end as the daemon does.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// Lets it die where it stands.
    pub(super) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

impl World {
    pub(super) fn new(store: Store) -> Self {
        Self::at(store, Moment::from_ms(NOW_MS))
    }

    pub(super) fn at(store: Store, moment: Moment) -> Self {
        let clock = ManualClock::at(moment);
        let tools = Tools { store: store.clone(), clock: Clock::Manual(clock.clone()), notices: notices().0 };
        Self { store, clock, service: WebhookService::new(tools, true) }
    }

    pub(super) fn courier(&self) -> Working {
        self.courier_with(CourierSettings { timeout: TIMEOUT, allows_loopback: true })
    }

    pub(super) fn courier_with(&self, settings: CourierSettings) -> Working {
        let (clock, metrics) = (Clock::Manual(self.clock.clone()), Metrics::new().unwrap());
        let stop = CancellationToken::new();
        let courier = Courier::new(self.store.clone(), clock, metrics, Uuid::now_v7(), settings);
        Working { task: TaskTracker::new().spawn(courier.run(stop.clone())), stop }
    }

    /// Makes a webhook for everything.
    pub(super) async fn webhook(&self, tenant_id: TenantId, receiver: &Receiver) -> WebhookId {
        let new = NewWebhook {
            id: WebhookId::generate(),
            tenant_id,
            url: receiver.url(),
            events: WebhookEvent::ALL.to_vec(),
            secret: SECRET.into(),
            created_at_ms: NOW_MS,
        };
        assert!(self.store.webhooks().insert(&new, 100).await.unwrap());
        new.id
    }

    pub(super) async fn shown(&self, tenant_id: TenantId, id: WebhookId) -> WebhookRecord {
        self.store.webhooks().find(tenant_id, id).await.unwrap().unwrap()
    }

    /// What a webhook was told, oldest first.
    pub(super) async fn history(&self, tenant_id: TenantId, id: WebhookId) -> Vec<WebhookDeliveryRecord> {
        let page = PageRequest::new(1, 100).unwrap();
        let mut items = self.store.webhooks().history(tenant_id, id, page).await.unwrap().items;
        items.reverse();
        items
    }

    /// Sends messages; each is sent, delivered and read.
    pub(super) async fn messages(&self, lane: Lane, n: u64) -> Vec<DeliveryId> {
        let campaign_id = CampaignId::generate();
        let ids = seed::admit(&self.store, &seed::job(lane, campaign_id, n)).await;
        let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
        journal::begin(&self.store, ids.iter().map(|id| entries.begin(*id, 1)).collect()).await;
        journal::end(&self.store, ids.iter().map(|id| entries.end(*id, 1, journal::accepted())).collect()).await;
        for kind in [ReceiptKind::Delivered, ReceiptKind::Read] {
            journal::receive(&self.store, ids.iter().map(|id| entries.receipt(*id, kind)).collect()).await;
        }
        ids
    }

    /// Waits until nothing is due any more and nobody delivers.
    pub(super) async fn settle(&self) {
        self.store.told().notify_one();
        until_so("nothing is due", async || {
            let now_ms = Clock::Manual(self.clock.clone()).now().as_ms();
            let due = format!(
                "webhook_deliveries d JOIN webhooks w ON w.webhook_id = d.webhook_id \
                 WHERE w.is_active AND d.state = 'pending' AND d.due_at_ms <= {now_ms}"
            );
            let rests = seed::count(&self.store, "webhooks WHERE owner_id IS NOT NULL").await == 0;
            rests && seed::count(&self.store, &due).await == 0
        })
        .await;
    }

    /// Moves the clock on and waits until everything that is due then is done.
    pub(super) async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.settle().await;
    }
}
