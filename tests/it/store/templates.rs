//! Contracts of kept messages.

use actiwapi_dispatcher::domain::id::{TemplateId, TenantId};
use actiwapi_dispatcher::domain::message::{MediaSpec, MessageSpec};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::templates::{TemplateChange, TemplateRecord};

use crate::support::db::store_contract;
use crate::support::seed::{self, NOW_MS};

store_contract!(messages_are_kept_under_names_of_their_own,);

fn template(tenant_id: TenantId, name: &str) -> TemplateRecord {
    TemplateRecord {
        id: TemplateId::generate(),
        tenant_id,
        name: name.to_owned(),
        message: seed::text(),
        created_at_ms: NOW_MS,
        changed_at_ms: NOW_MS,
    }
}

async fn messages_are_kept_under_names_of_their_own(store: Store) {
    let (ours, theirs) = (seed::lane(&store).await.tenant_id, seed::lane(&store).await.tenant_id);
    let (first, second) = (template(ours, "First"), template(ours, "Second"));
    store.templates().insert(&first).await.unwrap();
    store.templates().insert(&second).await.unwrap();
    store.templates().insert(&template(theirs, "First")).await.unwrap();
    let double = store.templates().insert(&template(ours, "First")).await.unwrap_err();
    assert!(double.is_unique_violation(), "{double:?}");
    assert_eq!(store.templates().find(ours, first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(store.templates().find(theirs, first.id).await.unwrap(), None);
    let page = store.templates().list(ours, PageRequest::default()).await.unwrap();
    assert_eq!((page.total, page.items), (2, vec![second.clone(), first.clone()]));

    let message = MessageSpec::Image(MediaSpec { media_url: Some("https://a.example".into()), ..MediaSpec::default() });
    let change = TemplateChange { name: None, message: Some(message.clone()) };
    assert!(!store.templates().update(theirs, first.id, &change, NOW_MS + 1).await.unwrap());
    assert!(store.templates().update(ours, first.id, &change, NOW_MS + 1).await.unwrap());
    let changed = TemplateRecord { message, changed_at_ms: NOW_MS + 1, ..first.clone() };
    assert_eq!(store.templates().find(ours, first.id).await.unwrap(), Some(changed));
    let change = TemplateChange { name: Some("Second".to_owned()), message: None };
    let double = store.templates().update(ours, first.id, &change, NOW_MS + 2).await.unwrap_err();
    assert!(double.is_unique_violation(), "{double:?}");
    assert!(!store.templates().remove(theirs, first.id).await.unwrap());
    assert!(store.templates().remove(ours, first.id).await.unwrap());
    assert!(!store.templates().remove(ours, first.id).await.unwrap());
    assert_eq!(store.templates().count(ours).await.unwrap(), 1);
}
