//! Whom a message is for: a phone number, a LID or a Cloud API user id, checked once.
//!
//! Does not know whether the address is on WhatsApp: only the provider does. The rules of the
//! countries are those of [`numbering`].

mod erased;
mod numbering;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Characters of an address as given, at most; longer text is not looked at.
const TEXT_CHARS_MAX: usize = 256;
/// Digits of a phone number in E.164, country code included, at most.
const PHONE_DIGITS_MAX: usize = 15;
/// Digits of the shortest phone numbers in use (Niue), country code included.
const PHONE_DIGITS_MIN: usize = 7;
/// Digits of a LID, at most; those seen have 13 to 15.
const LID_DIGITS_MAX: usize = 20;
/// Characters of a user id behind its prefix, at most.
const USER_ID_CHARS_MAX: usize = 128;
/// The ending that marks a LID.
const LID_SERVER: &str = "lid";
/// Endings under which linked devices know phone numbers.
const PHONE_SERVERS: [&str; 2] = ["s.whatsapp.net", "c.us"];
/// Where the digits of other scripts begin: Arabic, Persian, Devanagari, full width.
const ZEROS: [char; 4] = ['\u{660}', '\u{6f0}', '\u{966}', '\u{ff10}'];

/// Somebody who can be addressed. Takes 24 bytes, and nothing on the heap for a phone number.
///
/// `Debug` shows a hash that is the same for the same address until the process ends; there is no
/// `Display`, so that no address gets into a log by accident.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Recipient(Address);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Address {
    Phone(PhoneDigits),
    /// LIDs and user ids; their text tells which.
    Named(Box<str>),
}

/// Digits in place, zero bytes behind them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct PhoneDigits {
    len: u8,
    bytes: [u8; PHONE_DIGITS_MAX],
}

/// What kind of address a recipient has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecipientKind {
    /// A phone number.
    Phone,
    /// A linked id: WhatsApp's own number for somebody whose phone number is hidden.
    Lid,
    /// A user id of the Cloud API, made for one business.
    UserId,
}

/// Why a text is not an address. Each is a sentence for the person who typed it, without the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecipientProblem {
    /// Nothing there.
    #[error("Valid phone number is required: it is empty.")]
    Empty,
    /// More than any address has.
    #[error("Valid phone number is required: it is too long.")]
    TooLong,
    /// A character that phone numbers do not have.
    #[error("Valid phone number is required: the character at position {position} does not belong there.")]
    UnexpectedCharacter {
        /// Which character, counted from 1.
        position: usize,
    },
    /// A spreadsheet kept the first digits only.
    #[error(
        "Valid phone number is required: a spreadsheet has shortened it; format the column as text and export again."
    )]
    Shortened,
    /// Starts with a zero.
    #[error("Valid phone number is required: write it with its country code, not with a leading 0.")]
    NoCountryCode,
    /// No country has this code.
    #[error("Valid phone number is required: it starts with no known country code.")]
    UnknownCountryCode,
    /// Fewer digits than the country uses.
    #[error("Valid phone number is required: it has too few digits for its country.")]
    TooFewDigits,
    /// More digits than the country uses.
    #[error("Valid phone number is required: it has too many digits for its country.")]
    TooManyDigits,
    /// Digits in a range that the country does not use.
    #[error("Valid phone number is required: its country has no such number.")]
    NotInUse,
    /// A group, a channel or a broadcast list.
    #[error("Groups, channels and lists cannot be recipients: give a phone number.")]
    NotAPerson,
    /// Looks like a LID and is none.
    #[error("Valid LID is required: digits, then @lid.")]
    BadLid,
    /// An ending behind @ that WhatsApp does not have.
    #[error("Valid phone number is required: mail addresses and unknown endings behind @ are not accepted.")]
    UnknownServer,
}

impl Recipient {
    /// Loads the numbering plans, which otherwise happens at the first [`Recipient::parse`] of
    /// the process and takes about 0.1 s; for start-up, before anything is timed.
    pub fn prepare() {
        numbering::prepare();
    }

