//! What every file sees: builtins and constants.

use nopal_syntax::units::Units;

use crate::builtin::{BuiltinDef, Scope};
use crate::code::compile::compile;
use crate::eval::Evaluator;
use crate::pos::{Origin, Pos};
use crate::value::{AttrsBuilder, Root, Value, View};

/// The version of Nix whose language this is, `builtins.nixVersion`.
pub const NIX_VERSION: &str = "2.34.8";

/// `builtins.langVersion`
const LANG_VERSION: i64 = 6;

/// What Nix puts into the environment of all files, in its order, so that names get their symbols in that order: it shows
/// in which of two errors is reported, and in whether `let a = b; b = …` makes one cell or two. A name that begins with
/// `__` is in `builtins` without it. The last is a name in the text of Nix's `derivation` and not in that of ours.
#[rustfmt::skip]
const NAMES: &[&str] = &[
    "builtins", "true", "false", "null", "__currentTime", "__currentSystem", "__nixVersion", "__storeDir",
    "__langVersion", "__traceVerbose", "__nixPath", "scopedImport", "import", "__typeOf", "isNull", "__isFunction",
    "__isInt", "__isFloat", "__isString", "__isBool", "__isPath", "__genericClosure", "break", "abort", "throw",
    "__addErrorContext", "__ceil", "__floor", "__tryEval", "__getEnv", "__seq", "__deepSeq", "__trace", "__warn",
    "derivationStrict", "placeholder", "__toPath", "__storePath", "__pathExists", "baseNameOf", "dirOf", "__readFile",
    "__findFile", "__hashFile", "__readFileType", "__readDir", "__outputOf", "__toXML", "__toJSON", "__fromJSON",
    "__toFile", "__filterSource", "__path", "__attrNames", "__attrValues", "__getAttr", "__unsafeGetAttrPos",
    "__hasAttr", "__isAttrs", "removeAttrs", "__listToAttrs", "__intersectAttrs", "__catAttrs", "__functionArgs",
    "__mapAttrs", "__zipAttrsWith", "__isList", "__elemAt", "__head", "__tail", "map", "__filter", "__elem",
    "__concatLists", "__length", "__foldl'", "__any", "__all", "__genList", "__sort", "__partition", "__groupBy",
    "__concatMap", "__add", "__sub", "__mul", "__div", "__bitAnd", "__bitOr", "__bitXor", "__lessThan", "toString",
    "__substring", "__stringLength", "__hashString", "__convertHash", "__match", "__split", "__concatStringsSep",
    "__replaceStrings", "__parseDrvName", "__compareVersions", "__splitVersion", "__unsafeDiscardStringContext",
    "__hasContext", "__unsafeDiscardOutputDependency", "__addDrvOutputDependencies", "__getContext", "__appendContext",
    "__fetchClosure", "fetchMercurial", "fetchTree", "fetchFinalTree", "__fetchurl", "fetchTarball", "fetchGit",
    "fromTOML", "__getFlake", "__parseFlakeRef", "__flakeRefToString", "derivation", "outputToAttrListElement",
];

/// Those of [`NAMES`] that there are only with an experimental feature.
const GATED: [(&str, &str); 3] =
    [("__outputOf", "dynamic-derivations"), ("__fetchClosure", "fetch-closure"), ("fetchTree", "fetch-tree")];

/// Reads the clock. `currentTime` is an application of it, so that the host learns whether an evaluation depends on the
/// time.
static CLOCK: BuiltinDef = BuiltinDef {
    name: "currentTime",
    args: &["_"],
    doc: "",
    scope: Scope::Builtins,
    feature: None,
    trace: false,
    fun: |evaluator, _, _| {
        let now = evaluator.host().now();
        Ok(evaluator.heap.int(now))
    },
    first: None,
};

impl Evaluator {
    /// A value as it is to be printed: Nix knows the time from the start, here it is asked for then.
    pub(crate) fn with_time(&mut self, value: Value) -> crate::error::Result<Value> {
        match value.as_app().map(|app| app.function().view()) {
            Some(View::Builtin(def)) if std::ptr::eq(def, &CLOCK) => self.force(value, Pos::NONE),
            _ => Ok(value),
        }
    }

    fn name_globals(&mut self) {
        for name in NAMES {
            let gate = GATED.iter().find(|(gated, _)| gated == name);
            let is_there = match gate {
                Some((_, feature)) => self.settings.has_feature(feature),
                None => !(self.settings.pure_eval && name.starts_with("__current")),
            };
            if is_there {
                self.symbols.intern(name.as_bytes());
                self.symbols.intern(name.strip_prefix("__").unwrap_or(name).as_bytes());
            }
        }
    }

