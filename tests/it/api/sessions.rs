//! Sessions under `/whatsapp`, in their documented form.

use std::collections::BTreeSet;

use actiwapi_dispatcher::domain::pacing::{PacingProfile, PacingSettings};
use serde_json::json;

use super::doubles::UNKNOWN_NUMBER_ID;
use super::support::Front;

#[tokio::test]
async fn sessions_are_made_listed_and_shown() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let none = front.get("/api/v1/whatsapp", &token).await.json();
    assert_eq!(none["data"], json!([]));
    assert_eq!(none["pagination"], json!({"page": 1, "limit": 20, "total": 0, "totalPages": 0}));
    let made = front.post("/api/v1/whatsapp", &token, json!({"name": "Shop"})).await;
    insta::assert_snapshot!(made.golden(), @r#"
    201
    {
      "data": {
        "id": "[id]",
        "name": "Shop",
        "phoneNumber": null,
        "status": "disconnected"
      },
      "success": true
    }
    "#);
    insta::assert_snapshot!(front.get("/api/v1/whatsapp", &token).await.golden(), @r#"
    200
    {
      "data": [
        {
          "connected": false,
          "id": "[id]",
          "name": "Shop",
          "phoneNumber": null,
          "status": "disconnected"
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
    let path = format!("/api/v1/whatsapp/{}", made.data()["id"].as_str().unwrap());
    insta::assert_snapshot!(front.get(&path, &token).await.golden(), @r#"
    200
    {
      "data": {
        "burst": 1,
        "connected": false,
        "createdAt": "[time]",
        "id": "[id]",
        "name": "Shop",
        "phoneNumber": null,
        "phoneNumberId": null,
        "ratePerMinute": 20.0,
        "status": "disconnected"
      },
      "success": true
    }
    "#);
    let status = front.get(&format!("{path}/status"), &token).await.data();
    let id = &made.data()["id"];
    assert_eq!(
        status,
        json!({"id": id, "status": "disconnected", "reason": null, "connected": false, "phoneNumber": null})
    );
}

#[tokio::test]
async fn connecting_is_idempotent() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let made = front.post("/api/whatsapp", &token, json!({"name": "Shop", "phoneNumberId": "106540352242922"})).await;
    let path = format!("/api/v1/whatsapp/{}", made.data()["id"].as_str().unwrap());
    let connected = front.act(&format!("{path}/connect"), &token).await;
    insta::assert_snapshot!(connected.golden(), @r#"
    200
    {
      "data": {
        "burst": 1,
        "connected": true,
        "createdAt": "[time]",
        "id": "[id]",
        "name": "Shop",
        "phoneNumber": null,
        "phoneNumberId": "106540352242922",
        "ratePerMinute": 20.0,
        "status": "connected"
      },
      "success": true
    }
    "#);
    assert_eq!(front.act(&format!("{path}/connect"), &token).await.body, connected.body);
    assert_eq!(front.get(&format!("{path}/status"), &token).await.data()["connected"], true);
}

#[tokio::test]
async fn what_the_provider_refuses_is_said() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let made = front.post("/api/whatsapp", &token, json!({"name": "Shop", "phoneNumberId": UNKNOWN_NUMBER_ID})).await;
    let path = format!("/api/v1/whatsapp/{}/connect", made.data()["id"].as_str().unwrap());
    insta::assert_snapshot!(front.act(&path, &token).await.refusal(), @"502 WHATSAPP_UNAVAILABLE: The provider does not know this number.");
}

#[tokio::test]
async fn name_and_pacing_change() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let path = format!("/api/v1/whatsapp/{}", front.session(&token).await);
    let change = async |body: serde_json::Value| front.send("PATCH", &path, &token, &body.to_string()).await;
    let changed = change(json!({"name": "Depot", "ratePerMinute": 7.5, "burst": 3})).await.data();
    assert_eq!(
        (&changed["name"], &changed["ratePerMinute"], &changed["burst"]),
        (&json!("Depot"), &json!(7.5), &json!(3))
    );
    let changed = change(json!({"burst": 2})).await.data();
    assert_eq!(
        (&changed["name"], &changed["ratePerMinute"], &changed["burst"]),
        (&json!("Depot"), &json!(7.5), &json!(2))
    );
    assert_eq!(front.get(&path, &token).await.data(), changed);
    let put = front.send("PUT", &path, &token, r#"{"name":"Shop"}"#).await;
    assert_eq!(put.data()["name"], "Shop");
    insta::assert_snapshot!(change(json!({"name": "", "ratePerMinute": 0, "burst": 65})).await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    burst: must be between 1 and 64
    name: is required
    ratePerMinute: must be between 0.0007 (one a day) and 60000 (1,000 a second)
    ");
    insta::assert_snapshot!(change(json!({"status": "connected", "burst": "many"})).await.refusal(), @r#"
    400 VALIDATION_ERROR: Some fields are not valid.
    burst: invalid type: string "many", expected u32
    status: is not a known field
    "#);
}

#[tokio::test]
async fn settings_are_shown_and_changed() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    let path = format!("/api/v1/whatsapp/{session}/settings");
    let change = async |body: serde_json::Value| front.send("PATCH", &path, &token, &body.to_string()).await;
    insta::assert_snapshot!(front.get(&path, &token).await.golden(), @r#"
    200
    {
      "data": {
        "effective": {
          "burst": 1,
          "ratePerMinute": 20.0
        },
        "settings": {},
        "version": 1
      },
      "success": true
    }
    "#);
    insta::assert_snapshot!(change(json!({"profile": "standard", "hourlyCap": 40, "cold": {"dailyCap": 50}})).await.golden(), @r#"
    200
    {
      "data": {
        "effective": {
          "burst": 1,
          "cold": {
            "breaks": {
              "everyMax": 25,
              "everyMin": 20,
              "longestSeconds": 180,
              "shortestSeconds": 60
            },
            "dailyCap": 50,
            "jitter": 1.5,
            "ratePerMinute": 7.5,
            "rewarmAfterHours": 72
          },
          "hourlyCap": 40,
          "hours": [
            {
              "days": [
                "mon",
                "tue",
                "wed",
                "thu",
                "fri",
                "sat",
                "sun"
              ],
              "from": "08:00",
              "to": "20:00"
            }
          ],
          "jitter": 2.0,
          "profile": "standard",
          "ratePerMinute": 60.0,
          "slowStartSeconds": 60
        },
        "settings": {
          "cold": {
            "dailyCap": 50
          },
          "hourlyCap": 40,
          "profile": "standard"
        },
        "version": 2
      },
      "success": true
    }
    "#);
}

#[tokio::test]
async fn settings_are_merged_and_are_one_truth() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    let path = format!("/api/v1/whatsapp/{session}/settings");
    let change = async |body: serde_json::Value| front.send("PATCH", &path, &token, &body.to_string()).await;
    change(json!({"profile": "standard", "hourlyCap": 40, "cold": {"dailyCap": 50}})).await.data();
    let changed = change(json!({"profile": null, "ratePerMinute": 6, "cold": {"dailyCap": null}})).await.data();
    assert_eq!(changed["settings"], json!({"ratePerMinute": 6.0, "hourlyCap": 40}));
    let put = front.send("PUT", &path, &token, r#"{"hourlyCap":40}"#).await;
    assert_eq!(put.data()["settings"], changed["settings"], "as PATCH, by another name");
    assert_eq!(changed["version"], 3);
    assert_eq!(front.get(&path, &token).await.data(), changed);
    let detail = front.get(&format!("/api/v1/whatsapp/{session}"), &token).await.data();
    assert_eq!(detail["ratePerMinute"], 6.0, "one truth");
}

#[tokio::test]
async fn settings_are_refused_with_every_problem() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    let path = format!("/api/v1/whatsapp/{session}/settings");
    let change = async |body: serde_json::Value| front.send("PATCH", &path, &token, &body.to_string()).await;
    insta::assert_snapshot!(change(json!({
        "profile": "bold", "ratePerMinute": 0, "burst": "many", "moon": 1, "cold": {"tide": 1},
        "hours": [{"days": ["mon"], "from": "22:00", "to": "06:00"}],
    })).await.refusal(), @"
    400 VALIDATION_ERROR: Some fields are not valid.
    moon: is not a known field
    ");
    insta::assert_snapshot!(change(json!({
        "profile": "bold", "ratePerMinute": 0, "burst": "many", "cold": {"tide": 1},
        "hours": [{"days": ["mon"], "from": "22:00", "to": "06:00"}],
    })).await.refusal(), @r#"
    400 VALIDATION_ERROR: Some fields are not valid.
    burst: invalid type: string "many", expected u32
    cold.tide: unknown field `tide`, expected one of `ratePerMinute`, `jitter`, `breaks`, `dailyCap`, `warmUp`, `rewarmAfterHours`
    hours: window 1 does not end after it begins: for hours across midnight give two windows, one to 24:00 and one from 00:00 of the next day
    profile: unknown variant `bold`, expected one of `new`, `standard`, `mature`, `cloud`
    ratePerMinute: must be between 0.0007 (one a day) and 60000 (1,000 a second)
    "#);
    let other = front.register("bob@example.com").await;
    assert!(front.get(&path, &other).await.refusal().starts_with("404"));
    assert!(front.send("PATCH", &path, &other, "{}").await.refusal().starts_with("404"));
}

/// The document's form is written by hand; it must know the fields that are read.
#[test]
fn the_document_knows_every_setting() {
    let document: serde_json::Value = serde_json::from_str(include_str!("../../golden/openapi.json")).unwrap();
    let documented = |form: &str| {
        let properties = &document["components"]["schemas"][form]["properties"];
        properties.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(documented("PacingSettingsForm"), PacingSettings::FIELDS.map(str::to_owned).into());
    let profiles = PacingProfile::ALL.map(|profile| serde_json::to_value(profile.settings()).unwrap());
    let cold = profiles.iter().filter_map(|settings| settings["cold"].as_object());
    assert_eq!(documented("ColdForm"), cold.flat_map(|cold| cold.keys().cloned()).collect());
}

#[tokio::test]
async fn lists_turn_their_pages() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    for at in 0..5 {
        front.post("/api/whatsapp", &token, json!({"name": format!("Shop {at}")})).await;
    }
    let names = async |query: &str| {
        let answer = front.get(&format!("/api/v1/whatsapp?{query}"), &token).await.json();
        let names: Vec<_> =
            answer["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect();
        format!("{} {}", names.join(", "), answer["pagination"])
    };
    insta::assert_snapshot!(names("limit=2").await, @r#"Shop 4, Shop 3 {"limit":2,"page":1,"total":5,"totalPages":3}"#);
    insta::assert_snapshot!(names("limit=2&page=3").await, @r#"Shop 0 {"limit":2,"page":3,"total":5,"totalPages":3}"#);
    insta::assert_snapshot!(names("page=2").await, @r#" {"limit":20,"page":2,"total":5,"totalPages":1}"#);
    let wrong = front.get("/api/v1/whatsapp?page=0&limit=101", &token).await;
    insta::assert_snapshot!(wrong.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    limit: must be a whole number from 1 to 100
    page: must be a whole number from 1
    ");
    let far = front.get("/api/v1/whatsapp?page=4000000&limit=100", &token).await;
    insta::assert_snapshot!(far.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    page: lies past the first 100000 rows
    ");
}

#[tokio::test]
async fn connections_are_closed_unlinked_and_made_anew() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let path = format!("/api/v1/whatsapp/{}", front.session(&token).await);
    for (verb, status) in [
        ("disconnect", "disconnected"),
        ("disconnect", "disconnected"),
        ("restart", "connected"),
        ("logout", "logged_out"),
        ("logout", "logged_out"),
    ] {
        let answer = front.act(&format!("{path}/{verb}"), &token).await;
        assert_eq!((answer.status.as_u16(), answer.data()["status"].clone()), (200, json!(status)), "{verb}");
    }
    let events = front.get(&format!("{path}/events?limit=2"), &token).await.json();
    assert_eq!(events["pagination"]["total"], 4);
    let shown: Vec<_> = events["data"].as_array().unwrap().iter().map(|row| (&row["event"], &row["from"])).collect();
    let expected =
        [(json!("session.logged_out"), json!("connected")), (json!("session.connected"), json!("disconnected"))];
    assert_eq!(shown, expected.iter().map(|row| (&row.0, &row.1)).collect::<Vec<_>>());
    let thief = front.register("thief@example.com").await;
    for verb in ["disconnect", "logout", "restart"] {
        assert_eq!(front.act(&format!("{path}/{verb}"), &thief).await.status, 404, "{verb}");
    }
    assert_eq!(front.get(&format!("{path}/events"), &thief).await.status, 404);
    let viewer = front.register_as("viewer", "viewer@example.com").await;
    assert_eq!(front.act(&format!("{path}/logout"), &viewer).await.status, 403);
}
