//! The body of a send request, for every type of message (Meta: messages/send-messages).

use bytes::Bytes;

use crate::domain::media::MediaKind;
use crate::domain::message::header::HeaderContent;
use crate::domain::message::interactive::{Action, InteractiveContent};
use crate::domain::message::literal::{Card, Location};
use crate::domain::message::template::{TemplateButton, TemplateButtonKind, TemplateContent};
use crate::domain::message::{Content, MediaContent, MediaSource};
use crate::gateway::SendRequest;
use crate::gateway::cloud::wire::{
    WireAction, WireButton, WireComponent, WireContact, WireContent, WireHeader, WireInteractive, WireLanguage,
    WireLine, WireLink, WireLocation, WireMedia, WireMessage, WireName, WireParameter, WirePhone, WireReaction,
    WireTemplate, WireText,
};

/// Writes the body of a request; `media` is the provider's name of our file.
pub(super) fn body(request: &SendRequest, media: Option<&str>) -> Bytes {
    let (kind, content) = content(&request.content, media);
    let wire = WireMessage {
        messaging_product: "whatsapp",
        recipient_type: "individual",
        to: &request.recipient.provider_address(),
        biz_opaque_callback_data: &request.token.0.hyphenated().to_string(),
        kind,
        content,
    };
    serde_json::to_vec(&wire).expect("strings and vectors always have a JSON form").into()
}

fn content<'a>(content: &'a Content, media: Option<&'a str>) -> (&'static str, WireContent<'a>) {
    match content {
        Content::Text { body } => ("text", WireContent::Text(WireText { body })),
        Content::Template(content) => ("template", WireContent::Template(template(content, media))),
        Content::Interactive(content) => ("interactive", WireContent::Interactive(interactive(content, media))),
        Content::Reaction(reaction) => {
            let (message_id, emoji) = (&*reaction.message_id, &*reaction.emoji);
            ("reaction", WireContent::Reaction(WireReaction { message_id, emoji }))
        }
        Content::Location(place) => ("location", WireContent::Location(location(place))),
        Content::Contact(card) => ("contacts", WireContent::Contacts([contact(card)])),
        Content::Media(content) => {
            let (file, kind) = (file(content, media), content.kind.as_str());
            let content = match content.kind {
                MediaKind::Image => WireContent::Image(file),
                MediaKind::Video => WireContent::Video(file),
                MediaKind::Audio => WireContent::Audio(file),
                MediaKind::Document => WireContent::Document(file),
                MediaKind::Sticker => WireContent::Sticker(file),
            };
            (kind, content)
        }
    }
}

fn file<'a>(content: &'a MediaContent, media: Option<&'a str>) -> WireMedia<'a> {
    let link = match &content.source {
        MediaSource::Link(url) => Some(&**url),
        MediaSource::Stored(_) => None,
    };
    let (caption, filename) = (content.caption.as_deref(), content.filename.as_deref());
    WireMedia { id: media, link, caption, filename }
}

fn location(location: &Location) -> WireLocation<'_> {
    WireLocation {
        latitude: location.latitude.get().to_string(),
        longitude: location.longitude.get().to_string(),
        name: location.name.as_deref(),
        address: location.address.as_deref(),
    }
}

/// Beside the whole name the provider asks for a part of it.
fn contact(card: &Card) -> WireContact<'_> {
    let name = WireName { formatted_name: &card.name, first_name: &card.name };
    let phones = card.phones.iter().map(|phone| WirePhone { phone: phone.provider_address(), wa_id: phone.as_str() });
    WireContact { name, phones: phones.collect() }
}

fn template<'a>(content: &'a TemplateContent, media: Option<&'a str>) -> WireTemplate<'a> {
    let header = content.header.as_ref().map(|header| WireComponent {
        kind: "header",
        sub_type: None,
        index: None,
        parameters: vec![match header {
            HeaderContent::Text(text) => WireParameter::Text { text, parameter_name: None },
            HeaderContent::Location(place) => WireParameter::Location { location: location(place) },
            HeaderContent::Media(content) => match content.kind {
                MediaKind::Video => WireParameter::Video { video: file(content, media) },
                MediaKind::Document => WireParameter::Document { document: file(content, media) },
                _ => WireParameter::Image { image: file(content, media) },
            },
        }],
    });
    let in_order = content.parameters.iter().map(|text| WireParameter::Text { text, parameter_name: None });
    let named = content.named_parameters.iter();
    let named = named.map(|(name, text)| WireParameter::Text { text, parameter_name: Some(name) });
    let parameters: Vec<_> = in_order.chain(named).collect();
    let body =
        (!parameters.is_empty()).then_some(WireComponent { kind: "body", sub_type: None, index: None, parameters });
    let components = header.into_iter().chain(body).chain(content.buttons.iter().map(button));
    WireTemplate {
        name: &content.name,
        language: WireLanguage { code: &content.language },
        components: components.collect(),
    }
}

