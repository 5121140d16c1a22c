//! What deliveries take of their tenant's messages, and how much of these is left.
//!
//! What a delivery takes follows from two of its columns alone, so the numbers of a tenant can be counted anew from
//! the rows at any time. Locks nothing and stores nothing.

use crate::domain::delivery::DeliveryState;
use crate::domain::plan::{OnLimit, Period};

/// In the column of a delivery's period: it is counted, and takes nothing yet or any more.
pub const TAKES_NOTHING: i64 = 0;

/// What a delivery takes of its tenant's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: it is over without having been sent, or nobody counts it.
    Nothing,
    /// Nothing yet: there was no message left for it.
    Waiting,
    /// A message is kept for it.
    Reserved,
    /// It is being sent.
    Sending,
    /// It was, or may have been, sent in the period that begins here, UTC milliseconds.
    Used(i64),
}

/// Returns what a delivery takes; `quota_period_ms` is the column.
#[must_use]
pub fn claim(state: DeliveryState, quota_period_ms: Option<i64>) -> Claim {
    use DeliveryState as S;
    let Some(period_ms) = quota_period_ms else {
        return Claim::Nothing;
    };
    match state {
        S::Pending if period_ms == TAKES_NOTHING => Claim::Waiting,
        S::Pending => Claim::Reserved,
        S::Sending => Claim::Sending,
        S::Sent | S::Delivered | S::Read | S::Unknown => Claim::Used(period_ms),
        S::Failed | S::Skipped | S::Cancelled => Claim::Nothing,
    }
}

/// How much a tenant has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Messages that were, or may have been, sent in this period.
    pub used: i64,
    /// Messages that are being sent.
    pub sending: i64,
    /// Messages kept for pending deliveries.
    pub reserved: i64,
    /// Pending deliveries for which there was no message left.
    pub waiting: i64,
    /// Campaigns made in this period.
    pub campaigns: i64,
}

impl Usage {
    /// Returns by how many messages this and another count of the same tenant disagree.
    #[must_use]
    pub fn drift(&self, other: &Self) -> i64 {
        let parts = |usage: &Self| [usage.used, usage.sending, usage.reserved, usage.waiting];
        parts(self).iter().zip(parts(other)).map(|(a, b)| (a - b).abs()).sum()
    }

    /// Adds or takes away what a delivery takes in the period that begins at `period_ms`.
    pub fn count(&mut self, claim: Claim, period_ms: i64, n: i64) {
        match claim {
            Claim::Waiting => self.waiting += n,
            Claim::Reserved => self.reserved += n,
            Claim::Sending => self.sending += n,
            Claim::Used(in_period_ms) if in_period_ms == period_ms => self.used += n,
            // What was used in an earlier period is none of this one's business.
            Claim::Used(_) | Claim::Nothing => {}
        }
    }
}

/// Why a delivery may not be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The messages of the period are used up, or kept for others.
    UsedUp,
    /// The subscription is not active.
    Inactive,
}

/// What a tenant may send, and what it has used of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The period that is counted.
    pub period: Period,
    /// From then on nothing may be sent, UTC milliseconds; none while the subscription renews itself.
    pub active_until_ms: Option<i64>,
    /// Messages of a period; none for no limit.
    pub limit: Option<i64>,
    /// What is taken of them.
    pub usage: Usage,
}

impl Allowance {
    /// Begins the period that holds `now_ms`, when this one is over and the subscription goes on. What is on its way is
    /// carried over.
    #[must_use]
    pub fn at(self, now_ms: i64) -> Self {
        match self.period.next(now_ms) {
            Some(period) if self.is_active(now_ms) => {
                Self { period, usage: Usage { used: 0, campaigns: 0, ..self.usage }, ..self }
            }
            _ => self,
        }
    }

    /// Tells whether anything may be sent or made.
    #[must_use]
    pub fn is_active(&self, now_ms: i64) -> bool {
        self.active_until_ms.is_none_or(|until_ms| now_ms < until_ms)
    }

