//! Payments told by the payer's page, by the provider's server, or by an operator: all lead to the same.

use super::BillingService;
use super::razorpay::{is_name, read_telling};
use crate::domain::billing::PaymentProvider;
use crate::domain::billing::PaymentState;
use crate::domain::id::{OrderId, TenantId};
use crate::error::{Error, Problems, Result};
use crate::notice::Notice;
use crate::store::audit::Actor;
use crate::store::billing::confirm::{Confirmation, Confirmed, OrderName};
use crate::store::billing::orders::OrderRecord;
use crate::store::billing::payments::PaymentNote;

/// Characters of the name of what a provider tells, at most.
const EVENT_CHARS_MAX: usize = 200;

/// What the payer's page tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// Razorpay's name of the order.
    pub order: String,
    /// Razorpay's name of the payment.
    pub payment: String,
    /// Proves that both are what they are.
    pub signature: String,
}

/// What came of what the provider's server told: a word of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The order got what it is for.
    Applied,
    /// It was known before.
    Repeated,
    /// The money is noted, and is to be given back.
    Unapplied,
    /// That the payment did not work is noted.
    Failed,
    /// It is about no order of ours.
    UnknownOrder,
    /// It is about another sum or currency than was asked for.
    Differs,
    /// It is about nothing that matters here.
    Ignored,
}

impl Taken {
    /// Returns the word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Repeated => "repeated",
            Self::Unapplied => "unapplied",
            Self::Failed => "failed",
            Self::UnknownOrder => "unknown_order",
            Self::Differs => "differs",
            Self::Ignored => "ignored",
        }
    }
}

impl BillingService {
    /// Takes what the payer's page tells; returns the order, which has what it is for.
    ///
    /// # Errors
    /// `Validation`; `Unauthorized` when the signature is wrong; `NotFound` when the order is not the tenant's;
    /// `Conflict` when the payment is not there yet, is another one, or the order can get nothing for it; `Unavailable`
    /// when the provider can not be asked: its server tells it as well.
    pub async fn verify(&self, tenant_id: TenantId, callback: &Callback, actor: &Actor) -> Result<OrderRecord> {
        let mut problems = Problems::default();
        for (field, name) in [("razorpay_order_id", &callback.order), ("razorpay_payment_id", &callback.payment)] {
            if !is_name(name) {
                problems.push(field, "must be a name that Razorpay gave");
            }
        }
        problems.check()?;
        let razorpay = self.razorpay.as_deref().ok_or_else(not_by_razorpay)?;
        if !razorpay.is_callback_signed(&callback.order, &callback.payment, &callback.signature) {
            return Err(Error::Unauthorized);
        }
        let order = self.tools.store.billing().order_of(tenant_id, &callback.order).await?;
        let order = order.ok_or(Error::NotFound("order"))?;
        // The signature says whose payment it is and nothing of its sum, nor whether the money is ours.
        let payment = razorpay.payment(&callback.payment).await?;
        if payment.id != callback.payment || payment.order_id.as_deref() != Some(&callback.order) {
            return Err(Error::conflict("The payment is for another order."));
        }
        if payment.status != "captured" {
            return Err(Error::conflict("The payment has not come yet; it counts as soon as it has."));
        }
        let note = payment.note();
        let confirmation = Confirmation {
            order: OrderName::Own(order.id),
            payment: Some(&note),
            state: PaymentState::Captured,
            event: None,
        };
        self.confirm(&confirmation, actor).await?.ok_or(Error::NotFound("order"))
    }

