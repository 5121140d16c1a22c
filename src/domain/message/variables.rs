//! What is known about one recipient: a few short named texts, to be filled into the message.
//!
//! Does not know which of them a message uses.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// Variables of one recipient, at most.
pub const VARIABLES_MAX: usize = 32;
/// Characters of a variable's name, at most.
pub const NAME_CHARS_MAX: usize = 64;
/// Characters of a variable's value, at most.
pub const VALUE_CHARS_MAX: usize = 1_024;

/// Named values of one recipient, within bounds. `Debug` shows the names only.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Variables(BTreeMap<String, String>);

/// Why variables cannot be taken, in a sentence for the person who sent them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariablesProblem {
    /// More than one recipient may have.
    #[error("A recipient has at most {VARIABLES_MAX} variables.")]
    TooMany,
    /// The name could not be written in a message.
    #[error(
        "A variable's name has 1 to {NAME_CHARS_MAX} characters, none of them a brace, a bar, a backslash or a control character."
    )]
    BadName,
    /// The value is too long.
    #[error("The value of the variable {name} is longer than {VALUE_CHARS_MAX} characters.")]
    ValueTooLong {
        /// Which variable.
        name: String,
    },
}

impl Variables {
    /// Adds a value under a name, or replaces the one there; spaces around the name are dropped.
    ///
    /// # Errors
    ///
    /// Refuses what is over the bounds; the variables are as before then.
    pub fn insert(&mut self, name: &str, value: String) -> Result<(), VariablesProblem> {
        let name = name.trim();
        if !is_name(name) {
            return Err(VariablesProblem::BadName);
        }
        if super::is_longer(&value, VALUE_CHARS_MAX) {
            return Err(VariablesProblem::ValueTooLong { name: name.to_owned() });
        }
        if VARIABLES_MAX <= self.0.len() && !self.0.contains_key(name) {
            return Err(VariablesProblem::TooMany);
        }
        self.0.insert(name.to_owned(), value);
        Ok(())
    }

    /// Returns the value under a name; where none is, under the same name in other letter case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let same_but_case = || {
            let mut all = self.0.iter();
            all.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        self.0.get(name).or_else(same_but_case).map(String::as_str)
    }

    /// Returns names and values in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, String>> for Variables {
    type Error = VariablesProblem;

    fn try_from(map: BTreeMap<String, String>) -> Result<Self, VariablesProblem> {
        let mut variables = Self::default();
        for (name, value) in map {
            variables.insert(&name, value)?;
        }
        Ok(variables)
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Variables;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            // Checked entry by entry, so that a huge object is refused before it is read.
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Variables, A::Error> {
                let mut variables = Variables::default();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    variables.insert(&name, value).map_err(de::Error::custom)?;
                }
                Ok(variables)
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

/// Tells whether a placeholder can name a variable so.
pub(super) fn is_name(name: &str) -> bool {
    let is_allowed = |c: char| !c.is_control() && !matches!(c, '{' | '}' | '|' | '\\');
    !name.is_empty() && !super::is_longer(name, NAME_CHARS_MAX) && name.chars().all(is_allowed)
}
