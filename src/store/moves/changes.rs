//! What the moves of one transaction are to those who follow deliveries from outside.
//!
//! One change for each delivery at most: from its state before the transaction to the one after it. Between
//! `pending` and `sending` nothing is told: attempts come and go there, and the delivery is still to be sent.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::{DeliveryRow, Moves, Moving};
use crate::domain::delivery::DeliveryState;
use crate::domain::event::{EVENT_VERSION, StateChange};
use crate::domain::id::TenantId;
use crate::store::events::event_time;

impl Moves<'_> {
    /// Returns the tenants of whose deliveries anything is told.
    pub(super) fn told_tenants(&self) -> BTreeSet<TenantId> {
        self.rows.iter().filter(|moving| moving.is_told()).map(|moving| moving.now.tenant_id).collect()
    }

    /// Returns the changes that are told; those whose time is not known have the given one.
    pub(super) fn changes(&self, written_at: OffsetDateTime) -> Vec<StateChange> {
        self.rows.iter().filter(|moving| moving.is_told()).map(|moving| moving.change(written_at)).collect()
    }
}

impl Moving {
    fn is_told(&self) -> bool {
        let waits = |row: &DeliveryRow| !row.state.is_settled();
        self.was.state != self.now.state && !(waits(&self.was) && waits(&self.now))
    }

    fn change(&self, written_at: OffsetDateTime) -> StateChange {
        let now = &self.now;
        // Elsewhere a row may still hold the failure of an earlier attempt.
        let is_failure = matches!(now.state, DeliveryState::Failed | DeliveryState::Skipped | DeliveryState::Unknown);
        StateChange {
            v: EVENT_VERSION,
            event_id: None,
            delivery_id: now.delivery_id,
            tenant_id: now.tenant_id,
            session_id: now.session_id,
            campaign_id: (!now.campaign_id.is_direct()).then_some(now.campaign_id),
            state: now.state,
            from: Some(self.was.state),
            attempt: now.n_attempts,
            failure_class: now.class.filter(|_| is_failure),
            reason: now.reason.clone().filter(|_| is_failure),
            provider_code: now.provider_code.clone().filter(|_| is_failure),
            at: now.moved_at_ms.map_or(written_at, event_time),
        }
    }
}
