//! Judges a run: every promise that its figures can prove, kept or broken.

use std::fmt;

use super::report::Facts;

/// One promise and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// What was promised.
    pub text: &'static str,
    /// Whether it was kept.
    pub kept: bool,
    /// The figures that show it.
    pub found: String,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.kept { "kept" } else { "BROKEN" };
        write!(f, "{word:<7} {}: {}", self.text, self.found)
    }
}

/// Checks every promise.
#[must_use]
pub(super) fn check(facts: &Facts) -> Vec<Promise> {
    let Facts { stats, ledger, imported, .. } = facts;
    let promise = |text, kept, found| Promise { text, kept, found };
    let taken = u64::try_from(stats.taken()).unwrap_or(0);
    let known = taken + u64::try_from(stats.failed() + stats.unknown).unwrap_or(0);
    let accepted_once = ledger.accepted.saturating_sub(ledger.duplicates);
    let n_recipients = i64::try_from(facts.n_recipients).unwrap_or(i64::MAX);
    vec![
        promise(
            "every recipient is accepted",
            *imported == facts.n_recipients && stats.total == n_recipients,
            format!("{n_recipients} given, {imported} uploaded, {} accepted", stats.total),
        ),
        promise(
            "nothing accepted is lost",
            stats.total == stats.sum() && facts.ledger_drift() == 0,
            format!("{} accepted, {} in all states, drift {}", stats.total, stats.sum(), facts.ledger_drift()),
        ),
        promise(
            "every message comes to an end",
            stats.is_over() && stats.pending == 0,
            format!("{} pending, {} campaigns open", stats.pending, stats.open),
        ),
        promise(
            "nothing is sent twice",
            ledger.duplicates == 0,
            format!("{} duplicates in the provider's ledger", ledger.duplicates),
        ),
        promise(
            "no session exceeds its pace",
            ledger.pace_violations == 0,
            format!("{} violations in the provider's ledger", ledger.pace_violations),
        ),
        promise(
            "nothing counts as sent that the provider did not take",
            taken <= accepted_once,
            format!("{taken} sent, delivered or read; {accepted_once} taken by the provider"),
        ),
        promise(
            "the provider took nothing that we do not know of",
            accepted_once <= known,
            format!("{accepted_once} taken by the provider; {known} sent, delivered, read, failed or unknown"),
        ),
        promise(
            "the provider's ledger is complete",
            ledger.unrecorded == 0,
            format!("{} requests not put down", ledger.unrecorded),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::report::tests::good_facts;

    /// Changes a good run and returns the promises that are broken then.
    fn broken(change: impl FnOnce(&mut Facts)) -> Vec<&'static str> {
        let mut facts = good_facts();
        change(&mut facts);
        check(&facts).into_iter().filter(|promise| !promise.kept).map(|promise| promise.text).collect()
    }

    #[test]
    fn a_good_run_keeps_all() {
        assert_eq!(broken(|_| ()), Vec::<&str>::new());
    }

    #[test]
    fn each_promise_can_be_broken_alone() {
        assert_eq!(broken(|facts| facts.imported = 9_999), ["every recipient is accepted"]);
        let fewer = |facts: &mut Facts| {
            facts.stats.total -= 1;
            facts.stats.skipped -= 1;
        };
        assert_eq!(broken(fewer), ["every recipient is accepted"]);
        assert_eq!(broken(|facts| facts.stats.skipped -= 1), ["nothing accepted is lost"]);
        assert_eq!(broken(|facts| facts.stats.skipped += 1), ["nothing accepted is lost"]);
        assert_eq!(broken(|facts| facts.daemon.ledger_drift = 1), ["nothing accepted is lost"]);
        assert_eq!(broken(|facts| facts.stats.ledger_drift = 1), ["nothing accepted is lost"]);
        assert_eq!(broken(|facts| facts.stats.open = 1), ["every message comes to an end"]);
        let waiting = |facts: &mut Facts| {
            facts.stats.pending += 1;
            facts.stats.skipped -= 1;
        };
        assert_eq!(broken(waiting), ["every message comes to an end"]);
        assert_eq!(broken(|facts| facts.ledger.duplicates = 1), ["nothing is sent twice"]);
        assert_eq!(broken(|facts| facts.ledger.pace_violations = 1), ["no session exceeds its pace"]);
        assert_eq!(broken(|facts| facts.ledger.unrecorded = 1), ["the provider's ledger is complete"]);
        let not_taken = broken(|facts| facts.ledger.accepted = 9_099);
        assert_eq!(not_taken, ["nothing counts as sent that the provider did not take"]);
        let not_known = broken(|facts| facts.ledger.accepted = 9_971);
        assert_eq!(not_known, ["the provider took nothing that we do not know of"]);
    }
}
