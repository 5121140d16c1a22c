//! What tenants are told at addresses of theirs: the events, when they are tried again, and the body.
//!
//! Signing is [`signature`]. Whom an event concerns is the store's to find.

use std::time::Duration;

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use crate::domain::campaign::CampaignState;
use crate::domain::delivery::DeliveryState;
use crate::domain::id::{TenantId, WebhookDeliveryId};
use crate::domain::session::SessionState;
use crate::domain::words::words;

pub mod signature;

/// How long both secrets sign after a new one was made: 24 hours.
pub const SECRET_OVERLAP: Duration = Duration::from_secs(24 * 3_600);

/// How long nothing may arrive at an address before it is told nothing any more: 3 days.
pub const FAILING_MAX: Duration = Duration::from_secs(3 * 86_400);

/// When attempts are made, counted from the first.
const ATTEMPTS_AT: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(3_600),
    Duration::from_secs(6 * 3_600),
];

/// Returns how long after attempt `n_attempts` the next one is made; none when that was the last.
#[must_use]
pub fn wait_after(n_attempts: u32) -> Option<Duration> {
    let made = usize::try_from(n_attempts).ok()?;
    let last = ATTEMPTS_AT.get(made.checked_sub(1)?)?;
    ATTEMPTS_AT.get(made).map(|next| *next - *last)
}

words! {
    /// What tenants can be told; the documented ones first.
    WebhookEvent {
        /// A recipient wrote to a session.
        MessageReceived = "message.received",
        /// The provider took a message.
        MessageSent = "message.sent",
        /// A session can send.
        SessionConnected = "session.connected",
        /// A session can not send until somebody does something.
        SessionDisconnected = "session.disconnected",
        /// The last delivery of a campaign is settled.
        CampaignCompleted = "campaign.completed",
        /// A message reached the phone.
        MessageDelivered = "message.delivered",
        /// A message was read.
        MessageRead = "message.read",
        /// A message will not arrive.
        MessageFailed = "message.failed",
        /// Whether a message arrived is not known.
        MessageUnknown = "message.unknown",
        /// A session waits for this code to be scanned.
        SessionQr = "session.qr",
        /// A session was unlinked.
        SessionLoggedOut = "session.logged_out",
        /// A campaign was started.
        CampaignStarted = "campaign.started",
        /// A campaign was paused, by a person or by itself.
        CampaignPaused = "campaign.paused",
        /// A campaign goes on.
        CampaignResumed = "campaign.resumed",
        /// A campaign can not go on.
        CampaignFailed = "campaign.failed",
        /// Somebody wants no campaigns any more.
        ContactOptedOut = "contact.opted_out",
        /// The plan or the state of the subscription is another one.
        SubscriptionUpdated = "subscription.updated",
        /// Somebody asked for a test.
        Test = "webhook.test",
    }
}

impl WebhookEvent {
    /// Says what is told of a message that has come to a state.
    #[must_use]
    pub fn of_message(state: DeliveryState) -> Option<Self> {
        match state {
            DeliveryState::Sent => Some(Self::MessageSent),
            DeliveryState::Delivered => Some(Self::MessageDelivered),
            DeliveryState::Read => Some(Self::MessageRead),
            DeliveryState::Failed => Some(Self::MessageFailed),
            DeliveryState::Unknown => Some(Self::MessageUnknown),
            DeliveryState::Pending | DeliveryState::Sending | DeliveryState::Skipped | DeliveryState::Cancelled => None,
        }
    }

    /// Says what is told of a session that has come to a state.
    #[must_use]
    pub fn of_session(state: SessionState) -> Option<Self> {
        match state {
            SessionState::Connected => Some(Self::SessionConnected),
            SessionState::Disconnected | SessionState::Banned => Some(Self::SessionDisconnected),
            SessionState::LoggedOut => Some(Self::SessionLoggedOut),
            // Each code is told, not only the first.
            SessionState::QrPending | SessionState::Connecting | SessionState::Reconnecting => None,
        }
    }

    /// Says what is told of a campaign that went from one state to another.
    #[must_use]
    pub fn of_campaign(from: CampaignState, to: CampaignState) -> Option<Self> {
        match to {
            CampaignState::Running if matches!(from, CampaignState::Draft | CampaignState::Scheduled) => {
                Some(Self::CampaignStarted)
            }
            CampaignState::Running => Some(Self::CampaignResumed),
            CampaignState::Paused => Some(Self::CampaignPaused),
            CampaignState::Completed => Some(Self::CampaignCompleted),
            CampaignState::Failed => Some(Self::CampaignFailed),
            CampaignState::Draft | CampaignState::Scheduled | CampaignState::Cancelled => None,
        }
    }
}

