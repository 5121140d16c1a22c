//! Deliveries that came to an end, taken up again by a person: counted, written down, and safe to break off.

use std::time::Duration;

use actiwapi_dispatcher::domain::campaign::{CampaignState, Counters};
use actiwapi_dispatcher::domain::failure::Reason;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, SessionId, TenantId, UserId};
use actiwapi_dispatcher::domain::recall::RecallKind;
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::notice::Notice;
use actiwapi_dispatcher::service::campaign_recall::Resolution;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::heads::{Head, HeadRequest};
use actiwapi_dispatcher::store::journal::Ended;
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::recalls::{Asked, NewRecall, Progress};
use actiwapi_dispatcher::with_writer;
use serde_json::json;

use super::front::{Front, conflict, fields};
use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, NOW_MS, NOW_US};

store_contract!(
    failed_deliveries_go_back_to_the_end,
    what_is_final_for_the_recipient_stays_failed,
    only_the_given_reasons_are_tried_again,
    a_completed_campaign_runs_again_until_all_is_settled,
    unknown_deliveries_were_sent,
    unknown_deliveries_go_back,
    states_that_refuse_and_foreign_campaigns,
    a_recall_that_is_broken_off_is_finished_by_the_daemon,
    two_who_take_steps_move_each_delivery_once,
    a_recall_that_always_fails_stops_no_other,
    what_is_recalled_is_written_down,
);

const PERSON: UserId = UserId(uuid::Uuid::from_u128(9));
const DONE: fn(i64) -> Progress = |n_moved| Progress { n_moved, is_done: true };

fn actor() -> Actor {
    Actor::user(PERSON)
}

/// A running campaign over two sessions whose deliveries ended as `endings` say, in order of admission.
struct Campaign {
    tenant_id: TenantId,
    id: CampaignId,
    /// In order of recipients, each with its session.
    deliveries: Vec<(DeliveryId, SessionId)>,
}

async fn ended(front: &Front, endings: &[fn() -> Ended]) -> Campaign {
    let tenant_id = front.tenant().await;
    let sessions = [front.connected_session(tenant_id).await, front.connected_session(tenant_id).await];
    let id = front.campaign(tenant_id, &sessions, endings.len() as u64).await;
    front.services.campaigns.start(tenant_id, id).await.unwrap();
    let expansion = front.store.expand_campaign(id, 0, 10_000).await.unwrap();
    let mut deliveries = Vec::new();
    for job in &expansion.jobs {
        front.store.admit_jobs(&[job], NOW_US).await.unwrap();
        deliveries.extend(job.deliveries.iter().map(|delivery| (delivery.id, job.session_id)));
    }
    front.store.outbox_remove(&[id.0]).await.unwrap();
    for (place, (delivery_id, session_id)) in deliveries.iter().enumerate() {
        let entries = Entries { session_id: *session_id, campaign_id: id, at_ms: NOW_MS };
        journal::begin(&front.store, vec![entries.begin(*delivery_id, 1)]).await;
        journal::end(&front.store, vec![entries.end(*delivery_id, 1, endings[place]())]).await;
    }
    Campaign { tenant_id, id, deliveries }
}

async fn retry(front: &Front, of: &Campaign, reasons: Option<&[&str]>) -> Progress {
    let reasons = reasons.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
    front.services.campaigns.retry_failed(of.tenant_id, of.id, reasons, (PERSON, &actor())).await.unwrap()
}

async fn resolve(front: &Front, of: &Campaign, to: Resolution) -> Progress {
    front.services.campaigns.resolve_unknown(of.tenant_id, of.id, to, (PERSON, &actor())).await.unwrap()
}

async fn state_of(front: &Front, of: &Campaign) -> (CampaignState, Option<i64>) {
    let campaign = front.store.campaigns().find(of.tenant_id, of.id).await.unwrap().unwrap();
    (campaign.state, campaign.finished_at_ms)
}

async fn heads(front: &Front, of: &Campaign, session_id: SessionId) -> Vec<Head> {
    let band = seed::band_of(of.id);
    let request = HeadRequest { session_id, campaign_id: of.id, band, after_seq: -1, limit: 1_000 };
    let heads = front.store.fetch_heads(&[request]).await.unwrap().remove(0);
    assert_eq!(front.store.streams_of_campaign(of.id).await.unwrap()[0].band, band, "all are in one stream");
    heads
}

