//! The command `submit`: a file of recipients or jobs to the job topic.
//!
//! Decides what the arguments mean; cutting is in [`cutting`], the way to the topic in [`sending`].

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::fs::File;

use self::cutting::{Cutter, Taken, Terms};
use self::lines::JobLines;
use self::progress::Progress;
use self::sending::{Ended, Reader, Run, Tally, count};
use super::signals::Signals;
use super::{ConfigArgs, Failure, Outcome, block_on, print};
use crate::broker::Broker;
use crate::domain::campaign::OnUnknown;
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::domain::job::TrafficClass;
use crate::domain::message::MessageSpec;
use crate::domain::recipient_csv::{ImportReport, RecipientCsv};
use crate::limits::SESSIONS_PER_CAMPAIGN_MAX;

mod cutting;
mod lines;
mod progress;
mod sending;

/// Refused lines that are named on standard error.
const LINES_NAMED_MAX: usize = 10;

/// Brings a file of recipients or of jobs to the job topic.
///
/// CSV: the first line names the columns, one of them phone; the others are variables of the message. The
/// recipients are spread over the sessions and cut into jobs of at most 500. JSON Lines: each line is a job as it
/// is on the topic, version 1.
///
/// Ids of deliveries follow from --tenant, --batch, the recipient and the variables, and the session from the
/// recipient. So the same command again changes nothing, even when lines were mended, moved or added, or when it was
/// interrupted; a row that is in the file twice is one message. The same batch with another message or other
/// sessions becomes dead letters (CONFLICTING_ID): give it another --batch.
///
/// Lines that can not be used are counted and the first ones named; the others are sent all the same. Exit code 1
/// when there was one, unless --skip-bad. Progress goes to standard error.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dispatcher submit guests.csv --tenant 0198…01 --session 0198…02 --session 0198…03 --text 'Hello {{name}}'
  dispatcher submit jobs.jsonl --json
  zcat guests.csv.gz | dispatcher submit - --format csv --batch guests --tenant 0198…01 --session 0198…02 \\
    --message template.json --expires-at 2026-12-01T00:00:00Z")]
pub(super) struct SubmitArgs {
    /// The file, or - for standard input.
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    /// How the file is written [default: by its ending, .csv, .jsonl or .ndjson]
    #[arg(long, value_name = "FORM")]
    format: Option<Format>,
    /// Leaves out lines that can not be used without failing for them.
    #[arg(long)]
    skip_bad: bool,
    /// Prints a summary as exactly one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    recipients: RecipientArgs,
}

/// What a file of recipients does not say; for CSV only.
#[derive(Debug, Args)]
#[command(next_help_heading = "For CSV")]
struct RecipientArgs {
    /// Whose campaign it is.
    #[arg(long, value_name = "UUID")]
    tenant: Option<TenantId>,
    /// Who sends; give it several times to spread the recipients.
    #[arg(long = "session", value_name = "UUID")]
    sessions: Vec<SessionId>,
    /// The campaign that the deliveries count for [default: none]
    #[arg(long, value_name = "UUID")]
    campaign: Option<CampaignId>,
    /// The message as text, with placeholders such as {{name}}.
    #[arg(long, value_name = "TEXT", conflicts_with = "message")]
    text: Option<String>,
    /// The message as a file of JSON: {"type":"text","text":"…"} or {"type":"template","name":"…","language":"…"}.
    #[arg(long, value_name = "FILE")]
    message: Option<PathBuf>,
    /// bulk, or transactional to overtake bulk [default: bulk]
    #[arg(long, value_name = "CLASS", value_parser = traffic_class)]
    traffic_class: Option<TrafficClass>,
    /// What becomes of a message without an answer: quarantine or resend [default: quarantine]
    #[arg(long, value_name = "POLICY", value_parser = on_unknown)]
    on_unknown: Option<OnUnknown>,
    /// Nothing is sent before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    not_before: Option<OffsetDateTime>,
    /// What was not sent by this time is skipped (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    expires_at: Option<OffsetDateTime>,
    /// Tells this file apart from others; part of all ids [default: the file's name]
    #[arg(long, value_name = "NAME")]
    batch: Option<String>,
}

