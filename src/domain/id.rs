//! Ids, one type per thing, so that two of them cannot be mixed up.
//!
//! All are UUIDs; new ones are version 7, ordered by time, so that inserts stay at the right-hand
//! end of every index. Makes no id by itself: whoever creates a thing passes its time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Makes a new id, ordered by the time of the call.
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// Names a customer whose data is kept apart.
    TenantId,
    /// Names a person who may log in.
    UserId,
    /// Names one WhatsApp identity that can send.
    SessionId,
    /// Names a campaign.
    CampaignId,
    /// Names somebody whom a tenant knows.
    ContactId,
    /// Names contacts that belong together.
    GroupId,
    /// Names one record on the job topic.
    JobId,
    /// Names one delivery; also the token that the provider echoes in receipts.
    DeliveryId,
    /// Names the key of a program that calls the API.
    ApiKeyId,
    /// Names one address that a tenant is told things at.
    WebhookId,
    /// Names one thing told at one address, however often it is tried.
    WebhookDeliveryId,
    /// Names a file that is sent along.
    MediaId,
    /// Names a message kept to be sent again.
    TemplateId,
    /// Names the invitation of somebody to a tenant's team.
    InvitationId,
    /// Names something that a tenant wants to pay for.
    OrderId,
    /// Names a payment.
    PaymentId,
    /// Names an invoice.
    InvoiceId,
    /// Names what a tenant has beside its plan.
    TenantAddonId,
}

impl CampaignId {
    /// Stands for "no campaign": single messages sent over the API.
    pub const DIRECT: Self = Self(Uuid::nil());

    /// Tells whether this is a real campaign.
    #[must_use]
    pub fn is_direct(self) -> bool {
        self == Self::DIRECT
    }
}
