//! The scheduler in a simulated world: journal, loader and provider answer late and at random,
//! sessions come and go, campaigns are paused, partitions are handed back or lost, the process dies. One seed is
//! one history.
//!
//! After every step: no delivery is sent twice without its attempt having been refused, none
//! leaves without a durable attempt, no lane is above its pace, and in the end all is settled.

use std::collections::{BTreeMap, HashMap, HashSet};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::dispatch::lane::memory::LaneState;
use crate::dispatch::lane::restore::restored_limits;
use crate::dispatch::lane::step::Hold;
use crate::dispatch::lane::task::Finished;
use crate::dispatch::lane::work::{JobPlan, Work};
use crate::dispatch::pacer::state_after_full_burst;
use crate::dispatch::shard::Loaded;
use crate::domain::attempt::Outcome;
use crate::domain::failure::{Failure, FailureClass, Handling, Reason, Retry, Scope};
use crate::domain::id::{DeliveryId, JobId, TenantId};
use crate::domain::job::TrafficClass;
use crate::domain::message::{MessageSpec, MessageTemplate, Variables};
use crate::domain::pacing::PacingSettings;
use crate::domain::partition::Fence;
use crate::domain::recipient::Recipient;
use crate::domain::session::{SessionEvent, SessionState};
use crate::domain::zone::{Band, Temperature};
use crate::store::journal::BeginRefusal;
use crate::store::lanes::LaneRow;

const START: Moment = Moment(1_800_000_000_000_000_000);
const N_SESSIONS: usize = 4;
const N_PARTITIONS: usize = 2;
const RATE_PER_MINUTE: f64 = 600.0;

fn lease(partition: usize, number: i64) -> Arc<Lease> {
    let partition = PartitionNo(u16::try_from(partition).unwrap());
    Lease::new(Fence { partition, number }, Moment(u64::MAX))
}

