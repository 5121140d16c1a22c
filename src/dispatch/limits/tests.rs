//! Properties of the limits of a lane: never too many, exact, repeatable, and the same after a restart.

use proptest::prelude::*;

use super::*;
use crate::domain::pacing::{BreakSettings, ColdSettings, PacingProfile, PacingSettings, WarmUpSettings};

pub(super) const START: Moment = Moment(1_800_000_000_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A lane's limits and their time.
pub(super) struct World {
    pub(super) time: ShardTime,
    pub(super) limits: LaneLimits,
    seed: u64,
}

impl World {
    pub(super) fn new(rules: &LaneRules, seed: u64) -> Self {
        let time = ShardTime::default();
        time.set(START);
        Self { limits: LaneLimits::new(Arc::new(rules.clone()), None, None, seed, &time), time, seed }
    }

    pub(super) fn now(&self) -> Moment {
        self.time.now()
    }

    fn go_to(&self, at: Moment) {
        self.time.set(self.now().max(at));
    }

    fn pass(&self, time: Duration) {
        self.time.set(self.now() + time);
    }

    fn next(&self, temperature: Temperature) -> Due {
        self.limits.next(self.now(), 0, temperature)
    }

    fn send(&mut self, temperature: Temperature) -> Moment {
        self.go_to(self.next(temperature).at);
        self.limits.begin(temperature);
        assert!(self.limits.take(self.now(), temperature), "refused when it was due");
        self.now()
    }

    /// What the database and the next process make of it.
    fn restart(&mut self) {
        let text = self.limits.memory().map(|memory| serde_json::to_string(&memory).unwrap());
        let memory: Option<LaneMemory> = text.map(|text| serde_json::from_str(&text).unwrap());
        let rules = Arc::clone(self.limits.rules());
        self.limits = LaneLimits::new(rules, memory.as_ref(), self.limits.saved_tat(), self.seed, &self.time);
    }
}

pub(super) fn plain(rate_per_minute: f64, burst: u32) -> LaneRules {
    LaneRules::plain(Pacing::new(rate_per_minute, burst).unwrap())
}

fn rules(settings: &PacingSettings) -> LaneRules {
    settings.check().unwrap();
    LaneRules::resolve(settings, Pacing::new(600.0, 1).unwrap(), 1)
}

/// Rules with everything in use, quick enough that a test meets all of it.
fn busy() -> LaneRules {
    let every = |n, seconds| BreakSettings {
        every_min: n,
        every_max: n + 3,
        shortest_seconds: seconds,
        longest_seconds: seconds * 3,
    };
    rules(&PacingSettings {
        rate_per_minute: Some(120.0),
        burst: Some(3),
        jitter: Some(0.5),
        breaks: Some(every(9, 4)),
        hourly_cap: Some(150),
        daily_cap: Some(800),
        cold: Some(ColdSettings {
            rate_per_minute: Some(30.0),
            jitter: Some(1.0),
            breaks: Some(every(5, 10)),
            daily_cap: Some(200),
            warm_up: Some(WarmUpSettings { first_day: 15, growth: 1.8, until: 100 }),
            rewarm_after_hours: Some(24),
        }),
        slow_start_seconds: Some(30),
        ..PacingSettings::default()
    })
    .with_age_since(Some(START - DAY))
}

fn any_rules() -> impl Strategy<Value = LaneRules> {
    let profile = prop::sample::select(PacingProfile::ALL.to_vec());
    let of_profile =
        profile.prop_map(|profile| rules(&PacingSettings { profile: Some(profile), ..PacingSettings::default() }));
    prop_oneof![Just(busy()), of_profile, (1u32..5).prop_map(|burst| plain(120.0, burst))]
}

fn temperature() -> impl Strategy<Value = Temperature> {
    prop_oneof![Just(Temperature::Cold), Just(Temperature::Warm)]
}

/// Things that happen to a lane.
#[derive(Debug, Clone)]
enum Happening {
    Rest(Duration),
    Begin(Temperature),
    Take(Temperature),
    Withdraw(Temperature),
    Send(Temperature),
    LeftLate(u64),
    Restart,
    Connect,
    Throttle,
    Rules(Arc<LaneRules>),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![29 => happening_but_rules(), 1 => any_rules().prop_map(|rules| Happening::Rules(Arc::new(rules)))]
}

fn happening_but_rules() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0u64..3_000).prop_map(|ms| Happening::Rest(Duration::from_millis(ms))),
        1 => (0u64..200_000).prop_map(|s| Happening::Rest(Duration::from_secs(s))),
        4 => temperature().prop_map(Happening::Begin),
        4 => temperature().prop_map(Happening::Take),
        1 => temperature().prop_map(Happening::Withdraw),
        8 => temperature().prop_map(Happening::Send),
        2 => (0u64..2_000).prop_map(Happening::LeftLate),
        1 => Just(Happening::Restart),
        1 => Just(Happening::Connect),
        1 => Just(Happening::Throttle),
    ]
}

