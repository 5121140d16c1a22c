//! Contracts of days and requests: what is added up is what is counted from the rows, whoever dies in between.

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::day::{DAY_MS, DayCounts, day_of};
use actiwapi_dispatcher::domain::id::{DeliveryId, TenantId};
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::analytics::TenantDays;
use actiwapi_dispatcher::store::analytics::campaigns::CampaignDays;
use actiwapi_dispatcher::store::analytics::messages::MessageDays;
use actiwapi_dispatcher::store::analytics::request_log::RequestFilter;
use actiwapi_dispatcher::store::analytics::requests::{RequestCounts, RequestEntry, Requester};
use actiwapi_dispatcher::store::page::PageRequest;
use uuid::Uuid;

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, Lane, NOW_MS};

store_contract!(
    a_message_stays_on_the_day_on_which_it_was_sent,
    nothing_is_lost_or_added_twice_when_adding_up_is_cut_off,
    two_who_add_up_at_once_add_up_once,
    days_are_filtered_and_belong_to_their_tenant,
    campaigns_tell_what_came_of_them,
    requests_are_counted_and_listed,
    contacts_are_noted_where_they_change,
);

/// The beginning of the day of all tests.
const TODAY: i64 = NOW_MS - NOW_MS % DAY_MS;

fn days(tenant_id: TenantId, first: i64, last: i64) -> TenantDays {
    TenantDays { tenant_id, first: day_of(TODAY) + first, last: day_of(TODAY) + last }
}

fn messages(days: TenantDays) -> MessageDays {
    MessageDays { days, session_id: None, campaign_id: None }
}

async fn send(
    store: &Store,
    (lane, campaign_id): (Lane, actiwapi_dispatcher::domain::id::CampaignId),
    id: DeliveryId,
    at_ms: i64,
) {
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms };
    journal::begin(store, vec![entries.begin(id, 1)]).await;
    journal::end(store, vec![entries.end(id, 1, journal::accepted())]).await;
}

async fn a_message_stays_on_the_day_on_which_it_was_sent(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let ids = seed::admit(&store, &seed::job(lane, campaign_id, 4)).await;
    seed::days(&store).await;
    let by_day = async || {
        let of = messages(days(lane.tenant_id, -10, 10));
        let by_day = store.analytics().messages_by_day(&of).await.unwrap();
        by_day.into_iter().map(|(day, counts)| (day - day_of(TODAY), counts)).collect::<Vec<_>>()
    };
    assert_eq!(by_day().await, [(0, DayCounts { waiting: 4, ..DayCounts::default() })]);
    send(&store, (lane, campaign_id), ids[0], TODAY + DAY_MS - 1).await;
    send(&store, (lane, campaign_id), ids[1], TODAY + DAY_MS).await;
    assert_eq!(by_day().await[0].1.waiting, 4, "not added up yet");
    seed::days(&store).await;
    let sent = DayCounts { sent: 1, ..DayCounts::default() };
    assert_eq!(by_day().await, [(0, DayCounts { waiting: 2, ..sent }), (1, sent)]);
    // Reports that come days later change how a message stands, and not its day.
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: TODAY + 5 * DAY_MS };
    journal::receive(&store, vec![entries.receipt(ids[0], ReceiptKind::Read)]).await;
    journal::receive(&store, vec![entries.receipt(ids[1], ReceiptKind::Failed)]).await;
    // One that nobody knew to be sent belongs to the day on which that is told.
    journal::begin(&store, vec![Entries { at_ms: TODAY + DAY_MS, ..entries }.begin(ids[2], 1)]).await;
    journal::end(&store, vec![Entries { at_ms: TODAY + DAY_MS, ..entries }.end(ids[2], 1, journal::unknown())]).await;
    seed::days(&store).await;
    let failed = DayCounts { failed_limit: 1, unknown: 1, ..DayCounts::default() };
    assert_eq!(by_day().await, [(0, DayCounts { waiting: 1, read: 1, ..DayCounts::default() }), (1, failed)]);
    journal::receive(&store, vec![entries.receipt(ids[2], ReceiptKind::Delivered)]).await;
    seed::days(&store).await;
    let of_that_day = by_day().await.into_iter().find(|(day, _)| *day == 5);
    assert_eq!(of_that_day, Some((5, DayCounts { delivered: 1, ..DayCounts::default() })));
    assert_eq!(seed::ledger(&store, campaign_id).await.accepted, 4);
}

/// Each round something moves, and whoever adds it up dies a little later than the one before.
async fn nothing_is_lost_or_added_twice_when_adding_up_is_cut_off(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let mut n_cut_off = 0;
    for round in 0..60 {
        let ids = seed::admit(&store, &seed::job(lane, campaign_id, 2)).await;
        send(&store, (lane, campaign_id), ids[0], TODAY + round * DAY_MS / 10).await;
        let dies = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            added_up = store.roll_up_days(3) => assert!(added_up.unwrap() <= 3),
            () = dies => n_cut_off += 1,
        }
    }
    assert!(0 < n_cut_off, "nobody died");
    seed::days(&store).await;
    assert_eq!(store.day_feed_backlog().await.unwrap(), 0);
    assert_eq!(seed::ledger(&store, campaign_id).await.accepted, 120);
}

