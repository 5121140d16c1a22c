//! Copies of campaigns: drafts with the same settings, to be changed and started on their own.

use crate::domain::campaign::{CampaignState, Counters};
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::error::{Error, Problems, Result};
use crate::limits::{CONTACT_STEP_MAX, RECIPIENTS_COPIED_MAX};
use crate::service::CampaignService;
use crate::service::campaign_changes::check_readable;
use crate::service::campaigns::{AddedRecipients, NAME_CHARS_MAX, append};
use crate::service::check::check_name;
use crate::store::campaigns::CampaignRecord;

/// What a copy is called besides its name.
const SUFFIX: &str = " (copy)";

/// What becomes of a copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyForm {
    /// What people call it; the name of the campaign and ` (copy)` when none.
    pub name: Option<String>,
    /// Whether it gets the recipients too, at most 500,000.
    pub with_recipients: bool,
}

impl CampaignService {
    /// Makes a draft with the message, the sessions and the settings of a campaign, and with its recipients if these are
    /// asked for, step by step. When it was to start, and an expiry that has passed, stay behind.
    ///
    /// # Errors
    /// `Validation` by `name`; `NotFound`; `Conflict` when there are too many recipients; `LimitExceeded` and
    /// `SubscriptionInactive` as for every new campaign.
    pub async fn duplicate(
        &self,
        tenant_id: TenantId,
        id: CampaignId,
        form: CopyForm,
    ) -> Result<(CampaignRecord, Vec<SessionId>)> {
        let campaigns = self.tools.store.campaigns();
        let source = campaigns.find(tenant_id, id).await?.ok_or(Error::NotFound("campaign"))?;
        check_readable(&source)?;
        let mut problems = Problems::default();
        let name = form.name.as_deref().map(|name| check_name("name", name, NAME_CHARS_MAX, &mut problems));
        problems.check()?;
        if form.with_recipients && RECIPIENTS_COPIED_MAX < source.n_recipients {
            return Err(Error::conflict_of(
                "recipients",
                format!("The campaign has more than {RECIPIENTS_COPIED_MAX} recipients; upload their file again."),
            ));
        }
        let session_ids = campaigns.session_ids(tenant_id, id).await?;
        let now_ms = self.tools.clock.now().as_ms();
        let copy = CampaignRecord {
            id: CampaignId::generate(),
            name: name.unwrap_or_else(|| name_of_copy(&source.name)),
            state: CampaignState::Draft,
            n_recipients: 0,
            expires_at_ms: source.expires_at_ms.filter(|at_ms| now_ms < *at_ms),
            created_at_ms: now_ms,
            started_at_ms: None,
            finished_at_ms: None,
            schedule: None,
            schedule_problem: None,
            revision: 0,
            canary_state: None,
            pause_reason: None,
            counters: Counters::default(),
            ..source
        };
        campaigns.insert(&copy, &session_ids, &[]).await??;
        let added = if form.with_recipients { self.copy_recipients(tenant_id, id, copy.id).await? } else { 0 };
        Ok((CampaignRecord { n_recipients: added, ..copy }, session_ids))
    }

    async fn copy_recipients(&self, tenant_id: TenantId, from: CampaignId, to: CampaignId) -> Result<i64> {
        let (recipients, mut added) = (self.tools.store.campaign_recipients(), AddedRecipients::default());
        let mut next_seq = 0;
        loop {
            let step = recipients.step(tenant_id, from, next_seq, CONTACT_STEP_MAX).await?;
            if step.is_empty() {
                return i64::try_from(added.accepted).map_err(Error::internal("count recipients"));
            }
            added += AddedRecipients::from(&append(&self.tools, tenant_id, to, &step).await?);
            next_seq += i64::from(CONTACT_STEP_MAX);
        }
    }
}

/// Returns the name of a copy, cut where it would be too long.
fn name_of_copy(name: &str) -> String {
    let n_kept = NAME_CHARS_MAX - SUFFIX.chars().count();
    name.chars().take(n_kept).chain(SUFFIX.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_copies_fit() {
        assert_eq!(name_of_copy("Sale"), "Sale (copy)");
        assert_eq!(name_of_copy(&"é".repeat(200)).chars().count(), 200);
    }
}
