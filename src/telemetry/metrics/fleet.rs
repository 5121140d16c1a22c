//! Metrics of all that is in the database, whichever node does it.
//!
//! Counted by the node that owns the first partition, 0 on the others: the sum over the nodes is the number.

use prometheus::IntGauge;

use super::kind::{WordGauges, metrics};
use crate::domain::campaign::CampaignState;
use crate::domain::plan::SubscriptionState;
use crate::domain::session::SessionState;

metrics! {
    /// How sessions, campaigns and plans stand.
    pub struct FleetMetrics {
        /// Sessions by state.
        sessions: WordGauges = "dispatcher_fleet_sessions", ("state", || SessionState::ALL.map(SessionState::as_str).into());
        /// Campaigns by state.
        campaigns: WordGauges = "dispatcher_fleet_campaigns", ("state", || CampaignState::ALL.map(CampaignState::as_str).into());
        /// Deliveries of campaigns and of single messages, by what is open about them; those of paused campaigns that would be pending are paused.
        deliveries: WordGauges = "dispatcher_fleet_deliveries", ("state", || vec!["pending", "paused", "sending", "unknown"]);
        /// Subscriptions by state.
        subscriptions: WordGauges = "dispatcher_fleet_subscriptions", ("state", || SubscriptionState::ALL.iter().map(|state| state.as_str()).collect());
        /// Messages of the plans that have a limit, all tenants together: what may be sent in the period, what was, and what is kept for deliveries.
        plan_messages: WordGauges = "dispatcher_fleet_plan_messages", ("kind", || vec!["limit", "used", "reserved"]);
        /// Tenants that have deliveries waiting for messages of their plan.
        tenants_exhausted: IntGauge = "dispatcher_fleet_tenants_exhausted", ();
        /// Levers that operators have pulled and that hold something.
        suspensions: WordGauges = "dispatcher_fleet_suspensions", ("scope", || vec!["everything", "tenant", "session", "lane"]);
    }
}
