//! Contracts of [`Store::write_journal`] about attempts; receipts have a file of their own.

use actiwapi_dispatcher::domain::campaign::{CampaignState, Counters, OnUnknown};
use actiwapi_dispatcher::domain::delivery::{DeliveryEvent, DeliveryState};
use actiwapi_dispatcher::domain::failure::{FailureClass, Reason};
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId};
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::journal::{
    BeginRefusal, Dismissal, Ended, JournalBatch, LaneSave, StreamSave, Written,
};

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::lanes::AllLanes;
use crate::support::seed::{self, NOW_MS, Row};

store_contract!(
    an_attempt_begins_once,
    attempts_out_of_turn_are_refused,
    outcomes_move_deliveries,
    a_batch_again_changes_nothing,
    a_withdrawn_attempt_leaves_the_delivery_in_line,
    the_next_attempt_may_share_a_batch_with_the_last_end,
    an_end_without_a_begin_leaves_no_trace,
    dismissals_settle_what_is_pending,
    places_and_limiters_are_saved,
    nothing_goes_back_in_line_of_a_cancelled_campaign,
    journals_at_once_wait_for_each_other,
    an_empty_batch_is_written,
);

/// A lane with a campaign that nobody else knows, `n` deliveries of it, and entries for it.
async fn admitted(store: &Store, n: u64) -> (Entries, Vec<DeliveryId>) {
    let lane = seed::lane(store).await;
    let campaign_id = CampaignId::generate();
    let ids = seed::admit(store, &seed::job(lane, campaign_id, n)).await;
    (Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS }, ids)
}

async fn an_attempt_begins_once(store: Store) {
    let (entries, ids) = admitted(&store, 3).await;
    let strange = DeliveryId::generate();
    let begins = vec![entries.begin(ids[0], 1), entries.begin(strange, 1), entries.begin(ids[1], 1)];
    let mut batch = JournalBatch { begins, ..JournalBatch::default() };
    let written = store.write_journal(&batch).await.unwrap();
    assert_eq!(written.begun, [ids[0], ids[1]]);
    assert_eq!(written.refused, [(strange, BeginRefusal::NotPending)]);
    let counters = Counters { accepted: 3, pending: 1, sending: 2, ..Counters::default() };
    assert_eq!(written.counters, [(entries.campaign_id, counters)]);
    // Somebody else holds a second copy of these deliveries: it must not send them too.
    assert_eq!(store.write_journal(&batch).await.unwrap(), all_refused(&batch));
    // The answer to the commit was lost: the same again.
    batch.repeated = true;
    let again = store.write_journal(&batch).await.unwrap();
    assert_eq!(again, Written { begun: written.begun, refused: written.refused, ..Written::default() });
    assert_eq!(seed::ledger(&store, entries.campaign_id).await, counters);
    assert_eq!(seed::count(&store, "attempts WHERE attempt_no = 1").await, 2);
}

fn all_refused(batch: &JournalBatch) -> Written {
    let refused = batch.begins.iter().map(|begin| (begin.delivery_id, BeginRefusal::NotPending)).collect();
    Written { refused, ..Written::default() }
}

async fn attempts_out_of_turn_are_refused(store: Store) {
    let (entries, ids) = admitted(&store, 3).await;
    journal::begin(&store, vec![entries.begin(ids[0], 1)]).await;
    let begins = vec![entries.begin(ids[0], 2), entries.begin(ids[1], 2), entries.begin(ids[2], 0)];
    let batch = JournalBatch { begins, ..JournalBatch::default() };
    let mut written = journal::write(&store, batch.clone()).await;
    written.refused.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(written, all_refused(&batch));
    assert_eq!(seed::ledger(&store, entries.campaign_id).await.sending, 1);
    assert_eq!(seed::count(&store, "attempts").await, 1);
}

async fn outcomes_move_deliveries(store: Store) {
    let (entries, ids) = admitted(&store, 4).await;
    journal::begin(&store, ids.iter().map(|id| entries.begin(*id, 1)).collect()).await;
    let later = Entries { at_ms: NOW_MS + 10, ..entries };
    let ended = [journal::accepted(), journal::deferred(), journal::rejected(), journal::unknown()];
    let ends = ids.iter().zip(ended).map(|(id, ended)| later.end(*id, 1, ended)).collect();
    let written = journal::end(&store, ends).await;
    let expected =
        Counters { accepted: 4, sent: 1, pending: 1, failed_unavailable: 1, unknown: 1, ..Counters::default() };
    assert_eq!(written.counters, [(entries.campaign_id, expected)]);
    assert_eq!(seed::ledger(&store, entries.campaign_id).await, expected);

    let word = |word: &str| Some(word.to_owned());
    let tried = Row { n_attempts: 1, ..Row::default() };
    let sent = Row {
        state: "sent".into(),
        provider_message_id: word("wamid.A"),
        sent_at_ms: Some(NOW_MS + 10),
        settled_at_ms: Some(NOW_MS + 10),
        ..tried.clone()
    };
    assert_eq!(seed::row(&store, ids[0]).await, sent);
    let pending = Row {
        state: "pending".into(),
        due_at_ms: NOW_MS + 5_010,
        failure_class: word("LIMIT_EXCEEDED"),
        reason: word("THROUGHPUT"),
        provider_code: word("graph:130429"),
        ..tried.clone()
    };
    assert_eq!(seed::row(&store, ids[1]).await, pending);
    let failed = Row {
        state: "failed".into(),
        failure_class: word("WHATSAPP_UNAVAILABLE"),
        reason: word("RECIPIENT_UNREACHABLE"),
        provider_code: word("graph:131026"),
        settled_at_ms: Some(NOW_MS + 10),
        ..tried.clone()
    };
    assert_eq!(seed::row(&store, ids[2]).await, failed);
    let unknown = Row { state: "unknown".into(), reason: word("OUTCOME_UNKNOWN"), ..failed };
    assert_eq!(seed::row(&store, ids[3]).await, unknown);
    for (id, outcome) in ids.iter().zip(["accepted", "deferred", "rejected", "unknown"]) {
        assert_eq!(seed::outcomes(&store, *id).await, [(1, outcome.to_owned())]);
    }
}

