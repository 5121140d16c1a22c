//! Recipients as JSON and as files: what is kept, what is named, what is refused.

use std::time::Duration;

use actiwapi_dispatcher::api::ApiSettings;
use actiwapi_dispatcher::limits::{BODY_BYTES_MAX, RECIPIENTS_PER_BODY_MAX};
use axum::body::{Body, Bytes};
use axum::http::header;
use serde_json::json;

use super::support::{Answer, Front, request};

/// A front with a draft that takes recipients.
struct Draft {
    front: Front,
    token: String,
    path: String,
}

impl Draft {
    async fn start() -> Self {
        Self::start_with(ApiSettings::default()).await
    }

    async fn start_with(settings: ApiSettings) -> Self {
        let front = Front::start_with(settings).await;
        let token = front.register("ana@example.com").await;
        let session_id = front.session(&token).await;
        let path = format!("/api/v1/campaigns/{}/recipients", front.draft(&token, &session_id).await);
        Self { front, token, path }
    }

    async fn upload(&self, kind: &str, body: impl Into<Body>) -> Answer {
        let request = request("POST", &self.path, &self.token).header(header::CONTENT_TYPE, kind);
        self.front.call(request.body(body.into()).unwrap()).await
    }

    async fn csv(&self, body: impl Into<Body>) -> Answer {
        self.upload("text/csv; charset=utf-8", body).await
    }

    async fn form(&self, parts: &[(&str, &str)]) -> Answer {
        let mut body = String::new();
        for (name, content) in parts {
            body += &format!(
                "--XX\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.csv\"\r\n\r\n{content}\r\n"
            );
        }
        self.upload("multipart/form-data; boundary=XX", body + "--XX--\r\n").await
    }

    /// Shows what was kept: phone and variables of each recipient.
    async fn kept(&self) -> String {
        let rows = self.front.get(&format!("{}?limit=100", self.path), &self.token).await.data();
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| format!("{} {}\n", row["phone"].as_str().unwrap(), row["variables"])).collect()
    }
}

/// Shows the counts and the bad lines of a report.
fn report(answer: &Answer) -> String {
    let data = answer.data();
    let mut text =
        format!("accepted {} duplicates {} rejected {}\n", data["accepted"], data["duplicates"], data["rejected"]);
    for line in data["badLines"].as_array().unwrap() {
        text += &format!("{}: {}\n", line["line"], line["problem"].as_str().unwrap());
    }
    text
}

