//! Kept messages: checked, shown, sent, and copied into campaigns.

use actiwapi_dispatcher::domain::id::{MediaId, TemplateId};
use actiwapi_dispatcher::domain::media::MediaKind;
use actiwapi_dispatcher::domain::message::{MediaSpec, MessageSpec, Variables};
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::service::made_messages::{ChosenTemplate, NewTemplateMessage, SingleTo};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::templates::TemplateChange;

use super::front::{Front, fields};
use crate::support::db::store_contract;
use crate::support::seed;

store_contract!(messages_are_checked_when_they_are_kept, templates_are_sent_with_all_their_variables,);

async fn messages_are_checked_when_they_are_kept(store: Store) {
    let front = Front::new(store);
    let (owner, templates) = (front.tenant().await, &front.services.templates);
    let kept = templates.create(owner, " Ready ", seed::text()).await.unwrap();
    assert_eq!(kept.name, "Ready");
    let double = templates.create(owner, "Ready", seed::text()).await;
    assert!(matches!(double, Err(Error::Conflict { field: Some("name"), .. })), "{double:?}");
    let bad = MessageSpec::Text { text: "{{".to_owned() };
    assert_eq!(fields(templates.create(owner, "", bad.clone()).await), ["name", "message"]);
    let file = MediaSpec { media_id: Some(MediaId::generate()), ..MediaSpec::default() };
    let image = MessageSpec::of_media(MediaKind::Image, file);
    assert_eq!(fields(templates.create(owner, "A", image).await), ["message.mediaId"]);
    let change = TemplateChange { name: None, message: Some(bad) };
    assert_eq!(fields(templates.update(owner, kept.id, change).await), ["message"]);
    let shown = templates.preview(owner, kept.id, (Variables::default(), None)).await.unwrap();
    assert_eq!((shown.missing, shown.message), (vec!["name".to_owned()], seed::text()));
    assert_eq!(fields(templates.preview(owner, kept.id, (Variables::default(), Some("x"))).await), ["phone"]);
    assert_eq!(
        fields(templates.copy(owner, TemplateId::generate(), "message.templateId").await),
        ["message.templateId"]
    );
}

async fn templates_are_sent_with_all_their_variables(store: Store) {
    let front = Front::new(store);
    let owner = front.tenant().await;
    let session_id = front.connected_session(owner).await;
    let kept = front.services.templates.create(owner, "Ready", seed::text()).await.unwrap();
    let send = async |template| {
        let single = SingleTo { session_id, to: "919800000001".to_owned() };
        front.services.messages.send_template(owner, NewTemplateMessage { single, template }).await
    };
    let of = |variables| ChosenTemplate::Kept { id: kept.id, variables };
    assert_eq!(fields(send(of(Variables::default())).await), ["variables"]);
    let mut variables = Variables::default();
    variables.insert("name", "Ana".to_owned()).unwrap();
    send(of(variables)).await.unwrap();
    let missing = ChosenTemplate::Kept { id: TemplateId::generate(), variables: Variables::default() };
    assert_eq!(fields(send(missing).await), ["templateId"]);
    let approved = |name: &str, parameter: &str| ChosenTemplate::Approved {
        name: name.to_owned(),
        language: "en".to_owned(),
        parameters: vec![parameter.to_owned()],
    };
    send(approved("order_ready", "{{as}} it {is}")).await.unwrap();
    assert_eq!(fields(send(approved("Order Ready", "x")).await), ["name"]);
    assert_eq!(fields(send(approved("order_ready", "two\nlines")).await), ["name"]);
}
