//! Tables and properties of recipient files.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

/// Reads a file in chunks of the given sizes, repeated.
fn rows(file: &[u8], sizes: &[usize]) -> (Vec<Row>, Result<(), FileProblem>) {
    let mut rows = Vec::new();
    let mut csv = RecipientCsv::new();
    let mut rest = file;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, more) = rest.split_at(rest.len().min((*size).max(1)));
        rest = more;
        if let Err(problem) = csv.feed(chunk, &mut |row| rows.push(row)) {
            return (rows, Err(problem));
        }
    }
    let finished = csv.finish(&mut |row| rows.push(row));
    (rows, finished)
}

fn show(row: &Row) -> String {
    match row {
        Row::Good { line, recipient, variables } => {
            let mut shown = format!("{line} {}", recipient.as_str());
            for (name, value) in variables.iter() {
                write!(shown, " {name}={value:?}").unwrap();
            }
            shown
        }
        Row::Bad { line, problem } => format!("{line} ! {problem}"),
    }
}

/// Reads a file whole and byte by byte; answers its rows, or its problem, as text.
fn check(file: impl AsRef<[u8]>) -> Vec<String> {
    let file = file.as_ref();
    let whole = rows(file, &[usize::MAX]);
    assert_eq!(whole, rows(file, &[1]), "byte by byte");
    assert_eq!(whole, rows(file, &[3, 1, 7]), "in threes, ones and sevens");
    let mut shown: Vec<String> = whole.0.iter().map(show).collect();
    if let Err(problem) = whole.1 {
        shown.push(problem.to_string());
    }
    shown
}

const RAGGED_1_2: &str = "The row has 1 fields, the header has 2.";

#[test]
fn usual_files_are_read() {
    let two = ["2 919876543210 name=\"Ana\"", "3 919876543211 name=\"Bob\""];
    for file in [
        "phone,name\n919876543210,Ana\n919876543211,Bob\n",
        "phone,name\n919876543210,Ana\n919876543211,Bob",
        "\u{feff}phone,name\r\n919876543210,Ana\r\n919876543211,Bob\r\n",
        "phone,name\r919876543210,Ana\r919876543211,Bob\r",
        "phone;name\n919876543210;Ana\n919876543211;Bob\n",
        "phone\tname\n919876543210\tAna\n919876543211\tBob\n",
        "name, Mobile \nAna,919876543210\nBob,+91 98765 43211\n",
        "\"phone\",\"name\"\n\"919876543210\",\"Ana\"\n\"919876543211\" , Bob \n",
        "\u{feff}\"Phone Number\";name\n919876543210;Ana\n\u{feff}919876543211;Bob\n",
        "PHONE_NUMBER,,name\n919876543210,x,Ana\n919876543211,,Bob\n",
    ] {
        assert_eq!(check(file), two, "{file:?}");
    }
}

#[test]
fn lines_are_counted_as_an_editor_shows_them() {
    let file = "\n \r\n\u{feff}\nphone,note\n\n919876543210,\"a\nb\r\nc\"\r\n\r\n,\n  ,\t\n919876543211,\"d\"\"e\"\n\r\rnot,x\n";
    assert_eq!(
        check(file),
        [
            "6 919876543210 note=\"a\\nb\\r\\nc\"",
            "12 919876543211 note=\"d\\\"e\"",
            "15 ! Valid phone number is required: the character at position 1 does not belong there.",
        ]
    );
    assert_eq!(
        check("phone,\"a\nb\"\n919876543210,x\n"),
        ["Column 2 cannot be a variable: its name is too long or has a brace, bar, backslash or control character."]
    );
}

