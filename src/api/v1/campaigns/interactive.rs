//! Messages that are answered by a tap, and what fills in a template's header and buttons, as clients write and see them.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::domain::id::MediaId;
use crate::domain::message::header::HeaderSpec;
use crate::domain::message::interactive::{ButtonsSpec, LinkSpec, ListRow, ListSection, ListSpec, ReplyButton};
use crate::domain::message::literal::{Degrees, Location};
use crate::domain::message::template::{TemplateButton, TemplateButtonKind};
use crate::domain::message::{MediaSpec, Reaction};

/// What stands above a message.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum HeaderBody {
    /// A line; in a template what its one variable stands for.
    Text {
        /// The line, at most 60 characters.
        #[schema(example = "Hello {{name|there}}")]
        text: String,
    },
    /// An image.
    Image(HeaderFile),
    /// A video.
    Video(HeaderFile),
    /// A document.
    Document(HeaderFile),
    /// A place on the map; only of templates.
    Location {
        /// North of the equator, -90 to 90.
        #[schema(value_type = f64, example = 18.5204, minimum = -90, maximum = 90)]
        latitude: Degrees,
        /// East of Greenwich, -180 to 180.
        #[schema(value_type = f64, example = 73.8567, minimum = -180, maximum = 180)]
        longitude: Degrees,
        /// What the place is called, 1 to 200 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(example = "Rao Textiles")]
        name: Option<String>,
        /// Where it is in words, 1 to 500 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(example = "12 MG Road, Pune")]
        address: Option<String>,
    },
}

impl Serialize for HeaderBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

// Inside another tagged form, serde takes a number for the tag as well: the place among the variants. JSON by itself does not.
impl<'de> Deserialize<'de> for HeaderBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(serde_json::Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The file of a header.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderFile {
    /// A file that was uploaded; either this or `mediaUrl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    media_id: Option<MediaId>,
    /// From where the provider loads the file, `https://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://example.com/sale")]
    media_url: Option<String>,
    /// What a document is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Prices.pdf")]
    filename: Option<String>,
}

/// What fills in a button of a template.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateButtonBody {
    /// Its place among the buttons of the template, counted from 0.
    #[schema(example = 0, minimum = 0, maximum = 9)]
    index: u8,
    /// What it does: opens an address, answers, copies a code.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "url")]
    kind: TemplateButtonKind,
    /// What is filled in: the end of the address, what comes back, the code.
    #[schema(example = "orders/{{order}}")]
    value: String,
}

/// A button that answers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplyButtonBody {
    /// What comes back when it is tapped, 1 to 256 characters; unique in its message.
    #[schema(example = "yes")]
    id: String,
    /// What stands on it, 1 to 20 characters; unique in its message.
    #[schema(example = "Yes, please")]
    title: String,
}

/// A row of a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListRowBody {
    /// What comes back when it is chosen, 1 to 200 characters; unique in its message.
    #[schema(example = "tea")]
    id: String,
    /// What stands in it, 1 to 24 characters.
    #[schema(example = "Tea")]
    title: String,
    /// What stands below that, 1 to 72 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "With milk")]
    description: Option<String>,
}

/// Rows that belong together.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListSectionBody {
    /// What stands above them, 1 to 24 characters; required where there is more than one section.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Drinks")]
    title: Option<String>,
    /// The rows; 1 to 10 over all sections.
    rows: Vec<ListRowBody>,
}

/// A text with buttons that answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ButtonsBody {
    /// What stands above; no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<HeaderBody>,
    /// The text, at most 1,024 characters.
    #[schema(example = "Shall we bring it today, {{name|friend}}?")]
    text: String,
    /// What stands below, at most 60 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Rao Textiles")]
    footer: Option<String>,
    /// The buttons, 1 to 3.
    buttons: Vec<ReplyButtonBody>,
}

