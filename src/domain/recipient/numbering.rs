//! Numbering plans of all countries, from the `phonenumber` crate's tables in a quicker form.
//!
//! `phonenumber::parse` keeps 100 compiled patterns behind one lock: measured, it takes 7 µs for a
//! list from one country and 1,700 µs a number for a list from all of them. Here each plan is
//! compiled once, when first met. A number passes by its length and by its country's general
//! pattern; the finer patterns by kind (mobile, fixed line) are not asked, because they turn away
//! numbers that WhatsApp still knows by their old form, such as Brazilian ones without the ninth
//! digit.

use std::sync::{LazyLock, OnceLock};

use phonenumber::Metadata;
use phonenumber::metadata::{DATABASE, Descriptor};
use regex::bytes::{Regex, RegexBuilder};

use super::RecipientProblem;

/// Mexico, whose mobile numbers WhatsApp addresses by the `1` that was abolished in 2019.
const MEXICO: u16 = 52;

/// Plans by country code. Codes are prefix-free, so the first that fits is the only one.
static CODES: LazyLock<Vec<Option<CallingCode>>> = LazyLock::new(|| (0..1_000).map(CallingCode::load).collect());

/// All regions that share a country code.
struct CallingCode {
    code: u16,
    regions: Vec<Region>,
}

struct Region {
    /// ISO 3166 code of the country, or a number for what belongs to none.
    id: &'static str,
    /// Bit n: numbers of n digits are in use.
    lengths: u32,
    /// Numbers are dialled with a leading 0 inside the country, and never from outside.
    has_trunk_zero: bool,
    source: &'static str,
    pattern: OnceLock<Option<Regex>>,
    /// How numbers begin that are surely of this region and not of another with the same code.
    beginning: Option<&'static str>,
    beginning_pattern: OnceLock<Option<Regex>>,
    /// Mobile and fixed numbers, finer than the general pattern.
    kinds: [Option<&'static str>; 2],
    kinds_pattern: OnceLock<Option<Regex>>,
}

/// Loads the plans, once.
pub(super) fn prepare() {
    LazyLock::force(&CODES);
}

/// Splits `digits` into country code and national number, the trunk zero taken out.
///
/// # Errors
///
/// Says why no country has such a number.
pub(super) fn check(digits: &[u8]) -> Result<(&[u8], &[u8]), RecipientProblem> {
    let (country, at) = find(digits).ok_or(RecipientProblem::UnknownCountryCode)?;
    let (code, national) = digits.split_at(at);
    if country.has_number(national) {
        return Ok((code, national));
    }
    if let Some(rest) = national.strip_prefix(b"0")
        && country.regions.iter().any(|region| region.has_trunk_zero)
        && country.has_number(rest)
    {
        return Ok((code, rest));
    }
    if country.code == MEXICO
        && let Some(rest) = national.strip_prefix(b"1")
        && country.has_number(rest)
    {
        return Ok((code, national));
    }
    Err(country.problem(national.len()))
}

/// Returns the ISO 3166 code of a number's country; none for numbers of no country.
pub(super) fn country(digits: &[u8]) -> Option<&'static str> {
    let (code, at) = find(digits)?;
    let national = &digits[at..];
    // A number that is in none of the finer patterns is by an old form: the main region's, in all likelihood.
    let first = code.regions.first()?;
    let region = match code.regions.len() {
        1 => first,
        _ => code.regions.iter().find(|region| region.surely_has(national)).unwrap_or(first),
    };
    region.id.bytes().all(|b| b.is_ascii_uppercase()).then_some(region.id)
}

fn find(digits: &[u8]) -> Option<(&'static CallingCode, usize)> {
    let mut code = 0;
    for (at, digit) in digits.iter().enumerate().take(3) {
        code = code * 10 + usize::from(digit - b'0');
        if let Some(country) = CODES.get(code).and_then(Option::as_ref) {
            return Some((country, at + 1));
        }
    }
    None
}

impl CallingCode {
    fn load(code: u16) -> Option<Self> {
        let mut regions = DATABASE.by_code(&code)?;
        // The main region's pattern covers nearly all numbers, so the others are rarely compiled.
        regions.sort_by_key(|region| !region.is_main_country_for_code());
        Some(Self { code, regions: regions.into_iter().map(Region::load).collect() })
    }

