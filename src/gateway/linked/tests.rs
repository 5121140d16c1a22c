//! What is made of answers that are none.

use super::*;
use crate::domain::id::SessionId;

fn devices(base_url: &str) -> LinkedDevices {
    let second = Duration::from_secs(1);
    let settings = LinkedSettings {
        base_url: base_url.to_owned(),
        access_token: "token".to_owned(),
        request_timeout: second,
        connect_timeout: second,
    };
    LinkedDevices::new(&settings).expect("an address")
}

#[test]
fn addresses_and_tokens_are_checked() {
    let second = Duration::from_secs(1);
    let new = |base_url: &str, token: &str| {
        let (base_url, access_token) = (base_url.to_owned(), token.to_owned());
        LinkedDevices::new(&LinkedSettings { base_url, access_token, request_timeout: second, connect_timeout: second })
    };
    assert!(matches!(new("ftp://x", "t"), Err(LinkedProblem::Address)));
    assert!(matches!(new("http://x", "a\nb"), Err(LinkedProblem::Token)));
}

#[test]
fn only_refusals_of_what_was_asked_are_told_on() {
    let told = |status: StatusCode, body: &str| refusal(status, body.as_bytes());
    let said = br#"{"error":"The device\u0000 is banned."}"#;
    let said = std::str::from_utf8(said).expect("text");
    assert_eq!(told(StatusCode::CONFLICT, said), Refusal::NotOffered("The device is banned.".into()));
    assert_eq!(told(StatusCode::NOT_FOUND, said), Refusal::Refused("The device is banned.".into()));
    assert_eq!(told(StatusCode::CONFLICT, "<html>"), Refusal::Refused(NOT_UNDERSTOOD.into()));
    assert_eq!(told(StatusCode::BAD_GATEWAY, said), Refusal::Refused(AWAY.into()));
    let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(10_000));
    let Refusal::NotOffered(sentence) = told(StatusCode::CONFLICT, &long) else { panic!("it is told on") };
    assert_eq!(sentence.len(), REFUSAL_CHARS_MAX);
}

#[tokio::test]
async fn nobody_there_is_said() {
    // A port that was just free: nobody listens.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let link = Link { session_id: SessionId::generate(), phone_number_id: None };
    let refused = devices(&format!("http://{address}")).connect(&link).await;
    assert!(matches!(&refused, Err(Refusal::Refused(why)) if why == AWAY), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn somebody_silent_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let link = Link { session_id: SessionId::generate(), phone_number_id: None };
    let refused = devices(&format!("http://{address}")).groups(&link).await;
    assert_eq!(refused, Err(Refusal::Refused(AWAY.into())));
    drop(listener);
}
