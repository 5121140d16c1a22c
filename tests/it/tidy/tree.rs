//! Reads all text files of the tree into memory.
//!
//! Knows no rule. Leaves out what git ignores and files that are not text.

use std::fs;
use std::path::Path;

use super::File;

/// What holds no source: history, the compiler's output, data of runs.
const SKIPPED: [&str; 4] = [".git", "target", ".services", "data"];

/// Reads every text file under `top`, sorted by path.
pub(super) fn read(top: &Path) -> Vec<File> {
    let mut files = Vec::new();
    read_folder(top, "", &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn read_folder(folder: &Path, prefix: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().unwrap();
        if prefix.is_empty() && SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if kind.is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), files);
        } else if kind.is_file()
            && let Ok(text) = String::from_utf8(fs::read(entry.path()).unwrap())
        {
            files.push(File { path, text });
        }
    }
}
