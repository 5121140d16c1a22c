//! Placeholders in a text: `{{name}}`, `{{name|default}}` and variants `{Hi|Hello {{name}}}`.
//!
//! `\{`, `\}`, `\|` and `\\` stand for the character itself, any other backslash for a backslash.
//! Variants do not nest, and values are never read as syntax.

use std::iter::Peekable;
use std::str::Chars;

use super::RenderProblem;
use super::variables::{Variables, is_name};
use crate::domain::recipient::{Recipient, RecipientKind};

/// The variable that every recipient with a phone number brings along.
pub(super) const PHONE: &str = "phone";

/// What is wrong with a placeholder, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("position {position}: {fault}")]
pub struct SyntaxProblem {
    /// Which character of the text, counted from 1.
    pub position: usize,
    /// What is wrong there.
    pub fault: SyntaxFault,
}

/// What can be wrong with a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxFault {
    /// `{{` without its end.
    #[error("the variable that begins here is not closed by }}}}.")]
    UnclosedVariable,
    /// `{{}}` or `{{|…}}`.
    #[error("the variable has no name.")]
    EmptyVariable,
    /// A name that no variable can have.
    #[error("the variable's name is too long or has a character that names do not have.")]
    BadName,
    /// `{` without its end.
    #[error("the variants that begin here are not closed by }}; for a brace as such write \\{{.")]
    UnclosedVariants,
    /// `{}` or `{|}`.
    #[error("the variants are empty; for braces as such write \\{{\\}}.")]
    EmptyVariants,
    /// `{name}`.
    #[error("there is nothing to choose between; for a variable write two braces, for a brace as such \\{{.")]
    SingleVariant,
    /// `{a|{b|c}}`.
    #[error("variants cannot hold variants.")]
    NestedVariants,
    /// `}` without its beginning.
    #[error("the brace closes nothing; for a brace as such write \\}}.")]
    Unopened,
}

/// A text with its placeholders read.
#[derive(Debug)]
pub(super) struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Part(Part),
    Variants(Vec<Vec<Part>>),
}

enum Part {
    Text(Box<str>),
    Variable { name: Box<str>, default: Option<Box<str>> },
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Variable { name, .. } => write!(f, "Variable({name:?})"),
        }
    }
}

impl Pattern {
    /// Reads all placeholders of `source`.
    pub(super) fn parse(source: &str) -> Result<Self, SyntaxProblem> {
        let mut reader = Reader { chars: source.chars().peekable(), n_read: 0 };
        let mut pieces = Vec::new();
        let mut parts = Vec::new();
        loop {
            match reader.run(&mut parts, false)? {
                Stop::End => break,
                Stop::Variants(position) => {
                    pieces.extend(parts.drain(..).map(Piece::Part));
                    pieces.push(reader.variants(position)?);
                }
                Stop::Closed(position) => return Err(SyntaxFault::Unopened.at(position)),
                Stop::Bar => unreachable!("bars stop a run inside variants only"),
            }
        }
        pieces.extend(parts.into_iter().map(Piece::Part));
        Ok(Self { pieces })
    }

    /// Fills in values and picks variants.
    pub(super) fn render(
        &self,
        variables: &Variables,
        recipient: &Recipient,
        picks: &mut Picks,
    ) -> Result<String, RenderProblem> {
        let mut rendered = String::with_capacity(self.chars_min() + 32);
        for piece in &self.pieces {
            match piece {
                Piece::Part(part) => part.render(variables, recipient, &mut rendered)?,
                Piece::Variants(variants) => {
                    for part in &variants[picks.below(variants.len())] {
                        part.render(variables, recipient, &mut rendered)?;
                    }
                }
            }
        }
        Ok(rendered)
    }

    /// Returns the names used, with repetitions.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        let parts = self.pieces.iter().flat_map(|piece| match piece {
            Piece::Part(part) => vec![part],
            Piece::Variants(variants) => variants.iter().flatten().collect(),
        });
        parts.filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Variable { name, .. } => Some(&**name),
        })
    }

    /// Returns how many characters there are at least, all variables being empty.
    pub(super) fn chars_min(&self) -> usize {
        let length = |part: &Part| match part {
            Part::Text(text) => text.chars().count(),
            Part::Variable { .. } => 0,
        };
        let lengths = self.pieces.iter().map(|piece| match piece {
            Piece::Part(part) => length(part),
            Piece::Variants(variants) => variants.iter().map(|parts| parts.iter().map(length).sum()).min().unwrap_or(0),
        });
        lengths.sum()
    }
}

