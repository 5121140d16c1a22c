//! What arguments mean, how recipients become jobs, and what is said about lines that are none.

use std::collections::{BTreeMap, BTreeSet};

use clap::Parser;

use super::cutting::ReadyJob;
use super::*;
use crate::domain::id::DeliveryId;
use crate::domain::job::Job;
use crate::limits::JOB_RECORD_BYTES_MAX;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: SubmitArgs,
}

const TENANT: &str = "019385a0-0000-7000-8000-000000000001";
const SESSIONS: [&str; 3] = [
    "019385a0-0000-7000-8000-00000000000a",
    "019385a0-0000-7000-8000-00000000000b",
    "019385a0-0000-7000-8000-00000000000c",
];

fn args(more: &[&str]) -> SubmitArgs {
    Command::try_parse_from([&["submit"], more].concat()).expect("arguments").args
}

fn terms(batch: &str) -> Terms {
    let mut more = vec!["guests.csv", "--tenant", TENANT, "--text", "Hello {{name}}", "--batch", batch];
    SESSIONS.iter().for_each(|session| more.extend(["--session", session]));
    args(&more).terms().unwrap_or_else(|_| panic!("terms"))
}

fn cut(terms: Terms, file: &str, n_bytes_of_chunk: usize) -> Taken {
    let (mut csv, mut cutter) = (RecipientCsv::new(), Cutter::new(terms).expect("a message"));
    let mut taken = Taken::default();
    for chunk in file.as_bytes().chunks(n_bytes_of_chunk) {
        csv.feed(chunk, &mut |row| cutter.take(row, &mut taken)).expect("a file");
    }
    csv.finish(&mut |row| cutter.take(row, &mut taken)).expect("a file");
    cutter.cut_all(&mut taken);
    taken
}

fn guests(n: u32) -> String {
    (0..n).fold("phone,name\n".to_owned(), |file, n| file + &format!("91987654{n:04},Guest {n}\n"))
}

fn jobs(ready: &[ReadyJob]) -> Vec<Job> {
    ready.iter().map(|job| Job::decode(&job.payload).expect("a job")).collect()
}

fn deliveries(taken: &Taken) -> BTreeMap<DeliveryId, SessionId> {
    let jobs = jobs(&taken.jobs);
    jobs.iter().flat_map(|job| job.deliveries.iter().map(|delivery| (delivery.id, job.session_id))).collect()
}

#[test]
fn the_same_file_makes_the_same_jobs_however_it_is_read() {
    let file = guests(4_000);
    let whole = cut(terms("a"), &file, usize::MAX);
    assert_eq!(whole.jobs, cut(terms("a"), &file, 77).jobs);
    assert_eq!(deliveries(&whole).len(), 4_000);
    assert!(whole.jobs.iter().all(|job| job.n_deliveries <= 500));
    for job in jobs(&whole.jobs) {
        assert_eq!((job.tenant_id.to_string().as_str(), job.campaign_id), (TENANT, None));
    }
    let of_sessions = deliveries(&whole).into_values().fold(BTreeMap::new(), |mut counts, session| {
        *counts.entry(session).or_insert(0) += 1;
        counts
    });
    assert_eq!(of_sessions.len(), 3);
    assert!(of_sessions.values().all(|n| (1_200..1_470).contains(n)), "{of_sessions:?}");
}

#[test]
fn another_batch_or_tenant_makes_other_ids() {
    let file = guests(3);
    let ids = |terms| deliveries(&cut(terms, &file, 99)).into_keys().collect::<BTreeSet<_>>();
    let other = Terms { tenant_id: TenantId::generate(), ..terms("a") };
    assert!(ids(terms("a")).is_disjoint(&ids(terms("b"))) && ids(terms("a")).is_disjoint(&ids(other)));
}

#[test]
fn mended_moved_and_repeated_lines_make_no_second_message() {
    let first = cut(terms("a"), "phone,name\nno number,Bo\n919876540001,Ana\n919876540002,Eva\n", 99);
    assert_eq!((first.report.accepted, first.report.rejected), (2, 1));
    let mended = "phone,name\n919876540002,Eva\n+91 98765 40001,Ana\n919876540003,Bo\n919876540001,Ana\n";
    let second = deliveries(&cut(terms("a"), mended, 99));
    assert_eq!(second.len(), 3);
    for (id, session) in deliveries(&first) {
        assert_eq!(second.get(&id), Some(&session));
    }
}

#[test]
fn a_row_that_the_message_can_not_be_made_for_is_refused() {
    let taken = cut(terms("a"), "phone,name\n919876540001,\n919876540002,Eva\n", 99);
    assert_eq!((taken.report.accepted, taken.report.rejected), (1, 1));
    let bad = &taken.report.first_problems[0];
    assert_eq!((bad.line, bad.problem.as_str()), (2, "The variable name has no value and no default."));
}

