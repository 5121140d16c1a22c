//! The life of a subscription by a clock that the test sets, with what the lanes are told and allowed at each step.

use std::time::Duration;

use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use actiwapi_dispatcher::domain::plan::SubscriptionState as State;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::service::BillingSettings;
use actiwapi_dispatcher::service::billing::checkout::Chosen;
use actiwapi_dispatcher::service::messages::NewText;
use actiwapi_dispatcher::service::webhooks::WebhookForm;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::journal::{BeginRefusal, JournalBatch};
use actiwapi_dispatcher::store::page::PageRequest;

use super::{lanes_were_told, ordered, paid, state};
use crate::service::front::{Front, conflict};
use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed;

store_contract!(
    a_subscription_lives_from_its_trial_to_its_end,
    a_trial_begins_with_the_registration,
    what_is_given_up_ends_with_its_period,
    a_dearer_plan_is_paid_for_the_rest,
    a_cheaper_plan_follows,
    a_period_paid_ahead_follows_without_a_gap,
    what_renews_itself_is_not_paid_here,
);

const DAY: Duration = Duration::from_secs(86_400);

fn trial() -> BillingSettings {
    BillingSettings { razorpay: None, trial: Some(7 * DAY) }
}

fn text(session_id: SessionId) -> NewText {
    NewText { session_id, to: "919800000001".to_owned(), text: "x".to_owned() }
}

/// A tenant whose lane has messages in line.
struct Customer {
    front: Front,
    tenant_id: TenantId,
    session_id: SessionId,
    in_line: Vec<DeliveryId>,
}

impl Customer {
    async fn new(store: Store) -> Self {
        let front = Front::with_billing(store, trial());
        let tenant_id = front.tenant().await;
        let session_id = front.connected_session(tenant_id).await;
        let lane = seed::Lane { tenant_id, session_id };
        let in_line = seed::admit(&front.store, &seed::job(lane, CampaignId::DIRECT, 20)).await;
        let mut customer = Self { front, tenant_id, session_id, in_line };
        customer.front.notices();
        customer
    }

    /// Lets time pass and looks what it moves.
    async fn after(&mut self, days: u32) {
        self.front.clock.advance(DAY * days);
        self.front.services.billing.move_due().await.unwrap();
    }

    /// Does what the lane does: it begins the next message, or is told why not.
    async fn begins(&mut self) -> Option<BeginRefusal> {
        let at_ms = self.front.now_ms();
        let entries = Entries { session_id: self.session_id, campaign_id: CampaignId::DIRECT, at_ms };
        let id = *self.in_line.last().unwrap();
        let batch = JournalBatch { begins: vec![entries.begin(id, 1)], ..JournalBatch::default() };
        let written = journal::write(&self.front.store, batch).await;
        let refused = written.refused.first().map(|(_, why)| *why);
        if refused.is_none() {
            journal::end(&self.front.store, vec![entries.end(id, 1, journal::accepted())]).await;
            self.in_line.pop();
        }
        refused
    }

    /// Checks where the subscription stands, that the lanes were told, and what they and the front may do.
    async fn is(&mut self, expected: State, place: &str) {
        assert_eq!(state(&self.front, self.tenant_id).await, expected, "{place}");
        assert!(lanes_were_told(&mut self.front, self.tenant_id), "{place}: the lanes were told nothing");
        let sends = matches!(expected, State::Trialing | State::Active);
        let refused = self.begins().await;
        assert_eq!(refused, (!sends).then_some(BeginRefusal::Inactive), "{place}");
        let accepted = self.front.services.messages.send_text(self.tenant_id, text(self.session_id)).await;
        assert_eq!(accepted.is_ok(), sends, "{place}: {accepted:?}");
        assert!(sends || matches!(accepted, Err(Error::SubscriptionInactive)), "{place}: {accepted:?}");
        self.front.notices();
        for (_, stored, counted) in self.front.store.recount_usage().await.unwrap() {
            assert_eq!(stored, counted, "{place}");
        }
    }
}