impl Part {
    fn render(&self, variables: &Variables, recipient: &Recipient, rendered: &mut String) -> Result<(), RenderProblem> {
        match self {
            Self::Text(text) => rendered.push_str(text),
            Self::Variable { name, default } => {
                let is_phone = **name == *PHONE && recipient.kind() == RecipientKind::Phone;
                let own = is_phone.then(|| recipient.as_str());
                let value = own.or_else(|| variables.get(name)).or(default.as_deref());
                let missing = || RenderProblem::MissingVariable { name: name.clone() };
                rendered.push_str(value.ok_or_else(missing)?);
            }
        }
        Ok(())
    }
}

/// Picks variants from a seed: the same ones for the same seed, all equally likely.
pub(super) struct Picks {
    state: u64,
}

impl Picks {
    /// Starts at `seed`, where seeds that lie close give unrelated picks.
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the next index below `n`, which is not 0.
    fn below(&mut self, n: usize) -> usize {
        // SplitMix64, kept here because picks must stay the same from release to release.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let scaled = (u128::from(mixed) * n as u128) >> 64;
        usize::try_from(scaled).expect("below n, which is a usize")
    }
}

/// What ended a run of text and variables.
enum Stop {
    End,
    /// `|`.
    Bar,
    /// `{` at this position.
    Variants(usize),
    /// `}` at this position.
    Closed(usize),
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    n_read: usize,
}

impl Reader<'_> {
    /// Reads text and variables into `parts` up to what is neither.
    fn run(&mut self, parts: &mut Vec<Part>, inside_variants: bool) -> Result<Stop, SyntaxProblem> {
        let mut text = String::new();
        let stop = loop {
            let Some(c) = self.next() else { break Stop::End };
            match c {
                '\\' => text.push(self.escaped()),
                '{' if self.opens_variable() => {
                    let position = self.n_read;
                    self.next();
                    push_text(parts, &mut text);
                    parts.push(self.variable(position)?);
                }
                '{' => break Stop::Variants(self.n_read),
                '}' => break Stop::Closed(self.n_read),
                '|' if inside_variants => break Stop::Bar,
                c => text.push(c),
            }
        };
        push_text(parts, &mut text);
        Ok(stop)
    }

    /// Reads variants, their opening brace already read at `position`.
    fn variants(&mut self, position: usize) -> Result<Piece, SyntaxProblem> {
        let mut variants = Vec::new();
        loop {
            let mut parts = Vec::new();
            let stop = self.run(&mut parts, true)?;
            variants.push(parts);
            match stop {
                Stop::Bar => {}
                Stop::Closed(_) => break,
                Stop::Variants(nested) => return Err(SyntaxFault::NestedVariants.at(nested)),
                Stop::End => return Err(SyntaxFault::UnclosedVariants.at(position)),
            }
        }
        if variants.iter().all(Vec::is_empty) {
            return Err(SyntaxFault::EmptyVariants.at(position));
        }
        if variants.len() < 2 {
            return Err(SyntaxFault::SingleVariant.at(position));
        }
        Ok(Piece::Variants(variants))
    }

    /// Reads a variable, its opening braces already read from `position` on.
    fn variable(&mut self, position: usize) -> Result<Part, SyntaxProblem> {
        let mut name = String::new();
        let mut default: Option<String> = None;
        loop {
            let Some(c) = self.next() else {
                return Err(SyntaxFault::UnclosedVariable.at(position));
            };
            match (c, &mut default) {
                ('}', _) if self.chars.peek() == Some(&'}') => {
                    self.next();
                    break;
                }
                ('{' | '}', _) => return Err(SyntaxFault::UnclosedVariable.at(position)),
                ('\\', Some(default)) => default.push(self.escaped()),
                (c, Some(default)) => default.push(c),
                ('|', None) => default = Some(String::new()),
                (c, None) => name.push(c),
            }
        }
        let name = name.trim();
        if name.is_empty() {
            return Err(SyntaxFault::EmptyVariable.at(position));
        }
        if !is_name(name) {
            return Err(SyntaxFault::BadName.at(position));
        }
        Ok(Part::Variable { name: name.into(), default: default.map(String::into_boxed_str) })
    }

    /// Tells whether the brace just read and the next one open a variable. Of three braces the
    /// first opens variants that begin with a variable.
    fn opens_variable(&self) -> bool {
        let mut ahead = self.chars.clone();
        ahead.next() == Some('{') && ahead.next() != Some('{')
    }

    /// Returns the character that the backslash just read stands for.
    fn escaped(&mut self) -> char {
        match self.chars.peek() {
            Some('{' | '}' | '|' | '\\') => self.next().unwrap_or('\\'),
            _ => '\\',
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        self.n_read += 1;
        Some(c)
    }
}

impl SyntaxFault {
    fn at(self, position: usize) -> SyntaxProblem {
        SyntaxProblem { position, fault: self }
    }
}

fn push_text(parts: &mut Vec<Part>, text: &mut String) {
    if !text.is_empty() {
        parts.push(Part::Text(std::mem::take(text).into()));
    }
}

/// Marks what would be read as a placeholder, so that the text arrives as it is.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '{' | '}' | '|' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
