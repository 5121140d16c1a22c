//! Rules on the form of files: openings, sizes, scripts, migrations, bounds.
//!
//! What the lines inside say is judged by the other rules.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use super::code::Source;
use super::{File, Offence};

const SOURCE_LINES_MAX: usize = 400;
const TEST_LINES_MAX: usize = 200;

/// Every Rust file says what it is for.
pub(super) fn opens_with_purpose(source: &Source) -> Vec<Offence> {
    let opens = source.text.strip_prefix("//! ").is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
    if opens { vec![] } else { vec![Offence::new(&source.path, 1, "does not open with `//!` and what it is for")] }
}

/// A file is read in one go; its tests are counted apart, files of nothing but tests are not counted.
pub(super) fn is_short(source: &Source) -> Vec<Offence> {
    if source.path.ends_with("/tests.rs") {
        return vec![];
    }
    // In a folder of tests nothing else stands, so nothing is there to be kept from.
    let is_mixed = source.is_in_src() && !source.path.contains("/tests/");
    let n_tests = if is_mixed { source.n_test_lines } else { 0 };
    let n_source = source.text.lines().count() - n_tests;
    let mut offences = vec![];
    if n_source > SOURCE_LINES_MAX {
        let what = format!("{n_source} lines of source: split it by what changes together");
        offences.push(Offence::new(&source.path, 1, what));
    }
    if n_tests > TEST_LINES_MAX {
        let what = format!("{n_tests} lines of tests: move them to a file tests.rs of their own");
        offences.push(Offence::new(&source.path, 1, what));
    }
    offences
}

/// A public constant of `limits/` tells the figures it was made from.
pub(super) fn bounds_have_sums(file: &File) -> Vec<Offence> {
    if !file.path.starts_with("src/limits/") {
        return vec![];
    }
    let (mut offences, mut documentation) = (vec![], String::new());
    for (index, line) in file.text.lines().enumerate() {
        let line = line.trim();
        if let Some(words) = line.strip_prefix("///") {
            documentation.push_str(words);
        } else if let Some(constant) = line.strip_prefix("pub const ") {
            if !documentation.contains(|c: char| c.is_ascii_digit()) {
                let name = constant.split(':').next().unwrap_or_default();
                offences.push(Offence::new(&file.path, index + 1, format!("{name} does not tell the sum behind it")));
            }
            documentation.clear();
        } else if !line.starts_with("#[") {
            documentation.clear();
        }
    }
    offences
}

/// A test that does not run is no test.
pub(super) fn no_ignored_tests(source: &Source) -> Vec<Offence> {
    source
        .all_code
        .match_indices("#[ignore")
        .map(|(at, _)| Offence::new(&source.path, source.line(at), "an ignored test: mend it or delete it"))
        .collect()
}

/// A script is bash, parses, and stops at the first failure; what is only sourced needs no opening.
///
/// What is run has a name without ending, what is sourced ends in `.sh`; other endings are not bash.
pub(super) fn script_is_sound(file: &File) -> Vec<Offence> {
    let is_library = file.path.starts_with("scripts/") && file.path.ends_with(".sh");
    let lies_with_scripts = file.path.starts_with("scripts/") || file.path.starts_with(".ci/");
    let has_ending = file.path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    if !(file.path.ends_with(".sh") || lies_with_scripts && !has_ending) {
        return vec![];
    }
    let mut offences = vec![];
    if !is_library && !file.text.starts_with("#!/usr/bin/env bash\n# ") {
        offences.push(Offence::new(&file.path, 1, "does not open with `#!/usr/bin/env bash` and what it is for"));
    }
    if !is_library && !file.text.contains("\nset -euo pipefail\n") {
        offences.push(Offence::new(&file.path, 1, "does not `set -euo pipefail`"));
    }
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(file.text.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        // "bash: line 7: syntax error …"
        let line = said.split("line ").nth(1).and_then(|rest| rest.split(':').next()?.parse().ok()).unwrap_or(1);
        offences.push(Offence::new(&file.path, line, said.lines().next().unwrap_or("bash refuses it").to_owned()));
    }
    offences
}

/// A path that exists on one machine helps nobody else, and tells strangers about it.
pub(super) fn no_machine_path(file: &File) -> Vec<Offence> {
    // Put together here, so that this file does not offend.
    let starts = [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let mut offences = vec![];
    for (index, line) in file.text.lines().enumerate() {
        for start in starts {
            let stands_alone = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || ".-_}~$".contains(c));
            if line.match_indices(start).any(|(at, _)| stands_alone(at)) {
                offences.push(Offence::new(&file.path, index + 1, format!("a path under {start}")));
            }
        }
    }
    offences
}

/// Both databases go through the same steps: same numbers, same names, no gap.
pub(super) fn migrations_match(paths: &[&str]) -> Vec<Offence> {
    const FOLDER: &str = "src/store/migrations";
    let of = |dialect: &str| -> BTreeSet<&str> {
        paths.iter().filter_map(|path| path.strip_prefix(&format!("{FOLDER}/{dialect}/"))).collect()
    };
    let (postgres, sqlite) = (of("postgres"), of("sqlite"));
    let mut offences: Vec<Offence> = postgres
        .symmetric_difference(&sqlite)
        .map(|name| Offence::new(&format!("{FOLDER}/*/{name}"), 1, "is there for one database only"))
        .collect();
    for (index, name) in postgres.iter().enumerate() {
        if !(name.starts_with(&format!("{:04}_", index + 1)) && name.ends_with(".sql")) {
            let what = format!("is not called {:04}_what.sql, as its place in the list asks", index + 1);
            offences.push(Offence::new(&format!("{FOLDER}/postgres/{name}"), 1, what));
        }
    }
    offences
}

