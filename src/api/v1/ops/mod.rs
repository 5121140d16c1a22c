//! How the work is divided, for those who run the platform; all from the database, so every node answers alike.
//!
//! Changes nothing.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;

pub mod partitions;

pub mod lanes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default().routes(routes!(partitions::list_partitions)).routes(routes!(lanes::list_lanes))
}
