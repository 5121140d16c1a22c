//! What campaigns and templates send, as clients write and see it.
//!
//! A template that is named by its id is put in its place before anything else looks at it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::interactive::{ButtonsBody, HeaderBody, LinkBody, ListBody, ReactionBody, TemplateButtonBody};
use crate::api::CallContext;
use crate::api::error::ApiError;
use crate::domain::id::{MediaId, TemplateId};
use crate::domain::message::literal::{ContactCard, Degrees, Location};
use crate::domain::message::template::TemplateSpec;
use crate::domain::message::{MediaSpec, MessageSpec};
use crate::error::Problems;

/// What a campaign sends; `{{name}}`, `{{name|there}}` and `{hi|hello}` stand for variables, defaults and variants.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum MessageBody {
    /// Free text.
    Text {
        /// The text.
        #[schema(example = "Hello {{name|there}}, our sale begins today.")]
        text: String,
    },
    /// A template: one that the provider has approved, by `name` and `language`, or a copy of one of yours.
    Template {
        /// Its name at the provider.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(example = "sale_begins")]
        name: Option<String>,
        /// Its language at the provider.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(example = "en_US")]
        language: Option<String>,
        /// Parameters of its body, in order.
        #[serde(default)]
        #[schema(example = json!(["{{name}}"]))]
        parameters: Vec<String>,
        /// Parameters of its body by their names, for a template that has names; instead of `parameters`.
        #[serde(default, rename = "namedParameters", skip_serializing_if = "BTreeMap::is_empty")]
        named_parameters: BTreeMap<String, String>,
        /// What fills in its header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<HeaderBody>,
        /// What fills in its buttons.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        buttons: Vec<TemplateButtonBody>,
        /// One of your templates, as it is now; nothing else beside it. Never in answers.
        #[serde(default, rename = "templateId", skip_serializing)]
        #[schema(value_type = Option<uuid::Uuid>)]
        template_id: Option<TemplateId>,
    },
    /// A text with buttons that answer.
    Buttons(ButtonsBody),
    /// A text with a list to choose from.
    List(ListBody),
    /// A text with a button that opens an address.
    Link(LinkBody),
    /// A sign below a message that somebody wrote.
    Reaction(ReactionBody),
    /// A place on the map, sent as it is.
    Location {
        /// North of the equator, -90 to 90.
        #[schema(value_type = f64, example = 18.5204, minimum = -90, maximum = 90)]
        latitude: Degrees,
        /// East of Greenwich, -180 to 180.
        #[schema(value_type = f64, example = 73.8567, minimum = -180, maximum = 180)]
        longitude: Degrees,
        /// What the place is called, 1 to 200 characters.
        #[schema(example = "Rao Textiles")]
        name: Option<String>,
        /// Where it is in words, 1 to 500 characters.
        #[schema(example = "12 MG Road, Pune")]
        address: Option<String>,
    },
    /// A person's card, sent as it is.
    Contact {
        /// What the person is called, 1 to 200 characters.
        #[schema(example = "Ana Rao")]
        name: String,
        /// Their numbers with country code, 1 to 10.
        #[schema(example = json!(["919876543210"]))]
        phones: Vec<String>,
    },
    /// An image.
    Image {
        /// A file that was uploaded; either this or `mediaUrl`.
        #[serde(default, rename = "mediaId", skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<uuid::Uuid>)]
        media_id: Option<MediaId>,
        /// From where the provider loads the file, `https://`.
        #[serde(default, rename = "mediaUrl", skip_serializing_if = "Option::is_none")]
        #[schema(example = "https://example.com/sale")]
        media_url: Option<String>,
        /// What stands below it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(example = "Hello {{name|there}}, our sale begins today.")]
        text: Option<String>,
    },
    /// A video.
    Video {
        /// A file that was uploaded; either this or `mediaUrl`.
        #[serde(default, rename = "mediaId", skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<uuid::Uuid>)]
        media_id: Option<MediaId>,
        /// From where the provider loads the file, `https://`.
        #[serde(default, rename = "mediaUrl", skip_serializing_if = "Option::is_none")]
        #[schema(example = "https://example.com/sale")]
        media_url: Option<String>,
        /// What stands below it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(example = "Hello {{name|there}}, our sale begins today.")]
        text: Option<String>,
    },
    /// A recording.
    Audio {
        /// A file that was uploaded; either this or `mediaUrl`.
        #[serde(default, rename = "mediaId", skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<uuid::Uuid>)]
        media_id: Option<MediaId>,
        /// From where the provider loads the file, `https://`.
        #[serde(default, rename = "mediaUrl", skip_serializing_if = "Option::is_none")]
        #[schema(example = "https://example.com/sale")]
        media_url: Option<String>,
    },
    /// A sticker: a small picture on its own, WebP.
    Sticker {
        /// A file that was uploaded; either this or `mediaUrl`.
        #[serde(default, rename = "mediaId", skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<uuid::Uuid>)]
        media_id: Option<MediaId>,
        /// From where the provider loads the file, `https://`.
        #[serde(default, rename = "mediaUrl", skip_serializing_if = "Option::is_none")]
        #[schema(example = "https://example.com/smile.webp")]
        media_url: Option<String>,
    },
    /// A document.
    Document {
        /// A file that was uploaded; either this or `mediaUrl`.
        #[serde(default, rename = "mediaId", skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<uuid::Uuid>)]
        media_id: Option<MediaId>,
        /// From where the provider loads the file, `https://`.
        #[serde(default, rename = "mediaUrl", skip_serializing_if = "Option::is_none")]
        #[schema(example = "https://example.com/sale")]
        media_url: Option<String>,
        /// What stands below it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(example = "Hello {{name|there}}, our sale begins today.")]
        text: Option<String>,
        /// What it is called; as it was uploaded when missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(example = "Prices.pdf")]
        filename: Option<String>,
    },
}

