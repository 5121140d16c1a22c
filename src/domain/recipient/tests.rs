//! Tables and properties of addresses.

use proptest::prelude::*;

use super::*;

/// Reads one address; answers `kind canonical provider-form`, or the problem.
fn check(text: &str) -> String {
    match Recipient::parse(text) {
        Ok(recipient) => {
            let stored = Recipient::from_stored(recipient.as_str());
            assert_eq!(stored.as_ref(), Some(&recipient), "{text:?}");
            let again = Recipient::parse(recipient.as_str());
            assert_eq!(again.as_ref(), Ok(&recipient), "{text:?}");
            format!("{:?} {} {}", recipient.kind(), recipient.as_str(), recipient.provider_address())
        }
        Err(problem) => format!("{problem:?}"),
    }
}

#[test]
fn addresses_are_read_as_people_write_them() {
    let table = [
        ("919876543210", "Phone 919876543210 +919876543210"),
        ("+91 98765-43210", "Phone 919876543210 +919876543210"),
        ("  0091 (98765) 43210 ", "Phone 919876543210 +919876543210"),
        ("\u{202a}+91\u{a0}98765\u{2011}43210\u{202c}", "Phone 919876543210 +919876543210"),
        ("\u{feff}919876543210", "Phone 919876543210 +919876543210"),
        ("919876543210.0", "Phone 919876543210 +919876543210"),
        ("٩١٩٨٧٦٥٤٣٢١٠", "Phone 919876543210 +919876543210"),
        ("919876543210@s.whatsapp.net", "Phone 919876543210 +919876543210"),
        ("919876543210@c.us", "Phone 919876543210 +919876543210"),
        ("+1 (212) 555-0123", "Phone 12125550123 +12125550123"),
        ("+44 (0)20 7946 0018", "Phone 442079460018 +442079460018"),
        ("+49.151.23456789", "Phone 4915123456789 +4915123456789"),
        // Italian numbers keep their zero.
        ("+39 06 698 12345", "Phone 390669812345 +390669812345"),
        // Mexico's abolished 1 and Brazil's eight-digit mobiles live on in WhatsApp's addresses.
        ("+52 1 55 1234 5678", "Phone 5215512345678 +5215512345678"),
        ("+52 55 1234 5678", "Phone 525512345678 +525512345678"),
        ("+55 31 9876-5432", "Phone 553198765432 +553198765432"),
        ("+54 9 11 2345-6789", "Phone 5491123456789 +5491123456789"),
        ("+7 701 123 45 67", "Phone 77011234567 +77011234567"),
        ("+683 4002", "Phone 6834002 +6834002"),
        ("123456@lid", "Lid 123456@lid 123456@lid"),
        ("123456789012345@LID", "Lid 123456789012345@lid 123456789012345@lid"),
        ("US.13491208655302741918", "UserId US.13491208655302741918 US.13491208655302741918"),
        ("IN.ENT.a1B2", "UserId IN.ENT.a1B2 IN.ENT.a1B2"),
    ];
    for (text, expected) in table {
        assert_eq!(check(text), expected, "{text:?}");
    }
}

