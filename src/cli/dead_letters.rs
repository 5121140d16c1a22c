//! The commands `dead-letters list`, `show` and `replay`: records of the job topic that could not be admitted.
//!
//! Reads and writes the dead topic only through [`DeadLetters`]; asks no daemon.

use std::collections::HashSet;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{ConfigArgs, Failure, Outcome, block_on, print};
use crate::broker::{Broker, DeadLetter, DeadLetters, Producer, Replay};
use crate::domain::dead_letter::DeadCause;

/// Lists, shows and replays records of the job topic that could not be read or admitted.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dispatcher dead-letters list --cause UNKNOWN_SESSION
  dispatcher dead-letters show 0:17
  dispatcher dead-letters replay 0:17 0:18
  dispatcher dead-letters replay --all --cause FOREIGN_TENANT")]
pub(super) struct DeadLettersArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(ListArgs),
    Show(ShowArgs),
    Replay(ReplayArgs),
}

/// Lists the newest 10,000, oldest first; those that were replayed only with --all.
#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only those with this cause, such as UNREADABLE or CONFLICTING_ID.
    #[arg(long, value_name = "CAUSE", value_parser = cause)]
    cause: Option<DeadCause>,
    /// Also those that were replayed.
    #[arg(long)]
    all: bool,
    /// Prints exactly one JSON array.
    #[arg(long)]
    json: bool,
}

/// Shows one with its headers and its value, which holds personal data; --raw for values that are not UTF-8.
#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Its id, as the list shows it.
    id: String,
    /// Writes the value only, byte for byte.
    #[arg(long)]
    raw: bool,
}

/// Writes records to the job topic again, after what was wrong is mended; what is still wrong comes back.
#[derive(Debug, Args)]
struct ReplayArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ids, as the list shows them.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// All that were not replayed yet.
    #[arg(long)]
    all: bool,
    /// With --all: only those with this cause.
    #[arg(long, value_name = "CAUSE", value_parser = cause, requires = "all", conflicts_with = "ids")]
    cause: Option<DeadCause>,
}

fn cause(word: &str) -> Result<DeadCause, String> {
    let known = || DeadCause::ALL.iter().map(|cause| cause.as_str()).collect::<Vec<_>>().join(", ");
    DeadCause::parse(&word.to_ascii_uppercase()).ok_or_else(|| format!("must be one of {}", known()))
}

impl DeadLettersArgs {
    pub(super) fn run(self) -> Outcome {
        match self.command {
            Command::List(args) => block_on(async { args.list(&open(&args.config)?.1).await })?,
            Command::Show(args) => block_on(async { args.show(&open(&args.config)?.1).await })?,
            Command::Replay(args) => block_on(async {
                let (broker, dead_letters) = open(&args.config)?;
                args.replay(&broker, &dead_letters).await
            })?,
        }
    }
}

fn open(config: &ConfigArgs) -> Result<(Broker, DeadLetters), Failure> {
    let broker = config.kafka()?;
    let producer = Producer::start(&broker).context("make a Kafka client")?;
    Ok((broker.clone(), DeadLetters::new(broker, producer)))
}

async fn read(dead_letters: &DeadLetters) -> anyhow::Result<Vec<DeadLetter>> {
    dead_letters.list().await.context("read the dead letters")
}

impl ListArgs {
    async fn list(&self, dead_letters: &DeadLetters) -> Outcome {
        let mut letters = read(dead_letters).await?;
        letters.retain(|letter| is_wanted(letter, self.cause) && (self.all || !letter.replayed));
        if self.json {
            let letters: Vec<Listed<'_>> = letters.iter().map(Listed::of).collect();
            let text = serde_json::to_string(&letters).context("write the list")?;
            return print(format!("{text}\n").as_bytes());
        }
        print(table(&letters).as_bytes())
    }
}

impl ShowArgs {
    async fn show(&self, dead_letters: &DeadLetters) -> Outcome {
        let letter = dead_letters.find(&self.id).await.context("read the dead letters")?;
        let letter = letter.with_context(|| format!("there is no dead letter {}", self.id))?;
        if self.raw {
            return print(letter.payload.as_deref().unwrap_or_default());
        }
        eprintln!("note: the value holds personal data");
        print(page(&letter).as_bytes())
    }
}

impl ReplayArgs {
    async fn replay(&self, broker: &Broker, dead_letters: &DeadLetters) -> Outcome {
        let mut wanted: HashSet<String> = if self.all {
            let letters = read(dead_letters).await?.into_iter();
            letters.filter(|letter| is_wanted(letter, self.cause) && !letter.replayed).map(|letter| letter.id).collect()
        } else {
            self.ids.iter().cloned().collect()
        };
        let ids = wanted.clone();
        let (topic, mut n_done, mut n_truncated) = (&broker.topics().jobs, 0_u64, 0_u64);
        let mut said = Ok(());
        let tell = |letter: &DeadLetter, replay| {
            wanted.remove(&letter.id);
            let line = match replay {
                Replay::Done => {
                    n_done += 1;
                    format!("{}  {} bytes to {topic} ({})\n", letter.id, letter.n_payload_bytes, letter.cause)
                }
                Replay::Truncated => {
                    n_truncated += 1;
                    format!("{}  not replayed: it was too large to be kept whole\n", letter.id)
                }
            };
            if said.is_ok() {
                said = print(line.as_bytes());
            }
        };
        let replayed = dead_letters.replay_many(ids, tell).await;
        said?;
        for id in &wanted {
            eprintln!("there is no dead letter {id}");
        }
        eprintln!("{n_done} replayed");
        replayed.context("replay")?;
        if wanted.is_empty() && n_truncated == 0 { Ok(()) } else { Err(Failure::Broken) }
    }
}