async fn failed_deliveries_go_back_to_the_end(store: Store) {
    let mut front = Front::new(store);
    let by_limit = journal::rejected_by_limit;
    let of = ended(&front, &[by_limit, by_limit, journal::accepted, by_limit, by_limit]).await;
    front.notices();
    assert_eq!(retry(&front, &of, None).await, DONE(4));
    assert_eq!(front.notices(), [Notice::CampaignChanged(of.id)]);
    let expected = Counters { accepted: 5, pending: 4, sent: 1, ..Counters::default() };
    assert_eq!(seed::ledger(&front.store, of.id).await, expected);
    assert_eq!(front.store.campaign_reasons(of.tenant_id, of.id).await.unwrap(), []);
    for session_id in [of.deliveries[0].1, of.deliveries[4].1] {
        let heads = heads(&front, &of, session_id).await;
        assert_eq!(heads.len(), 2);
        let of_session = of.deliveries.iter().filter(|row| row.1 == session_id);
        let n_places = i64::try_from(of_session.clone().count()).unwrap();
        assert!(heads.iter().all(|head| seed::place(n_places) <= head.seq), "behind all that was read: {heads:?}");
        assert!(heads.iter().all(|head| (head.n_attempts, head.n_attempts_before, head.due_at_ms) == (1, 1, 0)));
        let order: Vec<DeliveryId> = heads.iter().map(|head| head.delivery_id).collect();
        let mut expected: Vec<DeliveryId> = of_session.map(|row| row.0).collect();
        expected.retain(|id| order.contains(id));
        assert_eq!(order, expected, "in the order they had");
    }
    let row = seed::row(&front.store, of.deliveries[0].0).await;
    assert_eq!((row.reason, row.failure_class, row.provider_code, row.settled_at_ms), (None, None, None, None));
    // The next attempt has a number of its own, and the provider's word on it is the one that counts.
    let (id, session_id) = of.deliveries[0];
    let entries = Entries { session_id, campaign_id: of.id, at_ms: NOW_MS + 9 };
    journal::begin(&front.store, vec![entries.begin(id, 2)]).await;
    journal::end(&front.store, vec![entries.end(id, 2, journal::accepted())]).await;
    assert_eq!(seed::row(&front.store, id).await.sent_at_ms, Some(NOW_MS + 9));
}

async fn what_is_final_for_the_recipient_stays_failed(store: Store) {
    let mut front = Front::new(store);
    let of = ended(&front, &[journal::rejected, journal::rejected_by_limit, journal::rejected]).await;
    let reasons = front.store.campaign_reasons(of.tenant_id, of.id).await.unwrap();
    assert_eq!(reasons, [("RECIPIENT_UNREACHABLE".to_owned(), 2), ("THROUGHPUT".to_owned(), 1)]);
    assert_eq!(retry(&front, &of, None).await, DONE(1));
    let counters = seed::ledger(&front.store, of.id).await;
    assert_eq!((counters.failed_unavailable, counters.failed_limit, counters.pending), (2, 0, 1));
    front.notices();
    assert_eq!(retry(&front, &of, None).await, DONE(0), "nothing is left");
    assert_eq!(front.notices(), [], "nobody is told of nothing");
}

async fn only_the_given_reasons_are_tried_again(store: Store) {
    let front = Front::new(store);
    let of = ended(&front, &[journal::rejected_by_limit, journal::rejected_by_limit]).await;
    assert_eq!(retry(&front, &of, Some(&["NETWORK"])).await, DONE(0));
    let bad = ["THROUGHPUT", "RECIPIENT_OPTED_OUT", "SOMETHING"].map(str::to_owned).to_vec();
    let by = (PERSON, &actor());
    let refused = front.services.campaigns.retry_failed(of.tenant_id, of.id, Some(bad), by).await;
    assert_eq!(fields(refused), ["reasons[1]", "reasons[2]"]);
    let refused = front.services.campaigns.retry_failed(of.tenant_id, of.id, Some(vec![]), by).await;
    assert_eq!(fields(refused), ["reasons"]);
    let endless = vec!["THROUGHPUT".to_owned(); Reason::ALL.len() + 1];
    let refused = front.services.campaigns.retry_failed(of.tenant_id, of.id, Some(endless), by).await;
    assert_eq!(fields(refused), ["reasons"]);
    assert_eq!(retry(&front, &of, Some(&["NETWORK", "THROUGHPUT"])).await, DONE(2));
}

