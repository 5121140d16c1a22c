//! Checks messages that are answered by a tap, and reactions (Meta: messages/interactive-reply-buttons-messages,
//! messages/interactive-list-messages, messages/interactive-cta-url-messages, messages/reaction-messages).

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::content::check_media;
use super::request::{Malformed, malformed};

/// Longest text above buttons and links; that of a list may be as long as a text message.
const BODY_CHARS_MAX: usize = 1_024;
const LIST_BODY_CHARS_MAX: usize = 4_096;
/// Longest line above and below.
const LINE_CHARS_MAX: usize = 60;
/// Longest title of a button.
const BUTTON_CHARS_MAX: usize = 20;
/// Longest title of a section or row, and what stands below it.
const ROW_CHARS_MAX: usize = 24;
const DESCRIPTION_CHARS_MAX: usize = 72;
/// Longest ids of buttons and rows.
const BUTTON_ID_CHARS_MAX: usize = 256;
const ROW_ID_CHARS_MAX: usize = 200;
/// Rows over all sections.
const ROWS_MAX: usize = 10;
/// Reply buttons.
const BUTTONS_MAX: usize = 3;

#[derive(Deserialize)]
struct Interactive<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    header: Option<Header<'a>>,
    #[serde(borrow)]
    body: Line<'a>,
    #[serde(borrow)]
    footer: Option<Line<'a>>,
    #[serde(borrow)]
    action: &'a RawValue,
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    image: Option<&'a RawValue>,
    #[serde(borrow)]
    video: Option<&'a RawValue>,
    #[serde(borrow)]
    document: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Buttons<'a> {
    #[serde(borrow)]
    buttons: Vec<Button<'a>>,
}

#[derive(Deserialize)]
struct Button<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    reply: Named<'a>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    title: Cow<'a, str>,
    #[serde(borrow)]
    description: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    button: Cow<'a, str>,
    #[serde(borrow)]
    sections: Vec<Section<'a>>,
}

#[derive(Deserialize)]
struct Section<'a> {
    #[serde(borrow)]
    title: Option<Cow<'a, str>>,
    #[serde(borrow)]
    rows: Vec<Named<'a>>,
}

#[derive(Deserialize)]
struct Link<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    parameters: LinkParameters<'a>,
}

#[derive(Deserialize)]
struct LinkParameters<'a> {
    #[serde(borrow)]
    display_text: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Reaction<'a> {
    #[serde(borrow)]
    message_id: Cow<'a, str>,
    #[expect(dead_code, reason = "it must be there; an empty one takes a reaction away")]
    #[serde(borrow)]
    emoji: Cow<'a, str>,
}

/// Checks the object `interactive`.
pub(super) fn check(content: &str) -> Result<(), Malformed> {
    let interactive: Interactive<'_> = read(content, "Parameters of 'interactive' are missing or of a wrong type")?;
    let body_chars_max = if interactive.kind == "list" { LIST_BODY_CHARS_MAX } else { BODY_CHARS_MAX };
    check_chars("interactive[body][text]", &interactive.body.text, body_chars_max)?;
    if let Some(footer) = &interactive.footer {
        check_chars("interactive[footer][text]", &footer.text, LINE_CHARS_MAX)?;
    }
    if let Some(header) = &interactive.header {
        check_header(header, &interactive.kind)?;
    }
    let action = interactive.action.get();
    match &*interactive.kind {
        "button" => check_buttons(&read(action, "Parameter 'interactive[action][buttons]' is mandatory")?),
        "list" => check_list(&read(action, "Parameters 'button' and 'sections' of the action are mandatory")?),
        "cta_url" => check_link(&read(action, "Parameters 'name' and 'parameters' of the action are mandatory")?),
        _ => Err(malformed(100, "Param interactive[type] must be one of {button, list, cta_url}")),
    }
}

/// Checks the object `reaction`.
pub(super) fn check_reaction(content: &str) -> Result<(), Malformed> {
    let reaction: Reaction<'_> =
        read(content, "Parameters 'reaction[message_id]' and 'reaction[emoji]' are mandatory")?;
    if reaction.message_id.is_empty() {
        return Err(malformed(131_009, "Parameter 'reaction[message_id]' is not the id of a message"));
    }
    Ok(())
}

