//! What the tests of the front share: a front with its store, calls, and golden answers.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actiwapi_dispatcher::api::process::Process;
use actiwapi_dispatcher::api::{self, ApiSettings, ApiState, PartReadiness, Readiness};
use actiwapi_dispatcher::clock::Clock;
use actiwapi_dispatcher::domain::api_key::Scope;
use actiwapi_dispatcher::domain::mail::MailKind;
use actiwapi_dispatcher::domain::pacing::Pacing;
use actiwapi_dispatcher::domain::receipt::Receipt;
use actiwapi_dispatcher::gateway::connector::Connector;
use actiwapi_dispatcher::media::{MediaFiles, MediaPlace};
use actiwapi_dispatcher::notice::{NoticeReader, notices};
use actiwapi_dispatcher::receipts::{ReceiptSink, SinkClosed};
use actiwapi_dispatcher::service::access_token::{JwtKey, JwtKeys};
use actiwapi_dispatcher::service::password::PasswordCost;
use actiwapi_dispatcher::service::{
    AuthSettings, MediaBounds, MediaSettings, RetentionSettings, ServiceSettings, Services, SessionSettings, Tools,
};
use actiwapi_dispatcher::store::{Pool, Store};
use actiwapi_dispatcher::telemetry::metrics::Metrics;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use futures::future::BoxFuture;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tower::ServiceExt;

pub(super) use super::answer::Answer;
use super::doubles::{AlwaysConnects, TestProcess};

pub(super) const APP_SECRET: &str = "the app secret";
pub(super) const VERIFY_TOKEN: &str = "the verify token";
pub(super) const JWT_SECRET: &str = "a key of more than thirty-two bytes";
pub(super) const JWT_SECRET_BEFORE: &str = "the key of before, thirty-two bytes and more";
pub(super) const PASSWORD: &str = "correct horse battery";

/// A front over a store of its own, gone when dropped.
pub(super) struct Front {
    pub(super) router: Router,
    pub(super) state: ApiState,
    pub(super) store: Store,
    pub(super) sink: Arc<Sink>,
    pub(super) readiness: Arc<Parts>,
    pub(super) process: Arc<TestProcess>,
    pub(super) metrics: Arc<Metrics>,
    _notices: NoticeReader,
    _media: tempfile::TempDir,
    _directory: Option<Directory>,
}

/// A directory for the database.
struct Directory(PathBuf);

/// Keeps receipts for the test, or refuses them.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) taken: Mutex<Vec<Receipt>>,
    pub(super) closed: std::sync::atomic::AtomicBool,
}

/// Answers as the test wants.
#[derive(Debug, Default)]
pub(super) struct Parts(pub(super) Mutex<Mood>);

/// How readiness is told.
#[derive(Debug, Default, Clone, Copy)]
pub(super) enum Mood {
    #[default]
    Ready,
    Broken(&'static str),
    Hangs,
    Panics,
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

impl ReceiptSink for Sink {
    fn submit(&self, receipts: Vec<Receipt>) -> BoxFuture<'_, Result<(), SinkClosed>> {
        Box::pin(async move {
            if self.closed.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(SinkClosed);
            }
            self.taken.lock().unwrap().extend(receipts);
            Ok(())
        })
    }
}

impl Readiness for Parts {
    fn parts(&self) -> BoxFuture<'_, Vec<PartReadiness>> {
        let mood = *self.0.lock().unwrap();
        Box::pin(async move {
            let problem = match mood {
                Mood::Ready => None,
                Mood::Broken(problem) => Some(problem),
                Mood::Hangs => std::future::pending().await,
                Mood::Panics => panic!("as the test wants"),
            };
            vec![PartReadiness { part: "database", problem }]
        })
    }
}

impl Front {
    pub(super) async fn start() -> Self {
        Self::start_with(ApiSettings {
            webhook_app_secret: Some(APP_SECRET.into()),
            webhook_verify_token: Some(VERIFY_TOKEN.into()),
            cors_origins: vec!["https://desk.example".parse().unwrap()],
            ..ApiSettings::default()
        })
        .await
    }

    pub(super) async fn start_with(settings: ApiSettings) -> Self {
        Self::start_on(settings, Arc::new(AlwaysConnects::default()), true).await
    }

