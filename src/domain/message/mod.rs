//! What is sent: the message of a campaign as it is on the wire, compiled once, rendered for each
//! recipient.
//!
//! Knows no provider's wire form. The syntax of placeholders is that of [`syntax`]; every bound
//! is checked here, so that nothing too long is queued.

pub mod literal;

pub mod header;

pub mod interactive;

pub mod template;

mod media;
mod part;
mod problems;
mod reaction;
mod syntax;
#[cfg(test)]
mod tests;
mod variables;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::interactive::{ButtonsSpec, InteractiveContent, InteractiveForm, LinkSpec, ListSpec};
use self::literal::{Card, ContactCard, Location};
use self::media::MediaForm;
pub use self::media::{CAPTION_CHARS_MAX, MediaContent, MediaProblem, MediaSource, MediaSpec};
use self::part::Filling;
pub use self::part::PartProblem;
pub use self::problems::{MessageProblem, RenderProblem};
pub use self::reaction::{EMOJI_CHARS_MAX, MESSAGE_ID_CHARS_MAX, Reaction};
use self::syntax::{Pattern, Picks};
pub use self::syntax::{SyntaxFault, SyntaxProblem};
use self::template::{TemplateContent, TemplateForm, TemplateSpec};
pub use self::variables::{NAME_CHARS_MAX, VALUE_CHARS_MAX, VARIABLES_MAX, Variables, VariablesProblem};
use crate::domain::id::TenantId;
use crate::domain::media::MediaKind;
use crate::domain::recipient::Recipient;

/// Characters of a text once rendered, at most; the provider's bound.
pub const TEXT_CHARS_MAX: usize = 4_096;
/// Characters of a text before it is rendered, at most: four of the longest texts, as variants.
pub const SOURCE_CHARS_MAX: usize = 4 * TEXT_CHARS_MAX;
/// Characters of a template's name, at most; the provider's bound.
pub const TEMPLATE_NAME_CHARS_MAX: usize = 512;
/// Characters of a language code, at most; `zh_Hans_HK` has 10.
pub const LANGUAGE_CHARS_MAX: usize = 16;
/// Parameters of one template, at most; as many as a recipient has variables.
pub const PARAMETERS_MAX: usize = 32;
/// Characters of one parameter once rendered, at most; the provider's bound for a body.
pub const PARAMETER_CHARS_MAX: usize = 1_024;
/// Spaces in a row inside a parameter, at most; the provider refuses five.
const PARAMETER_SPACES_MAX: usize = 4;

/// A message as it is on the wire, its placeholders unread.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum MessageSpec {
    /// Free text.
    Text {
        /// The text, with placeholders.
        text: String,
    },
    /// A template that the provider has approved.
    Template(TemplateSpec),
    /// A text with buttons that answer.
    Buttons(ButtonsSpec),
    /// A text with a list to choose from.
    List(ListSpec),
    /// A text with a button that opens an address.
    Link(LinkSpec),
    /// A sign below a message that somebody wrote.
    Reaction(Reaction),
    /// A place on the map.
    Location(Location),
    /// A person's card.
    Contact(ContactCard),
    /// A picture.
    Image(MediaSpec),
    /// A film.
    Video(MediaSpec),
    /// A recording.
    Audio(MediaSpec),
    /// A file to read.
    Document(MediaSpec),
    /// A small picture on its own.
    Sticker(MediaSpec),
}

/// A message rendered for one recipient, within all bounds.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// Free text.
    Text {
        /// What the recipient reads.
        body: String,
    },
    /// An approved template.
    Template(TemplateContent),
    /// A message that is answered by a tap.
    Interactive(InteractiveContent),
    /// A sign below a message that somebody wrote.
    Reaction(Arc<Reaction>),
    /// A place on the map.
    Location(Arc<Location>),
    /// A person's card.
    Contact(Arc<Card>),
    /// A file.
    Media(MediaContent),
}

/// A message read and checked, ready to be rendered any number of times. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MessageTemplate {
    form: Arc<Form>,
}

#[derive(Debug)]
enum Form {
    Text(Pattern),
    Template(TemplateForm),
    Interactive(InteractiveForm),
    Reaction(Arc<Reaction>),
    Location(Arc<Location>),
    Contact(Arc<Card>),
    Media(MediaForm),
}

