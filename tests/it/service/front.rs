//! All services over one store, with a clock that stands and a gateway that says what it is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actiwapi_dispatcher::clock::{Clock, ManualClock, Moment};
use actiwapi_dispatcher::domain::campaign::{OnUnknown, PassOver};
use actiwapi_dispatcher::domain::id::{CampaignId, SessionId, TenantId};
use actiwapi_dispatcher::domain::message::{MessageSpec, Variables};
use actiwapi_dispatcher::domain::pacing::CampaignPacing;
use actiwapi_dispatcher::domain::pacing::Pacing;
use actiwapi_dispatcher::domain::plan::OnLimit;
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::domain::safeguards::Safeguards;
use actiwapi_dispatcher::domain::session::SessionState;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::gateway::connector::{ChatGroup, Connection, Connector, Link, PairingCode, Refusal};
use actiwapi_dispatcher::media::{MediaFiles, MediaPlace};
use actiwapi_dispatcher::notice::{Notice, NoticeReader, notices};
use actiwapi_dispatcher::service::access_token::{JwtKey, JwtKeys};
use actiwapi_dispatcher::service::auth::{LoggedIn, Registration};
use actiwapi_dispatcher::service::campaign_audience::Audience;
use actiwapi_dispatcher::service::campaigns::{NewCampaign, RecipientInput};
use actiwapi_dispatcher::service::password::PasswordCost;
use actiwapi_dispatcher::service::sessions::NewSession;
use actiwapi_dispatcher::service::{
    AuthSettings, BillingSettings, MediaBounds, MediaSettings, RetentionSettings, ServiceSettings, Services,
    SessionSettings, Tools,
};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::session_events::SessionMove;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};

use crate::support::seed::NOW_MS;

/// How long messages and requests are kept.
pub(crate) const KEPT: Duration = Duration::from_secs(40 * 24 * 3600);
pub(crate) const ACCESS_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
pub(crate) const REFRESH_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// Small ones, so that tests reach them.
pub(crate) const MEDIA_BOUNDS: MediaBounds = MediaBounds {
    image_bytes_max: 100_000,
    video_bytes_max: 100_000,
    audio_bytes_max: 100_000,
    document_bytes_max: 200_000,
    tenant_bytes_max: 300_000,
};

pub(crate) struct Front {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    pub(crate) services: Services,
    pub(crate) gateway: Arc<Gateway>,
    /// Where files are kept.
    pub(crate) media: tempfile::TempDir,
    reader: NoticeReader,
}

/// Answers every connection with what was set last, and everything else unless it is away.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) answer: Mutex<Result<Connection, Refusal>>,
    pub(crate) is_away: AtomicBool,
    /// What it was asked.
    pub(crate) asked: Mutex<Vec<&'static str>>,
}

impl Gateway {
    pub(crate) fn answers(&self, answer: Result<Connection, Refusal>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn ask<T: Send + 'static>(&self, what: &'static str, answer: T) -> BoxFuture<'_, Result<T, Refusal>> {
        self.asked.lock().unwrap().push(what);
        let is_away = self.is_away.load(Ordering::Relaxed);
        ready(if is_away { Err(Refusal::Refused("Nobody is there.".into())) } else { Ok(answer) }).boxed()
    }
}

impl Connector for Gateway {
    fn connect<'a>(&'a self, _: &'a Link) -> BoxFuture<'a, Result<Connection, Refusal>> {
        ready(self.answer.lock().unwrap().clone()).boxed()
    }

    fn disconnect<'a>(&'a self, _: &'a Link) -> BoxFuture<'a, Result<(), Refusal>> {
        self.ask("disconnect", ())
    }

    fn log_out<'a>(&'a self, _: &'a Link) -> BoxFuture<'a, Result<(), Refusal>> {
        self.ask("log out", ())
    }

    fn pairing_code<'a>(&'a self, _: &'a Link, _: &'a Recipient) -> BoxFuture<'a, Result<PairingCode, Refusal>> {
        let expires_at = Moment::from_ms(NOW_MS + 180_000);
        self.ask("pairing code", PairingCode { code: "ABCD-2345".into(), expires_at })
    }

    fn check_number<'a>(&'a self, _: &'a Link, phone: &'a Recipient) -> BoxFuture<'a, Result<bool, Refusal>> {
        self.ask("check number", !phone.as_str().ends_with("000"))
    }

    fn mark_read<'a>(&'a self, _: &'a Link, _: &'a str, _: bool) -> BoxFuture<'a, Result<(), Refusal>> {
        self.ask("mark read", ())
    }

    fn groups<'a>(&'a self, _: &'a Link) -> BoxFuture<'a, Result<Vec<ChatGroup>, Refusal>> {
        self.ask("groups", vec![ChatGroup { id: "1@g.us".to_owned(), name: "Family".to_owned(), n_participants: 7 }])
    }
}

impl Front {
    /// Makes a front whose sessions are numbers of the Cloud API, given out by us.
    pub(crate) fn new(store: Store) -> Self {
        Self::made(store, true, BillingSettings::default())
    }

    /// Makes one that takes payments.
    pub(crate) fn with_billing(store: Store, billing: BillingSettings) -> Self {
        Self::made(store, true, billing)
    }

