//! "Did you mean": candidates close to a misspelt name, chosen and worded as Nix does.

/// At most this many suggestions are shown.
const LIMIT: usize = 5;

/// Candidates further away than this are not shown.
const MAX_DISTANCE: usize = 2;

/// The candidates within distance 2 of `name`, nearest first, equals by name, at most five.
pub fn best<'a>(name: &[u8], candidates: impl IntoIterator<Item = &'a [u8]>) -> Vec<&'a [u8]> {
    let mut near: Vec<(usize, &[u8])> = candidates
        .into_iter()
        .filter(|c| c.len().abs_diff(name.len()) <= MAX_DISTANCE)
        .map(|c| (distance(name, c), c))
        .filter(|(d, _)| *d <= MAX_DISTANCE)
        .collect();
    near.sort_unstable();
    near.dedup();
    near.truncate(LIMIT);
    near.into_iter().map(|(_, c)| c).collect()
}

/// `a`, or `one of a, b or c`; empty if there is nothing to suggest.
pub fn phrase(suggestions: &[&[u8]]) -> Vec<u8> {
    match suggestions {
        [] => Vec::new(),
        [only] => only.to_vec(),
        [init @ .., last] => {
            let mut out = b"one of ".to_vec();
            out.extend_from_slice(&init.join(&b", "[..]));
            out.extend_from_slice(b" or ");
            out.extend_from_slice(last);
            out
        }
    }
}

/// Levenshtein distance in bytes.
pub fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (above + 1).min(row[j] + 1).min(diagonal + usize::from(x != y));
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions() {
        assert_eq!(distance(b"kitten", b"sitting"), 3);
        let names: [&[u8]; 6] = [b"foo", b"fob", b"fou", b"bar", b"f", b"fooo"];
        let found = best(b"fo", names);
        assert_eq!(found, [&b"f"[..], b"fob", b"foo", b"fou", b"fooo"]);
        assert_eq!(phrase(&found), b"one of f, fob, foo, fou or fooo");
        assert_eq!(phrase(&found[..1]), b"f");
        assert_eq!(phrase(&[]), b"");
    }
}
