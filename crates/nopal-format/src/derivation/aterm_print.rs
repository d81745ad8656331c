//! Printing derivations as ATerms: one buffer, strings copied in runs between the characters that need a backslash.

use super::{Derivation, DerivationOutput, InputOutputs};
use crate::hash::{hex, write_hex};
use crate::store_path::{StoreDir, StorePath, StorePathError};

/// What stands in the place of output paths, in the outputs and in the environment variables of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMask {
    /// The paths themselves.
    Show,
    /// Empty strings: the form whose hash the paths are computed from.
    Blank,
}

/// Input derivations replaced by the hashes of what they yield: each hash with one of the outputs needed. Ascending, each
/// once.
pub(super) type ReplacedInputs<'a> = Vec<([u8; 32], &'a str)>;

impl Derivation {
    /// The text of the `.drv` file.
    ///
    /// # Errors
    /// A fixed output whose name or hash makes no valid path.
    pub fn to_aterm(&self, dir: &StoreDir) -> Result<Vec<u8>, StorePathError> {
        let mut out = Vec::with_capacity(4096);
        self.write_aterm(dir, OutputMask::Show, &mut out)?;
        Ok(out)
    }

    /// Appends the text to `out`, so that one buffer serves many derivations.
    ///
    /// # Errors
    /// As [`Derivation::to_aterm`].
    pub fn write_aterm(&self, dir: &StoreDir, mask: OutputMask, out: &mut Vec<u8>) -> Result<(), StorePathError> {
        self.write_head(dir, &self.shown_paths(dir, mask)?, out);
        self.write_inputs(dir, out);
        self.write_tail(dir, mask, out, &mut Vec::new());
        Ok(())
    }

    /// The paths of the outputs as far as they are known and not masked, in the order of the outputs.
    pub(super) fn shown_paths(
        &self,
        dir: &StoreDir,
        mask: OutputMask,
    ) -> Result<Vec<Option<StorePath>>, StorePathError> {
        match mask {
            OutputMask::Show => self.outputs.iter().map(|(name, output)| output.path(dir, &self.name, name)).collect(),
            OutputMask::Blank => Ok(Vec::new()),
        }
    }

    /// The input derivations.
    pub(super) fn write_inputs(&self, dir: &StoreDir, out: &mut Vec<u8>) {
        let mut list = List::new(out);
        for (path, needed) in &self.input_drvs {
            let out = list.next();
            out.extend_from_slice(b"(\"");
            write_path(dir, path, out);
            out.push(b'"');
            write_needed(needed, out);
            out.push(b')');
        }
    }

    /// What stands before the inputs. Paths are those of [`Derivation::shown_paths`].
    pub(super) fn write_head(&self, dir: &StoreDir, paths: &[Option<StorePath>], out: &mut Vec<u8>) {
        let has_dynamic = self.has_dynamic_inputs();
        out.extend_from_slice(if has_dynamic { b"DrvWithVersion(\"xp-dyn-drv\",[" } else { b"Derive([" });
        let mut list = List::new(out);
        for (number, (name, output)) in self.outputs.iter().enumerate() {
            let out = list.next();
            out.push(b'(');
            write_plain(name.as_bytes(), out);
            out.extend_from_slice(b",\"");
            if let Some(Some(path)) = paths.get(number) {
                write_path(dir, path, out);
            }
            out.extend_from_slice(b"\",\"");
            let (algorithm, hash) = match output {
                DerivationOutput::InputAddressed { .. } | DerivationOutput::Deferred => Default::default(),
                DerivationOutput::Fixed { ca } => (ca.method_algorithm(), hex(ca.hash.bytes())),
                DerivationOutput::Floating { method, algorithm } => {
                    (format!("{}{algorithm}", method.prefix()), String::new())
                }
                DerivationOutput::Impure { method, algorithm } => {
                    (format!("{}{algorithm}", method.prefix()), "impure".to_owned())
                }
            };
            out.extend_from_slice(algorithm.as_bytes());
            out.extend_from_slice(b"\",\"");
            out.extend_from_slice(hash.as_bytes());
            out.extend_from_slice(b"\")");
        }
        out.extend_from_slice(b"],[");
    }

    /// What stands behind the inputs. Where values of output variables are left out is noted in `gaps`: offsets in
    /// `out`, in the order of the names.
    pub(super) fn write_tail(&self, dir: &StoreDir, mask: OutputMask, out: &mut Vec<u8>, gaps: &mut Vec<usize>) {
        out.extend_from_slice(b"],[");
        let mut list = List::new(out);
        for path in &self.input_srcs {
            let out = list.next();
            out.push(b'"');
            write_path(dir, path, out);
            out.push(b'"');
        }
        out.extend_from_slice(b"],");
        // Nix prints the system without escapes.
        write_plain(&self.system, out);
        out.push(b',');
        write_escaped(&self.builder, out);
        out.extend_from_slice(b",[");
        let mut list = List::new(out);
        for argument in &self.args {
            write_escaped(argument, list.next());
        }
        out.extend_from_slice(b"],[");
        let mut list = List::new(out);
        // both are in the order of their names
        let masked = self.outputs.keys().filter(|_| mask == OutputMask::Blank);
        let mut masked = masked.filter_map(|output| self.env.index_of(output.as_bytes())).peekable();
        for (index, (name, value)) in self.env.iter().enumerate() {
            let out = list.next();
            out.push(b'(');
            write_escaped(&name, out);
            out.push(b',');
            if masked.next_if_eq(&index).is_some() {
                gaps.push(out.len() + 1);
                out.extend_from_slice(b"\"\"");
            } else {
                write_escaped(&value, out);
            }
            out.push(b')');
        }
        out.extend_from_slice(b"])");
    }
}

