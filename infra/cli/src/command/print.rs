//! Output of the commands.

use std::fmt::{Arguments, Display};
use std::io::{ErrorKind, Write, stderr, stdout};
use std::process::ExitCode;

use serde_json::Value;

/// Like `println!`, but a closed pipe (`genmux jobs list | head -1`) is not an error.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::command::print::write(format_args!("{}\n", format_args!($($text)*)))
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
}

impl Output {
    pub(super) fn new(text: impl Display, json: Value) -> Self {
        Self { text: text.to_string(), json, failed: false }
    }

    pub(super) fn print(&self, as_json: bool) -> ExitCode {
        if as_json {
            say!("{:#}", self.json);
        } else {
            say!("{}", self.text.trim_end());
        }
        if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// A text of others on one line: what would command the terminal, or turn the direction of writing, is escaped.
pub(super) fn plain(text: &str) -> String {
    let commands = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| if commands(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// Columns as wide as their content, under a line of headings.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let headings = headings.map(str::to_owned);
    let rows = rows.iter().map(|row| row.each_ref().map(|cell| plain(cell)));
    let rows: Vec<_> = std::iter::once(headings).chain(rows).collect();
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
    let _closed = writeln!(stderr(), "{text}");
}

pub(super) fn warning(text: impl Display) {
    notice(format_args!("warning: {text}"));
}

/// Writes to standard output. A failure other than a closed pipe ends the process: a key that was
/// not shown is lost.
pub(super) fn write(text: Arguments<'_>) {
    let mut out = stdout().lock();
    match out.write_fmt(text).and_then(|()| out.flush()) {
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
        let foreign = [["\u{1b}[2J".to_owned(), "a\nb".to_owned()]];
        assert_eq!(table(["NAME", "N"], &foreign), "NAME         N\n\\u{1b}[2J    a\\u{a}b\n");
    }
}
