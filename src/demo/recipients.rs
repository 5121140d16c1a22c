//! Made-up recipients: valid phone numbers of several countries, each once, as CSV chunk by chunk.
//!
//! Some may belong to somebody: they are for the simulator, never for a real provider.

use std::fmt::Write;
use std::ops::Range;

/// Lines of one chunk: about 15 kB.
const LINES_PER_CHUNK: u64 = 500;

/// The first line of the file.
const HEADER: &str = "phone,name\n";

/// Beginnings of mobile numbers that any seven digits complete: India, Kenya, Spain, the United Kingdom.
const PREFIXES: [&str; 4] = ["91987", "25471", "3461", "44740"];

/// How many numbers each beginning has.
const NUMBERS_PER_PREFIX: u64 = 10_000_000;

/// Has no factor in common with [`NUMBERS_PER_PREFIX`], so that multiplying shuffles and never repeats.
const STRIDE: u64 = 7_654_321;

/// Names in turn; a line without one shows the message's default.
const NAMES: [&str; 8] = ["Ana", "Ravi", "", "Wanjiku", "José", "Priya", "Oliver", "\"Kim, Lee\""];

/// Returns the file's chunks for the recipients of a range.
pub(super) fn csv_chunks(range: Range<u64>) -> impl Iterator<Item = String> {
    let starts = range.clone().step_by(usize::try_from(LINES_PER_CHUNK).unwrap_or(1));
    let lines = starts.map(move |start| {
        let mut chunk = String::with_capacity(16 * 1024);
        for n in start..range.end.min(start + LINES_PER_CHUNK) {
            // Writing to a text can not fail.
            writeln!(chunk, "{},{}", phone(n), name(n)).ok();
        }
        chunk
    });
    std::iter::once(HEADER.to_owned()).chain(lines)
}

/// Returns the n-th phone number, digits with country code; 40 million of them are different.
#[must_use]
pub fn phone(n: u64) -> String {
    let prefix = PREFIXES[usize::try_from(n % 4).unwrap_or(0)];
    let rest = (n / 4 % NUMBERS_PER_PREFIX) * STRIDE % NUMBERS_PER_PREFIX;
    format!("{prefix}{rest:07}")
}

fn name(n: u64) -> &'static str {
    NAMES[usize::try_from(n % 8).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::domain::recipient::Recipient;

    #[test]
    fn numbers_are_valid_and_all_different() {
        let phones: HashSet<String> = (0..200_000).map(phone).collect();
        assert_eq!(phones.len(), 200_000);
        for n in (0..200_000).step_by(97).chain(39_999_900..40_000_000) {
            let phone = phone(n);
            let recipient = Recipient::parse(&phone).unwrap_or_else(|problem| panic!("{phone}: {problem}"));
            assert_eq!(recipient.as_str(), phone);
        }
    }

    #[test]
    fn chunks_are_one_file() {
        let text: String = csv_chunks(3..1_204).collect();
        assert_eq!(text.lines().count(), 1 + 1_201);
        assert_eq!(text.lines().next(), Some("phone,name"));
        assert!(text.ends_with('\n'));
        assert_eq!(csv_chunks(0..0).collect::<String>(), HEADER);
    }
}
