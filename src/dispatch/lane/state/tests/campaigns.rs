//! What a lane knows of its campaigns: nothing that counts is forgotten, whatever is opened, closed and given away.

use super::*;
use crate::dispatch::lane::share::Share;

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

/// What was begun before a crash counts for a day, also where no message of the campaign ever comes again.
#[test]
fn what_may_have_left_of_a_campaign_is_forgotten_after_a_day() {
    let campaign_id = CampaignId::generate();
    let share = serde_json::json!({ "campaignId": campaign_id, "nextNs": START.0, "nPrepared": 3 });
    let saved = LaneState::read(&serde_json::json!({ "shares": [share] }).to_string());
    let mut bench = Bench::by("{}");
    bench.lane.restore(saved, 0, START);
    let kept = |bench: &mut Bench, at| LaneState::read(&bench.lane.save(at).row().memory.unwrap_or_default()).shares;
    // Two restarts make no more of it than one.
    for _ in 0..2 {
        let shares = kept(&mut bench, START);
        assert_eq!(shares.iter().map(|share| share.day.as_ref().unwrap().counts.clone()).collect::<Vec<_>>(), [[3]]);
        bench.lane.restore(LaneState { shares, ..LaneState::default() }, 0, START);
    }
    let pacing = CampaignPacing { rate_per_minute: Some(6.0), daily_cap: Some(4), hours: None };
    let mut told = Share::new(campaign_id);
    told.restore(&kept(&mut bench, START)[0], START);
    told.set_pacing(Some(Arc::new(pacing)), START);
    assert_eq!(told.next(START).0, START + CAMPAIGN_GAP * 3);
    told.begun();
    assert!(START + HOUR * 24 <= told.next(START).0, "the fourth is begun");
    assert!(kept(&mut bench, START + HOUR * 25).is_empty());
    bench.lane.streams.forget_passed(START + HOUR * 25);
    assert!(bench.lane.streams.shares.get(campaign_id).is_none());
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

#[test]
fn news_of_a_campaign_do_not_concern_a_lane_without_it() {
    let mut bench = Bench::new(60.0, 1);
    assert_eq!(bench.run(10, |_| accepted()).len(), 1);
    let before = bench.lane.open_since;
    assert!(!bench.lane.pause(CampaignId::generate(), true, START + HOUR));
    assert_eq!(bench.lane.open_since, before);
    assert!(bench.lane.pause(bench.campaign_id, true, START + HOUR));
    assert_eq!(bench.lane.open_since, START + HOUR);
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
    let direct = Offer { campaign_id: CampaignId::DIRECT, traffic_class: TrafficClass::Transactional, ..offer.clone() };
    assert!(bench.lane.offer(&direct, START), "campaigns shut out no single message");
    assert!(bench.lane.offer(&offer, START + HOUR));
}
