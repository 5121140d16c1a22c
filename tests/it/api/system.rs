//! What the service says about itself.

use super::support::{Front, Mood};

#[tokio::test]
async fn health_needs_nothing() {
    let front = Front::start().await;
    front.store.close().await;
    let answer = front.get("/api/v1/health", "").await;
    insta::assert_snapshot!(answer.golden(), @r#"
    200
    {
      "data": {
        "status": "ok"
      },
      "success": true
    }
    "#);
    assert_eq!(front.get("/api/health", "").await.body, answer.body);
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let front = Front::start().await;
    insta::assert_snapshot!(front.get("/api/ready", "").await.golden(), @r#"
    200
    {
      "data": {
        "parts": [
          "database"
        ],
        "status": "ready"
      },
      "success": true
    }
    "#);
    *front.readiness.0.lock().unwrap() = Mood::Broken("does not answer");
    let answer = front.get("/api/ready", "").await;
    insta::assert_snapshot!(answer.golden(), @r#"
    503
    {
      "code": "SERVICE_UNAVAILABLE",
      "errors": {
        "database": "does not answer"
      },
      "message": "Some parts are not ready.",
      "success": false
    }
    "#);
    assert_eq!(answer.header("retry-after"), "5");
}

#[tokio::test]
async fn versions_are_listed() {
    let front = Front::start().await;
    insta::assert_snapshot!(front.get("/api/versions", "").await.golden(), @r#"
    200
    {
      "data": [
        {
          "build": "0.1.0",
          "path": "/api/v1",
          "status": "current",
          "version": "v1"
        }
      ],
      "success": true
    }
    "#);
}

#[tokio::test]
async fn document_and_its_pages_are_served() {
    let front = Front::start().await;
    let document = front.get("/api/openapi.json", "").await;
    assert_eq!(document.json(), serde_json::to_value(actiwapi_dispatcher::api::document()).unwrap());
    for prefix in ["/api", "/api/v1"] {
        let page = front.get(&format!("{prefix}/docs/"), "").await;
        assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html"));
        assert!(
            page.header("content-security-policy").contains("script-src 'self'")
                || page.header("content-security-policy").starts_with("default-src 'self'")
        );
        let initializer = front.get(&format!("{prefix}/docs/swagger-initializer.js"), "").await;
        assert!(initializer.text().contains(&format!("{prefix}/openapi.json")), "{}", initializer.text());
        assert_eq!(front.get(&format!("{prefix}/docs"), "").await.status, 303);
        let script = front.get(&format!("{prefix}/docs/swagger-ui-bundle.js"), "").await;
        assert!(100_000 < script.body.len());
    }
}
