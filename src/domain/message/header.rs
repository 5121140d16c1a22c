//! What stands above a template or an interactive message: a line, a file, or for templates a place.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::literal::Location;
use super::media::{MediaContent, MediaForm, MediaProblem, MediaSpec};
use super::part::{Filling, Part, PartProblem};
use super::syntax::escaped;
use super::{MessageProblem, RenderProblem};
use crate::domain::id::TenantId;
use crate::domain::media::MediaKind;

/// Characters of a header's line once rendered, at most; the provider's bound.
pub const HEADER_CHARS_MAX: usize = 60;

/// A header as it is on the wire, its placeholders unread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum HeaderSpec {
    /// A line; in a template what its one variable stands for.
    Text {
        /// The line, with placeholders.
        text: String,
    },
    /// A picture.
    Image(MediaSpec),
    /// A film.
    Video(MediaSpec),
    /// A file to read.
    Document(MediaSpec),
    /// A place on the map; only of templates.
    Location(Location),
}

/// A header rendered for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderContent {
    /// A line.
    Text(String),
    /// A file.
    Media(MediaContent),
    /// A place on the map.
    Location(Arc<Location>),
}

/// A header, read and checked.
#[derive(Debug)]
pub(super) enum HeaderForm {
    Text(Part),
    Media(MediaForm),
    Location(Arc<Location>),
}

impl Serialize for HeaderSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

// Inside another tagged form, serde takes a number for the tag as well: the place among the variants. JSON by itself does not.
impl<'de> Deserialize<'de> for HeaderSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(serde_json::Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl HeaderSpec {
    /// Returns the file that goes along, and what it is sent as.
    #[must_use]
    pub fn media(&self) -> Option<(MediaKind, &MediaSpec)> {
        match self {
            Self::Image(media) => Some((MediaKind::Image, media)),
            Self::Video(media) => Some((MediaKind::Video, media)),
            Self::Document(media) => Some((MediaKind::Document, media)),
            Self::Text { .. } | Self::Location(_) => None,
        }
    }

    /// Returns the document, if it is one, to be given its name.
    pub fn document_mut(&mut self) -> Option<&mut MediaSpec> {
        match self {
            Self::Document(media) => Some(media),
            _ => None,
        }
    }

    /// Returns the header with every placeholder marked as text.
    pub(super) fn literally(self) -> Self {
        match self {
            Self::Text { text } => Self::Text { text: escaped(&text) },
            other => other,
        }
    }
}

impl HeaderForm {
    pub(super) fn compile(spec: &HeaderSpec, tenant_id: TenantId) -> Result<Self, MessageProblem> {
        let (kind, media) = match spec {
            HeaderSpec::Text { text } => return Ok(Self::Text(Part::line("header.text", HEADER_CHARS_MAX, text)?)),
            HeaderSpec::Location(location) => {
                location.check()?;
                return Ok(Self::Location(Arc::new(location.clone())));
            }
            HeaderSpec::Image(media) => (MediaKind::Image, media),
            HeaderSpec::Video(media) => (MediaKind::Video, media),
            HeaderSpec::Document(media) => (MediaKind::Document, media),
        };
        if media.caption.is_some() {
            return Err(PartProblem::new("header", "The file of a header has no caption.").into());
        }
        Ok(Self::Media(MediaForm::compile(kind, media, tenant_id).map_err(of_header)?))
    }

    pub(super) fn render(&self, filling: &mut Filling<'_>) -> Result<HeaderContent, RenderProblem> {
        Ok(match self {
            Self::Text(part) => HeaderContent::Text(part.render(filling)?),
            Self::Media(media) => {
                let Filling { variables, recipient, picks } = filling;
                HeaderContent::Media(media.render(variables, recipient, picks)?)
            }
            Self::Location(location) => HeaderContent::Location(Arc::clone(location)),
        })
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        let part = match self {
            Self::Text(part) => Some(part),
            Self::Media(_) | Self::Location(_) => None,
        };
        part.into_iter().flat_map(Part::variables)
    }
}

impl HeaderContent {
    /// Returns the file that goes along.
    #[must_use]
    pub fn media(&self) -> Option<&MediaContent> {
        match self {
            Self::Media(media) => Some(media),
            Self::Text(_) | Self::Location(_) => None,
        }
    }

    /// Returns what was rendered as a header that could be written again.
    pub(super) fn into_spec(self) -> HeaderSpec {
        match self {
            Self::Text(text) => HeaderSpec::Text { text },
            Self::Location(location) => HeaderSpec::Location(Location::clone(&location)),
            Self::Media(media) => match media.into_spec() {
                (MediaKind::Video, media) => HeaderSpec::Video(media),
                (MediaKind::Document, media) => HeaderSpec::Document(media),
                (_, media) => HeaderSpec::Image(media),
            },
        }
    }
}

/// Says that a problem of a file is one of the header.
fn of_header(problem: MediaProblem) -> PartProblem {
    PartProblem::new("header", problem.to_string())
}
