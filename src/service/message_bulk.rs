//! Several single messages at once: all are accepted, or none.
//!
//! One at a time is [`crate::service::messages`]; more than these are a campaign.

use crate::domain::id::{SessionId, TenantId};
use crate::domain::job::{Job, JobDelivery};
use crate::domain::message::{MessageSpec, MessageTemplate, Variables};
use crate::error::{Error, Problems, Result};
use crate::limits::BULK_MESSAGES_MAX;
use crate::service::MessageService;
use crate::service::media::check_all_media;
use crate::service::messages::{check, check_message_of, job_of, queued};
use crate::store::messages::DeliveryRecord;

/// Several messages through one session.
#[derive(Debug, Clone)]
pub enum Bulk {
    /// One text for several recipients, with variables, defaults and variants as in campaigns.
    Text {
        /// The text.
        text: String,
        /// To whom.
        recipients: Vec<BulkRecipient>,
    },
    /// Messages of their own, each as it is.
    Messages(Vec<BulkMessage>),
}

/// Who gets the text.
#[derive(Debug, Clone)]
pub struct BulkRecipient {
    /// The address as written by people.
    pub to: String,
    /// Values for the text's variables.
    pub variables: Variables,
}

/// A message and who gets it.
#[derive(Debug, Clone)]
pub struct BulkMessage {
    /// The address as written by people.
    pub to: String,
    /// What is sent.
    pub message: MessageSpec,
}

impl MessageService {
    /// Accepts several messages in the order in which they are named; they are durable when this returns.
    ///
    /// # Errors
    /// `Validation` by the fields `text`, `recipients`, `recipients[n].to`, `recipients[n].variables`, `messages`,
    /// `messages[n].to`, `messages[n].message` and so on; otherwise as for one message, and `LimitExceeded` when the plan has
    /// not enough for all.
    pub async fn send_bulk(
        &self,
        tenant_id: TenantId,
        session_id: SessionId,
        bulk: Bulk,
    ) -> Result<Vec<DeliveryRecord>> {
        let mut problems = Problems::default();
        let mut items = match bulk {
            Bulk::Text { text, recipients } => {
                check_count("recipients", recipients.len())?;
                check_text(text, recipients, &mut problems)
            }
            Bulk::Messages(messages) => {
                check_count("messages", messages.len())?;
                check_messages(messages, &mut problems)
            }
        };
        problems.check()?;
        let mut problems = Problems::default();
        let messages = items.iter_mut().enumerate();
        let messages = messages.map(|(at, (message, _))| (format!("messages[{at}].message.mediaId"), message));
        check_all_media(&self.tools, tenant_id, messages.collect(), &mut problems).await?;
        problems.check()?;
        self.check_session(tenant_id, session_id).await?;
        let jobs: Vec<Job> =
            items.into_iter().map(|(message, delivery)| job_of((tenant_id, session_id), message, delivery)).collect();
        let now_ms = self.tools.clock.now().as_ms();
        self.accept(&jobs, now_ms).await?;
        Ok(jobs.iter().map(|job| queued(job, now_ms)).collect())
    }
}

fn check_count(field: &'static str, n: usize) -> Result<()> {
    let fits = (1..=BULK_MESSAGES_MAX).contains(&n);
    if fits { Ok(()) } else { Err(Error::invalid(field, format!("must have 1 to {BULK_MESSAGES_MAX} entries"))) }
}

fn check_text(
    text: String,
    recipients: Vec<BulkRecipient>,
    problems: &mut Problems,
) -> Vec<(MessageSpec, JobDelivery)> {
    let message = MessageSpec::Text { text };
    let template = MessageTemplate::compile(&message);
    if let Err(problem) = &template {
        problems.push(problem.field(), problem.to_string());
    }
    let mut items = Vec::with_capacity(recipients.len());
    for (at, recipient) in recipients.into_iter().enumerate() {
        let delivery = check(&format!("recipients[{at}]."), (&recipient.to, recipient.variables), problems);
        let (Some(delivery), Ok(template)) = (delivery, &template) else { continue };
        // Variants differ by the seed, and so may their lengths; what is missing is missing in any of them.
        if let Err(problem) = template.render(&delivery.variables, &delivery.to, delivery.id.0.as_u64_pair().1) {
            problems.push(format!("recipients[{at}].variables"), problem.to_string());
            continue;
        }
        items.push((message.clone(), delivery));
    }
    items
}

fn check_messages(messages: Vec<BulkMessage>, problems: &mut Problems) -> Vec<(MessageSpec, JobDelivery)> {
    let mut items = Vec::with_capacity(messages.len());
    for (at, BulkMessage { to, message }) in messages.into_iter().enumerate() {
        let delivery = check(&format!("messages[{at}]."), (&to, Variables::default()), problems);
        let message = check_message_of(&format!("messages[{at}].message."), message.literally(), problems);
        items.extend(message.zip(delivery));
    }
    items
}
