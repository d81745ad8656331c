//! A source as the parser sees it, for telling whether two texts are the same program.

use crate::lexer::Lexer;
use crate::token::Kind;

/// Calls `each` with a number for the kind and the bytes of every token. Sources with the same tokens parse to the same
/// tree, up to positions and doc comments: neither space nor comments between tokens mean anything. Says whether the
/// text is made of tokens at all.
pub fn tokens(text: &[u8], pipe_operators: bool, mut each: impl FnMut(u8, &[u8])) -> bool {
    let mut lexer = Lexer::new(text, pipe_operators);
    loop {
        let token = lexer.next();
        match token.kind {
            Kind::Eof => return true,
            Kind::LexError => return false,
            kind => each(kind as u8, text.get(token.start as usize..token.end as usize).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tokens;

    fn all(text: &str) -> Option<Vec<(u8, Vec<u8>)>> {
        let mut found = Vec::new();
        tokens(text.as_bytes(), false, |kind, bytes| found.push((kind, bytes.to_vec()))).then_some(found)
    }

    #[test]
    fn space_and_comments_mean_nothing_between_tokens_and_everything_in_them() {
        let plain = all("{ a = \"x ${y}\"; b = ''\n  z\n''; }").unwrap();
        assert_eq!(all("# note\n{a=/* b */\"x ${ y }\";\n\n  b = ''\n  z\n'' ; # c\n}"), Some(plain.clone()));
        for other in [
            "{ a = \"x  ${y}\"; b = ''\n  z\n''; }",
            "{ a = \"x ${y}\"; b = ''\n z\n''; }",
            "{ a = \"x ${y}\"; b = ''\n  # z\n''; }",
            "{ a = \"x ${y}\"; c = ''\n  z\n''; }",
            "{ a = \"x ${y}#\"; b = ''\n  z\n''; }",
        ] {
            assert_ne!(all(other), Some(plain.clone()), "{other}");
        }
        assert_ne!(all("a -b"), all("a-b"));
        assert_ne!(all("a/b"), all("a / b"));
        assert_eq!(all("\"\0\""), None);
    }
}