#[test]
fn bad_rows_are_left_out_and_the_others_kept() {
    let mut file = b"phone,name\n919876543210,Ana\n".to_vec();
    file.extend(b"919876543211,Jos\xe9\n"); // Latin 1.
    file.extend(b"\xc3,\xa9\n"); // Not valid, though it would be without the comma.
    file.extend(b"919876543212\n919876543212,a,b\n919876543212,a,b,c,d,e,f\n");
    file.extend(b",Nobody\n12345,Short\n");
    file.extend(format!("919876543213,{}\n", "x".repeat(1_025)).bytes());
    file.extend("919876543214,Ана\n".bytes());
    assert_eq!(
        check(&file),
        [
            "2 919876543210 name=\"Ana\"",
            "3 ! The row is not UTF-8 text: export the file as CSV UTF-8.",
            "4 ! The row is not UTF-8 text: export the file as CSV UTF-8.",
            &format!("5 ! {RAGGED_1_2}"),
            "6 ! The row has 3 fields, the header has 2.",
            "7 ! The row has 7 fields, the header has 2.",
            "8 ! Valid phone number is required: it is empty.",
            "9 ! Valid phone number is required: it has too few digits for its country.",
            "10 ! The value of the variable name is longer than 1024 characters.",
            "11 919876543214 name=\"Ана\"",
        ]
    );
}

#[test]
fn a_row_too_long_costs_its_own_line() {
    let long = "x".repeat(ROW_BYTES_MAX);
    let problem = "The row is longer than 65536 bytes; lines up to 2 are left out.";
    for row in [format!("919876543210,{long}"), format!("919876543210,\"{long}"), ",".repeat(70_000)] {
        let shown = check(format!("phone,name\n{row}\r\n919876543211,Bob\n"));
        let expected = if row.starts_with(',') { vec![] } else { vec![format!("2 ! {problem}")] };
        assert_eq!(shown, [expected, vec!["3 919876543211 name=\"Bob\"".to_owned()]].concat());
    }
    let last = check(format!("phone,name\n919876543210,{long}"));
    assert_eq!(last, [format!("2 ! {problem}")]);
}

#[test]
fn an_open_quote_costs_64_lines_and_not_the_file() {
    let mut file = "phone,name\n919876543210,\"Ana\n".to_owned();
    for n in 0..100 {
        writeln!(file, "9198765{n:05},Bob").unwrap();
    }
    let shown = check(&file);
    let problem = "A quote is opened in this row and not closed; lines up to 65 are left out.";
    assert_eq!(shown[0], format!("2 ! {problem}"));
    assert_eq!(shown[1], "66 919876500063 name=\"Bob\"");
    assert_eq!(shown.len(), 1 + 37);

    let at_end = "phone,name\n919876543210,\"Ana\n919876543211,Bob\n";
    let problem = "A quote is opened in this row and not closed; lines up to 4 are left out.";
    assert_eq!(check(at_end), [format!("2 ! {problem}")]);
    // As many lines as allowed, and closed.
    let closed = format!("phone,name\n919876543210,\"{}a\"\n919876543211,Bob\n", "\n".repeat(63));
    assert_eq!(check(closed).len(), 2);
}

#[test]
fn files_that_cannot_be_read_are_explained() {
    let wide = format!("phone{}\n", ",v".repeat(33));
    let long = format!("phone,{}\n", "v".repeat(65));
    let endless = format!("phone,{}", "v".repeat(20_000));
    let quoted = format!("phone,\"{}", "\n".repeat(20_000));
    let no_phone = FileProblem::NoPhoneColumn;
    let table: [(&[u8], FileProblem); 16] = [
        (b"", FileProblem::Empty),
        (b"\n\r\n  \n", FileProblem::Empty),
        (b"\xef\xbb\xbf", FileProblem::Empty),
        (b"name,city\nAna,Rome\n", no_phone.clone()),
        (b"919876543210\n919876543211\n", no_phone.clone()),
        (b"phone|name\n", no_phone),
        (b"\"phone\",\"name\n919876543210,x\n", FileProblem::OpenQuote),
        (b"n\xe9,x\n", FileProblem::NotUtf8),
        (b"phone,pr\xe9nom\n", FileProblem::NotUtf8),
        (b"\xff\xfep\0h\0o\0n\0e\0\n\0", FileProblem::NotUtf8),
        (b"PK\x03\x04\x14\0\n", FileProblem::Spreadsheet),
        (wide.as_bytes(), FileProblem::TooManyColumns { found: 34 }),
        (long.as_bytes(), FileProblem::BadColumn { column: 2 }),
        (b"phone,{{x}}\n", FileProblem::BadColumn { column: 2 }),
        (endless.as_bytes(), FileProblem::HeaderTooLong),
        (quoted.as_bytes(), FileProblem::HeaderTooLong),
    ];
    for (file, expected) in table {
        let start = String::from_utf8_lossy(&file[..file.len().min(40)]).into_owned();
        assert_eq!(check(file), [expected.to_string()], "{start:?}");
    }
    let twice = FileProblem::DuplicateColumn { name: "Name".to_owned() };
    assert_eq!(check("phone,name,Name\n"), [twice.to_string()]);
    assert_eq!(check("phone,phone\n919876543210,x\n"), ["2 919876543210 phone=\"x\""]);
}

