use super::*;

fn full(pattern: &str, text: &str) -> String {
    let mut cache = RegexCache::default();
    match cache.get(pattern.as_bytes()) {
        Err(RegexError::Invalid { .. }) => "invalid".into(),
        Err(RegexError::Space { .. }) => "space".into(),
        Ok(regex) => match regex.full_match(text.as_bytes(), &mut Scratch::default()) {
            Err(_) => "space".into(),
            Ok(None) => "null".into(),
            Ok(Some(groups)) => show(&groups[1..], text),
        },
    }
}

fn show(groups: &[Option<Range<usize>>], text: &str) -> String {
    let shown: Vec<String> = groups
        .iter()
        .map(|g| match g {
            None => "-".to_owned(),
            Some(r) => String::from_utf8_lossy(&text.as_bytes()[r.clone()]).into_owned(),
        })
        .collect();
    format!("[{}]", shown.join(","))
}

fn split(pattern: &str, text: &str) -> String {
    let regex = Regex::new(pattern.as_bytes()).unwrap();
    let mut scratch = Scratch::default();
    let mut matches = regex.matches(text.as_bytes());
    let mut out = String::new();
    let mut at = 0;
    while let Some(groups) = matches.next_match(&mut scratch).unwrap() {
        let whole = groups[0].clone().unwrap();
        out += &format!("<{}>{}", &text[at..whole.start], show(&groups[1..], text));
        at = whole.end;
    }
    out + &format!("<{}>", &text[at..])
}

/// Pattern, text, result of Nix 2.34.8 (groups; `-` for null).
#[test]
fn full_matches_equal_nix() {
    for (pattern, text, expected) in [
        ("(a|ab)(c|bcd)(d*)", "abcd", "[a,bcd,]"),
        ("(a*)*", "aaa", "[]"),
        ("((a)|b)*", "ab", "[b,a]"),
        ("((a*)(b*))*", "abab", "[,,]"),
        ("(a?)(ab)?", "ab", "[,ab]"),
        ("(a|b*)*", "ab", "[]"),
        ("a{49990}", "a", "null"),
        ("a{99995}", "a", "space"),
        ("(a{1,1000}){1,1000}", "a", "space"),
        ("(a){50000}", "a", "space"),
        ("a{1,2}{2}", "aaa", "[]"),
        ("a**", "aaa", "[]"),
        ("a||b", "", "[]"),
        ("[]a]", "]", "[]"),
        ("[a-]", "-", "[]"),
        ("[%--]", "-", "[]"),
        ("[[:w:]]", "_", "[]"),
        ("[[=a=]]", "A", "[]"),
        ("[[.hyphen.]]", "-", "[]"),
        ("a^b", "a^b", "null"),
        ("(.*)", "a\nb", "[a\nb]"),
        ("a}", "a}", "[]"),
        (".", "\u{e9}", "null"),
        ("(a)|(b)", "b", "[-,b]"),
    ] {
        assert_eq!(full(pattern, text), expected, "{pattern} on {text}");
    }
}

#[test]
fn bad_patterns_are_rejected() {
    for pattern in [
        "\\]",
        "\\}",
        "\\d",
        "\\",
        "*a",
        "a|*",
        "(*a)",
        "{1}",
        ")",
        "(",
        "[a",
        "[a-c-e]",
        "[b-a]",
        "\\1",
        "a{,2}",
        "a{2,1}",
        "a{x}",
        "a{",
        "a{4294967297}",
        "[[:foo:]]",
        "[a-\u{e9}]",
        "[[.-.]]",
        "[[:alpha",
        "a{1",
        "[",
        "[^",
    ] {
        assert_eq!(full(pattern, ""), "invalid", "{pattern}");
    }
}

#[test]
fn searches_equal_nix() {
    for (pattern, text, expected) in [
        ("(a|ab)", "xabx", "<x>[ab]<x>"),
        ("", "abc", "<>[]<a>[]<b>[]<c>[]<>"),
        ("^a", "aaa", "<>[]<aa>"),
        ("a*", "baac", "<>[]<b>[]<>[]<c>[]<>"),
        ("$", "abc", "<abc>[]<>"),
        ("(b*)", "abbc", "<>[]<a>[bb]<>[]<c>[]<>"),
        ("(ab|a)(bc)?", "abcabc", "<>[a,bc]<>[a,bc]<>"),
        ("(a*)*", "baab", "<>[]<b>[]<>[]<b>[]<>"),
    ] {
        assert_eq!(split(pattern, text), expected, "{pattern} on {text}");
    }
}

#[test]
fn hard_patterns_end() {
    let text = "a".repeat(1000);
    for pattern in ["(a|aa|a*)*b", "(a*)*b", "((a?)*(a*)*)*b", "(.*)(.*)(.*)(.*)(.*)x", "((((a*)*)*)*)*b"] {
        assert_eq!(full(pattern, &text), "null", "{pattern}");
        assert_eq!(split(pattern, &text), format!("<{text}>"), "{pattern}");
    }
}

#[test]
fn deep_nesting_does_not_recurse() {
    let n = 20_000;
    let pattern = "(".repeat(n) + "a" + &")".repeat(n);
    assert!(full(&pattern, "a").starts_with("[a,a"));
    assert_eq!(full(&"(".repeat(200_000), ""), "space");
}