fn lane_row(session_id: SessionId) -> LaneRow {
    LaneRow::plain(session_id, TenantId::generate())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowState {
    Pending,
    Sending,
    Settled,
}

#[derive(Debug)]
struct Row {
    delivery_id: DeliveryId,
    session: usize,
    campaign: usize,
    seq: i64,
    state: RowState,
    n_attempts: u32,
    due_at: Moment,
    n_accepted: u32,
}

enum Happening {
    Commit(Output),
    Sent(Finished),
    NotSent(LaneIndex, Box<Work>, Moment),
    Load(Vec<(LaneIndex, SessionId, Load)>),
}

struct World {
    rng: StdRng,
    now: Moment,
    shard: Shard,
    rows: Vec<Row>,
    /// The next place; what is put back in line gets a new one.
    next_seq: i64,
    by_id: HashMap<DeliveryId, usize>,
    sessions: Vec<SessionId>,
    campaigns: Vec<CampaignId>,
    plan: Arc<JobPlan>,
    queue: BTreeMap<(Moment, u64), Happening>,
    n_happenings: u64,
    loading: bool,
    /// What the lanes saved, and what the provider saw.
    saved_tat: HashMap<SessionId, i64>,
    arrivals: Vec<Vec<Moment>>,
    on_wire: HashSet<DeliveryId>,
    paused: HashSet<usize>,
    /// What the provider says to every message, where it always says the same.
    refusal: Option<Failure>,
    /// What was heard of the sessions themselves.
    told: Vec<(SessionId, SessionEvent, Reason)>,
    burst: u32,
    /// Of each partition: our lease, the fence in the database, and whether we are closing it.
    leases: Vec<Arc<Lease>>,
    fences: Vec<i64>,
    closing: Vec<bool>,
    out: Output,
    committed_at: Moment,
}

fn settings(burst: u32) -> ShardSettings {
    ShardSettings { default_pacing: Pacing::new(RATE_PER_MINUTE, burst).unwrap(), n_places: 12 }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let burst = rng.random_range(1..4);
        let spec = MessageSpec::Text { text: "Hello {{phone}}".to_owned() };
        let mut world = Self {
            shard: Shard::new(settings(burst), Arc::default()),
            now: START,
            rows: Vec::new(),
            next_seq: 1,
            by_id: HashMap::new(),
            sessions: (0..N_SESSIONS).map(|_| SessionId::generate()).collect(),
            campaigns: (0..3).map(|n| if n == 0 { CampaignId::DIRECT } else { CampaignId::generate() }).collect(),
            plan: Arc::new(JobPlan {
                template: Some(MessageTemplate::compile(&spec).unwrap()),
                ..JobPlan::plain(JobId::generate(), TrafficClass::Bulk)
            }),
            queue: BTreeMap::new(),
            n_happenings: 0,
            loading: false,
            saved_tat: HashMap::new(),
            arrivals: vec![Vec::new(); N_SESSIONS],
            on_wire: HashSet::new(),
            paused: HashSet::new(),
            refusal: None,
            told: Vec::new(),
            burst,
            leases: (0..N_PARTITIONS).map(|partition| lease(partition, 1)).collect(),
            fences: vec![1; N_PARTITIONS],
            closing: vec![false; N_PARTITIONS],
            out: Output::default(),
            committed_at: START,
            rng,
        };
        for session in 0..N_SESSIONS {
            world.tell_session(session, true);
        }
        world
    }

    fn tell_session(&mut self, session: usize, connected: bool) {
        let session_id = self.sessions[session];
        let row = LaneRow {
            state: if connected { SessionState::Connected } else { SessionState::Reconnecting },
            tat_us: self.saved_tat.get(&session_id).copied(),
            ..lane_row(session_id)
        };
        let lease = Arc::clone(&self.leases[session % N_PARTITIONS]);
        self.shard.command(Command::Session(Box::new(row), lease), self.now);
    }

    fn submit(&mut self) {
        let (session, campaign) = (self.rng.random_range(0..N_SESSIONS), self.rng.random_range(0..3));
        for _ in 0..self.rng.random_range(1..30) {
            let delivery_id = DeliveryId::generate();
            let seq = self.take_place();
            self.by_id.insert(delivery_id, self.rows.len());
            self.rows.push(Row {
                delivery_id,
                session,
                campaign,
                seq,
                state: RowState::Pending,
                n_attempts: 0,
                due_at: START,
                n_accepted: 0,
            });
        }
        self.offer(session, campaign);
    }

    fn take_place(&mut self) -> i64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// Offers a stream with the highest place that the database could name: everything below is settled.
    fn offer(&mut self, session: usize, campaign: usize) {
        let open = |row: &&Row| (row.session, row.campaign) == (session, campaign) && row.state != RowState::Settled;
        let done_below_seq = self.rows.iter().filter(open).map(|row| row.seq).min().unwrap_or(self.next_seq);
        let traffic_class = if campaign == 0 { TrafficClass::Transactional } else { TrafficClass::Bulk };
        let (session_id, campaign_id) = (self.sessions[session], self.campaigns[campaign]);
        self.shard.command(
            Command::Offer(Offer { session_id, campaign_id, band: Band(0), zone: None, traffic_class, done_below_seq }),
            self.now,
        );
    }

    /// Puts what was settled without being accepted back in line, at the end.
    fn requeue(&mut self, session: usize, campaign: usize) {
        for index in 0..self.rows.len() {
            let row = &self.rows[index];
            let is_lost = row.state == RowState::Settled && row.n_accepted == 0;
            if (row.session, row.campaign) == (session, campaign) && is_lost && self.rng.random_bool(0.5) {
                self.rows[index].seq = self.take_place();
                self.rows[index].state = RowState::Pending;
            }
        }
        self.offer(session, campaign);
    }

    fn later(&mut self, within_ms: u64, happening: Happening) {
        let wait = Duration::from_millis(self.rng.random_range(1..=within_ms));
        self.at(self.now + wait, happening);
    }

    fn at(&mut self, at: Moment, happening: Happening) {
        self.n_happenings += 1;
        self.queue.insert((at, self.n_happenings), happening);
    }

    /// Lets the shard act, then moves on to whatever comes next; `false` when nothing does.
    fn step(&mut self, disturbed: bool) -> bool {
        let mut out = std::mem::take(&mut self.out);
        self.shard.run(self.now, Duration::from_millis(20), &mut out);
        for release in std::mem::take(&mut out.releases) {
            self.release(release);
        }
        let closed = std::mem::take(&mut out.closed);
        let taken_back = !closed.is_empty();
        for partition in closed {
            self.take_back(usize::from(partition.0));
        }
        let idle = out.begins.is_empty() && out.ends.is_empty() && out.withdrawals.is_empty();
        if !(idle && out.lane_states.is_empty()) {
            // The journal writes in order: a commit never overtakes an earlier one.
            let at = self.committed_at.max(self.now) + Duration::from_millis(self.rng.random_range(1..=15));
            self.committed_at = at;
            self.at(at, Happening::Commit(out));
        }
        if !self.loading {
            let mut loads = Vec::new();
            self.shard.take_loads(&mut loads);
            if !loads.is_empty() {
                self.loading = true;
                self.later(30, Happening::Load(loads));
            }
        }
        let next_event = self.queue.keys().next().copied();
        let (Some(next_at), wake) = (next_event.map(|(at, _)| at).or(self.shard.next_wake()), self.shard.next_wake())
        else {
            return taken_back;
        };
        self.now = self.now.max(wake.map_or(next_at, |wake| wake.min(next_at)));
        if let Some(key) = next_event.filter(|(at, _)| *at <= self.now) {
            let happening = self.queue.remove(&key).unwrap();
            let mut out = Output::default();
            self.happen(happening, &mut out);
            self.out = out;
        }
        if disturbed && self.rng.random_ratio(1, 60) {
            self.disturb();
        }
        true
    }

    fn release(&mut self, release: Release) {
        let work = release.prepared.work;
        if release.lease.deadline.has_passed(self.now) || self.rng.random_bool(0.01) {
            self.later(5, Happening::NotSent(release.lane, work, self.now));
            return;
        }
        let row = &mut self.rows[self.by_id[&work.delivery_id]];
        assert_eq!(row.state, RowState::Sending, "left without a durable attempt");
        assert_eq!(row.n_attempts, work.n_attempts);
        assert_eq!(row.n_accepted, 0, "sent again after it was accepted");
        assert!(self.on_wire.insert(work.delivery_id), "on the wire twice");
        assert!(!self.paused.contains(&row.campaign), "sent while its campaign was paused");
        self.arrivals[row.session].push(self.now);
        let outcome = match self.rng.random_range(0..20) {
            _ if self.refusal.is_some() => Outcome::Deferred(self.refusal.clone().unwrap()),
            0 => deferred(Scope::Number),
            1 => deferred(Scope::Pair),
            2 => Outcome::Rejected(failure(Scope::Message, Retry::Never)),
            3 => Outcome::Unknown(failure(Scope::Message, Retry::AfterReconcile)),
            _ => Outcome::Accepted { provider_message_id: "wamid".to_owned() },
        };
        if matches!(outcome, Outcome::Accepted { .. }) {
            row.n_accepted += 1;
        }
        let finished =
            Finished { lane: release.lane, work, outcome, released_at: self.now, left_at: None, ended_at: self.now };
        self.later(200, Happening::Sent(finished));
    }

    fn happen(&mut self, happening: Happening, out: &mut Output) {
        match happening {
            Happening::Sent(finished) => {
                assert!(self.on_wire.remove(&finished.work.delivery_id));
                self.shard.report(Report::Finished(finished), self.now, out);
            }
            Happening::NotSent(lane, work, at) => self.shard.report(Report::NotSent(lane, work, at), self.now, out),
            Happening::Load(loads) => {
                self.loading = false;
                let loaded =
                    loads.into_iter().map(|(lane, session_id, load)| self.load(lane, session_id, load)).collect();
                self.shard.report(Report::Loaded(loaded), self.now, out);
            }
            Happening::Commit(output) => self.commit(output, out),
        }
    }

    fn commit(&mut self, output: Output, out: &mut Output) {
        let fences = self.fences.clone();
        let holds = |fence: Fence| fences[usize::from(fence.partition.0)] == fence.number;
        let saves = output.lane_states.into_iter().filter(|(_, fence)| holds(*fence));
        self.told.extend(output.lost);
        self.saved_tat.extend(saves.map(|(save, _)| (save.session_id, save.tat_us)));
        for end in output.ends {
            let row = &mut self.rows[self.by_id[&end.delivery_id]];
            if holds(end.fence) {
                assert_eq!((row.state, row.n_attempts), (RowState::Sending, end.attempt_no));
                row.due_at = end.due_at;
                row.state = if end.again.is_some() { RowState::Pending } else { RowState::Settled };
            }
            let report = match end.again {
                Some(work) => Report::PutBack(end.lane, work),
                None => Report::Written(vec![end.lane]),
            };
            self.shard.report(report, self.now, out);
        }
        for Withdrawal { lane, fence, work, .. } in output.withdrawals {
            let row = &mut self.rows[self.by_id[&work.delivery_id]];
            if holds(fence) {
                assert_eq!(row.state, RowState::Sending);
                row.state = RowState::Pending;
            }
            self.shard.report(Report::PutBack(lane, work), self.now, out);
        }
        for begin in output.begins {
            let used_up = self.rng.random_ratio(1, 40);
            let row = &mut self.rows[self.by_id[&begin.work.delivery_id]];
            let holds = holds(begin.fence);
            assert!(!holds || row.state != RowState::Sending, "two copies of one delivery");
            if holds && row.state == RowState::Pending && used_up {
                let why = BeginRefusal::Plan { until_ms: (self.now + Duration::from_secs(2)).as_ms() };
                self.shard.report(Report::BeginRefused(begin.lane, begin.work, why), self.now, out);
            } else if holds && row.state == RowState::Pending && row.n_attempts == begin.work.n_attempts {
                row.state = RowState::Sending;
                row.n_attempts += 1;
                self.shard.report(Report::Begun(begin.lane, begin.work, begin.content), self.now, out);
            } else {
                let why = BeginRefusal::NotPending;
                self.shard.report(Report::BeginRefused(begin.lane, begin.work, why), self.now, out);
            }
        }
    }

    fn load(&self, lane: LaneIndex, session_id: SessionId, load: Load) -> Loaded {
        let session = self.sessions.iter().position(|id| *id == session_id).unwrap();
        let campaign = self.campaigns.iter().position(|id| *id == load.campaign_id).unwrap();
        let open = self.rows.iter().filter(|row| {
            (row.session, row.campaign, row.state) == (session, campaign, RowState::Pending) && load.after_seq < row.seq
        });
        let mut open: Vec<&Row> = open.collect();
        open.sort_by_key(|row| row.seq);
        let works = open.into_iter().take(load.limit).map(|row| {
            Box::new(Work {
                delivery_id: row.delivery_id,
                campaign_id: load.campaign_id,
                band: load.band,
                seq: row.seq,
                recipient: Recipient::from_stored("919876543210").unwrap(),
                variables: Variables::default(),
                n_attempts: row.n_attempts,
                n_attempts_before: 0,
                ready_at: row.due_at.max(self.now),
                capped_until: None,
                plan: Arc::clone(&self.plan),
            })
        });
        let works: Vec<_> = works.collect();
        Loaded { lane, load, n_rows: works.len(), last_seq: works.last().map(|work| work.seq), works }
    }

    fn disturb(&mut self) {
        let session = self.rng.random_range(0..N_SESSIONS);
        let campaign = self.rng.random_range(1..3);
        match self.rng.random_range(0..7) {
            5 => self.hand_over(session % N_PARTITIONS, false),
            6 => self.hand_over(session % N_PARTITIONS, true),
            0 => self.tell_session(session, false),
            1 | 2 => self.tell_session(session, true),
            3 if self.rng.random_bool(0.3) => self.offer(session, campaign),
            3 if self.rng.random_bool(0.5) => self.requeue(session, campaign),
            3 => self.set_paused(campaign, !self.paused.contains(&campaign)),
            _ => self.crash(),
        }
    }

    fn set_paused(&mut self, campaign: usize, paused: bool) {
        let state = if paused { CampaignState::Paused } else { CampaignState::Running };
        if paused {
            self.paused.insert(campaign)
        } else {
            self.paused.remove(&campaign)
        };
        self.shard.command(Command::Campaign(self.campaigns[campaign], state), self.now);
    }

    /// A partition is given away: handed back in order, or lost to a node that found our lease run out.
    fn hand_over(&mut self, partition: usize, lost: bool) {
        if std::mem::replace(&mut self.closing[partition], true) {
            return;
        }
        self.leases[partition].close();
        if lost {
            self.leases[partition].deadline.set(Moment::default());
            self.claim(partition);
        }
        let partition = PartitionNo(u16::try_from(partition).unwrap());
        self.shard.command(Command::Close(partition), self.now);
    }

    /// A partition of which no lane is left comes back under a new lease.
    fn take_back(&mut self, partition: usize) {
        assert!(std::mem::take(&mut self.closing[partition]), "closed twice");
        let is_ours = |row: &Row| row.session % N_PARTITIONS == partition && row.state == RowState::Sending;
        assert!(!self.rows.iter().any(is_ours), "closed with an attempt under way");
        self.claim(partition);
        self.leases[partition] = lease(partition, self.fences[partition]);
        let ours = |session: &usize| session % N_PARTITIONS == partition;
        self.open_lanes((0..N_SESSIONS).filter(ours).collect());
    }

    /// The fence is raised, and what was under way is declared unknown.
    fn claim(&mut self, partition: usize) {
        self.fences[partition] += 1;
        let ours = |row: &&mut Row| row.session % N_PARTITIONS == partition && row.state == RowState::Sending;
        for row in self.rows.iter_mut().filter(ours) {
            row.state = RowState::Settled;
            let tat = state_after_full_burst(settings(self.burst).default_pacing, self.now);
            self.saved_tat.insert(self.sessions[row.session], tat.as_us());
        }
    }

    fn open_lanes(&mut self, sessions: Vec<usize>) {
        for session in &sessions {
            self.tell_session(*session, true);
        }
        for session in sessions {
            for campaign in 0..3 {
                self.offer(session, campaign);
            }
        }
        for campaign in self.paused.clone() {
            self.set_paused(campaign, true);
        }
    }

    /// The process dies and comes back at once: what is not in the database is gone.
    fn crash(&mut self) {
        self.shard = Shard::new(settings(self.burst), Arc::default());
        self.queue.clear();
        self.out = Output::default();
        self.loading = false;
        self.on_wire.clear();
        for partition in 0..N_PARTITIONS {
            self.claim(partition);
            self.leases[partition] = lease(partition, self.fences[partition]);
            self.closing[partition] = false;
        }
        self.open_lanes((0..N_SESSIONS).collect());
    }

    fn check_pace(&self) {
        let interval = Duration::from_millis(100);
        for arrivals in &self.arrivals {
            for (i, first) in arrivals.iter().enumerate() {
                for (n, later) in (1u32..).zip(&arrivals[i + 1..]) {
                    let least = interval * (n + 1).saturating_sub(self.burst);
                    assert!(least <= later.since(*first), "{n} more within {:?}", later.since(*first));
                }
            }
        }
    }
}

