//! A small `nix-instantiate` over the real file system, for running Nix's own test suites against the evaluator while
//! it is developed. It never writes to a store. The real command is in the roof.

use std::cell::RefCell;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use nopal_eval::context::Context;
use nopal_eval::host::{
    AddPath, FetchRequest, Fetched, FileType, Filter, HostResult, Listing, Message, SourceKey, Wanted,
};
use nopal_eval::pos::Origin;
use nopal_eval::print::PrintOptions;
use nopal_eval::settings::SearchPathEntry;
use nopal_eval::value::{AttrsBuilder, Root};
use nopal_eval::{Evaluator, Host, HostError, MemHost, Pos, Settings, Value, evaluate};
use nopal_format::derivation::Instantiated;
use nopal_format::nar::Tree;
use nopal_format::{ByteString, Derivation, StoreDir, StorePath};
use nopal_syntax::parser::Lint;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct DevHost {
    store: MemHost,
}

fn failed(path: &Path, what: &str, error: &std::io::Error) -> HostError {
    if error.kind() == std::io::ErrorKind::NotFound {
        return HostError::NotFound(path.to_owned());
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default().to_owned();
    HostError::Failed(format!("{what} \"{}\": {text}", path.display()))
}

fn kind(metadata: &std::fs::Metadata) -> FileType {
    if metadata.is_symlink() {
        FileType::Symlink
    } else if metadata.is_dir() {
        FileType::Directory
    } else if metadata.is_file() {
        FileType::Regular { executable: metadata.permissions().mode() & 0o100 != 0 }
    } else {
        FileType::Other
    }
}

fn read_tree(path: &Path, filter: &mut Option<Filter<'_>>) -> HostResult<Tree> {
    let metadata = std::fs::symlink_metadata(path).map_err(|e| failed(path, "getting status of", &e))?;
    Ok(match kind(&metadata) {
        FileType::Symlink => {
            let target = std::fs::read_link(path).map_err(|e| failed(path, "reading symbolic link", &e))?;
            Tree::Symlink { target: ByteString::from(target.into_os_string().into_vec()) }
        }
        FileType::Directory => {
            let mut entries = std::collections::BTreeMap::new();
            for entry in std::fs::read_dir(path).map_err(|e| failed(path, "reading directory", &e))? {
                let entry = entry.map_err(|e| failed(path, "reading directory", &e))?;
                let child = entry.path();
                let metadata =
                    std::fs::symlink_metadata(&child).map_err(|e| failed(&child, "getting status of", &e))?;
                let keep = match filter {
                    Some(filter) => filter(&child, kind(&metadata))?,
                    None => true,
                };
                if keep {
                    entries.insert(ByteString::from(entry.file_name().into_vec()), read_tree(&child, filter)?);
                }
            }
            Tree::Directory(entries)
        }
        FileType::Regular { executable } => {
            let contents = std::fs::read(path).map_err(|e| failed(path, "opening file", &e))?;
            Tree::File { executable, contents }
        }
        FileType::Other => return Err(HostError::Failed(format!("file '{}' has an unsupported type", path.display()))),
    })
}

impl Host for DevHost {
    fn file_type(&self, path: &Path) -> HostResult<Option<FileType>> {
        match std::fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(kind(&metadata))),
            Err(_) => self.store.file_type(path),
        }
    }
    fn read_file(&self, path: &Path) -> HostResult<Vec<u8>> {
        match std::fs::read(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => self.store.read_file(path),
            Err(e) => Err(failed(path, "cannot read file", &e)),
            Ok(contents) => Ok(contents),
        }
    }
    fn read_dir(&self, path: &Path) -> HostResult<Listing> {
        let entries = match std::fs::read_dir(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return self.store.read_dir(path),
            Err(e) => return Err(failed(path, "cannot read directory", &e)),
            Ok(entries) => entries,
        };
        entries
            .map(|entry| {
                let entry = entry.map_err(|e| failed(path, "reading directory", &e))?;
                let metadata = entry.metadata().map_err(|e| failed(path, "reading directory", &e))?;
                Ok((entry.file_name().into_vec(), kind(&metadata)))
            })
            .collect()
    }
    fn read_link(&self, path: &Path) -> HostResult<Vec<u8>> {
        match std::fs::read_link(path) {
            Ok(target) => Ok(target.into_os_string().into_vec()),
            Err(_) => self.store.read_link(path),
        }
    }
    fn add_path(&self, request: &AddPath<'_>, mut filter: Option<Filter<'_>>) -> HostResult<StorePath> {
        let tree = read_tree(request.path, &mut filter)?;
        let place = format!("/.source/{}", request.name);
        self.store.put(&place, tree);
        self.store.add_path(&AddPath { path: Path::new(&place), ..request.clone() }, None)
    }
    fn add_text(&self, name: &str, contents: &[u8], references: &[StorePath]) -> HostResult<StorePath> {
        self.store.add_text(name, contents, references)
    }
    fn add_derivation(&self, derivation: &Derivation, made: &Instantiated<'_>) -> HostResult<()> {
        // For comparing with another evaluator: every derivation as a file.
        if let Some(dir) = std::env::var_os("DERIVATIONS_DIR") {
            let file = Path::new(&dir).join(made.path.base_name());
            std::fs::write(&file, made.aterm).map_err(|e| failed(&file, "writing file", &e))?;
        }
        self.store.add_derivation(derivation, made)
    }
    fn read_derivation(&self, path: &StorePath) -> HostResult<Derivation> {
        self.store.read_derivation(path)
    }
    fn ensure_path(&self, path: &StorePath) -> HostResult<bool> {
        self.store.ensure_path(path)
    }
    fn references(&self, path: &StorePath) -> HostResult<Vec<StorePath>> {
        self.store.references(path)
    }
    fn realise(&self, wanted: &[Wanted]) -> HostResult<Vec<StorePath>> {
        self.store.realise(wanted)
    }
    fn fetch(&self, request: &FetchRequest) -> HostResult<Fetched> {
        self.store.fetch(request)
    }
    // a folder with a file for each source that was parsed before
    fn parsed(&self, key: &SourceKey) -> Option<Vec<u8>> {
        std::fs::read(Path::new(&std::env::var_os("PARSED_DIR")?).join(nopal_format::hash::hex(key))).ok()
    }
    fn keep_parsed(&self, key: SourceKey, packed: Vec<u8>) {
        if let Some(dir) = std::env::var_os("PARSED_DIR") {
            let _ = std::fs::write(Path::new(&dir).join(nopal_format::hash::hex(&key)), packed);
        }
    }
    fn env(&self, name: &[u8]) -> Option<Vec<u8>> {
        std::env::var_os(std::ffi::OsStr::from_bytes(name)).map(OsStringExt::into_vec)
    }
    fn now(&self) -> i64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64)
    }
    fn emit(&self, message: Message) {
        use std::io::Write as _;
        let (prefix, text, end): (&[u8], _, &[u8]) = match &message {
            Message::Trace(text) => (b"", text, b"\n"),
            Message::Warning(text) => (b"warning: ", text, b"\n"),
            Message::Report(text) => (b"", text, b""),
        };
        let _ = std::io::stderr().write_all(&[prefix, text, end].concat());
    }
}

