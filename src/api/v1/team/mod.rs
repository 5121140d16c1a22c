//! The tenant, who works for it and as what, and who changed what.

use axum::routing::put;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::idempotency::once;
use crate::api::roles::needs;
use crate::domain::ability::Ability;

pub mod tenant;

pub mod members;

pub mod invitations;

pub mod audit_logs;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    let of_owners =
        OpenApiRouter::default().routes(routes!(tenant::update_tenant)).route("/tenant", put(tenant::update_tenant));
    let of_managers = OpenApiRouter::default()
        .routes(once(routes!(invitations::invite_member)))
        .routes(routes!(invitations::list_invitations))
        .routes(routes!(invitations::withdraw_invitation))
        .routes(routes!(members::update_member, members::remove_member))
        .route("/team/{userId}", put(members::update_member));
    OpenApiRouter::default()
        .routes(routes!(tenant::get_own_tenant))
        .routes(routes!(members::list_members))
        .routes(routes!(invitations::accept_invitation))
        .merge(needs(Ability::ManageTenant, of_owners))
        .merge(needs(Ability::ManageTeam, of_managers))
        .merge(needs(Ability::TransferOwnership, OpenApiRouter::default().routes(routes!(members::make_owner))))
        .merge(needs(Ability::ReadAudit, OpenApiRouter::default().routes(routes!(audit_logs::list_audit_logs))))
}

/// Returns the operation whose answer flows for as long as it needs.
pub(super) fn streams() -> OpenApiRouter<Shared> {
    needs(Ability::ReadAudit, OpenApiRouter::default().routes(routes!(audit_logs::export_audit_logs)))
}
