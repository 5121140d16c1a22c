//! The frame of the OpenAPI document: title, tags, credentials, and the schemas that routes do not register.
//!
//! What an operation takes and answers stands at its handler.

use axum::http::StatusCode;
use utoipa::openapi::RefOr;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::error::{Code, FailureBody};
use super::external::{SECURITY_SCHEME, operations};

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
    tags(
        (name = "auth", description = "Registration and tokens."),
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
