//! Contacts: made, changed, removed, opted out and in.
//!
//! Files are [`crate::service::contact_import`], groups [`crate::service::contact_groups`].

use std::collections::HashMap;

use crate::domain::contact::{check_attributes, check_email, check_name};
use crate::domain::id::{ContactId, TenantId};
use crate::domain::message::Variables;
use crate::domain::opt_out::{OptOut, OptSource};
use crate::domain::plan::Meter;
use crate::domain::recipient::{Recipient, RecipientProblem};
use crate::domain::zone::{Zone, ZoneProblem};
use crate::error::{Error, Problems, Result};
use crate::limits::CONTACTS_PER_BODY_MAX;
use crate::service::Tools;
use crate::service::contact_import::{ContactImport, ContactRows};
use crate::service::plans::check_active;
use crate::store::contacts::{Changed, ContactChange, ContactRecord, NewContact};
use crate::store::opt_outs::OptChange;

/// A contact as given.
#[derive(Debug, Clone, Default)]
pub struct ContactInput {
    /// The phone as written by people.
    pub phone: String,
    /// What people call them; at most 200 characters.
    pub name: String,
    /// Their e-mail address.
    pub email: Option<String>,
    /// Whether they want campaigns; nothing is said about it when none is given.
    pub opt_in: Option<bool>,
    /// Where they live: an IANA name.
    pub time_zone: Option<String>,
    /// What else is known of them; at most 30.
    pub attributes: Variables,
}

/// What is to change of a contact; what is none stays, and an inner none takes it away.
#[derive(Debug, Clone, Default)]
pub struct ContactPatch {
    /// The phone as written by people.
    pub phone: Option<String>,
    /// What people call them.
    pub name: Option<String>,
    /// Their e-mail address.
    pub email: Option<Option<String>>,
    /// Whether they want campaigns.
    pub opt_in: Option<bool>,
    /// Where they live.
    pub time_zone: Option<Option<String>>,
    /// All of what else is known of them.
    pub attributes: Option<Variables>,
}

/// What is to be said about a text that may be a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// The text.
    pub given: String,
    /// The phone, or why it is none.
    pub phone: Result<Recipient, RecipientProblem>,
    /// The contact that has it.
    pub contact_id: Option<ContactId>,
}

/// Keeps contacts.
#[derive(Debug, Clone)]
pub struct ContactService {
    tools: Tools,
}

