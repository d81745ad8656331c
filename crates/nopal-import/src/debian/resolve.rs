//! From names to a set of packages that fit together.
//!
//! Relations that leave no choice are followed first; a choice (alternatives, virtual packages) waits until nothing is
//! forced any more, and is then made by rule: what is selected already, else the first alternative that exists, a real
//! package before one that provides the name, the more important priority before the lesser, then by name. So equal
//! indexes and requests give equal results, whatever the order of the index.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::relation::{self, Alternative, RelationError};
use super::universe::{Package, Universe};
use super::version;

/// A package asked for: `NAME` or `NAME=VERSION`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageSpec {
    /// The name.
    pub name: String,
    /// The exact version, where one is asked for.
    pub version: Option<String>,
}

impl PackageSpec {
    /// Reads `NAME` or `NAME=VERSION`.
    ///
    /// # Errors
    /// [`ResolveError::BadName`].
    pub fn parse(text: &str) -> Result<Self, ResolveError> {
        let (name, version) = match text.split_once('=') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let bad = |reason: String| ResolveError::BadName { text: text.to_owned(), reason };
        if !relation::is_package_name(name) {
            return Err(bad("a name has letters, digits and + - .".to_owned()));
        }
        let version = version.map(version::Version::parse).transpose().map_err(|err| bad(err.to_string()))?;
        Ok(Self { name: name.to_owned(), version: version.map(|version| version.to_string()) })
    }
}

impl std::fmt::Display for PackageSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, "={version}"))
    }
}

/// Which relations are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolveOptions {
    /// Add the packages marked `Essential: yes`: Debian lets packages use them without declaring it.
    pub essential: bool,
    /// Take along what the packages asked for recommend (not what their dependencies do), where that is possible: a
    /// compiler recommends the C library's headers and is of little use without them.
    pub recommends: bool,
}

impl Default for ResolveOptions {
    fn default() -> Self {
        Self { essential: true, recommends: true }
    }
}

/// Why a request has no solution.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The text names no package.
    #[error("'{text}' is no package name: {reason}")]
    BadName {
        /// The text.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// No suite has it.
    #[error("no package named '{name}' in the configured suites")]
    Unknown {
        /// The name.
        name: String,
        /// Names that look alike.
        similar: Vec<String>,
    },
    /// The package is there, that version is not.
    #[error("{name} has no version {version}; there {}", list_versions(.available))]
    UnknownVersion {
        /// The name.
        name: String,
        /// The version asked for.
        version: String,
        /// What there is, best first.
        available: Vec<String>,
    },
    /// A virtual package that several packages provide.
    #[error("'{name}' is a virtual package; name one that provides it: {}", providers.join(", "))]
    Ambiguous {
        /// The virtual name.
        name: String,
        /// The packages that provide it.
        providers: Vec<String>,
    },
    /// A relation that nothing fulfils.
    #[error("{package} needs {relation}, {reason}{}", chain.iter().map(|link| format!("\n  {link}")).collect::<String>())]
    Unsatisfiable {
        /// Name and version of the package that needs it.
        package: String,
        /// The relation.
        relation: String,
        /// Why nothing fulfils it.
        reason: String,
        /// Who needs the package, up to the request.
        chain: Vec<String>,
    },
    /// Two packages of one closure exclude each other.
    #[error("{one} and {other} conflict ({relation}), and {root} needs both")]
    Conflict {
        /// A package.
        one: String,
        /// The package that it excludes.
        other: String,
        /// The relation that says so.
        relation: String,
        /// The request.
        root: String,
    },
    /// A field of the index is malformed.
    #[error("{package}: {field}: {source}")]
    Malformed {
        /// Package and version.
        package: String,
        /// The field.
        field: &'static str,
        /// What is wrong.
        source: RelationError,
    },
}

fn list_versions(versions: &[String]) -> String {
    match versions {
        [one] => format!("is only {one}"),
        several => format!("are {}", several.join(", ")),
    }
}

impl ResolveError {
    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { similar, .. } if !similar.is_empty() => {
                Some(format!("did you mean {}?", similar.join(", ")))
            }
            _ => None,
        }
    }
}

