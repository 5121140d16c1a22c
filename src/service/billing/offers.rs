//! What operators offer beside plans: coupons and add-ons.

use super::BillingService;
use crate::domain::billing::price::Discount;
use crate::domain::plan::Meter;
use crate::error::{Error, Problems, Result};
use crate::service::check::check_name;
use crate::store::audit::Actor;
use crate::store::billing::addons::AddonRecord;
use crate::store::billing::coupons::CouponRecord;

/// Characters of the code of a coupon and of the slug of an add-on.
const WORD_CHARS: std::ops::RangeInclusive<usize> = 3..=40;
/// Characters of an add-on's name, at most.
const NAME_CHARS_MAX: usize = 100;
/// The currency that is sold in.
const CURRENCY: &str = "INR";
/// The largest sum of one price: a crore of rupees, so that no sum of several overflows.
const CENTS_MAX: i64 = 1_000_000_000;
/// The most of one thing that an add-on adds.
const AMOUNT_MAX: i64 = 1_000_000_000;

/// A coupon to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCoupon {
    /// What people type.
    pub code: String,
    /// Hundredths that it takes off.
    pub percent: Option<i64>,
    /// What it takes off, in the smallest unit of the currency.
    pub amount_cents: Option<i64>,
    /// Not good before, UTC milliseconds.
    pub from_ms: Option<i64>,
    /// Not good from then on, UTC milliseconds.
    pub until_ms: Option<i64>,
    /// How often it may be used.
    pub max_uses: Option<i64>,
}

/// A change of a coupon; what is none stays, an inner none takes a bound away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CouponChange {
    /// Not good from then on, UTC milliseconds.
    pub until_ms: Option<Option<i64>>,
    /// How often it may be used.
    pub max_uses: Option<Option<i64>>,
    /// Whether it is to be had.
    pub is_active: Option<bool>,
}

/// An add-on to make, or a change of one; what is none stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddonChange {
    /// What people call it.
    pub name: Option<String>,
    /// What there is more of.
    pub meter: Option<Meter>,
    /// How much more.
    pub amount: Option<i64>,
    /// What a period costs, in the smallest unit of the currency.
    pub price_cents: Option<i64>,
    /// Whether it can be bought.
    pub is_active: Option<bool>,
}

/// Reads the code of a coupon as people type it.
pub(super) fn coupon_code(field: &'static str, code: &str) -> Result<String> {
    let code = code.trim().to_uppercase();
    let is_plain = code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-');
    let fits = WORD_CHARS.contains(&code.len()) && is_plain;
    if fits { Ok(code) } else { Err(Error::invalid(field, "must be 3 to 40 letters, digits and dashes")) }
}

fn is_slug(slug: &str) -> bool {
    let is_plain = slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    WORD_CHARS.contains(&slug.len()) && is_plain
}

impl BillingService {
    /// Makes a coupon.
    ///
    /// # Errors
    /// `Validation` by the fields `code`, `percent`, `amountCents`, `validFrom`, `validUntil`, `maxUses`; `Conflict` when
    /// there is one of its code.
    pub async fn create_coupon(&self, new: NewCoupon, actor: &Actor) -> Result<CouponRecord> {
        let code = coupon_code("code", &new.code)?;
        let mut problems = Problems::default();
        let discount = match (new.percent, new.amount_cents) {
            (Some(percent), None) if (1..=100).contains(&percent) => Some(Discount::Percent(percent)),
            (None, Some(cents)) if (1..=CENTS_MAX).contains(&cents) => {
                Some(Discount::Amount(cents, CURRENCY.to_owned()))
            }
            (Some(_), None) => {
                problems.push("percent", "must be 1 to 100");
                None
            }
            (None, Some(_)) => {
                problems.push("amountCents", format!("must be 1 to {CENTS_MAX}"));
                None
            }
            _ => {
                problems.push("percent", "must be given, or amountCents, and not both");
                None
            }
        };
        if new.from_ms.zip(new.until_ms).is_some_and(|(from_ms, until_ms)| until_ms <= from_ms) {
            problems.push("validUntil", "must be after validFrom");
        }
        check_uses(new.max_uses, &mut problems);
        problems.check()?;
        let coupon = CouponRecord {
            code,
            discount: discount.ok_or_else(|| Error::invalid("percent", "is required"))?,
            from_ms: new.from_ms,
            until_ms: new.until_ms,
            max_uses: new.max_uses,
            n_uses: 0,
            is_active: true,
            created_at_ms: self.tools.clock.now().as_ms(),
        };
        if self.tools.store.billing().add_coupon(&coupon, actor).await? {
            Ok(coupon)
        } else {
            Err(Error::conflict_of("code", "There is a coupon of this code."))
        }
    }

