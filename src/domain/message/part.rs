//! A text among several of one message, such as a footer: its placeholders, and its bound once rendered.

use std::borrow::Cow;

use super::syntax::{Pattern, Picks};
use super::{RenderProblem, SOURCE_CHARS_MAX, Variables, is_longer};
use crate::domain::recipient::Recipient;

/// Why a part of a message cannot be used, in a sentence for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct PartProblem {
    field: &'static str,
    sentence: Cow<'static, str>,
}

/// With what placeholders are filled in.
pub(super) struct Filling<'a> {
    pub(super) variables: &'a Variables,
    pub(super) recipient: &'a Recipient,
    pub(super) picks: Picks,
}

/// One such text, read and checked.
#[derive(Debug)]
pub(super) struct Part {
    field: &'static str,
    chars_max: usize,
    is_line: bool,
    pattern: Pattern,
}

impl PartProblem {
    /// Says what is wrong with a field.
    pub(super) fn new(field: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self { field, sentence: sentence.into() }
    }

    /// Returns the field of the message that it is about.
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field
    }
}

impl Part {
    /// Reads a text of several lines.
    pub(super) fn text(field: &'static str, chars_max: usize, source: &str) -> Result<Self, PartProblem> {
        Self::compile((field, chars_max, false), source)
    }

    /// Reads a text that must stand in one line.
    pub(super) fn line(field: &'static str, chars_max: usize, source: &str) -> Result<Self, PartProblem> {
        Self::compile((field, chars_max, true), source)
    }

    fn compile((field, chars_max, is_line): (&'static str, usize, bool), source: &str) -> Result<Self, PartProblem> {
        if source.trim().is_empty() {
            return Err(PartProblem::new(field, format!("The {field} is empty.")));
        }
        if is_longer(source, SOURCE_CHARS_MAX) {
            let sentence = format!("The {field} with all its variants is longer than {SOURCE_CHARS_MAX} characters.");
            return Err(PartProblem::new(field, sentence));
        }
        let pattern = Pattern::parse(source);
        let pattern = pattern.map_err(|problem| PartProblem::new(field, format!("In {field}, {problem}")))?;
        if chars_max < pattern.chars_min() {
            return Err(PartProblem::new(field, format!("The {field} is longer than {chars_max} characters.")));
        }
        Ok(Self { field, chars_max, is_line, pattern })
    }

    /// Fills in the placeholders.
    pub(super) fn render(&self, filling: &mut Filling<'_>) -> Result<String, RenderProblem> {
        let Filling { variables, recipient, picks } = filling;
        let text = self.pattern.render(variables, recipient, picks)?;
        let field = self.field;
        if text.trim().is_empty() {
            return Err(RenderProblem::EmptyPart { field });
        }
        if is_longer(&text, self.chars_max) {
            return Err(RenderProblem::PartTooLong { field, chars_max: self.chars_max });
        }
        if self.is_line && text.chars().any(char::is_control) {
            return Err(RenderProblem::PartLayout { field });
        }
        Ok(text)
    }

    /// Returns the names of the variables used, with repetitions.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.pattern.variables()
    }
}

/// Checks a text that is sent as it is and stands in one line.
pub(super) fn check_line(field: &'static str, what: &str, chars_max: usize, text: &str) -> Result<(), PartProblem> {
    if text.trim().is_empty() || is_longer(text, chars_max) || text.chars().any(char::is_control) {
        return Err(PartProblem::new(field, format!("{what} must have 1 to {chars_max} characters in one line.")));
    }
    Ok(())
}
