//! Looking for packages by regular expressions over attribute paths, names and descriptions.

use std::ops::Range;

use nopal_eval::pure::regex::{Regex, RegexError, Scratch};
use nopal_eval::pure::version;
use nopal_eval::{Error, Evaluator, Pos, Value, View};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::eval::{AutoArg, select_value};
use crate::installable::Source;

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    /// Expressions that must all match something. Case does not count.
    pub wanted: Vec<String>,
    /// Expressions that must not match anything.
    pub unwanted: Vec<String>,
}

/// A package that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPackage {
    /// Where it is in the expression.
    pub attr_path: String,
    /// Its name without version.
    pub pname: String,
    /// Its version, perhaps empty.
    pub version: String,
    /// Its description on one line, perhaps empty.
    pub description: String,
    /// What matched in the attribute path.
    pub in_attr_path: Vec<Range<usize>>,
    /// What matched in the description.
    pub in_description: Vec<Range<usize>>,
}

struct Search {
    wanted: Vec<Regex>,
    unwanted: Vec<Regex>,
    scratch: Scratch,
    found: Vec<FoundPackage>,
}

impl Engine {
    /// The packages in a set that match, in order of attribute paths.
    ///
    /// # Errors
    /// Evaluation fails, or a pattern is no regular expression.
    pub fn search(
        &self,
        source: &Source,
        attr_path: &str,
        args: &[AutoArg],
        patterns: &Patterns,
    ) -> Result<Vec<FoundPackage>, EngineError> {
        // the evaluator's expressions know no case
        let compile = |patterns: &[String]| -> Result<Vec<Regex>, RegexError> {
            patterns.iter().map(|pattern| Regex::new(pattern.to_ascii_lowercase().as_bytes())).collect()
        };
        let mut search = Search {
            wanted: compile(&patterns.wanted)?,
            unwanted: compile(&patterns.unwanted)?,
            scratch: Scratch::default(),
            found: Vec::new(),
        };
        self.shared.with_evaluator(|evaluator| {
            let (value, _) = select_value(evaluator, &self.shared, source, attr_path, args)?;
            search.visit(evaluator, value, &[], true)?;
            Ok(search.found)
        })
    }
}

impl Search {
    fn visit(&mut self, evaluator: &mut Evaluator, value: Value, path: &[String], initial: bool) -> Result<(), Error> {
        let result = self.visit_value(evaluator, value, path, initial);
        // what does not evaluate in such a set is passed over
        if path.first().is_some_and(|first| first == "legacyPackages") { result.or(Ok(())) } else { result }
    }

    fn visit_value(
        &mut self,
        evaluator: &mut Evaluator,
        value: Value,
        path: &[String],
        initial: bool,
    ) -> Result<(), Error> {
        let View::Attrs(attrs) = evaluator.force(value, Pos::NONE)?.view() else { return Ok(()) };
        if evaluator.is_derivation(attrs)? {
            let name = self.string(evaluator, value, "name")?.unwrap_or_default();
            let meta = evaluator.symbols.intern(b"meta");
            let description = match attrs.get(meta) {
                Some(meta) => self.string(evaluator, meta, "description")?.unwrap_or_default(),
                None => String::new(),
            };
            return self.judge(&path.join("."), &name, &description.replace('\n', " "));
        }
        let set = path.first().map(String::as_str);
        let below = match set {
            None => true,
            Some("legacyPackages" | "packages") if path.len() <= 2 => true,
            Some("legacyPackages") => {
                let name = evaluator.symbols.intern(b"recurseForDerivations");
                match attrs.get(name) {
                    Some(value) => {
                        evaluator.force_bool(value, Pos::NONE, "while evaluating 'recurseForDerivations'")?
                    }
                    None => initial,
                }
            }
            Some(_) => initial,
        };
        if !below {
            return Ok(());
        }
        for &(name, _, member) in attrs.sorted(&evaluator.symbols).iter() {
            let name = String::from_utf8_lossy(evaluator.symbols.get(name)).into_owned();
            self.visit(evaluator, member, &[path, &[name]].concat(), false)?;
        }
        Ok(())
    }

    /// The string at an attribute, if there is one.
    fn string(&self, evaluator: &mut Evaluator, value: Value, name: &str) -> Result<Option<String>, Error> {
        let View::Attrs(attrs) = evaluator.force(value, Pos::NONE)?.view() else { return Ok(None) };
        let symbol = evaluator.symbols.intern(name.as_bytes());
        let Some((value, pos)) = attrs.get_with_pos(symbol) else { return Ok(None) };
        let text = evaluator.force_string(value, pos, &format!("while evaluating the attribute '{name}'"))?;
        Ok(Some(text.to_lossy().into_owned()))
    }

    fn judge(&mut self, attr_path: &str, name: &str, description: &str) -> Result<(), Error> {
        let (pname, version) = version::split_name(name.as_bytes());
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (pname, version) = (lossy(pname), lossy(version));
        let lower = [attr_path, &pname, description].map(str::to_ascii_lowercase);
        for regex in &self.unwanted {
            for text in &lower {
                if !matches(regex, text, &mut self.scratch)?.is_empty() {
                    return Ok(());
                }
            }
        }
        let mut spans: [Vec<Range<usize>>; 3] = Default::default();
        for regex in &self.wanted {
            let mut any = false;
            for (text, spans) in lower.iter().zip(&mut spans) {
                let found = matches(regex, text, &mut self.scratch)?;
                any |= !found.is_empty();
                spans.extend(found);
            }
            if !any {
                return Ok(());
            }
        }
        let [in_attr_path, _, in_description] = spans;
        self.found.push(FoundPackage {
            attr_path: attr_path.to_owned(),
            pname,
            version,
            description: description.to_owned(),
            in_attr_path,
            in_description,
        });
        Ok(())
    }
}

fn matches(regex: &Regex, text: &str, scratch: &mut Scratch) -> Result<Vec<Range<usize>>, Error> {
    let mut found = Vec::new();
    let mut all = regex.matches(text.as_bytes());
    while let Some(groups) = all.next_match(scratch).map_err(|error| Error::eval(error.to_string()))? {
        found.extend(groups.into_iter().next().flatten());
    }
    Ok(found)
}