    fn has_number(&self, national: &[u8]) -> bool {
        self.regions.iter().any(|region| region.has_number(national))
    }

    fn problem(&self, n_digits: usize) -> RecipientProblem {
        let lengths = self.regions.iter().fold(0, |all, region| all | region.lengths);
        if lengths & length_bit(n_digits) != 0 {
            return RecipientProblem::NotInUse;
        }
        let shortest = usize::try_from(lengths.trailing_zeros()).unwrap_or(usize::MAX);
        if n_digits < shortest {
            return RecipientProblem::TooFewDigits;
        }
        let longest = usize::try_from(lengths.checked_ilog2().unwrap_or(0)).unwrap_or(usize::MAX);
        if longest < n_digits {
            return RecipientProblem::TooManyDigits;
        }
        RecipientProblem::NotInUse
    }
}

impl Region {
    fn load(region: &'static Metadata) -> Self {
        let plan = region.descriptors();
        // Kinds that a person or a business can have WhatsApp on.
        let kinds = [
            plan.fixed_line(),
            plan.mobile(),
            plan.voip(),
            plan.toll_free(),
            plan.personal_number(),
            plan.shared_cost(),
            plan.uan(),
        ];
        let lengths = kinds
            .into_iter()
            .flatten()
            .flat_map(Descriptor::possible_length)
            .fold(0, |all, length| all | length_bit(usize::from(*length)));
        Self {
            lengths,
            has_trunk_zero: region.national_prefix() == Some("0"),
            source: plan.general().national_number().as_str(),
            pattern: OnceLock::new(),
            id: region.id(),
            beginning: region.leading_digits().map(|pattern| pattern.as_str()),
            beginning_pattern: OnceLock::new(),
            kinds: [plan.mobile(), plan.fixed_line()].map(|kind| Some(kind?.national_number().as_str())),
            kinds_pattern: OnceLock::new(),
        }
    }

    fn has_number(&self, national: &[u8]) -> bool {
        self.lengths & length_bit(national.len()) != 0
            && self.pattern().is_some_and(|pattern| pattern.is_match(national))
    }

    /// Tells whether a number is of this region, among all that share its code.
    fn surely_has(&self, national: &[u8]) -> bool {
        let pattern = match self.beginning {
            Some(beginning) => self.beginning_pattern.get_or_init(|| compiled(&format!("^(?:{beginning})"))),
            None => self.kinds_pattern.get_or_init(|| {
                let kinds: Vec<_> = self.kinds.iter().flatten().copied().collect();
                compiled(&format!("^(?:{})$", kinds.join("|")))
            }),
        };
        pattern.as_ref().is_some_and(|pattern| pattern.is_match(national))
    }

    fn pattern(&self) -> Option<&Regex> {
        self.pattern.get_or_init(|| compiled(&format!("^(?:{})$", self.source))).as_ref()
    }
}

fn compiled(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).ignore_whitespace(true).unicode(false).build().ok()
}

/// Returns the bit that stands for a length; none for lengths that no number has.
fn length_bit(n_digits: usize) -> u32 {
    u32::try_from(n_digits).ok().and_then(|shift| 1_u32.checked_shl(shift)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        let regions = CODES.iter().flatten().flat_map(|country| &country.regions);
        let n_regions = regions.inspect(|region| assert!(region.pattern().is_some())).count();
        assert!(200 < n_regions, "only {n_regions} regions");
    }

    #[test]
    fn no_code_is_the_start_of_another() {
        for country in CODES.iter().flatten() {
            for shorter in [country.code / 10, country.code / 100] {
                assert!(CODES[usize::from(shorter)].is_none(), "{} and {shorter}", country.code);
            }
        }
    }

    #[test]
    fn every_example_of_the_tables_is_accepted() {
        for region in DATABASE.iter() {
            let plan = region.descriptors();
            for kind in [plan.mobile(), plan.fixed_line()].into_iter().flatten() {
                let Some(example) = kind.example() else { continue };
                let digits = format!("{}{example}", region.country_code());
                let checked = check(digits.as_bytes());
                assert!(checked.is_ok(), "{} {digits}: {checked:?}", region.id());
                let (code, national) = checked.expect("just tested");
                assert_eq!([code, national].concat(), digits.as_bytes());
            }
        }
    }
}
