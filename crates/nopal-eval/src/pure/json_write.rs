//! Pieces of a JSON writer that prints what nlohmann's serializer prints (compact, no ASCII escaping), which Nix uses
//! for `builtins.toJSON` and structured attributes. The walk over values is the caller's.

use super::grisu;

/// A string that is not valid UTF-8; the texts are nlohmann's, with its `[json.exception…]` prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUtf8 {
    /// The byte at this index cannot occur there.
    #[error("[json.exception.type_error.316] invalid UTF-8 byte at index {index}: 0x{byte:02X}")]
    Byte {
        /// Index in the string.
        index: usize,
        /// The byte.
        byte: u8,
    },
    /// The string ends within a character.
    #[error("[json.exception.type_error.316] incomplete UTF-8 string; last byte: 0x{last:02X}")]
    Incomplete {
        /// The last byte of the string.
        last: u8,
    },
}

/// Appends `text` as a JSON string with quotes.
pub fn string(out: &mut Vec<u8>, text: &[u8]) -> Result<(), InvalidUtf8> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(match error.error_len() {
            None => InvalidUtf8::Incomplete { last: text.last().copied().unwrap_or(0) },
            Some(length) => {
                // The decoder stops at the byte that cannot follow, not at the start of the sequence.
                let start = error.valid_up_to();
                let index = if length == 1 && !may_lead(text[start]) { start } else { start + length };
                InvalidUtf8::Byte { index, byte: text.get(index).copied().unwrap_or(0) }
            }
        });
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut from = 0;
    for (at, &byte) in text.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            8 => b'b',
            9 => b't',
            10 => b'n',
            12 => b'f',
            13 => b'r',
            0..0x20 => 0,
            _ => continue,
        };
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        if short == 0 {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&text[from..]);
    out.push(b'"');
    Ok(())
}

/// A byte that may begin a multi-byte character.
fn may_lead(byte: u8) -> bool {
    (0xC2..=0xF4).contains(&byte)
}

/// Appends a float in digits that read back as the same number; `null` if it is not finite.
pub fn float(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if value == 0.0 {
        out.extend_from_slice(b"0.0");
        return;
    }
    let (digits, exponent) = grisu::digits(value.abs());
    let count = digits.len() as i32;
    let point = count + exponent;
    if count <= point && point <= 15 {
        out.extend_from_slice(&digits);
        out.extend(std::iter::repeat_n(b'0', (point - count) as usize));
        out.extend_from_slice(b".0");
    } else if 0 < point && point <= 15 {
        out.extend_from_slice(&digits[..point as usize]);
        out.push(b'.');
        out.extend_from_slice(&digits[point as usize..]);
    } else if -4 < point && point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', -point as usize));
        out.extend_from_slice(&digits);
    } else {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let exponent = point - 1;
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        let exponent = exponent.unsigned_abs();
        if exponent < 10 {
            out.push(b'0');
        }
        super::number::write_int(i64::from(exponent), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f(value: f64) -> String {
        let mut out = Vec::new();
        float(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats() {
        for (value, expected) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e100, "1e+100"),
            (1.5e-7, "1.5e-07"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123456789012345.0, "123456789012345.0"),
            (1e15, "1e+15"),
            (1234567890123456.0, "1.234567890123456e+15"),
            (1e14, "100000000000000.0"),
            (5e-324, "5e-324"),
            (f64::NAN, "null"),
        ] {
            assert_eq!(f(value), expected);
        }
    }

    #[test]
    fn strings() {
        let mut out = Vec::new();
        string(&mut out, "a\"\\\n\u{1}\u{7f}é/".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\"a\\\"\\\\\\n\\u0001\u{7f}é/\"");
        let fail = |text: &[u8]| string(&mut Vec::new(), text).unwrap_err();
        assert_eq!(fail(b"ab\xff_"), InvalidUtf8::Byte { index: 2, byte: 0xff });
        assert_eq!(fail(b"a\xc3_"), InvalidUtf8::Byte { index: 2, byte: b'_' });
        assert_eq!(fail(b"a\xe2\x82"), InvalidUtf8::Incomplete { last: 0x82 });
    }
}
