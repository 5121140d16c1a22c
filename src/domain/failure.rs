//! What went wrong with an attempt: class, reason, scope, retry rule and handling.
//!
//! Two classes face the outside; the handling is the one value that the dispatcher branches on. Turning a provider's answer into
//! a failure is `gateway::classify`; this file only says what the words mean.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The two classes that the API documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureClass {
    /// A limit of the plan or of the provider.
    LimitExceeded,
    /// The session is not connected, or the provider answered with an error.
    WhatsappUnavailable,
}

impl FailureClass {
    /// Returns the documented word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::WhatsappUnavailable => "WHATSAPP_UNAVAILABLE",
        }
    }

    /// Reads the documented word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::LimitExceeded, Self::WhatsappUnavailable].into_iter().find(|class| class.as_str() == word)
    }
}

/// Whom a failure concerns, narrowest first; only [`Scope::Number`] and wider may hold a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// This message only.
    Message,
    /// This recipient, whatever is sent.
    Recipient,
    /// This sender and this recipient.
    Pair,
    /// Everything that uses this template.
    Template,
    /// The sending number or session.
    Number,
    /// The business account and all its numbers.
    Account,
    /// The app and all accounts on it.
    App,
    /// The provider as a whole.
    Platform,
    /// The tenant, by its plan.
    Tenant,
}

impl Scope {
    /// Tells whether the failure says something about the whole lane.
    #[must_use]
    pub fn holds_lane(self) -> bool {
        Self::Number <= self
    }
}

/// Whether and when another attempt makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Never with this message.
    Never,
    /// By itself, after a wait that grows from the first to the second bound.
    Backoff {
        /// Wait before the second attempt.
        first: Duration,
        /// Longest wait.
        longest: Duration,
        /// Attempts after which the deferral becomes a failure, for scopes that do not hold the lane.
        attempts_max: u32,
    },
    /// By itself, after exactly these waits in turn, and then the last of them again.
    Steps {
        /// Wait after the first attempt, the second, and so on.
        waits: &'static [Duration],
        /// Attempts after which the deferral becomes a failure.
        attempts_max: u32,
    },
    /// Once, after this wait.
    After(Duration),
    /// When a person or an event has removed the cause; probed at this beat.
    AfterAction {
        /// Time between probes.
        probe: Duration,
    },
    /// Only after it is known whether the attempt went out.
    AfterReconcile,
}

