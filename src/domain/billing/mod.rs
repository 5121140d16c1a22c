//! Payments and what follows from them: the words of orders, what they cost, and the life of a subscription.
//!
//! Knows no provider of payments and no table.

use serde::{Deserialize, Serialize};

use crate::domain::words::words;

pub mod life_cycle;
pub mod price;

words! {
    /// Who takes the money.
    PaymentProvider {
        /// Razorpay, by its API.
        Razorpay = "razorpay",
        /// Somebody outside; an operator says when it has come.
        Manual = "manual",
    }
}

words! {
    /// What an order is for.
    OrderKind {
        /// A period of a plan.
        Period = "period",
        /// What a dearer plan costs more for the rest of the period.
        Upgrade = "upgrade",
        /// More of one thing for the rest of the period.
        Addon = "addon",
    }
}

words! {
    /// What became of an order.
    OrderState {
        /// It waits for its payment.
        Open = "open",
        /// Another one took its place; a payment still counts.
        Replaced = "replaced",
        /// Its coupon was given back: a payment does not count any more.
        Lapsed = "lapsed",
        /// It was paid and got what it is for.
        Paid = "paid",
        /// It was paid when it could get nothing any more: the money is to be given back.
        Unapplied = "unapplied",
    }
}

words! {
    /// What became of a payment.
    PaymentState {
        /// The money is ours.
        Captured = "captured",
        /// It did not work.
        Failed = "failed",
    }
}

/// One line of an order and of its invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderLine {
    /// What it is, for people.
    pub description: String,
    /// What it costs, in the smallest unit of the order's currency.
    pub amount_cents: i64,
    /// The add-on of the tenant that has another period with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_addon_id: Option<uuid::Uuid>,
}

/// Writes the number of an invoice.
#[must_use]
pub fn invoice_number(invoice_no: i64) -> String {
    format!("INV-{invoice_no:06}")
}
