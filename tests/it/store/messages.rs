//! One message at a time: scheduled, listed, taken back, tried again.

use actiwapi_dispatcher::domain::campaign::{CampaignEvent, CampaignState, OnUnknown, Refused};
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId};
use actiwapi_dispatcher::domain::job::Job;
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::limits::{MESSAGES_COMPARED_MAX, MESSAGES_LOOKED_AT_MAX};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::message_control::{Cancelled, Retried};
use actiwapi_dispatcher::store::message_list::{MessageFilter, MessagePage};
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::with_writer;
use time::OffsetDateTime;

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, Lane, NOW_MS, NOW_US};

store_contract!(
    a_message_waits_for_its_time,
    a_scheduled_message_is_cancelled_once_and_for_all,
    a_message_is_cancelled_wherever_it_is,
    a_cancel_and_an_admission_at_once_agree,
    what_is_begun_is_not_cancelled,
    strangers_change_nothing,
    a_failed_message_goes_again,
    what_has_not_failed_does_not_go_again,
    a_completed_campaign_runs_again_for_one_message,
    lists_are_filtered_and_paged,
    a_list_looks_no_further_than_its_bound,
    an_export_goes_through_everything,
);

/// A single message in the outbox.
async fn queued(store: &Store, lane: Lane) -> Job {
    let job = seed::job(lane, CampaignId::DIRECT, 1);
    store.messages().insert(std::slice::from_ref(&job), NOW_MS).await.unwrap().unwrap();
    job
}

async fn scheduled(store: &Store, lane: Lane, at_ms: i64) -> Job {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).unwrap();
    let job = Job { not_before: Some(time), ..seed::job(lane, CampaignId::DIRECT, 1) };
    assert!(store.messages().schedule(&job, NOW_MS).await.unwrap());
    job
}

async fn word(store: &Store, lane: Lane, id: DeliveryId) -> &'static str {
    store.messages().find(lane.tenant_id, id).await.unwrap().expect("it is found").api_word()
}

async fn list(store: &Store, lane: Lane, filter: &MessageFilter) -> MessagePage {
    store.messages().list(lane.tenant_id, filter, PageRequest::default()).await.unwrap()
}

async fn a_message_waits_for_its_time(store: Store) {
    let lane = seed::lane(&store).await;
    let later = scheduled(&store, lane, NOW_MS + 2_000).await;
    let sooner = scheduled(&store, lane, NOW_MS + 1_000).await;
    let page = PageRequest::default();
    let shown = store.messages().scheduled(lane.tenant_id, &MessageFilter::default(), page).await.unwrap();
    let ids: Vec<_> = shown.items.iter().map(|message| (message.id, message.scheduled_at_ms)).collect();
    let id = |job: &Job| job.deliveries[0].id;
    assert_eq!(ids, [(id(&sooner), Some(NOW_MS + 1_000)), (id(&later), Some(NOW_MS + 2_000))]);
    assert_eq!(shown.total, 2);
    assert_eq!(word(&store, lane, id(&sooner)).await, "scheduled");
    assert_eq!(list(&store, lane, &MessageFilter::default()).await.total, 0);

    assert_eq!(store.release_scheduled(NOW_MS + 999, 10).await.unwrap(), 0);
    assert_eq!(store.outbox_next(10).await.unwrap(), []);
    assert_eq!(store.release_scheduled(NOW_MS + 1_000, 10).await.unwrap(), 1);
    assert_eq!(store.release_scheduled(NOW_MS + 1_000, 10).await.unwrap(), 0);
    let rows = store.outbox_next(10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.job.as_ref()).collect::<Vec<_>>(), [Some(&sooner)]);
    assert_eq!(word(&store, lane, id(&sooner)).await, "queued");
    assert_eq!(word(&store, lane, id(&later)).await, "scheduled");
    assert_eq!(list(&store, lane, &MessageFilter::default()).await.total, 1);
}

