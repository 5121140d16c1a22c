//! Plans what the provider reports of an accepted message, and holds it until its time.
//!
//! The plan is a function of rules, rolls and the time of acceptance. Posting is in [`super::posting`].

use std::cmp::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::simulator::dice::{Dice, Roll};
use crate::simulator::faults::ReceiptRules;
use crate::simulator::numbers::Number;

/// How long after a receipt its double comes; longer than the time between two posts, so that it is usually in another one.
const DOUBLED_AFTER: Duration = Duration::from_millis(45);

/// What is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReceiptKind {
    Sent,
    Delivered,
    Read,
    /// With the code of the failure.
    Failed(u32),
    /// No receipt: a message that the recipient wrote.
    Inbound,
}

impl ReceiptKind {
    fn rank(self) -> u8 {
        match self {
            Self::Sent => 0,
            Self::Delivered => 1,
            Self::Read => 2,
            Self::Failed(_) => 3,
            Self::Inbound => 4,
        }
    }
}

/// An accepted message, as far as receipts tell of it; or one that a recipient wrote.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) number: Arc<Number>,
    /// The recipient as Meta writes it: digits.
    pub(crate) recipient: Box<str>,
    pub(crate) token: Option<Box<str>>,
    /// Meta's own name of the message.
    pub(crate) id: Box<str>,
    pub(crate) is_template: bool,
    /// What a recipient wrote; none for messages to recipients.
    pub(crate) text: Option<Box<str>>,
}

/// A receipt that waits for its time.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    /// When it is due, microseconds since the epoch.
    pub(crate) due_us: u64,
    pub(crate) kind: ReceiptKind,
    pub(crate) message: Arc<Message>,
}

/// Says which receipts come when; times are microseconds since the epoch.
pub(crate) fn plan(
    rules: &ReceiptRules,
    dice: Dice,
    fails_later: Option<u32>,
    accepted_us: u64,
) -> Vec<(u64, ReceiptKind)> {
    let at = |after: Duration| accepted_us.saturating_add(micros(after));
    let mut planned = Vec::with_capacity(3);
    if let Some(code) = fails_later.or_else(|| failure_by_chance(rules, dice)) {
        planned.push((at(rules.delivered), ReceiptKind::Failed(code)));
    } else {
        planned.push((at(rules.sent), ReceiptKind::Sent));
        planned.push((at(rules.delivered), ReceiptKind::Delivered));
        if dice.happens(Roll::Read, 0, rules.read_probability) {
            planned.push((at(rules.read), ReceiptKind::Read));
        }
    }
    if dice.happens(Roll::Reordered, 0, rules.reordered_probability) {
        let times: Vec<_> = planned.iter().map(|(due_us, _)| *due_us).rev().collect();
        for ((due_us, _), time) in planned.iter_mut().zip(times) {
            *due_us = time;
        }
    }
    for index in 0..planned.len() {
        if dice.happens(Roll::Late, index as u64, rules.late_probability) {
            planned[index].0 = planned[index].0.saturating_add(micros(rules.late));
        }
        if dice.happens(Roll::Doubled, index as u64, rules.doubled_probability) {
            let (due_us, kind) = planned[index];
            planned.push((due_us.saturating_add(micros(DOUBLED_AFTER)), kind));
        }
    }
    planned
}

