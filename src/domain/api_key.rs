//! What a program with an API key may do: scopes.
//!
//! Does not know secrets; those are `service::api_keys`.

use crate::domain::words::words;

words! {
    /// One thing that a key may do.
    Scope {
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
