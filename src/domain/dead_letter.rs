//! Why a record of the job topic could not be read or admitted.
//!
//! Only the words; keeping the record is for the broker's side.

macro_rules! causes {
    ($($variant:ident = $word:literal, $doc:literal;)*) => {
        /// Why a record became a dead letter; the words are those of its header and of the metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DeadCause {
            $(#[doc = $doc] $variant,)*
        }

        impl DeadCause {
            /// All causes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the word on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// Reads the word on the wire.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|cause| cause.as_str() == word)
            }
        }
    };
}

causes! {
    Unreadable = "UNREADABLE", "Not JSON, or not of the form of a job.";
    UnknownVersion = "UNKNOWN_VERSION", "A version of the wire form that this code does not know.";
    DeliveryCount = "DELIVERY_COUNT", "No delivery, or more than a job may have.";
    ForeignTenant = "FOREIGN_TENANT", "The session or the campaign belongs to another tenant.";
    UnknownSession = "UNKNOWN_SESSION", "There is no such session.";
    ConflictingId = "CONFLICTING_ID", "A delivery's id was seen before with another content.";
    OverSize = "OVER_SIZE", "The record is larger than a job may be.";
    Expired = "EXPIRED", "The job came after its own expiry.";
}

impl std::fmt::Display for DeadCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
