//! The surface as a whole: the document as a snapshot, its form, and what every operation has in common.

use std::collections::BTreeSet;

use actiwapi_dispatcher::api::audit::{NOT_WRITTEN, OWN_DEEDS};
use actiwapi_dispatcher::domain::user::Role;
use axum::body::Body;
use axum::http::header;
use serde_json::{Map, Value};

use super::support::{Front, request};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/openapi.json");

/// Operations that anybody may call. May only grow with a reason beside it.
const PUBLIC: [&str; 17] = [
    // How credentials are come by.
    "register",
    "login",
    "refresh",
    // The refresh token, or the token of a mail, is the credential.
    "logout",
    "reset_password",
    "verify_email",
    "accept_invitation",
    // Whoever can not log in asks for a mail.
    "forgot_password",
    // The provider knows the secret instead.
    "verify_callback_address",
    "take_receipts",
    // So does the provider of payments.
    "take_payment_event",
    // What it costs is for everybody to see.
    "list_offered_plans",
    // Probes and descriptions.
    "list_webhook_events",
    "get_health",
    "get_ready",
    "list_versions",
    "get_openapi",
];

/// Operations that make something and take no `Idempotency-Key`. May only grow with a reason beside it.
const NOT_ONCE: [&str; 2] = [
    // It makes nothing: mails asked for one after the other are one mail while it waits, and are spaced.
    "resend_verification",
    // Its recipients are unique anyway, and a file of 256 MiB is streamed.
    "add_recipients",
];

/// Operations on the caller's own account, which those who only look may change too.
const OF_ACCOUNT: [&str; 4] = ["update_me", "change_password", "logout_all", "resend_verification"];

/// Public operations that tell who it was that called them, so that they are written down.
const TOLD: [&str; 4] = ["register", "login", "logout", "verify_email"];

/// Operations of those who run the platform; nobody else may call them.
const OPERATORS: [&str; 29] = [
    "list_partitions",
    "list_lanes",
    "get_operated_lane",
    "suspend_lane",
    "resume_lane",
    "suspend_session",
    "resume_session",
    "suspend_tenant",
    "resume_tenant",
    "stop_everything",
    "start_everything",
    "list_suspensions",
    "list_audit",
    "list_plans",
    "update_plan",
    "list_coupons",
    "create_coupon",
    "update_coupon",
    "list_all_addons",
    "create_addon",
    "update_addon",
    "list_orders",
    "confirm_order",
    "get_tenant",
    "set_subscription",
    "get_ledger",
    "drain_node",
    "list_dead_letters",
    "replay_dead_letter",
];

/// One operation of the document.
struct Operation {
    method: String,
    path: String,
    body: Value,
}

impl Operation {
    fn id(&self) -> &str {
        self.body["operationId"].as_str().unwrap_or_default()
    }

    /// Returns the id of what it does, which `PUT` does as `PATCH`.
    fn deed(&self) -> &str {
        self.id().trim_end_matches("_by_put")
    }

    /// Tells whether programs call it, with a key.
    fn is_external(&self) -> bool {
        self.body["tags"][0] == "external"
    }
}

fn document() -> Value {
    serde_json::to_value(actiwapi_dispatcher::api::document()).unwrap()
}

fn operations() -> Vec<Operation> {
    let document = document();
    let paths: &Map<String, Value> = document["paths"].as_object().unwrap();
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, body) in item.as_object().unwrap() {
            operations.push(Operation { method: method.to_uppercase(), path: path.clone(), body: body.clone() });
        }
    }
    assert!(20 < operations.len());
    operations
}

/// The document changes only on purpose: run with `UPDATE_GOLDEN=1` to accept, and read the difference.
#[test]
fn document_is_the_golden_one() {
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &text).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    let differs = text.lines().zip(golden.lines()).position(|(ours, theirs)| ours != theirs);
    assert!(text == golden, "tests/golden/openapi.json differs from line {:?} on", differs.map(|at| at + 1));
}

