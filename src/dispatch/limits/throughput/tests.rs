//! A lane against a provider with a limit of its own, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::clock::Moment;
use crate::dispatch::limits::tests::{START, World, plain};
use crate::domain::zone::Temperature;

const ANSWER: Duration = Duration::from_millis(50);

/// A provider that takes `rate` messages a second, and a second's worth at once.
struct Provider {
    rate: f64,
    tokens: f64,
    at: Moment,
}

impl Provider {
    fn accepts(&mut self, at: Moment) -> bool {
        self.tokens = (self.tokens + at.since(self.at).as_secs_f64() * self.rate).min(self.rate);
        self.at = at;
        let accepted = 1.0 <= self.tokens;
        if accepted {
            self.tokens -= 1.0;
        }
        accepted
    }
}

/// What the provider said, and when the message was released.
struct Run {
    answers: Vec<(Moment, bool)>,
}

impl Run {
    /// Sends as fast as the limits allow, answers under way included.
    fn new(true_rate: f64, configured: f64, length: Duration) -> Self {
        let mut world = World::new(&plain(configured * 60.0, 8), 1);
        let mut provider = Provider { rate: true_rate, tokens: true_rate, at: START };
        let mut under_way: BinaryHeap<Reverse<(Moment, Moment, bool)>> = BinaryHeap::new();
        let mut answers = Vec::new();
        while world.now() < START + length {
            let due = world.limits.next(world.now(), 0, Temperature::Warm).at;
            if let Some(Reverse((answered_at, released_at, accepted))) = under_way.peek().copied()
                && answered_at <= due
            {
                under_way.pop();
                world.time.set(answered_at);
                if accepted {
                    world.limits.accepted(answered_at);
                } else {
                    world.limits.throttled(released_at, answered_at);
                }
                continue;
            }
            world.time.set(due);
            world.limits.begin(Temperature::Warm);
            assert!(world.limits.take(due, Temperature::Warm));
            let accepted = provider.accepts(due);
            answers.push((due, accepted));
            under_way.push(Reverse((due + ANSWER, due, accepted)));
        }
        Self { answers }
    }

    /// Accepted messages per second, and the share of refusals, from one second to another.
    fn between(&self, from_s: u64, to_s: u64) -> (f64, f64) {
        let span = from_s..to_s;
        let of = |of: bool| {
            let within = self
                .answers
                .iter()
                .filter(|(at, accepted)| *accepted == of && span.contains(&at.since(START).as_secs()));
            f64::from(u32::try_from(within.count()).unwrap())
        };
        let (accepted, refused) = (of(true), of(false));
        (accepted / f64::from(u32::try_from(to_s - from_s).unwrap()), refused / (accepted + refused))
    }
}

#[test]
fn settles_at_the_true_limit_and_is_rarely_refused() {
    for true_rate in [5.0, 20.0, 80.0, 400.0] {
        for configured in [1_000.0, true_rate * 2.0] {
            let run = Run::new(true_rate, configured, Duration::from_secs(900));
            for (from, to) in [(50, 70), (60, 120), (120, 300), (300, 900)] {
                let (rate, refused) = run.between(from, to);
                let what =
                    format!("true {true_rate}, configured {configured}, {from}-{to} s: {rate}/s, {refused} refused");
                eprintln!("{what}");
                assert!(true_rate * 0.9 <= rate, "too slow: {what}");
                assert!(refused < 0.01, "refused too often: {what}");
            }
        }
    }
}
