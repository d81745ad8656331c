//! The manual pages, made from the flags' own comments: for `man`, and as Markdown for docs/manual.
//!
//! docs/manual/commands.md and docs/manual/environment.md are what [`markdown`] gives; a test fails when they differ.

use crate::env_vars;
use crate::error::CliError;
use clap::{Arg, Command};
use std::fmt::Write as _;

/// One file of the manual.
#[derive(Debug)]
pub(crate) struct Page {
    /// File name.
    pub(crate) name: String,
    /// Contents.
    pub(crate) text: Vec<u8>,
}

/// Pages for `man`: one for the program, one for each command.
pub(crate) fn man(mut root: Command) -> Result<Vec<Page>, CliError> {
    // gives each command its name with those above it, `nopal-store-gc`
    root.build();
    let mut pages = Vec::new();
    man_pages(&root, &mut pages)?;
    Ok(pages)
}

fn man_pages(command: &Command, pages: &mut Vec<Page>) -> Result<(), CliError> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text).map_err(CliError::Output)?;
    pages.push(Page { name: format!("{name}.1"), text });
    visible(command).try_for_each(|child| man_pages(child, pages))
}

/// The same as Markdown, in one page, and a page of the environment's variables.
pub(crate) fn markdown(mut root: Command) -> Vec<Page> {
    root.build();
    let mut text = String::from(
        "# Commands\n\nMade from the comments of the flags by `nopal man`; edit those, then run the tests with `NOPAL_BLESS=1`.\n",
    );
    let shared: Vec<String> = root.get_arguments().map(|arg| arg.get_id().to_string()).collect();
    section(&root, "nopal", 2, &[], &mut text);
    for command in visible(&root) {
        tree(command, "nopal", &shared, &mut text);
    }
    let pages = [("commands.md", text), ("environment.md", environment())];
    pages.into_iter().map(|(name, text)| Page { name: name.to_owned(), text: text.into_bytes() }).collect()
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help")
}

fn tree(command: &Command, parent: &str, shared: &[String], text: &mut String) {
    let name = format!("{parent} {}", command.get_name());
    section(command, &name, 2, shared, text);
    for child in visible(command) {
        tree(child, &name, shared, text);
    }
}

/// One command: what it is for, how it is called, what it takes.
fn section(command: &Command, name: &str, depth: usize, shared: &[String], text: &mut String) {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string().replace("Usage: ", "");
    let hashes = "#".repeat(depth);
    // writing to a string cannot fail
    let _ = write!(text, "\n{hashes} {name}\n\n{}\n\n```text\n{}\n```\n", about.trim(), usage.trim());
    let listed = |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    let own: Vec<&Arg> =
        command.get_arguments().filter(listed).filter(|a| !shared.contains(&a.get_id().to_string())).collect();
    let mut heading = None;
    for arg in own {
        if heading != Some(arg.get_help_heading()) {
            heading = Some(arg.get_help_heading());
            let _ = write!(text, "\n{}\n\n", arg.get_help_heading().map(|h| format!("{h}:")).unwrap_or_default());
        }
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "- `{}`: {}", spelling(arg), help.trim().replace("\n\n", " ").replace('\n', " "));
        for value in arg.get_possible_values().iter().filter(|v| !v.is_hide_set() && v.get_help().is_some()) {
            let help = value.get_help().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  - `{}`: {help}", value.get_name());
        }
    }
}

/// How a flag or argument is written.
fn spelling(arg: &Arg) -> String {
    let values: Vec<String> = match arg.get_value_names() {
        Some(names) if arg.get_action().takes_values() => names.iter().map(|name| name.to_string()).collect(),
        _ => Vec::new(),
    };
    let (short, long) = (arg.get_short().map(|c| format!("-{c}")), arg.get_long().map(|l| format!("--{l}")));
    let flag = [short, long].into_iter().flatten().collect::<Vec<_>>().join(", ");
    match (flag.is_empty(), values.is_empty()) {
        (true, _) => values.join(" "),
        (false, true) => flag,
        (false, false) => format!("{flag} {}", values.join(" ")),
    }
}

fn environment() -> String {
    let mut text =
        String::from("# Environment\n\nEvery variable that nopal reads. An empty value is an unset one.\n\n");
    for variable in env_vars::ALL {
        let about: Vec<&str> = variable.about.lines().map(str::trim).collect();
        let _ = writeln!(text, "- `{}`: {}", variable.name, about.join(" "));
    }
    text
}
