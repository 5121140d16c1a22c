//! The list of all metrics, as code, page and JSON: what is in no list is in no scrape, and the other way round.

use std::fmt::Write as _;

use super::kind::Described;
use super::{
    ApiMetrics, DispatchMetrics, EventMetrics, FleetMetrics, IntakeMetrics, KafkaMetrics, NodeMetrics,
    OwnershipMetrics, WebhookMetrics, live,
};

const INTRODUCTION: &str = "\
# Metrics

What `GET /metrics` of the admin port tells, in the text form of Prometheus. This page is printed by `dispatcher metrics`
and compared with the code by a test; `dispatcher metrics --json` prints the same for programs.

Times are in seconds and sizes in bytes. A label takes only the words of a closed list, or, where none are named here, a
few that come from the program: no id, number or text of anybody is ever one. Where all words are named, all series are there from the
start, at 0. Besides these there are the `process_` metrics that every client library of Prometheus has: processor time, memory, open files and the
time of the start.
";

/// The parts of the page, in its order.
fn parts() -> [(&'static str, &'static str, Vec<Described>); 10] {
    [
        ("Process", "The process as a whole.", NodeMetrics::describe()),
        ("State", "Asked for when somebody looks.", live::ALL.iter().map(live::LiveGauge::describe).collect()),
        ("Intake", "Jobs in, deliveries persisted.", IntakeMetrics::describe()),
        ("Kafka", "All 0 without a broker.", KafkaMetrics::describe()),
        ("Dispatch", "Lanes, attempts, the journal, receipts, the ledger.", DispatchMetrics::describe()),
        ("Ownership", "Which partitions this node has.", OwnershipMetrics::describe()),
        (
            "Fleet",
            "What is in the database, whichever node does it: counted every 15 s by the node that owns the first \
             partition and 0 on the others, so that the sum over all nodes is the number.",
            FleetMetrics::describe(),
        ),
        ("REST front", "Requests and callbacks.", ApiMetrics::describe()),
        ("Webhooks", "What tenants are told at addresses of theirs.", WebhookMetrics::describe()),
        ("Events", "The way to the topic of events.", EventMetrics::describe()),
    ]
}

/// Returns all metrics.
#[must_use]
pub fn catalogue() -> Vec<Described> {
    parts().into_iter().flat_map(|(.., metrics)| metrics).collect()
}

/// Returns the page of all metrics, in Markdown.
#[must_use]
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (title, about, metrics) in parts() {
        page.push_str(&format!(
            "\n## {title}\n\n{about}\n\n| Metric | Type | Labels | What it is |\n|---|---|---|---|\n"
        ));
        for Described { name, kind, labels, help } in metrics {
            let labels: Vec<String> = labels.iter().map(of_label).collect();
            // Writing to a string does not fail.
            writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).ok();
        }
    }
    page
}

fn of_label((label, words): &(&'static str, Vec<&'static str>)) -> String {
    match words.as_slice() {
        [] => format!("`{label}`"),
        words if words.iter().any(|word| word.starts_with(|first: char| first.is_ascii_digit())) => {
            format!("`{label}`")
        }
        words => format!("`{label}`: {}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::telemetry::metrics::Metrics;

    /// Names with their types, as a scrape shows them; those with open labels only once something happened.
    fn scraped() -> BTreeMap<String, String> {
        let metrics = Metrics::new().expect("names are unique");
        for gauge in &live::ALL {
            metrics.watch(gauge, Vec::new).expect("watched once");
        }
        let text = String::from_utf8(metrics.encode().expect("consistent")).expect("text");
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE dispatcher_"));
        types
            .filter_map(|line| line.split_once(' '))
            .map(|(name, kind)| (format!("dispatcher_{name}"), kind.to_owned()))
            .collect()
    }

    #[test]
    fn whatever_is_scraped_is_in_the_catalogue_with_its_type() {
        let known: BTreeMap<&str, Described> = catalogue().into_iter().map(|metric| (metric.name, metric)).collect();
        assert_eq!(known.len(), catalogue().len(), "a name is there twice");
        for (name, kind) in scraped() {
            assert_eq!(known.get(name.as_str()).map(|metric| metric.kind), Some(kind.as_str()), "{name}");
        }
    }

    #[test]
    fn every_word_of_a_closed_list_is_there_from_the_start() {
        let metrics = Metrics::new().expect("names are unique");
        let text = String::from_utf8(metrics.encode().expect("consistent")).expect("text");
        let of_parts =
            catalogue().into_iter().filter(|metric| live::ALL.iter().all(|gauge| gauge.describe().name != metric.name));
        let mut n_words = 0;
        for metric in of_parts {
            for (label, word) in
                metric.labels.iter().flat_map(|(label, words)| words.iter().map(move |word| (label, word)))
            {
                let series = format!("\n{}{{{label}=\"{word}\"}} ", metric.name);
                assert!(text.contains(&series), "{series}");
                n_words += 1;
            }
        }
        assert!(100 < n_words, "{n_words}");
        // So many series are 20 kB of a scrape; more would be a label that grew unnoticed.
        let n_series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert!(n_series < 900, "{n_series}");
    }

    #[test]
    fn every_help_is_a_sentence() {
        for metric in catalogue() {
            assert!(metric.help.ends_with('.') && !metric.help.contains('|'), "{}: {}", metric.name, metric.help);
        }
    }
}
