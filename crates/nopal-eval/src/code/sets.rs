//! Sets and `let`: groups of slots whose values may refer to each other, and set literals.

use nopal_syntax::Symbol;
use nopal_syntax::ast::{self, AttrValue, AttrsId, ExprId};
use nopal_syntax::interner::sym;
use rustc_hash::FxHashMap;

use super::compile::{Compiler, Variable, leak, leak_all};
use super::ir::{AttrsLit, Cache, Delayed, DynamicAttr, Expr, Group, Let, Name, Overrides, Ref, Select, ThunkCode};
use crate::error::Result;
use crate::pos::Pos;

impl Compiler<'_> {
    pub(super) fn let_in(&mut self, attrs: AttrsId, body: ExprId) -> Result<Expr> {
        let before = self.level().next_slot;
        let scope = self.recursive_group(attrs, false)?;
        let body = self.expr(body);
        self.end_group(&scope.names, before);
        Ok(Expr::Let(leak(Let { group: Group::new(leak_all(scope.bindings)), body: body? })))
    }

    fn end_group(&mut self, names: &[(Symbol, u32)], before: u32) {
        self.unbind(names.len());
        self.level().next_slot = before;
    }

    /// The static attributes of a set in the order Nix makes their values: by symbol.
    fn by_symbol(&self, set: ast::AttrSet) -> Vec<ast::Attr> {
        let mut attrs = self.ast.attrs_in(set.attrs).to_vec();
        attrs.sort_by_key(|attr| attr.name);
        attrs
    }

    /// Slots for the attributes of a `let` or recursive set; on return the names are bound. If they can be overridden, the
    /// slots are for their cells, and everything in the set that is not inherited has a thunk, as in Nix.
    fn recursive_group(&mut self, id: AttrsId, has_overrides: bool) -> Result<Recursive> {
        let ast = self.ast;
        let set = ast.attr_set(id);
        let attrs = self.by_symbol(set);
        let mut inherited = FxHashMap::default();
        for attr in &attrs {
            if attr.value == AttrValue::Inherited {
                inherited.insert(attr.name, self.inherited(attr)?);
            }
        }
        let sources = ast.parts_in(set.inherit_from);
        let source_slots = sources.iter().map(|_| self.new_slot()).collect::<Vec<_>>();
        let names = attrs.iter().map(|attr| (attr.name, self.new_slot())).collect::<Vec<_>>();
        for (name, slot) in &names {
            match has_overrides {
                true => self.bind_cell(*name, *slot),
                false => self.bind(*name, *slot),
            }
        }
        let outer = self.level().uninitialised;
        let mut bindings = Vec::with_capacity(source_slots.len() + names.len());
        for (source, slot) in sources.iter().zip(&source_slots) {
            self.level().uninitialised = Some(*slot);
            bindings.push((*slot, self.delayed(source.expr)?));
        }
        for (attr, (name, slot)) in attrs.iter().zip(&names) {
            self.level().uninitialised = Some(*slot);
            let delayed = match attr.value {
                AttrValue::Inherited => match inherited.remove(name) {
                    Some(delayed) => delayed,
                    None => self.inherited(attr)?,
                },
                AttrValue::Plain(expr) => match self.delayed(expr)? {
                    Delayed::Const(_) | Delayed::Var(_) | Delayed::Cell(_) if has_overrides => {
                        Delayed::Thunk(self.thunk(|compiler| compiler.expr(expr))?)
                    }
                    delayed => delayed,
                },
                AttrValue::InheritedFrom(index) => {
                    self.inherited_from(attr, source_slots[index as usize], sources[index as usize].pos)?
                }
            };
            bindings.push((*slot, delayed));
        }
        self.level().uninitialised = outer;
        Ok(Recursive { bindings, names, positions: attrs.iter().map(|attr| self.pos(attr.pos)).collect() })
    }

    fn inherited(&mut self, attr: &ast::Attr) -> Result<Delayed> {
        let pos = self.pos(attr.pos);
        match self.delayed_variable(attr.name, pos)? {
            Some(delayed) => Ok(delayed),
            None => Ok(Delayed::Thunk(self.thunk(|compiler| compiler.variable(attr.name, pos))?)),
        }
    }

    fn inherited_from(&mut self, attr: &ast::Attr, slot: u32, source_pos: ast::Pos) -> Result<Delayed> {
        let (pos, source_pos) = (self.pos(attr.pos), self.pos(source_pos));
        let level = self.levels.len() as u32 - 1;
        let source = Variable { level, slot, is_cell: false };
        let code = self.thunk(|compiler| {
            let base = match compiler.reference(source) {
                Ref::Local(slot) => Expr::Local(slot, source_pos),
                Ref::Captured(index) => Expr::Captured(index, source_pos),
            };
            let path = leak_all([Name::Static(attr.name, Cache::default())]);
            let select = Expr::Select(leak(Select { base, path, default: None, pos }));
            Ok(if compiler.is_observed { compiler.observed_select(select) } else { select })
        })?;
        Ok(Delayed::Thunk(code))
    }

    pub(super) fn attrs(&mut self, id: AttrsId) -> Result<Expr> {
        let set = self.ast.attr_set(id);
        let before = self.level().next_slot;
        if self.ast.attrs_in(set.attrs).is_empty() && self.ast.dynamic_in(set.dynamic).is_empty() {
            return Ok(Expr::Const(self.heap.empty_attrs()));
        }
        if !set.recursive {
            let result = self.plain_attrs(set);
            self.level().next_slot = before;
            return result;
        }
        let has_overrides = self.ast.attrs_in(set.attrs).iter().any(|attr| attr.name == sym::OVERRIDES);
        let mut scope = self.recursive_group(id, has_overrides)?;
        let dynamic = self.dynamic_attrs(set);
        let keys = scope.names.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let overrides = keys.iter().position(|key| *key == sym::OVERRIDES).map(|index| self.cells(&mut scope, index));
        let values = match &overrides {
            None => leak_all(scope.names.iter().map(|(_, slot)| Delayed::Var(Ref::Local(*slot)))),
            Some((hidden, _)) => leak_all(hidden.iter().map(|slot| Delayed::Var(Ref::Local(*slot)))),
        };
        self.end_group(&scope.names, before);
        let pos = self.pos(set.pos);
        let shape = self.heap.literal_shape(&keys, &scope.positions, pos);
        Ok(Expr::Attrs(leak(AttrsLit {
            shape,
            group: Group::new(leak_all(scope.bindings)),
            values,
            dynamic: dynamic?,
            overrides: overrides.map(|(_, overrides)| overrides),
            pos,
        })))
    }

    /// Moves every attribute to a hidden slot and puts a cell into the slot that the others captured.
    fn cells(&mut self, scope: &mut Recursive, index: usize) -> (Vec<u32>, Overrides) {
        let mut hidden_slots = Vec::with_capacity(scope.names.len());
        let mut cells = Vec::with_capacity(scope.names.len());
        for (_, slot) in &scope.names {
            let hidden = self.new_slot();
            hidden_slots.push(hidden);
            if let Some(binding) = scope.bindings.iter_mut().find(|(s, _)| s == slot) {
                binding.0 = hidden;
            }
            let captures = leak_all([Ref::Local(hidden)]);
            let code = leak(ThunkCode::new(captures, Expr::Captured(0, Pos::NONE), 0));
            cells.push((*slot, Delayed::Thunk(code)));
        }
        scope.bindings.append(&mut cells);
        let cells = leak_all(scope.names.iter().map(|(_, slot)| *slot));
        (hidden_slots, Overrides { index, cells })
    }

    fn dynamic_attrs(&mut self, set: ast::AttrSet) -> Result<&'static [DynamicAttr]> {
        let attrs: Result<Vec<_>> = self
            .ast
            .dynamic_in(set.dynamic)
            .iter()
            .map(|attr| {
                let name = self.expr(attr.name)?;
                let value = self.delayed(attr.value)?;
                Ok(DynamicAttr { name, value, pos: self.pos(attr.pos) })
            })
            .collect();
        attrs.map(leak_all)
    }

    fn plain_attrs(&mut self, set: ast::AttrSet) -> Result<Expr> {
        let ast = self.ast;
        let attrs = self.by_symbol(set);
        let mut bindings = Vec::new();
        let mut source_slots = Vec::new();
        let sources = ast.parts_in(set.inherit_from);
        for source in sources {
            let delayed = self.delayed(source.expr)?;
            let slot = self.new_slot();
            source_slots.push(slot);
            bindings.push((slot, delayed));
        }
        let mut values = Vec::with_capacity(attrs.len());
        for attr in &attrs {
            values.push(match attr.value {
                AttrValue::Inherited => self.inherited(attr)?,
                AttrValue::Plain(expr) => self.delayed(expr)?,
                AttrValue::InheritedFrom(index) => {
                    self.inherited_from(attr, source_slots[index as usize], sources[index as usize].pos)?
                }
            });
        }
        let dynamic = self.dynamic_attrs(set)?;
        let keys = attrs.iter().map(|attr| attr.name).collect::<Vec<_>>();
        let positions = attrs.iter().map(|attr| self.pos(attr.pos)).collect::<Vec<_>>();
        let pos = self.pos(set.pos);
        let shape = self.heap.literal_shape(&keys, &positions, pos);
        Ok(Expr::Attrs(leak(AttrsLit {
            shape,
            group: Group::new(leak_all(bindings)),
            values: leak_all(values),
            dynamic,
            overrides: None,
            pos,
        })))
    }
}

/// The slots of a `let` or recursive set.
struct Recursive {
    bindings: Vec<(u32, Delayed)>,
    /// Names and slots, by symbol.
    names: Vec<(Symbol, u32)>,
    positions: Vec<Pos>,
}
