//! What a delivery asks for, as one number: the same id with another content is noticed by it.
//!
//! The encoding is our own and does not follow the wire form, so that a field with a default may be
//! added there without making every known delivery a strange one. Compares nothing itself.

use serde::Serialize;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::domain::campaign::OnUnknown;
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::domain::job::{Job, JobDelivery, TrafficClass};
use crate::domain::message::template::TemplateSpec;
use crate::domain::message::{MediaSpec, MessageSpec};
use crate::domain::plan::OnLimit;
use crate::store::bind::{ms_of, written};
use crate::store::heads::JobRow;

/// What the deliveries of a job have in common, hashed once; the job's id is not part of it,
/// because the same deliveries in jobs cut differently are the same.
#[derive(Debug, Clone)]
pub(crate) struct Terms(Sha256);

/// Writes each field behind its length, so that no two contents read alike.
struct Fields(Sha256);

impl Fields {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn time(&mut self, at_ms: Option<i64>) {
        match at_ms {
            Some(at_ms) => self.bytes(&at_ms.to_be_bytes()),
            None => self.bytes(&[]),
        }
    }

    fn message(&mut self, message: &MessageSpec) {
        match message {
            MessageSpec::Text { text } => {
                self.bytes(b"text");
                self.bytes(text.as_bytes());
            }
            MessageSpec::Template(template) => self.template(template),
            MessageSpec::Buttons(buttons) => self.whole(b"buttons", buttons),
            MessageSpec::List(list) => self.whole(b"list", list),
            MessageSpec::Link(link) => self.whole(b"link", link),
            MessageSpec::Reaction(reaction) => self.whole(b"reaction", reaction),
            MessageSpec::Location(location) => self.whole(b"location", location),
            MessageSpec::Contact(card) => self.whole(b"contact", card),
            MessageSpec::Image(media) => self.media(b"image", media),
            MessageSpec::Video(media) => self.media(b"video", media),
            MessageSpec::Audio(media) => self.media(b"audio", media),
            MessageSpec::Document(media) => self.media(b"document", media),
            MessageSpec::Sticker(media) => self.media(b"sticker", media),
        }
    }

    fn whole<T: Serialize>(&mut self, kind: &[u8], message: &T) {
        self.bytes(kind);
        self.bytes(written(message).as_bytes());
    }

    /// What is younger than the encoding counts only where it is there.
    fn template(&mut self, template: &TemplateSpec) {
        let TemplateSpec { name, language, parameters, named_parameters, header, buttons } = template;
        self.bytes(b"template");
        self.bytes(name.as_bytes());
        self.bytes(language.as_bytes());
        self.0.update((parameters.len() as u64).to_be_bytes());
        parameters.iter().for_each(|parameter| self.bytes(parameter.as_bytes()));
        if !named_parameters.is_empty() || header.is_some() || !buttons.is_empty() {
            self.whole(b"more", &(named_parameters, header, buttons));
        }
    }

    fn media(&mut self, kind: &[u8], media: &MediaSpec) {
        self.bytes(kind);
        self.bytes(media.media_id.as_ref().map_or(&[], |id| id.0.as_bytes()));
        for text in [&media.media_url, &media.caption, &media.filename] {
            self.bytes(text.as_deref().unwrap_or_default().as_bytes());
        }
    }
}

impl Terms {
    /// Reads the terms of a job.
    pub(crate) fn of(job: &Job) -> Self {
        let words = words_of(job.traffic_class, job.on_unknown, job.on_limit);
        let times = [job.not_before, job.expires_at].map(|at: Option<OffsetDateTime>| at.map(ms_of));
        Self::new((job.tenant_id, job.session_id, job.campaign()), &words, times, &job.message)
    }

    /// Reads the terms of a job that was persisted.
    pub(crate) fn of_row(row: &JobRow) -> Self {
        let words = words_of(row.traffic_class, row.on_unknown, row.on_limit);
        let times = [row.not_before_ms, row.expires_at_ms];
        Self::new((row.tenant_id, row.session_id, row.campaign_id), &words, times, &row.message)
    }

    fn new(
        (tenant_id, session_id, campaign_id): (TenantId, SessionId, CampaignId),
        words: &[&str],
        times_ms: [Option<i64>; 2],
        message: &MessageSpec,
    ) -> Self {
        let mut fields = Fields(Sha256::new());
        for id in [tenant_id.0, session_id.0, campaign_id.0] {
            fields.bytes(id.as_bytes());
        }
        words.iter().for_each(|word| fields.bytes(word.as_bytes()));
        times_ms.into_iter().for_each(|at_ms| fields.time(at_ms));
        fields.message(message);
        Self(fields.0)
    }

