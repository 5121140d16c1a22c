//! People who log in: their roles.
//!
//! What each role may do stands in [`crate::domain::ability`]; passwords and tokens are `service::auth`.

use serde::{Deserialize, Serialize};

/// What a person may do inside a tenant, most powerful first; [`Role::Operator`] runs the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, including billing and the tenant itself.
    Owner,
    /// Everything but billing and the tenant itself.
    Admin,
    /// Sends and answers.
    Agent,
    /// Only looks.
    Viewer,
    /// Runs the platform; belongs to no customer's team.
    Operator,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Agent, Self::Viewer, Self::Operator];

    /// Returns the word kept in the database and shown by the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Agent => "agent",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }

    /// Reads the word kept in the database.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
    }
}
