//! Reads a send request and checks it as Meta's reference says (messages reference, "send messages").
//!
//! Checks the form only: whether a template or a file exists is not known here. What a message holds is [`super::content`]'s. What becomes of a right request is
//! decided in [`super::decide`].

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::content::{check_content, media_id_of};

/// Longest `biz_opaque_callback_data` (Meta: changelog, raised from 256).
const TOKEN_CHARS_MAX: usize = 512;

/// What was asked for, as far as it could be read.
#[derive(Debug, Default)]
pub(crate) struct Order<'a> {
    /// The recipient as written.
    pub(crate) to: Cow<'a, str>,
    /// `biz_opaque_callback_data`.
    pub(crate) token: Option<Cow<'a, str>>,
    /// Whether it is a template message, which Meta bills under another category.
    pub(crate) is_template: bool,
    /// The name of the file that goes along, if it was brought before.
    pub(crate) media_id: Option<Cow<'a, str>>,
}

/// Why a request is refused for its form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) code: u32,
    pub(crate) details: Cow<'static, str>,
}

/// What a body turned out to be.
#[derive(Debug)]
pub(crate) enum Asked<'a> {
    /// A message, right or wrong; a wrong one still tells whom it was for.
    Send(Order<'a>, Result<(), Malformed>),
    /// A read mark or typing indicator: answered with success, and no message.
    MarkRead,
}

/// The body of a request, its content unread.
#[derive(Deserialize)]
pub(super) struct Wire<'a> {
    #[serde(borrow)]
    messaging_product: Option<Cow<'a, str>>,
    recipient_type: Option<Cow<'a, str>>,
    to: Option<Cow<'a, str>>,
    recipient: Option<Cow<'a, str>>,
    #[serde(rename = "type")]
    pub(super) kind: Option<Cow<'a, str>>,
    biz_opaque_callback_data: Option<Cow<'a, str>>,
    status: Option<Cow<'a, str>>,
    message_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) template: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) image: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) video: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) audio: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) document: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) sticker: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) location: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) contacts: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) interactive: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) reaction: Option<&'a RawValue>,
}

/// Reads a body.
pub(crate) fn read(body: &[u8]) -> Asked<'_> {
    let wire: Wire<'_> = match serde_json::from_slice(body) {
        Ok(wire) => wire,
        Err(error) if error.is_data() => {
            return Asked::Send(
                Order::default(),
                Err(malformed(100, format!("A parameter has the wrong type: {error}"))),
            );
        }
        Err(_) => {
            return Asked::Send(Order::default(), Err(malformed(100, "The request body is not valid JSON")));
        }
    };
    if wire.status.as_deref() == Some("read") && wire.message_id.is_some() {
        return Asked::MarkRead;
    }
    let checked = check(&wire);
    let media_id = media_id_of(&wire);
    let order = Order {
        to: wire.to.or(wire.recipient).unwrap_or_default(),
        token: wire.biz_opaque_callback_data,
        is_template: wire.template.is_some(),
        media_id,
    };
    Asked::Send(order, checked)
}

fn check(wire: &Wire<'_>) -> Result<(), Malformed> {
    match wire.messaging_product.as_deref() {
        Some("whatsapp") => {}
        Some(_) => return Err(malformed(100, "Param messaging_product must be one of {WHATSAPP}")),
        None => return Err(malformed(100, "The parameter messaging_product is required.")),
    }
    if let Some(kind) = wire.recipient_type.as_deref()
        && !["individual", "group"].contains(&kind)
    {
        return Err(malformed(100, "Param recipient_type must be one of {INDIVIDUAL, GROUP}"));
    }
    match (wire.to.as_deref(), wire.recipient.as_deref()) {
        (None | Some(""), None) => return Err(malformed(131_008, "Parameter 'to' is mandatory")),
        (Some(to), None) if wire.recipient_type.as_deref() != Some("group") && normalise(to).is_none() => {
            return Err(malformed(131_009, "Parameter 'to' is not a valid phone number"));
        }
        _ => {}
    }
    if wire.biz_opaque_callback_data.as_deref().is_some_and(|token| token.chars().count() > TOKEN_CHARS_MAX) {
        return Err(malformed(100, "Param biz_opaque_callback_data must be at most 512 characters long."));
    }
    check_content(wire)
}

/// Returns the digits of a phone number, which Meta accepts with `+`, `-`, `(`, `)` and spaces; `None` when it is none.
pub(crate) fn normalise(to: &str) -> Option<Cow<'_, str>> {
    let plain = |digits: &str| (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain(to) {
        return Some(Cow::Borrowed(to));
    }
    if let Some(digits) = to.strip_prefix('+').filter(|digits| plain(digits)) {
        return Some(Cow::Borrowed(digits));
    }
    let digits: String = to.chars().filter(|letter| !"+-() ".contains(*letter)).collect();
    plain(&digits).then_some(Cow::Owned(digits))
}

