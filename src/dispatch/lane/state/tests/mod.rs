//! A lane with work, step by step, for the tests beside this file.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::dispatch::lane::memory::LaneState;
use crate::dispatch::lane::step::{Dismissed, Verdict};
use crate::dispatch::lane::work::JobPlan;
use crate::dispatch::pacer::ShardTime;
use crate::dispatch::shard::Offer;
use crate::domain::attempt::Outcome;
use crate::domain::failure::{Failure, FailureClass, Handling, Reason, Retry, Scope};
use crate::domain::held_by::HeldBy;
use crate::domain::id::JobId;
use crate::domain::job::TrafficClass;
use crate::domain::message::{MessageSpec, MessageTemplate, Variables};
use crate::domain::pacing::{CampaignPacing, LaneRules, Pacing, PacingSettings};
use crate::domain::plan::OnLimit;
use crate::domain::recipient::Recipient;
use crate::domain::zone::{Temperature, Zone};
use crate::limits::{
    ATTEMPTS_PER_DELIVERY_MAX, CAMPAIGNS_PER_LANE_MAX, HEADS_PER_LANE_MAX, PAIRS_WAITING_PER_LANE_MAX,
    RETRIES_PER_LANE_MAX, STREAMS_PER_LANE_MAX,
};
use crate::store::journal::{BeginRefusal, LaneSave};

const START: Moment = Moment(1_800_000_000_000_000_000);
const GRANT: Grant = Grant {
    lead: Duration::from_millis(10),
    may_begin: true,
    crowded: false,
    leased: true,
    account: crate::dispatch::breaker::Verdict::Closed,
    has_probe: false,
};

struct Bench {
    lane: Lane,
    time: ShardTime,
    now: Moment,
    campaign_id: CampaignId,
}

impl Bench {
    /// A connected lane at `rate_per_minute` with `n` deliveries of one campaign.
    fn new(rate_per_minute: f64, n: usize) -> Self {
        let time = ShardTime::default();
        time.set(START);
        let pacing = Pacing::new(rate_per_minute, 1).unwrap();
        let rules = Arc::new(LaneRules::plain(pacing));
        let mut lane = Lane::new(SessionId::generate(), LaneLimits::new(rules, None, None, 7, &time));
        lane.connected = true;
        let campaign_id = CampaignId::generate();
        let mut bench = Self { lane, time, now: START, campaign_id };
        bench.load(n, None);
        bench
    }

    fn load(&mut self, n: usize, expires_at: Option<Moment>) {
        let (session_id, campaign_id) = (self.lane.session_id, self.campaign_id);
        let offer = Offer {
            session_id,
            campaign_id,
            band: Band(0),
            zone: None,
            traffic_class: TrafficClass::Bulk,
            done_below_seq: 1,
        };
        assert!(self.lane.streams.offer(&offer));
        let mut loads = Vec::new();
        self.lane.streams.loads(n + 1, &mut loads);
        let spec = MessageSpec::Text { text: "Hello".to_owned() };
        let plan = Arc::new(JobPlan {
            expires_at,
            template: Some(MessageTemplate::compile(&spec).unwrap()),
            ..JobPlan::plain(JobId::generate(), TrafficClass::Bulk)
        });
        let work = |seq| {
            Box::new(Work {
                delivery_id: DeliveryId::generate(),
                campaign_id,
                band: Band(0),
                seq,
                recipient: Recipient::from_stored(&format!("9198765{seq:05}")).unwrap(),
                variables: Variables::default(),
                n_attempts: 0,
                n_attempts_before: 0,
                ready_at: self.now,
                capped_until: None,
                plan: Arc::clone(&plan),
            })
        };
        let works: Vec<_> = (1..=i64::try_from(n).unwrap()).map(work).collect();
        let last_seq = works.last().map(|work| work.seq);
        self.lane.loaded(&loads[0], n, last_seq, (works, self.now));
    }

    fn at(&mut self, ms: u64) -> &mut Self {
        self.now = START + Duration::from_millis(ms);
        self.time.set(self.now);
        self
    }

    fn step(&mut self) -> Step {
        self.lane.step(self.now, GRANT)
    }

    fn pause(&mut self, paused: bool) {
        self.lane.pause(self.campaign_id, paused, self.now);
    }

    /// Begins at once whatever may begin, and returns what is let go now.
    fn released(&mut self) -> Vec<Prepared> {
        let mut released = Vec::new();
        loop {
            match self.step() {
                Step::Begin(work, content) => self.lane.begun(work, content),
                Step::Release(prepared, _) => released.push(prepared),
                Step::Withdraw(prepared) => self.lane.put_back(prepared.work, self.now),
                Step::Dismiss(..) | Step::ClaimProbe => {}
                Step::Wait(_) => return released,
            }
        }
    }

    fn finish(&mut self, prepared: Prepared, outcome: Outcome, released_ms: u64) -> Verdict {
        let released_at = START + Duration::from_millis(released_ms);
        let mut verdict = self.lane.finished(prepared.work, outcome, released_at, self.now);
        if let Some(work) = verdict.again.take() {
            self.lane.put_back(work, self.now);
        } else {
            self.lane.end_written();
        }
        verdict
    }
}

