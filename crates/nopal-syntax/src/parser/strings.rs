//! String literals, plain and indented, and their interpolations.

use super::{Parser, Result, Stop};
use crate::ast::{Bytes, ConcatKind, Expr, ExprId, Part, Pos};
use crate::lexer::unescape;
use crate::token::{Kind, Text, Token};

/// A string that perhaps needs no node: the name of an attribute does not.
pub(super) enum Stringy {
    Text(Bytes),
    Expr(ExprId),
}

/// A part of an indented string before its indentation is stripped.
#[derive(Clone, Copy)]
pub(super) enum IndPart {
    Text(Token),
    Expr(Pos, ExprId),
}

impl Parser<'_, '_> {
    /// `"…"`
    pub(super) fn string(&mut self) -> Result<Stringy> {
        let open = self.expect(Kind::Quote)?;
        if self.cur.kind == Kind::Quote {
            self.bump();
            return Ok(Stringy::Text(self.pooled(b"")));
        }
        let first = self.cur;
        if first.kind == Kind::Str && self.peek() == Kind::Quote {
            self.bump();
            self.bump();
            return Ok(Stringy::Text(self.decode(first)));
        }
        let base = self.open_parts.len();
        self.string_parts()?;
        self.expect(Kind::Quote)?;
        let parts = self.close_parts(base);
        let pos = Pos::at(first.start);
        Ok(Stringy::Expr(self.add(Expr::Concat { kind: ConcatKind::Interpolation, parts }, pos, open.start)))
    }

    /// Texts and interpolations up to another token, pushed to `open_parts`. There is at least one interpolation, as a
    /// text alone is no case for this function; two texts never follow each other.
    pub(super) fn string_parts(&mut self) -> Result<()> {
        let mut interpolations = 0;
        let base = self.open_parts.len();
        loop {
            let token = self.cur;
            match token.kind {
                Kind::Str => {
                    self.bump();
                    let text = self.decode(token);
                    let expr = self.add(Expr::Str(text), Pos::NONE, token.start);
                    self.open_parts.push(Part { pos: Pos::at(token.start), expr });
                    let only_text = interpolations == 0 && self.open_parts.len() > base;
                    if only_text && self.cur.kind != Kind::DollarCurly {
                        return Err(Stop);
                    }
                }
                Kind::DollarCurly => {
                    let expr = self.interpolation()?;
                    interpolations += 1;
                    self.open_parts.push(Part { pos: Pos::at(token.start), expr });
                }
                _ if interpolations == 0 => return Err(Stop),
                _ => return Ok(()),
            }
        }
    }

    /// `${expr}`
    pub(super) fn interpolation(&mut self) -> Result<ExprId> {
        self.expect(Kind::DollarCurly)?;
        let expr = self.nested(Self::expr)?;
        self.expect(Kind::CurlyClose)?;
        Ok(expr)
    }

    /// Puts the bytes that a text token stands for into the pool.
    fn decode(&mut self, token: Token) -> Bytes {
        let text = self.text(token);
        let start = self.pool.len();
        match token.text {
            Text::Raw => self.pool.extend_from_slice(text),
            Text::Escaped => unescape(text, &mut self.pool),
            Text::IndEscape => unescape(&text[2..], &mut self.pool),
            Text::Dollar => self.pool.push(b'$'),
            Text::TwoQuotes => self.pool.extend_from_slice(b"''"),
            Text::Quote => self.pool.push(b'\''),
        }
        self.pooled_from(start)
    }

    /// `''…''`
    pub(super) fn ind_string(&mut self) -> Result<ExprId> {
        let open = self.expect(Kind::IndOpen)?;
        let base = self.ind_parts.len();
        loop {
            let token = self.cur;
            match token.kind {
                Kind::IndStr => {
                    self.bump();
                    self.ind_parts.push(IndPart::Text(token));
                }
                Kind::DollarCurly => {
                    let expr = self.interpolation()?;
                    self.ind_parts.push(IndPart::Expr(Pos::at(token.start), expr));
                }
                Kind::IndClose => break,
                _ => return Err(Stop),
            }
        }
        self.bump();
        let indent = self.min_indent(base);
        let parts = self.open_parts.len();
        self.strip(base, indent);
        self.ind_parts.truncate(base);
        match self.open_parts[parts..] {
            [] => {
                let text = self.pooled(b"");
                Ok(self.add(Expr::Str(text), Pos::NONE, open.start))
            }
            [Part { expr, .. }] if matches!(self.expr_at(expr), Expr::Str(_)) => {
                self.open_parts.truncate(parts);
                Ok(expr)
            }
            _ => {
                let parts = self.close_parts(parts);
                let kind = ConcatKind::Interpolation;
                Ok(self.add(Expr::Concat { kind, parts }, Pos::at(open.start), open.start))
            }
        }
    }

