//! JSON Lines into jobs: each line is a record of the job topic, checked and passed on as it is.
//!
//! Pure. Holds one unfinished line, at most as long as a job may be.

use bytes::Bytes;

use super::cutting::{ReadyJob, Taken};
use crate::domain::job::{JOB_VERSION, Job, JobProblem};
use crate::limits::JOB_RECORD_BYTES_MAX;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads lines, chunk by chunk.
#[derive(Debug, Default)]
pub(super) struct JobLines {
    /// Lines that have ended.
    n_lines: u64,
    unfinished: Vec<u8>,
    /// The present line is too long; its rest is passed over.
    is_too_long: bool,
}

impl JobLines {
    /// Takes the next bytes.
    pub(super) fn feed(&mut self, chunk: &[u8], taken: &mut Taken) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.is_too_long |= JOB_RECORD_BYTES_MAX < self.unfinished.len() + piece.len();
            if self.is_too_long {
                self.unfinished.clear();
            } else {
                self.unfinished.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                self.end_line(taken);
            }
        }
    }

    /// Takes the end; the last line needs no line break.
    pub(super) fn finish(&mut self, taken: &mut Taken) {
        self.end_line(taken);
    }

    fn end_line(&mut self, taken: &mut Taken) {
        self.n_lines += 1;
        let line = std::mem::take(&mut self.unfinished);
        if std::mem::take(&mut self.is_too_long) {
            let problem = format!("The line is longer than the {JOB_RECORD_BYTES_MAX} bytes of a job.");
            taken.report.add_rejected(self.n_lines, &problem);
            return;
        }
        let text = if self.n_lines == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line[..] };
        let text = text.trim_ascii();
        if text.is_empty() {
            return;
        }
        match Job::decode(text) {
            Ok(job) => {
                let n_deliveries = job.deliveries.len();
                taken.report.add_accepted(u64::try_from(n_deliveries).unwrap_or(u64::MAX));
                let payload = Bytes::copy_from_slice(text);
                taken.jobs.push(ReadyJob { session_id: job.session_id, n_deliveries, payload });
            }
            Err(problem) => taken.report.add_rejected(self.n_lines, &describe(&problem)),
        }
    }
}

/// Says what is wrong without a word of what the line holds: the parser would quote it.
fn describe(problem: &JobProblem) -> String {
    use serde_json::error::Category;
    let JobProblem::Unreadable(error) = problem else { return format!("{problem}.") };
    let what = match error.classify() {
        Category::Data => "a field is missing, unknown or not as it should be, found",
        Category::Eof => "it ends too early,",
        Category::Syntax | Category::Io => "it is not JSON",
    };
    format!("The line is not a job of version {JOB_VERSION}: {what} at column {}.", error.column())
}