async fn a_scheduled_message_is_cancelled_once_and_for_all(store: Store) {
    let lane = seed::lane(&store).await;
    let job = scheduled(&store, lane, NOW_MS + 1_000).await;
    let id = job.deliveries[0].id;
    let cancel = async || store.messages().cancel(lane.tenant_id, id, NOW_MS).await.unwrap();
    assert_eq!(cancel().await, Cancelled::Done(CampaignId::DIRECT));
    assert_eq!(cancel().await, Cancelled::Nothing);
    assert_eq!(word(&store, lane, id).await, "cancelled");
    assert_eq!(store.release_scheduled(NOW_MS + 2_000, 10).await.unwrap(), 0);
    store.admit_jobs(&[&job], NOW_US).await.unwrap();
    assert_eq!(seed::state(&store, id).await, DeliveryState::Cancelled);
    assert_eq!((seed::count(&store, "outbox").await, seed::count(&store, "scheduled_messages").await), (0, 0));
    assert_eq!(cancel().await, Cancelled::Nothing);
    assert_eq!(seed::ledger(&store, CampaignId::DIRECT).await.cancelled, 1);
}

async fn a_message_is_cancelled_wherever_it_is(store: Store) {
    let lane = seed::lane(&store).await;
    let [in_outbox, handed_on, admitted] =
        [queued(&store, lane).await, queued(&store, lane).await, queued(&store, lane).await];
    store.outbox_hand_on(&[handed_on.deliveries[0].id.0], NOW_MS).await.unwrap();
    store.admit_jobs(&[&admitted], NOW_US).await.unwrap();
    for job in [&in_outbox, &handed_on, &admitted] {
        let id = job.deliveries[0].id;
        let cancelled = store.messages().cancel(lane.tenant_id, id, NOW_MS).await.unwrap();
        assert_eq!(cancelled, Cancelled::Done(CampaignId::DIRECT));
        assert_eq!(word(&store, lane, id).await, "cancelled");
    }
    let filter = MessageFilter { state: Some(DeliveryState::Cancelled), ..MessageFilter::default() };
    assert_eq!(list(&store, lane, &filter).await.total, 3);
    let admissions = store.admit_jobs(&[&in_outbox, &handed_on, &admitted], NOW_US).await.unwrap();
    assert!(admissions.iter().all(|admitted| admitted.refused.is_none()));
    for job in [&in_outbox, &handed_on, &admitted] {
        assert_eq!(seed::state(&store, job.deliveries[0].id).await, DeliveryState::Cancelled);
    }
    assert_eq!(list(&store, lane, &filter).await.total, 3);
    assert_eq!(seed::ledger(&store, CampaignId::DIRECT).await.cancelled, 3);
}

/// Whichever is first: what was answered as cancelled is cancelled.
async fn a_cancel_and_an_admission_at_once_agree(store: Store) {
    let lane = seed::lane(&store).await;
    for _ in 0..20 {
        let job = queued(&store, lane).await;
        let id = job.deliveries[0].id;
        let (messages, jobs) = (store.messages(), [&job]);
        let (cancelled, admitted) =
            tokio::join!(messages.cancel(lane.tenant_id, id, NOW_MS), store.admit_jobs(&jobs, NOW_US));
        admitted.unwrap();
        assert_eq!(cancelled.unwrap(), Cancelled::Done(CampaignId::DIRECT));
        assert_eq!(seed::state(&store, id).await, DeliveryState::Cancelled);
    }
    seed::ledger(&store, CampaignId::DIRECT).await;
}

async fn what_is_begun_is_not_cancelled(store: Store) {
    let lane = seed::lane(&store).await;
    let id = seed::admit(&store, &seed::job(lane, CampaignId::DIRECT, 1)).await[0];
    let entries = Entries { session_id: lane.session_id, campaign_id: CampaignId::DIRECT, at_ms: NOW_MS };
    journal::begin(&store, vec![entries.begin(id, 1)]).await;
    let cancel = async || store.messages().cancel(lane.tenant_id, id, NOW_MS).await.unwrap();
    assert_eq!(cancel().await, Cancelled::Nothing);
    assert_eq!(seed::state(&store, id).await, DeliveryState::Sending);
    journal::end(&store, vec![entries.end(id, 1, journal::accepted())]).await;
    assert_eq!(cancel().await, Cancelled::Nothing);
    assert_eq!(seed::state(&store, id).await, DeliveryState::Sent);
}

