//! Numbers, dates and times.

use super::scan::{Parsed, Parser, fail};
use super::{Issue, Toml};

const INTEGERS: &str = "\
Hint: valid  : -42, 1_000, 1_2_3_4_5, 0xC0FFEE, 0b0010, 0o755
Hint: invalid: _42, 1__000, 0123
";
const FLOATS: &str = "\
Hint: valid  : +1.0, -2e-2, 3.141_592_653_589, inf, nan
Hint: invalid: .0, 1., _1.0, 1.0_, 1_.0, 1.0__0
";
const TIMES: &str = "\
Hint: valid  : 1979-05-27T07:32:00, 1979-05-27 07:32:00.999999
Hint: invalid: 1979-05-27T7:32:00, 1979-05-27 17:32
";
const OFFSETS: &str = "\
Hint: valid  : +09:00, -05:30
Hint: invalid: +9:00,  -5:30
";
/// Without a line feed.
const DATE_TIMES: &str = "\
Hint: valid  : 1979-05-27T07:32:00-07:00, 1979-05-27 07:32:00.999999Z
Hint: invalid: 1979-05-27T7:32:00-7:00, 1979-05-27 7:32-00:30";

/// Digits (`d`) and what stands between them.
const DATE: &str = "dddd-dd-dd";
const TIME: &str = "dd:dd:dd";
const OFFSET: &str = "dd:dd";

/// A number as far as its text says.
enum Number {
    Integer(i64),
    Float(String),
    /// Infinite, or none.
    Special(f64),
}