#[derive(Default)]
struct Args {
    files: Vec<String>,
    expr: bool,
    eval: bool,
    parse: bool,
    strict: bool,
    json: bool,
    xml: bool,
    raw: bool,
    location: bool,
    attr: String,
    args: Vec<(String, String, bool)>,
}

fn main() -> ExitCode {
    nopal_eval::with_stack(run)
}

fn lint(value: &str) -> Lint {
    match value {
        "warn" => Lint::Warn,
        "fatal" => Lint::Fatal,
        _ => Lint::Ignore,
    }
}

fn apply_config(settings: &mut Settings, name: &str, value: &str) {
    match name {
        "experimental-features" | "extra-experimental-features" => {
            settings.experimental_features.extend(value.split_whitespace().map(str::to_owned));
        }
        "show-trace" => settings.show_trace = value == "true",
        "max-call-depth" => settings.max_call_depth = value.parse().unwrap_or(settings.max_call_depth),
        "pure-eval" => settings.pure_eval = value == "true",
        "lint-url-literals" => settings.lint_url_literals = lint(value),
        "lint-absolute-path-literals" => settings.lint_absolute_path_literals = lint(value),
        "lint-short-path-literals" => settings.lint_short_path_literals = lint(value),
        "restrict-eval" => settings.restrict_eval = value == "true",
        "trace-verbose" => settings.trace_verbose = value == "true",
        "abort-on-warn" => settings.abort_on_warn = value == "true",
        "allow-import-from-derivation" => settings.allow_import_from_derivation = value == "true",
        _ => {}
    }
}