/// A send that left.
struct Sent {
    released_at: Moment,
    at: Moment,
    temperature: Temperature,
    rules: LaneRules,
}

/// Lives through what happens; returns what left.
fn live(world: &mut World, happenings: Vec<Happening>) -> Vec<Sent> {
    let mut sent: Vec<Sent> = Vec::new();
    let mut begun: Vec<Temperature> = Vec::new();
    for happening in happenings {
        match happening {
            Happening::Rest(time) => world.pass(time),
            Happening::Begin(temperature) => {
                world.limits.begin(temperature);
                begun.push(temperature);
            }
            Happening::Take(temperature) => {
                if let Some(index) = begun.iter().position(|of| *of == temperature)
                    && world.limits.take(world.now(), temperature)
                {
                    begun.remove(index);
                    sent.push(Sent::now(world, temperature));
                }
            }
            Happening::Withdraw(temperature) => {
                if let Some(index) = begun.iter().position(|of| *of == temperature) {
                    begun.remove(index);
                    world.limits.withdraw(temperature);
                }
            }
            Happening::Send(temperature) => {
                world.send(temperature);
                sent.push(Sent::now(world, temperature));
            }
            Happening::LeftLate(ms) => {
                if let Some(last) = sent.last_mut().filter(|last| last.at == world.now()) {
                    world.pass(Duration::from_millis(ms));
                    last.at = world.now();
                    world.limits.left(last.released_at, last.at, last.temperature);
                }
            }
            Happening::Restart => {
                world.restart();
                begun.clear();
            }
            Happening::Connect => world.limits.connected(world.now()),
            Happening::Throttle => {
                world.limits.throttled(world.now(), world.now());
            }
            Happening::Rules(rules) => world.limits.set_rules(rules),
        }
    }
    sent
}

impl Sent {
    fn now(world: &World, temperature: Temperature) -> Self {
        let rules = world.limits.rules().as_ref().clone();
        Self { released_at: world.now(), at: world.now(), temperature, rules }
    }
}