#[test]
fn bad_addresses_are_explained() {
    let table = [
        ("", "Empty"),
        (" \t\u{feff}", "Empty"),
        ("+", "Empty"),
        ("()-", "Empty"),
        ("abc", "UnexpectedCharacter { position: 1 }"),
        ("+91 98765x43210", "UnexpectedCharacter { position: 10 }"),
        ("+91+9876543210", "UnexpectedCharacter { position: 4 }"),
        ("9876543210/1", "UnexpectedCharacter { position: 11 }"),
        ("9.19877E+11", "Shortened"),
        ("9,19877E11", "Shortened"),
        ("09876543210", "NoCountryCode"),
        ("+0 20 7946 0018", "NoCountryCode"),
        ("+999 1234567", "UnknownCountryCode"),
        ("+210 1234567", "UnknownCountryCode"),
        ("12345", "TooFewDigits"),
        ("+91 98765", "TooFewDigits"),
        ("+1 212 555 01234", "TooManyDigits"),
        ("12345678901234567890123", "TooManyDigits"),
        ("+1 012 555 0123", "NotInUse"),
        ("+10000000000", "NotInUse"),
        ("+52 2 55 1234 5678", "TooManyDigits"),
        ("12345-678@g.us", "NotAPerson"),
        ("status@broadcast", "NotAPerson"),
        ("ana@example.com", "UnknownServer"),
        ("@lid", "BadLid"),
        ("12a@lid", "BadLid"),
        ("123456789012345678901@lid", "BadLid"),
        ("us.123", "UnexpectedCharacter { position: 1 }"),
        ("US.", "UnexpectedCharacter { position: 1 }"),
        ("US.12_3", "UnexpectedCharacter { position: 1 }"),
        ("USA.123", "UnexpectedCharacter { position: 1 }"),
    ];
    for (text, expected) in table {
        assert_eq!(check(text), expected, "{text:?}");
    }
    assert_eq!(check(&"9".repeat(257)), "TooLong");
    assert_eq!(check(&format!("US.{}", "a".repeat(129))), "UnexpectedCharacter { position: 1 }");
    assert!(check(&format!("US.{}", "a".repeat(128))).starts_with("UserId"));
}

#[test]
fn stored_text_is_taken_without_the_plans_but_not_blindly() {
    // A number that the plans may not know yet.
    let unknown = Recipient::from_stored("999123456789").expect("digits are enough");
    assert_eq!(unknown.as_str(), "999123456789");
    for text in ["", "123456", "1234567890123456", "+919876543210", "x@lid", "1@c.us", "us.1", "\0\0\0\0\0\0\0"] {
        assert!(Recipient::from_stored(text).is_none(), "{text:?}");
    }
}

#[test]
fn a_recipient_is_small_and_its_debug_form_hides_it() {
    assert_eq!(size_of::<Recipient>(), 24);
    assert_eq!(size_of::<Option<Recipient>>(), 24);
    let recipient = Recipient::parse("919876543210").unwrap();
    let shown = format!("{recipient:?}");
    assert_eq!(shown, format!("{:?}", recipient.clone()));
    assert_eq!(shown.len(), "Recipient(#01234567)".len());
    assert!(!shown.contains("9876"), "{shown}");
    assert_ne!(shown, format!("{:?}", Recipient::parse("919876543211").unwrap()));
}

#[test]
fn json_holds_the_canonical_text_and_is_checked() {
    let recipient: Recipient = serde_json::from_str("\"+91 98765 43210\"").unwrap();
    assert_eq!(serde_json::to_string(&recipient).unwrap(), "\"919876543210\"");
    for json in ["\"919876\"", "919876543210", "9.19876e11", "-919876543210"] {
        let error = serde_json::from_str::<Recipient>(json).unwrap_err().to_string();
        assert!(error.to_lowercase().contains("phone number"), "{error}");
        assert!(!error.contains("9876") && !error.contains("9.198"), "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
        check(&text);
    }

    #[test]
    fn text_made_of_the_right_characters_is_read_or_refused(text in "[+0-9 ().@lidUSENT-]{0,24}") {
        check(&text);
    }

    #[test]
    fn separators_between_digits_change_nothing(
        n in 6_000_000_000_u64..10_000_000_000,
        separators in prop::collection::vec("[ ().-]{0,2}", 12),
    ) {
        let plain = format!("91{n}");
        let spread: String = plain.chars().zip(&separators).map(|(c, s)| format!("{c}{s}")).collect();
        // A last group of zeros behind the only dot is a fraction; see `without_decimals`.
        prop_assume!(spread.matches('.').count() != 1);
        prop_assert_eq!(Recipient::parse(&spread), Recipient::parse(&plain));
        let read = Recipient::parse(&plain).unwrap();
        prop_assert_eq!(read.as_str(), plain);
    }
}
