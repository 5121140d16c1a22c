//! The ledger by number and by account: what arrived, what was refused, and when; and the pace of each number by its own rate.
//!
//! `GET /ledger/numbers` takes `number`, `account`, and `sliceSeconds` to see it over time. `POST /ledger/violations` takes
//! `{"toleranceMs": 50, "paces": [{"number": "5551", "ratePerSecond": 2, "burst": 1}]}`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pace::{Schedule, judge};
use super::view::{WindowView, parse};
use super::{Entry, Ledger, Verdict};
use crate::simulator::numbers::Number;

/// Slices of time in one answer; at about 60 bytes each this is 60 MB at worst.
const SLICES_MAX: usize = 1_000_000;

/// Numbers in one answer whose pace was violated; more are only counted.
const VIOLATORS_SHOWN_MAX: usize = 100;

/// Which numbers are counted, and how finely.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Which {
    number: Option<String>,
    account: Option<String>,
    slice: Option<Duration>,
}

/// What arrived, by number and by account.
#[derive(Debug, Serialize)]
pub(crate) struct Counts<'a> {
    numbers: Vec<NumberCounts<'a>>,
    accounts: Vec<AccountCounts<'a>>,
}

#[derive(Debug, Serialize)]
struct NumberCounts<'a> {
    number: &'a str,
    account: &'a str,
    #[serde(flatten)]
    count: Count,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    slices: BTreeMap<u64, Slice>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountCounts<'a> {
    account: &'a str,
    #[serde(flatten)]
    count: Count,
    /// Different recipients of accepted messages.
    recipients: usize,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    received: u64,
    accepted: u64,
    refused: u64,
    first_at_ms: Option<u64>,
    last_at_ms: Option<u64>,
    by_code: BTreeMap<u32, u64>,
}

/// What arrived from its key on, milliseconds since the epoch.
#[derive(Debug, Default, Serialize)]
struct Slice {
    received: u64,
    accepted: u64,
    refused: u64,
}

/// The paces that were promised, each for one number.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Paces {
    tolerance_ms: Option<f64>,
    paces: Vec<Pace>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pace {
    number: String,
    rate_per_second: f64,
    #[serde(default)]
    burst: u32,
}

/// What became of the promises.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Judgement {
    /// Numbers with a promise, of which something arrived.
    judged: usize,
    violations: u64,
    violators: usize,
    worst: Vec<Violator>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Violator {
    number: String,
    violations: u64,
    fullest_window: Option<WindowView>,
}

impl Which {
    /// Reads the query of an address.
    ///
    /// # Errors
    /// What is wrong, with the parameter's name.
    pub(crate) fn read(query: &str) -> Result<Self, String> {
        let mut which = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "number" => which.number = Some(value.to_owned()),
                "account" => which.account = Some(value.to_owned()),
                "sliceSeconds" => {
                    let seconds = parse::<f64>(key, value, |seconds| (0.001..=1e6).contains(seconds))?;
                    which.slice = Some(Duration::from_secs_f64(seconds));
                }
                _ => return Err(format!("{key}: unknown parameter")),
            }
        }
        Ok(which)
    }

    fn wants(&self, number: &Number) -> bool {
        self.number.as_deref().is_none_or(|id| id == &*number.id)
            && self.account.as_deref().is_none_or(|name| name == &*number.account.name)
    }
}

impl Count {
    fn add(&mut self, entry: &Entry) {
        let at_ms = entry.at_us / 1_000;
        self.received += 1;
        self.accepted += u64::from(entry.is_acceptance());
        self.refused += u64::from(!entry.is_acceptance());
        self.first_at_ms = Some(self.first_at_ms.map_or(at_ms, |first| first.min(at_ms)));
        self.last_at_ms = self.last_at_ms.max(Some(at_ms));
        if usize::from(entry.verdict) == Verdict::Refused(0).place() {
            *self.by_code.entry(entry.code).or_default() += 1;
        }
    }
}

