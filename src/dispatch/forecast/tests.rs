//! The forecast beside a run: the scheduler itself, in a world whose journal is at once, whose provider takes
//! everything after 50 ms, and whose time jumps from event to event.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::*;
use crate::dispatch::lane::memory::LaneState;
use crate::dispatch::lane::streams::Load;
use crate::dispatch::lane::task::Finished;
use crate::dispatch::lane::work::{JobPlan, Work};
use crate::dispatch::lease::Lease;
use crate::dispatch::shard::output::Output;
use crate::dispatch::shard::state::{Shard, ShardSettings};
use crate::dispatch::shard::{Command, LaneIndex, Loaded, Offer, Report};
use crate::domain::attempt::Outcome;
use crate::domain::held_by::Held;
use crate::domain::id::{DeliveryId, JobId, TenantId};
use crate::domain::message::{MessageSpec, MessageTemplate, Variables};
use crate::domain::pacing::PacingSettings;
use crate::domain::partition::{Fence, PartitionNo};
use crate::domain::recipient::Recipient;
use crate::domain::zone::Temperature;

/// 2027-01-15, 14:00 UTC: half an hour before sending hours end in India, five before they do in Germany.
const START: Moment = Moment(1_800_021_600_000_000_000);
const N_SESSIONS: u64 = 20;
/// How long before its moment a message is begun, and how long the provider takes.
const LEAD: Duration = Duration::from_millis(20);
const ANSWER: Duration = Duration::from_millis(50);
/// Rounds at one moment, at most: all lanes may begin, load and let go a few messages each.
const ROUNDS_MAX: u32 = 1_000;
const CAMPAIGN: CampaignId = CampaignId(uuid::Uuid::from_u128(7));
const OTHER: CampaignId = CampaignId(uuid::Uuid::from_u128(8));

fn pacing() -> Pacing {
    Pacing::new(20.0, 1).unwrap()
}

fn row(number: u64, settings: &str) -> LaneRow {
    let session_id = SessionId(uuid::Uuid::from_u64_pair(1, number));
    let pacing = serde_json::from_str::<PacingSettings>(settings).unwrap();
    LaneRow { pacing, ..LaneRow::plain(session_id, TenantId(uuid::Uuid::nil())) }
}

fn stream(campaign_id: CampaignId, country: &str, n: u64) -> ForecastStream {
    stream_of(campaign_id, (country, Temperature::Cold), n)
}

fn stream_of(campaign_id: CampaignId, (country, temperature): (&str, Temperature), n: u64) -> ForecastStream {
    let zone = Zone::of_country(country);
    let band = Band::of(zone.as_ref(), temperature);
    ForecastStream { campaign_id, band, zone, traffic_class: TrafficClass::Bulk, n, pacing: None }
}

fn terms() -> Terms {
    Terms {
        campaign_id: CAMPAIGN,
        default_pacing: pacing(),
        start: START,
        stopped_by: None,
        expires_at: None,
        room: None,
    }
}

fn lane(settings: &str, n: u64) -> ForecastLane {
    ForecastLane { row: row(1, settings), streams: vec![stream(CAMPAIGN, "IN", n)] }
}

/// Caps, hours, a pace for strangers with jitter and breaks; every fourth session is slower.
fn settings(number: u64) -> String {
    let (rate, cap) = if number.is_multiple_of(4) { (6.0, 900) } else { (10.0, 1_500 + 20 * number) };
    format!(
        r#"{{"ratePerMinute":20,"jitter":0.4,"hourlyCap":300,"dailyCap":{cap},
            "cold":{{"ratePerMinute":{rate},"jitter":0.5,
                     "breaks":{{"everyMin":20,"everyMax":25,"shortestSeconds":60,"longestSeconds":120}}}},
            "hours":[{{"days":["mon","tue","wed","thu","fri","sat","sun"],"from":"08:00","to":"20:00"}}]}}"#
    )
}

/// A campaign over all sessions, two thirds of it in India and one in Germany, where some have written before.
fn campaign(n: u64) -> Vec<ForecastLane> {
    let share = |number: u64| n / N_SESSIONS + u64::from(number < n % N_SESSIONS);
    let lane = |number: u64| {
        let (n, settings) = (share(number), settings(number));
        let warm = stream_of(CAMPAIGN, ("DE", Temperature::Warm), n / 10);
        let streams = vec![stream(CAMPAIGN, "IN", n - n / 3), stream(CAMPAIGN, "DE", n / 3 - n / 10), warm];
        ForecastLane { row: row(number, &settings), streams }
    };
    (0..N_SESSIONS).map(lane).collect()
}

/// What happens later.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Answer(Reverse<(Moment, u64)>);

