//! Relations between packages: the text of `Depends`, `Provides`, `Conflicts` and the like.

use std::cmp::Ordering;
use std::fmt;

use super::version;

/// How a version must compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=` (and the obsolete `<`)
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=` (and the obsolete `>`)
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "<<" => Self::Earlier,
            "<=" | "<" => Self::EarlierOrEqual,
            "=" => Self::Equal,
            ">=" | ">" => Self::LaterOrEqual,
            ">>" => Self::Later,
            _ => return None,
        })
    }

    /// Whether `have OP want` holds.
    pub fn holds(self, have: &str, want: &str) -> bool {
        let order = version::compare(have, want);
        match self {
            Self::Earlier => order == Ordering::Less,
            Self::EarlierOrEqual => order != Ordering::Greater,
            Self::Equal => order == Ordering::Equal,
            Self::LaterOrEqual => order != Ordering::Less,
            Self::Later => order == Ordering::Greater,
        }
    }

    /// The sign as written in a control file.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        }
    }
}

/// One alternative of a relation: `name[:arch] [(op version)]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative<'a> {
    /// Package or virtual package.
    pub name: &'a str,
    /// What stands after the colon: `any`, `native` or an architecture.
    pub architecture: Option<&'a str>,
    /// The demanded version.
    pub version: Option<(Operator, &'a str)>,
}

impl fmt::Display for Alternative<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(architecture) = self.architecture {
            write!(f, ":{architecture}")?;
        }
        if let Some((operator, version)) = self.version {
            write!(f, " ({} {version})", operator.sign())?;
        }
        Ok(())
    }
}

/// Alternatives of which one must hold: `a | b`.
pub type Group<'a> = Vec<Alternative<'a>>;

/// A group as text, in the usual form.
pub fn show_group(group: &[Alternative<'_>]) -> String {
    group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}

/// Text that is no relation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a package relation")]
pub struct RelationError {
    /// The part that was not understood.
    pub text: String,
}

/// Parses a whole field: groups separated by commas.
///
/// # Errors
/// [`RelationError`] naming the part that is not understood.
pub fn parse(field: &str) -> Result<Vec<Group<'_>>, RelationError> {
    field
        .split(',')
        .map(str::trim)
        .filter(|group| !group.is_empty())
        .map(|group| group.split('|').map(parse_alternative).collect())
        .collect()
}

fn parse_alternative(text: &str) -> Result<Alternative<'_>, RelationError> {
    let wrong = || RelationError { text: text.trim().to_owned() };
    // architecture lists [amd64] and build profiles <nocheck> occur in source packages only
    let text = text.split(['[']).next().unwrap_or(text).trim();
    let (head, version) = match text.split_once('(') {
        Some((head, tail)) => {
            let inner = tail.split_once(')').ok_or_else(wrong)?.0.trim();
            let end = inner.find(|c: char| !"<>=".contains(c)).unwrap_or(inner.len());
            let operator = Operator::parse(&inner[..end]).ok_or_else(wrong)?;
            (head.trim(), Some((operator, inner[end..].trim())))
        }
        None => (text, None),
    };
    let (name, architecture) = match head.split_once(':') {
        Some((name, architecture)) => (name, Some(architecture)),
        None => (head, None),
    };
    if !is_package_name(name) || version.is_some_and(|(_, version)| version.is_empty()) {
        return Err(wrong());
    }
    Ok(Alternative { name, architecture, version })
}

/// Whether a text can be the name of a package. Virtual packages with capitals occur, so those are allowed.
pub fn is_package_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
}
