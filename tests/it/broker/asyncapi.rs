//! The AsyncAPI document and the code say the same of what is on the topics.

use actiwapi_dispatcher::broker::ASYNCAPI_DOCUMENT;
use actiwapi_dispatcher::domain::campaign::OnUnknown;
use actiwapi_dispatcher::domain::control::ControlMessage;
use actiwapi_dispatcher::domain::dead_letter::DeadCause;
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::event::{EVENT_VERSION, StateChange};
use actiwapi_dispatcher::domain::failure::FailureClass;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, JobId, MediaId, SessionId, TenantId};
use actiwapi_dispatcher::domain::job::{DELIVERIES_PER_JOB_MAX, JOB_VERSION, Job, JobDelivery, TrafficClass};
use actiwapi_dispatcher::domain::message::template::TemplateSpec;
use actiwapi_dispatcher::domain::message::{MediaSpec, MessageSpec, Variables};
use actiwapi_dispatcher::domain::plan::OnLimit;
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::domain::session::SessionState;
use actiwapi_dispatcher::domain::session_change::{SESSION_CHANGE_VERSION, SessionChange, SessionNews};
use actiwapi_dispatcher::domain::zone::{Band, Zone};
use jsonschema::{Draft, Validator};
use serde_json::{Value, json};
use time::macros::datetime;

fn document() -> Value {
    serde_saphyr::from_str(ASYNCAPI_DOCUMENT).expect("YAML")
}

/// Makes a validator of one of the document's schemas.
pub(super) fn schema(name: &str) -> Validator {
    let whole = json!({ "$ref": format!("#/components/schemas/{name}"), "components": document()["components"] });
    jsonschema::options().with_draft(Draft::Draft7).should_validate_formats(true).build(&whole).expect("a schema")
}

fn examples(message: &str) -> Vec<Value> {
    let examples = document()["components"]["messages"][message]["examples"].clone();
    let examples = examples.as_array().expect("examples").clone();
    assert!(!examples.is_empty(), "{message}");
    examples
}

#[track_caller]
pub(super) fn assert_valid(validator: &Validator, value: &Value) {
    let problems: Vec<String> = validator.iter_errors(value).map(|problem| problem.to_string()).collect();
    assert!(problems.is_empty(), "{problems:?} in {value}");
}

fn reads_job(value: &Value) -> bool {
    Job::decode(value.to_string().as_bytes()).is_ok()
}

fn reads_control(value: &Value) -> bool {
    ControlMessage::decode(value.to_string().as_bytes()).is_ok()
}

fn reads_event(value: &Value) -> bool {
    StateChange::decode(value.to_string().as_bytes()).is_ok()
}

fn reads_session_change(value: &Value) -> bool {
    SessionChange::decode(value.to_string().as_bytes()).is_ok()
}

/// A message of the document, its schema, and how the code reads it.
type Form = (&'static str, &'static str, fn(&Value) -> bool);

const FORMS: [Form; 4] = [
    ("Job", "Job", reads_job),
    ("ControlMessage", "ControlMessage", reads_control),
    ("StateChange", "StateChange", reads_event),
    ("SessionChange", "SessionChange", reads_session_change),
];

#[test]
fn examples_are_valid_and_read_by_the_code() {
    for (message, name, reads) in FORMS {
        for example in examples(message) {
            assert_valid(&schema(name), &example["payload"]);
            assert!(reads(&example["payload"]), "{example}");
        }
    }
    for (message, headers) in [("Job", "JobHeaders"), ("DeadLetter", "DeadLetterHeaders")] {
        for example in examples(message) {
            assert_valid(&schema(headers), &example["headers"]);
        }
    }
}

