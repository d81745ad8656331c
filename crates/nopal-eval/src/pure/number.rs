//! Number formats of the C++ streams and functions that Nix prints with.

/// Appends an integer in decimal.
pub fn write_int(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// `std::to_string(double)`, that is `%f`: what `builtins.toString` gives for a float.
pub fn fixed(value: f64) -> String {
    if value.is_nan() {
        return nan(value).to_owned();
    }
    if value.is_infinite() {
        return infinity(value).to_owned();
    }
    format!("{value:.6}")
}

/// A float on an output stream, that is `%g`: what printing a value gives.
pub fn general(value: f64) -> String {
    if value.is_nan() {
        return nan(value).to_owned();
    }
    if value.is_infinite() {
        return infinity(value).to_owned();
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".into() } else { "0".into() };
    }
    let scientific = format!("{value:.5e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        let precision = usize::try_from(5 - exponent).unwrap_or(0);
        return strip_zeros(&format!("{value:.precision$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", strip_zeros(mantissa), exponent.unsigned_abs())
}

fn nan(value: f64) -> &'static str {
    if value.is_sign_negative() { "-nan" } else { "nan" }
}

fn infinity(value: f64) -> &'static str {
    if value < 0.0 { "-inf" } else { "inf" }
}

fn strip_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// `boost::lexical_cast<int>` on digits: a decimal number of at most 32 bits, with an optional sign.
pub fn int32(text: &[u8]) -> Option<i32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        for value in [0, 7, -1, -7, 10, 1234567890, i64::MAX, i64::MIN] {
            let mut text = Vec::new();
            write_int(value, &mut text);
            assert_eq!(text, value.to_string().as_bytes());
        }
    }

    #[test]
    fn general_equals_ostream() {
        for (value, expected) in [
            (1.5, "1.5"),
            (1.0, "1"),
            (0.1 + 0.2, "0.3"),
            (1e10, "1e+10"),
            (123456789.0, "1.23457e+08"),
            (999999.5, "1e+06"),
            (99999.95, "99999.9"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5e-310, "-2.5e-310"),
            (100000.0, "100000"),
            (1000000.0, "1e+06"),
            (f64::INFINITY, "inf"),
            (-0.0, "-0"),
        ] {
            assert_eq!(general(value), expected);
        }
    }

    #[test]
    fn fixed_equals_to_string() {
        assert_eq!(fixed(1.5), "1.500000");
        assert_eq!(fixed(1e22), "10000000000000000000000.000000");
        assert_eq!(fixed(-0.0000001), "-0.000000");
        assert_eq!(fixed(f64::NEG_INFINITY), "-inf");
    }
}
