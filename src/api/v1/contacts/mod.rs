//! Contacts and their groups: kept, looked for, imported and exported, opted out and in.

use axum::extract::DefaultBodyLimit;
use axum::routing::put;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::api::external::{put_with_key, with_key};
use crate::api::idempotency::once;
use crate::api::{ApiSettings, Shared};
use crate::domain::api_key::Scope;

pub mod crud;

pub mod opting;

pub mod transfer;

pub mod groups;

pub mod members;

pub mod views;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(crud::list_contacts))
        .routes(once(routes!(crud::create_contact)))
        .routes(routes!(crud::get_contact))
        .routes(routes!(crud::update_contact))
        .route("/contacts/{id}", put(crud::update_contact))
        .routes(routes!(crud::delete_contact))
        .routes(routes!(crud::delete_contacts))
        .routes(routes!(crud::validate_phones))
        .routes(routes!(opting::opt_in))
        .routes(routes!(opting::opt_out))
        .routes(routes!(groups::list_groups))
        .routes(once(routes!(groups::create_group)))
        .routes(routes!(groups::get_group))
        .routes(routes!(groups::update_group))
        .route("/contacts/groups/{id}", put(groups::update_group))
        .routes(routes!(groups::delete_group))
        .routes(routes!(members::list_group_contacts))
        .routes(routes!(members::add_group_contacts))
        .routes(routes!(members::remove_group_contact))
}

/// Returns the operations for programs.
pub(super) fn external() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(with_key(Scope::ContactsRead, routes!(crud::list_contacts)))
        .routes(with_key(Scope::ContactsWrite, once(routes!(crud::create_contact))))
        .routes(with_key(Scope::ContactsRead, routes!(crud::get_contact)))
        .routes(with_key(Scope::ContactsWrite, routes!(crud::update_contact)))
        .route("/contacts/{id}", put_with_key(Scope::ContactsWrite, crud::update_contact))
        .routes(with_key(Scope::ContactsWrite, routes!(crud::delete_contact)))
}

/// Returns the operations whose bodies flow for as long as they need.
pub(super) fn streams(settings: &ApiSettings) -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(transfer::import_contacts).layer(DefaultBodyLimit::max(settings.upload_bytes_max)))
        .routes(routes!(transfer::export_contacts))
}