async fn two_who_add_up_at_once_add_up_once(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    for round in 0..10 {
        let ids = seed::admit(&store, &seed::job(lane, campaign_id, 3)).await;
        for id in ids {
            send(&store, (lane, campaign_id), id, TODAY + round * DAY_MS).await;
        }
        let (a, b, c) = tokio::join!(store.roll_up_days(2), store.roll_up_days(2), store.roll_up_days(2));
        assert!(a.unwrap() + b.unwrap() + c.unwrap() <= 6);
    }
    seed::days(&store).await;
}

async fn days_are_filtered_and_belong_to_their_tenant(store: Store) {
    let lane = seed::lane(&store).await;
    let (second, foreign) = (seed::another_lane(&store, lane.tenant_id).await, seed::lane(&store).await);
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let other = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let of_foreign = seed::campaign(&store, foreign.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    seed::admit(&store, &seed::job(lane, campaign_id, 1)).await;
    seed::admit(&store, &seed::job(second, campaign_id, 2)).await;
    seed::admit(&store, &seed::job(second, other, 4)).await;
    seed::admit(&store, &seed::job(foreign, of_foreign, 8)).await;
    seed::days(&store).await;
    let all = messages(days(lane.tenant_id, 0, 0));
    let count = async |of: MessageDays| {
        let by_day = store.analytics().messages_by_day(&of).await.unwrap();
        let by_session = store.analytics().messages_by_session(&of).await.unwrap();
        let sum: i64 = by_session.iter().map(|session| session.counts.total()).sum();
        assert_eq!(by_day.iter().map(|(_, counts)| counts.total()).sum::<i64>(), sum);
        (sum, by_session.len())
    };
    assert_eq!(count(all).await, (7, 2));
    assert_eq!(count(MessageDays { session_id: Some(second.session_id), ..all }).await, (6, 1));
    assert_eq!(count(MessageDays { campaign_id: Some(campaign_id), ..all }).await, (3, 2));
    let both = MessageDays { session_id: Some(second.session_id), campaign_id: Some(campaign_id), ..all };
    assert_eq!(count(both).await, (2, 1));
    assert_eq!(count(MessageDays { session_id: Some(foreign.session_id), ..all }).await, (0, 0), "of another tenant");
    assert_eq!(count(MessageDays { campaign_id: Some(of_foreign), ..all }).await, (0, 0), "of another tenant");
    for (first, last) in [(-5, -1), (1, 5)] {
        assert_eq!(count(messages(days(lane.tenant_id, first, last))).await, (0, 0));
    }
}

async fn campaigns_tell_what_came_of_them(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let ids = seed::admit(&store, &seed::job(lane, campaign_id, 3)).await;
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(&store, ids.iter().map(|id| entries.begin(*id, 1)).collect()).await;
    let ends = [journal::accepted(), journal::rejected_by_limit(), journal::rejected()];
    journal::end(&store, ids.iter().zip(ends).map(|(id, ended)| entries.end(*id, 1, ended)).collect()).await;
    let started = format!("UPDATE campaigns SET started_at_ms = {NOW_MS}");
    seed::execute(&store, &started).await;
    let of = CampaignDays { days: days(lane.tenant_id, 0, 0), session_id: None, campaign_id: None };
    let page = async |of: CampaignDays| store.analytics().campaigns(&of, PageRequest::default()).await.unwrap();
    let found = page(of).await;
    assert_eq!((found.total, found.items.len()), (1, 1));
    let outcome = &found.items[0];
    let counters = (outcome.counters.sent, outcome.counters.failed_limit, outcome.counters.failed_unavailable);
    assert_eq!((outcome.id, counters, outcome.reasons.iter().map(|(_, n)| n).sum()), (campaign_id, (1, 1, 1), 2));
    assert_eq!(page(CampaignDays { campaign_id: Some(campaign_id), ..of }).await.total, 1);
    assert_eq!(page(CampaignDays { days: days(lane.tenant_id, 1, 2), ..of }).await.total, 0);
    assert_eq!(page(CampaignDays { days: days(lane.tenant_id, -2, -1), ..of }).await.total, 0);
    assert_eq!(page(CampaignDays { session_id: Some(lane.session_id), ..of }).await.total, 0, "none of its sessions");
    let foreign = seed::lane(&store).await.tenant_id;
    assert_eq!(page(CampaignDays { days: days(foreign, 0, 0), ..of }).await.total, 0, "of another tenant");
}

fn entry(by: Requester, at_ms: i64, status: u16) -> RequestEntry {
    RequestEntry {
        id: Uuid::now_v7(),
        by,
        at_ms,
        method: if status == 201 { "POST" } else { "GET" }.to_owned(),
        operation: "/api/v1/contacts/{id}".to_owned(),
        status,
        duration_ms: 5,
        request_id: format!("request-{at_ms}"),
    }
}

async fn requests_are_counted_and_listed(store: Store) {
    let (tenant_id, other) = (seed::lane(&store).await.tenant_id, seed::lane(&store).await.tenant_id);
    let (key, person) = (Uuid::now_v7(), Uuid::now_v7());
    let by = |tenant_id, id, is_key| Requester { tenant_id, id, is_key };
    let entries: Vec<_> = [(key, 201), (key, 404), (person, 200), (person, 500)]
        .into_iter()
        .zip(0..)
        .map(|((id, status), at)| entry(by(tenant_id, id, id == key), NOW_MS + at, status))
        .chain([entry(by(other, person, false), NOW_MS, 200)])
        .collect();
    let today = day_of(NOW_MS);
    let one = RequestCounts { n_requests: 2, n_counted: 1, n_client_errors: 1, n_server_errors: 0, duration_ms: 10 };
    let sums = [(by(tenant_id, key, true), today, one), (by(tenant_id, person, false), today - 1, one)];
    store.note_requests(&entries, &sums).await.unwrap();
    store.note_requests(&entries, &sums[..1]).await.unwrap();
    let analytics = store.analytics();
    let both = days(tenant_id, -1, 0);
    let by_day = analytics.requests_by_day(both, None).await.unwrap();
    assert_eq!(
        by_day.iter().map(|(day, counts)| (*day, counts.n_requests)).collect::<Vec<_>>(),
        [(today - 1, 2), (today, 4)]
    );
    let callers = analytics.requests_by_caller(both, None).await.unwrap();
    assert_eq!(
        callers.iter().map(|caller| (caller.caller_id, caller.is_key)).collect::<Vec<_>>(),
        [(key, true), (person, false)]
    );
    assert_eq!(
        callers[0].counts,
        RequestCounts { n_requests: 4, n_counted: 2, n_client_errors: 2, n_server_errors: 0, duration_ms: 20 }
    );
    assert_eq!(analytics.requests_by_caller(both, Some(person)).await.unwrap().len(), 1);
    assert_eq!(analytics.requests_by_day(days(other, -1, 0), None).await.unwrap(), [], "of another tenant");

    let list = async |filter: RequestFilter| {
        let page = store.analytics().request_log(tenant_id, &filter, PageRequest::default()).await.unwrap();
        assert_eq!((page.total, page.looked_back_to_ms), (page.items.len() as u64, None));
        page.items.iter().map(|item| item.status).collect::<Vec<_>>()
    };
    let all = RequestFilter::default;
    assert_eq!(list(all()).await, [500, 200, 404, 201], "newest first, each once, none of others");
    assert_eq!(list(RequestFilter { caller_id: Some(key), ..all() }).await, [404, 201]);
    assert_eq!(list(RequestFilter { method: Some("POST".to_owned()), ..all() }).await, [201]);
    assert_eq!(list(RequestFilter { operation: Some("/elsewhere".to_owned()), ..all() }).await, [0_u16; 0]);
    assert_eq!(list(RequestFilter { status: Some((400, 599)), ..all() }).await, [500, 404]);
    assert_eq!(list(RequestFilter { from_ms: Some(NOW_MS + 1), to_ms: Some(NOW_MS + 2), ..all() }).await, [200, 404]);
}

async fn contacts_are_noted_where_they_change(store: Store) {
    let tenant_id = seed::lane(&store).await.tenant_id;
    let today = day_of(TODAY);
    let set = async |n: i64| {
        let id = seed::hex(&store, tenant_id.0);
        seed::execute(&store, "DELETE FROM contact_books").await;
        seed::execute(&store, &format!("INSERT INTO contact_books (tenant_id, n_contacts) VALUES ({id}, {n})")).await;
    };
    let noted = async |first, last| {
        let noted = store.analytics().contacts_by_day(days(tenant_id, first, last)).await.unwrap();
        noted.into_iter().map(|(day, n)| (day - today, n)).collect::<Vec<_>>()
    };
    for (day, n) in [(0, 3), (0, 4), (1, 4), (3, 4), (5, 0), (6, 0)] {
        set(n).await;
        store.note_contact_days(today + day).await.unwrap();
    }
    assert_eq!(noted(0, 9).await, [(0, 4), (5, 0)]);
    assert_eq!(noted(3, 4).await, [(0, 4)], "as it was before");
    assert_eq!(noted(6, 9).await, [(5, 0)]);
    assert_eq!(noted(-3, -1).await, []);
}
