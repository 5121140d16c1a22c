//! The page of settings is what `config/default.toml` says.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Makes the page of the file's sections, comments and values.
fn page(file: &str) -> String {
    let mut page = String::from(
        "# Settings\n\nMade from `config/default.toml` by `UPDATE_GOLDEN=1 cargo test --all-features --test it docs::settings`; not \
         written by hand.\n",
    );
    let mut section = "";
    let mut meaning: Vec<&str> = Vec::new();
    for line in file.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            let _ =
                write!(page, "\n## {section}\n\n| Setting | Built-in | Environment | Meaning |\n|---|---|---|---|\n");
            meaning.clear();
        } else if let Some(comment) = line.strip_prefix('#') {
            meaning.push(comment.trim());
        } else if let Some((key, value)) = line.split_once(" = ") {
            assert!(!meaning.is_empty(), "{section}.{key} has no comment in config/default.toml");
            let variable = format!("DISPATCHER__{section}__{key}").replace('.', "__").to_uppercase();
            let meaning = std::mem::take(&mut meaning).join(" ").replace('|', "\\|").replace('<', "&lt;");
            let _ = writeln!(page, "| `{section}.{key}` | `{value}` | `{variable}` | {meaning} |");
        } else {
            assert!(
                line.is_empty(),
                "config/default.toml has a line that is none of section, comment and value: {line}"
            );
            meaning.clear();
        }
    }
    page
}

/// Changes only with the settings: run with `UPDATE_GOLDEN=1` to write it.
#[test]
fn the_page_is_up_to_date() {
    let file = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/default.toml")).unwrap();
    let path = super::book().join("reference/settings.md");
    let page = page(&file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(written == page, "docs/reference/settings.md is out of date: run this test with UPDATE_GOLDEN=1");
}
