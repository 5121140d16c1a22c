//! Checks what a message holds, as Meta's reference says for its type (messages reference, one page for each type).
//!
//! Bounds that differ between the pages are those of the page of the type.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::interactive::{self, check_reaction};
use super::request::{Malformed, Wire, malformed};

/// Longest text (Meta: text messages; interactive list messages).
const TEXT_CHARS_MAX: usize = 4_096;

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
    #[serde(borrow, default)]
    components: Vec<Component<'a>>,
}

#[derive(Deserialize)]
struct Component<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    sub_type: Option<Cow<'a, str>>,
    index: Option<&'a RawValue>,
    #[serde(borrow, default)]
    parameters: Vec<Parameter<'a>>,
}

#[derive(Deserialize)]
struct Parameter<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    image: Option<&'a RawValue>,
    #[serde(borrow)]
    video: Option<&'a RawValue>,
    #[serde(borrow)]
    document: Option<&'a RawValue>,
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

pub(super) fn check_content(wire: &Wire<'_>) -> Result<(), Malformed> {
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
        "interactive" => interactive::check(content.get()),
        "reaction" => check_reaction(content.get()),
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

pub(super) fn check_media(kind: &str, content: &str) -> Result<(), Malformed> {
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
        Ok(template) if !template.name.is_empty() && !template.language.code.is_empty() => {
            template.components.iter().try_for_each(check_component)
        }
        _ => Err(malformed(131_008, "Parameters 'template[name]' and 'template[language][code]' are mandatory")),
    }
}

/// How many parameters a template wants is known only to whoever has approved it.
fn check_component(component: &Component<'_>) -> Result<(), Malformed> {
    const KINDS: [&str; 10] =
        ["text", "currency", "date_time", "image", "video", "document", "location", "payload", "coupon_code", "action"];
    if !["header", "body", "button", "carousel"].contains(&&*component.kind) {
        return Err(malformed(100, "Param components[type] must be one of {header, body, button}"));
    }
    if component.kind == "button" && (component.sub_type.is_none() || component.index.is_none()) {
        return Err(malformed(131_008, "Parameters 'sub_type' and 'index' of a button are mandatory"));
    }
    for parameter in &component.parameters {
        if !KINDS.contains(&&*parameter.kind) {
            return Err(malformed(100, "Param parameters[type] is not one of the types of parameters"));
        }
        for (kind, file) in [("image", parameter.image), ("video", parameter.video), ("document", parameter.document)] {
            if let Some(file) = file {
                check_media(kind, file.get())?;
            }
        }
    }
    Ok(())
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

/// Returns the provider's name of the file that goes along, whether it is all or stands above.
pub(super) fn media_id_of<'a>(wire: &Wire<'a>) -> Option<Cow<'a, str>> {
    let content = match wire.kind.as_deref()? {
        "image" => wire.image,
        "video" => wire.video,
        "audio" => wire.audio,
        "document" => wire.document,
        "sticker" => wire.sticker,
        "interactive" => return media_id(interactive::header_media(wire.interactive?.get())?.1),
        "template" => {
            let template = serde_json::from_str::<Template<'a>>(wire.template?.get()).ok()?;
            let mut parameters = template.components.iter().flat_map(|component| &component.parameters);
            let file = parameters.find_map(|of| of.image.or(of.video).or(of.document))?;
            return media_id(file.get());
        }
        _ => None,
    };
    media_id(content?.get())
}

fn media_id(content: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Media<'_>>(content).ok()?.id
}
