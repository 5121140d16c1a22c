//! One lane, step by step: pace, holds, probes and what a lane never does; then what each limit holds, and nothing else.

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
    ATTEMPTS_PER_DELIVERY_MAX, CAMPAIGNS_PER_LANE_MAX, PAIRS_WAITING_PER_LANE_MAX, STREAMS_PER_LANE_MAX,
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

#[test]
fn an_attempt_is_written_ahead_and_let_go_on_time() {
    let mut bench = Bench::new(60.0, 3);
    assert_eq!(bench.released().len(), 1);
    // The next one is begun a lead before its moment, and waits for that.
    assert!(matches!(bench.at(989).step(), Step::Wait(Some(at)) if at == START + Duration::from_millis(990)));
    assert!(matches!(bench.at(990).step(), Step::Begin(..)));
    let mut bench = Bench::new(60.0, 3);
    assert_eq!(bench.released().len(), 1);
    assert_eq!(bench.at(999).released().len(), 0);
    assert_eq!(bench.at(1_000).released().len(), 1);
}

#[test]
fn the_last_message_before_a_cap_is_not_taken_back() {
    let mut bench = Bench::new(60.0, 3);
    let rules = LaneRules { hourly_cap: Some(2), ..LaneRules::plain(Pacing::new(60.0, 1).unwrap()) };
    bench.lane.set_rules(Arc::new(rules));
    let first = bench.released().remove(0);
    bench.at(50).finish(first, accepted(), 0);
    // Begun a lead before its moment, it has its place under the cap and only waits for its moment.
    let Step::Begin(work, content) = bench.at(995).step() else { panic!("begun ahead") };
    bench.lane.begun(work, content);
    let due = START + Duration::from_secs(1);
    assert!(matches!(bench.step(), Step::Wait(Some(at)) if at == due));
    assert_eq!(bench.at(1_000).released().len(), 1);
    assert_eq!(bench.at(3_000).released().len(), 0);
}

/// Lets one message go, begun if it has to be, and be accepted; returns how late it is.
fn late(bench: &mut Bench) -> Duration {
    loop {
        match bench.step() {
            Step::Begin(work, content) => bench.lane.begun(work, content),
            Step::Release(prepared, lateness) => {
                let released_ms = u64::try_from(bench.now.since(START).as_millis()).unwrap();
                bench.finish(prepared, accepted(), released_ms);
                return lateness.0;
            }
            step => panic!("{step:?}"),
        }
    }
}

#[test]
fn a_message_is_late_by_what_we_held_it_up_and_not_by_what_its_limits_did() {
    let mut bench = Bench::new(60.0, 9);
    assert_eq!(late(&mut bench), Duration::ZERO);
    assert_eq!(late(bench.at(1_000)), Duration::ZERO);
    // Nobody looked for a while.
    assert_eq!(late(bench.at(2_300)), Duration::from_millis(300));
    // A person held the campaign for a minute.
    bench.at(2_400).pause(true);
    assert!(matches!(bench.step(), Step::Wait(_)));
    bench.at(60_000).pause(false);
    assert_eq!(late(bench.at(60_005)), Duration::from_millis(5));
    // The session was gone for a minute.
    bench.at(60_100).lane.connected = false;
    assert!(matches!(bench.step(), Step::Wait(None)));
    bench.at(120_000).lane.connected = true;
    assert_eq!(late(&mut bench), Duration::ZERO);
    // A cap: begun a lead before its moment, and on time.
    let rules = LaneRules { hourly_cap: Some(1), ..LaneRules::plain(Pacing::new(60.0, 1).unwrap()) };
    bench.lane.set_rules(Arc::new(rules));
    assert_eq!(late(bench.at(125_000)), Duration::from_secs(4));
    let Step::Wait(Some(at)) = bench.step() else { panic!("capped") };
    bench.at(u64::try_from(at.since(START).as_millis()).unwrap() + 1);
    let Step::Begin(work, content) = bench.step() else { panic!("begun ahead") };
    bench.lane.begun(work, content);
    let Step::Wait(Some(at)) = bench.step() else { panic!("waits for its moment") };
    bench.at(u64::try_from(at.since(START).as_millis()).unwrap() + 7);
    let lateness = late(&mut bench);
    assert!((Duration::from_millis(6)..Duration::from_millis(9)).contains(&lateness), "{lateness:?}");
}

#[test]
fn a_stall_is_not_caught_up() {
    let mut bench = Bench::new(60.0, 10);
    assert_eq!(bench.released().len(), 1);
    assert_eq!(bench.at(5_000).released().len(), 1);
    assert_eq!(bench.at(5_999).released().len(), 0);
}