/// One message of every other type, as the code writes it.
fn other_messages() -> Vec<MessageSpec> {
    let file = r#""mediaUrl":"https://a.example/x""#;
    let header = format!(r#""header":{{"type":"image",{file}}}"#);
    [
        r#"{"type":"location","latitude":18.5,"longitude":73.8,"name":"Shop"}"#.to_owned(),
        r#"{"type":"contact","name":"Ana","phones":["919876543210"]}"#.to_owned(),
        format!(r#"{{"type":"sticker",{file}}}"#),
        format!(r#"{{"type":"buttons",{header},"text":"Come?","footer":"Shop","buttons":[{{"id":"y","title":"Yes"}}]}}"#),
        r#"{"type":"list","text":"Choose","button":"Open","sections":[{"title":"T","rows":[{"id":"1","title":"Tea","description":"Hot"}]}]}"#.to_owned(),
        format!(r#"{{"type":"link",{header},"text":"Read","button":"Open","url":"https://a.example"}}"#),
        r#"{"type":"reaction","messageId":"wamid.1","emoji":"👍"}"#.to_owned(),
        format!(
            r#"{{"type":"template","name":"n","language":"en",{header},"namedParameters":{{"a":"b"}},
                "buttons":[{{"index":0,"type":"url","value":"x"}}]}}"#
        ),
    ]
    .iter()
    .map(|text| serde_json::from_str(text).unwrap())
    .collect()
}

#[test]
fn what_the_code_writes_is_valid() {
    let recipient = Recipient::parse("919876543210").unwrap();
    let mut variables = Variables::default();
    variables.insert("name", "Ana".into()).unwrap();
    let delivery = JobDelivery { id: DeliveryId::generate(), to: recipient, variables, time_zone: None };
    let parameters = vec!["{{name}}".to_owned()];
    let template = MessageSpec::Template(TemplateSpec {
        name: "order_ready".into(),
        language: "en_US".into(),
        parameters,
        ..TemplateSpec::default()
    });
    let document = MessageSpec::Document(MediaSpec {
        media_id: Some(MediaId::generate()),
        media_url: None,
        caption: Some("For {{name}}".into()),
        filename: Some("Bill.pdf".into()),
    });
    for (message, campaign_id, at) in [
        (
            MessageSpec::Text { text: "Hello".into() },
            Some(CampaignId::generate()),
            Some(datetime!(2026-11-23 09:00 +5:30)),
        ),
        (template, None, None),
        (document, None, None),
    ]
    .into_iter()
    .chain(other_messages().into_iter().map(|message| (message, None, None)))
    {
        let job = Job {
            v: JOB_VERSION,
            job_id: JobId::generate(),
            tenant_id: TenantId::generate(),
            session_id: SessionId::generate(),
            campaign_id,
            traffic_class: TrafficClass::Transactional,
            on_unknown: OnUnknown::Resend,
            on_limit: OnLimit::Fail,
            not_before: at,
            expires_at: at,
            message,
            deliveries: vec![delivery.clone(); 2],
        };
        assert_valid(&schema("Job"), &serde_json::from_slice(&job.encode().unwrap()).unwrap());
    }
    let (session_id, campaign_id) = (SessionId::generate(), CampaignId::DIRECT);
    for message in [
        ControlMessage::CampaignChanged { campaign_id },
        ControlMessage::SessionChanged { session_id },
        ControlMessage::TenantChanged { tenant_id: TenantId::generate() },
        ControlMessage::LanesChanged {},
        ControlMessage::WorkAdmitted {
            session_id,
            campaign_id,
            band: Band(-7),
            zone: Zone::parse("Asia/Kolkata"),
            traffic_class: TrafficClass::Bulk,
            done_below_seq: i64::MIN,
        },
        ControlMessage::OutboxWritten {},
    ] {
        assert_valid(&schema("ControlMessage"), &serde_json::from_slice(&message.encode()).unwrap());
    }
}

#[test]
fn every_change_of_state_is_valid() {
    for state in DeliveryState::ALL {
        let is_failure = state == DeliveryState::Failed;
        let change = StateChange {
            v: EVENT_VERSION,
            event_id: is_failure.then(uuid::Uuid::now_v7),
            delivery_id: DeliveryId::generate(),
            tenant_id: TenantId::generate(),
            session_id: SessionId::generate(),
            campaign_id: is_failure.then(CampaignId::generate),
            state,
            from: (!is_failure).then_some(state),
            attempt: u32::MAX,
            failure_class: is_failure.then_some(FailureClass::LimitExceeded),
            reason: is_failure.then(|| "PLAN_MESSAGES".into()),
            provider_code: is_failure.then(|| "graph:131056".into()),
            at: datetime!(2026-11-23 09:00:00.123456789 UTC),
        };
        let bytes = change.encode().unwrap();
        assert_valid(&schema("StateChange"), &serde_json::from_slice(&bytes).unwrap());
        assert_eq!(StateChange::decode(&bytes).unwrap(), change);
    }
}

#[test]
fn every_session_event_is_valid() {
    for (event, state) in SessionNews::ALL.into_iter().zip(SessionState::ALL) {
        let change = SessionChange {
            v: SESSION_CHANGE_VERSION,
            event_id: uuid::Uuid::now_v7(),
            event,
            tenant_id: TenantId::generate(),
            session_id: SessionId::generate(),
            state,
            from: state,
            reason: (event == SessionNews::Banned).then(|| "ACCOUNT_LOCKED".into()),
            at: datetime!(2026-11-23 09:00:00.123 UTC),
        };
        assert_valid(&schema("SessionChange"), &serde_json::to_value(&change).unwrap());
    }
}

#[test]
fn the_words_are_all_there() {
    let words = |pointer: &str| document().pointer(pointer).expect(pointer).as_array().expect("words").clone();
    let causes: Vec<&str> = DeadCause::ALL.iter().map(|cause| cause.as_str()).collect();
    assert_eq!(words("/components/schemas/DeadLetterHeaders/properties/dispatcher-cause/enum"), causes);
    let states: Vec<Value> = DeliveryState::ALL.iter().map(|state| serde_json::to_value(state).unwrap()).collect();
    assert_eq!(words("/components/schemas/State/enum"), states);
    let news: Vec<&str> = SessionNews::ALL.iter().map(|news| news.as_str()).collect();
    assert_eq!(words("/components/schemas/SessionChange/properties/event/enum"), news);
    let standings: Vec<&str> = SessionState::ALL.iter().map(|state| state.as_str()).collect();
    assert_eq!(words("/components/schemas/SessionState/enum"), standings);
    let most = document().pointer("/components/schemas/Job/properties/deliveries/maxItems").cloned();
    assert_eq!(most, Some(DELIVERIES_PER_JOB_MAX.get().into()));
}

/// Changes one place of an example, or takes away what is there.
fn changed(example: &Value, pointer: &str, to: Option<Value>) -> Value {
    let mut value = example.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = value.pointer_mut(parent).expect(pointer).as_object_mut().expect("an object");
    match to {
        Some(to) => parent.insert(key.to_owned(), to),
        None => parent.remove(key),
    };
    value
}

/// A form, a place of its first example, what is put there, and whether it may be.
type Case = (&'static str, &'static str, Option<Value>, bool);

fn job_cases() -> Vec<Case> {
    let deliveries = |n: usize| {
        let delivery = json!({ "id": "0198c0de-0000-7000-8000-000000000101", "to": "919876543210" });
        Some(Value::Array(vec![delivery; n]))
    };
    let variables = |n: usize| Some((0..n).map(|n| (format!("v{n}"), json!("x"))).collect());
    vec![
        ("Job", "/v", Some(json!(2)), false),
        ("Job", "/v", Some(json!("1")), false),
        ("Job", "/v", None, false),
        ("Job", "/jobId", None, false),
        ("Job", "/jobId", Some(json!("7")), false),
        ("Job", "/tenantId", None, false),
        ("Job", "/sessionId", Some(Value::Null), false),
        ("Job", "/campaignId", Some(Value::Null), true),
        ("Job", "/campaignId", None, true),
        ("Job", "/campaignId", Some(json!("")), false),
        ("Job", "/trafficClass", None, true),
        ("Job", "/trafficClass", Some(json!("cold")), false),
        ("Job", "/trafficClass", Some(Value::Null), false),
        ("Job", "/onUnknown", None, true),
        ("Job", "/onUnknown", Some(json!("resend")), true),
        ("Job", "/onUnknown", Some(json!("ask")), false),
        ("Job", "/onLimit", None, true),
        ("Job", "/onLimit", Some(json!("fail")), true),
        ("Job", "/onLimit", Some(json!("drop")), false),
        ("Job", "/notBefore", None, true),
        ("Job", "/notBefore", Some(Value::Null), true),
        ("Job", "/expiresAt", Some(json!("tomorrow")), false),
        ("Job", "/expiresAt", Some(json!("2026-11-23")), false),
        ("Job", "/expiresAt", Some(json!(1_763_888_400)), false),
        ("Job", "/message", None, false),
        ("Job", "/message/type", Some(json!("image")), false),
        ("Job", "/message/text", None, false),
        ("Job", "/message/text", Some(json!(7)), false),
        ("Job", "/message/colour", Some(json!("red")), false),
        ("Job", "/message", Some(json!({ "type": "template", "name": "a", "language": "en" })), true),
        ("Job", "/message", Some(json!({ "type": "template", "name": "a" })), false),
        ("Job", "/deliveries", deliveries(0), false),
        ("Job", "/deliveries", deliveries(500), true),
        ("Job", "/deliveries", deliveries(501), false),
        ("Job", "/deliveries", Some(json!({})), false),
        ("Job", "/deliveries/0/id", None, false),
        ("Job", "/deliveries/0/to", None, false),
        ("Job", "/deliveries/0/to", Some(json!("")), false),
        ("Job", "/deliveries/0/to", Some(json!(919_876_543_210_u64)), false),
        ("Job", "/deliveries/0/name", Some(json!("Ana")), false),
        ("Job", "/deliveries/0/variables", None, true),
        ("Job", "/deliveries/0/variables", variables(32), true),
        ("Job", "/deliveries/0/variables", variables(33), false),
        ("Job", "/deliveries/0/variables", Some(json!({ "a{b": "x" })), false),
        ("Job", "/deliveries/0/variables", Some(json!({ "": "x" })), false),
        ("Job", "/deliveries/0/variables", Some(json!({ "a": "x".repeat(1_025) })), false),
        ("Job", "/deliveries/0/variables", Some(json!({ "a": 7 })), false),
        ("Job", "/priority", Some(json!(1)), false),
    ]
}

fn other_cases() -> Vec<Case> {
    vec![
        ("ControlMessage", "/v", Some(json!(2)), false),
        ("ControlMessage", "/v", None, false),
        ("ControlMessage", "/type", Some(json!("campaignDeleted")), false),
        ("ControlMessage", "/type", None, false),
        ("ControlMessage", "/type", Some(json!("outboxWritten")), false),
        ("ControlMessage", "/campaignId", None, false),
        ("ControlMessage", "/campaignId", Some(json!("x")), false),
        ("ControlMessage", "/colour", Some(json!("red")), false),
        ("SessionChange", "/v", Some(json!(2)), false),
        ("SessionChange", "/eventId", None, false),
        ("SessionChange", "/event", Some(json!("session.qr")), false),
        ("SessionChange", "/state", Some(json!("lost")), false),
        ("SessionChange", "/from", Some(Value::Null), false),
        ("SessionChange", "/reason", Some(Value::Null), true),
        ("SessionChange", "/reason", None, true),
        ("SessionChange", "/phone", Some(json!("919876543210")), false),
        ("StateChange", "/v", Some(json!(0)), false),
        ("StateChange", "/eventId", None, true),
        ("StateChange", "/eventId", Some(Value::Null), true),
        ("StateChange", "/deliveryId", None, false),
        ("StateChange", "/campaignId", Some(Value::Null), true),
        ("StateChange", "/campaignId", None, true),
        ("StateChange", "/state", Some(json!("queued")), false),
        ("StateChange", "/state", Some(Value::Null), false),
        ("StateChange", "/from", Some(Value::Null), true),
        ("StateChange", "/from", Some(json!("queued")), false),
        ("StateChange", "/attempt", Some(json!(-1)), false),
        ("StateChange", "/attempt", None, false),
        ("StateChange", "/failureClass", Some(json!("LIMIT_EXCEEDED")), true),
        ("StateChange", "/failureClass", Some(json!("OTHER")), false),
        ("StateChange", "/at", Some(json!("2026-11-23T09:00:00")), false),
        ("StateChange", "/recipient", Some(json!("919876543210")), false),
    ]
}

#[test]
fn the_schemas_refuse_what_the_code_refuses() {
    let forms =
        FORMS.map(|(message, name, reads)| (message, schema(name), reads, examples(message)[0]["payload"].clone()));
    let mut disagreements = Vec::new();
    for (message, pointer, to, is_allowed) in job_cases().into_iter().chain(other_cases()) {
        let (_, validator, reads, example) = forms.iter().find(|form| form.0 == message).expect("a form");
        let value = changed(example, pointer, to.clone());
        let (valid, read) = (validator.is_valid(&value), reads(&value));
        if (valid, read) != (is_allowed, is_allowed) {
            let to = to.map(|to| to.to_string().chars().take(80).collect::<String>());
            disagreements
                .push(format!("{message} {pointer} = {to:?}: expected {is_allowed}, schema {valid}, code {read}"));
        }
    }
    assert!(disagreements.is_empty(), "{disagreements:#?}");
}
