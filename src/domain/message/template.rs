//! Messages made of a template that the provider has approved: what fills in its header, body and buttons.
//!
//! Whether there is such a template, and how many parameters it wants, only the provider knows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::header::{HeaderContent, HeaderForm, HeaderSpec};
use super::part::{Filling, Part, PartProblem};
use super::syntax::{Pattern, escaped};
use super::{
    LANGUAGE_CHARS_MAX, MessageProblem, PARAMETER_CHARS_MAX, PARAMETER_SPACES_MAX, PARAMETERS_MAX, RenderProblem,
    SOURCE_CHARS_MAX, TEMPLATE_NAME_CHARS_MAX, is_longer,
};
use crate::domain::id::TenantId;
use crate::domain::words::words;

/// Buttons of one template, at most; the provider's bound.
pub const TEMPLATE_BUTTONS_MAX: usize = 10;
/// Characters of what fills in a button once rendered, at most: the rest of an address.
pub const BUTTON_VALUE_CHARS_MAX: usize = 2_000;
/// Characters of the name of a parameter, at most.
pub const PARAMETER_NAME_CHARS_MAX: usize = 64;

words! {
    /// What a button of a template does, which says what is filled in.
    TemplateButtonKind {
        /// Opens an address; filled in is its end.
        Url = "url",
        /// Answers; filled in is what comes back with the answer.
        QuickReply = "quick_reply",
        /// Copies a code; filled in is the code.
        CopyCode = "copy_code",
    }
}

/// What fills in a button of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateButton {
    /// Its place among the buttons of the template, counted from 0.
    pub index: u8,
    /// What it does.
    #[serde(rename = "type")]
    pub kind: TemplateButtonKind,
    /// What is filled in, with placeholders.
    pub value: String,
}

/// A template with what fills it in, as it is on the wire.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemplateSpec {
    /// Its name at the provider.
    pub name: String,
    /// Its language code at the provider.
    pub language: String,
    /// Parameters of its body in order, with placeholders.
    #[serde(default)]
    pub parameters: Vec<String>,
    /// Parameters of its body by their names, for a template that has names; with placeholders.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub named_parameters: BTreeMap<String, String>,
    /// What fills in its header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderSpec>,
    /// What fills in its buttons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<TemplateButton>,
}

/// A template rendered for one recipient.
#[derive(Clone, PartialEq, Eq)]
pub struct TemplateContent {
    /// Its name at the provider.
    pub name: Arc<str>,
    /// Its language code at the provider.
    pub language: Arc<str>,
    /// What fills in its header.
    pub header: Option<HeaderContent>,
    /// Parameters of its body, in order.
    pub parameters: Vec<String>,
    /// Parameters of its body, by their names.
    pub named_parameters: Vec<(Arc<str>, String)>,
    /// What fills in its buttons.
    pub buttons: Vec<TemplateButton>,
}

/// A template, read and checked.
#[derive(Debug)]
pub(super) struct TemplateForm {
    name: Arc<str>,
    language: Arc<str>,
    header: Option<HeaderForm>,
    parameters: Vec<Pattern>,
    named_parameters: Vec<(Arc<str>, Part)>,
    buttons: Vec<(u8, TemplateButtonKind, Part)>,
}

impl TemplateSpec {
    /// Returns the template with every placeholder marked as text.
    pub(super) fn literally(mut self) -> Self {
        self.parameters.iter_mut().for_each(|text| *text = escaped(text));
        self.named_parameters.values_mut().for_each(|text| *text = escaped(text));
        self.buttons.iter_mut().for_each(|button| button.value = escaped(&button.value));
        self.header = self.header.map(HeaderSpec::literally);
        self
    }
}

impl TemplateForm {
    pub(super) fn compile(spec: &TemplateSpec, tenant_id: TenantId) -> Result<Self, MessageProblem> {
        check_template(&spec.name, &spec.language)?;
        if PARAMETERS_MAX < spec.parameters.len() || PARAMETERS_MAX < spec.named_parameters.len() {
            return Err(MessageProblem::TooManyParameters);
        }
        if !spec.parameters.is_empty() && !spec.named_parameters.is_empty() {
            let sentence = "The parameters stand either in order or by their names.";
            return Err(PartProblem::new("namedParameters", sentence).into());
        }
        let parameters = (1..).zip(&spec.parameters).map(|(at, source)| compile_parameter(at, source));
        let named = spec.named_parameters.iter().map(|(name, source)| compile_named(name, source));
        Ok(Self {
            name: spec.name.as_str().into(),
            language: spec.language.as_str().into(),
            header: spec.header.as_ref().map(|header| HeaderForm::compile(header, tenant_id)).transpose()?,
            parameters: parameters.collect::<Result<_, _>>()?,
            named_parameters: named.collect::<Result<_, _>>()?,
            buttons: compile_buttons(&spec.buttons)?,
        })
    }

