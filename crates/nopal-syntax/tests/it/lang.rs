//! The cases of `tests/lang/parse`: `NAME.nix` and what `nix-instantiate --parse -` says to it on standard output
//! (`NAME.exp`) or on standard error (`NAME.err`).

use std::fs;
use std::path::Path;

use nopal_syntax::report::{Level, Report};
use nopal_syntax::source::{Origin, Source};
use nopal_syntax::{Interner, Symbol, parse, parser, printer, scope};
use nopal_test::{Cases, Outcome};

/// The names that the cases expect to be bound everywhere.
const GLOBALS: &[&[u8]] = &[
    b"__findFile",
    b"__nixPath",
    b"__sub",
    b"__mul",
    b"__div",
    b"__lessThan",
    b"builtins",
    b"true",
    b"false",
    b"null",
];

#[test]
fn parse_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/lang/parse");
    Cases::new(folder, "nix", &["exp", "err"]).check(|case| {
        // not all cases are UTF-8
        let text = fs::read(&case.path).unwrap();
        let (extension, output) = parse_like_nix(&text);
        Outcome { extension, text: String::from_utf8_lossy(&output).into_owned() }
    });
}

fn parse_like_nix(text: &[u8]) -> (&'static str, Vec<u8>) {
    let mut symbols = Interner::new();
    let globals: Vec<Symbol> = GLOBALS.iter().map(|name| symbols.intern(name)).collect();
    let source = Source { origin: &Origin::Stdin, text };
    let mut warnings = Vec::new();
    let checked = parse(text, &mut symbols, &parser::Options::default()).and_then(|parsed| {
        warnings.clone_from(&parsed.warnings);
        scope::check(&parsed.ast, &symbols, |name| globals.contains(&name))?;
        Ok(parsed.ast)
    });
    match checked {
        Ok(ast) => {
            let context = printer::Context { symbols: &symbols, base_dir: b"/base", home: b"/home/me" };
            let mut out = printer::print(&ast, &context);
            out.push(b'\n');
            ("exp", out)
        }
        Err(error) => {
            let mut out = Vec::new();
            for warning in error.warnings.iter().chain(&warnings) {
                out.extend(Report::of_warning(warning, &source).render(false));
            }
            out.extend(Report::new(Level::Error, &error, &source).render(false));
            ("err", out)
        }
    }
}