async fn a_completed_campaign_runs_again_until_all_is_settled(store: Store) {
    let front = Front::new(store);
    let of = ended(&front, &[journal::rejected_by_limit, journal::accepted]).await;
    assert!(front.store.finish_if_settled(of.id, NOW_MS + 1).await.unwrap());
    assert_eq!(state_of(&front, &of).await, (CampaignState::Completed, Some(NOW_MS + 1)));
    // Asked, and no step taken: nothing is pending yet, and it must not be completed again.
    let new = new_recall(&of, RecallKind::RetryFailed);
    assert_eq!(front.store.ask_recall(&new).await.unwrap(), Asked::Begun);
    assert_eq!(state_of(&front, &of).await, (CampaignState::Running, None));
    assert!(!front.store.finish_if_settled(of.id, NOW_MS + 2).await.unwrap());
    front.clock.advance(Duration::from_secs(11));
    front.services.campaigns.finish_recalls().await.unwrap();
    assert!(!front.store.finish_if_settled(of.id, NOW_MS + 3).await.unwrap());
    let (id, session_id) = of.deliveries[0];
    let entries = Entries { session_id, campaign_id: of.id, at_ms: NOW_MS };
    journal::begin(&front.store, vec![entries.begin(id, 2)]).await;
    journal::end(&front.store, vec![entries.end(id, 2, journal::accepted())]).await;
    assert!(front.store.finish_if_settled(of.id, NOW_MS + 4).await.unwrap());
    assert_eq!(state_of(&front, &of).await, (CampaignState::Completed, Some(NOW_MS + 4)));
}

async fn unknown_deliveries_were_sent(store: Store) {
    let front = Front::new(store);
    let of = ended(&front, &[journal::unknown, journal::accepted, journal::unknown, journal::rejected]).await;
    assert!(front.store.finish_if_settled(of.id, NOW_MS + 1).await.unwrap());
    assert_eq!(resolve(&front, &of, Resolution::Sent).await, DONE(2));
    let expected = Counters { accepted: 4, sent: 3, failed_unavailable: 1, ..Counters::default() };
    assert_eq!(seed::ledger(&front.store, of.id).await, expected);
    assert_eq!(state_of(&front, &of).await.0, CampaignState::Completed, "nothing is to be sent");
    // A receipt still says more.
    let (id, session_id) = of.deliveries[0];
    let entries = Entries { session_id, campaign_id: of.id, at_ms: NOW_MS };
    journal::receive(&front.store, vec![entries.receipt(id, ReceiptKind::Read)]).await;
    assert_eq!(seed::ledger(&front.store, of.id).await.read, 1);
}

async fn unknown_deliveries_go_back(store: Store) {
    let front = Front::new(store);
    let of = ended(&front, &[journal::unknown, journal::unknown, journal::rejected_by_limit]).await;
    assert!(front.store.finish_if_settled(of.id, NOW_MS + 1).await.unwrap());
    assert_eq!(resolve(&front, &of, Resolution::Retry).await, DONE(2));
    let expected = Counters { accepted: 3, pending: 2, failed_limit: 1, ..Counters::default() };
    assert_eq!(seed::ledger(&front.store, of.id).await, expected);
    assert_eq!(state_of(&front, &of).await, (CampaignState::Running, None));
    assert_eq!(resolve(&front, &of, Resolution::Retry).await, DONE(0));
}

async fn states_that_refuse_and_foreign_campaigns(store: Store) {
    let front = Front::new(store);
    let of = ended(&front, &[journal::rejected_by_limit, journal::unknown]).await;
    let (thief, by) = (front.tenant().await, (PERSON, &actor()));
    let campaigns = &front.services.campaigns;
    let stolen = campaigns.retry_failed(thief, of.id, None, by).await;
    assert!(matches!(stolen, Err(Error::NotFound(_))), "{stolen:?}");
    let stolen = campaigns.resolve_unknown(thief, of.id, Resolution::Sent, by).await;
    assert!(matches!(stolen, Err(Error::NotFound(_))), "{stolen:?}");
    for state in [CampaignState::Draft, CampaignState::Scheduled, CampaignState::Cancelled, CampaignState::Failed] {
        seed::set_campaign_state(&front.store, of.id, state).await;
        conflict(campaigns.retry_failed(of.tenant_id, of.id, None, by).await);
        conflict(campaigns.resolve_unknown(of.tenant_id, of.id, Resolution::Retry, by).await);
    }
    seed::set_campaign_state(&front.store, of.id, CampaignState::Cancelled).await;
    assert_eq!(resolve(&front, &of, Resolution::Sent).await, DONE(1), "what was sent was sent");
    seed::set_campaign_state(&front.store, of.id, CampaignState::Paused).await;
    assert_eq!(front.store.ask_recall(&new_recall(&of, RecallKind::RetryFailed)).await.unwrap(), Asked::Begun);
    let busy = campaigns.retry_failed(of.tenant_id, of.id, None, by).await;
    assert_eq!(conflict(busy), "The campaign's messages are being moved already.");
    // Cancelled between asking and doing: nothing may become pending any more.
    seed::set_campaign_state(&front.store, of.id, CampaignState::Cancelled).await;
    assert_eq!(front.store.step_recall(of.id, NOW_MS).await.unwrap(), Some(DONE(0)));
    assert_eq!(seed::ledger(&front.store, of.id).await.pending, 0);
}

