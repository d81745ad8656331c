//! What the words of a command name: attributes of an expression, store paths, flakes.

use crate::commands::installables::{read_stdin, stdin};
use crate::error::CliError;
use crate::nix::cli::Line;
use nopal_engine::{Engine, FlakeSource, Installable, Item, LockFlags, Purpose, Source};
use nopal_format::{SingleDerivedPath, StorePath};
use std::path::PathBuf;

/// Where installables are looked for.
#[derive(Clone, Debug)]
pub(crate) enum Lookup {
    /// Words are attribute paths in this expression (`--file`, `--expr`).
    Expression(Source),
    /// Words are store paths or flakes, whose lock files are treated so.
    Word(Box<LockFlags>),
}

/// Which outputs of a derivation are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outputs {
    /// Those that it is installed with.
    #[default]
    Default,
    /// All of them (`^*`).
    All,
    /// These (`^out,dev`).
    Names(Vec<String>),
}

/// Something that a word names.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The word.
    pub(crate) word: String,
    /// What it names.
    pub(crate) what: What,
    /// Which outputs of it.
    pub(crate) outputs: Outputs,
}

/// What a word names.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A store path itself.
    Path(StorePath),
    /// What is to be evaluated, or the outputs of a derivation.
    Installable(Installable),
}

impl Lookup {
    /// Where the flags of a command say.
    pub(crate) fn of(line: &mut Line) -> Result<Self, CliError> {
        let (file, expr) = (line.value("file").map(str::to_owned), line.value("expr").map(str::to_owned));
        Ok(match (file, expr) {
            (Some(_), Some(_)) => return Err(CliError::usage("'--file' and '--expr' are exclusive")),
            (Some(file), None) => {
                if line.common.sets("pure-eval") == Some("true") {
                    return Err(CliError::usage("'--file' is not compatible with '--pure-eval'"));
                }
                line.common.set("pure-eval", "false");
                Self::Expression(if file == "-" { stdin()? } else { Source::Import(PathBuf::from(file)) })
            }
            (None, Some(text)) => Self::Expression(Source::Expr(text)),
            (None, None) => Self::Word(Box::new(super::lock_flags(line)?)),
        })
    }

    /// What a word names, for commands that build.
    pub(crate) fn target(&self, engine: &Engine, word: &str) -> Result<Target, CliError> {
        self.target_for(engine, word, Purpose::Package)
    }

    /// What a word names, for a command with this purpose.
    pub(crate) fn target_for(&self, engine: &Engine, word: &str, purpose: Purpose) -> Result<Target, CliError> {
        let (name, outputs) = split_outputs(word);
        let what = match self {
            Self::Expression(source) => {
                let attr_path = if name == "." { String::new() } else { name.to_owned() };
                What::Installable(Installable::Attr { source: source.clone(), attr_path })
            }
            Self::Word(lock) => match store_path(engine, name)? {
                Some(path) if outputs == Outputs::Default => What::Path(path),
                Some(path) => What::Installable(Installable::StorePath(engine.config().store_dir.print(&path))),
                None if name.starts_with(engine.config().store_dir.as_str()) && name.contains('^') => {
                    let made = engine.obtain(&SingleDerivedPath::parse(&engine.config().store_dir, name)?)?;
                    let made = engine.config().store_dir.print(&made);
                    What::Installable(Installable::StorePath(made))
                }
                None => {
                    let flake = FlakeSource::new(purpose, name, &engine.config().system, (**lock).clone());
                    let source = Source::Flake(Box::new(flake));
                    What::Installable(Installable::Attr { source, attr_path: String::new() })
                }
            },
        };
        Ok(Target { word: word.to_owned(), what, outputs })
    }

    /// The completions of a word, if they are attributes.
    pub(crate) fn complete(&self, line: &Line, prefix: &str) -> Option<Vec<String>> {
        let source = match self {
            Self::Expression(source) => source,
            Self::Word(lock) => {
                let (text, fragment) = prefix.split_once('#')?;
                let lock = LockFlags { write: false, ..(**lock).clone() };
                let found = line.engine().and_then(|engine| {
                    let flake = FlakeSource::new(Purpose::Package, text, &engine.config().system, lock);
                    Ok(engine.flake_attr_names(&flake, fragment)?)
                });
                return Some(found.unwrap_or_default().iter().map(|name| format!("{text}#{name}")).collect());
            }
        };
        let (parent, name) = prefix.rsplit_once('.').unwrap_or(("", prefix));
        let names = line.engine().ok()?.attr_names(source, parent, &line.auto_args()).unwrap_or_default();
        let begin = if parent.is_empty() { String::new() } else { format!("{parent}.") };
        Some(names.iter().filter(|found| found.starts_with(name)).map(|found| format!("{begin}{found}")).collect())
    }
}

/// Everything that the words of a command name; without any, the flake here.
pub(crate) fn targets(line: &Line, lookup: &Lookup, engine: &Engine) -> Result<Vec<Target>, CliError> {
    let mut words = line.args.clone();
    if line.has("stdin") {
        let text = read_stdin()?;
        words.extend(String::from_utf8_lossy(&text).split_whitespace().map(str::to_owned));
    } else if words.is_empty() && !line.has("all") {
        words.push(".".to_owned());
    }
    words.iter().map(|word| lookup.target(engine, word)).collect()
}

impl Target {
    /// The store paths and derivations that it stands for, with the outputs that are meant.
    pub(crate) fn items(&self, engine: &Engine, line: &Line) -> Result<Vec<Item>, CliError> {
        let installable = match &self.what {
            What::Path(path) => return Ok(vec![Item::Path(path.clone())]),
            What::Installable(installable) => installable,
        };
        let mut items = engine.items(installable, &line.auto_args())?;
        for item in &mut items {
            let Item::Outputs(wanted) = item else { continue };
            match &self.outputs {
                Outputs::Default => {}
                Outputs::All => wanted.outputs.clear(),
                Outputs::Names(names) => wanted.outputs.clone_from(names),
            }
        }
        Ok(items)
    }
}

/// Takes `^out,dev` or `^*` off a word.
fn split_outputs(word: &str) -> (&str, Outputs) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "+-._?=".contains(c);
    match word.rsplit_once('^') {
        Some((name, "*")) => (name, Outputs::All),
        Some((name, list))
            if !list.is_empty() && list.split(',').all(|one| !one.is_empty() && one.chars().all(is_name)) =>
        {
            (name, Outputs::Names(list.split(',').map(str::to_owned).collect()))
        }
        _ => (word, Outputs::Default),
    }
}

/// The store path that a word names: itself, or through symbolic links such as `./result`.
pub(crate) fn store_path(engine: &Engine, word: &str) -> Result<Option<StorePath>, CliError> {
    if !word.contains('/') {
        return Ok(None);
    }
    match crate::commands::store::resolve(engine, word) {
        Ok((path, _)) => Ok(Some(path)),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_follow_a_circumflex() {
        let names = |list: &[&str]| Outputs::Names(list.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(split_outputs("a.b"), ("a.b", Outputs::Default));
        assert_eq!(split_outputs("a^out,dev"), ("a", names(&["out", "dev"])));
        assert_eq!(split_outputs("^*"), ("", Outputs::All));
        assert_eq!(split_outputs("a^/x"), ("a^/x", Outputs::Default));
    }
}
