//! Jobs become rows: the intake's one write.
//!
//! Safe to repeat: the ids come from the job. Reads no topic and stores no offset; [`mod@write`]
//! has the statements.
//!
//! A transaction that admits holds its streams before it inserts, and whatever it can wait for
//! comes in one order: single messages in the outbox, campaigns, streams, jobs, deliveries, usage, outbox, counters, and by
//! id within each. So two of them never wait in a circle, not even with the same ids for different streams:
//! an insert with `ON CONFLICT` waits for whoever inserted the id and has not committed, and both
//! come to that id in the same order. Such an insert also waits where the journal has written to
//! a delivery that is sent here once more, and that journal may be about to save the very stream;
//! therefore the journal passes over streams that are held. Should PostgreSQL find a circle all
//! the same, it ends one of the two and [`Tries`] begins it again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use crate::domain::campaign::{CampaignState, Counters};
use crate::domain::delivery::DeliveryState;
use crate::domain::event::{EVENT_VERSION, StateChange};
use crate::domain::failure::Reason;
use crate::domain::id::{CampaignId, DeliveryId, JobId, SessionId, TenantId};
use crate::domain::job::{Job, JobDelivery, TrafficClass};
use crate::domain::zone::{Band, Temperature, Zone};
use crate::store::admissions::known::Known;
use crate::store::analytics::feed::DayDeltas;
use crate::store::bind::written;
use crate::store::events::event_time;
use crate::store::fingerprint::Terms;
use crate::store::places::{Given, StreamKey, Wanted};
use crate::store::reasons::ReasonDeltas;
use crate::store::tx::Tries;
use crate::store::{Store, StoreError};

mod known;
mod spend;
mod write;

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The job.
    pub job_id: JobId,
    /// The session that is to send it.
    pub session_id: SessionId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// Kind of traffic.
    pub traffic_class: TrafficClass,
    /// The streams of its deliveries; none for a refused job.
    pub streams: Vec<AdmittedStream>,
    /// Deliveries that were not there before.
    pub n_new: usize,
    /// Whether its campaign may send: it runs, or is not in our tables. A paused one opens its streams when it is
    /// resumed.
    pub is_open: bool,
    /// Why nothing of it was persisted.
    pub refused: Option<Refusal>,
}

/// A stream that has deliveries of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmittedStream {
    /// The kind of recipients.
    pub band: Band,
    /// Their zone, where it is known.
    pub zone: Option<Zone>,
    /// Every delivery of the stream below this place is settled; whoever opens the stream starts
    /// here, because jobs that others admitted may lie before this one.
    pub done_below_seq: i64,
}

/// Why a job was not persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such session.
    UnknownSession,
    /// The session or the campaign belongs to another tenant.
    ForeignTenant,
    /// One of its ids is known with another content.
    ConflictingId,
    /// It has expired, and no campaign of ours counts on it.
    Expired,
}

const DOING: &str = "admit jobs";

/// A job with what its content is known by.
struct Candidate<'a> {
    job: &'a Job,
    terms: i64,
    /// One per delivery.
    prints: Vec<i64>,
}

impl<'a> Candidate<'a> {
    fn of(job: &'a Job) -> Self {
        let terms = Terms::of(job);
        let prints = job.deliveries.iter().map(|delivery| terms.print_of(delivery)).collect();
        Self { job, terms: terms.print(), prints }
    }

    fn deliveries(&self) -> impl Iterator<Item = (&'a JobDelivery, i64)> {
        self.job.deliveries.iter().zip(self.prints.iter().copied())
    }
}

/// Returns the kind of a recipient; single messages go whatever the time at the recipient's place.
fn band_of(job: &Job, delivery: &JobDelivery, known: &Known) -> (Band, Option<Zone>) {
    let is_bulk = job.traffic_class == TrafficClass::Bulk;
    let own = || delivery.time_zone.clone().or_else(|| Zone::of_recipient(&delivery.to));
    let zone = if is_bulk { own() } else { None };
    let wrote = known.wrote.contains(&(job.session_id, delivery.to.as_str().to_owned()));
    (Band::of(zone.as_ref(), if wrote { Temperature::Warm } else { Temperature::Cold }), zone)
}

