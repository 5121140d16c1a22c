//! Somebody is forgotten because they, or whoever knows them, asked for it.
//!
//! First nothing may be sent to them any more, then all that tells who they are goes, and the contact last: as long as it is
//! there, the same can be asked again.

use serde_json::json;
use uuid::Uuid;

use crate::domain::id::{ContactId, DeliveryId, TenantId};
use crate::domain::recipient::Recipient;
use crate::error::{Error, Result};
use crate::limits::ERASURE_LOOKS_MAX;
use crate::notice::Notice;
use crate::service::{RequestLogService, Tools};
use crate::store::audit::{Actor, Deed};
use crate::store::erasure::Erased;
use crate::store::message_control::Cancelled;

/// Erases contacts.
#[derive(Debug, Clone)]
pub struct ErasureService {
    tools: Tools,
    requests: RequestLogService,
}

impl ErasureService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools, requests: RequestLogService) -> Self {
        Self { tools, requests }
    }

    /// Erases a contact: what waits to be sent to them is cancelled, then everything that tells who they are goes, from every
    /// table but the audit log. That they opted out is kept by a keyed hash.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` while a message to them is on its way, or a campaign is about to hand one over: to be asked
    /// again then; `Store` when a step failed, safe to repeat.
    pub async fn erase(&self, tenant_id: TenantId, id: ContactId, actor: &Actor) -> Result<()> {
        let contact = self.tools.store.contacts().find(tenant_id, id).await?.ok_or(Error::NotFound("contact"))?;
        self.take_back(tenant_id, &contact.phone).await?;
        let erased = Erased {
            tenant_id,
            recipient: contact.phone,
            instead: Recipient::erased(Uuid::new_v4()),
            at_ms: self.tools.clock.now().as_ms(),
        };
        let store = &self.tools.store;
        while store.erase_messages(&erased).await? {}
        let mut place = Some((Uuid::nil(), 0));
        while let Some(after) = place {
            place = store.erase_told(&erased, after).await?;
        }
        // What this node remembers of requests may name them.
        self.requests.write().await?;
        store.erase_texts(&erased).await?;
        store.erase_recipient(&erased).await?;
        // Whatever was asked for meanwhile is found here, and not lost.
        self.take_back(tenant_id, &erased.recipient).await?;
        while store.erase_messages(&erased).await? {}
        let deed = Deed {
            action: "contact.erased".to_owned(),
            subject: id.0.to_string(),
            tenant_id: Some(tenant_id),
            details: json!({}),
        };
        store.write_down(actor, &deed, erased.at_ms).await?;
        store.contacts().remove(tenant_id, &[id]).await?;
        Ok(())
    }

    /// Cancels what waits to be sent to somebody, or says what stands in the way of that.
    async fn take_back(&self, tenant_id: TenantId, recipient: &Recipient) -> Result<()> {
        for _ in 0..ERASURE_LOOKS_MAX {
            let still = self.tools.store.still_to_send(tenant_id, recipient).await?;
            if let Some(campaign_id) = still.about_to {
                return Err(Error::conflict(format!(
                    "The campaign {campaign_id} is about to send to this contact: ask again when it has handed over its \
                     recipients, or cancel it."
                )));
            }
            if still.waiting.is_empty() {
                let on_its_way = "Messages to this contact are on their way: ask again in a moment.";
                return if still.is_on_its_way { Err(Error::conflict(on_its_way)) } else { Ok(()) };
            }
            for id in still.waiting {
                self.cancel(tenant_id, id).await?;
            }
        }
        Err(Error::conflict("Too many messages wait for this contact: ask again to go on cancelling them."))
    }

    async fn cancel(&self, tenant_id: TenantId, id: DeliveryId) -> Result<()> {
        let now_ms = self.tools.clock.now().as_ms();
        match self.tools.store.messages().cancel(tenant_id, id, now_ms).await? {
            Cancelled::Done(campaign_id) if campaign_id.is_direct() => self.tools.notices.tell(Notice::OutboxWritten),
            Cancelled::Done(campaign_id) => self.tools.notices.tell(Notice::CampaignChanged(campaign_id)),
            Cancelled::Nothing => {}
        }
        Ok(())
    }
}