/// The form that is hashed has, in the place of input derivations, the hashes of what they yield.
pub(super) fn write_replaced_inputs(inputs: &ReplacedInputs, out: &mut Vec<u8>) {
    let mut list = List::new(out);
    for same in inputs.chunk_by(|(hash, _), (next, _)| hash == next) {
        let out = list.next();
        out.extend_from_slice(b"(\"");
        write_hex(&same[0].0, out);
        out.extend_from_slice(b"\",");
        write_plain_list(same.iter().map(|(_, output)| output), out);
        out.push(b')');
    }
}

/// Puts commas between items.
struct List<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> List<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, is_first: true }
    }

    fn next(&mut self) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        self.out
    }
}

fn write_path(dir: &StoreDir, path: &StorePath, out: &mut Vec<u8>) {
    out.extend_from_slice(dir.as_str().as_bytes());
    out.push(b'/');
    path.digest_digits().as_chunks::<8>().0.iter().for_each(|digits| out.extend_from_slice(digits));
    out.push(b'-');
    out.extend_from_slice(path.name().as_bytes());
}

fn write_needed(needed: &InputOutputs, out: &mut Vec<u8>) {
    out.push(b',');
    if needed.dynamic.is_empty() {
        write_plain_list(&needed.outputs, out);
        return;
    }
    out.push(b'(');
    write_plain_list(&needed.outputs, out);
    out.extend_from_slice(b",[");
    let mut list = List::new(out);
    for (name, inner) in &needed.dynamic {
        let out = list.next();
        out.push(b'(');
        write_plain(name.as_bytes(), out);
        write_needed(inner, out);
        out.push(b')');
    }
    out.extend_from_slice(b"])");
}

fn write_plain(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

fn write_plain_list(items: impl IntoIterator<Item = impl AsRef<str>>, out: &mut Vec<u8>) {
    out.push(b'[');
    let mut list = List::new(out);
    for item in items {
        write_plain(item.as_ref().as_bytes(), list.next());
    }
    out.push(b']');
}

/// What follows the backslash for each byte; zero for bytes that stand for themselves.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table
};

/// Bytes looked at together: a block without anything to escape is found by vector instructions and copied whole.
const BLOCK: usize = 64;

/// Of a block with something to escape, which is often one line end, the parts without are copied likewise, as are those
/// of what is shorter than a block.
const PART: usize = 16;

/// Appends a quoted string with `"`, `\`, line feed, carriage return and tab escaped.
pub fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let (blocks, short) = text.as_chunks::<BLOCK>();
    for block in blocks {
        if is_plain(block) {
            out.extend_from_slice(block);
        } else {
            write_escaped_parts(block, out);
        }
    }
    write_escaped_parts(short, out);
    out.push(b'"');
}

fn write_escaped_parts(text: &[u8], out: &mut Vec<u8>) {
    let (parts, rest) = text.as_chunks::<PART>();
    for part in parts {
        write_escaped_part(part, is_plain(part), out);
    }
    // two words cover eight bytes and more
    let is_rest_plain = match (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
        (Some(first), Some(last)) => is_plain(first) && is_plain(last),
        _ => rest.iter().all(|byte| ESCAPES[usize::from(*byte)] == 0),
    };
    write_escaped_part(rest, is_rest_plain, out);
}

#[inline(always)]
fn write_escaped_part(part: &[u8], is_plain: bool, out: &mut Vec<u8>) {
    if is_plain {
        out.extend_from_slice(part);
    } else {
        write_escaped_bytes(part, out);
    }
}

/// Whether there is nothing to escape.
#[inline(always)]
fn is_plain(block: &[u8]) -> bool {
    !block.iter().fold(false, |found, &byte| found | (byte < 0x20) | (byte == b'"') | (byte == b'\\'))
}

/// Without branches: the backslash is always written, and overwritten where it is not wanted.
fn write_escaped_bytes(part: &[u8], out: &mut Vec<u8>) {
    let mut escaped = [b'\\'; 2 * PART];
    let mut len = 0;
    for &byte in part {
        let escape = ESCAPES[usize::from(byte)];
        let is_special = escape != 0;
        escaped[len] = b'\\';
        len += usize::from(is_special);
        escaped[len] = if is_special { escape } else { byte };
        len += 1;
    }
    out.extend_from_slice(&escaped[..len]);
}
