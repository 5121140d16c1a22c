//! What a tenant does over REST; a call that finds the daemon dead says so and may be made again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use actiwapi_dispatcher::domain::api_key::Scope;
use actiwapi_dispatcher::service::operators;
use actiwapi_dispatcher::store::Store;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::multipart::{Form, Part};
use reqwest::{Client as Http, Method};
use serde::Deserialize;
use serde_json::{Value, json};

/// Calls under way at once while sessions are made.
const CALLS_AT_ONCE: usize = 8;

/// Why a call gave nothing.
#[derive(Debug)]
pub(super) enum Problem {
    /// No answer, or half of one: what was asked may have been done.
    Silence(String),
    /// Refused: status and text.
    Refused(u16, String),
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silence(why) => write!(f, "no answer: {why}"),
            Self::Refused(status, text) => write!(f, "{status}: {text}"),
        }
    }
}

/// A logged-in tenant.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: Http,
    base: String,
    token: String,
}

/// A session to make.
#[derive(Debug, Clone)]
pub(super) struct NewSession {
    /// The provider's name of its number; digits.
    pub(super) phone_number_id: String,
    /// Its pace.
    pub(super) rate_per_second: f64,
    /// How many messages may go at once after a rest.
    pub(super) burst: u32,
}

/// The counters of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Counters {
    pub(super) total: i64,
    pub(super) queued: i64,
    pub(super) sending: i64,
    pub(super) sent: i64,
    pub(super) delivered: i64,
    pub(super) read: i64,
    pub(super) failed: i64,
    pub(super) skipped: i64,
    pub(super) cancelled: i64,
    pub(super) unknown: i64,
}

/// A campaign's counters and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stats {
    pub(super) status: String,
    #[serde(flatten)]
    pub(super) counters: Counters,
    pub(super) ledger_drift: i64,
}

impl Counters {
    /// Returns the sum of all states.
    pub(super) fn sum(&self) -> i64 {
        let open = self.queued + self.sending;
        let taken = self.sent + self.delivered + self.read;
        open + taken + self.failed + self.skipped + self.cancelled + self.unknown
    }
}

/// Makes an HTTP client for loopback, whose provider of TLS is never asked.
pub(super) fn loopback() -> Http {
    // Refused when another test was faster.
    rustls::crypto::ring::default_provider().install_default().ok();
    let timeout = crate::support::wait::PATIENCE;
    Http::builder().no_proxy().timeout(timeout).build().unwrap()
}

/// Returns a valid number, another one for each `n` below ten million.
pub(super) fn phone(n: u64) -> String {
    format!("91987{n:07}")
}

impl Client {
    /// Registers a tenant.
    pub(super) async fn register(http: Http, address: &str) -> Self {
        let nobody = Self { http, base: format!("{address}/api/v1"), token: String::new() };
        nobody.another("ana@example.com").await
    }

    /// Registers another tenant at the same front.
    pub(super) async fn another(&self, email: &str) -> Self {
        let mut client = self.clone();
        let body = json!({"name": "Ana", "email": email, "password": "correct horse battery staple",
                          "businessName": "Shop"});
        let tokens = self.post("/auth/register", &body).await.unwrap();
        client.token = text_of(&tokens, "accessToken");
        client
    }

    /// Registers somebody who runs the platform over this database.
    pub(super) async fn operator(&self, store_url: &str) -> Self {
        const EMAIL: &str = "operator@example.com";
        let operator = self.another(EMAIL).await;
        let store = Store::open(store_url, 1).await.unwrap();
        operators::grant(&store, EMAIL).await.unwrap();
        store.close().await;
        operator
    }

