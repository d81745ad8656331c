//! Random input: nothing panics, and the parser and Nix's automaton agree about what a source is.

use nopal_syntax::parser::Options;
use nopal_syntax::report::{Level, Report};
use nopal_syntax::source::{Origin, Source};
use nopal_syntax::{Interner, parse, printer, scope};
use proptest::prelude::*;

/// Pieces of which much can be made that is almost a source.
const PIECES: &[&str] = &[
    "if", "then", "else", "assert", "with", "let", "in", "rec", "inherit", "or", "a", "b", "1", "1.5", ".5", "\"",
    "''", "${", "{", "}", "(", ")", "[", "]", "=", ";", ":", ",", "@", "?", ".", "...", "==", "<", ">", "<=", "&&",
    "||", "->", "//", "++", "+", "-", "*", "/", "!", "./a", "/a/", "~/b", "<c>", "d:e", "\\", "$", "'", "#", "/*",
    "*/", "/**", "|>", "\n", "\r", "\t", "\0", "é", "^", "__curPos",
];

/// Does everything that can be done with a text.
fn exercise(text: &[u8]) {
    let options = Options { pipe_operators: true, ..Options::default() };
    for origin in [Origin::String, Origin::Path(b"/x".to_vec())] {
        let source = Source { origin: &origin, text };
        let mut symbols = Interner::new();
        match parse(text, &mut symbols, &options) {
            Ok(parsed) => {
                let context = printer::Context { symbols: &symbols, base_dir: b"/base", home: b"/home" };
                printer::print(&parsed.ast, &context);
                if let Err(error) = scope::check(&parsed.ast, &symbols, |_| false) {
                    Report::new(Level::Error, &error, &source).render(true);
                }
                for warning in &parsed.warnings {
                    Report::of_warning(warning, &source).render(true);
                }
            }
            Err(error) => {
                let text =
                    String::from_utf8_lossy(&Report::new(Level::Error, &error, &source).render(true)).into_owned();
                // the automaton has words for whatever the parser rejects
                assert!(!text.contains("unexpected lexical error"), "{text}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn bytes_never_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        exercise(&text);
    }

    #[test]
    fn pieces_never_panic(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40), gap in any::<bool>()) {
        exercise(pieces.join(if gap { " " } else { "" }).as_bytes());
    }

    /// What is printed is a source again, and prints the same.
    #[test]
    fn printed_strings_are_read_back(text in proptest::collection::vec(1_u8.., 0..60)) {
        let mut literal = Vec::new();
        printer::print_string(&text, &mut literal);
        let mut symbols = Interner::new();
        let ast = parse(&literal, &mut symbols, &Options::default()).unwrap().ast;
        let context = printer::Context { symbols: &symbols, base_dir: b"/", home: b"/" };
        prop_assert_eq!(printer::print(&ast, &context), literal);
    }
}
