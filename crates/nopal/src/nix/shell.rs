//! `nix-shell`: a shell in the environment of a derivation, with everything built that it needs.

use super::failures;
use super::flags::{Common, Words, unknown_flag};
use super::missing;
use super::process::become_program;
use super::quote::shell_word;
use crate::commands::installables::stdin;
use crate::env_vars;
use crate::error::CliError;
use nopal_engine::{
    AutoArg, Engine, EvalFormat, EvalRequest, Habits, Installable, Outputs, RealiseOptions, Source, Wanted,
};
use nopal_format::{BuiltPath, Derivation, StorePath};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Variables that a pure shell keeps.
const KEPT: &[&str] = &[
    "HOME",
    "XDG_RUNTIME_DIR",
    "USER",
    "LOGNAME",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "WAYLAND_SOCKET",
    "PATH",
    "TERM",
    "IN_NIX_SHELL",
    "NIX_SHELL_PRESERVE_PROMPT",
    "TZ",
    "PAGER",
    "NIX_BUILD_SHELL",
    "SHLVL",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// The flags of this command.
#[derive(Debug, Default)]
struct Request {
    operands: Vec<String>,
    attrs: Vec<String>,
    expressions: bool,
    packages: bool,
    pure: bool,
    kept: Vec<String>,
    /// What the shell runs; it is interactive unless this came by `--run`.
    command: String,
    interactive: bool,
    version: bool,
}

/// A script that names `nix-shell` in its first line.
struct Script {
    path: PathBuf,
    /// Where it lies, absolute.
    folder: PathBuf,
    arguments: Vec<String>,
}

/// Runs it.
pub(crate) fn main(words: Vec<OsString>) -> Result<ExitCode, CliError> {
    let (script, words) = script(words)?;
    let mut common = Common::default();
    let request = parse(words, &mut common, script.as_ref())?;
    if request.version {
        return super::tell_version("nix-shell", &common);
    }
    let mut environment: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    environment.insert("IN_NIX_SHELL".into(), if request.pure { "pure" } else { "impure" }.into());
    let mut context = common.context()?;
    context.settings.set_environment(environment.clone());
    if let Some(script) =
        script.as_ref().filter(|_| context.settings.conf().flag("nix-shell-shebang-arguments-relative-to-script"))
    {
        context.settings.set_base(script.folder.clone());
    }
    let cores = context.settings.conf().number::<usize>("cores").filter(|cores| *cores > 0);
    let settings = context.settings.clone();
    let engine = context.settings.open(context.style)?;
    let drv_path = derivation(&engine, &common, &request, script.as_ref(), &settings)?;
    let derivation = engine.derivation(&drv_path)?;
    let (derivation, inputs) = build_inputs(&engine, &common, derivation)?;
    let shell = env_vars::NIX_BUILD_SHELL.text().unwrap_or_else(|| "bash".to_owned());
    let folder = nopal_fs::TempDir::new_in(&std::env::temp_dir(), "nix-shell")?.keep();
    if request.pure {
        environment.retain(|name, _| {
            name.to_str().is_some_and(|name| KEPT.contains(&name) || request.kept.iter().any(|kept| kept == name))
        });
        environment.insert("__ETC_PROFILE_SOURCED".into(), "1".into());
    }
    for name in ["NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP"] {
        environment.insert(name.into(), folder.clone().into());
    }
    environment.insert("NIX_STORE".into(), engine.config().store_dir.to_string().into());
    let cores = cores.unwrap_or_else(crate::nix_conf::processors);
    environment.insert("NIX_BUILD_CORES".into(), cores.to_string().into());
    add_attributes(&engine, &derivation, &inputs, &folder, &mut environment)?;
    let attrs = environment.get(OsStr::new("NIX_ATTRS_SH_FILE")).filter(|_| derivation.structured_attrs().is_some());
    let attrs = attrs.map(|file| file.to_string_lossy().into_owned());
    let rc = folder.join("rc");
    nopal_fs::write(&rc, startup(&request, &folder, &shell, attrs.as_deref()).as_bytes())?;
    let mut command = Command::new(&shell);
    if request.interactive {
        command.arg("--rcfile");
    }
    command.arg(&rc).env_clear().envs(&environment);
    Err(become_program(&mut command))
}

/// Takes the words of a script's own lines, if the first word is a script.
fn script(words: Vec<OsString>) -> Result<(Option<Script>, Vec<OsString>), CliError> {
    let Some(first) = words.first() else { return Ok((None, words)) };
    let Ok(text) = nopal_fs::read_file(Path::new(first)) else { return Ok((None, words)) };
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut lines = text.lines().filter(|line| !line.is_empty());
    if !lines.next().is_some_and(|line| line.starts_with("#!")) {
        return Ok((None, words));
    }
    let mut own = Vec::new();
    for line in lines {
        let Some(rest) = line.strip_prefix("#!").map(str::trim_start) else { continue };
        let Some(rest) = rest.strip_prefix("nix-shell").filter(|rest| rest.starts_with([' ', '\t'])) else { continue };
        own.extend(shell_words(rest)?.into_iter().map(OsString::from));
    }
    let arguments = words[1..].iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let path = PathBuf::from(first);
    let folder = nopal_fs::parent_of(&nopal_fs::absolute(&path)?).to_owned();
    Ok((Some(Script { path, folder, arguments }), own))
}

/// Splits a line into words as a shell does: blanks separate, quotes and backslashes keep together.
fn shell_words(text: &str) -> Result<Vec<String>, CliError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (_, Some(open)) if letter == open => quote = None,
            ('\\', None | Some('"')) => {
                let next = letters.next().ok_or_else(|| CliError::usage("a backslash ends the line of a script"))?;
                word.get_or_insert_default().push(next);
            }
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (_, None) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err(CliError::usage("unterminated quote in shebang line"));
    }
    words.extend(word);
    Ok(words)
}

