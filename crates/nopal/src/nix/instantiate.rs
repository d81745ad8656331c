//! `nix-instantiate`: parse, evaluate, or write derivations and print their paths.

use super::flags::{Common, Words, unknown_flag};
use crate::commands::installables::stdin;
use crate::error::CliError;
use crate::output;
use nopal_engine::{Engine, EvalFormat, EvalRequest, Habits, Installable, Outputs, Source};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Instantiate,
    Eval,
    Parse,
    FindFile,
    Version,
}

/// The flags of this command.
#[derive(Debug, Default)]
struct Request {
    mode: Mode,
    operands: Vec<String>,
    expressions: bool,
    attrs: Vec<String>,
    format: Format,
    location: bool,
    strict: bool,
    read_write: bool,
    root: Option<PathBuf>,
}

/// How a value is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    #[default]
    Nix,
    Json,
    Xml,
    Raw,
}

/// Runs it.
pub(crate) fn main(words: Vec<OsString>) -> Result<ExitCode, CliError> {
    let mut common = Common::default();
    let request = parse(words, &mut common)?;
    if request.mode == Mode::Version {
        output::line(&format!("nix-instantiate (Nix) {}", super::VERSION))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut context = common.context()?;
    context.settings.evaluate_read_only(request.mode != Mode::Instantiate && !request.read_write);
    if request.operands.len() <= 1 && request.attrs.len() <= 1 {
        context.settings.leave_memory();
    }
    let engine = context.settings.open(context.style)?;
    if request.mode == Mode::FindFile {
        for name in &request.operands {
            output::line(&engine.find_file(name)?.display().to_string())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut roots = 0;
    let sources = sources(&request)?;
    if request.mode == Mode::Parse {
        engine.parse(&sources, output::data)?;
        return Ok(ExitCode::SUCCESS);
    }
    for source in sources {
        let whole = [String::new()];
        let attrs = if request.attrs.is_empty() { &whole[..] } else { &request.attrs };
        for attr_path in attrs {
            one(&engine, &request, &common, source.clone(), attr_path, &mut roots)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(words: Vec<OsString>, common: &mut Common) -> Result<Request, CliError> {
    let mut words = Words::new(words);
    let mut request = Request { location: true, ..Request::default() };
    while let Some(flag) = words.next_flag(&mut request.operands)? {
        match flag.as_str() {
            "--eval" | "--eval-only" => request.mode = Mode::Eval,
            "--parse" | "--parse-only" => request.mode = Mode::Parse,
            "--find-file" => request.mode = Mode::FindFile,
            "-E" | "--expr" => request.expressions = true,
            "-A" | "--attr" => request.attrs.push(words.value(&flag)?),
            "--json" => request.format = Format::Json,
            "--xml" => request.format = Format::Xml,
            "--raw" => request.format = Format::Raw,
            "--no-location" => request.location = false,
            "--strict" => request.strict = true,
            "--read-write-mode" => request.read_write = true,
            "--add-root" => request.root = Some(words.value(&flag)?.into()),
            // roots are always indirect
            "--indirect" => {}
            "--version" => request.mode = Mode::Version,
            _ if common.take(&flag, &mut words)? => {}
            _ => return Err(unknown_flag(&flag)),
        }
    }
    Ok(request)
}

/// The expressions to work on: files, texts, or standard input. Without any, `./default.nix`.
fn sources(request: &Request) -> Result<Vec<Source>, CliError> {
    if request.operands.is_empty() && !request.expressions {
        return Ok(vec![Source::File(PathBuf::from("./default.nix"))]);
    }
    let source = |operand: &String| match operand.as_str() {
        "-" => stdin(),
        text if request.expressions => Ok(Source::Expr(text.to_owned())),
        path => Ok(Source::File(PathBuf::from(path))),
    };
    request.operands.iter().map(source).collect()
}

fn one(
    engine: &Engine,
    request: &Request,
    common: &Common,
    source: Source,
    attr_path: &str,
    roots: &mut usize,
) -> Result<(), CliError> {
    let attr_path = attr_path.to_owned();
    let args = common.auto_args();
    if request.mode == Mode::Instantiate {
        let what = Installable::Attr { source, attr_path };
        let mut before = Vec::new();
        let (wanted, failure) = match engine.instantiate_outputs(&what, &args, Outputs::Chosen, &mut before) {
            Ok(all) => (all, None),
            Err(error) => (before, Some(error)),
        };
        for item in wanted {
            let path = engine.config().store_dir.print(&item.drv_path);
            if item.output.is_empty() {
                return Err(CliError::Found(format!("derivation '{path}' lacks an 'outputName' attribute")));
            }
            let shown = match &request.root {
                Some(root) => {
                    let mut name = root.clone().into_os_string();
                    *roots += 1;
                    if *roots > 1 {
                        name.push(format!("-{roots}"));
                    }
                    super::build::root(engine, Path::new(&name), &item.drv_path)?
                }
                None => {
                    super::warn_of_garbage(engine);
                    path
                }
            };
            let suffix = if item.output == "out" { String::new() } else { format!("!{}", item.output) };
            output::line(&format!("{shown}{suffix}"))?;
        }
        return failure.map_or(Ok(()), |error| Err(error.into()));
    }
    let format = match request.format {
        Format::Nix => EvalFormat::Instantiate,
        Format::Json => EvalFormat::Json,
        Format::Xml => EvalFormat::Xml { location: request.location },
        Format::Raw => EvalFormat::Raw,
    };
    output::data(&engine.eval(&EvalRequest {
        source,
        attr_path,
        args,
        format,
        strict: request.strict,
        habits: Habits::Instantiate,
    })?)
}