impl MessageTemplate {
    /// Reads the placeholders of `spec` and checks what can be checked without a recipient.
    ///
    /// # Errors
    ///
    /// Says what is wrong, and where.
    pub fn compile(spec: &MessageSpec) -> Result<Self, MessageProblem> {
        Self::compile_for(spec, TenantId(uuid::Uuid::nil()))
    }

    /// Does the same, to be sent: files of ours are those of `tenant_id`.
    ///
    /// # Errors
    ///
    /// Says what is wrong, and where.
    pub fn compile_for(spec: &MessageSpec, tenant_id: TenantId) -> Result<Self, MessageProblem> {
        let of_media = |kind, media| MediaForm::compile(kind, media, tenant_id).map(Form::Media);
        let form = match spec {
            MessageSpec::Text { text } => Form::Text(compile_text(text)?),
            MessageSpec::Template(template) => Form::Template(TemplateForm::compile(template, tenant_id)?),
            MessageSpec::Buttons(buttons) => Form::Interactive(buttons.compile(tenant_id)?),
            MessageSpec::List(list) => Form::Interactive(list.compile(tenant_id)?),
            MessageSpec::Link(link) => Form::Interactive(link.compile(tenant_id)?),
            MessageSpec::Reaction(reaction) => {
                reaction.check()?;
                Form::Reaction(Arc::new(reaction.clone()))
            }
            MessageSpec::Location(location) => {
                location.check()?;
                Form::Location(Arc::new(location.clone()))
            }
            MessageSpec::Contact(card) => Form::Contact(Arc::new(card.read()?)),
            MessageSpec::Image(media) => of_media(MediaKind::Image, media)?,
            MessageSpec::Video(media) => of_media(MediaKind::Video, media)?,
            MessageSpec::Audio(media) => of_media(MediaKind::Audio, media)?,
            MessageSpec::Document(media) => of_media(MediaKind::Document, media)?,
            MessageSpec::Sticker(media) => of_media(MediaKind::Sticker, media)?,
        };
        Ok(Self { form: Arc::new(form) })
    }

    /// Fills in the placeholders for one recipient; equal arguments give equal content.
    ///
    /// `seed` picks the variants; values are taken as they are, whatever braces they hold.
    ///
    /// # Errors
    ///
    /// Says which variable is missing or which bound is broken.
    pub fn render(&self, variables: &Variables, recipient: &Recipient, seed: u64) -> Result<Content, RenderProblem> {
        let mut filling = Filling { variables, recipient, picks: Picks::new(seed) };
        match &*self.form {
            Form::Text(pattern) => {
                let body = pattern.render(variables, recipient, &mut filling.picks)?;
                check_text(&body)?;
                Ok(Content::Text { body })
            }
            Form::Template(template) => template.render(&mut filling).map(Content::Template),
            Form::Interactive(interactive) => interactive.render(&mut filling).map(Content::Interactive),
            Form::Reaction(reaction) => Ok(Content::Reaction(Arc::clone(reaction))),
            Form::Location(location) => Ok(Content::Location(Arc::clone(location))),
            Form::Contact(card) => Ok(Content::Contact(Arc::clone(card))),
            Form::Media(media) => media.render(variables, recipient, &mut filling.picks).map(Content::Media),
        }
    }