async fn strangers_change_nothing(store: Store) {
    let (lane, stranger) = (seed::lane(&store).await, seed::lane(&store).await);
    let (one, two) = (queued(&store, lane).await, scheduled(&store, lane, NOW_MS + 1).await);
    let three = seed::admit(&store, &seed::job(lane, CampaignId::DIRECT, 1)).await[0];
    for id in [one.deliveries[0].id, two.deliveries[0].id, three] {
        let messages = store.messages();
        assert_eq!(messages.cancel(stranger.tenant_id, id, NOW_MS).await.unwrap(), Cancelled::Nothing);
        assert_eq!(messages.retry(stranger.tenant_id, id, NOW_MS).await.unwrap(), Retried::NotFound);
        assert_eq!(messages.find(stranger.tenant_id, id).await.unwrap(), None);
        assert_ne!(word(&store, lane, id).await, "cancelled");
    }
    let own = MessageFilter { session_id: Some(lane.session_id), ..MessageFilter::default() };
    assert_eq!(list(&store, stranger, &own).await.total, 0);
    let page = PageRequest::default();
    assert_eq!(store.messages().scheduled(stranger.tenant_id, &own, page).await.unwrap().total, 0);
}

/// A delivery whose first attempt was refused.
async fn failed(store: &Store, lane: Lane, campaign_id: CampaignId) -> (DeliveryId, Entries) {
    let id = seed::admit(store, &seed::job(lane, campaign_id, 1)).await[0];
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(store, vec![entries.begin(id, 1)]).await;
    journal::end(store, vec![entries.end(id, 1, journal::rejected_by_limit())]).await;
    (id, entries)
}

async fn a_failed_message_goes_again(store: Store) {
    let lane = seed::lane(&store).await;
    let (id, entries) = failed(&store, lane, CampaignId::DIRECT).await;
    let retry = async || store.messages().retry(lane.tenant_id, id, NOW_MS).await.unwrap();
    assert_eq!(retry().await, Retried::Done(lane.session_id, CampaignId::DIRECT));
    assert_eq!(retry().await, Retried::NotFailed(DeliveryState::Pending));
    let row = seed::row(&store, id).await;
    assert_eq!((row.state.as_str(), row.n_attempts, row.reason, row.failure_class), ("pending", 1, None, None));
    journal::begin(&store, vec![entries.begin(id, 2)]).await;
    journal::end(&store, vec![entries.end(id, 2, journal::accepted())]).await;
    let counters = seed::ledger(&store, CampaignId::DIRECT).await;
    assert_eq!((counters.accepted, counters.sent, counters.failed_limit), (1, 1, 0));
}

async fn what_has_not_failed_does_not_go_again(store: Store) {
    let lane = seed::lane(&store).await;
    let retry = async |id| store.messages().retry(lane.tenant_id, id, NOW_MS).await.unwrap();
    let id = seed::admit(&store, &seed::job(lane, CampaignId::DIRECT, 1)).await[0];
    assert_eq!(retry(id).await, Retried::NotFailed(DeliveryState::Pending));
    let entries = Entries { session_id: lane.session_id, campaign_id: CampaignId::DIRECT, at_ms: NOW_MS };
    journal::begin(&store, vec![entries.begin(id, 1)]).await;
    journal::end(&store, vec![entries.end(id, 1, journal::unknown())]).await;
    assert_eq!(retry(id).await, Retried::NotFailed(DeliveryState::Unknown));
    let (id, _) = failed(&store, lane, CampaignId::DIRECT).await;
    with_writer!(store.pool(), |db| {
        let query =
            sqlx::query("UPDATE deliveries SET reason = 'RECIPIENT_UNREACHABLE' WHERE delivery_id = $1").bind(id.0);
        query.execute(db).await.map(drop)
    })
    .unwrap();
    assert_eq!(retry(id).await, Retried::Final);
    assert_eq!(seed::state(&store, id).await, DeliveryState::Failed);
    assert_eq!(retry(DeliveryId::generate()).await, Retried::NotFound);
}