async fn a_subscription_lives_from_its_trial_to_its_end(store: Store) {
    let mut customer = Customer::new(store).await;
    let tenant_id = customer.tenant_id;
    let form = WebhookForm {
        url: "https://hooks.example/in".to_owned(),
        events: vec!["subscription.updated".to_owned()],
        secret: None,
    };
    let hook = customer.front.services.webhooks.create(tenant_id, form).await.unwrap().webhook.id;
    assert_eq!(customer.begins().await, None, "the trial sends");
    customer.after(6).await;
    assert!(!lanes_were_told(&mut customer.front, tenant_id), "nothing has happened yet");
    customer.after(1).await;
    customer.is(State::Expired, "the trial is over").await;
    paid(&customer.front, tenant_id, "starter").await;
    customer.is(State::Active, "paid").await;
    let usage = customer.front.services.plans.usage(tenant_id).await.unwrap().unwrap();
    assert_eq!((usage.plan.slug.as_str(), usage.limits.messages), ("starter", Some(5_000)));
    customer.after(31).await;
    customer.is(State::PastDue, "not paid again").await;
    customer.after(7).await;
    customer.is(State::Cancelled, "the grace is over").await;
    customer.after(30).await;
    customer.is(State::Expired, "over for good").await;
    assert!(customer.front.store.due_subscriptions(i64::MAX, 10).await.unwrap().is_empty());
    paid(&customer.front, tenant_id, "growth").await;
    customer.is(State::Active, "paid anew").await;
    customer.after(31).await;
    customer.is(State::PastDue, "late").await;
    paid(&customer.front, tenant_id, "growth").await;
    customer.is(State::Active, "paid late").await;
    let told = customer.front.store.webhooks().history(tenant_id, hook, PageRequest::default()).await.unwrap();
    assert_eq!(told.total, 8, "each move is told once");
    assert_eq!(super::invoice_numbers(&customer.front).await, [1, 2, 3]);
}

async fn a_trial_begins_with_the_registration(store: Store) {
    let front = Front::with_billing(store, trial());
    let tenant_id = front.tenant().await;
    let usage = front.services.plans.usage(tenant_id).await.unwrap().unwrap();
    assert_eq!((usage.plan.slug.as_str(), usage.state), ("trial", State::Trialing));
    let week_ms = i64::try_from((7 * DAY).as_millis()).unwrap();
    let now_ms = front.now_ms();
    assert_eq!(usage.allowance.active_until_ms, Some(now_ms + week_ms));
    front.session(tenant_id).await;
    let second = front.services.sessions.create(tenant_id, Default::default()).await;
    assert!(second.is_err(), "a trial has one session: {second:?}");
}

async fn what_is_given_up_ends_with_its_period(store: Store) {
    let mut customer = Customer::new(store).await;
    let tenant_id = customer.tenant_id;
    paid(&customer.front, tenant_id, "growth").await;
    let billing = customer.front.services.billing.clone();
    for _ in 0..2 {
        assert!(billing.cancel(tenant_id, &Actor::SYSTEM).await.unwrap().cancels);
    }
    assert!(!billing.resume(tenant_id, &Actor::SYSTEM).await.unwrap().cancels);
    billing.cancel(tenant_id, &Actor::SYSTEM).await.unwrap();
    assert_eq!(customer.begins().await, None, "it runs to its end");
    customer.front.notices();
    customer.after(31).await;
    customer.is(State::Cancelled, "given up").await;
    assert!(conflict(billing.resume(tenant_id, &Actor::SYSTEM).await).contains("is over"));
    assert!(matches!(billing.cancel(TenantId::generate(), &Actor::SYSTEM).await, Err(Error::NotFound(_))));
}

async fn a_dearer_plan_is_paid_for_the_rest(store: Store) {
    let mut customer = Customer::new(store).await;
    let tenant_id = customer.tenant_id;
    paid(&customer.front, tenant_id, "starter").await;
    let before = customer.front.services.billing.subscription(tenant_id).await.unwrap();
    let length_ms = before.period.end_ms - before.period.start_ms;
    let half = Duration::from_millis(u64::try_from(length_ms / 2).unwrap());
    customer.front.clock.advance(half);
    let order = paid(&customer.front, tenant_id, "growth").await;
    assert_eq!(order.terms.amount_cents, 25_000, "half of the difference of 50,000");
    customer.is(State::Active, "upgraded").await;
    let after = customer.front.services.billing.subscription(tenant_id).await.unwrap();
    assert_eq!((after.plan.as_str(), after.period, after.ends_at_ms), ("growth", before.period, before.ends_at_ms));
    let usage = customer.front.services.plans.usage(tenant_id).await.unwrap().unwrap();
    assert_eq!(usage.allowance.limit, Some(25_000), "the limit rises at once");
}

