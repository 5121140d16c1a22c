//! Canaries, budgets and missing receipts: a campaign goes on only while it does no harm.

use std::time::Duration;

use actiwapi_dispatcher::domain::campaign::CampaignState;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::domain::safeguards::{Canary, CanaryState, Guardrails, Safeguards};
use actiwapi_dispatcher::notice::Notice;
use actiwapi_dispatcher::service::campaigns::NewCampaign;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::campaigns::CampaignRecord;
use actiwapi_dispatcher::store::journal::Ended;
use actiwapi_dispatcher::store::no_receipts::NoReceiptLook;
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::with_writer;

use super::front::{Front, campaign, fields, recipients};
use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, NOW_MS, NOW_US};

store_contract!(
    the_others_follow_when_the_first_are_fine,
    a_bad_canary_pauses_the_campaign_and_a_person_lets_it_go_on,
    a_canary_of_everybody_is_none,
    a_campaign_beyond_its_budget_pauses_itself_once,
    a_person_begins_a_new_sample,
    every_problem_of_safeguards_is_told,
    a_budget_that_can_not_be_read_concerns_one_campaign,
    missing_receipts_are_counted_once,
    missing_receipts_are_part_of_the_budget,
);

const BUDGET: Guardrails = Guardrails {
    max_failure_rate: Some(0.25),
    max_no_receipt_rate: Some(0.5),
    max_opt_out_rate: None,
    min_sample: 4,
    no_receipt_after_seconds: 60,
};

struct Running {
    front: Front,
    tenant_id: TenantId,
    session_id: SessionId,
    id: CampaignId,
}

impl Running {
    async fn start(store: Store, n_recipients: u64, safeguards: Safeguards) -> Self {
        let front = Front::new(store);
        let tenant_id = front.tenant().await;
        let session_id = front.connected_session(tenant_id).await;
        let new = NewCampaign { safeguards, recipients: recipients(0..n_recipients), ..campaign(&[session_id]) };
        let id = front.services.campaigns.create(tenant_id, new).await.unwrap().0.id;
        front.services.campaigns.start(tenant_id, id).await.unwrap();
        let mut running = Self { front, tenant_id, session_id, id };
        running.front.notices();
        running
    }

    /// Does what the outbox does: turns the recipients that may be into deliveries, and returns these.
    async fn expand(&self) -> Vec<DeliveryId> {
        let mut ids = Vec::new();
        for row in self.front.store.outbox_next(10).await.unwrap() {
            let n_max = row.below_seq.map_or(1_000, |below| u32::try_from(below - row.next_seq).unwrap());
            let expansion = self.front.store.expand_campaign(row.campaign_id, row.next_seq, n_max).await.unwrap();
            for job in &expansion.jobs {
                self.front.store.admit_jobs(&[job], NOW_US).await.unwrap();
                ids.extend(job.deliveries.iter().map(|delivery| delivery.id));
            }
            if expansion.finished {
                self.front.store.outbox_remove(&[row.outbox_id]).await.unwrap();
            } else {
                self.front.store.outbox_advance(row.outbox_id, expansion.next_seq).await.unwrap();
            }
        }
        ids
    }

    fn entries(&self) -> Entries {
        let at_ms = NOW_MS;
        Entries { session_id: self.session_id, campaign_id: self.id, at_ms }
    }

    async fn end(&self, ids: &[DeliveryId], ended: fn() -> Ended) {
        journal::begin(&self.front.store, ids.iter().map(|id| self.entries().begin(*id, 1)).collect()).await;
        journal::end(&self.front.store, ids.iter().map(|id| self.entries().end(*id, 1, ended())).collect()).await;
    }

    async fn deliver(&self, ids: &[DeliveryId]) {
        let receipts = ids.iter().map(|id| self.entries().receipt(*id, ReceiptKind::Delivered)).collect();
        journal::receive(&self.front.store, receipts).await;
    }

    async fn judge(&self) -> CampaignRecord {
        self.front.services.campaigns.judge().await.unwrap();
        self.front.store.campaigns().find(self.tenant_id, self.id).await.unwrap().unwrap()
    }
}

fn with_canary(canary: Canary) -> Safeguards {
    Safeguards { canary: Some(canary), guardrails: Some(BUDGET), ..Safeguards::default() }
}

const FIRST_THREE: Canary = Canary { first: Some(3), percent: None };

