//! Output of the commands.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};

/// Like `println!`, but a closed pipe (`genmux jobs list | head -1`) is not an error.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::command::print::write(format_args!("{}\n", format_args!($($text)*)))
    };
}
pub(super) use say;

/// Prints text that has its own line breaks.
pub(super) fn text(text: impl std::fmt::Display) {
    write(format_args!("{text}"));
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
