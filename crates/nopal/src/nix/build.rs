//! `nix-build`: evaluate, build, link, print output paths.

use super::flags::{Common, Words, unknown_flag};
use super::{failures, missing};
use crate::commands::installables::stdin;
use crate::error::CliError;
use crate::output;
use nopal_engine::{Engine, Installable, Outputs, RealiseOptions, Source};
use nopal_format::StorePath;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The flags of this command.
#[derive(Debug, Default)]
struct Request {
    operands: Vec<String>,
    expressions: bool,
    attrs: Vec<String>,
    link: Option<PathBuf>,
    no_link: bool,
    dry_run: bool,
    check: bool,
    version: bool,
}

/// Runs it.
pub(crate) fn main(words: Vec<OsString>) -> Result<ExitCode, CliError> {
    let mut common = Common::default();
    common.show_build_logs();
    let request = parse(words, &mut common)?;
    if request.version {
        return super::tell_version("nix-build", &common);
    }
    let context = common.context()?;
    let link = context.settings.absolute(request.link.as_deref().unwrap_or(Path::new("result")));
    let engine = context.settings.open(context.style)?;
    let args = common.auto_args();
    let mut wanted = Vec::new();
    for installable in installables(&engine, &request)? {
        for mut item in engine.instantiate_outputs(&installable, &args, Outputs::Chosen, &mut Vec::new())? {
            // these commands build the one output that a value stands for
            if !item.output.is_empty() {
                item.outputs = vec![item.output.clone()];
            } else if matches!(installable, Installable::Attr { .. }) {
                let drv = engine.config().store_dir.print(&item.drv_path);
                return Err(CliError::Found(format!("derivation '{drv}' lacks an 'outputName' attribute")));
            }
            wanted.push(item);
        }
    }
    if request.dry_run {
        missing::print_always(&engine, &wanted)?;
        return Ok(ExitCode::SUCCESS);
    }
    missing::print(&engine, &wanted)?;
    let options =
        RealiseOptions { check: request.check, keep_difference: engine.config().keep_failed, repair: common.repair };
    let built = failures::realise(&engine, &wanted, &options, common.teller())?;
    let mut numbers: Vec<&StorePath> = Vec::new();
    let mut lines = Vec::new();
    for item in &built {
        let number = numbers.iter().position(|known| **known == item.drv_path).unwrap_or_else(|| {
            numbers.push(&item.drv_path);
            numbers.len() - 1
        });
        for (output, path) in &item.outputs {
            if !request.no_link {
                let mut name = link.as_os_str().to_owned();
                if number > 0 {
                    name.push(format!("-{}", number + 1));
                }
                if output != "out" {
                    name.push(format!("-{output}"));
                }
                engine.store()?.add_root(Path::new(&name), path)?;
            }
            lines.push(engine.config().store_dir.print(path));
        }
    }
    output::lines(lines)?;
    Ok(ExitCode::SUCCESS)
}

fn parse(words: Vec<OsString>, common: &mut Common) -> Result<Request, CliError> {
    let mut words = Words::new(words);
    let mut request = Request::default();
    while let Some(flag) = words.next_flag(&mut request.operands)? {
        match flag.as_str() {
            "-E" | "--expr" => request.expressions = true,
            "-A" | "--attr" => request.attrs.push(words.value(&flag)?),
            "-o" | "--out-link" | "--add-root" => {
                // the last word counts
                request.no_link = false;
                request.link = Some(words.value(&flag)?.into());
            }
            "--no-out-link" | "--no-link" => request.no_link = true,
            "--dry-run" => request.dry_run = true,
            "--check" => request.check = true,
            "--indirect" => {}
            "--version" => request.version = true,
            _ if common.take(&flag, &mut words)? => {}
            _ => return Err(unknown_flag(&flag)),
        }
    }
    Ok(request)
}

/// What is to be built: attributes of each expression, or a derivation in the store.
fn installables(engine: &Engine, request: &Request) -> Result<Vec<Installable>, CliError> {
    let default = ["./default.nix".to_owned()];
    let operands = if request.operands.is_empty() { &default[..] } else { &request.operands };
    let whole = [String::new()];
    let attrs = if request.attrs.is_empty() { &whole[..] } else { &request.attrs };
    let mut all = Vec::new();
    for operand in operands {
        if !request.expressions && engine.config().store_dir.contains(operand) {
            all.push(Installable::StorePath(operand.clone()));
            continue;
        }
        let source = match operand.as_str() {
            "-" => stdin()?,
            text if request.expressions => Source::Expr(text.to_owned()),
            path => Source::File(PathBuf::from(path)),
        };
        all.extend(attrs.iter().map(|path| Installable::Attr { source: source.clone(), attr_path: path.clone() }));
    }
    Ok(all)
}

/// Makes a root and says where it is: what `--add-root` prints instead of the store path.
pub(super) fn root(engine: &Engine, link: &Path, path: &StorePath) -> Result<String, CliError> {
    // without `./`
    let link: PathBuf = engine.config().working_dir.join(link).components().collect();
    engine.store()?.add_root(&link, path)?;
    Ok(link.display().to_string())
}