/// Returns the file that stands above, if it is named by an id.
pub(super) fn header_media(content: &str) -> Option<(&'static str, &str)> {
    let header = serde_json::from_str::<Interactive<'_>>(content).ok()?.header?;
    let files = [("image", header.image), ("video", header.video), ("document", header.document)];
    files.into_iter().find_map(|(kind, file)| Some((kind, file?.get())))
}

fn check_header(header: &Header<'_>, kind: &str) -> Result<(), Malformed> {
    let file = match &*header.kind {
        "text" => {
            let text = header.text.as_deref().unwrap_or_default();
            return check_chars("interactive[header][text]", text, LINE_CHARS_MAX);
        }
        _ if kind == "list" => return Err(malformed(131_009, "The header of a list must be of type text")),
        "image" => ("image", header.image),
        "video" => ("video", header.video),
        "document" => ("document", header.document),
        _ => return Err(malformed(100, "Param header[type] must be one of {text, image, video, document}")),
    };
    let content = file.1.ok_or_else(|| malformed(131_008, format!("Parameter 'header[{}]' is mandatory", file.0)))?;
    check_media(file.0, content.get())
}

fn check_buttons(action: &Buttons<'_>) -> Result<(), Malformed> {
    if !(1..=BUTTONS_MAX).contains(&action.buttons.len()) {
        return Err(malformed(131_009, "There must be 1 to 3 buttons"));
    }
    let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for Button { kind, reply } in &action.buttons {
        if kind != "reply" {
            return Err(malformed(100, "Param buttons[type] must be one of {reply}"));
        }
        check_chars("buttons[reply][id]", &reply.id, BUTTON_ID_CHARS_MAX)?;
        check_chars("buttons[reply][title]", &reply.title, BUTTON_CHARS_MAX)?;
        if !ids.insert(&reply.id) || !titles.insert(&reply.title) {
            return Err(malformed(131_009, "Ids and titles of buttons must be unique"));
        }
    }
    Ok(())
}

fn check_list(action: &List<'_>) -> Result<(), Malformed> {
    check_chars("action[button]", &action.button, BUTTON_CHARS_MAX)?;
    let mut ids = BTreeSet::new();
    for section in &action.sections {
        match &section.title {
            Some(title) => check_chars("sections[title]", title, ROW_CHARS_MAX)?,
            None if action.sections.len() == 1 => {}
            None => return Err(malformed(131_009, "Each of several sections must have a title")),
        }
        for row in &section.rows {
            check_chars("rows[id]", &row.id, ROW_ID_CHARS_MAX)?;
            check_chars("rows[title]", &row.title, ROW_CHARS_MAX)?;
            if let Some(description) = &row.description {
                check_chars("rows[description]", description, DESCRIPTION_CHARS_MAX)?;
            }
            if !ids.insert(&row.id) {
                return Err(malformed(131_009, "Ids of rows must be unique"));
            }
        }
    }
    let has_empty = action.sections.iter().any(|section| section.rows.is_empty());
    if has_empty || !(1..=ROWS_MAX).contains(&ids.len()) {
        return Err(malformed(131_009, "There must be 1 to 10 rows over all sections"));
    }
    Ok(())
}

fn check_link(action: &Link<'_>) -> Result<(), Malformed> {
    if action.name != "cta_url" {
        return Err(malformed(100, "Param action[name] must be cta_url"));
    }
    check_chars("parameters[display_text]", &action.parameters.display_text, BUTTON_CHARS_MAX)?;
    let url = &action.parameters.url;
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(malformed(131_009, "Parameter 'url' is not a valid URL"));
    }
    Ok(())
}

fn read<'a, T: Deserialize<'a>>(content: &'a str, problem: &'static str) -> Result<T, Malformed> {
    serde_json::from_str(content).map_err(|_| malformed(131_008, problem))
}

