//! Files as clients see them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::timestamp::Timestamp;
use crate::domain::id::MediaId;
use crate::store::media::MediaRecord;

/// A file.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MediaView {
    /// The file.
    #[schema(value_type = uuid::Uuid)]
    id: MediaId,
    /// What it is sent as: `image`, `video`, `audio` or `document`.
    #[serde(rename = "type")]
    #[schema(example = "image")]
    kind: &'static str,
    /// What its bytes are, whatever was said of them.
    #[schema(example = "image/png")]
    mime_type: &'static str,
    /// What it is called.
    #[schema(example = "sale.png")]
    filename: String,
    /// Bytes.
    #[schema(example = 48213)]
    size: i64,
    /// The hash of its bytes, in hex.
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    sha256: String,
    /// When it was uploaded.
    created_at: Timestamp,
    /// When it goes by itself, because it came with a single message; null for what you uploaded to be kept.
    expires_at: Option<Timestamp>,
}

impl From<MediaRecord> for MediaView {
    fn from(media: MediaRecord) -> Self {
        Self {
            id: media.id,
            kind: media.media_type.kind.as_str(),
            mime_type: media.media_type.mime,
            filename: media.filename,
            size: media.n_bytes,
            sha256: media.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            created_at: Timestamp(media.created_at_ms),
            expires_at: media.expires_at_ms.map(Timestamp),
        }
    }
}
