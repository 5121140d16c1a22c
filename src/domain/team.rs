//! Who of a team may do what to whom: roles given, people removed, the tenant handed over.
//!
//! Decides on the roles of now, which the caller reads under a lock; changes nothing.

use crate::domain::ability::Ability;
use crate::domain::user::Role;
use crate::domain::words::words;

/// What is to become of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// Another role.
    Role(Role),
    /// No member any more.
    Remove,
    /// The owner, and whoever asks becomes an admin.
    MakeOwner,
}

/// The roles that a decision is about, as they are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Of whoever asks; none when that is no member any more.
    pub by: Option<Role>,
    /// Of whom it is about.
    pub member: Role,
    /// How many owners there are.
    pub n_owners: i64,
}

words! {
    /// Why a change of a team is refused.
    TeamRefusal {
        /// Whoever asks may not manage the team, or not this one of it.
        NotAllowed = "not_allowed",
        /// The role is more than whoever asks has.
        AboveOwn = "above_own",
        /// Somebody must own the tenant.
        LastOwner = "last_owner",
        /// That is an owner already.
        OwnerAlready = "owner_already",
    }
}

words! {
    /// Where an invitation stands.
    InvitationState {
        /// It can be accepted, until it expires.
        Open = "open",
        /// It was used.
        Accepted = "accepted",
        /// It was taken back.
        Withdrawn = "withdrawn",
        /// There is a newer one.
        Replaced = "replaced",
    }
}

impl Role {
    /// Tells whether people can be given this role in a team.
    #[must_use]
    pub fn is_of_team(self) -> bool {
        self != Self::Operator
    }

    /// Tells whether the role is at least as powerful as another one of a team.
    #[must_use]
    pub fn reaches(self, other: Self) -> bool {
        // In the order in which they are declared, the most powerful first.
        self.is_of_team() && other.is_of_team() && self as u8 <= other as u8
    }

    /// Tells whether somebody in this role may invite people into another one.
    ///
    /// # Errors
    /// `NotAllowed`, `AboveOwn`.
    pub fn may_grant(self, role: Self) -> Result<(), TeamRefusal> {
        match self.may(Ability::ManageTeam) {
            false => Err(TeamRefusal::NotAllowed),
            true if self.reaches(role) => Ok(()),
            true => Err(TeamRefusal::AboveOwn),
        }
    }
}

impl MemberChange {
    /// Tells whether it may be made.
    ///
    /// # Errors
    /// Why not.
    pub fn check(self, standing: Standing) -> Result<(), TeamRefusal> {
        let Standing { by: Some(by), member, n_owners } = standing else { return Err(TeamRefusal::NotAllowed) };
        let ability = if self == Self::MakeOwner { Ability::TransferOwnership } else { Ability::ManageTeam };
        if !by.may(ability) || !by.reaches(member) {
            return Err(TeamRefusal::NotAllowed);
        }
        let leaves_owners = member == Role::Owner && n_owners <= 1;
        match self {
            Self::MakeOwner if member == Role::Owner => Err(TeamRefusal::OwnerAlready),
            Self::Role(role) if !by.reaches(role) => Err(TeamRefusal::AboveOwn),
            Self::Role(Role::Owner) | Self::MakeOwner => Ok(()),
            Self::Role(_) | Self::Remove if leaves_owners => Err(TeamRefusal::LastOwner),
            Self::Role(_) | Self::Remove => Ok(()),
        }
    }

    /// Tells whether a member can do less after it, so that what was given out in their name is looked at again.
    #[must_use]
    pub fn lowers(self, before: Role) -> bool {
        match self {
            Self::Role(role) => !role.reaches(before),
            Self::Remove => true,
            Self::MakeOwner => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEAM: [Role; 4] = [Role::Owner, Role::Admin, Role::Agent, Role::Viewer];

    fn check(change: MemberChange, by: Role, member: Role, n_owners: i64) -> Result<(), TeamRefusal> {
        change.check(Standing { by: Some(by), member, n_owners })
    }

    /// Whoever asks, whomever it is about and whatever role is given, with one owner and with two.
    #[test]
    fn golden_table() {
        let letter = |result: Result<(), TeamRefusal>| match result {
            Ok(()) => 'y',
            Err(TeamRefusal::NotAllowed) => '-',
            Err(TeamRefusal::AboveOwn) => 'a',
            Err(TeamRefusal::LastOwner) => 'l',
            Err(TeamRefusal::OwnerAlready) => 'o',
        };
        let mut table = "by     member  roles remove make-owner\n".to_owned();
        for by in TEAM {
            for member in TEAM {
                let n_owners = 1 + i64::from(by == Role::Owner && member == Role::Owner);
                let roles: String =
                    TEAM.iter().map(|role| letter(check(MemberChange::Role(*role), by, member, n_owners))).collect();
                let remove = letter(check(MemberChange::Remove, by, member, n_owners));
                let owner = letter(check(MemberChange::MakeOwner, by, member, n_owners));
                table += &format!("{:6} {:7} {roles}  {remove}      {owner}\n", by.as_str(), member.as_str());
            }
        }
        insta::assert_snapshot!(table, @r"
        by     member  roles remove make-owner
        owner  owner   yyyy  y      o
        owner  admin   yyyy  y      y
        owner  agent   yyyy  y      y
        owner  viewer  yyyy  y      y
        admin  owner   ----  -      -
        admin  admin   ayyy  y      -
        admin  agent   ayyy  y      -
        admin  viewer  ayyy  y      -
        agent  owner   ----  -      -
        agent  admin   ----  -      -
        agent  agent   ----  -      -
        agent  viewer  ----  -      -
        viewer owner   ----  -      -
        viewer admin   ----  -      -
        viewer agent   ----  -      -
        viewer viewer  ----  -      -
        ");
    }

    #[test]
    fn somebody_owns_the_tenant() {
        for role in [Role::Admin, Role::Agent, Role::Viewer] {
            let lowered = check(MemberChange::Role(role), Role::Owner, Role::Owner, 1);
            assert_eq!(lowered, Err(TeamRefusal::LastOwner));
        }
        assert_eq!(check(MemberChange::Remove, Role::Owner, Role::Owner, 1), Err(TeamRefusal::LastOwner));
        assert_eq!(check(MemberChange::Role(Role::Owner), Role::Owner, Role::Owner, 1), Ok(()));
    }

    #[test]
    fn nobody_grants_more_than_they_have() {
        for by in Role::ALL {
            for role in Role::ALL {
                let granted = by.may_grant(role).is_ok();
                let expected = matches!(
                    (by, role),
                    (Role::Owner, Role::Owner | Role::Admin | Role::Agent | Role::Viewer)
                        | (Role::Admin, Role::Admin | Role::Agent | Role::Viewer)
                );
                assert_eq!(granted, expected, "{by:?} {role:?}");
            }
        }
        let gone = Standing { by: None, member: Role::Viewer, n_owners: 1 };
        assert_eq!(MemberChange::Remove.check(gone), Err(TeamRefusal::NotAllowed));
    }
}
