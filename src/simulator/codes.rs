//! What Meta says with each error code: its title, and the HTTP status of its older published table.
//!
//! From Meta, "Cloud API error codes"; the current table has no HTTP column any more and says to branch on the code, so the
//! status is a default that a fault file may change. Holds no rule about what a sender should make of a code.

/// One code of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// The number that senders branch on.
    pub(crate) code: u32,
    /// Status of the answer.
    pub(crate) http: u16,
    /// Short text, part of `message`.
    pub(crate) title: &'static str,
}

/// The codes that a send can meet, in order.
const TABLE: &[Known] = &[
    known(0, 401, "AuthException"),
    known(1, 400, "API Unknown"),
    known(2, 503, "API Service"),
    known(3, 500, "API Method"),
    known(4, 429, "API Too Many Calls"),
    known(10, 403, "Permission Denied"),
    known(33, 400, "Parameter value is not valid"),
    known(100, 400, "Invalid parameter"),
    known(190, 401, "Invalid OAuth access token"),
    known(200, 403, "API Permission"),
    known(368, 403, "Temporarily blocked for policies violations"),
    known(2_500, 404, "Unknown path components"),
    known(80_007, 429, "Rate limit issues"),
    known(130_403, 400, "User blocked by the business"),
    known(130_429, 429, "Rate limit hit"),
    known(130_472, 400, "User's number is part of an experiment"),
    known(130_497, 403, "Business account is restricted from messaging users in this country"),
    known(131_000, 500, "Something went wrong"),
    known(131_005, 403, "Access denied"),
    known(131_008, 400, "Required parameter is missing"),
    known(131_009, 400, "Parameter value is not valid"),
    known(131_016, 500, "Service unavailable"),
    known(131_021, 400, "Recipient cannot be sender"),
    known(131_026, 400, "Message undeliverable"),
    known(131_030, 400, "Recipient phone number not in allowed list"),
    known(131_031, 403, "Account has been locked"),
    known(131_037, 400, "WhatsApp provided number needs display name approval before message can be sent"),
    known(131_042, 400, "Business eligibility payment issue"),
    known(131_045, 500, "Incorrect certificate"),
    known(131_047, 400, "Re-engagement message"),
    known(131_048, 429, "Spam rate limit hit"),
    known(131_049, 400, "This message was not delivered to maintain healthy ecosystem engagement"),
    known(131_050, 400, "User has stopped marketing messages from this business"),
    known(131_051, 400, "Unsupported message type"),
    known(131_053, 400, "Media upload error"),
    known(131_056, 429, "(Business Account, Consumer Account) pair rate limit hit"),
    known(131_057, 500, "Account in maintenance mode"),
    known(131_064, 400, "Account limited for template classification violations"),
    known(132_000, 400, "Template param count mismatch"),
    known(132_001, 404, "Template does not exist"),
    known(132_005, 400, "Template hydrated text too long"),
    known(132_007, 400, "Template format character policy violated"),
    known(132_012, 400, "Template parameter format mismatch"),
    known(132_015, 400, "Template is paused"),
    known(132_016, 400, "Template is disabled"),
    known(133_004, 503, "Server temporarily unavailable"),
    known(133_010, 400, "Phone number not registered"),
    known(135_000, 400, "Generic user error"),
];

const fn known(code: u32, http: u16, title: &'static str) -> Known {
    Known { code, http, title }
}

/// Returns what is said with a code; one that is not in the table is an unknown error with HTTP 400.
pub(crate) fn find(code: u32) -> Known {
    TABLE
        .binary_search_by_key(&code, |known| known.code)
        .map_or(Known { code, http: 400, title: "Unknown error" }, |at| TABLE[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_order_and_found() {
        assert!(TABLE.is_sorted_by_key(|known| known.code));
        assert_eq!(find(130_429), known(130_429, 429, "Rate limit hit"));
        assert_eq!(find(424_242), known(424_242, 400, "Unknown error"));
    }
}
