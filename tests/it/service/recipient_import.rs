//! Recipient files: streamed, counted, good rows kept.

use std::fmt::Write;

use actiwapi_dispatcher::domain::campaign::CampaignState;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::page::PageRequest;

use super::front::{Front, conflict, fields, phone};
use crate::support::db::store_contract;
use crate::support::seed::{count, set_campaign_state};

store_contract!(
    a_long_file_is_streamed,
    bad_lines_are_named_and_good_ones_kept,
    a_file_without_a_phone_column_is_refused,
    an_import_stops_when_the_campaign_starts,
    the_same_file_twice_adds_nothing,
);

const PHONES: u64 = 100_000;

async fn a_long_file_is_streamed(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.session(tenant_id).await;
    let id = front.campaign(tenant_id, &[own], 50).await;
    let mut import = front.services.campaigns.import_recipients(tenant_id, id).await.unwrap();
    let mut text = "\u{feff}name;phone\r\n".to_owned();
    let mut n_chunks = 0;
    for n in 0..PHONES {
        write!(text, "\"Ana; {n}\";+{}\r\n", phone(n)).unwrap();
        if n % 1_000 == 7 {
            // Cut anywhere, also inside of a line end and a quote.
            let at = text.len() - usize::try_from(n % 31).unwrap();
            import.feed(&text.as_bytes()[..at]).await.unwrap();
            text.replace_range(..at, "");
            n_chunks += 1;
        }
    }
    import.feed(text.as_bytes()).await.unwrap();
    let report = import.finish().await.unwrap();
    assert_eq!((report.accepted, report.duplicates, report.rejected), (PHONES - 50, 50, 0));
    assert_eq!(n_chunks, 100);
    let total = i64::try_from(PHONES).unwrap();
    let found = front.store.campaigns().find(tenant_id, id).await.unwrap().unwrap();
    assert_eq!(found.n_recipients, total);
    assert_eq!(count(&front.store, "campaign_recipients").await, total);
    assert_eq!(count(&front.store, &format!("campaign_recipients WHERE seq >= {total}")).await, 0, "no gaps");
    let last = PageRequest::new(1_000, 100).unwrap();
    let last = front.store.campaign_recipients().list(tenant_id, id, last).await.unwrap().unwrap();
    let last = last.items.last().unwrap();
    assert_eq!((last.recipient.as_str(), last.variables.get("name")), (phone(99_999).as_str(), Some("Ana; 99999")));
}

async fn bad_lines_are_named_and_good_ones_kept(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.session(tenant_id).await;
    let id = front.campaign(tenant_id, &[own], 0).await;
    let mut import = front.services.campaigns.import_recipients(tenant_id, id).await.unwrap();
    let mut file = b"phone,name\n".to_vec();
    for n in 0..150 {
        file.extend(format!("{},Ana\n123,Bo\n", phone(n)).bytes());
    }
    file.extend(format!("{},Ana again\n", phone(3)).bytes());
    file.extend(b"91\xff,not text\n");
    import.feed(&file).await.unwrap();
    let report = import.finish().await.unwrap();
    assert_eq!((report.accepted, report.duplicates, report.rejected), (150, 1, 151));
    let lines: Vec<u64> = report.first_problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, (0..100).map(|n| 3 + 2 * n).collect::<Vec<u64>>());
    assert_eq!(count(&front.store, "campaign_recipients").await, 150);
}

async fn a_file_without_a_phone_column_is_refused(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.session(tenant_id).await;
    let id = front.campaign(tenant_id, &[own], 0).await;
    let mut import = front.services.campaigns.import_recipients(tenant_id, id).await.unwrap();
    assert_eq!(fields(import.feed(b"name,city\nAna,Goa\n").await), ["file"]);
    let empty = front.services.campaigns.import_recipients(tenant_id, id).await.unwrap();
    assert_eq!(fields(empty.finish().await), ["file"]);
}

async fn an_import_stops_when_the_campaign_starts(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let id = front.campaign(tenant_id, &[own], 1).await;
    let mut import = front.services.campaigns.import_recipients(tenant_id, id).await.unwrap();
    import.feed(b"phone\n919800000500\n").await.unwrap();
    front.services.campaigns.start(tenant_id, id).await.unwrap();
    let refused = import.finish().await;
    assert_eq!(conflict(refused), "The campaign is running; recipients can only be added to a draft.");
    assert_eq!(count(&front.store, "campaign_recipients").await, 1);
}

async fn the_same_file_twice_adds_nothing(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.session(tenant_id).await;
    let id = front.campaign(tenant_id, &[own], 0).await;
    for (accepted, duplicates) in [(2, 1), (0, 3)] {
        let mut import = front.services.campaigns.import_recipients(tenant_id, id).await.unwrap();
        import.feed(b"phone\n919800000500\n919800000501\n+91 98000 00500").await.unwrap();
        let report = import.finish().await.unwrap();
        assert_eq!((report.accepted, report.duplicates), (accepted, duplicates));
    }
    set_campaign_state(&front.store, id, CampaignState::Cancelled).await;
    let refused = front.services.campaigns.import_recipients(tenant_id, id).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })));
}
