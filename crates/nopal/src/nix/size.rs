//! Sizes as people read them.

/// Units after bytes, each 1024 of the one before.
const UNITS: [&str; 9] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi", "Ri"];

/// A number of bytes such as `1.5 MiB`; the smallest unit is KiB.
pub(crate) fn render(bytes: u64) -> String {
    let (number, unit) = scaled(bytes);
    format!("{number:.1} {unit}B")
}

/// Likewise, in at least seven columns and without the B.
pub(crate) fn aligned(bytes: u64) -> String {
    let (number, unit) = scaled(bytes);
    format!("{number:6.1} {unit}B")
}

fn scaled(bytes: u64) -> (f64, &'static str) {
    let mut number = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().unwrap_or(&"Ki");
    while number >= 1024.0 {
        let Some(next) = units.next() else { break };
        number /= 1024.0;
        unit = next;
    }
    (number, unit)
}

#[cfg(test)]
mod tests {
    use super::{aligned, render};

    #[test]
    fn sizes_grow_through_units() {
        assert_eq!((render(0), render(1536)), ("0.0 KiB".to_owned(), "1.5 KiB".to_owned()));
        assert_eq!((render(3 << 20), aligned(1 << 30)), ("3.0 MiB".to_owned(), "   1.0 GiB".to_owned()));
    }
}
