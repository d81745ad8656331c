use super::*;

fn variable(name: &str, is_quoted: bool) -> Piece {
    Piece::Variable { name: name.into(), is_quoted }
}

fn literal(text: &str) -> Piece {
    Piece::Literal(text.into())
}

fn words(text: &str) -> Vec<Piece> {
    Text::words(text.as_bytes()).unwrap().0
}

#[test]
fn words_are_what_a_shell_makes_of_them() {
    assert_eq!(words("-a  --b='c d'"), [literal("-a"), Piece::Break, literal("--b=c d")]);
    assert_eq!(words(r#"a\ b "c $D""#), [literal("a b"), Piece::Break, literal("c "), variable("D", true)]);
    assert_eq!(words("''"), [literal("")]);
    assert_eq!(words("$A${B}c"), [variable("A", false), variable("B", false), literal("c")]);
    assert_eq!(words(r#""$0" a$"#), [literal(""), Piece::Called, Piece::Break, literal("a$")]);
}

#[test]
fn choices_hold_words() {
    let [Piece::Choice(choice)] = &words(r#"${A:+--x "${B-$C}"}"#)[..] else { panic!() };
    assert!(choice.empty_is_unset && !choice.keeps_value && !choice.is_quoted);
    let [Piece::Literal(flag), Piece::Break, Piece::Literal(_), Piece::Choice(inner)] = &choice.word.0[..] else {
        panic!("{choice:?}")
    };
    assert_eq!((&flag[..], &inner.word.0[..]), (&b"--x"[..], &[variable("C", true)][..]));
    assert!(inner.is_quoted && inner.keeps_value && !inner.empty_is_unset);
}

#[test]
fn quoted_texts_keep_spaces_and_quotes() {
    assert_eq!(Text::quoted(br"it's \$A \n").unwrap().0, [literal(r"it's $A \n")]);
    assert_eq!(Text::value(b"$ORIGIN/x").unwrap().0, [Piece::Root, literal("/x")]);
    assert_eq!(Text::quoted(b"$ORIGIN").unwrap().0, [variable("ORIGIN", true)]);
}

#[test]
fn the_rest_is_left_to_a_shell() {
    for text in [
        "$(date)",
        "`date`",
        "*.txt",
        "a?",
        "[a]",
        "{a,b}",
        "~",
        "--home=~/x",
        "# no",
        "a;b",
        "a|b",
        "a&",
        "a >b",
        "$1",
        "$@",
        "${A%x}",
        "${A/x/y}",
        "${#A}",
        "${!A}",
        "${A:=x}",
        "${A:?x}",
        "${A:1}",
        "${A[0]}",
        "$'a'",
        "$\"a\"",
        "'a",
        "\"a",
        "${A",
        "${A:-b",
        "a\\",
        "$RANDOM",
        "$BASH_VERSION",
        "$PWD",
        "$0",
        "\"${A:+\"b\"}\"",
        "a\nb",
        "$[1]",
    ] {
        assert!(Text::words(text.as_bytes()).is_err(), "{text}");
    }
    for text in [r#""${A:-it's}""#, r#""${A:-'}'}""#, r#""${A:-'$B'}""#] {
        assert!(Text::words(text.as_bytes()).is_err(), "{text}");
    }
    let deep = format!("{}x{}", "${A:-".repeat(100), "}".repeat(100));
    assert!(Text::words(deep.as_bytes()).is_err());
}