async fn a_cheaper_plan_follows(store: Store) {
    let mut customer = Customer::new(store).await;
    let tenant_id = customer.tenant_id;
    paid(&customer.front, tenant_id, "growth").await;
    let billing = customer.front.services.billing.clone();
    let chosen = billing.checkout(tenant_id, "starter", None, &Actor::SYSTEM).await.unwrap();
    let Chosen::Follows(subscription) = chosen else { panic!("an order: {chosen:?}") };
    assert_eq!((subscription.plan.as_str(), subscription.next.unwrap().plan), ("growth", "starter".to_owned()));
    // Chosen once more, it is paid for ahead.
    let order = paid(&customer.front, tenant_id, "starter").await;
    assert_eq!(order.terms.amount_cents, 49_900);
    customer.is(State::Active, "until the period ends").await;
    customer.after(31).await;
    customer.is(State::Active, "and then").await;
    let usage = customer.front.services.plans.usage(tenant_id).await.unwrap().unwrap();
    assert_eq!((usage.plan.slug.as_str(), usage.allowance.limit), ("starter", Some(5_000)));
}

async fn a_period_paid_ahead_follows_without_a_gap(store: Store) {
    let mut customer = Customer::new(store).await;
    let tenant_id = customer.tenant_id;
    paid(&customer.front, tenant_id, "growth").await;
    paid(&customer.front, tenant_id, "growth").await;
    let refused = customer.front.services.billing.checkout(tenant_id, "growth", None, &Actor::SYSTEM).await;
    assert!(conflict(refused).contains("paid already"));
    let period = customer.front.services.billing.subscription(tenant_id).await.unwrap().period;
    // Nobody has looked at the time yet: the period goes on all the same.
    customer.front.clock.advance(31 * DAY);
    assert_eq!(customer.begins().await, None);
    customer.front.notices();
    customer.front.services.billing.move_due().await.unwrap();
    customer.is(State::Active, "the second month").await;
    let next = customer.front.services.billing.subscription(tenant_id).await.unwrap();
    assert_eq!((next.period.start_ms, next.next), (period.end_ms, None));
    let usage = customer.front.services.plans.usage(tenant_id).await.unwrap().unwrap().allowance.usage;
    assert_eq!(usage.used, 2, "what is sent counts for the second month");
    customer.after(31).await;
    customer.is(State::PastDue, "after the second month").await;
}

async fn what_renews_itself_is_not_paid_here(store: Store) {
    let front = Front::with_billing(store, BillingSettings::default());
    let tenant_id = front.tenant().await;
    let billing = &front.services.billing;
    assert!(matches!(billing.subscription(tenant_id).await, Err(Error::NotFound(_))));
    // An order that was placed before an operator took over gets nothing, and says so.
    let order = ordered(&front, tenant_id, "starter").await;
    let new = actiwapi_dispatcher::service::plans::NewSubscription {
        plan: "growth".to_owned(),
        state: State::Active,
        period_end: None,
    };
    front.services.plans.subscribe(tenant_id, new, Actor::SYSTEM).await.unwrap();
    let refused = billing.checkout(tenant_id, "business", None, &Actor::SYSTEM).await;
    assert!(conflict(refused).contains("operator"));
    assert!(conflict(billing.confirm_by_hand(order.id, &Actor::SYSTEM).await).contains("given back"));
    assert!(conflict(billing.confirm_by_hand(order.id, &Actor::SYSTEM).await).contains("given back"));
    let payments = front.store.billing().payments(tenant_id, PageRequest::default()).await.unwrap();
    assert_eq!(payments.items.iter().map(|payment| payment.is_applied).collect::<Vec<_>>(), [false]);
    assert!(super::invoice_numbers(&front).await.is_empty());
    let placed = front.store.billing().order(order.id).await.unwrap().unwrap();
    assert_eq!(placed.state.as_str(), "unapplied");
}
