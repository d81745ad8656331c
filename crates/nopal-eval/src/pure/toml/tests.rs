use super::*;

fn read(text: &str) -> String {
    fn show(value: &Toml) -> String {
        match value {
            Toml::String(s) => format!("{s:?}"),
            Toml::Integer(i) => i.to_string(),
            Toml::Float(f) => format!("{f:?}"),
            Toml::Boolean(b) => b.to_string(),
            Toml::Timestamp(t) => format!("<{t}>"),
            Toml::Array(list) => format!("[{}]", list.iter().map(show).collect::<Vec<_>>().join(" ")),
            Toml::Table(table) => {
                let members: Vec<String> = table.iter().map(|(k, v)| format!("{k}={}", show(v))).collect();
                format!("{{{}}}", members.join(" "))
            }
        }
    }
    match parse(text.as_bytes()) {
        Ok(value) => show(&value),
        Err(error) => error.0,
    }
}

#[test]
fn values() {
    for (text, expected) in [
        ("a = 1 # c", "{a=1}"),
        ("a=1\r\nb=2", "{a=1 b=2}"),
        ("a = [\n1, # x\n2, ]", "{a=[1 2]}"),
        ("a = \"\"\"a\\\n   b\"\"\"", "{a=\"ab\"}"),
        ("a = \"\"\"\"x\"\"\"\"", "{a=\"\\\"x\\\"\"}"),
        ("a = { b = { c = 1 }, d.e = 2 }", "{a={b={c=1} d={e=2}}}"),
        ("[fruit]\napple.color = 1\n[fruit.apple.taste]", "{fruit={apple={color=1 taste={}}}}"),
        ("[a.b]\nx=1\n[a]\ny=2\n[a.c]", "{a={b={x=1} y=2 c={}}}"),
        ("[[a.b]]\n[a]\nx=1", "{a={b=[{}] x=1}}"),
        ("[[a]]\nx=1\n[[a]]\nx=2\n[a.b]", "{a=[{x=1} {x=2 b={}}]}"),
        ("x=1[a]\ny=2 [[b]]\nz=3[[b]]", "{x=1 a={y=2} b=[{z=3} {}]}"),
        ("a = 0xFF_ff\nb = 0o17\nc = 0b101\nd = 1_000\ne = -0", "{a=65535 b=15 c=5 d=1000 e=0}"),
        ("a = 1e3\nb = -1.5\nc = inf\nd = 6.626e-34", "{a=1000.0 b=-1.5 c=inf d=6.626e-34}"),
        (
            "a = 1979-05-27 00:32:00.9-07:00\nb = 07:32:00\nc = 1979-05-27\nd = 1979-05-27T07:32:00.123456Z",
            "{a=<1979-05-27T00:32:00.900-07:00> b=<07:32:00> c=<1979-05-27> d=<1979-05-27T07:32:00.123456Z>}",
        ),
        (
            "a = 1979-05-27T07:32:00+24:60\nb = 1979-05-27T07:32:00-00:60",
            "{a=<1979-05-27T07:32:00+25:00> b=<1979-05-27T07:32:00-01:00>}",
        ),
        ("\u{feff}'a b' = 'c\\d'", "{a b=\"c\\\\d\"}"),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

/// First lines of messages of Nix 2.34.8.
#[test]
fn titles_of_errors() {
    for (text, expected) in [
        ("a = 1\na = 2", "toml::insert_value: failed to insert a value, value already exists"),
        ("a = ", "bad format: unknown value appeared"),
        ("[a]\n[a]", "toml::insert_value: failed to insert a table, table already defined"),
        ("a = 00", "bad integer: leading zero"),
        ("a = 01", "bad integer: invalid digit after an integer"),
        ("a = 1.", "bad float: invalid format"),
        ("a = 0x1.5", "bad float: invalid format"),
        ("a = 0_1", "bad integer: leading zero is not allowed in decimal int"),
        ("a = 9-", "bad datetime: invalid format"),
        ("a = 2020-1-1", "bad datetime: invalid format"),
        ("a = 2020-01-012", "bad datetime: missing T or space"),
        ("a = 2020-01-01 1:00:00", "bad time: must be HH:MM:SS.subsec"),
        ("a = 2020-01-01T10:20:30+1:00", "bad offset: must be [+-]HH:MM or Z"),
        (
            "a = 2020-01-01T10:20:30+25:00",
            "toml::parse_offset_datetime: too large offset: |hour| <= 24, |minute| <= 60",
        ),
        ("a = +nf", "bad format: unknown value appeared"),
        ("[a.b]\n[a]\nb.c = 1", "toml::insert_value: reopening a table using dotted keys"),
        ("a = [{}]\n[[a]]", "toml::insert_value: failed to insert a table, inline array of tables is immutable"),
        ("a = [{}]\n[a.b]", "toml::insert_value:inline array of tables are immutable"),
        ("[\"a]", "toml::parse_file: invalid table key"),
        ("a = \"\\e\"", "toml::parse_basic_string: invalid string format"),
        ("a = {}\na.b = 1", "toml::insert_value: failed to insert a value: inline table is immutable"),
        ("a = { b = 1, }", "toml::parse_inline_table: trailing comma is not allowed in TOML-v1.0.0)"),
        ("a = 1979-02-30", "toml::parse_local_date: invalid date."),
        ("a = 1 b = 2", "toml::parse_table: newline (LF / CRLF) or EOF is expected"),
        ("[a", "toml::parse_file: invalid table key"),
    ] {
        let message = read(text);
        assert_eq!(message.lines().next(), Some(&*format!("[error] {expected}")), "{text}");
    }
}

#[test]
fn layout_of_errors() {
    assert_eq!(
        read("attr = 9223372036854775808"),
        "[error] toml::parse_dec_integer: too large integer: current max digits = 2^63\n --> fromTOML\n   |\n 1 | attr = \
         9223372036854775808\n   |                           ^-- must be < 2^63\n"
    );
    assert_eq!(
        read("a = 1\na = 2"),
        "[error] toml::insert_value: failed to insert a value, value already exists\n --> fromTOML\n   |\n 2 | a = 2\n   \
         | ^-- inserting this\n   | ...\n   |\n 1 | a = 1\n   |     ^-- but value already exists\n"
    );
    assert_eq!(
        read("text = \"a long line is cut off before\", and = behind the place that is meant"),
        "[error] toml::parse_table: newline (LF / CRLF) or EOF is expected\n --> fromTOML\n   |\n 1 | ... a long line is \
         cut off before\", and = behind the place that  ...\n   |                                   ^-- here\n"
    );
    assert_eq!(
        read("a = '\t'\r\nb = \"\\uD800.\""),
        "[error] toml::parse_utf8_codepoint: [0xD800, 0xDFFF] is not a valid UTF-8\n --> internal temporary\n   |\n 1 | \
         \\uD800.\n   |  ^^^^^-- here\n"
    );
}

/// All first lines of messages of Nix 2.34.8: reading goes on where toml11 does.
#[test]
fn errors_after_errors() {
    let newline = "toml::parse_table: newline (LF / CRLF) or EOF is expected";
    let unknown = "bad format: unknown value appeared";
    let unclosed = "toml::parse_array: missing closing bracket `]`";
    let digit = "bad integer: invalid digit after an integer";
    for (text, expected) in [
        ("a = 01\nb = 02\n", &[digit, digit] as &[_]),
        ("a = 1 x\nb = 2 y\n[t]\nc = 3 z\nd = 07Z\n[u]\ne = 1 q", &[newline, newline, newline]),
        // a header behind an empty line is passed over
        ("a = 07Z\nb = 2 y\nc = 01\n\n  [t]\nc = 3 z\n", &[digit, newline]),
        ("a = [1_, 2020-01-01 1:00]", &["bad integer: `_` must be surrounded by digits", unknown, unclosed]),
        ("a = [24:00:00, +0]", &["toml::parse_local_time: invalid time.", unclosed]),
        ("a = [1_0, -o42]", &[unknown, unknown]),
        ("a = { b = .5, c = ? }", &["bad float: integer part is required before decimal point"]),
        ("a = [[1 [2 = 3]]]", &["toml::parse_array: expected value-separator `,` or closing `]`", unknown, unknown]),
        ("a = 1\n[a.b]\nc = 01", &["toml::insert_value: failed to insert a value, value already exists", digit]),
    ] {
        let found = read(text);
        let titles: Vec<_> = found.split("[error] ").skip(1).filter_map(|shown| shown.lines().next()).collect();
        assert_eq!(titles, expected, "{text}");
    }
}

/// toml11 reads the second line forever.
#[test]
fn every_document_ends() {
    assert!(read("a = [\n[1 [2 = 3]\n").starts_with("[error] toml::parse_array: expected value-separator"));
}

#[test]
fn deep_nesting_ends_in_an_error() {
    assert!(read(&("a = ".to_owned() + &"[".repeat(100_000))).contains("nested too deeply"));
}
