//! Templates over HTTP, and campaigns that are made of them.

use serde_json::json;

use super::media::fields_of;
use super::support::Front;

#[tokio::test]
async fn a_template_is_kept_changed_shown_and_removed() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let text = json!({"type": "text", "text": "Hi {{name}}, {{city|there}}: {{code}}"});
    let made = front.post("/api/v1/templates", &token, json!({"name": "Ready", "message": text})).await;
    insta::assert_snapshot!(made.golden(), @r#"
    201
    {
      "data": {
        "createdAt": "[time]",
        "id": "[id]",
        "message": {
          "text": "Hi {{name}}, {{city|there}}: {{code}}",
          "type": "text"
        },
        "name": "Ready",
        "updatedAt": "[time]",
        "variables": [
          "city",
          "code",
          "name"
        ]
      },
      "success": true
    }
    "#);
    let id = made.data()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/templates/{id}");
    let shown = front.post(&format!("{path}/preview"), &token, json!({"variables": {"name": "Ana"}})).await;
    insta::assert_snapshot!(shown.golden(), @r#"
    200
    {
      "data": {
        "message": {
          "text": "Hi Ana, there: {{code}}",
          "type": "text"
        },
        "missing": [
          "code"
        ]
      },
      "success": true
    }
    "#);
    assert_eq!(front.act(&format!("{path}/preview"), &token).await.data()["missing"], json!(["name", "code"]));
    let double = front.post("/api/v1/templates", &token, json!({"name": "Ready", "message": text})).await;
    assert_eq!(
        double.refusal(),
        "409 CONFLICT: There is a template of this name already.\nname: There is a template of this name already."
    );
    let body = json!({"name": "Done", "message": {"type": "template", "name": "order", "language": "en"}});
    let changed = front.send("PATCH", &path, &token, &body.to_string()).await.data();
    assert_eq!(changed["message"], json!({"type": "template", "name": "order", "language": "en", "parameters": []}));
    assert_eq!(front.get("/api/templates", &token).await.data()[0], changed);
    let bad = json!({"name": "", "message": {"type": "image", "mediaUrl": "http://a.example"}});
    assert_eq!(fields_of(&front.send("PATCH", &path, &token, &bad.to_string()).await), ["message", "name"]);
    let unknown = json!({"name": "A", "message": {"type": "image", "colour": "red"}});
    let unknown = front.post("/api/v1/templates", &token, unknown).await.refusal();
    assert!(unknown.contains("unknown field `colour`"), "{unknown}");
    assert_eq!(front.send("DELETE", &path, &token, "").await.data(), json!({"id": id}));
    assert_eq!(front.get(&path, &token).await.status, 404);
}

#[tokio::test]
async fn campaigns_copy_templates() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let text = json!({"type": "text", "text": "Hi {{name}}"});
    let made = front.post("/api/v1/templates", &token, json!({"name": "Ready", "message": text})).await;
    let template_id = made.data()["id"].clone();
    let create = async |message| {
        let body = json!({"name": "Sale", "sessionIds": [session_id], "message": message});
        front.post("/api/v1/campaigns", &token, body).await
    };
    let campaign = create(json!({"type": "template", "templateId": template_id})).await.data();
    assert_eq!(campaign["message"], text);
    let path = format!("/api/v1/templates/{}", template_id.as_str().unwrap());
    let other = json!({"message": {"type": "text", "text": "Bye"}});
    assert_eq!(front.send("PATCH", &path, &token, &other.to_string()).await.status, 200);
    let campaign_path = format!("/api/v1/campaigns/{}", campaign["id"].as_str().unwrap());
    assert_eq!(front.get(&campaign_path, &token).await.data()["message"], text, "as it was");
    let missing = create(json!({"type": "template", "templateId": session_id})).await;
    assert_eq!(fields_of(&missing), ["message.templateId"]);
    let both = json!({"type": "template", "templateId": template_id, "name": "x", "parameters": ["y"]});
    assert_eq!(fields_of(&create(both).await), ["message.name", "message.parameters"]);
    let neither = create(json!({"type": "template"})).await;
    assert_eq!(fields_of(&neither), ["message.language", "message.name"]);

    let image = json!({"type": "image", "mediaUrl": "https://a.example/x.png", "text": "For {{name}}"});
    assert_eq!(create(image.clone()).await.data()["message"], image);
    let media = super::media::upload(&front, &token, "a.png", &super::media::png(100)).await.data()["id"].clone();
    let image = json!({"type": "image", "mediaId": media});
    assert_eq!(create(image.clone()).await.data()["message"], image);
    let document = create(json!({"type": "document", "mediaId": media})).await;
    assert_eq!(fields_of(&document), ["message.mediaId"]);
    let gone = front.send("DELETE", &format!("/api/v1/media/{}", media.as_str().unwrap()), &token, "").await;
    assert_eq!(gone.refusal(), "409 CONFLICT: A campaign that is not over needs this media.");
}
