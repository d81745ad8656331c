//! Where packages come from: the machine's apt configuration, or flags.
//!
//! Facts: sources.list(5). Both forms are read: one line per source (`deb [options] URI SUITE COMPONENT…`, `*.list`)
//! and deb822 (`*.sources`). Only binary sources (`deb`) count; source packages are looked up in the same suites.

use std::path::{Path, PathBuf};

use nopal_fs::FsError;

use super::control;

/// Largest configuration file or key ring that is read, in bytes.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// The repositories to draw packages from, for one architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebianSources {
    /// Debian's name of the architecture, such as `amd64`.
    pub architecture: String,
    /// One entry per URI and suite, in the order of the configuration.
    pub repositories: Vec<Repository>,
}

/// One suite of one archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Base URL of the archive, without a slash at its end.
    pub uri: String,
    /// Suite or codename; one that ends in `/` is a flat archive without components.
    pub suite: String,
    /// Components such as `main`; empty for a flat archive.
    pub components: Vec<String>,
    /// The keys that may have signed it.
    pub keys: Keys,
    /// `trusted=yes`: use it without a signature. Never the default.
    pub trusted: bool,
    /// Whether an index past its `Valid-Until` is refused (apt's `Check-Valid-Until`).
    pub check_valid_until: bool,
    /// Where this was configured, for messages.
    pub origin: String,
}

/// Which keys a repository trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Key ring files, binary or armored.
    Files(Vec<PathBuf>),
    /// An armored key ring written into the source itself.
    Inline(String),
    /// Fingerprints (40 or more hexadecimal digits) of keys in the default key rings.
    Fingerprints {
        /// The accepted keys.
        fingerprints: Vec<String>,
        /// The default key rings.
        files: Vec<PathBuf>,
    },
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] FsError),
    /// A line or stanza is not understood.
    #[error("{}:{line}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// No source is configured at all.
    #[error("no Debian mirror is configured: {} and its neighbours name none", path.display())]
    NoMirror {
        /// Where was looked.
        path: PathBuf,
    },
    /// Flags leave something out.
    #[error("{what} is missing")]
    Missing {
        /// What.
        what: &'static str,
    },
}

impl SourcesError {
    /// What the user can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoMirror { .. } => {
                Some("name one with --mirror URL --suite SUITE --keyring FILE, for example on a machine without apt")
            }
            _ => None,
        }
    }
}

/// What the flags `--mirror`, `--suite`, `--component`, `--keyring` and `--architecture` say.
#[derive(Clone, Debug, Default)]
pub struct SourceFlags {
    /// Base URLs of archives; every suite is looked for in every one.
    pub mirrors: Vec<String>,
    /// Suites.
    pub suites: Vec<String>,
    /// Components; `main` where empty.
    pub components: Vec<String>,
    /// Key ring files.
    pub keyrings: Vec<PathBuf>,
    /// The architecture; that of this machine where not given.
    pub architecture: Option<String>,
}

impl DebianSources {
    /// Reads the apt configuration below `root` (`/` on a real machine).
    ///
    /// # Errors
    /// [`SourcesError::NoMirror`] where there is none.
    pub fn from_apt(root: &Path) -> Result<Self, SourcesError> {
        let apt = root.join("etc/apt");
        let default_keys = default_keyrings(root)?;
        let mut repositories = Vec::new();
        let mut files = vec![apt.join("sources.list")];
        let parts = apt.join("sources.list.d");
        if let Some(names) = nopal_fs::if_exists(nopal_fs::read_dir_names(&parts))? {
            files.extend(names.into_iter().map(|name| parts.join(name)));
        }
        let architecture = host_architecture().to_owned();
        for file in files {
            let deb822 = match file.extension().and_then(|extension| extension.to_str()) {
                Some("list") => false,
                Some("sources") => true,
                _ => continue,
            };
            let Some(text) = nopal_fs::if_exists(nopal_fs::read_file_limited(&file, MAX_CONFIG_BYTES))? else {
                continue;
            };
            let context = Context { path: &file, root, default_keys: &default_keys, architecture: &architecture };
            let text = String::from_utf8_lossy(&text);
            if deb822 {
                context.read_deb822(&text, &mut repositories)?
            } else {
                context.read_lines(&text, &mut repositories)?
            }
        }
        if repositories.is_empty() {
            return Err(SourcesError::NoMirror { path: apt.join("sources.list") });
        }
        Ok(Self { architecture, repositories })
    }

