//! Rules and transactions: everything that changes something on behalf of a caller.
//!
//! Knows no HTTP; the API, the command line and the daemon use it alike. Reads need no service:
//! callers take them from the store, which asks for the tenant in every query.

use std::num::NonZeroU16;
use std::sync::Arc;

use crate::clock::Clock;
use crate::gateway::connector::Connector;
use crate::notice::Notices;
use crate::store::Store;

pub use analytics::AnalyticsService;
pub use api_keys::ApiKeyService;
pub use auth::{AuthService, AuthSettings};
pub use billing::{BillingService, BillingSettings};
pub use campaigns::CampaignService;
pub use contact_groups::ContactGroupService;
pub use contacts::ContactService;
pub use erasure::ErasureService;
pub use forecast::ForecastService;
pub use idempotency::IdempotencyService;
pub use ledger::LedgerService;
pub use levers::LeverService;
pub use media::{MediaBounds, MediaService, MediaSettings};
pub use messages::MessageService;
pub use plans::PlanService;
pub use request_log::RequestLogService;
pub use retention::{RetentionService, RetentionSettings};
pub use sessions::{SessionService, SessionSettings};
pub use team::TeamService;
pub use templates::TemplateService;
pub use waiting::WaitingService;
pub use webhooks::WebhookService;

pub mod auth;

pub mod team;

pub mod operators;

pub mod api_keys;

pub mod idempotency;

pub mod access_token;

pub mod password;

pub mod sessions;

pub mod session_settings;

pub mod pairing;

pub mod campaigns;

pub mod campaign_audience;

pub mod campaign_control;

pub mod campaign_changes;

pub mod campaign_schedule;

pub mod campaign_copies;

pub mod campaign_recall;

pub mod campaign_judge;

pub mod forecast;

pub mod levers;

pub mod ledger;

pub mod file_import;

pub mod recipient_import;

pub mod contacts;

pub mod contact_import;

pub mod contact_groups;

pub mod messages;

pub mod message_bulk;

pub mod made_messages;

pub mod media;

pub mod templates;

pub mod plans;

pub mod billing;

pub mod waiting;

pub mod webhooks;

pub mod analytics;

pub mod request_log;

pub mod retention;

pub mod erasure;

mod believed;

mod check;

/// What all services work with; cheap to clone.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Nudges to the daemon.
    pub notices: Notices,
}

/// Settings of the services, as plain values.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// Tokens and passwords.
    pub auth: AuthSettings,
    /// Sessions.
    pub sessions: SessionSettings,
    /// Into how many partitions sessions are divided.
    pub n_partitions: NonZeroU16,
    /// Whether webhooks may lead to this machine itself, and go without TLS.
    pub webhooks_allow_loopback: bool,
    /// Files.
    pub media: MediaSettings,
    /// Payments and trials.
    pub billing: BillingSettings,
    /// How long things are kept that are over.
    pub retention: RetentionSettings,
}

/// All services; cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    /// Who may come in.
    pub auth: AuthService,
    /// Who works for a tenant, and as what.
    pub team: TeamService,
    /// Which programs may come in.
    pub api_keys: ApiKeyService,
    /// Which requests were done already.
    pub idempotency: IdempotencyService,
    /// WhatsApp sessions.
    pub sessions: SessionService,
    /// Campaigns and their recipients.
    pub campaigns: CampaignService,
    /// What becomes of campaigns.
    pub forecasts: ForecastService,
    /// Contacts.
    pub contacts: ContactService,
    /// Groups of contacts.
    pub contact_groups: ContactGroupService,
    /// Single messages.
    pub messages: MessageService,
    /// Files that are sent along.
    pub media: MediaService,
    /// Messages kept to be sent again.
    pub templates: TemplateService,
    /// What operators hold back.
    pub levers: LeverService,
    /// Whether anything is lost.
    pub ledger: LedgerService,
    /// Plans and subscriptions.
    pub plans: PlanService,
    /// Orders, payments and what follows from them.
    pub billing: BillingService,
    /// Why something is not sent.
    pub waiting: WaitingService,
    /// Addresses at which tenants are told what happens.
    pub webhooks: WebhookService,
    /// Reports.
    pub analytics: AnalyticsService,
    /// Requests to the API.
    pub requests: RequestLogService,
    /// What is forgotten because it is old.
    pub retention: RetentionService,
    /// What is forgotten because somebody asked for it.
    pub erasure: ErasureService,
}

impl Services {
    /// Makes the services; `connector` is the gateway's side of sessions.
    #[must_use]
    pub fn new(tools: Tools, settings: ServiceSettings, connector: Arc<dyn Connector>) -> Self {
        let default_pacing = settings.sessions.default_pacing;
        let auth = AuthService::new(tools.store.clone(), tools.clock.clone(), (&settings.auth, settings.billing.trial));
        let requests = RequestLogService::new(tools.store.clone(), tools.clock.clone());
        Self {
            team: TeamService::new(tools.clone(), auth.clone()),
            auth,
            api_keys: ApiKeyService::new(tools.clone()),
            idempotency: IdempotencyService::new(tools.clone(), settings.retention.idempotency),
            sessions: SessionService::new(tools.clone(), settings.sessions, connector),
            campaigns: CampaignService::new(tools.clone()),
            waiting: WaitingService::new(tools.clone(), default_pacing, settings.n_partitions),
            forecasts: ForecastService::new(tools.clone(), default_pacing),
            levers: LeverService::new(tools.clone()),
            ledger: LedgerService::new(tools.store.clone()),
            plans: PlanService::new(tools.clone()),
            billing: BillingService::new(tools.clone(), &settings.billing),
            webhooks: WebhookService::new(tools.clone(), settings.webhooks_allow_loopback),
            contacts: ContactService::new(tools.clone()),
            contact_groups: ContactGroupService::new(tools.clone()),
            media: MediaService::new(tools.clone(), settings.media),
            templates: TemplateService::new(tools.clone()),
            analytics: AnalyticsService::new(tools.clone()),
            retention: RetentionService::new(tools.clone(), settings.retention),
            erasure: ErasureService::new(tools.clone(), requests.clone()),
            requests,
            messages: MessageService::new(tools),
        }
    }
}