#[test]
fn a_throttled_lane_waits_and_then_probes_with_one() {
    let mut bench = Bench::new(6_000.0, 20);
    let first = bench.released().remove(0);
    let verdict = bench.finish(first, throttled(), 0);
    let until = bench.lane.opening().unwrap().until;
    assert_eq!(verdict.due_at, until);
    assert!(bench.at(99).released().is_empty());
    let probe = bench.at(1_001).released();
    assert_eq!(probe.len(), 1, "one probe");
    assert!(bench.at(1_500).released().is_empty(), "nothing before the probe is answered");
    let probe = probe.into_iter().next().unwrap();
    bench.finish(probe, accepted(), 1_001);
    assert_eq!(bench.at(1_510).released().len(), 1, "open again, at its pace");
    assert_eq!(bench.at(1_520).released().len(), 1);
}

#[test]
fn sends_that_hang_do_not_keep_a_lane_from_probing() {
    let mut bench = Bench::new(6_000.0, 20);
    let hanging = bench.released().remove(0);
    let refused = bench.at(10).released().remove(0);
    bench.finish(refused, throttled(), 10);
    let probe = bench.at(1_011).released();
    assert_eq!(probe.len(), 1);
    // The one from before the hold says nothing about now.
    bench.finish(hanging, accepted(), 0);
    assert!(bench.at(1_100).released().is_empty());
}

#[test]
fn silence_holds_a_lane_after_three() {
    let mut bench = Bench::new(6_000.0, 20);
    for n in 0..3 {
        assert!(bench.lane.opening().is_none());
        let sent = bench.at(n * 10).released().remove(0);
        let silence = Outcome::Unknown(failure(Scope::Message, Retry::AfterReconcile));
        bench.finish(sent, silence, n * 10);
    }
    let hold = bench.lane.opening().unwrap();
    assert_eq!(hold.reason, Reason::ProviderUnavailable);
    bench.now = hold.until - Duration::from_millis(1);
    bench.time.set(bench.now);
    assert!(bench.released().is_empty());
}

#[test]
fn a_refused_pair_waits_alone_and_gives_up_in_the_end() {
    let pair = |attempts_max| {
        let (first, longest) = (Duration::from_secs(6), Duration::from_secs(6));
        Outcome::Deferred(failure(Scope::Pair, Retry::Backoff { first, longest, attempts_max }))
    };
    let mut bench = Bench::new(6_000.0, 2);
    let first = bench.released().remove(0);
    assert!(matches!(bench.finish(first, pair(3), 0).outcome, Outcome::Deferred(_)));
    assert!(bench.lane.opening().is_none());
    assert_eq!(bench.at(10).released().len(), 1, "the other recipient is served");
    let again = bench.at(6_001).released().remove(0);
    assert!(matches!(bench.finish(again, pair(2), 6_001).outcome, Outcome::Rejected(_)));
}

#[test]
fn an_expired_delivery_is_dismissed_and_not_sent() {
    let mut bench = Bench::new(60.0, 0);
    bench.load(1, Some(START + Duration::from_millis(5)));
    assert!(matches!(bench.at(5).step(), Step::Dismiss(_, Dismissed::Expired)));
    assert!(matches!(bench.step(), Step::Wait(_)));
}

#[test]
fn a_paused_campaign_takes_its_prepared_attempts_back() {
    let mut bench = Bench::new(60.0, 3);
    assert_eq!(bench.released().len(), 1);
    let Step::Begin(work, content) = bench.at(995).step() else { panic!("nothing was begun") };
    bench.lane.begun(work, content);
    assert!(bench.lane.pause(bench.campaign_id, true, bench.now));
    assert!(matches!(bench.at(1_000).step(), Step::Withdraw(_)));
    assert!(matches!(bench.step(), Step::Wait(None)));
}

/// Campaigns that have nothing left must not keep a lane from new ones, whoever completes them.
#[test]
fn campaigns_without_work_make_room() {
    let mut bench = Bench::new(60.0, 1);
    let session_id = bench.lane.session_id;
    let offer = |campaign_id| Offer {
        session_id,
        campaign_id,
        band: Band(0),
        zone: None,
        traffic_class: TrafficClass::Bulk,
        done_below_seq: 1,
    };
    for _ in 0..STREAMS_PER_LANE_MAX * 3 {
        let campaign_id = CampaignId::generate();
        assert!(bench.lane.offer(&offer(campaign_id), START), "a campaign found no room");
        let mut loads = Vec::new();
        bench.lane.streams.loads(4, &mut loads);
        for load in loads {
            bench.lane.loaded(&load, 0, None, (Vec::new(), bench.now));
        }
    }
    // The one with a head is still there.
    assert!(bench.lane.streams.is_open(bench.campaign_id, Band(0)));
}

