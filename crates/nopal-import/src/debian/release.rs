//! Release files: what a suite consists of, with the hashes of its indexes.

use std::collections::BTreeMap;

use nopal_format::{Hash, HashAlgorithm};

use super::control::{self, Stanza};

/// A Release file, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// `Origin`, such as `Debian`.
    pub origin: Option<String>,
    /// `Label`, such as `Debian-Security`.
    pub label: Option<String>,
    /// `Suite`, such as `stable`.
    pub suite: Option<String>,
    /// `Codename`.
    pub codename: Option<String>,
    /// `Date` as written.
    pub date: String,
    /// `Date` in seconds since 1970.
    pub date_s: Option<u64>,
    /// `Valid-Until` in seconds since 1970.
    pub valid_until_s: Option<u64>,
    /// How much the suite is preferred, as apt does: 500; 100 and 1 for suites that ask not to be used by default.
    pub priority: u16,
    /// `Architectures`.
    pub architectures: Vec<String>,
    /// Whether indexes are also found under their hash.
    pub by_hash: bool,
    /// Whether packages of architecture `all` have an index of their own instead of being in every other one.
    pub separate_all: bool,
    /// Indexes by path relative to the suite.
    pub files: BTreeMap<String, IndexFile>,
}

/// One line of the `SHA256` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256.
    pub hash: Hash,
}

/// Text that is no Release file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed Release file: {reason}")]
pub struct ReleaseError {
    /// What is wrong.
    pub reason: String,
}

impl Release {
    /// Parses the (already verified) text.
    ///
    /// # Errors
    /// [`ReleaseError`] when it has no SHA-256 list or a line of it is malformed.
    pub fn parse(text: &str) -> Result<Self, ReleaseError> {
        let wrong = |reason: &str| ReleaseError { reason: reason.to_owned() };
        let stanza = control::stanzas(text).next().ok_or_else(|| wrong("it is empty"))?;
        let owned = |name| stanza.get(name).map(str::to_owned);
        let architectures: Vec<String> =
            stanza.get("Architectures").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let joined = stanza
            .get("No-Support-for-Architecture-all")
            .is_some_and(|kinds| kinds.split_whitespace().any(|kind| kind == "Packages"));
        Ok(Self {
            origin: owned("Origin"),
            label: owned("Label"),
            suite: owned("Suite"),
            codename: owned("Codename"),
            date: owned("Date").unwrap_or_default(),
            date_s: stanza.get("Date").and_then(parse_date),
            valid_until_s: stanza.get("Valid-Until").and_then(parse_date),
            by_hash: is_yes(stanza, "Acquire-By-Hash"),
            separate_all: !joined && architectures.iter().any(|name| name == "all"),
            priority: match (is_yes(stanza, "NotAutomatic"), is_yes(stanza, "ButAutomaticUpgrades")) {
                (false, _) => 500,
                (true, true) => 100,
                (true, false) => 1,
            },
            architectures,
            files: files(stanza)?,
        })
    }

    /// Looks for the best compressed form of an index that is listed.
    pub fn index<'a>(&'a self, path: &str) -> Option<(String, &'a IndexFile)> {
        ["xz", "zst", "gz", "bz2", "lzma", ""].iter().find_map(|extension| {
            let name = if extension.is_empty() { path.to_owned() } else { format!("{path}.{extension}") };
            self.files.get(&name).map(|file| (name, file))
        })
    }

    /// The name under which `mirror://NAME/…` finds this archive: its label (else origin) in lower case. It tells
    /// archives apart that have separate pools (`debian`, `debian-security`) without naming a host.
    pub fn mirror_name(&self) -> String {
        let text = self.label.as_deref().or(self.origin.as_deref()).unwrap_or("archive");
        let name: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c.to_ascii_lowercase() } else { '-' })
            .collect();
        if name.is_empty() { "archive".to_owned() } else { name }
    }
}

fn is_yes(stanza: Stanza<'_>, field: &str) -> bool {
    stanza.get(field).is_some_and(|value| value.eq_ignore_ascii_case("yes"))
}

fn files(stanza: Stanza<'_>) -> Result<BTreeMap<String, IndexFile>, ReleaseError> {
    let list = stanza.get("SHA256").ok_or_else(|| ReleaseError { reason: "it has no SHA256 list".to_owned() })?;
    let mut files = BTreeMap::new();
    for line in control::lines(list) {
        let wrong = || ReleaseError { reason: format!("bad line in the SHA256 list: '{line}'") };
        let mut words = line.split_whitespace();
        let (Some(hash), Some(size), Some(path)) = (words.next(), words.next(), words.next()) else {
            return Err(wrong());
        };
        let hash = Hash::parse_unprefixed(hash, HashAlgorithm::Sha256).map_err(|_| wrong())?;
        let size_bytes = size.parse().map_err(|_| wrong())?;
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(wrong());
        }
        files.insert(path.to_owned(), IndexFile { size_bytes, hash });
    }
    Ok(files)
}

/// Parses a date as Release files write it: `Sat, 11 Jul 2026 10:16:37 UTC` (also `GMT`, `Z`, `+0000`).
pub fn parse_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let rest = text.split_once(',').map_or(text, |(_day, rest)| rest);
    let mut words = rest.split_whitespace();
    let day: u64 = words.next()?.parse().ok()?;
    let month_name = words.next()?;
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month_name))? as u64 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(str::parse::<u64>);
    let (hour, minute, second) =
        (clock.next()?.ok()?, clock.next()?.ok()?, clock.next().and_then(Result::ok).unwrap_or(0));
    let zone = words.next().unwrap_or("UTC");
    if !["UTC", "GMT", "Z", "+0000"].contains(&zone) || !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // days since 1970-01-01 in the proleptic Gregorian calendar, years counted from March
    let (shifted_year, shifted_month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * shifted_year + shifted_year / 4 - shifted_year / 100
        + shifted_year / 400
        + (153 * shifted_month + 2) / 5
        + day
        - 1;
    // 719468 days lie between 0000-03-01 and 1970-01-01
    Some(((days.checked_sub(719_468)? * 24 + hour) * 60 + minute) * 60 + second)
}
