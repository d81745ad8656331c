//! TOML 1.0 as `builtins.fromTOML` reads it, with error texts in the layout of toml11, the library Nix uses.

use std::fmt::Write as _;

/// A document: the `toml` crate's table.
pub use toml::Table;
/// A value of a document.
pub use toml::Value;

/// A syntax error, laid out as toml11 does: the message, the line, and a mark below it. Ends with a line feed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TomlError(pub String);

/// Parses a document.
pub fn parse(text: &[u8]) -> Result<Table, TomlError> {
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            return Err(layout("toml::parse_utf8: invalid utf-8 byte sequence", "here", text, at));
        }
    };
    text.parse::<Table>().map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let token = text.get(span.clone()).unwrap_or_default();
        // The parser's own message for integers out of range differs from toml11's, which Nix's users know.
        if is_decimal(token) && token.replace('_', "").parse::<i64>().is_err() {
            let title = "toml::parse_dec_integer: too large integer: current max digits = 2^63";
            return layout(title, "must be < 2^63", text.as_bytes(), span.end);
        }
        layout(error.message(), "here", text.as_bytes(), span.start)
    })
}

fn is_decimal(token: &str) -> bool {
    let digits = token.strip_prefix(['+', '-']).unwrap_or(token);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

fn layout(title: &str, hint: &str, text: &[u8], at: usize) -> TomlError {
    let at = at.min(text.len());
    let start = memchr::memrchr(b'\n', &text[..at]).map_or(0, |i| i + 1);
    let end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |i| at + i);
    let number = (memchr::memchr_iter(b'\n', &text[..at]).count() + 1).to_string();
    let line = String::from_utf8_lossy(&text[start..end]);
    let pad = " ".repeat(number.len());
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "[error] {title}\n{pad} --> fromTOML\n{pad}  |\n {number} | {line}\n{pad}  | {}^-- {hint}\n",
        " ".repeat(at - start)
    );
    TomlError(out)
}

/// A date or time in RFC 3339 notation, fractions of a second in groups of three digits as toml11 before 4.0 wrote
/// them.
pub fn timestamp(value: &toml::value::Datetime) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    if let Some(date) = value.date {
        let _ = write!(out, "{:04}-{:02}-{:02}", date.year, date.month, date.day);
    }
    if let Some(time) = value.time {
        if value.date.is_some() {
            out.push('T');
        }
        let _ = write!(out, "{:02}:{:02}:{:02}", time.hour, time.minute, time.second);
        let nanos = time.nanosecond;
        if nanos != 0 {
            let fraction = format!("{nanos:09}");
            let digits = if nanos % 1000 != 0 {
                9
            } else if nanos % 1_000_000 != 0 {
                6
            } else {
                3
            };
            let _ = write!(out, ".{}", &fraction[..digits]);
        }
    }
    match value.offset {
        None => {}
        Some(toml::value::Offset::Z) => out.push('Z'),
        Some(toml::value::Offset::Custom { minutes: 0 }) => out.push('Z'),
        Some(toml::value::Offset::Custom { minutes }) => {
            let sign = if minutes < 0 { '-' } else { '+' };
            let minutes = minutes.unsigned_abs();
            let _ = write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_overflow_reads_as_in_toml11() {
        let error = parse(b"attr = 9223372036854775808").unwrap_err();
        assert_eq!(
            error.0,
            "[error] toml::parse_dec_integer: too large integer: current max digits = 2^63\n  --> fromTOML\n   |\n 1 | \
             attr = 9223372036854775808\n   |                           ^-- must be < 2^63\n"
        );
    }

    #[test]
    fn timestamps() {
        let table = parse(b"a = 1979-05-27 00:32:00.9-07:00\nb = 07:32:00\nc = 1979-05-27\nd = 1979-05-27T07:32:00.123456Z")
            .unwrap();
        let shown = |key: &str| match &table[key] {
            Value::Datetime(value) => timestamp(value),
            other => format!("{other:?}"),
        };
        assert_eq!(shown("a"), "1979-05-27T00:32:00.900-07:00");
        assert_eq!(shown("b"), "07:32:00");
        assert_eq!(shown("c"), "1979-05-27");
        assert_eq!(shown("d"), "1979-05-27T07:32:00.123456Z");
    }
}
