//! Messages that are answered by a tap: reply buttons, a list to choose from, a link.
//!
//! Bounds are the provider's (Meta: messages, interactive reply buttons, lists and call-to-action URLs). Titles and ids
//! are sent as they are: an answer brings them back, so that they must be the same for everybody.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

use super::header::{HeaderContent, HeaderForm, HeaderSpec};
use super::media::MEDIA_URL_CHARS_MAX;
use super::part::{Filling, Part, PartProblem, check_line};
use super::syntax::escaped;
use super::{MessageProblem, MessageSpec, RenderProblem, TEXT_CHARS_MAX};
use crate::domain::id::TenantId;

/// Characters of the text above buttons or a link once rendered, at most.
pub const BODY_CHARS_MAX: usize = 1_024;
/// Characters of a footer once rendered, at most.
pub const FOOTER_CHARS_MAX: usize = 60;
/// Reply buttons of one message, at most.
pub const BUTTONS_MAX: usize = 3;
/// Characters of what stands on a button, at most.
pub const BUTTON_TITLE_CHARS_MAX: usize = 20;
/// Characters of the id of a button, at most.
pub const BUTTON_ID_CHARS_MAX: usize = 256;
/// Rows of a list over all its sections, and sections, at most.
pub const ROWS_MAX: usize = 10;
/// Characters of the title of a section or row, at most.
pub const ROW_TITLE_CHARS_MAX: usize = 24;
/// Characters of the id of a row, at most.
pub const ROW_ID_CHARS_MAX: usize = 200;
/// Characters below the title of a row, at most.
pub const ROW_DESCRIPTION_CHARS_MAX: usize = 72;

/// A button that answers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyButton {
    /// What comes back when it is tapped; unique in its message.
    pub id: String,
    /// What stands on it; unique in its message.
    pub title: String,
}

/// A row of a list.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRow {
    /// What comes back when it is chosen; unique in its message.
    pub id: String,
    /// What stands in it.
    pub title: String,
    /// What stands below that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Rows that belong together.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListSection {
    /// What stands above them; required where there is more than one section.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The rows.
    pub rows: Vec<ListRow>,
}

/// A text with up to three buttons that answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ButtonsSpec {
    /// What stands above; no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderSpec>,
    /// The text, with placeholders.
    pub text: String,
    /// What stands below, with placeholders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
    /// The buttons, 1 to 3.
    pub buttons: Vec<ReplyButton>,
}

/// A text with a list to choose from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListSpec {
    /// What stands above; only a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderSpec>,
    /// The text, with placeholders.
    pub text: String,
    /// What stands below, with placeholders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
    /// What stands on the button that opens the list.
    pub button: String,
    /// The sections, with 1 to 10 rows over all.
    pub sections: Vec<ListSection>,
}

/// A text with a button that opens an address.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// What stands above; no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderSpec>,
    /// The text, with placeholders.
    pub text: String,
    /// What stands below, with placeholders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
    /// What stands on the button.
    pub button: String,
    /// What it opens, with placeholders; `https://` or `http://`.
    pub url: String,
}

/// What is tapped.
#[derive(Clone, PartialEq, Eq)]
pub enum Action {
    /// Buttons that answer.
    Buttons(Arc<[ReplyButton]>),
    /// A list to choose from.
    List {
        /// What stands on the button that opens it.
        button: Arc<str>,
        /// What it holds.
        sections: Arc<[ListSection]>,
    },
    /// A button that opens an address.
    Link {
        /// What stands on it.
        button: Arc<str>,
        /// What it opens.
        url: String,
    },
}

/// An interactive message rendered for one recipient.
#[derive(Clone, PartialEq, Eq)]
pub struct InteractiveContent {
    /// What stands above.
    pub header: Option<HeaderContent>,
    /// The text.
    pub text: String,
    /// What stands below.
    pub footer: Option<String>,
    /// What is tapped.
    pub action: Action,
}

#[derive(Debug)]
enum ActionForm {
    Same(Action),
    Link { button: Arc<str>, url: Part },
}

/// An interactive message, read and checked.
#[derive(Debug)]
pub(super) struct InteractiveForm {
    header: Option<HeaderForm>,
    text: Part,
    footer: Option<Part>,
    action: ActionForm,
}