    /// Makes and connects sessions, in order.
    pub(super) async fn connect(&self, sessions: &[NewSession]) -> Vec<String> {
        let made = sessions.iter().map(|session| async move {
            let body = json!({"name": session.phone_number_id, "phoneNumberId": session.phone_number_id,
                              "ratePerMinute": session.rate_per_second * 60.0, "burst": session.burst});
            let id = text_of(&self.post("/whatsapp", &body).await?, "id");
            self.post(&format!("/whatsapp/{id}/connect"), &json!({})).await?;
            Ok::<_, Problem>(id)
        });
        stream::iter(made).buffered(CALLS_AT_ONCE).try_collect().await.unwrap()
    }

    /// Makes a campaign with its recipients; it is a draft.
    pub(super) async fn draft(&self, sessions: &[String], recipients: Range<u64>) -> String {
        self.draft_with(sessions, recipients, json!({})).await
    }

    /// Makes a campaign with further settings.
    pub(super) async fn draft_with(&self, sessions: &[String], recipients: Range<u64>, settings: Value) -> String {
        let n_recipients = recipients.end - recipients.start;
        let message = json!({"type": "text", "text": "Hello"});
        let mut body = json!({"name": "Sale", "sessionIds": sessions, "message": message});
        body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let id = text_of(&self.post("/campaigns", &body).await.unwrap(), "id");
        let mut file = String::from("phone\n");
        recipients.for_each(|n| writeln!(file, "{}", phone(n)).unwrap());
        let path = format!("/campaigns/{id}/recipients");
        let upload = self.request(Method::POST, &path).header("content-type", "text/csv");
        let added = data_of(upload.body(file)).await.unwrap();
        assert_eq!(added["accepted"], n_recipients, "{added}");
        id
    }

    /// Starts a campaign.
    pub(super) async fn start(&self, campaign: &str) -> Result<(), Problem> {
        self.post(&format!("/campaigns/{campaign}/start"), &json!({})).await.map(drop)
    }

    /// Lets a campaign start by itself.
    pub(super) async fn schedule(&self, campaign: &str, at: &str) -> Result<(), Problem> {
        let body = json!({"scheduledAt": at, "timezone": "Asia/Kolkata"});
        self.post(&format!("/campaigns/{campaign}/schedule"), &body).await.map(drop)
    }

    /// Pauses or resumes a campaign.
    pub(super) async fn control(&self, campaign: &str, what: &str) -> Result<(), Problem> {
        self.post(&format!("/campaigns/{campaign}/{what}"), &json!({})).await.map(drop)
    }

    /// Unlinks a session for good.
    pub(super) async fn log_out(&self, session: &str) -> Result<(), Problem> {
        self.post(&format!("/whatsapp/{session}/logout"), &json!({})).await.map(drop)
    }

    /// Returns the tenant's id.
    pub(super) async fn tenant(&self) -> String {
        text_of(&data_of(self.request(Method::GET, "/auth/me")).await.unwrap(), "tenantId")
    }

    /// Returns where the front is.
    pub(super) fn address(&self) -> &str {
        self.base.strip_suffix("/api/v1").unwrap()
    }

    /// Returns what proves who calls.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Makes a key that may do everything.
    pub(super) async fn key(&self) -> String {
        let body = json!({"name": "all", "scopes": Scope::ALL});
        text_of(&self.post("/api-keys", &body).await.unwrap(), "key")
    }

    /// Does what an operator does.
    pub(super) async fn operate(&self, path: &str, body: Value) {
        self.post(&format!("/ops/{path}"), &body).await.unwrap();
    }

    /// Queues a single message; returns its id.
    pub(super) async fn send_text(&self, session: &str, to: &str) -> Result<String, Problem> {
        let body = json!({"sessionId": session, "to": to, "text": "Your order is on its way."});
        let queued = self.post("/messages/send-text", &body).await?;
        Ok(text_of(&queued, "id"))
    }

    /// Does something with messages; returns what was answered.
    pub(super) async fn post_messages(&self, verb: &str, body: Value) -> Value {
        self.post(&format!("/messages/{verb}"), &body).await.unwrap()
    }

