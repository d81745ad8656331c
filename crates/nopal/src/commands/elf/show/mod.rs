//! `nopal elf show`

mod json;
mod text;

use super::loader::LoaderArgs;
use crate::cli::Context;
use crate::error::CliError;
use crate::output;
use clap::Args;
use nopal_elf::Start;
use nopal_elf::read::{Image, SymbolChecks};
use nopal_elf::resolve::{LoaderConfig, Resolution, Rule, RunPathEntry, Tree as _, resolve, run_path};
use nopal_relocate::Loader;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::process::ExitCode;

/// Explain programs and libraries: what they need, and where the loader finds it
///
/// Nothing is run, so the files may be for any machine. Libraries are looked for as the loader of glibc does it:
/// directories it was built with and the name of its cache are read from the loader itself. What is said to be
/// opened in vain is what a start of the program asks the file system for and does not get. The exit code is 1 if
/// something that a file needs is not found.
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// Programs and libraries; with `--root`, paths below that
    #[arg(required = true, value_name = "FILE")]
    files: Vec<OsString>,
    /// Print JSON, an array with an object for each file
    #[arg(long)]
    json: bool,
    /// List all libraries in the order in which symbols are looked for, and all that is opened in vain
    #[arg(long, short)]
    all: bool,
    #[command(flatten)]
    loader: LoaderArgs,
}

/// All that is known about a file.
struct Report {
    /// As the user named it.
    path: Vec<u8>,
    image: Image,
    /// How it starts by itself, if it does.
    start: Option<Start>,
    /// What symbols say of how it was compiled; nothing if they cannot be read.
    checks: Option<SymbolChecks>,
    loader: Loader,
    /// Its run path, with what each entry means to the loader.
    run_path: Vec<RunPathEntry>,
    libraries: Libraries,
}

/// What a file loads.
enum Libraries {
    /// It loads nothing.
    None,
    /// The loader is not there, or none of glibc's.
    Unknown(&'static str),
    Found(Box<Resolution>),
}

/// Runs it.
pub(super) fn run(context: &Context, args: &ShowArgs) -> Result<ExitCode, CliError> {
    let mut reports = Vec::new();
    for file in &args.files {
        reports.push(report(context, args, file.as_bytes())?);
    }
    if args.json {
        output::json(&reports.iter().map(json::render).collect())?;
    } else {
        let texts: Vec<_> = reports.iter().map(|report| text::render(report, args.all)).collect();
        output::data(texts.join("\n").as_bytes())?;
    }
    let is_complete = |report: &Report| match &report.libraries {
        Libraries::Found(resolution) => resolution.is_complete(),
        Libraries::None | Libraries::Unknown(_) => true,
    };
    Ok(if reports.iter().all(is_complete) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(context: &Context, args: &ShowArgs, path: &[u8]) -> Result<Report, CliError> {
    let tree = args.loader.tree(&context.settings.absolute(Path::new("")))?;
    let real = tree.real(path).unwrap_or_else(|| OsString::from_vec(path.to_vec()).into());
    let file = nopal_fs::RandomFile::open(&real)?;
    let file = nopal_relocate::TreeFile::from(file);
    let unreadable = |source| CliError::Elf { path: real.clone(), source };
    let mut image = Image::read(&file).map_err(unreadable)?;
    let start = Start::read(&file);
    if let Some(start) = &start {
        image.interpreter = start.place(&tree.canonical(path).unwrap_or_default(), &start.loader);
    }
    let loader = args.loader.loader(&tree, &image);
    let libraries = match (&image.dynamic, &loader.config) {
        (None, _) => Libraries::None,
        (_, Some(config)) => Libraries::Found(Box::new(resolve(&tree, path, config, &args.loader.environment())?)),
        (_, None) if loader.is_there => Libraries::Unknown("the interpreter is no loader of glibc"),
        (_, None) => Libraries::Unknown("the interpreter is not there"),
    };
    let run_path = image
        .dynamic
        .as_ref()
        .map(|dynamic| run_path(&tree, path, dynamic, loader.config.as_ref().unwrap_or(&LoaderConfig::default())));
    // tables of symbols that make no sense keep nobody from looking at the rest
    let checks = SymbolChecks::read(&image, &file).ok().flatten();
    Ok(Report { path: path.to_vec(), image, start, checks, loader, run_path: run_path.unwrap_or_default(), libraries })
}

impl Report {
    /// Whether libraries that this one loads inherit its run path.
    fn is_inherited(&self) -> bool {
        self.image.dynamic.as_ref().is_some_and(|dynamic| dynamic.runpath.is_none() && dynamic.rpath.is_some())
    }
}

/// By what a file was found.
fn rule(resolution: &Resolution, object: usize) -> String {
    match resolution.objects[object].rule {
        Rule::Program => "itself".to_owned(),
        Rule::Loader => "the loader".to_owned(),
        Rule::Path => "by path".to_owned(),
        Rule::Rpath(owner) if resolution.objects[object].loader == Some(owner) => "RPATH".to_owned(),
        Rule::Rpath(owner) => format!("RPATH of {}", lossy(&resolution.objects[owner].path)),
        Rule::LibraryPath => "library path".to_owned(),
        Rule::Note => "note".to_owned(),
        Rule::Runpath => "RUNPATH".to_owned(),
        Rule::Cache => "ld.so.cache".to_owned(),
        Rule::Default => "default directory".to_owned(),
    }
}

/// Text of bytes that are text as a rule.
fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
