//! Contracts of opting out: the latest word holds, and nobody who is passed over gets an attempt.

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown, PassOver};
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, TenantId};
use actiwapi_dispatcher::domain::inbound::InboundMessage;
use actiwapi_dispatcher::domain::job::TrafficClass;
use actiwapi_dispatcher::domain::opt_out::{OptOut, OptSource, OptWord};
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::journal::{Begin, BeginRefusal, Ended, JournalBatch};
use actiwapi_dispatcher::store::opt_outs::OptChange;
use actiwapi_dispatcher::with_writer;
use tokio::task::JoinSet;

use super::quota;
use crate::support::db::{on_postgres, store_contract};
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, Lane, NOW_MS};

store_contract!(
    the_latest_word_holds_in_whatever_order_it_comes,
    what_people_say_holds_at_once,
    every_tenant_with_the_number_is_told_and_no_other,
    who_opts_out_is_skipped_and_the_message_given_back,
    only_campaigns_that_respect_it_skip,
    a_batch_that_is_written_again_skips_once,
    who_got_a_message_is_skipped_for_so_many_hours,
    of_two_campaigns_in_one_batch_one_writes,
    a_job_knows_whom_its_campaign_passes_over,
);

const HOUR_MS: i64 = 3_600_000;
const NUMBER: &str = "106540352242922";

fn phone(n: u64) -> Recipient {
    Recipient::from_stored(&(919_800_000_000 + n).to_string()).expect("a stored phone number")
}

fn said(n: u64, word: OptWord, at_ms: i64) -> InboundMessage {
    InboundMessage {
        provider_message_id: format!("wamid.{n}.{at_ms}"),
        phone_number_id: NUMBER.to_owned(),
        from: phone(n),
        at_ms,
        kind: "text".to_owned(),
        text: None,
        asks: Some(word),
    }
}

async fn is_out(store: &Store, tenant_id: TenantId, n: u64) -> bool {
    store.opt_out_of(tenant_id, &phone(n)).await.unwrap().is_some_and(|opt_out| opt_out.is_out)
}

/// An attempt of a campaign that passes over whom it may.
fn begin(entries: &Entries, id: DeliveryId, to: &Recipient, hours: Option<u32>) -> Begin {
    Begin {
        recipient: to.clone(),
        pass_over: PassOver { opted_out: true, written_within_hours: hours },
        ..entries.begin(id, 1)
    }
}

async fn refusals(store: &Store, begins: Vec<Begin>) -> Vec<(DeliveryId, BeginRefusal)> {
    journal::write(store, JournalBatch { begins, ..JournalBatch::default() }).await.refused
}

async fn skipped_for(store: &Store, id: DeliveryId) -> String {
    let row = seed::row(store, id).await;
    assert_eq!((row.state.as_str(), row.n_attempts, row.settled_at_ms.is_some()), ("skipped", 0, true));
    assert_eq!((row.failure_class, row.provider_code), (None, None));
    row.reason.expect("a reason")
}

async fn the_latest_word_holds_in_whatever_order_it_comes(store: Store) {
    use OptWord::{Start, Stop};
    let tenant_id = seed::lane(&store).await.tenant_id;
    let s = |n| NOW_MS + n * 1_000;
    // Words in the order in which they come, each with its second, and whether the recipient is out at the end.
    let histories: [(&[(OptWord, i64)], bool); 6] = [
        (&[(Stop, 1)], true),
        (&[(Stop, 1), (Start, 2)], false),
        (&[(Start, 2), (Stop, 1)], false),
        (&[(Stop, 1), (Stop, 3), (Start, 2)], true),
        (&[(Stop, 1), (Start, 2), (Stop, 1), (Start, 2)], false),
        (&[(Start, 1), (Stop, 1)], true),
    ];
    for ((words, expected), n) in histories.into_iter().zip(0..) {
        for (word, at) in words {
            store.note_opt_outs(&[said(n, *word, s(*at))]).await.unwrap();
        }
        assert_eq!(is_out(&store, tenant_id, n).await, expected, "{words:?}");
        // All at once says the same.
        let n = n + 100;
        let all: Vec<_> = words.iter().map(|(word, at)| said(n, *word, s(*at))).collect();
        store.note_opt_outs(&all).await.unwrap();
        assert_eq!(is_out(&store, tenant_id, n).await, expected, "{words:?} at once");
    }
    let silent = InboundMessage { asks: None, ..said(200, Stop, NOW_MS) };
    store.note_opt_outs(&[silent]).await.unwrap();
    assert_eq!(store.opt_out_of(tenant_id, &phone(200)).await.unwrap(), None);
}