    /// Cancels a message.
    pub(super) async fn cancel_message(&self, message: &str) -> Result<(), Problem> {
        data_of(self.request(Method::DELETE, &format!("/messages/{message}"))).await.map(drop)
    }

    /// Queues an image; returns the message's id.
    pub(super) async fn send_image(&self, session: &str, to: &str, bytes: Vec<u8>) -> Result<String, Problem> {
        let form = Form::new().text("sessionId", session.to_owned()).text("to", to.to_owned());
        let form = form.part("file", Part::bytes(bytes).file_name("a.png"));
        let queued = data_of(self.request(Method::POST, "/messages/send-image").multipart(form)).await?;
        Ok(text_of(&queued, "id"))
    }

    /// Uploads a file to be kept; returns its id.
    pub(super) async fn upload(&self, bytes: Vec<u8>) -> Result<String, Problem> {
        let form = Form::new().part("file", Part::bytes(bytes).file_name("a.png"));
        Ok(text_of(&data_of(self.request(Method::POST, "/media").multipart(form)).await?, "id"))
    }

    /// Returns the status of one message, none when there is no such message.
    pub(super) async fn status_of(&self, message: &str) -> Option<String> {
        match data_of(self.request(Method::GET, &format!("/messages/{message}"))).await {
            Ok(shown) => Some(text_of(&shown, "status")),
            Err(Problem::Refused(404, _)) => None,
            Err(problem) => panic!("{problem}"),
        }
    }

    /// Returns what a message waits for, none when it does not.
    pub(super) async fn held_by(&self, message: &str) -> Option<String> {
        let shown = data_of(self.request(Method::GET, &format!("/messages/{message}"))).await.unwrap();
        shown["heldBy"]["by"].as_str().map(str::to_owned)
    }

    /// Returns a campaign's counters.
    pub(super) async fn stats(&self, campaign: &str) -> Result<Stats, Problem> {
        let data = data_of(self.request(Method::GET, &format!("/campaigns/{campaign}/stats"))).await?;
        Ok(serde_json::from_value(data).unwrap())
    }

    /// Returns the status of every message of a campaign, by its id.
    pub(super) async fn export(&self, campaign: &str) -> BTreeMap<String, String> {
        let answer = self.request(Method::GET, &format!("/campaigns/{campaign}/export"));
        let file = answer.send().await.unwrap().error_for_status().unwrap();
        let text = file.text().await.unwrap();
        let mut lines = text.lines();
        assert!(lines.next().is_some_and(|header| header.starts_with("id,phone,status,")));
        let row = |line: &str| {
            let mut cells = line.split(',');
            let (id, status) = (cells.next().unwrap(), cells.nth(1).unwrap());
            (id.to_owned(), status.to_owned())
        };
        let rows: Vec<_> = lines.map(row).collect();
        let n_rows = rows.len();
        let by_id: BTreeMap<_, _> = rows.into_iter().collect();
        assert_eq!(by_id.len(), n_rows, "a message is in the export twice");
        by_id
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        request.bearer_auth(&self.token)
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Problem> {
        data_of(self.request(Method::GET, path)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Problem> {
        data_of(self.request(Method::POST, path).json(body)).await
    }
}

async fn data_of(request: reqwest::RequestBuilder) -> Result<Value, Problem> {
    let silence = |problem: reqwest::Error| Problem::Silence(problem.to_string());
    let answer = request.send().await.map_err(silence)?;
    let status = answer.status();
    let text = answer.text().await.map_err(silence)?;
    if !status.is_success() {
        return Err(Problem::Refused(status.as_u16(), text));
    }
    let mut body: Value = serde_json::from_str(&text).unwrap();
    Ok(body["data"].take())
}

fn text_of(data: &Value, key: &str) -> String {
    data[key].as_str().unwrap_or_else(|| panic!("no {key} in {data}")).to_owned()
}
