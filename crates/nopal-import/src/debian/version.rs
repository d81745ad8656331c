//! Debian version numbers and their order, exactly dpkg's.
//!
//! Facts: Debian Policy Manual, "Version" (5.6.12): `[epoch:]upstream[-revision]`, compared by alternating runs of
//! non-digits and digits, where `~` sorts before everything, even the end, and letters before other characters.

use std::cmp::Ordering;
use std::fmt;

/// A version as written in an index. Equality and order are dpkg's: `1.0` and `1.0-0` are equal.
#[derive(Clone, Debug)]
pub struct Version(Box<str>);

/// Text that is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a Debian version: {reason}")]
pub struct VersionError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Version {
    /// Checks and takes a version.
    ///
    /// # Errors
    /// [`VersionError`] where dpkg would call it invalid.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let wrong = |reason| VersionError { text: text.to_owned(), reason };
        let rest = match text.split_once(':') {
            Some((epoch, rest)) => {
                if epoch.is_empty() || epoch.parse::<i32>().is_err() || !epoch.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(wrong("the epoch is not a number"));
                }
                rest
            }
            None => text,
        };
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
        if upstream.is_empty() || revision.is_empty() {
            return Err(wrong("a part is empty"));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+~".contains(&byte);
        if !upstream.bytes().all(|byte| plain(byte) || b"-:".contains(&byte)) {
            return Err(wrong("invalid character"));
        }
        if !revision.bytes().all(plain) {
            return Err(wrong("invalid character in the revision"));
        }
        Ok(Self(text.into()))
    }

    /// The text as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

/// Compares two version texts without checking them.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (epoch_a, upstream_a, revision_a) = split(a);
    let (epoch_b, upstream_b, revision_b) = split(b);
    epoch_a
        .cmp(&epoch_b)
        .then_with(|| compare_part(upstream_a.as_bytes(), upstream_b.as_bytes()))
        .then_with(|| compare_part(revision_a.as_bytes(), revision_b.as_bytes()))
}

fn split(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        if a.is_empty() && b.is_empty() {
            return Ordering::Equal;
        }
        // a run of non-digits, character by character; the end of a run weighs as a digit does: nothing
        loop {
            let (x, y) = (text_byte(a), text_byte(b));
            if x.is_none() && y.is_none() {
                break;
            }
            let order = weight(x).cmp(&weight(y));
            if order != Ordering::Equal {
                return order;
            }
            a = &a[1..];
            b = &b[1..];
        }
        let (number_a, rest_a) = take_number(a);
        let (number_b, rest_b) = take_number(b);
        // without leading zeros the longer number is the greater one
        let order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The next byte if it belongs to a run of non-digits.
fn text_byte(part: &[u8]) -> Option<u8> {
    part.first().copied().filter(|byte| !byte.is_ascii_digit())
}

fn weight(byte: Option<u8>) -> i32 {
    match byte {
        None => 0,
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(byte),
        Some(byte) => i32::from(byte) + 256,
    }
}

fn take_number(part: &[u8]) -> (&[u8], &[u8]) {
    let end = part.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(part.len());
    let (digits, rest) = part.split_at(end);
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    (&digits[zeros..], rest)
}