/// Counts, for each send, the sends of the window of that length that begins with it.
fn most_in(span: Duration, sent: &[Moment]) -> usize {
    let in_window = |i: usize| sent[i..].iter().take_while(|later| later.since(sent[i]) <= span).count();
    (0..sent.len()).map(in_window).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// In no window of any length are there more sends than rate and burst allow, by the loosest of the rules in
    /// force meanwhile.
    #[test]
    fn never_above_the_pace(first in any_rules(), happenings in prop::collection::vec(happening(), 1..120), seed: u64) {
        let mut world = World::new(&first, seed);
        let sent = live(&mut world, happenings);
        for (i, first) in sent.iter().enumerate() {
            let (mut interval, mut burst) = (first.rules.pacing.interval(), first.rules.pacing.burst().get());
            for (n, later) in sent[i..].iter().enumerate() {
                interval = interval.min(later.rules.pacing.interval());
                burst = burst.max(later.rules.pacing.burst().get());
                let allowed = u32::try_from(n).unwrap().saturating_sub(burst - 1);
                prop_assert!(interval * allowed <= later.at.since(first.at), "{n} more after {first:?}", first = first.at);
            }
        }
    }

    /// The announced moment is exact: one nanosecond before, the place is refused; and asking changes nothing.
    #[test]
    fn next_is_exact(first in any_rules(), happenings in prop::collection::vec(happening(), 0..60), of in temperature(), seed: u64) {
        let mut world = World::new(&first, seed);
        live(&mut world, happenings);
        world.restart();
        let due = world.next(of);
        prop_assert_eq!(world.next(of), due);
        world.limits.begin(of);
        if world.now() < due.at {
            world.go_to(due.at - Duration::from_nanos(1));
            prop_assert!(!world.limits.take(world.now(), of), "too early, {due:?}");
            world.go_to(due.at);
        }
        prop_assert!(world.limits.take(world.now(), of), "refused at {due:?}");
    }

    /// Moving windows hold no more than the caps, whatever happens but other rules.
    #[test]
    fn caps_hold_in_every_window(
        happenings in prop::collection::vec(happening_but_rules(), 1..400),
        seed: u64,
    ) {
        let caps = rules(&PacingSettings {
            rate_per_minute: Some(6_000.0),
            hourly_cap: Some(7),
            daily_cap: Some(16),
            cold: Some(ColdSettings { daily_cap: Some(5), ..ColdSettings::default() }),
            ..PacingSettings::default()
        });
        let mut world = World::new(&caps, seed);
        let sent = live(&mut world, happenings);
        let all: Vec<Moment> = sent.iter().map(|sent| sent.at).collect();
        let cold: Vec<Moment> = sent.iter().filter(|s| s.temperature == Temperature::Cold).map(|s| s.at).collect();
        prop_assert!(most_in(HOUR, &all) <= 7);
        prop_assert!(most_in(DAY, &all) <= 16);
        prop_assert!(most_in(DAY, &cold) <= 5);
    }

    /// What a process saved and the next one read leads to the same moments.
    #[test]
    fn memory_keeps_everything(happenings in prop::collection::vec(happening_but_rules(), 0..80), seed: u64) {
        let mut world = World::new(&busy(), seed);
        live(&mut world, happenings);
        for temperature in [Temperature::Cold; 64].into_iter().chain([Temperature::Warm; 64]) {
            world.limits.withdraw(temperature);
        }
        let before = (world.next(Temperature::Cold), world.next(Temperature::Warm), world.limits.memory());
        world.restart();
        prop_assert_eq!((world.next(Temperature::Cold), world.next(Temperature::Warm), world.limits.memory()), before);
    }
}

/// Sends of one temperature as early as they may go.
fn moments(world: &mut World, n: usize, temperature: Temperature) -> Vec<Moment> {
    (0..n).map(|_| world.send(temperature)).collect()
}