#[test]
fn the_most_telling_phone_column_is_taken() {
    let file = "mobile,to,Phone\n919876543210,919876543211,919876543212\n";
    assert_eq!(check(file), ["2 919876543212 mobile=\"919876543210\" to=\"919876543211\""]);
    // A stray quote and the other delimiters inside a name.
    let file = "size 5\";a,b;number\n1;2;919876543210\n";
    assert_eq!(check(file), ["2 919876543210 a,b=\"2\" size 5\"=\"1\""]);
}

#[test]
fn a_failed_file_stays_failed() {
    let mut csv = RecipientCsv::new();
    let sink = &mut |row| panic!("{row:?}");
    assert_eq!(csv.feed(b"name\n", sink), Err(FileProblem::NoPhoneColumn));
    assert_eq!(csv.feed(b"phone\n919876543210\n", sink), Err(FileProblem::NoPhoneColumn));
    assert_eq!(csv.finish(sink), Err(FileProblem::NoPhoneColumn));
}

#[test]
fn a_long_file_passes_through_in_one_row_of_memory() {
    let n_rows = if cfg!(debug_assertions) { 100_000_u64 } else { 1_000_000 };
    let (mut n_good, mut n_bad, mut last_line) = (0_u64, 0_u64, 1);
    let mut sink = |row| match row {
        Row::Good { line, .. } => {
            (n_good, last_line) = (n_good + 1, line);
        }
        Row::Bad { line, .. } => {
            (n_bad, last_line) = (n_bad + 1, line);
        }
    };
    let mut csv = RecipientCsv::new();
    csv.feed(b"phone;name;city\r\n", &mut sink).unwrap();
    let mut chunk = String::new();
    for n in 0..n_rows {
        let prefix = if n % 100 == 0 { "x" } else { "" };
        write!(chunk, "{prefix}9198{n:08};\"Ana \"\"{n}\"\"\";Rome\r\n").unwrap();
        if 16_000 < chunk.len() {
            csv.feed(chunk.as_bytes(), &mut sink).unwrap();
            chunk.clear();
        }
    }
    csv.feed(chunk.as_bytes(), &mut sink).unwrap();
    let Stage::Rows(state) = &csv.stage else { panic!("the header was good") };
    assert_eq!((state.fields.len(), state.ends.len()), (ROW_BYTES_MAX, 4));
    csv.finish(&mut sink).unwrap();
    assert_eq!((n_good, n_bad, last_line), (n_rows / 100 * 99, n_rows / 100, n_rows + 1));
}