#[test]
fn a_suspended_lane_takes_back_what_is_prepared_and_goes_on_by_itself() {
    let mut bench = Bench::new(60_000.0, 2);
    let Step::Begin(work, content) = bench.step() else { panic!("nothing to begin") };
    bench.lane.begun(work, content);
    let until = START + Duration::from_secs(5);
    bench.lane.suspension = Some(Held { by: HeldBy::LaneSuspended, since: START, until: Some(until) });
    let Step::Withdraw(prepared) = bench.at(100).step() else { panic!("what is prepared was kept") };
    bench.lane.put_back(prepared.work, bench.now);
    assert!(matches!(bench.step(), Step::Wait(Some(at)) if at == until));
    assert!(matches!(bench.at(5_000).step(), Step::Begin(..)), "its time is over");
    bench.lane.suspension = Some(Held { by: HeldBy::Stopped, since: START, until: None });
    assert!(matches!(bench.at(60_000).step(), Step::Wait(None)));
}

/// Refuses the next attempt; returns whether its delivery fails for it.
fn refuse(bench: &mut Bench, why: BeginRefusal) -> (i64, bool) {
    let Step::Begin(work, _) = bench.step() else { panic!("nothing begins") };
    let seq = work.seq;
    (seq, bench.lane.begin_refused(work, why, bench.now).is_some())
}

#[test]
fn a_used_up_plan_holds_the_stream_until_the_period_or_for_a_look() {
    let mut bench = Bench::new(60_000.0, 3);
    let until = START + Duration::from_secs(5);
    assert_eq!(refuse(&mut bench, BeginRefusal::Plan { until_ms: until.as_ms() }), (1, false));
    assert!(matches!(bench.step(), Step::Wait(Some(at)) if at == until), "the period ends before the next look");
    assert_eq!(refuse(bench.at(5_000), BeginRefusal::Tier { until_ms: i64::MAX }), (1, false), "the same one first");
    let look = bench.now + Duration::from_secs(30);
    assert!(matches!(bench.step(), Step::Wait(Some(at)) if at == look));
    // A change of the plan lets it go at once.
    bench.lane.streams.let_go();
    let seqs: Vec<i64> = std::iter::from_fn(|| Some(bench.at(10_000).released()).filter(|all| !all.is_empty()))
        .flat_map(|all| all.into_iter().map(|prepared| prepared.work.seq))
        .take(1)
        .collect();
    assert_eq!(seqs, [1]);
}

#[test]
fn what_is_not_to_wait_fails_when_the_plan_is_used_up() {
    let mut bench = Bench::new(60_000.0, 1);
    let Step::Begin(mut work, _) = bench.step() else { panic!("nothing begins") };
    work.plan =
        Arc::new(JobPlan { on_limit: OnLimit::Fail, ..JobPlan::plain(work.plan.job_id, work.plan.traffic_class) });
    let why = BeginRefusal::Plan { until_ms: i64::MAX };
    assert!(bench.lane.begin_refused(work, why, bench.now).is_some());
    assert!(bench.lane.is_idle());
}

