//! The calendar format of `lastModifiedDate` in fetched trees.

/// Seconds since 1970 in UTC as `YYYYMMDDHHMMSS` (`%Y%m%d%H%M%S`).
pub fn compact(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400);
    let rest = seconds.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The proleptic Gregorian date of a day counted from 1970-01-01 (Howard Hinnant's algorithm).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days.saturating_add(719_468);
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::compact;

    #[test]
    fn dates() {
        assert_eq!(compact(0), "19700101000000");
        assert_eq!(compact(1_686_503_798), "20230611171638");
        assert_eq!(compact(951_827_696), "20000229123456");
        assert_eq!(compact(-1), "19691231235959");
    }
}
