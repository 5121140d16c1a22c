//! Access tokens: short proofs of who is calling, checked without the database.
//!
//! Refresh tokens are [`crate::service::auth`].

use secrecy::SecretString;

use crate::domain::id::{TenantId, UserId};
use crate::domain::user::Role;

/// Who is calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The person.
    pub user_id: UserId,
    /// Whose data the person works on.
    pub tenant_id: TenantId,
    /// What the person may do.
    pub role: Role,
}

/// A key that signs access tokens.
#[derive(Debug, Clone)]
pub struct JwtKey {
    /// Its name, carried by each token.
    pub kid: String,
    /// At least 32 bytes.
    pub secret: SecretString,
}
