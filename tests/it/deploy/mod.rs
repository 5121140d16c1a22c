//! What is shipped beside the program says what is so: settings, ports, paths and versions.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files of `deploy/`, and the Dockerfile.
fn files() -> Vec<(PathBuf, String)> {
    let folders = ["deploy", "deploy/kubernetes", "deploy/systemd"];
    let in_folders = folders.iter().flat_map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let paths = in_folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    paths.chain([root().join("Dockerfile")]).map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The settings as the environment names them.
pub(crate) fn settings() -> Vec<String> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in fs::read_to_string(root().join("config/default.toml")).unwrap().lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.replace('.', "__").to_uppercase();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains(['#', ' '])) {
            found.push(format!("DISPATCHER__{section}__{}", key.to_uppercase()));
        }
    }
    found
}

#[test]
fn every_setting_that_is_named_exists() {
    let known = settings();
    assert!(known.contains(&"DISPATCHER__QUEUE__INSTANCE_ID".to_owned()), "{known:?}");
    let mut n_named = 0;
    for (path, text) in files() {
        for rest in text.split("DISPATCHER__").skip(1) {
            let key = rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap();
            let name = format!("DISPATCHER__{key}");
            assert!(key == "SECTION__KEY" || known.contains(&name), "{} names {name}", path.display());
            n_named += 1;
        }
    }
    assert!(10 < n_named, "{n_named}");
}

#[test]
fn whoever_runs_it_waits_longer_than_the_drain_takes() {
    let text = fs::read_to_string(root().join("config/default.toml")).unwrap();
    let drain = text.lines().find_map(|line| line.strip_prefix("drain_deadline_ms = ")).unwrap();
    let drain_seconds: u64 = drain.parse::<u64>().unwrap() / 1_000;
    let waits = [
        ("deploy/compose.yaml", "stop_grace_period: "),
        ("deploy/kubernetes/nodes.yaml", "terminationGracePeriodSeconds: "),
        ("deploy/systemd/dispatcher.service", "TimeoutStopSec="),
    ];
    for (path, key) in waits {
        let text = fs::read_to_string(root().join(path)).unwrap();
        let value = text.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap();
        let seconds: u64 = value.trim_end_matches('s').parse().unwrap();
        assert!(3 * drain_seconds < seconds, "{path} waits {seconds} s for a drain of {drain_seconds} s");
    }
}

#[test]
fn the_image_is_built_from_what_is_there() {
    let text = fs::read_to_string(root().join("Dockerfile")).unwrap();
    let ignored = fs::read_to_string(root().join(".dockerignore")).unwrap();
    let copied = text.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--from"));
    for line in copied {
        let words: Vec<&str> = line.split(' ').collect();
        for source in &words[..words.len() - 1] {
            assert!(root().join(source).exists(), "{source} is copied and is not there");
            assert!(ignored.lines().any(|line| line == format!("!{source}")), "{source} is kept out by .dockerignore");
        }
    }
    // The compiler of the image is new enough, and every target of the manifest has its stand-in.
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let needed = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    let given = text.lines().find_map(|line| line.strip_prefix("FROM rust:")).unwrap();
    let minor = |version: &str| version.split(['.', '-']).nth(1).unwrap().parse::<u32>().unwrap();
    assert!(minor(needed) <= minor(given), "{given} is older than {needed}");
    for path in manifest.lines().filter_map(|line| line.strip_prefix("path = ")) {
        assert!(text.contains(path.trim_matches('"')), "{path} has no stand-in in the Dockerfile");
    }
}

#[test]
fn what_compose_mounts_is_there() {
    let text = fs::read_to_string(root().join("deploy/compose.yaml")).unwrap();
    let mounts = text.lines().filter_map(|line| line.trim().strip_prefix("- ")).filter(|mount| mount.starts_with('.'));
    let sources: Vec<&str> = mounts.filter_map(|mount| mount.split(':').next()).collect();
    assert_eq!(sources.len(), 4, "{sources:?}");
    for source in sources {
        assert!(root().join("deploy").join(source).exists(), "{source}");
    }
}
