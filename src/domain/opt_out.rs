//! Who wants no campaigns: the words that say so, and what is known of them.
//!
//! Whom a campaign passes over for it is decided where an attempt is begun.

use std::collections::HashMap;

/// Characters of a word, at most.
pub const WORD_CHARS_MAX: usize = 40;

/// Words that everybody knows.
const STOP: [&str; 5] = ["STOP", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"];
/// The word that takes them back.
const START: [&str; 1] = ["START"];

/// Who said that a recipient opts out, or in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptSource {
    /// The recipient, by a word.
    Recipient,
    /// A person of the tenant, over the API.
    User,
    /// A file that was imported.
    Import,
}

impl OptSource {
    const ALL: [Self; 3] = [Self::Recipient, Self::User, Self::Import];

    /// Returns the word kept in the database and shown by the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recipient => "recipient",
            Self::User => "user",
            Self::Import => "import",
        }
    }

    /// Reads the word kept in the database.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == word)
    }
}

/// What was last said about a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptOut {
    /// Whether they want no campaigns.
    pub is_out: bool,
    /// When that was said, UTC milliseconds.
    pub changed_at_ms: i64,
    /// By whom.
    pub by: OptSource,
}

/// What a whole message of a recipient asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptWord {
    /// No campaigns any more.
    Stop,
    /// Campaigns again.
    Start,
}

/// The words that opt out and in.
#[derive(Debug, Clone)]
pub struct OptWords(HashMap<String, OptWord>);

impl OptWords {
    /// Makes the words that everybody knows and some more; a word of both kinds opts out.
    pub fn with<'a>(stop: impl IntoIterator<Item = &'a str>, start: impl IntoIterator<Item = &'a str>) -> Self {
        let start = START.into_iter().chain(start).map(|word| (folded(word), OptWord::Start));
        let stop = STOP.into_iter().chain(stop).map(|word| (folded(word), OptWord::Stop));
        Self(start.chain(stop).collect())
    }

    /// Reads a message: it asks for something only if it is a word and nothing else, in any letter case.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<OptWord> {
        // No word is longer in bytes than its characters at four each, with some space around it.
        if WORD_CHARS_MAX * 8 < text.len() {
            return None;
        }
        self.0.get(&folded(text)).copied()
    }
}

impl Default for OptWords {
    fn default() -> Self {
        Self::with([], [])
    }
}

/// Takes away what does not count: letter case, space around it, and the stop that people put behind a sentence.
fn folded(text: &str) -> String {
    let text = text.trim().trim_end_matches(['.', '!']).trim_end();
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_messages_count() {
        let words = OptWords::default();
        for text in ["STOP", "stop", " Stop.\n", "unsubscribe", "Cancel", "END", "quit!"] {
            assert_eq!(words.read(text), Some(OptWord::Stop), "{text}");
        }
        assert_eq!(words.read("Start"), Some(OptWord::Start));
        let long = format!("stop{}", " ".repeat(10_000));
        for text in ["", ".", "stop it", "please stop", "nonstop", "stop,", "STОP", &long] {
            assert_eq!(words.read(text), None, "{text}");
        }
    }

    #[test]
    fn words_can_be_added_and_opting_out_wins() {
        let words = OptWords::with(["ARRÊT", "रोकें", "start"], ["yes please"]);
        assert_eq!(words.read("arrêt"), Some(OptWord::Stop));
        assert_eq!(words.read("रोकें"), Some(OptWord::Stop));
        assert_eq!(words.read("Yes please"), Some(OptWord::Start));
        assert_eq!(words.read("START"), Some(OptWord::Stop));
        assert_eq!(words.read("quit"), Some(OptWord::Stop));
    }

    #[test]
    fn sources_read_back() {
        for source in OptSource::ALL {
            assert_eq!(OptSource::parse(source.as_str()), Some(source));
        }
    }
}
