//! `nopal wrap`: wrappers, as makeWrapper and makeBinaryWrapper make them.

use crate::error::CliError;
use crate::output;
use clap::Args;
use nopal_relocate::wrap::flags::{Options, as_bytes, parse};
use nopal_relocate::wrap::{
    Architecture, FlagError, Launch, Layout, Manner, Place, Text, explain, files, make, read, record, wrap_program,
};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Wrap a program: start it with a changed environment, name, folder or arguments
///
///     nopal wrap bin/foo --prefix PATH : /opt/bar/bin --set-default COLOUR always
///
/// hides `bin/foo` as `bin/.foo-wrapped`, and makes a `bin/foo` that starts it; with `--from` and `--to` the program
/// stays where it is. Our own flags stand in front of the program. What follows it are the flags of makeWrapper:
/// `--set VAR VALUE`, `--set-default VAR VALUE`, `--unset VAR`, `--prefix VAR SEPARATOR VALUE`, `--suffix VAR SEPARATOR
/// VALUE`, `--prefix-each`, `--suffix-each`, `--prefix-contents` and `--suffix-contents VAR SEPARATOR WORDS`,
/// `--chdir DIRECTORY`, `--add-flag FLAG`, `--append-flag FLAG`, `--add-flags FLAGS`, `--append-flags FLAGS`,
/// `--argv0 NAME`, `--inherit-argv0`, `--resolve-argv0` and `--run COMMAND`.
///
/// The wrapper is a launcher of a few kilobytes that needs neither a shell nor libc, and data; nothing is compiled.
/// `$VAR`, `${VAR}`, `${VAR:-word}`, `${VAR:+word}`, these without `:`, and `$0` in `--add-flags`, `--append-flags` and `--argv0` are for the
/// launcher. What only bash can do, `--run` above all, is left to the one that `--shell` names.
#[derive(Args, Debug)]
#[command(override_usage = "nopal wrap [OPTIONS] FILE [FLAG]...\n       \
    nopal wrap [OPTIONS] --from FILE --to FILE [FLAG]...\n       \
    nopal wrap --show FILE | --command FILE | --hook")]
pub(crate) struct WrapArgs {
    /// Do not hide the program, which is this one
    #[arg(long, value_name = "FILE", requires = "to")]
    from: Option<PathBuf>,
    /// Where the wrapper of `--from` goes; `-` is standard output
    #[arg(long, value_name = "FILE", requires = "from")]
    to: Option<PathBuf>,
    /// Read flags as makeBinaryWrapper does: `--add-flags` is divided at spaces, names are taken as they are, values of
    /// `--prefix` and `--suffix` are added as a whole, `--inherit-argv0` is the name that was given
    #[arg(long)]
    binary: bool,
    /// The bash for `--run`, and for flags that only it can read
    #[arg(long, value_name = "PATH")]
    shell: Option<PathBuf>,
    /// Put values of variables in values and folders as well; `$ORIGIN` is the folder of the wrapper
    #[arg(long)]
    expand: bool,
    /// Find the program from where the wrapper is, so that both can be moved together
    #[arg(long)]
    relative: bool,
    /// Put the data into the wrapper, so that it is one file; else they are in `.NAME.launch` beside it
    #[arg(long)]
    embed: bool,
    /// Make the wrapper a hard link to this launcher, which is made if it is not there
    #[arg(long, value_name = "FILE", conflicts_with = "embed")]
    launcher: Option<PathBuf>,
    /// The processor: `x86_64`, `i386` or `aarch64`; that of the program, if this is not said
    #[arg(long, value_name = "NAME", value_parser = architecture)]
    arch: Option<Architecture>,
    /// Say what a wrapper does
    #[arg(long, value_name = "FILE")]
    show: Option<PathBuf>,
    /// Print the command that makes the same wrapper
    #[arg(long, value_name = "FILE")]
    command: Option<PathBuf>,
    /// Take values that are missing at the end for empty ones, with a warning, as makeWrapper does without
    #[arg(long)]
    fill: bool,
    /// Print the setup hook that defines makeWrapper, wrapProgram and their kin; with `--binary`, these read flags so
    #[arg(long, conflicts_with_all = ["from", "to", "show", "command"])]
    hook: bool,
    /// The program, unless `--from` names it, and flags
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FILE|FLAG")]
    words: Vec<OsString>,
}

