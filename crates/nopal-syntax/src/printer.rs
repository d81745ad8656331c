//! Printing a tree as `nix-instantiate --parse` does.
//!
//! The output shows what the tree means to Nix: operators that are calls are printed as calls, attributes sorted by
//! name. The printer keeps its own stack, so that no tree is too deep for it.

use crate::ast::{Ast, AttrName, AttrValue, AttrsId, BinOp, Expr, ExprId, LambdaId};
use crate::interner::{Interner, Symbol};
use crate::runs::{name_len, plain_len};
use crate::{number, path};

/// What the tree does not know but its printed form shows.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The names of the tree's symbols.
    pub symbols: &'a Interner,
    /// The directory that relative paths are relative to.
    pub base_dir: &'a [u8],
    /// The home directory.
    pub home: &'a [u8],
}

/// The tree as Nix prints it, without a line end.
pub fn print(ast: &Ast, context: &Context<'_>) -> Vec<u8> {
    print_expr(ast, context, ast.root())
}

/// One expression of the tree as Nix prints it.
pub fn print_expr(ast: &Ast, context: &Context<'_>, expr: ExprId) -> Vec<u8> {
    // a guess that is seldom too low
    let size = if expr == ast.root() { ast.pool.len() + 12 * ast.len() } else { 0 };
    let mut printer = Printer {
        ast,
        context: *context,
        out: Vec::with_capacity(size),
        work: Vec::new(),
        base: 0,
        before: Short::EMPTY,
    };
    printer.run(expr);
    printer.out
}

/// An attribute path as Nix prints it in errors.
pub(crate) fn attr_path(ast: &Ast, symbols: &Interner, names: &[AttrName]) -> Vec<u8> {
    let context = Context { symbols, base_dir: b"/", home: b"" };
    let mut out = Vec::new();
    for (number, name) in names.iter().enumerate() {
        if number > 0 {
            out.push(b'.');
        }
        match name {
            AttrName::Static(name) => out.extend_from_slice(&identifier(symbols.get(*name))),
            AttrName::Dynamic(expr) => {
                out.extend_from_slice(b"\"${");
                out.extend_from_slice(&print_expr(ast, &context, *expr));
                out.extend_from_slice(b"}\"");
            }
        }
    }
    out
}

/// Whether Nix reads the word as a keyword; `or` is not counted.
pub fn is_keyword(word: &[u8]) -> bool {
    matches!(word, b"if" | b"then" | b"else" | b"assert" | b"with" | b"let" | b"in" | b"rec" | b"inherit")
}

/// A name as Nix prints variables and attributes: as it is where it can be read back, else quoted.
pub fn identifier(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    print_identifier(name, &mut out);
    out
}

/// Appends what [`identifier`] returns.
pub fn print_identifier(name: &[u8], out: &mut Vec<u8>) {
    let plain = match name {
        [first, rest @ ..] => {
            (first.is_ascii_alphabetic() || *first == b'_') && name_len(rest) == rest.len() && !is_keyword(name)
        }
        [] => false,
    };
    if plain {
        out.extend_from_slice(name);
    } else {
        print_string(name, out);
    }
}

/// Appends a string literal as Nix prints it.
pub fn print_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape_string(text, text.len(), out);
    out.push(b'"');
}

/// Appends the first `length` bytes of a string as they stand between the quotes of a literal. What follows them decides
/// whether a `$` at their end is escaped.
pub fn escape_string(text: &[u8], length: usize, out: &mut Vec<u8>) {
    let shown = &text[..length.min(text.len())];
    let (mut from, mut index) = (0, 0);
    loop {
        index += plain_len(&shown[index..]);
        let Some(byte) = shown.get(index) else { break };
        let escape = match byte {
            b'"' | b'\\' => Some(*byte),
            b'\n' => Some(b'n'),
            b'\r' => Some(b'r'),
            b'\t' => Some(b't'),
            b'$' if text.get(index + 1) == Some(&b'{') => Some(b'$'),
            _ => None,
        };
        if let Some(escape) = escape {
            out.extend_from_slice(&shown[from..index]);
            out.extend_from_slice(&[b'\\', escape]);
            from = index + 1;
        }
        index += 1;
    }
    out.extend_from_slice(&shown[from..]);
}

