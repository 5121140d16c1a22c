//! The book in `docs/`: what is generated is up to date, each page is listed, and links lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use actiwapi_dispatcher::telemetry::metrics::catalogue;

mod references;

mod settings;

/// The folder of the book.
fn book() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// All pages of the book apart from its list, as paths from its folder.
fn pages() -> BTreeSet<String> {
    fn collect(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{prefix}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                // A tool's own folder is no part of the book.
                if !path.ends_with("node_modules") {
                    collect(&entry.path(), &format!("{path}/"), found);
                }
            } else if Path::new(&path).extension().is_some_and(|end| end == "md") && path != "SUMMARY.md" {
                found.insert(path);
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(&book(), "", &mut found);
    found
}

/// The targets of all links `[text](target)` of a page.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

#[test]
fn each_page_is_in_the_summary() {
    let summary = fs::read_to_string(book().join("SUMMARY.md")).unwrap();
    let listed: BTreeSet<String> = links(&summary).into_iter().map(str::to_owned).collect();
    let pages = pages();
    let missing: Vec<_> = pages.difference(&listed).collect();
    let absent: Vec<_> = listed.difference(&pages).collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md, add a line for each: {missing:?}");
    assert!(absent.is_empty(), "in docs/SUMMARY.md, but there is no such page: {absent:?}");
}

#[test]
fn each_relative_link_leads_to_a_file() {
    let mut broken = Vec::new();
    let mut seen = 0;
    for page in pages() {
        let path = book().join(&page);
        for target in links(&fs::read_to_string(&path).unwrap()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            seen += 1;
            if !path.parent().unwrap().join(file).exists() {
                broken.push(format!("{page}: {target}"));
            }
        }
    }
    assert!(seen > 0, "no link was looked at");
    assert!(broken.is_empty(), "these links lead nowhere: {broken:#?}");
}

/// A page changes only with the code: run with `UPDATE_GOLDEN=1` to accept, and read the difference.
#[test]
fn the_page_of_metrics_is_the_catalogue() {
    let (file, printed) = (book().join("metrics.md"), catalogue::page());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &printed).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == printed, "docs/metrics.md is not what the program prints; run this test with UPDATE_GOLDEN=1");
}
