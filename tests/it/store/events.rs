//! Contracts of recorded events: exactly the moves, in the transaction that makes them.
//!
//! That it holds for any sequence is checked by `property.rs`, with [`Told`].

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::event::{EVENT_VERSION, StateChange};
use actiwapi_dispatcher::domain::failure::FailureClass;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId};
use actiwapi_dispatcher::domain::partition::{Fence, PartitionNo};
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::node::Node;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::events::BatchBounds;
use actiwapi_dispatcher::store::journal::{Ended, JournalBatch};
use actiwapi_dispatcher::store::partitions::{ClaimRequest, ClaimTerms, Claimant, Claimed};
use actiwapi_dispatcher::with_writer;
use futures::FutureExt;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, NOW_MS};

store_contract!(
    a_transaction_records_its_moves_together,
    nothing_is_recorded_unless_asked,
    moves_inside_are_not_told,
    what_is_refused_is_not_told,
    moves_and_events_are_written_together,
    a_delivery_cancelled_at_once_is_told,
    who_relays_is_woken_after_the_commit,
    batches_come_oldest_first_and_go_when_removed,
    batches_of_dead_nodes_are_found,
);

const NODE: Uuid = Uuid::from_u128(0x0190_c0de_0000_7000_8000_0000_0000_00dd);
const ALL: BatchBounds = BatchBounds { n_rows: 1_000, n_bytes: u32::MAX };

/// What a reader of the events knows.
#[derive(Default)]
pub(super) struct Told {
    states: HashMap<DeliveryId, DeliveryState>,
    seen: HashSet<(DeliveryId, u32, DeliveryState)>,
}

impl Told {
    /// Takes what was recorded since, and checks that it leads each delivery from where it was told to be to
    /// where it is.
    pub(super) async fn catch_up(&mut self, store: &Store, deliveries: &[(Entries, DeliveryId)], place: &str) {
        let mut last = HashMap::new();
        for change in take(store).await.into_iter().flatten() {
            let id = change.delivery_id;
            assert!(self.seen.insert((id, change.attempt, change.state)), "{place}: told twice: {change:?}");
            let told = self.states.insert(id, change.state);
            match change.from {
                Some(from) => {
                    let told = told.unwrap_or(DeliveryState::Pending);
                    assert_eq!(outside(from), outside(told), "{place}: {change:?}");
                    assert_ne!(outside(change.state), outside(from), "{place}: no change: {change:?}");
                }
                // Cancelled at once: nothing was told before.
                None => assert_eq!((told, change.state), (None, DeliveryState::Cancelled), "{place}"),
            }
            last.insert(id, change);
        }
        for (entries, id) in deliveries {
            let row = seed::row(store, *id).await;
            let state = DeliveryState::parse(&row.state).unwrap();
            let told = self.states.get(id).copied().unwrap_or(DeliveryState::Pending);
            assert_eq!(outside(told), outside(state), "{place}: what was told of {id}");
            let Some(change) = last.get(id).filter(|_| state.is_settled()) else { continue };
            assert_eq!(i64::from(change.attempt), i64::from(row.n_attempts), "{place}");
            assert_eq!(change.session_id, entries.session_id, "{place}");
            assert_eq!(change.campaign_id, Some(entries.campaign_id).filter(|id| !id.is_direct()), "{place}");
            if state == DeliveryState::Failed {
                let class = change.failure_class.map(|class| class.as_str().to_owned());
                let told = (class, change.reason.clone(), change.provider_code.clone());
                assert_eq!(told, (row.failure_class, row.reason, row.provider_code), "{place}");
            }
        }
    }
}

/// The state as readers of events see it: whether an attempt is under way is not told.
fn outside(state: DeliveryState) -> DeliveryState {
    if state == DeliveryState::Sending { DeliveryState::Pending } else { state }
}

/// Reads and removes what was recorded, one list per transaction.
async fn take(store: &Store) -> Vec<Vec<StateChange>> {
    let batches = store.event_batches_of(NODE, ALL).await.unwrap();
    let ids: Vec<Uuid> = batches.iter().map(|batch| batch.batch_id).collect();
    store.remove_event_batches(&ids).await.unwrap();
    assert_eq!(store.count_event_batches().await.unwrap(), 0);
    batches.iter().map(|batch| serde_json::from_str(&batch.events).unwrap()).collect()
}

/// A store that records, and some deliveries of one lane with an attempt under way.
async fn sending(store: Store, n: u64) -> (Store, seed::Lane, Entries, Vec<DeliveryId>) {
    let store = store.recording_events(NODE);
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let mut ids = seed::admit(&store, &seed::job(lane, campaign_id, n)).await;
    ids.sort_unstable();
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(&store, ids.iter().map(|id| entries.begin(*id, 1)).collect()).await;
    (store, lane, entries, ids)
}