macro_rules! handlings {
    ($($variant:ident = $word:literal, $doc:literal;)*) => {
        /// What the dispatcher does about a failure, narrowest first.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Handling {
            $(#[doc = $doc] $variant,)*
        }

        impl Handling {
            /// All handlings.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the word used in logs and golden tests.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

handlings! {
    FailMessage = "fail_message", "The message has failed; nothing else is concerned.";
    RetryMessage = "retry_message", "The message is tried again by its retry rule; its attempts are bounded.";
    Reconcile = "reconcile", "It may have been taken: nothing is sent again before receipts or their absence have told.";
    HoldPair = "hold_pair", "Nothing goes from this number to this recipient for a while; everybody else is served.";
    HoldStream = "hold_stream", "What uses the template waits; other messages of the number go on.";
    HoldCold = "hold_cold", "No new chats from the number; recipients who have written to it are served.";
    HoldBusinessInitiated = "hold_business_initiated", "Nothing from the number that is no answer to its recipient.";
    Throttle = "throttle", "The number goes on, slower.";
    HoldLane = "hold_lane", "Nothing from the number, until a probe is answered.";
    HoldAccount = "hold_account", "Nothing from any number of the account, until the probe of one is answered.";
    CloseSession = "close_session", "The session was closed from elsewhere; nothing goes before a person connects it again.";
    LoseSession = "lose_session", "The session is gone for good; a person must link or replace it.";
}

impl Handling {
    /// Tells whether it concerns more than one message, pair or template: all of a lane, or a kind of its traffic.
    #[must_use]
    pub fn is_lane_wide(self) -> bool {
        Self::HoldCold <= self
    }
}

macro_rules! reasons {
    ($($variant:ident = $word:literal, $doc:literal;)*) => {
        /// Why an attempt failed; the words are those of the API and of the metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $doc] $variant,)*
        }

        impl Reason {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the word kept in the database, shown by the API and used as a label.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

reasons! {
    PlanMessages = "PLAN_MESSAGES", "The plan's messages are used up.";
    PlanSessions = "PLAN_SESSIONS", "The plan's sessions are used up.";
    PlanCampaigns = "PLAN_CAMPAIGNS", "The plan's campaigns are used up.";
    PlanContacts = "PLAN_CONTACTS", "The plan's contacts are used up.";
    PlanApiRequests = "PLAN_API_REQUESTS", "The plan's API requests are used up.";
    Throughput = "THROUGHPUT", "The number sends faster than the provider lets it.";
    PairRateLimit = "PAIR_RATE_LIMIT", "Too many messages from this number to this recipient.";
    AppRateLimit = "APP_RATE_LIMIT", "The app calls the provider too often.";
    AccountRateLimit = "WABA_RATE_LIMIT", "The business account calls the provider too often.";
    MessagingTier = "MESSAGING_TIER", "The account wrote to as many different recipients as it may in 24 hours.";
    SpamRateLimit = "SPAM_RATE_LIMIT", "The number is restricted after blocks and reports.";
    UserMarketingCap = "USER_MARKETING_CAP", "The recipient got enough marketing for now.";
    ClassificationLimit = "CLASSIFICATION_LIMIT", "The account miscategorised too many templates.";
    FlowThrottled = "FLOW_THROTTLED", "The flow sent its messages of this hour.";
    TemplateCount = "TEMPLATE_COUNT", "The account has as many templates as it may.";
    RegistrationAttempts = "REGISTRATION_ATTEMPTS", "Too many registrations of the number.";
    PinAttempts = "PIN_ATTEMPTS", "Too many wrong PINs.";
    SessionRateLimit = "SESSION_RATE_LIMIT", "The session asks the provider too often.";
    NewChatTimelock = "NEW_CHAT_TIMELOCK", "The session may open no new chats for a while.";
    Network = "NETWORK", "The provider could not be reached; nothing was sent.";
    OutcomeUnknown = "OUTCOME_UNKNOWN", "The request may have been taken; no answer came.";
    ProviderUnavailable = "PROVIDER_UNAVAILABLE", "The provider is down or overloaded.";
    ProviderError = "PROVIDER_ERROR", "The provider failed without saying why.";
    NumberMaintenance = "NUMBER_MAINTENANCE", "The number is being moved or upgraded.";
    SessionDisconnected = "SESSION_DISCONNECTED", "The session is not connected.";
    SessionRestarting = "SESSION_RESTARTING", "The session is being connected again, as after linking.";
    SessionBad = "SESSION_BAD", "The session's state is broken, or its server failed.";
    SessionLoggedOut = "SESSION_LOGGED_OUT", "The session was unlinked and must be linked again.";
    SessionReplaced = "SESSION_REPLACED", "The session was opened elsewhere with the same keys.";
    ClientOutdated = "CLIENT_OUTDATED", "The provider refuses this version of the client.";
    AccountTempBanned = "ACCOUNT_TEMP_BANNED", "The account is banned for a while.";
    AccountBanned = "ACCOUNT_BANNED", "The account is banned.";
    AccountLocked = "ACCOUNT_LOCKED", "The account is locked.";
    AccountRestricted = "ACCOUNT_RESTRICTED", "The account is restricted by policy.";
    AccountActionRequired = "ACCOUNT_ACTION_REQUIRED", "The account's owner must act first.";
    AuthInvalid = "AUTH_INVALID", "The access token is invalid or expired.";
    PermissionDenied = "PERMISSION_DENIED", "The access token lacks a permission.";
    NumberNotReady = "NUMBER_NOT_READY", "The number is not registered or verified.";
    NumberGone = "NUMBER_GONE", "The number was deleted.";
    BillingBlocked = "BILLING_BLOCKED", "The account's payment does not work.";
    CountryRestricted = "COUNTRY_RESTRICTED", "The account may not write to this country.";
    WindowClosed = "WINDOW_CLOSED", "The recipient wrote too long ago; only templates may be sent.";
    TemplatePaused = "TEMPLATE_PAUSED", "The template is paused or still being prepared.";
    TemplateUnavailable = "TEMPLATE_UNAVAILABLE", "The template does not exist or may not be used.";
    TemplateParams = "TEMPLATE_PARAMS", "The template's parameters do not fit.";
    RecipientUnreachable = "RECIPIENT_UNREACHABLE", "The recipient can not get this message.";
    RecipientOptedOut = "RECIPIENT_OPTED_OUT", "The recipient stopped marketing from this business.";
    RecipientExperiment = "RECIPIENT_EXPERIMENT", "The recipient is in a provider's experiment.";
    RecipientBlockedByUs = "RECIPIENT_BLOCKED_BY_US", "This business has blocked the recipient.";
    RecipientNotAllowed = "RECIPIENT_NOT_ALLOWED", "A test number may not write to this recipient.";
    RequestRejected = "REQUEST_REJECTED", "The provider refused the request's content.";
    ObjectMissing = "OBJECT_MISSING", "The number, template or media that the request names does not exist.";
    StanzaRejected = "STANZA_REJECTED", "The provider could not read the message; the recipient's devices may have changed.";
    InboundMedia = "INBOUND_MEDIA", "Media that the recipient sent could not be loaded.";
    MediaRejected = "MEDIA_REJECTED", "The provider refused the media.";
    MediaUploading = "MEDIA_UPLOADING", "The media is on its way to the provider.";
    RenderFailed = "RENDER_FAILED", "The message could not be made from the recipient's variables.";
    AttemptsExhausted = "ATTEMPTS_EXHAUSTED", "Every allowed attempt was deferred.";
    Expired = "EXPIRED", "It was not sent before it expired.";
    OptedOut = "OPTED_OUT", "The recipient wants no campaigns of this tenant.";
    Duplicate = "DUPLICATE", "The recipient got a message of the tenant's campaigns a short time ago.";
}

impl Reason {
    /// Tells whether another try can not help as long as recipient and message are the same.
    #[must_use]
    pub fn is_final_for_recipient(self) -> bool {
        matches!(
            self,
            Self::RecipientUnreachable
                | Self::RecipientOptedOut
                | Self::RecipientExperiment
                | Self::RecipientBlockedByUs
                | Self::RecipientNotAllowed
                | Self::RenderFailed
        )
    }

    /// Reads the word kept in the database.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
    }
}

/// Why an attempt did not end in acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The class that the API shows.
    pub class: FailureClass,
    /// The reason that drives the reaction.
    pub reason: Reason,
    /// Whom it concerns.
    pub scope: Scope,
    /// Whether another attempt makes sense.
    pub retry: Retry,
    /// What the dispatcher does about it.
    pub handling: Handling,
    /// The provider's own code with its name space: `graph:131056`, `http:503`.
    pub provider_code: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_are_unique() {
        for &reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(FailureClass::parse("LIMIT_EXCEEDED"), Some(FailureClass::LimitExceeded));
    }

    #[test]
    fn handlings_have_words_of_their_own_and_are_ordered() {
        let words: std::collections::HashSet<_> = Handling::ALL.iter().map(|handling| handling.as_str()).collect();
        assert_eq!(words.len(), Handling::ALL.len());
        assert!(!Handling::HoldStream.is_lane_wide() && Handling::Throttle.is_lane_wide());
    }

    #[test]
    fn only_wide_scopes_hold_a_lane() {
        assert!(!Scope::Pair.holds_lane() && !Scope::Template.holds_lane());
        assert!(Scope::Number.holds_lane() && Scope::Platform.holds_lane());
    }
}
