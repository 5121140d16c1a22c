//! What `submit` brings to a real topic, and where; twice is the same as once.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use actiwapi_dispatcher::domain::id::{DeliveryId, SessionId, TenantId};
use actiwapi_dispatcher::domain::job::{Job, TrafficClass};
use actiwapi_dispatcher::domain::partition::PartitionNo;
use actiwapi_dispatcher::limits::SUBMIT_JOBS_MAX;
use serde_json::Value;

use super::kafka::{environment, exited, run};
use super::stderr_of;
use crate::broker::support::{Member, with_topics};

const PARTITIONS: u16 = 8;

/// Returns ids with what is to be sent to whom by which session.
fn deliveries(jobs: &[Job]) -> BTreeMap<DeliveryId, (String, SessionId)> {
    let of_job = |job: &Job| {
        let session_id = job.session_id;
        let deliveries = job.deliveries.iter().map(move |delivery| {
            (delivery.id, (format!("{:?} {}", delivery.variables.get("name"), delivery.to.as_str()), session_id))
        });
        deliveries.collect::<Vec<_>>()
    };
    jobs.iter().flat_map(of_job).collect()
}

/// Reads as many jobs and checks that each lies where its session belongs.
async fn read_jobs(member: &mut Member, n_jobs: usize) -> Vec<Job> {
    let records = member.read(n_jobs).await;
    let jobs = records.iter().map(|record| {
        let job = Job::decode(record.payload.as_deref().unwrap()).unwrap();
        assert_eq!(record.partition, PartitionNo::of(job.session_id, PARTITIONS.try_into().unwrap()));
        assert_eq!(record.key.as_deref(), Some(job.session_id.to_string().as_bytes()));
        job
    });
    jobs.collect()
}

fn job_line(id: SessionId) -> String {
    format!(
        r#"{{"v":1, "jobId":"{id}","tenantId":"{id}","sessionId":"{id}","campaignId":null,"message":{{"type":"text","text":"a"}},"deliveries":[{{"id":"{id}","to":"919876543210"}}]}}"#
    )
}

