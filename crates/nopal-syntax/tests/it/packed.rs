//! Units and packed trees, of all sources in `tests/lang` that parse.

use std::fs;
use std::path::Path;

use nopal_syntax::diagnostic::Problem;
use nopal_syntax::parser::{Options, Parsed};
use nopal_syntax::units::{self, Finder, Units};
use nopal_syntax::{Interner, packed, parse, printer, scope};

/// Calls `work` with each source that parses.
fn each_source(mut work: impl FnMut(&Path, &[u8], &Parsed, &Interner)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/lang");
    let mut count = 0;
    for folder in [folder.join("parse"), folder] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "nix") {
                continue;
            }
            let text = fs::read(&path).unwrap();
            let mut symbols = Interner::new();
            if let Ok(parsed) = parse(&text, &mut symbols, &Options::default()) {
                work(&path, &text, &parsed, &symbols);
                count += 1;
            }
        }
    }
    assert!(count > 100, "{count} sources");
}

/// Everything that nothing binds is global.
fn lenient(parsed: &Parsed, symbols: &Interner) -> Units {
    let mut bound = vec![true; symbols.len()];
    while let Err(diagnostic) = scope::check(&parsed.ast, symbols, |name| !bound[name.index()]) {
        let Problem::UndefinedVariable(name) = diagnostic.problem else { panic!("{diagnostic}") };
        bound[symbols.lookup(&name).unwrap().index()] = false;
    }
    units::find(&parsed.ast, symbols, &mut Finder::default(), |name| !bound[name.index()]).unwrap()
}

#[test]
fn unbound_variables_are_those_of_the_check() {
    let mut finder = Finder::default();
    each_source(|path, _, parsed, symbols| {
        for all in [false, true] {
            let found = units::find(&parsed.ast, symbols, &mut finder, |_| all);
            let checked = scope::check(&parsed.ast, symbols, |_| all);
            assert_eq!(found.is_ok(), checked.is_ok(), "{}", path.display());
        }
    });
}

#[test]
fn packed_trees_are_those_that_were_parsed() {
    each_source(|path, text, parsed, symbols| {
        let units = lenient(parsed, symbols);
        // other names come first, as in another evaluation
        let mut others = Interner::new();
        for name in [b"zzz".as_slice(), b"x", b"b", b"a"] {
            others.intern(name);
        }
        let mut again = others.clone();
        let bytes = packed::pack(&parsed.ast, &units, &parsed.names, symbols);
        let (ast, unpacked) = packed::unpack(&bytes, &mut again).unwrap();
        let parsed = parse(text, &mut others, &Options::default()).unwrap();
        assert_eq!(ast.len(), parsed.ast.len(), "{}", path.display());
        let print = |ast, symbols| printer::print(ast, &printer::Context { symbols, base_dir: b"/", home: b"/" });
        assert_eq!(print(&ast, &again), print(&parsed.ast, &others), "{}", path.display());
        let names = |symbols: &Interner| -> Vec<Vec<u8>> {
            let symbol = nopal_syntax::Symbol::from_index;
            (0..symbols.len()).map(|index| symbols.get(symbol(index)).to_vec()).collect()
        };
        assert_eq!(names(&again), names(&others), "{}: symbols in the order of parsing", path.display());
        let fresh = lenient(&parsed, &others);
        for expr in (0..ast.len()).map(|index| nopal_syntax::ExprId(index as u32)) {
            let of = |units: &Units| units.of(expr).map(|unit| (unit.withs, units.free_in(unit).to_vec()));
            assert_eq!(of(&unpacked), of(&fresh), "{}: {expr:?}", path.display());
        }
    });
}

#[test]
fn damaged_bytes_never_panic() {
    each_source(|_, text, parsed, symbols| {
        if text.len() > 200 {
            return;
        }
        let bytes = packed::pack(&parsed.ast, &lenient(parsed, symbols), &parsed.names, symbols);
        let mut names = Interner::new();
        for at in 0..bytes.len() {
            assert!(packed::unpack(&bytes[..at], &mut names).is_none());
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            packed::unpack(&damaged, &mut names);
        }
    });
}