    /// Takes what the provider's server tells; `event` names it where it comes again.
    ///
    /// # Errors
    /// `Unauthorized` when the signature is wrong, `Validation` by the field `body` when it is not of its form; nothing
    /// is stored then.
    pub async fn take_webhook(&self, body: &[u8], signature: &str, event: Option<&str>) -> Result<Taken> {
        let razorpay = self.razorpay.as_deref().ok_or(Error::Unauthorized)?;
        if !razorpay.is_webhook_signed(body, signature) {
            return Err(Error::Unauthorized);
        }
        let told = read_telling(body).map_err(|_| Error::invalid("body", "is not what Razorpay tells"))?;
        let Some(told) = told else { return Ok(Taken::Ignored) };
        let Some(order) = told.payment.order_id.clone().filter(|order| is_name(order)) else {
            return Ok(Taken::UnknownOrder);
        };
        if !is_name(&told.payment.id) {
            return Err(Error::invalid("body", "is not what Razorpay tells"));
        }
        let note = told.payment.note();
        let event =
            event.filter(|event| event.len() <= EVENT_CHARS_MAX && event.bytes().all(|it| it.is_ascii_graphic()));
        let confirmation =
            Confirmation { order: OrderName::Provider(&order), payment: Some(&note), state: told.state, event };
        let now_ms = self.tools.clock.now().as_ms();
        let confirmed = self.tools.store.billing().confirm(&confirmation, &Actor::SYSTEM, now_ms).await?;
        self.tell(&confirmed);
        Ok(match confirmed {
            Confirmed::Applied(_) => Taken::Applied,
            Confirmed::Before(_) | Confirmed::Seen => Taken::Repeated,
            Confirmed::Unapplied(..) => Taken::Unapplied,
            Confirmed::Failed => Taken::Failed,
            Confirmed::Unknown => Taken::UnknownOrder,
            Confirmed::Differs => Taken::Differs,
        })
    }

    /// Says that the money for an order has come some other way; for operators.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the order can get nothing for it.
    pub async fn confirm_by_hand(&self, id: OrderId, actor: &Actor) -> Result<OrderRecord> {
        let order = self.tools.store.billing().order(id).await?.ok_or(Error::NotFound("order"))?;
        let note = PaymentNote {
            provider: PaymentProvider::Manual,
            name: id.to_string(),
            amount_cents: order.terms.amount_cents,
            currency: order.terms.currency,
        };
        let confirmation = Confirmation {
            order: OrderName::Own(id),
            payment: Some(&note),
            state: PaymentState::Captured,
            event: None,
        };
        self.confirm(&confirmation, actor).await?.ok_or(Error::NotFound("order"))
    }

    /// Gives an order what it is for; returns it as it is then, or none where there is no such order.
    pub(super) async fn confirm(&self, confirmation: &Confirmation<'_>, actor: &Actor) -> Result<Option<OrderRecord>> {
        let now_ms = self.tools.clock.now().as_ms();
        let confirmed = self.tools.store.billing().confirm(confirmation, actor, now_ms).await?;
        self.tell(&confirmed);
        match confirmed {
            Confirmed::Applied(order) | Confirmed::Before(order) => Ok(Some(*order)),
            Confirmed::Unapplied(_, why) => {
                Err(Error::conflict(format!("The payment is noted and will be given back. {why}")))
            }
            Confirmed::Differs => Err(Error::conflict("The payment is of another sum or currency than the order.")),
            Confirmed::Unknown | Confirmed::Failed | Confirmed::Seen => Ok(None),
        }
    }

    fn tell(&self, confirmed: &Confirmed) {
        match confirmed {
            Confirmed::Applied(order) => {
                tracing::info!(order.id = %order.id, tenant.id = %order.tenant_id, "an order was paid");
                self.tools.notices.tell(Notice::TenantChanged(order.tenant_id));
            }
            Confirmed::Unapplied(order, why) => {
                tracing::warn!(order.id = %order.id, why, "a payment is to be given back");
            }
            Confirmed::Differs => tracing::warn!("a payment is of another sum or currency than its order"),
            Confirmed::Before(_) | Confirmed::Failed | Confirmed::Seen | Confirmed::Unknown => {}
        }
    }
}

fn not_by_razorpay() -> Error {
    Error::conflict("Payments are not taken by Razorpay here; an operator says when yours has come.")
}