#[tokio::test]
async fn json_is_kept_whole_or_not_at_all() {
    let draft = Draft::start().await;
    let good = json!({"recipients": [
        {"phone": "+91 98765 43210", "variables": {"name": "Ana"}}, {"phone": "919876543211"}, {"phone": "91-9876543210"},
    ]});
    let answer = draft.upload("application/json", good.to_string()).await;
    insta::assert_snapshot!(answer.golden(), @r#"
    200
    {
      "data": {
        "accepted": 2,
        "badLines": [],
        "duplicates": 1,
        "rejected": 0
      },
      "success": true
    }
    "#);
    insta::assert_snapshot!(draft.kept().await, @r#"
    919876543210 {"name":"Ana"}
    919876543211 {}
    "#);
    let bad = json!({"recipients": [{"phone": "919876543212"}, {"phone": "12"}, {"phone": "abc"}]});
    insta::assert_snapshot!(draft.upload("application/json", bad.to_string()).await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    recipients[1].phone: Valid phone number is required: it has too few digits for its country.
    recipients[2].phone: Valid phone number is required: the character at position 1 does not belong there.
    ");
    for body in [
        json!({"recipients": []}),
        json!({"recipients": {}}),
        json!({"recipients": [{"phone": 919876543210u64}]}),
        json!({"recipients": [{"phone": "919876543210", "name": "Ana"}]}),
        json!({"recipients": [{"phone": "919876543210", "variables": {"name": 5}}]}),
        json!({"recipients": vec![json!({"phone": "919876543210"}); RECIPIENTS_PER_BODY_MAX + 1]}),
    ] {
        let answer = draft.upload("application/json", body.to_string()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["code"]),
            (400, &json!("VALIDATION_ERROR")),
            "{}",
            answer.text()
        );
        assert!(answer.json()["errors"].as_object().unwrap().keys().all(|field| field.starts_with("recipients")));
    }
    assert_eq!(draft.kept().await.lines().count(), 2);
}

#[tokio::test]
async fn files_of_spreadsheets_are_read() {
    for (what, file) in [
        ("plain", "phone,name\n919876543210,Ana\n919876543211,\"Rao, \"\"Bob\"\"\"\n"),
        ("byte order mark and CRLF", "\u{feff}phone,name\r\n919876543210,Ana\r\n919876543211,\"Rao, \"\"Bob\"\"\"\r\n"),
        ("semicolons", "phone;name\n919876543210;Ana\n919876543211;\"Rao, \"\"Bob\"\"\"\n"),
        (
            "quotes everywhere",
            "\"phone\",\"name\"\n\"+91 98765-43210\",\"Ana\"\n\"919876543211\",\"Rao, \"\"Bob\"\"\"\n",
        ),
        ("no last line break", "phone,name\n919876543210,Ana\n919876543211,\"Rao, \"\"Bob\"\"\""),
        ("other order", "name,phone\nAna,919876543210\n\"Rao, \"\"Bob\"\"\",919876543211\n"),
    ] {
        let draft = Draft::start().await;
        assert_eq!(report(&draft.csv(file).await), "accepted 2 duplicates 0 rejected 0\n", "{what}");
        let kept = draft.kept().await;
        assert_eq!(kept, "919876543210 {\"name\":\"Ana\"}\n919876543211 {\"name\":\"Rao, \\\"Bob\\\"\"}\n", "{what}");
    }
}

#[tokio::test]
async fn good_rows_are_kept_and_bad_lines_named() {
    let draft = Draft::start().await;
    let mut file = b"phone,name\n919876543210,Ana\n12,short\n919876543210,again\nabc,letters\n919876543211\n".to_vec();
    file.extend_from_slice(
        b"919876543212,\xff\xfe\n\n919876543213,=cmd|' /C calc'!A0\n\"919876543214\",\"two\nlines\"\n",
    );
    let answer = draft.csv(file).await;
    insta::assert_snapshot!(report(&answer), @r"
    accepted 3 duplicates 1 rejected 4
    3: Valid phone number is required: it has too few digits for its country.
    5: Valid phone number is required: the character at position 1 does not belong there.
    6: The row has 1 fields, the header has 2.
    7: The row is not UTF-8 text: export the file as CSV UTF-8.
    ");
    insta::assert_snapshot!(draft.kept().await, @r#"
    919876543210 {"name":"Ana"}
    919876543213 {"name":"=cmd|' /C calc'!A0"}
    919876543214 {"name":"two\nlines"}
    "#);
}

#[tokio::test]
async fn at_most_a_hundred_bad_lines_are_named() {
    let draft = Draft::start().await;
    let mut file = "phone\n".to_owned();
    (0..150).for_each(|_| file.push_str("12\n"));
    file.push_str("919876543210\n");
    let data = draft.csv(file).await.data();
    assert_eq!((&data["accepted"], &data["rejected"]), (&json!(1), &json!(150)));
    let lines = data["badLines"].as_array().unwrap();
    assert_eq!((lines.len(), &lines[0]["line"], &lines[99]["line"]), (100, &json!(2), &json!(101)));
}

#[tokio::test]
async fn files_without_numbers_are_refused() {
    let draft = Draft::start().await;
    let mut said = String::new();
    for file in
        ["", "name,city\nAna,Pune\n", "919876543210\n919876543211\n", "PK\u{3}\u{4}zip", "phone,name,name\n1,2,3\n"]
    {
        said += &(draft.csv(file).await.refusal() + "\n");
    }
    said += &draft.csv(&b"\xff\xfep\0h\0o\0n\0e\0"[..]).await.refusal();
    insta::assert_snapshot!(said, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    file: The file is empty.
    400 VALIDATION_ERROR: Some fields are not valid.
    file: The file has no phone column: its first line must name the columns, one of them phone, to, number, phonenumber or mobile.
    400 VALIDATION_ERROR: Some fields are not valid.
    file: The file has no phone column: its first line must name the columns, one of them phone, to, number, phonenumber or mobile.
    400 VALIDATION_ERROR: Some fields are not valid.
    file: The file is a spreadsheet, not CSV: export it as CSV UTF-8.
    400 VALIDATION_ERROR: Some fields are not valid.
    file: The file has two columns named name.
    400 VALIDATION_ERROR: Some fields are not valid.
    file: The file is not UTF-8 text: export it as CSV UTF-8.
    ");
    assert_eq!(draft.kept().await, "");
}

#[tokio::test]
async fn forms_carry_one_file() {
    let draft = Draft::start().await;
    let answer = draft.form(&[("file", "phone,name\n919876543210,Ana\n")]).await;
    assert_eq!(report(&answer), "accepted 1 duplicates 0 rejected 0\n");
    let mut said = String::new();
    for parts in [&[][..], &[("other", "x")], &[("file", "phone\n919876543211\n"), ("file", "phone\n919876543212\n")]] {
        said += &(draft.form(parts).await.refusal() + "\n");
    }
    said += &(draft.upload("multipart/form-data", "x").await.refusal() + "\n");
    said += &(draft
        .upload(
            "multipart/form-data; boundary=XX",
            "--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nphone",
        )
        .await
        .refusal()
        + "\n");
    insta::assert_snapshot!(said, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    file: is required
    400 VALIDATION_ERROR: Some fields are not valid.
    other: is not a known field
    400 VALIDATION_ERROR: Some fields are not valid.
    file: must be given once
    400 VALIDATION_ERROR: The form has no boundary.
    400 VALIDATION_ERROR: The form can not be read to its end.
    ");
}

#[tokio::test]
async fn other_forms_and_sizes_are_refused() {
    let draft = Draft::start().await;
    for kind in ["application/xml", "text/plain", "application/vnd.ms-excel", "nonsense"] {
        assert_eq!(draft.upload(kind, "phone\n919876543210\n").await.status, 415, "{kind}");
    }
    let large = format!("{{\"recipients\":[]{}}}", " ".repeat(BODY_BYTES_MAX));
    assert_eq!(draft.upload("application/json", large).await.status, 413);
}

#[tokio::test]
async fn files_over_the_bound_are_refused() {
    let settings = ApiSettings { upload_bytes_max: 1 << 20, ..ApiSettings::default() };
    let draft = Draft::start_with(settings).await;
    let chunk = Bytes::from(b"12,not a number\n".repeat(4_096));
    let chunks = std::iter::once(Bytes::from_static(b"phone,name\n")).chain(std::iter::repeat_n(chunk, 16));
    let stream = futures::stream::iter(chunks.map(Ok::<_, std::io::Error>));
    let refusal = "413 PAYLOAD_TOO_LARGE: The body is larger than this operation takes.";
    assert_eq!(draft.csv(Body::from_stream(stream)).await.refusal(), refusal);
    let file = "phone\n".to_owned() + &"12\n".repeat(400_000);
    assert_eq!(draft.form(&[("file", &file)]).await.refusal(), refusal);
    assert_eq!(draft.csv("phone\n919876543210\n").await.status, 200);
}

#[tokio::test]
async fn what_was_broken_off_can_be_sent_again() {
    let draft = Draft::start().await;
    let lines: String = (0..1_500).map(|at| format!("9198{at:08}\n")).collect();
    let file = format!("phone\n{lines}");
    let broken: Vec<Result<Bytes, std::io::Error>> =
        vec![Ok(file.clone().into()), Err(std::io::Error::other("the line broke"))];
    let answer = draft.csv(Body::from_stream(futures::stream::iter(broken))).await;
    assert_eq!(answer.refusal(), "400 VALIDATION_ERROR: The body ended early.");
    let again = draft.csv(file).await.data();
    let sum = again["accepted"].as_u64().unwrap() + again["duplicates"].as_u64().unwrap();
    assert_eq!((sum, &again["rejected"]), (1_500, &json!(0)));
    assert!(0 < again["duplicates"].as_u64().unwrap());
}

#[tokio::test]
async fn uploads_that_stand_still_end() {
    let settings = ApiSettings { upload_pause_max: Duration::from_millis(20), ..ApiSettings::default() };
    let draft = Draft::start_with(settings).await;
    let begin = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"phone\n919876543210\n"))]);
    let answer = draft.csv(Body::from_stream(futures::StreamExt::chain(begin, futures::stream::pending()))).await;
    assert_eq!(answer.refusal(), "503 SERVICE_UNAVAILABLE: The request took too long.");
}

#[tokio::test]
async fn started_campaigns_take_no_more() {
    let draft = Draft::start().await;
    draft.csv("phone\n919876543210\n").await;
    draft.front.act(&draft.path.replace("/recipients", "/start"), &draft.token).await;
    insta::assert_snapshot!(draft.csv("phone\n919876543211\n").await.refusal(), @"409 CONFLICT: The campaign is running; recipients can only be added to a draft.");
    let body = json!({"recipients": [{"phone": "919876543211"}]});
    insta::assert_snapshot!(draft.upload("application/json", body.to_string()).await.refusal(), @"409 CONFLICT: The campaign is running; recipients can only be added to a draft.");
}
