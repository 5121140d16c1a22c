//! What is sent: the message of a campaign as it is on the wire, compiled once, rendered for each
//! recipient.
//!
//! Knows no provider's wire form. The syntax of placeholders is that of [`syntax`]; every bound
//! is checked here, so that nothing too long is queued.

pub mod literal;

mod media;
mod problems;
mod syntax;
#[cfg(test)]
mod tests;
mod variables;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::literal::{Card, ContactCard, Location};
use self::media::MediaForm;
pub use self::media::{CAPTION_CHARS_MAX, MediaContent, MediaProblem, MediaSource, MediaSpec};
pub use self::problems::{MessageProblem, RenderProblem};
use self::syntax::{Pattern, Picks};
pub use self::syntax::{SyntaxFault, SyntaxProblem};
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
    Template {
        /// Its name at the provider.
        name: String,
        /// Its language code at the provider.
        language: String,
        /// Parameters of its body in order, with placeholders.
        #[serde(default)]
        parameters: Vec<String>,
    },
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
    Template {
        /// Its name at the provider.
        name: Arc<str>,
        /// Its language code at the provider.
        language: Arc<str>,
        /// Parameters of its body, in order.
        parameters: Vec<String>,
    },
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
    Template { name: Arc<str>, language: Arc<str>, parameters: Vec<Pattern> },
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
            MessageSpec::Template { name, language, parameters } => {
                check_template(name, language)?;
                if PARAMETERS_MAX < parameters.len() {
                    return Err(MessageProblem::TooManyParameters);
                }
                let parameters = (1..).zip(parameters).map(|(at, source)| compile_parameter(at, source));
                Form::Template {
                    name: name.as_str().into(),
                    language: language.as_str().into(),
                    parameters: parameters.collect::<Result<_, _>>()?,
                }
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
        let mut picks = Picks::new(seed);
        match &*self.form {
            Form::Text(pattern) => {
                let body = pattern.render(variables, recipient, &mut picks)?;
                check_text(&body)?;
                Ok(Content::Text { body })
            }
            Form::Template { name, language, parameters } => {
                let mut rendered = Vec::with_capacity(parameters.len());
                for (pattern, parameter) in parameters.iter().zip(1..) {
                    let value = pattern.render(variables, recipient, &mut picks)?;
                    check_parameter(parameter, &value)?;
                    rendered.push(value);
                }
                Ok(Content::Template { name: name.clone(), language: language.clone(), parameters: rendered })
            }
            Form::Location(location) => Ok(Content::Location(Arc::clone(location))),
            Form::Contact(card) => Ok(Content::Contact(Arc::clone(card))),
            Form::Media(media) => media.render(variables, recipient, &mut picks).map(Content::Media),
        }
    }

    /// Returns the names of all variables used, each once, in order of the alphabet; `phone`,
    /// which every recipient brings along, is left out.
    #[must_use]
    pub fn variables(&self) -> Vec<&str> {
        let mut names: Vec<&str> = match &*self.form {
            Form::Text(pattern) => pattern.variables().collect(),
            Form::Template { parameters, .. } => parameters.iter().flat_map(Pattern::variables).collect(),
            Form::Location(_) | Form::Contact(_) => Vec::new(),
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
            Self::Template { name, language, parameters } => {
                let parameters = parameters.iter().map(|parameter| syntax::escaped(parameter)).collect();
                Self::Template { name, language, parameters }
            }
            Self::Location(_) | Self::Contact(_) => self,
            Self::Image(media) => Self::Image(media.literally()),
            Self::Video(media) => Self::Video(media.literally()),
            Self::Audio(media) => Self::Audio(media.literally()),
            Self::Document(media) => Self::Document(media.literally()),
        }
    }
}

impl fmt::Debug for MessageSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { text } => write!(f, "Text({} bytes)", text.len()),
            Self::Template { name, language, parameters } => {
                write!(f, "Template({name:?}, {language:?}, {} parameters)", parameters.len())
            }
            Self::Location(location) => location.fmt(f),
            Self::Contact(card) => card.fmt(f),
            Self::Image(media) | Self::Video(media) | Self::Audio(media) | Self::Document(media) => media.fmt(f),
        }
    }
}

impl From<Content> for MessageSpec {
    /// Makes the message that says the same to everybody; what it says is not escaped, it is to be read.
    fn from(content: Content) -> Self {
        match content {
            Content::Text { body } => Self::Text { text: body },
            Content::Template { name, language, parameters } => {
                Self::Template { name: name.as_ref().to_owned(), language: language.as_ref().to_owned(), parameters }
            }
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
            Self::Template { name, language, parameters } => {
                write!(f, "Template({name:?}, {language:?}, {} parameters)", parameters.len())
            }
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

fn compile_parameter(parameter: usize, source: &str) -> Result<Pattern, MessageProblem> {
    if source.trim().is_empty() {
        return Err(MessageProblem::EmptyParameter { parameter });
    }
    if is_longer(source, SOURCE_CHARS_MAX) {
        return Err(MessageProblem::SourceTooLong);
    }
    let pattern = Pattern::parse(source).map_err(|problem| MessageProblem::ParameterSyntax { parameter, problem })?;
    if PARAMETER_CHARS_MAX < pattern.chars_min() {
        return Err(MessageProblem::ParameterTooLong { parameter });
    }
    Ok(pattern)
}

fn check_template(name: &str, language: &str) -> Result<(), MessageProblem> {
    let is_name_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if !(1..=TEMPLATE_NAME_CHARS_MAX).contains(&name.len()) || !name.bytes().all(is_name_byte) {
        return Err(MessageProblem::BadTemplateName);
    }
    let is_language_byte = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if !(2..=LANGUAGE_CHARS_MAX).contains(&language.len()) || !language.bytes().all(is_language_byte) {
        return Err(MessageProblem::BadLanguage);
    }
    Ok(())
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

fn check_parameter(parameter: usize, value: &str) -> Result<(), RenderProblem> {
    if value.trim().is_empty() {
        return Err(RenderProblem::EmptyParameter { parameter });
    }
    if is_longer(value, PARAMETER_CHARS_MAX) {
        return Err(RenderProblem::ParameterTooLong { parameter });
    }
    let mut n_spaces = 0;
    for b in value.bytes() {
        n_spaces = if b == b' ' { n_spaces + 1 } else { 0 };
        if matches!(b, b'\n' | b'\r' | b'\t') || PARAMETER_SPACES_MAX < n_spaces {
            return Err(RenderProblem::ParameterLayout { parameter });
        }
    }
    Ok(())
}

/// Tells whether `text` has more than `chars_max` characters.
fn is_longer(text: &str, chars_max: usize) -> bool {
    chars_max < text.len() && text.chars().nth(chars_max).is_some()
}
