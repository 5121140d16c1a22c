//! What a program with an API key may do: scopes.
//!
//! Does not know secrets; those are `service::api_keys`.

use serde::{Deserialize, Serialize};

macro_rules! scopes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// One thing that a key may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Scope {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl Scope {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the word kept in the database and shown by the API.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// Reads the word kept in the database.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|scope| scope.as_str() == word)
            }
        }
    };
}

scopes! {
    /// See whose key it is, and what was used of the plan.
    AccountRead = "account:read",
    /// See sessions.
    SessionsRead = "sessions:read",
    /// See messages.
    MessagesRead = "messages:read",
    /// Send messages.
    MessagesSend = "messages:send",
    /// See contacts.
    ContactsRead = "contacts:read",
    /// Make, change and delete contacts.
    ContactsWrite = "contacts:write",
    /// See campaigns.
    CampaignsRead = "campaigns:read",
    /// Make, start and stop campaigns.
    CampaignsWrite = "campaigns:write",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for &scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
        assert_eq!(Scope::parse("everything"), None);
    }
}