/// Something still to be printed, and what comes before it.
#[derive(Clone, Copy)]
struct Item {
    before: Short,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Nothing,
    Expr(ExprId),
    Name(Symbol),
}

/// At most seven bytes, and in the highest byte their number: most of what stands between names is as short.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Short(u64);

impl Short {
    const EMPTY: Self = Self(0);
    const MAX_LEN: usize = 7;

    #[inline(always)]
    fn new(text: &'static str) -> Self {
        let mut bytes = [0; 8];
        bytes[..Self::MAX_LEN][..text.len()].copy_from_slice(text.as_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "a longer text is not copied")]
        let len = text.len() as u8;
        bytes[Self::MAX_LEN] = len;
        Self(u64::from_le_bytes(bytes))
    }

    #[inline(always)]
    fn len(self) -> usize {
        usize::from(self.0.to_le_bytes()[Self::MAX_LEN])
    }

    /// Both in one, if that is not too long.
    #[inline(always)]
    fn then(self, next: Self) -> Option<Self> {
        const LEN: u64 = 0xff << (8 * Short::MAX_LEN);
        let len = self.len() + next.len();
        (len <= Self::MAX_LEN).then(|| Self(self.0 + ((next.0 & !LEN) << (8 * self.len())) + (next.0 & LEN)))
    }

    #[inline(always)]
    fn write(self, out: &mut Vec<u8>) {
        let end = out.len() + self.len();
        out.extend_from_slice(&self.0.to_le_bytes());
        out.truncate(end);
    }
}

struct Printer<'a> {
    ast: &'a Ast,
    context: Context<'a>,
    out: Vec<u8>,
    /// What is put off, the next last.
    work: Vec<Item>,
    /// What the current item puts off begins here.
    base: usize,
    /// What comes before what the current item will put off next.
    before: Short,
}

