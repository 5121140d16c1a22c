//! A contact: what a tenant knows of somebody, within bounds, and how one is looked for.
//!
//! Knows no database. Whether somebody has opted out is [`crate::domain::opt_out`].

use crate::domain::message::{Variables, VariablesProblem};

/// Characters of a name, at most.
pub const NAME_CHARS_MAX: usize = 200;
/// Characters of an e-mail address, at most.
pub const EMAIL_CHARS_MAX: usize = 254;
/// Attributes of one contact, at most: with name and e-mail they are the 32 variables of a recipient.
pub const ATTRIBUTES_MAX: usize = 30;
/// Words of a name that it can be looked for by, at most.
const TAILS_MAX: usize = 8;
/// Characters of a name that a search looks at, at most.
pub const TAIL_CHARS_MAX: usize = 64;
/// Names that are the contact's own, and no attributes.
const OWN_NAMES: [&str; 3] = ["phone", "name", "email"];

/// Why a field of a contact can not be taken, as a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContactProblem {
    /// More characters than a name has.
    #[error("must have at most {NAME_CHARS_MAX} characters")]
    NameTooLong,
    /// A line break, or another character that can not be seen.
    #[error("must not have control characters")]
    ControlCharacter,
    /// No e-mail address.
    #[error("Valid email is required")]
    BadEmail,
    /// More attributes than a contact has.
    #[error("must be at most {ATTRIBUTES_MAX}")]
    TooManyAttributes,
    /// The name of an attribute is that of a field.
    #[error("{0} is a field of the contact itself and can not be an attribute")]
    OwnName(&'static str),
}

/// What a search looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Search {
    /// Phones that begin with these digits.
    Phone(String),
    /// Names with a word from which on they begin with this, in lower case.
    Name(String),
}

/// The end of a name, from one of its words on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTail {
    /// In lower case, cut to the characters that a search looks at.
    pub text: String,
    /// Characters that it has in common with the tail before it, in the order of the texts.
    pub n_shared: usize,
}

/// Checks a name, which may be empty, and returns it without the spaces around it.
///
/// # Errors
/// [`ContactProblem`] says what is wrong with it.
pub fn check_name(name: &str) -> Result<String, ContactProblem> {
    let name = name.trim();
    if NAME_CHARS_MAX < name.chars().count() {
        return Err(ContactProblem::NameTooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(ContactProblem::ControlCharacter);
    }
    Ok(name.to_owned())
}

/// Checks an e-mail address and returns it without the spaces around it; none for an empty one.
///
/// # Errors
/// [`ContactProblem::BadEmail`] when it can not be one.
pub fn check_email(email: &str) -> Result<Option<String>, ContactProblem> {
    let email = email.trim();
    if email.is_empty() {
        return Ok(None);
    }
    let parts = email.rsplit_once('@').filter(|(user, host)| !user.is_empty() && !user.contains('@') && is_host(host));
    let is_plain = !email.chars().any(|c| c.is_whitespace() || c.is_control());
    if parts.is_none() || !is_plain || EMAIL_CHARS_MAX < email.chars().count() {
        return Err(ContactProblem::BadEmail);
    }
    Ok(Some(email.to_owned()))
}

fn is_host(host: &str) -> bool {
    host.contains('.') && host.split('.').all(|label| !label.is_empty())
}

/// Checks attributes, each of which is a variable within bounds already.
///
/// # Errors
/// [`ContactProblem`] says what is wrong with them.
pub fn check_attributes(attributes: &Variables) -> Result<(), ContactProblem> {
    if ATTRIBUTES_MAX < attributes.len() {
        return Err(ContactProblem::TooManyAttributes);
    }
    let own = |name: &str| OWN_NAMES.into_iter().find(|own| own.eq_ignore_ascii_case(name));
    match attributes.iter().find_map(|(name, _)| own(name)) {
        Some(name) => Err(ContactProblem::OwnName(name)),
        None => Ok(()),
    }
}

/// Makes the variables that a message to a contact is filled in with.
///
/// # Errors
/// [`VariablesProblem`] when the contact is over the bounds that were checked when it was made.
pub fn variables_of(name: &str, email: Option<&str>, attributes: &Variables) -> Result<Variables, VariablesProblem> {
    let mut variables = attributes.clone();
    // An empty one would keep a message from saying something else instead.
    if !name.is_empty() {
        variables.insert("name", name.to_owned())?;
    }
    if let Some(email) = email {
        variables.insert("email", email.to_owned())?;
    }
    Ok(variables)
}

impl Search {
    /// Reads what somebody typed: digits, as phones are written, or the beginning of a word of a name. None if it is
    /// empty.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_separator = |c: char| matches!(c, ' ' | '-' | '.' | '(' | ')');
        let digits: String = text.trim_start_matches('+').chars().filter(|c| !is_separator(*c)).collect();
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let digits = digits.strip_prefix("00").filter(|rest| !rest.is_empty()).unwrap_or(&digits);
            return Some(Self::Phone(digits.to_owned()));
        }
        let name = folded(text);
        (!name.is_empty()).then_some(Self::Name(name))
    }
}

