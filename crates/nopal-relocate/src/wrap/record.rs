//! The command that made a wrapper, which the wrapper keeps, and texts as bash would read them.
//!
//! The record begins with the function's name at the beginning of a line and ends with an empty line, so that
//! `strings -dw FILE | sed -n '/^makeCWrapper/,/^$/p'` finds it.

use super::flags::{Flag, Manner};
use super::text::{Choice, Piece, Text};

/// The function of the hook that makes the same wrapper.
const fn function(manner: Manner) -> &'static str {
    match manner {
        Manner::Shell => "makeShellWrapper",
        Manner::Binary => "makeCWrapper",
    }
}

/// The command, a flag on each line.
pub(super) fn of(target: &Text, flags: &[Flag<'_>], manner: Manner) -> Vec<u8> {
    let mut record = b"\n\n# made by `nopal wrap`, as by this command:\n\n\n".to_vec();
    record.extend_from_slice(function(manner).as_bytes());
    record.push(b' ');
    record.extend(source(target));
    for flag in flags {
        record.extend_from_slice(b" \\\n    ");
        record.extend_from_slice(flag.name.as_bytes());
        for value in flag.values {
            record.push(b' ');
            record.extend(quote(value));
        }
    }
    record.extend_from_slice(b"\n\n\n");
    record
}

/// The command in a record: from the function's name to the next empty line.
#[must_use]
pub fn command(record: &[u8]) -> Option<&[u8]> {
    let begins = [Manner::Shell, Manner::Binary].map(|manner| format!("\n{} ", function(manner)));
    let begin = begins.iter().filter_map(|begin| memchr::memmem::find(record, begin.as_bytes())).min()? + 1;
    let count = memchr::memmem::find(&record[begin..], b"\n\n").unwrap_or(record.len() - begin);
    Some(&record[begin..begin + count])
}

/// Bytes as one word of bash: in quotes, and with escapes where they are no printable ASCII.
#[must_use]
pub fn quote(bytes: &[u8]) -> Vec<u8> {
    let is_plain = bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    let mut quoted = if is_plain { b"'".to_vec() } else { b"$'".to_vec() };
    for byte in bytes {
        match byte {
            b'\'' if is_plain => quoted.extend_from_slice(b"'\\''"),
            b'\'' | b'\\' if !is_plain => quoted.extend_from_slice(&[b'\\', *byte]),
            b'\n' => quoted.extend_from_slice(b"\\n"),
            b'\t' => quoted.extend_from_slice(b"\\t"),
            byte if byte.is_ascii_graphic() || *byte == b' ' => quoted.push(*byte),
            byte => quoted.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// The variable that holds the wrapper's folder, for a script.
pub(super) const ROOT_VARIABLE: &str = "_nopal_root";

/// A text as bash would read it. Bash has nothing for the name that a wrapper was given, and the target's path; these are
/// shown only.
#[must_use]
pub fn source(text: &Text) -> Vec<u8> {
    let mut source = Vec::new();
    for piece in &text.0 {
        match piece {
            Piece::Literal(bytes) => source.extend(quote(bytes)),
            Piece::Break => source.push(b' '),
            Piece::Variable { is_quoted: false, .. } | Piece::Choice(Choice { is_quoted: false, .. }) => {
                unquoted(piece, &mut source);
            }
            piece => {
                source.push(b'"');
                inside_quotes(piece, &mut source);
                source.push(b'"');
            }
        }
    }
    source
}

/// A text as it stands between double quotes.
fn between_quotes(text: &Text) -> Vec<u8> {
    let mut source = Vec::new();
    text.0.iter().for_each(|piece| inside_quotes(piece, &mut source));
    source
}

fn unquoted(piece: &Piece, into: &mut Vec<u8>) {
    match piece {
        Piece::Choice(choice) => {
            begin_choice(choice, into);
            into.extend(source(&choice.word));
            into.push(b'}');
        }
        piece => inside_quotes(piece, into),
    }
}

/// A piece as it stands between double quotes.
fn inside_quotes(piece: &Piece, into: &mut Vec<u8>) {
    match piece {
        Piece::Literal(bytes) => {
            for byte in bytes {
                if b"\\$`\"}".contains(byte) {
                    into.push(b'\\');
                }
                into.push(*byte);
            }
        }
        Piece::Variable { name, .. } => {
            into.extend_from_slice(b"${");
            into.extend_from_slice(name);
            into.push(b'}');
        }
        Piece::Choice(choice) => {
            begin_choice(choice, into);
            into.extend(between_quotes(&choice.word));
            into.push(b'}');
        }
        Piece::Break => into.push(b' '),
        Piece::Root => into.extend_from_slice(format!("${ROOT_VARIABLE}").as_bytes()),
        Piece::Called => into.extend_from_slice(b"$0"),
        Piece::Name => into.extend_from_slice(b"${argv[0]}"),
        Piece::Target => into.extend_from_slice(b"${target}"),
    }
}

fn begin_choice(choice: &Choice, into: &mut Vec<u8>) {
    into.extend_from_slice(b"${");
    into.extend_from_slice(&choice.name);
    into.extend_from_slice(if choice.empty_is_unset { b":" } else { b"" });
    into.push(if choice.keeps_value { b'-' } else { b'+' });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_bash_reads_them() {
        for (bytes, quoted) in [
            (&b"a b"[..], "'a b'"),
            (b"it's", r"'it'\''s'"),
            (b"two\nlines", r"$'two\nlines'"),
            (b"it's\xff\\", r"$'it\'s\xff\\'"),
            (b"", "''"),
        ] {
            assert_eq!(String::from_utf8_lossy(&quote(bytes)), quoted);
        }
    }

    #[test]
    fn texts_are_shown_as_they_were_written() {
        for text in [r#"'a' $B "${C}"'d'"#, r#"${A:+'--x'${B-'y'} "${C}"}"#, r#""${A:-b\}${C}}""#] {
            let words = Text::words(text.as_bytes()).unwrap();
            let again = source(&words);
            assert_eq!(Text::words(&again).unwrap(), words, "{text}");
        }
    }

    #[test]
    fn the_command_is_found_in_the_record() {
        let words = [b"--set".to_vec(), b"A".to_vec(), b"b c".to_vec(), b"--inherit-argv0".to_vec()];
        let flags = [Flag { name: "--set", values: &words[1..3] }, Flag { name: "--inherit-argv0", values: &[] }];
        let record = of(&Text::literal("/bin/x"), &flags, Manner::Binary);
        let command = String::from_utf8(command(&record).unwrap().to_vec()).unwrap();
        assert_eq!(command, "makeCWrapper '/bin/x' \\\n    --set 'A' 'b c' \\\n    --inherit-argv0");
    }
}