#[test]
fn every_operation_has_the_form() {
    let mut ids = BTreeSet::new();
    let mut offences = Vec::new();
    for operation in operations() {
        let mut check = |holds: bool, what: &str| {
            if !holds {
                offences.push(format!("{} {}: {what}", operation.method, operation.path));
            }
        };
        let body = &operation.body;
        check(!operation.id().is_empty() && ids.insert(operation.id().to_owned()), "needs an id of its own");
        check(body["tags"].as_array().is_some_and(|tags| tags.len() == 1), "needs exactly one tag");
        check(body["summary"].as_str().is_some_and(|text| text.ends_with('.')), "needs a summary with a full stop");
        let statuses: Vec<&String> = body["responses"].as_object().unwrap().keys().collect();
        let has = |status: &str| statuses.iter().any(|known| *known == status);
        check(["400", "429", "500", "503"].into_iter().all(has), "needs the failure list");
        let described = |answer: &Value| answer["description"].as_str().is_some_and(|text| !text.is_empty());
        check(body["responses"].as_object().unwrap().values().all(described), "needs a description of every answer");
        let public = PUBLIC.contains(&operation.id());
        check(body["security"].is_array() != public, "needs `security`, or a place in PUBLIC");
        check(public || (has("401") && has("403")), "needs the failures of guarded operations");
        check(!operation.path.contains('{') || has("404"), "needs 404");
        let scheme = if operation.is_external() { "apiKey" } else { "bearer" };
        check(public || body["security"][0][scheme].is_array(), "needs the credentials of its mount");
        check(operation.is_external() == operation.path.contains("/external/"), "is tagged as external where it is");
        let takes_key = || serde_json::to_string(&body["parameters"]).unwrap().contains("Idempotency-Key");
        let sends = ["send_", "schedule_message"].iter().any(|word| operation.id().contains(word));
        let makes = operation.method == "POST" && (has("201") || sends);
        check(!makes || public || NOT_ONCE.contains(&operation.id()) || takes_key(), "needs an Idempotency-Key");
        check(!body["requestBody"].is_object() || (has("413") || operation.id() == "take_receipts"), "needs 413");
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
    assert!(PUBLIC.iter().all(|id| ids.contains(*id)), "PUBLIC names what is not there");
}

#[test]
fn no_reference_dangles() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(10 < found.len());
    let dangling: Vec<_> = found.iter().filter(|at| document.pointer(at.trim_start_matches('#')).is_none()).collect();
    assert!(dangling.is_empty(), "{dangling:?}");
}

/// Ids nobody has, in place of the path's parameters.
fn path_of(operation: &Operation, id: &str) -> String {
    operation
        .path
        .replace("{id}", id)
        .replace("{deliveryId}", id)
        .replace("{contactId}", id)
        .replace("{recipientId}", id)
        .replace("{userId}", id)
}

#[tokio::test]
async fn every_operation_asks_for_credentials() {
    let front = Front::start().await;
    for operation in operations().iter().filter(|operation| !PUBLIC.contains(&operation.deed())) {
        let path = path_of(operation, &uuid::Uuid::now_v7().to_string());
        let scheme = if operation.is_external() { "ApiKey" } else { "Bearer" };
        for path in [path.clone(), path.replace("/api/v1/", "/api/")] {
            for token in ["", "x", "eyJhbGciOiJub25lIn0.e30."] {
                let request = request(&operation.method, &path, token).header(header::CONTENT_TYPE, "application/json");
                let answer = front.call(request.body(Body::from("{")).unwrap()).await;
                assert_eq!(answer.status, 401, "{} {path} {token:?}", operation.method);
                assert_eq!(answer.json()["code"], "UNAUTHORIZED");
                assert_eq!(answer.header("www-authenticate"), scheme);
            }
        }
    }
}

/// Every role calls every operation: what the document says of it, from the one table, is what the front does.
#[tokio::test]
async fn every_role_may_do_what_the_document_says() {
    let front = Front::start().await;
    let mut operations = operations();
    operations.retain(|operation| !PUBLIC.contains(&operation.deed()) && !operation.is_external());
    // It ends the log-in of whoever calls it.
    operations.sort_by_key(|operation| operation.deed() == "logout_all");
    for role in Role::ALL {
        let token = front.register_as(role.as_str(), &format!("{}@example.com", role.as_str())).await;
        for operation in &operations {
            let roles: Vec<&str> =
                operation.body["x-roles"].as_array().unwrap().iter().flat_map(Value::as_str).collect();
            let path = path_of(operation, &uuid::Uuid::now_v7().to_string());
            let answer = front.send(&operation.method, &path, &token, "{}").await;
            let may = answer.status != 403;
            let what = format!("{} {path} as {}: {}", operation.method, role.as_str(), answer.text());
            assert_eq!(may, roles.contains(&role.as_str()), "{what}");
            let reads = operation.method == "GET";
            assert!(may || answer.json()["code"] == "FORBIDDEN", "{what}");
            assert!(role != Role::Viewer || !may || reads || OF_ACCOUNT.contains(&operation.deed()), "{what}");
        }
    }
    for operation in &operations {
        let is_of_operators = operation.body["x-roles"] == serde_json::json!(["operator"]);
        assert_eq!(is_of_operators, OPERATORS.contains(&operation.deed()), "{}", operation.id());
    }
}

/// Whatever changes something is written down, or listed with a reason.
#[test]
fn every_change_is_written_down() {
    let operations = operations();
    for operation in operations.iter().filter(|operation| operation.method != "GET") {
        let deed = operation.deed().trim_start_matches("external_");
        let is_listed = OWN_DEEDS.contains(&deed) || NOT_WRITTEN.contains(&deed);
        let is_told = !PUBLIC.contains(&operation.deed()) || TOLD.contains(&deed);
        assert!(is_listed || is_told, "{deed}: nobody knows who called it, so it is not written down");
        assert!(!(OWN_DEEDS.contains(&deed) && NOT_WRITTEN.contains(&deed)), "{deed} is listed twice");
    }
    for listed in OWN_DEEDS.iter().chain(&NOT_WRITTEN).chain(&TOLD) {
        let known = operations.iter().any(|operation| operation.id() == *listed && operation.method != "GET");
        // Those of a capability that is not mounted yet would be a gap later.
        assert!(known, "{listed} is no operation that changes something");
    }
}