#[test]
fn no_job_is_larger_than_a_record_may_be() {
    let long = "ü".repeat(1_000);
    let row = |n: u32| (0..20).fold(format!("91987654{n:04},x"), |row, _| row + "," + &long);
    let header = (0..20).fold("phone,name".to_owned(), |header, n| format!("{header},v{n}"));
    let file = (0..300).fold(header, |file, n| file + "\n" + &row(n));
    let one_session = Terms { session_ids: terms("a").session_ids[..1].to_vec(), ..terms("a") };
    let taken = cut(one_session, &file, 65_536);
    assert_eq!(deliveries(&taken).len(), 300);
    assert!(taken.jobs.iter().all(|job| job.payload.len() <= JOB_RECORD_BYTES_MAX));
    assert!((12..=14).contains(&taken.jobs.len()), "{}", taken.jobs.len());
}

fn job_line() -> String {
    let id = SESSIONS[0];
    format!(
        r#"{{"v":1,"jobId":"{id}","tenantId":"{id}","sessionId":"{id}","campaignId":null,"message":{{"type":"text","text":"a"}},"deliveries":[{{"id":"{id}","to":"919876543210"}}]}}"#
    )
}

fn read_lines(file: &[u8], n_bytes_of_chunk: usize) -> Taken {
    let (mut lines, mut taken) = (JobLines::default(), Taken::default());
    file.chunks(n_bytes_of_chunk).for_each(|chunk| lines.feed(chunk, &mut taken));
    lines.finish(&mut taken);
    taken
}

#[test]
fn lines_are_passed_on_as_they_are() {
    let line = job_line();
    let file = format!("\u{feff}{line}\r\n\n  {line}  \n{line}");
    for n_bytes_of_chunk in [1, 7, usize::MAX] {
        let taken = read_lines(file.as_bytes(), n_bytes_of_chunk);
        assert_eq!(taken.report.rejected, 0, "{:?}", taken.report);
        assert_eq!(taken.jobs.iter().map(|job| job.payload.as_ref()).collect::<Vec<_>>(), [line.as_bytes(); 3]);
    }
}

#[test]
fn bad_lines_are_named_and_never_quoted() {
    let good = job_line();
    let unknown_version = good.replace("\"v\":1", "\"v\":2");
    let (number, field) =
        (good.replace("\"919876543210\"", "919876543210"), good.replace("\"to\"", "\"919876543210\""));
    let long = format!("{}{good}", " ".repeat(JOB_RECORD_BYTES_MAX));
    let file = ["919876543210 ", &unknown_version, &number, &field, &long, "{", &good].join("\n");
    let taken = read_lines(file.as_bytes(), 4_096);
    assert_eq!((taken.jobs.len(), taken.report.rejected), (1, 6));
    let said: Vec<String> =
        taken.report.first_problems.iter().map(|bad| format!("{}: {}", bad.line, bad.problem)).collect();
    let said = said.join("\n");
    assert!(!said.contains("9198765"), "{said}");
    insta::assert_snapshot!(said, @r"
    1: The line is not a job of version 1: a field is missing, unknown or not as it should be, found at column 12.
    2: the job has version 2, known is 1.
    3: The line is not a job of version 1: a field is missing, unknown or not as it should be, found at column 286.
    4: The line is not a job of version 1: a field is missing, unknown or not as it should be, found at column 283.
    5: The line is longer than the 1048576 bytes of a job.
    6: The line is not a job of version 1: it ends too early, at column 1.
    ");
}

#[test]
fn what_is_missing_or_too_much_is_said() {
    let refusal = |more: &[&str]| match args(more).reader() {
        Err(Failure::Usage(text)) => text,
        _ => panic!("{more:?} is not refused"),
    };
    let csv = ["a.csv", "--tenant", TENANT, "--session", SESSIONS[0], "--text", "a"];
    for (more, word) in [
        (&["a.txt"][..], "--format"),
        (&csv[..3], "--session"),
        (&csv[..5], "--message"),
        (&[csv[0], csv[3], csv[4], csv[5], csv[6]], "--tenant"),
        (&["-", "--format", "csv", csv[1], csv[2], csv[3], csv[4], csv[5], csv[6]], "--batch"),
        (&["a.jsonl", "--tenant", TENANT], "options for CSV"),
        (&[&csv[..], &["--session", SESSIONS[0]]].concat(), "twice"),
        (&[&csv[..6], &["Hello {{name"]].concat(), "Text, "),
    ] {
        assert!(refusal(more).contains(word), "{more:?}: {}", refusal(more));
    }
    assert!(args(&csv).reader().is_ok());
}
