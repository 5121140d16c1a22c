//! Rules that several bodies share.
//!
//! Only about one text at a time.

use crate::error::Problems;

/// Checks a name of 1 to `chars_max` characters and returns it without the spaces around it.
pub(super) fn check_name(field: &'static str, name: &str, chars_max: usize, problems: &mut Problems) -> String {
    let name = name.trim();
    if name.is_empty() {
        problems.push(field, "is required");
    } else if chars_max < name.chars().count() {
        problems.push(field, format!("must have at most {chars_max} characters"));
    } else if name.chars().any(char::is_control) {
        problems.push(field, "must not have control characters");
    }
    name.to_owned()
}
