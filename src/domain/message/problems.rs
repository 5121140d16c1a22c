//! What can be wrong with a message: for its author before anybody gets it, and for one recipient.
//!
//! Only words; what is wrong is found where messages are read and rendered.

use super::literal::LiteralProblem;
use super::media::{CAPTION_CHARS_MAX, MediaProblem};
use super::part::PartProblem;
use super::syntax::SyntaxProblem;
use super::{
    PARAMETER_CHARS_MAX, PARAMETER_SPACES_MAX, PARAMETERS_MAX, SOURCE_CHARS_MAX, TEMPLATE_NAME_CHARS_MAX,
    TEXT_CHARS_MAX,
};

/// Why a message cannot be used, in a sentence for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageProblem {
    /// The text is empty.
    #[error("The text is empty.")]
    EmptyText,
    /// The text has too many characters, whatever its variables hold.
    #[error("The text is longer than {TEXT_CHARS_MAX} characters.")]
    TextTooLong,
    /// A text or parameter has too many characters before rendering.
    #[error("The text with all its variants is longer than {SOURCE_CHARS_MAX} characters.")]
    SourceTooLong,
    /// The template's name cannot be one.
    #[error("The template name must be 1 to {TEMPLATE_NAME_CHARS_MAX} small letters, digits or underscores.")]
    BadTemplateName,
    /// The language code cannot be one.
    #[error("The language must be a code such as en or en_US.")]
    BadLanguage,
    /// Too many parameters.
    #[error("The template has more than {PARAMETERS_MAX} parameters.")]
    TooManyParameters,
    /// A parameter is empty.
    #[error("Parameter {parameter} is empty.")]
    EmptyParameter {
        /// Which one, counted from 1.
        parameter: usize,
    },
    /// A parameter has too many characters, whatever its variables hold.
    #[error("Parameter {parameter} is longer than {PARAMETER_CHARS_MAX} characters.")]
    ParameterTooLong {
        /// Which one, counted from 1.
        parameter: usize,
    },
    /// The text has a placeholder that cannot be read.
    #[error("Text, {0}")]
    TextSyntax(SyntaxProblem),
    /// A parameter has a placeholder that cannot be read.
    #[error("Parameter {parameter}, {problem}")]
    ParameterSyntax {
        /// Which one, counted from 1.
        parameter: usize,
        /// What is wrong with it.
        problem: SyntaxProblem,
    },
    /// A place or a card is not one.
    #[error(transparent)]
    Literal(#[from] LiteralProblem),
    /// The file, or what goes with it, cannot be used.
    #[error(transparent)]
    Media(#[from] MediaProblem),
    /// A part, such as a footer or the buttons, cannot be used.
    #[error(transparent)]
    Part(#[from] PartProblem),
}

/// Why a message cannot be made for one recipient, in a sentence without the recipient's data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderProblem {
    /// A variable has neither a value nor a default.
    #[error("The variable {name} has no value and no default.")]
    MissingVariable {
        /// The variable as the message names it.
        name: Box<str>,
    },
    /// Nothing but white space is left.
    #[error("The rendered text is empty.")]
    EmptyText,
    /// Too many characters.
    #[error("The rendered text is longer than {TEXT_CHARS_MAX} characters.")]
    TextTooLong,
    /// Nothing but white space is left of a parameter.
    #[error("The rendered parameter {parameter} is empty.")]
    EmptyParameter {
        /// Which one, counted from 1.
        parameter: usize,
    },
    /// A parameter has too many characters.
    #[error("The rendered parameter {parameter} is longer than {PARAMETER_CHARS_MAX} characters.")]
    ParameterTooLong {
        /// Which one, counted from 1.
        parameter: usize,
    },
    /// A parameter has white space that templates do not allow.
    #[error(
        "The rendered parameter {parameter} has a line break, a tab or more than {PARAMETER_SPACES_MAX} spaces in a row."
    )]
    ParameterLayout {
        /// Which one, counted from 1.
        parameter: usize,
    },
    /// The caption has too many characters.
    #[error("The rendered caption is longer than {CAPTION_CHARS_MAX} characters.")]
    CaptionTooLong,
    /// Nothing but white space is left of a part.
    #[error("The rendered {field} is empty.")]
    EmptyPart {
        /// Which.
        field: &'static str,
    },
    /// A part has too many characters.
    #[error("The rendered {field} is longer than {chars_max} characters.")]
    PartTooLong {
        /// Which.
        field: &'static str,
        /// How many it may have.
        chars_max: usize,
    },
    /// A part that must stand in one line does not.
    #[error("The rendered {field} has a line break or a tab.")]
    PartLayout {
        /// Which.
        field: &'static str,
    },
    /// What a button opens is no address.
    #[error("The rendered url is not an https:// or http:// address.")]
    BadUrl,
}

impl MessageProblem {
    /// Returns the field of the message that it is about.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::EmptyText | Self::TextTooLong | Self::SourceTooLong | Self::TextSyntax(_) => "text",
            Self::BadTemplateName => "name",
            Self::BadLanguage => "language",
            Self::TooManyParameters
            | Self::EmptyParameter { .. }
            | Self::ParameterTooLong { .. }
            | Self::ParameterSyntax { .. } => "parameters",
            Self::Literal(problem) => problem.field(),
            Self::Media(problem) => problem.field(),
            Self::Part(problem) => problem.field(),
        }
    }
}
