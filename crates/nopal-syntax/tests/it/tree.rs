//! The tree itself: positions, names and doc comments, which no printed form shows.

use nopal_syntax::ast::{Ast, AttrValue, Expr, ExprId, Lambda, Pos};
use nopal_syntax::interner::{Interner, sym};
use nopal_syntax::parse;
use nopal_syntax::parser::Options;
use nopal_syntax::source::{LineColumn, LineIndex, line_column};

fn tree(text: &str) -> (Ast, Interner) {
    let mut symbols = Interner::new();
    let parsed = parse(text.as_bytes(), &mut symbols, &Options::default()).unwrap();
    (parsed.ast, symbols)
}

/// The value of the attribute `name` of the set at the root.
fn attribute(ast: &Ast, symbols: &Interner, name: &str) -> ExprId {
    let Expr::Attrs(set) = ast.expr(ast.root()) else { panic!("no set") };
    let wanted = symbols.lookup(name.as_bytes());
    let attrs = ast.attrs_in(ast.attr_set(set).attrs);
    match attrs.iter().find(|attr| Some(attr.name) == wanted).map(|attr| attr.value) {
        Some(AttrValue::Plain(expr)) => expr,
        other => panic!("{name}: {other:?}"),
    }
}

fn lambda(ast: &Ast, id: ExprId) -> Lambda {
    match ast.expr(id) {
        Expr::Lambda(id) => ast.lambda(id),
        other => panic!("{other:?}"),
    }
}

#[test]
fn positions_are_those_of_nix() {
    for (text, pos, span) in [
        ("(f) x", Some(0), (0, 5)),
        ("(a) + b", Some(4), (0, 7)),
        ("a == b", None, (0, 6)),
        ("a - b", Some(2), (0, 5)),
        (" - b", Some(1), (1, 4)),
        ("!(a b)", Some(2), (0, 6)),
        ("a.b.c", Some(0), (0, 5)),
        ("x ? y", Some(0), (0, 5)),
        ("[ 1 x ]", None, (0, 7)),
        ("[ x 1 ]", Some(2), (0, 7)),
        ("\"a${b}\"", Some(1), (0, 7)),
        ("''a${b}''", Some(0), (0, 9)),
        ("\"ab\"", None, (0, 4)),
        (" { }", Some(1), (1, 4)),
        ("let { body = 1; }", None, (0, 17)),
        (" x: x", Some(1), (1, 5)),
        ("if a then b else c ", Some(0), (0, 18)),
        ("<a>", Some(0), (0, 3)),
    ] {
        let (ast, _) = tree(text);
        assert_eq!(ast.pos(ast.root()).offset(), pos, "{text}");
        let found = ast.span(ast.root());
        assert_eq!((found.start, found.end), span, "{text}");
    }
}

#[test]
fn attributes_know_where_they_are_defined() {
    let (ast, _) = tree("a: { b.c = 1; \"d\" = 2; inherit a; inherit (a) e; ${a} = 3; }");
    let Expr::Lambda(id) = ast.expr(ast.root()) else { panic!() };
    let Expr::Attrs(set) = ast.expr(ast.lambda(id).body) else { panic!() };
    let set = ast.attr_set(set);
    let offsets: Vec<_> = ast.attrs_in(set.attrs).iter().map(|attr| attr.pos.offset().unwrap()).collect();
    assert_eq!(offsets, [5, 14, 31, 46]);
    assert_eq!(ast.dynamic_in(set.dynamic)[0].pos, Pos::at(49));
    assert_eq!(ast.parts_in(set.inherit_from)[0].pos, Pos::at(43));
}

#[test]
fn functions_have_the_names_of_their_attributes() {
    let (ast, symbols) = tree("{ f = x: (y: z); g.h = { x }: x; i = [ (x: x) ]; }");
    let name = |function: Lambda| function.name.map(|name| String::from_utf8_lossy(symbols.get(name)).into_owned());
    let f = lambda(&ast, attribute(&ast, &symbols, "f"));
    assert_eq!(name(f).as_deref(), Some("f"));
    assert_eq!(name(lambda(&ast, f.body)).as_deref(), Some("f"));
    let Expr::List(items) = ast.expr(attribute(&ast, &symbols, "i")) else { panic!() };
    assert_eq!(name(lambda(&ast, ast.exprs_in(items)[0])), None);
}

#[test]
fn doc_comments_belong_to_functions_and_attributes() {
    let text = "{ /** one */ f = x: y: 1; g = /** two */ x: 1; /** three */ h = 1; /** four */ i = /** five */ x: 1; /* no */ j = x: 1; }";
    let (ast, symbols) = tree(text);
    let doc = |name: &str| {
        let doc = lambda(&ast, attribute(&ast, &symbols, name)).doc;
        doc.map(|span| &text[span.start as usize..span.end as usize])
    };
    assert_eq!(doc("f"), Some("/** one */"));
    assert_eq!(doc("g"), Some("/** two */"));
    assert_eq!(doc("i"), Some("/** five */"));
    assert_eq!(doc("j"), None);
    let inner = lambda(&ast, lambda(&ast, attribute(&ast, &symbols, "f")).body);
    assert!(inner.doc.is_some());
    let at = |needle: &str| ast.doc_comment_at(u32::try_from(text.find(needle).unwrap()).unwrap()).is_some();
    assert!(at("h = 1") && at("1; /** four"));
    assert!(!at("j = "));
}

#[test]
fn symbols_are_shared_and_ordered() {
    let mut symbols = Interner::new();
    assert_eq!(symbols.get(sym::OVERRIDES), b"__overrides");
    assert_eq!(symbols.intern(b"body"), sym::BODY);
    assert_eq!(symbols.lookup(b"never seen"), None);
    let names: Vec<_> = (0..5000).map(|n| symbols.intern(format!("name{n}").as_bytes())).collect();
    for (number, name) in names.iter().enumerate() {
        assert_eq!(symbols.get(*name), format!("name{number}").as_bytes());
        assert_eq!(symbols.intern(format!("name{number}").as_bytes()), *name);
    }
    assert!(names.is_sorted());
}

#[test]
fn lines_end_in_three_ways() {
    let text = b"a\nb\r\nc\rd";
    let index = LineIndex::new(text);
    for (offset, line, column) in
        [(0, 1, 1), (1, 1, 2), (2, 2, 1), (3, 2, 2), (5, 3, 1), (6, 3, 2), (7, 4, 1), (8, 4, 2)]
    {
        assert_eq!(index.line_column(offset), LineColumn { line, column }, "{offset}");
        assert_eq!(line_column(text, offset), LineColumn { line, column }, "{offset}");
    }
}

#[test]
fn sources_are_bytes() {
    let text = b"[ \"\xff\xfe\" ''\xc3'' ] # \xff";
    let mut symbols = Interner::new();
    let ast = parse(text, &mut symbols, &Options::default()).unwrap().ast;
    let Expr::List(items) = ast.expr(ast.root()) else { panic!() };
    let strings: Vec<&[u8]> = ast
        .exprs_in(items)
        .iter()
        .map(|item| match ast.expr(*item) {
            Expr::Str(text) => ast.bytes(text),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(strings, [b"\xff\xfe".as_slice(), b"\xc3"]);
}
