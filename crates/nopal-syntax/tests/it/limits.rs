//! Limits: depth, length, and options that forbid things.

use nopal_syntax::ast::Pos;
use nopal_syntax::diagnostic::Problem;
use nopal_syntax::parser::{Lint, Options, STACK_BYTES_PER_LEVEL};
use nopal_syntax::source::{Origin, Source};
use nopal_syntax::{Interner, parse, printer, scope};

/// Everything that makes the parser go down a level.
const BRACKETS: [(&str, &str); 10] = [
    ("(", ")"),
    ("[", "]"),
    ("{a=", ";}"),
    ("rec{a=", ";}"),
    ("let a=", "; in a"),
    ("\"${", "}\""),
    ("''${", "}''"),
    ("./a${", "}"),
    ("{a?", "}: 1"),
    ("x.y or ", ""),
];

fn problem(text: &str, options: &Options) -> Problem {
    parse(text.as_bytes(), &mut Interner::new(), options).unwrap_err().problem
}

#[test]
fn brackets_nest_up_to_the_limit() {
    let options = Options::default();
    for (open, close) in BRACKETS {
        let nested = |depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
        for depth in [1000, 100_000] {
            let found = problem(&nested(depth), &options);
            assert!(matches!(found, Problem::TooDeep { limit } if limit == options.max_depth), "{open}: {found:?}");
        }
    }
    let nested = "(".repeat(500) + "1" + &")".repeat(500);
    assert!(parse(nested.as_bytes(), &mut Interner::new(), &options).is_ok());
}

#[test]
fn a_level_takes_the_stack_that_is_promised() {
    let options = Options { max_depth: 2000, ..Options::default() };
    let stack = options.max_depth as usize * STACK_BYTES_PER_LEVEL;
    for (open, close) in BRACKETS {
        let text = open.repeat(2000) + "1" + &close.repeat(2000);
        let parse = move || parse(text.as_bytes(), &mut Interner::new(), &options).is_ok();
        assert!(std::thread::Builder::new().stack_size(stack).spawn(parse).unwrap().join().unwrap(), "{open}");
    }
}

#[test]
fn chains_have_no_limit() {
    for (link, end) in [
        ("1 + ", "1"),
        ("1 -> ", "1"),
        ("x ++ ", "x"),
        ("x: ", "x"),
        ("if x then x else ", "x"),
        ("with x; ", "x"),
        ("! ", "x"),
        ("- ", "1"),
    ] {
        let text = "x: ".to_owned() + &link.repeat(30_000) + end;
        let mut symbols = Interner::new();
        let ast = parse(text.as_bytes(), &mut symbols, &Options::default()).unwrap().ast;
        assert!(scope::check(&ast, &symbols, |_| true).is_ok());
        let context = printer::Context { symbols: &symbols, base_dir: b"/", home: b"/" };
        assert!(printer::print(&ast, &context).len() > text.len(), "{link}");
    }
}

/// Runs of characters that might begin a path or a URI at every byte are looked at once, not once for every byte.
#[test]
fn long_runs_take_linear_time() {
    for unit in ["a.", "a-", "1.", "a+"] {
        let text = "x: ".to_owned() + &unit.repeat(50_000);
        // whatever it is, it comes to an end
        let _ = parse(text.as_bytes(), &mut Interner::new(), &Options::default());
    }
    let text = "{ ".to_owned() + &"a.b.c = { }; a.b = { }; ".repeat(2_000) + "}";
    assert!(parse(text.as_bytes(), &mut Interner::new(), &Options::default()).is_ok());
}

#[test]
fn pure_evaluation_has_no_home() {
    let options = Options { pure_eval: true, ..Options::default() };
    let error = parse(b"~/a", &mut Interner::new(), &options).unwrap_err();
    assert_eq!(error.problem, Problem::HomePathInPureMode(b"~/a".to_vec()));
    assert_eq!(error.pos, Pos::NONE);
}

#[test]
fn pipes_are_operators_behind_an_option() {
    let options = Options { pipe_operators: true, ..Options::default() };
    for (text, expected) in [
        ("f: g: x: x |> f |> g 1", "(f: (g: (x: (g 1 (f x)))))"),
        ("f: g: x: g 1 <| f <| x", "(f: (g: (x: (g 1 (f x)))))"),
        ("f: x: 1 + x |> f", "(f: (x: (f (1 + x))))"),
    ] {
        let mut symbols = Interner::new();
        let ast = parse(text.as_bytes(), &mut symbols, &options).unwrap().ast;
        let context = printer::Context { symbols: &symbols, base_dir: b"/", home: b"/" };
        assert_eq!(String::from_utf8_lossy(&printer::print(&ast, &context)), expected);
    }
    assert!(matches!(problem("a: a |> a <| a", &options), Problem::Unexpected { found: "'<|'", .. }));
}

#[test]
fn lints_warn_or_fail() {
    let portable =
        "Consider replacing path literal '{}' by a string, relative path, or parameter (lint-absolute-path-literals)";
    let absolute = |text: &str| format!("absolute path literals are not portable. {}", portable.replace("{}", text));
    let home = |text: &str| format!("home path literals are not portable. {}", portable.replace("{}", text));
    let short =
        "relative path literal 'a/b' should be prefixed with '.' for clarity: './a/b' (lint-short-path-literals)";
    let url = "URL literals are discouraged. Consider using a string literal \"a:b\" instead (lint-url-literals)";
    let none = Options::default();
    for (text, expected, warn, fatal) in [
        (
            "a/b",
            short.to_owned(),
            Options { short_path_literals: Lint::Warn, ..none },
            Options { short_path_literals: Lint::Fatal, ..none },
        ),
        (
            "/a/b",
            absolute("/a/b"),
            Options { absolute_path_literals: Lint::Warn, ..none },
            Options { absolute_path_literals: Lint::Fatal, ..none },
        ),
        (
            "~/a",
            home("~/a"),
            Options { absolute_path_literals: Lint::Warn, ..none },
            Options { absolute_path_literals: Lint::Fatal, ..none },
        ),
        (
            "a:b",
            url.to_owned(),
            Options { url_literals: Lint::Warn, ..none },
            Options { url_literals: Lint::Fatal, ..none },
        ),
    ] {
        let source = Source { origin: &Origin::String, text: text.as_bytes() };
        let parsed = parse(text.as_bytes(), &mut Interner::new(), &warn).unwrap();
        let messages: Vec<_> = parsed.warnings.iter().map(|warning| warning.message(&source)).collect();
        assert_eq!(messages, [expected.as_bytes()], "{text}");
        let error = parse(text.as_bytes(), &mut Interner::new(), &fatal).unwrap_err();
        assert_eq!(error.message(&source), expected.replace("discouraged", "disallowed").as_bytes(), "{text}");
    }
    let strict = Options { short_path_literals: Lint::Fatal, ..none };
    assert!(parse(b"[ ./a ../a .a/b ]", &mut Interner::new(), &strict).is_ok());
}