#[cfg(test)]
mod fixtures {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::read(&File::new(path, text))
    }

    #[test]
    fn a_file_without_its_purpose_is_refused() {
        assert_eq!(opens_with_purpose(&source("src/x.rs", "//! What it is for.\n")), []);
        for text in ["", "//!\n", "// What.\n", "\n//! Late.\n", "use x;\n"] {
            assert_eq!(opens_with_purpose(&source("src/x.rs", text)).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn a_long_file_is_refused_and_tests_count_apart() {
        let lines = |n: usize| "fn f() {}\n".repeat(n);
        let tests = |n: usize| format!("#[cfg(test)]\nmod tests {{\n{}}}\n", lines(n - 3));
        assert_eq!(is_short(&source("src/x.rs", &(lines(400) + &tests(200)))), []);
        assert_eq!(is_short(&source("src/x.rs", &lines(401))).len(), 1);
        assert_eq!(is_short(&source("src/x.rs", &(lines(401) + &tests(201)))).len(), 2);
        assert_eq!(is_short(&source("src/x.rs", &"// why\n".repeat(401))).len(), 1);
        assert_eq!(is_short(&source("tests/it/x.rs", &lines(401))).len(), 1);
        assert_eq!(is_short(&source("src/x/tests.rs", &lines(999))), []);
        assert_eq!(is_short(&source("src/x/tests/y.rs", &lines(400))), []);
        assert_eq!(is_short(&source("src/x/tests/y.rs", &lines(401))).len(), 1);
    }

    #[test]
    fn a_bound_without_a_figure_is_refused() {
        let text = "//! Bounds.\n\n/// Rows: 10 × 4 kB = 40 kB.\npub const A: usize = 10;\n\n/// Rows.\npub const B: u8 = 1;\n";
        let offences = bounds_have_sums(&File::new("src/limits/mod.rs", text));
        assert_eq!(offences, [Offence::new("src/limits/mod.rs", 7, "B does not tell the sum behind it")]);
        assert_eq!(bounds_have_sums(&File::new("src/other.rs", text)), []);
    }

    #[test]
    fn an_ignored_test_is_refused() {
        let ignored = source("src/x.rs", "#[cfg(test)]\nmod tests {\n    #[ignore]\n    fn t() {}\n}\n");
        assert_eq!(no_ignored_tests(&ignored)[0].line, 3);
        assert_eq!(no_ignored_tests(&source("src/x.rs", "// #[ignore]\n")), []);
    }

    #[test]
    fn a_broken_script_is_refused() {
        let good = "#!/usr/bin/env bash\n# Why.\nset -euo pipefail\nif true; then echo; fi\n";
        assert_eq!(script_is_sound(&File::new("scripts/x", good)), []);
        assert_eq!(script_is_sound(&File::new("scripts/x", &good.replace("; fi", ""))).len(), 1);
        assert_eq!(script_is_sound(&File::new(".ci/run", &good.replace("-euo", "-e"))).len(), 1);
        assert_eq!(script_is_sound(&File::new("scripts/x", &good.replace("# Why.\n", ""))).len(), 1);
        assert_eq!(script_is_sound(&File::new("scripts/lib.sh", "f() { echo; }\n")), []);
        assert_eq!(script_is_sound(&File::new("scripts/kafka/pom.xml", "<project>\n")), []);
        assert_eq!(script_is_sound(&File::new("README.md", "if")), []);
    }

    #[test]
    fn a_machine_path_is_refused() {
        let text = format!("a\nb = \"{}x\"\n", concat!("/ro", "ot/"));
        assert_eq!(no_machine_path(&File::new("README.md", &text))[0].line, 2);
        let url = format!("https://example.com{}x and $HOME/x and ~/x", concat!("/ho", "me/"));
        assert_eq!(no_machine_path(&File::new("README.md", &url)), []);
    }

    #[test]
    fn migrations_out_of_step_are_refused() {
        let path = |dialect: &str, name: &str| format!("src/store/migrations/{dialect}/{name}");
        let check = |names: &[(&str, &str)]| {
            let paths: Vec<String> = names.iter().map(|(dialect, name)| path(dialect, name)).collect();
            migrations_match(&paths.iter().map(String::as_str).collect::<Vec<_>>()).len()
        };
        assert_eq!(check(&[("postgres", "0001_a.sql"), ("sqlite", "0001_a.sql")]), 0);
        assert_eq!(check(&[("postgres", "0001_a.sql")]), 1);
        assert_eq!(check(&[("postgres", "0002_a.sql"), ("sqlite", "0002_a.sql")]), 1);
        assert_eq!(check(&[("postgres", "0001_a.sql"), ("sqlite", "0001_b.sql")]), 2);
    }
}
