//! What `--help` shows: the commands and flags of a command.

use super::{Arg, Command, Flag, GLOBAL};
use std::fmt::Write as _;

/// The help of the command at the end of a path, the program first.
pub(crate) fn text(path: &[&'static Command]) -> String {
    let Some(command) = path.last() else { return String::new() };
    let names: Vec<&str> = path.iter().map(|command| command.name).collect();
    let args: String = command.args.iter().map(|arg| format!(" {}", usage(arg))).collect();
    let sub = if command.commands().is_empty() { "" } else { " subcommand" };
    let mut text =
        format!("{} - {}\n\nUsage: {} [option...]{sub}{args}\n", names.join(" "), command.about, names.join(" "));
    if !command.commands().is_empty() {
        text += "\nCommands:\n";
        for sub in command.commands() {
            let _ = writeln!(text, "  {} {} - {}", names.join(" "), sub.name, sub.about);
        }
    }
    for (title, flags) in [("Options", command.flags), ("Options of every command", &[GLOBAL][..])] {
        let flags: Vec<&Flag> = flags.iter().flat_map(|group| group.iter()).collect();
        if flags.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{title}:");
        for flag in flags {
            let short = flag.short.map(|letter| format!("-{letter}, ")).unwrap_or_default();
            let labels: String = flag.labels.iter().map(|label| format!(" {label}")).collect();
            let _ = writeln!(text, "  {short}--{}{labels}\n      {}", flag.long, flag.about);
        }
    }
    text
}

fn usage(arg: &Arg) -> String {
    match (arg.many, arg.optional) {
        (true, _) => format!("{}...", arg.label),
        (false, true) => format!("[{}]", arg.label),
        (false, false) => arg.label.to_owned(),
    }
}