fn parse(words: Vec<OsString>, common: &mut Common, script: Option<&Script>) -> Result<Request, CliError> {
    let mut words = Words::new(words);
    let interactive = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let mut request = Request { interactive, ..Request::default() };
    while let Some(flag) = words.next_flag(&mut request.operands)? {
        match flag.as_str() {
            "-A" | "--attr" => request.attrs.push(words.value(&flag)?),
            "-E" | "--expr" => request.expressions = true,
            "-p" | "--packages" => request.packages = true,
            "--pure" => request.pure = true,
            "--impure" => request.pure = false,
            "--keep" => request.kept.push(words.value(&flag)?),
            "--command" => request.command = format!("{}\nexit", words.value(&flag)?),
            "--run" => {
                request.command = format!("{}\nexit", words.value(&flag)?);
                request.interactive = false;
            }
            "-i" if let Some(script) = script => {
                request.command = interpreter(&words.value(&flag)?, script);
                request.interactive = false;
            }
            "--version" => request.version = true,
            _ if common.take(&flag, &mut words)? => {}
            _ => return Err(unknown_flag(&flag)),
        }
    }
    if request.packages && request.expressions {
        return Err(CliError::usage("'-p' and '-E' are mutually exclusive"));
    }
    Ok(request)
}

/// The line that starts a script's interpreter. Perl reads the first line of scripts and starts what stands there unless
/// its own name has no "perl" in it; Ruby does likewise unless it loads the script.
fn interpreter(program: &str, script: &Script) -> String {
    let name = if program.contains("perl") { "-a PERL" } else { "" };
    let load = if program.contains("ruby") { "-e 'load(ARGV.shift)' -- " } else { "" };
    let arguments: Vec<String> = script.arguments.iter().map(|argument| shell_word(argument)).collect();
    let path = shell_word(&script.path.to_string_lossy());
    format!("exec {name} {program} {load}{path} {}", arguments.join(" "))
}

/// The derivation that the shell is for.
fn derivation(
    engine: &Engine,
    common: &Common,
    request: &Request,
    script: Option<&Script>,
    settings: &crate::settings::Settings,
) -> Result<StorePath, CliError> {
    let mut found: Vec<Wanted> = Vec::new();
    let whole = [String::new()];
    let attrs = if request.attrs.is_empty() { &whole[..] } else { &request.attrs };
    for operand in sources(engine, request, script, settings)? {
        let source = match operand {
            Ok(source) => source,
            Err(path) => {
                let what = Installable::StorePath(engine.config().store_dir.print(&path));
                found.extend(engine.instantiate(&what, &[])?);
                continue;
            }
        };
        let mut args = common.auto_args();
        if takes_in_nix_shell(engine, &source, &args)? {
            args.insert(0, AutoArg::Expr { name: "inNixShell".to_owned(), text: "true".to_owned() });
        }
        for attr_path in attrs {
            let what = Installable::Attr { source: source.clone(), attr_path: attr_path.clone() };
            found.extend(engine.instantiate_outputs(&what, &args, Outputs::Chosen, &mut Vec::new())?);
        }
    }
    match &found[..] {
        [only] => Ok(only.drv_path.clone()),
        _ => Err(CliError::usage("nix-shell requires a single derivation")),
    }
}

