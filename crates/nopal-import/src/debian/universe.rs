//! All packages of the configured suites: the indexes in memory, with a table of names into them.
//!
//! Indexes are large (60,000 stanzas, 50 MB), and one resolution looks at a few hundred stanzas. So reading an index
//! only notes where stanzas and names are; a stanza's fields are read when somebody asks for them.

use std::cmp::Reverse;
use std::sync::OnceLock;

use super::control::Stanza;
use super::relation::{self, Operator};
use super::repository::{Loader, RepositoryError, Suite};
use super::version;

/// The packages of one architecture.
#[derive(Debug)]
pub struct Universe {
    architecture: String,
    suites: Vec<Suite>,
    indexes: Vec<Index>,
    rows: Vec<Row>,
    /// Row numbers sorted by package name, for binary search.
    by_name: Vec<u32>,
    /// Sorted by name; made when the first virtual package is looked up.
    provided: OnceLock<Vec<Provided>>,
}

#[derive(Debug)]
struct Index {
    suite: usize,
    text: String,
}

/// Where one stanza is.
#[derive(Clone, Copy, Debug)]
struct Row {
    index: u32,
    start: u32,
    end: u32,
    name_start: u32,
    name_end: u32,
    /// Start of the value of `Provides`, 0 where there is none (a value cannot be at 0).
    provides_start: u32,
    essential: bool,
}

/// One name that a package provides.
#[derive(Debug)]
struct Provided {
    name: Box<str>,
    version: Option<Box<str>>,
    row: u32,
}

/// One package in one suite.
#[derive(Clone, Copy, Debug)]
pub struct Package<'u> {
    /// Its name.
    pub name: &'u str,
    /// Its version.
    pub version: &'u str,
    /// All its fields.
    pub stanza: Stanza<'u>,
    /// Where it comes from.
    pub suite: &'u Suite,
    row: u32,
}

impl PartialEq for Package<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.row == other.row
    }
}

impl<'u> Package<'u> {
    /// A field that holds relations, parsed. A malformed field counts as empty only for its malformed groups' error:
    /// it is reported.
    ///
    /// # Errors
    /// [`relation::RelationError`] for a malformed field.
    pub fn relations(&self, field: &str) -> Result<Vec<relation::Group<'u>>, relation::RelationError> {
        relation::parse(self.stanza.get(field).unwrap_or_default())
    }

    /// Rank of the priority: lower is more important.
    pub fn priority_rank(&self) -> u8 {
        match self.stanza.get("Priority") {
            Some("required") => 0,
            Some("important") => 1,
            Some("standard") => 2,
            Some("optional") => 3,
            _ => 4,
        }
    }
}

impl Universe {
    /// Reads the indexes of all suites.
    ///
    /// # Errors
    /// See [`RepositoryError`]. A component that a suite does not have is left out with a warning.
    pub fn load(loader: &Loader<'_>) -> Result<Self, RepositoryError> {
        Self::load_suites(loader, loader.suites()?)
    }

    /// Reads the indexes of suites that were accepted already.
    ///
    /// # Errors
    /// As [`Universe::load`].
    pub fn load_suites(loader: &Loader<'_>, suites: Vec<Suite>) -> Result<Self, RepositoryError> {
        let architecture = loader.sources.architecture.clone();
        let mut texts = Vec::new();
        for (number, suite) in suites.iter().enumerate() {
            for path in index_paths(suite, &architecture) {
                match loader.index(suite, &path) {
                    Ok(text) => texts.push((number, text)),
                    Err(err @ RepositoryError::NoIndex { .. }) => loader.reporter.warn(format!("left out: {err}")),
                    Err(err) => return Err(err),
                }
            }
        }
        Self::from_texts(architecture, suites, texts)
    }

    /// Builds the tables over indexes that are already in memory; each belongs to the suite with that number.
    ///
    /// # Errors
    /// [`RepositoryError::Index`] for an index of 4 GiB or more.
    pub fn from_texts(
        architecture: String,
        suites: Vec<Suite>,
        texts: Vec<(usize, String)>,
    ) -> Result<Self, RepositoryError> {
        let mut rows = Vec::new();
        let mut indexes = Vec::new();
        for (suite, text) in texts {
            if u32::try_from(text.len()).is_err() {
                let reason = "an index of 4 GiB or more is not supported".to_owned();
                return Err(RepositoryError::Index { path: suites[suite].repository.suite.clone(), reason });
            }
            scan(&text, indexes.len() as u32, &mut rows);
            indexes.push(Index { suite, text });
        }
        let mut universe = Self { architecture, suites, indexes, rows, by_name: Vec::new(), provided: OnceLock::new() };
        let mut by_name: Vec<u32> = (0..universe.rows.len() as u32).collect();
        // indexes are sorted by name, so a stable sort only has to merge them
        by_name.sort_by(|a, b| universe.name(*a).cmp(universe.name(*b)));
        universe.by_name = by_name;
        Ok(universe)
    }

    /// Debian's name of the architecture.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The suites in use.
    pub fn suites(&self) -> &[Suite] {
        &self.suites
    }

