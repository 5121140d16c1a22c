//! What each role may do: the one table, from which guards, documentation and tests are made.
//!
//! Says nothing of API keys, which have scopes, and nothing of whom a role may act upon: see [`crate::domain::team`].

use crate::domain::user::Role;
use crate::domain::words::words;

words! {
    /// Something that a call may take.
    Ability {
        /// To see what the tenant has.
        Look = "look",
        /// To change one's own account: name, address, password, log-ins.
        OwnAccount = "own_account",
        /// To make, change and send: sessions, messages, contacts, campaigns, files, templates, webhooks.
        Write = "write",
        /// To make and take back API keys.
        ManageKeys = "manage_keys",
        /// To invite people, give them roles, and remove them.
        ManageTeam = "manage_team",
        /// To read who changed what.
        ReadAudit = "read_audit",
        /// To choose and pay for a plan.
        ManageBilling = "manage_billing",
        /// To change the tenant itself.
        ManageTenant = "manage_tenant",
        /// To hand the tenant over to somebody else.
        TransferOwnership = "transfer_ownership",
        /// To run the platform.
        Operate = "operate",
    }
}

impl Ability {
    /// Returns who has it: the table.
    #[must_use]
    pub fn roles(self) -> &'static [Role] {
        use Role::{Admin, Agent, Operator, Owner, Viewer};
        match self {
            Self::Look | Self::OwnAccount => &[Owner, Admin, Agent, Viewer, Operator],
            Self::Write => &[Owner, Admin, Agent, Operator],
            Self::ManageKeys | Self::ManageTeam | Self::ReadAudit => &[Owner, Admin],
            Self::ManageBilling | Self::ManageTenant | Self::TransferOwnership => &[Owner],
            Self::Operate => &[Operator],
        }
    }

    /// Returns what it is, for people.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Look => "See sessions, messages, contacts, campaigns, usage and the team",
            Self::OwnAccount => "Change their own account: name, address, password, log-ins",
            Self::Write => "Make, change and send: sessions, messages, contacts, campaigns, files, templates, webhooks",
            Self::ManageKeys => "Make and take back API keys",
            Self::ManageTeam => "Invite people, give them roles up to their own, remove them",
            Self::ReadAudit => "Read and export the audit log",
            Self::ManageBilling => "Choose and pay for a plan",
            Self::ManageTenant => "Change the tenant itself",
            Self::TransferOwnership => "Hand the tenant over",
            Self::Operate => "Run the platform (`/ops`)",
        }
    }

    /// Tells whether it is worth asking the database for the role of now: a token may say what was true a moment ago.
    #[must_use]
    pub fn is_of_few(self) -> bool {
        !matches!(self, Self::Look | Self::OwnAccount | Self::Write)
    }
}

impl Role {
    /// Tells whether the role may do something.
    #[must_use]
    pub fn may(self, ability: Ability) -> bool {
        ability.roles().contains(&self)
    }
}

/// Writes the table as the documentation shows it.
#[must_use]
pub fn table() -> String {
    let mut text = "| May |".to_owned();
    for role in Role::ALL {
        text += &format!(" {} |", role.as_str());
    }
    text += &format!("\n|---|{}\n", "---|".repeat(Role::ALL.len()));
    for ability in Ability::ALL {
        text += &format!("| {} |", ability.in_words());
        for role in Role::ALL {
            text += if role.may(*ability) { " yes |" } else { " – |" };
        }
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in `README.md` is the table.
    #[test]
    fn the_documented_table_is_this_one() {
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
        assert!(readme.contains(&table()), "README.md should have:\n{}", table());
    }

    #[test]
    fn more_powerful_roles_may_do_whatever_the_next_one_may() {
        let ranks = [Role::Owner, Role::Admin, Role::Agent, Role::Viewer];
        for pair in ranks.windows(2) {
            let lost = Ability::ALL.iter().find(|ability| pair[1].may(**ability) && !pair[0].may(**ability));
            assert_eq!(lost, None, "{pair:?}");
        }
        for ability in Ability::ALL {
            assert!(!ability.roles().is_empty(), "{ability:?}");
        }
    }
}