    /// Returns the names of all variables used, each once, in order of the alphabet; `phone`,
    /// which every recipient brings along, is left out.
    #[must_use]
    pub fn variables(&self) -> Vec<&str> {
        let mut names: Vec<&str> = match &*self.form {
            Form::Text(pattern) => pattern.variables().collect(),
            Form::Template(template) => template.variables().collect(),
            Form::Interactive(interactive) => interactive.variables().collect(),
            Form::Location(_) | Form::Contact(_) | Form::Reaction(_) => Vec::new(),
            Form::Media(media) => media.variables().collect(),
        };
        names.retain(|name| *name != syntax::PHONE);
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl MessageSpec {
    /// Returns the message with every placeholder marked as text, so that it is sent as it is written.
    #[must_use]
    pub fn literally(self) -> Self {
        match self {
            Self::Text { text } => Self::Text { text: syntax::escaped(&text) },
            Self::Template(template) => Self::Template(template.literally()),
            Self::Buttons(buttons) => Self::Buttons(buttons.literally()),
            Self::List(list) => Self::List(list.literally()),
            Self::Link(link) => Self::Link(link.literally()),
            Self::Location(_) | Self::Contact(_) | Self::Reaction(_) => self,
            Self::Image(media) => Self::Image(media.literally()),
            Self::Video(media) => Self::Video(media.literally()),
            Self::Audio(media) => Self::Audio(media.literally()),
            Self::Document(media) => Self::Document(media.literally()),
            Self::Sticker(media) => Self::Sticker(media.literally()),
        }
    }
}

impl Content {
    /// Returns the file that goes along, whether it is all or stands above.
    #[must_use]
    pub fn media(&self) -> Option<&MediaContent> {
        let header = match self {
            Self::Media(media) => return Some(media),
            Self::Template(template) => template.header.as_ref(),
            Self::Interactive(interactive) => interactive.header.as_ref(),
            Self::Text { .. } | Self::Location(_) | Self::Contact(_) | Self::Reaction(_) => None,
        };
        header.and_then(header::HeaderContent::media)
    }
}

impl fmt::Debug for MessageSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { text } => write!(f, "Text({} bytes)", text.len()),
            Self::Template(template) => template.fmt(f),
            Self::Buttons(buttons) => buttons.fmt(f),
            Self::List(list) => list.fmt(f),
            Self::Link(link) => link.fmt(f),
            Self::Reaction(reaction) => reaction.fmt(f),
            Self::Location(location) => location.fmt(f),
            Self::Contact(card) => card.fmt(f),
            Self::Image(media) | Self::Video(media) | Self::Audio(media) => media.fmt(f),
            Self::Document(media) | Self::Sticker(media) => media.fmt(f),
        }
    }
}

impl From<Content> for MessageSpec {
    /// Makes the message that says the same to everybody; what it says is not escaped, it is to be read.
    fn from(content: Content) -> Self {
        match content {
            Content::Text { body } => Self::Text { text: body },
            Content::Template(template) => Self::Template(template.into_spec()),
            Content::Interactive(interactive) => interactive.into_spec(),
            Content::Reaction(reaction) => Self::Reaction(Reaction::clone(&reaction)),
            Content::Location(location) => Self::Location(Location::clone(&location)),
            Content::Contact(card) => {
                let phones = card.phones.iter().map(|phone| phone.as_str().to_owned()).collect();
                Self::Contact(ContactCard { name: card.name.as_ref().to_owned(), phones })
            }
            Content::Media(media) => {
                let (kind, media) = media.into_spec();
                Self::of_media(kind, media)
            }
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { body } => write!(f, "Text({} bytes)", body.len()),
            Self::Template(template) => template.fmt(f),
            Self::Interactive(interactive) => interactive.fmt(f),
            Self::Reaction(reaction) => reaction.fmt(f),
            Self::Location(location) => location.fmt(f),
            Self::Contact(card) => card.fmt(f),
            Self::Media(media) => media.fmt(f),
        }
    }
}

fn compile_text(text: &str) -> Result<Pattern, MessageProblem> {
    if text.trim().is_empty() {
        return Err(MessageProblem::EmptyText);
    }
    if is_longer(text, SOURCE_CHARS_MAX) {
        return Err(MessageProblem::SourceTooLong);
    }
    let pattern = Pattern::parse(text).map_err(MessageProblem::TextSyntax)?;
    if TEXT_CHARS_MAX < pattern.chars_min() {
        return Err(MessageProblem::TextTooLong);
    }
    Ok(pattern)
}

fn check_text(body: &str) -> Result<(), RenderProblem> {
    if body.trim().is_empty() {
        return Err(RenderProblem::EmptyText);
    }
    if is_longer(body, TEXT_CHARS_MAX) {
        return Err(RenderProblem::TextTooLong);
    }
    Ok(())
}

/// Tells whether `text` has more than `chars_max` characters.
fn is_longer(text: &str, chars_max: usize) -> bool {
    chars_max < text.len() && text.chars().nth(chars_max).is_some()
}
