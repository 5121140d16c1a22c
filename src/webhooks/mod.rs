//! Delivers to tenants' webhooks what is queued for them, at least once and under one name.
//!
//! Several nodes share the work by leases of addresses. A turn at an address ends after a while, so that its lease never
//! runs out under an attempt, and that others have theirs. Queues nothing and knows no rule about what is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::client::Poster;
use self::places::Places;
use self::turn::Turn;
use crate::clock::Clock;
use crate::error::chain;
use crate::limits::WEBHOOK_TURNS_MAX;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

pub mod addresses;

mod client;
mod places;
mod turn;

/// How often the queue is looked at when nobody nudges: what is tried again, and what dead nodes left.
const BEAT: Duration = Duration::from_secs(1);

/// Wait after a nudge: transactions of that time are looked at together.
const GATHER: Duration = Duration::from_millis(50);

/// Wait after a failure of the database.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// How long an attempt may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a turn begins attempts.
const TURN_MAX: Duration = Duration::from_secs(10);

/// How long an address belongs to a node: a turn, the attempts begun at its end, and 10 s to record them.
const LEASE: Duration = Duration::from_secs(30);

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub struct CourierSettings {
    /// How long an attempt may take; at most [`TIMEOUT`].
    pub timeout: Duration,
    /// Whether this machine itself may be told things, also without TLS.
    pub allows_loopback: bool,
}

/// Delivers to webhooks.
#[derive(Debug)]
pub struct Courier {
    store: Store,
    clock: Clock,
    metrics: Arc<Metrics>,
    node_id: Uuid,
    poster: Poster,
    places: Places,
}

impl Courier {
    /// Makes one for a node; posts nothing yet.
    #[must_use]
    pub fn new(store: Store, clock: Clock, metrics: Arc<Metrics>, node_id: Uuid, settings: CourierSettings) -> Self {
        let poster = Poster::new(settings.timeout.min(TIMEOUT), settings.allows_loopback);
        Self { store, clock, metrics, node_id, poster, places: Places::default() }
    }

    /// Delivers until told to stop; then what is on the wire ends and is recorded.
    pub async fn run(self, stop: CancellationToken) {
        let courier = Arc::new(self);
        let mut turns = JoinSet::new();
        while !stop.is_cancelled() {
            if let Err(error) = courier.begin_turns(&mut turns, &stop).await {
                courier.metrics.webhooks.failures.inc();
                tracing::warn!(error = chain(&error), "webhooks with work could not be found, will try again");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(BEAT) => {}
                () = courier.store.told().notified() => {
                    stop.run_until_cancelled(tokio::time::sleep(GATHER)).await;
                }
                // It may have ended with something left to do.
                _ = turns.join_next(), if !turns.is_empty() => {}
            }
            while turns.try_join_next().is_some() {}
        }
        while turns.join_next().await.is_some() {}
    }

    /// Begins a turn at each address that has something due and is nobody's, as far as there is room.
    async fn begin_turns(
        self: &Arc<Self>,
        turns: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let room = WEBHOOK_TURNS_MAX.saturating_sub(turns.len());
        if room == 0 {
            return Ok(());
        }
        let now = self.clock.now();
        let limit = u32::try_from(room).unwrap_or(u32::MAX);
        let claims = self.store.claim_webhooks(self.node_id, now.as_ms(), (now + LEASE).as_ms(), limit).await?;
        for claim in claims {
            turns.spawn(Turn::new(Arc::clone(self), claim, now + TURN_MAX, stop.clone()).run());
        }
        Ok(())
    }
}
