//! What the provider forbids beside its rates: free text out of the blue, new chats, too many recipients, too much marketing.
//!
//! Remembers who wrote to whom, and counts what passes. What a breach looks like is in the rules of the number.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::simulator::decide::Case;
use crate::simulator::dice::{mix, stable_hash};
use crate::simulator::faults::{Breach, DAY, MarketingCap};

/// Slices of the memory of recipients, so that requests seldom wait for each other.
const SHARDS: usize = 64;

/// When recipients wrote, and when they were sent templates.
#[derive(Debug)]
pub(crate) struct Contacts {
    shards: Vec<Mutex<Shard>>,
}

#[derive(Debug, Default)]
struct Shard {
    /// When a recipient last wrote to a number, by number and hash of the recipient.
    wrote_at_us: HashMap<(u32, u64), u64>,
    /// When a recipient got templates, by its hash.
    marketing_at_us: HashMap<u64, VecDeque<u64>>,
}

impl Contacts {
    /// Makes an empty memory.
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Notes that a recipient wrote to a number.
    pub(crate) fn wrote(&self, number: u32, recipient: &str, now_us: u64) {
        let recipient = stable_hash(recipient.as_bytes());
        self.with_shard(recipient, |shard| shard.wrote_at_us.insert((number, recipient), now_us));
    }