fn summary(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

#[tokio::test]
async fn recipients_become_jobs_and_twice_the_same_ones() {
    with_topics(PARTITIONS, |config, broker| async move {
        let (folder, environment) = (tempfile::tempdir().unwrap(), environment(&config));
        let rows =
            (0..2_500).fold("Phone;Name\n".to_owned(), |rows, n| rows + &format!("+91 98765 4{n:04};Guest {n}\r\n"));
        write(folder.path(), "guests.csv", &rows);
        let (tenant, sessions) = (TenantId::generate(), [SessionId::generate(), SessionId::generate()]);
        let (tenant_text, session_texts) = (tenant.to_string(), sessions.map(|session| session.to_string()));
        let arguments = [
            "submit",
            "guests.csv",
            "--tenant",
            &tenant_text,
            "--session",
            &session_texts[0],
            "--session",
            &session_texts[1],
            "--text",
            "Hello {{name}}",
            "--traffic-class",
            "transactional",
            "--expires-at",
            "2099-01-01T00:00:00Z",
            "--json",
        ];
        let output = run(folder.path(), &arguments, &environment, None).await;
        let said = summary(&exited(&output, 0));
        assert_eq!((said["deliveries"].as_u64(), said["rejected"].as_u64()), (Some(2_500), Some(0)), "{said}");
        assert_eq!((&said["complete"], &said["topic"]), (&Value::Bool(true), &Value::from(config.topics.jobs.clone())));

        let mut member = Member::join(&broker);
        let n_jobs = usize::try_from(said["jobs"].as_u64().unwrap()).unwrap();
        let first = read_jobs(&mut member, n_jobs).await;
        let first_deliveries = deliveries(&first);
        assert_eq!(first_deliveries.len(), 2_500);
        assert!(
            first_deliveries.values().any(|(what, _)| what == "Some(\"Guest 7\") 919876540007"),
            "{first_deliveries:?}"
        );
        for job in &first {
            assert!(job.tenant_id == tenant && sessions.contains(&job.session_id) && job.campaign_id.is_none());
            assert!(
                job.traffic_class == TrafficClass::Transactional
                    && job.expires_at.is_some()
                    && job.deliveries.len() <= 500
            );
        }

        exited(&run(folder.path(), &arguments, &environment, None).await, 0);
        let mut again = read_jobs(&mut member, n_jobs).await;
        let by_id = |job: &Job| job.job_id;
        let mut first = first;
        first.sort_by_key(by_id);
        again.sort_by_key(by_id);
        assert_eq!(again, first);
        member.consumer.stop().await;
    })
    .await;
}

#[tokio::test]
async fn bad_rows_are_named_and_the_others_sent() {
    with_topics(PARTITIONS, |config, broker| async move {
        let (folder, environment) = (tempfile::tempdir().unwrap(), environment(&config));
        write(folder.path(), "list", "phone,name\n919876540001,Ana\n98765abc4321,Bo\n919876540002,Eva\n919876540003\n");
        let id = SessionId::generate().to_string();
        let arguments =
            ["submit", "-", "--format", "csv", "--batch", "x", "--tenant", &id, "--session", &id, "--text", "Hi"];
        let input = || Some(std::fs::File::open(folder.path().join("list")).unwrap());
        let output = run(folder.path(), &arguments, &environment, input()).await;
        let text = exited(&output, 1);
        assert_eq!(text, format!("1 job with 2 deliveries durable on {}\n", config.topics.jobs));
        let said = stderr_of(&output);
        assert!(said.contains("line 3: Valid phone number") && said.contains("line 5: The row has 1 fields"), "{said}");
        assert!(said.contains("2 lines were refused") && !said.contains("98765"), "{said}");
        let output = run(folder.path(), &[&arguments[..], &["--skip-bad"]].concat(), &environment, input()).await;
        exited(&output, 0);

        let mut member = Member::join(&broker);
        let jobs = read_jobs(&mut member, 2).await;
        assert_eq!((deliveries(&jobs).len(), &jobs[0]), (2, &jobs[1]));
        member.consumer.stop().await;
    })
    .await;
}

#[tokio::test]
async fn lines_of_json_are_jobs() {
    with_topics(PARTITIONS, |config, broker| async move {
        let (folder, environment) = (tempfile::tempdir().unwrap(), environment(&config));
        let lines = [
            job_line(SessionId::generate()),
            job_line(SessionId::generate()),
            "{\"v\":9}".to_owned(),
            "poison 919876543210".to_owned(),
        ];
        write(folder.path(), "jobs.jsonl", &lines.join("\n"));
        let output = run(folder.path(), &["submit", "jobs.jsonl", "--json"], &environment, None).await;
        let said = summary(&exited(&output, 1));
        assert_eq!((said["jobs"].as_u64(), said["rejected"].as_u64()), (Some(2), Some(2)), "{said}");
        assert_eq!(said["firstProblems"][0]["line"].as_u64(), Some(3));
        assert!(!said.to_string().contains("98765") && !stderr_of(&output).contains("98765"), "{said}");

        let mut member = Member::join(&broker);
        let mut payloads: Vec<_> = member.read(2).await.into_iter().map(|record| record.payload.unwrap()).collect();
        payloads.sort_unstable();
        assert_eq!(payloads, lines[..2]);
        member.consumer.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_interrupted_run_says_what_is_durable() {
    with_topics(PARTITIONS, |config, broker| async move {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dispatcher"));
        command.args(["submit", "-", "--format", "jsonl"]).current_dir(folder.path()).env_clear();
        command.envs(environment(&config)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines: String = (0..SUBMIT_JOBS_MAX).map(|_| job_line(SessionId::generate()) + "\n").collect();
        let mut input = child.stdin.take().unwrap();
        let input = tokio::task::spawn_blocking(move || {
            input.write_all(lines.as_bytes()).unwrap();
            input
        });
        let input = input.await.unwrap();
        let mut member = Member::join(&broker);
        read_jobs(&mut member, SUBMIT_JOBS_MAX).await;
        member.consumer.stop().await;
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        drop(input);
        assert_eq!(exited(&output, 1), "");
        let said = stderr_of(&output);
        assert!(said.contains("interrupted: 64 jobs durable with 64 deliveries; the same command again"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn what_can_not_begin_says_why() {
    with_topics(PARTITIONS, |config, _| async move {
        let (folder, mut environment) = (tempfile::tempdir().unwrap(), environment(&config));
        write(folder.path(), "jobs.jsonl", "");
        write(folder.path(), "names.csv", "name\nAna\n");
        let id = SessionId::generate().to_string();
        let arguments = ["submit", "names.csv", "--tenant", &id, "--session", &id, "--text", "Hi"];
        let output = run(folder.path(), &arguments, &environment, None).await;
        exited(&output, 1);
        assert!(stderr_of(&output).contains("no phone column"), "{}", stderr_of(&output));

        let set = |environment: &mut Vec<(String, String)>, key: &str, value: &str| {
            environment.push((format!("DISPATCHER__QUEUE__{key}"), value.to_owned()));
        };
        let submit = ["submit", "jobs.jsonl"];
        set(&mut environment, "PARTITIONS", "9");
        let output = run(folder.path(), &submit, &environment, None).await;
        exited(&output, 1);
        assert!(stderr_of(&output).contains("set queue.partitions = 8"), "{}", stderr_of(&output));
        set(&mut environment, "KIND", "local");
        let output = run(folder.path(), &submit, &environment, None).await;
        exited(&output, 2);
        assert!(stderr_of(&output).contains("queue.kind"), "{}", stderr_of(&output));
    })
    .await;
}
