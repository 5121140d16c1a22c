//! Files over HTTP: forms that are good, broken, too large or not what they say; messages with files; keys of clients.

use axum::body::{Body, Bytes};
use axum::http::header;
use serde_json::json;

use super::support::{Answer, Front, request};

const BOUNDARY: &str = "a-boundary-of-tests";

/// Makes an image of so many bytes.
pub(super) fn png(n_bytes: usize) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.resize(n_bytes, u8::try_from(n_bytes % 251).unwrap());
    bytes
}

/// Writes a form: fields of text, and a file with its name.
fn form(fields: &[(&str, &str)], file: Option<(&str, &[u8])>) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, text) in fields {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n");
        body.extend_from_slice(head.as_bytes());
    }
    if let Some((filename, bytes)) = file {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{filename}\"\r\n\
             Content-Type: text/html\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

async fn post(front: &Front, (path, token, key): (&str, &str, Option<&str>), body: Vec<u8>) -> Answer {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let mut request = request("POST", path, token).header(header::CONTENT_TYPE, kind);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    front.call(request.body(Body::from(body)).unwrap()).await
}

/// Uploads a file to be kept.
pub(super) async fn upload(front: &Front, token: &str, filename: &str, bytes: &[u8]) -> Answer {
    post(front, ("/api/v1/media", token, None), form(&[], Some((filename, bytes)))).await
}

fn id_of(answer: &Answer) -> String {
    answer.data()["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

/// Returns the fields that a refusal names, in the order of the alphabet.
pub(super) fn fields_of(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), body["code"].as_str()), (400, Some("VALIDATION_ERROR")), "{body}");
    body["errors"].as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn a_file_is_uploaded_shown_given_out_and_removed() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let bytes = png(40_000);
    let answer = upload(&front, &token, "../Für \\\"x\\\".png", &bytes).await;
    insta::assert_snapshot!(answer.golden(), @r#"
    201
    {
      "data": {
        "createdAt": "[time]",
        "expiresAt": null,
        "filename": "Für x.png",
        "id": "[id]",
        "mimeType": "image/png",
        "sha256": "8db1579254a97678f00f87410aa041ad353cb629b9f486ef7512ee1a5d3f9ec3",
        "size": 40000,
        "type": "image"
      },
      "success": true
    }
    "#);
    let id = id_of(&answer);
    assert_eq!(id_of(&upload(&front, &token, "b.png", &bytes).await), id, "the same bytes");
    let shown = front.get(&format!("/api/v1/media/{id}"), &token).await;
    assert_eq!(shown.data(), answer.data());
    let listed = front.get("/api/media?limit=5", &token).await;
    assert_eq!((listed.json()["pagination"]["total"].as_u64(), &listed.data()[0]), (Some(1), &answer.data()));
    let content = front.get(&format!("/api/v1/media/{id}/content"), &token).await;
    assert!(content.status == 200 && content.body == bytes);
    let headers = ["content-type", "content-length", "content-disposition", "x-content-type-options"];
    insta::assert_snapshot!(headers.map(|name| content.header(name)).join("\n"), @r#"
    image/png
    40000
    attachment; filename="F_r x.png"; filename*=UTF-8''F%C3%BCr%20x.png
    nosniff
    "#);
    let removed = front.send("DELETE", &format!("/api/v1/media/{id}"), &token, "").await;
    assert_eq!((removed.status.as_u16(), removed.data()), (200, json!({"id": id})));
    assert_eq!(front.get(&format!("/api/v1/media/{id}/content"), &token).await.status, 404);
}

#[tokio::test]
async fn bad_forms_are_refused() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let to_media = ("/api/v1/media", token.as_str(), None);
    let refusal = async |body: Vec<u8>| post(&front, to_media, body).await.refusal();
    let invalid = "400 VALIDATION_ERROR: Some fields are not valid.";
    assert_eq!(refusal(form(&[], None)).await, format!("{invalid}\nfile: is required"));
    assert_eq!(refusal(form(&[("name", "x")], None)).await, format!("{invalid}\nname: is not a known field"));
    assert_eq!(refusal(form(&[], Some(("a.png", b"")))).await, format!("{invalid}\nfile: must not be empty"));
    let large = refusal(form(&[], Some(("a.png", &png(100_001))))).await;
    assert_eq!(large, format!("{invalid}\nfile: must have at most 100000 bytes to be sent as image"));
    assert!(refusal(form(&[], Some(("a.png", b"MZ\x90\0\x03\0")))).await.contains("file: must be a JPEG or PNG image"));
    let broken = refusal(form(&[], Some(("a.png", &png(50))))[..120].to_vec()).await;
    assert_eq!(broken, "400 VALIDATION_ERROR: The form can not be read to its end.");
    assert_eq!(
        refusal(b"nothing of a form".to_vec()).await,
        "400 VALIDATION_ERROR: The form can not be read to its end."
    );
    let no_boundary = request("POST", "/api/v1/media", &token).header(header::CONTENT_TYPE, "multipart/form-data");
    let no_boundary = front.call(no_boundary.body(Body::from("x")).unwrap()).await;
    assert_eq!(no_boundary.refusal(), "400 VALIDATION_ERROR: The form has no boundary.");
    assert_eq!(front.send("POST", "/api/v1/media", &token, "{}").await.status, 415);
    let listed = front.get("/api/v1/media", &token).await;
    assert_eq!(listed.json()["pagination"]["total"], 0, "{}", listed.text());
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let body = form(&[], Some(("a.png", &png(90_000))));
    let begin = futures::stream::iter([
        Ok::<_, std::io::Error>(Bytes::copy_from_slice(&body[..50_000])),
        Err(std::io::Error::other("the client hung up")),
    ]);
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let broken = request("POST", "/api/v1/media", &token).header(header::CONTENT_TYPE, kind);
    let answer = front.call(broken.body(Body::from_stream(begin)).unwrap()).await;
    assert_eq!(answer.refusal(), "400 VALIDATION_ERROR: The form can not be read to its end.");
    assert_eq!(front.get("/api/v1/media", &token).await.json()["pagination"]["total"], 0);
}

#[tokio::test]
async fn messages_with_files_are_queued() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let fields = [("sessionId", session_id.as_str()), ("to", "+91 98765 43210"), ("caption", "{{as}} it {is}")];
    let image = png(5_000);
    let sent = post(&front, ("/api/messages/send-image", &token, None), form(&fields, Some(("a.png", &image)))).await;
    insta::assert_snapshot!(sent.golden(), @r#"
    200
    {
      "data": {
        "id": "[id]",
        "status": "queued"
      },
      "success": true
    }
    "#);
    assert_eq!(front.get(&format!("/api/messages/{}", id_of(&sent)), &token).await.data()["to"], "919876543210");
    let listed = front.get("/api/v1/media", &token).await.data();
    assert!(listed[0]["expiresAt"].is_string(), "{listed}");
    let media_id = listed[0]["id"].clone();
    let gone = front.send("DELETE", &format!("/api/v1/media/{}", media_id.as_str().unwrap()), &token, "").await;
    assert_eq!(gone.refusal(), "409 CONFLICT: A message that waits to be sent needs this media.");

    let pdf = b"%PDF-1.4\nBill";
    let path = "/api/v1/messages/send-document";
    let document = [fields[0], fields[1], ("filename", "Bill 17.pdf")];
    assert_eq!(post(&front, (path, &token, None), form(&document, Some(("x", pdf)))).await.status, 200);
    let by_id = json!({"sessionId": session_id, "to": "919876543210", "mediaId": media_id, "caption": "Hi"});
    assert_eq!(front.post("/api/v1/messages/send-image", &token, by_id.clone()).await.status, 200);
    let by_url = json!({"sessionId": session_id, "to": "919876543210", "mediaUrl": "https://a.example/x.mp3"});
    assert_eq!(front.post("/api/v1/messages/send-audio", &token, by_url).await.status, 200);

    let key = front.mighty_key(&token).await;
    let external = "/api/v1/external/messages/send-image";
    assert_eq!(front.with_key("POST", external, &key, &by_id.to_string()).await.status, 200);
    let kind = front.post("/api/v1/messages/send-video", &token, by_id).await;
    assert_eq!(
        kind.refusal(),
        "400 VALIDATION_ERROR: Some fields are not valid.\nmediaId: is image/png, which is not sent as video"
    );
}

#[tokio::test]
async fn every_problem_of_a_form_is_named() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let to = ("/api/v1/messages/send-audio", token.as_str(), None);
    let nothing = post(&front, to, form(&[("colour", "red"), ("sessionId", "7")], None)).await;
    assert_eq!(fields_of(&nothing), ["colour", "file", "sessionId", "to"]);
    let ogg = b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0OpusHead";
    let fields = [("sessionId", session_id.as_str()), ("to", "x"), ("caption", "no")];
    let odd = post(&front, to, form(&fields, Some(("a.ogg", ogg)))).await;
    assert_eq!(fields_of(&odd), ["caption", "to"]);
    let both = [fields[0], ("to", "919876543210"), ("mediaUrl", "https://a.example")];
    assert_eq!(fields_of(&post(&front, to, form(&both, Some(("a.ogg", ogg)))).await), ["file"]);
    let long = "x".repeat(70_000);
    let long = [fields[0], ("to", "919876543210"), ("caption", long.as_str())];
    assert_eq!(fields_of(&post(&front, to, form(&long, Some(("a.ogg", ogg)))).await), ["caption"]);
    let body = json!({"sessionId": session_id, "to": "919876543210", "templateId": session_id, "name": "x"});
    assert_eq!(fields_of(&front.post("/api/v1/messages/send-template", &token, body).await), ["name"]);
    let body = json!({"sessionId": session_id, "to": "919876543210", "variables": {}});
    let problems = front.post("/api/v1/messages/send-template", &token, body).await;
    assert_eq!(fields_of(&problems), ["language", "name", "variables"]);
}

#[tokio::test]
async fn a_form_with_a_key_counts_once() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let fields = [("sessionId", session_id.as_str()), ("to", "919876543210")];
    let to = ("/api/v1/messages/send-image", token.as_str(), Some("order-17"));
    let first = post(&front, to, form(&fields, Some(("a.png", &png(3_000))))).await;
    assert_eq!((first.status.as_u16(), first.header("idempotent-replayed")), (200, "-"));
    let again = post(&front, to, form(&fields, Some(("a.png", &png(3_000))))).await;
    assert_eq!((again.data(), again.header("idempotent-replayed")), (first.data(), "true"));
    let other = post(&front, to, form(&fields, Some(("a.png", &png(3_001))))).await;
    assert_eq!(other.status, 409, "{}", other.text());
    let to = ("/api/v1/media", token.as_str(), Some("file-17"));
    let first = post(&front, to, form(&[], Some(("a.png", &png(4_000))))).await;
    let again = post(&front, to, form(&[], Some(("a.png", &png(4_000))))).await;
    assert_eq!((again.data(), again.header("idempotent-replayed")), (first.data(), "true"));
}