    /// Forgets everything.
    pub(crate) fn rest(&self) {
        for shard in &self.shards {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
    }

    fn last_wrote(&self, number: u32, recipient: u64) -> Option<u64> {
        self.with_shard(recipient, |shard| shard.wrote_at_us.get(&(number, recipient)).copied())
    }

    /// Counts a template for a recipient, unless it had as many as it may.
    fn take_marketing(&self, recipient: u64, now_us: u64, cap: &MarketingCap) -> bool {
        self.with_shard(recipient, |shard| {
            let sent = shard.marketing_at_us.entry(recipient).or_default();
            while sent.front().is_some_and(|at_us| !is_within(*at_us, now_us, cap.within)) {
                sent.pop_front();
            }
            let has_room = sent.len() < cap.per_recipient as usize;
            if has_room {
                sent.push_back(now_us);
            }
            has_room
        })
    }

    fn with_shard<T>(&self, recipient: u64, work: impl FnOnce(&mut Shard) -> T) -> T {
        let place = usize::try_from(mix(recipient) % SHARDS as u64).unwrap_or(0);
        work(&mut self.shards[place].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The different recipients of an account in a moving time.
#[derive(Debug, Default)]
pub(crate) struct Recipients {
    last_at_us: HashMap<u64, u64>,
    in_order: VecDeque<(u64, u64)>,
}

impl Recipients {
    /// Counts a recipient, unless it is one too many.
    pub(crate) fn take(&mut self, recipient: u64, now_us: u64, within: Duration, max: u32) -> bool {
        while let Some((at_us, oldest)) = self.in_order.front().copied()
            && !is_within(at_us, now_us, within)
        {
            self.in_order.pop_front();
            // One that was written to again since then has a later entry too.
            if self.last_at_us.get(&oldest) == Some(&at_us) {
                self.last_at_us.remove(&oldest);
            }
        }
        if !self.last_at_us.contains_key(&recipient) && max as usize <= self.last_at_us.len() {
            return false;
        }
        self.last_at_us.insert(recipient, now_us);
        self.in_order.push_back((now_us, recipient));
        true
    }
}

fn is_within(at_us: u64, now_us: u64, within: Duration) -> bool {
    u128::from(now_us) < u128::from(at_us) + within.as_micros()
}

/// Says whether a message may be sent, and counts it if it may.
///
/// # Errors
/// How it fails, and what the sender is told.
pub(crate) fn check(contacts: &Contacts, case: &Case<'_>) -> Result<(), (Breach, &'static str)> {
    let (number, rules) = (case.number, &*case.number.rules);
    if !rules.has_policy() {
        return Ok(());
    }
    let recipient = stable_hash(case.recipient.as_bytes());
    let wrote_at_us = contacts.last_wrote(number.index, recipient);
    let open_for = rules.window.map_or(DAY, |window| window.open_for);
    let is_answer = wrote_at_us.is_some_and(|at_us| is_within(at_us, case.arrived_us, open_for));
    if let Some(window) = rules.window.filter(|_| !is_answer && !case.is_template) {
        let details = "Message failed to send because more than 24 hours have passed since the customer last replied to this number.";
        return Err((window.breach, details));
    }
    if let Some(lock) = rules.timelock.filter(|lock| wrote_at_us.is_none() && lock.span.contains(case.since_start)) {
        return Err((lock.breach, "This number may not start new chats for now."));
    }
    let spam = rules.spam.filter(|spam| !is_answer && spam.span.contains(case.since_start));
    if let Some(spam) = spam.filter(|spam| spam.after_messages <= number.n_opened.load(Ordering::Relaxed)) {
        let details = "Message failed to send because there are restrictions on how many messages can be sent from this phone number. This may be because too many previous messages were blocked or flagged as spam.";
        return Err((spam.breach, details));
    }
    if let Some(tier) = rules.tier.filter(|_| !is_answer) {
        let mut recipients = number.account.recipients.lock().unwrap_or_else(PoisonError::into_inner);
        if !recipients.take(recipient, case.arrived_us, tier.within, tier.unique_recipients) {
            return Err((tier.breach, "The business has reached its limit of different recipients in 24 hours."));
        }
    }
    if let Some(cap) = rules.marketing.filter(|_| case.is_template)
        && !contacts.take_marketing(recipient, case.arrived_us, &cap)
    {
        return Err((cap.breach, "This message was not delivered to maintain healthy ecosystem engagement."));
    }
    if !is_answer {
        number.n_opened.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::simulator::faults::Faults;
    use crate::simulator::numbers::{Number, Numbers};

    /// A provider with these rules, and a clock in seconds.
    struct World {
        faults: Faults,
        numbers: Numbers,
        contacts: Contacts,
    }

    impl World {
        fn new(faults: &str) -> Self {
            let faults = Faults::from_toml(faults).unwrap();
            Self { faults, numbers: Numbers::default(), contacts: Contacts::new() }
        }

        fn number(&self, id: &str) -> Arc<Number> {
            self.numbers.intern(id, &self.faults, 99).unwrap()
        }

        /// Sends, and returns the code of the breach.
        fn send(&self, number: &str, recipient: &str, is_template: bool, at_s: u64) -> Option<u32> {
            let number = self.number(number);
            let since_start = Duration::from_secs(at_s);
            let (form, arrived_us) = (Ok(()), at_s * 1_000_000);
            let case = Case { number: &number, recipient, is_template, form, arrived_us, since_start };
            check(&self.contacts, &case).err().map(|(breach, _)| breach.code)
        }

        fn wrote(&self, number: &str, recipient: &str, at_s: u64) {
            self.contacts.wrote(self.number(number).index, recipient, at_s * 1_000_000);
        }
    }

    #[test]
    fn a_tier_counts_different_recipients_of_all_numbers_of_an_account() {
        let world = World::new(
            "tier = { unique_recipients = 2, within_seconds = 100 }
             numbers = [{ id = '3', account = 'other' }]",
        );
        assert_eq!(world.send("1", "a", true, 0), None);
        assert_eq!(world.send("2", "b", true, 10), None);
        assert_eq!(world.send("1", "a", true, 20), None);
        assert_eq!(world.send("2", "c", true, 30), Some(131_048));
        assert_eq!(world.send("3", "c", true, 30), None);
        // An answer inside the window is free; b's place is free after its time, a's was used again later.
        world.wrote("1", "c", 40);
        assert_eq!(world.send("1", "c", true, 41), None);
        assert_eq!(world.send("1", "d", true, 109), Some(131_048));
        assert_eq!(world.send("1", "d", true, 110), None);
        assert_eq!(world.send("1", "e", true, 119), Some(131_048));
        assert_eq!(world.send("1", "e", true, 120), None);
    }

    #[test]
    fn marketing_is_capped_for_each_recipient_whoever_sends() {
        let world = World::new("marketing = { per_recipient = 2, within_seconds = 100 }");
        assert_eq!((world.send("1", "a", true, 0), world.send("2", "a", true, 50)), (None, None));
        assert_eq!((world.send("1", "a", true, 99), world.send("1", "b", true, 99)), (Some(131_049), None));
        assert_eq!((world.send("1", "a", false, 99), world.send("1", "a", true, 100)), (None, None));
        assert_eq!(world.send("1", "a", true, 101), Some(131_049));
    }

    #[test]
    fn free_text_needs_an_open_window() {
        let world = World::new("window = { open_seconds = 100 }");
        assert_eq!((world.send("1", "a", false, 0), world.send("1", "a", true, 0)), (Some(131_047), None));
        world.wrote("1", "a", 10);
        assert_eq!((world.send("1", "a", false, 109), world.send("1", "a", false, 110)), (None, Some(131_047)));
        assert_eq!(world.send("2", "a", false, 20), Some(131_047));
    }

    #[test]
    fn a_restricted_number_may_only_answer() {
        let world = World::new("spam = { after_messages = 2, end_seconds = 500 }");
        assert_eq!((world.send("1", "a", true, 0), world.send("1", "b", true, 0)), (None, None));
        assert_eq!((world.send("1", "a", true, 1), world.send("2", "a", true, 1)), (Some(131_048), None));
        world.wrote("1", "a", 2);
        assert_eq!((world.send("1", "a", false, 3), world.send("1", "c", true, 3)), (None, Some(131_048)));
        assert_eq!(world.send("1", "c", true, 500), None);
    }

    #[test]
    fn a_time_lock_lets_those_through_who_ever_wrote() {
        let world = World::new("timelock = { code = 368, start_seconds = 10, end_seconds = 20 }");
        world.wrote("1", "known", 1);
        assert_eq!((world.send("1", "new", true, 9), world.send("1", "new", true, 10)), (None, Some(368)));
        assert_eq!((world.send("1", "known", true, 15), world.send("1", "new", true, 20)), (None, None));
    }
}
