//! Settings, profiles and what follows from them.

use super::*;
use crate::domain::hours::SendingHours;

#[test]
fn ranges_are_checked() {
    assert_eq!(Pacing::new(0.0, 1), Err(PacingProblem::Rate));
    assert_eq!(Pacing::new(f64::NAN, 1), Err(PacingProblem::Rate));
    assert_eq!(Pacing::new(60_001.0, 1), Err(PacingProblem::Rate));
    assert_eq!(Pacing::new(60.0, 0), Err(PacingProblem::Burst));
    assert_eq!(Pacing::new(60.0, 65), Err(PacingProblem::Burst));
    assert_eq!(Pacing::new(60.0, 1).map(|p| p.interval()), Ok(Duration::from_secs(1)));
}

fn default() -> Pacing {
    Pacing::new(60.0, 3).unwrap()
}

fn settings(json: &str) -> PacingSettings {
    serde_json::from_str(json).unwrap()
}

#[test]
fn nothing_set_is_the_default_pacing_and_nothing_else() {
    let rules = LaneRules::resolve(&PacingSettings::default(), default(), 1);
    let nothing = LaneRules {
        version: 1,
        profile: None,
        pacing: default(),
        jitter: 0.0,
        breaks: None,
        hourly_cap: None,
        daily_cap: None,
        cold: ColdRules::default(),
        slow_start: Duration::ZERO,
        hours: None,
        pair_interval: Duration::ZERO,
        tier: None,
        age_since: None,
    };
    assert_eq!(rules, nothing);
    assert_eq!(settings("{}"), PacingSettings::default());
}

#[test]
fn profiles_are_as_documented() {
    let of = |profile: PacingProfile| {
        let own = PacingSettings { profile: Some(profile), ..PacingSettings::default() };
        profile.settings().check().unwrap();
        LaneRules::resolve(&own, default(), 7)
    };
    let seconds = |pacing: Pacing, jitter: f64| {
        let interval = pacing.interval();
        [interval, interval.mul_f64(1.0 + jitter)].map(|gap| gap.as_secs_f64())
    };
    let cold = |rules: &LaneRules| seconds(rules.cold.pacing.unwrap(), rules.cold.jitter);
    let (new, standard, mature) = (of(PacingProfile::New), of(PacingProfile::Standard), of(PacingProfile::Mature));
    assert_eq!([cold(&new), cold(&standard), cold(&mature)], [[30.0, 60.0], [8.0, 20.0], [2.5, 7.0]]);
    assert_eq!([&new, &standard, &mature].map(|rules| rules.hourly_cap), [Some(25), Some(100), Some(300)]);
    assert_eq!([&new, &standard, &mature].map(|rules| rules.cold.daily_cap), [Some(200), Some(250), Some(800)]);
    for rules in [&new, &standard, &mature] {
        assert_eq!(seconds(rules.pacing, rules.jitter), [1.0, 3.0]);
        assert_eq!(rules.slow_start, Duration::from_secs(60));
        assert_eq!(rules.hours, Some(SendingHours::daily(8, 20)));
    }
    let caps: Vec<u32> = (0..6).map(|day| new.cold.warm_up.unwrap().cap(day)).collect();
    assert_eq!(caps, [20, 36, 64, 116, 200, 200]);
    assert_eq!(standard.cold.rewarm.unwrap().after, Duration::from_secs(72 * 3_600));
    assert_eq!(standard.cold.breaks.unwrap().every, (20, 25));
    let cloud = of(PacingProfile::Cloud);
    assert_eq!((cloud.pacing.interval(), cloud.pair_interval), (Duration::from_micros(12_500), Duration::from_secs(6)));
    assert_eq!((cloud.hourly_cap, cloud.hours, cloud.cold), (None, None, ColdRules::default()));
}

