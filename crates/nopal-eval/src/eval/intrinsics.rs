//! Builtins that are part of the evaluator itself: imports, evaluation order, what `tryEval` catches.

use nopal_syntax::interner::sym;

use crate::builtin::{BuiltinDef, Scope};
use crate::context::{Context, ContextElement};
use crate::error::{Error, ErrorKind, Result};
use crate::eval::Evaluator;
use crate::eval::access::Links;
use crate::eval::coerce::Coerce;
use crate::pos::Pos;
use crate::settings::SearchPathEntry;
use crate::value::{AttrsBuilder, Root, Value};

/// The text that makes the value of an imported `.drv` file from its outputs.
const IMPORTED_DRV: &str = include_str!("imported-drv.nix");

const fn def(
    name: &'static str,
    args: &'static [&'static str],
    scope: Scope,
    fun: crate::builtin::BuiltinFn,
    doc: &'static str,
) -> BuiltinDef {
    BuiltinDef { name, args, doc, scope, feature: None, trace: true, fun, first: None }
}

pub(super) const DEFS: &[BuiltinDef] = &[
    def("import", &["path"], Scope::Global, import, "Evaluates the file at a path, each file once."),
    def(
        "scopedImport",
        &["scope", "path"],
        Scope::Global,
        scoped_import,
        "Evaluates the file at a path with the attributes of a set as additional variables.",
    ),
    def(
        "findFile",
        &["search-path", "lookup-path"],
        Scope::Builtins,
        find_file,
        "Looks a name up in a search path such as `builtins.nixPath`; `<name>` calls it.",
    ),
    def("seq", &["e1", "e2"], Scope::Builtins, seq, "Evaluates the first argument and returns the second."),
    def(
        "deepSeq",
        &["e1", "e2"],
        Scope::Builtins,
        deep_seq,
        "Evaluates the first argument and everything in it, and returns the second.",
    ),
    def(
        "tryEval",
        &["e"],
        Scope::Builtins,
        try_eval,
        "Evaluates the argument and says whether that succeeded; catches what `throw` and `assert` raise.",
    ),
    BuiltinDef {
        name: "addErrorContext",
        args: &["message", "value"],
        doc: "Returns the value; an error in it is reported with the message.",
        scope: Scope::Builtins,
        feature: None,
        trace: false,
        fun: add_error_context,
        first: None,
    },
    def(
        "unsafeGetAttrPos",
        &["s", "set"],
        Scope::Builtins,
        unsafe_get_attr_pos,
        "The place where an attribute of a set was defined, or null.",
    ),
];

fn import(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let (root, path) = ev.realise_path(args[0], pos, Links::Keep)?;
    match ev.imported_derivation(root, &path)? {
        Some(value) => Ok(value),
        None => ev.eval_file(root, &path),
    }
}

fn scoped_import(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let (root, path) = ev.realise_path(args[1], pos, Links::Keep)?;
    match ev.imported_derivation(root, &path)? {
        Some(value) => Ok(value),
        None => ev.scoped_import(args[0], root, &path),
    }
}

fn find_file(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(args[0], pos, "while evaluating the first argument passed to builtins.findFile")?;
    let prefix_name = ev.symbols.intern(b"prefix");
    let path_name = ev.symbols.intern(b"path");
    let mut entries = Vec::with_capacity(list.len());
    for element in list.iter() {
        let what = "while evaluating an element of the list passed to builtins.findFile";
        let attrs = ev.force_attrs(element, pos, what)?;
        let prefix = match attrs.get(prefix_name) {
            Some(value) => {
                let what =
                    "while evaluating the `prefix` attribute of an element of the list passed to builtins.findFile";
                ev.force_string_no_ctx(value, pos, what)?.as_bytes().to_vec()
            }
            None => Vec::new(),
        };
        let value = ev.require_attr(attrs, path_name, "in an element of the __nixPath")?;
        let mut context = Context::EMPTY;
        let what = "while evaluating the `path` attribute of an element of the list passed to builtins.findFile";
        let path = ev.coerce_to_string(value, pos, &mut context, what, Coerce::NO_COPY)?;
        let value = match ev.realise_context(context, pos) {
            Ok(_) => path,
            Err(error) if error.kind() == ErrorKind::InvalidPath => {
                let shown = String::from_utf8_lossy(&path);
                let message = format!("cannot find '{shown}', since {error}");
                return Err(Error::eval(message).at(pos));
            }
            Err(error) => return Err(error),
        };
        entries.push(SearchPathEntry { prefix, value });
    }
    let what = "while evaluating the second argument passed to builtins.findFile";
    let name = ev.force_string_no_ctx(args[1], pos, what)?;
    let (root, path) = ev.find_file_in(&entries, name.as_bytes(), pos)?;
    Ok(ev.heap.path(root, &path))
}