#[test]
fn draws_repeat_by_seed() {
    let run = |seed| moments(&mut World::new(&busy(), seed), 60, Temperature::Cold);
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn looking_ahead_agrees_with_going_there() {
    let mut world = World::new(&busy(), 5);
    world.limits.connected(world.now());
    let announced: Vec<Moment> = (0..12)
        .map(|n| {
            let at = world.limits.next(world.now(), n, Temperature::Cold).at;
            world.limits.begin(Temperature::Cold);
            at
        })
        .collect();
    let gone: Vec<Moment> = (0..12)
        .map(|_| {
            world.go_to(world.next(Temperature::Cold).at.max(world.limits.free_since(Temperature::Cold)));
            assert!(world.limits.take(world.now(), Temperature::Cold));
            world.now()
        })
        .collect();
    assert_eq!(announced, gone);
}

#[test]
fn gaps_and_breaks_are_within_their_bounds() {
    let standard = rules(&PacingSettings { profile: Some(PacingProfile::Standard), ..PacingSettings::default() });
    let mut world = World::new(&standard, 3);
    let gaps: Vec<Duration> =
        moments(&mut world, 90, Temperature::Cold).windows(2).map(|two| two[1].since(two[0])).collect();
    let seconds = |from, to| Duration::from_secs(from)..=Duration::from_secs(to);
    let breaks: Vec<usize> = (0..gaps.len()).filter(|i| !seconds(8, 20).contains(&gaps[*i])).collect();
    assert!(breaks.iter().all(|i| seconds(60, 180).contains(&gaps[*i])), "{gaps:?}");
    assert!(breaks.windows(2).all(|two| (20..=25).contains(&(two[1] - two[0]))), "{breaks:?}");
    assert!(3 <= breaks.len());
    let warm: Vec<Duration> =
        moments(&mut world, 9, Temperature::Warm).windows(2).map(|two| two[1].since(two[0])).collect();
    assert!(warm[1..].iter().all(|gap| seconds(1, 3).contains(gap)), "{warm:?}");
}

#[test]
fn each_limit_names_itself() {
    let mut world = World::new(&busy(), 1);
    assert_eq!(world.next(Temperature::Cold), Due { at: START, by: HeldBy::Pace });
    world.send(Temperature::Cold);
    assert_eq!(world.next(Temperature::Cold).by, HeldBy::ColdPace);
    world.limits.connected(world.now());
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..1_500 {
        for temperature in [Temperature::Cold, Temperature::Warm] {
            seen.insert(world.next(temperature).by);
        }
        if n == 20 {
            world.limits.throttled(world.now(), world.now());
        }
        world.send(if n < 160 && n % 4 == 0 { Temperature::Cold } else { Temperature::Warm });
        world.limits.accepted(world.now());
    }
    world.limits.set_rules(Arc::new(busy().with_age_since(None)));
    moments(&mut world, 220, Temperature::Cold).sort_unstable();
    seen.insert(world.next(Temperature::Cold).by);
    use HeldBy::{Break, ColdPace, DailyCap, HourlyCap, Pace, SlowStart, Throughput, WarmUp};
    for by in [Break, ColdPace, DailyCap, HourlyCap, Pace, SlowStart, Throughput, WarmUp] {
        assert!(seen.contains(&by), "{by:?} is not in {seen:?}");
    }
}

#[test]
fn a_new_number_warms_up_day_by_day() {
    let new = rules(&PacingSettings { profile: Some(PacingProfile::New), ..PacingSettings::default() });
    let mut world = World::new(&new.with_age_since(Some(START)), 2);
    let sent = moments(&mut world, 900, Temperature::Cold);
    let on_day = |day: u32| sent.iter().filter(|at| at.since(START).as_secs() / 86_400 == u64::from(day)).count();
    // A day's window is a quarter of an hour coarse, so a day may get a few fewer than its cap.
    for (day, cap) in [(0, 20), (1, 36), (2, 64), (3, 116), (4, 200), (5, 200)] {
        assert!((cap * 8 / 10..=cap).contains(&on_day(day)), "day {day}: {} of {cap}", on_day(day));
    }
    assert!(most_in(DAY, &sent) <= 200);
}

#[test]
fn a_lane_that_rested_warms_up_anew() {
    let standard = rules(&PacingSettings { profile: Some(PacingProfile::Standard), ..PacingSettings::default() });
    let mut world = World::new(&standard, 2);
    let before = moments(&mut world, 250, Temperature::Cold);
    assert!(before[249].since(START) < DAY, "no warm-up without a rest");
    world.pass(Duration::from_secs(72 * 3_600));
    let again = world.now();
    world.restart();
    let after = moments(&mut world, 60, Temperature::Cold);
    assert_eq!(after.iter().filter(|at| at.since(again) < DAY).count(), 20);
}

#[test]
fn after_a_connect_the_pace_grows_in_steps() {
    let slow = rules(&PacingSettings {
        rate_per_minute: Some(600.0),
        slow_start_seconds: Some(60),
        ..PacingSettings::default()
    });
    let mut world = World::new(&slow, 2);
    world.limits.connected(START);
    let sent = moments(&mut world, 600, Temperature::Warm);
    let in_ten_seconds = |n: u64| sent.iter().filter(|at| at.since(START).as_secs() / 10 == n).count();
    let counts: Vec<usize> = (0..8).map(in_ten_seconds).collect();
    for (count, share) in counts.iter().zip([10, 25, 40, 55, 70, 85, 100, 100]) {
        assert!(count.abs_diff(share) <= 1, "{counts:?}");
    }
    world.limits.connected(START);
    assert_eq!(world.next(Temperature::Warm).by, HeldBy::Pace, "the same connect again begins nothing");
}

#[test]
fn without_settings_there_is_nothing_to_remember() {
    let mut world = World::new(&plain(60.0, 2), 1);
    moments(&mut world, 5, Temperature::Cold).sort_unstable();
    assert_eq!(world.limits.memory(), None);
    world.limits.throttled(world.now(), world.now());
    assert!(world.limits.memory().is_some());
}

#[test]
fn what_was_begun_counts_after_a_crash() {
    let capped = rules(&PacingSettings { hourly_cap: Some(3), ..PacingSettings::default() });
    let mut world = World::new(&capped, 1);
    world.send(Temperature::Cold);
    for _ in 0..2 {
        world.limits.begin(Temperature::Cold);
    }
    assert_eq!(world.limits.next(world.now(), 2, Temperature::Cold).by, HeldBy::HourlyCap);
    assert_eq!(world.next(Temperature::Cold).by, HeldBy::Pace, "those that are begun have their place");
    world.restart();
    assert_eq!(world.next(Temperature::Cold).by, HeldBy::HourlyCap);
    assert!(HOUR <= world.next(Temperature::Cold).at.since(START));
}

#[test]
fn a_wrong_clock_cannot_hold_a_lane() {
    let mut world = World::new(&busy(), 1);
    world.pass(DAY * 400);
    moments(&mut world, 30, Temperature::Cold).sort_unstable();
    let (memory, tat) = (world.limits.memory(), world.limits.saved_tat());
    world.time.set(START);
    let limits = LaneLimits::new(Arc::new(busy()), memory.as_ref(), tat, 1, &world.time);
    assert!(limits.next(START, 0, Temperature::Cold).at <= START + DAY + HOUR);
    let warm = limits.next(START, 0, Temperature::Warm);
    assert!(warm.at <= START + Duration::from_secs(30), "{warm:?}");
}

#[test]
fn memory_of_a_newer_build_is_read() {
    let memory: LaneMemory =
        serde_json::from_str(r#"{"v":2,"n":3,"moonPhase":0.5,"cold":{"next":9,"tide":1}}"#).unwrap();
    assert_eq!((memory.n, memory.cold.next), (3, Moment(9)));
}

#[test]
fn a_slow_start_is_exact_across_its_steps() {
    let slow = PacingSettings {
        rate_per_minute: Some(12.0),
        burst: Some(1),
        slow_start_seconds: Some(60),
        ..PacingSettings::default()
    };
    let mut world = World::new(&rules(&slow), 2);
    world.limits.connected(START);
    // Five seconds of the full pace: 10 s at 10 %, 10 s at 25 %, and 3.75 s at 40 %.
    let sent = moments(&mut world, 2, Temperature::Warm);
    assert_eq!(sent[1].since(sent[0]), Duration::from_millis(23_750));
}

#[test]
fn a_send_that_left_in_the_next_grain_counts_from_there() {
    let capped = rules(&PacingSettings { hourly_cap: Some(1), ..PacingSettings::default() });
    let mut world = World::new(&capped, 1);
    world.pass(Duration::from_secs(60) - Duration::from_nanos(1));
    let released_at = world.send(Temperature::Cold);
    let next = world.next(Temperature::Cold).at;
    world.pass(Duration::from_millis(5));
    world.limits.left(released_at, world.now(), Temperature::Cold);
    assert_eq!(world.next(Temperature::Cold).at, next + Duration::from_secs(60));
    assert!(HOUR < world.next(Temperature::Cold).at.since(world.now()));
}

/// Rules may change twice, and the process in between: from the last send the new distance is kept.
#[test]
fn other_rules_keep_their_distance_from_the_last_send() {
    for idle_ms in [0, 500, 2_000, 30_000] {
        for restarts in [false, true] {
            let mut world = World::new(&plain(60.0, 1), 1);
            let last = world.send(Temperature::Warm);
            world.pass(Duration::from_millis(idle_ms));
            if restarts {
                world.restart();
            }
            world.limits.set_rules(Arc::new(plain(600.0, 1)));
            if restarts {
                world.restart();
            }
            world.limits.set_rules(Arc::new(plain(1.0, 1)));
            let next = world.next(Temperature::Warm).at;
            let least = last + Duration::from_secs(60);
            assert!(least <= next && next <= world.now() + Duration::from_secs(60), "{idle_ms} ms, {restarts}");
            assert!(idle_ms < 1_000 || next == least, "{idle_ms} ms, {restarts}: {:?}", next.since(least));
        }
    }
}
