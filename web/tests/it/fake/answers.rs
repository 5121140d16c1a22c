//! What the stand-in answers to stanzas.

use whatsapp_rust::prelude::Jid;
use whatsapp_rust::wacore::iq::prekeys::PreKeyBundleUserNode;
use whatsapp_rust::wacore::libsignal::protocol::{IdentityKeyPair, KeyPair, PreKeyBundle};
use whatsapp_rust::wacore::protocol::ProtocolNode;
use whatsapp_rust::wacore_binary::Node;
use whatsapp_rust::wacore_binary::builder::NodeBuilder;

use super::{Came, Fate, Shared};

/// Numbers that end like this are not on WhatsApp.
pub(crate) const NOBODY: &str = "0000";

pub(crate) fn now_s() -> String {
    (dispatcher_web::clock::now_ms() / 1_000).to_string()
}

fn word(node: &Node, name: &str) -> String {
    node.attrs.get(name).map(|value| value.as_str().into_owned()).unwrap_or_default()
}

fn user(jid: &str) -> String {
    jid.split(['@', ':']).next().unwrap_or_default().to_owned()
}

/// Answers a stanza of who is connected under a number.
pub(crate) fn answer(shared: &Shared, number: Option<&str>, node: &Node) -> Vec<Node> {
    match (node.tag.as_ref(), number) {
        ("iq", _) if matches!(word(node, "type").as_str(), "get" | "set") => question(shared, node),
        ("message", Some(number)) => message(shared, number, node),
        _ => Vec::new(),
    }
}

fn result(node: &Node, children: Vec<Node>) -> Node {
    let builder =
        NodeBuilder::new("iq").attr("from", "s.whatsapp.net").attr("type", "result").attr("id", word(node, "id"));
    if children.is_empty() { builder.build() } else { builder.children(children).build() }
}

fn question(shared: &Shared, node: &Node) -> Vec<Node> {
    let children = match word(node, "xmlns").as_str() {
        "usync" => vec![numbers(shared, node)],
        "encrypt" if node.get_optional_child("key").is_some() => vec![keys(node)],
        "encrypt" if node.get_optional_child("count").is_some() => {
            vec![NodeBuilder::new("count").attr("value", "100").build()]
        }
        _ => Vec::new(),
    };
    let mut answers = vec![result(node, children)];
    if word(node, "xmlns") == "passive" {
        let offline = NodeBuilder::new("offline").attr("count", "0").build();
        answers.push(NodeBuilder::new("ib").attr("from", "s.whatsapp.net").children([offline]).build());
    }
    answers
}

/// Tells of numbers what was asked: whether they are there, and which devices they have.
fn numbers(shared: &Shared, node: &Node) -> Node {
    let asked = node.get_optional_child("usync").expect("usync");
    let about =
        |name: &str| asked.get_optional_child("query").and_then(|query| query.get_optional_child(name)).is_some();
    let list = asked.get_optional_child("list").and_then(Node::children).unwrap_or_default();
    if about("contact") {
        shared.world().n_checks += 1;
    }
    let users = list.iter().map(|one| {
        let told = one.get_optional_child("contact").and_then(Node::content_as_string);
        let told = told.map(|number| number.trim_start_matches('+').to_owned());
        let jid = word(one, "jid");
        let number = told.unwrap_or_else(|| user(&jid));
        let jid = if jid.is_empty() { format!("{number}@s.whatsapp.net") } else { jid };
        let is_there = !number.ends_with(NOBODY);
        let mut told = Vec::new();
        if about("contact") {
            told.push(NodeBuilder::new("contact").attr("type", if is_there { "in" } else { "out" }).build());
        }
        if about("devices") {
            let devices = is_there.then(|| NodeBuilder::new("device").attr("id", "0").build());
            let devices = NodeBuilder::new("device-list").attr("hash", "2:fake").children(devices).build();
            told.push(NodeBuilder::new("devices").children([devices]).build());
        }
        NodeBuilder::new("user").attr("jid", jid).children(told).build()
    });
    NodeBuilder::new("usync").children([NodeBuilder::new("list").children(users).build()]).build()
}

/// Gives out keys of devices nobody has.
fn keys(node: &Node) -> Node {
    let asked = node.get_optional_child("key").and_then(Node::children).unwrap_or_default();
    let users = asked.iter().map(|one| {
        let jid: Jid = word(one, "jid").parse().expect("a device");
        let rng = &mut rand::rng();
        let (identity, signed, once) = (IdentityKeyPair::generate(rng), KeyPair::generate(rng), KeyPair::generate(rng));
        let signature = identity.private_key().calculate_signature(&signed.public_key.serialize(), rng).unwrap();
        let device = u32::from(jid.device).into();
        let bundle = PreKeyBundle::new(
            1,
            device,
            Some((1_u32.into(), once.public_key)),
            1_u32.into(),
            signed.public_key,
            signature.to_vec(),
            *identity.identity_key(),
        );
        PreKeyBundleUserNode::from_bundle(jid, &bundle.unwrap(), None).unwrap().into_node()
    });
    NodeBuilder::new("list").children(users).build()
}

fn message(shared: &Shared, number: &str, node: &Node) -> Vec<Node> {
    let (id, to) = (word(node, "id"), word(node, "to"));
    let recipient = user(&to);
    // What a device says to its own account's devices is nobody's message.
    if word(node, "category") == "peer" || recipient == number {
        let ack = NodeBuilder::new("ack").attr("class", "message").attr("id", id).attr("from", to).attr("t", now_s());
        return vec![ack.build()];
    }
    let fate = {
        let mut world = shared.world();
        world.came.push(Came { from: number.to_owned(), id: id.clone(), to: recipient.clone() });
        world.fates.get(&recipient).copied().unwrap_or(Fate::Taken)
    };
    let ack = |error: Option<u16>| {
        let ack = NodeBuilder::new("ack").attr("class", "message").attr("id", id.clone()).attr("from", to.clone());
        let ack = ack.attr("t", now_s());
        error
            .map_or_else(
                || ack,
                |code| {
                    NodeBuilder::new("ack")
                        .attr("class", "message")
                        .attr("id", id.clone())
                        .attr("from", to.clone())
                        .attr("error", code.to_string())
                },
            )
            .build()
    };
    match fate {
        Fate::Silent => Vec::new(),
        Fate::Refused(code) => vec![ack(Some(code))],
        Fate::Taken => {
            let receipt = |kind: Option<&'static str>| {
                let receipt =
                    NodeBuilder::new("receipt").attr("id", id.clone()).attr("from", to.clone()).attr("t", now_s());
                kind.into_iter().fold(receipt, |receipt, kind| receipt.attr("type", kind)).build()
            };
            vec![ack(None), receipt(None), receipt(Some("read"))]
        }
    }
}
