//! What the launcher cannot do, as a script for bash: commands, and flags that need to be read by it.
//!
//! The launcher then starts bash, with the script for an argument. What comes before the first command it does itself;
//! what comes behind is part of the script, and so is the start of the target, since flags may use variables that a
//! command sets without exporting them. The wrapper's arguments are the script's.

use super::record::{self, ROOT_VARIABLE, source};
use super::text::is_name;
use super::{Join, JoinKind, Launch, Piece, Step, Text};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use thiserror::Error;

/// The longest argument that Linux takes: 32 pages of 4,096 bytes, with the zero at its end.
const MAX_SCRIPT_BYTES: usize = 128 * 1024 - 1;

/// Why something cannot be left to bash.
#[derive(Debug, Error)]
pub enum ScriptError {
    /// Bash has no such variables.
    #[error("'{0}' is no name of a variable in bash, which the wrapper needs for what stands before it")]
    Name(String),
    /// It is given to bash as an argument.
    #[error("what the wrapper leaves to bash is longer than {MAX_SCRIPT_BYTES} bytes")]
    TooLong,
}

/// A script in the making.
#[derive(Debug, Default)]
pub(super) struct Script {
    lines: Vec<u8>,
    first_command: Option<Vec<u8>>,
    is_required: bool,
    before: Vec<u8>,
    after: Vec<u8>,
    /// The word for the name that the target is told; none if that is its path.
    pub(super) name: Vec<u8>,
}

impl Script {
    /// Adds a command.
    pub(super) fn run(&mut self, command: &[u8]) {
        self.first_command.get_or_insert_with(|| command.to_vec());
        self.line(command);
        self.is_required = true;
    }

    pub(super) fn has_commands(&self) -> bool {
        self.first_command.is_some()
    }

    pub(super) fn first_command(&self) -> &[u8] {
        self.first_command.as_deref().unwrap_or_default()
    }

    /// Makes it the script that starts the target.
    pub(super) fn require(&mut self) {
        self.is_required = true;
    }

    pub(super) fn is_required(&self) -> bool {
        self.is_required
    }

    /// Adds words for the command line, in front of the wrapper's arguments.
    pub(super) fn before(&mut self, words: &[u8]) {
        self.before.extend([b" ", words].concat());
    }

    /// Likewise, behind them.
    pub(super) fn after(&mut self, words: &[u8]) {
        self.after.extend([b" ", words].concat());
    }

    fn line(&mut self, line: &[u8]) {
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
    }

    /// Adds a step.
    pub(super) fn step(&mut self, step: &Step) -> Result<(), ScriptError> {
        match step {
            Step::Set(name, value) => self.line(&[b"export ", checked(name)?, b"=", &source(value)].concat()),
            Step::SetDefault(name, value) => {
                let name = checked(name)?;
                // without quotes around it all, in which those of the value would mean something else
                self.line(&[b"export ", name, b"=${", name, b"-", &source(value)[..], b"}"].concat());
            }
            Step::Unset(name) => self.line(&[b"unset ", checked(name)?].concat()),
            Step::Hold(number, file) | Step::Pass(number, file) => {
                self.line(&[format!("exec {number}<").as_bytes(), &source(file)].concat())
            }
            Step::SkipIfThere(path) => self.line(&[b"[[ -r ", &record::quote(path)[..], b" ]] || \\"].concat()),
            Step::ChangeDirectory(to) => self.line(&[b"cd -- ", &source(to)[..]].concat()),
            Step::Join(join) => self.join(join)?,
        }
        Ok(())
    }

    /// Adds an element to a list: see `join` of stubs/src/environment.rs, which does the same.
    fn join(&mut self, join: &Join) -> Result<(), ScriptError> {
        let name = String::from_utf8_lossy(checked(&join.name)?);
        let separator = String::from_utf8_lossy(&record::quote(&join.separator)).into_owned();
        let value = String::from_utf8_lossy(&source(&join.value)).into_owned();
        let between = format!("{separator}{value}{separator}");
        let text = match join.how {
            JoinKind::Prefix => format!("{name}=${{{name}/{between}/{separator}}}\n{name}={value}${name}"),
            JoinKind::Suffix => format!("[[ ${name} == *{between}* ]] || {name}=${name}{value}"),
            JoinKind::Last => format!(
                "[[ ${name} == *{between} && ${{{name}%{between}}}{separator} != *{between}* ]] || \
                 {{ {name}=${{{name}/{between}/{separator}}}; {name}=${name}{value}; }}"
            ),
        };
        self.line(format!("{name}=${{{name}:+{separator}${name}{separator}}}\n{text}").as_bytes());
        let trim = format!("{name}=${{{name}#{separator}}}\n{name}=${{{name}%{separator}}}\nexport {name}");
        self.line(trim.as_bytes());
        Ok(())
    }

    /// The launch of bash, which does the rest of another one.
    pub(super) fn launch(mut self, launch: Launch, shell: &Path) -> Result<Launch, ScriptError> {
        let mut script = Vec::new();
        let mut steps = launch.steps;
        if launch.target.0.contains(&Piece::Root)
            || memchr::memmem::find(&self.lines, ROOT_VARIABLE.as_bytes()).is_some()
        {
            steps.push(Step::Set(ROOT_VARIABLE.into(), Text(vec![Piece::Root])));
            script.extend_from_slice(format!("export -n {ROOT_VARIABLE}\n").as_bytes());
        }
        script.append(&mut self.lines);
        script.extend_from_slice(b"exec ");
        if !self.name.is_empty() {
            script.extend([b"-a ", &self.name[..], b" "].concat());
        }
        script.extend(source(&launch.target));
        script.extend([&self.before, &b" \"$@\""[..], &self.after].concat());
        if script.len() > MAX_SCRIPT_BYTES {
            return Err(ScriptError::TooLong);
        }
        let shell = Text::literal(shell.as_os_str().as_bytes());
        let before = ["-e".into(), "-c".into(), script].map(Piece::Literal);
        let [errexit, command, script] = before;
        let before = Text(vec![errexit, Piece::Break, command, Piece::Break, script, Piece::Break, Piece::Called]);
        Ok(Launch {
            name: shell.clone(),
            target: shell,
            before,
            after: Text::default(),
            resolves_name: false,
            steps,
            ..launch
        })
    }
}

/// A name that bash can use.
fn checked(name: &[u8]) -> Result<&[u8], ScriptError> {
    if is_name(name) { Ok(name) } else { Err(ScriptError::Name(String::from_utf8_lossy(name).into_owned())) }
}
