//! Reads a send request and checks it as Meta's reference says (messages reference, "send messages").
//!
//! Checks the form only: whether a template or a file exists is not known here. What becomes of a right request is
//! decided in [`super::decide`].

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Longest text (Meta: text messages).
const TEXT_CHARS_MAX: usize = 4_096;

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

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    messaging_product: Option<Cow<'a, str>>,
    recipient_type: Option<Cow<'a, str>>,
    to: Option<Cow<'a, str>>,
    recipient: Option<Cow<'a, str>>,
    #[serde(rename = "type")]
    kind: Option<Cow<'a, str>>,
    biz_opaque_callback_data: Option<Cow<'a, str>>,
    status: Option<Cow<'a, str>>,
    message_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    template: Option<&'a RawValue>,
    #[serde(borrow)]
    image: Option<&'a RawValue>,
    #[serde(borrow)]
    video: Option<&'a RawValue>,
    #[serde(borrow)]
    audio: Option<&'a RawValue>,
    #[serde(borrow)]
    document: Option<&'a RawValue>,
    #[serde(borrow)]
    sticker: Option<&'a RawValue>,
    #[serde(borrow)]
    location: Option<&'a RawValue>,
    #[serde(borrow)]
    contacts: Option<&'a RawValue>,
    #[serde(borrow)]
    interactive: Option<&'a RawValue>,
    #[serde(borrow)]
    reaction: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow)]
    body: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    link: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Template<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    language: Language<'a>,
}

#[derive(Deserialize)]
struct Language<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Location<'a> {
    #[serde(borrow)]
    latitude: &'a RawValue,
    #[serde(borrow)]
    longitude: &'a RawValue,
}

#[derive(Deserialize)]
struct Contact<'a> {
    #[serde(borrow)]
    name: ContactName<'a>,
}

#[derive(Deserialize)]
struct ContactName<'a> {
    #[serde(borrow)]
    formatted_name: Cow<'a, str>,
    first_name: Option<Cow<'a, str>>,
    last_name: Option<Cow<'a, str>>,
    middle_name: Option<Cow<'a, str>>,
    prefix: Option<Cow<'a, str>>,
    suffix: Option<Cow<'a, str>>,
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
    let media_id = media_of(&wire).and_then(|media| media.id);
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

/// Returns the file that a message names.
fn media_of<'a>(wire: &Wire<'a>) -> Option<Media<'a>> {
    let content = match wire.kind.as_deref()? {
        "image" => wire.image,
        "video" => wire.video,
        "audio" => wire.audio,
        "document" => wire.document,
        "sticker" => wire.sticker,
        _ => None,
    };
    serde_json::from_str(content?.get()).ok()
}

fn check_content(wire: &Wire<'_>) -> Result<(), Malformed> {
    // Meta takes a missing type for text.
    let kind = wire.kind.as_deref().unwrap_or("text");
    let content = match kind {
        "text" => wire.text,
        "template" => wire.template,
        "image" => wire.image,
        "video" => wire.video,
        "audio" => wire.audio,
        "document" => wire.document,
        "sticker" => wire.sticker,
        "location" => wire.location,
        "contacts" => wire.contacts,
        "interactive" => wire.interactive,
        "reaction" => wire.reaction,
        _ => return Err(malformed(100, "Param type is not one of the message types")),
    };
    let Some(content) = content else {
        return Err(malformed(131_008, format!("Parameter '{kind}' is mandatory for type '{kind}'")));
    };
    match kind {
        "text" => check_text(content.get()),
        "template" => check_template(content.get()),
        "location" => check_location(content.get()),
        "contacts" if content.get().starts_with('[') => check_contacts(content.get()),
        "image" | "video" | "audio" | "document" | "sticker" => check_media(kind, content.get()),
        "contacts" => Err(malformed(100, "Param contacts must be an array.")),
        _ if content.get().starts_with('{') => Ok(()),
        _ => Err(malformed(100, format!("Param {kind} must be a JSON object."))),
    }
}

fn check_text(content: &str) -> Result<(), Malformed> {
    let Ok(text) = serde_json::from_str::<Text<'_>>(content) else {
        return Err(malformed(131_008, "Parameter 'text[body]' is mandatory"));
    };
    // Bytes are at least as many as characters, so that counting is seldom needed.
    if text.body.len() > TEXT_CHARS_MAX && text.body.chars().count() > TEXT_CHARS_MAX {
        return Err(malformed(100, "Param text[body] must be at most 4096 characters long."));
    }
    if text.body.is_empty() {
        return Err(malformed(100, "Param text[body] must be a non-empty string."));
    }
    Ok(())
}

fn check_media(kind: &str, content: &str) -> Result<(), Malformed> {
    match serde_json::from_str::<Media<'_>>(content) {
        Err(_) => Err(malformed(100, format!("Param {kind} must be a JSON object."))),
        Ok(Media { id: None, link: None }) => {
            Err(malformed(131_008, format!("Parameter '{kind}[id]' or '{kind}[link]' is mandatory")))
        }
        Ok(Media { id: Some(_), link: Some(_) }) => {
            Err(malformed(100, format!("Param {kind} must have either id or link.")))
        }
        Ok(_) => Ok(()),
    }
}

fn check_template(content: &str) -> Result<(), Malformed> {
    match serde_json::from_str::<Template<'_>>(content) {
        Ok(template) if !template.name.is_empty() && !template.language.code.is_empty() => Ok(()),
        _ => Err(malformed(131_008, "Parameters 'template[name]' and 'template[language][code]' are mandatory")),
    }
}

/// Meta's reference has the angles as texts, and its examples also as numbers.
fn check_location(content: &str) -> Result<(), Malformed> {
    let Ok(location) = serde_json::from_str::<Location<'_>>(content) else {
        return Err(malformed(131_008, "Parameters 'location[latitude]' and 'location[longitude]' are mandatory"));
    };
    let degrees = |angle: &RawValue| angle.get().trim_matches('"').parse::<f64>().ok();
    let within = |angle, most: f64| degrees(angle).is_some_and(|degrees| degrees.abs() <= most);
    if within(location.latitude, 90.0) && within(location.longitude, 180.0) {
        return Ok(());
    }
    Err(malformed(131_009, "Parameter 'location' is not a valid place"))
}

fn check_contacts(content: &str) -> Result<(), Malformed> {
    let Ok(contacts) = serde_json::from_str::<Vec<Contact<'_>>>(content) else {
        return Err(malformed(131_008, "Parameter 'contacts[name][formatted_name]' is mandatory"));
    };
    let is_whole = |contact: &Contact<'_>| {
        let name = &contact.name;
        let parts = [&name.first_name, &name.last_name, &name.middle_name, &name.prefix, &name.suffix];
        !name.formatted_name.is_empty() && parts.iter().any(|part| part.is_some())
    };
    if (1..=5).contains(&contacts.len()) && contacts.iter().all(is_whole) {
        return Ok(());
    }
    Err(malformed(131_009, "Parameter 'contacts' needs 1 to 5 names, each with a part besides the formatted one"))
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

fn malformed(code: u32, details: impl Into<Cow<'static, str>>) -> Malformed {
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
