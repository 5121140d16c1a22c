//! Messages that tenants keep to send them again: made, changed, shown as they would be sent, removed.
//!
//! Whoever sends one copies it, so a change alters nothing that is under way.

use crate::domain::id::{TemplateId, TenantId};
use crate::domain::message::{MessageSpec, MessageTemplate, RenderProblem, Variables};
use crate::domain::recipient::Recipient;
use crate::error::{Error, Problems, Result};
use crate::limits::TEMPLATES_PER_TENANT_MAX;
use crate::service::Tools;
use crate::service::check::check_name;
use crate::service::media::check_media;
use crate::store::StoreError;
use crate::store::templates::{TemplateChange, TemplateRecord};

/// Characters of a template's name, at most.
const NAME_CHARS_MAX: usize = 200;
/// Who gets a message that is only shown, where nobody else is named.
const EXAMPLE_PHONE: &str = "919876543210";

/// A message as one recipient would get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The message with its variables filled in; what is missing stands as it is written.
    pub message: MessageSpec,
    /// Variables that have neither a value nor a default.
    pub missing: Vec<String>,
}

/// Keeps messages.
#[derive(Debug, Clone)]
pub struct TemplateService {
    tools: Tools,
}

impl TemplateService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self { tools }
    }

    /// Keeps a message.
    ///
    /// # Errors
    /// `Validation` with every problem, by the fields `name` and `message…`; `Conflict` by the field `name` when there is
    /// one of that name, and when there are too many.
    pub async fn create(&self, tenant_id: TenantId, name: &str, message: MessageSpec) -> Result<TemplateRecord> {
        let mut problems = Problems::default();
        let name = check_name("name", name, NAME_CHARS_MAX, &mut problems);
        let message = self.check(tenant_id, message, &mut problems).await?;
        problems.check()?;
        let templates = self.tools.store.templates();
        if TEMPLATES_PER_TENANT_MAX <= templates.count(tenant_id).await? {
            return Err(Error::conflict(format!("There are {TEMPLATES_PER_TENANT_MAX} templates already.")));
        }
        let now_ms = self.tools.clock.now().as_ms();
        let id = TemplateId::generate();
        let new = TemplateRecord { id, tenant_id, name, message, created_at_ms: now_ms, changed_at_ms: now_ms };
        templates.insert(&new).await.map_err(taken)?;
        Ok(new)
    }

    /// Changes a kept message.
    ///
    /// # Errors
    /// As those of [`Self::create`]; `NotFound`.
    pub async fn update(&self, tenant_id: TenantId, id: TemplateId, change: TemplateChange) -> Result<TemplateRecord> {
        self.find(tenant_id, id).await?;
        let mut problems = Problems::default();
        let name = change.name.map(|name| check_name("name", &name, NAME_CHARS_MAX, &mut problems));
        let message = match change.message {
            Some(message) => Some(self.check(tenant_id, message, &mut problems).await?),
            None => None,
        };
        problems.check()?;
        let (templates, now_ms) = (self.tools.store.templates(), self.tools.clock.now().as_ms());
        let change = TemplateChange { name, message };
        if !templates.update(tenant_id, id, &change, now_ms).await.map_err(taken)? {
            return Err(Error::NotFound("template"));
        }
        self.find(tenant_id, id).await
    }

    /// Removes a kept message.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove(&self, tenant_id: TenantId, id: TemplateId) -> Result<()> {
        let is_gone = self.tools.store.templates().remove(tenant_id, id).await?;
        if is_gone { Ok(()) } else { Err(Error::NotFound("template")) }
    }

    /// Returns a kept message of the tenant.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find(&self, tenant_id: TenantId, id: TemplateId) -> Result<TemplateRecord> {
        self.tools.store.templates().find(tenant_id, id).await?.ok_or(Error::NotFound("template"))
    }

    /// Returns a copy of what a kept message says, for whoever names it in `field`.
    ///
    /// # Errors
    /// `Validation` by that field when there is none.
    pub async fn copy(&self, tenant_id: TenantId, id: TemplateId, field: &'static str) -> Result<MessageSpec> {
        let found = self.tools.store.templates().find(tenant_id, id).await?;
        found.map(|template| template.message).ok_or_else(|| Error::invalid(field, "There is no such template"))
    }

    /// Shows a kept message as one recipient would get it.
    ///
    /// # Errors
    /// `NotFound`; `Validation` by the fields `phone`, and `variables` when they make the message too long.
    pub async fn preview(
        &self,
        tenant_id: TenantId,
        id: TemplateId,
        (variables, phone): (Variables, Option<&str>),
    ) -> Result<Preview> {
        let message = self.find(tenant_id, id).await?.message;
        let recipient = Recipient::parse(phone.unwrap_or(EXAMPLE_PHONE));
        let recipient = recipient.map_err(|problem| Error::invalid("phone", problem.to_string()))?;
        let template = MessageTemplate::compile(&message);
        let template =
            template.map_err(|problem| Error::conflict(format!("The template can not be sent: {problem}")))?;
        preview(&template, variables, &recipient)
    }

    async fn check(
        &self,
        tenant_id: TenantId,
        mut message: MessageSpec,
        problems: &mut Problems,
    ) -> Result<MessageSpec> {
        if let Err(problem) = MessageTemplate::compile(&message) {
            problems.push("message", problem.to_string());
        }
        check_media(&self.tools, tenant_id, &mut message, ("message.mediaId", problems)).await?;
        Ok(message)
    }
}

/// Fills in what there is; each variable that is missing stands for itself.
fn preview(template: &MessageTemplate, mut variables: Variables, recipient: &Recipient) -> Result<Preview> {
    let mut missing = Vec::new();
    loop {
        match template.render(&variables, recipient, 0) {
            Ok(content) => return Ok(Preview { message: content.into(), missing }),
            Err(RenderProblem::MissingVariable { name }) => {
                let placeholder = format!("{{{{{name}}}}}");
                variables
                    .insert(&name, placeholder)
                    .map_err(|problem| Error::invalid("variables", problem.to_string()))?;
                missing.push(name.into_string());
            }
            Err(problem) => return Err(Error::invalid("variables", problem.to_string())),
        }
    }
}

/// Names the field whose value is taken.
fn taken(error: StoreError) -> Error {
    if error.is_unique_violation() {
        return Error::Conflict { message: "There is a template of this name already.".into(), field: Some("name") };
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_and_stands_for_itself() {
        let spec = MessageSpec::Text { text: "Hi {{name}}, {{city|there}}: {{code}} {{name}}".to_owned() };
        let template = MessageTemplate::compile(&spec).unwrap();
        let to = Recipient::parse(EXAMPLE_PHONE).unwrap();
        let shown = preview(&template, Variables::default(), &to).unwrap();
        assert_eq!(shown.missing, ["name", "code"]);
        assert_eq!(shown.message, MessageSpec::Text { text: "Hi {{name}}, there: {{code}} {{name}}".to_owned() });
        let mut variables = Variables::default();
        variables.insert("name", "Ana".to_owned()).unwrap();
        variables.insert("code", "7".to_owned()).unwrap();
        let shown = preview(&template, variables, &to).unwrap();
        assert_eq!(shown.missing, Vec::<String>::new());
        assert_eq!(shown.message, MessageSpec::Text { text: "Hi Ana, there: 7 Ana".to_owned() });
    }
}
