//! Single messages: accepted, put off until their time, taken back, tried again.
//!
//! Only accepts them: the outbox hands them to the lanes, ahead of bulk.

use time::OffsetDateTime;

use crate::clock::Moment;
use crate::domain::campaign::OnUnknown;
use crate::domain::delivery::DeliveryState;
use crate::domain::id::{CampaignId, DeliveryId, JobId, SessionId, TenantId};
use crate::domain::job::{JOB_VERSION, Job, JobDelivery, TrafficClass};
use crate::domain::message::{MessageSpec, MessageTemplate, Variables};
use crate::domain::plan::OnLimit;
use crate::domain::recipient::Recipient;
use crate::error::{Error, Problems, Result};
use crate::limits::{SCHEDULE_AHEAD_MAX, SCHEDULED_PER_TENANT_MAX};
use crate::notice::Notice;
use crate::service::Tools;
use crate::service::media::{check_media, take_media};
use crate::service::plans::check_message;
use crate::store::message_control::{Cancelled, Retried};
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

/// A message to send.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Which session sends.
    pub session_id: SessionId,
    /// The address as written by people.
    pub to: String,
    /// What is sent, as it is: nothing in it is a placeholder.
    pub message: MessageSpec,
}

/// Accepts single messages.
#[derive(Debug, Clone)]
pub struct MessageService {
    pub(super) tools: Tools,
}

impl From<NewText> for NewMessage {
    fn from(new: NewText) -> Self {
        Self { session_id: new.session_id, to: new.to, message: MessageSpec::Text { text: new.text } }
    }
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
    /// As those of [`Self::send`]; the field of the text is `text`.
    pub async fn send_text(&self, tenant_id: TenantId, new: NewText) -> Result<DeliveryRecord> {
        self.send(tenant_id, new.into()).await
    }

    /// Accepts a message; it is durable when this returns.
    ///
    /// # Errors
    /// `Validation` by the field `to` and those of the message; `NotFound` when the session is not the tenant's;
    /// `Conflict` when it was never paired, is logged out or banned; `SubscriptionInactive` and `LimitExceeded` by the
    /// tenant's plan.
    pub async fn send(&self, tenant_id: TenantId, new: NewMessage) -> Result<DeliveryRecord> {
        self.send_in("", tenant_id, new).await
    }

    /// Accepts a message of any type; it is durable when this returns.
    ///
    /// # Errors
    /// As those of [`Self::send`], the fields of the message inside `message`.
    pub async fn send_any(&self, tenant_id: TenantId, new: NewMessage) -> Result<DeliveryRecord> {
        self.send_in("message.", tenant_id, new).await
    }

    /// Accepts a message whose fields begin with `prefix`.
    async fn send_in(&self, prefix: &str, tenant_id: TenantId, new: NewMessage) -> Result<DeliveryRecord> {
        let now_ms = self.tools.clock.now().as_ms();
        let mut problems = Problems::default();
        let mut message = check_message_of(prefix, new.message.literally(), &mut problems);
        if let Some(message) = &mut message {
            check_media(&self.tools, tenant_id, message, (&format!("{prefix}mediaId"), &mut problems)).await?;
        }
        let delivery = check("", (&new.to, Variables::default()), &mut problems);
        problems.check()?;
        let (delivery, message) = delivery.zip(message).expect("what could not be read was noted as a problem");
        self.check_session(tenant_id, new.session_id).await?;
        let job = job_of((tenant_id, new.session_id), message, delivery);
        let queued = queued(&job, now_ms);
        self.accept(&[job], now_ms).await?;
        Ok(queued)
    }

