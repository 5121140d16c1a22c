//! Single messages that are more than a text: with a file, or made of a template.
//!
//! Only accepts them, like texts.

use crate::domain::id::{MediaId, SessionId, TemplateId, TenantId};
use crate::domain::media::MediaKind;
use crate::domain::message::template::TemplateSpec;
use crate::domain::message::{MediaSpec, MessageSpec, MessageTemplate, Variables};
use crate::domain::recipient::Recipient;
use crate::error::{Error, Problems, Result};
use crate::service::MessageService;
use crate::service::media::check_media;
use crate::service::messages::{check, job_of, queued};
use crate::store::messages::DeliveryRecord;

/// Who sends to whom.
#[derive(Debug, Clone)]
pub struct SingleTo {
    /// Which session sends.
    pub session_id: SessionId,
    /// The address as written by people.
    pub to: String,
}

/// A file to send; one of ours or one that the provider loads.
#[derive(Debug, Clone)]
pub struct NewMediaMessage {
    /// Who sends to whom.
    pub single: SingleTo,
    /// What it is sent as.
    pub kind: MediaKind,
    /// The file, where it is one of ours.
    pub media_id: Option<MediaId>,
    /// From where the provider loads it, where it is not.
    pub media_url: Option<String>,
    /// What stands below it, as it is.
    pub caption: Option<String>,
    /// What a document is called; as it was uploaded when missing.
    pub filename: Option<String>,
}

/// A message made of a template.
#[derive(Debug, Clone)]
pub struct NewTemplateMessage {
    /// Who sends to whom.
    pub single: SingleTo,
    /// Which template.
    pub template: ChosenTemplate,
}

/// The provider's template, or one of ours.
#[derive(Debug, Clone)]
pub enum ChosenTemplate {
    /// One that the provider has approved.
    Approved {
        /// Its name at the provider.
        name: String,
        /// Its language at the provider.
        language: String,
        /// Parameters of its body, as they are.
        parameters: Vec<String>,
    },
    /// One that the tenant keeps.
    Kept {
        /// Which.
        id: TemplateId,
        /// What its placeholders stand for.
        variables: Variables,
    },
}

impl MessageService {
    /// Accepts a message with a file; it is durable when this returns.
    ///
    /// # Errors
    /// `Validation` by the fields `to`, `mediaId`, `mediaUrl`, `caption`, `filename`; otherwise as those of
    /// [`Self::send_text`].
    pub async fn send_media(&self, tenant_id: TenantId, new: NewMediaMessage) -> Result<DeliveryRecord> {
        let mut problems = Problems::default();
        let (kind, caption) = (new.kind, new.caption);
        let file = MediaSpec { media_id: new.media_id, media_url: new.media_url, ..MediaSpec::default() };
        let somewhere = || MediaSpec { media_url: Some("https://example.com/".to_owned()), ..MediaSpec::default() };
        // Each by itself, so that every problem is named.
        for (field, part) in [
            (if file.media_url.is_some() { "mediaUrl" } else { "mediaId" }, file.clone()),
            ("caption", MediaSpec { caption: caption.clone(), ..somewhere() }),
            ("filename", MediaSpec { filename: new.filename.clone(), ..somewhere() }),
        ] {
            if let Err(problem) = MessageTemplate::compile(&MessageSpec::of_media(kind, part).literally()) {
                problems.push(field, problem.to_string());
            }
        }
        let mut message =
            MessageSpec::of_media(kind, MediaSpec { caption, filename: new.filename, ..file }).literally();
        check_media(&self.tools, tenant_id, &mut message, ("mediaId", &mut problems)).await?;
        self.take(tenant_id, new.single, (message, Variables::default()), problems).await
    }

    /// Accepts a message made of a template; it is durable when this returns.
    ///
    /// # Errors
    /// `Validation` by the fields `to`, `name`, `templateId`, `variables`; otherwise as those of [`Self::send_text`].
    pub async fn send_template(&self, tenant_id: TenantId, new: NewTemplateMessage) -> Result<DeliveryRecord> {
        let mut problems = Problems::default();
        let (message, variables) = match new.template {
            ChosenTemplate::Approved { name, language, parameters } => {
                let template = TemplateSpec { name, language, parameters, ..TemplateSpec::default() };
                let message = MessageSpec::Template(template).literally();
                if let Err(problem) = check_rendered(&message, &Variables::default()) {
                    problems.push("name", problem);
                }
                (message, Variables::default())
            }
            ChosenTemplate::Kept { id, variables } => {
                let found = self.tools.store.templates().find(tenant_id, id).await?;
                let Some(mut message) = found.map(|template| template.message) else {
                    problems.push("templateId", "There is no such template");
                    check("", (&new.single.to, Variables::default()), &mut problems);
                    problems.check()?;
                    return Err(Error::NotFound("template"));
                };
                check_media(&self.tools, tenant_id, &mut message, ("templateId", &mut problems)).await?;
                if let Err(problem) = check_rendered(&message, &variables) {
                    problems.push("variables", problem);
                }
                (message, variables)
            }
        };
        self.take(tenant_id, new.single, (message, variables), problems).await
    }

    async fn take(
        &self,
        tenant_id: TenantId,
        single: SingleTo,
        (message, variables): (MessageSpec, Variables),
        mut problems: Problems,
    ) -> Result<DeliveryRecord> {
        let now_ms = self.tools.clock.now().as_ms();
        let delivery = check("", (&single.to, variables), &mut problems);
        problems.check()?;
        let delivery = delivery.ok_or_else(|| Error::invalid("to", "is required"))?;
        self.check_session(tenant_id, single.session_id).await?;
        let job = job_of((tenant_id, single.session_id), message, delivery);
        let queued = queued(&job, now_ms);
        self.accept(&[job], now_ms).await?;
        Ok(queued)
    }
}

/// Makes the message once, as the lane will.
fn check_rendered(message: &MessageSpec, variables: &Variables) -> std::result::Result<(), String> {
    let template = MessageTemplate::compile(message).map_err(|problem| problem.to_string())?;
    let somebody = Recipient::parse("919876543210").map_err(|problem| problem.to_string())?;
    template.render(variables, &somebody, 0).map(drop).map_err(|problem| problem.to_string())
}
