//! The provider's side: one request, one outcome.
//!
//! A failed send is an [`Outcome`], never an error. Only `dispatch::lane::task` calls it. What a session needs besides, such
//! as being paired, is [`connector`]. Knows no pace and no database.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::clock::{Deadline, Moment};
use crate::domain::attempt::Outcome;
use crate::domain::id::{DeliveryId, SessionId};
use crate::domain::message::Content;
use crate::domain::recipient::Recipient;

pub mod cloud;

pub mod connector;

pub mod by_number;

pub mod linked;

mod http;

mod stamped;

mod uploads;

pub mod classify;

#[cfg(test)]
mod tests;

/// Who sends, as the provider's side knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// A number of the Cloud API, by the provider's name of it.
    Number(Arc<str>),
    /// A linked device.
    Device {
        /// The session that it is.
        session_id: SessionId,
        /// Its number.
        number: Arc<str>,
    },
}

impl Sender {
    /// Returns the provider's name of the number; that of a linked device is the number itself.
    #[must_use]
    pub fn number(&self) -> &Arc<str> {
        match self {
            Self::Number(number) | Self::Device { number, .. } => number,
        }
    }
}

/// One message on its way out.
#[derive(Debug, Clone)]
pub struct SendRequest {
    /// Who sends it.
    pub sender: Sender,
    /// Who gets it.
    pub recipient: Recipient,
    /// What it says.
    pub content: Content,
    /// Echoed by the provider in every receipt.
    pub token: DeliveryId,
    /// Whether it is a message of its own, and not one of a campaign with others like it.
    pub is_single: bool,
    /// Until when its bytes may leave: another node may send for this number from then on.
    pub deadline: Deadline,
}

/// What came of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How the attempt ended; `None` when the deadline passed before its bytes left.
    pub outcome: Option<Outcome>,
    /// When its bytes left this process; `None` when none did. A busy machine may let a message
    /// wait between its release and this, and the next one is spaced from here.
    pub left_at: Option<Moment>,
}

/// Sends messages.
pub trait Gateway: Send + Sync {
    /// Sends one message and says what came of it; bounded in time by the gateway itself.
    fn send(&self, request: SendRequest) -> BoxFuture<'_, Answer>;
}