/// Whether an expression is a function that asks for `inNixShell`.
fn takes_in_nix_shell(engine: &Engine, source: &Source, args: &[AutoArg]) -> Result<bool, CliError> {
    let apply = "f: builtins.isFunction f && builtins.functionArgs f ? inNixShell".to_owned();
    let request = EvalRequest {
        source: source.clone(),
        attr_path: String::new(),
        args: args.to_vec(),
        habits: Habits::Eval { apply: Some(apply) },
        format: EvalFormat::Json,
        strict: true,
    };
    Ok(engine.eval(&request)?.starts_with(b"true"))
}

/// The expressions, or derivations of the store.
fn sources(
    engine: &Engine,
    request: &Request,
    script: Option<&Script>,
    settings: &crate::settings::Settings,
) -> Result<Vec<Result<Source, StorePath>>, CliError> {
    let working_dir = &engine.config().working_dir;
    if request.packages {
        let packages: String = request.operands.iter().map(|package| format!("({package}) ")).collect();
        let text = format!(
            "{{...}}@args: with import <nixpkgs> args; (pkgs.runCommandCC or pkgs.runCommand) \"shell\" {{ buildInputs = [ \
             {packages}]; }} \"\""
        );
        return Ok(vec![Ok(Source::Expr(text))]);
    }
    let mut operands = request.operands.clone();
    if operands.is_empty() && !request.expressions {
        if !["shell.nix", "default.nix"].iter().any(|name| nopal_fs::exists(&working_dir.join(name))) {
            return Err(CliError::Found(
                "no argument specified and no 'shell.nix' or 'default.nix' file found in the working directory"
                    .to_owned(),
            ));
        }
        operands.push(".".to_owned());
    }
    let mut sources = Vec::new();
    for operand in operands {
        sources.push(match operand.as_str() {
            "-" => Ok(stdin()?),
            _ if request.expressions => Ok(Source::Expr(operand)),
            _ => match super::command::source::store_path(engine, bare(&operand))?.filter(StorePath::is_derivation) {
                Some(path) => Err(path),
                None => {
                    // files that a script names lie beside it
                    let file = match script {
                        Some(script) if !operand.starts_with('<') => script.folder.join(&operand),
                        _ => PathBuf::from(&operand),
                    };
                    Ok(Source::File(shell_file(engine, &file, settings)?))
                }
            },
        });
    }
    Ok(sources)
}

/// A derivation of the store may be named with an output, which does not matter here.
fn bare(word: &str) -> &str {
    word.split_once('!').map_or(word, |(path, _)| path)
}

/// The file that a shell is made of: of a folder its `shell.nix` or `default.nix`.
fn shell_file(engine: &Engine, file: &Path, settings: &crate::settings::Settings) -> Result<PathBuf, CliError> {
    let mut folder = engine.config().working_dir.join(file);
    if let Some(name) = file.to_str().and_then(|text| text.strip_prefix('<')).and_then(|text| text.strip_suffix('>')) {
        let request = EvalRequest {
            source: Source::Expr(format!("toString <{name}>")),
            attr_path: String::new(),
            args: Vec::new(),
            habits: Habits::Instantiate,
            format: EvalFormat::Raw,
            strict: true,
        };
        folder = PathBuf::from(String::from_utf8_lossy(&engine.eval(&request)?).into_owned());
    }
    if !nopal_fs::is_dir(&folder) {
        return Ok(folder);
    }
    let (shell, default) = (folder.join("shell.nix"), folder.join("default.nix"));
    if nopal_fs::exists(&shell) {
        let name = "nix-shell-always-looks-for-shell-nix";
        if settings.conf().flag(name) {
            return Ok(shell);
        }
        engine.config().reporter.warn(format!(
            "Skipping '{}', because the setting '{name}' is disabled. This is a deprecated behavior. Consider enabling \
             '{name}'.",
            shell.display()
        ));
    }
    if nopal_fs::exists(&default) {
        return Ok(default);
    }
    let message = format!("neither 'shell.nix' nor 'default.nix' found in '{}'", folder.display());
    Err(CliError::Found(message))
}

/// Builds what a derivation needs. Returns it with placeholders of what was built replaced, and what was built.
fn build_inputs(
    engine: &Engine,
    common: &Common,
    derivation: Derivation,
) -> Result<(Derivation, Vec<StorePath>), CliError> {
    let mut inputs = Vec::new();
    for built in derivation.inputs() {
        inputs.push((engine.obtain(&built.drv)?, built));
    }
    let wanted: Vec<Wanted> = inputs
        .iter()
        .map(|(drv_path, built)| Wanted {
            drv_path: drv_path.clone(),
            outputs: vec![built.output.to_string()],
            output: String::new(),
            attr: String::new(),
        })
        .collect();
    missing::print(engine, &wanted)?;
    let done = failures::realise(engine, &wanted, &RealiseOptions::default(), common.teller())?;
    let mut paths: Vec<(BuiltPath, StorePath)> = Vec::new();
    for ((_, built), done) in inputs.into_iter().zip(done) {
        paths.extend(done.outputs.into_iter().map(|(_, path)| (built.clone(), path)));
    }
    let inputs = paths.iter().map(|(_, path)| path.clone()).collect();
    if !engine.config().experimental_features.iter().any(|feature| feature == "ca-derivations") {
        return Ok((derivation, inputs));
    }
    let resolved = derivation.resolve(&engine.config().store_dir, &paths);
    Ok((resolved.map_err(|error| CliError::Found(error.to_string()))?, inputs))
}