    /// Reads an address as people and files write it: spaces, dashes, dots, parentheses and
    /// directional marks between digits are dropped, as are `+`, `00` and a trunk zero.
    ///
    /// # Errors
    ///
    /// Says what is wrong in a sentence that the person who typed it can act on.
    pub fn parse(text: &str) -> Result<Self, RecipientProblem> {
        let text = text.trim_matches(is_filler);
        if text.is_empty() {
            return Err(RecipientProblem::Empty);
        }
        if TEXT_CHARS_MAX < text.len() {
            return Err(RecipientProblem::TooLong);
        }
        if let Some((user, server)) = text.rsplit_once('@') {
            return Self::parse_at_server(user, server);
        }
        if is_user_id(text) {
            return Ok(Self(Address::Named(text.into())));
        }
        parse_phone(text).map(|digits| Self(Address::Phone(digits)))
    }

    /// Rebuilds a recipient from [`Recipient::as_str`] without asking the numbering plans, which
    /// may have changed since; none if the text cannot have come from there.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        if let Some(digits) = PhoneDigits::new(text.as_bytes()) {
            return Some(Self(Address::Phone(digits)));
        }
        let is_named = match text.rsplit_once('@') {
            Some((user, server)) => server == LID_SERVER && is_lid_user(user),
            None => is_user_id(text),
        };
        is_named.then(|| Self(Address::Named(text.into())))
    }

    /// Returns the kind of address.
    #[must_use]
    pub fn kind(&self) -> RecipientKind {
        match &self.0 {
            Address::Phone(_) => RecipientKind::Phone,
            Address::Named(text) if text.contains('@') => RecipientKind::Lid,
            Address::Named(_) => RecipientKind::UserId,
        }
    }

    /// Returns the canonical text, as kept in the database and on the wire; digits for a phone.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Address::Phone(digits) => digits.as_str(),
            Address::Named(text) => text,
        }
    }

    /// Returns the form that providers take: `+` and digits for a phone.
    #[must_use]
    pub fn provider_address(&self) -> Cow<'_, str> {
        match &self.0 {
            Address::Phone(digits) => Cow::Owned(format!("+{}", digits.as_str())),
            Address::Named(text) => Cow::Borrowed(text),
        }
    }

    /// Returns the ISO 3166 code of the country; none where the address does not tell it.
    #[must_use]
    pub fn country(&self) -> Option<&str> {
        match &self.0 {
            Address::Phone(digits) => numbering::country(digits.as_str().as_bytes()),
            Address::Named(text) if text.contains('@') => None,
            Address::Named(text) => text.split_once('.').map(|(country, _)| country),
        }
    }

    fn parse_at_server(user: &str, server: &str) -> Result<Self, RecipientProblem> {
        if server.eq_ignore_ascii_case(LID_SERVER) {
            if !is_lid_user(user) {
                return Err(RecipientProblem::BadLid);
            }
            return Ok(Self(Address::Named(format!("{user}@{LID_SERVER}").into())));
        }
        if PHONE_SERVERS.iter().any(|known| server.eq_ignore_ascii_case(known)) {
            return parse_phone(user).map(|digits| Self(Address::Phone(digits)));
        }
        let groups = ["g.us", "newsletter", "broadcast"];
        if groups.iter().any(|known| server.eq_ignore_ascii_case(known)) {
            return Err(RecipientProblem::NotAPerson);
        }
        Err(RecipientProblem::UnknownServer)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // There are few enough phone numbers to try them all against a plain hash, so it is keyed
        // anew in each process.
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        write!(f, "Recipient(#{:08x})", KEY.hash_one(self.as_str()) >> 32)
    }
}

impl Serialize for Recipient {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Recipient;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a phone number as text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Recipient, E> {
                Recipient::parse(text).map_err(E::custom)
            }