    /// Starts a front over another gateway, which may be one of linked devices only.
    pub(super) async fn start_on(
        settings: ApiSettings,
        connector: Arc<dyn Connector>,
        assigns_phone_number_id: bool,
    ) -> Self {
        Self::start_changed(settings, connector, |of_services| {
            of_services.sessions.assigns_phone_number_id = assigns_phone_number_id;
        })
        .await
    }

    /// Starts a front whose new tenants begin with the trial, as they do unless a setting says otherwise.
    pub(super) async fn start_with_trial() -> Self {
        Self::start_changed(ApiSettings::default(), Arc::new(AlwaysConnects::default()), |of_services| {
            of_services.billing.trial = Some(Duration::from_secs(7 * 86_400));
        })
        .await
    }

    async fn start_changed(
        settings: ApiSettings,
        connector: Arc<dyn Connector>,
        change: impl FnOnce(&mut ServiceSettings),
    ) -> Self {
        let directory = Directory(std::env::temp_dir().join(format!("front-{}", uuid::Uuid::now_v7())));
        std::fs::create_dir(&directory.0).unwrap();
        let url = format!("sqlite:{}", directory.0.join("front.db").display());
        let store = Store::open(&url, 4).await.unwrap();
        store.migrate().await.unwrap();
        Self { _directory: Some(directory), ..Self::made(store, settings, connector, change) }
    }

    /// Makes a front over a store of somebody else's.
    pub(super) fn over(store: Store, settings: ApiSettings) -> Self {
        Self::made(store, settings, Arc::new(AlwaysConnects::default()), |_| {})
    }

    fn made(
        store: Store,
        settings: ApiSettings,
        connector: Arc<dyn Connector>,
        change: impl FnOnce(&mut ServiceSettings),
    ) -> Self {
        let (writer, reader) = notices();
        let (sink, readiness) = (Arc::<Sink>::default(), Arc::<Parts>::default());
        let process = Arc::<TestProcess>::default();
        let metrics = Metrics::new().unwrap();
        let tools = Tools { store: store.clone(), clock: Clock::system(), notices: writer };
        let media = tempfile::tempdir().unwrap();
        let mut of_services = service_settings(media.path());
        change(&mut of_services);
        let services = Services::new(tools, of_services, connector);
        let (receipts, parts) =
            (Arc::clone(&sink) as Arc<dyn ReceiptSink>, Arc::clone(&readiness) as Arc<dyn Readiness>);
        let state = ApiState {
            services,
            store: store.clone(),
            clock: Clock::system(),
            receipts,
            readiness: parts,
            process: Arc::clone(&process) as Arc<dyn Process>,
            metrics: Some(Arc::clone(&metrics)),
            settings,
        };
        Self {
            router: api::router(state.clone()),
            state,
            store,
            sink,
            readiness,
            process,
            metrics,
            _notices: reader,
            _media: media,
            _directory: None,
        }
    }