/// The index of a button is a text in the reference.
fn button(button: &TemplateButton) -> WireComponent<'_> {
    let value = &*button.value;
    let parameter = match button.kind {
        TemplateButtonKind::Url => WireParameter::Text { text: value, parameter_name: None },
        TemplateButtonKind::QuickReply => WireParameter::Payload { payload: value },
        TemplateButtonKind::CopyCode => WireParameter::CouponCode { coupon_code: value },
    };
    WireComponent {
        kind: "button",
        sub_type: Some(button.kind.as_str()),
        index: Some(button.index.to_string()),
        parameters: vec![parameter],
    }
}

fn interactive<'a>(content: &'a InteractiveContent, media: Option<&'a str>) -> WireInteractive<'a> {
    let header = content.header.as_ref().and_then(|header| match header {
        HeaderContent::Text(text) => Some(WireHeader::Text { text }),
        HeaderContent::Media(content) => Some(match content.kind {
            MediaKind::Video => WireHeader::Video { video: file(content, media) },
            MediaKind::Document => WireHeader::Document { document: file(content, media) },
            _ => WireHeader::Image { image: file(content, media) },
        }),
        // Refused where messages are read.
        HeaderContent::Location(_) => None,
    });
    let (kind, action) = match &content.action {
        Action::Buttons(buttons) => {
            let buttons = buttons.iter().map(|reply| WireButton { kind: "reply", reply }).collect();
            ("button", WireAction::Buttons { buttons })
        }
        Action::List { button, sections } => ("list", WireAction::List { button, sections }),
        Action::Link { button, url } => {
            let parameters = WireLink { display_text: button, url };
            ("cta_url", WireAction::Link { name: "cta_url", parameters })
        }
    };
    let body = WireLine { text: &content.text };
    WireInteractive { kind, header, body, footer: content.footer.as_deref().map(|text| WireLine { text }), action }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{Deadline, Moment};
    use crate::domain::id::DeliveryId;
    use crate::domain::message::{MessageSpec, MessageTemplate, Variables};
    use crate::domain::recipient::Recipient;
    use crate::gateway::Sender;

    /// The body of a message without what all have in common.
    fn body(message: &str) -> String {
        let message: MessageSpec = serde_json::from_str(message).unwrap();
        let recipient = Recipient::parse("919876543210").unwrap();
        let template = MessageTemplate::compile(&message).unwrap();
        let content = template.render(&Variables::default(), &recipient, 7).unwrap();
        let (sender, token, is_single) = (Sender::Number(Arc::from("1")), DeliveryId::generate(), true);
        let deadline = Deadline::at(Moment::default());
        let media = content.media().filter(|media| matches!(media.source, MediaSource::Stored(_))).map(|_| "17");
        let request = SendRequest { sender, recipient, content, token, is_single, deadline };
        let mut wire: serde_json::Value = serde_json::from_slice(&super::body(&request, media)).unwrap();
        for common in ["messaging_product", "recipient_type", "to", "biz_opaque_callback_data"] {
            assert!(wire.as_object_mut().unwrap().remove(common).is_some(), "{common}");
        }
        wire.to_string()
    }

    #[test]
    fn each_kind_has_its_form() {
        insta::assert_snapshot!(body(r#"{"type":"text","text":"Hi"}"#), @r#"{"text":{"body":"Hi"},"type":"text"}"#);
        insta::assert_snapshot!(
            body(r#"{"type":"template","name":"n","language":"en","parameters":["a"]}"#),
            @r#"{"template":{"components":[{"parameters":[{"text":"a","type":"text"}],"type":"body"}],"language":{"code":"en"},"name":"n"},"type":"template"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"location","latitude":18.520430,"longitude":-73.8567439,"name":"Shop","address":"12 MG Road"}"#),
            @r#"{"location":{"address":"12 MG Road","latitude":"18.52043","longitude":"-73.856744","name":"Shop"},"type":"location"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"location","latitude":0,"longitude":180}"#),
            @r#"{"location":{"latitude":"0","longitude":"180"},"type":"location"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"contact","name":" Ana Rao ","phones":["+91 98765-43211"]}"#),
            @r#"{"contacts":[{"name":{"first_name":"Ana Rao","formatted_name":"Ana Rao"},"phones":[{"phone":"+919876543211","wa_id":"919876543211"}]}],"type":"contacts"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"image","mediaUrl":"https://a.example/x.png","caption":"Hi"}"#),
            @r#"{"image":{"caption":"Hi","link":"https://a.example/x.png"},"type":"image"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"document","mediaId":"0198c0de-0000-7000-8000-0000000000aa","filename":"Bill.pdf"}"#),
            @r#"{"document":{"filename":"Bill.pdf","id":"17"},"type":"document"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"sticker","mediaId":"0198c0de-0000-7000-8000-0000000000aa"}"#),
            @r#"{"sticker":{"id":"17"},"type":"sticker"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"reaction","messageId":"wamid.1","emoji":"👍"}"#),
            @r#"{"reaction":{"emoji":"👍","message_id":"wamid.1"},"type":"reaction"}"#
        );
    }

    #[test]
    fn what_is_tapped_has_its_form() {
        insta::assert_snapshot!(
            body(r#"{"type":"buttons","header":{"type":"image","mediaUrl":"https://a.example/x.png"},"text":"Coming?","footer":"Shop","buttons":[{"id":"y","title":"Yes"},{"id":"n","title":"No"}]}"#),
            @r#"{"interactive":{"action":{"buttons":[{"reply":{"id":"y","title":"Yes"},"type":"reply"},{"reply":{"id":"n","title":"No"},"type":"reply"}]},"body":{"text":"Coming?"},"footer":{"text":"Shop"},"header":{"image":{"link":"https://a.example/x.png"},"type":"image"},"type":"button"},"type":"interactive"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"list","header":{"type":"text","text":"Menu"},"text":"Choose","button":"Open","sections":[{"rows":[{"id":"1","title":"Tea","description":"Hot"}]}]}"#),
            @r#"{"interactive":{"action":{"button":"Open","sections":[{"rows":[{"description":"Hot","id":"1","title":"Tea"}]}]},"body":{"text":"Choose"},"header":{"text":"Menu","type":"text"},"type":"list"},"type":"interactive"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"link","text":"Read","button":"Open","url":"https://a.example/{{phone}}"}"#),
            @r#"{"interactive":{"action":{"name":"cta_url","parameters":{"display_text":"Open","url":"https://a.example/919876543210"}},"body":{"text":"Read"},"type":"cta_url"},"type":"interactive"}"#
        );
    }

    #[test]
    fn a_template_has_its_components() {
        insta::assert_snapshot!(
            body(r#"{"type":"template","name":"n","language":"en","namedParameters":{"name":"Ana"},"header":{"type":"document","mediaId":"0198c0de-0000-7000-8000-0000000000aa","filename":"Bill.pdf"},"buttons":[{"index":0,"type":"url","value":"a?b"},{"index":1,"type":"quick_reply","value":"p"},{"index":2,"type":"copy_code","value":"C0DE"}]}"#),
            @r#"{"template":{"components":[{"parameters":[{"document":{"filename":"Bill.pdf","id":"17"},"type":"document"}],"type":"header"},{"parameters":[{"parameter_name":"name","text":"Ana","type":"text"}],"type":"body"},{"index":"0","parameters":[{"text":"a?b","type":"text"}],"sub_type":"url","type":"button"},{"index":"1","parameters":[{"payload":"p","type":"payload"}],"sub_type":"quick_reply","type":"button"},{"index":"2","parameters":[{"coupon_code":"C0DE","type":"coupon_code"}],"sub_type":"copy_code","type":"button"}],"language":{"code":"en"},"name":"n"},"type":"template"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"template","name":"n","language":"en","header":{"type":"location","latitude":1,"longitude":2}}"#),
            @r#"{"template":{"components":[{"parameters":[{"location":{"latitude":"1","longitude":"2"},"type":"location"}],"type":"header"}],"language":{"code":"en"},"name":"n"},"type":"template"}"#
        );
    }
}
