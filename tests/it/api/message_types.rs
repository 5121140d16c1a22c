//! Messages of every type through one operation.

use serde_json::json;

use super::support::Front;

#[tokio::test]
async fn a_message_of_any_type_is_sent_and_shown_as_it_was_written() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let send = async |message: &serde_json::Value| {
        let body = json!({"sessionId": session_id, "to": "919876543210", "message": message});
        front.post("/api/messages/send", &token, body).await
    };
    let place = json!({"type": "location", "latitude": 1.0, "longitude": 2.0, "name": "Shop"});
    for message in [
        json!({"type": "text", "text": "Hello {{name}}"}),
        json!({"type": "sticker", "mediaUrl": "https://a.example/x.webp"}),
        json!({"type": "reaction", "messageId": "wamid.1", "emoji": ""}),
        json!({"type": "buttons", "text": "Come?", "footer": "Shop", "buttons": [{"id": "y", "title": "Yes {now}"}]}),
        json!({"type": "list", "header": {"type": "text", "text": "Menu"}, "text": "Choose", "button": "Open",
            "sections": [{"title": "Hot", "rows": [{"id": "1", "title": "Tea", "description": "With milk"}]}]}),
        json!({"type": "link", "text": "Read", "button": "Open", "url": "https://a.example/{x}"}),
        json!({"type": "template", "name": "n", "language": "en", "parameters": [], "namedParameters": {"a": "{{b}}"},
            "header": place, "buttons": [{"index": 0, "type": "copy_code", "value": "SALE"}]}),
    ] {
        let sent = send(&message).await;
        assert_eq!(
            (sent.status.as_u16(), &sent.data()["status"]),
            (200, &json!("queued")),
            "{message}: {}",
            sent.text()
        );
    }
    let refused = send(&json!({"type": "buttons", "text": "Come?", "buttons": []})).await.refusal();
    insta::assert_snapshot!(refused, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    message.buttons: There must be 1 to 3 buttons.
    ");
    let file = json!({"type": "image", "mediaId": "0198c0de-0000-7000-8000-0000000000aa"});
    let above = json!({"type": "link", "header": file, "text": "Read", "button": "Open", "url": "https://a.example"});
    for message in [file, above] {
        assert!(send(&message).await.refusal().contains("message.mediaId: There is no such media"), "{message}");
    }
    let kept = json!({"name": "Greeting", "message": {"type": "text", "text": "Hello"}});
    let id = front.post("/api/v1/templates", &token, kept).await.data()["id"].clone();
    assert_eq!(send(&json!({"type": "template", "templateId": id})).await.status, 200);
}
