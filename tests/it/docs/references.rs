//! What the pages tell people to call, to set and to run exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{book, pages};
use crate::deploy;

/// Routes of the admin port, which are in no document.
const OF_ADMIN_PORT: &[&str] = &["/metrics", "/livez", "/readyz", "/ledger"];

/// All that stands in backquotes, with the page it is on.
fn quoted() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(book().join(&page)).unwrap();
        found.extend(text.split('`').skip(1).step_by(2).map(|code| (page.clone(), code.to_owned())));
    }
    found
}

/// Whether two paths are the same but for the names of what is in braces.
fn is_same(path: &str, known: &str) -> bool {
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), known.split('/').collect());
    ours.len() == theirs.len()
        && ours.iter().zip(&theirs).all(|(a, b)| a == b || (a.starts_with('{') && b.starts_with('{')))
}

#[test]
fn every_operation_that_is_named_exists() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/openapi.json");
    let document: Value = serde_json::from_str(&fs::read_to_string(document).unwrap()).unwrap();
    let operations = document["paths"].as_object().unwrap();
    let mut n_named = 0;
    for (page, code) in quoted() {
        let Some((method, path)) = code.split_once(' ').filter(|(_, path)| path.starts_with('/')) else { continue };
        if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method) {
            continue;
        }
        let path = path.split(['?', ' ']).next().unwrap();
        let exists = OF_ADMIN_PORT.contains(&path)
            || operations.iter().any(|(known, of_path)| {
                is_same(&format!("/api/v1{path}"), known) && of_path.get(method.to_lowercase()).is_some()
            });
        assert!(exists, "{page} names {code}, which is no operation");
        n_named += 1;
    }
    assert!(10 < n_named, "{n_named}");
}

#[test]
fn every_setting_that_is_named_exists() {
    let known = deploy::settings();
    let sections: BTreeSet<&str> = known.iter().filter_map(|name| name.split("__").nth(1)).collect();
    let mut n_named = 0;
    for (page, code) in quoted() {
        let name = code.split(' ').next().unwrap();
        let Some((section, key)) = name.split_once('.') else { continue };
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        // Not `delivery.events`, a topic, nor `metrics.md`, a file.
        if !is_word(section) || !is_word(key) || !sections.contains(section.to_uppercase().as_str()) {
            continue;
        }
        let variable = format!("DISPATCHER__{section}__{key}").to_uppercase();
        assert!(known.contains(&variable), "{page} names {name}, which is no setting");
        n_named += 1;
    }
    assert!(10 < n_named, "{n_named}");
}

#[test]
fn every_command_that_is_named_exists() {
    let named: BTreeSet<String> = quoted()
        .into_iter()
        .filter_map(|(_, code)| code.strip_prefix("dispatcher ")?.split(' ').next().map(str::to_owned))
        .collect();
    assert!(named.contains("doctor"), "{named:?}");
    for command in named {
        let output = Command::new(env!("CARGO_BIN_EXE_dispatcher")).args(["help", &command]).output().unwrap();
        assert!(output.status.success(), "`dispatcher {command}` is no command");
    }
}
