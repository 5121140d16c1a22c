//! Section `contacts`: words by which recipients opt out and in.

use serde::{Deserialize, Serialize};

use super::problems::Problems;
use crate::domain::opt_out::{OptWords, WORD_CHARS_MAX};

/// Words of one kind, at most: a few in each language of a country.
const WORDS_MAX: usize = 100;

/// Words by which recipients opt out and in.
#[derive(Debug, Clone)]
pub struct ContactsConfig {
    /// Those that everybody knows, and those of the operator.
    pub opt_words: OptWords,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ContactsFile {
    #[serde(deserialize_with = "super::server::list_or_commas")]
    stop_words: Vec<String>,
    #[serde(deserialize_with = "super::server::list_or_commas")]
    start_words: Vec<String>,
}

impl ContactsFile {
    pub(super) fn check(self, problems: &mut Problems) -> Option<ContactsConfig> {
        let stop = problems.or_push("contacts.stop_words", check_words(&self.stop_words));
        let start = problems.or_push("contacts.start_words", check_words(&self.start_words));
        Some(ContactsConfig { opt_words: OptWords::with(stop?, start?) })
    }
}

fn check_words(words: &[String]) -> Result<impl Iterator<Item = &str>, String> {
    if WORDS_MAX < words.len() {
        return Err(format!("must be at most {WORDS_MAX}"));
    }
    let is_good = |word: &String| {
        let n_chars = word.trim().chars().count();
        (1..=WORD_CHARS_MAX).contains(&n_chars) && !word.chars().any(char::is_control)
    };
    match words.iter().find(|word| !is_good(word)) {
        Some(word) => Err(format!("each must have 1 to {WORD_CHARS_MAX} characters; {word:?} has not")),
        None => Ok(words.iter().map(String::as_str)),
    }
}
