//! Version 1 of the operations: the table of contents.

use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use utoipa_axum::router::OpenApiRouter;

use super::{ApiSettings, Shared, layers};
use crate::limits::SMALL_BODY_BYTES_MAX;

pub mod auth;

pub mod api_keys;

pub mod team;

pub mod billing;

pub mod external;

pub mod sessions;

pub mod messages;

pub mod media;

pub mod templates;

pub mod campaigns;

pub mod webhooks;

pub mod contacts;

pub mod provider;

mod held;

pub mod analytics;

pub mod logs;

pub mod ops;

pub mod system;

/// Returns all operations, with paths relative to their mount.
pub fn routes(settings: &ApiSettings) -> OpenApiRouter<Shared> {
    let timeout = settings.timeout;
    let of_plan = OpenApiRouter::default()
        .merge(sessions::routes())
        .merge(messages::routes())
        .merge(campaigns::routes())
        .merge(external::routes())
        .merge(webhooks::routes())
        .merge(contacts::routes())
        .merge(media::routes())
        .merge(templates::routes())
        .layer(from_fn(layers::count_for_plan));
    OpenApiRouter::default()
        .merge(auth::routes())
        .merge(api_keys::routes())
        .merge(team::routes())
        .merge(billing::routes())
        .merge(analytics::routes())
        .merge(logs::routes())
        .merge(of_plan)
        .merge(provider::routes())
        .merge(ops::routes())
        .merge(system::routes())
        .layer(from_fn(move |request, next| layers::end_late(timeout, request, next)))
        .layer(DefaultBodyLimit::max(SMALL_BODY_BYTES_MAX))
        .merge(campaigns::streams(settings).layer(from_fn(layers::count_for_plan)))
        .merge(contacts::streams(settings).layer(from_fn(layers::count_for_plan)))
        .merge(media::streams(settings).layer(from_fn(layers::count_for_plan)))
        .merge(team::streams())
        .merge(messages::streams(settings).layer(from_fn(layers::count_for_plan)))
        .merge(external::streams(settings).layer(from_fn(layers::count_for_plan)))
}
