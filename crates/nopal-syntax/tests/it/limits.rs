//! Limits: depth, length, and options that forbid things.

use nopal_syntax::ast::Pos;
use nopal_syntax::diagnostic::Problem;
use nopal_syntax::parser::{Lint, Options, STACK_BYTES_PER_LEVEL};
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
    for (text, option) in [
        ("a/b", Options { short_path_literals: Lint::Warn, ..Options::default() }),
        ("/a/b", Options { absolute_path_literals: Lint::Warn, ..Options::default() }),
        ("~/a", Options { absolute_path_literals: Lint::Warn, ..Options::default() }),
        ("a:b", Options { url_literals: Lint::Warn, ..Options::default() }),
    ] {
        let parsed = parse(text.as_bytes(), &mut Interner::new(), &option).unwrap();
        let [warning] = parsed.warnings.as_slice() else { panic!("{text}: {:?}", parsed.warnings) };
        assert!(warning.to_string().contains("literal"), "{warning}");
        let fatal = |lint| if lint == Lint::Warn { Lint::Fatal } else { lint };
        let option = Options {
            short_path_literals: fatal(option.short_path_literals),
            absolute_path_literals: fatal(option.absolute_path_literals),
            url_literals: fatal(option.url_literals),
            ..option
        };
        assert!(parse(text.as_bytes(), &mut Interner::new(), &option).is_err(), "{text}");
    }
    let strict = Options { short_path_literals: Lint::Fatal, ..Options::default() };
    assert!(parse(b"[ ./a ../a .a/b ]", &mut Interner::new(), &strict).is_ok());
}