async fn the_others_follow_when_the_first_are_fine(store: Store) {
    let mut running = Running::start(store, 10, with_canary(FIRST_THREE)).await;
    let first = running.expand().await;
    assert_eq!((first.len(), running.expand().await.len()), (3, 0), "the others wait");
    assert_eq!(running.judge().await.canary_state, Some(CanaryState::Sending));
    running.end(&first, journal::accepted).await;
    assert!(!running.front.store.finish_if_settled(running.id, NOW_MS).await.unwrap(), "it is not over");
    assert_eq!(running.judge().await.canary_state, Some(CanaryState::Judging));
    running.front.clock.advance(Duration::from_secs(59));
    assert_eq!(running.judge().await.canary_state, Some(CanaryState::Judging), "receipts may still come");
    running.deliver(&first[..2]).await;
    assert_eq!(running.front.notices(), []);
    running.front.clock.advance(Duration::from_secs(1));
    let judged = running.judge().await;
    assert_eq!((judged.state, judged.canary_state), (CampaignState::Running, Some(CanaryState::Passed)));
    assert_eq!(running.front.notices(), [Notice::OutboxWritten]);
    assert_eq!(running.expand().await.len(), 7);
    running.judge().await;
    assert_eq!(running.front.notices(), [], "once");
}

async fn a_bad_canary_pauses_the_campaign_and_a_person_lets_it_go_on(store: Store) {
    let running = Running::start(store, 10, with_canary(FIRST_THREE)).await;
    let first = running.expand().await;
    running.end(&first[..2], journal::accepted).await;
    running.end(&first[2..], journal::rejected).await;
    running.deliver(&first[..2]).await;
    running.judge().await;
    running.front.clock.advance(Duration::from_secs(60));
    let judged = running.judge().await;
    assert_eq!((judged.state, judged.canary_state), (CampaignState::Paused, Some(CanaryState::Failed)));
    assert_eq!(judged.pause_reason.as_deref(), Some("guardrail: failure rate 33.3 % above 25 %"));
    assert_eq!(running.expand().await.len(), 0, "the others are not written to");
    let resumed = running.front.services.campaigns.resume(running.tenant_id, running.id).await.unwrap();
    assert_eq!((resumed.pause_reason, resumed.canary_state), (None, Some(CanaryState::Passed)));
    assert_eq!(running.expand().await.len(), 7);
    assert_eq!(running.judge().await.state, CampaignState::Running);
}

async fn a_canary_of_everybody_is_none(store: Store) {
    let running = Running::start(store, 3, with_canary(FIRST_THREE)).await;
    assert_eq!(running.judge().await.canary_state, None);
    assert_eq!(running.expand().await.len(), 3);
}

async fn a_campaign_beyond_its_budget_pauses_itself_once(store: Store) {
    let safeguards = Safeguards { guardrails: Some(BUDGET), ..Safeguards::default() };
    let mut running = Running::start(store, 8, safeguards).await;
    let ids = running.expand().await;
    running.end(&ids[..3], journal::rejected).await;
    assert_eq!(running.judge().await.state, CampaignState::Running, "too few to say anything");
    running.end(&ids[3..4], journal::accepted).await;
    for _ in 0..2 {
        let judged = running.judge().await;
        assert_eq!(judged.state, CampaignState::Paused);
        assert_eq!(judged.pause_reason.as_deref(), Some("guardrail: failure rate 75 % above 25 %"));
    }
    assert_eq!(running.front.notices(), [Notice::CampaignChanged(running.id)]);
    let deeds = running.front.store.audit_log(PageRequest::default()).await.unwrap().items;
    assert_eq!(deeds.len(), 1);
    assert_eq!((deeds[0].actor.clone(), deeds[0].deed.action.as_str()), (Actor::SYSTEM, "campaign.paused"));
    assert_eq!(deeds[0].deed.details["reason"], "guardrail: failure rate 75 % above 25 %");
}

async fn a_person_begins_a_new_sample(store: Store) {
    let safeguards = Safeguards { guardrails: Some(BUDGET), ..Safeguards::default() };
    let running = Running::start(store, 20, safeguards).await;
    let ids = running.expand().await;
    running.end(&ids[..4], journal::rejected).await;
    assert_eq!(running.judge().await.state, CampaignState::Paused);
    running.front.services.campaigns.resume(running.tenant_id, running.id).await.unwrap();
    let judged = running.judge().await;
    assert_eq!((judged.state, judged.pause_reason), (CampaignState::Running, None));
    running.end(&ids[4..8], journal::accepted).await;
    assert_eq!(running.judge().await.state, CampaignState::Running, "what was before does not count");
    running.end(&ids[8..12], journal::rejected).await;
    let judged = running.judge().await;
    assert_eq!(judged.pause_reason.as_deref(), Some("guardrail: failure rate 50 % above 25 %"));
    // A pause by a person is not one by itself, and keeps the sample.
    running.front.services.campaigns.resume(running.tenant_id, running.id).await.unwrap();
    running.front.services.campaigns.pause(running.tenant_id, running.id).await.unwrap();
    let resumed = running.front.services.campaigns.resume(running.tenant_id, running.id).await.unwrap();
    assert_eq!(resumed.pause_reason, None);
}