impl ContactService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self { tools }
    }

    /// Makes a contact. Somebody who has opted out stays so, whatever is given.
    ///
    /// # Errors
    /// `Validation` with every problem, by the fields `phone`, `name`, `email`, `timeZone`, `attributes`; `Conflict` on
    /// `phone` when there is a contact with it; `LimitExceeded`; `SubscriptionInactive`.
    pub async fn create(&self, tenant_id: TenantId, input: ContactInput) -> Result<ContactRecord> {
        let mut problems = Problems::default();
        let new = check_input(input, &mut problems);
        problems.check()?;
        let new = new.ok_or(Error::NotFound("contact"))?;
        let contacts = self.tools.store.contacts();
        let by = (OptSource::User, self.tools.clock.now().as_ms());
        let inserted = contacts.insert(tenant_id, &[new], by).await??;
        if inserted.n_refused != 0 {
            return Err(Error::LimitExceeded(Meter::Contacts));
        }
        let (_, id) = inserted.added.first().ok_or_else(taken)?;
        contacts.find(tenant_id, *id).await?.ok_or(Error::NotFound("contact"))
    }

    /// Changes a contact.
    ///
    /// # Errors
    /// As [`Self::create`], and `NotFound`.
    pub async fn change(&self, tenant_id: TenantId, id: ContactId, patch: ContactPatch) -> Result<ContactRecord> {
        let contacts = self.tools.store.contacts();
        contacts.find(tenant_id, id).await?.ok_or(Error::NotFound("contact"))?;
        let mut problems = Problems::default();
        let opt_in = patch.opt_in;
        let change = check_patch(patch, &mut problems);
        problems.check()?;
        let changed = contacts.change(tenant_id, id, change, self.tools.clock.now().as_ms()).await?;
        let contact = match changed {
            Changed::To(contact) => *contact,
            Changed::PhoneTaken => return Err(taken()),
            Changed::Missing => return Err(Error::NotFound("contact")),
        };
        match opt_in {
            Some(opt_in) => self.set_opt_in(contact, opt_in).await,
            None => Ok(contact),
        }
    }

    /// Removes a contact; whether they have opted out is kept.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove(&self, tenant_id: TenantId, id: ContactId) -> Result<()> {
        match self.tools.store.contacts().remove(tenant_id, &[id]).await? {
            0 => Err(Error::NotFound("contact")),
            _ => Ok(()),
        }
    }

    /// Removes contacts and returns how many; those that are not there are passed over.
    ///
    /// # Errors
    /// `Validation` by the field `ids`.
    pub async fn remove_all(&self, tenant_id: TenantId, ids: &[ContactId]) -> Result<u64> {
        check_count("ids", ids.len())?;
        Ok(self.tools.store.contacts().remove(tenant_id, ids).await?)
    }

    /// Lets campaigns write to a contact, or not any more; does nothing where that is so.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn opt(&self, tenant_id: TenantId, id: ContactId, opt_in: bool) -> Result<ContactRecord> {
        let contact = self.tools.store.contacts().find(tenant_id, id).await?;
        self.set_opt_in(contact.ok_or(Error::NotFound("contact"))?, opt_in).await
    }

    async fn set_opt_in(&self, contact: ContactRecord, opt_in: bool) -> Result<ContactRecord> {
        if contact.is_opted_in() == opt_in {
            return Ok(contact);
        }
        let changed_at_ms = self.tools.clock.now().as_ms();
        let opt_out = OptOut { is_out: !opt_in, changed_at_ms, by: OptSource::User };
        let change = OptChange { tenant_id: contact.tenant_id, recipient: contact.phone.clone(), opt_out };
        self.tools.store.set_opt_outs(std::slice::from_ref(&change)).await?;
        Ok(ContactRecord { opt_out: Some(opt_out), ..contact })
    }

    /// Tells of texts whether they are phones, and whose.
    ///
    /// # Errors
    /// `Validation` by the field `phones`.
    pub async fn validate(&self, tenant_id: TenantId, texts: Vec<String>) -> Result<Vec<Validated>> {
        check_count("phones", texts.len())?;
        let read: Vec<_> = texts.into_iter().map(|text| (Recipient::parse(&text), text)).collect();
        let phones: Vec<Recipient> = read.iter().filter_map(|(phone, _)| phone.clone().ok()).collect();
        let known = self.tools.store.contacts().known(tenant_id, &phones).await?;
        let known: HashMap<Recipient, ContactId> = known.into_iter().map(|(id, phone)| (phone, id)).collect();
        let validated = read.into_iter().map(|(phone, given)| {
            let contact_id = phone.as_ref().ok().and_then(|phone| known.get(phone)).copied();
            Validated { given, phone, contact_id }
        });
        Ok(validated.collect())
    }

    /// Starts taking a file of contacts.
    ///
    /// # Errors
    /// `SubscriptionInactive`.
    pub async fn import(&self, tenant_id: TenantId) -> Result<ContactImport> {
        check_active(&self.tools, tenant_id).await?;
        Ok(ContactImport::new(ContactRows { tools: self.tools.clone(), tenant_id }))
    }
}

fn taken() -> Error {
    Error::Conflict { message: "There is a contact with this phone already.".into(), field: Some("phone") }
}

/// Checks how many things one body names.
pub(super) fn check_count(field: &'static str, n: usize) -> Result<()> {
    if (1..=CONTACTS_PER_BODY_MAX).contains(&n) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("must name 1 to {CONTACTS_PER_BODY_MAX}")))
}

fn check_input(input: ContactInput, problems: &mut Problems) -> Option<NewContact> {
    let phone = noted("phone", Recipient::parse(&input.phone), problems);
    let name = noted("name", check_name(&input.name), problems);
    let email = noted("email", check_email(input.email.as_deref().unwrap_or_default()), problems);
    let time_zone = noted("timeZone", input.time_zone.as_deref().map(zone).transpose(), problems);
    noted("attributes", check_attributes(&input.attributes), problems);
    Some(NewContact {
        phone: phone?,
        name: name?,
        email: email?,
        time_zone: time_zone?,
        attributes: input.attributes,
        is_out: input.opt_in == Some(false),
    })
}

fn check_patch(patch: ContactPatch, problems: &mut Problems) -> ContactChange {
    let email = |email: Option<String>| check_email(email.as_deref().unwrap_or_default());
    let attributes = patch.attributes.as_ref().map(check_attributes).transpose();
    noted("attributes", attributes, problems);
    ContactChange {
        phone: patch.phone.and_then(|phone| noted("phone", Recipient::parse(&phone), problems)),
        name: patch.name.and_then(|name| noted("name", check_name(&name), problems)),
        email: patch.email.and_then(|given| noted("email", email(given), problems)),
        time_zone: patch
            .time_zone
            .and_then(|given| noted("timeZone", given.as_deref().map(zone).transpose(), problems)),
        attributes: patch.attributes,
    }
}

/// Reads a zone.
pub(super) fn zone(text: &str) -> Result<Zone, ZoneProblem> {
    Zone::parse(text.trim()).ok_or(ZoneProblem)
}

fn noted<T, E: std::fmt::Display>(field: &'static str, read: Result<T, E>, problems: &mut Problems) -> Option<T> {
    read.inspect_err(|problem| problems.push(field, problem.to_string())).ok()
}
