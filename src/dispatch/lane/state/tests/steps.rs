//! Pace, holds, probes and what a lane never does.

use super::*;

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

/// The journal has skipped it: the lane forgets it and goes on with the next.
#[test]
fn who_is_passed_over_costs_the_lane_nothing() {
    let mut bench = Bench::new(60_000.0, 2);
    let Step::Begin(work, _) = bench.step() else { panic!("nothing begins") };
    let passed_over = work.delivery_id;
    assert!(bench.lane.begin_refused(work, BeginRefusal::PassedOver, bench.now).is_none());
    let Step::Begin(work, _) = bench.step() else { panic!("the next does not begin") };
    assert_ne!(work.delivery_id, passed_over);
    assert!(bench.lane.begin_refused(work, BeginRefusal::PassedOver, bench.now).is_none());
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

/// However many deliveries are put off: what a lane holds is bounded, none goes before its moment, and all go.
#[test]
fn deliveries_that_are_due_later_are_held_in_bounds() {
    const N: u64 = 400;
    for seed in 0..10 {
        let (mut rng, mut bench) = (StdRng::seed_from_u64(seed), Bench::by("{}"));
        let kinds = [TrafficClass::Bulk, TrafficClass::Transactional];
        let streams = kinds.map(|class| Of::new(class, Temperature::Warm));
        let mut due: HashMap<(CampaignId, i64), Moment> = HashMap::new();
        for Of { campaign_id, class: traffic_class, .. } in streams {
            let session_id = bench.lane.session_id;
            let offer = Offer { session_id, campaign_id, band: Band(0), zone: None, traffic_class, done_below_seq: 1 };
            assert!(bench.lane.offer(&offer, START));
            let after_ms = |_| rng.random_range(0..3) * rng.random_range(0..20_000);
            let at = (1..).zip((0..N).map(after_ms));
            due.extend(at.map(|(seq, ms)| ((campaign_id, seq), START + Duration::from_millis(ms))));
        }
        while !due.is_empty() {
            bench.load_due(&due);
            for prepared in bench.released() {
                let key = (prepared.work.campaign_id, prepared.work.seq);
                let at = due.remove(&key).expect("sent once");
                assert!(at <= bench.now, "seed {seed}: {:?} too early", at.since(bench.now));
                let is_refused = rng.random_ratio(1, 4);
                let refused = deferred(Reason::ProviderError, Handling::RetryMessage, Retry::After(HOUR / 600));
                let released_at = bench.now;
                let outcome = if is_refused { refused } else { accepted() };
                let mut verdict = bench.lane.finished(prepared.work, outcome, released_at, bench.now);
                match verdict.again.take() {
                    Some(work) => {
                        due.insert(key, work.ready_at);
                        bench.lane.put_back(work, bench.now);
                    }
                    None => bench.lane.end_written(),
                }
            }
            let n = bench.lane.members.len();
            assert!(n <= RETRIES_PER_LANE_MAX + 4 * HEADS_PER_LANE_MAX, "seed {seed}: {n} in memory");
            bench.now = bench.now + Duration::from_millis(20);
            bench.time.set(bench.now);
            assert!(bench.now < START + HOUR, "seed {seed}: {} are left", due.len());
        }
    }
}

impl Bench {
    /// Loads what the streams ask for; `due` are the deliveries that are there, by their places.
    fn load_due(&mut self, due: &HashMap<(CampaignId, i64), Moment>) {
        let mut loads = Vec::new();
        self.lane.streams.loads(self.lane.n_heads_wanted(), &mut loads);
        for load in loads {
            let class = TrafficClass::Bulk;
            let plan = Arc::new(JobPlan {
                template: Some(MessageTemplate::compile(&MessageSpec::Text { text: "Hello".to_owned() }).unwrap()),
                ..JobPlan::plain(JobId::generate(), class)
            });
            let of = |((campaign_id, seq), at): (&(CampaignId, i64), &Moment)| {
                (*campaign_id == load.campaign_id && load.after_seq < *seq).then_some((*seq, *at))
            };
            let mut rows: Vec<_> = due.iter().filter_map(of).collect();
            rows.sort_unstable();
            rows.truncate(load.limit);
            let works = rows.iter().map(|(seq, at)| {
                Box::new(Work {
                    delivery_id: DeliveryId::generate(),
                    campaign_id: load.campaign_id,
                    band: load.band,
                    seq: *seq,
                    recipient: Recipient::from_stored(&format!("9198{seq:08}")).unwrap(),
                    variables: Variables::default(),
                    n_attempts: 0,
                    n_attempts_before: 0,
                    ready_at: self.now.max(*at),
                    capped_until: None,
                    plan: Arc::clone(&plan),
                })
            });
            let works = works.collect();
            self.lane.loaded(&load, rows.len(), rows.last().map(|(seq, _)| *seq), (works, self.now));
        }
    }
}
