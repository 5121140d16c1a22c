//! Recipients of a campaign that are contacts: named one by one, or by their groups.
//!
//! They are read once, when the campaign is made: what the draft shows, and a forecast counts, is what is written to.
//! What becomes of contacts and groups afterwards changes neither recipients nor texts.

use std::collections::HashSet;

use crate::domain::campaign::PassOver;
use crate::domain::contact::variables_of;
use crate::domain::id::{CampaignId, ContactId, GroupId, TenantId};
use crate::error::{Error, Problems, Result};
use crate::limits::{
    CONTACT_STEP_MAX, CONTACTS_PER_CAMPAIGN_MAX, GROUPS_PER_CAMPAIGN_MAX, RECIPIENTS_PER_BODY_MAX,
    SKIP_DUPLICATES_HOURS_MAX,
};
use crate::service::Tools;
use crate::service::campaigns::{AddedRecipients, append};
use crate::service::contact_groups::check_known;
use crate::store::campaign_recipients::NewRecipient;
use crate::store::contacts::ContactRecord;

/// Contacts that a campaign is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audience {
    /// Those in these groups; at most 100 of the tenant's.
    pub group_ids: Vec<GroupId>,
    /// These; at most 10,000 of the tenant's.
    pub contact_ids: Vec<ContactId>,
}

impl Audience {
    /// Tells whether it names nobody.
    pub(super) fn is_empty(&self) -> bool {
        self.group_ids.is_empty() && self.contact_ids.is_empty()
    }

    /// Notes what is wrong with it, by the fields `groupIds` and `contactIds`.
    pub(super) async fn check(&self, tools: &Tools, tenant_id: TenantId, problems: &mut Problems) -> Result<()> {
        if RECIPIENTS_PER_BODY_MAX < self.contact_ids.len() {
            problems.push("contactIds", format!("must name at most {RECIPIENTS_PER_BODY_MAX}; make a group for more"));
        } else if !self.contact_ids.is_empty() {
            check_known(tools, tenant_id, &self.contact_ids, problems).await?;
        }
        if GROUPS_PER_CAMPAIGN_MAX < self.group_ids.len() {
            problems.push("groupIds", format!("must name at most {GROUPS_PER_CAMPAIGN_MAX}"));
            return Ok(());
        }
        let known = tools.store.contact_groups().known(tenant_id, &self.group_ids).await?;
        if CONTACTS_PER_CAMPAIGN_MAX < known.iter().map(|group| group.n_contacts).sum() {
            problems.push("groupIds", format!("must have at most {CONTACTS_PER_CAMPAIGN_MAX} contacts together"));
        }
        let known: HashSet<GroupId> = known.into_iter().map(|group| group.id).collect();
        for (place, _) in self.group_ids.iter().enumerate().filter(|(_, id)| !known.contains(id)) {
            problems.push(format!("groupIds[{place}]"), "There is no such group");
        }
        Ok(())
    }

    /// Adds its contacts to a draft, step by step; who is a recipient already is only counted.
    ///
    /// # Errors
    /// As [`append`]; what was added until then stays.
    pub(super) async fn add_to(
        &self,
        tools: &Tools,
        tenant_id: TenantId,
        campaign_id: CampaignId,
    ) -> Result<AddedRecipients> {
        let mut added = AddedRecipients::default();
        for ids in self.contact_ids.chunks(CONTACT_STEP_MAX as usize) {
            let contacts = tools.store.contacts().find_all(tenant_id, ids).await?;
            added += add(tools, tenant_id, campaign_id, &contacts).await?;
        }
        for group_id in &self.group_ids {
            let mut after = None;
            loop {
                let contacts = tools.store.contact_groups().step(tenant_id, *group_id, after).await?;
                let Some(last) = contacts.last() else { break };
                after = Some(last.id);
                added += add(tools, tenant_id, campaign_id, &contacts).await?;
            }
        }
        Ok(added)
    }
}

async fn add(
    tools: &Tools,
    tenant_id: TenantId,
    campaign_id: CampaignId,
    contacts: &[ContactRecord],
) -> Result<AddedRecipients> {
    let recipients = contacts.iter().map(recipient).collect::<Result<Vec<_>>>()?;
    let appended = append(tools, tenant_id, campaign_id, &recipients).await?;
    Ok(AddedRecipients::from(&appended))
}

fn recipient(contact: &ContactRecord) -> Result<NewRecipient> {
    let variables = variables_of(&contact.name, contact.email.as_deref(), &contact.attributes);
    let variables = variables.map_err(Error::internal("make variables of a contact"))?;
    Ok(NewRecipient { recipient: contact.phone.clone(), variables, time_zone: contact.time_zone.clone() })
}

/// Notes what is wrong with whom a campaign passes over.
pub(super) fn check_pass_over(pass_over: PassOver, problems: &mut Problems) {
    if pass_over.written_within_hours.is_some_and(|hours| !(1..=SKIP_DUPLICATES_HOURS_MAX).contains(&hours)) {
        problems.push("skipDuplicatesHours", format!("must be 1 to {SKIP_DUPLICATES_HOURS_MAX}"));
    }
}
