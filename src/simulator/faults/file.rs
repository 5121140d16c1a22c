//! Reads a fault file, and collects every mistake in it with its key.
//!
//! Walks the TOML by hand, because a derived reader would stop at the first mistake. Knows nothing of what the rules do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use toml::Table;

use super::section::Section;
use super::{
    Breach, DAY, Downtime, ErrorRule, Faults, Latency, MarketingCap, Mishap, Outage, OutageKind, ReceiptRules,
    RecipientPart, RecipientRule, Rules, ServiceWindow, SpamLimit, Span, Throughput, Tier, Timelock,
};
use crate::simulator::codes;
use crate::simulator::throttle::{PairLimit, PairModel};

pub(super) fn read(text: &str) -> Result<Faults, Vec<String>> {
    let table =
        text.parse::<Table>().map_err(|error| vec![format!("not valid TOML: {}", error.to_string().trim_end())])?;
    let mut problems = Vec::new();
    let mut file = Section::new(String::new(), table, &mut problems);
    let rules = read_rules(&mut file, &Rules::default());
    let recipients = file.list("recipients", read_recipient);
    let outages = file.list("outages", read_outage);
    let numbers = file.list("numbers", |section| read_number(section, &rules));
    file.finish();
    let mut by_id = HashMap::new();
    for (id, rules) in numbers {
        if by_id.insert(id.clone(), Arc::new(rules)).is_some() {
            problems.push(format!("numbers: `{id}` is named twice"));
        }
    }
    if problems.is_empty() {
        Ok(Faults { rules: Arc::new(rules), recipients, outages, numbers: by_id })
    } else {
        Err(problems)
    }
}

fn read_number(section: &mut Section<'_>, base: &Rules) -> (String, Rules) {
    let id = section.text("id").unwrap_or_else(|| {
        section.problem("id", "is missing");
        String::new()
    });
    let mut rules = read_rules(section, base);
    rules.account = section.text("account").unwrap_or_default().into();
    (id, rules)
}

/// Reads the sections that may stand for all numbers or for one; what is not given is as in `base`.
fn read_rules(section: &mut Section<'_>, base: &Rules) -> Rules {
    let mut rules = base.clone();
    section.part("latency", |part| rules.latency = read_latency(part));
    section.part("throughput", |part| rules.throughput = Some(read_throughput(part)));
    section.part("pair", |part| rules.pair = Some(read_pair(part)));
    section.part("reset", |part| rules.reset = read_mishap(part));
    section.part("hang", |part| rules.hang = read_mishap(part));
    section.part("receipts", |part| rules.receipts = read_receipts(part));
    section.part("tier", |part| rules.tier = Some(read_tier(part)));
    section.part("marketing", |part| rules.marketing = Some(read_marketing(part)));
    section.part("window", |part| rules.window = Some(read_window(part)));
    section.part("spam", |part| rules.spam = Some(read_spam(part)));
    section.part("timelock", |part| rules.timelock = Some(read_timelock(part)));
    if section.has("downtimes") {
        rules.downtimes = section.list("downtimes", read_downtime);
    }
    if section.has("errors") {
        rules.errors = section.list("errors", read_error);
        let sum = rules.errors.iter().map(|error| error.probability).sum();
        section.at_most_one("errors", sum);
    }
    rules
}

fn read_latency(part: &mut Section<'_>) -> Latency {
    match part.choice("distribution", &["fixed", "uniform", "lognormal"]) {
        0 => Latency::Fixed(part.required_ms("fixed_ms")),
        1 => {
            let (min, max) = (part.required_ms("min_ms"), part.required_ms("max_ms"));
            if min > max {
                part.problem("min_ms", "must not be above max_ms");
            }
            Latency::Uniform(min, max)
        }
        _ => {
            let (p50, p99) = (part.required_ms("p50_ms"), part.required_ms("p99_ms"));
            if p50.is_zero() || p99 < p50 {
                part.problem("p50_ms", "must be above 0 and not above p99_ms");
            }
            Latency::LogNormal { p50, p99 }
        }
    }
}

fn read_throughput(part: &mut Section<'_>) -> Throughput {
    let per_second = part.number("per_second").unwrap_or_else(|| {
        part.problem("per_second", "is missing");
        1.0
    });
    if !(0.000_1..=1_000_000.0).contains(&per_second) {
        part.problem("per_second", "must be from 0.0001 to 1000000");
        return Throughput { interval: Duration::ZERO, burst: 1, http: 429 };
    }
    let burst = part.count("burst").unwrap_or_else(|| {
        let whole = Duration::from_secs_f64(per_second.ceil()).as_secs();
        u32::try_from(whole).unwrap_or(u32::MAX).max(1)
    });
    Throughput { interval: Duration::from_secs_f64(1.0 / per_second), burst, http: part.throttling_status() }
}