fn check_chars(name: &str, text: &str, chars_max: usize) -> Result<(), Malformed> {
    if text.is_empty() {
        return Err(malformed(131_008, format!("Parameter '{name}' is mandatory")));
    }
    if chars_max < text.chars().count() {
        return Err(malformed(100, format!("Param {name} must be at most {chars_max} characters long.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(content: &str) -> Option<u32> {
        check(content).err().map(|malformed| malformed.code)
    }

    #[test]
    fn what_is_tapped_is_judged() {
        let of = |kind: &str, action: &str| format!(r#"{{"type":"{kind}","body":{{"text":"Hi"}},"action":{action}}}"#);
        let button = |id: &str, title: &str| format!(r#"{{"type":"reply","reply":{{"id":"{id}","title":"{title}"}}}}"#);
        let buttons = |list: &[String]| of("button", &format!(r#"{{"buttons":[{}]}}"#, list.join(",")));
        let list = |rows: &str| of("list", &format!(r#"{{"button":"Open","sections":[{rows}]}}"#));
        let row = |id: usize| format!(r#"{{"id":"{id}","title":"T"}}"#);
        let rows = |n: usize| (0..n).map(row).collect::<Vec<_>>().join(",");
        let link = |url: &str| {
            of("cta_url", &format!(r#"{{"name":"cta_url","parameters":{{"display_text":"Go","url":"{url}"}}}}"#))
        };
        let long = "x".repeat(21);
        let table = [
            (buttons(&[button("1", "Yes"), button("2", "No")]), None),
            (buttons(&[]), Some(131_009)),
            (buttons(&[button("1", "A"), button("2", "B"), button("3", "C"), button("4", "D")]), Some(131_009)),
            (buttons(&[button("1", "A"), button("1", "B")]), Some(131_009)),
            (buttons(&[button("1", "A"), button("2", "A")]), Some(131_009)),
            (buttons(&[button("1", &long)]), Some(100)),
            (buttons(&[button("", "A")]), Some(131_008)),
            (list(&format!(r#"{{"rows":[{}]}}"#, rows(10))), None),
            (list(&format!(r#"{{"rows":[{}]}}"#, rows(11))), Some(131_009)),
            (list(r#"{"rows":[]}"#), Some(131_009)),
            (list(&format!(r#"{{"rows":[{}]}},{{"rows":[{}]}}"#, row(1), row(2))), Some(131_009)),
            (link("https://a.example"), None),
            (link("a.example"), Some(131_009)),
            (of("poll", "{}"), Some(100)),
            (of("button", "{}"), Some(131_008)),
            (r#"{"type":"button"}"#.to_owned(), Some(131_008)),
        ];
        for (content, expected) in table {
            assert_eq!(code(&content), expected, "{content}");
        }
    }

    #[test]
    fn lines_around_are_judged() {
        let of = |kind: &str, rest: &str| {
            let action = r#"{"button":"Open","sections":[{"rows":[{"id":"1","title":"T"}]}],
                "buttons":[{"type":"reply","reply":{"id":"1","title":"A"}}]}"#;
            format!(r#"{{"type":"{kind}","body":{{"text":"Hi"}},{rest},"action":{action}}}"#)
        };
        let image = r#""header":{"type":"image","image":{"link":"https://a.example"}}"#;
        assert_eq!(code(&of("button", image)), None);
        assert_eq!(code(&of("list", image)), Some(131_009));
        assert_eq!(code(&of("button", r#""header":{"type":"image"}"#)), Some(131_008));
        assert_eq!(code(&of("button", r#""header":{"type":"image","image":{}}"#)), Some(131_008));
        assert_eq!(code(&of("list", r#""header":{"type":"text","text":"Menu"}"#)), None);
        let long = "x".repeat(61);
        assert_eq!(code(&of("list", &format!(r#""footer":{{"text":"{long}"}}"#))), Some(100));
        let content =
            of("button", &format!(r#""header":{{"type":"image","image":{{"id":"7"}}}},"footer":{{"text":"{}"}}"#, "F"));
        assert_eq!(header_media(&content), Some(("image", r#"{"id":"7"}"#)));
    }

    #[test]
    fn a_reaction_names_a_message() {
        assert!(check_reaction(r#"{"message_id":"wamid.1","emoji":""}"#).is_ok());
        assert_eq!(check_reaction(r#"{"message_id":"","emoji":"x"}"#).unwrap_err().code, 131_009);
        assert_eq!(check_reaction(r#"{"message_id":"wamid.1"}"#).unwrap_err().code, 131_008);
    }
}
