//! What is left in a directory of files that nobody could end, because the process was killed meanwhile.
//!
//! A bucket shows no such parts and drops them by a rule of its own.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::clock::Moment;

/// Removes them, as far as they were last written before a moment; returns how many there were. A directory that is not there
/// has none. Blocks.
///
/// # Errors
/// When the directory could not be read; what was found before is gone.
pub(super) fn remove(root: &Path, before: Moment) -> io::Result<usize> {
    let mut n_removed = 0;
    for tenant in entries(root)? {
        for media in entries(&tenant)? {
            for file in entries(&media)? {
                if is_unfinished(&file) && is_older(&file, before)? {
                    match std::fs::remove_file(&file) {
                        Ok(()) => n_removed += 1,
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
    Ok(n_removed)
}

/// Lists what is in a directory; nothing in what is none, or is gone meanwhile.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The library stages a file beside its place, with `#` and a number behind its name.
fn is_unfinished(file: &Path) -> bool {
    let name = file.file_name().and_then(OsStr::to_str).and_then(|name| name.rsplit_once('#'));
    name.is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_older(file: &Path, before: Moment) -> io::Result<bool> {
    match std::fs::metadata(file) {
        Ok(metadata) => {
            let age = metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            Ok(i64::try_from(age.as_millis()).is_ok_and(|written_at_ms| written_at_ms < before.as_ms()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