#[test]
fn an_inactive_subscription_takes_back_what_is_prepared() {
    let mut bench = Bench::new(60.0, 3);
    bench.released();
    bench.at(1_000);
    let Step::Begin(work, content) = bench.step() else { panic!("nothing begins") };
    bench.lane.begun(work, content);
    bench.lane.active_until = Some(bench.now);
    assert!(matches!(bench.step(), Step::Withdraw(_)));
    assert!(matches!(bench.step(), Step::Wait(None)));
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

/// The provider opens no new chats: one cold recipient finds out, none is tried again, and everybody else is served.
#[test]
fn a_new_chat_timelock_parks_cold_recipients_only() {
    let mut bench = Bench::by("{}");
    let cold = Of::new(COLD_BULK.0, COLD_BULK.1);
    let warm = Of::new(WARM_BULK.0, WARM_BULK.1);
    bench.give(cold, 0, 100);
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
    let LaneSave { memory, .. } = bench.lane.save(bench.now).row();
    bench.lane.restore(LaneState::read(&memory.unwrap()), 0, bench.now);
    assert!(bench.run(1_000, timelock).is_empty());
    bench.now = until;
    bench.time.set(until);
    assert_eq!(bench.run(5_000, |_| accepted()).len(), 100);
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

/// When a limit on a kind of messages is thought to be over, one of them finds out; each refusal makes it longer.
#[test]
fn one_message_of_a_kind_finds_out_whether_it_is_taken_again() {
    let kinds = [
        (Reason::SpamRateLimit, Handling::HoldBusinessInitiated, WARM_BULK),
        (Reason::NewChatTimelock, Handling::HoldCold, COLD_BULK),
    ];
    for (reason, handling, kind) in kinds {
        let mut bench = Bench::by("{}");
        bench.give(Of::new(kind.0, kind.1), 0, 40);
        let refuse = |_: &Work| deferred(reason, handling, Retry::AfterAction { probe: HOUR });
        assert_eq!(bench.run(100, refuse).len(), 1);
        for strikes in [1, 2, 4] {
            let until = bench.lane.binding().unwrap().until.unwrap();
            let wait = until.since(bench.now);
            assert!(HOUR * strikes - Duration::from_secs(1) < wait && wait <= HOUR * strikes, "{strikes}: {wait:?}");
            if strikes == 2 {
                let LaneSave { memory, .. } = bench.lane.save(bench.now).row();
                bench.lane.restore(LaneState::read(&memory.unwrap()), 0, bench.now);
            }
            bench.now = until - Duration::from_millis(50);
            bench.time.set(bench.now);
            assert!(bench.run(45, refuse).is_empty());
            assert_eq!(bench.run(100, refuse).len(), 1, "one finds out");
        }
        bench.now = bench.lane.binding().unwrap().until.unwrap();
        bench.time.set(bench.now);
        // While its answer is out the others wait; taken back, another one finds out.
        let Step::Begin(work, content) = bench.step() else { panic!("nothing finds out") };
        assert!(matches!(bench.step(), Step::Wait(_)));
        bench.lane.begun(work, content);
        let suspension = Held { by: HeldBy::LaneSuspended, since: bench.now, until: None };
        bench.lane.suspension = Some(suspension);
        let Step::Withdraw(prepared) = bench.step() else { panic!("not taken back") };
        bench.lane.put_back(prepared.work, bench.now);
        bench.lane.suspension = None;
        let probes = bench.released();
        assert_eq!(probes.len(), 1);
        bench.now = bench.now + Duration::from_secs(1);
        bench.time.set(bench.now);
        assert!(bench.released().is_empty());
        for probe in probes {
            let released_at = bench.now - Duration::from_secs(1);
            bench.lane.finished(probe.work, accepted(), released_at, bench.now);
        }
        assert_eq!(bench.run(200, |_| accepted()).len(), 39);
        let memory = bench.lane.save(bench.now).row().memory.unwrap_or_default();
        let saved = LaneState::read(&memory);
        assert_eq!((saved.cold, saved.business), (None, None));
    }
}

/// Lanes of one account in several shards see the same verdict; the one that gets the probe lets it go.
#[test]
fn a_probe_of_the_account_is_asked_for_before_it_goes() {
    use crate::dispatch::breaker::Verdict;
    let mut bench = Bench::by("{}");
    bench.give(Of::new(WARM_BULK.0, WARM_BULK.1), 0, 3);
    let grant = Grant { account: Verdict::Probe, ..GRANT };
    let Step::Begin(work, content) = bench.lane.step(bench.now, grant) else { panic!("nothing begins") };
    bench.lane.begun(work, content);
    assert!(matches!(bench.lane.step(bench.now, grant), Step::ClaimProbe));
    let opening = Opening { reason: Reason::AuthInvalid, since: START, until: START + HOUR };
    let others = Grant { account: Verdict::Open(opening), ..GRANT };
    let Step::Withdraw(prepared) = bench.lane.step(bench.now, others) else { panic!("not taken back") };
    bench.lane.put_back(prepared.work, bench.now);
    let Step::Begin(work, content) = bench.lane.step(bench.now, grant) else { panic!("nothing begins") };
    bench.lane.begun(work, content);
    assert!(matches!(bench.lane.step(bench.now, grant), Step::ClaimProbe));
    assert!(matches!(bench.lane.step(bench.now, Grant { has_probe: true, ..grant }), Step::Release(..)));
}

/// A message may leave a while after it was let go; whoever comes next keeps the distance from there.
#[test]
fn distances_of_pairs_and_campaigns_count_from_when_a_message_left() {
    let mut bench = Bench::by(r#"{"pairIntervalMs":6000}"#);
    let of = Of::new(WARM_BULK.0, WARM_BULK.1);
    bench.give_to(of, [7, 7, 8].into_iter());
    let pacing = CampaignPacing { rate_per_minute: Some(60.0), daily_cap: None, hours: None };
    bench.lane.streams.shares.get_mut(of.campaign_id).unwrap().set_pacing(Some(Arc::new(pacing)), START);
    let first = bench.released().remove(0);
    let left_at = START + Duration::from_millis(400);
    bench.at(500).lane.left(&first.work, START, left_at);
    bench.finish(first, accepted(), 0);
    assert!(bench.lane.is_unsaved());
    let sent = bench.run(8_000, |_| accepted());
    let after: Vec<_> = sent.iter().map(|(_, at)| at.since(left_at)).collect();
    assert_eq!(after, [Duration::from_secs(1), Duration::from_secs(6)]);
}

/// Where nobody knows a recipient's own zone, the tenant's counts, also when it changes.
#[test]
fn another_zone_of_the_tenant_counts_at_once() {
    let mut bench = Bench::by(r#"{"hours":[{"days":["fri"],"from":"09:00","to":"17:00"}]}"#);
    let of = Of { country: "", ..Of::new(WARM_BULK.0, WARM_BULK.1) };
    bench.give(of, 0, 3);
    assert!(bench.run(100, |_| accepted()).is_empty(), "eight in the morning");
    bench.lane.set_tenant_zones(vec![TimeZone::fixed(jiff::tz::offset(2))]);
    assert_eq!(bench.run(100, |_| accepted()).len(), 3, "ten");
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

/// What is not about the message costs it none of its attempts, however often; what is about it does.
#[test]
fn attempts_are_not_burned_by_what_holds_others_too() {
    let minute = Duration::from_secs(60);
    let spared = [
        (Reason::Throughput, Handling::Throttle),
        (Reason::NewChatTimelock, Handling::HoldCold),
        (Reason::SpamRateLimit, Handling::HoldBusinessInitiated),
        (Reason::TemplatePaused, Handling::HoldStream),
        (Reason::SessionRateLimit, Handling::HoldLane),
    ];
    for (reason, handling) in spared {
        let mut bench = Bench::by("{}");
        bench.give(Of::new(COLD_BULK.0, COLD_BULK.1), 0, 1);
        for _ in 0..ATTEMPTS_PER_DELIVERY_MAX * 2 {
            let mut tries = Vec::new();
            let sent = bench.run(1, |work| {
                tries.push(work.n_tries());
                deferred(reason, handling, Retry::After(minute))
            });
            assert_eq!((sent.len(), tries), (1, vec![1]), "{reason:?}");
            bench.now = bench.now + minute * 3;
            bench.time.set(bench.now);
        }
    }
    let mut bench = Bench::new(60.0, 2);
    bench.released();
    let Step::Begin(work, content) = bench.at(995).step() else { panic!("nothing was begun") };
    bench.lane.begun(work, content);
    bench.lane.pause(bench.campaign_id, true, bench.now);
    let Step::Withdraw(prepared) = bench.step() else { panic!("not taken back") };
    assert_eq!((prepared.work.n_attempts, prepared.work.n_tries()), (1, 0));
    let mut bench = Bench::by("{}");
    bench.give(Of::new(COLD_BULK.0, COLD_BULK.1), 0, 1);
    let retry = Retry::After(Duration::from_millis(1));
    let sent = bench.run(1_000, |_| deferred(Reason::ProviderError, Handling::RetryMessage, retry));
    assert_eq!(u32::try_from(sent.len()), Ok(ATTEMPTS_PER_DELIVERY_MAX));
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

/// However many messages there are to one recipient: others go on, and memory is bounded.
#[test]
fn messages_to_one_recipient_keep_nobody_else_waiting() {
    for class in [TrafficClass::Bulk, TrafficClass::Transactional] {
        let mut bench = Bench::by(r#"{"pairIntervalMs":6000}"#);
        let (one, others) = (Of::new(class, Temperature::Warm), Of::new(WARM_BULK.0, WARM_BULK.1));
        let numbers: Vec<u32> = std::iter::repeat_n(7, 200).chain(100..110).collect();
        bench.give_to(one, numbers.into_iter());
        bench.give(others, 200, 30);
        let sent = bench.run(1_000, |_| accepted());
        let n_of = |sent: &[(CampaignId, Moment)], of: Of| sent.iter().filter(|(id, _)| *id == of.campaign_id).count();
        assert_eq!((n_of(&sent, one), n_of(&sent, others)), (11, 30), "{class:?}");
        assert_eq!(bench.lane.binding().map(|held| held.by), Some(HeldBy::Pair));
        // Each has its turn in the order of places, and comes on time.
        let mut seqs = Vec::new();
        let sent = bench.run(18_000, |work| {
            seqs.push(work.seq);
            accepted()
        });
        assert_eq!(seqs, [2, 3, 4], "{class:?}");
        let gaps: Vec<_> = sent.windows(2).map(|two| two[1].1.since(two[0].1)).collect();
        assert!(gaps.iter().all(|gap| *gap < Duration::from_millis(6_010)), "{gaps:?}");
        bench.lane.close_campaign(one.campaign_id);
        assert!(bench.run(7_000, |_| accepted()).is_empty());
        assert!(bench.lane.is_idle() && bench.lane.binding().is_none());
    }
}

#[test]
fn more_messages_to_one_recipient_than_may_wait_hold_their_stream_alone() {
    let mut bench = Bench::by(r#"{"pairIntervalMs":6000}"#);
    let (one, others) = (Of::new(TrafficClass::Transactional, Temperature::Warm), Of::new(WARM_BULK.0, WARM_BULK.1));
    let numbers: Vec<u32> = std::iter::repeat_n(7, PAIRS_WAITING_PER_LANE_MAX + 2).collect();
    bench.give_to(one, numbers.into_iter());
    bench.give(others, 200, 30);
    let sent = bench.run(1_000, |_| accepted());
    assert_eq!(sent.len(), 31);
    let mut seqs = Vec::new();
    bench.run(12_000, |work| {
        seqs.push(work.seq);
        accepted()
    });
    assert_eq!(seqs, [2, 3]);
}

/// Refusals of one pair are no refusals of the lane.
#[test]
fn refused_pairs_leave_places_for_bulk() {
    let mut bench = Bench::by("{}");
    let of = Of::new(WARM_BULK.0, WARM_BULK.1);
    bench.give(of, 0, 100);
    let refused = |_: &Work| deferred(Reason::PairRateLimit, Handling::HoldPair, Retry::After(HOUR));
    assert_eq!(bench.run(1_000, refused).len(), 100);
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

/// A provider that names the time is believed, also by the next owner of the lane.
#[test]
fn a_throttle_with_a_time_lasts_across_a_restart() {
    let mut bench = Bench::by("{}");
    bench.give(Of::new(COLD_BULK.0, COLD_BULK.1), 0, 20);
    let throttle = |_: &Work| deferred(Reason::Throughput, Handling::Throttle, Retry::After(Duration::from_secs(5)));
    assert_eq!(bench.run(10, throttle).len(), 1);
    assert!(bench.lane.is_unsaved());
    let LaneSave { memory, .. } = bench.lane.save(bench.now).row();
    bench.lane.abandon();
    let rules = Arc::clone(bench.lane.limits.rules());
    bench.lane = Lane::new(bench.lane.session_id, LaneLimits::new(rules, None, None, 7, &bench.time));
    bench.lane.connected = true;
    bench.lane.restore(LaneState::read(&memory.unwrap()), 0, bench.now);
    bench.give(Of::new(COLD_BULK.0, COLD_BULK.1), 0, 20);
    assert!(bench.run(4_900, |_| accepted()).is_empty());
    assert_eq!(bench.lane.binding().map(|held| held.by), Some(HeldBy::Throughput));
    assert!(!bench.run(200, |_| accepted()).is_empty());
    let memory = bench.lane.save(bench.now).row().memory.unwrap_or_default();
    assert_eq!(LaneState::read(&memory).throttle, None, "what is over is not kept");
}

#[test]
fn a_restored_lane_saves_after_its_last_owner_whatever_the_clock_of_that_one_said() {
    let mut bench = Bench::by("{}");
    let ahead_us = START.as_us() + 5_000;
    bench.lane.restore(LaneState::default(), ahead_us, START);
    assert!(ahead_us < bench.lane.save(START).saved_at_us);
}

#[test]
fn a_lane_without_work_waits_for_nothing() {
    let mut bench = Bench::new(60.0, 1);
    bench.lane.connected = false;
    assert!(matches!(bench.step(), Step::Wait(None)));
    assert_eq!(bench.lane.binding().map(|held| held.by), Some(HeldBy::SessionDown));
    let mut idle = Bench::new(60.0, 0);
    idle.lane.connected = false;
    assert!(matches!(idle.step(), Step::Wait(None)));
    assert_eq!(idle.lane.binding(), None);
}

const CAMPAIGN_GAP: Duration = Duration::from_secs(10);
const CAMPAIGN_CAP: usize = 4;

/// A lane that is offered, closed, given away and taken back at random, and what left in the meantime.
struct History {
    rng: StdRng,
    bench: Bench,
    campaigns: Vec<CampaignId>,
    plan: Arc<JobPlan>,
    next_seq: i64,
    on_wire: Vec<Prepared>,
    /// What was handed to the journal, and how much of it is certainly durable.
    saves: Vec<Option<String>>,
    n_durable: usize,
    sent: Vec<(CampaignId, Moment)>,
}

impl History {
    fn new(seed: u64) -> Self {
        let bench = Bench::new(60_000.0, 0);
        let pacing = CampaignPacing { rate_per_minute: Some(6.0), daily_cap: Some(4), hours: None };
        let spec = MessageSpec::Text { text: "Hello".to_owned() };
        Self {
            rng: StdRng::seed_from_u64(seed),
            campaigns: (0..3).map(|_| CampaignId::generate()).collect(),
            plan: Arc::new(JobPlan {
                campaign_pacing: Some(Arc::new(pacing)),
                template: Some(MessageTemplate::compile(&spec).unwrap()),
                ..JobPlan::plain(JobId::generate(), TrafficClass::Bulk)
            }),
            bench,
            next_seq: 1,
            on_wire: Vec::new(),
            saves: vec![None],
            n_durable: 1,
            sent: Vec::new(),
        }
    }

    fn save(&mut self) {
        let memory = self.bench.lane.save(self.bench.now).row().memory;
        self.saves.push(memory);
    }

    fn act(&mut self) {
        let campaign_id = self.campaigns[self.rng.random_range(0..3)];
        match self.rng.random_range(0..30) {
            0..4 => self.offer(campaign_id),
            4..10 => self.load(),
            10..13 => self.pass(15),
            13 => self.pass(30_000),
            14 => self.bench.lane.close_campaign(campaign_id),
            15 => {
                let Lane { streams, members, .. } = &mut self.bench.lane;
                streams.make_room(|of| members.values().any(|id| *id == of));
            }
            16 => self.hand_over(),
            17 => self.crash(),
            _ => self.steps(),
        }
        self.answer();
    }

    fn pass(&mut self, within_s: u64) {
        self.bench.now = self.bench.now + Duration::from_secs(self.rng.random_range(1..within_s));
        self.bench.time.set(self.bench.now);
    }

    fn offer(&mut self, campaign_id: CampaignId) {
        let (session_id, done_below_seq) = (self.bench.lane.session_id, self.next_seq);
        let traffic_class = TrafficClass::Bulk;
        let offer = Offer { session_id, campaign_id, band: Band(0), zone: None, traffic_class, done_below_seq };
        assert!(self.bench.lane.offer(&offer, self.bench.now));
    }

    fn load(&mut self) {
        let mut loads = Vec::new();
        self.bench.lane.streams.loads(4, &mut loads);
        for load in loads {
            let n = self.rng.random_range(0..3);
            let seqs = self.next_seq..self.next_seq + n;
            self.next_seq += n;
            let work = |seq| Work {
                delivery_id: DeliveryId::generate(),
                campaign_id: load.campaign_id,
                band: load.band,
                seq,
                recipient: Recipient::from_stored(&format!("9198{seq:08}")).unwrap(),
                variables: Variables::default(),
                n_attempts: 0,
                n_attempts_before: 0,
                ready_at: self.bench.now,
                capped_until: None,
                plan: Arc::clone(&self.plan),
            };
            let works: Vec<_> = seqs.map(|seq| Box::new(work(seq))).collect();
            let last_seq = works.last().map(|work| work.seq);
            self.bench.lane.loaded(&load, works.len(), last_seq, (works, self.bench.now));
        }
    }

    fn steps(&mut self) {
        for _ in 0..self.rng.random_range(1..8) {
            match self.bench.step() {
                Step::Begin(work, content) => {
                    // Durable with its attempt, or both are not.
                    self.save();
                    self.n_durable = self.saves.len();
                    if self.rng.random_ratio(1, 10) {
                        self.bench.lane.begin_refused(work, BeginRefusal::NotPending, self.bench.now);
                    } else {
                        self.bench.lane.begun(work, content);
                    }
                }
                Step::Release(prepared, _) => {
                    self.save();
                    self.sent.push((prepared.work.campaign_id, self.bench.now));
                    self.on_wire.push(prepared);
                }
                Step::Withdraw(prepared) => self.bench.lane.put_back(prepared.work, self.bench.now),
                Step::Dismiss(..) | Step::ClaimProbe => {}
                Step::Wait(_) => break,
            }
        }
    }

    fn answer(&mut self) {
        if self.on_wire.is_empty() || self.rng.random_bool(0.5) {
            return;
        }
        let prepared = self.on_wire.swap_remove(0);
        let outcome = match self.rng.random_range(0..4) {
            0 => deferred(Reason::TemplatePaused, Handling::HoldStream, Retry::After(Duration::from_secs(60))),
            _ => accepted(),
        };
        let (now, released_at) = (self.bench.now, self.bench.now);
        let mut verdict = self.bench.lane.finished(prepared.work, outcome, released_at, now);
        match verdict.again.take() {
            Some(work) => self.bench.lane.put_back(work, now),
            None => self.bench.lane.end_written(),
        }
        self.save();
    }

    /// The lane becomes another node's; what was under way ends first, and every answer saves the lane.
    fn hand_over(&mut self) {
        self.bench.lane.abandon();
        loop {
            match self.bench.step() {
                Step::Withdraw(prepared) => self.bench.lane.put_back(prepared.work, self.bench.now),
                Step::Wait(_) => break,
                step => panic!("an abandoned lane goes on: {step:?}"),
            }
        }
        while !self.on_wire.is_empty() {
            self.answer();
        }
        self.save();
        self.n_durable = self.saves.len();
        self.restore();
    }

    /// The process dies; of what was saved after the last attempt, any part may be durable.
    fn crash(&mut self) {
        self.on_wire.clear();
        self.restore();
    }

    fn restore(&mut self) {
        let last = self.rng.random_range(self.n_durable..=self.saves.len());
        let saved = self.saves[last - 1].as_deref().map(LaneState::read).unwrap_or_default();
        self.saves.truncate(last);
        self.n_durable = last;
        let rules = Arc::clone(self.bench.lane.limits.rules());
        let limits = LaneLimits::new(rules, saved.limits.as_ref(), None, 7, &self.bench.time);
        let mut lane = Lane::new(self.bench.lane.session_id, limits);
        lane.connected = true;
        lane.restore(saved, 0, self.bench.now);
        self.bench.lane = lane;
    }

    fn check(&self) {
        for campaign_id in &self.campaigns {
            let sent: Vec<Moment> = self.sent.iter().filter(|(of, _)| of == campaign_id).map(|(_, at)| *at).collect();
            for two in sent.windows(2) {
                assert!(CAMPAIGN_GAP <= two[1].since(two[0]), "{two:?}");
            }
            for many in sent.windows(CAMPAIGN_CAP + 1) {
                assert!(HOUR * 24 <= many[CAMPAIGN_CAP].since(many[0]), "{many:?}");
            }
        }
    }
}

/// Whatever is offered, closed, given away or lost: no campaign's count is forgotten, and no campaign's pace exceeded.
#[test]
fn no_history_makes_a_campaign_faster_than_it_may_be() {
    let mut n_sent = 0;
    for seed in 0..300 {
        let history = std::panic::catch_unwind(|| {
            let mut history = History::new(seed);
            for _ in 0..400 {
                history.act();
            }
            history.check();
            history.sent.len()
        });
        n_sent += history.unwrap_or_else(|_| panic!("seed {seed}"));
    }
    assert!(2_500 < n_sent, "hardly anything was sent: {n_sent}");
}

/// A lane of which nobody told its campaign's pace yet knows what its last owner knew.
#[test]
fn what_was_saved_of_a_campaign_is_saved_again_before_its_pace_is_known() {
    let mut history = History::new(1);
    let campaign_id = history.campaigns[0];
    history.offer(campaign_id);
    history.next_seq += 4;
    while history.sent.len() < 2 {
        history.load();
        history.steps();
        history.pass(15);
    }
    let before = LaneState::read(&history.bench.lane.save(history.bench.now).row().memory.unwrap());
    let at = history.bench.now;
    for offered in [false, true] {
        history.saves.push(before.write());
        history.n_durable = history.saves.len();
        history.restore();
        if offered {
            history.offer(campaign_id);
        }
        let after = LaneState::read(&history.bench.lane.save(at).row().memory.unwrap());
        assert_eq!(after.shares, before.shares);
        history.bench.lane.abandon();
        let abandoned = LaneState::read(&history.bench.lane.save(at).row().memory.unwrap());
        assert_eq!(abandoned.shares, before.shares);
    }
    // A day later nothing of it counts.
    let later = LaneState::read(&history.bench.lane.save(at + HOUR * 25).row().memory.unwrap_or_default());
    assert_eq!((later.shares, later.campaigns), (Vec::new(), Vec::new()));
}

#[test]
fn a_hold_of_a_template_outlives_its_stream_but_not_its_time() {
    let mut bench = Bench::by("{}");
    let of = Of::new(COLD_BULK.0, COLD_BULK.1);
    bench.give(of, 0, 2);
    let paused = |_: &Work| deferred(Reason::TemplatePaused, Handling::HoldStream, Retry::After(HOUR));
    assert_eq!(bench.run(10, paused).len(), 1);
    bench.lane.abandon();
    let kept = |bench: &mut Bench, at| LaneState::read(&bench.lane.save(at).row().memory.unwrap_or_default()).campaigns;
    let now = bench.now;
    assert_eq!(kept(&mut bench, now).len(), 1);
    assert!(kept(&mut bench, now + HOUR).is_empty());
}

/// A lane remembers so many campaigns and no more, and begins no other rather than to forget one.
#[test]
fn what_a_lane_remembers_of_campaigns_is_bounded() {
    let mut bench = Bench::by("{}");
    let hold = Hold { reason: Reason::TemplatePaused, since: START, until: START + HOUR };
    for _ in 0..CAMPAIGNS_PER_LANE_MAX * 2 {
        bench.lane.streams.shares.hold(CampaignId::generate(), hold, START);
    }
    let saved = LaneState::read(&bench.lane.save(START).row().memory.unwrap());
    assert_eq!(saved.campaigns.len() + 1, CAMPAIGNS_PER_LANE_MAX, "one has a stream");
    let Of { campaign_id, class: traffic_class, .. } = Of::new(COLD_BULK.0, COLD_BULK.1);
    let session_id = bench.lane.session_id;
    let offer = Offer { session_id, campaign_id, band: Band(0), zone: None, traffic_class, done_below_seq: 1 };
    assert!(!bench.lane.offer(&offer, START));
    assert!(bench.lane.offer(&offer, START + HOUR));
}
