//! The demo's side of the REST API; does what any client would, and nothing else.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, RequestBuilder, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::recipients::csv_chunks;

/// Calls under way at once while sessions are made.
const CALLS_AT_ONCE: usize = 16;

/// Sessions of one campaign, at most, by the API; more sessions make more campaigns.
const SESSIONS_PER_CAMPAIGN_MAX: usize = 1_000;

/// What every recipient gets.
const TEXT: &str = "{Hello|Hi} {{name|there}}, our sale begins today.";

/// A logged-in client.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// A campaign with its recipients, ready to start.
#[derive(Debug)]
pub(super) struct Campaign {
    /// Its id.
    pub(super) id: String,
    /// Recipients that the upload took.
    pub(super) n_imported: u64,
}

/// The counters of a campaign, or of several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", from = "StatsAnswer")]
pub struct Stats {
    /// Campaigns that are not over.
    pub open: u64,
    /// Recipients.
    pub total: i64,
    /// Waiting or being sent.
    pub pending: i64,
    /// Taken by the provider.
    pub sent: i64,
    /// Reported as delivered.
    pub delivered: i64,
    /// Reported as read.
    pub read: i64,
    /// Failed because of a limit.
    pub failed_limit: i64,
    /// Failed because the session or the provider could not.
    pub failed_unavailable: i64,
    /// Not sent by our decision.
    pub skipped: i64,
    /// Cancelled by a person.
    pub cancelled: i64,
    /// May have been sent.
    pub unknown: i64,
    /// How far the ledger is off, by the API.
    pub ledger_drift: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatsAnswer {
    status: String,
    total: i64,
    queued: i64,
    sending: i64,
    sent: i64,
    delivered: i64,
    read: i64,
    skipped: i64,
    cancelled: i64,
    unknown: i64,
    failed_by_code: FailedByCode,
    ledger_drift: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
struct FailedByCode {
    limit_exceeded: i64,
    whatsapp_unavailable: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    access_token: String,
}

#[derive(Debug, Deserialize)]
struct Made {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Imported {
    accepted: u64,
}

impl Client {
    /// Registers a tenant and its owner, and is logged in as that.
    pub(super) async fn register(address: &str, email: &str, password: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .build()
            .context("make an HTTP client")?;
        let mut client = Self { http, base: format!("{address}/api/v1"), token: String::new() };
        let body = json!({"name": "Demo", "email": email, "password": password, "businessName": "Demo"});
        let tokens: Tokens = client.post("/auth/register", &body).await?;
        client.token = tokens.access_token;
        Ok(client)
    }

    /// Makes and connects sessions of the given pace, in order.
    pub(super) async fn connect_sessions(&self, n_sessions: u32, rate_per_second: f64) -> anyhow::Result<Vec<String>> {
        let made = (1..=n_sessions).map(|n| async move {
            let body = json!({"name": format!("Demo {n}"), "ratePerMinute": rate_per_second * 60.0, "burst": 1});
            let session: Made = self.post("/whatsapp", &body).await.context("make a session")?;
            let path = format!("/whatsapp/{}/connect", session.id);
            let _: Value = self.post(&path, &json!({})).await.context("connect a session")?;
            Ok::<_, anyhow::Error>(session.id)
        });
        stream::iter(made).buffered(CALLS_AT_ONCE).try_collect().await
    }

    /// Makes campaigns over all sessions, recipients spread evenly, and uploads these as CSV.
    pub(super) async fn make_campaigns(&self, sessions: &[String], n_recipients: u64) -> anyhow::Result<Vec<Campaign>> {
        let n_sessions = sessions.len() as u64;
        let mut campaigns = Vec::new();
        let mut n_sessions_before = 0;
        for some in sessions.chunks(SESSIONS_PER_CAMPAIGN_MAX) {
            let share = |n_before: u64| n_recipients * n_before / n_sessions;
            let n_sessions_until = n_sessions_before + some.len() as u64;
            let range = share(n_sessions_before)..share(n_sessions_until);
            n_sessions_before = n_sessions_until;
            campaigns.push(self.make_campaign(some, range).await?);
        }
        Ok(campaigns)
    }

    async fn make_campaign(&self, sessions: &[String], range: Range<u64>) -> anyhow::Result<Campaign> {
        let body = json!({
            "name": "Demo",
            "sessionIds": sessions,
            "message": {"type": "text", "text": TEXT},
        });
        let campaign: Made = self.post("/campaigns", &body).await.context("make a campaign")?;
        let chunks = stream::iter(csv_chunks(range).map(Ok::<_, std::io::Error>));
        let file = Part::stream(Body::wrap_stream(chunks)).file_name("recipients.csv").mime_str("text/csv")?;
        let path = format!("/campaigns/{}/recipients", campaign.id);
        let upload = self.request(Method::POST, &path).multipart(Form::new().part("file", file));
        let imported: Imported = read(upload.send().await).await.context("upload recipients")?;
        Ok(Campaign { id: campaign.id, n_imported: imported.accepted })
    }

    /// Starts a campaign.
    pub(super) async fn start(&self, id: &str) -> anyhow::Result<()> {
        let _: Value = self.post(&format!("/campaigns/{id}/start"), &json!({})).await.context("start a campaign")?;
        Ok(())
    }

    /// Reads the counters of campaigns, added up.
    pub(super) async fn stats(&self, ids: &[String]) -> anyhow::Result<Stats> {
        let mut all = Stats::default();
        for id in ids {
            let answer = self.request(Method::GET, &format!("/campaigns/{id}/stats"));
            let one: Stats =
                read(answer.timeout(Duration::from_secs(20)).send().await).await.context("read counters")?;
            all = all.plus(one);
        }
        Ok(all)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> anyhow::Result<T> {
        read(self.request(Method::POST, path).json(body).timeout(Duration::from_secs(60)).send().await).await
    }
}

/// Takes the data out of an answer's envelope.
async fn read<T: DeserializeOwned>(answer: Result<Response, reqwest::Error>) -> anyhow::Result<T> {
    #[derive(Deserialize)]
    struct Envelope<T> {
        data: T,
    }
    let answer = answer.context("call the API")?;
    let status = answer.status();
    let text = answer.text().await.context("read the API's answer")?;
    if !status.is_success() {
        bail!("the API answered {status}: {text}");
    }
    let envelope: Envelope<T> = serde_json::from_str(&text).with_context(|| format!("read the API's answer {text}"))?;
    Ok(envelope.data)
}

impl Stats {
    /// Tells whether every campaign is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.open == 0 && 0 < self.total
    }

    /// Tells whether no receipt could change anything any more.
    #[must_use]
    pub fn nothing_can_move(&self) -> bool {
        self.pending + self.sent + self.delivered + self.unknown == 0
    }

    /// Returns the sum over all states; the ledger holds when it equals `total`.
    #[must_use]
    pub fn sum(&self) -> i64 {
        self.pending + self.taken() + self.failed() + self.skipped + self.cancelled + self.unknown
    }

    /// Returns what the provider is known to have taken and not refused later.
    #[must_use]
    pub fn taken(&self) -> i64 {
        self.sent + self.delivered + self.read
    }

    /// Returns the failures of both classes.
    #[must_use]
    pub fn failed(&self) -> i64 {
        self.failed_limit + self.failed_unavailable
    }

    fn plus(self, other: Self) -> Self {
        Self {
            open: self.open + other.open,
            total: self.total + other.total,
            pending: self.pending + other.pending,
            sent: self.sent + other.sent,
            delivered: self.delivered + other.delivered,
            read: self.read + other.read,
            failed_limit: self.failed_limit + other.failed_limit,
            failed_unavailable: self.failed_unavailable + other.failed_unavailable,
            skipped: self.skipped + other.skipped,
            cancelled: self.cancelled + other.cancelled,
            unknown: self.unknown + other.unknown,
            // Drifts of either sign must not cancel each other out.
            ledger_drift: self.ledger_drift.abs() + other.ledger_drift.abs(),
        }
    }
}

impl From<StatsAnswer> for Stats {
    fn from(answer: StatsAnswer) -> Self {
        let is_over = matches!(answer.status.as_str(), "completed" | "cancelled" | "failed");
        Self {
            open: u64::from(!is_over),
            total: answer.total,
            pending: answer.queued + answer.sending,
            sent: answer.sent,
            delivered: answer.delivered,
            read: answer.read,
            failed_limit: answer.failed_by_code.limit_exceeded,
            failed_unavailable: answer.failed_by_code.whatsapp_unavailable,
            skipped: answer.skipped,
            cancelled: answer.cancelled,
            unknown: answer.unknown,
            ledger_drift: answer.ledger_drift,
        }
    }
}