fn run() -> ExitCode {
    let mut settings = Settings::new("x86_64-linux", StoreDir::default());
    if let Some(bytes) = std::env::var("COLLECT_AFTER").ok().and_then(|text| text.parse().ok()) {
        settings.collect_after_bytes = bytes;
    }
    if let Some(threads) = std::env::var("THREADS").ok().and_then(|text| text.parse().ok()) {
        settings.threads = threads;
    }
    if let Some(bytes) = std::env::var("PARALLEL_AFTER").ok().and_then(|text| text.parse().ok()) {
        settings.parallel_after_bytes = bytes;
    }
    settings.max_memory_bytes = std::env::var("MAX_MEMORY").ok().and_then(|text| text.parse().ok());
    settings.home = std::env::var_os("HOME").map(OsStringExt::into_vec);
    for line in std::env::var("NIX_CONFIG").unwrap_or_default().lines() {
        if let Some((name, value)) = line.split_once('=') {
            apply_config(&mut settings, name.trim(), value.trim());
        }
    }
    let cwd = std::env::current_dir().map(|d| d.into_os_string().into_vec()).unwrap_or_default();
    let entry = |text: &str| {
        let mut entry = SearchPathEntry::parse(text.as_bytes());
        if !entry.value.starts_with(b"/") && !entry.value.contains(&b':') {
            entry.value = nopal_eval::pure::path::absolute(&cwd, &entry.value);
        }
        entry
    };
    let mut args = Args { location: true, ..Args::default() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut next = || words.next().unwrap_or_default();
        match word.as_str() {
            "--eval" => args.eval = true,
            "--parse" => args.parse = true,
            "--strict" => args.strict = true,
            "--json" => args.json = true,
            "--xml" => args.xml = true,
            "--raw" => args.raw = true,
            "--no-location" => args.location = false,
            "--show-trace" => settings.show_trace = true,
            "--no-show-trace" => settings.show_trace = false,
            "--read-write-mode" => settings.read_only = false,
            "-E" | "--expr" => args.expr = true,
            "-A" | "--attr" => args.attr = next(),
            "-I" => settings.nix_path.push(entry(&next())),
            "--arg" => args.args.push((next(), next(), true)),
            "--argstr" => args.args.push((next(), next(), false)),
            "--option" => apply_config(&mut settings, &next(), &next()),
            "--impure" => settings.pure_eval = false,
            word if word.starts_with("--") && word.len() > 2 => {
                let value = if matches!(word, "--trace-verbose" | "--abort-on-warn" | "--pure-eval") {
                    "true".to_owned()
                } else {
                    next()
                };
                apply_config(&mut settings, &word[2..], &value);
            }
            _ => args.files.push(word),
        }
    }
    for part in std::env::var("NIX_PATH").unwrap_or_default().split(':').filter(|part| !part.is_empty()) {
        settings.nix_path.push(entry(part));
    }
    settings.show_trace |= args.parse;
    let host: Arc<dyn Host> = Arc::new(DevHost { store: MemHost::new(StoreDir::default()) });
    if args.files.is_empty() {
        args.files.push("./default.nix".to_owned());
    }
    let mut stdin = Vec::new();
    if args.files.iter().any(|file| file == "-") {
        use std::io::Read as _;
        let _ = std::io::stdin().read_to_end(&mut stdin);
    }
    let printed = RefCell::new(Vec::new());
    let (ev, result) = evaluate(settings, &host, |ev| {
        printed.take();
        args.files.iter().try_for_each(|file| {
            printed.borrow_mut().extend(one(ev, &args, file, &cwd, &stdin)?);
            Ok(())
        })
    });
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(&printed.take());
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = std::io::stderr().write_all(&ev.render_error(&error));
            ExitCode::FAILURE
        }
    };
    // The process ends; taking the tables apart would only take time.
    std::mem::forget(ev);
    code
}

