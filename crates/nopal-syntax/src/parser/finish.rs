//! The end of parsing: sets become contiguous, doc comments sorted.

use super::bindings::NIL;
use super::{Parsed, Parser, index};
use crate::ast::{Ast, AttrSet, ExprId, Range, Span};

impl Parser<'_, '_> {
    pub(super) fn finish(mut self, root: ExprId) -> Parsed {
        let warnings = std::mem::take(&mut self.warnings);
        let names = std::mem::take(&mut self.names);
        let ast = self.into_ast(root);
        Parsed { ast, warnings, names }
    }

    /// The tree so far, to print a piece of it in an error.
    #[cold]
    pub(super) fn snapshot(&mut self, root: ExprId) -> Ast {
        let mut ast = self.build_sets(root);
        ast.exprs = self.exprs.clone();
        ast.positions = self.positions.clone();
        ast.spans = self.spans.clone();
        ast.expr_lists = self.expr_lists.clone();
        let froms = std::mem::take(&mut ast.parts);
        ast.parts = self.parts.clone();
        append_froms(&mut ast, froms);
        ast.lambdas = self.lambdas.clone();
        ast.formals = self.formals.clone();
        ast.paths = self.paths.clone();
        ast.path_names = self.path_names.clone();
        ast.pool = self.pool.clone();
        ast
    }

    fn into_ast(mut self, root: ExprId) -> Ast {
        let mut ast = self.build_sets(root);
        ast.docs = std::mem::take(&mut self.lexer.docs);
        add_value_docs(&mut ast.docs, &self.value_docs);
        ast.exprs = self.exprs;
        ast.positions = self.positions;
        ast.spans = self.spans;
        ast.expr_lists = self.expr_lists;
        let froms = std::mem::take(&mut ast.parts);
        ast.parts = self.parts;
        append_froms(&mut ast, froms);
        ast.lambdas = self.lambdas;
        ast.formals = self.formals;
        ast.paths = self.paths;
        ast.path_names = self.path_names;
        ast.pool = self.pool;
        ast
    }

    /// A tree of which only the sets are filled in; their sources of `inherit (from)` are alone in `parts`.
    fn build_sets(&self, root: ExprId) -> Ast {
        let mut ast = Ast {
            sets: Vec::with_capacity(self.sets.len()),
            attrs: Vec::with_capacity(self.attr_nodes.len()),
            dynamic: Vec::with_capacity(self.dynamic_nodes.len()),
            root,
            ..Ast::empty()
        };
        for set in &self.sets {
            let attrs = Range { start: index(ast.attrs.len()), len: set.attrs.len };
            let mut at = set.attrs.first;
            while at != NIL {
                let node = &self.attr_nodes[at as usize];
                ast.attrs.push(node.attr);
                at = node.next;
            }
            let dynamic = Range { start: index(ast.dynamic.len()), len: set.dynamic.len };
            at = set.dynamic.first;
            while at != NIL {
                let node = &self.dynamic_nodes[at as usize];
                ast.dynamic.push(node.attr);
                at = node.next;
            }
            let inherit_from = Range { start: index(ast.parts.len()), len: set.from.len };
            at = set.from.first;
            while at != NIL {
                let node = &self.from_nodes[at as usize];
                ast.parts.push(node.from);
                at = node.next;
            }
            ast.sets.push(AttrSet { pos: set.pos, recursive: set.recursive, attrs, dynamic, inherit_from });
        }
        ast
    }
}

/// Puts the sources of `inherit (from)` behind the parts of concatenations.
fn append_froms(ast: &mut Ast, froms: Vec<crate::ast::Part>) {
    if froms.is_empty() {
        return;
    }
    let base = index(ast.parts.len());
    ast.parts.extend(froms);
    for set in &mut ast.sets {
        set.inherit_from.start += base;
    }
}

/// Adds the comments of attributes at the begin of their values, where the value has none of its own.
fn add_value_docs(docs: &mut Vec<(u32, Span)>, value_docs: &[(u32, Span)]) {
    if value_docs.is_empty() {
        return;
    }
    let own = docs.len();
    for doc in value_docs {
        if docs[..own].binary_search_by_key(&doc.0, |doc| doc.0).is_err() {
            docs.push(*doc);
        }
    }
    docs.sort_by_key(|doc| doc.0);
    docs.dedup_by_key(|doc| doc.0);
}
