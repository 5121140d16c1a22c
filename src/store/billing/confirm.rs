//! An order that is paid gets what it is for, once, whoever tells it, in whatever order and however often.
//!
//! What is not as it was ordered changes nothing. Signatures are checked before.

use uuid::Uuid;

use super::Billing;
use super::orders::{FIND, FIND_BY_PROVIDER, OrderRecord, StoredOrder};
use super::payments::PaymentNote;
use crate::domain::billing::life_cycle::{Event, Subscription};
use crate::domain::billing::{OrderKind, OrderState, PaymentState};
use crate::domain::id::OrderId;
use crate::domain::plan::SubscriptionState;
use crate::store::audit::{Actor, Deed};
use crate::store::tx::{Tries, Tx, with_tx};
use crate::store::{Sql, StoreError};

const SETTLE: Sql = Sql::portable("UPDATE billing_orders SET state = $2, paid_at_ms = $3 WHERE order_id = $1");

const DOING: &str = "confirm a payment";

/// How an order is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderName<'a> {
    /// By its id.
    Own(OrderId),
    /// By the provider's name.
    Provider(&'a str),
}

/// That an order was paid, or that a payment for it did not work.
#[derive(Debug, Clone, Copy)]
pub struct Confirmation<'a> {
    /// Which order.
    pub order: OrderName<'a>,
    /// The payment; none where nothing was to be paid.
    pub payment: Option<&'a PaymentNote>,
    /// What became of it.
    pub state: PaymentState,
    /// The provider's name of its telling, which may come again.
    pub event: Option<&'a str>,
}

/// What came of a confirmation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmed {
    /// The order got what it is for, just now.
    Applied(Box<OrderRecord>),
    /// It had got it before.
    Before(Box<OrderRecord>),
    /// The money is noted, and the order can get nothing for it; says why.
    Unapplied(Box<OrderRecord>, String),
    /// It is noted that the payment did not work.
    Failed,
    /// It was told before, by the same name.
    Seen,
    /// There is no such order; nothing was noted.
    Unknown,
    /// It was paid with another sum or currency than was asked for; nothing was noted.
    Differs,
}