    pub(super) fn render(&self, filling: &mut Filling<'_>) -> Result<TemplateContent, RenderProblem> {
        let mut parameters = Vec::with_capacity(self.parameters.len());
        for (pattern, parameter) in self.parameters.iter().zip(1..) {
            let value = pattern.render(filling.variables, filling.recipient, &mut filling.picks)?;
            check_parameter(parameter, &value)?;
            parameters.push(value);
        }
        let named = self.named_parameters.iter().map(|(name, part)| Ok((Arc::clone(name), part.render(filling)?)));
        let named_parameters = named.collect::<Result<_, RenderProblem>>()?;
        let header = self.header.as_ref().map(|header| header.render(filling)).transpose()?;
        let buttons = self
            .buttons
            .iter()
            .map(|(index, kind, part)| Ok(TemplateButton { index: *index, kind: *kind, value: part.render(filling)? }));
        Ok(TemplateContent {
            name: Arc::clone(&self.name),
            language: Arc::clone(&self.language),
            header,
            parameters,
            named_parameters,
            buttons: buttons.collect::<Result<_, RenderProblem>>()?,
        })
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        let named = self.named_parameters.iter().map(|(_, part)| part);
        let buttons = self.buttons.iter().map(|(_, _, part)| part);
        let parameters = self.parameters.iter().flat_map(Pattern::variables);
        let header = self.header.iter().flat_map(HeaderForm::variables);
        parameters.chain(header).chain(named.chain(buttons).flat_map(Part::variables))
    }
}

impl TemplateContent {
    /// Returns what was rendered as a message that could be written again.
    pub(super) fn into_spec(self) -> TemplateSpec {
        let named = self.named_parameters.into_iter().map(|(name, value)| (name.as_ref().to_owned(), value));
        TemplateSpec {
            name: self.name.as_ref().to_owned(),
            language: self.language.as_ref().to_owned(),
            parameters: self.parameters,
            named_parameters: named.collect(),
            header: self.header.map(HeaderContent::into_spec),
            buttons: self.buttons,
        }
    }
}

fn compile_named(name: &str, source: &str) -> Result<(Arc<str>, Part), PartProblem> {
    let is_name_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if !(1..=PARAMETER_NAME_CHARS_MAX).contains(&name.len()) || !name.bytes().all(is_name_byte) {
        let sentence = format!(
            "The name of a parameter must be 1 to {PARAMETER_NAME_CHARS_MAX} small letters, digits or underscores."
        );
        return Err(PartProblem::new("namedParameters", sentence));
    }
    Ok((name.into(), Part::line("namedParameters", PARAMETER_CHARS_MAX, source)?))
}

fn compile_buttons(buttons: &[TemplateButton]) -> Result<Vec<(u8, TemplateButtonKind, Part)>, PartProblem> {
    let mut taken = [false; TEMPLATE_BUTTONS_MAX];
    let compile = |button: &TemplateButton| {
        let place = taken.get_mut(usize::from(button.index)).filter(|is_taken| !**is_taken);
        let Some(is_taken) = place else {
            let sentence = format!("The index of a button is from 0 to {}, each once.", TEMPLATE_BUTTONS_MAX - 1);
            return Err(PartProblem::new("buttons", sentence));
        };
        *is_taken = true;
        Ok((button.index, button.kind, Part::line("buttons", BUTTON_VALUE_CHARS_MAX, &button.value)?))
    };
    buttons.iter().map(compile).collect()
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

impl fmt::Debug for TemplateSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_parameters = self.parameters.len() + self.named_parameters.len();
        write!(f, "Template({:?}, {:?}, {n_parameters} parameters)", self.name, self.language)
    }
}

impl fmt::Debug for TemplateContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_parameters = self.parameters.len() + self.named_parameters.len();
        write!(f, "Template({:?}, {:?}, {n_parameters} parameters)", self.name, self.language)
    }
}
