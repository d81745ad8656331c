//! Numbers as Nix reads and prints them.

use std::fmt::Write as _;

/// The value of `[0-9]+`, unless it is beyond 64 bits.
pub(crate) fn parse_int(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |value, digit| value.checked_mul(10)?.checked_add(i64::from(digit - b'0')))
}

/// The value of a float literal, unless C's `strtod` reports a range error for it: an infinity, or a number so small
/// that it loses precision. Decimal texts of subnormal numbers that are exact have hundreds of digits and are not told
/// apart from those that are not.
pub(crate) fn parse_float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let lost = (value == 0.0 && mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'))) || value.is_subnormal();
    if value.is_infinite() || lost { None } else { Some(value) }
}

/// Appends a float as C++ streams do by default and as Nix prints it (`%g` with six digits).
pub fn print_float(value: f64, out: &mut Vec<u8>) {
    const DIGITS: i32 = 6;
    if !value.is_finite() {
        let text: &[u8] = match (value.is_nan(), value.is_sign_negative()) {
            (true, false) => b"nan",
            (true, true) => b"-nan",
            (false, false) => b"inf",
            (false, true) => b"-inf",
        };
        out.extend_from_slice(text);
        return;
    }
    // the exponent after rounding to six digits decides between the two forms
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mut text = String::new();
    if (-4..DIGITS).contains(&exponent) {
        let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
        // writing to a String cannot fail
        let _ = write!(text, "{value:.decimals$}");
        out.extend_from_slice(trim_zeros(&text).as_bytes());
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(text, "{}e{sign}{:02}", trim_zeros(mantissa), exponent.abs());
        out.extend_from_slice(text.as_bytes());
    }
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_like_c() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (123456.0, "123456"),
            (1234567.0, "1.23457e+06"),
            (999999.5, "1e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e100, "1e+100"),
            (0.1 + 0.2, "0.3"),
        ];
        for (value, text) in cases {
            let mut out = Vec::new();
            print_float(value, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
    }

    #[test]
    fn ranges_are_those_of_c() {
        assert_eq!(parse_int(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_int(b"9223372036854775808"), None);
        assert_eq!(parse_float(b"1.0e400"), None);
        assert_eq!(parse_float(b"1.0e-400"), None);
        assert_eq!(parse_float(b"0.0e-400"), Some(0.0));
        assert_eq!(parse_float(b".5"), Some(0.5));
        assert_eq!(parse_float(b"5."), Some(5.0));
    }
}