/// The packages for a request, and who needs whom.
#[derive(Debug)]
pub struct Resolution<'u> {
    /// The selected packages by name.
    pub packages: BTreeMap<&'u str, Package<'u>>,
    /// By package, the packages that fulfil its dependencies.
    pub depends: BTreeMap<&'u str, BTreeSet<&'u str>>,
    /// Relations that left a choice, and what was taken.
    pub chosen: BTreeMap<String, &'u str>,
    /// Names of the essential packages.
    pub essential: Vec<&'u str>,
    /// The packages that the requests led to, in their order.
    pub roots: Vec<&'u str>,
    /// Pairs that must not be in one tree: (one, other, the relation).
    pub conflicts: Vec<(&'u str, &'u str, String)>,
}

/// Finds the packages for a request.
///
/// # Errors
/// See [`ResolveError`].
pub fn resolve<'u>(
    universe: &'u Universe,
    request: &[PackageSpec],
    options: ResolveOptions,
) -> Result<Resolution<'u>, ResolveError> {
    let pins = request.iter().filter_map(|spec| Some((spec.name.as_str(), spec.version.as_deref()?))).collect();
    let mut resolver = Resolver { universe, options, pins, state: State::default() };
    let mut roots = Vec::new();
    for spec in request {
        let package = resolver.root(spec)?;
        roots.push(package.name);
        resolver.select(package, None)?;
        if options.recommends {
            for group in relations(&package, "Recommends")? {
                resolver.state.soft.push_back(Need { from: package.name, group });
            }
        }
    }
    let essential: Vec<&str> = if options.essential {
        universe.essential().into_iter().map(|package| package.name).collect()
    } else {
        Vec::new()
    };
    for name in &essential {
        if !resolver.state.selected.contains_key(name)
            && let Some(package) = resolver.best(name)
        {
            resolver.select(package, None)?;
        }
    }
    resolver.run()?;
    resolver.finish(roots, essential)
}

/// Packages that are preferred wherever a relation accepts them: trees are joined with /bin, /lib and /sbin merged into
/// /usr, which is what this (empty) package stands for; the other choice is a conversion script with all of Perl.
const FAVOURED: [&str; 1] = ["usr-is-merged"];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Strength {
    Hard,
    Soft,
}

/// A relation that waits to be fulfilled.
#[derive(Clone, Debug)]
struct Need<'u> {
    from: &'u str,
    group: Vec<Alternative<'u>>,
}

#[derive(Clone, Default)]
struct State<'u> {
    selected: BTreeMap<&'u str, Package<'u>>,
    /// By virtual name, the selected packages that provide it, and in which version.
    provided: BTreeMap<&'u str, Vec<(&'u str, Option<&'u str>)>>,
    /// By name, the selected packages that exclude it (`Conflicts`, `Breaks`).
    excluded: BTreeMap<&'u str, Vec<(&'u str, Alternative<'u>)>>,
    /// Who first needed a package.
    because: BTreeMap<&'u str, &'u str>,
    hard: VecDeque<Need<'u>>,
    choices: VecDeque<Need<'u>>,
    soft: VecDeque<Need<'u>>,
}

struct Resolver<'u, 'r> {
    universe: &'u Universe,
    options: ResolveOptions,
    /// Versions asked for, by name.
    pins: BTreeMap<&'r str, &'r str>,
    state: State<'u>,
}

