//! The form of a send request's body on the wire (Meta: messages/send-messages, components of templates).

use std::borrow::Cow;

use serde::Serialize;

use crate::domain::message::interactive::{ListSection, ReplyButton};

#[derive(Serialize)]
pub(super) struct WireMessage<'a> {
    pub(super) messaging_product: &'static str,
    pub(super) recipient_type: &'static str,
    pub(super) to: &'a str,
    pub(super) biz_opaque_callback_data: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(flatten)]
    pub(super) content: WireContent<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireContent<'a> {
    Text(WireText<'a>),
    Template(WireTemplate<'a>),
    Interactive(WireInteractive<'a>),
    Reaction(WireReaction<'a>),
    Location(WireLocation<'a>),
    Contacts([WireContact<'a>; 1]),
    Image(WireMedia<'a>),
    Video(WireMedia<'a>),
    Audio(WireMedia<'a>),
    Document(WireMedia<'a>),
    Sticker(WireMedia<'a>),
}

#[derive(Serialize)]
pub(super) struct WireText<'a> {
    pub(super) body: &'a str,
}

#[derive(Serialize)]
pub(super) struct WireReaction<'a> {
    pub(super) message_id: &'a str,
    pub(super) emoji: &'a str,
}

/// The reference has the angles as texts.
#[derive(Serialize)]
pub(super) struct WireLocation<'a> {
    pub(super) latitude: String,
    pub(super) longitude: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct WireContact<'a> {
    pub(super) name: WireName<'a>,
    pub(super) phones: Vec<WirePhone<'a>>,
}

#[derive(Serialize)]
pub(super) struct WireName<'a> {
    pub(super) formatted_name: &'a str,
    pub(super) first_name: &'a str,
}

/// With `wa_id` the card offers to write to the number, without it to invite it.
#[derive(Serialize)]
pub(super) struct WirePhone<'a> {
    pub(super) phone: Cow<'a, str>,
    pub(super) wa_id: &'a str,
}

#[derive(Serialize)]
pub(super) struct WireMedia<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) link: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) caption: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filename: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct WireTemplate<'a> {
    pub(super) name: &'a str,
    pub(super) language: WireLanguage<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) components: Vec<WireComponent<'a>>,
}

#[derive(Serialize)]
pub(super) struct WireLanguage<'a> {
    pub(super) code: &'a str,
}

#[derive(Serialize)]
pub(super) struct WireComponent<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sub_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<String>,
    pub(super) parameters: Vec<WireParameter<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum WireParameter<'a> {
    Text {
        #[serde(skip_serializing_if = "Option::is_none")]
        parameter_name: Option<&'a str>,
        text: &'a str,
    },
    Payload {
        payload: &'a str,
    },
    CouponCode {
        coupon_code: &'a str,
    },
    Image {
        image: WireMedia<'a>,
    },
    Video {
        video: WireMedia<'a>,
    },
    Document {
        document: WireMedia<'a>,
    },
    Location {
        location: WireLocation<'a>,
    },
}

#[derive(Serialize)]
pub(super) struct WireInteractive<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) header: Option<WireHeader<'a>>,
    pub(super) body: WireLine<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) footer: Option<WireLine<'a>>,
    pub(super) action: WireAction<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum WireHeader<'a> {
    Text { text: &'a str },
    Image { image: WireMedia<'a> },
    Video { video: WireMedia<'a> },
    Document { document: WireMedia<'a> },
}

#[derive(Serialize)]
pub(super) struct WireLine<'a> {
    pub(super) text: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum WireAction<'a> {
    Buttons { buttons: Vec<WireButton<'a>> },
    List { button: &'a str, sections: &'a [ListSection] },
    Link { name: &'static str, parameters: WireLink<'a> },
}

#[derive(Serialize)]
pub(super) struct WireButton<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) reply: &'a ReplyButton,
}

#[derive(Serialize)]
pub(super) struct WireLink<'a> {
    pub(super) display_text: &'a str,
    pub(super) url: &'a str,
}
