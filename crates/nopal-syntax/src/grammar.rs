//! Nix's grammar as data, for the words of syntax errors.
//!
//! The parser does not use it. Which tokens Nix "expects" at an error is a property of its LALR automaton, down to the
//! reductions that happen before the error is seen; so `automaton.rs` builds that automaton from these rules. Names
//! that are a [`Kind`](crate::token::Kind) are terminals.

/// One rule: what it makes, of what, and the terminal whose precedence it has if that is not its last one.
pub(crate) struct Rule {
    pub(crate) lhs: &'static str,
    pub(crate) rhs: &'static str,
    pub(crate) prec: Option<&'static str>,
}

const fn rule(lhs: &'static str, rhs: &'static str) -> Rule {
    Rule { lhs, rhs, prec: None }
}

const fn rule_prec(lhs: &'static str, rhs: &'static str, prec: &'static str) -> Rule {
    Rule { lhs, rhs, prec: Some(prec) }
}

/// To which side operators of one level of precedence group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Left,
    Right,
    Neither,
}

/// Levels of precedence, loosest first.
pub(crate) const PRECEDENCE: &[(Side, &str)] = &[
    (Side::Right, "Impl"),
    (Side::Left, "Or"),
    (Side::Left, "And"),
    (Side::Neither, "Eq Neq"),
    (Side::Neither, "Lt Gt Le Ge"),
    (Side::Right, "Update"),
    (Side::Left, "Not"),
    (Side::Left, "Plus Minus"),
    (Side::Left, "Star Slash"),
    (Side::Right, "Concat"),
    (Side::Neither, "Question"),
    (Side::Neither, "Negate"),
];

/// The rules; the first is the start.
pub(crate) const RULES: &[Rule] = &[
    rule("accept", "source Eof"),
    rule("source", "expr"),
    rule("source", "ReplBindings bindings1"),
    rule("expr", "function"),
    // functions and other expressions that reach as far as they can
    rule("function", "Id Colon function"),
    rule("function", "formal_set Colon function"),
    rule("function", "formal_set At Id Colon function"),
    rule("function", "Id At formal_set Colon function"),
    rule("function", "Assert expr Semicolon function"),
    rule("function", "With expr Semicolon function"),
    rule("function", "Let bindings In function"),
    rule("function", "condition"),
    rule("condition", "If expr Then expr Else expr"),
    rule("condition", "pipe_from"),
    rule("condition", "pipe_into"),
    rule("condition", "operation"),
    rule("pipe_from", "operation PipeFrom pipe_from"),
    rule("pipe_from", "operation PipeFrom operation"),
    rule("pipe_into", "pipe_into PipeInto operation"),
    rule("pipe_into", "operation PipeInto operation"),
    // operators
    rule_prec("operation", "Bang operation", "Not"),
    rule_prec("operation", "Minus operation", "Negate"),
    rule("operation", "operation Eq operation"),
    rule("operation", "operation Neq operation"),
    rule("operation", "operation Lt operation"),
    rule("operation", "operation Le operation"),
    rule("operation", "operation Gt operation"),
    rule("operation", "operation Ge operation"),
    rule("operation", "operation And operation"),
    rule("operation", "operation Or operation"),
    rule("operation", "operation Impl operation"),
    rule("operation", "operation Update operation"),
    rule("operation", "operation Question attr_path"),
    rule("operation", "operation Plus operation"),
    rule("operation", "operation Minus operation"),
    rule("operation", "operation Star operation"),
    rule("operation", "operation Slash operation"),
    rule("operation", "operation Concat operation"),
    rule("operation", "application"),
    // calls and selections
    rule("application", "application select"),
    rule("application", "select"),
    rule("select", "simple Dot attr_path"),
    rule("select", "simple Dot attr_path OrKw select"),
    rule("select", "simple OrKw"),
    rule("select", "simple"),
    // what needs no parentheses
    rule("simple", "Id"),
    rule("simple", "Int"),
    rule("simple", "Float"),
    rule("simple", "Quote string Quote"),
    rule("simple", "IndOpen ind_string IndClose"),
    rule("simple", "path PathEnd"),
    rule("simple", "path interpolated PathEnd"),
    rule("simple", "SearchPath"),
    rule("simple", "Uri"),
    rule("simple", "ParenOpen expr ParenClose"),
    rule("simple", "Let CurlyOpen bindings CurlyClose"),
    rule("simple", "Rec CurlyOpen bindings CurlyClose"),
    rule("simple", "CurlyOpen bindings1 CurlyClose"),
    rule("simple", "CurlyOpen CurlyClose"),
    rule("simple", "SquareOpen list SquareClose"),
    // strings and paths
    rule("string", "Str"),
    rule("string", "interpolated"),
    rule("string", ""),
    rule("interpolated", "interpolated Str"),
    rule("interpolated", "interpolated DollarCurly expr CurlyClose"),
    rule("interpolated", "DollarCurly expr CurlyClose"),
    rule("interpolated", "Str DollarCurly expr CurlyClose"),
    rule("path", "Path"),
    rule("path", "HomePath"),
    rule("ind_string", "ind_string IndStr"),
    rule("ind_string", "ind_string DollarCurly expr CurlyClose"),
    rule("ind_string", ""),
    // bindings
    rule("bindings", "bindings1"),
    rule("bindings", ""),
    rule("bindings1", "bindings1 attr_path Assign expr Semicolon"),
    rule("bindings1", "bindings Inherit names Semicolon"),
    rule("bindings1", "bindings Inherit ParenOpen expr ParenClose names Semicolon"),
    rule("bindings1", "attr_path Assign expr Semicolon"),
    rule("names", "names attr"),
    rule("names", "names string_attr"),
    rule("names", ""),
    rule("attr_path", "attr_path Dot attr"),
    rule("attr_path", "attr_path Dot string_attr"),
    rule("attr_path", "attr"),
    rule("attr_path", "string_attr"),
    rule("attr", "Id"),
    rule("attr", "OrKw"),
    rule("string_attr", "Quote string Quote"),
    rule("string_attr", "DollarCurly expr CurlyClose"),
    rule("list", "list select"),
    rule("list", ""),
    // set patterns
    rule("formal_set", "CurlyOpen formals Comma Ellipsis CurlyClose"),
    rule("formal_set", "CurlyOpen Ellipsis CurlyClose"),
    rule("formal_set", "CurlyOpen formals Comma CurlyClose"),
    rule("formal_set", "CurlyOpen formals CurlyClose"),
    rule("formal_set", "CurlyOpen CurlyClose"),
    rule("formals", "formals Comma formal"),
    rule("formals", "formal"),
    rule("formal", "Id"),
    rule("formal", "Id Question expr"),
];