fn seq(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    ev.force(args[0], pos)?;
    ev.force(args[1], pos)
}

fn deep_seq(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    ev.force_deep(args[0])?;
    ev.force(args[1], pos)
}

fn try_eval(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let success = ev.symbols.intern(b"success");
    let depth = ev.depth;
    let (value, succeeded) = match ev.force(args[0], pos) {
        Ok(_) => (args[0], true),
        Err(error) if error.is_catchable() => {
            ev.depth = depth;
            (Value::FALSE, false)
        }
        Err(error) => return Err(error),
    };
    let mut attrs = AttrsBuilder::with_capacity(2);
    attrs.insert(sym::VALUE, value, Pos::NONE);
    attrs.insert(success, Value::bool(succeeded), Pos::NONE);
    Ok(attrs.finish(&mut ev.heap))
}

fn add_error_context(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    match ev.force(args[1], pos) {
        Ok(value) => Ok(value),
        Err(error) => {
            let mut context = Context::EMPTY;
            let what = "while evaluating the error message passed to builtins.addErrorContext";
            let message = ev.coerce_to_string(args[0], pos, &mut context, what, Coerce::NO_COPY)?;
            Err(error.trace_always(Pos::NONE, message))
        }
    }
}

fn unsafe_get_attr_pos(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.unsafeGetAttrPos";
    let name = ev.force_string_no_ctx(args[0], pos, what)?;
    let what = "while evaluating the second argument passed to builtins.unsafeGetAttrPos";
    let attrs = ev.force_attrs(args[1], pos, what)?;
    Ok(match attrs.get_with_pos(ev.symbol_of(name)) {
        Some((_, place)) => ev.pos_value(place),
        None => Value::NULL,
    })
}

impl Evaluator {
    /// The value of a `.drv` file of the store, if `path` is one.
    fn imported_derivation(&mut self, root: Root, path: &[u8]) -> Result<Option<Value>> {
        if root != Root::HOST || !path.ends_with(b".drv") {
            return Ok(None);
        }
        let parsed = std::str::from_utf8(path).ok().and_then(|text| self.settings.store_dir.parse(text).ok());
        let Some(store_path) = parsed else { return Ok(None) };
        let host = self.host();
        if !host.ensure_path(&store_path).map_err(|error| self.host_error(error, Pos::NONE))? {
            return Ok(None);
        }
        let drv = self.read_derivation(&store_path)?;
        let mut attrs = AttrsBuilder::with_capacity(3 + drv.outputs.len());
        let context = self.contexts.single(ContextElement::DrvDeep(store_path.clone()));
        attrs.insert(sym::DRV_PATH, self.heap.string_with(path, context), Pos::NONE);
        let name = drv.env_value("name").map(|name| name.as_bytes().to_vec()).unwrap_or_default();
        attrs.insert(sym::NAME, self.heap.string(&name), Pos::NONE);
        let mut outputs = self.heap.list_builder(drv.outputs.len());
        for (index, (output, spec)) in drv.outputs.iter().enumerate() {
            let value = self.output_string(&store_path, &drv.name, output, spec)?;
            attrs.insert(self.symbols.intern(output.as_bytes()), value, Pos::NONE);
            outputs.set(index, self.heap.string(output.as_bytes()));
        }
        attrs.insert(sym::OUTPUTS, outputs.finish(), Pos::NONE);
        let argument = attrs.finish_first_wins(&mut self.heap);
        let wrapper = match self.imported_drv {
            Some(wrapper) => wrapper,
            None => {
                let wrapper = self.eval_text(IMPORTED_DRV.as_bytes(), b"/")?;
                self.imported_drv = Some(self.heap.keep(wrapper));
                wrapper
            }
        };
        self.call(wrapper, &[argument], Pos::NONE).map(Some)
    }
}
