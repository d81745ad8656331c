//! Debian packages as installables: sources, lock, expression.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nopal_format::hash;
use nopal_import::debian::{
    self, DebianSources, Explanation, LoadOptions, Loader, Lock, LockRequest, PackageSpec, Refresh, ResolveOptions,
    SourceFlags,
};

use crate::engine::{Engine, Shared};
use crate::error::EngineError;

/// How long an ad-hoc resolution is used again: as long as `Release` files are.
const PIN_LIFETIME: Duration = Duration::from_secs(3600);

/// Digits of a hash in the names of cached files.
const KEY_DIGITS: usize = 32;

/// The files that pin a set of packages.
#[derive(Clone, Debug)]
pub struct DebLock {
    /// `debian.nix`: the function that reads the lock.
    pub expression: &'static str,
    /// `nopal.lock`.
    pub lock: String,
}

impl Engine {
    /// Resolves packages and names the files that pin them.
    ///
    /// # Errors
    /// No repository is usable, or the request has no solution.
    pub fn lock_deb(&self, packages: &[String], sources: &[String]) -> Result<DebLock, EngineError> {
        let request = self.shared.lock_request(packages, sources)?;
        let lock = self.shared.with_loader(|loader| Ok(debian::lock(loader, &request)?))?;
        Ok(DebLock { expression: debian::expression(), lock: lock.to_json().map_err(debian::DebianError::from)? })
    }

    /// What the maintainer scripts of a package and its closure would do, and what of it is done as data.
    ///
    /// # Errors
    /// As for [`lock_deb`](Self::lock_deb), or a package cannot be fetched.
    pub fn explain_deb(&self, package: &str) -> Result<Explanation, EngineError> {
        let pinned = self.shared.pin(&[package.to_owned()])?;
        let names: Vec<String> = pinned.lock.packages.keys().cloned().collect();
        let mut unpacked = BTreeMap::new();
        for name in names {
            let path = self.realise_expression(&pinned.package(&name))?;
            unpacked.insert(name, self.store()?.physical_path(&path));
        }
        Ok(debian::explain(&pinned.lock, package, &unpacked)?)
    }
}

/// A lock written where an expression can read it.
pub(crate) struct Pinned {
    pub(crate) lock: Lock,
    /// Holds `debian.nix`.
    expression: PathBuf,
    /// The lock file.
    lock_file: PathBuf,
}

impl Pinned {
    /// The expression of the joined tree of some packages and all they need.
    pub(crate) fn tree(&self, names: &[String]) -> String {
        let names: Vec<String> = names.iter().map(|name| nix_string(name)).collect();
        format!("{}.tree [ {} ]", self.universe(), names.join(" "))
    }

    /// The expression of one unpacked package.
    pub(crate) fn package(&self, name: &str) -> String {
        format!("{}.packages.{}", self.universe(), nix_string(name))
    }

    fn universe(&self) -> String {
        let path = |path: &PathBuf| format!("(/. + {})", nix_string(&path.to_string_lossy()));
        format!("(import {} {{ lock = {}; }})", path(&self.expression), path(&self.lock_file))
    }
}

/// A Nix string literal.
fn nix_string(text: &str) -> String {
    let mut literal = Vec::new();
    nopal_syntax::printer::print_string(text.as_bytes(), &mut literal);
    // what went in is UTF-8, and what is added is ASCII
    String::from_utf8_lossy(&literal).into_owned()
}

