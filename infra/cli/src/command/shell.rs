//! `genmux completions` and `genmux man`, derived from the command line's definition.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use serde_json::json;

use super::Cli;
use super::print::Output;

pub(super) fn completions(shell: Shell) -> Result<Output> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "genmux", &mut text);
    let text = String::from_utf8(text)?;
    let json = json!({"shell": shell.to_string(), "script": text});
    Ok(Output::file(text, json))
}

/// One page: the options of `genmux`, then each command with its own.
pub(super) fn manual() -> Result<Output> {
    let mut root = Cli::command();
    root.build();
    let mut text = Vec::new();
    clap_mangen::Man::new(root.clone()).render(&mut text)?;
    for command in root
        .get_subcommands()
        .flat_map(|command| std::iter::once(command).chain(command.get_subcommands()))
        .filter(|command| command.get_name() != "help")
    {
        let page = clap_mangen::Man::new(command.clone());
        text.extend_from_slice(
            format!(".SH \"{}\"\n", command.get_bin_name().unwrap_or_default()).as_bytes(),
        );
        page.render_description_section(&mut text)?;
        page.render_options_section(&mut text)?;
    }
    let text = String::from_utf8(text)?;
    let json = json!({"page": text});
    Ok(Output::file(text, json))
}