impl<'u> Resolver<'u, '_> {
    fn root(&self, spec: &PackageSpec) -> Result<Package<'u>, ResolveError> {
        let versions = self.universe.versions(&spec.name);
        if versions.is_empty() {
            let mut providers: Vec<String> =
                self.universe.providers(&spec.name).iter().map(|(package, _)| package.name.to_owned()).collect();
            providers.sort_unstable();
            providers.dedup();
            return match providers.as_slice() {
                [] => Err(ResolveError::Unknown { name: spec.name.clone(), similar: self.similar(&spec.name) }),
                [only] => self.root(&PackageSpec { name: only.clone(), version: spec.version.clone() }),
                _ => Err(ResolveError::Ambiguous { name: spec.name.clone(), providers }),
            };
        }
        let Some(wanted) = &spec.version else { return Ok(versions[0]) };
        versions.iter().find(|package| version::compare(package.version, wanted).is_eq()).copied().ok_or_else(|| {
            let mut available: Vec<String> = versions.iter().map(|package| package.version.to_owned()).collect();
            available.dedup();
            ResolveError::UnknownVersion { name: spec.name.clone(), version: wanted.clone(), available }
        })
    }

    /// The version of a package that is taken unless a relation demands another.
    fn best(&self, name: &str) -> Option<Package<'u>> {
        self.candidates(name).into_iter().next()
    }

    /// The versions that may be taken, best first: only the pinned one if there is a pin.
    fn candidates(&self, name: &str) -> Vec<Package<'u>> {
        let mut versions = self.universe.versions(name);
        if let Some(pin) = self.pins.get(name) {
            versions.retain(|package| version::compare(package.version, pin).is_eq());
        }
        versions
    }

    fn select(&mut self, package: Package<'u>, from: Option<&'u str>) -> Result<(), ResolveError> {
        if self.state.selected.insert(package.name, package).is_some() {
            return Ok(());
        }
        if let Some(from) = from {
            self.state.because.insert(package.name, from);
        }
        for provided in provides(&package) {
            let version = provided.version.map(|(_, version)| version);
            self.state.provided.entry(provided.name).or_default().push((package.name, version));
        }
        for (_, excluded) in exclusions(&package) {
            self.state.excluded.entry(excluded.name).or_default().push((package.name, excluded));
        }
        for field in ["Pre-Depends", "Depends"] {
            for group in relations(&package, field)? {
                self.state.hard.push_back(Need { from: package.name, group });
            }
        }
        Ok(())
    }

    /// Follows everything to the end: what is forced first, then choices, then recommendations.
    fn run(&mut self) -> Result<(), ResolveError> {
        loop {
            self.run_forced()?;
            if let Some(need) = self.state.choices.pop_front() {
                self.choose(&need, Strength::Hard)?;
            } else if let Some(need) = self.state.soft.pop_front() {
                self.choose(&need, Strength::Soft)?;
            } else {
                return Ok(());
            }
        }
    }

    fn run_forced(&mut self) -> Result<(), ResolveError> {
        while let Some(need) = self.state.hard.pop_front() {
            if self.fulfilled_by(&need.group).is_some() {
                continue;
            }
            match self.possible(&need.group).as_slice() {
                [] => return Err(self.unsatisfiable(&need)),
                [only] => self.select(*only, Some(need.from))?,
                _ => self.state.choices.push_back(need),
            }
        }
        Ok(())
    }

    /// Takes the first possibility that leads to no contradiction.
    fn choose(&mut self, need: &Need<'u>, strength: Strength) -> Result<(), ResolveError> {
        if self.fulfilled_by(&need.group).is_some() {
            return Ok(());
        }
        let mut possible = self.possible(&need.group);
        possible.sort_by_key(|package| !FAVOURED.contains(&package.name));
        // what conflicts with the selection comes last: it is then reported as a conflict
        possible.sort_by_key(|package| self.conflicts_with_selected(package));
        let mut first_error = None;
        for package in possible {
            let before = self.state.clone();
            let tried = self.select(package, Some(need.from)).and_then(|()| self.run_forced());
            match tried {
                Ok(()) => return Ok(()),
                Err(err) => {
                    self.state = before;
                    first_error.get_or_insert(err);
                }
            }
        }
        match strength {
            Strength::Soft => Ok(()),
            Strength::Hard => Err(first_error.unwrap_or_else(|| self.unsatisfiable(need))),
        }
    }

    /// The selected package that fulfils a relation, if one does.
    fn fulfilled_by(&self, group: &[Alternative<'u>]) -> Option<&'u str> {
        group.iter().find_map(|alternative| {
            if !self.is_for_us(alternative) {
                return None;
            }
            let real = self.state.selected.get(alternative.name).filter(|package| fits(alternative, package.version));
            real.map(|package| package.name).or_else(|| {
                let providers = self.state.provided.get(alternative.name)?.iter();
                providers.filter(|(_, version)| provided_fits(alternative, *version)).map(|(name, _)| *name).min()
            })
        })
    }

    /// The packages that could be selected to fulfil a relation, in order of preference, each name once.
    fn possible(&self, group: &[Alternative<'u>]) -> Vec<Package<'u>> {
        let mut found: Vec<Package<'u>> = Vec::new();
        let mut add = |package: Package<'u>| {
            let taken =
                self.state.selected.get(package.name).is_some_and(|selected| selected.version != package.version);
            if !taken && !found.iter().any(|other| other.name == package.name) {
                found.push(package);
            }
        };
        for alternative in group.iter().filter(|alternative| self.is_for_us(alternative)) {
            let real = self.candidates(alternative.name).into_iter().find(|package| fits(alternative, package.version));
            if let Some(package) = real {
                add(package);
            }
            let mut providers: Vec<Package<'u>> = self
                .universe
                .providers(alternative.name)
                .into_iter()
                .filter(|(package, version)| {
                    provided_fits(alternative, *version)
                        && self.pins.get(package.name).is_none_or(|pin| version::compare(package.version, pin).is_eq())
                })
                .map(|(package, _)| package)
                .collect();
            providers.sort_by_key(|package| (package.priority_rank(), package.name));
            providers.into_iter().for_each(&mut add);
        }
        found
    }

    /// `name:any` and `name:ARCH` of our own architecture are as good as `name`; other architectures are not mixed in.
    fn is_for_us(&self, alternative: &Alternative<'_>) -> bool {
        alternative
            .architecture
            .is_none_or(|name| ["any", "native", "all"].contains(&name) || name == self.universe.architecture())
    }

    fn conflicts_with_selected(&self, package: &Package<'u>) -> bool {
        let excluded = |name: &str, version: Option<&str>| {
            self.state.excluded.get(name).into_iter().flatten().any(|(by, alternative)| {
                let hit = version.map_or(alternative.version.is_none(), |version| fits(alternative, version));
                *by != package.name && hit
            })
        };
        excluded(package.name, Some(package.version))
            || provides(package).iter().any(|name| excluded(name.name, name.version.map(|(_, version)| version)))
            || exclusions(package)
                .iter()
                .any(|(_, alternative)| self.excluded_by(alternative).any(|other| other != package.name))
    }

    /// The selected packages that a `Conflicts` or `Breaks` hits, by name or by what they provide.
    fn excluded_by(&self, alternative: &Alternative<'u>) -> impl Iterator<Item = &'u str> {
        let real = self.state.selected.get(alternative.name).filter(|package| fits(alternative, package.version));
        let providers = self.state.provided.get(alternative.name).into_iter().flatten();
        let hit: Vec<&'u str> = providers
            .filter(|(_, version)| provided_fits(alternative, *version))
            .map(|(name, _)| *name)
            .chain(real.map(|package| package.name))
            .collect();
        hit.into_iter()
    }

    fn unsatisfiable(&self, need: &Need<'u>) -> ResolveError {
        let reason = need.group.iter().map(|alternative| self.why_not(alternative)).collect::<Vec<_>>().join("; ");
        let mut chain = Vec::new();
        let mut name = need.from;
        while let Some(parent) = self.state.because.get(name) {
            chain.push(format!("{name} is needed by {parent}"));
            name = parent;
        }
        let version = self.state.selected.get(need.from).map_or("", |package| package.version);
        let package = format!("{} {version}", need.from);
        ResolveError::Unsatisfiable { package, relation: relation::show_group(&need.group), reason, chain }
    }

    fn why_not(&self, alternative: &Alternative<'u>) -> String {
        let name = alternative.name;
        if !self.is_for_us(alternative) {
            return format!("and {alternative} is of another architecture");
        }
        if let Some(selected) = self.state.selected.get(name) {
            return format!("but {name} {} is selected", selected.version);
        }
        match self.universe.versions(name).as_slice() {
            [] => format!("and there is no {name}"),
            versions => {
                let mut have: Vec<&str> = versions.iter().map(|package| package.version).collect();
                have.dedup();
                format!("but of {name} there is only {}", have.join(", "))
            }
        }
    }

    fn finish(self, roots: Vec<&'u str>, essential: Vec<&'u str>) -> Result<Resolution<'u>, ResolveError> {
        let mut resolution = Resolution {
            packages: self.state.selected.clone(),
            depends: BTreeMap::new(),
            chosen: BTreeMap::new(),
            essential,
            roots,
            conflicts: Vec::new(),
        };
        let fields: &[&str] = if self.options.recommends {
            &["Pre-Depends", "Depends", "Recommends"]
        } else {
            &["Pre-Depends", "Depends"]
        };
        for package in self.state.selected.values() {
            let mut needed = BTreeSet::new();
            for field in fields {
                for group in relations(package, field)? {
                    // a recommendation may be unfulfilled
                    let Some(name) = self.fulfilled_by(&group) else { continue };
                    let was_choice = group.len() > 1 || group.iter().all(|alternative| alternative.name != name);
                    if was_choice {
                        resolution.chosen.insert(relation::show_group(&group), name);
                    }
                    if name != package.name {
                        needed.insert(name);
                    }
                }
            }
            resolution.depends.insert(package.name, needed);
        }
        for one in self.state.selected.values() {
            for (field, alternative) in exclusions(one) {
                for other in self.excluded_by(&alternative).filter(|other| *other != one.name) {
                    resolution.conflicts.push((one.name, other, format!("{field}: {alternative}")));
                }
            }
        }
        check_conflicts(&resolution)?;
        Ok(resolution)
    }

    /// Names that look like `name`, best first.
    fn similar(&self, name: &str) -> Vec<String> {
        let limit = if name.len() <= 4 { 1 } else { 2 };
        let mut near: Vec<(usize, &str)> = self
            .universe
            .names()
            .filter_map(|other| {
                let distance = edit_distance(name.as_bytes(), other.as_bytes(), limit)?;
                Some((distance, other))
            })
            .collect();
        near.sort_unstable();
        // names of other architectures are in the index too
        let usable = near.into_iter().filter(|(_, name)| !self.universe.versions(name).is_empty());
        usable.take(5).map(|(_, name)| name.to_owned()).collect()
    }
}

fn relations<'u>(package: &Package<'u>, field: &str) -> Result<Vec<Vec<Alternative<'u>>>, ResolveError> {
    package.relations(field).map_err(|source| ResolveError::Malformed {
        package: format!("{} {}", package.name, package.version),
        field: match field {
            "Pre-Depends" => "Pre-Depends",
            "Recommends" => "Recommends",
            _ => "Depends",
        },
        source,
    })
}

