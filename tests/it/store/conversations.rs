//! Contracts of what is known of a session and a recipient: who wrote when, and who gets no more marketing.

use actiwapi_dispatcher::domain::attempt::Outcome;
use actiwapi_dispatcher::domain::failure::{Failure, Reason};
use actiwapi_dispatcher::domain::id::{CampaignId, SessionId};
use actiwapi_dispatcher::domain::inbound::InboundMessage;
use actiwapi_dispatcher::domain::receipt::{Receipt, ReceiptKind};
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::conversations::Conversation;
use actiwapi_dispatcher::store::journal::{Ended, JournalBatch};

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, NOW_MS};

const DAY_MS: i64 = 86_400_000;

store_contract!(
    who_wrote_is_noted_once_and_never_earlier,
    all_sessions_of_a_number_are_told_and_numbers_of_nobody_passed_over,
    a_marketing_cap_holds_for_a_day_and_only_for_its_recipient,
    only_the_pairs_asked_for_are_read,
);

fn recipient(text: &str) -> Recipient {
    Recipient::from_stored(text).expect("a recipient")
}

fn written(from: &str, at_ms: i64) -> InboundMessage {
    // The number of every session that the seed makes.
    InboundMessage {
        provider_message_id: format!("wamid.{from}.{at_ms}"),
        phone_number_id: "106540352242922".to_owned(),
        from: recipient(from),
        at_ms,
        kind: "text".to_owned(),
        text: Some("Hello".to_owned()),
        asks: None,
    }
}

async fn known(store: &Store, session_id: SessionId, of: &str) -> Option<Conversation> {
    store.conversations_of(&[(session_id, recipient(of))]).await.expect("read conversations").pop()
}

async fn who_wrote_is_noted_once_and_never_earlier(store: Store) {
    let lane = seed::lane(&store).await;
    assert_eq!(known(&store, lane.session_id, "919800000001").await, None);
    // Several of one person in one callback, and callbacks in any order.
    let batches = [
        vec![written("919800000001", NOW_MS + 5), written("919800000001", NOW_MS + 9), written("919800000001", NOW_MS)],
        vec![written("919800000001", NOW_MS + 7)],
        vec![],
    ];
    for batch in batches {
        store.note_inbound(&batch).await.expect("note");
    }
    let expected = Conversation {
        session_id: lane.session_id,
        recipient: recipient("919800000001"),
        last_inbound_at_ms: Some(NOW_MS + 9),
        marketing_capped_until_ms: None,
    };
    assert_eq!(known(&store, lane.session_id, "919800000001").await, Some(expected));
    store.note_inbound(&[written("919800000001", NOW_MS + 10)]).await.expect("note");
    let later = known(&store, lane.session_id, "919800000001").await.and_then(|row| row.last_inbound_at_ms);
    assert_eq!(later, Some(NOW_MS + 10));
}

async fn all_sessions_of_a_number_are_told_and_numbers_of_nobody_passed_over(store: Store) {
    let lane = seed::lane(&store).await;
    let other = seed::another_lane(&store, lane.tenant_id).await;
    let stranger = InboundMessage { phone_number_id: "of nobody".to_owned(), ..written("919800000002", NOW_MS) };
    store.note_inbound(&[written("919800000001", NOW_MS), stranger]).await.expect("note");
    for session_id in [lane.session_id, other.session_id] {
        assert!(known(&store, session_id, "919800000001").await.is_some());
        assert_eq!(known(&store, session_id, "919800000002").await, None);
    }
}

async fn a_marketing_cap_holds_for_a_day_and_only_for_its_recipient(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let job = seed::job(lane, campaign_id, 3);
    let recipients: Vec<_> = job.deliveries.iter().map(|delivery| delivery.to.clone()).collect();
    let ids = seed::admit(&store, &job).await;
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(&store, ids.iter().map(|id| entries.begin(*id, 1)).collect()).await;
    let cap = Failure { reason: Reason::UserMarketingCap, ..journal::limit() };
    // Refused at once, failed later, and failed for another reason.
    let refused = Ended::Outcome(Outcome::Rejected(cap.clone()));
    let failed = |at_ms, failure: Failure| Receipt {
        at_ms,
        failure: Some(failure),
        ..entries.receipt(ids[1], ReceiptKind::Failed)
    };
    let other = Receipt { delivery_id: ids[2], ..failed(NOW_MS, journal::limit()) };
    let batch = JournalBatch {
        ends: vec![entries.end(ids[0], 1, refused)],
        receipts: vec![failed(NOW_MS + 50, cap.clone()), failed(NOW_MS + 60, cap.clone()), other],
        ..JournalBatch::default()
    };
    journal::write(&store, batch.clone()).await;
    let until = async |n: usize| {
        known(&store, lane.session_id, recipients[n].as_str()).await.and_then(|row| row.marketing_capped_until_ms)
    };
    assert_eq!(until(0).await, Some(NOW_MS + DAY_MS));
    assert_eq!(until(1).await, Some(NOW_MS + 60 + DAY_MS));
    assert_eq!(until(2).await, None);
    // Written again, told again, told earlier: nothing changes; what the recipient wrote stays beside it.
    store.note_inbound(&[written(recipients[1].as_str(), NOW_MS)]).await.expect("note");
    journal::write(&store, JournalBatch { repeated: true, ..batch }).await;
    journal::receive(&store, vec![failed(NOW_MS, cap.clone())]).await;
    assert_eq!(until(1).await, Some(NOW_MS + 60 + DAY_MS));
    journal::receive(&store, vec![failed(NOW_MS + DAY_MS, cap)]).await;
    let row = known(&store, lane.session_id, recipients[1].as_str()).await.expect("a row");
    assert_eq!(row.marketing_capped_until_ms, Some(NOW_MS + 2 * DAY_MS));
    assert_eq!(row.last_inbound_at_ms, Some(NOW_MS));
}

async fn only_the_pairs_asked_for_are_read(store: Store) {
    let lane = seed::lane(&store).await;
    let (a, b, c) = (recipient("919800000001"), recipient("919800000002"), recipient("919800000003"));
    let messages: Vec<_> = [&a, &b].iter().map(|from| written(from.as_str(), NOW_MS)).collect();
    store.note_inbound(&messages).await.expect("note");
    let pairs = [(lane.session_id, a.clone()), (lane.session_id, c), (SessionId::generate(), b)];
    let rows = store.conversations_of(&pairs).await.expect("read");
    assert_eq!(rows.iter().map(|row| &row.recipient).collect::<Vec<_>>(), [&a]);
    assert_eq!(store.conversations_of(&[]).await.expect("read"), []);
}
