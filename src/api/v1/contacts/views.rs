//! Contacts and groups as clients see them.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::timestamp::Timestamp;
use crate::domain::id::{ContactId, GroupId};
use crate::domain::opt_out::OptSource;
use crate::domain::zone::Zone;
use crate::service::contact_groups::AddedContacts;
use crate::service::contacts::Validated;
use crate::store::contact_groups::GroupRecord;
use crate::store::contacts::ContactRecord;

/// A contact.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContactView {
    /// The contact.
    #[schema(value_type = uuid::Uuid)]
    id: ContactId,
    /// Digits with country code.
    #[schema(example = "919876543210")]
    phone: String,
    /// What people call them; may be empty.
    #[schema(example = "Ana Rao")]
    name: String,
    /// Their e-mail address.
    #[schema(example = "ana@example.com")]
    email: Option<String>,
    /// Whether campaigns may write to them.
    #[schema(example = true)]
    opt_in: bool,
    /// When that was last said; null when nothing ever was.
    opt_in_changed_at: Option<Timestamp>,
    /// Who said it: `recipient`, by a word such as STOP; `user`, over the API; `import`, by a file.
    #[schema(example = "recipient")]
    opt_in_changed_by: Option<&'static str>,
    /// Where they live, for sending hours; null where the country of the phone says it.
    #[schema(example = "Asia/Kolkata")]
    time_zone: Option<String>,
    /// What else is known of them; variables of messages, as name and e-mail are.
    #[schema(example = json!({"city": "Pune"}))]
    attributes: BTreeMap<String, String>,
    /// When it was made.
    created_at: Timestamp,
    /// When it was last changed; opting in and out is no change.
    updated_at: Timestamp,
}

/// A contact that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedContactView {
    /// The contact.
    #[schema(value_type = uuid::Uuid)]
    id: ContactId,
    /// Digits with country code.
    #[schema(example = "919876543210")]
    phone: String,
}

/// How many contacts were removed.
#[derive(Debug, Serialize, ToSchema)]
pub struct RemovedContactsView {
    /// Those that were there and are no more.
    #[schema(example = 2)]
    pub deleted: u64,
}

/// What is to be said about a text that may be a phone.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValidatedView {
    /// The text.
    #[schema(example = "+91 98765 43210")]
    given: String,
    /// Whether it is one.
    #[schema(example = true)]
    valid: bool,
    /// Digits with country code; null when it is none.
    #[schema(example = "919876543210")]
    phone: Option<String>,
    /// The country, by ISO 3166, where the phone tells it.
    #[schema(example = "IN")]
    country: Option<String>,
    /// Why it is none.
    problem: Option<String>,
    /// The contact that has it.
    #[schema(value_type = Option<uuid::Uuid>)]
    contact_id: Option<ContactId>,
}

/// A group of contacts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    /// The group.
    #[schema(value_type = uuid::Uuid)]
    id: GroupId,
    /// What people call it.
    #[schema(example = "Regulars")]
    name: String,
    /// Contacts in it.
    #[schema(example = 57)]
    contact_count: i64,
    /// When it was made.
    created_at: Timestamp,
}

/// What became of contacts that were put into a group.
#[derive(Debug, Serialize, ToSchema)]
pub struct AddedContactsView {
    /// Those that were not in it.
    #[schema(example = 3)]
    added: u64,
    /// Those that were.
    #[schema(example = 0)]
    duplicates: u64,
}

impl From<ContactRecord> for ContactView {
    fn from(contact: ContactRecord) -> Self {
        let attributes = contact.attributes.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            id: contact.id,
            opt_in: contact.is_opted_in(),
            opt_in_changed_at: contact.opt_out.map(|opt_out| Timestamp(opt_out.changed_at_ms)),
            opt_in_changed_by: contact.opt_out.map(|opt_out| OptSource::as_str(opt_out.by)),
            time_zone: contact.time_zone.as_ref().map(|zone| Zone::as_str(zone).to_owned()),
            attributes: attributes.collect(),
            created_at: Timestamp(contact.created_at_ms),
            updated_at: Timestamp(contact.changed_at_ms),
            phone: contact.phone.as_str().to_owned(),
            name: contact.name,
            email: contact.email,
        }
    }
}

impl From<ContactRecord> for CreatedContactView {
    fn from(contact: ContactRecord) -> Self {
        Self { id: contact.id, phone: contact.phone.as_str().to_owned() }
    }
}

impl From<Validated> for ValidatedView {
    fn from(validated: Validated) -> Self {
        let phone = validated.phone.as_ref().ok();
        Self {
            valid: phone.is_some(),
            phone: phone.map(|phone| phone.as_str().to_owned()),
            country: phone.and_then(|phone| phone.country()).map(str::to_owned),
            problem: validated.phone.as_ref().err().map(ToString::to_string),
            contact_id: validated.contact_id,
            given: validated.given,
        }
    }
}

impl From<GroupRecord> for GroupView {
    fn from(group: GroupRecord) -> Self {
        let GroupRecord { id, name, n_contacts, created_at_ms, .. } = group;
        Self { id, name, contact_count: n_contacts, created_at: Timestamp(created_at_ms) }
    }
}

impl From<AddedContacts> for AddedContactsView {
    fn from(AddedContacts { added, duplicates }: AddedContacts) -> Self {
        Self { added, duplicates }
    }
}
