//! Shows a run while it goes on: bars on a terminal, a plain line every two seconds elsewhere; on standard error.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::client::Stats;

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// The states that get a bar, in the order of a message's life.
const STATES: [&str; 7] = ["pending", "sent", "delivered", "read", "failed", "unknown", "skipped"];

/// What is shown.
#[derive(Debug)]
pub(super) struct Progress {
    bars: Option<Bars>,
    said_at: Cell<Option<Instant>>,
}

#[derive(Debug)]
struct Bars {
    screen: MultiProgress,
    bars: [ProgressBar; 7],
}

impl Progress {
    /// Makes bars when standard error is a terminal.
    pub(super) fn new(n_recipients: u64) -> Self {
        let bars = std::io::stderr().is_terminal().then(|| Bars::new(n_recipients));
        Self { bars, said_at: Cell::new(None) }
    }

    /// Says what is being done now.
    pub(super) fn say(&self, text: &str) {
        match &self.bars {
            // A screen that went away is no reason to stop.
            Some(bars) => drop(bars.screen.println(text)),
            None => eprintln!("{text}"),
        }
    }

    /// Shows the counters.
    pub(super) fn show(&self, stats: &Stats) {
        let counts = counts(stats);
        if let Some(bars) = &self.bars {
            for (bar, count) in bars.bars.iter().zip(counts) {
                bar.set_position(count);
            }
            return;
        }
        if self.said_at.get().is_none_or(|said_at| LINE_EVERY <= said_at.elapsed()) {
            self.said_at.set(Some(Instant::now()));
            eprintln!("{}", line(counts));
        }
    }

    /// Clears the bars away for what comes next.
    pub(super) fn finish(&self) {
        if let Some(bars) = &self.bars {
            for bar in &bars.bars {
                bar.finish_and_clear();
            }
        }
    }
}

impl Bars {
    fn new(n_recipients: u64) -> Self {
        let screen = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:>10} {bar:40.cyan/black} {human_pos:>10} / {human_len}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bars = STATES.map(|state| {
            let bar = ProgressBar::new(n_recipients).with_style(style.clone()).with_prefix(state);
            screen.add(bar)
        });
        Self { screen, bars }
    }
}

fn counts(stats: &Stats) -> [u64; 7] {
    let failed = stats.failed();
    let skipped = stats.skipped + stats.cancelled;
    [stats.pending, stats.sent, stats.delivered, stats.read, failed, stats.unknown, skipped]
        .map(|count| u64::try_from(count).unwrap_or(0))
}

fn line(counts: [u64; 7]) -> String {
    let words: Vec<String> = STATES.iter().zip(counts).map(|(state, count)| format!("{state} {count}")).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_in_the_line() {
        let stats = Stats {
            total: 36,
            pending: 1,
            sent: 2,
            delivered: 3,
            read: 4,
            failed_limit: 5,
            failed_unavailable: 6,
            skipped: 7,
            cancelled: 8,
            ..Stats::default()
        };
        let shown = line(counts(&stats));
        assert_eq!(shown, "pending 1, sent 2, delivered 3, read 4, failed 11, unknown 0, skipped 15");
        assert_eq!(counts(&stats).iter().sum::<u64>(), 36);
    }
}