fn failure(scope: Scope, retry: Retry) -> Failure {
    Failure {
        class: FailureClass::WhatsappUnavailable,
        reason: Reason::ProviderError,
        scope,
        retry,
        handling: Handling::RetryMessage,
        provider_code: None,
    }
}

fn deferred(scope: Scope) -> Outcome {
    let (first, longest) = (Duration::from_millis(300), Duration::from_secs(2));
    Outcome::Deferred(failure(scope, Retry::Backoff { first, longest, attempts_max: 5 }))
}

/// Runs one history; what it asserts on the way is in the steps themselves.
fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    for round in 0..4_000 {
        if round % 300 == 0 {
            world.submit();
        }
        if !world.step(true) {
            world.now = world.now + Duration::from_secs(1);
            world.disturb();
        }
    }
    for session in 0..N_SESSIONS {
        world.tell_session(session, true);
    }
    for campaign in 1..3 {
        world.set_paused(campaign, false);
    }
    while world.step(false) {}
    assert_eq!(world.shard.n_out(), 0, "a place was not given back");
    world.check_pace();
    world
}

#[test]
fn histories_keep_the_promises() {
    for seed in 0..200 {
        let history = std::panic::catch_unwind(|| {
            let world = run(seed);
            let left = world.rows.iter().filter(|row| row.state != RowState::Settled).count();
            assert_eq!(left, 0, "deliveries were left behind");
        });
        assert!(history.is_ok(), "seed {seed}");
    }
}

