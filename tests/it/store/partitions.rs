//! Contracts of leases and fences: who may write, and from when.

use std::collections::BTreeMap;
use std::time::Duration;

use actiwapi_dispatcher::domain::campaign::Counters;
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, SessionId};
use actiwapi_dispatcher::domain::partition::{Fence, PartitionNo};
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::node::Node;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::journal::{JournalBatch, LaneSave};
use actiwapi_dispatcher::store::partitions::{ClaimRequest, ClaimTerms, Claimant, Claimed, Renewal};
use actiwapi_dispatcher::with_writer;

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, NOW_MS};

store_contract!(
    a_held_partition_is_busy,
    a_lease_that_ran_out_is_free,
    force_waits_for_what_is_left,
    the_wait_outlives_whoever_gave_it_up,
    a_gone_owner_is_not_waited_for,
    a_renewal_by_an_older_fence_fails,
    another_count_is_refused_and_then_fenced_off,
    stale_entries_are_refused,
    what_a_stale_node_knows_to_be_sent_counts,
    early_receipts_note_that_a_message_left,
);

const P: PartitionNo = PartitionNo(0);
const LEASE: Duration = Duration::from_secs(60);

fn node(name: &str) -> Node {
    Node { id: uuid::Uuid::new_v4(), name: name.to_owned(), process: format!("{name} process") }
}

