//! Tokens: kinds in the order of Nix's grammar, with the names that its syntax errors use.

macro_rules! kinds {
    ($($name:ident = $text:literal,)*) => {
        /// A terminal of the grammar. The order is that of Nix's grammar file, because syntax errors list expected
        /// tokens in that order.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub(crate) enum Kind { $($name,)* }

        impl Kind {
            /// All kinds; the index of each is its number.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What a syntax error calls the token.
            pub(crate) const fn describe(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

kinds! {
    Eof = "end of file",
    // never produced by the lexer: bison's error token, which no rule uses
    Error = "error",
    Undef = "invalid token",
    Id = "identifier",
    Str = "string",
    IndStr = "indented string",
    Int = "integer",
    Float = "floating-point literal",
    Path = "path",
    HomePath = "'~/…' path",
    SearchPath = "'<…>' path",
    PathEnd = "end of path",
    Uri = "URI",
    If = "'if'",
    Then = "'then'",
    Else = "'else'",
    Assert = "'assert'",
    With = "'with'",
    Let = "'let'",
    In = "'in'",
    Rec = "'rec'",
    Inherit = "'inherit'",
    Eq = "'=='",
    Neq = "'!='",
    Le = "'<='",
    Ge = "'>='",
    Update = "'//'",
    Concat = "'++'",
    And = "'&&'",
    Or = "'||'",
    Impl = "'->'",
    OrKw = "'or'",
    PipeFrom = "'<|'",
    PipeInto = "'|>'",
    DollarCurly = "'${'",
    IndOpen = "start of an indented string",
    IndClose = "end of an indented string",
    Ellipsis = "'...'",
    // never produced: the start of bindings typed into the REPL
    ReplBindings = "start of REPL bindings",
    Lt = "'<'",
    Gt = "'>'",
    // never produced: carries the precedence of `!`
    Not = "NOT",
    Plus = "'+'",
    Minus = "'-'",
    Star = "'*'",
    Slash = "'/'",
    Question = "'?'",
    // never produced: carries the precedence of unary `-`
    Negate = "NEGATE",
    Colon = "':'",
    At = "'@'",
    Semicolon = "';'",
    Bang = "'!'",
    Dot = "'.'",
    Quote = "'\"'",
    ParenOpen = "'('",
    ParenClose = "')'",
    CurlyOpen = "'{'",
    CurlyClose = "'}'",
    SquareOpen = "'['",
    SquareClose = "']'",
    Assign = "'='",
    Comma = "','",
    // not of the grammar: the lexer has stopped at an error of its own
    LexError = "lexical error",
}

/// How the text of a [`Kind::Str`] or [`Kind::IndStr`] token becomes bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Text {
    /// The bytes as they are; in an indented string its indentation counts.
    Raw,
    /// Has backslash escapes or carriage returns.
    Escaped,
    /// `''$` or a `$` that starts nothing: one dollar.
    Dollar,
    /// `'''`: two quotes.
    TwoQuotes,
    /// `'` before something that is not part of the text: one quote.
    Quote,
    /// `''\x`: the escape without its `''`.
    IndEscape,
}

/// One token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: Text,
    /// Offset of the first byte.
    pub(crate) start: u32,
    /// Offset after the last byte.
    pub(crate) end: u32,
}
