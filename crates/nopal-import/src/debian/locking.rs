//! Making a lock from a request, and remembering it.

use std::collections::BTreeMap;

use nopal_format::hash;
use nopal_report::Activity;

use super::control::{self, Stanza};
use super::lock::{LOCK_VERSION, Lock, LockedFile, LockedPackage, LockedSource, LockedSuite, MAX_LOCK_BYTES};
use super::repository::{Loader, RepositoryError, Suite};
use super::resolve::{PackageSpec, Resolution, ResolveError, ResolveOptions, resolve};
use super::universe::{Package, Universe};
use super::version;

/// What a lock shall cover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockRequest {
    /// Binary packages.
    pub packages: Vec<PackageSpec>,
    /// Source packages whose archives are wanted.
    pub sources: Vec<PackageSpec>,
    /// Which relations to follow.
    pub options: ResolveOptions,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DebianError {
    /// A repository cannot be used.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The request has no solution.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] nopal_fs::FsError),
    /// A lock could not be written.
    #[error(transparent)]
    Lock(#[from] super::lock::LockError),
    /// An index row lacks a field that is needed.
    #[error("{package}: the index has no {field}")]
    Incomplete {
        /// Package and version.
        package: String,
        /// The field.
        field: &'static str,
    },
    /// No suite has the source package.
    #[error("no source package named '{name}'{} in the configured suites", version.as_ref().map(|v| format!(" in version {v}")).unwrap_or_default())]
    UnknownSource {
        /// The name.
        name: String,
        /// The version asked for.
        version: Option<String>,
    },
}

impl DebianError {
    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Repository(err) => err.hint().map(str::to_owned),
            Self::Resolve(err) => err.hint(),
            _ => None,
        }
    }
}

/// Resolves a request against the configured repositories. The same request against the same state of the same suites
/// comes from the cache, without reading an index.
///
/// # Errors
/// See [`DebianError`].
pub fn lock(loader: &Loader<'_>, request: &LockRequest) -> Result<Lock, DebianError> {
    let what = request.packages.iter().chain(&request.sources).map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let running = loader.reporter.start(Activity::Resolve { what });
    let suites = loader.suites()?;
    let cached = loader.cache_dir.join("lock").join(request_key(loader, &suites, request));
    if let Some(bytes) = nopal_fs::if_exists(nopal_fs::read_file_limited(&cached, MAX_LOCK_BYTES))?
        // a cached lock that cannot be read is made again
        && let Ok(lock) = Lock::parse(&bytes)
    {
        running.succeed();
        return Ok(lock);
    }
    let universe = Universe::load_suites(loader, suites)?;
    let resolution = resolve(&universe, &request.packages, request.options)?;
    let mut lock = from_resolution(&universe, request, &resolution)?;
    for spec in &request.sources {
        let (name, source) = locked_source(loader, universe.suites(), spec)?;
        lock.sources.insert(name, source);
    }
    nopal_fs::create_dir_all(nopal_fs::parent_of(&cached))?;
    nopal_fs::replace(&cached, lock.to_json()?.as_bytes())?;
    running.succeed();
    Ok(lock)
}

/// Base URLs for `mirror://NAME/…`, for [`nopal_fetch::FetchConfig::mirrors`]: the names are those of the Release files.
/// Only Release files are needed, and cached ones will do.
///
/// # Errors
/// See [`RepositoryError`].
pub fn mirrors(loader: &Loader<'_>) -> Result<BTreeMap<String, Vec<String>>, RepositoryError> {
    let mut mirrors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for suite in loader.suites()? {
        let bases = mirrors.entry(suite.release.mirror_name()).or_default();
        if !bases.contains(&suite.repository.uri) {
            bases.push(suite.repository.uri);
        }
    }
    Ok(mirrors)
}

/// Names a request against a state of the suites.
fn request_key(loader: &Loader<'_>, suites: &[Suite], request: &LockRequest) -> String {
    let mut text = format!("{LOCK_VERSION} {} {request:?}\n", loader.sources.architecture);
    for suite in suites {
        let repository = &suite.repository;
        text += &format!("{} {} {:?} {}\n", repository.uri, repository.suite, repository.components, suite.fingerprint);
    }
    hash::sha256(text.as_bytes()).base16()
}