impl Entry {
    fn is_acceptance(&self) -> bool {
        usize::from(self.verdict) <= Verdict::AcceptedThenHung.place()
    }
}

impl Ledger {
    /// Counts by number and by account; takes a second for ten million entries, so it is no work for an async thread.
    ///
    /// # Errors
    /// When there are too many slices to answer with.
    pub(crate) fn counts<'a>(&self, which: &Which, numbers: &'a [Arc<Number>]) -> Result<Counts<'a>, String> {
        let mut by_number: BTreeMap<u32, NumberCounts<'a>> = BTreeMap::new();
        let mut by_account: BTreeMap<&str, (Count, HashSet<u64>)> = BTreeMap::new();
        let mut n_slices = 0;
        for entry in self.pages().iter().flat_map(|page| page.iter()) {
            // A number that came after the list was made is in the next answer.
            let Some(number) = numbers.get(entry.number as usize).filter(|number| which.wants(number)) else {
                continue;
            };
            let account = by_account.entry(&number.account.name).or_default();
            account.0.add(entry);
            if entry.is_acceptance() {
                account.1.insert(entry.recipient);
            }
            let counts = by_number.entry(entry.number).or_insert_with(|| NumberCounts {
                number: &number.id,
                account: &number.account.name,
                count: Count::default(),
                slices: BTreeMap::new(),
            });
            counts.count.add(entry);
            if let Some(slice) = which.slice {
                let slice_us = u64::try_from(slice.as_micros()).unwrap_or(u64::MAX);
                let from_ms = (entry.at_us - entry.at_us % slice_us) / 1_000;
                let slice = counts.slices.entry(from_ms).or_insert_with(|| {
                    n_slices += 1;
                    Slice::default()
                });
                slice.received += 1;
                slice.accepted += u64::from(entry.is_acceptance());
                slice.refused += u64::from(!entry.is_acceptance());
            }
            if SLICES_MAX < n_slices {
                return Err("sliceSeconds: too small for so many numbers and so long a time".to_owned());
            }
        }
        let accounts = by_account.into_iter();
        let accounts = accounts.map(|(account, (count, all))| AccountCounts { account, count, recipients: all.len() });
        Ok(Counts { numbers: by_number.into_values().collect(), accounts: accounts.collect() })
    }

    /// Judges each number by the pace that was promised for it.
    ///
    /// # Errors
    /// What is wrong with a promise.
    pub(crate) fn judge_each(&self, paces: &Paces, numbers: &[Arc<Number>]) -> Result<Judgement, String> {
        let mut schedules = HashMap::new();
        for pace in &paces.paces {
            if !(0.000_001..=1e9).contains(&pace.rate_per_second) {
                return Err(format!("ratePerSecond: `{}` is not a value it can take", pace.rate_per_second));
            }
            let mut schedule = Schedule::per_second(pace.rate_per_second, pace.burst);
            if let Some(ms) = paces.tolerance_ms {
                let tolerance = Duration::try_from_secs_f64(ms / 1_000.0);
                schedule.tolerance =
                    tolerance.map_err(|_| format!("toleranceMs: `{ms}` is not a value it can take"))?;
            }
            schedules.insert(pace.number.as_str(), schedule);
        }
        let mut judgement = Judgement::default();
        for of_number in self.arrivals().chunk_by(|one, next| one.0 == next.0) {
            let id =
                of_number.first().and_then(|(number, _)| numbers.get(*number as usize)).map_or("", |number| &number.id);
            let Some(schedule) = schedules.get(id) else { continue };
            let findings = judge(of_number, Some(schedule));
            judgement.judged += 1;
            judgement.violations += findings.violations;
            if findings.violations != 0 {
                judgement.violators += 1;
                let (number, violations) = (id.to_owned(), findings.violations);
                let fullest_window = findings.fullest.map(WindowView::from);
                judgement.worst.push(Violator { number, violations, fullest_window });
            }
        }
        judgement.worst.sort_by_key(|violator| std::cmp::Reverse(violator.violations));
        judgement.worst.truncate(VIOLATORS_SHOWN_MAX);
        Ok(judgement)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Arrival;
    use super::*;
    use crate::simulator::faults::Faults;
    use crate::simulator::numbers::Numbers;

    fn book() -> (Ledger, Vec<Arc<Number>>) {
        let faults = Faults::from_toml("numbers = [{ id = 'b', account = 'other' }]").unwrap();
        let (ledger, numbers) = (Ledger::new(100), Numbers::default());
        let sends = [
            ("a", "1", 1_000_000, Verdict::Accepted),
            ("a", "1", 1_500_000, Verdict::Refused(131_056)),
            ("a", "2", 3_200_000, Verdict::AcceptedThenHung),
            ("b", "1", 1_000_000, Verdict::Refused(130_429)),
            ("b", "1", 2_000_000, Verdict::Unavailable),
        ];
        for (id, recipient, at_us, verdict) in sends {
            let number = numbers.intern(id, &faults, 9).unwrap().index;
            ledger.record(Arrival { number, recipient, token: None, body: b"", at_us, verdict, media: None }).unwrap();
        }
        (ledger, numbers.all())
    }

    #[test]
    fn arrivals_are_counted_by_number_account_and_time() {
        let (ledger, numbers) = book();
        let counts = ledger.counts(&Which::read("sliceSeconds=1").unwrap(), &numbers).unwrap();
        insta::assert_snapshot!(serde_json::to_string(&counts).unwrap().replace("},{", "},\n{"), @r#"
        {"numbers":[{"number":"a","account":"","received":3,"accepted":2,"refused":1,"firstAtMs":1000,"lastAtMs":3200,"byCode":{"131056":1},"slices":{"1000":{"received":2,"accepted":1,"refused":1},"3000":{"received":1,"accepted":1,"refused":0}}},
        {"number":"b","account":"other","received":2,"accepted":0,"refused":2,"firstAtMs":1000,"lastAtMs":2000,"byCode":{"130429":1},"slices":{"1000":{"received":1,"accepted":0,"refused":1},"2000":{"received":1,"accepted":0,"refused":1}}}],"accounts":[{"account":"","received":3,"accepted":2,"refused":1,"firstAtMs":1000,"lastAtMs":3200,"byCode":{"131056":1},"recipients":2},
        {"account":"other","received":2,"accepted":0,"refused":2,"firstAtMs":1000,"lastAtMs":2000,"byCode":{"130429":1},"recipients":0}]}
        "#);
        let only = ledger.counts(&Which::read("account=other").unwrap(), &numbers).unwrap();
        assert_eq!((only.numbers.len(), only.accounts[0].count.refused), (1, 2));
        for wrong in ["sliceSeconds=0", "of=1"] {
            assert!(Which::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_number_is_judged_by_its_own_pace() {
        let (ledger, numbers) = book();
        let asked = r#"{"toleranceMs": 0, "paces": [{"number": "a", "ratePerSecond": 1}, {"number": "b", "ratePerSecond": 1},
            {"number": "idle", "ratePerSecond": 9, "burst": 3}]}"#;
        let judgement = ledger.judge_each(&serde_json::from_str(asked).unwrap(), &numbers).unwrap();
        insta::assert_snapshot!(serde_json::to_string(&judgement).unwrap(), @r#"{"judged":2,"violations":1,"violators":1,"worst":[{"number":"a","violations":1,"fullestWindow":{"messages":2,"firstAtMs":1000,"lengthMs":500.0,"earlyMs":500.0}}]}"#);
        let wrong = serde_json::from_str(r#"{"paces": [{"number": "a", "ratePerSecond": 0}]}"#).unwrap();
        assert!(ledger.judge_each(&wrong, &numbers).is_err());
    }
}