/// Adds the variables of a derivation; those of `passAsFile` become files, and structured attributes two of them.
fn add_attributes(
    engine: &Engine,
    derivation: &Derivation,
    inputs: &[StorePath],
    folder: &Path,
    environment: &mut BTreeMap<OsString, OsString>,
) -> Result<(), CliError> {
    use std::os::unix::ffi::OsStringExt as _;
    let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    if let Some(files) = engine.attrs_files(derivation, inputs)? {
        for (variable, name, contents) in
            [("NIX_ATTRS_JSON_FILE", ".attrs.json", files.json), ("NIX_ATTRS_SH_FILE", ".attrs.sh", files.shell)]
        {
            let file = folder.join(name);
            nopal_fs::write(&file, contents.as_bytes())?;
            environment.insert(variable.into(), file.into());
        }
        return Ok(());
    }
    let files: Vec<Vec<u8>> = derivation
        .env_value("passAsFile")
        .map(|names| names.as_bytes().split(u8::is_ascii_whitespace).map(<[u8]>::to_vec).collect())
        .unwrap_or_default();
    let mut number = 0;
    for (name, value) in &derivation.env {
        if files.iter().any(|file| file == name.as_bytes()) {
            let file = folder.join(format!(".attr-{number}"));
            number += 1;
            nopal_fs::write(&file, value.as_bytes())?;
            environment.insert(os(&[name.as_bytes(), b"Path"].concat()), file.into());
        } else {
            environment.insert(os(name.as_bytes()), os(value.as_bytes()));
        }
    }
    Ok(())
}

/// What the shell reads first: it sets up what the standard environment of the derivation sets up.
fn startup(request: &Request, folder: &Path, shell: &str, attrs: Option<&str>) -> String {
    let mut text = String::new();
    let folder = shell_word(&folder.to_string_lossy());
    let _ = writeln!(text, "_nix_shell_clean_tmpdir() {{ command rm -rf {folder}; }}");
    text += "trap _nix_shell_clean_tmpdir EXIT\n";
    text += "exitHooks+=(_nix_shell_clean_tmpdir)\nfailureHooks+=(_nix_shell_clean_tmpdir)\n";
    if !request.pure {
        text += "if [ -n \"$PS1\" ] && [ -e ~/.bashrc ]; then source ~/.bashrc; fi\np=$PATH\n";
    }
    // what the derivation needs comes first in PATH; what was there is added again
    text += "unset PATH\ndontAddDisableDepTrack=1\n";
    if let Some(file) = attrs {
        let _ = writeln!(text, "source {}", shell_word(file));
    }
    text += "if [ -e $stdenv/setup ]; then source $stdenv/setup; fi\n";
    if !request.pure {
        text += "PATH=$PATH:$p\nunset p\n";
    }
    let place = nopal_fs::parent_of(Path::new(shell)).to_string_lossy().into_owned();
    let place = if shell.contains('/') { place } else { String::new() };
    let _ = writeln!(text, "PATH={}:\"$PATH\"", shell_word(&place));
    let _ = writeln!(text, "SHELL={0}\nBASH={0}\nset +e", shell_word(shell));
    text += "if [ -n \"$PS1\" -a -z \"$NIX_SHELL_PRESERVE_PROMPT\" ]; then ";
    text += "PS1='\\n\\[\\033[1;32m\\][nix-shell:\\w]\\$\\[\\033[0m\\] '; fi\n";
    text += "if [ \"$(type -t runHook)\" = function ]; then runHook shellHook; fi\n";
    text += "unset NIX_ENFORCE_PURITY\nshopt -u nullglob\nunset TZ\n";
    if let Some(zone) = env_vars::TZ.text() {
        let _ = writeln!(text, "export TZ={}", shell_word(&zone));
    }
    text += "shopt -s execfail\n";
    text + &request.command + "\n"
}

#[cfg(test)]
mod tests {
    use super::shell_words;

    #[test]
    fn words_are_split_as_a_shell_does() {
        assert_eq!(shell_words(" -p 'a b' \"c\\\"d\" e\\ f ''").unwrap(), ["-p", "a b", "c\"d", "e f", ""]);
        assert!(shell_words("'a").is_err());
    }
}