    /// How many stanzas there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no package at all.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Every version of a package, best first: suites that ask for it (`NotAutomatic`) come last, then the highest
    /// version, then the order of the configuration.
    pub fn versions(&self, name: &str) -> Vec<Package<'_>> {
        let start = self.by_name.partition_point(|row| self.name(*row) < name);
        let same = self.by_name[start..].iter().take_while(|row| self.name(**row) == name);
        let mut packages: Vec<Package<'_>> =
            same.map(|row| self.package(*row)).filter(|package| self.is_native(package)).collect();
        packages.sort_by(|a, b| {
            let priority = |package: &Package<'_>| Reverse(package.suite.release.priority);
            priority(a).cmp(&priority(b)).then_with(|| version::compare(b.version, a.version))
        });
        packages
    }

    /// The packages that provide a name: each with the version that it provides it in.
    pub fn providers(&self, name: &str) -> Vec<(Package<'_>, Option<&str>)> {
        let provided = self.provided.get_or_init(|| self.collect_provided());
        let start = provided.partition_point(|entry| *entry.name < *name);
        provided[start..]
            .iter()
            .take_while(|entry| *entry.name == *name)
            .map(|entry| (self.package(entry.row), entry.version.as_deref()))
            .filter(|(package, _)| self.is_native(package) && self.is_best(package))
            .collect()
    }

    /// The packages marked `Essential: yes`, best version of each, sorted by name.
    pub fn essential(&self) -> Vec<Package<'_>> {
        let rows = self.by_name.iter().filter(|row| self.rows[**row as usize].essential);
        rows.map(|row| self.package(*row)).filter(|package| self.is_native(package) && self.is_best(package)).collect()
    }

    /// All package names, sorted, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut previous = None;
        self.by_name.iter().map(|row| self.name(*row)).filter(move |name| previous.replace(*name) != Some(*name))
    }

    fn is_best(&self, package: &Package<'_>) -> bool {
        self.versions(package.name).first() == Some(package)
    }

    fn is_native(&self, package: &Package<'_>) -> bool {
        package.stanza.get("Architecture").is_some_and(|name| name == "all" || name == self.architecture)
    }

    fn name(&self, row: u32) -> &str {
        let row = self.rows[row as usize];
        &self.indexes[row.index as usize].text[row.name_start as usize..row.name_end as usize]
    }

    fn package(&self, number: u32) -> Package<'_> {
        let row = self.rows[number as usize];
        let index = &self.indexes[row.index as usize];
        let stanza = Stanza::of(&index.text[row.start as usize..row.end as usize]);
        Package {
            name: self.name(number),
            version: stanza.get("Version").unwrap_or_default(),
            stanza,
            suite: &self.suites[index.suite],
            row: number,
        }
    }

    fn collect_provided(&self) -> Vec<Provided> {
        let mut all = Vec::new();
        for (number, row) in self.rows.iter().enumerate().filter(|(_, row)| row.provides_start != 0) {
            let text = &self.indexes[row.index as usize].text[row.provides_start as usize..row.end as usize];
            let line = text.split('\n').next().unwrap_or_default();
            // a malformed Provides provides nothing
            for group in relation::parse(line).unwrap_or_default() {
                all.extend(group.into_iter().map(|provided| {
                    Provided {
                        name: provided.name.into(),
                        version: provided
                            .version
                            .filter(|(operator, _)| *operator == Operator::Equal)
                            .map(|(_, version)| version.into()),
                        row: number as u32,
                    }
                }));
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

/// The indexes of a suite that hold packages for an architecture.
fn index_paths(suite: &Suite, architecture: &str) -> Vec<String> {
    if suite.repository.components.is_empty() {
        return vec!["Packages".to_owned()];
    }
    let mut paths = Vec::new();
    for component in &suite.repository.components {
        paths.push(format!("{component}/binary-{architecture}/Packages"));
        let all = format!("{component}/binary-all/Packages");
        if suite.release.separate_all && suite.release.index(&all).is_some() {
            paths.push(all);
        }
    }
    paths
}

/// Notes where the stanzas of an index are, in one pass over its lines.
fn scan(text: &str, index: u32, rows: &mut Vec<Row>) {
    let bytes = text.as_bytes();
    let empty = Row { index, start: 0, end: 0, name_start: 0, name_end: 0, provides_start: 0, essential: false };
    let mut row = empty;
    let mut line_start = 0;
    for line_end in memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]) {
        let line = &bytes[line_start..line_end];
        match line.first() {
            None | Some(b'\r') => {
                row.end = line_start as u32;
                if row.name_end > row.name_start {
                    rows.push(row);
                }
                row = Row { start: line_end as u32 + 1, ..empty };
            }
            Some(b'P') => {
                if let Some(value) = value_start(line, b"Package:") {
                    row.name_start = (line_start + value) as u32;
                    row.name_end = (line_start + line.trim_ascii_end().len()) as u32;
                } else if let Some(value) = value_start(line, b"Provides:") {
                    row.provides_start = (line_start + value) as u32;
                }
            }
            Some(b'E') => {
                if let Some(value) = value_start(line, b"Essential:") {
                    row.essential = &line[value..] == b"yes";
                }
            }
            Some(_) => {}
        }
        line_start = (line_end + 1).min(bytes.len());
    }
    row.end = bytes.len() as u32;
    if row.name_end > row.name_start {
        rows.push(row);
    }
}

/// Where the value of a field begins in its line, if it is that field.
fn value_start(line: &[u8], field: &[u8]) -> Option<usize> {
    let rest = line.strip_prefix(field)?;
    Some(line.len() - rest.trim_ascii_start().len())
}
