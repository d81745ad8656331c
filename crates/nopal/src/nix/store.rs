//! `nix-store`: the operations that scripts use most.

use super::flags::{Common, Word, Words, unknown_flag};
use crate::commands::build::paths;
use crate::commands::store::resolve;
use crate::error::CliError;
use crate::output;
use nopal_engine::{Engine, Installable, RealiseOptions};
use nopal_format::content_address::ContentAddressMethod;
use nopal_format::{HashAlgorithm, StorePath};
use nopal_store::{AddOptions, Direction, GcOptions, Store, VerifyOptions};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Realise,
    Query(Query),
    Add,
    /// With the name of a hash algorithm before the files.
    AddFixed,
    Dump,
    Restore,
    Verify,
    Gc,
    PrintRoots,
    Validity,
    ReadLog,
}

/// What `--query` asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Query {
    Outputs,
    Requisites,
    References,
    Referrers,
    ReferrersClosure,
    Deriver,
    Hash,
    Size,
}

/// The flags of this command.
#[derive(Debug, Default)]
struct Request {
    operation: Option<Operation>,
    operands: Vec<String>,
    check_contents: bool,
    dry_run: bool,
    check: bool,
    include_outputs: bool,
    recursive: bool,
    root: Option<String>,
}

/// Runs it.
pub(crate) fn main(words: Vec<OsString>) -> Result<ExitCode, CliError> {
    let mut common = Common::default();
    common.show_build_logs();
    let request = parse(words, &mut common)?;
    let Some(operation) = request.operation else { return Err(CliError::usage("no operation specified")) };
    if operation == Operation::Dump {
        // any tree will do, in a store or not
        let mut stdout = std::io::stdout().lock();
        for path in &request.operands {
            nopal_store::dump_tree(Path::new(path), &mut stdout)?;
        }
        stdout.flush().map_err(CliError::Output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let context = common.context()?;
    let engine = context.settings.open(context.style)?;
    perform(&engine, operation, &request)?;
    Ok(ExitCode::SUCCESS)
}

fn perform(engine: &Engine, operation: Operation, request: &Request) -> Result<(), CliError> {
    match operation {
        Operation::Realise => realise(engine, request),
        Operation::Query(query) => {
            let mut lines = Vec::new();
            for word in &request.operands {
                lines.extend(answer(engine, query, word, request)?);
            }
            output::lines(lines)
        }
        Operation::Add => add(engine, &request.operands, AddOptions::source),
        Operation::AddFixed => add_fixed(engine, request),
        Operation::Restore => {
            let destination = request.operands.first().ok_or_else(|| CliError::usage("no destination is named"))?;
            nopal_store::restore_tree(&mut std::io::stdin().lock(), Path::new(destination))?;
            Ok(())
        }
        Operation::Verify => verify(engine.store()?, request.check_contents),
        Operation::Gc => {
            let options = GcOptions { dry_run: request.dry_run, ..GcOptions::default() };
            let store = engine.store()?;
            let report = store.collect_garbage(&options)?;
            output::lines(report.deleted.iter().map(|path| store.print(path)))
        }
        Operation::PrintRoots => {
            let store = engine.store()?;
            output::lines(store.roots()?.iter().map(|root| format!("{} -> {}", root.reason, store.print(&root.path))))
        }
        Operation::Validity => {
            for word in &request.operands {
                engine.store()?.path_info(&resolve(engine, word)?.0)?;
            }
            Ok(())
        }
        Operation::ReadLog => {
            for word in &request.operands {
                output::data(&engine.build_log(word)?)?;
            }
            Ok(())
        }
        // done before a store was opened
        Operation::Dump => Ok(()),
    }
}

fn add(engine: &Engine, files: &[String], options: impl Fn(&str) -> AddOptions) -> Result<(), CliError> {
    let store = engine.store()?;
    for file in files {
        let path = engine.config().working_dir.join(file);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let info = store.add_path(&path, &options(&name), None)?;
        output::line(&store.print(&info.path))?;
    }
    Ok(())
}

fn add_fixed(engine: &Engine, request: &Request) -> Result<(), CliError> {
    let Some((algorithm, files)) = request.operands.split_first() else {
        return Err(CliError::usage("first argument must be hash algorithm"));
    };
    let algorithm: HashAlgorithm =
        algorithm.parse().map_err(|_| CliError::usage(format!("unknown hash algorithm '{algorithm}'")))?;
    let method = if request.recursive { ContentAddressMethod::Nar } else { ContentAddressMethod::Flat };
    add(engine, files, |name| AddOptions { method, algorithm, ..AddOptions::source(name) })
}

fn realise(engine: &Engine, request: &Request) -> Result<(), CliError> {
    let mut wanted = Vec::new();
    for word in &request.operands {
        let (path, _) = resolve(engine, word)?;
        if path.is_derivation() {
            let what = Installable::StorePath(engine.config().store_dir.print(&path));
            wanted.extend(engine.instantiate(&what, &[])?);
        } else {
            let store = engine.store()?;
            store.add_temp_root(&path)?;
            output::line(&store.print(&store.path_info(&path)?.path))?;
        }
    }
    if request.dry_run {
        return Ok(());
    }
    let built = engine.realise(&wanted, &RealiseOptions { check: request.check, ..RealiseOptions::default() })?;
    if let (Some(root), Some((_, path))) = (&request.root, built.first().and_then(|b| b.outputs.first())) {
        return output::line(&super::build::root(engine, Path::new(root), path)?);
    }
    output::lines(paths(engine, &built))
}

fn answer(engine: &Engine, query: Query, word: &str, request: &Request) -> Result<Vec<String>, CliError> {
    let store = engine.store()?;
    let (path, _) = resolve(engine, word)?;
    store.add_temp_root(&path)?;
    let one = std::slice::from_ref(&path);
    let paths: Vec<StorePath> = match query {
        Query::Outputs => store.derivation_outputs(&path)?.into_values().collect(),
        Query::Requisites => {
            let mut from = vec![path.clone()];
            if request.include_outputs && path.is_derivation() {
                from.extend(store.valid_outputs(&path)?);
            }
            store.closure(&from, Direction::References)?
        }
        Query::References => store.references(&path)?.into_iter().collect(),
        Query::Referrers => store.referrers(&path)?.into_iter().collect(),
        Query::ReferrersClosure => store.closure(one, Direction::Referrers)?,
        Query::Deriver => {
            let deriver = store.path_info(&path)?.deriver;
            return Ok(vec![deriver.map_or_else(|| "unknown-deriver".to_owned(), |drv| store.print(&drv))]);
        }
        Query::Hash => return Ok(vec![format!("sha256:{}", store.path_info(&path)?.nar_hash.nix32())]),
        Query::Size => return Ok(vec![store.path_info(&path)?.nar_size.to_string()]),
    };
    Ok(paths.iter().map(|path| store.print(path)).collect())
}

fn verify(store: &Store, contents: bool) -> Result<(), CliError> {
    let report = store.verify(&VerifyOptions { contents, ..VerifyOptions::default() })?;
    for problem in &report.database {
        eprintln!("{problem}");
    }
    for problem in &report.problems {
        eprintln!("path '{}': {}", store.print(&problem.path), problem.problem);
    }
    if report.is_clean() { Ok(()) } else { Err(CliError::Found("some paths are not whole".to_owned())) }
}

fn parse(words: Vec<OsString>, common: &mut Common) -> Result<Request, CliError> {
    let mut words = Words::new(words);
    let mut request = Request::default();
    while let Some(word) = words.next()? {
        let flag = match word {
            Word::Operand(operand) => {
                request.operands.push(operand);
                continue;
            }
            Word::Flag(flag) => flag,
        };
        if let Some(operation) = operation(&flag, request.operation) {
            request.operation = Some(operation);
            continue;
        }
        match flag.as_str() {
            "-q" | "--query" => request.operation = request.operation.or(Some(Operation::Query(Query::Outputs))),
            "--check-contents" => request.check_contents = true,
            "--recursive" => request.recursive = true,
            "--dry-run" | "--print-dead" => request.dry_run = true,
            "--check" => request.check = true,
            "--include-outputs" => request.include_outputs = true,
            "--add-root" => request.root = Some(words.value(&flag)?),
            "--indirect" | "--no-gc-warning" | "-f" | "--force-realise" | "-u" | "--use-output" => {}
            _ if common.take(&flag, &mut words)? => {}
            _ => return Err(unknown_flag(&flag)),
        }
    }
    Ok(request)
}

/// The operation that a flag names, given the one named before.
fn operation(flag: &str, before: Option<Operation>) -> Option<Operation> {
    let querying = matches!(before, Some(Operation::Query(_)));
    Some(match flag {
        "-r" | "--realise" | "--realize" if !querying => Operation::Realise,
        "-A" | "--add" => Operation::Add,
        "--add-fixed" => Operation::AddFixed,
        "--dump" => Operation::Dump,
        "--restore" => Operation::Restore,
        "--verify" => Operation::Verify,
        "--gc" => Operation::Gc,
        "--print-roots" => Operation::PrintRoots,
        "--check-validity" => Operation::Validity,
        "-l" | "--read-log" => Operation::ReadLog,
        "--outputs" => Operation::Query(Query::Outputs),
        "--requisites" | "-R" => Operation::Query(Query::Requisites),
        "--references" => Operation::Query(Query::References),
        "--referrers" => Operation::Query(Query::Referrers),
        "--referrers-closure" => Operation::Query(Query::ReferrersClosure),
        "--deriver" | "-d" => Operation::Query(Query::Deriver),
        "--hash" => Operation::Query(Query::Hash),
        "--size" => Operation::Query(Query::Size),
        _ => return None,
    })
}