            // Numbers are refused by hand: the usual words would repeat them.
            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Recipient, E> {
                Err(E::custom("Phone numbers are given as text, in quotes."))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Recipient, E> {
                Err(E::custom("Phone numbers are given as text, in quotes."))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Recipient, E> {
                Err(E::custom("Phone numbers are given as text, in quotes."))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl PhoneDigits {
    /// Takes ASCII digits of a plausible count.
    fn new(digits: &[u8]) -> Option<Self> {
        let fits = (PHONE_DIGITS_MIN..=PHONE_DIGITS_MAX).contains(&digits.len());
        if !fits || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut bytes = [0; PHONE_DIGITS_MAX];
        bytes[..digits.len()].copy_from_slice(digits);
        Some(Self { len: u8::try_from(digits.len()).ok()?, bytes })
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("digits are ASCII")
    }
}

fn parse_phone(text: &str) -> Result<PhoneDigits, RecipientProblem> {
    let mut digits = Digits::default();
    let mut has_plus = false;
    for (at, c) in without_decimals(text).chars().enumerate() {
        if let Some(digit) = digit_of(c) {
            digits.push(digit)?;
        } else if matches!(c, '+' | '\u{ff0b}') && !has_plus && digits.len == 0 {
            has_plus = true;
        } else if !is_separator(c) {
            return Err(if is_scientific(text) {
                RecipientProblem::Shortened
            } else {
                RecipientProblem::UnexpectedCharacter { position: at + 1 }
            });
        }
    }
    let digits = digits.as_slice();
    let digits = digits.strip_prefix(b"00").unwrap_or(digits);
    match digits.first() {
        None => return Err(RecipientProblem::Empty),
        Some(b'0') => return Err(RecipientProblem::NoCountryCode),
        Some(_) => {}
    }
    let (code, national) = numbering::check(digits)?;
    let mut canonical = Digits::default();
    for digit in code.iter().chain(national) {
        canonical.push(*digit)?;
    }
    let canonical = canonical.as_slice();
    if PHONE_DIGITS_MAX < canonical.len() {
        return Err(RecipientProblem::TooManyDigits);
    }
    PhoneDigits::new(canonical).ok_or(RecipientProblem::TooFewDigits)
}

/// Digits as they are read, with room for an international prefix and a trunk zero.
#[derive(Default)]
struct Digits {
    len: usize,
    bytes: [u8; PHONE_DIGITS_MAX + 3],
}

impl Digits {
    fn push(&mut self, digit: u8) -> Result<(), RecipientProblem> {
        let free = self.bytes.get_mut(self.len).ok_or(RecipientProblem::TooManyDigits)?;
        *free = digit;
        self.len += 1;
        Ok(())
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Returns the ASCII digit that `c` stands for.
fn digit_of(c: char) -> Option<u8> {
    if c.is_ascii() {
        return u8::try_from(c).ok().filter(u8::is_ascii_digit);
    }
    ZEROS.iter().find_map(|&zero| {
        let value = u32::from(c).checked_sub(u32::from(zero)).filter(|value| *value < 10)?;
        u8::try_from(value).ok().map(|value| b'0' + value)
    })
}

/// Tells whether people put `c` between digits.
fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '.' | '(' | ')' | '\u{2010}'..='\u{2015}' | '\u{2212}') || is_filler(c)
}

/// Tells whether `c` is white space or one of the invisible marks that copying out of an address
/// book leaves behind.
fn is_filler(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Cuts off `.0`, which a column of numbers gets when a program took it for fractions; kept, it
/// would be one more digit and another person.
fn without_decimals(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, "0" | "00")) if whole.bytes().all(|b| b.is_ascii_digit() || b == b'+') => whole,
        _ => text,
    }
}

/// Tells whether `text` is like `9.19877E+11`.
fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return false;
    };
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
    !mantissa.is_empty()
        && mantissa.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b','))
        && !exponent.is_empty()
        && exponent.bytes().all(|b| b.is_ascii_digit())
}

fn is_lid_user(user: &str) -> bool {
    (1..=LID_DIGITS_MAX).contains(&user.len()) && user.bytes().all(|b| b.is_ascii_digit())
}

/// Tells whether `text` is like `US.1349…` or `US.ENT.1349…`.
fn is_user_id(text: &str) -> bool {
    let Some((country, rest)) = text.split_once('.') else {
        return false;
    };
    let rest = rest.strip_prefix("ENT.").unwrap_or(rest);
    country.len() == 2
        && country.bytes().all(|b| b.is_ascii_uppercase())
        && (1..=USER_ID_CHARS_MAX).contains(&rest.len())
        && rest.bytes().all(|b| b.is_ascii_alphanumeric())
}