impl Parser<'_> {
    /// What it is is guessed by its form, as toml11 does: a date or time, or else a number.
    pub(super) fn number_or_date(&mut self) -> Parsed<Toml> {
        let start = self.at;
        if self.form(start, DATE).is_ok() {
            return self.date_time();
        }
        if self.form(start, TIME).is_ok() {
            return self.time().map(Toml::Timestamp);
        }
        match self.number() {
            Ok(Number::Integer(value)) => Ok(Toml::Integer(value)),
            Ok(Number::Special(value)) => Ok(Toml::Float(value)),
            Ok(Number::Float(text)) => match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(Toml::Float(value)),
                _ => {
                    let title = "toml::parse_floating: failed to read floating point value from stream";
                    fail(Issue::new(title, self.at, "here"))
                }
            },
            Err(issue) => {
                self.at = start;
                Err(issue)
            }
        }
    }

    /// The end of a text of this form from a place on; or where it ends, and what is expected there.
    fn form(&self, from: usize, form: &str) -> Result<usize, (usize, String)> {
        for (at, expected) in (from..).zip(form.bytes()) {
            let byte = self.text.get(at).copied();
            match expected {
                b'd' if byte.is_some_and(|byte| byte.is_ascii_digit()) => {}
                b'd' => return Err((at, "digit [0-9]".to_owned())),
                _ if byte == Some(expected) => {}
                _ => return Err((at, char::from(expected).to_string())),
            }
        }
        Ok(from + form.len())
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

    fn number(&mut self) -> Parsed<Number> {
        let start = self.at;
        let mut text = String::new();
        if let Some(sign @ (b'+' | b'-')) = self.peek() {
            self.at += 1;
            if sign == b'-' {
                text.push('-');
            }
        }
        let is_signed = self.at > start;
        for (word, value) in [("inf", f64::INFINITY), ("nan", f64::NAN)] {
            if self.take(word.as_bytes()) {
                self.no_underscore("float", FLOATS)?;
                return Ok(Number::Special(if text.is_empty() { value } else { -value }));
            }
        }
        match self.peek() {
            Some(b'i' | b'I' | b'n' | b'N') if !is_signed => {
                let word = if matches!(self.peek(), Some(b'i' | b'I')) { "inf" } else { "nan" };
                let title =
                    format!("toml::parse_value: `{word}` must be in lowercase. A string must be surrounded by quotes.");
                return fail(Issue::new(title, start, "expected from `1` to `9` or digit [0-9] or inf or nan"));
            }
            Some(b'_') if !is_signed => {
                let title = "bad number: `_` must be surrounded by digits";
                return fail(Issue::new(title, self.at, "digits required before `_`").hints(INTEGERS));
            }
            Some(b'.') if !is_signed => {
                let title = "bad float: integer part is required before decimal point";
                return fail(Issue::new(title, self.at, "missing integer part").hints(FLOATS));
            }
            Some(b'0') => {
                if let Some(radix @ (b'x' | b'o' | b'b')) = self.rest().get(1).copied() {
                    return self.radix(radix, start);
                }
                self.at += 1;
                text.push('0');
                if self.peek() == Some(b'_') {
                    let title = "bad integer: leading zero is not allowed in decimal int";
                    return fail(Issue::new(title, self.at, "leading zero").hints(INTEGERS));
                }
            }
            Some(b'1'..=b'9') => {
                self.digits(|b| b.is_ascii_digit(), &mut text);
            }
            _ => return fail(Issue::new("bad format: unknown value appeared", start, "here")),
        }
        if self.float_follows(&mut text) {
            self.no_underscore("float", FLOATS)?;
            return Ok(Number::Float(text));
        }
        self.integer_ends()?;
        match text.parse() {
            Ok(value) => Ok(Number::Integer(value)),
            Err(_) => {
                let title = "toml::parse_dec_integer: too large integer: current max digits = 2^63";
                fail(Issue::new(title, self.at, "must be < 2^63"))
            }
        }
    }

    /// Sees to it that an integer ends where its digits do.
    fn integer_ends(&self) -> Parsed<()> {
        self.no_underscore("integer", INTEGERS)?;
        match self.peek() {
            Some(b'0') => {
                let issue = Issue::new("bad integer: leading zero", self.at - 1, "leading zero is not allowed");
                fail(issue.hints(INTEGERS))
            }
            Some(b'1'..=b'9') => {
                let title = "bad integer: invalid digit after an integer";
                fail(Issue::new(title, self.at, "this digit is not allowed").hints(INTEGERS))
            }
            Some(b':' | b'-') => fail(Issue::new("bad datetime: invalid format", self.at, "here").hints(DATE_TIMES)),
            Some(b'.' | b'e' | b'E') => fail(Issue::new("bad float: invalid format", self.at, "here").hints(FLOATS)),
            _ => Ok(()),
        }
    }

    fn no_underscore(&self, kind: &str, hints: &'static str) -> Parsed<()> {
        if self.peek() != Some(b'_') {
            return Ok(());
        }
        let title = format!("bad {kind}: `_` must be surrounded by digits");
        fail(Issue::new(title, self.at, "invalid underscore").hints(hints))
    }

    /// Takes a fraction and an exponent, if there is one of them.
    fn float_follows(&mut self, text: &mut String) -> bool {
        let start = self.at;
        let is_digit = |byte: u8| byte.is_ascii_digit();
        if self.rest().get(1).is_some_and(u8::is_ascii_digit) && self.take(b".") {
            text.push('.');
            self.digits(is_digit, text);
        }
        if let [b'e' | b'E', rest @ ..] = self.rest() {
            let sign = rest.first().filter(|sign| matches!(sign, b'+' | b'-'));
            let digits = rest.get(usize::from(sign.is_some()));
            if digits.is_some_and(u8::is_ascii_digit) {
                self.at += 1 + usize::from(sign.is_some());
                text.push('e');
                text.extend(sign.map(|sign| char::from(*sign)));
                self.digits(is_digit, text);
            }
        }
        self.at > start
    }

    fn radix(&mut self, letter: u8, start: usize) -> Parsed<Number> {
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
        self.integer_ends()?;
        match i64::from_str_radix(&text, base) {
            Ok(value) => Ok(Number::Integer(value)),
            Err(_) => {
                let title = format!("toml::parse_{kind}_integer: too large integer: current max value = 2^63");
                fail(Issue::new(title, self.at, "must be < 2^63"))
            }
        }
    }

    /// Numbers of a text whose form was seen, with one byte between them.
    fn fields<const N: usize>(&mut self, form: &str) -> [u32; N] {
        let text = &self.text[self.at..self.at + form.len()];
        self.at += form.len();
        let mut fields = text.split(|byte| !byte.is_ascii_digit());
        std::array::from_fn(|_| {
            fields.next().unwrap_or_default().iter().fold(0, |n, digit| n * 10 + u32::from(digit - b'0'))
        })
    }

    /// The form of what follows a date: whether that is a time.
    fn is_time_next(&self, from: usize) -> Parsed<bool> {
        let at = match self.text.get(from..).unwrap_or_default() {
            [b'T' | b't', ..] | [b' ', b'0'..=b'9', ..] => from + 1,
            [b'0'..=b'9', ..] => {
                let title = "bad datetime: missing T or space";
                return fail(Issue::new(title, from, "expected T, t, or 0x20(SPACE)").hints(TIMES));
            }
            _ => return Ok(false),
        };
        let end = self.form(at, TIME).or_else(|(place, expected)| {
            let title = "bad time: must be HH:MM:SS.subsec";
            fail(Issue::new(title, place, format!("expected {expected}")).hints(TIMES))
        })?;
        let end = end + self.fraction(end).map_or(0, |digits| 1 + digits.len());
        if let Some(b'+' | b'-') = self.text.get(end)
            && let Err((place, expected)) = self.form(end + 1, OFFSET)
        {
            let title = "bad offset: must be [+-]HH:MM or Z";
            return fail(Issue::new(title, place, format!("expected z or Z or {expected}")).hints(OFFSETS));
        }
        Ok(true)
    }

    /// The digits of a fraction of a second that begins at a place.
    fn fraction(&self, from: usize) -> Option<&[u8]> {
        let digits = self.text.get(from..)?.strip_prefix(b".")?;
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then(|| &digits[..count])
    }

    /// A date, and perhaps a time. The form of the date was seen.
    fn date_time(&mut self) -> Parsed<Toml> {
        let start = self.at;
        let is_time_next = self.is_time_next(start + DATE.len())?;
        let [year, month, day] = self.fields(DATE);
        if !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
            let title = "toml::parse_local_date: invalid date.";
            let note = "month must be 01-12, day must be any of 01-28,29,30,31 depending on the month/year.";
            return fail(Issue::new(title, start, note));
        }
        let mut out = format!("{year:04}-{month:02}-{day:02}");
        if !is_time_next {
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
                self.at += 1;
                let [hours, minutes] = self.fields(OFFSET);
                if hours > 24 || minutes > 60 {
                    let title = "toml::parse_offset_datetime: too large offset: |hour| <= 24, |minute| <= 60";
                    return fail(Issue { length: self.at - start, ..Issue::new(title, start, "here") });
                }
                match 60 * hours + minutes {
                    0 => out.push('Z'),
                    offset => out.push_str(&format!("{}{:02}:{:02}", char::from(sign), offset / 60, offset % 60)),
                }
            }
            _ => {}
        }
        Ok(Toml::Timestamp(out))
    }

    /// A time, whose form was seen; the fraction of a second in groups of three digits.
    fn time(&mut self) -> Parsed<String> {
        let start = self.at;
        let [hour, minute, second] = self.fields(TIME);
        let invalid = |note| fail(Issue::new("toml::parse_local_time: invalid time.", start, note));
        if hour > 23 || minute > 59 {
            return invalid("hour must be 00-23, minute must be 00-59.");
        }
        if second > 60 {
            return invalid("second must be 00-60.");
        }
        let mut out = format!("{hour:02}:{minute:02}:{second:02}");
        let Some(digits) = self.fraction(self.at) else { return Ok(out) };
        let length = 1 + digits.len();
        let mut digits = String::from_utf8_lossy(&digits[..digits.len().min(9)]).into_owned();
        digits.truncate(digits.trim_end_matches('0').len());
        if !digits.is_empty() {
            let width = digits.len().next_multiple_of(3);
            out.push_str(&format!(".{digits:0<width$}"));
        }
        self.at += length;
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
