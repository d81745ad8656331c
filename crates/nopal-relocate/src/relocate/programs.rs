//! What programs have to be told of where their files are. The rules are data: programs.toml.

use super::elf::is_program;
use super::mentions::{Mentions, replaced};
use super::{RelocateError, Rung, Verdict, Work};
use crate::paths;
use crate::tree;
use crate::wrap::{Join, JoinKind, Piece, Step, Text};
use nopal_elf::resolve::Tree as _;
use nopal_fs::FilePart;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::LazyLock;

/// The rules as they are written.
pub(super) const RULES_TEXT: &str = include_str!("programs.toml");

// a test reads them
static RULES: LazyLock<Rules> = LazyLock::new(|| toml::from_str(RULES_TEXT).unwrap_or_default());

#[derive(Debug, Default, Deserialize)]
struct Rules {
    rule: Vec<Rule>,
    text: Vec<TextRule>,
    form: Vec<Form>,
    alias: Vec<Alias>,
    harmless: Harmless,
}

/// What programs may name wherever they run: the system's own, and what nothing goes wrong without.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Harmless {
    paths: Vec<String>,
    below: Vec<String>,
}

/// A folder that has another name in some files.
///
/// Strings in programs cannot grow. But a path through the number of an open folder is short, and means the same wherever
/// the folder is: `/proc/self/fd/N`, or `/dev/fd/N`. The program that has such strings opens the folder before it starts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alias {
    files: Vec<String>,
    folder: String,
    number: u16,
    #[serde(default)]
    programs: Vec<String>,
    #[serde(default)]
    loads: Vec<String>,
}

/// How a text is changed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextRule {
    files: Vec<String>,
    from: String,
    to: String,
    /// What was compiled from it.
    #[serde(default)]
    compiled: Vec<String>,
}

/// Texts in which there is a name for the folder that they are in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    files: Vec<String>,
    here: String,
}

/// How some programs are told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    programs: Vec<String>,
    #[serde(default)]
    loads: Vec<String>,
    unless: Option<String>,
    #[serde(default)]
    default: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    list: BTreeMap<String, Vec<String>>,
    needs: Option<String>,
    #[serde(default)]
    arguments: Vec<String>,
}

/// Who tells a program where its files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Teller {
    /// Code in it, which knows the root.
    Itself,
    /// A launcher in a folder that is so many levels below the root.
    Launcher(usize),
}

impl Teller {
    fn root(self) -> Vec<Piece> {
        match self {
            Self::Itself => vec![Piece::Root],
            Self::Launcher(depth) => vec![Piece::Root, Piece::Literal(b"/..".repeat(depth))],
        }
    }

    /// A path that counts from the root.
    pub(super) fn path(self, path: &[u8]) -> Text {
        Text([self.root(), vec![Piece::Literal(path.to_vec())]].concat())
    }

    fn hold(self, number: u16, folder: &[u8]) -> Step {
        match self {
            Self::Itself => Step::Hold(number, self.path(folder)),
            Self::Launcher(_) => Step::Pass(number, self.path(folder)),
        }
    }
}

/// What a program does before it starts.
#[derive(Debug, Default)]
pub(super) struct Preparation {
    pub(super) steps: Vec<Step>,
    pub(super) arguments: Text,
    /// The paths that it is told.
    pub(super) told: Vec<Vec<u8>>,
}

