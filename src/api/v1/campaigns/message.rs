//! What is sent, as both sides write it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::message::MessageSpec;
use crate::domain::message::literal::{ContactCard, Degrees, Location};

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
    /// A template that the provider has approved.
    Template {
        /// Its name at the provider.
        #[schema(example = "sale_begins")]
        name: String,
        /// Its language at the provider.
        #[schema(example = "en_US")]
        language: String,
        /// Parameters of its body, in order.
        #[serde(default)]
        #[schema(example = json!(["{{name}}"]))]
        parameters: Vec<String>,
    },
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
}

impl From<MessageBody> for MessageSpec {
    fn from(body: MessageBody) -> Self {
        match body {
            MessageBody::Text { text } => Self::Text { text },
            MessageBody::Template { name, language, parameters } => Self::Template { name, language, parameters },
            MessageBody::Location { latitude, longitude, name, address } => {
                Self::Location(Location { latitude, longitude, name, address })
            }
            MessageBody::Contact { name, phones } => Self::Contact(ContactCard { name, phones }),
        }
    }
}

impl From<MessageSpec> for MessageBody {
    fn from(spec: MessageSpec) -> Self {
        match spec {
            MessageSpec::Text { text } => Self::Text { text },
            MessageSpec::Template { name, language, parameters } => Self::Template { name, language, parameters },
            MessageSpec::Location(Location { latitude, longitude, name, address }) => {
                Self::Location { latitude, longitude, name, address }
            }
            MessageSpec::Contact(ContactCard { name, phones }) => Self::Contact { name, phones },
        }
    }
}
