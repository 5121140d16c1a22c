//! The audit log: only added to, each call once, read by its tenant along indexes.

use actiwapi_dispatcher::domain::id::{ApiKeyId, TenantId, UserId};
use actiwapi_dispatcher::limits::{AUDIT_EXPORT_STEP_MAX, AUDIT_LOOKED_AT_MAX};
use actiwapi_dispatcher::store::audit::{Actor, AuditRecord, CallRecord, Deed};
use actiwapi_dispatcher::store::audit_list::AuditFilter;
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::{Pool, Store};
use actiwapi_dispatcher::with_writer;
use serde_json::json;
use uuid::Uuid;

use crate::support::db::store_contract;
use crate::support::seed::NOW_MS;

store_contract!(
    the_log_is_only_added_to,
    calls_read_back_and_are_written_once,
    a_tenant_finds_what_it_looks_for,
    a_list_looks_at_a_bounded_number,
    an_export_has_every_row_once,
);

fn call(tenant_id: TenantId, action: &str, at_ms: i64) -> (Uuid, CallRecord) {
    let deed = Deed {
        action: action.to_owned(),
        subject: format!("subject of {action}"),
        tenant_id: Some(tenant_id),
        details: json!({ "before": { "id": "ü\"'" } }),
    };
    let actor = Actor { request_id: Some("request-1".to_owned()), ..Actor::user(UserId::generate()) };
    (Uuid::now_v7(), CallRecord { at_ms, actor, deed })
}

async fn all(store: &Store, tenant_id: TenantId, filter: &AuditFilter) -> Vec<AuditRecord> {
    store.audit_of_tenant(tenant_id, filter, PageRequest::new(1, 100).unwrap()).await.unwrap().items
}

async fn the_log_is_only_added_to(store: Store) {
    let tenant_id = TenantId::generate();
    let deed = Deed { action: "a".into(), subject: "b".into(), tenant_id: Some(tenant_id), details: json!({}) };
    store.write_down(&Actor::SYSTEM, &deed, NOW_MS).await.unwrap();
    store.write_calls(&[call(tenant_id, "create_session", NOW_MS)]).await.unwrap();
    let mut tries =
        vec!["UPDATE audit_log SET action = 'nothing'", "DELETE FROM audit_log", "DELETE FROM audit_log WHERE is_call"];
    if matches!(store.pool(), Pool::Postgres(_)) {
        tries.push("TRUNCATE audit_log");
    }
    for sql in tries {
        let done = with_writer!(store.pool(), |db| sqlx::query(sql).execute(db).await.map(drop));
        let refused = done.expect_err(sql).to_string();
        assert!(refused.contains("the audit log is only added to"), "{sql}: {refused}");
    }
    assert_eq!(all(&store, tenant_id, &AuditFilter::default()).await.len(), 2);
    let deeds = store.audit_log(PageRequest::default()).await.unwrap();
    assert_eq!((deeds.total, deeds.items[0].deed.action.as_str()), (1, "a"), "operators read deeds");
}

async fn calls_read_back_and_are_written_once(store: Store) {
    let tenant_id = TenantId::generate();
    let (by_person, mut by_key) = (call(tenant_id, "send_text", NOW_MS), call(tenant_id, "send_text", NOW_MS + 1));
    by_key.1.actor = Actor { key_id: Some(ApiKeyId::generate()), ..Actor::SYSTEM };
    let mut of_nobody = call(tenant_id, "take_receipts", NOW_MS + 2);
    of_nobody.1.actor = Actor::SYSTEM;
    let calls = [by_person, by_key, of_nobody];
    store.write_calls(&calls).await.unwrap();
    // The answer to the commit was lost, say.
    store.write_calls(&calls).await.unwrap();
    let read = all(&store, tenant_id, &AuditFilter::default()).await;
    let expected: Vec<_> = calls.into_iter().rev().collect();
    assert_eq!(read.len(), 3);
    for (record, (id, call)) in read.into_iter().zip(expected) {
        assert_eq!((record.id, record.at_ms, record.actor, record.deed), (id, call.at_ms, call.actor, call.deed));
    }
    store.write_calls(&[]).await.unwrap();
}