impl MessageBody {
    /// Puts a copy of a template of the tenant in the place of its id.
    ///
    /// # Errors
    /// `Validation` by `message.templateId` when there is none, and by what does not go with it.
    pub(in crate::api::v1) async fn resolved(self, ctx: &CallContext) -> Result<Self, ApiError> {
        let Self::Template { name, language, parameters, template_id, .. } = &self else { return Ok(self) };
        let mut problems = Problems::default();
        let fields = [("message.name", name.is_some()), ("message.language", language.is_some())];
        for (field, is_given) in fields {
            match (is_given, template_id.is_some()) {
                (true, true) => problems.push(field, "does not go with templateId"),
                (false, false) => problems.push(field, "is required without templateId"),
                _ => {}
            }
        }
        if template_id.is_some() && !parameters.is_empty() {
            problems.push("message.parameters", "does not go with templateId");
        }
        problems.check()?;
        match template_id {
            Some(id) => {
                let copy = ctx.services.templates.copy(ctx.caller.tenant_id, *id, "message.templateId").await?;
                Ok(copy.into())
            }
            None => Ok(self),
        }
    }
}

impl From<MessageBody> for MessageSpec {
    /// Makes what was resolved into what is sent.
    fn from(body: MessageBody) -> Self {
        let media = |media_id, media_url, caption| MediaSpec { media_id, media_url, caption, filename: None };
        match body {
            MessageBody::Text { text } => Self::Text { text },
            MessageBody::Template { name, language, parameters, named_parameters, header, buttons, .. } => {
                Self::Template(TemplateSpec {
                    name: name.unwrap_or_default(),
                    language: language.unwrap_or_default(),
                    parameters,
                    named_parameters,
                    header: header.map(Into::into),
                    buttons: buttons.into_iter().map(Into::into).collect(),
                })
            }
            MessageBody::Buttons(body) => Self::Buttons(body.into()),
            MessageBody::List(body) => Self::List(body.into()),
            MessageBody::Link(body) => Self::Link(body.into()),
            MessageBody::Reaction(body) => Self::Reaction(body.into()),
            MessageBody::Sticker { media_id, media_url } => Self::Sticker(media(media_id, media_url, None)),
            MessageBody::Location { latitude, longitude, name, address } => {
                Self::Location(Location { latitude, longitude, name, address })
            }
            MessageBody::Contact { name, phones } => Self::Contact(ContactCard { name, phones }),
            MessageBody::Image { media_id, media_url, text } => Self::Image(media(media_id, media_url, text)),
            MessageBody::Video { media_id, media_url, text } => Self::Video(media(media_id, media_url, text)),
            MessageBody::Audio { media_id, media_url } => Self::Audio(media(media_id, media_url, None)),
            MessageBody::Document { media_id, media_url, text, filename } => {
                Self::Document(MediaSpec { filename, ..media(media_id, media_url, text) })
            }
        }
    }
}

impl From<MessageSpec> for MessageBody {
    fn from(spec: MessageSpec) -> Self {
        match spec {
            MessageSpec::Text { text } => Self::Text { text },
            MessageSpec::Template(template) => Self::Template {
                name: Some(template.name),
                language: Some(template.language),
                parameters: template.parameters,
                named_parameters: template.named_parameters,
                header: template.header.map(Into::into),
                buttons: template.buttons.into_iter().map(Into::into).collect(),
                template_id: None,
            },
            MessageSpec::Buttons(spec) => Self::Buttons(spec.into()),
            MessageSpec::List(spec) => Self::List(spec.into()),
            MessageSpec::Link(spec) => Self::Link(spec.into()),
            MessageSpec::Reaction(spec) => Self::Reaction(spec.into()),
            MessageSpec::Sticker(MediaSpec { media_id, media_url, .. }) => Self::Sticker { media_id, media_url },
            MessageSpec::Location(Location { latitude, longitude, name, address }) => {
                Self::Location { latitude, longitude, name, address }
            }
            MessageSpec::Contact(ContactCard { name, phones }) => Self::Contact { name, phones },
            MessageSpec::Image(MediaSpec { media_id, media_url, caption: text, .. }) => {
                Self::Image { media_id, media_url, text }
            }
            MessageSpec::Video(MediaSpec { media_id, media_url, caption: text, .. }) => {
                Self::Video { media_id, media_url, text }
            }
            MessageSpec::Audio(MediaSpec { media_id, media_url, .. }) => Self::Audio { media_id, media_url },
            MessageSpec::Document(MediaSpec { media_id, media_url, caption: text, filename }) => {
                Self::Document { media_id, media_url, text, filename }
            }
        }
    }
}