impl Shared {
    /// Resolves packages (or takes the given lock file) and writes the lock into the cache.
    pub(crate) fn pin(&self, packages: &[String]) -> Result<Pinned, EngineError> {
        if let Some(lock_file) = &self.config.debian.lock {
            let lock_file = self.config.working_dir.join(lock_file);
            let lock = Lock::parse(&nopal_fs::read_file(&lock_file)?).map_err(debian::DebianError::from)?;
            return Ok(Pinned { lock, expression: self.write_expression()?, lock_file });
        }
        let request = self.lock_request(packages, &[])?;
        let key = hash::sha256(format!("{:?} {request:?}", self.debian_sources()?).as_bytes()).base16();
        let lock_file = self.cache_dir("deb/pinned")?.join(format!("{}.lock", &key[..KEY_DIGITS]));
        let expression = self.write_expression()?;
        if self.is_current(&lock_file)?
            // one that cannot be read is made again
            && let Ok(lock) = Lock::parse(&nopal_fs::read_file(&lock_file)?)
        {
            return Ok(Pinned { lock, expression, lock_file });
        }
        let lock = self.with_loader(|loader| Ok(debian::lock(loader, &request)?))?;
        nopal_fs::replace(&lock_file, lock.to_json().map_err(debian::DebianError::from)?.as_bytes())?;
        Ok(Pinned { lock, expression, lock_file })
    }

    /// Whether what an earlier run resolved may be used without asking a repository.
    fn is_current(&self, lock_file: &Path) -> Result<bool, EngineError> {
        let Some(metadata) = nopal_fs::symlink_metadata_if_exists(lock_file)? else { return Ok(false) };
        let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
        let is_recent = self.config.offline || age.is_some_and(|age| age < PIN_LIFETIME);
        Ok(is_recent && !self.config.debian.refresh)
    }

    fn write_expression(&self) -> Result<PathBuf, EngineError> {
        let text = debian::expression();
        let name = format!("debian-{}.nix", &hash::sha256(text.as_bytes()).base16()[..KEY_DIGITS]);
        let file = self.cache_dir("deb/pinned")?.join(name);
        if !nopal_fs::exists(&file) {
            nopal_fs::replace(&file, text.as_bytes())?;
        }
        Ok(file)
    }

    fn lock_request(&self, packages: &[String], sources: &[String]) -> Result<LockRequest, EngineError> {
        let config = &self.config.debian;
        let spec = |text: &String| PackageSpec::parse(text).map_err(debian::DebianError::from);
        Ok(LockRequest {
            packages: packages.iter().map(spec).collect::<Result<_, _>>()?,
            sources: sources.iter().map(spec).collect::<Result<_, _>>()?,
            options: ResolveOptions { essential: !config.no_essential, recommends: !config.no_recommends },
        })
    }

    /// Base URLs of the configured repositories by mirror name.
    pub(crate) fn debian_mirrors(&self) -> Result<BTreeMap<String, Vec<String>>, EngineError> {
        self.with_loader(|loader| Ok(debian::mirrors(loader)?))
    }

    /// The configured repositories: flags, or else apt's.
    fn debian_sources(&self) -> Result<DebianSources, EngineError> {
        let config = &self.config.debian;
        if config.mirror.is_some() || !config.suites.is_empty() || config.keyring.is_some() {
            Ok(DebianSources::from_flags(&SourceFlags {
                mirrors: config.mirror.clone().into_iter().collect(),
                suites: config.suites.clone(),
                components: config.components.clone(),
                keyrings: config.keyring.clone().into_iter().collect(),
                architecture: config.architecture.clone(),
            })?)
        } else {
            Ok(DebianSources::from_apt(&config.apt_root)?)
        }
    }

    fn with_loader<T>(&self, use_it: impl FnOnce(&Loader<'_>) -> Result<T, EngineError>) -> Result<T, EngineError> {
        let sources = self.debian_sources()?;
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut options = LoadOptions::at(now_s);
        if self.config.offline {
            options.refresh = Refresh::Never;
        } else if self.config.debian.refresh {
            options.refresh = Refresh::Always;
        }
        use_it(&Loader {
            sources: &sources,
            fetcher: self.plain_fetcher()?,
            cache_dir: &self.cache_dir("deb")?,
            options: &options,
            reporter: &self.config.reporter,
        })
    }
}