    /// Returns the number of the terms alone.
    pub(crate) fn print(&self) -> i64 {
        number_of(self.0.clone())
    }

    /// Returns the number of a delivery under these terms.
    pub(crate) fn print_of(&self, delivery: &JobDelivery) -> i64 {
        let mut fields = Fields(self.0.clone());
        fields.bytes(delivery.to.as_str().as_bytes());
        for (name, value) in delivery.variables.iter() {
            fields.bytes(name.as_bytes());
            fields.bytes(value.as_bytes());
        }
        number_of(fields.0)
    }
}

/// Returns the policies in words; one that is younger than the encoding counts only where it is not the default.
fn words_of(traffic_class: TrafficClass, on_unknown: OnUnknown, on_limit: OnLimit) -> Vec<&'static str> {
    let mut words = vec![traffic_class.as_str(), on_unknown.as_str()];
    words.extend((on_limit != OnLimit::default()).then_some(on_limit.as_str()));
    words
}

/// Takes the first eight bytes: 2^64 values for a comparison of two contents under one id.
fn number_of(hash: Sha256) -> i64 {
    let hash = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{DeliveryId, JobId};
    use crate::domain::job::JOB_VERSION;
    use crate::domain::message::Variables;
    use crate::domain::recipient::Recipient;

    fn job() -> Job {
        let mut variables = Variables::default();
        variables.insert("name", "Ana".to_owned()).unwrap();
        let to = Recipient::from_stored("919876543210").unwrap();
        Job {
            v: JOB_VERSION,
            job_id: JobId::generate(),
            tenant_id: TenantId(uuid::Uuid::from_u128(1)),
            session_id: SessionId(uuid::Uuid::from_u128(2)),
            campaign_id: None,
            traffic_class: TrafficClass::Bulk,
            on_unknown: OnUnknown::Quarantine,
            on_limit: OnLimit::Hold,
            not_before: None,
            expires_at: None,
            message: MessageSpec::Text { text: "Hello {{name}}".to_owned() },
            deliveries: vec![JobDelivery { id: DeliveryId::generate(), to, variables, time_zone: None }],
        }
    }

    fn print(job: &Job) -> i64 {
        Terms::of(job).print_of(&job.deliveries[0])
    }

    fn template(parameters: &[&str]) -> MessageSpec {
        let parameters = parameters.iter().map(|parameter| (*parameter).to_owned()).collect();
        let (name, language) = ("order".to_owned(), "en".to_owned());
        MessageSpec::Template(TemplateSpec { name, language, parameters, ..TemplateSpec::default() })
    }

    /// Deliveries that were persisted by an earlier build must read the same in a later one.
    #[test]
    fn the_encoding_stays_as_it_is() {
        assert_eq!(print(&job()), -9_186_095_996_981_719_672);
    }

    #[test]
    fn ids_are_not_part_of_the_content() {
        assert_eq!(print(&job()), print(&job()));
    }

    #[test]
    fn every_part_of_the_content_counts() {
        let changes: [fn(&mut Job); 17] = [
            |_| {},
            |job| job.tenant_id = TenantId::generate(),
            |job| job.session_id = SessionId::generate(),
            |job| job.campaign_id = Some(CampaignId::generate()),
            |job| job.traffic_class = TrafficClass::Transactional,
            |job| job.on_unknown = OnUnknown::Resend,
            |job| job.on_limit = OnLimit::Fail,
            |job| job.not_before = Some(OffsetDateTime::UNIX_EPOCH),
            |job| job.expires_at = Some(OffsetDateTime::UNIX_EPOCH),
            |job| job.message = MessageSpec::Text { text: "Hello {{name}} ".to_owned() },
            |job| job.message = template(&[]),
            |job| job.message = template(&["ab", "c"]),
            |job| job.message = template(&["a", "bc"]),
            |job| job.deliveries[0].to = Recipient::from_stored("919876543211").unwrap(),
            |job| job.deliveries[0].variables = Variables::default(),
            |job| job.deliveries[0].variables.insert("name", "Zoë".to_owned()).unwrap(),
            |job| job.deliveries[0].variables.insert("nam", "eAna".to_owned()).unwrap(),
        ];
        let prints = changes.map(|change| {
            let mut job = job();
            change(&mut job);
            print(&job)
        });
        let different: std::collections::HashSet<_> = prints.iter().collect();
        assert_eq!(different.len(), prints.len());
    }
}
