//! A whole life as a golden table, and what holds for every one.

use proptest::prelude::*;

use super::*;
use crate::domain::quota::{Allowance, Usage};

const DAY_MS: i64 = 86_400_000;
/// 1 January 2027.
const START_MS: i64 = 1_798_761_600_000;

fn day(n: i64) -> i64 {
    START_MS + n * DAY_MS
}

fn trial() -> Subscription {
    let event = Event::Set { plan: "trial".to_owned(), state: State::Trialing, period_end_ms: None };
    Subscription::none("trial").step(&event, START_MS).unwrap().after
}

fn paid(plan: &str) -> Event {
    Event::Paid { plan: plan.to_owned() }
}

fn told(subscription: &Subscription, what: Result<&Step, Refused>) -> String {
    let days = |ms: Option<i64>| ms.map_or("-".to_owned(), |ms| format!("day {}", (ms - START_MS) / DAY_MS));
    let Subscription { state, plan, ends_at_ms, cancels, next, .. } = subscription;
    let next = next.as_ref().map(|next| format!(" then {} {}", next.plan, days(next.until_ms))).unwrap_or_default();
    let cancels = if *cancels { " cancels" } else { "" };
    let what = match what {
        Ok(step) => format!("{:?}, active until {}", step.lanes, days(step.active_until_ms)),
        Err(refused) => format!("refused: {refused}"),
    };
    format!("{} {plan} until {}{cancels}{next} | {what}", state.as_str(), days(*ends_at_ms))
}