/// What all of them have.
struct Frame<'a> {
    header: Option<&'a HeaderSpec>,
    text: &'a str,
    chars_max: usize,
    footer: Option<&'a str>,
}

impl ButtonsSpec {
    pub(super) fn literally(self) -> Self {
        let (header, footer) = frame_literally(self.header, self.footer);
        Self { header, text: escaped(&self.text), footer, buttons: self.buttons }
    }

    pub(super) fn compile(&self, tenant_id: TenantId) -> Result<InteractiveForm, MessageProblem> {
        if !(1..=BUTTONS_MAX).contains(&self.buttons.len()) {
            return Err(PartProblem::new("buttons", format!("There must be 1 to {BUTTONS_MAX} buttons.")).into());
        }
        for button in &self.buttons {
            check_line("buttons", "The title of a button", BUTTON_TITLE_CHARS_MAX, &button.title)?;
            check_line("buttons", "The id of a button", BUTTON_ID_CHARS_MAX, &button.id)?;
        }
        check_unique("buttons", "Each button needs an id of its own.", self.buttons.iter().map(|b| &*b.id))?;
        check_unique("buttons", "Each button needs a title of its own.", self.buttons.iter().map(|b| &*b.title))?;
        let frame = Frame {
            header: self.header.as_ref(),
            text: &self.text,
            chars_max: BODY_CHARS_MAX,
            footer: self.footer.as_deref(),
        };
        frame.compile(ActionForm::Same(Action::Buttons(self.buttons.as_slice().into())), tenant_id)
    }
}

impl ListSpec {
    pub(super) fn literally(self) -> Self {
        let (header, footer) = frame_literally(self.header, self.footer);
        Self { header, text: escaped(&self.text), footer, ..self }
    }

    pub(super) fn compile(&self, tenant_id: TenantId) -> Result<InteractiveForm, MessageProblem> {
        if !matches!(self.header, None | Some(HeaderSpec::Text { .. })) {
            return Err(PartProblem::new("header", "The header of a list is a line of text.").into());
        }
        check_line("button", "What stands on the button", BUTTON_TITLE_CHARS_MAX, &self.button)?;
        self.check_rows()?;
        let frame = Frame {
            header: self.header.as_ref(),
            text: &self.text,
            chars_max: TEXT_CHARS_MAX,
            footer: self.footer.as_deref(),
        };
        let (button, sections) = (self.button.as_str().into(), self.sections.as_slice().into());
        frame.compile(ActionForm::Same(Action::List { button, sections }), tenant_id)
    }

    fn check_rows(&self) -> Result<(), PartProblem> {
        let rows = || self.sections.iter().flat_map(|section| &section.rows);
        let has_empty = self.sections.iter().any(|section| section.rows.is_empty());
        if has_empty || !(1..=ROWS_MAX).contains(&rows().count()) {
            let sentence = format!("There must be 1 to {ROWS_MAX} rows over all sections, and no section without one.");
            return Err(PartProblem::new("sections", sentence));
        }
        for section in &self.sections {
            match &section.title {
                Some(title) => check_line("sections", "The title of a section", ROW_TITLE_CHARS_MAX, title)?,
                None if self.sections.len() == 1 => {}
                None => return Err(PartProblem::new("sections", "Each of several sections needs a title.")),
            }
        }
        for row in rows() {
            check_line("sections", "The id of a row", ROW_ID_CHARS_MAX, &row.id)?;
            check_line("sections", "The title of a row", ROW_TITLE_CHARS_MAX, &row.title)?;
            if let Some(description) = &row.description {
                check_line("sections", "The description of a row", ROW_DESCRIPTION_CHARS_MAX, description)?;
            }
        }
        check_unique("sections", "Each row needs an id of its own.", rows().map(|row| &*row.id))
    }
}

impl LinkSpec {
    pub(super) fn literally(self) -> Self {
        let (header, footer) = frame_literally(self.header, self.footer);
        Self { header, text: escaped(&self.text), footer, button: self.button, url: escaped(&self.url) }
    }

