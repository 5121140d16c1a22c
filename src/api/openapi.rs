//! The frame of the OpenAPI document: title, tags, credentials, and the schemas that routes do not register.
//!
//! What an operation takes and answers stands at its handler.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::error::{Code, FailureBody};

/// The document without its operations.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "ActiWAPI",
        description = "Bulk messages over WhatsApp: sessions, campaigns, messages. Every path also answers without its \
                       `/v1`. Answers are `{success, data}`, lists have `pagination` beside `data`, and failures are \
                       `{success: false, code, message, errors}`. Every answer carries `x-request-id`."
    ),
    tags(
        (name = "auth", description = "Registration and tokens."),
        (name = "sessions", description = "WhatsApp identities that can send."),
        (name = "messages", description = "Single messages and what became of them."),
        (name = "campaigns", description = "One message to many recipients."),
        (name = "provider", description = "Calls that the provider makes."),
        (name = "system", description = "State and description of this service."),
    ),
    components(schemas(Code, FailureBody)),
    modifiers(&Bearer),
)]
pub struct Frame;

/// The one kind of credentials.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("JWT".to_owned());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}
