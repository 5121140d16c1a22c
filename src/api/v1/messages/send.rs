//! Messages to send; answered when they are durable, not when they are sent.

use utoipa::ToSchema;

use super::views::QueuedView;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json};
use crate::api::v1::campaigns::message::MessageBody;
use crate::domain::id::SessionId;
use crate::domain::message::MessageSpec;
use crate::domain::message::literal::{ContactCard, Degrees, Location};
use crate::service::messages::{NewMessage, NewText};

/// A text to send.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct SendTextBody {
    /// Which session sends.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// Number with country code; `+`, spaces and dashes may stand in it.
    #[schema(example = "919876543210")]
    to: String,
    /// 1 to 4,096 characters, sent as they are.
    #[schema(example = "Your order is on its way.")]
    text: String,
}

/// A place to send.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct SendLocationBody {
    /// Which session sends.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// Number with country code; `+`, spaces and dashes may stand in it.
    #[schema(example = "919876543210")]
    to: String,
    /// North of the equator, -90 to 90; kept to a millionth of a degree.
    #[schema(value_type = f64, example = 18.5204, minimum = -90, maximum = 90)]
    latitude: Degrees,
    /// East of Greenwich, -180 to 180; kept to a millionth of a degree.
    #[schema(value_type = f64, example = 73.8567, minimum = -180, maximum = 180)]
    longitude: Degrees,
    /// What the place is called, 1 to 200 characters.
    #[schema(example = "Rao Textiles")]
    name: Option<String>,
    /// Where it is in words, 1 to 500 characters.
    #[schema(example = "12 MG Road, Pune")]
    address: Option<String>,
}

/// A person's card to send.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct SendContactBody {
    /// Which session sends.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// Number with country code; `+`, spaces and dashes may stand in it.
    #[schema(example = "919876543210")]
    to: String,
    /// What the person is called, 1 to 200 characters.
    #[schema(example = "Ana Rao")]
    name: String,
    /// Their numbers with country code, 1 to 10.
    #[schema(example = json!(["+91 98765 43211"]))]
    phones: Vec<String>,
}

/// A message of any type to send.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct SendBody {
    /// Which session sends.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// Number with country code; `+`, spaces and dashes may stand in it.
    #[schema(example = "919876543210")]
    to: String,
    /// What is sent, as it is: nothing in it is a placeholder.
    message: MessageBody,
}

/// Queues a message of any type; it overtakes the campaigns of its session.
#[utoipa::path(post, path = "/messages/send", tag = "messages", security(("bearer" = [])),
    request_body = SendBody,
    responses((status = 200, body = Envelope<QueuedView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn send_message(ctx: CallContext, Json(body): Json<SendBody>) -> ApiResult<QueuedView> {
    let message = body.message.resolved(&ctx).await?.into();
    let new = NewMessage { session_id: body.session_id, to: body.to, message };
    ok(ctx.services.messages.send_any(ctx.caller.tenant_id, new).await?.into())
}

/// Queues a text; it overtakes the campaigns of its session.
#[utoipa::path(post, path = "/messages/send-text", tag = "messages", security(("bearer" = [])),
    request_body = SendTextBody,
    responses((status = 200, body = Envelope<QueuedView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn send_text(ctx: CallContext, Json(body): Json<SendTextBody>) -> ApiResult<QueuedView> {
    ok(ctx.services.messages.send_text(ctx.caller.tenant_id, body.into()).await?.into())
}

/// Queues a place on the map; it overtakes the campaigns of its session.
#[utoipa::path(post, path = "/messages/send-location", tag = "messages", security(("bearer" = [])),
    request_body = SendLocationBody,
    responses((status = 200, body = Envelope<QueuedView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn send_location(ctx: CallContext, Json(body): Json<SendLocationBody>) -> ApiResult<QueuedView> {
    ok(ctx.services.messages.send(ctx.caller.tenant_id, body.into()).await?.into())
}

/// Queues a person's card; it overtakes the campaigns of its session.
#[utoipa::path(post, path = "/messages/send-contact", tag = "messages", security(("bearer" = [])),
    request_body = SendContactBody,
    responses((status = 200, body = Envelope<QueuedView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn send_contact(ctx: CallContext, Json(body): Json<SendContactBody>) -> ApiResult<QueuedView> {
    ok(ctx.services.messages.send(ctx.caller.tenant_id, body.into()).await?.into())
}

impl FromFields for SendBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let session_id = fields.required("sessionId");
        let to = fields.required("to");
        let message = fields.required("message");
        Some(Self { session_id: session_id?, to: to?, message: message? })
    }
}

impl FromFields for SendTextBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let session_id = fields.required("sessionId");
        let to = fields.required("to");
        let text = fields.required("text");
        Some(Self { session_id: session_id?, to: to?, text: text? })
    }
}

impl From<SendTextBody> for NewText {
    fn from(body: SendTextBody) -> Self {
        Self { session_id: body.session_id, to: body.to, text: body.text }
    }
}

impl FromFields for SendLocationBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let session_id = fields.required("sessionId");
        let to = fields.required("to");
        let latitude = fields.required("latitude");
        let longitude = fields.required("longitude");
        let name = fields.optional("name");
        let address = fields.optional("address");
        Some(Self {
            session_id: session_id?,
            to: to?,
            latitude: latitude?,
            longitude: longitude?,
            name: name?,
            address: address?,
        })
    }
}

impl From<SendLocationBody> for NewMessage {
    fn from(body: SendLocationBody) -> Self {
        let SendLocationBody { session_id, to, latitude, longitude, name, address } = body;
        Self { session_id, to, message: MessageSpec::Location(Location { latitude, longitude, name, address }) }
    }
}

impl FromFields for SendContactBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let session_id = fields.required("sessionId");
        let to = fields.required("to");
        let name = fields.required("name");
        let phones = fields.required("phones");
        Some(Self { session_id: session_id?, to: to?, name: name?, phones: phones? })
    }
}

impl From<SendContactBody> for NewMessage {
    fn from(body: SendContactBody) -> Self {
        let SendContactBody { session_id, to, name, phones } = body;
        Self { session_id, to, message: MessageSpec::Contact(ContactCard { name, phones }) }
    }
}
