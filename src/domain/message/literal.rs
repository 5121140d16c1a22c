//! Messages without placeholders: a place on the map, and a person's card.
//!
//! What they hold is sent as it is; every bound is checked here.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::is_longer;
use crate::domain::recipient::{Recipient, RecipientKind};

/// Characters of a place's name, at most; the provider names no bound, its clients show two lines.
pub const PLACE_NAME_CHARS_MAX: usize = 200;
/// Characters of a place's address, at most.
pub const ADDRESS_CHARS_MAX: usize = 500;
/// Characters of the name on a card, at most.
pub const CARD_NAME_CHARS_MAX: usize = 200;
/// Phones on one card, at most.
pub const CARD_PHONES_MAX: usize = 10;

const MICRO: f64 = 1e6;

/// An angle on the globe, in millionths of a degree: 11 cm on the ground. JSON has it as a number of degrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Degrees(i32);

/// A place on the map.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// North of the equator, -90 to 90.
    pub latitude: Degrees,
    /// East of Greenwich, -180 to 180.
    pub longitude: Degrees,
    /// What the place is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A person's card.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactCard {
    /// What the person is called.
    pub name: String,
    /// Their numbers with country code, as written by people.
    pub phones: Vec<String>,
}

/// A person's card as it is on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Card {
    /// What the person is called.
    pub name: Box<str>,
    /// Their numbers.
    pub phones: Vec<Recipient>,
}

/// Why a place or a card cannot be sent, in a sentence for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiteralProblem {
    /// No such latitude.
    #[error("The latitude must be from -90 to 90 degrees.")]
    BadLatitude,
    /// The name of the place is empty or too long.
    #[error("The name must have 1 to {PLACE_NAME_CHARS_MAX} characters.")]
    BadPlaceName,
    /// The address is empty or too long.
    #[error("The address must have 1 to {ADDRESS_CHARS_MAX} characters.")]
    BadAddress,
    /// The name on the card is empty or too long.
    #[error("The name must have 1 to {CARD_NAME_CHARS_MAX} characters.")]
    BadCardName,
    /// No phone, or too many.
    #[error("The card must have 1 to {CARD_PHONES_MAX} phones.")]
    PhoneCount,
    /// A phone is none.
    #[error("Valid phone number is required at place {0}.")]
    BadPhone(usize),
}

impl Degrees {
    /// Takes an angle; `None` for one that is no number from -180 to 180.
    #[must_use]
    pub fn new(degrees: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "at most 180 million, which 32 bits hold")]
        (-180.0..=180.0).contains(&degrees).then(|| Self((degrees * MICRO).round() as i32))
    }

    /// Returns the degrees.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from(self.0) / MICRO
    }
}

impl Serialize for Degrees {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.get())
    }
}

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let degrees = f64::deserialize(deserializer)?;
        Self::new(degrees).ok_or_else(|| de::Error::custom("must be a number of degrees from -180 to 180"))
    }
}

impl Location {
    /// Checks the place.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), LiteralProblem> {
        if 90.0 < self.latitude.get().abs() {
            return Err(LiteralProblem::BadLatitude);
        }
        if !self.name.as_deref().is_none_or(|name| is_line(name, PLACE_NAME_CHARS_MAX)) {
            return Err(LiteralProblem::BadPlaceName);
        }
        if !self.address.as_deref().is_none_or(|address| is_line(address, ADDRESS_CHARS_MAX)) {
            return Err(LiteralProblem::BadAddress);
        }
        Ok(())
    }
}

impl ContactCard {
    /// Reads the card.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn read(&self) -> Result<Card, LiteralProblem> {
        if !is_line(&self.name, CARD_NAME_CHARS_MAX) {
            return Err(LiteralProblem::BadCardName);
        }
        if !(1..=CARD_PHONES_MAX).contains(&self.phones.len()) {
            return Err(LiteralProblem::PhoneCount);
        }
        let read = |(at, phone): (usize, &String)| {
            let phone = Recipient::parse(phone).ok().filter(|phone| phone.kind() == RecipientKind::Phone);
            phone.ok_or(LiteralProblem::BadPhone(at))
        };
        let phones = (1..).zip(&self.phones).map(read).collect::<Result<_, _>>()?;
        Ok(Card { name: self.name.trim().into(), phones })
    }
}

impl LiteralProblem {
    /// Returns the field that it is about.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::BadLatitude => "latitude",
            Self::BadPlaceName | Self::BadCardName => "name",
            Self::BadAddress => "address",
            Self::PhoneCount | Self::BadPhone(_) => "phones",
        }
    }
}

/// Tells whether a text can stand in one line: it says something, is short enough and has no control characters.
fn is_line(text: &str, chars_max: usize) -> bool {
    !text.trim().is_empty() && !is_longer(text, chars_max) && !text.chars().any(char::is_control)
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Location")
    }
}

impl fmt::Debug for ContactCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContactCard({} phones)", self.phones.len())
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Card({} phones)", self.phones.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::{MessageSpec, MessageTemplate};

    fn check(message: &str) -> String {
        match serde_json::from_str::<MessageSpec>(message) {
            Ok(message) => match MessageTemplate::compile(&message) {
                Ok(_) => serde_json::to_string(&message).unwrap(),
                Err(problem) => format!("{}: {problem}", problem.field()),
            },
            Err(problem) => problem.to_string(),
        }
    }

    #[test]
    fn places_and_cards_are_checked() {
        let place = |rest: &str| check(&format!(r#"{{"type":"location",{rest}}}"#));
        assert_eq!(
            place(r#""latitude":-90,"longitude":73.85674389,"name":"Shop""#),
            r#"{"type":"location","latitude":-90.0,"longitude":73.856744,"name":"Shop"}"#
        );
        for (rest, told) in [
            (r#""latitude":90.000001,"longitude":0"#, "latitude: The latitude"),
            (r#""latitude":181,"longitude":0"#, "must be a number of degrees"),
            (r#""latitude":0,"longitude":-1e300"#, "must be a number of degrees"),
            (r#""latitude":0,"longitude":1,"name":" ""#, "name: The name must have 1 to 200"),
            (r#""latitude":0,"longitude":1,"address":"a\nb""#, "address: The address must have 1 to 500"),
            (r#""latitude":0,"longitude":1,"zoom":3"#, "unknown field `zoom`"),
            (r#""latitude":"0","longitude":1"#, "invalid type: string"),
            (r#""latitude":0"#, "missing field `longitude`"),
        ] {
            assert!(place(rest).starts_with(told), "{rest}: {}", place(rest));
        }
        let card =
            |name: &str, phones: &str| check(&format!(r#"{{"type":"contact","name":"{name}","phones":{phones}}}"#));
        assert_eq!(
            card("Ana", r#"["+91 98765 43210"]"#),
            r#"{"type":"contact","name":"Ana","phones":["+91 98765 43210"]}"#
        );
        let many = serde_json::to_string(&vec!["919876543210"; CARD_PHONES_MAX + 1]).unwrap();
        for (name, phones, told) in [
            ("", r#"["919876543210"]"#, "name: The name"),
            (&*"x".repeat(201), r#"["919876543210"]"#, "name: The name"),
            ("Ana", "[]", "phones: The card must have 1 to 10 phones."),
            ("Ana", &*many, "phones: The card must have 1 to 10 phones."),
            ("Ana", r#"["919876543210","12"]"#, "phones: Valid phone number is required at place 2."),
            ("Ana", r#"["123@lid"]"#, "phones: Valid phone number is required at place 1."),
        ] {
            assert!(card(name, phones).starts_with(told), "{name} {phones}: {}", card(name, phones));
        }
    }
}