/// Returns a name in lower case, with single spaces, cut to what a search looks at.
fn folded(name: &str) -> String {
    let words: Vec<String> = name.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ").chars().take(TAIL_CHARS_MAX).collect()
}

/// Returns the ends of a name from each of its first words on, in the order of their texts, each once.
#[must_use]
pub fn name_tails(name: &str) -> Vec<NameTail> {
    let words: Vec<&str> = name.split_whitespace().collect();
    let mut texts: Vec<String> = (0..words.len().min(TAILS_MAX)).map(|from| folded(&words[from..].join(" "))).collect();
    texts.sort_unstable();
    texts.dedup();
    let mut before = String::new();
    let tails = texts.into_iter().map(|text| {
        let n_shared = text.chars().zip(before.chars()).take_while(|(a, b)| a == b).count();
        before.clone_from(&text);
        NameTail { text, n_shared }
    });
    tails.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_are_digits_or_names() {
        let phone = |digits: &str| Some(Search::Phone(digits.to_owned()));
        let name = |text: &str| Some(Search::Name(text.to_owned()));
        assert_eq!(Search::read("+91 98-76"), phone("919876"));
        assert_eq!(Search::read("0091"), phone("91"));
        assert_eq!(Search::read("00"), phone("00"));
        assert_eq!(Search::read("  Ana   RAO "), name("ana rao"));
        assert_eq!(Search::read("3M"), name("3m"));
        assert_eq!(Search::read("%_'"), name("%_'"));
        assert_eq!(Search::read(" \t"), None);
    }

    #[test]
    fn names_are_found_by_each_word_once() {
        let shown = |name| name_tails(name).into_iter().map(|tail| (tail.text, tail.n_shared)).collect::<Vec<_>>();
        let tails = [("ana anand rao", 0), ("anand rao", 3), ("rao", 0)].map(|(text, n)| (text.to_owned(), n));
        assert_eq!(shown("Ana  Anand Rao"), tails);
        assert_eq!(shown(""), []);
        assert_eq!(name_tails(&"x ".repeat(100)).len(), TAILS_MAX.min(name_tails(&"x ".repeat(100)).len()));
        // Found by the first tail that begins with the search, and by no other.
        for (search, n_found) in [("an", 1), ("ana", 1), ("anan", 1), ("ana ", 1), ("rao", 1), ("nd", 0)] {
            let n = search.chars().count();
            let found =
                name_tails("Ana Anand Rao").into_iter().filter(|t| t.text.starts_with(search) && t.n_shared < n);
            assert_eq!(found.count(), n_found, "{search}");
        }
    }

    proptest::proptest! {
        /// Whatever the name, a search that fits some tail finds exactly one.
        #[test]
        fn a_search_finds_a_name_once(name in "[abé ]{0,20}", search in "[abé][abé ]{0,3}") {
            let tails = name_tails(&name);
            let Some(Search::Name(search)) = Search::read(&search) else { return Ok(()) };
            let fits = tails.iter().any(|tail| tail.text.starts_with(&search));
            let n = search.chars().count();
            let n_found = tails.iter().filter(|tail| tail.text.starts_with(&search) && tail.n_shared < n).count();
            proptest::prop_assert_eq!(n_found, usize::from(fits));
        }
    }

    #[test]
    fn fields_are_checked() {
        assert_eq!(check_name(" Ana "), Ok("Ana".to_owned()));
        assert_eq!(check_name(""), Ok(String::new()));
        assert_eq!(check_name("a\u{0}b"), Err(ContactProblem::ControlCharacter));
        assert_eq!(check_name(&"x".repeat(201)), Err(ContactProblem::NameTooLong));
        assert_eq!(check_email(" ana@example.com "), Ok(Some("ana@example.com".to_owned())));
        assert_eq!(check_email(""), Ok(None));
        for bad in ["ana", "ana@", "@example.com", "ana@example", "a b@example.com", "a@b@example.com", "a@x..y"] {
            assert_eq!(check_email(bad), Err(ContactProblem::BadEmail), "{bad}");
        }
    }

    #[test]
    fn attributes_leave_room_for_the_fields() {
        let mut attributes = Variables::default();
        for n in 0..ATTRIBUTES_MAX {
            attributes.insert(&format!("a{n}"), "x".to_owned()).unwrap();
        }
        assert_eq!(check_attributes(&attributes), Ok(()));
        let variables = variables_of("Ana", Some("ana@example.com"), &attributes).unwrap();
        assert_eq!((variables.len(), variables.get("name")), (ATTRIBUTES_MAX + 2, Some("Ana")));
        attributes.insert("Email", "x".to_owned()).unwrap();
        assert_eq!(check_attributes(&attributes), Err(ContactProblem::TooManyAttributes));
        let mut own = Variables::default();
        own.insert("Phone", "x".to_owned()).unwrap();
        assert_eq!(check_attributes(&own), Err(ContactProblem::OwnName("phone")));
        assert!(variables_of("", None, &Variables::default()).unwrap().is_empty());
    }
}
