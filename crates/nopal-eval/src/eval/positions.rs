//! Positions as values: `__curPos` and `builtins.unsafeGetAttrPos`.

use nopal_syntax::interner::sym;

use crate::builtin::{BuiltinDef, Scope};
use crate::error::Result;
use crate::eval::Evaluator;
use crate::pos::{Location, Origin, Pos};
use crate::value::{AttrsBuilder, Value};

/// Counts lines up to a position, given as its number.
static LINE_OF: BuiltinDef = internal("lineOfPos", |ev, args, _| ev.part_of_position(args[0], |place| place.line));
/// Counts columns.
static COLUMN_OF: BuiltinDef =
    internal("columnOfPos", |ev, args, _| ev.part_of_position(args[0], |place| place.column));

const fn internal(name: &'static str, fun: crate::builtin::BuiltinFn) -> BuiltinDef {
    BuiltinDef { name, args: &["pos"], doc: "", scope: Scope::Builtins, feature: None, trace: false, fun, first: None }
}

impl Evaluator {
    /// A position as a set of file, line and column, or null where there is no file.
    pub fn pos_value(&mut self, pos: Pos) -> Value {
        let Some(Origin::File { path, .. }) = self.positions.origin(pos) else { return Value::NULL };
        let file = self.heap.string(path);
        // as in Nix, lines are counted when somebody asks for them, and shown as thunks until then
        let number = self.heap.int(i64::from(pos.raw()));
        let [line, column] = [&LINE_OF, &COLUMN_OF].map(|def| {
            let function = self.heap.builtin(def);
            self.heap.app(function, &[number])
        });
        let mut attrs = AttrsBuilder::with_capacity(3);
        attrs.insert(sym::FILE, file, Pos::NONE);
        attrs.insert(sym::LINE, line, Pos::NONE);
        attrs.insert(sym::COLUMN, column, Pos::NONE);
        attrs.finish(&mut self.heap)
    }

    fn part_of_position(&mut self, number: Value, part: fn(&Location<'_>) -> u32) -> Result<Value> {
        let pos = Pos::from_raw(number.as_int().and_then(|number| u32::try_from(number).ok()).unwrap_or_default());
        let part = self.positions.locate(pos).map_or(0, |place| part(&place));
        Ok(self.heap.int(i64::from(part)))
    }
}