async fn a_batch_again_changes_nothing(store: Store) {
    let (entries, ids) = admitted(&store, 4).await;
    journal::begin(&store, ids[..3].iter().map(|id| entries.begin(*id, 1)).collect()).await;
    let mut batch = JournalBatch {
        begins: vec![entries.begin(ids[3], 1)],
        ends: vec![entries.end(ids[0], 1, journal::accepted()), entries.end(ids[1], 1, journal::rejected())],
        receipts: vec![entries.receipt(ids[0], ReceiptKind::Delivered), entries.receipt(ids[2], ReceiptKind::Failed)],
        lanes: vec![LaneSave { session_id: entries.session_id, saved_at_us: 1, tat_us: 5, memory: None }],
        ..JournalBatch::default()
    };
    let first = store.write_journal(&batch).await.unwrap();
    let mut rows = Vec::new();
    for id in &ids {
        rows.push((seed::row(&store, *id).await, seed::outcomes(&store, *id).await));
    }
    let counters = seed::ledger(&store, entries.campaign_id).await;
    batch.repeated = true;
    let again = store.write_journal(&batch).await.unwrap();
    assert_eq!(again, Written { begun: first.begun, ..Written::default() });
    for (id, before) in ids.iter().zip(rows) {
        assert_eq!((seed::row(&store, *id).await, seed::outcomes(&store, *id).await), before);
    }
    assert_eq!(seed::ledger(&store, entries.campaign_id).await, counters);
}

async fn a_withdrawn_attempt_leaves_the_delivery_in_line(store: Store) {
    let (entries, ids) = admitted(&store, 1).await;
    journal::begin(&store, vec![entries.begin(ids[0], 1)]).await;
    journal::end(&store, vec![entries.end(ids[0], 1, Ended::Withdrawn)]).await;
    assert_eq!(seed::state(&store, ids[0]).await, DeliveryState::Pending);
    assert_eq!(seed::row(&store, ids[0]).await.settled_at_ms, None);
    assert_eq!(seed::outcomes(&store, ids[0]).await, [(1, "withdrawn".to_owned())]);
    // The number of the withdrawn attempt is used up.
    journal::begin(&store, vec![entries.begin(ids[0], 2)]).await;
    assert_eq!(seed::ledger(&store, entries.campaign_id).await.sending, 1);
}

async fn the_next_attempt_may_share_a_batch_with_the_last_end(store: Store) {
    let (entries, ids) = admitted(&store, 1).await;
    journal::begin(&store, vec![entries.begin(ids[0], 1)]).await;
    let batch = JournalBatch {
        begins: vec![entries.begin(ids[0], 2)],
        ends: vec![entries.end(ids[0], 1, journal::deferred())],
        ..JournalBatch::default()
    };
    assert_eq!(journal::write(&store, batch.clone()).await.begun, [ids[0]]);
    assert_eq!(journal::write(&store, JournalBatch { repeated: true, ..batch }).await.begun, [ids[0]]);
    let row = seed::row(&store, ids[0]).await;
    assert_eq!((row.state.as_str(), row.n_attempts), ("sending", 2));
    assert_eq!(seed::ledger(&store, entries.campaign_id).await.sending, 1);
}

async fn an_end_without_a_begin_leaves_no_trace(store: Store) {
    let (entries, ids) = admitted(&store, 1).await;
    let ends =
        vec![entries.end(ids[0], 1, journal::accepted()), entries.end(DeliveryId::generate(), 1, journal::accepted())];
    assert_eq!(journal::end(&store, ends).await, Written::default());
    assert_eq!(seed::state(&store, ids[0]).await, DeliveryState::Pending);
    assert_eq!(seed::count(&store, "attempt_outcomes").await, 0);
}