/// Why an attempt did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WebhookProblem {
    /// The receiver answered with something else than 2xx.
    HttpStatus,
    /// No answer in time.
    Timeout,
    /// No connection: no such name, nobody there, or no trust.
    NotConnected,
    /// The connection broke before the answer.
    NoAnswer,
    /// The address is not one of the public internet.
    AddressNotAllowed,
}

impl WebhookProblem {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::HttpStatus, Self::Timeout, Self::NotConnected, Self::NoAnswer, Self::AddressNotAllowed];

    /// Returns the word of the API and of the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HttpStatus => "HTTP_STATUS",
            Self::Timeout => "TIMEOUT",
            Self::NotConnected => "NOT_CONNECTED",
            Self::NoAnswer => "NO_ANSWER",
            Self::AddressNotAllowed => "ADDRESS_NOT_ALLOWED",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|problem| problem.as_str() == word)
    }
}

/// Why an address is told nothing any more though nobody asked for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledReason {
    /// Nothing arrived for [`FAILING_MAX`].
    Failing,
    /// The receiver answered 410: it is not there any more.
    Gone,
    /// Nothing arrived, and more waited than is kept for it.
    Backlog,
}

impl DisabledReason {
    /// Returns the word of the API and of the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "FAILING",
            Self::Gone => "GONE",
            Self::Backlog => "BACKLOG",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Failing, Self::Gone, Self::Backlog].into_iter().find(|reason| reason.as_str() == word)
    }
}

/// What is posted. The same delivery has the same bytes at every attempt.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookBody<'a> {
    /// Names it, also when it comes again.
    pub id: WebhookDeliveryId,
    /// What happened.
    pub event: WebhookEvent,
    /// To whom.
    pub tenant_id: TenantId,
    /// When it happened.
    #[serde(serialize_with = "with_milliseconds")]
    pub timestamp: OffsetDateTime,
    /// What the event tells.
    pub data: &'a RawValue,
}

/// Times as the API writes them, always with milliseconds.
const FORM: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Writes UTC milliseconds as a time of what is told; none when no calendar has it.
#[must_use]
pub fn written_time(ms: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?.format(FORM).ok()
}

fn with_milliseconds<S: Serializer>(time: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    let text = time.to_offset(UtcOffset::UTC).format(FORM).map_err(S::Error::custom)?;
    serializer.serialize_str(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_made_at_their_times() {
        let mut at = Duration::ZERO;
        let mut times = vec![at.as_secs()];
        for n_attempts in 1.. {
            let Some(wait) = wait_after(n_attempts) else { break };
            at += wait;
            times.push(at.as_secs());
        }
        assert_eq!(times, [0, 30, 120, 600, 3_600, 21_600]);
        assert_eq!((wait_after(0), wait_after(u32::MAX)), (None, None));
    }

    #[test]
    fn golden_body() {
        let data = RawValue::from_string(r#"{"status":"read"}"#.to_owned()).unwrap();
        let body = WebhookBody {
            id: WebhookDeliveryId(uuid::Uuid::from_u128(1)),
            event: WebhookEvent::MessageRead,
            tenant_id: TenantId(uuid::Uuid::from_u128(2)),
            timestamp: OffsetDateTime::from_unix_timestamp(1_769_846_400).unwrap(),
            data: &data,
        };
        insta::assert_snapshot!(
            serde_json::to_string(&body).unwrap(),
            @r#"{"id":"00000000-0000-0000-0000-000000000001","event":"message.read","tenantId":"00000000-0000-0000-0000-000000000002","timestamp":"2026-01-31T08:00:00.000Z","data":{"status":"read"}}"#
        );
    }

    #[test]
    fn words_are_the_same_everywhere() {
        for event in WebhookEvent::ALL {
            assert_eq!(WebhookEvent::parse(event.as_str()), Some(*event));
            assert_eq!(serde_json::to_value(event).expect("a word"), event.as_str());
        }
        for problem in WebhookProblem::ALL {
            assert_eq!(WebhookProblem::parse(problem.as_str()), Some(problem));
        }
        for reason in [DisabledReason::Failing, DisabledReason::Gone, DisabledReason::Backlog] {
            assert_eq!(DisabledReason::parse(reason.as_str()), Some(reason));
        }
    }

    #[test]
    fn a_campaign_that_goes_on_was_not_started_again() {
        use CampaignState as S;
        let told = |from, to| WebhookEvent::of_campaign(from, to).map(WebhookEvent::as_str);
        assert_eq!(told(S::Draft, S::Running), Some("campaign.started"));
        assert_eq!(told(S::Scheduled, S::Running), Some("campaign.started"));
        assert_eq!(told(S::Paused, S::Running), Some("campaign.resumed"));
        assert_eq!(told(S::Completed, S::Running), Some("campaign.resumed"));
        assert_eq!(told(S::Running, S::Paused), Some("campaign.paused"));
        assert_eq!(told(S::Running, S::Completed), Some("campaign.completed"));
        assert_eq!(told(S::Running, S::Cancelled), None);
    }
}
