//! What a line does: the commands that begin with a colon, bindings, expressions.

use super::{Failure, Next, Repl, markdown};
use crate::error::CliError;
use crate::{env_vars, nix};
use nopal_engine::{Depth, Documentation, EngineError, RealiseOptions, Wanted};
use nopal_format::StorePath;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

/// What Nix takes for white space.
const BLANK: &[char] = &[' ', '\n', '\r', '\t'];

/// `:?`
const HELP: &str = "\
The following commands are available:

  <expr>                       Evaluate and print expression
  <x> = <expr>                 Bind expression to variable
  :a, :add <expr>              Add attributes from resulting set to scope
  :b <expr>                    Build a derivation
  :bl <expr>                   Build a derivation, creating GC roots in the
                               working directory
  :e, :edit <expr>             Open package or function in $EDITOR
  :i <expr>                    Build derivation, then install result into
                               current profile
  :l, :load <path>             Load Nix expression and add it to scope
  :lf, :load-flake <ref>       Load Nix flake and add it to scope
  :ll, :last-loaded            Show most recently loaded variables added to scope
  :p, :print <expr>            Evaluate and print expression recursively
                               Strings are printed directly, without escaping.
  :q, :quit                    Exit nix-repl
  :r, :reload                  Reload all files
  :sh <expr>                   Build dependencies of derivation, then start
                               nix-shell
  :t <expr>                    Describe result of evaluation
  :u <expr>                    Build derivation, then start nix-shell
  :doc <expr>                  Show documentation of a builtin function
  :log <expr>                  Show logs for a derivation
  :te, :trace-enable [bool]    Enable, disable or toggle showing traces for
                               errors
  :?, :help                    Brings up this help menu
";

