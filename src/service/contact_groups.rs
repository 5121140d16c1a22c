//! Groups of contacts: made, renamed, removed, filled.
//!
//! A group is a list of contacts and nothing else; campaigns take what is in it when they are made.

use std::collections::HashSet;

use crate::domain::id::{ContactId, GroupId, TenantId};
use crate::error::{Error, Problems, Result};
use crate::service::Tools;
use crate::service::check::check_name;
use crate::service::contacts::check_count;
use crate::service::plans::check_active;
use crate::store::contact_groups::GroupRecord;

/// Characters of a group's name, at most.
const NAME_CHARS_MAX: usize = 100;

/// What became of contacts that were put into a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddedContacts {
    /// Those that were not in it.
    pub added: u64,
    /// Those that were.
    pub duplicates: u64,
}

/// Keeps groups of contacts.
#[derive(Debug, Clone)]
pub struct ContactGroupService {
    tools: Tools,
}

impl ContactGroupService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self { tools }
    }

    /// Makes a group without contacts.
    ///
    /// # Errors
    /// `Validation` or `Conflict` on `name`; `SubscriptionInactive`.
    pub async fn create(&self, tenant_id: TenantId, name: &str) -> Result<GroupRecord> {
        let mut problems = Problems::default();
        let name = check_name("name", name, NAME_CHARS_MAX, &mut problems);
        problems.check()?;
        check_active(&self.tools, tenant_id).await?;
        let created_at_ms = self.tools.clock.now().as_ms();
        let group = GroupRecord { id: GroupId::generate(), tenant_id, name, n_contacts: 0, created_at_ms };
        if self.tools.store.contact_groups().insert(&group).await? { Ok(group) } else { Err(taken()) }
    }

    /// Renames a group; does nothing when no name is given.
    ///
    /// # Errors
    /// `NotFound`; `Validation` or `Conflict` on `name`.
    pub async fn rename(&self, tenant_id: TenantId, id: GroupId, name: Option<String>) -> Result<GroupRecord> {
        let group = self.find(tenant_id, id).await?;
        let Some(name) = name else { return Ok(group) };
        let mut problems = Problems::default();
        let name = check_name("name", &name, NAME_CHARS_MAX, &mut problems);
        problems.check()?;
        if !self.tools.store.contact_groups().rename(tenant_id, id, &name).await? {
            self.find(tenant_id, id).await?;
            return Err(taken());
        }
        self.find(tenant_id, id).await
    }

    /// Removes a group; its contacts stay.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove(&self, tenant_id: TenantId, id: GroupId) -> Result<()> {
        let removed = self.tools.store.contact_groups().remove(tenant_id, id).await?;
        if removed { Ok(()) } else { Err(Error::NotFound("group")) }
    }

    /// Puts contacts into a group, all of them or none.
    ///
    /// # Errors
    /// `NotFound`; `Validation` by the fields `contactIds` and `contactIds[n]`.
    pub async fn add(&self, tenant_id: TenantId, id: GroupId, contacts: &[ContactId]) -> Result<AddedContacts> {
        self.find(tenant_id, id).await?;
        check_count("contactIds", contacts.len())?;
        let mut problems = Problems::default();
        check_known(&self.tools, tenant_id, contacts, &mut problems).await?;
        problems.check()?;
        let added = self.tools.store.contact_groups().add(tenant_id, id, contacts).await?;
        let n = u64::try_from(contacts.len()).unwrap_or(u64::MAX);
        Ok(AddedContacts { added, duplicates: n.saturating_sub(added) })
    }

    /// Takes a contact out of a group.
    ///
    /// # Errors
    /// `NotFound` when the group is not there, or the contact is not in it.
    pub async fn take_out(&self, tenant_id: TenantId, id: GroupId, contact: ContactId) -> Result<()> {
        self.find(tenant_id, id).await?;
        let taken_out = self.tools.store.contact_groups().take_out(tenant_id, id, contact).await?;
        if taken_out { Ok(()) } else { Err(Error::NotFound("contact in this group")) }
    }

    async fn find(&self, tenant_id: TenantId, id: GroupId) -> Result<GroupRecord> {
        self.tools.store.contact_groups().find(tenant_id, id).await?.ok_or(Error::NotFound("group"))
    }
}

/// Notes which of some contacts are not the tenant's.
pub(super) async fn check_known(
    tools: &Tools,
    tenant_id: TenantId,
    contacts: &[ContactId],
    problems: &mut Problems,
) -> Result<()> {
    let known = tools.store.contacts().known_ids(tenant_id, contacts).await?;
    let known: HashSet<ContactId> = known.into_iter().collect();
    for (place, _) in contacts.iter().enumerate().filter(|(_, id)| !known.contains(id)) {
        problems.push(format!("contactIds[{place}]"), "There is no such contact");
    }
    Ok(())
}

fn taken() -> Error {
    Error::Conflict { message: "There is a group with this name already.".into(), field: Some("name") }
}