async fn dismissals_settle_what_is_pending(store: Store) {
    let (entries, ids) = admitted(&store, 3).await;
    journal::begin(&store, vec![entries.begin(ids[2], 1)]).await;
    let dismissal = |delivery_id, event, reason, class| Dismissal {
        delivery_id,
        campaign_id: entries.campaign_id,
        event,
        reason,
        class,
        at_ms: NOW_MS,
    };
    let unavailable = Some(FailureClass::WhatsappUnavailable);
    let dismissals = vec![
        dismissal(ids[0], DeliveryEvent::Skipped, Reason::Expired, None),
        dismissal(ids[1], DeliveryEvent::Rejected, Reason::RenderFailed, unavailable),
        dismissal(ids[2], DeliveryEvent::Rejected, Reason::RenderFailed, unavailable),
    ];
    let batch = JournalBatch { dismissals, ..JournalBatch::default() };
    let expected = Counters { accepted: 3, skipped: 1, failed_unavailable: 1, sending: 1, ..Counters::default() };
    assert_eq!(journal::write(&store, batch.clone()).await.counters, [(entries.campaign_id, expected)]);
    assert_eq!(journal::write(&store, batch).await, Written::default());
    assert_eq!(seed::ledger(&store, entries.campaign_id).await, expected);
    let row = seed::row(&store, ids[0]).await;
    assert_eq!((row.state.as_str(), row.reason.as_deref(), row.n_attempts), ("skipped", Some("EXPIRED"), 0));
}

async fn places_and_limiters_are_saved(store: Store) {
    let (entries, _) = admitted(&store, 1).await;
    let Entries { session_id, campaign_id, .. } = entries;
    let save = |(saved_at_us, tat_us)| LaneSave { session_id, saved_at_us, tat_us, memory: Some("{}".to_owned()) };
    let batch = |saves: [(i64, i64); 2], done_below_seq| JournalBatch {
        lanes: saves.map(save).to_vec(),
        streams: vec![StreamSave { session_id, campaign_id, band: seed::band_of(campaign_id), done_below_seq }],
        ..JournalBatch::default()
    };
    let tat_us = 1_800_000_000_123_456;
    journal::write(&store, batch([(2, tat_us), (1, 1)], seed::place(1))).await;
    assert_eq!(store.lane(session_id).await.unwrap().unwrap().tat_us, Some(tat_us), "the latest one holds");
    assert_eq!(store.streams().await.unwrap()[0].done_below_seq, seed::place(1));
    journal::write(&store, batch([(0, 7), (1, 8)], seed::place(0))).await;
    assert_eq!(store.lanes().await.unwrap()[0].tat_us, Some(tat_us), "an older one does not replace it");
    journal::write(&store, batch([(2, 7), (3, 8)], seed::place(0))).await;
    assert_eq!(store.lanes().await.unwrap()[0].tat_us, Some(8));
    assert_eq!(store.streams().await.unwrap()[0].done_below_seq, seed::place(1), "what is settled stays settled");
}

async fn nothing_goes_back_in_line_of_a_cancelled_campaign(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let ids = seed::admit(&store, &seed::job(lane, campaign_id, 3)).await;
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(&store, ids.iter().map(|id| entries.begin(*id, 1)).collect()).await;
    seed::set_campaign_state(&store, campaign_id, CampaignState::Cancelled).await;
    let ended = [journal::deferred(), Ended::Withdrawn, journal::accepted()];
    journal::end(&store, ids.iter().zip(ended).map(|(id, ended)| entries.end(*id, 1, ended)).collect()).await;
    let expected = Counters { accepted: 3, cancelled: 2, sent: 1, ..Counters::default() };
    assert_eq!(seed::ledger(&store, campaign_id).await, expected);
}

async fn journals_at_once_wait_for_each_other(store: Store) {
    let (entries, ids) = admitted(&store, 60).await;
    let tasks = tokio_util::task::TaskTracker::new();
    let writers = (0..4_usize).map(|writer| {
        let (store, mut ids) = (store.clone(), ids.clone());
        // Each writer names the same deliveries in another order.
        ids.rotate_left(writer * 13);
        if writer % 2 == 1 {
            ids.reverse();
        }
        tasks.spawn(async move {
            for ids in ids.chunks(20) {
                let begins = ids.iter().map(|id| entries.begin(*id, 1)).collect();
                journal::write(&store, JournalBatch { begins, ..JournalBatch::default() }).await;
                journal::end(&store, ids.iter().map(|id| entries.end(*id, 1, journal::accepted())).collect()).await;
                let receipts = ids.iter().map(|id| entries.receipt(*id, ReceiptKind::Read)).collect();
                journal::receive(&store, receipts).await;
            }
        })
    });
    futures::future::try_join_all(writers).await.unwrap();
    let expected = Counters { accepted: 60, read: 60, ..Counters::default() };
    assert_eq!(seed::ledger(&store, entries.campaign_id).await, expected);
    assert_eq!(seed::count(&store, "attempts").await, 60);
}

async fn an_empty_batch_is_written(store: Store) {
    assert_eq!(journal::write(&store, JournalBatch::default()).await, Written::default());
}
