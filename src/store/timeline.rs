//! What happened to one delivery: attempts, outcomes and receipts as a list of events.
//!
//! Only reads; the journal writes what is read here.

use sqlx::FromRow;

use crate::domain::delivery::DeliveryState;
use crate::domain::failure::{FailureClass, Reason};
use crate::domain::id::{DeliveryId, TenantId};
use crate::store::column::RowPlace;
use crate::store::messages::{DeliveryRecord, Messages};
use crate::store::{Sql, StoreError};
use crate::with_reader;

const ATTEMPTS: Sql = Sql::portable(
    "SELECT a.attempt_no, a.started_at_ms, a.settings_version, o.outcome, o.failure_class, o.reason, o.provider_code, o.ended_at_ms \
     FROM attempts a LEFT JOIN attempt_outcomes o ON o.delivery_id = a.delivery_id AND o.attempt_no = a.attempt_no \
     WHERE a.delivery_id = $1 ORDER BY a.attempt_no",
);

/// One thing that happened to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEvent {
    /// When, UTC milliseconds.
    pub at_ms: i64,
    /// What.
    pub kind: TimelineKind,
}

/// What can stand in a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimelineKind {
    /// We accepted it for later.
    Scheduled,
    /// We accepted it.
    Queued,
    /// An attempt was made durable, just before it was sent.
    AttemptStarted {
        /// Which attempt, from 1.
        attempt_no: i32,
        /// By which version of the session's settings; none on attempts from before there were any.
        settings_version: Option<i64>,
    },
    /// An attempt ended.
    AttemptEnded {
        /// Which attempt, from 1.
        attempt_no: i32,
        /// `accepted`, `deferred`, `rejected`, `unknown` or `withdrawn`.
        outcome: String,
        /// Class of the failure.
        failure_class: Option<FailureClass>,
        /// Reason of the failure.
        reason: Option<Reason>,
        /// The provider's own code.
        provider_code: Option<String>,
    },
    /// The provider reported that it reached the phone.
    Delivered,
    /// The provider reported that it was read.
    Read,
    /// It was settled in a way that no attempt explains: failed by a receipt, skipped, cancelled.
    Settled {
        /// The state it was settled in.
        state: DeliveryState,
        /// Reason of the failure.
        reason: Option<Reason>,
    },
}

impl Messages<'_> {
    /// Tells everything that happened to a delivery of the tenant, each after what it follows from;
    /// what the provider reported carries the time of the provider's clock.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn timeline(
        &self,
        tenant_id: TenantId,
        id: DeliveryId,
    ) -> Result<Option<Vec<TimelineEvent>>, StoreError> {
        let Some(delivery) = self.find(tenant_id, id).await? else {
            return Ok(None);
        };
        let rows = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, AttemptRow>(ATTEMPTS.of(self.store.pool())).bind(id.0).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database("read the attempts of a delivery"))?;
        timeline_of(&delivery, rows).map(Some)
    }
}

/// Puts what is known about a delivery in order.
fn timeline_of(delivery: &DeliveryRecord, attempts: Vec<AttemptRow>) -> Result<Vec<TimelineEvent>, StoreError> {
    let place = RowPlace { table: "attempt_outcomes", key: delivery.id };
    let is_scheduled = delivery.scheduled_at_ms.is_some();
    let kind = if is_scheduled { TimelineKind::Scheduled } else { TimelineKind::Queued };
    let mut events = vec![TimelineEvent { at_ms: delivery.created_at_ms, kind }];
    let mut last_outcome = None;
    for row in attempts {
        let attempt_no = row.attempt_no;
        let kind = TimelineKind::AttemptStarted { attempt_no, settings_version: row.settings_version };
        events.push(TimelineEvent { at_ms: row.started_at_ms, kind });
        let (Some(outcome), Some(at_ms)) = (row.outcome, row.ended_at_ms) else {
            continue;
        };
        last_outcome = Some(outcome.clone());
        let kind = TimelineKind::AttemptEnded {
            attempt_no,
            outcome,
            failure_class: place.word("failure_class", row.failure_class.as_deref(), FailureClass::parse)?,
            reason: place.word("reason", row.reason.as_deref(), Reason::parse)?,
            provider_code: row.provider_code,
        };
        events.push(TimelineEvent { at_ms, kind });
    }
    if let Some(at_ms) = delivery.delivered_at_ms {
        events.push(TimelineEvent { at_ms, kind: TimelineKind::Delivered });
    }
    if let Some(at_ms) = delivery.read_at_ms {
        events.push(TimelineEvent { at_ms, kind: TimelineKind::Read });
    }
    let explained_by = match delivery.state {
        DeliveryState::Failed => Some("rejected"),
        DeliveryState::Unknown => Some("unknown"),
        DeliveryState::Skipped | DeliveryState::Cancelled => None,
        _ => return Ok(events),
    };
    if let Some(at_ms) = delivery.settled_at_ms
        && (explained_by.is_none() || explained_by != last_outcome.as_deref())
    {
        let kind = TimelineKind::Settled { state: delivery.state, reason: delivery.reason };
        events.push(TimelineEvent { at_ms, kind });
    }
    Ok(events)
}

#[derive(FromRow)]
struct AttemptRow {
    attempt_no: i32,
    started_at_ms: i64,
    settings_version: Option<i64>,
    outcome: Option<String>,
    failure_class: Option<String>,
    reason: Option<String>,
    provider_code: Option<String>,
    ended_at_ms: Option<i64>,
}