    pub(super) fn compile(&self, tenant_id: TenantId) -> Result<InteractiveForm, MessageProblem> {
        check_line("button", "What stands on the button", BUTTON_TITLE_CHARS_MAX, &self.button)?;
        let url = Part::line("url", MEDIA_URL_CHARS_MAX, &self.url)?;
        if !self.url.starts_with("https://") && !self.url.starts_with("http://") && !self.url.starts_with('{') {
            return Err(PartProblem::new("url", "The url must begin with https:// or http://.").into());
        }
        let frame = Frame {
            header: self.header.as_ref(),
            text: &self.text,
            chars_max: BODY_CHARS_MAX,
            footer: self.footer.as_deref(),
        };
        frame.compile(ActionForm::Link { button: self.button.as_str().into(), url }, tenant_id)
    }
}

impl Frame<'_> {
    fn compile(self, action: ActionForm, tenant_id: TenantId) -> Result<InteractiveForm, MessageProblem> {
        if matches!(self.header, Some(HeaderSpec::Location(_))) {
            return Err(PartProblem::new("header", "Only the header of a template is a place.").into());
        }
        Ok(InteractiveForm {
            header: self.header.map(|header| HeaderForm::compile(header, tenant_id)).transpose()?,
            text: Part::text("text", self.chars_max, self.text)?,
            footer: self.footer.map(|footer| Part::line("footer", FOOTER_CHARS_MAX, footer)).transpose()?,
            action,
        })
    }
}

impl InteractiveForm {
    pub(super) fn render(&self, filling: &mut Filling<'_>) -> Result<InteractiveContent, RenderProblem> {
        let header = self.header.as_ref().map(|header| header.render(filling)).transpose()?;
        let text = self.text.render(filling)?;
        let footer = self.footer.as_ref().map(|footer| footer.render(filling)).transpose()?;
        let action = match &self.action {
            ActionForm::Same(action) => action.clone(),
            ActionForm::Link { button, url } => {
                let url = url.render(filling)?;
                let is_web = Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "https" | "http"));
                if !is_web || url.contains(char::is_whitespace) {
                    return Err(RenderProblem::BadUrl);
                }
                Action::Link { button: Arc::clone(button), url }
            }
        };
        Ok(InteractiveContent { header, text, footer, action })
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        let url = match &self.action {
            ActionForm::Link { url, .. } => Some(url),
            ActionForm::Same(_) => None,
        };
        let parts = [Some(&self.text), self.footer.as_ref(), url].into_iter().flatten();
        self.header.iter().flat_map(HeaderForm::variables).chain(parts.flat_map(Part::variables))
    }
}

impl InteractiveContent {
    /// Returns what was rendered as a message that could be written again.
    pub(super) fn into_spec(self) -> MessageSpec {
        let (header, text, footer) = (self.header.map(HeaderContent::into_spec), self.text, self.footer);
        match self.action {
            Action::Buttons(buttons) => {
                MessageSpec::Buttons(ButtonsSpec { header, text, footer, buttons: buttons.to_vec() })
            }
            Action::List { button, sections } => {
                let (button, sections) = (button.as_ref().to_owned(), sections.to_vec());
                MessageSpec::List(ListSpec { header, text, footer, button, sections })
            }
            Action::Link { button, url } => {
                MessageSpec::Link(LinkSpec { header, text, footer, button: button.as_ref().to_owned(), url })
            }
        }
    }
}

fn frame_literally(header: Option<HeaderSpec>, footer: Option<String>) -> (Option<HeaderSpec>, Option<String>) {
    (header.map(HeaderSpec::literally), footer.as_deref().map(escaped))
}

fn check_unique<'a>(
    field: &'static str,
    sentence: &'static str,
    texts: impl Iterator<Item = &'a str>,
) -> Result<(), PartProblem> {
    let mut texts: Vec<&str> = texts.collect();
    texts.sort_unstable();
    if texts.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(PartProblem::new(field, sentence));
    }
    Ok(())
}

/// Writes how much a type holds, and nothing of what it says.
macro_rules! debug_as_name {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )+};
}

debug_as_name!(ReplyButton, ListRow, ListSection, ButtonsSpec, ListSpec, LinkSpec, Action, InteractiveContent);