/// Tells whether a campaign may send.
fn is_open(known: &Known, campaign_id: CampaignId) -> bool {
    known.campaigns.get(&campaign_id).is_none_or(|(_, state)| state == CampaignState::Running.as_str())
}

/// The columns of a new delivery.
struct NewDelivery<'a> {
    /// Which of the candidates it came with.
    index: usize,
    job: &'a Job,
    delivery: &'a JobDelivery,
    fingerprint: i64,
    band: Band,
    zone: Option<Zone>,
    seq: i64,
    variables: String,
    state: DeliveryState,
    settled_at_ms: Option<i64>,
    /// What it takes of its plan; see [`crate::domain::quota`].
    quota_period_ms: Option<i64>,
}

impl NewDelivery<'_> {
    fn stream(&self) -> StreamKey {
        (self.job.session_id, self.job.campaign(), self.band)
    }
}

/// The jobs of one transaction: which are refused, and what the others bring.
struct Batch<'a> {
    candidates: &'a [Candidate<'a>],
    refusals: Vec<Option<Refusal>>,
    /// By id, each id once.
    rows: Vec<NewDelivery<'a>>,
}

/// How a transaction ended.
enum Round {
    Admitted(Vec<Admitted>),
    /// These jobs contradict what is persisted; nothing was.
    Conflicting(HashSet<usize>),
}

impl Store {
    /// Persists jobs with their deliveries, all in one transaction; what is there already stays.
    ///
    /// Answers in the order of the jobs. Deliveries get the next places of their streams, and those
    /// of a cancelled campaign are persisted as cancelled. A single message leaves the outbox. Of a
    /// refused job nothing is persisted; the others are admitted.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written or the commit was not confirmed; safe to
    /// repeat.
    pub async fn admit_jobs(&self, jobs: &[&Job], now_us: i64) -> Result<Vec<Admitted>, StoreError> {
        let candidates: Vec<_> = jobs.iter().map(|job| Candidate::of(job)).collect();
        let mut conflicting = HashSet::new();
        let mut tries = Tries::default();
        loop {
            let result = self.admit_round(&candidates, &conflicting, now_us).await;
            if tries.again(&result) {
                continue;
            }
            match result? {
                Round::Admitted(admitted) => return Ok(admitted),
                // At least one job more each time, so this ends.
                Round::Conflicting(more) => {
                    conflicting.extend(more);
                    tries = Tries::default();
                }
            }
        }
    }