    /// Makes a front whose sessions are linked devices.
    pub(crate) fn of_devices(store: Store) -> Self {
        Self::made(store, false, BillingSettings::default())
    }

    fn made(store: Store, assigns_phone_number_id: bool, billing: BillingSettings) -> Self {
        let clock = ManualClock::at(Moment::from_ms(NOW_MS));
        let (writer, reader) = notices();
        let tools = Tools { store: store.clone(), clock: Clock::Manual(clock.clone()), notices: writer };
        let media = tempfile::tempdir().unwrap();
        let secret = "a secret of tests, thirty-two bytes or more".into();
        let settings = ServiceSettings {
            n_partitions: std::num::NonZeroU16::MIN,
            webhooks_allow_loopback: false,
            billing,
            media: MediaSettings {
                files: MediaFiles::open(&MediaPlace::Directory(media.path().to_owned())).unwrap(),
                bounds: MEDIA_BOUNDS,
            },
            retention: RetentionSettings {
                messages: Some(KEPT),
                request_log: Some(KEPT),
                ..RetentionSettings::default()
            },
            auth: AuthSettings {
                jwt_keys: JwtKeys { current: JwtKey { kid: "1".to_owned(), secret }, accepted: vec![] },
                access_token_lifetime: ACCESS_LIFETIME,
                refresh_token_lifetime: REFRESH_LIFETIME,
                password_cost: PasswordCost { memory_kib: 8, passes: 1 },
            },
            sessions: SessionSettings { default_pacing: Pacing::new(30.0, 2).unwrap(), assigns_phone_number_id },
        };
        let gateway = Arc::new(Gateway {
            answer: Mutex::new(Ok(Connection::Connected { phone_number: None })),
            is_away: AtomicBool::new(false),
            asked: Mutex::default(),
        });
        let services = Services::new(tools, settings, gateway.clone());
        Self { store, clock, services, gateway, media, reader }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        Clock::Manual(self.clock.clone()).now().as_ms()
    }

    /// Registers a tenant.
    pub(crate) async fn register(&self, email: &str) -> Result<LoggedIn, Error> {
        let registration = Registration {
            name: "Ana".to_owned(),
            email: email.to_owned(),
            password: "correct horse".into(),
            business_name: "Ana's Tea".to_owned(),
        };
        self.services.auth.register(registration).await
    }

    pub(crate) async fn tenant(&self) -> TenantId {
        let email = format!("{}@example.com", TenantId::generate());
        self.register(&email).await.unwrap().user.tenant_id
    }

    pub(crate) async fn session(&self, tenant_id: TenantId) -> SessionId {
        let new = NewSession { name: "Shop".to_owned(), ..NewSession::default() };
        self.services.sessions.create(tenant_id, new).await.unwrap().id
    }

    pub(crate) async fn connected_session(&self, tenant_id: TenantId) -> SessionId {
        let id = self.session(tenant_id).await;
        self.services.sessions.connect(tenant_id, id).await.unwrap();
        id
    }

    /// Makes a draft over some sessions, with recipients.
    pub(crate) async fn campaign(&self, tenant_id: TenantId, sessions: &[SessionId], n_recipients: u64) -> CampaignId {
        let new = NewCampaign { recipients: recipients(0..n_recipients), ..campaign(sessions) };
        self.services.campaigns.create(tenant_id, new).await.unwrap().0.id
    }

    /// Returns the notices left since the last call.
    pub(crate) fn notices(&mut self) -> Vec<Notice> {
        std::iter::from_fn(|| self.reader.next().now_or_never().flatten()).collect()
    }
}

pub(crate) fn campaign(sessions: &[SessionId]) -> NewCampaign {
    NewCampaign {
        name: "Spring".to_owned(),
        session_ids: sessions.to_vec(),
        message: MessageSpec::Text { text: "Hello {{name|there}}".to_owned() },
        on_unknown: OnUnknown::Quarantine,
        on_limit: OnLimit::Hold,
        expires_at: None,
        pacing: CampaignPacing::default(),
        safeguards: Safeguards::default(),
        pass_over: PassOver { opted_out: true, written_within_hours: None },
        recipients: vec![],
        audience: Audience::default(),
        schedule: None,
    }
}

pub(crate) fn phone(n: u64) -> String {
    (919_800_000_000 + n).to_string()
}

pub(crate) fn recipients(numbers: impl IntoIterator<Item = u64>) -> Vec<RecipientInput> {
    let input = |n| RecipientInput { phone: phone(n), variables: Variables::default() };
    numbers.into_iter().map(input).collect()
}

/// A move of a session that is not told.
pub(crate) fn silent(from: SessionState, to: SessionState) -> SessionMove {
    SessionMove { from, to, news: None, reason: None, at_ms: NOW_MS }
}

/// Returns the fields that an error complains about, in order.
pub(crate) fn fields<T: std::fmt::Debug>(result: Result<T, Error>) -> Vec<String> {
    match result {
        Err(Error::Validation(problems)) => problems.into_iter().map(|problem| problem.field.into_owned()).collect(),
        other => panic!("not a validation error: {other:?}"),
    }
}

/// Returns the message of a conflict.
pub(crate) fn conflict<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Conflict { message, .. }) => message.into_owned(),
        other => panic!("not a conflict: {other:?}"),
    }
}