fn is_wanted(letter: &DeadLetter, cause: Option<DeadCause>) -> bool {
    cause.is_none_or(|cause| letter.cause == cause)
}

/// A dead letter as JSON, without what is personal.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    id: &'a str,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    cause: &'static str,
    detail: &'a str,
    source_topic: &'a str,
    source_partition: u16,
    source_offset: i64,
    bytes: u64,
    truncated: bool,
    replayed: bool,
}

impl<'a> Listed<'a> {
    fn of(letter: &'a DeadLetter) -> Self {
        Self {
            id: &letter.id,
            at: letter.at,
            cause: letter.cause.as_str(),
            detail: &letter.detail,
            source_topic: &letter.source_topic,
            source_partition: letter.source_partition.0,
            source_offset: letter.source_offset,
            bytes: letter.n_payload_bytes,
            truncated: letter.is_truncated,
            replayed: letter.replayed,
        }
    }
}

/// Writes aligned columns, a heading above them.
fn table(letters: &[DeadLetter]) -> String {
    let heading = ["ID", "AT", "CAUSE", "SOURCE", "BYTES", "REPLAYED"].map(str::to_owned);
    let mut rows = vec![heading];
    rows.extend(letters.iter().map(|letter| {
        [
            letter.id.clone(),
            rfc3339(letter.at),
            letter.cause.to_string(),
            source(letter),
            letter.n_payload_bytes.to_string(),
            if letter.replayed { "yes" } else { "no" }.to_owned(),
        ]
    }));
    let widths: [usize; 6] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Writes one dead letter whole.
fn page(letter: &DeadLetter) -> String {
    let bytes = |bytes: &Option<bytes::Bytes>| match bytes {
        None => "(none)".to_owned(),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => printable(text),
            Err(_) => format!("({} bytes, not UTF-8)", bytes.len()),
        },
    };
    let mut lines = vec![
        format!("id        {}", letter.id),
        format!("at        {}", rfc3339(letter.at)),
        format!("cause     {}", letter.cause),
        format!("detail    {}", printable(&letter.detail)),
        format!("source    {}", source(letter)),
        format!("replayed  {}", if letter.replayed { "yes" } else { "no" }),
        format!("key       {}", bytes(&letter.key)),
    ];
    lines.extend(letter.headers.iter().map(|(name, value)| format!("header    {}: {}", printable(name), bytes(value))));
    let cut = if letter.is_truncated { ", cut" } else { "" };
    lines.push(format!("value     {} bytes{cut}", letter.n_payload_bytes));
    lines.push(bytes(&letter.payload));
    lines.join("\n") + "\n"
}

fn source(letter: &DeadLetter) -> String {
    format!("{}/{}/{}", printable(&letter.source_topic), letter.source_partition, letter.source_offset)
}

fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

/// Leaves out what could drive a terminal: a record holds whatever somebody wrote.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::domain::partition::PartitionNo;

    fn letter() -> DeadLetter {
        DeadLetter {
            id: "0:17".into(),
            cause: DeadCause::Unreadable,
            detail: "expected value".into(),
            source_topic: "campaign.jobs".into(),
            source_partition: PartitionNo(5),
            source_offset: 4_711,
            at: datetime!(2026-11-23 09:00:00 UTC),
            key: Some("key".into()),
            payload: Some("\u{1b}[2Jpoison\n{".into()),
            headers: vec![("traceparent".into(), Some(bytes::Bytes::from_static(b"\xff")))],
            n_payload_bytes: 13,
            is_truncated: false,
            replayed: false,
        }
    }

    #[test]
    fn columns_are_aligned() {
        let long = DeadLetter { id: "0:1234567".into(), replayed: true, cause: DeadCause::ConflictingId, ..letter() };
        insta::assert_snapshot!(table(&[letter(), long]), @r"
        ID         AT                    CAUSE           SOURCE                BYTES  REPLAYED
        0:17       2026-11-23T09:00:00Z  UNREADABLE      campaign.jobs/5/4711  13     no
        0:1234567  2026-11-23T09:00:00Z  CONFLICTING_ID  campaign.jobs/5/4711  13     yes
        ");
    }

    #[test]
    fn a_page_drives_no_terminal() {
        insta::assert_snapshot!(page(&letter()), @r"
        id        0:17
        at        2026-11-23T09:00:00Z
        cause     UNREADABLE
        detail    expected value
        source    campaign.jobs/5/4711
        replayed  no
        key       key
        header    traceparent: (1 bytes, not UTF-8)
        value     13 bytes
        �[2Jpoison
        {
        ");
    }

    #[test]
    fn causes_are_read_in_any_case() {
        assert_eq!(cause("over_size"), Ok(DeadCause::OverSize));
        assert!(cause("bad").is_err_and(|text| text.contains("CONFLICTING_ID")));
    }
}
