//! One lane, step by step: pace, holds, probes and what a lane never does.

use super::*;
use crate::dispatch::lane::step::{Dismissed, Verdict};
use crate::dispatch::lane::work::JobPlan;
use crate::dispatch::pacer::ShardTime;
use crate::dispatch::shard::Offer;
use crate::domain::attempt::Outcome;
use crate::domain::failure::{Failure, FailureClass, Handling, Reason, Retry, Scope};
use crate::domain::held_by::HeldBy;
use crate::domain::id::JobId;
use crate::domain::message::{MessageSpec, MessageTemplate, Variables};
use crate::domain::pacing::Pacing;
use crate::domain::plan::OnLimit;
use crate::domain::recipient::Recipient;
use crate::limits::STREAMS_PER_LANE_MAX;
use crate::store::journal::BeginRefusal;

mod limits;

const START: Moment = Moment(1_800_000_000_000_000_000);
const GRANT: Grant = Grant {
    lead: Duration::from_millis(10),
    may_begin: true,
    crowded: false,
    leased: true,
    account: crate::dispatch::breaker::Verdict::Closed,
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
            job_id: JobId::generate(),
            traffic_class: TrafficClass::Bulk,
            on_limit: OnLimit::Hold,
            not_before: None,
            expires_at,
            campaign_pacing: None,
            template: Some(MessageTemplate::compile(&spec).unwrap()),
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

    /// Begins at once whatever may begin, and returns what is let go now.
    fn released(&mut self) -> Vec<Prepared> {
        let mut released = Vec::new();
        loop {
            match self.step() {
                Step::Begin(work, content) => self.lane.begun(work, content),
                Step::Release(prepared, _) => released.push(prepared),
                Step::Withdraw(prepared) => self.lane.put_back(prepared.work, self.now),
                Step::Dismiss(..) => {}
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
    assert!(bench.lane.streams.pause(bench.campaign_id, true));
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
    work.plan = Arc::new(JobPlan { on_limit: OnLimit::Fail, template: None, ..plan_of(&work) });
    let why = BeginRefusal::Plan { until_ms: i64::MAX };
    assert!(bench.lane.begin_refused(work, why, bench.now).is_some());
    assert!(bench.lane.is_idle());
}

fn plan_of(work: &Work) -> JobPlan {
    let JobPlan { job_id, traffic_class, on_limit, not_before, expires_at, .. } = *work.plan;
    JobPlan { job_id, traffic_class, on_limit, not_before, expires_at, campaign_pacing: None, template: None }
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
