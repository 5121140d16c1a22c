//! Tells code from comments, literals and tests in a Rust file.
//!
//! A scanner of a few token kinds, not a parser: enough to look for names and paths without being
//! fooled by prose. Offsets and lines of the masked code are those of the text.

use std::ops::Range;

use super::File;

/// A Rust file, taken apart.
#[derive(Debug)]
pub(crate) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    /// The text with comments and the insides of literals blanked.
    pub(super) all_code: String,
    /// The same without test code: what runs in production; empty for files of tests.
    pub(super) code: String,
    /// Lines of test code, blank ones and comments among them included.
    pub(super) n_test_lines: usize,
    /// String literals outside test code: offset of the opening quote, and what stands inside.
    pub(super) strings: Vec<(usize, String)>,
}

impl Source {
    /// Takes a file apart.
    pub(super) fn read(file: &File) -> Self {
        let (all_code, mut strings) = mask(&file.text);
        let mut code = all_code.clone();
        let mut n_test_lines = 0;
        for tests in test_ranges(&all_code, &file.path) {
            n_test_lines += all_code[tests.clone()].lines().count();
            code.replace_range(tests.clone(), &blank(&all_code[tests]));
        }
        strings.retain(|(at, _)| code.as_bytes()[*at] == b'"');
        Self { path: file.path.clone(), text: file.text.clone(), all_code, code, n_test_lines, strings }
    }

    /// Returns the line of an offset, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        line_of(&self.text, at)
    }

    /// Returns the names in production code, with their offsets.
    pub(super) fn names(&self) -> impl Iterator<Item = (usize, &str)> {
        names(&self.code)
    }

    /// Returns the string literal that opens at an offset.
    pub(super) fn string_at(&self, at: usize) -> Option<&str> {
        self.strings.iter().find(|(start, _)| *start == at).map(|(_, inside)| inside.as_str())
    }

    /// Tells whether the file is part of the library or the binary.
    pub(super) fn is_in_src(&self) -> bool {
        self.path.starts_with("src/")
    }
}

/// Returns the line of an offset, counted from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Returns the names in masked code, with their offsets; numbers are not names.
pub(super) fn names(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let bytes = code.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let start = at;
            while at < bytes.len() && is_name_byte(bytes[at]) {
                at += 1;
            }
            if at == start {
                at += 1;
            } else if !bytes[start].is_ascii_digit() {
                return Some((start, &code[start..at]));
            }
        }
        None
    })
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn blank(code: &str) -> String {
    code.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// Returns where the code of tests stands: each item marked `#[cfg(test)]`, or the whole of a file of tests.
fn test_ranges(code: &str, path: &str) -> Vec<Range<usize>> {
    const MARK: &str = "#[cfg(test)]";
    if path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("tests/") {
        return std::iter::once(0..code.len()).collect();
    }
    let (mut ranges, mut at) = (Vec::new(), 0);
    while let Some(found) = code[at..].find(MARK) {
        let from = at + found;
        let after = from + MARK.len();
        at = match code[after..].find(['{', ';']) {
            Some(open) if code.as_bytes()[after + open] == b'{' => (closing(code, after + open) + 1).min(code.len()),
            Some(end) => after + end + 1,
            None => code.len(),
        };
        ranges.push(from..at);
    }
    ranges
}

/// Returns the offset of the bracket that closes the one at `open`; the end of the code if there is none.
pub(super) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

/// Splits masked code at its outermost commas; returns offsets from the start of `code`.
pub(super) fn split_arguments(code: &str) -> Vec<(usize, &str)> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push((start, &code[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push((start, &code[start..]));
    parts.into_iter().filter(|(_, part)| !part.trim().is_empty()).collect()
}

/// Blanks comments and the insides of literals; returns the string literals too.
fn mask(text: &str) -> (String, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let mut masked = bytes.to_vec();
    let mut strings = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (hidden, end, is_string) = token(text, at);
        if is_string {
            strings.push((hidden.start - 1, text[hidden.clone()].to_owned()));
        }
        masked[hidden.clone()].copy_from_slice(blank(&text[hidden]).as_bytes());
        at = end;
    }
    (String::from_utf8(masked).unwrap(), strings)
}

/// Returns what to hide of the token at an offset, where it ends, and whether it is a string.
fn token(text: &str, at: usize) -> (Range<usize>, usize, bool) {
    let rest = &text[at..];
    if rest.starts_with("//") {
        let end = at + rest.find('\n').unwrap_or(rest.len());
        (at..end, end, false)
    } else if rest.starts_with("/*") {
        let end = at + block_comment_length(rest);
        (at..end, end, false)
    } else if let Some(inside) = rest.strip_prefix('"') {
        let close = at + 1 + escaped_length(inside, '"');
        (at + 1..close, close + 1, true)
    } else if rest.starts_with('\'') {
        let end = at + quoted_length(rest);
        (at + 1..(end - 1).max(at + 1), end, false)
    } else if is_name_byte(rest.as_bytes()[0]) {
        let name = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
        raw_string(text, at, name).unwrap_or((at..at, at + name, false))
    } else {
        (at..at, at + rest.chars().next().map_or(1, char::len_utf8), false)
    }
}

fn block_comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let two = rest.as_bytes().get(at..at + 2).unwrap_or_default();
        match two {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Returns how many bytes stand before the closing quote that no backslash takes away.
fn escaped_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at,
            _ => {}
        }
    }
    rest.len()
}