/// Forms of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Recipients, one a row.
    Csv,
    /// Jobs, one a line.
    Jsonl,
}

fn traffic_class(word: &str) -> Result<TrafficClass, &'static str> {
    TrafficClass::parse(word).ok_or("must be bulk or transactional")
}

fn on_unknown(word: &str) -> Result<OnUnknown, &'static str> {
    OnUnknown::parse(word).ok_or("must be quarantine or resend")
}

fn moment(text: &str) -> Result<OffsetDateTime, &'static str> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "must be a time such as 2026-12-01T09:00:00Z")
}

/// What `--json` prints.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    topic: &'a str,
    jobs: u64,
    deliveries: u64,
    jobs_in_doubt: u64,
    complete: bool,
    #[serde(flatten)]
    report: &'a ImportReport,
}

impl SubmitArgs {
    pub(super) fn run(self) -> Outcome {
        let reader = self.reader()?;
        let broker = self.config.kafka()?;
        block_on(Box::pin(self.submit(&broker, reader)))?
    }

    async fn submit(&self, broker: &Broker, reader: Reader) -> Outcome {
        let mut signals = Signals::listen()?;
        let (file, n_bytes) = self.open().await?;
        let (progress, tally, taken) = (Progress::new(n_bytes), Tally::default(), Taken::default());
        let mut run = Run { broker, signals: &mut signals, progress, tally, taken };
        let ended = run.carry_out(file, reader).await;
        run.progress.finish();
        let Run { tally, taken, .. } = run;
        self.report(broker, &tally, &taken.report, ended)
    }

    /// Opens the file; returns its size too, when it has one.
    async fn open(&self) -> Result<(File, Option<u64>), Failure> {
        if self.is_standard_input() {
            use std::os::fd::AsFd;
            let input = std::io::stdin().as_fd().try_clone_to_owned().context("open standard input")?;
            return Ok((File::from_std(input.into()), None));
        }
        let name = self.file.display();
        let file = File::open(&self.file).await.with_context(|| format!("open {name}"))?;
        let about = file.metadata().await.with_context(|| format!("open {name}"))?;
        Ok((file, about.is_file().then_some(about.len())))
    }

    fn report(&self, broker: &Broker, tally: &Tally, report: &ImportReport, ended: Result<(), Ended>) -> Outcome {
        for bad in report.first_problems.iter().take(LINES_NAMED_MAX) {
            eprintln!("line {}: {}", bad.line, bad.problem);
        }
        if 0 < report.rejected {
            let all = count(report.rejected, "line was refused", "lines were refused");
            eprintln!("{all}; mend them and give the same command again, which repeats nothing");
        }
        let topic = broker.topics().jobs.as_str();
        if self.json {
            let (jobs, deliveries, jobs_in_doubt) = (tally.n_jobs, tally.n_deliveries, tally.n_jobs_in_doubt);
            let summary = Summary { topic, jobs, deliveries, jobs_in_doubt, complete: ended.is_ok(), report };
            let text = serde_json::to_string(&summary).context("write the summary")?;
            print(format!("{text}\n").as_bytes())?;
        } else if ended.is_ok() {
            let jobs = count(tally.n_jobs, "job", "jobs");
            print(format!("{jobs} with {} durable on {topic}\n", tally.deliveries()).as_bytes())?;
        }
        let Err(ended) = ended else {
            return if 0 < report.rejected && !self.skip_bad { Err(Failure::Broken) } else { Ok(()) };
        };
        let doubt = match tally.n_jobs_in_doubt {
            0 => String::new(),
            n => format!(", {} may be", count(n, "further one", "further ones")),
        };
        let state = format!("{tally}{doubt}; the same command again sends the rest and repeats nothing");
        match ended {
            Ended::Interrupted => {
                eprintln!("interrupted: {state}");
                Err(Failure::Broken)
            }
            Ended::Failed(problem) => {
                if 0 < tally.n_jobs + tally.n_jobs_in_doubt {
                    eprintln!("{state}");
                }
                Err(Failure::Failed(problem))
            }
        }
    }