async fn claim_for(store: &Store, node: &Node, terms: ClaimTerms, lease: Duration) -> Claimed {
    let claimant = Claimant { node, n_partitions: 4, lease };
    let mut answers = store.claim_partitions(claimant, &[ClaimRequest { partition: P, terms }]).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

async fn claim(store: &Store, node: &Node, terms: ClaimTerms) -> Claimed {
    claim_for(store, node, terms, LEASE).await
}

async fn granted(store: &Store, node: &Node, terms: ClaimTerms) -> (Fence, Duration) {
    match claim(store, node, terms).await {
        Claimed::Granted { fence, wait } => (fence, wait),
        other => panic!("not granted: {other:?}"),
    }
}

async fn a_held_partition_is_busy(store: Store) {
    let (a, b) = (node("a"), node("b"));
    let (fence, wait) = granted(&store, &a, ClaimTerms::IfFree).await;
    assert_eq!((fence.number, wait), (1, Duration::ZERO));
    let busy = claim(&store, &b, ClaimTerms::IfFree).await;
    let (owner_name, owner_process) = ("a".to_owned(), "a process".to_owned());
    assert_eq!(busy, Claimed::Busy { partition: P, fence: 1, owner_name, owner_process });
    store.release_leases(&[fence]).await.unwrap();
    let (fence, wait) = granted(&store, &b, ClaimTerms::IfFree).await;
    assert_eq!((fence.number, wait), (2, Duration::ZERO));
    let rows = store.partitions().await.unwrap();
    assert_eq!((rows.len(), rows[0].fence, rows[0].owner_name.as_deref()), (1, 2, Some("b")));
    assert!(0 < rows[0].lease_left_ms);
}

async fn a_lease_that_ran_out_is_free(store: Store) {
    let (a, b) = (node("a"), node("b"));
    let Claimed::Granted { fence, .. } = claim_for(&store, &a, ClaimTerms::IfFree, Duration::ZERO).await else {
        panic!("not granted");
    };
    let (next, wait) = granted(&store, &b, ClaimTerms::IfFree).await;
    assert_eq!((next.number, wait), (fence.number + 1, Duration::ZERO));
}

async fn force_waits_for_what_is_left(store: Store) {
    granted(&store, &node("a"), ClaimTerms::IfFree).await;
    let (fence, wait) = granted(&store, &node("b"), ClaimTerms::ByForce).await;
    assert_eq!(fence.number, 2);
    assert!(LEASE / 2 < wait && wait <= LEASE, "{wait:?}");
}

/// The second owner gives up while the first may still be sending: the third has to wait for the first.
async fn the_wait_outlives_whoever_gave_it_up(store: Store) {
    granted(&store, &node("a"), ClaimTerms::IfFree).await;
    let (fence, _) = granted(&store, &node("b"), ClaimTerms::ByForce).await;
    store.release_leases(&[fence]).await.unwrap();
    let (fence, wait) = granted(&store, &node("c"), ClaimTerms::IfFree).await;
    assert!(LEASE / 2 < wait, "{wait:?}");
    // Also when the one in between is known to be gone.
    let (_, wait) = granted(&store, &node("d"), ClaimTerms::OfGoneOwner(fence.number)).await;
    assert!(LEASE / 2 < wait, "{wait:?}");
}

async fn a_gone_owner_is_not_waited_for(store: Store) {
    granted(&store, &node("a"), ClaimTerms::IfFree).await;
    // Somebody else was faster: its fence is not the one that was read.
    let other = claim(&store, &node("b"), ClaimTerms::OfGoneOwner(0)).await;
    assert!(matches!(other, Claimed::Busy { fence: 1, .. }), "{other:?}");
    let (fence, wait) = granted(&store, &node("b"), ClaimTerms::OfGoneOwner(1)).await;
    assert_eq!((fence.number, wait), (2, Duration::ZERO));
}

async fn a_renewal_by_an_older_fence_fails(store: Store) {
    let (a, b) = (node("a"), node("b"));
    let (old, _) = granted(&store, &a, ClaimTerms::IfFree).await;
    let renewals = [Renewal { fence: old, lag: Some(7) }];
    assert_eq!(store.renew_leases(&renewals, LEASE).await.unwrap(), [old]);
    assert_eq!(store.partitions().await.unwrap()[0].lag, Some(7));
    let (new, _) = granted(&store, &b, ClaimTerms::ByForce).await;
    let renewals = [Renewal { fence: old, lag: None }, Renewal { fence: new, lag: None }];
    assert_eq!(store.renew_leases(&renewals, LEASE).await.unwrap(), [new]);
    // Nor may it give away what is another's.
    store.release_leases(&[old]).await.unwrap();
    assert_eq!(store.partitions().await.unwrap()[0].owner_name.as_deref(), Some("b"));
}

async fn another_count_is_refused_and_then_fenced_off(store: Store) {
    let (a, b) = (node("a"), node("b"));
    let (old, _) = granted(&store, &a, ClaimTerms::IfFree).await;
    let other = Claimant { node: &b, n_partitions: 8, lease: LEASE };
    let request = [ClaimRequest { partition: PartitionNo(5), terms: ClaimTerms::ByForce }];
    let refused = store.claim_partitions(other, &request).await.unwrap();
    assert_eq!(refused, [Claimed::OtherCount { n_partitions: 4, owner_name: "a".to_owned() }]);
    // Its lease runs out while it stands still; then it comes back and must not renew it.
    store.renew_leases(&[Renewal { fence: old, lag: None }], Duration::ZERO).await.unwrap();
    let granted = store.claim_partitions(other, &request).await.unwrap();
    assert!(matches!(granted[..], [Claimed::Granted { .. }]), "{granted:?}");
    assert_eq!(store.renew_leases(&[Renewal { fence: old, lag: None }], LEASE).await.unwrap(), []);
}

/// A campaign with its first delivery under way under the older of two fences.
async fn taken_over(store: &Store) -> (Entries, Vec<DeliveryId>, Fence, Fence) {
    let lane = seed::lane(store).await;
    let campaign_id = CampaignId::generate();
    let ids = seed::admit(store, &seed::job(lane, campaign_id, 3)).await;
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    let (old, _) = granted(store, &node("a"), ClaimTerms::IfFree).await;
    let fences = BTreeMap::from([(lane.session_id, old)]);
    let begins = vec![entries.begin(ids[0], 1)];
    let written = journal::write(store, JournalBatch { begins, fences, ..JournalBatch::default() }).await;
    assert_eq!((written.begun, written.stale), (vec![ids[0]], vec![]));
    let (new, _) = granted(store, &node("b"), ClaimTerms::ByForce).await;
    (entries, ids, old, new)
}

fn under(session_id: SessionId, fence: Fence) -> JournalBatch {
    JournalBatch { fences: BTreeMap::from([(session_id, fence)]), ..JournalBatch::default() }
}

async fn tat_us(store: &Store, session_id: SessionId) -> Option<i64> {
    store.lane(session_id).await.unwrap().unwrap().tat_us
}

async fn stale_entries_are_refused(store: Store) {
    let (entries, ids, old, new) = taken_over(&store).await;
    let session_id = entries.session_id;
    let lanes = vec![LaneSave { session_id, saved_at_us: 1, tat_us: 7, memory: None }];
    let begins = vec![entries.begin(ids[1], 1)];
    let ends = vec![entries.end(ids[0], 1, journal::deferred())];
    let late = JournalBatch { begins: begins.clone(), ends, lanes: lanes.clone(), ..under(session_id, old) };
    let written = journal::write(&store, late).await;
    assert_eq!((written.begun, written.stale), (vec![], vec![old]));
    assert_eq!(seed::state(&store, ids[0]).await, DeliveryState::Sending);
    assert_eq!(seed::state(&store, ids[1]).await, DeliveryState::Pending);
    assert_eq!(tat_us(&store, session_id).await, None);
    // The same by the owner.
    let written = journal::write(&store, JournalBatch { begins, lanes, ..under(session_id, new) }).await;
    assert_eq!((written.begun, written.stale), (vec![ids[1]], vec![]));
    assert_eq!(tat_us(&store, session_id).await, Some(7));
}

async fn what_a_stale_node_knows_to_be_sent_counts(store: Store) {
    let (entries, ids, old, new) = taken_over(&store).await;
    // The new owner has declared it unknown.
    let in_flight = store.attempts_in_flight(&[entries.session_id]).await.unwrap();
    assert_eq!(in_flight.len(), 1);
    store.orphan(&in_flight, &BTreeMap::from([(entries.session_id, new)]), NOW_MS).await.unwrap();
    assert_eq!(seed::state(&store, ids[0]).await, DeliveryState::Unknown);
    let ends = vec![entries.end(ids[0], 1, journal::accepted())];
    journal::write(&store, JournalBatch { ends, ..under(entries.session_id, old) }).await;
    assert_eq!(seed::state(&store, ids[0]).await, DeliveryState::Sent);
    let expected = Counters { accepted: 3, pending: 2, sent: 1, ..Counters::default() };
    assert_eq!(seed::ledger(&store, entries.campaign_id).await, expected);
}

async fn early_receipts_note_that_a_message_left(store: Store) {
    let (entries, ids, _, _) = taken_over(&store).await;
    let before = store.now_us().await.unwrap();
    journal::receive(&store, vec![entries.receipt(ids[0], ReceiptKind::Delivered)]).await;
    let row = store.lane(entries.session_id).await.unwrap().unwrap();
    assert!(row.left_by_us.is_some_and(|at| before <= at + 1_000), "{row:?}");
    // One that comes after the answer says nothing new.
    with_writer!(store.pool(), |db| sqlx::query("UPDATE lanes SET left_by_us = 5").execute(db).await.map(drop))
        .unwrap();
    journal::receive(&store, vec![entries.receipt(ids[0], ReceiptKind::Read)]).await;
    assert_eq!(store.lane(entries.session_id).await.unwrap().unwrap().left_by_us, Some(5));
}