#[test]
fn own_settings_go_before_the_profile() {
    let own =
        settings(r#"{"profile":"standard","ratePerMinute":30,"jitter":0,"cold":{"dailyCap":10},"slowStartSeconds":0}"#);
    let rules = LaneRules::resolve(&own, default(), 2);
    assert_eq!((rules.pacing.interval(), rules.pacing.burst().get()), (Duration::from_secs(2), 1));
    assert_eq!((rules.cold.daily_cap, rules.jitter, rules.slow_start), (Some(10), 0.0, Duration::ZERO));
    assert_eq!(rules.cold.pacing.unwrap().interval(), Duration::from_secs(8));
    let only_rate = LaneRules::resolve(&settings(r#"{"ratePerMinute":30}"#), default(), 2);
    assert_eq!((only_rate.pacing.interval(), only_rate.pacing.burst().get()), (Duration::from_secs(2), 3));
}

#[test]
fn all_problems_are_named_at_once() {
    let bad = settings(
        r#"{"ratePerMinute":0,"burst":65,"jitter":-1,"hourlyCap":0,"slowStartSeconds":3601,"pairIntervalMs":86400001,
            "breaks":{"everyMin":5,"everyMax":4,"shortestSeconds":0,"longestSeconds":90000},"tier":0,
            "cold":{"ratePerMinute":1e9,"warmUp":{"firstDay":9,"growth":0.5,"until":8},"rewarmAfterHours":2}}"#,
    );
    let problems = bad.check().unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    let expected = [
        "ratePerMinute",
        "burst",
        "jitter",
        "breaks.shortestSeconds",
        "breaks.longestSeconds",
        "breaks.everyMax",
        "hourlyCap",
        "cold.ratePerMinute",
        "cold.warmUp.growth",
        "cold.warmUp.until",
        "cold.rewarmAfterHours",
        "slowStartSeconds",
        "pairIntervalMs",
        "tier",
    ];
    assert_eq!(fields, expected);
    assert_eq!(problems[1].to_string(), "burst must be between 1 and 64");
    let campaign: CampaignPacing = serde_json::from_str(r#"{"ratePerMinute":-1,"dailyCap":0}"#).unwrap();
    assert_eq!(campaign.check().unwrap_err().len(), 2);
    assert!(serde_json::from_str::<CampaignPacing>(r#"{"burst":2}"#).is_err());
}

fn change(json: &str) -> serde_json::Map<String, serde_json::Value> {
    serde_json::from_str(json).unwrap()
}

#[test]
fn changes_replace_remove_and_leave() {
    let before = settings(r#"{"profile":"new","burst":2,"cold":{"dailyCap":9,"jitter":1},"hourlyCap":5}"#);
    let after =
        before.changed(change(r#"{"burst":null,"tier":250,"cold":{"dailyCap":null,"ratePerMinute":3}}"#)).unwrap();
    assert_eq!(after, settings(r#"{"profile":"new","tier":250,"cold":{"jitter":1,"ratePerMinute":3},"hourlyCap":5}"#));
    let after = after.changed(change(r#"{"profile":null,"cold":{"jitter":null,"ratePerMinute":null}}"#)).unwrap();
    assert_eq!(after, settings(r#"{"tier":250,"hourlyCap":5}"#));
    assert_eq!(after.changed(change("{}")).unwrap(), after);
}

#[test]
fn changes_that_are_none_name_all_their_problems() {
    let problems = settings("{}")
        .changed(change(
            r#"{"profile":"bold","burst":"many","jitter":11,"hours":[{"days":["mon"],"from":"20:00","to":"08:00"}],
                "cold":{"dailyCap":1,"moon":2},"breaks":{"everyMin":3},"hourlyCap":0}"#,
        ))
        .unwrap_err();
    let mut fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["breaks", "burst", "cold.moon", "hourlyCap", "hours", "jitter", "profile"]);
}

#[test]
fn every_field_has_its_name_in_the_list() {
    let all = PacingSettings {
        profile: Some(PacingProfile::New),
        daily_cap: Some(1),
        breaks: PacingProfile::Standard.settings().cold.unwrap().breaks,
        pair_interval_ms: Some(1),
        tier: Some(1),
        ..PacingProfile::New.settings()
    };
    let json = serde_json::to_value(&all).unwrap();
    let mut names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let mut listed = PacingSettings::FIELDS;
    names.sort_unstable();
    listed.sort_unstable();
    assert_eq!(names, listed);
}
