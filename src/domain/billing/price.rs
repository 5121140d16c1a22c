//! Sums of money, in the smallest unit of their currency: rests of periods, and discounts.
//!
//! Whole numbers only, rounded down: what is asked for is never more than what it is a part of.

use crate::domain::plan::Period;

/// What a provider of payments takes at least: less than this is not asked for.
const CHARGED_MIN_CENTS: i64 = 100;

/// What a coupon takes off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discount {
    /// So many hundredths, 1 to 100.
    Percent(i64),
    /// So much of a currency by ISO 4217.
    Amount(i64, String),
}

/// Returns which part of the price of a period is left to be paid at `now_ms`.
#[must_use]
pub fn for_the_rest(price_cents: i64, period: Period, now_ms: i64) -> i64 {
    let length_ms = i128::from(period.end_ms) - i128::from(period.start_ms);
    let left_ms = (i128::from(period.end_ms) - i128::from(now_ms)).clamp(0, length_ms.max(0));
    if length_ms <= 0 || price_cents <= 0 {
        return 0;
    }
    i64::try_from(i128::from(price_cents) * left_ms / length_ms).unwrap_or(price_cents)
}

/// Returns what going from one plan to a dearer one costs for the rest of a period.
#[must_use]
pub fn upgrade(from_cents: i64, to_cents: i64, period: Period, now_ms: i64) -> i64 {
    for_the_rest(to_cents.max(0).saturating_sub(from_cents.max(0)).max(0), period, now_ms)
}

impl Discount {
    /// Returns what it takes off a sum; none when it is for another currency.
    #[must_use]
    pub fn of(&self, gross_cents: i64, currency: &str) -> Option<i64> {
        let gross_cents = gross_cents.max(0);
        match self {
            Self::Percent(percent) => {
                let percent = i128::from((*percent).clamp(0, 100));
                i64::try_from(i128::from(gross_cents) * percent / 100).ok()
            }
            Self::Amount(cents, of) if of == currency => Some((*cents).clamp(0, gross_cents)),
            Self::Amount(..) => None,
        }
    }
}

/// Returns what is asked for: nothing, where it is less than can be.
#[must_use]
pub fn charged(gross_cents: i64, discount_cents: i64) -> i64 {
    let net_cents = gross_cents.saturating_sub(discount_cents).max(0);
    if net_cents < CHARGED_MIN_CENTS { 0 } else { net_cents }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JUNE: Period = Period { start_ms: 0, end_ms: 30 * 86_400_000, anchor_ms: 0 };

    #[test]
    fn golden_sums() {
        let day = |n: i64| n * 86_400_000;
        assert_eq!(upgrade(49_900, 99_900, JUNE, day(0)), 50_000);
        assert_eq!(upgrade(49_900, 99_900, JUNE, day(15)), 25_000);
        assert_eq!(upgrade(49_900, 99_900, JUNE, day(29)), 1_666);
        assert_eq!(upgrade(99_900, 49_900, JUNE, day(3)), 0);
        assert_eq!(for_the_rest(19_900, JUNE, day(20)), 6_633);
        assert_eq!(Discount::Percent(15).of(99_999, "INR"), Some(14_999));
        assert_eq!(Discount::Amount(5_000, "INR".to_owned()).of(3_000, "INR"), Some(3_000));
        assert_eq!(Discount::Amount(5_000, "USD".to_owned()).of(3_000, "INR"), None);
        assert_eq!((charged(100, 0), charged(199, 100), charged(5, 10)), (100, 0, 0));
    }

    proptest! {
        /// Whatever the times and the prices: never below nothing, never above the price, and never rising with time.
        #[test]
        fn a_rest_is_a_part_of_the_price(
            prices in (any::<i64>(), any::<i64>()), bounds in (any::<i64>(), any::<i64>()), times in (any::<i64>(), any::<i64>())
        ) {
            let period = Period { start_ms: bounds.0, end_ms: bounds.1, anchor_ms: bounds.0 };
            let at = |now_ms| upgrade(prices.0, prices.1, period, now_ms);
            let (early, late) = (times.0.min(times.1), times.0.max(times.1));
            prop_assert!((0..=prices.1.max(0)).contains(&at(early)));
            prop_assert!(at(late) <= at(early));
            prop_assert_eq!(at(period.end_ms.max(period.start_ms)), 0);
            let whole = for_the_rest(prices.1, period, period.start_ms);
            prop_assert!(period.end_ms <= period.start_ms || whole == prices.1.max(0));
        }

        /// A discount takes off nothing or a part, and what is asked for is what is left of it.
        #[test]
        fn a_discount_is_a_part_of_the_sum(gross in any::<i64>(), off in any::<i64>(), is_percent: bool) {
            let discount = if is_percent { Discount::Percent(off) } else { Discount::Amount(off, "INR".to_owned()) };
            let off = discount.of(gross, "INR").unwrap();
            prop_assert!((0..=gross.max(0)).contains(&off));
            let asked = charged(gross, off);
            prop_assert!(asked == 0 || asked == gross - off && CHARGED_MIN_CENTS <= asked);
        }
    }
}