/// What belongs to others is not there; it is never said to be forbidden.
#[tokio::test]
async fn ids_of_others_are_not_there() {
    let front = Front::start().await;
    let (ours, theirs) = (front.register("a@example.com").await, front.register("b@example.com").await);
    let session_id = front.session(&ours).await;
    let campaign_id = front.draft(&ours, &session_id).await;
    let body = serde_json::json!({"sessionId": session_id, "to": "919876543210", "text": "Hi"});
    let message_id =
        front.post("/api/v1/messages/send-text", &ours, body).await.data()["id"].as_str().unwrap().to_owned();
    let key_id = front.key(&ours, serde_json::json!({"name": "Key", "scopes": ["account:read"]})).await.0;
    let their_key = front.mighty_key(&theirs).await;
    let webhook_id = front.webhook(&ours).await;
    let made = async |path: &str, body: serde_json::Value| {
        front.post(path, &ours, body).await.data()["id"].as_str().unwrap().to_owned()
    };
    let contact_id = made("/api/v1/contacts", serde_json::json!({"phone": "919876543210"})).await;
    let group_id = made("/api/v1/contacts/groups", serde_json::json!({"name": "A"})).await;
    let kept = serde_json::json!({"name": "A", "message": {"type": "text", "text": "Hi"}});
    let template_id = made("/api/v1/templates", kept).await;
    let media_id = super::media::upload(&front, &ours, "a.png", &super::media::png(100)).await.data()["id"].clone();
    let media_id = media_id.as_str().unwrap().to_owned();
    let invitation_id =
        made("/api/v1/team/invite", serde_json::json!({"email": "c@example.com", "role": "agent"})).await;
    let user_id = front.get("/api/v1/auth/me", &ours).await.data()["id"].as_str().unwrap().to_owned();
    let (invoice_id, addon_id) = super::billing::invoice_and_addon(&front, &ours).await;
    let mut n_checked = 0;
    let of_tenants = |operation: &&Operation| !OPERATORS.contains(&operation.deed()) && operation.path.contains('{');
    for operation in operations().iter().filter(of_tenants) {
        let resource = operation.path.trim_start_matches("/api/v1/").trim_start_matches("external/");
        let id = match resource.split('/').next().unwrap() {
            "whatsapp" | "sessions" => &session_id,
            "campaigns" => &campaign_id,
            "messages" => &message_id,
            "api-keys" => &key_id,
            "webhooks" => &webhook_id,
            "contacts" if resource.starts_with("contacts/groups") => &group_id,
            "contacts" => &contact_id,
            "templates" => &template_id,
            "media" => &media_id,
            "team" if resource.starts_with("team/invitations") => &invitation_id,
            "team" => &user_id,
            "billing" if resource.contains("addons") => &addon_id,
            "billing" => &invoice_id,
            resource => panic!("no id for {resource}"),
        };
        let call = async |path: &str, body: &str| match operation.is_external() {
            true => front.with_key(&operation.method, path, &their_key, body).await,
            false => front.send(&operation.method, path, &theirs, body).await,
        };
        let body = match operation.id() {
            "add_recipients" => r#"{"recipients":[{"phone":"919876543210"}]}"#,
            "add_group_contacts" => r#"{"contactIds":["00000000-0000-0000-0000-000000000000"]}"#,
            "schedule_campaign" => r#"{"scheduledAt":"2999-01-01T00:00:00Z"}"#,
            "resolve_unknown" => r#"{"to":"sent"}"#,
            "make_pairing_code" => r#"{"phoneNumber":"919876543210"}"#,
            "check_number" => r#"{"phone":"919876543210"}"#,
            "mark_read" => r#"{"messageId":"wamid.1"}"#,
            "update_member" | "update_member_by_put" => r#"{"role":"viewer"}"#,
            "make_owner" => r#"{"currentPassword":"correct horse battery"}"#,
            _ => "{}",
        };
        for id in [id.as_str(), &uuid::Uuid::now_v7().to_string(), "00000000-0000-0000-0000-000000000000"] {
            let path = path_of(operation, id);
            let answer = call(&path, body).await;
            assert_eq!(answer.status, 404, "{} {path}: {}", operation.method, answer.text());
            assert_eq!(answer.json()["code"], "NOT_FOUND");
            n_checked += 1;
        }
        let answer = call(&path_of(operation, "42"), body).await;
        assert_eq!(answer.refusal(), "400 VALIDATION_ERROR: Some fields are not valid.\nid: must be a UUID");
    }
    assert!(30 < n_checked);
}