async fn what_people_say_holds_at_once(store: Store) {
    let tenant_id = seed::lane(&store).await.tenant_id;
    let set = async |is_out, changed_at_ms| {
        let opt_out = OptOut { is_out, changed_at_ms, by: OptSource::User };
        store.set_opt_outs(&[OptChange { tenant_id, recipient: phone(1), opt_out }]).await.unwrap();
    };
    store.note_opt_outs(&[said(1, OptWord::Stop, NOW_MS + 60_000)]).await.unwrap();
    // Our clock may be behind the provider's.
    set(false, NOW_MS).await;
    assert!(!is_out(&store, tenant_id, 1).await);
    // Told again by the provider: it was said before.
    set(false, NOW_MS + 120_000).await;
    store.note_opt_outs(&[said(1, OptWord::Stop, NOW_MS + 60_000)]).await.unwrap();
    assert!(!is_out(&store, tenant_id, 1).await);
    // The provider's times are whole seconds: said just afterwards.
    set(false, NOW_MS + 180_900).await;
    store.note_opt_outs(&[said(1, OptWord::Stop, NOW_MS + 180_000)]).await.unwrap();
    assert!(is_out(&store, tenant_id, 1).await);
}

async fn every_tenant_with_the_number_is_told_and_no_other(store: Store) {
    let (one, two) = (seed::lane(&store).await, seed::lane(&store).await);
    seed::another_lane(&store, one.tenant_id).await;
    let other = seed::lane(&store).await;
    with_writer!(store.pool(), |db| {
        sqlx::query("UPDATE sessions SET phone_number_id = 'another' WHERE tenant_id = $1")
            .bind(other.tenant_id.0)
            .execute(db)
            .await
            .map(drop)
    })
    .unwrap();
    let of_nobody = InboundMessage { phone_number_id: "of nobody".to_owned(), ..said(2, OptWord::Stop, NOW_MS) };
    store.note_opt_outs(&[said(1, OptWord::Stop, NOW_MS), of_nobody]).await.unwrap();
    assert!(is_out(&store, one.tenant_id, 1).await && is_out(&store, two.tenant_id, 1).await);
    assert!(!is_out(&store, other.tenant_id, 1).await);
    assert_eq!(seed::count(&store, "opt_outs").await, 2);
}

/// A tenant with a plan, a campaign that runs, and its admitted deliveries.
async fn running(store: &Store, n: u64) -> (Lane, Entries, Vec<(DeliveryId, Recipient)>) {
    let lane = seed::lane(store).await;
    quota::subscribe(store, lane.tenant_id, Some(100), NOW_MS).await;
    let (entries, ids) = campaign(store, lane, n).await;
    (lane, entries, ids)
}

