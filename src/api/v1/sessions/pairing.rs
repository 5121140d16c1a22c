//! Pairing a session with a phone: by a code that is scanned, or by one that is typed in.

use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;

use super::qr_image;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfProvider, OfState};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::timestamp::Timestamp;
use crate::domain::id::SessionId;
use crate::error::Error;

/// The code that a session waits to be paired by.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QrView {
    /// The session.
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    /// What the picture says, for whoever draws it.
    #[schema(example = "2@4pZ0,k1c3,x8Fq,91ab")]
    qr: String,
    /// The picture, as a data URL of a PNG.
    #[schema(example = "data:image/png;base64,iVBORw0KGgo=")]
    image: String,
    /// When another code takes its place, or pairing ends.
    expires_at: Timestamp,
}

/// The phone that is to be paired.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PairingCodeBody {
    /// Its number with country code.
    #[schema(example = "919876543210")]
    phone_number: String,
}

/// A code to be typed in on the phone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PairingCodeView {
    /// The session.
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    /// As it is typed in: WhatsApp, linked devices, link with phone number.
    #[schema(example = "ABCD-2345")]
    code: String,
    /// The phone that takes it.
    #[schema(example = "919876543210")]
    phone_number: String,
    /// Until when it may be typed in.
    expires_at: Timestamp,
}

impl FromFields for PairingCodeBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { phone_number: fields.required("phoneNumber")? })
    }
}

/// Shows the code to be scanned, as text and as a picture; 409 when no pairing is under way.
#[utoipa::path(get, path = "/whatsapp/{id}/qr", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<QrView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn get_session_qr(ctx: CallContext, Path(id): Path<SessionId>) -> ApiResult<QrView> {
    let qr = ctx.services.sessions.qr(ctx.caller.tenant_id, id).await?;
    let text = qr.code.expose_secret();
    let image = qr_image::data_url(text).map_err(Error::internal("draw a QR code"))?;
    ok(QrView { id, qr: text.to_owned(), image, expires_at: Timestamp(qr.expires_at_ms) })
}

/// Gives out a code to be typed in on a phone, and begins to pair if that is needed.
#[utoipa::path(post, path = "/whatsapp/{id}/pairing-code", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")), request_body = PairingCodeBody,
    responses((status = 200, body = Envelope<PairingCodeView>), Failures, Guarded, OfOne, OfBody, OfState, OfProvider))]
pub(super) async fn make_pairing_code(
    ctx: CallContext,
    Path(id): Path<SessionId>,
    Json(body): Json<PairingCodeBody>,
) -> ApiResult<PairingCodeView> {
    let sessions = &ctx.services.sessions;
    let (phone, code) = sessions.pairing_code(ctx.caller.tenant_id, id, &body.phone_number).await?;
    ok(PairingCodeView {
        id,
        code: code.code.expose_secret().to_owned(),
        phone_number: phone.as_str().to_owned(),
        expires_at: Timestamp(code.expires_at.as_ms()),
    })
}
