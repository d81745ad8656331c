//! `nix-store`: operations on the store, a function each.

pub(super) mod garbage;
mod query;
mod registration;

use super::failures::{self, Teller};
use super::flags::{Common, Words};
use super::missing;
use crate::error::CliError;
use crate::output;
use crate::settings::Settings;
use nopal_engine::{Engine, EngineError, Installable, RealiseOptions, Wanted};
use nopal_format::content_address::ContentAddressMethod;
use nopal_format::store_path::References;
use nopal_format::{ContentAddress, Hash, HashAlgorithm, StorePath};
use nopal_report::Level;
use nopal_store::{AddOptions, VerifyOptions};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Realise,
    Query,
    Add,
    /// With the name of a hash algorithm before the files.
    AddFixed,
    PrintFixedPath,
    Delete,
    Dump,
    Restore,
    Export,
    Import,
    Init,
    Verify,
    VerifyPath,
    Gc,
    Validity,
    ReadLog,
    PrintEnv,
    DumpDb,
    LoadDb,
    Register,
    Optimise,
    NewKey,
    Version,
}

/// Names of operations.
const OPERATIONS: &[(&str, Operation)] = &[
    ("--realise", Operation::Realise),
    ("--realize", Operation::Realise),
    ("-r", Operation::Realise),
    ("--add", Operation::Add),
    ("-A", Operation::Add),
    ("--add-fixed", Operation::AddFixed),
    ("--print-fixed-path", Operation::PrintFixedPath),
    ("--delete", Operation::Delete),
    ("--query", Operation::Query),
    ("-q", Operation::Query),
    ("--print-env", Operation::PrintEnv),
    ("--read-log", Operation::ReadLog),
    ("-l", Operation::ReadLog),
    ("--dump-db", Operation::DumpDb),
    ("--load-db", Operation::LoadDb),
    ("--register-validity", Operation::Register),
    ("--check-validity", Operation::Validity),
    ("--gc", Operation::Gc),
    ("--dump", Operation::Dump),
    ("--restore", Operation::Restore),
    ("--export", Operation::Export),
    ("--import", Operation::Import),
    ("--init", Operation::Init),
    ("--verify", Operation::Verify),
    ("--verify-path", Operation::VerifyPath),
    ("--optimise", Operation::Optimise),
    ("--optimize", Operation::Optimise),
    ("--generate-binary-cache-key", Operation::NewKey),
    ("--version", Operation::Version),
];

/// The flags of this command.
#[derive(Debug, Default)]
struct Request {
    operation: Option<Operation>,
    /// Flags of the operation.
    flags: Vec<String>,
    operands: Vec<String>,
    root: Option<PathBuf>,
    no_gc_warning: bool,
    no_output: bool,
    max_freed: Option<u64>,
    teller: Option<Teller>,
}

impl Request {
    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|given| given == flag)
    }

    /// Refuses flags and arguments that an operation does not take.
    fn only(&self, flags: &[&str]) -> Result<(), CliError> {
        match self.flags.iter().find(|flag| !flags.contains(&flag.as_str())) {
            Some(flag) => Err(CliError::usage(format!("unknown flag '{flag}'"))),
            None => Ok(()),
        }
    }

    fn no_operands(&self) -> Result<(), CliError> {
        if self.operands.is_empty() { Ok(()) } else { Err(CliError::usage("no arguments expected")) }
    }

    fn one_operand(&self) -> Result<&str, CliError> {
        match &self.operands[..] {
            [only] => Ok(only),
            _ => Err(CliError::usage("only one argument allowed")),
        }
    }
}

