//! Single messages.
//!
//! Only accepts them: the outbox hands them to the lanes, ahead of bulk.

use crate::domain::campaign::OnUnknown;
use crate::domain::id::{DeliveryId, JobId, SessionId, TenantId};
use crate::domain::job::{JOB_VERSION, Job, JobDelivery, TrafficClass};
use crate::domain::message::{MessageSpec, MessageTemplate, Variables};
use crate::domain::plan::OnLimit;
use crate::domain::recipient::Recipient;
use crate::error::{Error, Problems, Result};
use crate::notice::Notice;
use crate::service::Tools;
use crate::service::plans::check_message;
use crate::store::messages::DeliveryRecord;

/// A text to send.
#[derive(Debug, Clone)]
pub struct NewText {
    /// Which session sends.
    pub session_id: SessionId,
    /// The address as written by people.
    pub to: String,
    /// The text, as it is.
    pub text: String,
}

/// Accepts single messages.
#[derive(Debug, Clone)]
pub struct MessageService {
    tools: Tools,
}

impl MessageService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self { tools }
    }

    /// Accepts a text; it is durable when this returns.
    ///
    /// # Errors
    /// `Validation` by the fields `to`, `text`; `NotFound` when the session is not the tenant's;
    /// `Conflict` when it was never paired, is logged out or banned; `SubscriptionInactive` and `LimitExceeded` by the
    /// tenant's plan.
    pub async fn send_text(&self, tenant_id: TenantId, new: NewText) -> Result<DeliveryRecord> {
        let now_ms = self.tools.clock.now().as_ms();
        let mut problems = Problems::default();
        let message = MessageSpec::Text { text: as_it_is(&new.text) };
        if let Err(problem) = MessageTemplate::compile(&message) {
            problems.push("text", problem.to_string());
        }
        let to = Recipient::parse(&new.to).map_err(|problem| problem.to_string());
        if let Err(problem) = &to {
            problems.push("to", problem.clone());
        }
        problems.check()?;
        let to = to.map_err(|problem| Error::invalid("to", problem))?;
        let sessions = self.tools.store.sessions();
        let session = sessions.find(tenant_id, new.session_id).await?.ok_or(Error::NotFound("session"))?;
        if !session.state.accepts_messages() {
            let state = session.state.as_str();
            return Err(Error::conflict(format!("The session is {state}; connect it first.")));
        }
        check_message(&self.tools, tenant_id).await?;
        let id = DeliveryId::generate();
        let job = Job {
            v: JOB_VERSION,
            job_id: JobId::generate(),
            tenant_id,
            session_id: session.id,
            campaign_id: None,
            traffic_class: TrafficClass::Transactional,
            on_unknown: OnUnknown::Quarantine,
            on_limit: OnLimit::Hold,
            not_before: None,
            expires_at: None,
            message,
            deliveries: vec![JobDelivery { id, to: to.clone(), variables: Variables::default(), time_zone: None }],
        };
        self.tools.store.messages().insert(id, &job, now_ms).await?;
        self.tools.notices.tell(Notice::OutboxWritten);
        Ok(DeliveryRecord::queued(id, &job, to, now_ms))
    }
}

/// Marks what would be read as a placeholder, so that the text arrives as it is.
fn as_it_is(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '{' | '}' | '|' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::message::Content;

    proptest! {
        #[test]
        fn a_text_arrives_as_it_is(text in "(\\PC|[{}|\\\\]){1,80}") {
            prop_assume!(!text.trim().is_empty());
            let template = MessageTemplate::compile(&MessageSpec::Text { text: as_it_is(&text) }).unwrap();
            let to = Recipient::parse("919876543210").unwrap();
            let content = template.render(&Variables::default(), &to, 7).unwrap();
            prop_assert_eq!(content, Content::Text { body: text });
        }
    }
}