    /// Builds the list from flags, for machines without apt.
    ///
    /// # Errors
    /// [`SourcesError::Missing`] without a mirror, suite or key ring.
    pub fn from_flags(flags: &SourceFlags) -> Result<Self, SourcesError> {
        if flags.mirrors.is_empty() {
            return Err(SourcesError::Missing { what: "--mirror URL" });
        }
        if flags.suites.is_empty() {
            return Err(SourcesError::Missing { what: "--suite SUITE" });
        }
        if flags.keyrings.is_empty() {
            return Err(SourcesError::Missing { what: "--keyring FILE" });
        }
        let components = if flags.components.is_empty() { vec!["main".to_owned()] } else { flags.components.clone() };
        let mut repositories = Vec::new();
        for mirror in &flags.mirrors {
            for suite in &flags.suites {
                repositories.push(Repository {
                    uri: mirror.trim_end_matches('/').to_owned(),
                    suite: suite.clone(),
                    components: if suite.ends_with('/') { Vec::new() } else { components.clone() },
                    keys: Keys::Files(flags.keyrings.clone()),
                    trusted: false,
                    check_valid_until: true,
                    origin: "--mirror".to_owned(),
                });
            }
        }
        let architecture = flags.architecture.clone().unwrap_or_else(|| host_architecture().to_owned());
        Ok(Self { architecture, repositories })
    }
}

/// Debian's name of the architecture this program was built for.
pub fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "armhf",
        "x86" => "i386",
        "powerpc64" => "ppc64el",
        other => other,
    }
}

/// `trusted.gpg` and `trusted.gpg.d`, which apt consults for sources without `Signed-By`.
fn default_keyrings(root: &Path) -> Result<Vec<PathBuf>, SourcesError> {
    let apt = root.join("etc/apt");
    let mut files = Vec::new();
    if nopal_fs::is_file(&apt.join("trusted.gpg")) {
        files.push(apt.join("trusted.gpg"));
    }
    let parts = apt.join("trusted.gpg.d");
    for name in nopal_fs::if_exists(nopal_fs::read_dir_names(&parts))?.unwrap_or_default() {
        let path = parts.join(name);
        if path.extension().is_some_and(|extension| extension == "gpg" || extension == "asc") {
            files.push(path);
        }
    }
    Ok(files)
}

/// What reading one file needs to know.
struct Context<'a> {
    path: &'a Path,
    root: &'a Path,
    default_keys: &'a [PathBuf],
    architecture: &'a str,
}

/// A source before it is split by URI and suite.
#[derive(Default)]
struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    architectures: Vec<String>,
    signed_by: Option<String>,
    trusted: bool,
    ignore_valid_until: bool,
}

