//! Windows against the clocks of the world: a plain walk from minute to minute must find the same.

use jiff::civil::DateTime;
use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

fn hours(json: &str) -> SendingHours {
    serde_json::from_str(json).unwrap()
}

/// The moment at which clocks in the zone show a time; of two, the first.
fn at(zone: &TimeZone, local: &str) -> Moment {
    let local: DateTime = local.parse().unwrap();
    let timestamp = zone.to_ambiguous_timestamp(local).earlier().unwrap();
    Moment(u64::try_from(timestamp.as_nanosecond()).unwrap())
}

/// Tells whether a moment is open by what the clock on the wall shows, and nothing else.
fn shows_open(windows: &[Window], zone: &TimeZone, at: Moment) -> bool {
    let local = zone.to_datetime(timestamp(at));
    let day = Day::ALL[usize::try_from(local.weekday().to_monday_zero_offset()).unwrap()];
    let text = format!("{:02}:{:02}", local.hour(), local.minute());
    windows.iter().any(|w| w.days.contains(&day) && w.from <= text && text < w.to)
}

fn windows() -> impl Strategy<Value = Vec<Window>> {
    let time = |quarters: u32| format!("{:02}:{:02}", quarters / 4, quarters % 4 * 15);
    let window = (prop::sample::subsequence(Day::ALL.to_vec(), 1..=7), 0u32..96, 1u32..97)
        .prop_map(move |(days, from, length)| Window { days, from: time(from), to: time((from + length).min(96)) });
    prop::collection::vec(window, 1..5)
}

/// Zones, each with a day on which its clock is changed or something odd happened.
const CHANGES: &[(&str, &str)] = &[
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/Sao_Paulo", "2018-11-04"),   // midnight was skipped
    ("America/Sao_Paulo", "2019-02-16"),   // and came twice
    ("Australia/Lord_Howe", "2026-04-05"), // by half an hour
    ("Australia/Lord_Howe", "2026-10-04"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Asia/Kathmandu", "2026-05-05"),
    ("Pacific/Apia", "2011-12-30"), // a day that was not
    ("Asia/Gaza", "2026-03-28"),
    ("Antarctica/Troll", "2026-03-29"), // by two hours
];

/// Tells whether `found` is the change, or after the end where there is none before.
fn agree(found: Option<Moment>, change: Moment, end: Moment) -> bool {
    if change < end { found == Some(change) } else { found.is_none_or(|at| end <= at) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn opens_and_closes_as_the_clocks_on_the_wall_say(
        windows in windows(),
        (name, day) in prop::sample::select(CHANGES),
        other in prop::option::of(prop::sample::select(CHANGES)),
        minutes_before in 0u64..2_880,
    ) {
        let zones: Vec<_> = [Some(name), other.map(|(name, _)| name)].into_iter().flatten().map(zone).collect();
        let hours = SendingHours::try_from(windows.clone()).unwrap();
        let open = |at| zones.iter().all(|zone| shows_open(&windows, zone, at));
        let start = at(&zone(name), &format!("{day}T00:00")) - MINUTE * u32::try_from(minutes_before).unwrap();
        let end = start + Duration::from_secs(3 * 86_400);
        let mut now = start;
        // All moments at which any clock here changes are whole minutes.
        while now < end {
            prop_assert_eq!(hours.is_open(&zones, now), open(now), "{:?}", timestamp(now));
            let mut change = now;
            while open(change) == open(now) && change < end {
                change = change + MINUTE;
            }
            let (opens, closes) = (hours.next_open(&zones, now), hours.closes_at(&zones, now));
            if open(now) {
                prop_assert_eq!(opens, Some(now));
                prop_assert!(agree(closes, change, end), "{:?}", closes);
                prop_assert!(change == end || !hours.is_open(&zones, change));
                prop_assert!(hours.is_open(&zones, change - Duration::from_nanos(1)));
            } else {
                prop_assert_eq!(closes, Some(now));
                prop_assert!(agree(opens, change, end), "{:?}", opens);
            }
            now = change.max(now + MINUTE);
        }
    }
}

#[test]
fn a_window_in_a_skipped_hour_opens_where_the_clock_goes_on() {
    let berlin = [zone("Europe/Berlin")];
    let night = hours(r#"[{"days":["sun"],"from":"02:30","to":"04:00"}]"#);
    let opens = night.next_open(&berlin, at(&berlin[0], "2026-03-29T00:00")).unwrap();
    assert_eq!(timestamp(opens).to_string(), "2026-03-29T01:00:00Z");
    let gone = hours(r#"[{"days":["sun"],"from":"02:00","to":"03:00"}]"#);
    let opens = gone.next_open(&berlin, at(&berlin[0], "2026-03-28T00:00")).unwrap();
    assert_eq!(timestamp(opens).to_string(), "2026-04-05T00:00:00Z", "not on the day without that hour");
}

#[test]
fn a_country_is_open_while_both_of_its_ends_are() {
    let ends = [zone("America/New_York"), zone("America/Los_Angeles")];
    let day = SendingHours::daily(8, 20);
    let opens = day.next_open(&ends, at(&ends[0], "2026-07-01T05:00")).unwrap();
    assert_eq!(opens, at(&ends[1], "2026-07-01T08:00"));
    assert_eq!(day.closes_at(&ends, opens), Some(at(&ends[0], "2026-07-01T20:00")));
}

#[test]
fn ends_that_are_never_open_together_never_open() {
    let ends = [zone("Pacific/Kiritimati"), zone("Pacific/Niue")];
    let hour = SendingHours::daily(8, 9);
    assert_eq!(hour.next_open(&ends, Moment::from_ms(1_800_000_000_000)), None);
    let always = SendingHours::daily(0, 24);
    assert_eq!(always.closes_at(&ends, Moment::from_ms(1_800_000_000_000)), None);
}

#[test]
fn windows_that_are_none_say_why() {
    let problem = |json: &str| serde_json::from_str::<SendingHours>(json).unwrap_err().to_string();
    assert!(problem("[]").contains("between 1 and 32 windows"));
    assert!(problem(r#"[{"days":[],"from":"08:00","to":"09:00"}]"#).contains("window 1 has no days"));
    for time in ["8:00", "08:60", "24:01", "25:00", "08", "ab:cd", "-1:00", "+8:00"] {
        assert!(
            problem(&format!(r#"[{{"days":["mon"],"from":"{time}","to":"24:00"}}]"#)).contains("write 08:00"),
            "{time}"
        );
    }
    let across = r#"[{"days":["mon"],"from":"08:00","to":"09:00"},{"days":["mon"],"from":"22:00","to":"06:00"}]"#;
    assert!(
        problem(across).contains("window 2 does not end after it begins: for hours across midnight give two windows")
    );
}

#[test]
fn windows_come_back_as_they_were_given() {
    let json = r#"[{"days":["mon","fri"],"from":"08:00","to":"24:00"},{"days":["fri"],"from":"07:00","to":"09:30"}]"#;
    assert_eq!(serde_json::to_string(&hours(json)).unwrap(), json);
}