fn read_pair(part: &mut Section<'_>) -> PairLimit {
    let model = match part.choice("model", &["borrow_block", "gcra"]) {
        0 => PairModel::BorrowBlock,
        _ => PairModel::Gcra,
    };
    let interval = part.seconds("interval_seconds").unwrap_or(Duration::from_secs(6));
    if interval.is_zero() {
        part.problem("interval_seconds", "must be above 0");
    }
    PairLimit { model, interval, burst: part.count("burst").unwrap_or(45), http: part.throttling_status() }
}

fn read_mishap(part: &mut Section<'_>) -> Mishap {
    Mishap {
        before_acceptance: part.probability("before_acceptance").unwrap_or(0.0),
        after_acceptance: part.probability("after_acceptance").unwrap_or(0.0),
    }
}

fn read_receipts(part: &mut Section<'_>) -> ReceiptRules {
    let base = ReceiptRules::default();
    let rules = ReceiptRules {
        sent: part.ms("sent_ms").unwrap_or(base.sent),
        delivered: part.ms("delivered_ms").unwrap_or(base.delivered),
        read: part.ms("read_ms").unwrap_or(base.read),
        read_probability: part.probability("read_probability").unwrap_or(base.read_probability),
        late_probability: part.probability("late_probability").unwrap_or(0.0),
        late: part.ms("late_ms").unwrap_or(base.late),
        doubled_probability: part.probability("doubled_probability").unwrap_or(0.0),
        reordered_probability: part.probability("reordered_probability").unwrap_or(0.0),
        failed: part.list("failed", |item| (item.required_code(), item.required_probability())),
    };
    part.at_most_one("failed", rules.failed.iter().map(|(_, probability)| probability).sum());
    rules
}

/// Reads how a message fails that breaks a rule; code and manner have defaults.
fn read_breach(part: &mut Section<'_>, code: u32, asynchronous: bool) -> Breach {
    let code = part.code_or(code);
    let http = part.status().unwrap_or(codes::find(code).http);
    Breach { code, http, asynchronous: part.flag("asynchronous").unwrap_or(asynchronous) }
}

/// Reads a time that begins at once and never ends unless it says so.
fn read_span(part: &mut Section<'_>) -> Span {
    let start = part.seconds("start_seconds").unwrap_or_default();
    let end = part.seconds("end_seconds").unwrap_or(Duration::MAX);
    if end <= start {
        part.problem("end_seconds", "must be above start_seconds");
    }
    Span { start, end }
}

fn read_tier(part: &mut Section<'_>) -> Tier {
    Tier {
        unique_recipients: part.required_count("unique_recipients"),
        within: part.seconds("within_seconds").unwrap_or(DAY),
        breach: read_breach(part, 131_048, true),
    }
}

fn read_marketing(part: &mut Section<'_>) -> MarketingCap {
    MarketingCap {
        per_recipient: part.required_count("per_recipient"),
        within: part.seconds("within_seconds").unwrap_or(DAY),
        breach: read_breach(part, 131_049, true),
    }
}

fn read_window(part: &mut Section<'_>) -> ServiceWindow {
    let open_for = part.seconds("open_seconds").unwrap_or(DAY);
    ServiceWindow { open_for, breach: read_breach(part, 131_047, true) }
}

fn read_spam(part: &mut Section<'_>) -> SpamLimit {
    let after_messages = part.count("after_messages").unwrap_or(0);
    SpamLimit { after_messages, span: read_span(part), breach: read_breach(part, 131_048, false) }
}

fn read_timelock(part: &mut Section<'_>) -> Timelock {
    Timelock { span: read_span(part), breach: read_breach(part, 131_048, false) }
}

fn read_downtime(item: &mut Section<'_>) -> Downtime {
    Downtime { span: read_span(item), breach: Breach { asynchronous: false, ..read_breach(item, 133_010, false) } }
}

fn read_error(item: &mut Section<'_>) -> ErrorRule {
    let code = item.required_code();
    let http = item.status().unwrap_or(codes::find(code).http);
    ErrorRule { code, http, probability: item.required_probability() }
}

fn read_recipient(item: &mut Section<'_>) -> RecipientRule {
    let code = item.required_code();
    let http = item.status().unwrap_or(codes::find(code).http);
    let asynchronous = item.flag("asynchronous").unwrap_or(false);
    let given = [
        item.text("exact").map(RecipientPart::Exact),
        item.text("prefix").map(RecipientPart::Prefix),
        item.text("suffix").map(RecipientPart::Suffix),
    ];
    let mut parts = given.into_iter().flatten();
    let (first, more) = (parts.next(), parts.next().is_some());
    if first.is_none() || more {
        item.problem("", "needs exactly one of exact, prefix and suffix");
    }
    RecipientRule { part: first.unwrap_or(RecipientPart::Exact(String::new())), code, http, asynchronous }
}

fn read_outage(item: &mut Section<'_>) -> Outage {
    let start = item.required_seconds("start_seconds");
    let end = item.required_seconds("end_seconds");
    if end <= start {
        item.problem("end_seconds", "must be above start_seconds");
    }
    let kind = match item.choice("kind", &["unavailable", "reset"]) {
        0 => OutageKind::Unavailable,
        _ => OutageKind::Reset,
    };
    Outage { start, end, kind }
}
