//! Shows how far a file is: a bar on a terminal, a plain line every two seconds elsewhere; on standard error.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::sending::Tally;

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// What is shown.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    n_bytes: Option<u64>,
    said_at: Cell<Instant>,
}

impl Progress {
    /// Makes a bar when standard error is a terminal; `n_bytes` is the size of the file, when it has one.
    pub(super) fn new(n_bytes: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| make_bar(n_bytes));
        Self { bar, n_bytes, said_at: Cell::new(Instant::now()) }
    }

    /// Shows how much was read and what is durable.
    pub(super) fn show(&self, tally: &Tally) {
        if let Some(bar) = &self.bar {
            bar.set_position(tally.n_bytes_read);
            bar.set_message(tally.to_string());
        } else if LINE_EVERY <= self.said_at.get().elapsed() {
            self.said_at.set(Instant::now());
            match self.n_bytes {
                Some(n_bytes) => eprintln!("{tally}; {} of {n_bytes} bytes read", tally.n_bytes_read),
                None => eprintln!("{tally}; {} bytes read", tally.n_bytes_read),
            }
        }
    }

    /// Clears the bar away for what comes next.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn make_bar(n_bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match n_bytes {
        Some(n_bytes) => (ProgressBar::new(n_bytes), "{bar:40.cyan/black} {bytes} / {total_bytes}  {msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}  {msg}"),
    };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