fn fits(alternative: &Alternative<'_>, version: &str) -> bool {
    alternative.version.is_none_or(|(operator, wanted)| operator.holds(version, wanted))
}

/// An unversioned `Provides` fulfils no versioned relation.
fn provided_fits(alternative: &Alternative<'_>, version: Option<&str>) -> bool {
    match (alternative.version, version) {
        (None, _) => true,
        (Some((operator, wanted)), Some(version)) => operator.holds(version, wanted),
        (Some(_), None) => false,
    }
}

/// What a package provides. A malformed field provides nothing.
fn provides<'u>(package: &Package<'u>) -> Vec<Alternative<'u>> {
    let field = package.stanza.get("Provides").unwrap_or_default();
    relation::parse(field).unwrap_or_default().into_iter().flatten().collect()
}

/// What a package excludes, with the field that says so. A malformed field excludes nothing.
fn exclusions<'u>(package: &Package<'u>) -> Vec<(&'static str, Alternative<'u>)> {
    let of = |field: &'static str| {
        let groups = relation::parse(package.stanza.get(field).unwrap_or_default()).unwrap_or_default();
        groups.into_iter().flatten().map(move |alternative| (field, alternative))
    };
    of("Conflicts").chain(of("Breaks")).collect()
}

/// Conflicts are fatal within what one request needs; between requests they only forbid to join them.
fn check_conflicts(resolution: &Resolution<'_>) -> Result<(), ResolveError> {
    if resolution.conflicts.is_empty() {
        return Ok(());
    }
    for root in &resolution.roots {
        let mut closure = BTreeSet::new();
        let mut todo: Vec<&str> = resolution.essential.iter().copied().chain([*root]).collect();
        while let Some(name) = todo.pop() {
            if closure.insert(name) {
                todo.extend(resolution.depends.get(name).into_iter().flatten());
            }
        }
        for (one, other, relation) in &resolution.conflicts {
            if closure.contains(one) && closure.contains(other) {
                return Err(ResolveError::Conflict {
                    one: (*one).to_owned(),
                    other: (*other).to_owned(),
                    relation: relation.clone(),
                    root: (*root).to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// Edits (insert, delete, replace) between two words, unless more than `limit`.
fn edit_distance(a: &[u8], b: &[u8], limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
        if row.iter().min().is_some_and(|least| *least > limit) {
            return None;
        }
    }
    row.last().copied().filter(|distance| *distance <= limit)
}
