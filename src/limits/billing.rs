//! Bounds of payments.

/// Within this time an order for the same is the same order, in milliseconds: 10 minutes, as long as a person takes to pay.
pub const SAME_ORDER_AGE_MS_MAX: i64 = 600_000;

/// How long an order may keep a coupon from others without being paid, in milliseconds: 24 × 3,600 s, so that nobody who
/// means to pay today loses it.
pub const COUPON_HELD_MS_MAX: i64 = 86_400_000;

/// How long names of what the provider told are kept, in milliseconds: 30 days; it tries again for one.
pub const PAYMENT_EVENTS_KEPT_MS: i64 = 30 * 86_400_000;

/// Subscriptions that one look moves: 500 × about 4 ms = 2 s.
pub const DUE_SUBSCRIPTIONS_MAX: u32 = 500;

/// Bytes of what a provider of payments tells; it says less than 10 kB, 256 kB is 25 times as much.
pub const PAYMENT_EVENT_BYTES_MAX: usize = 256 * 1024;

/// Bytes of an answer of a provider of payments; an order and a payment have about 1 kB each, 256 kB is 256 of them.
pub const PAYMENT_ANSWER_BYTES_MAX: usize = 256 * 1024;