/// A text with a list to choose from.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListBody {
    /// What stands above; a line of text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<HeaderBody>,
    /// The text, at most 4,096 characters.
    #[schema(example = "What would you like?")]
    text: String,
    /// What stands below, at most 60 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Rao Textiles")]
    footer: Option<String>,
    /// What stands on the button that opens the list, 1 to 20 characters.
    #[schema(example = "Choose")]
    button: String,
    /// The sections, 1 to 10.
    sections: Vec<ListSectionBody>,
}

/// A text with a button that opens an address.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkBody {
    /// What stands above; no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<HeaderBody>,
    /// The text, at most 1,024 characters.
    #[schema(example = "Your order is on its way.")]
    text: String,
    /// What stands below, at most 60 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Rao Textiles")]
    footer: Option<String>,
    /// What stands on the button, 1 to 20 characters.
    #[schema(example = "Follow it")]
    button: String,
    /// What it opens, `https://` or `http://`.
    #[schema(example = "https://example.com/orders/{{order}}")]
    url: String,
}

/// A sign below a message that somebody wrote.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReactionBody {
    /// The message as the webhook `message.received` names it.
    #[schema(example = "wamid.HBgMOTE5ODc2NTQzMjEwFQIAEhg")]
    message_id: String,
    /// The emoji; an empty text takes away what was there.
    #[schema(example = "👍")]
    emoji: String,
}

/// Makes what clients write into what is sent and back, field by field of the same name.
macro_rules! same_fields {
    ($($body:ident = $spec:ident { $($field:ident $(: $each:ident)?),+ })+) => {$(
        impl From<$body> for $spec {
            fn from(body: $body) -> Self {
                Self { $($field: same_fields!(@one body.$field $(, $each)?)),+ }
            }
        }

        impl From<$spec> for $body {
            fn from(spec: $spec) -> Self {
                Self { $($field: same_fields!(@one spec.$field $(, $each)?)),+ }
            }
        }
    )+};
    (@one $from:ident.$field:ident) => { $from.$field };
    (@one $from:ident.$field:ident, each) => { $from.$field.into_iter().map(Into::into).collect() };
    (@one $from:ident.$field:ident, some) => { $from.$field.map(Into::into) };
}

same_fields! {
    TemplateButtonBody = TemplateButton { index, kind, value }
    ReplyButtonBody = ReplyButton { id, title }
    ListRowBody = ListRow { id, title, description }
    ListSectionBody = ListSection { title, rows: each }
    ButtonsBody = ButtonsSpec { header: some, text, footer, buttons: each }
    ListBody = ListSpec { header: some, text, footer, button, sections: each }
    LinkBody = LinkSpec { header: some, text, footer, button, url }
    ReactionBody = Reaction { message_id, emoji }
}

impl From<HeaderFile> for MediaSpec {
    fn from(file: HeaderFile) -> Self {
        let HeaderFile { media_id, media_url, filename } = file;
        Self { media_id, media_url, filename, caption: None }
    }
}

impl From<MediaSpec> for HeaderFile {
    fn from(spec: MediaSpec) -> Self {
        let MediaSpec { media_id, media_url, filename, .. } = spec;
        Self { media_id, media_url, filename }
    }
}

impl From<HeaderBody> for HeaderSpec {
    fn from(body: HeaderBody) -> Self {
        match body {
            HeaderBody::Text { text } => Self::Text { text },
            HeaderBody::Image(file) => Self::Image(file.into()),
            HeaderBody::Video(file) => Self::Video(file.into()),
            HeaderBody::Document(file) => Self::Document(file.into()),
            HeaderBody::Location { latitude, longitude, name, address } => {
                Self::Location(Location { latitude, longitude, name, address })
            }
        }
    }
}

impl From<HeaderSpec> for HeaderBody {
    fn from(spec: HeaderSpec) -> Self {
        match spec {
            HeaderSpec::Text { text } => Self::Text { text },
            HeaderSpec::Image(media) => Self::Image(media.into()),
            HeaderSpec::Video(media) => Self::Video(media.into()),
            HeaderSpec::Document(media) => Self::Document(media.into()),
            HeaderSpec::Location(Location { latitude, longitude, name, address }) => {
                Self::Location { latitude, longitude, name, address }
            }
        }
    }
}