#[test]
fn a_whole_life() {
    let mut now = trial();
    let mut table = String::new();
    let events = [
        (3, "paid", paid("starter")),
        (4, "upgraded", Event::Upgraded { plan: "growth".to_owned() }),
        (5, "downgraded", Event::Downgraded { plan: "starter".to_owned() }),
        (6, "cancelled", Event::Cancelled),
        (7, "resumed", Event::Resumed),
        (8, "paid ahead", paid("growth")),
        (9, "paid ahead", paid("growth")),
        (34, "time", Event::TimeCame),
        (61, "time", Event::TimeCame),
        (62, "time", Event::TimeCame),
        (68, "upgraded", Event::Upgraded { plan: "business".to_owned() }),
        (69, "time", Event::TimeCame),
        (70, "resumed", Event::Resumed),
        (99, "time", Event::TimeCame),
        (100, "cancelled", Event::Cancelled),
        (101, "paid", paid("growth")),
        (102, "cancelled", Event::Cancelled),
        (132, "time", Event::TimeCame),
    ];
    for (at, name, event) in events {
        let step = now.step(&event, day(at));
        if let Ok(step) = &step {
            now = step.after.clone();
        }
        let line = format!("{at:3} {name:10} {}", told(&now, step.as_ref().map_err(|refused| *refused)));
        table += &(line + "\n");
    }
    insta::assert_snapshot!(table, @r"
      3 paid       active starter until day 34 | Look, active until day 34
      4 upgraded   active growth until day 34 | Look, active until day 34
      5 downgraded active growth until day 34 then starter - | Nothing, active until day 34
      6 cancelled  active growth until day 34 cancels then starter - | Nothing, active until day 34
      7 resumed    active growth until day 34 then starter - | Nothing, active until day 34
      8 paid ahead active growth until day 34 then growth day 62 | Nothing, active until day 62
      9 paid ahead active growth until day 34 then growth day 62 | refused: The next period is paid already.
     34 time       active growth until day 62 | Look, active until day 62
     61 time       active growth until day 62 | Nothing, active until day 62
     62 time       past_due growth until day 69 | Hold, active until day 62
     68 upgraded   past_due growth until day 69 | refused: The subscription is over; choose a plan and pay for it.
     69 time       cancelled growth until day 99 | Hold, active until day 69
     70 resumed    cancelled growth until day 99 | refused: The subscription is over; choose a plan and pay for it.
     99 time       expired growth until - | Nothing, active until day 99
    100 cancelled  expired growth until - | refused: The subscription is over; choose a plan and pay for it.
    101 paid       active growth until day 131 | Lift, active until day 131
    102 cancelled  active growth until day 131 cancels | Nothing, active until day 131
    132 time       cancelled growth until day 161 | Hold, active until day 132
    ");
}

#[test]
fn an_operators_subscription_renews_itself_until_it_is_given_up() {
    let set = Event::Set { plan: "growth".to_owned(), state: State::Active, period_end_ms: None };
    let given = trial().step(&set, day(1)).unwrap();
    assert_eq!((given.active_until_ms, given.after.due_at_ms()), (None, None));
    assert_eq!(given.after.step(&paid("growth"), day(2)), Err(Refused::RenewsItself));
    let cancels = given.after.step(&Event::Cancelled, day(2)).unwrap();
    assert_eq!(cancels.active_until_ms, Some(given.after.period.end_ms));
    assert_eq!(cancels.after.step(&Event::Resumed, day(3)).unwrap().active_until_ms, None);
    let over = cancels.after.step(&Event::TimeCame, given.after.period.end_ms).unwrap();
    assert_eq!((over.after.state, over.lanes), (State::Cancelled, LaneEffect::Hold));
}

fn events() -> impl Strategy<Value = Event> {
    let plan = || prop_oneof![Just("starter".to_owned()), Just("growth".to_owned())];
    let state = prop::sample::select(State::ALL.to_vec());
    prop_oneof![
        4 => Just(Event::TimeCame),
        3 => plan().prop_map(|plan| Event::Paid { plan }),
        1 => plan().prop_map(|plan| Event::Upgraded { plan }),
        1 => plan().prop_map(|plan| Event::Downgraded { plan }),
        1 => Just(Event::Cancelled),
        1 => Just(Event::Resumed),
        1 => (plan(), state, prop::option::of(1_i64..60)).prop_map(|(plan, state, days)| Event::Set {
            plan,
            state,
            period_end_ms: days.map(|days| START_MS + 4_000 * DAY_MS + days * DAY_MS),
        }),
    ]
}

proptest! {
    /// Whatever happens in whatever order: nothing panics, a refusal changes nothing, the lanes are told what is so,
    /// and with time alone every life that does not renew itself ends.
    #[test]
    fn every_history_is_sound(history in prop::collection::vec((events(), 0_i64..20 * 24), 1..40)) {
        let (mut now, mut now_ms) = (trial(), START_MS);
        for (event, hours) in history {
            now_ms += hours * 3_600_000;
            let sent = now.sends(now_ms);
            let Ok(step) = now.step(&event, now_ms) else { continue };
            let after = &step.after;
            let sends = step.active_until_ms.is_none_or(|until_ms| now_ms < until_ms);
            prop_assert_eq!(sends, after.sends(now_ms));
            prop_assert_eq!(sends, matches!(after.state, State::Trialing | State::Active) && sends);
            match step.lanes {
                LaneEffect::Hold => prop_assert!(!sends),
                LaneEffect::Lift => prop_assert!(!sent && sends),
                LaneEffect::Look => prop_assert!(sends),
                LaneEffect::Nothing => prop_assert!(sent == sends || !step.is_told || matches!(event, Event::TimeCame)),
            }
            // Nothing but a payment, a choice or an operator brings more time.
            if matches!(event, Event::TimeCame | Event::Upgraded { .. } | Event::Downgraded { .. }) {
                prop_assert!(!sends || sent);
            }
            prop_assert_eq!(step.is_told, *after != now);
            now = step.after.clone();
        }
        for _ in 0..6 {
            let Some(due_at_ms) = now.due_at_ms() else { break };
            now_ms = now_ms.max(due_at_ms);
            now = now.step(&Event::TimeCame, now_ms).unwrap().after;
        }
        prop_assert_eq!(now.due_at_ms(), None);
        prop_assert!(matches!(now.state, State::Active | State::Expired));
    }

    /// What is counted goes with what is paid: the allowance begins each paid period by itself, and none after the last.
    #[test]
    fn counted_periods_are_paid_periods(first in 0_i64..400, late_hours in 0_i64..24 * 25) {
        let start = trial().step(&paid("growth"), day(first)).unwrap();
        let ahead = start.after.step(&paid("growth"), day(first) + 1).unwrap();
        let allowance = Allowance {
            period: ahead.after.period,
            active_until_ms: ahead.active_until_ms,
            limit: Some(5),
            usage: Usage { used: 5, ..Usage::default() },
        };
        let first_end_ms = start.after.period.end_ms;
        let at_ms = first_end_ms + late_hours * 3_600_000;
        let moved = ahead.after.step(&Event::TimeCame, at_ms).unwrap();
        prop_assert_eq!(allowance.at(at_ms).period, moved.after.period);
        prop_assert_eq!(allowance.at(at_ms).usage.used, 0);
        prop_assert_eq!(allowance.at(first_end_ms - 1), allowance);
        let last_ms = moved.after.period.end_ms;
        let over = allowance.at(at_ms).at(last_ms + late_hours);
        prop_assert!(!over.is_active(last_ms + late_hours) && over.period == moved.after.period);
    }
}
