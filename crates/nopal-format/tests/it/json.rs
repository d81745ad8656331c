use nopal_format::json::{Json, MAX_DEPTH, format_float};

/// Left as written in the source, right as Nix's JSON library prints the double.
#[test]
fn prints_floats_as_nix() {
    let cases: [(f64, &str); 18] = [
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (0.0, "0.0"),
        (1.5, "1.5"),
        (100.0, "100.0"),
        (0.1, "0.1"),
        (0.001, "0.001"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (0.000012, "1.2e-05"),
        (123456789.125, "123456789.125"),
        (1e14, "100000000000000.0"),
        (1e15, "1e+15"),
        (1.5e15, "1.5e+15"),
        (1e30, "1e+30"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (5e-324, "5e-324"),
        (-2.5, "-2.5"),
    ];
    for (number, expected) in cases {
        assert_eq!(format_float(number), expected);
    }
}

#[test]
fn strings_round_trip() {
    let text =
        r#"{"a":"q\"b\\n\nr\rt\tb\bf\fä\u0001/\u007f\ud83c\udf35","b":[],"c":{},"d":[1,-2,3.5,true,false,null]}"#;
    let json = Json::parse(text).unwrap();
    let printed = json.to_compact();
    assert_eq!(Json::parse(&printed).unwrap(), json);
    assert!(printed.contains("\\u0001/\u{7f}\u{1f335}"), "{printed}");
    assert_eq!(Json::parse(&json.to_pretty()).unwrap(), json);
}

#[test]
fn refuses_what_is_no_json() {
    let wrong = [
        "",
        "nul",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{a:1}",
        "01",
        "1.",
        "1e",
        "-",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "[1 2]",
        "1 1",
        "\"",
        "{\"a\"}",
        "1e999",
        "+1",
        ".5",
        "\"\\u+123\"",
    ];
    for text in wrong {
        assert!(Json::parse(text).is_err(), "{text}");
    }
    assert!(Json::parse(&"[".repeat(100_000)).is_err());
    let deep = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert!(Json::parse(&deep).is_ok());
}
