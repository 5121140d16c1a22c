//! What the role of whoever calls must allow: said where operations are mounted, checked where callers are taken.
//!
//! Which role may do what is [`crate::domain::ability`]; an operation that nobody says anything of takes looking, and
//! one that does more than read takes writing.

use axum::extract::Request;
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use serde_json::Value;
use utoipa::openapi::path::Operation;
use utoipa_axum::router::OpenApiRouter;

use super::Shared;
use super::external::operations;
use crate::domain::ability::Ability;
use crate::domain::user::Role;

/// Where the document says whose token an operation asks for.
pub const ROLES: &str = "x-roles";

/// What a request takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs(pub(super) Ability);

impl Needs {
    /// Returns what a request takes.
    pub(super) fn of(parts: &Parts) -> Ability {
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        parts.extensions.get::<Self>().map_or_else(|| usual(reads), |needs| needs.0)
    }
}

fn usual(reads: bool) -> Ability {
    if reads { Ability::Look } else { Ability::Write }
}

/// Lets operations be called by those only who have the ability.
pub(super) fn needs(ability: Ability, router: OpenApiRouter<Shared>) -> OpenApiRouter<Shared> {
    let mut router = router.layer(from_fn(move |request, next| mark(ability, request, next)));
    for operation in router.get_openapi_mut().paths.paths.values_mut().flat_map(operations) {
        show(operation, ability);
    }
    router
}

async fn mark(ability: Ability, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Needs(ability));
    next.run(request).await
}

fn show(operation: &mut Operation, ability: Ability) {
    let roles: Vec<Value> = ability.roles().iter().map(|role| role.as_str().into()).collect();
    operation.extensions.get_or_insert_default().entry(ROLES.to_owned()).or_insert_with(|| roles.into());
}

/// Says of the operations that people call whose token they take.
pub fn describe(document: &mut utoipa::openapi::OpenApi) {
    for item in document.paths.paths.values_mut() {
        for (reads, operation) in
            [(true, &mut item.get), (false, &mut item.post), (false, &mut item.patch), (false, &mut item.delete)]
        {
            let Some(operation) = operation else { continue };
            let needed = serde_json::to_value(&operation.security).unwrap_or_default();
            if needed[0]["bearer"].is_array() {
                show(operation, usual(reads));
            }
        }
    }
}

fn roles_of(operation: &Operation) -> Option<&Value> {
    operation.extensions.as_ref()?.get(ROLES)
}

/// Says whose token an operation takes; none where everybody's will do.
pub(super) fn in_words(operation: &Operation) -> Option<String> {
    let words: Vec<&str> = roles_of(operation)?.as_array()?.iter().filter_map(Value::as_str).collect();
    let (last, others) = words.split_last()?;
    if words.len() == Role::ALL.len() {
        return None;
    }
    Some(if others.is_empty() { format!("an {last}") } else { format!("an {} or {last}", others.join(", ")) })
}