/// Records events in the name of `store`'s node: one accepted attempt per transaction.
async fn record(store: &Store, entries: Entries, ids: &[DeliveryId]) {
    for id in ids {
        journal::end(store, vec![entries.end(*id, 1, journal::accepted())]).await;
    }
}

async fn run(store: &Store, sql: &'static str) {
    with_writer!(store.pool(), |db| sqlx::query(sql).execute(db).await.map(drop)).unwrap();
}

fn time(ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap()
}

pub(super) fn recording(store: &Store) -> Store {
    store.clone().recording_events(NODE)
}

async fn a_transaction_records_its_moves_together(store: Store) {
    let (store, lane, entries, ids) = sending(store, 4).await;
    let later = Entries { at_ms: NOW_MS + 10, ..entries };
    let ended = [journal::accepted(), journal::deferred(), journal::rejected(), journal::unknown()];
    journal::end(&store, ids.iter().zip(ended).map(|(id, ended)| later.end(*id, 1, ended)).collect()).await;
    let sent = StateChange {
        v: EVENT_VERSION,
        event_id: None,
        delivery_id: ids[0],
        tenant_id: lane.tenant_id,
        session_id: lane.session_id,
        campaign_id: Some(entries.campaign_id),
        state: DeliveryState::Sent,
        from: Some(DeliveryState::Sending),
        attempt: 1,
        failure_class: None,
        reason: None,
        provider_code: None,
        at: time(NOW_MS + 10),
    };
    let failed = StateChange {
        delivery_id: ids[2],
        state: DeliveryState::Failed,
        failure_class: Some(FailureClass::WhatsappUnavailable),
        reason: Some("RECIPIENT_UNREACHABLE".into()),
        provider_code: Some("graph:131026".into()),
        ..sent.clone()
    };
    let unknown = StateChange {
        delivery_id: ids[3],
        state: DeliveryState::Unknown,
        reason: Some("OUTCOME_UNKNOWN".into()),
        ..failed.clone()
    };
    assert_eq!(take(&store).await, [vec![sent.clone(), failed, unknown]]);

    let read_at = Entries { at_ms: NOW_MS - 3_000, ..entries };
    let kinds = [ReceiptKind::Delivered, ReceiptKind::Read];
    journal::receive(&store, kinds.map(|kind| read_at.receipt(ids[0], kind)).to_vec()).await;
    let read =
        StateChange { state: DeliveryState::Read, from: Some(DeliveryState::Sent), at: time(NOW_MS - 3_000), ..sent };
    assert_eq!(take(&store).await, [vec![read]], "only where it got to");
}

async fn nothing_is_recorded_unless_asked(store: Store) {
    let (recording, _, entries, ids) = sending(store.clone(), 2).await;
    record(&store, entries, &ids[..1]).await;
    assert_eq!(store.count_event_batches().await.unwrap(), 0);
    record(&recording, entries, &ids[1..]).await;
    assert_eq!(store.count_event_batches().await.unwrap(), 1);
}

async fn moves_inside_are_not_told(store: Store) {
    let (store, _, entries, ids) = sending(store, 2).await;
    journal::end(&store, vec![entries.end(ids[0], 1, journal::deferred()), entries.end(ids[1], 1, Ended::Withdrawn)])
        .await;
    journal::begin(&store, vec![entries.begin(ids[0], 2)]).await;
    assert_eq!(take(&store).await, Vec::<Vec<StateChange>>::new());
}

async fn what_is_refused_is_not_told(store: Store) {
    let (store, _, entries, ids) = sending(store, 2).await;
    let fence = Fence { partition: PartitionNo::FIRST, number: 7 };
    let ends = vec![entries.end(ids[0], 1, journal::rejected()), entries.end(ids[1], 1, journal::accepted())];
    let fences = [(entries.session_id, fence)].into();
    let written = journal::write(&store, JournalBatch { ends, fences, ..JournalBatch::default() }).await;
    assert_eq!(written.stale, [fence]);
    let told = take(&store).await.concat();
    let told: Vec<_> = told.iter().map(|change| (change.delivery_id, change.state)).collect();
    assert_eq!(told, [(ids[1], DeliveryState::Sent)], "what was certainly sent, and nothing else");
    record(&store, entries, &ids[1..]).await;
    assert_eq!(store.count_event_batches().await.unwrap(), 0, "the same again");
}

async fn moves_and_events_are_written_together(store: Store) {
    let (store, _, entries, ids) = sending(store, 1).await;
    let ends = vec![entries.end(ids[0], 1, journal::accepted())];
    let batch = JournalBatch { ends, ..JournalBatch::default() };
    for (away, back) in [
        ("ALTER TABLE event_batches RENAME TO away", "ALTER TABLE away RENAME TO event_batches"),
        ("ALTER TABLE campaign_counters RENAME TO away", "ALTER TABLE away RENAME TO campaign_counters"),
    ] {
        run(&store, away).await;
        store.write_journal(&batch).await.unwrap_err();
        run(&store, back).await;
        assert_eq!(seed::state(&store, ids[0]).await, DeliveryState::Sending);
        assert_eq!(store.count_event_batches().await.unwrap(), 0);
    }
    store.write_journal(&batch).await.unwrap();
    assert_eq!(take(&store).await.len(), 1);
}

