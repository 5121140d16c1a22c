//! Messages made of a template: the provider's, or one that the tenant keeps.

use utoipa::ToSchema;

use super::media::SentMediaView;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json};
use crate::domain::id::{SessionId, TemplateId};
use crate::domain::message::Variables;
use crate::service::made_messages::{ChosenTemplate, NewTemplateMessage, SingleTo};

/// A template to send: either `templateId` with `variables`, or `name` and `language` with `parameters`.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct SendTemplateBody {
    /// Which session sends.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// Number with country code; `+`, spaces and dashes may stand in it.
    #[schema(example = "919876543210")]
    to: String,
    /// One of your templates.
    #[schema(value_type = Option<uuid::Uuid>)]
    template_id: Option<TemplateId>,
    /// What the placeholders of your template stand for.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>, example = json!({"name": "Ana"}))]
    variables: Option<Variables>,
    /// The name of a template that the provider has approved.
    #[schema(example = "order_ready")]
    name: Option<String>,
    /// Its language at the provider.
    #[schema(example = "en_US")]
    language: Option<String>,
    /// Parameters of its body in order, sent as they are.
    #[schema(example = json!(["Ana"]))]
    parameters: Option<Vec<String>>,
}

/// Queues a message made of a template; it overtakes the campaigns of its session.
#[utoipa::path(post, path = "/messages/send-template", tag = "messages", security(("bearer" = [])),
    request_body = SendTemplateBody,
    responses((status = 200, body = Envelope<SentMediaView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn send_template(ctx: CallContext, Json(body): Json<SendTemplateBody>) -> ApiResult<SentMediaView> {
    ok(ctx.services.messages.send_template(ctx.caller.tenant_id, body.into()).await?.into())
}

impl FromFields for SendTemplateBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let session_id = fields.required("sessionId");
        let to = fields.required("to");
        let template_id: Option<Option<TemplateId>> = fields.optional("templateId");
        let variables: Option<Option<Variables>> = fields.optional("variables");
        let name: Option<Option<String>> = fields.optional("name");
        let language: Option<Option<String>> = fields.optional("language");
        let parameters: Option<Option<Vec<String>>> = fields.optional("parameters");
        let is_given = |given: bool, name, fields: &mut Fields| {
            if given {
                fields.refuse(name, "does not go with templateId");
            }
        };
        match &template_id {
            Some(Some(_)) => {
                is_given(matches!(name, Some(Some(_))), "name", fields);
                is_given(matches!(language, Some(Some(_))), "language", fields);
                is_given(matches!(parameters, Some(Some(_))), "parameters", fields);
            }
            Some(None) => {
                if matches!(name, Some(None)) {
                    fields.refuse("name", "is required without templateId");
                }
                if matches!(language, Some(None)) {
                    fields.refuse("language", "is required without templateId");
                }
                if matches!(variables, Some(Some(_))) {
                    fields.refuse("variables", "goes with templateId only");
                }
            }
            None => {}
        }
        Some(Self {
            session_id: session_id?,
            to: to?,
            template_id: template_id?,
            variables: variables?,
            name: name?,
            language: language?,
            parameters: parameters?,
        })
    }
}

impl From<SendTemplateBody> for NewTemplateMessage {
    fn from(body: SendTemplateBody) -> Self {
        let template = match body.template_id {
            Some(id) => ChosenTemplate::Kept { id, variables: body.variables.unwrap_or_default() },
            None => ChosenTemplate::Approved {
                name: body.name.unwrap_or_default(),
                language: body.language.unwrap_or_default(),
                parameters: body.parameters.unwrap_or_default(),
            },
        };
        Self { single: SingleTo { session_id: body.session_id, to: body.to }, template }
    }
}