async fn a_completed_campaign_runs_again_for_one_message(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    seed::recipients(&store, campaign_id, &[lane], 0).await;
    let (id, _) = failed(&store, lane, campaign_id).await;
    let retry = async || store.messages().retry(lane.tenant_id, id, NOW_MS).await.unwrap();
    seed::set_campaign_state(&store, campaign_id, CampaignState::Cancelled).await;
    assert_eq!(
        retry().await,
        Retried::Refused(Refused { from: CampaignState::Cancelled, event: CampaignEvent::Reopened })
    );
    assert_eq!(seed::state(&store, id).await, DeliveryState::Failed);
    seed::set_campaign_state(&store, campaign_id, CampaignState::Completed).await;
    assert_eq!(retry().await, Retried::Done(lane.session_id, campaign_id));
    assert_eq!(store.campaign_state(campaign_id).await.unwrap(), Some(CampaignState::Running));
    assert_eq!(seed::ledger(&store, campaign_id).await.pending, 1);
}

async fn lists_are_filtered_and_paged(store: Store) {
    let lane = seed::lane(&store).await;
    let other = seed::another_lane(&store, lane.tenant_id).await;
    let campaign_id = CampaignId::generate();
    let admit = async |lane, campaign_id, n, at_ms: i64| {
        let job = seed::job(lane, campaign_id, n);
        store.admit_jobs(&[&job], at_ms * 1_000).await.unwrap();
        job.deliveries.into_iter().map(|delivery| delivery.id).collect::<Vec<_>>()
    };
    let first = admit(lane, campaign_id, 3, NOW_MS).await;
    let second = admit(other, campaign_id, 2, NOW_MS + 1).await;
    let third = admit(lane, CampaignId::DIRECT, 1, NOW_MS + 2).await;
    let new = queued(&store, other).await.deliveries.remove(0).id;
    let newest_first = |mut ids: Vec<DeliveryId>| {
        ids.sort_unstable();
        ids.reverse();
        ids
    };
    let all: Vec<_> = [vec![new], third.clone(), newest_first(second.clone()), newest_first(first.clone())].concat();

    let found = async |filter: &MessageFilter| {
        let page = list(&store, lane, filter).await;
        assert_eq!(page.total, page.items.len() as u64, "all fit on one page");
        assert_eq!(page.looked_back_to_ms, None);
        page.items.into_iter().map(|message| message.id).collect::<Vec<_>>()
    };
    let any = MessageFilter::default;
    assert_eq!(found(&any()).await, all);
    let of_session = MessageFilter { session_id: Some(lane.session_id), ..any() };
    assert_eq!(found(&of_session).await, [third.clone(), newest_first(first.clone())].concat());
    let of_campaign = MessageFilter { campaign_id: Some(campaign_id), ..any() };
    assert_eq!(found(&of_campaign).await, all[2..]);
    let both = MessageFilter { campaign_id: Some(campaign_id), session_id: Some(other.session_id), ..any() };
    assert_eq!(found(&both).await, newest_first(second.clone()));
    let recipient = Recipient::from_stored("919800000001");
    let to = MessageFilter { recipient: recipient.clone(), ..any() };
    assert_eq!(found(&to).await, [second[1], first[1]]);
    let to = MessageFilter { recipient, session_id: Some(lane.session_id), ..any() };
    assert_eq!(found(&to).await, [first[1]]);
    let time = MessageFilter { from_ms: NOW_MS + 1, to_ms: NOW_MS + 1, ..any() };
    assert_eq!(found(&time).await, newest_first(second.clone()));
    store.messages().cancel(lane.tenant_id, second[0], NOW_MS).await.unwrap();
    store.messages().cancel(lane.tenant_id, new, NOW_MS).await.unwrap();
    let cancelled = MessageFilter { state: Some(DeliveryState::Cancelled), ..any() };
    assert_eq!(found(&cancelled).await, [new, second[0]]);
    let cancelled = MessageFilter { campaign_id: Some(campaign_id), ..cancelled };
    assert_eq!(found(&cancelled).await, [second[0]]);
    let sent = MessageFilter { state: Some(DeliveryState::Sent), ..any() };
    assert_eq!(found(&sent).await, []);

    let mut paged = vec![];
    for page in 1..=4 {
        let page = PageRequest::new(page, 2).unwrap();
        let page = store.messages().list(lane.tenant_id, &any(), page).await.unwrap();
        assert_eq!(page.total, 7);
        paged.extend(page.items.into_iter().map(|message| message.id));
    }
    assert_eq!(paged, all);
}