async fn a_delivery_cancelled_at_once_is_told(store: Store) {
    let store = recording(&store);
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Cancelled, OnUnknown::Resend).await;
    let (cancelled, other) = (seed::job(lane, campaign_id, 2), seed::job(lane, CampaignId::DIRECT, 2));
    store.admit_jobs(&[&cancelled, &other], seed::NOW_US).await.unwrap();
    let told = take(&store).await;
    assert_eq!(told.len(), 1);
    let ids: HashSet<_> = told[0].iter().map(|change| change.delivery_id).collect();
    assert_eq!(ids, cancelled.deliveries.iter().map(|delivery| delivery.id).collect());
    for change in &told[0] {
        assert_eq!((change.state, change.from, change.attempt), (DeliveryState::Cancelled, None, 0));
        assert_eq!((change.tenant_id, change.session_id), (lane.tenant_id, lane.session_id));
        assert_eq!((change.campaign_id, change.at), (Some(campaign_id), time(NOW_MS)));
    }
    store.admit_jobs(&[&cancelled, &other], seed::NOW_US).await.unwrap();
    assert_eq!(store.count_event_batches().await.unwrap(), 0, "the same again");
}

async fn who_relays_is_woken_after_the_commit(store: Store) {
    let (store, _, entries, ids) = sending(store, 1).await;
    let nudge = &store.recording().unwrap().nudge;
    nudge.notified().now_or_never();
    assert_eq!(nudge.notified().now_or_never(), None);
    record(&store, entries, &ids).await;
    assert_eq!(nudge.notified().now_or_never(), Some(()));
}

async fn batches_come_oldest_first_and_go_when_removed(store: Store) {
    let (store, _, entries, ids) = sending(store, 5).await;
    record(&store, entries, &ids).await;
    let all = store.event_batches_of(NODE, ALL).await.unwrap();
    let told = |n: usize| serde_json::from_str::<Vec<StateChange>>(&all[n].events).unwrap()[0].delivery_id;
    assert_eq!((0..5).map(told).collect::<Vec<_>>(), ids);
    let first = store.event_batches_of(NODE, BatchBounds { n_rows: 2, ..ALL }).await.unwrap();
    assert_eq!(first, all[..2]);
    let n_bytes = u32::try_from(all[0].events.len()).unwrap();
    for (n_bytes, n) in [(1, 1), (n_bytes, 1), (n_bytes + 1, 2)] {
        let some = store.event_batches_of(NODE, BatchBounds { n_bytes, ..ALL }).await.unwrap();
        assert_eq!(some, all[..n], "{n_bytes} bytes");
    }
    assert_eq!(store.event_batches_of(Uuid::nil(), ALL).await.unwrap(), []);
    for _ in 0..2 {
        store.remove_event_batches(&[all[0].batch_id, all[2].batch_id]).await.unwrap();
        let left = [all[1].clone(), all[3].clone(), all[4].clone()];
        assert_eq!(store.event_batches_of(NODE, ALL).await.unwrap(), left);
    }
    store.remove_event_batches(&[]).await.unwrap();
}

async fn batches_of_dead_nodes_are_found(store: Store) {
    let (dead, _, entries, ids) = sending(store, 4).await;
    let node = Node::of_process(Some("living"));
    let living = dead.clone().recording_events(node.id);
    record(&dead, entries, &ids[..2]).await;
    record(&living, entries, &ids[2..3]).await;
    let age = Duration::from_secs(30);
    assert_eq!(dead.orphaned_event_batches(Uuid::nil(), age, ALL).await.unwrap(), [], "too young");
    run(&dead, "UPDATE event_batches SET created_at_ms = created_at_ms - 30001").await;
    record(&dead, entries, &ids[3..]).await;

    let claimant = Claimant { node: &node, n_partitions: 1, lease: Duration::from_secs(60) };
    let request = ClaimRequest { partition: PartitionNo::FIRST, terms: ClaimTerms::IfFree };
    let claimed = living.claim_partitions(claimant, &[request]).await.unwrap();
    let Claimed::Granted { fence, .. } = claimed[0] else { panic!("{claimed:?}") };
    let old = dead.event_batches_of(NODE, BatchBounds { n_rows: 2, ..ALL }).await.unwrap();
    assert_eq!(living.orphaned_event_batches(node.id, age, ALL).await.unwrap(), old);
    assert_eq!(dead.orphaned_event_batches(NODE, age, ALL).await.unwrap(), [], "the other one holds a lease");
    living.release_leases(&[fence]).await.unwrap();
    let of_living = living.event_batches_of(node.id, ALL).await.unwrap();
    assert_eq!(dead.orphaned_event_batches(NODE, age, ALL).await.unwrap(), of_living);
}
