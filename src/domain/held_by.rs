//! Why a message, a campaign or a lane does not send just now: one word, since when and until when.
//!
//! The same words are shown by the API and used as labels of the waiting time. Which one binds is decided
//! where the limits are; this file only says what they mean.

use crate::domain::moment::Moment;

macro_rules! constraints {
    ($($variant:ident = $word:literal, $doc:literal;)*) => {
        /// The one constraint that binds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum HeldBy {
            $(#[doc = $doc] $variant,)*
        }

        impl HeldBy {
            /// All of them, the widest first.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the word kept in the database, shown by the API and used as a label.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// Says what it means, in a sentence for people.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $doc,)*
                }
            }
        }
    };
}

constraints! {
    Stopped = "stopped", "An operator has stopped everything.";
    TenantSuspended = "tenant_suspended", "An operator has suspended the tenant.";
    SessionSuspended = "session_suspended", "An operator has suspended the session.";
    LaneSuspended = "lane_suspended", "An operator has suspended the lane.";
    SubscriptionInactive = "subscription_inactive", "The tenant's subscription is not active.";
    PlanMessages = "plan_messages", "The messages of the plan are used up.";
    Settings = "settings", "This version can not read the settings of the session or the campaign.";
    NoOwner = "no_owner", "No node drives the lane just now.";
    SessionDown = "session_down", "The session is not connected.";
    SessionLost = "session_lost", "The session is logged out or banned.";
    CampaignPaused = "campaign_paused", "A person has paused the campaign.";
    Guardrail = "guardrail", "The campaign went beyond its budget of failures and paused itself.";
    Canary = "canary", "The first recipients are out; the others wait for what becomes of them.";
    Account = "account", "The provider refuses the account, the app or everybody.";
    Number = "number", "The provider refuses the number.";
    SpamLimit = "spam_limit", "The provider has restricted the number after blocks and reports.";
    Tier = "tier", "As many different recipients as the provider allows in 24 hours have been written to.";
    NewChatTimelock = "new_chat_timelock", "The provider lets the number open no new chats.";
    Template = "template", "The provider has paused the template.";
    Media = "media", "The media of the campaign is on its way to the provider.";
    NotBefore = "not_before", "The message is not to go before its time.";
    SendingHours = "sending_hours", "It is outside the sending hours at the recipient's place.";
    DailyCap = "daily_cap", "The session has sent as much in 24 hours as it may.";
    HourlyCap = "hourly_cap", "The session has sent as much in an hour as it may.";
    ColdCap = "cold_cap", "The session has written to as many new recipients in 24 hours as it may.";
    WarmUp = "warm_up", "The session is too young to write to more new recipients today.";
    Break = "break", "The session takes a break.";
    SlowStart = "slow_start", "The session was connected a moment ago and begins slowly.";
    Throughput = "throughput", "The provider takes no more messages a second from the number.";
    ColdPace = "cold_pace", "The pace for new recipients.";
    CampaignPace = "campaign_pace", "The pace that the campaign sets for itself.";
    Pace = "pace", "The pace of the session.";
    Pair = "pair", "The recipient has just had a message from the number.";
    Retry = "retry", "The last attempt was put off by the provider.";
    Turn = "turn", "Other messages of the session go first.";
    Answers = "answers", "As many messages as may be are waiting for the provider's answer.";
}

impl HeldBy {
    /// Reads the word kept in the database.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|by| by.as_str() == word)
    }
}

/// A wait with its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// What binds.
    pub by: HeldBy,
    /// Since when.
    pub since: Moment,
    /// Until when, if time alone will lift it.
    pub until: Option<Moment>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_are_unique() {
        for &by in HeldBy::ALL {
            assert_eq!(HeldBy::parse(by.as_str()), Some(by));
        }
    }
}