    /// The smallest number of spaces that a line begins with; lines of nothing but spaces do not count, except that an
    /// interpolation or escape ends the spaces of its line.
    fn min_indent(&self, base: usize) -> usize {
        // the begin of Nix's search, and so its result for a string without any line
        let mut min = 1_000_000;
        let mut at_line_start = true;
        let mut current = 0;
        for part in &self.ind_parts[base..] {
            let text = match part {
                IndPart::Text(token) if token.text == Text::Raw => self.text(*token),
                _ => {
                    if at_line_start {
                        at_line_start = false;
                        min = min.min(current);
                    }
                    continue;
                }
            };
            for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
                if index > 0 {
                    at_line_start = true;
                    current = 0;
                }
                if !at_line_start {
                    continue;
                }
                let spaces = line.iter().take_while(|byte| **byte == b' ').count();
                current += spaces;
                if spaces < line.len() {
                    at_line_start = false;
                    min = min.min(current);
                }
            }
        }
        min
    }

    /// Pushes the parts from `base` to `open_parts` without `indent` spaces at the begin of each line.
    fn strip(&mut self, base: usize, indent: usize) {
        let end = self.ind_parts.len();
        let mut at_line_start = true;
        let mut dropped = 0;
        for number in base..end {
            let token = match self.ind_parts[number] {
                IndPart::Expr(pos, expr) => {
                    at_line_start = false;
                    dropped = 0;
                    self.open_parts.push(Part { pos, expr });
                    continue;
                }
                IndPart::Text(token) => token,
            };
            let start = self.pool.len();
            if token.text == Text::Raw {
                self.strip_text(token, indent, &mut at_line_start, &mut dropped);
            } else {
                let bytes = self.decode(token);
                // an escape is text like any other here: it may end the line or be a space
                let text = self.pool.split_off(bytes.0.start as usize);
                strip_lines(&text, indent, &mut at_line_start, &mut dropped, &mut self.pool);
            }
            if number + 1 == end {
                drop_last_blank_line(&mut self.pool, start);
            }
            if self.pool.len() > start {
                let text = self.pooled_from(start);
                let expr = self.add(Expr::Str(text), Pos::NONE, token.start);
                self.open_parts.push(Part { pos: Pos::at(token.start), expr });
            }
        }
    }

    fn strip_text(&mut self, token: Token, indent: usize, at_line_start: &mut bool, dropped: &mut usize) {
        let text = self.text(token);
        strip_lines(text, indent, at_line_start, dropped, &mut self.pool);
    }
}

/// Appends `text` to `out` without the first `indent` spaces of each line. `dropped` counts the spaces seen at the
/// begin of the current line.
fn strip_lines(text: &[u8], indent: usize, at_line_start: &mut bool, dropped: &mut usize, out: &mut Vec<u8>) {
    for (index, mut line) in text.split(|byte| *byte == b'\n').enumerate() {
        if index > 0 {
            out.push(b'\n');
            if *at_line_start {
                *dropped = 0;
            }
            *at_line_start = true;
        }
        if *at_line_start {
            let spaces = line.iter().take_while(|byte| **byte == b' ').count();
            let drop = spaces.min(indent.saturating_sub(*dropped));
            *dropped += spaces;
            line = &line[drop..];
            if line.len() > spaces - drop {
                *at_line_start = false;
                *dropped = 0;
            }
        }
        out.extend_from_slice(line);
    }
}

/// Cuts what follows the last line end of `pool[start..]` if it is nothing but spaces.
fn drop_last_blank_line(pool: &mut Vec<u8>, start: usize) {
    if let Some(newline) = memchr::memrchr(b'\n', &pool[start..])
        && pool[start + newline + 1..].iter().all(|byte| *byte == b' ')
    {
        pool.truncate(start + newline + 1);
    }
}
