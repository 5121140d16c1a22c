//! Journal entries in short form. Writes nothing itself.

use actiwapi_dispatcher::domain::attempt::Outcome;
use actiwapi_dispatcher::domain::campaign::PassOver;
use actiwapi_dispatcher::domain::failure::{Failure, FailureClass, Handling, Reason, Retry, Scope};
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, SessionId};
use actiwapi_dispatcher::domain::receipt::{Receipt, ReceiptKind};
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::journal::{Begin, End, Ended, JournalBatch, Written};

/// The stream that entries are for, and the time they are made at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entries {
    pub(crate) session_id: SessionId,
    pub(crate) campaign_id: CampaignId,
    pub(crate) at_ms: i64,
}

impl Entries {
    pub(crate) fn begin(&self, delivery_id: DeliveryId, attempt_no: u32) -> Begin {
        let Self { session_id, campaign_id, at_ms } = *self;
        Begin {
            delivery_id,
            campaign_id,
            session_id,
            attempt_no,
            started_at_ms: at_ms,
            settings_version: 1,
            recipient: Recipient::from_stored("919800000000").expect("a stored phone number"),
            pass_over: PassOver::default(),
        }
    }

    pub(crate) fn end(&self, delivery_id: DeliveryId, attempt_no: u32, ended: Ended) -> End {
        let Self { session_id, campaign_id, at_ms } = *self;
        let (ended_at_ms, due_at_ms, is_try) = (at_ms, at_ms + 5_000, !matches!(ended, Ended::Withdrawn));
        End { delivery_id, campaign_id, session_id, attempt_no, ended, ended_at_ms, due_at_ms, is_try }
    }

    pub(crate) fn receipt(&self, delivery_id: DeliveryId, kind: ReceiptKind) -> Receipt {
        let failure = (kind == ReceiptKind::Failed).then(limit);
        Receipt { delivery_id, kind, at_ms: self.at_ms, provider_message_id: Some("wamid.R".to_owned()), failure }
    }
}

/// Writes attempts that begin, and checks that all of them hold.
pub(crate) async fn begin(store: &Store, begins: Vec<Begin>) {
    let n = begins.len();
    let written = write(store, JournalBatch { begins, ..JournalBatch::default() }).await;
    assert_eq!(written.begun.len(), n);
}

pub(crate) async fn end(store: &Store, ends: Vec<End>) -> Written {
    write(store, JournalBatch { ends, ..JournalBatch::default() }).await
}

pub(crate) async fn receive(store: &Store, receipts: Vec<Receipt>) -> Written {
    write(store, JournalBatch { receipts, ..JournalBatch::default() }).await
}

pub(crate) async fn write(store: &Store, batch: JournalBatch) -> Written {
    store.write_journal(&batch).await.expect("write the journal")
}

pub(crate) fn accepted() -> Ended {
    Ended::Outcome(Outcome::Accepted { provider_message_id: "wamid.A".to_owned() })
}

pub(crate) fn deferred() -> Ended {
    Ended::Outcome(Outcome::Deferred(limit()))
}

pub(crate) fn rejected() -> Ended {
    Ended::Outcome(Outcome::Rejected(unavailable()))
}

/// A refusal for good, for a reason that another try may not have.
pub(crate) fn rejected_by_limit() -> Ended {
    Ended::Outcome(Outcome::Rejected(limit()))
}

pub(crate) fn unknown() -> Ended {
    Ended::Outcome(Outcome::Unknown(Failure { reason: Reason::OutcomeUnknown, ..unavailable() }))
}

/// A failure that counts as a limit.
pub(crate) fn limit() -> Failure {
    Failure {
        class: FailureClass::LimitExceeded,
        reason: Reason::Throughput,
        scope: Scope::Number,
        retry: Retry::Never,
        handling: Handling::Throttle,
        provider_code: Some("graph:130429".to_owned()),
    }
}

fn unavailable() -> Failure {
    Failure {
        class: FailureClass::WhatsappUnavailable,
        reason: Reason::RecipientUnreachable,
        scope: Scope::Recipient,
        retry: Retry::Never,
        handling: Handling::FailMessage,
        provider_code: Some("graph:131026".to_owned()),
    }
}