async fn a_tenant_finds_what_it_looks_for(store: Store) {
    let (ours, theirs) = (TenantId::generate(), TenantId::generate());
    let calls: Vec<_> = (0..6).map(|n| call(ours, if n % 2 == 0 { "even" } else { "odd" }, NOW_MS + n)).collect();
    store.write_calls(&calls).await.unwrap();
    store.write_calls(&[call(theirs, "even", NOW_MS)]).await.unwrap();
    let n = async |filter: AuditFilter| {
        let page = store.audit_of_tenant(ours, &filter, PageRequest::default()).await.unwrap();
        let exported = store.export_audit(ours, &filter, None).await.unwrap().0;
        assert_eq!((page.total, &page.items), (exported.len() as u64, &exported), "{filter:?}");
        assert_eq!(page.looked_back_to_ms, None);
        page.total
    };
    let none = AuditFilter::default;
    assert_eq!(n(none()).await, 6);
    assert_eq!(n(AuditFilter { action: Some("even".into()), ..none() }).await, 3);
    assert_eq!(n(AuditFilter { subject: Some("subject of odd".into()), ..none() }).await, 3);
    assert_eq!(
        n(AuditFilter { subject: Some("subject of odd".into()), action: Some("even".into()), ..none() }).await,
        0
    );
    let actor_id = calls[2].1.actor.user_id.map(|id| id.0);
    assert_eq!(n(AuditFilter { actor_id, ..none() }).await, 1);
    assert_eq!(n(AuditFilter { actor_id, action: Some("odd".into()), ..none() }).await, 0);
    assert_eq!(n(AuditFilter { actor_id: Some(Uuid::nil()), ..none() }).await, 0);
    assert_eq!(n(AuditFilter { from_ms: NOW_MS + 1, to_ms: NOW_MS + 4, ..none() }).await, 4, "both ends count");
    assert_eq!(n(AuditFilter { from_ms: NOW_MS + 4, to_ms: NOW_MS + 1, ..none() }).await, 0);
    assert_eq!(n(AuditFilter { action: Some("'; DROP TABLE audit_log; --".into()), ..none() }).await, 0);
    assert_eq!(all(&store, theirs, &none()).await.len(), 1);
    let second = store.audit_of_tenant(ours, &none(), PageRequest::new(2, 4).unwrap()).await.unwrap();
    assert_eq!((second.total, second.items.len(), second.items[1].id), (6, 2, calls[0].0));
}

async fn a_list_looks_at_a_bounded_number(store: Store) {
    let tenant_id = TenantId::generate();
    let calls: Vec<_> = (0..AUDIT_LOOKED_AT_MAX + 5).map(|n| call(tenant_id, "send_text", NOW_MS + n)).collect();
    for batch in calls.chunks(2_000) {
        store.write_calls(batch).await.unwrap();
    }
    let newest = store.audit_of_tenant(tenant_id, &AuditFilter::default(), PageRequest::default()).await.unwrap();
    assert_eq!(newest.total, AUDIT_LOOKED_AT_MAX.unsigned_abs());
    assert_eq!(newest.looked_back_to_ms, Some(NOW_MS + 5));
    let before = AuditFilter { to_ms: NOW_MS + 5, ..AuditFilter::default() };
    let before = store.audit_of_tenant(tenant_id, &before, PageRequest::default()).await.unwrap();
    assert_eq!((before.total, before.looked_back_to_ms), (6, None));
    // What is done seldom is found behind whatever is done often.
    store.write_calls(&[call(tenant_id, "delete_campaign", NOW_MS)]).await.unwrap();
    let seldom = AuditFilter { action: Some("delete_campaign".into()), ..AuditFilter::default() };
    assert_eq!(all(&store, tenant_id, &seldom).await.len(), 1);
}

/// Also of those that were written at the same moment.
async fn an_export_has_every_row_once(store: Store) {
    let tenant_id = TenantId::generate();
    let n = AUDIT_EXPORT_STEP_MAX * 2 + 3;
    let calls: Vec<_> = (0..n).map(|at| call(tenant_id, "send_text", NOW_MS + at / 700)).collect();
    store.write_calls(&calls).await.unwrap();
    let (mut after, mut ids) = (None, Vec::new());
    loop {
        let (records, next) = store.export_audit(tenant_id, &AuditFilter::default(), after).await.unwrap();
        ids.extend(records.into_iter().map(|record| record.id));
        if next.is_none() {
            break;
        }
        after = next;
    }
    let mut expected: Vec<_> = calls.iter().map(|(id, call)| (call.at_ms, *id)).collect();
    expected.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(ids, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
}
