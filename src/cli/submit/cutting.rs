//! Recipients into jobs: spreads them over sessions and gives ids that follow from what a row says.
//!
//! Neither session nor id depends on a row's place: a file in which a line was mended, taken out or moved makes
//! the same deliveries again, and a row that is there twice makes one. Pure. What it holds is bounded, whatever the size of the file: every 10,000 recipients, or 8 MiB of them,
//! all that is held is cut.

use bytes::Bytes;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::campaign::OnUnknown;
use crate::domain::id::{CampaignId, DeliveryId, JobId, SessionId, TenantId};
use crate::domain::job::{DELIVERIES_PER_JOB_MAX, JOB_VERSION, Job, JobDelivery, TrafficClass};
use crate::domain::message::{MessageProblem, MessageSpec, MessageTemplate, Variables};
use crate::domain::plan::OnLimit;
use crate::domain::recipient::Recipient;
use crate::domain::recipient_csv::{ImportReport, Row};
use crate::limits::{EXPAND_RECIPIENTS_MAX, JOB_RECORD_BYTES_MAX, SUBMIT_BYTES_HELD_MAX};

/// Bytes of a record that are left for its key and framing.
const FRAME_BYTES: usize = 1_024;

/// What all jobs of one file have in common.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) tenant_id: TenantId,
    /// Who sends; each recipient always gets the same of them. At least one.
    pub(super) session_ids: Vec<SessionId>,
    pub(super) campaign_id: Option<CampaignId>,
    pub(super) traffic_class: TrafficClass,
    pub(super) on_unknown: OnUnknown,
    pub(super) not_before: Option<OffsetDateTime>,
    pub(super) expires_at: Option<OffsetDateTime>,
    pub(super) message: MessageSpec,
    /// Tells files apart whose ids would be the same otherwise.
    pub(super) batch: String,
}

/// A job, ready for the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadyJob {
    pub(super) session_id: SessionId,
    pub(super) n_deliveries: usize,
    pub(super) payload: Bytes,
}

/// What came of the bytes read so far and was not sent yet, and what was refused.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) jobs: Vec<ReadyJob>,
    pub(super) report: ImportReport,
}

/// Cuts the rows of a recipient file into jobs.
#[derive(Debug)]
pub(super) struct Cutter {
    terms: Terms,
    template: MessageTemplate,
    namespace: Uuid,
    /// Bytes of a job without deliveries.
    n_bytes_of_terms: usize,
    /// One for each session, in their order.
    shares: Vec<Share>,
    n_held: usize,
    n_bytes_held: usize,
}

/// Deliveries of one session that are in no job yet.
#[derive(Debug, Default)]
struct Share {
    deliveries: Vec<JobDelivery>,
    n_bytes: usize,
}

impl Cutter {
    /// Stands before the first row.
    ///
    /// # Errors
    /// When the message can not be used.
    pub(super) fn new(terms: Terms) -> Result<Self, MessageProblem> {
        let template = MessageTemplate::compile(&terms.message)?;
        let shares = terms.session_ids.iter().map(|_| Share::default()).collect();
        let namespace = Uuid::new_v5(&terms.tenant_id.0, format!("submit:{}", terms.batch).as_bytes());
        let empty = job(&terms, namespace, terms.session_ids[0], Vec::new());
        let n_bytes_of_terms = encode(&empty).len() + FRAME_BYTES;
        Ok(Self { terms, template, namespace, n_bytes_of_terms, shares, n_held: 0, n_bytes_held: 0 })
    }

    /// Takes the next row; a session's job goes to `taken` when it is full.
    pub(super) fn take(&mut self, row: Row, taken: &mut Taken) {
        let (line, recipient, variables) = match row {
            Row::Good { line, recipient, variables } => (line, recipient, variables),
            Row::Bad { line, problem } => return taken.report.add_rejected(line, &problem),
        };
        let (place, delivery) = self.delivery(recipient, variables);
        let seed = delivery.id.0.as_u64_pair().1;
        match self.template.render(&delivery.variables, &delivery.to, seed) {
            Ok(_) => self.add(place, delivery, taken),
            Err(problem) => taken.report.add_rejected(line, &problem),
        }
    }

    /// Cuts all that is held, in the order of the sessions.
    pub(super) fn cut_all(&mut self, taken: &mut Taken) {
        for place in 0..self.shares.len() {
            self.cut(place, taken);
        }
    }

    /// Makes a delivery, and says which session's it is.
    fn delivery(&self, recipient: Recipient, variables: Variables) -> (usize, JobDelivery) {
        let of_recipient = Uuid::new_v5(&self.namespace, recipient.as_str().as_bytes());
        let n_sessions = self.shares.len() as u128;
        let place = usize::try_from(of_recipient.as_u128() % n_sessions).expect("a remainder is below its divisor");
        // Sorted by name, so the same variables are the same bytes.
        let written = serde_json::to_vec(&variables).expect("names and values are texts");
        let id = DeliveryId(Uuid::new_v5(&of_recipient, &written));
        (place, JobDelivery { id, to: recipient, variables, time_zone: None })
    }

    fn add(&mut self, place: usize, delivery: JobDelivery, taken: &mut Taken) {
        taken.report.add_accepted(1);
        let n_bytes = 1 + serde_json::to_vec(&delivery).map_or(0, |bytes| bytes.len());
        if JOB_RECORD_BYTES_MAX < self.n_bytes_of_terms + self.shares[place].n_bytes + n_bytes {
            self.cut(place, taken);
        }
        let share = &mut self.shares[place];
        share.deliveries.push(delivery);
        share.n_bytes += n_bytes;
        self.n_held += 1;
        self.n_bytes_held += n_bytes;
        if share.deliveries.len() == DELIVERIES_PER_JOB_MAX.get() {
            self.cut(place, taken);
        }
        if EXPAND_RECIPIENTS_MAX as usize <= self.n_held || SUBMIT_BYTES_HELD_MAX <= self.n_bytes_held {
            self.cut_all(taken);
        }
    }

    fn cut(&mut self, place: usize, taken: &mut Taken) {
        let share = std::mem::take(&mut self.shares[place]);
        if share.deliveries.is_empty() {
            return;
        }
        self.n_held -= share.deliveries.len();
        self.n_bytes_held -= share.n_bytes;
        let session_id = self.terms.session_ids[place];
        let n_deliveries = share.deliveries.len();
        let payload = encode(&job(&self.terms, self.namespace, session_id, share.deliveries)).into();
        taken.jobs.push(ReadyJob { session_id, n_deliveries, payload });
    }
}

/// Makes a job whose id follows from what it holds.
fn job(terms: &Terms, namespace: Uuid, session_id: SessionId, deliveries: Vec<JobDelivery>) -> Job {
    let ids = deliveries.iter().flat_map(|delivery| delivery.id.0.into_bytes());
    let name: Vec<u8> = session_id.0.into_bytes().into_iter().chain(ids).collect();
    Job {
        v: JOB_VERSION,
        job_id: JobId(Uuid::new_v5(&namespace, &name)),
        tenant_id: terms.tenant_id,
        session_id,
        campaign_id: terms.campaign_id,
        traffic_class: terms.traffic_class,
        on_unknown: terms.on_unknown,
        on_limit: OnLimit::default(),
        not_before: terms.not_before,
        expires_at: terms.expires_at,
        message: terms.message.clone(),
        deliveries,
    }
}

fn encode(job: &Job) -> Vec<u8> {
    job.encode().expect("the times were read from RFC 3339, so it can write them")
}