async fn a_list_looks_no_further_than_its_bound(store: Store) {
    let lane = seed::lane(&store).await;
    let n = u64::try_from(MESSAGES_LOOKED_AT_MAX).unwrap();
    for (at, n) in [(NOW_MS, 2), (NOW_MS + 1, n - 1)] {
        store.admit_jobs(&[&seed::job(lane, CampaignId::generate(), n)], at * 1_000).await.unwrap();
    }
    let page = list(&store, lane, &MessageFilter::default()).await;
    assert_eq!((page.total, page.items.len(), page.looked_back_to_ms), (n, 20, Some(NOW_MS)));
    let (state, n_compared) = (Some(DeliveryState::Pending), u64::try_from(MESSAGES_COMPARED_MAX).unwrap());
    let page = list(&store, lane, &MessageFilter { state, ..MessageFilter::default() }).await;
    assert_eq!((page.total, page.looked_back_to_ms), (n_compared, Some(NOW_MS + 1)));
    // The next list ends where the first one did.
    let page = list(&store, lane, &MessageFilter { state, to_ms: NOW_MS, ..MessageFilter::default() }).await;
    assert_eq!((page.total, page.looked_back_to_ms), (2, None));
}

async fn an_export_goes_through_everything(store: Store) {
    let lane = seed::lane(&store).await;
    let mut expected = vec![];
    // More than one step, and more than one step of the same moment.
    for (at, n) in [(NOW_MS, 1_200), (NOW_MS + 1, 3), (NOW_MS + 2, 700)] {
        let job = seed::job(lane, CampaignId::generate(), n);
        store.admit_jobs(&[&job], at * 1_000).await.unwrap();
        expected.extend(job.deliveries.iter().map(|delivery| delivery.id));
    }
    let export = async |filter: &MessageFilter| {
        let (mut ids, mut after) = (vec![], None);
        loop {
            let (rows, next) = store.messages().export_all(lane.tenant_id, filter, after).await.unwrap();
            ids.extend(rows.into_iter().map(|message| message.id));
            let Some(cursor) = next else { break ids };
            after = Some(cursor);
        }
    };
    let mut exported = export(&MessageFilter::default()).await;
    assert_eq!(exported.len(), expected.len());
    exported.sort_unstable();
    expected.sort_unstable();
    assert_eq!(exported, expected);
    let filter = MessageFilter { to_ms: NOW_MS + 1, from_ms: NOW_MS + 1, ..MessageFilter::default() };
    assert_eq!(export(&filter).await.len(), 3);
    let filter = MessageFilter { recipient: Recipient::from_stored("919800000002"), ..MessageFilter::default() };
    assert_eq!(export(&filter).await.len(), 3);
    let filter = MessageFilter { state: Some(DeliveryState::Sent), ..MessageFilter::default() };
    assert_eq!(export(&filter).await, []);
}