fn one(ev: &mut Evaluator, args: &Args, file: &str, cwd: &[u8], stdin: &[u8]) -> nopal_eval::Result<Vec<u8>> {
    if args.parse {
        let (text, origin) = match file {
            text if args.expr => (text.as_bytes().to_vec(), Origin::Text),
            "-" => (stdin.to_vec(), Origin::Stdin),
            path => {
                let path = nopal_eval::pure::path::absolute(cwd, path.as_bytes());
                (ev.source_read(Root::HOST, &path)?, Origin::File { root: Root::HOST, path })
            }
        };
        let dir = match &origin {
            Origin::File { path, .. } => path.iter().rposition(|byte| *byte == b'/').map_or(cwd, |end| &path[..end]),
            _ => cwd,
        };
        let dir = dir.to_vec();
        let mut out = ev.parse_to_text(&text, origin, &dir)?;
        out.push(b'\n');
        return Ok(out);
    }
    let value = match file {
        text if args.expr => ev.eval_text(text.as_bytes(), cwd)?,
        "-" => ev.eval_stdin(stdin, cwd)?,
        path => {
            let path = nopal_eval::pure::path::absolute(cwd, path.as_bytes());
            ev.eval_main_file(Root::HOST, &path)?
        }
    };
    let mut auto = AttrsBuilder::with_capacity(args.args.len());
    for (name, text, is_expr) in &args.args {
        let value = if *is_expr { ev.delay_text(text.as_bytes(), cwd)? } else { ev.heap.string(text.as_bytes()) };
        let name = ev.symbols.intern(name.as_bytes());
        auto.insert(name, value, Pos::NONE);
    }
    let auto = auto.finish(&mut ev.heap);
    let Some(auto) = auto.as_attrs() else { return Ok(Vec::new()) };
    let (value, pos) = ev.select_path(&args.attr, auto, value)?;
    let value = ev.force(value, pos)?;
    let value = if args.args.is_empty() { value } else { ev.auto_call(value, auto)? };
    let mut out = print(ev, args, value)?;
    if !args.xml && !args.raw {
        out.push(b'\n');
    }
    Ok(out)
}

fn print(ev: &mut Evaluator, args: &Args, value: Value) -> nopal_eval::Result<Vec<u8>> {
    let mut context = Context::EMPTY;
    if args.xml {
        return ev.print_xml(value, args.strict, args.location);
    }
    if args.json {
        return ev.print_json(value, args.strict);
    }
    if args.raw {
        let what = "while generating the nix-instantiate output";
        return ev.coerce_to_string(value, Pos::NONE, &mut context, what, nopal_eval::Coerce::STRING);
    }
    if args.strict {
        ev.force_deep(value)?;
    }
    if std::env::var_os("PRETTY").is_some() {
        return ev.print(value, PrintOptions::EVAL);
    }
    ev.print_ambiguous(value)
}
