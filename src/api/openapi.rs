//! The frame of the OpenAPI document: title, tags, credentials, and the schemas that routes do not register.
//!
//! What an operation takes and answers stands at its handler.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::Value;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, Schema};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{Modify, OpenApi};

use super::error::{Code, FailureBody};
use super::external::{SECURITY_SCHEME, operations};
use super::roles;

/// The document without its operations.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "ActiWAPI",
        description = "Bulk messages over WhatsApp: sessions, campaigns, messages. Every path also answers without its \
                       `/v1`. Answers are `{success, data}`, lists have `pagination` beside `data`, and failures are \
                       `{success: false, code, message, errors}`. Every answer carries `x-request-id`; \
                       `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds until all are there again) tell how \
                       many requests are taken from you."
    ),
    servers((url = "/")),
    tags(
        (name = "auth", description = "Registration and tokens."),
        (name = "team", description = "The tenant, who works for it and as what, and who changed what."),
        (name = "api-keys", description = "Keys of programs that call the operations under `/external`."),
        (name = "sessions", description = "WhatsApp identities that can send."),
        (name = "messages", description = "Single messages and what became of them."),
        (name = "campaigns", description = "One message to many recipients."),
        (name = "billing", description = "What was used of the plan."),
        (name = "external", description = "For programs: the key goes into `X-API-Key` and must have the scope that \
            the operation names."),
        (name = "webhooks", description = "Addresses at which you are told what happens, by Standard Webhooks."),
        (name = "contacts", description = "People you know, who of them wants your campaigns, and files of them."),
        (name = "contact groups", description = "Contacts that belong together."),
        (name = "media", description = "Files that are sent along."),
        (name = "templates", description = "Messages that are kept to be sent again."),
        (name = "analytics", description = "What happened, day by day in UTC. Sums are a few seconds behind."),
        (name = "logs", description = "Requests that were made to this API."),
        (name = "provider", description = "Calls that the provider makes."),
        (name = "ops", description = "How the work is divided among nodes; for those who run the platform."),
        (name = "system", description = "State and description of this service."),
    ),
    components(schemas(Code, FailureBody)),
    modifiers(&Credentials),
)]
pub struct Frame;

/// Gives every answer a description, which the format asks for: its status in words where the handler gives none.
pub fn describe_answers(document: &mut utoipa::openapi::OpenApi) {
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        for (status, response) in &mut operation.responses.responses {
            let RefOr::T(response) = response else { continue };
            if response.description.is_empty() {
                let reason = status.parse().ok().and_then(|code: StatusCode| code.canonical_reason());
                response.description = reason.unwrap_or("As described.").to_owned();
            }
        }
    }
}

/// Documents `PUT` beside `PATCH`: it does the same, for clients that know no other.
pub fn document_puts(document: &mut utoipa::openapi::OpenApi) {
    for item in document.paths.paths.values_mut() {
        let Some(patch) = &item.patch else { continue };
        let mut put = patch.clone();
        put.operation_id = patch.operation_id.as_ref().map(|id| format!("{id}_by_put"));
        item.put = Some(put);
    }
}

/// Refuses in the document what the front refuses: fields of bodies that it does not know.
pub fn close_bodies(document: &mut utoipa::openapi::OpenApi) {
    let bodies =
        document.paths.paths.values_mut().flat_map(operations).filter_map(|it| plain(it.request_body.as_ref()?));
    let contents = bodies.flat_map(|body| body.content.values()).filter_map(plain);
    let names: BTreeSet<String> = contents.filter_map(|content| name_of(content.schema.as_ref()?)).collect();
    let Some(components) = &mut document.components else { return };
    for schema in components.schemas.iter_mut().filter(|(name, _)| names.contains(*name)).map(|(_, schema)| schema) {
        if let RefOr::T(Schema::Object(body)) = schema {
            body.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

fn plain<T>(thing: &RefOr<T>) -> Option<&T> {
    match thing {
        RefOr::T(thing) => Some(thing),
        RefOr::Ref(_) => None,
    }
}

fn name_of(schema: &RefOr<Schema>) -> Option<String> {
    match schema {
        RefOr::Ref(reference) => reference.ref_location.rsplit('/').next().map(str::to_owned),
        RefOr::T(_) => None,
    }
}

/// Says of every operation that has no more to say with which credentials it is called, and whether it is done once.
pub fn describe_operations(document: &mut utoipa::openapi::OpenApi) {
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let mut said = vec![
            operation
                .security
                .iter()
                .flatten()
                .find_map(|needed| asked_by(needed, roles::in_words(operation)))
                .unwrap_or_else(|| "Asks for no credentials.".to_owned()),
        ];
        let named = |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(it) if it.name == "Idempotency-Key");
        if operation.parameters.iter().flatten().any(named) {
            said.push("Done once for the same `Idempotency-Key`.".to_owned());
        }
        let said = said.join(" ");
        match &mut operation.description {
            Some(text) => *text = format!("{text}\n\n{said}"),
            none => *none = Some(said),
        }
    }
}

/// Says what a scheme asks for; a requirement tells what it is only as JSON.
fn asked_by(needed: &SecurityRequirement, roles: Option<String>) -> Option<String> {
    let needed = serde_json::to_value(needed).ok()?;
    let (scheme, scopes) = needed.as_object()?.iter().next()?;
    Some(match scopes.get(0).and_then(Value::as_str) {
        Some(scope) => format!("Asks for a key with the scope `{scope}`."),
        None if scheme == SECURITY_SCHEME => "Asks for a key.".to_owned(),
        None => match roles {
            Some(roles) => format!("Asks for a token of {roles}."),
            None => "Asks for a token.".to_owned(),
        },
    })
}

/// Lets `data` of answers refer to the schema of what is in it, which the derive writes out again for each.
pub fn refer_to_data(document: &mut utoipa::openapi::OpenApi) {
    let Some(components) = &mut document.components else { return };
    let known: BTreeSet<String> = components.schemas.keys().cloned().collect();
    for (name, schema) in &mut components.schemas {
        let Some((_, inner)) = name.split_once('_').filter(|(form, _)| ["Envelope", "Paged"].contains(form)) else {
            continue;
        };
        let inner = inner.strip_prefix("Vec_").unwrap_or(inner);
        let RefOr::T(Schema::Object(answer)) = schema else { continue };
        let Some(data) = answer.properties.get_mut("data").filter(|_| known.contains(inner)) else { continue };
        let reference = Ref::from_schema_name(inner);
        match data {
            RefOr::T(Schema::Array(list)) => list.items = ArrayItems::RefOrSchema(Box::new(reference.into())),
            data => *data = reference.into(),
        }
    }
}

/// The two kinds of credentials: tokens of people, keys of programs.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("JWT".to_owned());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        let key = ApiKeyValue::with_description("X-API-Key", "A key of `POST /api-keys`; only under `/external`.");
        components.add_security_scheme(SECURITY_SCHEME, SecurityScheme::ApiKey(ApiKey::Header(key)));
    }
}
