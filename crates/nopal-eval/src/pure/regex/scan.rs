//! Tokens of an extended regular expression, as libstdc++'s `_Scanner` produces them: one token ahead, with a state
//! for brackets and one for braces.

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A literal byte.
    Char(u8),
    /// `.`
    Any,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `|`
    Or,
    /// `*`
    Star,
    /// `+`
    Plus,
    /// `?`
    Opt,
    /// `^`
    LineBegin,
    /// `$`
    LineEnd,
    /// `[` or `[^` (true)
    Bracket(bool),
    /// `]` that ends a bracket expression
    BracketEnd,
    /// `-` within brackets
    Dash,
    /// `[:name:]`
    Class(Vec<u8>),
    /// `[.name.]`
    Collating(Vec<u8>),
    /// `[=name=]`
    Equivalence(Vec<u8>),
    /// `{`
    BraceOpen,
    /// Digits within braces
    Count(Vec<u8>),
    /// `,` within braces
    Comma,
    /// `}`
    BraceClose,
    /// End of the pattern
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Normal,
    Bracket,
    Brace,
}

/// A syntax error; Nix does not tell its kinds apart.
#[derive(Debug)]
pub(super) struct Bad;

/// The scanner with its current token.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    mode: Mode,
    bracket_start: bool,
    /// The token not yet consumed.
    pub(super) token: Token,
}

impl<'a> Scanner<'a> {
    /// A scanner positioned on the first token of `text`.
    pub(super) fn new(text: &'a [u8]) -> Result<Self, Bad> {
        let mut s = Scanner { text, at: 0, mode: Mode::Normal, bracket_start: false, token: Token::End };
        s.advance()?;
        Ok(s)
    }

    /// Scans the next token.
    pub(super) fn advance(&mut self) -> Result<(), Bad> {
        let Some(&c) = self.text.get(self.at) else {
            // The original keeps its state at the end of the pattern: an open bracket or brace shows in the parser.
            self.token = Token::End;
            return Ok(());
        };
        self.at += 1;
        self.token = match self.mode {
            Mode::Normal => self.normal(c)?,
            Mode::Bracket => self.bracket(c)?,
            Mode::Brace => self.brace(c)?,
        };
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn normal(&mut self, c: u8) -> Result<Token, Bad> {
        Ok(match c {
            b'\\' => {
                let next = self.peek().ok_or(Bad)?;
                // Only special characters may be escaped; `]` and `}` are not among them.
                if !b".[\\()*+?{|^$".contains(&next) {
                    return Err(Bad);
                }
                self.at += 1;
                Token::Char(next)
            }
            b'(' => Token::Open,
            b')' => Token::Close,
            b'[' => {
                self.mode = Mode::Bracket;
                self.bracket_start = true;
                let negated = self.peek() == Some(b'^');
                self.at += usize::from(negated);
                Token::Bracket(negated)
            }
            b'{' => {
                self.mode = Mode::Brace;
                Token::BraceOpen
            }
            0 => return Err(Bad),
            b'^' => Token::LineBegin,
            b'$' => Token::LineEnd,
            b'.' => Token::Any,
            b'*' => Token::Star,
            b'+' => Token::Plus,
            b'?' => Token::Opt,
            b'|' => Token::Or,
            other => Token::Char(other),
        })
    }

    fn bracket(&mut self, c: u8) -> Result<Token, Bad> {
        let token = match c {
            b'-' => Token::Dash,
            b'[' => match self.peek().ok_or(Bad)? {
                b'.' => Token::Collating(self.class_name(b'.')?),
                b':' => Token::Class(self.class_name(b':')?),
                b'=' => Token::Equivalence(self.class_name(b'=')?),
                _ => Token::Char(c),
            },
            b']' if !self.bracket_start => {
                self.mode = Mode::Normal;
                Token::BracketEnd
            }
            other => Token::Char(other),
        };
        self.bracket_start = false;
        Ok(token)
    }

    /// Reads `:name:]` with the position on the first delimiter.
    fn class_name(&mut self, delimiter: u8) -> Result<Vec<u8>, Bad> {
        self.at += 1;
        let start = self.at;
        let length = memchr::memchr(delimiter, &self.text[start..]).ok_or(Bad)?;
        self.at = start + length + 1;
        if self.peek() != Some(b']') {
            return Err(Bad);
        }
        self.at += 1;
        Ok(self.text[start..start + length].to_vec())
    }

    fn brace(&mut self, c: u8) -> Result<Token, Bad> {
        match c {
            b'0'..=b'9' => {
                let start = self.at - 1;
                while self.peek().is_some_and(|d| d.is_ascii_digit()) {
                    self.at += 1;
                }
                Ok(Token::Count(self.text[start..self.at].to_vec()))
            }
            b',' => Ok(Token::Comma),
            b'}' => {
                self.mode = Mode::Normal;
                Ok(Token::BraceClose)
            }
            _ => Err(Bad),
        }
    }
}
