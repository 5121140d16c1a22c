//! What people who look on are told: by one reader a node, whichever node it happens on.

use std::time::Duration;

use actiwapi_dispatcher::clock::Clock;
use actiwapi_dispatcher::domain::campaign::CampaignState;
use actiwapi_dispatcher::domain::id::{CampaignId, TenantId};
use actiwapi_dispatcher::domain::inbound::InboundMessage;
use actiwapi_dispatcher::domain::realtime::RealtimeEvent;
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::limits::{
    EVENT_STREAMS_PER_TENANT_MAX, REALTIME_BEATS_BEHIND_MAX, REALTIME_CLIENTS_PER_TENANT_MAX,
};
use actiwapi_dispatcher::realtime::{Hub, Listener, News};
use actiwapi_dispatcher::store::{Pool, Store};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::front::Front;
use crate::support::db::{on_postgres, store_contract};
use crate::support::seed::{NOW_US, count};
use crate::support::wait::{until, until_so};

store_contract!(
    listeners_are_told_what_happens_to_their_tenant,
    nothing_is_put_down_where_nobody_listens,
    campaigns_are_watched_to_their_end,
    who_is_too_slow_is_left_behind,
    there_are_not_too_many_listeners,
);

/// A node: its hub, at work.
struct Node {
    hub: Hub,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Node {
    fn start(store: &Store) -> Self {
        let (hub, stop) = (Hub::new(store.clone(), Clock::system()), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(hub.clone().run(stop.clone()));
        Self { hub, stop, tasks }
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
    }
}

/// Waits until somebody is known to listen.
async fn heard(store: &Store, n_listeners: i64) {
    until_so("it is noted who listens", async || count(store, "realtime_listeners").await == n_listeners).await;
}

/// Collects news until one is the wanted one.
async fn told(listener: &mut Listener, what: &str, is_it: impl Fn(&News) -> bool) -> Vec<News> {
    let mut all = Vec::new();
    let collect = async {
        loop {
            let beat = listener.next().await.expect("the listener keeps up");
            all.extend(beat.iter().cloned());
            if beat.iter().any(&is_it) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), collect).await.unwrap_or_else(|_| panic!("never told: {what}"));
    all
}

fn is_of(event: RealtimeEvent) -> impl Fn(&News) -> bool {
    move |news| matches!(news, News::Happened(news) if news.event == event)
}

async fn running(front: &Front, tenant_id: TenantId) -> CampaignId {
    let own = front.connected_session(tenant_id).await;
    let id = front.campaign(tenant_id, &[own], 2).await;
    front.services.campaigns.start(tenant_id, id).await.unwrap();
    id
}

async fn listeners_are_told_what_happens_to_their_tenant(store: Store) {
    let front = Front::new(store);
    let (ours, theirs) = (front.tenant().await, front.tenant().await);
    // Two nodes; what happens goes through neither of them.
    let (here, there) = (Node::start(&front.store), Node::start(&front.store));
    let (mut first, mut second) = (here.hub.listen(ours).unwrap(), there.hub.listen(ours).unwrap());
    let mut foreign = there.hub.listen(theirs).unwrap();
    heard(&front.store, 3).await;

    let id = running(&front, ours).await;
    let is_running =
        |news: &News| matches!(news, News::Progress(of) if of.id == id && of.state == CampaignState::Running);
    for listener in [&mut first, &mut second] {
        let all = told(listener, "the start", is_running).await;
        assert!(all.iter().any(is_of(RealtimeEvent::SessionStatus)), "{all:?}");
    }
    let jobs = front.store.expand_campaign(id, 0, 10).await.unwrap().jobs;
    front.store.admit_jobs(&[&jobs[0]], NOW_US).await.unwrap();
    front.services.campaigns.cancel(ours, id).await.unwrap();
    front.services.campaigns.settle_cancelled().await.unwrap();
    let is_cancelled = |news: &News| matches!(news, News::Progress(of) if of.stats.cancelled == 2);
    for listener in [&mut first, &mut second] {
        told(listener, "the numbers", is_cancelled).await;
    }
    let session = front.connected_session(theirs).await;
    let number = front.store.sessions().find(theirs, session).await.unwrap().unwrap().phone_number_id.unwrap();
    let message = InboundMessage {
        phone_number_id: number,
        from: Recipient::parse("919800000001").unwrap(),
        at_ms: 1,
        provider_message_id: "in-1".to_owned(),
        kind: "text".to_owned(),
        text: Some("Hello".to_owned()),
        asks: None,
    };
    front.store.tell_inbound(&[message]).await.unwrap();
    let all = told(&mut foreign, "the message", is_of(RealtimeEvent::MessageNew)).await;
    assert!(!all.iter().any(|news| matches!(news, News::Progress(_))), "{all:?}");

    drop((first, second, foreign));
    here.end().await;
    there.end().await;
    assert_eq!(count(&front.store, "realtime_listeners").await, 0);
    front.store.forget_realtime(-1_000).await.unwrap();
    assert_eq!(count(&front.store, "realtime_feed").await, 0);
}

/// Nobody reads for longer than rows are looked for, because the database is busy: what happened meanwhile is told after it.
#[tokio::test]
async fn a_late_look_looks_back_further() {
    on_postgres(async |store: Store| {
        let Pool::Postgres(pool) = store.pool() else { panic!("not PostgreSQL") };
        let (tenant_id, node) = (Front::new(store.clone()).tenant().await, Node::start(&store));
        let mut listener = node.hub.listen(tenant_id).unwrap();
        heard(&store, 1).await;
        let (began, mut tx) = (Instant::now(), pool.begin().await.unwrap());
        sqlx::query("LOCK TABLE realtime_feed IN ACCESS EXCLUSIVE MODE").execute(&mut *tx).await.unwrap();
        let insert = "INSERT INTO realtime_feed (feed_id, tenant_id, created_at_ms, news) VALUES ($1, $1, \
                      (extract(epoch FROM clock_timestamp()) * 1000)::int8, \
                      '[{\"event\":\"session:status\",\"subject_id\":\"' || $1 || '\",\"data\":null}]')";
        sqlx::query(insert).bind(tenant_id.0).execute(&mut *tx).await.unwrap();
        until_so("it is too late for the usual look", async || Duration::from_secs(6) <= began.elapsed()).await;
        tx.commit().await.unwrap();
        told(&mut listener, "what happened meanwhile", is_of(RealtimeEvent::SessionStatus)).await;
        node.end().await;
    })
    .await;
}

async fn nothing_is_put_down_where_nobody_listens(store: Store) {
    let front = Front::new(store);
    let (ours, theirs) = (front.tenant().await, front.tenant().await);
    let node = Node::start(&front.store);
    let listener = node.hub.listen(theirs).unwrap();
    heard(&front.store, 1).await;
    let id = running(&front, ours).await;
    front.services.campaigns.cancel(ours, id).await.unwrap();
    assert_eq!(count(&front.store, "realtime_feed").await, 0);
    drop(listener);
    heard(&front.store, 0).await;
    node.end().await;
}

async fn campaigns_are_watched_to_their_end(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let id = running(&front, tenant_id).await;
    let node = Node::start(&front.store);
    let (mut first, mut second) = (node.hub.watch(tenant_id, id).unwrap(), node.hub.watch(tenant_id, id).unwrap());
    for watcher in [&mut first, &mut second] {
        let seen = watcher.next().await.unwrap();
        assert_eq!((seen.state, seen.stats.queued), (CampaignState::Running, 2));
    }
    front.services.campaigns.cancel(tenant_id, id).await.unwrap();
    for watcher in [&mut first, &mut second] {
        let seen = watcher.next().await.unwrap();
        assert_eq!((seen.state, seen.stats.cancelled, seen.is_over()), (CampaignState::Cancelled, 2, true));
    }
    // Watching one campaign makes nobody put down anything.
    assert_eq!(count(&front.store, "realtime_listeners").await, 0);
    front.services.campaigns.delete(tenant_id, id).await.unwrap();
    until("it is gone", Duration::from_secs(60), async || first.next().await.is_none().then_some(())).await;
    drop((first, second));
    node.end().await;
}

async fn who_is_too_slow_is_left_behind(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let node = Node::start(&front.store);
    let (mut slow, mut quick) = (node.hub.listen(tenant_id).unwrap(), node.hub.listen(tenant_id).unwrap());
    heard(&front.store, 1).await;
    let session = front.connected_session(tenant_id).await;
    for _ in 0..=REALTIME_BEATS_BEHIND_MAX {
        front.services.sessions.disconnect(tenant_id, session).await.unwrap();
        told(&mut quick, "the change", is_of(RealtimeEvent::SessionStatus)).await;
        front.services.sessions.connect(tenant_id, session).await.unwrap();
    }
    assert!(slow.next().await.is_none(), "what was lost is not passed over in silence");
    node.end().await;
}

async fn there_are_not_too_many_listeners(store: Store) {
    let front = Front::new(store);
    let (ours, theirs) = (front.tenant().await, front.tenant().await);
    let id = running(&front, ours).await;
    let hub = Hub::new(front.store.clone(), Clock::system());
    let mut listeners: Vec<_> = (0..REALTIME_CLIENTS_PER_TENANT_MAX).map(|_| hub.listen(ours).unwrap()).collect();
    assert!(matches!(hub.listen(ours), Err(Error::RateLimited { .. })));
    hub.listen(theirs).unwrap();
    listeners.pop();
    listeners.push(hub.listen(ours).unwrap());
    let mut watchers: Vec<_> = (0..EVENT_STREAMS_PER_TENANT_MAX).map(|_| hub.watch(ours, id).unwrap()).collect();
    assert!(matches!(hub.watch(ours, id), Err(Error::RateLimited { .. })));
    watchers.pop();
    hub.watch(ours, id).unwrap();
}