    /// Changes until when, how often and whether a coupon can be used.
    ///
    /// # Errors
    /// `Validation` by the field `maxUses`; `NotFound`.
    pub async fn change_coupon(&self, code: &str, change: CouponChange, actor: &Actor) -> Result<CouponRecord> {
        let mut problems = Problems::default();
        check_uses(change.max_uses.flatten(), &mut problems);
        problems.check()?;
        let billing = self.tools.store.billing();
        let before = billing.coupon(code).await?.ok_or(Error::NotFound("coupon"))?;
        let coupon = CouponRecord {
            until_ms: change.until_ms.unwrap_or(before.until_ms),
            max_uses: change.max_uses.unwrap_or(before.max_uses),
            is_active: change.is_active.unwrap_or(before.is_active),
            ..before
        };
        billing.change_coupon(&coupon, actor, self.tools.clock.now().as_ms()).await?;
        Ok(coupon)
    }

    /// Makes an add-on.
    ///
    /// # Errors
    /// `Validation` by the fields `slug`, `name`, `meter`, `amount`, `priceCents`; `Conflict` when there is one of its slug.
    pub async fn create_addon(&self, slug: &str, change: AddonChange, actor: &Actor) -> Result<AddonRecord> {
        if !is_slug(slug) {
            return Err(Error::invalid("slug", "must be 3 to 40 small letters, digits and dashes"));
        }
        if self.tools.store.billing().addon(slug).await?.is_some() {
            return Err(Error::conflict_of("slug", "There is an add-on of this slug."));
        }
        let none = AddonRecord {
            slug: slug.to_owned(),
            name: String::new(),
            meter: change.meter.unwrap_or(Meter::Messages),
            amount: 0,
            price_cents: -1,
            currency: CURRENCY.to_owned(),
            is_active: true,
        };
        self.put_addon(none, change, actor).await
    }

    /// Changes an add-on for those who buy it from now on.
    ///
    /// # Errors
    /// `Validation` by the fields `name`, `amount`, `priceCents`; `NotFound`.
    pub async fn change_addon(&self, slug: &str, change: AddonChange, actor: &Actor) -> Result<AddonRecord> {
        let before = self.tools.store.billing().addon(slug).await?.ok_or(Error::NotFound("add-on"))?;
        self.put_addon(before, change, actor).await
    }

    async fn put_addon(&self, before: AddonRecord, change: AddonChange, actor: &Actor) -> Result<AddonRecord> {
        let mut problems = Problems::default();
        let name = change.name.unwrap_or(before.name);
        let addon = AddonRecord {
            name: check_name("name", &name, NAME_CHARS_MAX, &mut problems),
            meter: change.meter.unwrap_or(before.meter),
            amount: change.amount.unwrap_or(before.amount),
            price_cents: change.price_cents.unwrap_or(before.price_cents),
            is_active: change.is_active.unwrap_or(before.is_active),
            ..before
        };
        if !(1..=AMOUNT_MAX).contains(&addon.amount) {
            problems.push("amount", format!("must be 1 to {AMOUNT_MAX}"));
        }
        if !(0..=CENTS_MAX).contains(&addon.price_cents) {
            problems.push("priceCents", format!("must be 0 to {CENTS_MAX}"));
        }
        problems.check()?;
        self.tools.store.billing().put_addon(&addon, actor, self.tools.clock.now().as_ms()).await?;
        Ok(addon)
    }
}

fn check_uses(max_uses: Option<i64>, problems: &mut Problems) {
    if max_uses.is_some_and(|max_uses| max_uses < 1) {
        problems.push("maxUses", "must be at least 1");
    }
}