#[test]
fn a_report_counts_all_and_names_the_first() {
    let mut report = ImportReport::default();
    report.add_accepted(7);
    report.add_accepted(3);
    report.add_duplicates(2);
    for line in 2..200 {
        report.add_rejected(line, &RowProblem::NotUtf8);
    }
    assert_eq!((report.accepted, report.duplicates, report.rejected), (10, 2, 198));
    assert_eq!(report.first_problems.len(), PROBLEMS_MAX);
    assert_eq!(report.first_problems[99].line, 101);
    let one = ImportReport { first_problems: report.first_problems[..1].to_vec(), ..ImportReport::default() };
    let problem = "The row is not UTF-8 text: export the file as CSV UTF-8.";
    let json =
        format!(r#"{{"accepted":0,"duplicates":0,"rejected":0,"firstProblems":[{{"line":2,"problem":"{problem}"}}]}}"#);
    assert_eq!(serde_json::to_string(&one).unwrap(), json);
}

#[test]
fn what_is_logged_of_a_row_holds_no_address() {
    let (rows, _) = rows(b"phone,name\n919876543210,Ana\nAna,Bob\n", &[usize::MAX]);
    let shown = format!("{rows:?}");
    assert!(!shown.contains("9876") && !shown.contains("Ana") && !shown.contains("Bob"), "{shown}");
}

/// Bytes that are likely to hurt.
fn any_file() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"phone".to_vec()),
        Just(b"name".to_vec()),
        Just(b"919876543210".to_vec()),
        Just(b"\xef\xbb\xbf".to_vec()),
        Just(b"\xe9".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(vec![b'x'; 9_000]),
        Just(vec![b'\n'; 40]),
        prop::sample::select(b",;\t\"\n\r \0".to_vec()).prop_map(|byte| vec![byte]),
        prop::sample::select(b",\"\n".to_vec()).prop_map(|byte| vec![byte]),
        any::<u8>().prop_map(|byte| vec![byte]),
    ];
    let header = prop_oneof![
        Just(Vec::new()),
        Just(b"phone,name\n".to_vec()),
        Just(b"\xef\xbb\xbfname;phone;\"x\ny\"\r\n".to_vec()),
        Just(b"phone,name,a,b\r".to_vec()),
    ];
    (header, prop::collection::vec(piece, 0..60)).prop_map(|(mut file, pieces)| {
        file.extend(pieces.concat());
        file
    })
}

proptest! {
    #[test]
    fn any_cut_of_the_same_bytes_gives_the_same_rows(
        file in any_file(),
        sizes in prop::collection::vec(1_usize..50, 1..20),
    ) {
        prop_assert_eq!(rows(&file, &[usize::MAX]), rows(&file, &sizes));
    }

    #[test]
    fn any_bytes_are_read_or_refused(file in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let (rows, _) = rows(&file, &[64]);
        prop_assert!(rows.len() <= file.len());
    }

    #[test]
    fn every_row_written_by_the_rules_is_read_back(
        cells in prop::collection::vec((6_000_000_000_u64..10_000_000_000, "[^\0]{0,20}"), 1..30),
        delimiter in prop::sample::select(vec![',', ';', '\t']),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        let mut file = format!("phone{delimiter}note{line_end}");
        for (n, note) in &cells {
            let quoted = note.replace('"', "\"\"");
            write!(file, "91{n}{delimiter}\"{quoted}\"{line_end}").unwrap();
        }
        let (rows, finished) = rows(file.as_bytes(), &[17]);
        prop_assert_eq!(finished, Ok(()));
        prop_assert_eq!(rows.len(), cells.len());
        for (row, (n, note)) in rows.iter().zip(&cells) {
            let Row::Good { recipient, variables, .. } = row else { panic!("{row:?}") };
            prop_assert_eq!(recipient.as_str(), format!("91{n}"));
            prop_assert_eq!(variables.get("note").unwrap_or(""), note.trim());
        }
    }

    #[test]
    fn lines_of_rows_rise_and_lie_within_the_file(file in any_file()) {
        let (rows, _) = rows(&file, &[usize::MAX]);
        let n_breaks = file.iter().filter(|byte| is_line_end(**byte)).count() as u64;
        let mut before = 1;
        for row in &rows {
            let (Row::Good { line, .. } | Row::Bad { line, .. }) = row;
            prop_assert!(before < *line && *line <= n_breaks + 1);
            before = *line;
        }
    }
}