fn accepted() -> Outcome {
    Outcome::Accepted { provider_message_id: "wamid".to_owned() }
}

fn failure(scope: Scope, retry: Retry) -> Failure {
    let (class, reason) = (FailureClass::LimitExceeded, Reason::SessionRateLimit);
    let handling = match scope {
        Scope::Pair => Handling::HoldPair,
        Scope::Message => Handling::RetryMessage,
        _ => Handling::HoldLane,
    };
    Failure { class, reason, scope, retry, handling, provider_code: None }
}

fn throttled() -> Outcome {
    let (first, longest) = (Duration::from_secs(1), Duration::from_secs(8));
    Outcome::Deferred(failure(Scope::Number, Retry::Backoff { first, longest, attempts_max: u32::MAX }))
}

/// A stream of a lane, and whom it writes to.
#[derive(Clone, Copy)]
struct Of {
    campaign_id: CampaignId,
    class: TrafficClass,
    temperature: Temperature,
    country: &'static str,
}

impl Of {
    fn new(class: TrafficClass, temperature: Temperature) -> Self {
        Self { campaign_id: CampaignId::generate(), class, temperature, country: "IN" }
    }

    fn zone(self) -> Option<Zone> {
        Zone::of_country(self.country)
    }

    fn band(self) -> Band {
        Band::of(self.zone().as_ref(), self.temperature)
    }
}

const COLD_BULK: (TrafficClass, Temperature) = (TrafficClass::Bulk, Temperature::Cold);
const WARM_BULK: (TrafficClass, Temperature) = (TrafficClass::Bulk, Temperature::Warm);

impl Bench {
    /// A connected lane by these settings, without work.
    fn by(settings: &str) -> Self {
        let mut bench = Self::new(60_000.0, 0);
        let settings: PacingSettings = serde_json::from_str(settings).unwrap();
        let rules = LaneRules::resolve(&settings, Pacing::new(60_000.0, 1).unwrap(), 3);
        bench.lane.set_rules(Arc::new(rules));
        bench.lane.set_tenant_zones(vec![TimeZone::UTC]);
        bench
    }

    /// Gives the lane `n` deliveries of a stream, to recipients counted from `first`.
    fn give(&mut self, of: Of, first: u32, n: u32) {
        self.give_to(of, first..first + n);
    }

    /// Gives the lane deliveries of a stream to these recipients.
    fn give_to(&mut self, of: Of, numbers: impl ExactSizeIterator<Item = u32>) {
        let n = numbers.len();
        let session_id = self.lane.session_id;
        let Of { campaign_id, class: traffic_class, .. } = of;
        let zone = of.zone();
        let offer = Offer { session_id, campaign_id, band: of.band(), zone, traffic_class, done_below_seq: 1 };
        assert!(self.lane.offer(&offer, self.now));
        let mut loads = Vec::new();
        self.lane.streams.loads(n + 1, &mut loads);
        let load = *loads.iter().find(|load| load.campaign_id == campaign_id && load.band == of.band()).unwrap();
        let spec = MessageSpec::Text { text: "Hello".to_owned() };
        let plan = Arc::new(JobPlan {
            template: Some(MessageTemplate::compile(&spec).unwrap()),
            ..JobPlan::plain(JobId::generate(), traffic_class)
        });
        let last_seq = i64::try_from(n).unwrap();
        let works: Vec<_> = (1..)
            .zip(numbers)
            .map(|(seq, number)| {
                Box::new(Work {
                    delivery_id: DeliveryId::generate(),
                    campaign_id,
                    band: of.band(),
                    seq,
                    recipient: Recipient::from_stored(&format!("9198{number:08}")).unwrap(),
                    variables: Variables::default(),
                    n_attempts: 0,
                    n_attempts_before: 0,
                    ready_at: self.now,
                    capped_until: None,
                    plan: Arc::clone(&plan),
                })
            })
            .collect();
        self.lane.loaded(&load, n, Some(last_seq), (works, self.now));
    }

    /// Sends what may go until nothing more goes within `ms`; `answer` says what comes of each.
    fn run(&mut self, ms: u64, mut answer: impl FnMut(&Work) -> Outcome) -> Vec<(CampaignId, Moment)> {
        let end = self.now + Duration::from_millis(ms);
        let mut sent = Vec::new();
        while self.now <= end {
            for prepared in self.released() {
                sent.push((prepared.work.campaign_id, self.now));
                let (outcome, at) = (answer(&prepared.work), self.now);
                let mut verdict = self.lane.finished(prepared.work, outcome, at, self.now);
                match verdict.again.take() {
                    Some(work) => self.lane.put_back(work, self.now),
                    None => self.lane.end_written(),
                }
            }
            self.now = self.now + Duration::from_millis(1);
            self.time.set(self.now);
        }
        sent
    }
}

fn deferred(reason: Reason, handling: Handling, retry: Retry) -> Outcome {
    let (class, scope) = (FailureClass::LimitExceeded, Scope::Number);
    Outcome::Deferred(Failure { class, reason, scope, retry, handling, provider_code: None })
}

const HOUR: Duration = Duration::from_secs(3_600);

mod campaigns;

mod limits;

mod steps;