    /// Accepts a message that is to go later; it is durable when this returns.
    ///
    /// # Errors
    /// As those of [`Self::send`], the fields of the message inside `message`; also by the field `scheduledAt`, and `Conflict`
    /// when too many wait for their time.
    pub async fn schedule(&self, tenant_id: TenantId, new: NewMessage, at: Moment) -> Result<DeliveryRecord> {
        let now = self.tools.clock.now();
        let mut problems = Problems::default();
        let mut message = check_message_of("message.", new.message.literally(), &mut problems);
        if let Some(message) = &mut message {
            check_media(&self.tools, tenant_id, message, ("message.mediaId", &mut problems)).await?;
        }
        let delivery = check("", (&new.to, Variables::default()), &mut problems);
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.as_ms()) * 1_000_000).ok();
        let time = time.filter(|_| now < at && at <= now + SCHEDULE_AHEAD_MAX);
        if time.is_none() {
            problems.push("scheduledAt", "must be in the future, within a year");
        }
        problems.check()?;
        let (delivery, message) = delivery.zip(message).expect("what could not be read was noted as a problem");
        self.check_session(tenant_id, new.session_id).await?;
        check_message(&self.tools, tenant_id).await?;
        let job = Job { not_before: time, ..job_of((tenant_id, new.session_id), message, delivery) };
        take_media(&self.tools, std::slice::from_ref(&job), at.as_ms()).await?;
        if !self.tools.store.messages().schedule(&job, now.as_ms()).await? {
            return Err(Error::conflict(format!("{SCHEDULED_PER_TENANT_MAX} messages wait for their time already.")));
        }
        Ok(DeliveryRecord { scheduled_at_ms: Some(at.as_ms()), ..queued(&job, now.as_ms()) })
    }

    /// Takes a message back that is not begun; one that was cancelled before stays so.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is being sent or came to another end.
    pub async fn cancel(&self, tenant_id: TenantId, id: DeliveryId) -> Result<DeliveryRecord> {
        let now_ms = self.tools.clock.now().as_ms();
        let messages = self.tools.store.messages();
        match messages.cancel(tenant_id, id, now_ms).await? {
            Cancelled::Done(CampaignId::DIRECT) => self.tools.notices.tell(Notice::OutboxWritten),
            Cancelled::Done(campaign_id) => self.tools.notices.tell(Notice::CampaignChanged(campaign_id)),
            Cancelled::Nothing => {}
        }
        let message = messages.find(tenant_id, id).await?.ok_or(Error::NotFound("message"))?;
        match message.state {
            DeliveryState::Cancelled => Ok(message),
            DeliveryState::Sending => Err(Error::conflict("The message is being sent.")),
            state => Err(Error::conflict(format!("The message is {} already.", state.api_word()))),
        }
    }

    /// Puts a failed message back in line, at the end; one that is in line stays there. Its campaign runs again if it was
    /// completed.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has not failed, failed for what will not change, or its campaign was cancelled;
    /// `SubscriptionInactive` and `LimitExceeded` by the tenant's plan.
    pub async fn retry(&self, tenant_id: TenantId, id: DeliveryId) -> Result<DeliveryRecord> {
        let messages = self.tools.store.messages();
        let message = messages.find(tenant_id, id).await?.ok_or(Error::NotFound("message"))?;
        match message.state {
            DeliveryState::Pending | DeliveryState::Sending => return Ok(message),
            DeliveryState::Failed => check_message(&self.tools, tenant_id).await?,
            state => return Err(has_not_failed(state)),
        }
        match messages.retry(tenant_id, id, self.tools.clock.now().as_ms()).await? {
            Retried::Done(session_id, campaign_id) if campaign_id.is_direct() => {
                self.tools.notices.tell(Notice::SessionChanged(session_id));
            }
            Retried::Done(_, campaign_id) => self.tools.notices.tell(Notice::CampaignChanged(campaign_id)),
            Retried::NotFailed(DeliveryState::Pending | DeliveryState::Sending) => {}
            Retried::NotFailed(state) => return Err(has_not_failed(state)),
            Retried::Final => return Err(Error::conflict("The message failed for what is final for its recipient.")),
            Retried::Refused(refused) => return Err(refused.into()),
            Retried::NotFound => return Err(Error::NotFound("message")),
        }
        messages.find(tenant_id, id).await?.ok_or(Error::NotFound("message"))
    }

    /// Tells whether a session may be given messages.
    pub(super) async fn check_session(&self, tenant_id: TenantId, id: SessionId) -> Result<()> {
        let session = self.tools.store.sessions().find(tenant_id, id).await?.ok_or(Error::NotFound("session"))?;
        if session.state.accepts_messages() {
            return Ok(());
        }
        let state = session.state.as_str();
        Err(Error::conflict(format!("The session is {state}; connect it first.")))
    }

    /// Puts jobs of one delivery each into the outbox, if the tenant's plan has enough for all.
    pub(super) async fn accept(&self, jobs: &[Job], now_ms: i64) -> Result<()> {
        take_media(&self.tools, jobs, now_ms).await?;
        self.tools.store.messages().insert(jobs, now_ms).await??;
        self.tools.notices.tell(Notice::OutboxWritten);
        Ok(())
    }
}

/// Refuses to try a message again.
fn has_not_failed(state: DeliveryState) -> Error {
    match state {
        DeliveryState::Unknown => Error::conflict("The message may have been sent; it is not tried again."),
        state => Error::conflict(format!("The message is {} and has not failed.", state.api_word())),
    }
}

/// Reads to whom a message goes; the fields begin with `prefix`.
pub(super) fn check(prefix: &str, (to, variables): (&str, Variables), problems: &mut Problems) -> Option<JobDelivery> {
    match Recipient::parse(to) {
        Ok(to) => Some(JobDelivery { id: DeliveryId::generate(), to, variables, time_zone: None }),
        Err(problem) => {
            problems.push(format!("{prefix}to"), problem.to_string());
            None
        }
    }
}

/// Reads what is sent; the fields begin with `prefix`.
pub(super) fn check_message_of(prefix: &str, message: MessageSpec, problems: &mut Problems) -> Option<MessageSpec> {
    match MessageTemplate::compile(&message) {
        Ok(_) => Some(message),
        Err(problem) => {
            problems.push(format!("{prefix}{}", problem.field()), problem.to_string());
            None
        }
    }
}

/// Describes a message that was just accepted.
pub(super) fn queued(job: &Job, now_ms: i64) -> DeliveryRecord {
    let delivery = &job.deliveries[0];
    DeliveryRecord::queued(delivery.id, job, delivery.to.clone(), now_ms)
}

/// Makes the job of one message.
pub(super) fn job_of(
    (tenant_id, session_id): (TenantId, SessionId),
    message: MessageSpec,
    delivery: JobDelivery,
) -> Job {
    Job {
        v: JOB_VERSION,
        job_id: JobId::generate(),
        tenant_id,
        session_id,
        campaign_id: None,
        traffic_class: TrafficClass::Transactional,
        on_unknown: OnUnknown::Quarantine,
        on_limit: OnLimit::Hold,
        not_before: None,
        expires_at: None,
        message,
        deliveries: vec![delivery],
    }
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
            let message = MessageSpec::Text { text: text.clone() };
            let template = MessageTemplate::compile(&message.literally()).unwrap();
            let to = Recipient::parse("919876543210").unwrap();
            let content = template.render(&Variables::default(), &to, 7).unwrap();
            prop_assert_eq!(content, Content::Text { body: text });
        }
    }
}
