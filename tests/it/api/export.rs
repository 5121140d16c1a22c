//! Exports: every message of a campaign as CSV; and the timeline of one of them.

use serde_json::json;

use super::support::Front;

/// Hands every recipient over, as intake would, without any lane.
const HAND_OVER: &str = "INSERT INTO deliveries
    (delivery_id, tenant_id, session_id, campaign_id, job_id, seq, recipient, variables, created_at_ms)
    SELECT r.recipient_id, c.tenant_id, s.session_id, r.campaign_id, r.recipient_id, r.seq, r.recipient, r.variables,
           1769846400000
    FROM campaign_recipients r JOIN campaigns c USING (campaign_id) JOIN campaign_sessions s USING (campaign_id)";

struct Handed {
    front: Front,
    token: String,
    path: String,
}

/// Starts a campaign to `n` recipients and hands all of them over.
async fn hand_over(n: usize) -> Handed {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let path = format!("/api/v1/campaigns/{}", front.draft(&token, &session_id).await);
    let recipients: Vec<_> = (0..n).map(|at| json!({"phone": format!("9198{at:08}")})).collect();
    front.post(&format!("{path}/recipients"), &token, json!({"recipients": recipients})).await;
    front.sql(HAND_OVER).await;
    Handed { front, token, path }
}

#[tokio::test]
async fn every_message_has_a_line() {
    let Handed { front, token, path } = hand_over(3).await;
    front
        .sql(
            "UPDATE deliveries SET state = 'failed', n_attempts = 2, failure_class = 'WHATSAPP_UNAVAILABLE',
                 reason = 'RECIPIENT_UNREACHABLE', provider_code = '=cmd|'' /C calc''!A0' WHERE seq = 1",
        )
        .await;
    front
        .sql(
            "UPDATE deliveries SET state = 'read', n_attempts = 1, provider_message_id = 'wamid.\"1\",2',
                 sent_at_ms = 1769846401000, delivered_at_ms = 1769846402000, read_at_ms = 1769846403000 WHERE seq = 2",
        )
        .await;
    let answer = front.get(&format!("{path}/export"), &token).await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    let id = path.rsplit('/').next().unwrap();
    assert_eq!(answer.header("content-disposition"), format!("attachment; filename=\"campaign-{id}.csv\""));
    let text = answer.text();
    let without_ids: Vec<String> = text
        .lines()
        .map(|line| line.split(',').map(|cell| if uuid::Uuid::parse_str(cell).is_ok() { "[id]" } else { cell }))
        .map(|cells| cells.collect::<Vec<_>>().join(","))
        .collect();
    insta::assert_snapshot!(without_ids.join("\n"), @r#"
    id,phone,status,sessionId,attempts,failureCode,failureReason,providerCode,providerMessageId,createdAt,sentAt,deliveredAt,readAt
    [id],919800000000,queued,[id],0,,,,,2026-01-31T08:00:00.000Z,,,
    [id],919800000001,failed,[id],2,WHATSAPP_UNAVAILABLE,RECIPIENT_UNREACHABLE,"'=cmd|' /C calc'!A0",,2026-01-31T08:00:00.000Z,,,
    [id],919800000002,read,[id],1,,,,"wamid.""1"",2",2026-01-31T08:00:00.000Z,2026-01-31T08:00:01.000Z,2026-01-31T08:00:02.000Z,2026-01-31T08:00:03.000Z
    "#);
    assert_eq!(text.matches("\r\n").count(), 4);
}

/// More rows than one step reads.
#[tokio::test]
async fn long_exports_come_in_steps() {
    let Handed { front, token, path } = hand_over(2_345).await;
    let text = front.get(&format!("{path}/export"), &token).await.text();
    let phones: Vec<&str> = text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    assert_eq!(phones.len(), 2_345);
    assert!(phones.is_sorted(), "in the order of the recipients, each once");
}

#[tokio::test]
async fn drafts_export_a_header() {
    let Handed { front, token, path } = hand_over(0).await;
    assert_eq!(front.get(&format!("{path}/export"), &token).await.text().lines().count(), 1);
}

#[tokio::test]
async fn messages_tell_what_happened() {
    let Handed { front, token, path } = hand_over(1).await;
    for text in [
        "INSERT INTO attempts (delivery_id, attempt_no, session_id, started_at_ms)
         SELECT delivery_id, 1, session_id, 1769846401000 FROM deliveries",
        "INSERT INTO attempt_outcomes (delivery_id, attempt_no, outcome, failure_class, reason, provider_code, ended_at_ms)
         SELECT delivery_id, 1, 'deferred', 'LIMIT_EXCEEDED', 'PAIR_RATE_LIMIT', 'graph:131056', 1769846402000 FROM deliveries",
        "INSERT INTO attempts (delivery_id, attempt_no, session_id, started_at_ms)
         SELECT delivery_id, 2, session_id, 1769846410000 FROM deliveries",
        "INSERT INTO attempt_outcomes (delivery_id, attempt_no, outcome, provider_message_id, ended_at_ms)
         SELECT delivery_id, 2, 'accepted', 'wamid.1', 1769846411000 FROM deliveries",
        "UPDATE deliveries SET state = 'delivered', n_attempts = 2, provider_message_id = 'wamid.1',
             sent_at_ms = 1769846411000, delivered_at_ms = 1769846412000, settled_at_ms = 1769846411000",
    ] {
        front.sql(text).await;
    }
    let recipients = front.get(&format!("{path}/recipients"), &token).await.data();
    let message = format!("/api/v1/messages/{}", recipients[0]["id"].as_str().unwrap());
    insta::assert_snapshot!(front.get(&message, &token).await.golden(), @r#"
    200
    {
      "data": {
        "attempts": 2,
        "campaignId": "[id]",
        "createdAt": "[time]",
        "deliveredAt": "[time]",
        "dueAt": null,
        "failure": null,
        "heldBy": null,
        "id": "[id]",
        "providerMessageId": "wamid.1",
        "readAt": null,
        "scheduledAt": null,
        "sentAt": "[time]",
        "sessionId": "[id]",
        "status": "delivered",
        "to": "919800000000"
      },
      "success": true
    }
    "#);
    let timeline = front.get(&format!("{message}/timeline"), &token).await.data();
    let lines: Vec<String> = timeline.as_array().unwrap().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"at":"2026-01-31T08:00:00.000Z","event":"queued"}
    {"at":"2026-01-31T08:00:01.000Z","attempt":1,"event":"attempt_started"}
    {"at":"2026-01-31T08:00:02.000Z","attempt":1,"event":"attempt_ended","failure":{"code":"LIMIT_EXCEEDED","providerCode":"graph:131056","reason":"PAIR_RATE_LIMIT"},"outcome":"deferred"}
    {"at":"2026-01-31T08:00:10.000Z","attempt":2,"event":"attempt_started"}
    {"at":"2026-01-31T08:00:11.000Z","attempt":2,"event":"attempt_ended","outcome":"accepted"}
    {"at":"2026-01-31T08:00:12.000Z","event":"delivered"}
    "#);
}