/// Returns the length of a character literal with its quotes; 1 for the tick of a lifetime.
fn quoted_length(rest: &str) -> usize {
    let mut chars = rest[1..].chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => 2 + escaped_length(&rest[1..], '\''),
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 1,
    }
}

/// Returns the raw string whose prefix is the name at `at`, if it is one.
fn raw_string(text: &str, at: usize, name: usize) -> Option<(Range<usize>, usize, bool)> {
    if !matches!(&text[at..at + name], "r" | "br" | "cr") {
        return None;
    }
    let rest = &text[at + name..];
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let open = at + name + hashes;
    if !text[open..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let close = text[open + 1..].find(&end).map_or(text.len(), |found| open + 1 + found);
    Some((open + 1..close, (close + end.len()).min(text.len()), true))
}

#[test]
fn literals_and_comments_are_not_code() {
    let text = r##"a("x\"y", 'z', '\'', r#"raw "one""#, b"é") // c::d
/* e /* f */ g */ fn h<'i>() { 'é'; r#type; 7_u8 }"##;
    let (masked, strings) = mask(text);
    let found: Vec<&str> = names(&masked).map(|(_, name)| name).collect();
    assert_eq!(found, ["a", "r", "b", "fn", "h", "i", "r", "type"]);
    let inside: Vec<&str> = strings.iter().map(|(_, inside)| inside.as_str()).collect();
    assert_eq!(inside, [r#"x\"y"#, r#"raw "one""#, "é"]);
    assert_eq!(masked.len(), text.len());
}

#[test]
fn tests_are_not_production_code() {
    let text =
        "use a;\n#[cfg(test)]\nmod tests {\n    fn b() { \"}\"; }\n}\nfn c() {}\n#[cfg(test)]\nuse d;\nfn e() {}\n";
    let source = Source::read(&File::new("src/x.rs", text));
    let found: Vec<&str> = source.names().map(|(_, name)| name).collect();
    assert_eq!(found, ["use", "a", "fn", "c", "fn", "e"]);
    assert_eq!((source.strings.len(), source.n_test_lines), (0, 6));
    assert_eq!(source.line(source.code.find('c').unwrap()), 6);
    assert!(Source::read(&File::new("src/x/tests.rs", text)).names().next().is_none());
}

#[test]
fn arguments_are_split_at_outermost_commas() {
    let parts: Vec<&str> = split_arguments("a, f(b, c), [d, e], ").into_iter().map(|(_, part)| part.trim()).collect();
    assert_eq!(parts, ["a", "f(b, c)", "[d, e]"]);
}
