//! For those who run the platform: how the work is divided, what is held back, and who did what.
//!
//! From the database, so every node answers alike; but for the [`node`] itself, and the broker's [`dead_letters`].

use axum::routing::put;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::idempotency::once;
use crate::api::roles::needs;
use crate::domain::ability::Ability;

pub mod partitions;

pub mod lanes;

pub mod levers;

pub mod audit;

pub mod plans;

pub mod offers;

pub mod tenants;

pub mod node;

pub mod dead_letters;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    let operations = OpenApiRouter::default()
        .routes(routes!(partitions::list_partitions))
        .routes(routes!(lanes::list_lanes))
        .routes(routes!(lanes::get_operated_lane))
        .routes(routes!(levers::suspend_lane))
        .routes(routes!(levers::resume_lane))
        .routes(routes!(levers::suspend_session))
        .routes(routes!(levers::resume_session))
        .routes(routes!(levers::suspend_tenant))
        .routes(routes!(levers::resume_tenant))
        .routes(routes!(levers::stop_everything))
        .routes(routes!(levers::start_everything))
        .routes(routes!(levers::list_suspensions))
        .routes(routes!(audit::list_audit))
        .routes(routes!(plans::list_plans))
        .routes(routes!(plans::update_plan))
        .route("/ops/plans/{slug}", put(plans::update_plan))
        .routes(once(routes!(offers::list_coupons, offers::create_coupon)))
        .routes(routes!(offers::update_coupon))
        .route("/ops/coupons/{code}", put(offers::update_coupon))
        .routes(once(routes!(offers::list_all_addons, offers::create_addon)))
        .routes(routes!(offers::update_addon))
        .route("/ops/addons/{slug}", put(offers::update_addon))
        .routes(routes!(offers::list_orders))
        .routes(routes!(offers::confirm_order))
        .routes(routes!(tenants::get_tenant))
        .routes(routes!(tenants::set_subscription))
        .routes(routes!(node::get_ledger))
        .routes(routes!(node::drain_node))
        .routes(routes!(dead_letters::list_dead_letters))
        .routes(routes!(dead_letters::replay_dead_letter));
    needs(Ability::Operate, operations)
}