pub(super) fn malformed(code: u32, details: impl Into<Cow<'static, str>>) -> Malformed {
    Malformed { code, details: details.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> Option<u32> {
        match read(body.as_bytes()) {
            Asked::Send(_, checked) => checked.err().map(|malformed| malformed.code),
            Asked::MarkRead => None,
        }
    }

    #[test]
    fn forms_are_judged_one_by_one() {
        let long = "a".repeat(4_097);
        let table: &[(&str, Option<u32>)] = &[
            (r#""to":"+919876543210","type":"text","text":{"body":"Hi"}"#, None),
            (r#""to":"+91 (98) 76-5","text":{"body":"Hi"}"#, None),
            (r#""to":"1","type":"template","template":{"name":"n","language":{"code":"en"}}"#, None),
            (r#""to":"1","type":"image","image":{"id":"5"}"#, None),
            (r#""to":"1","type":"contacts","contacts":[{"name":{"formatted_name":"A","first_name":"A"}}]"#, None),
            (r#""to":"1","type":"contacts","contacts":[{"name":{"formatted_name":"A"}}]"#, Some(131_009)),
            (r#""to":"1","type":"contacts","contacts":[]"#, Some(131_009)),
            (r#""to":"1","type":"contacts","contacts":[{}]"#, Some(131_008)),
            (r#""to":"1","type":"location","location":{"latitude":"18.5","longitude":"-73"}"#, None),
            (r#""to":"1","type":"location","location":{"latitude":18.5,"longitude":-73}"#, None),
            (r#""to":"1","type":"location","location":{"latitude":"91","longitude":"0"}"#, Some(131_009)),
            (r#""to":"1","type":"location","location":{"latitude":"north","longitude":"0"}"#, Some(131_009)),
            (r#""to":"1","type":"location","location":{"latitude":"1"}"#, Some(131_008)),
            (r#""recipient":"US.13491208655302741918","type":"text","text":{"body":"Hi"}"#, None),
            (r#""to":"abc","recipient_type":"group","type":"text","text":{"body":"Hi"}"#, None),
            (r#""type":"text","text":{"body":"Hi"}"#, Some(131_008)),
            (r#""to":"","type":"text","text":{"body":"Hi"}"#, Some(131_008)),
            (r#""to":"abc","type":"text","text":{"body":"Hi"}"#, Some(131_009)),
            (r#""to":5,"type":"text","text":{"body":"Hi"}"#, Some(100)),
            (r#""to":"1","recipient_type":"crowd","text":{"body":"Hi"}"#, Some(100)),
            (r#""to":"1","type":"poem","poem":{}"#, Some(100)),
            (r#""to":"1","type":"image","video":{}"#, Some(131_008)),
            (r#""to":"1","type":"image","image":"x""#, Some(100)),
            (r#""to":"1","type":"image","image":{}"#, Some(131_008)),
            (r#""to":"1","type":"image","image":{"id":"1","link":"https://x"}"#, Some(100)),
            (r#""to":"1","type":"audio","audio":{"link":"https://x"}"#, None),
            (r#""to":"1","type":"contacts","contacts":{}"#, Some(100)),
            (r#""to":"1","type":"text","text":{}"#, Some(131_008)),
            (r#""to":"1","type":"text","text":{"body":""}"#, Some(100)),
            (r#""to":"1","type":"template","template":{"name":"n"}"#, Some(131_008)),
        ];
        for (rest, expected) in table {
            assert_eq!(code(&format!(r#"{{"messaging_product":"whatsapp",{rest}}}"#)), *expected, "{rest}");
        }
        assert_eq!(code(r#"{"to":"1","text":{"body":"Hi"}}"#), Some(100));
        assert_eq!(code(r#"{"messaging_product":"sms","to":"1","text":{"body":"Hi"}}"#), Some(100));
        assert_eq!(code("{"), Some(100));
        let text = format!(r#"{{"messaging_product":"whatsapp","to":"1","text":{{"body":"{long}"}}}}"#);
        assert_eq!(code(&text), Some(100));
        let token = format!(
            r#"{{"messaging_product":"whatsapp","to":"1","biz_opaque_callback_data":"{}","text":{{"body":"Hi"}}}}"#,
            "t".repeat(513)
        );
        assert_eq!(code(&token), Some(100));
    }

    #[test]
    fn order_is_read_even_when_refused() {
        let body = br#"{"to":"+49 1","biz_opaque_callback_data":"t\u00e9"}"#;
        let Asked::Send(order, Err(_)) = read(body) else { panic!("a message was asked for") };
        assert_eq!((order.to.as_ref(), order.token.as_deref()), ("+49 1", Some("té")));
        assert!(matches!(
            read(br#"{"messaging_product":"whatsapp","status":"read","message_id":"wamid.1"}"#),
            Asked::MarkRead
        ));
    }
}
