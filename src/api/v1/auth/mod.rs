//! Registration, log-in, tokens, people's own accounts, and ways back in by mail.

use axum::routing::put;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::roles::needs;
use crate::domain::ability::Ability;

pub mod tokens;

pub mod logout;

pub mod profile;

pub mod recovery;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    let own = OpenApiRouter::default()
        .routes(routes!(logout::logout_all))
        .routes(routes!(profile::update_me))
        .route("/auth/me", put(profile::update_me))
        .routes(routes!(profile::change_password))
        .routes(routes!(recovery::resend_verification));
    OpenApiRouter::default()
        .routes(routes!(tokens::register))
        .routes(routes!(tokens::login))
        .routes(routes!(tokens::refresh))
        .routes(routes!(logout::logout))
        .routes(routes!(profile::get_me))
        .routes(routes!(recovery::forgot_password))
        .routes(routes!(recovery::reset_password))
        .routes(routes!(recovery::verify_email))
        .merge(needs(Ability::OwnAccount, own))
}