impl Billing<'_> {
    /// Gives an order that was paid what it is for; a payment that did not work is noted.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn confirm(
        &self,
        confirmation: &Confirmation<'_>,
        actor: &Actor,
        now_ms: i64,
    ) -> Result<Confirmed, StoreError> {
        let mut tries = Tries::default();
        loop {
            let result = self.confirm_once(confirmation, actor, now_ms).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn confirm_once(
        &self,
        confirmation: &Confirmation<'_>,
        actor: &Actor,
        now_ms: i64,
    ) -> Result<Confirmed, StoreError> {
        let mut tx = self.store.begin_write(DOING).await?;
        let Some(order) = tx.find_order(confirmation.order).await? else { return Ok(Confirmed::Unknown) };
        tx.hold_account(order.tenant_id, DOING).await?;
        // Read behind the lock: whoever was faster has settled it.
        let Some(order) = tx.find_order(OrderName::Own(order.id)).await? else { return Ok(Confirmed::Unknown) };
        let is_asked = confirmation.payment.is_none_or(|note| {
            (note.amount_cents, &note.currency) == (order.terms.amount_cents, &order.terms.currency)
        });
        if !is_asked || confirmation.payment.is_none() && order.terms.amount_cents != 0 {
            return Ok(Confirmed::Differs);
        }
        if let Some(event) = confirmation.event
            && !tx.note_payment_event(event, now_ms, DOING).await?
        {
            return Ok(Confirmed::Seen);
        }
        let confirmed = match confirmation.state {
            PaymentState::Failed => {
                if let Some(note) = confirmation.payment {
                    tx.note_payment((&order, note), (PaymentState::Failed, false), now_ms, DOING).await?;
                }
                Confirmed::Failed
            }
            PaymentState::Captured => tx.apply_payment(order, confirmation.payment, (actor, now_ms)).await?,
        };
        self.store.commit_moves(tx, DOING).await?;
        Ok(confirmed)
    }
}

impl Tx {
    async fn find_order(&mut self, name: OrderName<'_>) -> Result<Option<OrderRecord>, StoreError> {
        let (by_id, by_provider) = (FIND.postgres(), FIND_BY_PROVIDER.postgres());
        let row = with_tx!(self, |db| match name {
            OrderName::Own(id) => sqlx::query_as::<_, StoredOrder>(by_id).bind(id.0).fetch_optional(db).await,
            OrderName::Provider(name) => {
                sqlx::query_as::<_, StoredOrder>(by_provider).bind(name).fetch_optional(db).await
            }
        });
        row.map_err(StoreError::database(DOING))?.map(OrderRecord::try_from).transpose()
    }

    async fn apply_payment(
        &mut self,
        order: OrderRecord,
        note: Option<&PaymentNote>,
        (actor, now_ms): (&Actor, i64),
    ) -> Result<Confirmed, StoreError> {
        if matches!(order.state, OrderState::Paid | OrderState::Unapplied) {
            let Some(note) = note else { return Ok(Confirmed::Before(Box::new(order))) };
            // Another payment of the same order: it is noted, and waits to be given back.
            let is_new = self.note_payment((&order, note), (PaymentState::Captured, false), now_ms, DOING).await?;
            return Ok(match (is_new, order.state) {
                (false, OrderState::Paid) => Confirmed::Before(Box::new(order)),
                _ => Confirmed::Unapplied(Box::new(order), "The order was paid before.".to_owned()),
            });
        }
        let refusal = match self.may_apply(&order).await? {
            Some(refusal) => Some(refusal),
            None => self.apply_order(&order, (actor, now_ms)).await?,
        };
        if let Some(note) = note {
            let state = (PaymentState::Captured, refusal.is_none());
            self.note_payment((&order, note), state, now_ms, DOING).await?;
        }
        let state = if refusal.is_none() { OrderState::Paid } else { OrderState::Unapplied };
        let settle = SETTLE.postgres();
        with_tx!(&mut *self, |db| {
            sqlx::query(settle).bind(order.id.0).bind(state.as_str()).bind(now_ms).execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING))?;
        let details = serde_json::json!({
            "kind": order.terms.kind.as_str(), "plan": order.terms.plan, "addon": order.terms.addon,
            "amountCents": order.terms.amount_cents, "currency": order.terms.currency, "status": state.as_str(),
        });
        let deed = Deed {
            action: "order.paid".to_owned(),
            subject: order.id.to_string(),
            tenant_id: Some(order.tenant_id),
            details,
        };
        self.write_deed(actor, &deed, now_ms, DOING).await?;
        let order = Box::new(OrderRecord { state, paid_at_ms: Some(now_ms), ..order });
        if let Some(refusal) = refusal {
            return Ok(Confirmed::Unapplied(order, refusal));
        }
        self.write_invoice(&order, now_ms, DOING).await?;
        Ok(Confirmed::Applied(order))
    }

    /// Says why an order can get nothing, if that is known before it is tried.
    async fn may_apply(&mut self, order: &OrderRecord) -> Result<Option<String>, StoreError> {
        let lapsed = || Some("The order has lapsed.".to_owned());
        if order.state == OrderState::Lapsed {
            return Ok(lapsed());
        }
        match &order.terms.coupon {
            Some(code) if !self.keeps_coupon(code, order, DOING).await? => Ok(lapsed()),
            _ => Ok(None),
        }
    }

    /// Gives an order what it is for; says why not, if it can not.
    async fn apply_order(
        &mut self,
        order: &OrderRecord,
        (actor, now_ms): (&Actor, i64),
    ) -> Result<Option<String>, StoreError> {
        let (tenant_id, terms) = (order.tenant_id, &order.terms);
        let event = match terms.kind {
            OrderKind::Period => Event::Paid { plan: terms.plan.clone() },
            OrderKind::Upgrade => Event::Upgraded { plan: terms.plan.clone() },
            OrderKind::Addon => return self.apply_addon(order, (actor, now_ms)).await,
        };
        let held = self.hold_subscription(tenant_id, Some(&terms.plan), now_ms, DOING).await?;
        let before = held.map_or_else(|| Subscription::none(&terms.plan), |held| held.subscription);
        let after = match before.step(&event, now_ms) {
            Ok(step) => step.after,
            Err(refused) => return Ok(Some(refused.to_string())),
        };
        // Before the limits are worked out: what was paid for again is among them, also if it had ended.
        let until_ms = after.next.and_then(|next| next.until_ms).or(after.ends_at_ms).unwrap_or(now_ms);
        let renewed: Vec<Uuid> = terms.lines.iter().filter_map(|line| line.renewed_addon_id).collect();
        self.renew_addons(tenant_id, renewed.into_iter(), until_ms, DOING).await?;
        let step = self.step_subscription(tenant_id, &event, (actor, now_ms), DOING).await?;
        Ok(step.err().map(|refused| refused.to_string()))
    }

    async fn apply_addon(
        &mut self,
        order: &OrderRecord,
        (actor, now_ms): (&Actor, i64),
    ) -> Result<Option<String>, StoreError> {
        let held = self.hold_subscription(order.tenant_id, None, now_ms, DOING).await?;
        let running = held.map(|held| held.subscription).filter(|it| it.state == SubscriptionState::Active);
        let until_ms = running.and_then(|it| it.ends_at_ms).filter(|ends_at_ms| now_ms < *ends_at_ms);
        let Some((until_ms, addon)) = until_ms.zip(order.terms.addon.as_deref()) else {
            return Ok(Some("The subscription does not run any more.".to_owned()));
        };
        self.give_addon((order.tenant_id, addon), (now_ms, until_ms), DOING).await?;
        let deed = Deed {
            action: "addon.added".to_owned(),
            subject: addon.to_owned(),
            tenant_id: Some(order.tenant_id),
            details: serde_json::json!({ "untilMs": until_ms }),
        };
        self.write_deed(actor, &deed, now_ms, DOING).await?;
        Ok(None)
    }
}
