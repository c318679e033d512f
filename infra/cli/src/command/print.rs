//! Output of the commands.

use std::fmt::Display;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::process::ExitCode;

use serde_json::Value;

/// Like `println!`, but a closed pipe (`genmux jobs list | head -1`) is not an error, and what a terminal obeys
/// is escaped.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::command::print::write(&($crate::command::print::lines(&format!($($text)*)) + "\n"))
    };
}
#[cfg(feature = "local")]
pub(super) use say;

/// The result of a command: for people, and for programs.
#[derive(Debug)]
pub(super) struct Output {
    /// Lines, without the last line break.
    pub(super) text: String,
    /// With `--json`.
    pub(super) json: Value,
    /// Whether the command exits with 1.
    pub(super) failed: bool,
    /// Whether the text is a file, which is printed byte by byte.
    pub(super) is_file: bool,
}

impl Output {
    pub(super) fn new(text: impl Display, json: Value) -> Self {
        Self { text: text.to_string(), json, failed: false, is_file: false }
    }

    /// A file: nothing in it is escaped.
    pub(super) fn file(text: impl Display, json: Value) -> Self {
        Self { is_file: true, ..Self::new(text, json) }
    }

    pub(super) fn print(&self, as_json: bool) -> ExitCode {
        if as_json {
            say!("{:#}", self.json);
        } else if self.is_file {
            write(&format!("{}\n", self.text.trim_end()));
        } else {
            say!("{}", self.text.trim_end());
        }
        if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// Text of others on one line: what a terminal obeys is escaped, as JSON does it.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            // Line breaks, and what turns the order of a line around.
            '\u{2028}'
            | '\u{2029}'
            | '\u{061c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => plain.push_str(&escape(char)),
            _ if char.is_control() => plain.push_str(&escape(char)),
            _ => plain.push(char),
        }
    }
    plain
}

/// The same of each line.
pub(super) fn lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

fn escape(char: char) -> String {
    format!("\\u{:04x}", u32::from(char))
}

/// Columns as wide as their content, under a line of headings. A cell may be a text of others.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let rows = rows.iter().map(|row| row.each_ref().map(|cell| plain(cell)));
    let rows: Vec<_> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    let line = |row: &[String; N]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Prints to standard error what does not belong to the result.
pub(super) fn notice(text: impl Display) {
    let _closed = writeln!(stderr(), "{}", lines(&text.to_string()));
}

pub(super) fn warning(text: impl Display) {
    notice(format_args!("warning: {text}"));
}

/// Writes to standard output. A failure other than a closed pipe ends the process: a key that was
/// not shown is lost.
pub(super) fn write(text: &str) {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _closed = writeln!(stderr(), "Error: the output cannot be written: {error}");
            std::process::exit(1)
        }
        Ok(()) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_its_longest_cell() {
        let rows = [["a long name".to_owned(), "1".to_owned()], ["b".to_owned(), String::new()]];
        assert_eq!(table(["NAME", "N"], &rows), "NAME         N\na long name  1\nb\n");
    }

    /// A title and a colour, a new line that looks like another row, a C1 control, and a line turned around.
    #[test]
    fn nothing_that_others_wrote_is_obeyed_by_a_terminal() {
        let hostile = "\u{1b}]0;pwned\u{7}\u{1b}[31m\r\nacct_b  9\t\u{9b}2J\u{7f}\u{202e}\u{2028}é…🎬";
        let shown = "\\u001b]0;pwned\\u0007\\u001b[31m\\u000d\\u000aacct_b  9\\u0009\\u009b2J\\u007f\\u202e\\u2028é…🎬";
        assert_eq!(plain(hostile), shown);
        let text = table(["NAME"], &[[hostile.to_owned()]]);
        assert_eq!(text, format!("NAME\n{shown}\n"));
        assert_eq!(lines(&text), text);
        // JSON is the same value as before.
        let json = lines(&format!("{:#}", serde_json::json!({"a": hostile})));
        assert!(!json.contains(|char: char| char.is_control() && char != '\n'));
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["a"], hostile);
    }
}