    /// Makes a call; a string stands for a body of JSON.
    pub(super) async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn get(&self, path: &str, token: &str) -> Answer {
        self.call(request("GET", path, token).body(Body::empty()).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.send("POST", path, token, &body.to_string()).await
    }

    pub(super) async fn send(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        let request = request(method, path, token).header(header::CONTENT_TYPE, "application/json");
        self.call(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Does an action, which has no body.
    pub(super) async fn act(&self, path: &str, token: &str) -> Answer {
        self.call(request("POST", path, token).body(Body::empty()).unwrap()).await
    }

    /// Registers a business and returns its owner's token.
    pub(super) async fn register(&self, email: &str) -> String {
        let body = json!({"name": "Ana Rao", "email": email, "password": PASSWORD, "businessName": "Rao Textiles"});
        let answer = self.post("/api/v1/auth/register", "", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.data()["accessToken"].as_str().unwrap().to_owned()
    }

    /// Makes a mail that was asked for and returns its token, as its reader would see it.
    pub(super) async fn token_of(&self, email: &str, kind: MailKind) -> String {
        let now_ms = Clock::system().now().as_ms();
        let claims = self.store.mails().claim(now_ms, now_ms, 100).await.unwrap();
        let claim = claims.iter().find(|claim| (claim.email.as_str(), claim.kind) == (email, kind));
        let claim = claim.expect("such a mail was asked for");
        let letter = self.state.services.auth.letter(claim).await.unwrap().expect("somebody has this address");
        self.store.mails().done(claim).await.unwrap();
        letter.token.expose_secret().to_owned()
    }

    /// Registers a business, gives its owner another role, and returns the token with that role.
    pub(super) async fn register_as(&self, role: &str, email: &str) -> String {
        self.register(email).await;
        self.sql(&format!("UPDATE users SET role = '{role}' WHERE email = '{email}'")).await;
        let answer = self.post("/api/v1/auth/login", "", json!({"email": email, "password": PASSWORD})).await;
        answer.data()["accessToken"].as_str().unwrap().to_owned()
    }

    /// Makes a session that is connected and returns its id.
    pub(super) async fn session(&self, token: &str) -> String {
        let answer = self.post("/api/v1/whatsapp", token, json!({"name": "Shop"})).await;
        let id = answer.data()["id"].as_str().unwrap().to_owned();
        let answer = self.act(&format!("/api/v1/whatsapp/{id}/connect"), token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        id
    }

    /// Makes a draft without recipients and returns its id.
    pub(super) async fn draft(&self, token: &str, session_id: &str) -> String {
        let body = json!({
            "name": "Sale", "sessionIds": [session_id], "message": {"type": "text", "text": "Hello {{name|there}}"},
        });
        let answer = self.post("/api/v1/campaigns", token, body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.data()["id"].as_str().unwrap().to_owned()
    }

    /// Makes an API key and returns its id and the key.
    pub(super) async fn key(&self, token: &str, body: Value) -> (String, String) {
        let answer = self.post("/api/v1/api-keys", token, body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let data = answer.data();
        (data["id"].as_str().unwrap().to_owned(), data["key"].as_str().unwrap().to_owned())
    }

    /// Makes an API key that may do everything.
    pub(super) async fn mighty_key(&self, token: &str) -> String {
        let scopes: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        self.key(token, json!({"name": "All", "scopes": scopes})).await.1
    }

    /// Makes a call as a program.
    pub(super) async fn with_key(&self, method: &str, path: &str, key: &str, body: &str) -> Answer {
        let request =
            request(method, path, "").header("x-api-key", key).header(header::CONTENT_TYPE, "application/json");
        self.call(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Makes a call that is to be done once.
    pub(super) async fn post_once(&self, path: &str, token: &str, key: &str, body: Value) -> Answer {
        let request = request("POST", path, token).header("idempotency-key", key);
        self.call(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Makes a webhook for everything and returns its id.
    pub(super) async fn webhook(&self, token: &str) -> String {
        let events = self.get("/api/v1/webhooks/events", "").await.data();
        let body = json!({"url": "https://hooks.example/in", "events": events});
        let answer = self.post("/api/v1/webhooks", token, body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.data()["id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn sql(&self, text: &str) {
        let Pool::Sqlite { writer, .. } = self.store.pool() else { panic!("the front's store is SQLite") };
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(writer).await.unwrap();
    }
}

pub(super) fn request(method: &str, path: &str, token: &str) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(path);
    if token.is_empty() { request } else { request.header(header::AUTHORIZATION, format!("Bearer {token}")) }
}

fn service_settings(directory: &std::path::Path) -> ServiceSettings {
    let key = JwtKey { kid: "k1".to_owned(), secret: JWT_SECRET.into() };
    let before = JwtKey { kid: "k0".to_owned(), secret: JWT_SECRET_BEFORE.into() };
    ServiceSettings {
        n_partitions: NonZeroU16::new(64).expect("64 is not zero"),
        webhooks_allow_loopback: false,
        billing: actiwapi_dispatcher::service::BillingSettings::default(),
        media: MediaSettings {
            files: MediaFiles::open(&MediaPlace::Directory(directory.to_owned())).unwrap(),
            bounds: MediaBounds {
                image_bytes_max: 100_000,
                video_bytes_max: 100_000,
                audio_bytes_max: 100_000,
                document_bytes_max: 300_000,
                tenant_bytes_max: 1_000_000,
            },
        },
        retention: RetentionSettings::default(),
        auth: AuthSettings {
            jwt_keys: JwtKeys { current: key, accepted: vec![before] },
            access_token_lifetime: Duration::from_secs(7 * 86_400),
            refresh_token_lifetime: Duration::from_secs(30 * 86_400),
            password_cost: PasswordCost { memory_kib: 8, passes: 1 },
        },
        sessions: SessionSettings { default_pacing: Pacing::new(20.0, 1).unwrap(), assigns_phone_number_id: true },
    }
}