    async fn admit_round(
        &self,
        candidates: &[Candidate<'_>],
        conflicting: &HashSet<usize>,
        now_us: i64,
    ) -> Result<Round, StoreError> {
        let now_ms = now_us.div_euclid(1_000);
        let mut tx = self.begin_write(DOING).await?;
        let taken_back = tx.hold_messages(candidates).await.map_err(StoreError::database(DOING))?;
        let mut known = tx.hold_known(candidates).await?;
        known.taken_back = taken_back;
        known.wrote = tx.who_wrote(candidates).await.map_err(StoreError::database(DOING))?;
        let mut batch = Batch::of(candidates, &known, conflicting, now_ms);
        let given = tx.give_places(&batch.wanted(), now_us, DOING).await?;
        batch.take_places(&given);
        let expected = tx.read_usage(&batch.tenants(), now_ms, DOING).await?;
        let subscribers = expected.tenants();
        batch.expect_room(expected);
        let new_jobs = tx.insert_jobs(&batch, now_ms).await.map_err(StoreError::database(DOING))?;
        let new = tx.insert_deliveries(&batch.rows, now_ms).await.map_err(StoreError::database(DOING))?;
        let more = tx.contradictions(&batch, &new_jobs, &new).await?;
        if !more.is_empty() {
            tx.rollback(DOING).await?;
            return Ok(Round::Conflicting(more));
        }
        let mut budgets = tx.hold_usage(&subscribers, now_ms, DOING).await?;
        let changed = batch.take_messages(&new, &mut budgets, now_ms);
        tx.correct_deliveries(&batch, &changed).await.map_err(StoreError::database(DOING))?;
        tx.save_usage(&budgets, DOING).await?;
        tx.remove_admitted_messages(&batch).await?;
        let mut n_new = vec![0; candidates.len()];
        let mut deltas: BTreeMap<CampaignId, Counters> = BTreeMap::new();
        let mut reasons = ReasonDeltas::new();
        let mut days = DayDeltas::default();
        for row in batch.rows.iter().filter(|row| new.contains(&row.delivery.id.0)) {
            n_new[row.index] += 1;
            let delta = deltas.entry(row.job.campaign()).or_default();
            delta.accepted += 1;
            *delta.of_mut(row.state, row.failure_class()) += 1;
            days.add((row.job.tenant_id, row.job.session_id, row.job.campaign()), &row.standing(now_ms));
            if row.state == DeliveryState::Failed {
                *reasons.entry((row.job.campaign(), Reason::PlanMessages.as_str().to_owned())).or_default() += 1;
            }
        }
        tx.remember_opt_outs(&batch.recipients(&new), DOING).await?;
        tx.add_to_reasons(&reasons, DOING).await?;
        tx.add_to_counters(&deltas, &days, DOING).await?;
        tx.tell_changes(&batch.told_tenants(&new), || batch.changes(&new, now_ms), DOING).await?;
        if let Some(recording) = self.recording() {
            tx.record(recording, |_| batch.changes(&new, now_ms), DOING).await?;
        }
        self.commit_moves(tx, DOING).await?;
        Ok(Round::Admitted(batch.admitted(&n_new, &given, &known)))
    }
}

impl<'a> Batch<'a> {
    fn of(candidates: &'a [Candidate<'a>], known: &Known, conflicting: &HashSet<usize>, now_ms: i64) -> Self {
        let mut batch = Self { candidates, refusals: Vec::with_capacity(candidates.len()), rows: Vec::new() };
        let mut deliveries = HashMap::new();
        let mut jobs = HashMap::new();
        for (index, candidate) in candidates.iter().enumerate() {
            let refusal = known.refusal(candidate.job, now_ms).or_else(|| {
                let strange = conflicting.contains(&index) || contradicts(candidate, &deliveries, &jobs);
                strange.then_some(Refusal::ConflictingId)
            });
            batch.refusals.push(refusal);
            if refusal.is_some() {
                continue;
            }
            jobs.insert(candidate.job.job_id, candidate.terms);
            for (delivery, fingerprint) in candidate.deliveries() {
                let state = known.first_state(candidate.job.campaign(), delivery.id);
                if deliveries.insert(delivery.id, fingerprint).is_none() {
                    let (band, zone) = band_of(candidate.job, delivery, known);
                    batch.rows.push(NewDelivery {
                        index,
                        band,
                        zone,
                        job: candidate.job,
                        delivery,
                        fingerprint,
                        seq: 0,
                        variables: written(&delivery.variables),
                        state,
                        settled_at_ms: state.is_settled().then_some(now_ms),
                        quota_period_ms: None,
                    });
                }
            }
        }
        batch
    }

    /// Returns the candidates that are not refused, with their indices.
    fn welcome(&self) -> impl Iterator<Item = (usize, &'a Candidate<'a>)> {
        let all = self.candidates.iter().enumerate().zip(&self.refusals);
        all.filter(|(_, refusal)| refusal.is_none()).map(|(candidate, _)| candidate)
    }

    fn wanted(&self) -> BTreeMap<StreamKey, Wanted> {
        let mut wanted = BTreeMap::new();
        for row in &self.rows {
            let (traffic_class, zone) = (row.job.traffic_class, row.zone.clone());
            wanted.entry(row.stream()).or_insert(Wanted { traffic_class, zone, n: 0 }).n += 1;
        }
        wanted
    }

