//! What holds a kind of message holds nothing else, and lifts by itself.

use super::*;
use crate::domain::pacing::PacingSettings;
use crate::domain::zone::Zone;
use crate::store::journal::LaneSave;

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

    fn zone(self) -> Zone {
        Zone::of_country(self.country).unwrap()
    }

    fn band(self) -> Band {
        Band::of(Some(&self.zone()), self.temperature)
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
        bench.lane.tenant_zones = vec![TimeZone::UTC];
        bench
    }

    /// Gives the lane `n` deliveries of a stream, to recipients counted from `first`.
    fn give(&mut self, of: Of, first: u32, n: u32) {
        let session_id = self.lane.session_id;
        let Of { campaign_id, class: traffic_class, .. } = of;
        let zone = Some(of.zone());
        let offer = Offer { session_id, campaign_id, band: of.band(), zone, traffic_class, done_below_seq: 1 };
        assert!(self.lane.offer(&offer, self.now));
        let mut loads = Vec::new();
        self.lane.streams.loads(usize::try_from(n).unwrap() + 1, &mut loads);
        let load = *loads.iter().find(|load| load.campaign_id == campaign_id && load.band == of.band()).unwrap();
        let spec = MessageSpec::Text { text: "Hello".to_owned() };
        let plan = Arc::new(JobPlan {
            job_id: JobId::generate(),
            traffic_class,
            on_limit: OnLimit::Hold,
            not_before: None,
            expires_at: None,
            campaign_pacing: None,
            template: Some(MessageTemplate::compile(&spec).unwrap()),
        });
        let works: Vec<_> = (1..=i64::from(n))
            .zip(first..)
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
        self.lane.loaded(&load, works.len(), Some(i64::from(n)), (works, self.now));
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

/// The provider opens no new chats: one cold recipient finds out, none is tried again, and everybody else is served.
#[test]
fn a_new_chat_timelock_parks_cold_recipients_only() {
    let mut bench = Bench::by("{}");
    let cold = Of::new(COLD_BULK.0, COLD_BULK.1);
    let warm = Of::new(WARM_BULK.0, WARM_BULK.1);
    bench.give(cold, 0, 60);
    bench.give(warm, 1_000, 60);
    let timelock = |work: &Work| match work.band.temperature() {
        Temperature::Cold => deferred(Reason::NewChatTimelock, Handling::HoldCold, Retry::After(HOUR)),
        Temperature::Warm => accepted(),
    };
    let sent = bench.run(2_000, timelock);
    let n_of = |of: Of| sent.iter().filter(|(id, _)| *id == of.campaign_id).count();
    assert_eq!((n_of(cold), n_of(warm)), (1, 60));
    let held = bench.lane.binding().unwrap();
    assert_eq!(held.by, HeldBy::NewChatTimelock);
    let until = held.until.unwrap();
    assert!(START + HOUR <= until && until <= START + HOUR + Duration::from_secs(2), "{until:?}");
    // It holds after a restart too, and what was refused is the first to go when it is over.
    let LaneSave { memory, .. } = bench.lane.save(bench.now);
    bench.lane.restore(LaneState::read(&memory.unwrap()), 0, bench.now);
    assert!(bench.run(1_000, timelock).is_empty());
    bench.now = until;
    bench.time.set(until);
    assert_eq!(bench.run(2_000, |_| accepted()).len(), 60);
}

#[test]
fn a_spam_limit_leaves_answers_alone() {
    let mut bench = Bench::by("{}");
    let bulk = Of::new(WARM_BULK.0, WARM_BULK.1);
    let answers = Of::new(TrafficClass::Transactional, Temperature::Warm);
    bench.give(bulk, 0, 5);
    let spam =
        |_: &Work| deferred(Reason::SpamRateLimit, Handling::HoldBusinessInitiated, Retry::AfterAction { probe: HOUR });
    assert_eq!(bench.run(100, spam).len(), 1);
    bench.give(answers, 100, 5);
    let sent = bench.run(100, |_| accepted());
    assert_eq!(sent.len(), 5, "answers go on");
    assert!(sent.iter().all(|(id, _)| *id == answers.campaign_id));
    assert_eq!(bench.lane.binding().map(|held| held.by), Some(HeldBy::SpamLimit));
}

#[test]
fn a_paused_template_holds_its_campaign_and_no_other() {
    let mut bench = Bench::by("{}");
    let paused = Of::new(COLD_BULK.0, COLD_BULK.1);
    let other = Of::new(COLD_BULK.0, COLD_BULK.1);
    bench.give(paused, 0, 40);
    bench.give(other, 100, 40);
    let template = |work: &Work| {
        if work.campaign_id == paused.campaign_id {
            deferred(Reason::TemplatePaused, Handling::HoldStream, Retry::After(HOUR))
        } else {
            accepted()
        }
    };
    let sent = bench.run(1_000, template);
    let n_of = |of: Of| sent.iter().filter(|(id, _)| *id == of.campaign_id).count();
    assert_eq!((n_of(paused), n_of(other)), (1, 40));
    assert_eq!(bench.lane.binding().map(|held| held.by), Some(HeldBy::Template));
}

#[test]
fn a_pair_keeps_its_distance_and_others_do_not_wait_for_it() {
    let mut bench = Bench::by(r#"{"pairIntervalMs":6000}"#);
    let (first, second) = (Of::new(COLD_BULK.0, COLD_BULK.1), Of::new(COLD_BULK.0, COLD_BULK.1));
    bench.give(first, 0, 3);
    bench.give(second, 0, 4);
    let sent = bench.run(5_900, |_| accepted());
    assert_eq!(sent.len(), 4, "each of the four recipients had one message");
    assert_eq!(bench.lane.binding().map(|held| held.by), Some(HeldBy::Pair));
    assert_eq!(bench.run(200, |_| accepted()).len(), 3);
}

/// Each recipient's own clock counts; 1_800_000_000 s is Friday 2027-01-15 08:00 UTC, 13:30 in India.
#[test]
fn sending_hours_are_those_of_the_recipient() {
    let mut bench = Bench::by(r#"{"hours":[{"days":["fri","sat"],"from":"09:00","to":"17:00"}]}"#);
    let india = Of::new(COLD_BULK.0, COLD_BULK.1);
    let germany = Of { country: "DE", ..Of::new(COLD_BULK.0, COLD_BULK.1) };
    let brazil = Of { country: "BR", ..Of::new(COLD_BULK.0, COLD_BULK.1) };
    for (of, first) in [(india, 0), (germany, 100), (brazil, 200)] {
        bench.give(of, first, 3);
    }
    let sent = bench.run(1_000, |_| accepted());
    assert_eq!(sent.len(), 6, "it is nine in Germany and afternoon in India");
    assert!(sent.iter().all(|(id, _)| *id != brazil.campaign_id));
    let held = bench.lane.binding().unwrap();
    assert_eq!(held.by, HeldBy::SendingHours);
    // Single messages go at any time.
    let single = Of { country: "BR", ..Of::new(TrafficClass::Transactional, Temperature::Cold) };
    bench.give(single, 300, 1);
    assert_eq!(bench.run(100, |_| accepted()).len(), 1);
    bench.now = held.until.unwrap() - Duration::from_millis(2);
    bench.time.set(bench.now);
    let sent = bench.run(100, |_| accepted());
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|(_, at)| held.until.unwrap() <= *at));
}

#[test]
fn a_throttle_slows_down_and_holds_nothing() {
    let mut bench = Bench::by(r#"{"ratePerMinute":600}"#);
    let of = Of::new(COLD_BULK.0, COLD_BULK.1);
    bench.give(of, 0, 60);
    let mut n = 0;
    let sent = bench.run(15_000, |_| {
        n += 1;
        let retry = Retry::Backoff { first: HOUR, longest: HOUR, attempts_max: 3 };
        if n == 30 { deferred(Reason::Throughput, Handling::Throttle, retry) } else { accepted() }
    });
    assert_eq!(sent.len(), 61, "the refused one went again, and nobody waited an hour");
    let gap = |at: usize| sent[at + 1].1.since(sent[at].1);
    assert!(gap(5) < gap(40), "slower after the throttle: {:?} and {:?}", gap(5), gap(40));
}

#[test]
fn a_restored_lane_saves_after_its_last_owner_whatever_the_clock_of_that_one_said() {
    let mut bench = Bench::by("{}");
    let ahead_us = START.as_us() + 5_000;
    bench.lane.restore(LaneState::default(), ahead_us, START);
    assert!(ahead_us < bench.lane.save(START).saved_at_us);
}