impl Printer<'_> {
    fn run(&mut self, first: ExprId) {
        self.put_off(What::Expr(first));
        while let Some(Item { before, what }) = self.work.pop() {
            // what an item puts off is pushed in reading order and then turned round
            self.base = self.work.len();
            before.write(&mut self.out);
            match what {
                What::Nothing => {}
                What::Name(name) => self.name(name),
                What::Expr(id) => self.expr(id),
            }
            self.put_off_rest();
            self.work[self.base..].reverse();
        }
    }

    /// Whether what comes next is printed at once, since nothing before it was put off.
    #[inline(always)]
    fn is_next(&self) -> bool {
        self.work.len() == self.base
    }

    #[inline(always)]
    fn put_off(&mut self, what: What) {
        self.work.push(Item { before: self.before, what });
        self.before = Short::EMPTY;
    }

    /// Puts off the text at the end of an item, if possible together with what follows the item.
    #[inline(always)]
    fn put_off_rest(&mut self) {
        if self.before == Short::EMPTY {
            return;
        }
        if let Some(following) = self.base.checked_sub(1).and_then(|index| self.work.get_mut(index))
            && let Some(both) = self.before.then(following.before)
        {
            following.before = both;
            self.before = Short::EMPTY;
        } else {
            self.put_off(What::Nothing);
        }
    }

    #[inline(always)]
    fn text(&mut self, text: &'static str) {
        let text = Short::new(text);
        if self.is_next() {
            text.write(&mut self.out);
        } else if let Some(both) = self.before.then(text) {
            self.before = both;
        } else {
            self.put_off(What::Nothing);
            self.before = text;
        }
    }

    #[inline(always)]
    fn name(&mut self, name: Symbol) {
        if self.is_next() {
            print_identifier(self.context.symbols.get(name), &mut self.out);
        } else {
            self.put_off(What::Name(name));
        }
    }

    fn push(&mut self, id: ExprId) {
        self.put_off(What::Expr(id));
    }

    fn expr(&mut self, id: ExprId) {
        let ast = self.ast;
        match ast.expr(id) {
            Expr::Int(value) => self.out.extend_from_slice(value.to_string().as_bytes()),
            Expr::Float(value) => number::print_float(value, &mut self.out),
            Expr::Str(text) => print_string(ast.bytes(text), &mut self.out),
            Expr::Path { kind, text } => {
                let resolved = path::resolve(kind, ast.bytes(text), self.context.base_dir, self.context.home);
                self.out.extend_from_slice(&resolved);
            }
            Expr::SearchPath(text) => {
                self.out.extend_from_slice(b"(__findFile __nixPath ");
                print_string(ast.bytes(text), &mut self.out);
                self.out.push(b')');
            }
            Expr::Var(name) => self.name(name),
            Expr::CurPos => self.out.extend_from_slice(b"__curPos"),
            Expr::Select { base, path, default } => {
                self.text("(");
                self.push(base);
                self.text(").");
                self.path(ast.attr_path(path));
                if let Some(default) = default {
                    self.text(" or (");
                    self.push(default);
                    self.text(")");
                }
            }
            Expr::HasAttr { base, path } => {
                self.text("((");
                self.push(base);
                self.text(") ? ");
                self.path(ast.attr_path(path));
                self.text(")");
            }
            Expr::Lambda(lambda) => self.lambda(lambda),
            Expr::Call { function, args } => {
                self.text("(");
                self.push(function);
                self.separated(" ", " ", ast.exprs_in(args));
                self.text(")");
            }
            Expr::Let { attrs, body } => {
                self.text("(let ");
                self.bindings(attrs);
                self.text("in ");
                self.push(body);
                self.text(")");
            }
            Expr::With { env, body } => self.sequence(["(with ", "; ", ")"], &[env, body]),
            Expr::If { cond, yes, no } => self.sequence(["(if ", " then ", " else ", ")"], &[cond, yes, no]),
            Expr::Assert { cond, body } => self.sequence(["assert ", "; ", ""], &[cond, body]),
            Expr::Not(operand) => self.sequence(["(! ", ")"], &[operand]),
            Expr::Negate(operand) => {
                self.text("(__sub");
                self.sequence([" 0 ", ")"], &[operand]);
            }
            Expr::Binary { op, lhs, rhs } => self.binary(op, lhs, rhs),
            Expr::Concat { parts, .. } => {
                self.text("(");
                for (number, part) in ast.parts_in(parts).iter().enumerate() {
                    if number > 0 {
                        self.text(" + ");
                    }
                    self.push(part.expr);
                }
                self.text(")");
            }
            Expr::List(items) => {
                self.text("[ ");
                for item in ast.exprs_in(items) {
                    self.text("(");
                    self.push(*item);
                    self.text(") ");
                }
                self.text("]");
            }
            Expr::Attrs(set) => {
                self.text(if ast.attr_set(set).recursive { "rec { " } else { "{ " });
                self.bindings(set);
                self.text("}");
            }
        }
    }

    /// Texts with expressions between them.
    #[inline(always)]
    fn sequence<const N: usize>(&mut self, texts: [&'static str; N], exprs: &[ExprId]) {
        for (number, text) in texts.into_iter().enumerate() {
            self.text(text);
            if let Some(expr) = exprs.get(number) {
                self.push(*expr);
            }
        }
    }

    #[inline(always)]
    fn separated(&mut self, before: &'static str, between: &'static str, exprs: &[ExprId]) {
        for (number, expr) in exprs.iter().enumerate() {
            self.text(if number == 0 { before } else { between });
            self.push(*expr);
        }
    }

    fn binary(&mut self, op: BinOp, lhs: ExprId, rhs: ExprId) {
        if let Some(call) = op.desugar() {
            let (first, second) = if call.swapped { (rhs, lhs) } else { (lhs, rhs) };
            self.text(if call.negated { "(! (" } else { "(" });
            self.name(call.function);
            self.separated(" ", " ", &[first, second]);
            self.text(if call.negated { "))" } else { ")" });
            return;
        }
        let sign = match op {
            BinOp::Eq => " == ",
            BinOp::Neq => " != ",
            BinOp::And => " && ",
            BinOp::Or => " || ",
            BinOp::Impl => " -> ",
            BinOp::Update => " // ",
            _ => " ++ ",
        };
        self.sequence(["(", sign, ")"], &[lhs, rhs]);
    }

    fn path(&mut self, names: &[AttrName]) {
        for (number, name) in names.iter().enumerate() {
            if number > 0 {
                self.text(".");
            }
            match name {
                AttrName::Static(name) => self.name(*name),
                AttrName::Dynamic(expr) => self.sequence(["\"${", "}\""], &[*expr]),
            }
        }
    }

    fn lambda(&mut self, id: LambdaId) {
        let lambda = self.ast.lambda(id);
        self.text("(");
        if let Some(pattern) = lambda.formals {
            self.text("{ ");
            let formals = self.by_name(self.ast.formals_in(pattern.formals), |formal| formal.name);
            for (number, formal) in formals.iter().enumerate() {
                if number > 0 {
                    self.text(", ");
                }
                self.name(formal.name);
                if let Some(default) = formal.default {
                    self.text(" ? ");
                    self.push(default);
                }
            }
            if pattern.ellipsis {
                self.text(if formals.is_empty() { "..." } else { ", ..." });
            }
            self.text(if lambda.arg.is_some() { " } @ " } else { " }" });
        }
        if let Some(arg) = lambda.arg {
            self.name(arg);
        }
        self.text(": ");
        self.push(lambda.body);
        self.text(")");
    }

    /// Items in the order of their names; of most the first eight bytes tell it.
    fn by_name<T: Copy>(&self, items: &[T], name: impl Fn(&T) -> Symbol) -> Vec<T> {
        let keyed = items.iter().map(|item| {
            let name = self.context.symbols.get(name(item));
            let mut first = [0; size_of::<u64>()];
            first.iter_mut().zip(name).for_each(|(first, byte)| *first = *byte);
            (u64::from_be_bytes(first), name, *item)
        });
        let mut keyed = keyed.collect::<Vec<_>>();
        keyed.sort_by_key(|(first, name, _)| (*first, *name));
        keyed.into_iter().map(|(_, _, item)| item).collect()
    }

    /// Inherited names first, then those inherited from each source, then the rest, each by name; dynamic ones last.
    fn bindings(&mut self, id: AttrsId) {
        let ast = self.ast;
        let set = ast.attr_set(id);
        let attrs = self.by_name(ast.attrs_in(set.attrs), |attr| attr.name);
        let mut inherited = attrs.iter().filter(|attr| attr.value == AttrValue::Inherited).peekable();
        if inherited.peek().is_some() {
            self.text("inherit");
            for attr in inherited {
                self.text(" ");
                self.name(attr.name);
            }
            self.text("; ");
        }
        let mut from: Vec<(u32, Symbol)> = attrs
            .iter()
            .filter_map(|attr| match attr.value {
                AttrValue::InheritedFrom(number) => Some((number, attr.name)),
                _ => None,
            })
            .collect();
        from.sort_by_key(|(number, _)| *number);
        for group in from.chunk_by(|a, b| a.0 == b.0) {
            self.text("inherit");
            self.sequence([" (", ")"], &[ast.parts_in(set.inherit_from)[group[0].0 as usize].expr]);
            for (_, name) in group {
                self.text(" ");
                self.name(*name);
            }
            self.text("; ");
        }
        for attr in &attrs {
            if let AttrValue::Plain(value) = attr.value {
                self.name(attr.name);
                self.sequence([" = ", "; "], &[value]);
            }
        }
        for attr in ast.dynamic_in(set.dynamic) {
            self.sequence(["\"${", "}\" = ", "; "], &[attr.name, attr.value]);
        }
    }
}
