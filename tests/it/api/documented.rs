//! The documented examples, run as they are written in `tests/golden/documented.http`, under both prefixes.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;

use super::support::Front;

const EXAMPLES: &str = include_str!("../../golden/documented.http");
/// The file that the examples name.
const SALE: (&str, &[u8]) = ("< ./sale.png", include_bytes!("../../golden/sale.png"));

/// One request of the file, its variables put in when it is made.
struct Example<'a> {
    title: &'a str,
    /// What is kept of the answer: name, and where it is in `data`.
    kept: Vec<(&'a str, &'a str)>,
    /// From the line of the method on.
    request: String,
    /// Status, and what `data` holds at least.
    expected: (u16, &'a str),
}

impl<'a> Example<'a> {
    fn read(section: &'a str) -> Self {
        let (title, rest) = section.split_once('\n').unwrap();
        let (mut kept, mut request, mut expected) = (Vec::new(), Vec::new(), None);
        for line in rest.lines() {
            if let Some(definition) = line.strip_prefix("# @name ") {
                kept.push(definition.split_once(" = ").unwrap());
            } else if let Some(answer) = line.strip_prefix("# ") {
                let (status, data) = answer.split_once(' ').unwrap();
                expected = Some((status.parse().unwrap(), data));
            } else {
                request.push(line);
            }
        }
        let request = request.join("\r\n").trim().to_owned();
        Self { title: title.trim(), kept, request, expected: expected.expect(title) }
    }

    fn request(&self, known: &BTreeMap<String, String>) -> Request<Body> {
        let text = filled(&self.request, known);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let (before, after) = body.split_once(SALE.0).unwrap_or((body, ""));
        let file = if body.contains(SALE.0) { SALE.1 } else { b"" };
        request.body(Body::from([before.as_bytes(), file, after.as_bytes()].concat())).unwrap()
    }
}

fn filled(text: &str, known: &BTreeMap<String, String>) -> String {
    known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

/// Tells whether a value holds at least what is expected of it.
fn holds(value: &Value, expected: &Value) -> bool {
    match (value, expected) {
        (_, Value::String(any)) if any == "*" => true,
        (Value::Object(value), Value::Object(expected)) => {
            expected.iter().all(|(name, expected)| value.get(name).is_some_and(|value| holds(value, expected)))
        }
        (Value::Array(value), Value::Array(expected)) => {
            expected.len() <= value.len() && value.iter().zip(expected).all(|(value, expected)| holds(value, expected))
        }
        _ => value == expected,
    }
}

#[tokio::test]
async fn the_documented_examples_run_as_written() {
    let front = Front::start_with_trial().await;
    let (definitions, sections) = EXAMPLES.split_once("\n### ").unwrap();
    let definitions = definitions.lines().filter_map(|line| line.strip_prefix('@')?.split_once(" = "));
    let mut known: BTreeMap<String, String> =
        definitions.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for (prefix, email) in [("/api/v1", "owner@example.com"), ("/api", "other@example.com")] {
        known.insert("prefix".to_owned(), prefix.to_owned());
        known.insert("email".to_owned(), email.to_owned());
        for example in sections.split("\n### ").map(Example::read) {
            let answer = front.call(example.request(&known)).await;
            let title = format!("{prefix}: {}", example.title);
            assert_eq!(answer.status.as_u16(), example.expected.0, "{title}: {}", answer.text());
            let data = answer.data();
            let expected = serde_json::from_str(&filled(example.expected.1, &known)).expect(&title);
            assert!(holds(&data, &expected), "{title}: {data:#} holds not {expected:#}");
            for (name, path) in &example.kept {
                known.insert((*name).to_owned(), data[path].as_str().unwrap().to_owned());
            }
        }
    }
}

#[test]
fn what_is_expected_is_looked_for() {
    let check = |value: &str, expected: &str| {
        holds(&serde_json::from_str(value).unwrap(), &serde_json::from_str(expected).unwrap())
    };
    assert!(check(r#"{"a": 1, "b": [{"c": null}, 2]}"#, r#"{"b": [{"c": null}]}"#));
    for (value, expected) in [("{}", r#"{"a": "*"}"#), ("[]", "[1]"), (r#"{"a": 1}"#, r#"{"a": null}"#), ("1", "[]")] {
        assert!(!check(value, expected), "{value} {expected}");
    }
}