/// A shard with one lane, told of in rows.
struct OneLane {
    shard: Shard,
    lease: Arc<Lease>,
    row: LaneRow,
}

impl OneLane {
    /// A session with a cap of two messages an hour, of which one is used.
    fn capped() -> Self {
        Self::by(r#"{"hourlyCap":2,"ratePerMinute":6}"#)
    }

    /// A session with these settings that has sent one message.
    fn by(settings: &str) -> Self {
        let settings: PacingSettings = serde_json::from_str(settings).unwrap();
        let row = LaneRow { pacing: settings, ..lane_row(SessionId::generate()) };
        let time = ShardTime::default();
        time.set(START);
        let rules = Arc::new(row.rules(self::settings(1).default_pacing));
        let mut limits = restored_limits(&row, &rules, None, &time);
        limits.begin(Temperature::Warm);
        assert!(limits.take(START, Temperature::Warm));
        let tat_us = limits.saved_tat().map(|tat| tat.as_us());
        let memory = LaneState { limits: limits.memory(), ..LaneState::default() }.write();
        let row = LaneRow { tat_us, memory, ..row };
        Self { shard: Shard::new(self::settings(1), Arc::default()), lease: lease(0, 1), row }
    }

    /// Opens the lane and gives it deliveries.
    fn open(&mut self, n: i64) {
        self.tell(self.row.clone());
        let (session_id, campaign_id, band) = (self.row.session_id, CampaignId::generate(), Band(0));
        let traffic_class = TrafficClass::Bulk;
        let offer = Offer { session_id, campaign_id, band, zone: None, traffic_class, done_below_seq: 1 };
        self.shard.command(Command::Offer(offer), START);
        self.shard.run(START, Duration::ZERO, &mut Output::default());
        let mut loads = Vec::new();
        self.shard.take_loads(&mut loads);
        let (lane, _, load) = loads.remove(0);
        let spec = MessageSpec::Text { text: "Hello".to_owned() };
        let plan = Arc::new(JobPlan {
            template: Some(MessageTemplate::compile(&spec).unwrap()),
            ..JobPlan::plain(JobId::generate(), traffic_class)
        });
        let work = |seq| Work {
            delivery_id: DeliveryId::generate(),
            campaign_id,
            band,
            seq,
            recipient: Recipient::from_stored(&format!("9198765{seq:05}")).unwrap(),
            variables: Variables::default(),
            n_attempts: 0,
            n_attempts_before: 0,
            ready_at: START,
            capped_until: None,
            plan: Arc::clone(&plan),
        };
        let works = (1..=n).map(|seq| Box::new(work(seq))).collect();
        let n_rows = usize::try_from(n).unwrap();
        self.report(Report::Loaded(vec![Loaded { lane, load, n_rows, last_seq: Some(n), works }]), START);
    }

    fn report(&mut self, report: Report, now: Moment) -> Output {
        let mut out = Output::default();
        self.shard.report(report, now, &mut out);
        out
    }

    fn run(&mut self, now: Moment) -> Output {
        let mut out = Output::default();
        self.shard.run(now, Duration::from_millis(20), &mut out);
        out
    }

    fn tell(&mut self, row: LaneRow) {
        self.shard.command(Command::Session(Box::new(row), Arc::clone(&self.lease)), START);
    }

    fn lane(&mut self) -> &mut Lane {
        &mut self.shard.lanes[0].lane
    }

    fn memory(&mut self) -> LaneState {
        self.lane().save(START).state
    }
}

/// A newer version wrote settings that this one can not read; what counts must be there when they can be read again.
#[test]
fn settings_that_can_not_be_read_change_no_count() {
    let unreadable = |row: &LaneRow| LaneRow { is_readable: false, pacing: PacingSettings::default(), ..row.clone() };
    for opened_readable in [true, false] {
        let mut one = OneLane::capped();
        let saved = LaneState::read(one.row.memory.as_deref().unwrap());
        if opened_readable {
            one.tell(one.row.clone());
        }
        one.tell(unreadable(&one.row));
        assert!(!one.lane().is_readable);
        one.tell(one.row.clone());
        assert!(one.lane().is_readable);
        assert_eq!(one.memory(), saved, "opened readable: {opened_readable}");
        let tat_us = one.lane().limits.saved_tat().map(|tat| tat.as_us());
        assert_eq!(tat_us, one.row.tat_us);
    }
}

/// Of what was saved last, what is begun and what counts of the hour.
fn saved_last(out: &Output) -> (u32, u32) {
    let (save, _) = out.lane_states.last().expect("the lane is saved");
    let limits = save.state.limits.clone().unwrap();
    (limits.prepared, limits.hour.unwrap().counts.iter().sum())
}

/// What was begun is saved with its attempt; what is taken back, refused or did not leave is given back durably.
#[test]
fn what_certainly_did_not_leave_costs_no_place_of_a_cap() {
    let begin = |one: &mut OneLane| {
        one.open(3);
        let now = START + Duration::from_millis(9_990);
        let Begin { lane, work, content, save, .. } = one.run(now).begins.remove(0);
        let limits = save.unwrap().state.limits.clone().unwrap();
        assert_eq!((limits.prepared, limits.hour.unwrap().counts), (1, vec![1]));
        (lane, work, content, now)
    };
    let mut one = OneLane::capped();
    let (lane, work, content, now) = begin(&mut one);
    one.report(Report::Begun(lane, work, content), now);
    one.shard.command(Command::Close(PartitionNo(0)), now);
    let out = one.run(now);
    assert_eq!((out.withdrawals.len(), saved_last(&out)), (1, (0, 1)), "taken back");

    let mut one = OneLane::capped();
    let (lane, work, _, now) = begin(&mut one);
    one.report(Report::BeginRefused(lane, work, BeginRefusal::Inactive), now);
    assert_eq!(saved_last(&one.run(now)), (0, 1), "refused");

    let mut one = OneLane::capped();
    let (lane, work, content, _) = begin(&mut one);
    let now = START + Duration::from_secs(10);
    one.report(Report::Begun(lane, work, content), now);
    let mut out = one.run(now);
    assert_eq!(saved_last(&out), (0, 2), "let go");
    let work = out.releases.remove(0).prepared.work;
    one.report(Report::NotSent(lane, work, now), now);
    assert_eq!(saved_last(&one.run(now)), (0, 1), "did not leave");
}

/// Where a lane stands is put down once for all that it begins, with the first of them, and once for all that it lets go.
#[test]
fn a_lane_is_saved_once_for_all_that_it_does_at_a_time() {
    let mut one = OneLane::by(r#"{"hourlyCap":100,"ratePerMinute":600,"burst":2}"#);
    one.open(2);
    let now = START + Duration::from_secs(10);
    let out = one.run(now);
    let prepared = |save: &LaneState| save.limits.as_ref().unwrap().prepared;
    let saves: Vec<_> = out.begins.iter().map(|begin| begin.save.as_ref().map(|save| prepared(&save.state))).collect();
    assert_eq!((saves, out.lane_states.len()), (vec![Some(2), None], 0));
    for Begin { lane, work, content, .. } in out.begins {
        one.report(Report::Begun(lane, work, content), now);
    }
    let out = one.run(now);
    assert_eq!((out.releases.len(), out.lane_states.len(), saved_last(&out)), (2, 1, (0, 3)));
}

/// What counts of a campaign is remembered without a stream, except of one that never sends again.
#[test]
fn a_cancelled_campaign_leaves_its_place_to_another() {
    let mut one = OneLane::capped();
    one.tell(one.row.clone());
    let (campaign_id, until) = (CampaignId::generate(), START + Duration::from_secs(60));
    let hold = Hold { reason: Reason::TemplatePaused, since: START, until };
    one.lane().streams.shares.hold(campaign_id, hold, START);
    for (state, n_kept) in [(CampaignState::Paused, 1), (CampaignState::Completed, 1), (CampaignState::Cancelled, 0)] {
        one.shard.command(Command::Campaign(campaign_id, state), START);
        assert_eq!(one.memory().campaigns.len(), n_kept, "{state:?}");
    }
}

#[test]
fn a_replaced_session_is_told_of_and_silent_until_it_is_connected_again() {
    let mut world = World::new(7);
    let retry = Retry::AfterAction { probe: Duration::from_secs(60) };
    let (reason, handling) = (Reason::SessionReplaced, Handling::CloseSession);
    world.refusal = Some(Failure { reason, handling, ..failure(Scope::Number, retry) });
    world.submit();
    let session = world.rows[0].session;
    let until = world.now + Duration::from_secs(3_600);
    while world.now < until && world.step(false) {}
    let told = (world.sessions[session], SessionEvent::Replaced, Reason::SessionReplaced);
    assert_eq!(world.told.first(), Some(&told));
    assert_eq!(world.told.len(), world.arrivals[session].len());
    let within = world.arrivals[session].last().unwrap().since(START);
    assert!(within < Duration::from_secs(1), "only what had left before the first answer: {within:?}");
    assert!(world.rows.iter().all(|row| row.state == RowState::Pending), "nothing is given up");

    world.refusal = None;
    world.tell_session(session, true);
    while world.step(false) {}
    assert!(world.rows.iter().all(|row| row.state == RowState::Settled));
    world.check_pace();
}