    fn is_standard_input(&self) -> bool {
        self.file.as_os_str() == "-"
    }

    fn format(&self) -> Result<Format, Failure> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let ending = self.file.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("csv") => Ok(Format::Csv),
            Some("jsonl" | "ndjson") => Ok(Format::Jsonl),
            _ => Err(usage("how is the file written? Give --format csv or --format jsonl")),
        }
    }

    fn reader(&self) -> Result<Reader, Failure> {
        match self.format()? {
            Format::Csv => {
                let cutter = Cutter::new(self.terms()?).map_err(|problem| usage(&problem.to_string()))?;
                Ok(Reader::Csv(Box::new((RecipientCsv::new(), cutter))))
            }
            Format::Jsonl if self.recipients.is_empty() => Ok(Reader::JsonLines(JobLines::default())),
            Format::Jsonl => Err(usage("each line of JSON Lines is a whole job: options for CSV can not be given")),
        }
    }

    fn terms(&self) -> Result<Terms, Failure> {
        let given = &self.recipients;
        let own_name = || self.file.file_name().filter(|_| !self.is_standard_input());
        let batch = given.batch.clone().or_else(|| own_name().map(|name| name.to_string_lossy().into_owned()));
        let batch = batch.filter(|name| !name.trim().is_empty());
        if matches!((given.not_before, given.expires_at), (Some(from), Some(to)) if to <= from) {
            return Err(usage("--expires-at must be later than --not-before"));
        }
        let mut sorted = given.sessions.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(usage("a --session is given twice"));
        }
        if SESSIONS_PER_CAMPAIGN_MAX < sorted.len() {
            return Err(usage(&format!("at most {SESSIONS_PER_CAMPAIGN_MAX} sessions may share a file")));
        }
        if sorted.is_empty() {
            return Err(usage("for CSV at least one --session must be given"));
        }
        Ok(Terms {
            tenant_id: given.tenant.ok_or_else(|| usage("for CSV --tenant must be given"))?,
            session_ids: given.sessions.clone(),
            campaign_id: given.campaign,
            traffic_class: given.traffic_class.unwrap_or_default(),
            on_unknown: given.on_unknown.unwrap_or_default(),
            not_before: given.not_before,
            expires_at: given.expires_at,
            message: given.message()?,
            batch: batch.ok_or_else(|| usage("standard input has no name: give --batch"))?,
        })
    }
}

impl RecipientArgs {
    fn message(&self) -> Result<MessageSpec, Failure> {
        match (&self.text, &self.message) {
            (Some(text), _) => Ok(MessageSpec::Text { text: text.clone() }),
            (None, Some(path)) => read_message(path),
            (None, None) => Err(usage("for CSV --text or --message must be given")),
        }
    }

    fn is_empty(&self) -> bool {
        let is_given = [
            self.tenant.is_some(),
            !self.sessions.is_empty(),
            self.campaign.is_some(),
            self.text.is_some(),
            self.message.is_some(),
            self.traffic_class.is_some(),
            self.on_unknown.is_some(),
            self.not_before.is_some(),
            self.expires_at.is_some(),
            self.batch.is_some(),
        ];
        !is_given.contains(&true)
    }
}

fn read_message(path: &Path) -> Result<MessageSpec, Failure> {
    let name = path.display();
    let text = std::fs::read(path).map_err(|problem| usage(&format!("{name} can not be read: {problem}")))?;
    serde_json::from_slice(&text).map_err(|problem| usage(&format!("{name} is not a message: {problem}")))
}

fn usage(text: &str) -> Failure {
    Failure::Usage(format!("error: {text}"))
}

#[cfg(test)]
mod tests;
