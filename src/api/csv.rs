//! Lines of CSV files that we write, for spreadsheets that take cells for formulas.
//!
//! Reads nothing; files that come in are read by [`crate::domain::recipient_csv`].

/// Writes a line.
pub fn push_line(text: &mut String, cells: &[String]) {
    for (at, cell) in cells.iter().enumerate() {
        text.push_str(if at == 0 { "" } else { "," });
        push_cell(text, cell);
    }
    text.push_str("\r\n");
}

/// Writes a cell; one that begins like a formula gets an apostrophe in front, which spreadsheets hide.
fn push_cell(text: &mut String, cell: &str) {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let quoted = formula || cell.contains([',', '"', '\r', '\n']);
    if !quoted {
        text.push_str(cell);
        return;
    }
    text.push('"');
    text.push_str(if formula { "'" } else { "" });
    text.push_str(&cell.replace('"', "\"\""));
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_defused() {
        let check = |cell: &str| {
            let mut text = String::new();
            push_cell(&mut text, cell);
            text
        };
        assert_eq!(check("919876543210"), "919876543210");
        assert_eq!(check(""), "");
        assert_eq!(check("a,b"), "\"a,b\"");
        assert_eq!(check("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(check("=1+1"), "\"'=1+1\"");
        for formula in ["+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0"] {
            assert!(check(formula).starts_with("\"'"), "{formula:?}");
        }
    }
}