fn failure_by_chance(rules: &ReceiptRules, dice: Dice) -> Option<u32> {
    if rules.failed.is_empty() {
        return None;
    }
    let mut left = dice.unit(Roll::Failed, 0);
    for (code, probability) in &rules.failed {
        if left < *probability {
            return Some(*code);
        }
        left -= probability;
    }
    None
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Receipts on their way from the requests to the posting task.
///
/// A bounded list under a short lock and one wake-up per round of posting: a channel would wake the task once per message.
#[derive(Debug)]
pub(crate) struct Backlog {
    waiting_max: usize,
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    fresh: Vec<Receipt>,
    /// All that the receiver has not taken, here and in the posting task.
    n_waiting: usize,
    n_dropped: u64,
}

impl Backlog {
    /// Makes an empty backlog.
    pub(crate) fn new(waiting_max: usize) -> Self {
        Self { waiting_max, state: Mutex::default(), filled: Notify::new() }
    }

    /// Adds the planned receipts of a message; what is too much is dropped and counted.
    pub(crate) fn add(&self, message: &Arc<Message>, planned: &[(u64, ReceiptKind)]) {
        let was_empty = {
            let mut state = self.lock();
            let was_empty = state.fresh.is_empty();
            let room = self.waiting_max.saturating_sub(state.n_waiting).min(planned.len());
            for (due_us, kind) in &planned[..room] {
                state.fresh.push(Receipt { due_us: *due_us, kind: *kind, message: Arc::clone(message) });
            }
            state.n_waiting += room;
            state.n_dropped += (planned.len() - room) as u64;
            was_empty
        };
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Waits until something was added since the last [`Backlog::take`].
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Takes what was added; it counts as waiting until [`Backlog::taken_by_receiver`].
    pub(crate) fn take(&self) -> Vec<Receipt> {
        std::mem::take(&mut self.lock().fresh)
    }

    /// Counts receipts as delivered.
    pub(crate) fn taken_by_receiver(&self, n_receipts: usize) {
        let mut state = self.lock();
        state.n_waiting = state.n_waiting.saturating_sub(n_receipts);
    }

    /// Returns how many receipts wait, and how many were dropped.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.lock();
        (state.n_waiting as u64, state.n_dropped)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Receipt {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Receipt {}

impl PartialOrd for Receipt {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Receipt {
    /// The earliest is the greatest, so that a heap gives it out first; at one time the usual order decides.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due_us, other.kind.rank()).cmp(&(self.due_us, self.kind.rank()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(planned: &[(u64, ReceiptKind)]) -> Vec<(u64, ReceiptKind)> {
        let mut in_time = planned.to_vec();
        in_time.sort_by_key(|(due_us, _)| *due_us);
        in_time
    }

    fn rules() -> ReceiptRules {
        ReceiptRules { read_probability: 1.0, ..ReceiptRules::default() }
    }

    #[test]
    fn plans_follow_their_rules() {
        use ReceiptKind as K;
        let dice = Dice::new(1, 2, 3, 0);
        let usual = plan(&rules(), dice, None, 0);
        assert_eq!(usual, [(10_000, K::Sent), (50_000, K::Delivered), (100_000, K::Read)]);
        assert_eq!(plan(&rules(), dice, Some(131_049), 5), [(50_005, K::Failed(131_049))]);
        let failing = ReceiptRules { failed: vec![(131_026, 1.0)], ..rules() };
        assert_eq!(plan(&failing, dice, None, 0), [(50_000, K::Failed(131_026))]);
        let unread = ReceiptRules { read_probability: 0.0, ..rules() };
        assert_eq!(plan(&unread, dice, None, 0).len(), 2);
        let reordered = ReceiptRules { reordered_probability: 1.0, ..rules() };
        let planned = kinds(&plan(&reordered, dice, None, 0));
        assert_eq!(planned, [(10_000, K::Read), (50_000, K::Delivered), (100_000, K::Sent)]);
        let late = ReceiptRules { late_probability: 1.0, ..rules() };
        assert_eq!(plan(&late, dice, None, 0)[0], (2_010_000, K::Sent));
        let doubled = ReceiptRules { doubled_probability: 1.0, ..rules() };
        let planned = kinds(&plan(&doubled, dice, None, 0));
        let sent: Vec<_> = planned.iter().filter(|(_, kind)| *kind == K::Sent).map(|(due_us, _)| *due_us).collect();
        assert_eq!((sent, planned.len()), (vec![10_000, 55_000], 6));
    }

    #[test]
    fn full_backlog_drops_and_counts() {
        let faults = crate::simulator::Faults::default();
        let number = crate::simulator::numbers::Numbers::default().intern("1", &faults, 1).unwrap();
        let message = Arc::new(Message {
            number,
            recipient: "2".into(),
            token: None,
            id: "w".into(),
            is_template: false,
            text: None,
        });
        let backlog = Backlog::new(4);
        let planned = plan(&rules(), Dice::new(1, 2, 3, 0), None, 0);
        backlog.add(&message, &planned);
        backlog.add(&message, &planned);
        assert_eq!(backlog.counts(), (4, 2));
        assert_eq!(backlog.take().len(), 4);
        assert_eq!(backlog.counts(), (4, 2));
        backlog.taken_by_receiver(4);
        backlog.add(&message, &planned);
        assert_eq!(backlog.counts(), (3, 2));
    }
}