    /// Tells whether one more message could be kept or sent.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let Usage { used, sending, reserved, .. } = self.usage;
        self.limit.is_none_or(|limit| used + sending + reserved < limit)
    }

    /// Tells whether a message would be left after all that wait have got theirs.
    #[must_use]
    pub fn has_room_for_all(&self) -> bool {
        self.has_room_for_all_and(1)
    }

    /// Tells whether so many messages would be left after all that wait have got theirs.
    #[must_use]
    pub fn has_room_for_all_and(&self, n: i64) -> bool {
        let Usage { used, sending, reserved, waiting, .. } = self.usage;
        self.limit.is_none_or(|limit| used + sending + reserved + waiting + n <= limit)
    }

    /// Takes in a new delivery; returns the column of its period, or `None` when it is to fail.
    ///
    /// While others wait nothing is kept for newcomers, so within a stream none that has its message stands behind one
    /// that waits for its own.
    pub fn admit(&mut self, on_limit: OnLimit) -> Option<i64> {
        if self.has_room() && self.usage.waiting == 0 {
            self.usage.reserved += 1;
            return Some(self.period.start_ms);
        }
        if on_limit == OnLimit::Fail && !self.has_room_for_all() {
            return None;
        }
        self.usage.waiting += 1;
        Some(TAKES_NOTHING)
    }

    /// Tells whether a delivery that takes this may be begun.
    ///
    /// # Errors
    /// [`Refused`] says why not.
    pub fn begin(&self, claim: Claim, now_ms: i64) -> Result<(), Refused> {
        if !self.is_active(now_ms) {
            return Err(Refused::Inactive);
        }
        if self.has_message_for(claim) { Ok(()) } else { Err(Refused::UsedUp) }
    }

    fn has_message_for(&self, claim: Claim) -> bool {
        match claim {
            // The limit may have been lowered since.
            Claim::Reserved => self.limit.is_none_or(|limit| self.usage.used + self.usage.sending < limit),
            _ => self.has_room(),
        }
    }

    /// Counts the move of a delivery and returns the new column of its period.
    pub fn moved(&mut self, quota_period_ms: Option<i64>, from: DeliveryState, to: DeliveryState) -> Option<i64> {
        let before = claim(from, quota_period_ms);
        let after_ms = self.after(quota_period_ms, from, to);
        self.usage.count(before, self.period.start_ms, -1);
        self.usage.count(claim(to, after_ms), self.period.start_ms, 1);
        after_ms
    }

    fn after(&self, quota_period_ms: Option<i64>, from: DeliveryState, to: DeliveryState) -> Option<i64> {
        use DeliveryState as S;
        let now_ms = self.period.start_ms;
        match (to, quota_period_ms) {
            // From the first attempt on, a delivery from before the subscription is counted like all others.
            (S::Sending, _) => Some(now_ms),
            (_, None) => None,
            (S::Pending, Some(kept)) if from == S::Sending => Some(kept),
            // Put back in line at the end: behind those that wait, it must not keep a message from them.
            (S::Pending | S::Failed | S::Skipped | S::Cancelled, Some(_)) => Some(TAKES_NOTHING),
            (S::Sent | S::Delivered | S::Read | S::Unknown, Some(kept)) => match claim(from, Some(kept)) {
                Claim::Used(in_period_ms) => Some(in_period_ms),
                Claim::Sending => Some(now_ms),
                // The provider says that it was sent after all. Nobody can be kept from that any more, so it costs a
                // message only where one is left.
                before => self.has_message_for(before).then_some(now_ms),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [DeliveryState; 9] = DeliveryState::ALL;
    const PERIOD: Period = Period { start_ms: 100, end_ms: 200, anchor_ms: 100 };

    fn word(claim: Claim) -> String {
        match claim {
            Claim::Nothing => "·".to_owned(),
            Claim::Used(period_ms) => format!("used {period_ms}"),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    #[test]
    fn claims_golden_table() {
        let mut table = String::new();
        for state in STATES {
            let claims = [None, Some(TAKES_NOTHING), Some(50), Some(100)].map(|column| word(claim(state, column)));
            let [a, b, c, d] = claims;
            table += format!("{:9} {a:9} {b:9} {c:9} {d}", state.as_str()).trim_end();
            table += "\n";
        }
        insta::assert_snapshot!(table, @"
        pending   ·         waiting   reserved  reserved
        sending   ·         sending   sending   sending
        sent      ·         used 0    used 50   used 100
        delivered ·         used 0    used 50   used 100
        read      ·         used 0    used 50   used 100
        failed    ·         ·         ·         ·
        skipped   ·         ·         ·         ·
        cancelled ·         ·         ·         ·
        unknown   ·         used 0    used 50   used 100
        ");
    }

    /// One row per state before, with a message kept since an earlier period; one column per state after.
    #[test]
    fn moves_golden_table() {
        let mut table = String::new();
        for from in STATES {
            table += &format!("{:10}", from.as_str());
            for to in STATES {
                let usage = Usage { reserved: 1, sending: 1, ..Usage::default() };
                let mut allowance = Allowance { period: PERIOD, active_until_ms: None, limit: Some(5), usage };
                let column = allowance.moved(Some(50), from, to);
                table += &format!(" {:9}", word(claim(to, column)));
            }
            table = table.trim_end().to_owned() + "\n";
        }
        insta::assert_snapshot!(table, @"
        pending    waiting   sending   used 100  used 100  used 100  ·         ·         ·         used 100
        sending    reserved  sending   used 100  used 100  used 100  ·         ·         ·         used 100
        sent       waiting   sending   used 50   used 50   used 50   ·         ·         ·         used 50
        delivered  waiting   sending   used 50   used 50   used 50   ·         ·         ·         used 50
        read       waiting   sending   used 50   used 50   used 50   ·         ·         ·         used 50
        failed     waiting   sending   used 100  used 100  used 100  ·         ·         ·         used 100
        skipped    waiting   sending   used 100  used 100  used 100  ·         ·         ·         used 100
        cancelled  waiting   sending   used 100  used 100  used 100  ·         ·         ·         used 100
        unknown    waiting   sending   used 50   used 50   used 50   ·         ·         ·         used 50
        ");
    }

    #[test]
    fn usage_that_differs_shows() {
        let stored = Usage { used: 3, reserved: 1, ..Usage::default() };
        assert_eq!((stored.drift(&stored), stored.drift(&Usage { used: 2, sending: 1, ..stored })), (0, 2));
    }

    #[test]
    fn newcomers_do_not_overtake_those_that_wait() {
        let allowance = |limit| Allowance {
            period: PERIOD,
            active_until_ms: None,
            limit: Some(limit),
            usage: Usage { waiting: 1, ..Usage::default() },
        };
        let mut roomy = allowance(3);
        assert_eq!([roomy.admit(OnLimit::Hold), roomy.admit(OnLimit::Fail)], [Some(TAKES_NOTHING); 2]);
        assert_eq!((roomy.admit(OnLimit::Fail), roomy.usage.waiting), (None, 3));
        let mut first = Allowance { usage: Usage::default(), ..allowance(1) };
        assert_eq!([first.admit(OnLimit::Fail), first.admit(OnLimit::Hold)], [Some(100), Some(TAKES_NOTHING)]);
    }

    #[test]
    fn a_lowered_limit_stops_what_is_reserved() {
        let usage = Usage { used: 2, reserved: 2, ..Usage::default() };
        let allowance = Allowance { period: PERIOD, active_until_ms: None, limit: Some(2), usage };
        assert_eq!(allowance.begin(Claim::Reserved, 150), Err(Refused::UsedUp));
        let raised = Allowance { limit: Some(4), ..allowance };
        assert_eq!(raised.begin(Claim::Reserved, 150), Ok(()));
        assert_eq!(raised.begin(Claim::Waiting, 150), Err(Refused::UsedUp));
    }

    #[test]
    fn only_what_renews_itself_begins_a_new_period() {
        let usage = Usage { used: 2, reserved: 2, sending: 1, waiting: 3, campaigns: 4 };
        let allowance = Allowance { period: PERIOD, active_until_ms: None, limit: Some(2), usage };
        let next = allowance.at(200);
        assert_eq!(next.period.start_ms, 200);
        assert_eq!(next.usage, Usage { used: 0, campaigns: 0, ..usage });
        let trial = Allowance { active_until_ms: Some(200), ..allowance };
        assert_eq!((trial.at(200), trial.begin(Claim::Reserved, 200)), (trial, Err(Refused::Inactive)));
    }
}