/// Runs it.
pub(crate) fn main(words: Vec<OsString>) -> Result<ExitCode, CliError> {
    let mut common = Common::default();
    common.show_build_logs();
    let request = parse(words, &mut common)?;
    let Some(operation) = request.operation else { return Err(CliError::usage("no operation specified")) };
    if operation == Operation::Version {
        output::line(&format!("nix-store (Nix) {}", super::VERSION))?;
        return Ok(ExitCode::SUCCESS);
    }
    if operation == Operation::Dump {
        // any tree will do, in a store or not
        request.only(&[])?;
        let path = std::path::absolute(request.one_operand()?).map_err(CliError::WorkingDir)?;
        super::existing(&path)?;
        let mut stdout = std::io::stdout().lock();
        nopal_store::dump_tree(&path, &mut stdout)?;
        stdout.flush().map_err(CliError::Output)?;
        return Ok(ExitCode::SUCCESS);
    }
    if operation == Operation::Restore {
        request.only(&[])?;
        nopal_store::unpack_tree(&mut std::io::stdin().lock(), Path::new(request.one_operand()?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let context = common.context()?;
    let settings = context.settings.clone();
    let engine = context.settings.open(context.style)?;
    perform(&engine, &settings, operation, &request)
}

fn perform(
    engine: &Engine,
    settings: &Settings,
    operation: Operation,
    request: &Request,
) -> Result<ExitCode, CliError> {
    match operation {
        Operation::Realise => realise(engine, request)?,
        Operation::Query => query::run(engine, settings, request)?,
        Operation::Add => {
            request.only(&[])?;
            add(engine, &request.operands, AddOptions::source)?;
        }
        Operation::AddFixed => add_fixed(engine, request)?,
        Operation::PrintFixedPath => print_fixed_path(engine, request)?,
        Operation::Init => {
            request.only(&[])?;
            request.no_operands()?;
            engine.store()?;
        }
        Operation::Verify => return verify(engine, request),
        Operation::VerifyPath => return verify_paths(engine, request),
        Operation::Gc => garbage::collect(engine, settings, request)?,
        Operation::Delete => garbage::delete(engine, settings, request)?,
        Operation::Export => {
            request.only(&[])?;
            let paths = all_paths(engine, &request.operands)?;
            let mut stdout = std::io::stdout().lock();
            engine.store()?.export(&paths, &mut stdout)?;
            stdout.flush().map_err(CliError::Output)?;
        }
        Operation::Import => {
            request.only(&[])?;
            request.no_operands()?;
            let store = engine.store()?;
            let paths = store.import(&mut std::io::stdin().lock())?;
            output::lines(paths.iter().map(|path| store.print(path)))?;
        }
        Operation::Validity => return check_validity(engine, request),
        Operation::ReadLog => {
            request.only(&[])?;
            for word in &request.operands {
                let path = engine.config().store_dir.print(&resolve(engine, word)?.0);
                match engine.build_log(&path) {
                    Ok(log) => output::data(&log)?,
                    Err(EngineError::NoLog { .. }) => {
                        let message = format!("build log of derivation '{path}' is not available");
                        return Err(CliError::Found(message));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Operation::PrintEnv => registration::print_env(engine, request)?,
        Operation::DumpDb => registration::dump(engine, request)?,
        Operation::LoadDb => registration::load(engine, request)?,
        Operation::Register => registration::register(engine, request)?,
        Operation::Optimise => {
            request.only(&[])?;
            request.no_operands()?;
            super::optimise(engine)?;
        }
        Operation::NewKey => new_key(request)?,
        // done before a store was opened
        Operation::Dump | Operation::Restore | Operation::Version => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The store path that a word names or lies in, with the rest of it.
fn resolve(engine: &Engine, word: &str) -> Result<(StorePath, String), CliError> {
    let file = engine.config().working_dir.join(word);
    crate::commands::store::resolve(engine, word).map_err(|error| {
        match matches!(error, CliError::Usage { .. }) && !file.starts_with(engine.config().store_dir.as_str()) {
            true => CliError::Found(format!("path {file:?} is not in the Nix store")),
            false => error,
        }
    })
}

/// The store paths that words name, each once, in order.
fn all_paths(engine: &Engine, words: &[String]) -> Result<Vec<StorePath>, CliError> {
    let mut paths = words.iter().map(|word| Ok(resolve(engine, word)?.0)).collect::<Result<Vec<_>, CliError>>()?;
    paths.sort_unstable();
    paths.dedup();
    engine.store()?.add_temp_roots(&paths)?;
    Ok(paths)
}

fn add(engine: &Engine, files: &[String], options: impl Fn(&str) -> AddOptions) -> Result<(), CliError> {
    let store = engine.store()?;
    for file in files {
        let path = engine.config().working_dir.join(file);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        super::existing(&path)?;
        let info = store.add_path(&path, &options(&name), None)?;
        output::line(&store.print(&info.path))?;
    }
    Ok(())
}

/// What a hash is of: a file, or with `--recursive` a tree.
fn method(request: &Request) -> Result<ContentAddressMethod, CliError> {
    request.only(&["--recursive"])?;
    Ok(if request.has("--recursive") { ContentAddressMethod::Nar } else { ContentAddressMethod::Flat })
}

fn algorithm(text: &str) -> Result<HashAlgorithm, CliError> {
    text.parse().map_err(|_| {
        CliError::usage(format!(
            "unknown hash algorithm '{text}', expect 'blake3', 'md5', 'sha1', 'sha256', or 'sha512'"
        ))
    })
}

fn add_fixed(engine: &Engine, request: &Request) -> Result<(), CliError> {
    let method = method(request)?;
    let Some((name, files)) = request.operands.split_first() else {
        return Err(CliError::usage("first argument must be hash algorithm"));
    };
    let algorithm = algorithm(name)?;
    add(engine, files, |name| AddOptions { method, algorithm, ..AddOptions::source(name) })
}

fn print_fixed_path(engine: &Engine, request: &Request) -> Result<(), CliError> {
    let method = method(request)?;
    let [name_of_algorithm, hash, name] = &request.operands[..] else {
        return Err(CliError::usage("'--print-fixed-path' requires three arguments"));
    };
    let hash = Hash::parse_any(hash, Some(algorithm(name_of_algorithm)?))
        .map_err(|error| CliError::Found(error.to_string()))?;
    let store_dir = &engine.config().store_dir;
    let path = store_dir
        .ca_path(name, &ContentAddress { method, hash }, &References::default())
        .map_err(|error| CliError::Found(error.to_string()))?;
    output::line(&store_dir.print(&path))
}

fn realise(engine: &Engine, request: &Request) -> Result<(), CliError> {
    request.only(&["--dry-run", "--repair", "--check", "--ignore-unknown"])?;
    let mut wanted: Vec<Wanted> = Vec::new();
    // each word's derivation, by its place among those wanted, or its path
    let mut items: Vec<Result<usize, StorePath>> = Vec::new();
    let store = engine.store()?;
    for word in &request.operands {
        let (name, outputs) = word.split_once('!').unwrap_or((word, ""));
        let (path, _) = resolve(engine, name)?;
        store.add_temp_root(&path)?;
        // a derivation may also be where expressions are evaluated
        let is_there = (path.is_derivation() && engine.derivation(&path).is_ok()) || engine.substitute_path(&path)?;
        if !is_there {
            match (request.has("--ignore-unknown"), request.has("--dry-run")) {
                (true, _) => {}
                (false, true) => missing::tell_unknown(engine, &path),
                (false, false) => return Err(missing::unknown(engine, &path)),
            }
        } else if path.is_derivation() {
            let suffix = if outputs.is_empty() { String::new() } else { format!("!{outputs}") };
            let what = Installable::StorePath(format!("{}{suffix}", store.print(&path)));
            items.push(Ok(wanted.len()));
            wanted.extend(engine.instantiate(&what, &[])?);
        } else {
            items.push(Err(path));
        }
    }
    missing::print(engine, &wanted)?;
    if request.has("--dry-run") {
        return Ok(());
    }
    let options = RealiseOptions { check: request.has("--check"), ..RealiseOptions::default() };
    let built = failures::realise(engine, &wanted, &options, request.teller.unwrap_or(Teller::Old { logs: true }))?;
    if request.has("--ignore-unknown") {
        return Ok(());
    }
    let mut lines = Vec::new();
    for (number, item) in items.into_iter().enumerate() {
        let outputs: Vec<(String, StorePath)> = match item {
            Ok(index) => built[index].outputs.clone(),
            Err(path) => vec![("out".to_owned(), path)],
        };
        let mut of_item = BTreeSet::new();
        for (output, path) in outputs {
            of_item.insert(rooted(engine, request.root.as_deref(), request.no_gc_warning, &path, number, &output)?);
        }
        lines.extend(of_item);
    }
    if request.no_output {
        return Ok(());
    }
    output::lines(lines)
}

/// Makes a root if one was asked for, and gives the text to print: the link, or the path.
fn rooted(
    engine: &Engine,
    root: Option<&Path>,
    no_gc_warning: bool,
    path: &StorePath,
    number: usize,
    output: &str,
) -> Result<String, CliError> {
    let Some(root) = root else {
        if !no_gc_warning {
            super::warn_of_garbage(engine);
        }
        return Ok(engine.config().store_dir.print(path));
    };
    let mut name = root.as_os_str().to_owned();
    if number > 0 {
        name.push(format!("-{}", number + 1));
    }
    if output != "out" {
        name.push(format!("-{output}"));
    }
    super::build::root(engine, Path::new(&name), path)
}

fn check_validity(engine: &Engine, request: &Request) -> Result<ExitCode, CliError> {
    request.only(&["--print-invalid"])?;
    let store = engine.store()?;
    for word in &request.operands {
        let (path, _) = resolve(engine, word)?;
        if store.is_valid(&path)? {
            continue;
        }
        if !request.has("--print-invalid") {
            return Err(CliError::Found(format!("path '{}' is not valid", store.print(&path))));
        }
        output::line(&store.print(&path))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(engine: &Engine, request: &Request) -> Result<ExitCode, CliError> {
    request.only(&["--check-contents", "--repair"])?;
    request.no_operands()?;
    let store = engine.store()?;
    let tell = |step| store.reporter().message(Level::Notice, step);
    tell("reading the Nix store...");
    tell("checking path existence...");
    if request.has("--check-contents") {
        tell("checking link hashes...");
        tell("checking store hashes...");
    }
    let report =
        store.verify(&VerifyOptions { contents: request.has("--check-contents"), ..VerifyOptions::default() })?;
    for problem in &report.database {
        eprintln!("{problem}");
    }
    for problem in &report.problems {
        eprintln!("{}", problem_text(engine, problem)?);
    }
    if report.is_clean() {
        return Ok(ExitCode::SUCCESS);
    }
    store.reporter().warn("not all store errors were fixed");
    Ok(ExitCode::FAILURE)
}

fn verify_paths(engine: &Engine, request: &Request) -> Result<ExitCode, CliError> {
    if !request.flags.is_empty() {
        return Err(CliError::usage("no flags expected"));
    }
    let store = engine.store()?;
    let only = all_paths(engine, &request.operands)?.into_iter().collect();
    let report = store.verify(&VerifyOptions { only: Some(only), ..VerifyOptions::default() })?;
    for problem in &report.problems {
        eprintln!("{}", problem_text(engine, problem)?);
    }
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is wrong with a path, in Nix's words.
pub(super) fn problem_text(engine: &Engine, problem: &nopal_store::PathProblem) -> Result<String, CliError> {
    let path = engine.store()?.print(&problem.path);
    Ok(match &problem.problem {
        nopal_store::Problem::HashMismatch { expected, got } => format!(
            "path '{path}' was modified! expected hash 'sha256:{}', got 'sha256:{}'",
            expected.nix32(),
            got.nix32()
        ),
        nopal_store::Problem::Missing => format!("path '{path}' disappeared"),
        other => format!("path '{path}': {other}"),
    })
}

/// A new pair of keys, to sign with.
fn new_key(request: &Request) -> Result<(), CliError> {
    request.only(&[])?;
    let [name, secret, public] = &request.operands[..] else {
        return Err(CliError::usage("three arguments expected"));
    };
    let key = super::random_key(name)?;
    nopal_fs::write_new(Path::new(secret), key.to_secret_text().as_bytes(), 0o600)?;
    nopal_fs::write(Path::new(public), key.public_key().to_string().as_bytes())?;
    Ok(())
}

fn parse(words: Vec<OsString>, common: &mut Common) -> Result<Request, CliError> {
    let mut words = Words::new(words);
    let mut request = Request::default();
    while let Some(flag) = words.next_flag(&mut request.operands)? {
        match flag.as_str() {
            "--add-root" => request.root = Some(words.value(&flag)?.into()),
            "--indirect" => {}
            "--no-gc-warning" => request.no_gc_warning = true,
            "--no-output" => request.no_output = true,
            "--max-freed" => {
                let text = words.value(&flag)?;
                request.max_freed = Some(garbage::bytes(&flag, &text)?);
            }
            // `-R` and `-d` ask something, and `-f` and `-u` say of what; `-r` does not mean the same in a query
            _ if request.operation == Some(Operation::Query) && query::is_flag(&flag) => request.flags.push(flag),
            _ if request.operation != Some(Operation::Query) && operation(&flag).is_some() => {
                let found = operation(&flag);
                if request.operation.is_some_and(|before| Some(before) != found) {
                    return Err(CliError::usage("only one operation may be specified"));
                }
                request.operation = found;
            }
            _ if FLAGS.contains(&flag.as_str()) => request.flags.push(flag),
            _ if common.take(&flag, &mut words)? => {}
            // which operation it is may come later, and that says whether it takes the flag
            _ => request.flags.push(flag),
        }
    }
    request.teller = Some(common.teller());
    Ok(request)
}

/// Flags that belong to an operation, which says whether it takes them.
const FLAGS: &[&str] = &[
    "--check",
    "--check-contents",
    "--dry-run",
    "--hash-given",
    "--ignore-liveness",
    "--ignore-unknown",
    "--print-dead",
    "--print-invalid",
    "--print-live",
    "--print-roots",
    "--recursive",
    "--repair",
    "--reregister",
];

fn operation(flag: &str) -> Option<Operation> {
    OPERATIONS.iter().find(|(name, _)| *name == flag).map(|(_, operation)| *operation)
}
