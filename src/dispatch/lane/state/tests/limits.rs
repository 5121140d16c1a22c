//! What each limit holds, and nothing else.

use super::*;

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

/// A message that is tried again later has its own time: it burns none of its tries before, and others to the same recipient
/// do not wait for it.
#[test]
fn a_retry_is_not_due_by_the_distance_of_its_pair() {
    let mut bench = Bench::by(r#"{"pairIntervalMs":6000}"#);
    let of = Of::new(WARM_BULK.0, WARM_BULK.1);
    bench.give_to(of, [7, 7, 7].into_iter());
    let refused = |_: &Work| deferred(Reason::ProviderError, Handling::RetryMessage, Retry::After(HOUR));
    assert_eq!(bench.run(100, refused).len(), 1);
    let (mut seqs, mut after) = (Vec::new(), Vec::new());
    while bench.now < START + HOUR + Duration::from_secs(60) {
        let sent = bench.run(0, |work| {
            seqs.push(work.seq);
            accepted()
        });
        after.extend(sent.into_iter().map(|(_, at)| at.since(START)));
        bench.now = bench.now + Duration::from_millis(499);
        bench.time.set(bench.now);
    }
    assert_eq!(seqs, [2, 3, 1], "{after:?}");
    assert!(after[1] < Duration::from_secs(13) && HOUR <= after[2], "{after:?}");
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
