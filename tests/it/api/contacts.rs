//! Contacts and groups over HTTP: as documented, as files, opted out and in, and what is refused.

use axum::body::Body;
use axum::http::header;
use serde_json::{Value, json};

use super::support::{Answer, Front, request};

const CONTACTS: &str = "/api/v1/contacts";

/// A front with somebody who keeps contacts.
struct Book {
    front: Front,
    token: String,
}

impl Book {
    async fn start() -> Self {
        let front = Front::start().await;
        let token = front.register("ana@example.com").await;
        Self { front, token }
    }

    async fn get(&self, path: &str) -> Answer {
        self.front.get(&format!("{CONTACTS}{path}"), &self.token).await
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        self.front.send(method, &format!("{CONTACTS}{path}"), &self.token, &body.to_string()).await
    }

    async fn create(&self, body: Value) -> Answer {
        self.send("POST", "", body).await
    }

    async fn id(&self, phone: &str, name: &str) -> String {
        let answer = self.create(json!({"phone": phone, "name": name})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.data()["id"].as_str().unwrap().to_owned()
    }

    async fn names(&self, query: &str) -> Vec<String> {
        let rows = self.get(query).await.data();
        rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    }

    async fn import(&self, kind: &str, body: &str) -> Answer {
        let request = request("POST", "/api/contacts/import", &self.token).header(header::CONTENT_TYPE, kind);
        self.front.call(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn import_file(&self, content: &str) -> Answer {
        let body = format!(
            "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n{content}\r\n--XX--\r\n"
        );
        self.import("multipart/form-data; boundary=XX", &body).await
    }
}

#[tokio::test]
async fn a_contact_is_as_documented() {
    let book = Book::start().await;
    let body = json!({"phone": "+91 98765-43210", "name": "Ana", "email": "ana@example.com", "optIn": true});
    insta::assert_snapshot!(book.create(body.clone()).await.golden(), @r#"
    201
    {
      "data": {
        "id": "[id]",
        "phone": "919876543210"
      },
      "success": true
    }
    "#);
    let taken = book.create(body).await;
    insta::assert_snapshot!(taken.refusal(), @"
    409 CONFLICT: There is a contact with this phone already.
    phone: There is a contact with this phone already.
    ");
    insta::assert_snapshot!(book.get("").await.golden(), @r#"
    200
    {
      "data": [
        {
          "attributes": {},
          "createdAt": "[time]",
          "email": "ana@example.com",
          "id": "[id]",
          "name": "Ana",
          "optIn": true,
          "optInChangedAt": null,
          "optInChangedBy": null,
          "phone": "919876543210",
          "timeZone": null,
          "updatedAt": "[time]"
        }
      ],
      "pagination": {
        "limit": 20,
        "page": 1,
        "total": 1,
        "totalPages": 1
      },
      "success": true
    }
    "#);
}

#[tokio::test]
async fn a_contact_is_changed_and_removed() {
    let book = Book::start().await;
    let id = book.id("919876543210", "Ana").await;
    let path = format!("/{id}");
    let body = json!({"name": "Ana Rao", "timeZone": "asia/kolkata", "attributes": {"city": "Pune"}, "optIn": false});
    let changed = book.send("PATCH", &path, body).await.data();
    assert_eq!((&changed["name"], &changed["timeZone"]), (&json!("Ana Rao"), &json!("Asia/Kolkata")));
    assert_eq!((&changed["optIn"], &changed["optInChangedBy"]), (&json!(false), &json!("user")));
    let put = book.send("PUT", &path, json!({"timeZone": null})).await.data();
    assert_eq!(
        (&put["name"], &put["timeZone"], &put["attributes"]["city"]),
        (&json!("Ana Rao"), &json!(null), &json!("Pune"))
    );
    assert_eq!(book.get(&path).await.data(), put);
    for (verb, opt_in) in [("opt-in", true), ("opt-in", true), ("opt-out", false)] {
        let answer = book.front.act(&format!("{CONTACTS}{path}/{verb}"), &book.token).await;
        assert_eq!((answer.status.as_u16(), &answer.data()["optIn"]), (200, &json!(opt_in)), "{verb}");
    }
    assert_eq!(book.send("DELETE", &path, json!({})).await.data(), json!({"id": id}));
    assert_eq!(book.send("DELETE", &path, json!({})).await.status, 404);
    let ids = [book.id("919876543211", "Bo").await, book.id("919876543212", "Cy").await, id];
    assert_eq!(book.send("POST", "/bulk-delete", json!({"ids": ids})).await.data(), json!({"deleted": 2}));
    assert_eq!(book.get("").await.json()["pagination"]["total"], 0);
}

#[tokio::test]
async fn lists_are_searched_and_paged() {
    let book = Book::start().await;
    for (n, name) in ["Ana Rao", "Bo", "Ravi Anand"].iter().enumerate() {
        book.id(&format!("91987654321{n}"), name).await;
    }
    assert_eq!(book.names("").await, ["Ravi Anand", "Bo", "Ana Rao"]);
    assert_eq!(book.names("?search=an").await, ["Ana Rao", "Ravi Anand"]);
    assert_eq!(book.names("?search=%2B91%2098765%20432").await.len(), 3);
    assert_eq!(book.names("?search=%20&limit=1&page=2").await, ["Bo"]);
    assert_eq!(book.names("?search='%20OR%201=1").await, [""; 0]);
    for (query, field) in [
        ("?search=%00", "search"),
        (&*format!("?search={}", "x".repeat(101)), "search"),
        ("?page=-1", "page"),
        ("?page=5001&limit=100", "page"),
    ] {
        let answer = book.get(query).await;
        assert_eq!((answer.status.as_u16(), answer.json()["errors"][field].is_string()), (400, true), "{query}");
    }
}

#[tokio::test]
async fn bad_contacts_are_refused_field_by_field() {
    let book = Book::start().await;
    let attributes: serde_json::Map<_, _> = (0..31).map(|n| (format!("a{n}"), json!("x"))).collect();
    let body = json!({"phone": "12", "name": "x".repeat(201), "email": "a@b", "timeZone": "Nowhere", "optIn": false,
        "attributes": attributes});
    insta::assert_snapshot!(book.create(body).await.refusal(), @"
    400 VALIDATION_ERROR: Some fields are not valid.
    attributes: must be at most 30
    email: Valid email is required
    name: must have at most 200 characters
    phone: Valid phone number is required: it has too few digits for its country.
    timeZone: must be a time zone like Europe/Berlin, or a country like DE
    ");
    let body = json!({"phone": 91, "name": "a\u{0}", "optIn": "yes", "attributes": {"city": 5}, "tags": []});
    insta::assert_snapshot!(book.create(body).await.refusal(), @r#"
    400 VALIDATION_ERROR: Some fields are not valid.
    attributes.city: invalid type: integer `5`, expected a string
    name: must not contain the character U+0000
    optIn: invalid type: string "yes", expected a boolean
    phone: invalid type: integer `91`, expected a string
    tags: is not a known field
    "#);
    for (path, body) in [
        ("/bulk-delete", json!({"ids": []})),
        ("/bulk-delete", json!({"ids": ["42"]})),
        ("/bulk-delete", json!({"ids": vec![uuid::Uuid::nil(); 1_001]})),
        ("/validate", json!({"phones": []})),
        ("/validate", json!({"phones": "91"})),
        ("/groups", json!({"name": " "})),
        ("/groups", json!({"name": "x".repeat(101)})),
        ("/groups", json!({"name": "a\nb"})),
    ] {
        assert_eq!(book.send("POST", path, body.clone()).await.status, 400, "{path} {body}");
    }
    let validated = book.send("POST", "/validate", json!({"phones": ["+91 98765 43210", "4x"]})).await.data();
    assert_eq!((&validated[0]["phone"], &validated[0]["country"]), (&json!("919876543210"), &json!("IN")));
    assert_eq!((&validated[1]["valid"], validated[1]["problem"].is_string()), (&json!(false), true));
}

#[tokio::test]
async fn files_go_in_and_come_out() {
    let book = Book::start().await;
    let file =
        "phone,name,email,city,optin\n919876543210,\"Rao, Ana\",ana@example.com,Pune,\n919876543211,=1+1,,,no\nx,,,,\n";
    insta::assert_snapshot!(book.import_file(file).await.golden(), @r#"
    200
    {
      "data": {
        "accepted": 2,
        "badLines": [
          {
            "line": 4,
            "problem": "Valid phone number is required: the character at position 1 does not belong there."
          }
        ],
        "duplicates": 0,
        "rejected": 1
      },
      "success": true
    }
    "#);
    assert_eq!(book.import("text/csv", "phone\n919876543211\n").await.data()["duplicates"], 1);
    let export = book.get("/export").await;
    assert_eq!(export.header("content-disposition"), "attachment; filename=\"contacts.csv\"");
    let text = export.text();
    let lines: Vec<&str> = text.lines().map(|line| line.rsplit_once(',').unwrap().0).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    phone,name,email,optIn,timeZone,attributes
    919876543210,"Rao, Ana",ana@example.com,true,,"{""city"":""Pune""}"
    919876543211,"'=1+1",,false,,
    "#);
    assert_eq!(book.import("application/json", "{}").await.status, 415);
    assert!(book.import("text/csv", "name\nAna\n").await.json()["errors"]["file"].is_string());
    assert_eq!(book.import("multipart/form-data", "").await.status, 400);
    assert_eq!(book.import("multipart/form-data; boundary=XX", "--XX--\r\n").await.status, 400);
}

/// More steps than one, and none twice.
#[tokio::test]
async fn a_long_book_is_exported_whole() {
    let book = Book::start().await;
    let file = (0..2_500).fold("phone\n".to_owned(), |text, n| format!("{text}9198{n:08}\n"));
    assert_eq!(book.import("text/csv", &file).await.data()["accepted"], 2_500);
    let text = book.get("/export").await.text();
    let phones: std::collections::BTreeSet<&str> = text.lines().skip(1).map(|line| &line[..12]).collect();
    assert_eq!((text.lines().count(), phones.len()), (2_501, 2_500));
}

#[tokio::test]
async fn the_plan_bounds_creation_and_files() {
    let book = Book::start().await;
    book.front.sql("UPDATE plans SET max_contacts = 2 WHERE slug = 'starter'").await;
    let tenant = book.front.get("/api/v1/auth/me", &book.token).await.data()["tenantId"].as_str().unwrap().to_owned();
    let operator = book.front.register_as("operator", "ops@example.com").await;
    let subscription = json!({"plan": "starter", "status": "active"}).to_string();
    let path = format!("/api/v1/ops/tenants/{tenant}");
    book.front.send("PUT", &format!("{path}/subscription"), &operator, &subscription).await;
    book.id("919876543210", "Ana").await;
    let full = book.import("text/csv", "phone\n919876543210\n919876543211\n919876543212\n").await;
    assert_eq!(full.refusal(), "403 LIMIT_EXCEEDED: You have as many contacts as your plan allows.");
    assert_eq!(full.json()["reason"], "PLAN_CONTACTS");
    assert_eq!(book.create(json!({"phone": "919876543213"})).await.json()["reason"], "PLAN_CONTACTS");
    assert_eq!(book.get("").await.json()["pagination"]["total"], 2);
    assert_eq!(book.front.get(&path, &operator).await.data()["subscription"]["usage"]["contacts"], 2);
    let over = json!({"plan": "starter", "status": "expired"}).to_string();
    book.front.send("PUT", &format!("{path}/subscription"), &operator, &over).await;
    for answer in [
        book.create(json!({"phone": "919876543213"})).await,
        book.import("text/csv", "phone\n919876543213\n").await,
        book.send("POST", "/groups", json!({"name": "A"})).await,
    ] {
        assert_eq!(answer.refusal(), "403 SUBSCRIPTION_INACTIVE: The subscription is not active.");
    }
}

#[tokio::test]
async fn groups_hold_contacts() {
    let book = Book::start().await;
    let ids = [book.id("919876543210", "Ana").await, book.id("919876543211", "Bo").await];
    let made = book.send("POST", "/groups", json!({"name": "Regulars"})).await;
    insta::assert_snapshot!(made.golden(), @r#"
    201
    {
      "data": {
        "contactCount": 0,
        "createdAt": "[time]",
        "id": "[id]",
        "name": "Regulars"
      },
      "success": true
    }
    "#);
    let path = format!("/groups/{}", made.data()["id"].as_str().unwrap());
    let members = format!("{path}/contacts");
    let added = book.send("POST", &members, json!({"contactIds": ids})).await;
    assert_eq!(added.data(), json!({"added": 2, "duplicates": 0}));
    assert_eq!(book.names(&members).await, ["Bo", "Ana"]);
    assert_eq!(book.get(&path).await.data()["contactCount"], 2);
    assert_eq!(book.send("DELETE", &format!("{members}/{}", ids[0]), json!({})).await.data(), json!({"id": ids[0]}));
    assert_eq!(book.send("DELETE", &format!("{members}/{}", ids[0]), json!({})).await.status, 404);
    assert_eq!(book.send("DELETE", &format!("{members}/42"), json!({})).await.status, 400);
    let stranger = book.send("POST", &members, json!({"contactIds": [uuid::Uuid::now_v7()]})).await;
    assert_eq!(stranger.json()["errors"]["contactIds[0]"], "There is no such contact");
    assert_eq!(book.send("PATCH", &path, json!({"name": "Friends"})).await.data()["name"], "Friends");
    assert_eq!(book.send("PATCH", &path, json!({})).await.data()["contactCount"], 1);
    assert_eq!(book.get("/groups").await.json()["pagination"]["total"], 1);
    assert_eq!(book.send("DELETE", &path, json!({})).await.data(), json!({"id": made.data()["id"]}));
    assert_eq!(book.get(&path).await.status, 404);
    assert_eq!(book.get("").await.json()["pagination"]["total"], 2);
}

#[tokio::test]
async fn campaigns_are_for_groups_and_contacts() {
    let book = Book::start().await;
    let session_id = book.front.session(&book.token).await;
    let ids = [book.id("919876543210", "Ana").await, book.id("919876543211", "Bo").await];
    let group = book.send("POST", "/groups", json!({"name": "A"})).await.data()["id"].clone();
    let members = format!("/groups/{}/contacts", group.as_str().unwrap());
    book.send("POST", &members, json!({"contactIds": [ids[0]]})).await;
    let create = async |more: Value| {
        let mut body =
            json!({"name": "Sale", "sessionIds": [session_id], "message": {"type": "text", "text": "Hi {{name}}"}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        book.front.post("/api/v1/campaigns", &book.token, body).await
    };
    let made = create(json!({"groupIds": [group], "contactIds": ids, "skipDuplicatesHours": 24})).await.data();
    assert_eq!((&made["counters"]["total"], &made["respectOptIn"]), (&json!(2), &json!(true)));
    assert_eq!(made["skipDuplicatesHours"], 24);
    let made = create(json!({"respectOptIn": false})).await.data();
    assert_eq!((&made["respectOptIn"], &made["skipDuplicatesHours"]), (&json!(false), &json!(null)));
    let bad =
        json!({"groupIds": [uuid::Uuid::nil()], "contactIds": ["x"], "respectOptIn": 1, "skipDuplicatesHours": -1});
    insta::assert_snapshot!(create(bad).await.refusal(), @"
    400 VALIDATION_ERROR: Some fields are not valid.
    contactIds[0]: UUID parsing failed: invalid character: found `x` at 0
    respectOptIn: invalid type: integer `1`, expected a boolean
    skipDuplicatesHours: invalid value: integer `-1`, expected u32
    ");
    let bad = json!({"groupIds": [uuid::Uuid::nil()], "contactIds": [uuid::Uuid::nil()], "skipDuplicatesHours": 0});
    insta::assert_snapshot!(create(bad).await.refusal(), @"
    400 VALIDATION_ERROR: Some fields are not valid.
    contactIds[0]: There is no such contact
    groupIds[0]: There is no such group
    skipDuplicatesHours: must be 1 to 2160
    ");
}

#[tokio::test]
async fn a_contact_is_erased_on_request() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let made = front.post("/api/v1/contacts", &token, json!({"phone": "+919876543210", "name": "Ravi"})).await.data();
    let path = format!("/api/v1/contacts/{}", made["id"].as_str().unwrap());
    for query in ["erase=yes", "erase=", "erase=1", "erase=%00"] {
        let answer = front.send("DELETE", &format!("{path}?{query}"), &token, "").await;
        assert_eq!(
            answer.refusal(),
            "400 VALIDATION_ERROR: Some fields are not valid.\nerase: must be true or false",
            "{query}"
        );
    }
    let body = json!({"sessionId": session_id, "to": "919876543210", "text": "Hi Ravi"});
    let message = front.post("/api/v1/messages/send-text", &token, body).await.data();
    let answer = front.send("DELETE", &format!("{path}?erase=true"), &token, "").await;
    assert_eq!(answer.refusal(), "409 CONFLICT: Messages to this contact are on their way: ask again in a moment.");
    assert_eq!(front.get(&path, &token).await.status, 200);
    let message = front.get(&format!("/api/v1/messages/{}", message["id"].as_str().unwrap()), &token).await.data();
    assert_eq!(message["status"], "cancelled");
    front.sql("DELETE FROM outbox").await;
    let erased = front.send("DELETE", &format!("{path}?erase=true"), &token, "").await;
    assert_eq!((erased.status.as_u16(), erased.data()), (200, json!({"id": made["id"]})));
    assert_eq!(front.send("DELETE", &format!("{path}?erase=true"), &token, "").await.status, 404);
}