/// Whether a program that names a path runs elsewhere as well.
pub(super) fn is_harmless(path: &str) -> bool {
    let harmless = &RULES.harmless;
    let is_below = |folder: &String| {
        path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    harmless.paths.iter().any(|harmless| harmless == path) || harmless.below.iter().any(is_below)
}

/// Whether a program has a path built in that it would be given another name for, if it could be changed.
pub(super) fn has_alias(program: &[u8], path: &[u8]) -> bool {
    let is_for = |alias: &&Alias| alias.programs.iter().any(|one| matches(one.as_bytes(), paths::name(program)));
    let is_below = |alias: &Alias| {
        let rest = path.strip_prefix(alias.folder.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    RULES.alias.iter().filter(is_for).any(is_below)
}

impl Work {
    /// What a program has to be told, which loads libraries of these names from these paths.
    pub(super) fn preparation(&self, program: &[u8], libraries: &[(Vec<u8>, Vec<u8>)], teller: Teller) -> Preparation {
        let mut preparation = Preparation { steps: self.open_folders(teller).collect(), ..Preparation::default() };
        for alias in &RULES.alias {
            if self.asker(&alias.programs, &alias.loads, program, libraries).is_none() {
                continue;
            }
            let folder = self.find(None, &alias.folder).pop();
            preparation.steps.extend(folder.map(|folder| teller.hold(alias.number, &folder)));
        }
        for rule in &RULES.rule {
            let Some(asker) = self.asker(&rule.programs, &rule.loads, program, libraries) else { continue };
            if rule.needs.as_ref().is_some_and(|needs| self.find(None, needs).is_empty()) {
                continue;
            }
            let unless = rule.unless.as_ref().and_then(|pattern| self.find(None, pattern).pop());
            for (name, patterns) in &rule.default {
                let Some(path) = patterns.iter().flat_map(|pattern| self.find(Some(asker), pattern)).next() else {
                    continue;
                };
                preparation.steps.extend(unless.clone().map(Step::SkipIfThere));
                preparation.steps.push(Step::SetDefault(name.clone().into(), teller.path(&path)));
                preparation.told.push(path);
            }
            for (name, patterns) in &rule.list {
                for path in patterns.iter().flat_map(|pattern| self.find(Some(asker), pattern)) {
                    preparation.steps.push(Step::Join(Join {
                        name: name.clone().into(),
                        separator: b":".to_vec(),
                        value: teller.path(&path),
                        how: JoinKind::Suffix,
                    }));
                    preparation.told.push(path);
                }
            }
            for argument in &rule.arguments {
                let pieces = &mut preparation.arguments.0;
                for (index, part) in argument.split("{root}").enumerate() {
                    if index > 0 {
                        pieces.extend(teller.root());
                    }
                    pieces.push(Piece::Literal(part.into()));
                }
                pieces.push(Piece::Break);
            }
        }
        preparation
    }

    /// Changes texts of which it is known how.
    pub(super) fn texts(&mut self) -> Result<(), RelocateError> {
        for rule in &RULES.text {
            let paths = rule.files.iter().flat_map(|file| self.find(None, file)).collect::<Vec<_>>();
            for path in paths {
                let Some(real) = self.tree.real(&path) else { continue };
                let old = nopal_fs::read_file(&real)?;
                let Ok(text) = std::str::from_utf8(&old) else { continue };
                let new = text.replace(&rule.from, &rule.to);
                if new == text {
                    continue;
                }
                self.rewrite(&path, &real, new.as_bytes())?;
                let compiled = rule.compiled.iter().flat_map(|pattern| self.find(None, pattern)).collect::<Vec<_>>();
                for compiled in compiled {
                    self.members.retain(|member| paths::logical(&member.below) != compiled);
                    nopal_fs::remove_file(&tree::below(&self.root, &compiled))?;
                }
            }
        }
        Ok(())
    }

    /// Has texts of known forms name files from the folder that they are in.
    pub(super) fn forms(&mut self, mentions: &Mentions) -> Result<(), RelocateError> {
        for form in &RULES.form {
            let paths = form.files.iter().flat_map(|file| self.find(None, file)).collect::<Vec<_>>();
            for path in paths {
                let Some(real) = self.tree.real(&path).filter(|real| nopal_fs::is_file(real)) else { continue };
                // links in other folders would mean other ways
                if self.tree.canonical(&path).as_ref() != Some(&path) {
                    continue;
                }
                let text = nopal_fs::read_file(&real)?;
                let from_here = |place: Range<usize>| {
                    let named = &text[place.clone()];
                    self.tree.canonical(named)?;
                    let way = paths::relative(paths::folder(&path), named);
                    Some((place, [form.here.as_bytes(), b"/", &way].concat()))
                };
                let places = mentions.places(&text).into_iter().filter_map(from_here).collect::<Vec<_>>();
                if !places.is_empty() {
                    self.rewrite(&path, &real, &replaced(&text, &places))?;
                }
            }
        }
        Ok(())
    }

    /// Gives a text other contents, and its rights stay. Nobody waits for the disk: the tree is not there yet.
    fn rewrite(&mut self, path: &[u8], real: &Path, contents: &[u8]) -> Result<(), RelocateError> {
        nopal_fs::patch_file(real, &[FilePart { offset: 0, bytes: contents }], contents.len() as u64)?;
        self.found(Path::new(OsStr::from_bytes(&path[1..])), Verdict::Text);
        Ok(())
    }

    /// Changes names of folders in programs to those by which they are open.
    pub(super) fn aliases(&mut self) -> Result<(), RelocateError> {
        for alias in &RULES.alias {
            let Some(name) = alias.name() else { continue };
            for path in alias.files.iter().flat_map(|file| self.find(None, file)) {
                let Some(real) = self.tree.real(&path) else { continue };
                let bytes = nopal_fs::read_file(&real)?;
                let is_program = || self.tree.open(&path).is_ok_and(|opened| is_program(&opened.file));
                if self.first == Rung::ExplicitLoader && is_program() {
                    continue;
                }
                let folder = alias.folder.as_bytes();
                let ends = |at: &usize| matches!(bytes.get(at + folder.len()), Some(b'/' | 0));
                let places = memchr::memmem::find_iter(&bytes, folder).filter(ends);
                let parts = places.map(|at| FilePart { offset: at as u64, bytes: &name }).collect::<Vec<_>>();
                nopal_fs::patch_file(&real, &parts, bytes.len() as u64)?;
            }
        }
        Ok(())
    }

    /// The file that a rule for such programs and libraries is for, if a program is one of them, or loads one.
    fn asker<'a>(
        &self,
        programs: &[String],
        loads: &[String],
        program: &'a [u8],
        libraries: &'a [(Vec<u8>, Vec<u8>)],
    ) -> Option<&'a [u8]> {
        let is_one =
            |patterns: &[String], name: &[u8]| patterns.iter().any(|pattern| matches(pattern.as_bytes(), name));
        if is_one(programs, paths::name(program)) {
            return Some(program);
        }
        libraries.iter().find(|(soname, _)| is_one(loads, soname)).map(|(_, path)| &path[..])
    }

    /// All paths of the tree that a pattern stands for, in order. Patterns that do not begin with `/` are for a file.
    fn find(&self, asker: Option<&[u8]>, pattern: &str) -> Vec<Vec<u8>> {
        let (mut found, pattern) = if let Some(pattern) = pattern.strip_prefix('/') {
            (vec![Vec::new()], pattern)
        } else if let Some(pattern) = pattern.strip_prefix("{package}/") {
            (self.packages(), pattern)
        } else {
            // what names its store finds these by itself
            let asker = asker.and_then(|asker| self.tree.canonical(asker)).filter(|asker| !self.names_store(asker));
            (asker.iter().map(|asker| paths::folder(paths::folder(asker)).to_vec()).collect(), pattern)
        };
        for part in pattern.split('/') {
            let inside = |folder: &Vec<u8>| -> Vec<Vec<u8>> {
                let names = if part.contains(['*', '[']) {
                    let real = self.tree.real(folder).unwrap_or_default();
                    let mut names = nopal_fs::read_dir_names(&real).unwrap_or_default();
                    names.sort();
                    let names = names.into_iter().map(std::ffi::OsString::into_encoded_bytes);
                    names.filter(|name| matches(part.as_bytes(), name)).collect()
                } else {
                    vec![part.as_bytes().to_vec()]
                };
                names.into_iter().map(|name| [folder, &b"/"[..], &name].concat()).collect()
            };
            found = found.iter().flat_map(inside).collect();
        }
        found.retain(|path| self.tree.real(path).is_some_and(|path| nopal_fs::exists(&path)));
        found
    }
}

impl Alias {
    /// The other name, as long as the first one.
    fn name(&self) -> Option<Vec<u8>> {
        by_number(self.number, self.folder.len())
    }
}

/// A path of that length that leads to what is open under a number. Nothing if there is none as short.
pub(super) fn by_number(number: u16, length: usize) -> Option<Vec<u8>> {
    let names = ["/proc/self/fd/", "/dev/fd/"].map(|folder| format!("{folder}{number}").into_bytes());
    let mut name = names.into_iter().find(|name| name.len() <= length)?;
    name.resize(length, b'/');
    Some(name)
}

/// Whether a name is one that a pattern stands for: `*` is anything, `[0-9]` a digit.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    const DIGIT: &[u8] = b"[0-9]";
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|at| matches(rest, &name[at..])),
        (pattern, [first, name @ ..]) if pattern.starts_with(DIGIT) => {
            first.is_ascii_digit() && matches(&pattern[DIGIT.len()..], name)
        }
        ([expected, pattern @ ..], [first, name @ ..]) => expected == first && matches(pattern, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        assert!(RULES.rule.len() > 10 && !RULES.text.is_empty());
        for rule in &RULES.rule {
            assert!(!rule.programs.is_empty() || !rule.loads.is_empty(), "{rule:?} is for nothing");
            assert!(rule.default.len() + rule.list.len() + rule.arguments.len() > 0, "{rule:?} does nothing");
        }
    }

    #[test]
    fn aliases_are_not_longer() {
        for alias in &RULES.alias {
            let name = alias.name().unwrap_or_default();
            assert_eq!(name.len(), alias.folder.len(), "{alias:?}");
        }
    }

    #[test]
    fn patterns_stand_for_names() {
        for (pattern, name, is_one) in [
            ("perl5*", "perl5.36", true),
            ("*-gcc-[0-9]*", "x86_64-linux-gnu-gcc-12", true),
            ("*-gcc-[0-9]*", "x86_64-linux-gnu-gcc-ar", false),
            ("gs", "gsx", false),
            ("[0-9]*", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), is_one, "{pattern} {name}");
        }
    }
}