fn new_recall(of: &Campaign, kind: RecallKind) -> NewRecall {
    NewRecall {
        tenant_id: of.tenant_id,
        campaign_id: of.id,
        kind,
        reasons: vec![Reason::Throughput],
        user_id: PERSON,
        request_id: None,
        at_ms: NOW_MS,
    }
}

async fn a_recall_that_is_broken_off_is_finished_by_the_daemon(store: Store) {
    let front = Front::new(store);
    let of = ended(&front, &[journal::rejected_by_limit as fn() -> Ended; 6]).await;
    assert_eq!(front.store.ask_recall(&new_recall(&of, RecallKind::RetryFailed)).await.unwrap(), Asked::Begun);
    // One stream is done, and the process dies.
    let first = front.store.step_recall(of.id, NOW_MS).await.unwrap();
    assert_eq!(first, Some(Progress { n_moved: 3, is_done: false }));
    // What was put back fails once more before the others are done; it is not taken up again by the same recall.
    let back = heads(&front, &of, of.deliveries[0].1).await;
    let back = if back.is_empty() { heads(&front, &of, of.deliveries[5].1).await } else { back };
    for head in &back {
        let entries = Entries { session_id: head.session_id, campaign_id: of.id, at_ms: NOW_MS };
        journal::begin(&front.store, vec![entries.begin(head.delivery_id, 2)]).await;
        journal::end(&front.store, vec![entries.end(head.delivery_id, 2, journal::rejected_by_limit())]).await;
    }
    assert_eq!(front.store.open_recalls(NOW_MS).await.unwrap(), [], "whoever asked may still be at it");
    front.clock.advance(Duration::from_secs(11));
    front.services.campaigns.finish_recalls().await.unwrap();
    let expected = Counters { accepted: 6, pending: 3, failed_limit: 3, ..Counters::default() };
    assert_eq!(seed::ledger(&front.store, of.id).await, expected);
    assert_eq!(seed::count(&front.store, "recalls").await + seed::count(&front.store, "recall_streams").await, 0);
    assert_eq!(front.store.step_recall(of.id, NOW_MS).await.unwrap(), None);
}

async fn a_recall_that_always_fails_stops_no_other(store: Store) {
    let front = Front::new(store);
    for n in [2, 3] {
        let of = ended(&front, &vec![journal::rejected_by_limit as fn() -> Ended; n]).await;
        assert_eq!(front.store.ask_recall(&new_recall(&of, RecallKind::RetryFailed)).await.unwrap(), Asked::Begun);
        if n == 2 {
            let text = "UPDATE recalls SET reasons = 'what a newer version wrote', asked_at_ms = asked_at_ms - 1";
            with_writer!(front.store.pool(), |db| sqlx::query(text).execute(db).await.map(drop)).unwrap();
        }
    }
    front.clock.advance(Duration::from_secs(11));
    let failed = front.services.campaigns.finish_recalls().await;
    assert!(matches!(failed, Err(Error::Store(_))), "{failed:?}");
    assert_eq!(seed::count(&front.store, "deliveries WHERE state = 'pending'").await, 3);
}

async fn two_who_take_steps_move_each_delivery_once(store: Store) {
    let front = Front::new(store);
    let of = ended(&front, &[journal::rejected_by_limit as fn() -> Ended; 8]).await;
    assert_eq!(front.store.ask_recall(&new_recall(&of, RecallKind::RetryFailed)).await.unwrap(), Asked::Begun);
    let work = async || while front.store.step_recall(of.id, NOW_MS).await.unwrap().is_some() {};
    tokio::join!(work(), work());
    let expected = Counters { accepted: 8, pending: 8, ..Counters::default() };
    assert_eq!(seed::ledger(&front.store, of.id).await, expected);
    let moved = "audit_log WHERE action = 'campaign.retry_failed.done' AND details = '{\"moved\":8}'";
    assert_eq!(seed::count(&front.store, moved).await, 1);
}

async fn what_is_recalled_is_written_down(store: Store) {
    let front = Front::new(store);
    let of = ended(&front, &[journal::unknown, journal::unknown]).await;
    resolve(&front, &of, Resolution::Sent).await;
    let deeds = front.store.audit_log(PageRequest::default()).await.unwrap().items;
    let shown: Vec<_> = deeds.iter().map(|record| (record.deed.action.as_str(), &record.deed.details)).collect();
    let (moved, asked) = (json!({"moved": 2}), json!({"reasons": []}));
    assert_eq!(shown, [("campaign.resolve_sent.done", &moved), ("campaign.resolve_sent.asked", &asked)]);
    assert!(deeds.iter().all(|record| record.actor == actor() && record.deed.tenant_id == Some(of.tenant_id)));
    assert!(deeds.iter().all(|record| record.deed.subject == of.id.to_string()));
}