/// The hook, in which the path of nopal and the manner are to be put.
const HOOK: &str = include_str!("../../../nopal-relocate/hooks/make-wrapper.sh");

fn architecture(name: &str) -> Result<Architecture, String> {
    Architecture::from_name(name).ok_or_else(|| "there are launchers for x86_64, i386 and aarch64".to_owned())
}

/// Runs it.
pub(crate) fn run(args: WrapArgs) -> Result<ExitCode, CliError> {
    if let Some(wrapper) = &args.show {
        output::data(&explain::explain(&read(wrapper)?))?;
    } else if let Some(wrapper) = &args.command {
        let launch = read(wrapper)?;
        let command = record::command(&launch.record).unwrap_or_default();
        output::data(&[command, b"\n"].concat())?;
    } else if args.hook {
        output::data(&hook(args.binary)?)?;
    } else {
        wrap(args)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn wrap(mut args: WrapArgs) -> Result<(), CliError> {
    let mut words = as_bytes(std::mem::take(&mut args.words));
    if let (Some(from), Some(to)) = (&args.from, &args.to) {
        files::check_executable(from)?;
        return make_wrapper(&args, from, to, &words);
    }
    if words.first().is_none_or(|word| word.starts_with(b"-")) {
        return Err(CliError::usage_hint(
            "no program is named",
            "the program stands in front of the flags of the wrapper",
        ));
    }
    let program = PathBuf::from(OsString::from_vec(words.remove(0)));
    words.insert(0, b"--inherit-argv0".to_vec());
    wrap_program(&program, |hidden| make_wrapper(&args, hidden, &program, &words))
}

fn make_wrapper(args: &WrapArgs, target: &Path, wrapper: &Path, words: &[Vec<u8>]) -> Result<(), CliError> {
    let is_piped = wrapper == Path::new("-");
    if is_piped && args.relative {
        return Err(CliError::usage("--relative needs to know where the wrapper will be: --to cannot be -"));
    }
    let text = files::target_text(target, wrapper, args.relative)?;
    let manner = if args.binary { Manner::Binary } else { Manner::Shell };
    let options = Options { manner, expands_values: args.expand, shell: args.shell.clone() };
    let launch = parse_filled(text, words, &options, args.fill)?;
    let layout = Layout {
        place: if args.embed { Place::Inside } else { Place::Beside },
        architecture: args.arch,
        shared_launcher: args.launcher.clone(),
    };
    if is_piped {
        return output::data(&files::in_one_file(&launch, target, &layout)?);
    }
    Ok(make(&launch, target, wrapper, &layout)?)
}

/// Reads flags. Where values may be missing at the end, they are empty.
fn parse_filled(target: Text, words: &[Vec<u8>], options: &Options, fills: bool) -> Result<Launch, FlagError> {
    let mut words = words.to_vec();
    loop {
        match parse(target.clone(), &words, options) {
            Err(error @ FlagError::Arity { .. }) if fills => {
                eprintln!("warning: {error}; an empty one is taken");
                words.push(Vec::new());
            }
            parsed => return parsed,
        }
    }
}

/// The hook that calls this program.
fn hook(is_binary: bool) -> Result<Vec<u8>, CliError> {
    let program = std::env::current_exe().map_err(CliError::Program)?;
    let program = record::quote(&program.into_os_string().into_vec());
    let manner = if is_binary { "Binary" } else { "Shell" };
    let hook = HOOK.replace("@nopal@", &String::from_utf8_lossy(&program)).replace("@manner@", manner);
    Ok(hook.into_bytes())
}
