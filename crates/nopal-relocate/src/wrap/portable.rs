//! A [`Launch`] as a script for `/bin/sh`, for processors that there is no launcher for.
//!
//! It does what relocated programs need: variables are set, and a target is started that lies where it is told to. A shell
//! cannot give the target another name than its path, and keeps files open under one digit only.

use super::{Join, JoinKind, Launch, Piece, Step, Text};
use std::path::Path;

/// What is first done: the folder that the script is in, whatever links lead there.
const BEGIN: &[u8] = b"#!/bin/sh\nroot=$(readlink -f -- \"$0\") && root=${root%/*} || exit 126\n";

/// The script, if a shell can do all of it.
#[must_use]
pub fn script(launch: &Launch) -> Option<Vec<u8>> {
    if launch.name != launch.target && launch.name.0 != [Piece::Target] {
        return None;
    }
    let mut lines = BEGIN.to_vec();
    for step in &launch.steps {
        lines.extend(self::step(step)?);
    }
    let own = vec![b"\"$@\"".to_vec()];
    let command = [vec![b"exec".to_vec()], words(&launch.target)?, words(&launch.before)?, own, words(&launch.after)?];
    lines.extend(command.concat().join(&b' '));
    lines.push(b'\n');
    Some(lines)
}

/// Whether a file is such a script.
#[must_use]
pub fn is_script(path: &Path) -> bool {
    let mut head = [0; BEGIN.len()];
    let read = nopal_fs::RandomFile::open(path).map(|file| file.read_at(0, &mut head));
    matches!(read, Ok(Ok(()))) && head == BEGIN
}

/// A step as a line, or as the beginning of the next one.
fn step(step: &Step) -> Option<Vec<u8>> {
    let assign = |name: &[u8], value: &[u8]| [name, b"=", value, b"; export ", name].concat();
    Some(match step {
        Step::SkipIfThere(path) => [b"[ -r ", &quote(path)[..], b" ] || "].concat(),
        Step::Set(name, value) => [&b"{ "[..], &assign(name, &word(value)?), b"; }\n"].concat(),
        Step::SetDefault(name, value) => {
            [b"[ -n \"${", &name[..], b"+x}\" ] || { ", &assign(name, &word(value)?), b"; }\n"].concat()
        }
        Step::Join(Join { name, separator, value, how: JoinKind::Suffix }) => {
            let before = [b"${", &name[..], b":+$", name, &quote(separator), b"}"].concat();
            [&b"{ "[..], &assign(name, &[before, word(value)?].concat()), b"; }\n"].concat()
        }
        _ => return None,
    })
}

/// A text as a word.
fn word(text: &Text) -> Option<Vec<u8>> {
    let mut words = words(text)?;
    let word = words.pop().unwrap_or_else(|| b"''".to_vec());
    words.is_empty().then_some(word)
}

/// A text as words.
fn words(text: &Text) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut word = Vec::new();
    for piece in &text.0 {
        match piece {
            Piece::Literal(bytes) => word.extend(quote(bytes)),
            Piece::Root => word.extend_from_slice(b"\"$root\""),
            Piece::Called | Piece::Name => word.extend_from_slice(b"\"$0\""),
            Piece::Break => words.push(std::mem::take(&mut word)),
            Piece::Variable { .. } | Piece::Choice(_) | Piece::Target => return None,
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    Some(words)
}

/// Bytes as they are, in quotes.
fn quote(bytes: &[u8]) -> Vec<u8> {
    let parts = bytes.split(|byte| *byte == b'\'').collect::<Vec<_>>();
    [b"'", &parts.join(&b"'\\''"[..])[..], b"'"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_are_scripts() {
        let target = Text::below_root("/../lib/ld.so");
        let words = [Piece::Literal(b"--argv0".into()), Piece::Break, Piece::Name, Piece::Break];
        let launch = Launch {
            target: target.clone(),
            name: target,
            before: Text(words.to_vec()),
            steps: vec![
                Step::SkipIfThere(b"/it's/there".into()),
                Step::SetDefault(b"A".into(), Text::below_root("/a")),
                Step::Join(Join {
                    name: b"B".into(),
                    separator: b":".into(),
                    value: Text::below_root("/b"),
                    how: JoinKind::Suffix,
                }),
            ],
            ..Launch::default()
        };
        let lines = r#"[ -r '/it'\''s/there' ] || [ -n "${A+x}" ] || { A="$root"'/a'; export A; }
{ B=${B:+$B':'}"$root"'/b'; export B; }
exec "$root"'/../lib/ld.so' '--argv0' "$0" "$@"
"#;
        let expected = [BEGIN, lines.as_bytes()].concat();
        assert_eq!(
            script(&launch).map(|text| text.escape_ascii().to_string()),
            Some(expected.escape_ascii().to_string())
        );
        let held = Launch { steps: vec![Step::Pass(978, Text::literal("/x"))], ..launch.clone() };
        let renamed = Launch { name: Text(vec![Piece::Name]), ..launch };
        assert_eq!((script(&held), script(&renamed)), (None, None));
    }
}