/// Writes a resolution down.
///
/// # Errors
/// [`DebianError::Incomplete`] for an index row without file name, size or hash.
pub fn from_resolution(
    universe: &Universe,
    request: &LockRequest,
    resolution: &Resolution<'_>,
) -> Result<Lock, DebianError> {
    let mut packages = BTreeMap::new();
    for (name, package) in &resolution.packages {
        let depends = resolution.depends.get(name).into_iter().flatten().map(|name| (*name).to_owned()).collect();
        packages.insert((*name).to_owned(), locked_package(package, depends)?);
    }
    let mut conflicts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (one, other, _) in &resolution.conflicts {
        let list = conflicts.entry((*one).to_owned()).or_default();
        list.push((*other).to_owned());
        list.sort_unstable();
        list.dedup();
    }
    let mut suites: Vec<LockedSuite> = universe
        .suites()
        .iter()
        .map(|suite| LockedSuite {
            mirror: suite.release.mirror_name(),
            suite: suite.repository.suite.clone(),
            date: suite.release.date.clone(),
        })
        .collect();
    suites.sort();
    suites.dedup();
    let mut requested: Vec<String> = request.packages.iter().map(ToString::to_string).collect();
    requested.sort_unstable();
    requested.dedup();
    Ok(Lock {
        version: LOCK_VERSION,
        architecture: universe.architecture().to_owned(),
        requested,
        suites,
        essential: resolution.essential.iter().map(|name| (*name).to_owned()).collect(),
        chosen: resolution.chosen.iter().map(|(relation, name)| (relation.clone(), (*name).to_owned())).collect(),
        conflicts,
        packages,
        sources: BTreeMap::new(),
    })
}

fn locked_package(package: &Package<'_>, depends: Vec<String>) -> Result<LockedPackage, DebianError> {
    let field = |field: &'static str| {
        package
            .stanza
            .get(field)
            .ok_or_else(|| DebianError::Incomplete { package: format!("{} {}", package.name, package.version), field })
    };
    let size = field("Size")?.parse().map_err(|_| DebianError::Incomplete {
        package: format!("{} {}", package.name, package.version),
        field: "Size",
    })?;
    Ok(LockedPackage {
        version: package.version.to_owned(),
        architecture: field("Architecture")?.to_owned(),
        url: mirror_url(package.suite, field("Filename")?),
        sha256: field("SHA256")?.to_ascii_lowercase(),
        size,
        depends,
    })
}

fn mirror_url(suite: &Suite, path: &str) -> String {
    format!("mirror://{}/{}", suite.release.mirror_name(), path.trim_start_matches("./").trim_start_matches('/'))
}

/// Looks a source package up in the source indexes of all suites; the highest version is taken.
fn locked_source(
    loader: &Loader<'_>,
    suites: &[Suite],
    spec: &PackageSpec,
) -> Result<(String, LockedSource), DebianError> {
    let mut best: Option<(String, LockedSource)> = None;
    for suite in suites {
        for component in &suite.repository.components {
            let text = match loader.index(suite, &format!("{component}/source/Sources")) {
                Ok(text) => text,
                Err(RepositoryError::NoIndex { .. }) => continue,
                Err(err) => return Err(err.into()),
            };
            for stanza in control::stanzas(&text) {
                if stanza.fields().next() != Some(("Package", &spec.name)) && stanza.get("Package") != Some(&spec.name)
                {
                    continue;
                }
                let version = stanza.get("Version").unwrap_or_default();
                let wanted = spec.version.as_ref().is_none_or(|wanted| version::compare(version, wanted).is_eq());
                let better = best.as_ref().is_none_or(|(have, _)| version::compare(version, have).is_gt());
                if wanted && better {
                    best = Some((version.to_owned(), source_files(suite, spec, stanza)?));
                }
            }
        }
    }
    match best {
        Some((_, source)) => Ok((spec.name.clone(), source)),
        None => Err(DebianError::UnknownSource { name: spec.name.clone(), version: spec.version.clone() }),
    }
}

fn source_files(suite: &Suite, spec: &PackageSpec, stanza: Stanza<'_>) -> Result<LockedSource, DebianError> {
    let incomplete = |field| DebianError::Incomplete { package: format!("source {spec}"), field };
    let directory = stanza.get("Directory").ok_or_else(|| incomplete("Directory"))?;
    let list = stanza.get("Checksums-Sha256").ok_or_else(|| incomplete("Checksums-Sha256"))?;
    let mut files = BTreeMap::new();
    for line in control::lines(list) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [sha256, size, name] = words[..] else { return Err(incomplete("Checksums-Sha256")) };
        let file = LockedFile {
            url: mirror_url(suite, &format!("{directory}/{name}")),
            sha256: sha256.to_ascii_lowercase(),
            size: size.parse().map_err(|_| incomplete("Checksums-Sha256"))?,
        };
        files.insert(name.to_owned(), file);
    }
    Ok(LockedSource { version: stanza.get("Version").unwrap_or_default().to_owned(), files })
}
