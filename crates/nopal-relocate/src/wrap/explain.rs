//! What a wrapper does, for people.

use super::record::{quote, source};
use super::text::Piece;
use super::{JoinKind, Launch, Step};

/// One line for each thing that it does, texts as bash would read them.
#[must_use]
pub fn explain(launch: &Launch) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut line = |what: &[u8], parts: &[&[u8]]| {
        lines.extend_from_slice(what);
        lines.extend(std::iter::repeat_n(b' ', 9_usize.saturating_sub(what.len())));
        parts.iter().for_each(|part| lines.extend_from_slice(part));
        lines.push(b'\n');
    };
    line(b"starts", &[&source(&launch.target)]);
    let path = if launch.resolves_name { &b", looked for in PATH"[..] } else { b"" };
    match &launch.name.0[..] {
        [Piece::Target] => line(b"as", &[b"its path", path]),
        [Piece::Called] => line(b"as", &[b"the path of the wrapper that was started", path]),
        [Piece::Name] => line(b"as", &[b"the name that the wrapper was given", path]),
        _ => line(b"as", &[&source(&launch.name), path]),
    }
    for step in &launch.steps {
        match step {
            Step::Set(name, value) => line(b"set", &[name, b" = ", &source(value)]),
            Step::SetDefault(name, value) => line(b"default", &[name, b" = ", &source(value)]),
            Step::Unset(name) => line(b"unset", &[name]),
            Step::Hold(number, folder) | Step::Pass(number, folder) => {
                line(b"hold", &[&source(folder), format!(" as {number}").as_bytes()])
            }
            Step::SkipIfThere(path) => line(b"unless", &[&quote(path), b" is there"]),
            Step::ChangeDirectory(to) => line(b"go to", &[&source(to)]),
            Step::Join(join) => {
                let how: &[u8] = match join.how {
                    JoinKind::Prefix => b"prefix",
                    JoinKind::Suffix => b"suffix",
                    JoinKind::Last => b"put last",
                };
                line(how, &[&join.name, b" ", &quote(&join.separator), b" ", &source(&join.value)]);
            }
        }
    }
    if !launch.before.is_empty() {
        line(b"before", &[&source(&launch.before)]);
    }
    if !launch.after.is_empty() {
        line(b"after", &[&source(&launch.after)]);
    }
    lines
}