    /// Takes the places in the order of the jobs, then puts the rows in the order of their ids.
    fn take_places(&mut self, given: &HashMap<StreamKey, Given>) {
        let mut next: HashMap<StreamKey, i64> = given.iter().map(|(key, given)| (*key, given.first_seq)).collect();
        for row in &mut self.rows {
            let seq = next.get_mut(&row.stream()).expect("places were asked for every row");
            row.seq = *seq;
            *seq += 1;
        }
        self.rows.sort_unstable_by_key(|row| row.delivery.id);
    }

    fn admitted(&self, n_new: &[usize], given: &HashMap<StreamKey, Given>, known: &Known) -> Vec<Admitted> {
        let mut streams: Vec<BTreeMap<Band, AdmittedStream>> = vec![BTreeMap::new(); self.candidates.len()];
        for row in &self.rows {
            let done_below_seq = given.get(&row.stream()).map_or(0, |given| given.done_below_seq);
            let (band, zone) = (row.band, row.zone.clone());
            streams[row.index].entry(band).or_insert(AdmittedStream { band, zone, done_below_seq });
        }
        let all = self.candidates.iter().zip(&self.refusals).zip(n_new).zip(streams);
        let admitted = all.map(|(((candidate, refused), n_new), streams)| Admitted {
            job_id: candidate.job.job_id,
            session_id: candidate.job.session_id,
            campaign_id: candidate.job.campaign(),
            traffic_class: candidate.job.traffic_class,
            streams: streams.into_values().collect(),
            n_new: *n_new,
            is_open: refused.is_none() && is_open(known, candidate.job.campaign()),
            refused: *refused,
        });
        admitted.collect()
    }

    /// Returns the recipients of new deliveries.
    fn recipients(&self, new: &HashSet<Uuid>) -> Vec<(TenantId, &'a str)> {
        let rows = self.rows.iter().filter(|row| new.contains(&row.delivery.id.0));
        rows.map(|row| (row.job.tenant_id, row.delivery.to.as_str())).collect()
    }

    /// Returns the tenants of new deliveries that are not to be sent.
    fn told_tenants(&self, new: &HashSet<Uuid>) -> BTreeSet<TenantId> {
        let settled = self.rows.iter().filter(|row| row.state.is_settled() && new.contains(&row.delivery.id.0));
        settled.map(|row| row.job.tenant_id).collect()
    }

    /// Returns the changes of new deliveries that are not to be sent.
    fn changes(&self, new: &HashSet<Uuid>, now_ms: i64) -> Vec<StateChange> {
        let settled = self.rows.iter().filter(|row| row.state.is_settled() && new.contains(&row.delivery.id.0));
        let change = |row: &NewDelivery<'_>| StateChange {
            v: EVENT_VERSION,
            event_id: None,
            delivery_id: row.delivery.id,
            tenant_id: row.job.tenant_id,
            session_id: row.job.session_id,
            campaign_id: row.job.campaign_id.filter(|id| !id.is_direct()),
            state: row.state,
            from: None,
            attempt: 0,
            failure_class: row.failure_class(),
            reason: row.reason().map(str::to_owned),
            provider_code: None,
            at: event_time(now_ms),
        };
        settled.map(change).collect()
    }

    /// Returns the welcome jobs of which a delivery is persisted with another content.
    fn with_other_content(&self, persisted: &HashMap<Uuid, i64>) -> HashSet<usize> {
        let differs = |(delivery, print): (&JobDelivery, i64)| {
            persisted.get(&delivery.id.0).is_some_and(|persisted| *persisted != print)
        };
        let strange = self.welcome().filter(|(_, candidate)| candidate.deliveries().any(differs));
        strange.map(|(index, _)| index).collect()
    }
}

/// Tells whether a job contradicts earlier ones of its batch, or itself.
fn contradicts(candidate: &Candidate<'_>, deliveries: &HashMap<DeliveryId, i64>, jobs: &HashMap<JobId, i64>) -> bool {
    let mut own = HashMap::new();
    jobs.get(&candidate.job.job_id).is_some_and(|terms| *terms != candidate.terms)
        || candidate.deliveries().any(|(delivery, print)| {
            let earlier = deliveries.get(&delivery.id).copied().or(own.insert(delivery.id, print));
            earlier.is_some_and(|earlier| earlier != print)
        })
}
