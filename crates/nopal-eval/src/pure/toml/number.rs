//! Numbers, dates and times.

use super::scan::{Parsed, Parser, fail};
use super::{Issue, Toml};

const INTEGERS: &[&str] = &["valid  : -42, 1_000, 1_2_3_4_5, 0xC0FFEE, 0b0010, 0o755", "invalid: _42, 1__000, 0123"];
const FLOATS: &[&str] =
    &["valid  : +1.0, -2e-2, 3.141_592_653_589, inf, nan", "invalid: .0, 1., _1.0, 1.0_, 1_.0, 1.0__0"];
const TIMES: &[&str] =
    &["valid  : 1979-05-27T07:32:00, 1979-05-27 07:32:00.999999", "invalid: 1979-05-27T7:32:00, 1979-05-27 17:32"];

impl Parser<'_> {
    pub(super) fn number_or_date(&mut self) -> Parsed<Toml> {
        let rest = self.rest();
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        match rest.get(digits) {
            Some(b'-') if digits == 4 => return self.date_time(),
            Some(b':') if digits == 2 && rest.get(3).is_some_and(u8::is_ascii_digit) && self.full_time() => {
                let time = self.time()?;
                return Ok(Toml::Timestamp(time));
            }
            _ => {}
        }
        self.number()
    }

    /// `HH:MM:SS` comes next.
    fn full_time(&self) -> bool {
        let rest = self.rest();
        rest.len() >= 8 && (0..8).all(|i| if i % 3 == 2 { rest[i] == b':' } else { rest[i].is_ascii_digit() })
    }

    /// Digits with single underscores between them.
    fn digits(&mut self, digit: fn(u8) -> bool, out: &mut String) -> usize {
        let start = out.len();
        loop {
            match self.peek() {
                Some(b) if digit(b) => out.push(char::from(b)),
                Some(b'_') if out.len() > start && self.rest().get(1).copied().is_some_and(digit) => {}
                _ => return out.len() - start,
            }
            self.at += 1;
        }
    }

    fn number(&mut self) -> Parsed<Toml> {
        let start = self.at;
        let mut text = String::new();
        if let Some(sign @ (b'+' | b'-')) = self.peek() {
            self.at += 1;
            if sign == b'-' {
                text.push('-');
            }
        }
        for (word, value) in [("inf", f64::INFINITY), ("nan", f64::NAN)] {
            if self.take(word.as_bytes()) {
                return Ok(Toml::Float(if text.is_empty() { value } else { -value }));
            }
        }
        match self.peek() {
            Some(b'i' | b'I' | b'n' | b'N') => {
                let word = if matches!(self.peek(), Some(b'i' | b'I')) { "inf" } else { "nan" };
                let title =
                    format!("toml::parse_value: `{word}` must be in lowercase. A string must be surrounded by quotes.");
                return fail(Issue::new(title, start, "expected from `1` to `9` or digit [0-9] or inf or nan"));
            }
            Some(b'_') => {
                let title = "bad number: `_` must be surrounded by digits";
                return fail(Issue::new(title, self.at, "digits required before `_`").hints(INTEGERS));
            }
            Some(b'.') => {
                let title = "bad float: integer part is required before decimal point";
                return fail(Issue::new(title, self.at, "missing integer part").hints(FLOATS));
            }
            Some(b'0') => {
                if let Some(radix @ (b'x' | b'o' | b'b')) = self.rest().get(1).copied() {
                    return self.radix(radix, start);
                }
                if let Some(b'0' | b'_') = self.rest().get(1) {
                    let issue = Issue::new("bad integer: leading zero", start, "leading zero is not allowed");
                    return fail(issue.hints(INTEGERS));
                }
                self.at += 1;
                text.push('0');
                if self.peek().is_some_and(|b| b.is_ascii_digit()) {
                    let title = "bad integer: invalid digit after an integer";
                    return fail(Issue::new(title, self.at, "this digit is not allowed").hints(INTEGERS));
                }
            }
            Some(b'1'..=b'9') => {
                self.digits(|b| b.is_ascii_digit(), &mut text);
            }
            _ => return fail(Issue::new("bad format: unknown value appeared", start, "here")),
        }
        if let Some(b'.' | b'e' | b'E') = self.peek() {
            return self.float(text);
        }
        self.no_underscore("integer", INTEGERS)?;
        match text.parse() {
            Ok(value) => Ok(Toml::Integer(value)),
            Err(_) => {
                let title = "toml::parse_dec_integer: too large integer: current max digits = 2^63";
                fail(Issue::new(title, self.at, "must be < 2^63"))
            }
        }
    }

    fn no_underscore(&self, kind: &str, hints: &'static [&'static str]) -> Parsed<()> {
        if self.peek() != Some(b'_') {
            return Ok(());
        }
        let title = format!("bad {kind}: `_` must be surrounded by digits");
        fail(Issue::new(title, self.at, "invalid underscore").hints(hints))
    }

    fn float(&mut self, mut text: String) -> Parsed<Toml> {
        let invalid = |at: usize| fail(Issue::new("bad float: invalid format", at, "here").hints(FLOATS));
        let place = self.at;
        if self.take(b".") {
            text.push('.');
            if self.digits(|b| b.is_ascii_digit(), &mut text) == 0 {
                return invalid(place);
            }
            self.no_underscore("float", FLOATS)?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            let place = self.at;
            self.at += 1;
            text.push('e');
            if let Some(sign @ (b'+' | b'-')) = self.peek() {
                self.at += 1;
                text.push(char::from(sign));
            }
            if self.digits(|b| b.is_ascii_digit(), &mut text) == 0 {
                return invalid(place);
            }
            self.no_underscore("float", FLOATS)?;
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Toml::Float(value)),
            _ => {
                let title = "toml::parse_floating: failed to read floating point value from stream";
                fail(Issue::new(title, self.at, "here"))
            }
        }
    }

    fn radix(&mut self, letter: u8, start: usize) -> Parsed<Toml> {
        let (kind, example, expected, base): (_, _, _, u32) = match letter {
            b'x' => ("hex", "0xC0FFEE, 0xdead_beef", "expected hex [0-9a-fA-F]", 16),
            b'o' => ("oct", "0o775, 0o04_44", "expected from `0` to `7`", 8),
            _ => ("bin", "0b0101, 0b1111_0000", "expected 0 or 1", 2),
        };
        let title = format!("toml::parse_{kind}_integer: invalid integer: {kind}_int must be like: {example}");
        if self.at != start {
            return fail(Issue::new(title, start, format!("expected 0{}", char::from(letter))));
        }
        self.at += 2;
        let mut text = String::new();
        let digit: fn(u8) -> bool = match base {
            16 => |b| b.is_ascii_hexdigit(),
            8 => |b| matches!(b, b'0'..=b'7'),
            _ => |b| matches!(b, b'0' | b'1'),
        };
        if self.digits(digit, &mut text) == 0 {
            return fail(Issue::new(title, self.at, expected));
        }
        self.no_underscore("integer", INTEGERS)?;
        match i64::from_str_radix(&text, base) {
            Ok(value) => Ok(Toml::Integer(value)),
            Err(_) => {
                let title = format!("toml::parse_{kind}_integer: too large integer: current max value = 2^63");
                fail(Issue::new(title, self.at, "must be < 2^63"))
            }
        }
    }

    /// Exactly `count` digits.
    fn field(&mut self, count: usize) -> Option<u32> {
        let digits = self.rest().get(..count).filter(|d| d.iter().all(u8::is_ascii_digit))?;
        let value = digits.iter().fold(0, |v, d| v * 10 + u32::from(d - b'0'));
        self.at += count;
        Some(value)
    }

    fn date_time(&mut self) -> Parsed<Toml> {
        let start = self.at;
        let bad = |at: usize| fail(Issue::new("bad date: must be YYYY-MM-DD", at, "here"));
        let Some(year) = self.field(4) else { return bad(start) };
        let month = if self.take(b"-") { self.field(2) } else { None };
        let Some(month) = month else { return bad(self.at) };
        let day = if self.take(b"-") { self.field(2) } else { None };
        let Some(day) = day else { return bad(self.at) };
        if !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
            let title = "toml::parse_local_date: invalid date.";
            let note = "month must be 01-12, day must be any of 01-28,29,30,31 depending on the month/year.";
            return fail(Issue::new(title, start, note));
        }
        let mut out = format!("{year:04}-{month:02}-{day:02}");
        let time_follows = match self.peek() {
            Some(b'T' | b't') => true,
            Some(b' ') => self.rest().get(1).is_some_and(u8::is_ascii_digit),
            _ => false,
        };
        if !time_follows {
            return Ok(Toml::Timestamp(out));
        }
        self.at += 1;
        out.push('T');
        out.push_str(&self.time()?);
        match self.peek() {
            Some(b'Z' | b'z') => {
                self.at += 1;
                out.push('Z');
            }
            Some(sign @ (b'+' | b'-')) => {
                let place = self.at;
                self.at += 1;
                let hours = self.field(2);
                let minutes = if self.take(b":") { self.field(2) } else { None };
                let (Some(hours @ 0..=23), Some(minutes @ 0..=59)) = (hours, minutes) else {
                    return fail(Issue::new("bad offset: must be [+-]HH:MM or Z", place, "here"));
                };
                if hours == 0 && minutes == 0 {
                    out.push('Z');
                } else {
                    out.push_str(&format!("{}{hours:02}:{minutes:02}", char::from(sign)));
                }
            }
            _ => {}
        }
        Ok(Toml::Timestamp(out))
    }

    /// A time; the fraction of a second in groups of three digits.
    fn time(&mut self) -> Parsed<String> {
        let start = self.at;
        let bad = |at: usize| fail(Issue::new("bad time: must be HH:MM:SS.subsec", at, "expected :").hints(TIMES));
        let Some(hour) = self.field(2) else { return bad(self.at) };
        let minute = if self.take(b":") { self.field(2) } else { None };
        let Some(minute) = minute else { return bad(self.at) };
        let second = if self.take(b":") { self.field(2) } else { None };
        let Some(second) = second else { return bad(self.at) };
        if hour > 23 || minute > 59 {
            let title = "toml::parse_local_time: invalid time.";
            return fail(Issue::new(title, start, "hour must be 00-23, minute must be 00-59."));
        }
        if second > 60 {
            let title = "toml::parse_local_time: invalid time.";
            return fail(Issue::new(title, start, "second must be 00-60."));
        }
        let mut out = format!("{hour:02}:{minute:02}:{second:02}");
        if self.peek() == Some(b'.') && self.rest().get(1).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
            let mut digits = String::new();
            while let Some(digit @ b'0'..=b'9') = self.peek() {
                digits.push(char::from(digit));
                self.at += 1;
            }
            digits.truncate(9);
            let digits = format!("{digits:0<9}");
            let length = match digits.trim_end_matches('0').len() {
                0 => 0,
                1..=3 => 3,
                4..=6 => 6,
                _ => 9,
            };
            if length > 0 {
                out.push('.');
                out.push_str(&digits[..length]);
            }
        }
        Ok(out)
    }
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}