async fn campaign(store: &Store, lane: Lane, n: u64) -> (Entries, Vec<(DeliveryId, Recipient)>) {
    let campaign_id = seed::campaign(store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let job = seed::job(lane, campaign_id, n);
    seed::admit(store, &job).await;
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    (entries, job.deliveries.into_iter().map(|delivery| (delivery.id, delivery.to)).collect())
}

async fn who_opts_out_is_skipped_and_the_message_given_back(store: Store) {
    let (lane, entries, ids) = running(&store, 3).await;
    assert_eq!(quota::counts(quota::usage(&store, lane.tenant_id, "admitted").await), [0, 0, 3, 0]);
    // After the start, with every delivery in a lane's memory.
    store.note_opt_outs(&[said(1, OptWord::Stop, NOW_MS)]).await.unwrap();
    let begins = ids.iter().map(|(id, to)| begin(&entries, *id, to, None)).collect();
    assert_eq!(refusals(&store, begins).await, [(ids[1].0, BeginRefusal::PassedOver)]);
    assert_eq!(skipped_for(&store, ids[1].0).await, "OPTED_OUT");
    assert_eq!(quota::counts(quota::usage(&store, lane.tenant_id, "skipped").await), [0, 2, 0, 0]);
    let counters = seed::ledger(&store, entries.campaign_id).await;
    assert_eq!((counters.sending, counters.skipped, counters.pending), (2, 1, 0));
    let reasons = store.campaign_reasons(lane.tenant_id, entries.campaign_id).await.unwrap();
    assert_eq!(reasons, [("OPTED_OUT".to_owned(), 1)]);
    // One that is put back is looked at again.
    journal::end(&store, vec![entries.end(ids[0].0, 1, Ended::Withdrawn)]).await;
    store.note_opt_outs(&[said(0, OptWord::Stop, NOW_MS)]).await.unwrap();
    let second = Begin { attempt_no: 2, ..begin(&entries, ids[0].0, &ids[0].1, None) };
    assert_eq!(refusals(&store, vec![second]).await, [(ids[0].0, BeginRefusal::PassedOver)]);
    assert_eq!(seed::state(&store, ids[0].0).await, DeliveryState::Skipped);
    seed::ledger(&store, entries.campaign_id).await;
}

async fn only_campaigns_that_respect_it_skip(store: Store) {
    let (lane, entries, ids) = running(&store, 2).await;
    let other = seed::lane(&store).await;
    store.note_opt_outs(&[said(0, OptWord::Stop, NOW_MS), said(1, OptWord::Stop, NOW_MS)]).await.unwrap();
    store.note_opt_outs(&[said(1, OptWord::Start, NOW_MS + 1_000)]).await.unwrap();
    let does_not = Begin { pass_over: PassOver::default(), ..begin(&entries, ids[0].0, &ids[0].1, None) };
    let is_in_again = begin(&entries, ids[1].0, &ids[1].1, None);
    assert_eq!(refusals(&store, vec![does_not, is_in_again]).await, []);
    // Another tenant's list is its own.
    with_writer!(store.pool(), |db| {
        sqlx::query("DELETE FROM opt_outs WHERE tenant_id = $1").bind(other.tenant_id.0).execute(db).await.map(drop)
    })
    .unwrap();
    let (entries, ids) = campaign(&store, other, 1).await;
    assert_eq!(refusals(&store, vec![begin(&entries, ids[0].0, &ids[0].1, None)]).await, []);
    assert!(is_out(&store, lane.tenant_id, 0).await);
}

async fn a_batch_that_is_written_again_skips_once(store: Store) {
    let (lane, entries, ids) = running(&store, 1).await;
    store.note_opt_outs(&[said(0, OptWord::Stop, NOW_MS)]).await.unwrap();
    let begins = vec![begin(&entries, ids[0].0, &ids[0].1, None)];
    let batch = JournalBatch { begins, ..JournalBatch::default() };
    journal::write(&store, batch.clone()).await;
    let again = journal::write(&store, JournalBatch { repeated: true, ..batch }).await;
    assert_eq!((again.begun, again.refused), (vec![], vec![(ids[0].0, BeginRefusal::NotPending)]));
    assert_eq!(quota::counts(quota::usage(&store, lane.tenant_id, "again").await), [0, 0, 0, 0]);
    assert_eq!(seed::ledger(&store, entries.campaign_id).await.skipped, 1);
}

async fn who_got_a_message_is_skipped_for_so_many_hours(store: Store) {
    let (lane, first, ids) = running(&store, 4).await;
    // One arrives, one is refused, one is unknown, one is on its way.
    journal::begin(&store, ids.iter().map(|(id, to)| begin(&first, *id, to, None)).collect()).await;
    let ends = [journal::accepted(), journal::rejected(), journal::unknown()];
    let ends = ends.into_iter().zip(&ids).map(|(ended, (id, _))| first.end(*id, 1, ended));
    journal::end(&store, ends.collect()).await;
    // Single messages do not count.
    let direct = seed::job(lane, CampaignId::DIRECT, 2);
    let direct_ids = seed::admit(&store, &direct).await;
    let entries = Entries { campaign_id: CampaignId::DIRECT, ..first };
    journal::begin(&store, vec![entries.begin(direct_ids[1], 1)]).await;
    journal::end(&store, vec![entries.end(direct_ids[1], 1, journal::accepted())]).await;

    let later = async |hours_later: i64, within: u32| {
        let (entries, ids) = campaign(&store, lane, 4).await;
        let entries = Entries { at_ms: NOW_MS + hours_later * HOUR_MS, ..entries };
        let begins = ids.iter().map(|(id, to)| begin(&entries, *id, to, Some(within))).collect();
        let refused = refusals(&store, begins).await;
        for (id, why) in &refused {
            assert_eq!(*why, BeginRefusal::PassedOver);
            assert_eq!(skipped_for(&store, *id).await, "DUPLICATE");
        }
        // What was begun is taken back, so that it is none the next time.
        let begun = ids.iter().filter(|(id, _)| !refused.iter().any(|(refused, _)| refused == id));
        journal::end(&store, begun.map(|(id, _)| entries.end(*id, 1, Ended::Withdrawn)).collect()).await;
        let place = |id| ids.iter().position(|(known, _)| *known == id).unwrap();
        refused.into_iter().map(|(id, _)| place(id)).collect::<Vec<_>>()
    };
    assert_eq!(later(23, 24).await, [0, 2, 3]);
    assert_eq!(later(24, 24).await, [0, 2, 3]);
    assert_eq!(later(25, 24).await, [3]);
    let (other, ids) = running(&store, 1).await.into_entries();
    assert_eq!(refusals(&store, vec![begin(&other, ids[0].0, &ids[0].1, Some(24))]).await, [], "another tenant");
}

/// Drops what a test does not need.
trait IntoEntries {
    fn into_entries(self) -> (Entries, Vec<(DeliveryId, Recipient)>);
}

impl IntoEntries for (Lane, Entries, Vec<(DeliveryId, Recipient)>) {
    fn into_entries(self) -> (Entries, Vec<(DeliveryId, Recipient)>) {
        (self.1, self.2)
    }
}

async fn of_two_campaigns_in_one_batch_one_writes(store: Store) {
    let lane = seed::lane(&store).await;
    let mut begins = Vec::new();
    for hours in [None, Some(1), Some(1)] {
        let (entries, ids) = campaign(&store, lane, 2).await;
        begins.extend(ids.iter().map(|(id, to)| begin(&entries, *id, to, hours)));
    }
    let refused = refusals(&store, begins.clone()).await;
    let expected: Vec<_> = begins[2..].iter().map(|begin| (begin.delivery_id, BeginRefusal::PassedOver)).collect();
    assert_eq!(refused, expected);
}

/// Two nodes begin for two campaigns with the same recipients at once.
#[tokio::test]
async fn of_two_campaigns_on_two_nodes_one_writes() {
    on_postgres(async |store: Store| {
        let lane = seed::lane(&store).await;
        for _ in 0..10 {
            let mut tasks = JoinSet::new();
            for _ in 0..2 {
                let (entries, ids) = campaign(&store, lane, 20).await;
                let store = store.clone();
                tasks.spawn(async move {
                    let begins: Vec<_> = ids.iter().map(|(id, to)| begin(&entries, *id, to, Some(1))).collect();
                    let refused = refusals(&store, begins).await;
                    let begun = ids.iter().filter(|(id, _)| !refused.iter().any(|(refused, _)| refused == id));
                    let begun: Vec<_> = begun.cloned().collect();
                    (entries, begun, refused.len())
                });
            }
            let done = tasks.join_all().await;
            let mut n_refused: Vec<_> = done.iter().map(|(_, _, n_refused)| *n_refused).collect();
            n_refused.sort_unstable();
            assert_eq!(n_refused, [0, 20], "each recipient is written to once");
            for (entries, begun, _) in done {
                let ends = begun.iter().map(|(id, _)| entries.end(*id, 1, journal::rejected())).collect();
                journal::end(&store, ends).await;
            }
        }
    })
    .await;
}

async fn a_job_knows_whom_its_campaign_passes_over(store: Store) {
    let lane = seed::lane(&store).await;
    let of = async |campaign_id, traffic_class| {
        let mut job = seed::job(lane, campaign_id, 1);
        job.traffic_class = traffic_class;
        seed::admit(&store, &job).await;
        store.find_jobs(&[job.job_id]).await.unwrap()[0].pass_over
    };
    let opted_out = PassOver { opted_out: true, written_within_hours: None };
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    assert_eq!(of(campaign_id, TrafficClass::Bulk).await, opted_out);
    assert_eq!(of(CampaignId::generate(), TrafficClass::Bulk).await, opted_out, "of another client");
    assert_eq!(of(CampaignId::DIRECT, TrafficClass::Transactional).await, PassOver::default());
    with_writer!(store.pool(), |db| {
        sqlx::query("UPDATE campaigns SET respect_opt_in = FALSE, skip_duplicates_hours = 48")
            .execute(db)
            .await
            .map(drop)
    })
    .unwrap();
    let hours = PassOver { opted_out: false, written_within_hours: Some(48) };
    assert_eq!(of(campaign_id, TrafficClass::Bulk).await, hours);
}
