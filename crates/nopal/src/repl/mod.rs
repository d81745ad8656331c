//! The read-eval-print loop: reads lines, gives them to a session of the engine, prints what comes of it. Commands and
//! output are those of `nix repl`.

mod commands;
mod complete;
mod history;
mod input;
mod markdown;
mod screen;

use crate::error::{self, CliError};
use input::{Input, Line};
use nopal_engine::{AutoArg, Engine, FlakeSource, Loaded, Session, SessionError, Source};
use screen::Screen;
use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;

/// What a loop begins with.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// What it says first.
    pub(crate) banner: String,
    /// The expression whose attributes become variables, if there is one.
    pub(crate) source: Option<Source>,
    /// The attributes of the expression that are meant.
    pub(crate) attr_paths: Vec<String>,
    /// Flakes of which something becomes variables.
    pub(crate) flakes: Vec<FlakeSource>,
    /// Arguments for functions on the way.
    pub(crate) args: Vec<AutoArg>,
    /// Whether only errors and what was asked for is printed.
    pub(crate) quiet: bool,
    /// Where lines are remembered.
    pub(crate) history: PathBuf,
}

/// Attributes that are named when some were loaded.
const SHOWN_NAMES: usize = 20;

/// Runs a loop to its end.
///
/// # Errors
/// What it begins with cannot be loaded, or standard output is gone.
pub(crate) fn run(engine: &Engine, request: &Request) -> Result<ExitCode, CliError> {
    engine.session(&request.args, |session| {
        // shared with the completion of names, which runs while a line is read
        let session = RefCell::new(session);
        Repl::new(engine, request, &session).run()
    })?
}

/// How a line failed, or how the loop ends.
enum Failure {
    /// The text is not finished.
    Unfinished,
    /// An error to be shown.
    Error(CliError),
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Unfinished => Self::Unfinished,
            SessionError::Failed(error) => Self::Error((*error).into()),
        }
    }
}

impl<E: Into<CliError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl Failure {
    /// An error in these words.
    fn said(message: impl Into<String>) -> Self {
        Self::Error(CliError::Found(message.into()))
    }
}

/// Whether the loop goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Again,
    Quit,
}

/// A session while nobody uses it.
type Shared<'s, 'e> = RefCell<&'s mut Session<'e>>;

/// A loop.
struct Repl<'r, 's, 'e> {
    engine: &'r Engine,
    request: &'r Request,
    session: &'r Shared<'s, 'e>,
    screen: Screen,
    /// Files loaded so far, to be loaded again.
    files: Vec<PathBuf>,
    /// Flakes loaded so far, to be loaded again.
    flakes: Vec<String>,
    last: Option<Loaded>,
}

impl<'r, 's, 'e> Repl<'r, 's, 'e> {
    fn new(engine: &'r Engine, request: &'r Request, session: &'r Shared<'s, 'e>) -> Self {
        let (files, flakes) = (Vec::new(), Vec::new());
        Self { engine, request, session, screen: Screen::default(), files, flakes, last: None }
    }

    fn run(&mut self) -> Result<ExitCode, CliError> {
        self.notice(&self.request.banner);
        match self.load_all() {
            Ok(()) => {}
            Err(Failure::Error(error)) => return Err(error),
            Err(Failure::Unfinished) => return Err(CliError::Found("unexpected end of file".to_owned())),
        }
        let mut input = Input::new(&self.request.history, self.session)?;
        let mut text = String::new();
        loop {
            match input.line(text.is_empty(), &mut self.screen)? {
                Line::Text(line) => {
                    text.push_str(&line);
                    text.push('\n');
                }
                Line::Interrupted => text.clear(),
                Line::End => {
                    self.screen.line("")?;
                    return Ok(ExitCode::SUCCESS);
                }
            }
            match self.process(&text) {
                Ok(Next::Again) => {}
                Ok(Next::Quit) => return Ok(ExitCode::SUCCESS),
                Err(Failure::Unfinished) => continue,
                Err(Failure::Error(error @ CliError::Output(_))) => return Err(error),
                Err(Failure::Error(error)) => error::tell_as_nix(&error),
            }
            text.clear();
            self.screen.line("")?;
        }
    }

    fn notice(&self, text: &str) {
        if !self.request.quiet {
            eprintln!("{text}");
        }
    }

    /// Loads what was loaded before, and what the command line names.
    fn load_all(&mut self) -> Result<(), Failure> {
        for path in std::mem::take(&mut self.files) {
            self.notice(&format!("Loading \"{}\"...", path.display()));
            self.load_file(path)?;
        }
        if let Some(source) = &self.request.source {
            let held = self.session.borrow_mut().evaluate(source, &self.request.attr_paths)?;
            for (path, held) in self.request.attr_paths.iter().zip(held) {
                self.notice(&format!("Loading installable '{path}'..."));
                let loaded = self.session.borrow_mut().add_held(held)?;
                self.loaded(loaded);
            }
        }
        for flake in &self.request.flakes {
            let (held, name) = self.session.borrow_mut().evaluate_flake(flake)?;
            self.notice(&format!("Loading installable '{name}'..."));
            let loaded = self.session.borrow_mut().add_held(held)?;
            self.loaded(loaded);
        }
        Ok(())
    }

    fn reload(&mut self) -> Result<(), Failure> {
        self.session.borrow_mut().forget_files();
        self.session.borrow_mut().clear();
        self.load_all()?;
        for flake in std::mem::take(&mut self.flakes) {
            self.notice(&format!("Loading flake '{flake}'..."));
            self.load_flake(&flake)?;
        }
        Ok(())
    }

    fn load_file(&mut self, path: PathBuf) -> Result<(), Failure> {
        self.files.retain(|known| *known != path);
        self.files.push(path.clone());
        let loaded = self.session.borrow_mut().add_file(&path)?;
        self.loaded(loaded);
        Ok(())
    }

    fn load_flake(&mut self, reference: &str) -> Result<(), Failure> {
        if reference.is_empty() {
            return Err(Failure::said(
                "cannot use ':load-flake' without a path specified. (Use '.' for the current working directory.)",
            ));
        }
        self.flakes.retain(|known| known != reference);
        self.flakes.push(reference.to_owned());
        let loaded = self.session.borrow_mut().add_flake(reference)?;
        self.loaded(loaded);
        Ok(())
    }

    /// Tells which variables there are now.
    fn loaded(&mut self, loaded: Loaded) {
        let mut names = loaded.names.clone();
        names.sort();
        self.notice(&format!("Added {} variables.", names.len()));
        let shown: Vec<String> = names.iter().take(SHOWN_NAMES).map(|name| identifier(name)).collect();
        self.notice(&shown.join(", "));
        if names.len() > SHOWN_NAMES {
            self.notice(&format!("... and {} more; view with :ll", names.len() - SHOWN_NAMES));
        }
        self.last = Some(loaded);
    }
}

/// A name as an identifier, quoted where the language needs that.
fn identifier(name: &str) -> String {
    String::from_utf8_lossy(&nopal_engine::identifier(name.as_bytes())).into_owned()
}