/// Runs the scheduler with the work of these lanes until nothing is left; returns when its messages left.
struct World<'a> {
    shard: Shard,
    lanes: &'a [ForecastLane],
    now: Moment,
    plan: Arc<JobPlan>,
    /// Answers on their way, by when they come.
    answers: BinaryHeap<Answer>,
    finished: BTreeMap<u64, Finished>,
    n_released: u64,
    per_day: BTreeMap<u64, u64>,
    last: Moment,
}

impl<'a> World<'a> {
    fn new(lanes: &'a [ForecastLane]) -> Self {
        let spec = MessageSpec::Text { text: "Hello".to_owned() };
        let mut shard = Shard::new(ShardSettings { default_pacing: pacing(), n_places: 4_096 }, Arc::default());
        let lease = Lease::new(Fence { partition: PartitionNo(0), number: 1 }, Moment(u64::MAX));
        for lane in lanes {
            shard.command(Command::Session(Box::new(lane.row.clone()), Arc::clone(&lease)), START);
            for stream in &lane.streams {
                let (session_id, zone) = (lane.row.session_id, stream.zone.clone());
                let &ForecastStream { campaign_id, band, traffic_class, .. } = stream;
                let offer = Offer { session_id, campaign_id, band, zone, traffic_class, done_below_seq: 1 };
                shard.command(Command::Offer(offer), START);
            }
        }
        Self {
            shard,
            lanes,
            now: START,
            plan: Arc::new(JobPlan {
                campaign_pacing: lanes[0].streams[0].pacing.clone(),
                template: Some(MessageTemplate::compile(&spec).unwrap()),
                ..JobPlan::plain(JobId(uuid::Uuid::nil()), TrafficClass::Bulk)
            }),
            answers: BinaryHeap::new(),
            finished: BTreeMap::new(),
            n_released: 0,
            per_day: BTreeMap::new(),
            last: START,
        }
    }

    fn run(mut self) -> Self {
        let mut n_standing = 0;
        loop {
            self.settle();
            let answer = self.answers.peek().map(|Answer(Reverse((at, _)))| *at);
            let Some(next) = [answer, self.shard.next_wake()].into_iter().flatten().min() else { return self };
            n_standing = if self.now < next { 0 } else { n_standing + 1 };
            assert!(n_standing < ROUNDS_MAX, "wakes without end at one moment");
            self.now = self.now.max(next);
            let mut out = Output::default();
            while self.answers.peek().is_some_and(|Answer(Reverse((at, _)))| *at <= self.now) {
                let Some(Answer(Reverse((_, number)))) = self.answers.pop() else { break };
                let finished = self.finished.remove(&number).unwrap();
                self.shard.report(Report::Finished(finished), self.now, &mut out);
            }
            self.carry_out(out);
        }
    }

    /// Lets the shard act until it only waits.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < ROUNDS_MAX, "acts without end at one moment");
            let mut out = Output::default();
            self.shard.run(self.now, LEAD, &mut out);
            let mut loads = Vec::new();
            self.shard.take_loads(&mut loads);
            let idle = out.begins.is_empty() && out.releases.is_empty() && out.withdrawals.is_empty();
            if idle && out.ends.is_empty() && loads.is_empty() {
                return;
            }
            self.carry_out(out);
            if !loads.is_empty() {
                let loaded = loads.into_iter().map(|(lane, session_id, load)| self.load(lane, session_id, load));
                let loaded = loaded.collect();
                self.shard.report(Report::Loaded(loaded), self.now, &mut Output::default());
            }
        }
    }

    fn carry_out(&mut self, out: Output) {
        assert!(out.dismissals.is_empty());
        let mut after = Output::default();
        for release in out.releases {
            self.n_released += 1;
            let work = release.prepared.work;
            if work.campaign_id == CAMPAIGN {
                *self.per_day.entry(self.now.0 / 86_400_000_000_000).or_default() += 1;
                self.last = self.now;
            }
            let outcome = Outcome::Accepted { provider_message_id: "wamid".to_owned() };
            let (at, released_at) = (self.now + ANSWER, self.now);
            let finished = Finished { lane: release.lane, work, outcome, released_at, left_at: None, ended_at: at };
            self.finished.insert(self.n_released, finished);
            self.answers.push(Answer(Reverse((at, self.n_released))));
        }
        for begin in out.begins {
            self.shard.report(Report::Begun(begin.lane, begin.work, begin.content), self.now, &mut after);
        }
        for withdrawal in out.withdrawals {
            self.shard.report(Report::PutBack(withdrawal.lane, withdrawal.work), self.now, &mut after);
        }
        for end in out.ends {
            assert!(end.again.is_none());
            self.shard.report(Report::Written(vec![end.lane]), self.now, &mut after);
        }
        assert!(after.begins.is_empty() && after.releases.is_empty() && after.ends.is_empty());
    }

    fn load(&self, lane: LaneIndex, session_id: SessionId, load: Load) -> Loaded {
        let of = self.lanes.iter().position(|lane| lane.row.session_id == session_id).unwrap();
        let is_it = |stream: &&ForecastStream| (stream.campaign_id, stream.band) == (load.campaign_id, load.band);
        let streams = &self.lanes[of].streams;
        let at = streams.iter().position(|stream| is_it(&stream)).unwrap();
        let last = i64::try_from(streams[at].n).unwrap().min(load.after_seq + i64::try_from(load.limit).unwrap());
        let works = (load.after_seq + 1..=last).map(|seq| {
            Box::new(Work {
                delivery_id: DeliveryId(uuid::Uuid::from_u128(
                    u128::try_from(of * 8 + at).unwrap() << 64 | u128::from(seq.unsigned_abs()),
                )),
                campaign_id: load.campaign_id,
                band: load.band,
                seq,
                recipient: Recipient::from_stored("919876543210").unwrap(),
                variables: Variables::default(),
                n_attempts: 0,
                n_attempts_before: 0,
                ready_at: START,
                capped_until: None,
                plan: Arc::clone(&self.plan),
            })
        });
        let works: Vec<_> = works.collect();
        Loaded { lane, load, n_rows: works.len(), last_seq: works.last().map(|work| work.seq), works }
    }
}