impl Context<'_> {
    fn read_lines(&self, text: &str, out: &mut Vec<Repository>) -> Result<(), SourcesError> {
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or(line).trim();
            if line.is_empty() {
                continue;
            }
            let wrong = |reason: &str| self.wrong(index + 1, reason);
            let (kind, rest) = line.split_once(char::is_whitespace).ok_or_else(|| wrong("incomplete source"))?;
            if kind == "deb-src" {
                continue;
            }
            if kind != "deb" {
                return Err(wrong("a source begins with 'deb' or 'deb-src'"));
            }
            let rest = rest.trim_start();
            let (options, rest) = match rest.strip_prefix('[') {
                Some(inner) => inner.split_once(']').ok_or_else(|| wrong("'[' without ']'"))?,
                None => ("", rest),
            };
            let mut words = rest.split_whitespace().map(str::to_owned);
            let mut entry = Entry {
                uris: vec![words.next().ok_or_else(|| wrong("the URI is missing"))?],
                suites: vec![words.next().ok_or_else(|| wrong("the suite is missing"))?],
                components: words.collect(),
                ..Entry::default()
            };
            for option in options.split_whitespace() {
                let (name, value) = option.split_once('=').ok_or_else(|| wrong("an option has the form name=value"))?;
                entry.option(name.trim_end_matches('+'), value, ',');
            }
            self.expand(&entry, index + 1, out)?;
        }
        Ok(())
    }

    fn read_deb822(&self, text: &str, out: &mut Vec<Repository>) -> Result<(), SourcesError> {
        for stanza in control::stanzas(text) {
            let line = 1 + text[..stanza.text().as_ptr() as usize - text.as_ptr() as usize].matches('\n').count();
            let words = |name| {
                let lines = control::lines(stanza.get(name).unwrap_or_default());
                lines.flat_map(str::split_whitespace).map(str::to_owned).collect::<Vec<_>>()
            };
            let types = words("Types");
            if stanza.fields().next().is_none() {
                continue;
            }
            if types.is_empty() {
                return Err(self.wrong(line, "the field Types is missing"));
            }
            if !types.iter().any(|kind| kind == "deb") || stanza.get("Enabled").is_some_and(is_no) {
                continue;
            }
            let mut entry = Entry {
                uris: words("URIs"),
                suites: words("Suites"),
                components: words("Components"),
                ..Entry::default()
            };
            for (field, option) in
                [("Architectures", "arch"), ("Trusted", "trusted"), ("Check-Valid-Until", "check-valid-until")]
            {
                if let Some(value) = stanza.get(field) {
                    entry.option(option, value, ' ');
                }
            }
            entry.signed_by = stanza.get("Signed-By").map(str::to_owned);
            if entry.uris.is_empty() || entry.suites.is_empty() {
                return Err(self.wrong(line, "the field URIs or Suites is missing"));
            }
            self.expand(&entry, line, out)?;
        }
        Ok(())
    }

    /// One [`Repository`] per URI and suite.
    fn expand(&self, entry: &Entry, line: usize, out: &mut Vec<Repository>) -> Result<(), SourcesError> {
        if !entry.architectures.is_empty() && !entry.architectures.iter().any(|name| name == self.architecture) {
            return Ok(());
        }
        for uri in &entry.uris {
            for suite in &entry.suites {
                let suite = suite.replace("$(ARCH)", self.architecture);
                if entry.components.is_empty() && !suite.ends_with('/') {
                    return Err(self.wrong(line, "a suite needs components such as 'main'"));
                }
                out.push(Repository {
                    uri: uri.replace("$(ARCH)", self.architecture).trim_end_matches('/').to_owned(),
                    suite,
                    components: entry.components.clone(),
                    keys: self.keys(entry.signed_by.as_deref()),
                    trusted: entry.trusted,
                    check_valid_until: !entry.ignore_valid_until,
                    origin: format!("{}:{line}", self.path.display()),
                });
            }
        }
        Ok(())
    }

    fn keys(&self, signed_by: Option<&str>) -> Keys {
        let Some(text) = signed_by else { return Keys::Files(self.default_keys.to_vec()) };
        if text.contains("-----BEGIN PGP") {
            // continuation lines are indented and an empty line is written as a dot
            let unfolded = text.lines().map(str::trim).map(|line| if line == "." { "" } else { line });
            return Keys::Inline(unfolded.collect::<Vec<_>>().join("\n"));
        }
        let parts: Vec<&str> = text.split([',', ' ', '\n', '\t']).filter(|part| !part.is_empty()).collect();
        if parts.iter().all(|part| part.starts_with('/')) {
            let below_root = |part: &&str| self.root.join(part.trim_start_matches('/'));
            return Keys::Files(parts.iter().map(below_root).collect());
        }
        let fingerprints = parts.iter().map(|part| part.trim_end_matches('!').to_ascii_uppercase()).collect();
        Keys::Fingerprints { fingerprints, files: self.default_keys.to_vec() }
    }

    fn wrong(&self, line: usize, reason: &str) -> SourcesError {
        SourcesError::Syntax { path: self.path.to_owned(), line, reason: reason.to_owned() }
    }
}

impl Entry {
    fn option(&mut self, name: &str, value: &str, separator: char) {
        match name {
            "arch" => {
                let parts = value.split([separator, ',', ' ', '\n']).map(str::trim).filter(|part| !part.is_empty());
                self.architectures.extend(parts.map(str::to_owned));
            }
            "signed-by" => self.signed_by = Some(value.to_owned()),
            "trusted" => self.trusted = value.trim().eq_ignore_ascii_case("yes"),
            "check-valid-until" => self.ignore_valid_until = is_no(value),
            // lang, target, pdiffs, by-hash and the like change nothing of what we read
            _ => {}
        }
    }
}

fn is_no(value: &str) -> bool {
    ["no", "false", "0", "off", "without", "disable"].iter().any(|no| value.trim().eq_ignore_ascii_case(no))
}
