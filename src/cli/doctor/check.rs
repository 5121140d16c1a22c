//! A check, its verdict, and how both are shown.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// Longest time of one check.
pub(super) const TIME_MAX: Duration = Duration::from_secs(5);

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) enum Verdict {
    #[serde(rename = "ok")]
    Ok,
    /// It works, but somebody should know.
    #[serde(rename = "warn")]
    Warn,
    /// It does not work.
    #[serde(rename = "FAIL")]
    Fail,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) detail: String,
    /// What to do; empty when there is nothing.
    pub(super) advice: String,
}

impl Check {
    pub(super) fn ok(name: &str, detail: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, name, detail.into(), "")
    }

    pub(super) fn warn(name: &str, detail: impl Into<String>, advice: &str) -> Self {
        Self::new(Verdict::Warn, name, detail.into(), advice)
    }

    pub(super) fn fail(name: &str, detail: impl Into<String>, advice: &str) -> Self {
        Self::new(Verdict::Fail, name, detail.into(), advice)
    }

    /// Says that something could not be looked at because of an earlier line.
    pub(super) fn not_looked_at(name: &str, because: &str) -> Self {
        Self::warn(name, format!("not looked at, since {because}"), "see above")
    }

    fn new(verdict: Verdict, name: &str, detail: String, advice: &str) -> Self {
        // One line each, whatever a server has put into its error.
        let detail = detail.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { name: name.to_owned(), verdict, detail, advice: advice.to_owned() }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        write!(f, "{verdict:<4}  {:<26}  {}", self.name, self.detail)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, " -> {}", self.advice) }
    }
}

/// Gives a check its time.
pub(super) async fn in_time(name: &str, advice: &str, check: impl Future<Output = Check>) -> Check {
    let checked = tokio::time::timeout(TIME_MAX, check).await;
    checked.unwrap_or_else(|_| Check::fail(name, format!("no answer within {} s", TIME_MAX.as_secs()), advice))
}