    pub(super) fn make_globals(&mut self) {
        self.name_globals();
        let mut all = AttrsBuilder::with_capacity(160);
        let tables = crate::builtins::tables().iter().copied();
        for table in tables.chain([super::intrinsics::DEFS, crate::derivation::DEFS]) {
            for def in table {
                self.add_builtin(def, &mut all);
            }
        }
        for (name, value, global) in self.constants() {
            let symbol = self.symbols.intern(name.as_bytes());
            all.insert(symbol, value, Pos::NONE);
            let plain = if global { name.to_owned() } else { format!("__{name}") };
            let plain = self.symbols.intern(plain.as_bytes());
            self.globals.insert(plain, self.heap.keep(value));
        }
        let name = self.symbols.intern(b"builtins");
        // `builtins.builtins` is `builtins`: the set contains a cell that is given its value when the set exists.
        let cell = self.heap.app(Value::NULL, &[]);
        all.insert(name, cell, Pos::NONE);
        let wrapper_name = self.symbols.intern(b"derivation");
        let wrapper = self.heap.app(Value::NULL, &[]);
        all.insert(wrapper_name, wrapper, Pos::NONE);
        let builtins = all.finish_first_wins(&mut self.heap);
        self.heap.set_indirection(cell, builtins);
        self.globals.insert(name, self.heap.keep(builtins));
        if let Some(derivation) = self.derivation_wrapper() {
            self.heap.set_indirection(wrapper, derivation);
            self.globals.insert(wrapper_name, self.heap.keep(derivation));
        }
    }

    fn add_builtin(&mut self, def: &'static BuiltinDef, all: &mut AttrsBuilder) {
        if def.feature.is_some_and(|feature| !self.settings.has_feature(feature)) {
            return;
        }
        let value = self.heap.builtin(def);
        let name = self.symbols.intern(def.name.as_bytes());
        all.insert(name, value, Pos::NONE);
        let plain = match def.scope {
            Scope::Global => name,
            Scope::Builtins => self.symbols.intern(format!("__{}", def.name).as_bytes()),
        };
        self.globals.insert(plain, self.heap.keep(value));
    }

    fn constants(&mut self) -> Vec<(&'static str, Value, bool)> {
        let mut list = vec![
            ("true", Value::TRUE, true),
            ("false", Value::FALSE, true),
            ("null", Value::NULL, true),
            ("langVersion", self.heap.int(LANG_VERSION), false),
            ("nixVersion", self.heap.string(NIX_VERSION.as_bytes()), false),
            ("storeDir", self.heap.string(self.settings.store_dir.as_str().as_bytes()), false),
        ];
        if !self.settings.pure_eval {
            let clock = self.heap.builtin(&CLOCK);
            list.push(("currentTime", self.heap.app(clock, &[Value::NULL]), false));
            list.push(("currentSystem", self.heap.string(self.settings.system.as_bytes()), false));
        }
        let nix_path = self.nix_path_value();
        list.push(("nixPath", nix_path, false));
        list
    }

    fn nix_path_value(&mut self) -> Value {
        let entries = self.settings.nix_path.clone();
        let (path, prefix) = (self.symbols.intern(b"path"), self.symbols.intern(b"prefix"));
        let mut list = self.heap.list_builder(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let mut attrs = AttrsBuilder::with_capacity(2);
            attrs.insert(path, self.heap.string(&entry.value), Pos::NONE);
            attrs.insert(prefix, self.heap.string(&entry.prefix), Pos::NONE);
            list.set(index, attrs.finish(&mut self.heap));
        }
        list.finish()
    }

    /// The function `derivation`, which is written in Nix.
    fn derivation_wrapper(&mut self) -> Option<Value> {
        let text = crate::derivation::WRAPPER.as_bytes();
        let origin = Origin::File { root: Root::INTERNAL, path: crate::derivation::INTERNAL_PATH.to_vec() };
        let base = self.positions.add(origin, text.to_vec().into());
        let options = nopal_syntax::parser::Options::default();
        let parsed = nopal_syntax::parser::parse(text, &mut self.symbols, &options).ok()?;
        if let Some(observer) = &mut self.observer {
            observer.parsed(&parsed.ast);
        }
        let source = self.source(parsed.ast, Units::default(), base, (Root::INTERNAL, b"/"), None);
        let code = compile(&source, self.compiler_context()).ok()?;
        self.run(code).ok()
    }

    /// The set `builtins`.
    pub fn builtins(&mut self) -> Value {
        let name = self.symbols.intern(b"builtins");
        self.globals.get(&name).copied().unwrap_or(Value::NULL)
    }
}