async fn every_problem_of_safeguards_is_told(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let session = front.session(tenant_id).await;
    let told = async |canary, guardrails| {
        let safeguards = Safeguards { failover: true, canary, guardrails };
        fields(front.services.campaigns.create(tenant_id, NewCampaign { safeguards, ..campaign(&[session]) }).await)
    };
    let canary = |first, percent| Some(Canary { first, percent });
    assert_eq!(told(canary(None, None), None).await, ["canary"]);
    assert_eq!(told(canary(Some(0), Some(100.0)), None).await, ["canary", "canary.first", "canary.percent"]);
    assert_eq!(told(canary(None, Some(f64::NAN)), None).await, ["canary.percent"]);
    let bad = Guardrails {
        max_failure_rate: Some(1.1),
        max_no_receipt_rate: Some(-0.1),
        max_opt_out_rate: Some(f64::INFINITY),
        min_sample: 0,
        no_receipt_after_seconds: 86_401,
    };
    let rates = ["guardrails.maxFailureRate", "guardrails.maxNoReceiptRate", "guardrails.maxOptOutRate"];
    let others = ["guardrails.minSample", "guardrails.noReceiptAfterSeconds"];
    assert_eq!(told(None, Some(bad)).await, [&rates[..], &others[..]].concat());
}

/// A newer version may have written what this one does not know: nobody can watch over that campaign, so it stops.
async fn a_budget_that_can_not_be_read_concerns_one_campaign(store: Store) {
    let safeguards = Safeguards { guardrails: Some(BUDGET), ..Safeguards::default() };
    let strange = Running::start(store.clone(), 8, safeguards).await;
    let text = "UPDATE campaigns SET guardrails = '{\"mood\":1}'";
    with_writer!(store.pool(), |db| sqlx::query(text).execute(db).await.map(drop)).unwrap();
    strange.expand().await;
    let other = Running::start(store.clone(), 8, safeguards).await;
    let ids = other.expand().await;
    other.end(&ids[..4], journal::rejected).await;
    let judged = other.judge().await;
    assert_eq!(judged.pause_reason.as_deref(), Some("guardrail: failure rate 100 % above 25 %"));
    let paused =
        "campaigns WHERE state = 'paused' AND pause_reason = 'guardrail: this version can not read the budget'";
    assert_eq!(seed::count(&store, paused).await, 1);
}

async fn missing_receipts_are_counted_once(store: Store) {
    let running = Running::start(store, 5, Safeguards::default()).await;
    let ids = running.expand().await;
    let store = &running.front.store;
    let look = async |ms| store.look_for_receipts(NOW_MS + ms).await.unwrap();
    let nothing = NoReceiptLook { n: 0, goes_on: false };
    assert_eq!(look(-20_000).await, nothing, "the first look only begins");
    running.end(&ids[..4], journal::accepted).await;
    running.end(&ids[4..], journal::rejected).await;
    running.deliver(&ids[..1]).await;
    let mut n = 0;
    let mut looks = 0;
    loop {
        let found = look(1).await;
        (n, looks) = (n + found.n, looks + 1);
        if !found.goes_on {
            break;
        }
    }
    assert_eq!((n, looks), (3, 5), "in stretches of time");
    assert_eq!(look(1).await, nothing);
    assert_eq!(look(50_000).await.n, 0, "each is looked at once");
    let counted = format!("no_receipts WHERE n = 3 AND last_at_ms = {NOW_MS}");
    assert_eq!(seed::count(store, &counted).await, 1);
    assert_eq!(store.lane_summaries(&[running.session_id]).await.unwrap()[0].n_no_receipts, 3);
}

async fn missing_receipts_are_part_of_the_budget(store: Store) {
    let safeguards = Safeguards { guardrails: Some(BUDGET), ..Safeguards::default() };
    let running = Running::start(store, 8, safeguards).await;
    let ids = running.expand().await;
    running.front.store.look_for_receipts(NOW_MS - 1).await.unwrap();
    running.end(&ids[..5], journal::accepted).await;
    running.deliver(&ids[..2]).await;
    assert_eq!(running.judge().await.state, CampaignState::Running, "there is still time");
    running.front.store.look_for_receipts(NOW_MS + 1).await.unwrap();
    let judged = running.judge().await;
    assert_eq!(judged.pause_reason.as_deref(), Some("guardrail: no-receipt rate 60 % above 50 %"));
}
