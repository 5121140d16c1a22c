//! The simulator's ledger as anybody may read it: the only witness of what was sent.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Entries of one page; the most there are.
const PAGE: usize = 10_000;

/// Time that a message may spend on its way where unoptimised builds start and die beside the simulator on two
/// processors: it stands still for 70 to 240 ms then. A lane that forgot its pace would be further off.
pub(super) const TRANSIT_MAX_MS: u64 = 300;

/// Reads the ledger of one simulator.
#[derive(Debug, Clone)]
pub(super) struct Provider {
    http: reqwest::Client,
    /// `http://ADDRESS:PORT`.
    pub(super) address: String,
    /// How much earlier than its pace a message may arrive, because the one before was held up on its way; the
    /// simulator's own measure when none is set.
    tolerance_ms: Option<u64>,
}

/// Sums over all requests.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sums {
    /// Requests that arrived.
    pub(super) received: u64,
    /// Acceptances beyond the first of the same message.
    pub(super) duplicates: u64,
    /// Requests it could not put down.
    pub(super) unrecorded: u64,
    /// Receipts it has not handed over.
    pub(super) receipts_waiting: u64,
    /// Receipts it gave up.
    pub(super) receipts_dropped: u64,
    /// Arrivals that came earlier than the pace allows.
    pub(super) pace_violations: u64,
    /// Requests by what became of them.
    pub(super) by_verdict: HashMap<String, u64>,
}

/// One request.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    /// The sending number.
    pub(super) number: String,
    /// Which delivery.
    pub(super) token: Option<String>,
    /// When it arrived, UTC microseconds.
    pub(super) at_us: u64,
    /// What became of it.
    pub(super) verdict: String,
    /// The hash of the file that went along.
    pub(super) media_sha256: Option<String>,
}

/// What one number may do.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pace {
    pub(super) number: String,
    pub(super) rate_per_second: f64,
    pub(super) burst: u32,
}

/// How many arrivals came earlier than the paces of their numbers allow.
#[derive(Debug, Deserialize)]
pub(super) struct Judgement {
    /// Numbers of which something arrived.
    pub(super) judged: usize,
    pub(super) violations: u64,
    /// The numbers that did it; shown when a test fails.
    #[serde(rename = "worst")]
    _worst: serde_json::Value,
}

#[derive(Debug, Deserialize)]
struct Page {
    entries: Vec<Entry>,
    next: Option<usize>,
}

impl Entry {
    /// Tells whether the provider took responsibility for the message.
    pub(super) fn is_acceptance(&self) -> bool {
        self.verdict.starts_with("accepted")
    }
}

impl Provider {
    pub(super) fn new(http: reqwest::Client, address: String) -> Self {
        Self { http, address, tolerance_ms: None }
    }

    /// Allows for more time on the way, where many processes share the machine.
    pub(super) fn tolerating(self, tolerance_ms: u64) -> Self {
        Self { tolerance_ms: Some(tolerance_ms), ..self }
    }

    /// Returns the sums, judged by a pace with no burst.
    pub(super) async fn sums(&self, rate_per_second: f64) -> Sums {
        let tolerance = self.tolerance_ms.map(|ms| format!("&toleranceMs={ms}")).unwrap_or_default();
        self.get(&format!("ledger?ratePerSecond={rate_per_second}&burst=1{tolerance}")).await
    }

    /// Judges each number by its own pace.
    pub(super) async fn judge(&self, paces: &[Pace], tolerance_ms: u64) -> Judgement {
        let asked = serde_json::json!({"toleranceMs": tolerance_ms, "paces": paces});
        let request = self.http.post(format!("{}/ledger/violations", self.address)).json(&asked);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    /// Returns how many requests have arrived.
    pub(super) async fn n_received(&self) -> u64 {
        self.get::<Sums>("ledger").await.received
    }

    /// Returns how many files have been brought.
    pub(super) async fn n_media(&self) -> usize {
        self.get::<Vec<serde_json::Value>>("media").await.len()
    }

    /// Returns all requests in order.
    pub(super) async fn entries(&self) -> Vec<Entry> {
        let (mut all, mut next) = (Vec::new(), Some(0));
        while let Some(after) = next {
            let path = format!("ledger?entries=true&after={after}&limit={PAGE}");
            let page: Page = self.get(&path).await;
            all.extend(page.entries);
            next = page.next;
        }
        all
    }

    /// Returns the arrivals that came earlier than a pace with no burst allows: when, of which number, and how long
    /// after the one before, microseconds.
    pub(super) async fn early(&self, rate_per_second: f64) -> Vec<(u64, String, u64)> {
        let interval = 1.0 / rate_per_second;
        let (mut last, mut early) = (HashMap::new(), Vec::new());
        for entry in self.entries().await {
            if let Some(before) = last.insert(entry.number.clone(), entry.at_us) {
                let gap_us = entry.at_us - before;
                if Duration::from_micros(gap_us + self.tolerance_ms.unwrap_or(50) * 1_000).as_secs_f64() < interval {
                    early.push((entry.at_us, entry.number, gap_us));
                }
            }
        }
        early
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let answer = self.http.get(format!("{}/{path}", self.address)).send().await;
        answer.unwrap().error_for_status().unwrap().json().await.unwrap()
    }
}
