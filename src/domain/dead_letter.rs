//! Why a record of the job topic could not be read or admitted.
//!
//! Only the words; keeping the record is for the broker's side.

use crate::domain::words::words;

words! {
    /// Why a record became a dead letter; the words are those of its header and of the metrics.
    DeadCause {
        /// Not JSON, or not of the form of a job.
        Unreadable = "UNREADABLE",
        /// A version of the wire form that this code does not know.
        UnknownVersion = "UNKNOWN_VERSION",
        /// No delivery, or more than a job may have.
        DeliveryCount = "DELIVERY_COUNT",
        /// The session or the campaign belongs to another tenant.
        ForeignTenant = "FOREIGN_TENANT",
        /// There is no such session.
        UnknownSession = "UNKNOWN_SESSION",
        /// A delivery's id was seen before with another content.
        ConflictingId = "CONFLICTING_ID",
        /// The record is larger than a job may be.
        OverSize = "OVER_SIZE",
        /// The job came after its own expiry.
        Expired = "EXPIRED",
    }
}

impl std::fmt::Display for DeadCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