impl Repl<'_, '_, '_> {
    /// Does what a text says.
    pub(super) fn process(&mut self, text: &str) -> Result<Next, Failure> {
        let text = text.trim_matches(BLANK);
        if text.is_empty() {
            return Ok(Next::Again);
        }
        if !text.starts_with(':') {
            self.evaluate(text)?;
            return Ok(Next::Again);
        }
        let (command, argument) = text.split_once(BLANK).unwrap_or((text, ""));
        let argument = argument.trim_matches(BLANK);
        match command {
            ":q" | ":quit" => return Ok(Next::Quit),
            ":?" | ":help" => self.screen.buffer().extend_from_slice(HELP.as_bytes()),
            ":a" | ":add" => {
                let loaded = self.session.borrow_mut().add(argument)?;
                self.loaded(loaded);
            }
            ":l" | ":load" => {
                self.session.borrow_mut().forget_files();
                self.load_file(PathBuf::from(argument))?;
            }
            ":lf" | ":load-flake" => self.load_flake(argument)?,
            ":ll" | ":last-loaded" => self.show_last_loaded()?,
            ":r" | ":reload" => self.reload()?,
            ":e" | ":edit" => self.edit(argument)?,
            ":t" => {
                let description = self.session.borrow_mut().type_of(argument)?;
                self.screen.line(&description)?;
            }
            ":p" | ":print" => self.print(argument, Depth::All)?,
            ":b" | ":bl" => self.build(argument, command == ":bl")?,
            ":log" => self.show_log(argument)?,
            ":sh" => {
                let path = self.session.borrow_mut().derivation(argument)?;
                self.run_nix("nix-shell", &[], &path)?;
            }
            ":u" => {
                let path = self.session.borrow_mut().shell_derivation(argument)?;
                self.run_nix("nix-shell", &[], &path)?;
            }
            ":i" => {
                let path = self.session.borrow_mut().derivation(argument)?;
                self.run_nix("nix-env", &["-i"], &path)?;
            }
            ":doc" => self.document(argument)?,
            ":te" | ":trace-enable" => self.trace(command, argument)?,
            _ => return Err(Failure::said(format!("unknown command '{command}'"))),
        }
        Ok(Next::Again)
    }

    /// Bindings become variables; the value of an expression is printed.
    fn evaluate(&mut self, text: &str) -> Result<(), Failure> {
        if self.session.borrow_mut().bind(text)? {
            return Ok(());
        }
        self.print(text, Depth::One)
    }

    fn print(&mut self, text: &str, depth: Depth) -> Result<(), Failure> {
        let mut written = Ok(());
        let printed = self.session.borrow_mut().print(text, depth, self.screen.buffer(), &mut |out| {
            if written.is_ok() {
                written = crate::output::data(out);
            }
            out.clear();
        });
        written?;
        printed?;
        Ok(self.screen.line("")?)
    }

    fn show_last_loaded(&mut self) -> Result<(), Failure> {
        let Some(last) = &self.last else { return Err(Failure::said("nothing has been loaded yet")) };
        let names: String = last.names.iter().map(|name| format!("{name}\n")).collect();
        Ok(self.screen.page(names.as_bytes())?)
    }

    fn edit(&mut self, text: &str) -> Result<(), Failure> {
        let (path, line) = self.session.borrow_mut().place(text)?;
        let editor = env_vars::EDITOR.text().unwrap_or_else(|| "cat".to_owned());
        let mut words = editor.split_whitespace();
        let program = words.next().unwrap_or("cat");
        let mut command = Command::new(program);
        command.args(words);
        if line > 0 && ["emacs", "nano", "vim", "kak"].iter().any(|name| editor.contains(name)) {
            command.arg(format!("+{line}"));
        }
        self.screen.flush()?;
        let status = command.arg(&path).status();
        let status = status.map_err(|error| Failure::said(format!("executing '{program}': {error}")))?;
        if !status.success() {
            return Err(Failure::said(format!("program '{program}' failed: {status}")));
        }
        self.reload()
    }

    fn build(&mut self, text: &str, link: bool) -> Result<(), Failure> {
        let drv_path = self.session.borrow_mut().derivation(text)?;
        let wanted = Wanted { drv_path, outputs: Vec::new(), output: String::new(), attr: String::new() };
        let built = self.engine.realise(&[wanted], &RealiseOptions::default())?;
        self.screen.line("\nThis derivation produced the following outputs:")?;
        for (output, path) in built.iter().flat_map(|built| &built.outputs) {
            let shown = self.engine.config().store_dir.print(path);
            if link {
                let name = format!("repl-result-{output}");
                let link = self.engine.config().working_dir.join(&name);
                self.engine.store().and_then(|store| Ok(store.add_root(&link, path)?))?;
                self.screen.line(&format!("  ./{name} -> {shown}"))?;
            } else {
                self.screen.line(&format!("  {output} -> {shown}"))?;
            }
        }
        Ok(())
    }

    fn show_log(&mut self, text: &str) -> Result<(), Failure> {
        let path = self.session.borrow_mut().derivation(text)?;
        let path = self.engine.config().store_dir.print(&path);
        match self.engine.build_log(&path) {
            Ok(log) => Ok(self.screen.page(&log)?),
            Err(EngineError::NoLog { .. }) => Err(Failure::said(format!("build log of '{path}' is not available"))),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs this program by another of Nix's names on a derivation.
    fn run_nix(&mut self, name: &str, flags: &[&str], path: &StorePath) -> Result<(), Failure> {
        if nix::command(name).is_none() {
            return Err(Failure::said(format!("there is no '{name}' yet")));
        }
        self.screen.flush()?;
        let program = std::env::current_exe().map_err(CliError::Output)?;
        let path = self.engine.config().store_dir.print(path);
        let status = Command::new(program).arg0(name).args(flags).arg(path).status();
        let status = status.map_err(|error| Failure::said(format!("executing '{name}': {error}")))?;
        if status.success() { Ok(()) } else { Err(Failure::said(format!("program '{name}' failed: {status}"))) }
    }

    fn document(&mut self, text: &str) -> Result<(), Failure> {
        let documented = self.session.borrow_mut().document(text)?;
        let source = match documented {
            None => return Err(Failure::said("value does not have documentation")),
            Some(Documentation::Builtin { name, args, text }) => {
                let args: Vec<String> = args.iter().map(|arg| format!("*{arg}*")).collect();
                let synopsis = if args.is_empty() {
                    String::new()
                } else {
                    format!("**Synopsis:** `builtins.{name}` {}\n\n", args.join(" "))
                };
                synopsis + text
            }
            Some(Documentation::Function { name, place, comment }) => {
                let what = match name {
                    Some(name) => format!("Function `{name}`\\\n  … defined at {place}"),
                    None => format!("Function defined at {place}"),
                };
                comment.map_or_else(|| what.clone(), |comment| format!("{what}\n\n{comment}"))
            }
            Some(Documentation::Attribute { name, place, comment }) => {
                let comment = comment.unwrap_or_else(|| "No documentation found.\n\n".to_owned());
                format!("Attribute `{name}`\n\n  … defined at {place}\n\n{comment}")
            }
        };
        let shown = if env_vars::NIX_TEST_RAW_MARKDOWN.text().as_deref() == Some("1") {
            source
        } else {
            markdown::render(&source, markdown::Look::of_terminal())
        };
        Ok(self.screen.line(shown.trim_matches(BLANK))?)
    }

    fn trace(&mut self, command: &str, argument: &str) -> Result<(), Failure> {
        let mut session = self.session.borrow_mut();
        let shown = match argument {
            "" => !session.show_trace(),
            "true" => true,
            "false" => false,
            _ => return Err(Failure::said(format!("unexpected argument '{argument}' to {command}"))),
        };
        session.set_show_trace(shown);
        let told = if shown { "showing error traces\n" } else { "not showing error traces\n" };
        self.screen.buffer().extend_from_slice(told.as_bytes());
        Ok(())
    }
}