fn share_of(part: f64, whole: f64) -> f64 {
    part / whole.max(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn float(n: u64) -> f64 {
    n as f64
}

/// Runs the scheduler and compares: the finish and each day are within 2 %.
fn check(lanes: &[ForecastLane], n: u64) {
    let forecast = forecast(lanes, &terms());
    let run = World::new(lanes).run();
    assert_eq!(forecast.n, n);
    assert_eq!(run.per_day.values().sum::<u64>(), n);
    let (told, found) = (forecast.finish_at.unwrap().since(START), run.last.since(START));
    let off = share_of((told.as_secs_f64() - found.as_secs_f64()).abs(), found.as_secs_f64());
    eprintln!("{n} messages: forecast {told:?}, run {found:?}, off by {:.4} %", off * 100.0);
    assert!(off <= 0.02, "the finish is off by {off}");
    let told: BTreeMap<u64, u64> = forecast.per_day.iter().map(|(day, n)| (day.0 / 86_400_000_000_000, *n)).collect();
    eprintln!("per day: forecast {told:?}, run {:?}", run.per_day);
    for day in told.keys().chain(run.per_day.keys()) {
        let [told, found] = [&told, &run.per_day].map(|of| float(of.get(day).copied().unwrap_or(0)));
        // A day's messages by those of a full day: the last one may have a handful only.
        let full = float(run.per_day.values().copied().max().unwrap_or(0));
        assert!(share_of((told - found).abs(), full) <= 0.02, "day {day}: {told} and {found}");
    }
}

/// `E2E_MESSAGES=100000` for a campaign of that size.
#[test]
fn a_forecast_is_within_two_percent_of_a_run() {
    let n = std::env::var("E2E_MESSAGES").ok().map_or(20_000, |n| n.parse().unwrap());
    check(&campaign(n), n);
}

#[test]
fn other_campaigns_in_the_lanes_are_reckoned_with() {
    let mut lanes = campaign(2_000);
    lanes.truncate(2);
    for (lane, n) in lanes.iter_mut().zip([400, 30]) {
        lane.streams.push(stream(OTHER, "IN", n));
    }
    let n = lanes.iter().map(|lane| lane.n_of(CAMPAIGN)).sum();
    check(&lanes, n);
}

#[test]
fn the_pace_of_the_campaign_is_reckoned_with() {
    let mut lanes = campaign(2_000);
    lanes.truncate(2);
    let pacing: CampaignPacing = serde_json::from_str(r#"{"ratePerMinute":4,"dailyCap":30}"#).unwrap();
    for stream in lanes.iter_mut().flat_map(|lane| &mut lane.streams) {
        stream.pacing = Some(Arc::new(pacing.clone()));
    }
    assert_eq!(forecast(&lanes, &terms()).bound_by, Some(HeldBy::CampaignPace));
    check(&lanes, 200);
}

#[test]
fn the_same_is_forecast_twice() {
    let lanes = campaign(3_000);
    assert_eq!(forecast(&lanes, &terms()), forecast(&lanes, &terms()));
}

#[test]
fn the_cap_that_binds_is_named() {
    let made = forecast(&[lane(r#"{"ratePerMinute":60,"dailyCap":100}"#, 250)], &terms());
    assert_eq!((made.n, made.bound_by), (250, Some(HeldBy::DailyCap)));
    assert_eq!(made.per_day.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [100, 100, 50]);
    let paced = forecast(&[lane(r#"{"ratePerMinute":60,"burst":1}"#, 101)], &terms());
    assert_eq!((paced.finish_at, paced.bound_by), (Some(START + Duration::from_secs(100)), Some(HeldBy::Pace)));
}

#[test]
fn what_has_no_end_is_named_and_has_no_finish() {
    let mut down = lane("{}", 10);
    down.row.state = SessionState::LoggedOut;
    down.row.session_id = SessionId(uuid::Uuid::from_u64_pair(1, 2));
    let made = forecast(&[lane("{}", 10), down], &terms());
    assert_eq!((made.finish_at, made.bound_by, made.n), (None, Some(HeldBy::SessionLost), 10));
    assert_eq!((made.per_session[1].n, made.per_session[1].n_unsent), (0, 10));
    assert!(made.per_session[0].finish_at.is_some());
    let stopped = Terms { stopped_by: Some(HeldBy::CampaignPaused), ..terms() };
    assert_eq!(forecast(&[lane("{}", 10)], &stopped).bound_by, Some(HeldBy::CampaignPaused));
}

#[test]
fn holds_with_an_end_delay() {
    let until = START + Duration::from_secs(3_600);
    let mut held = lane("{}", 1);
    held.row.suspension = Some(Held { by: HeldBy::SessionSuspended, since: START, until: Some(until) });
    let made = forecast(&[held], &terms());
    assert_eq!((made.finish_at, made.bound_by), (Some(until), Some(HeldBy::SessionSuspended)));
}

#[test]
fn a_plan_without_room_waits_for_its_next_period() {
    let period = START + DAY * 3;
    let room = |fails| Room { now: 4, later: vec![(period, 100)], fails };
    let with = |fails| forecast(&[lane("{}", 10)], &Terms { room: Some(room(fails)), ..terms() });
    let made = with(false);
    assert_eq!((made.n, made.bound_by), (10, Some(HeldBy::PlanMessages)));
    assert_eq!(made.finish_at, Some(period + pacing().interval() * 5));
    let made = with(true);
    assert_eq!((made.n, made.per_session[0].n_unsent, made.bound_by), (4, 6, Some(HeldBy::PlanMessages)));
    assert_eq!(made.finish_at, Some(START + pacing().interval() * 3));
    let over = Room { now: 4, later: Vec::new(), fails: false };
    let made = forecast(&[lane("{}", 10)], &Terms { room: Some(over), ..terms() });
    assert_eq!((made.n, made.finish_at, made.bound_by), (4, None, Some(HeldBy::PlanMessages)));
}

#[test]
fn what_expires_is_not_sent() {
    let expires_at = START + Duration::from_secs(60);
    let made =
        forecast(&[lane(r#"{"ratePerMinute":6,"burst":1}"#, 10)], &Terms { expires_at: Some(expires_at), ..terms() });
    assert_eq!((made.n, made.finish_at, made.per_session[0].n_unsent), (6, Some(expires_at), 4));
}

#[test]
fn one_session_more_takes_its_part() {
    let lanes = campaign(2_100);
    let more = with_one_more(&lanes, CAMPAIGN);
    let n = |lanes: &[ForecastLane]| lanes.iter().map(|lane| lane.n_of(CAMPAIGN)).sum::<u64>();
    assert_eq!((n(&lanes), n(&more), more.len()), (2_100, 2_100, 21));
    assert!((95..=100).contains(&more[20].n_of(CAMPAIGN)), "{}", more[20].n_of(CAMPAIGN));
    assert!(forecast(&more, &terms()).finish_at <= forecast(&lanes, &terms()).finish_at);
}

#[test]
fn what_was_begun_when_the_lane_was_saved_does_not_count() {
    let mut begun = lane(r#"{"ratePerMinute":60,"burst":1,"dailyCap":3}"#, 3);
    let limits = crate::dispatch::limits::LaneMemory { prepared: 2, ..Default::default() };
    let saved = LaneState { limits: Some(limits), ..LaneState::default() };
    begun.row.memory = saved.write();
    assert_eq!(forecast(&[begun], &terms()).finish_at, Some(START + Duration::from_secs(2)));
}

#[test]
fn an_endless_campaign_is_cut_off() {
    let made = forecast(&[lane(r#"{"dailyCap":1}"#, 1_000)], &terms());
    assert_eq!((made.truncated, made.finish_at), (true, None));
    assert!((390..=400).contains(&made.n), "{}", made.n);
}
