//! Reading `flake.nix`: what it says about itself, without evaluating its outputs.

use nopal_eval::value::Attrs as SetAttrs;
use nopal_eval::{Error, Pos, Value, View};
use nopal_format::flake::input::attrs_to_json;
use nopal_format::flake::lock::parse_input_path;
use nopal_format::flake::reference::absolute;
use nopal_format::flake::{Attr, Attrs, FlakeRef, LockFile};

use super::config::ConfigValue;
use super::{Flake, FlakeInput, Flakes, Inputs, refused};
use crate::inputs::registry::Use;

/// Types that a part of a flake may have to be of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Str,
    Bool,
    Set,
    Function,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Str => "a string",
            Self::Bool => "a Boolean",
            Self::Set => "a set",
            Self::Function => "a function",
        }
    }

    fn is_of(self, value: Value) -> bool {
        match value.view() {
            View::Str(_) => self == Self::Str,
            View::Bool(_) => self == Self::Bool,
            View::Attrs(_) => self == Self::Set,
            View::Closure(_) | View::Builtin(_) | View::PartialApp(_) => self == Self::Function,
            _ => false,
        }
    }
}

/// Where a flake is read from.
pub(super) struct Place<'a> {
    pub(super) original: &'a FlakeRef,
    pub(super) resolved: &'a FlakeRef,
    pub(super) locked: &'a FlakeRef,
    /// The root of the tree.
    pub(super) root: &'a str,
    /// Where in the lock file it stands: what its inputs follow is named from there.
    pub(super) input_path: &'a [String],
}

impl Flakes<'_> {
    /// Fetches a flake and reads it.
    pub(super) fn get(&mut self, original: &FlakeRef, which: Use, input_path: &[String]) -> Result<Flake, Error> {
        let found = self.resolve(original, which)?;
        let subdir = found.dir.unwrap_or_else(|| original.subdir.clone());
        let resolved = FlakeRef { input: found.input, subdir: subdir.clone() };
        let mut tree = self.ev.fetch_tree(&resolved.input)?;
        let mut locked = FlakeRef { input: tree.input.clone().unwrap_or_else(|| resolved.input.clone()), subdir };
        let mut flake = self.read_at(original, &resolved, &locked, &tree, input_path)?;
        let mut wanted = locked.input.clone();
        for (name, value) in &flake.self_attrs {
            if name != "submodules" && name != "lfs" {
                return Err(Error::eval(format!("flake 'self' attribute '{name}' is not supported")));
            }
            wanted.set(name, value.clone());
        }
        if wanted != locked.input {
            // it wants to be fetched differently
            let shown = FlakeRef { input: wanted.clone(), subdir: locked.subdir.clone() };
            let text = format!("refetching input '{shown}' due to self attribute");
            self.shared.config.reporter.message(nopal_report::Level::Info, text);
            wanted.remove("narHash");
            wanted.remove(nopal_format::flake::input::FINAL);
            tree = self.ev.fetch_tree(&wanted)?;
            locked.input = tree.input.clone().unwrap_or(wanted);
            flake = self.read_at(original, &resolved, &locked, &tree, input_path)?;
        }
        self.ev.unmount_if_impure(&tree.store_path);
        flake.tree = Some(tree);
        Ok(flake)
    }

    fn read_at(
        &mut self,
        original: &FlakeRef,
        resolved: &FlakeRef,
        locked: &FlakeRef,
        tree: &nopal_eval::host::Fetched,
        input_path: &[String],
    ) -> Result<Flake, Error> {
        let root = self.ev.settings.store_dir.print(&tree.store_path);
        self.read(&Place { original, resolved, locked, root: &root, input_path })
    }

    /// Reads the `flake.nix` of a tree.
    pub(super) fn read(&mut self, place: &Place<'_>) -> Result<Flake, Error> {
        let dir = absolute(place.root, &place.resolved.subdir);
        if !self.ev.settings.pure_eval {
            // a relative path may lead out of the tree
            let split = self.ev.settings.store_dir.split(&dir).map(drop);
            split.map_err(|error| Error::eval(error.to_string()))?;
        }
        let set = self.ev.eval_plain_set(format!("{dir}/flake.nix").as_bytes())?;
        let mut flake = Flake {
            original: place.original.clone(),
            resolved: place.resolved.clone(),
            locked: place.locked.clone(),
            dir,
            tree: None,
            force_dirty: false,
            description: None,
            inputs: Inputs::new(),
            self_attrs: Attrs::new(),
            config: Vec::new(),
        };
        if let Some((value, pos)) = self.attr(set, "description") {
            let value = self.expect(Type::Str, value, pos)?;
            flake.description = value.as_str().map(|text| text.to_lossy().into_owned());
        }
        if let Some((value, pos)) = self.attr(set, "inputs") {
            let dir = flake.dir.clone();
            let found = self.inputs(value, pos, place.input_path, &dir, Some(&mut flake.self_attrs))?;
            flake.inputs = found;
        }
        let Some((outputs, pos)) = self.attr(set, "outputs") else {
            return Err(Error::eval(format!("flake '{}' lacks attribute 'outputs'", place.resolved)));
        };
        let outputs = self.expect(Type::Function, outputs, pos)?;
        for name in self.ev.formal_names(outputs) {
            let name = String::from_utf8_lossy(&name).into_owned();
            if name != "self" && !flake.inputs.contains_key(&name) {
                let input = FlakeInput { reference: Some(self.parse(&name)?), ..FlakeInput::default() };
                flake.inputs.insert(name, input);
            }
        }
        if let Some((value, pos)) = self.attr(set, "nixConfig") {
            flake.config = self.config_of(value, pos)?;
        }
        for (name, _, pos) in set.iter() {
            let name = self.ev.symbol_name(name).into_owned();
            if !["description", "inputs", "outputs", "nixConfig"].contains(&name.as_str()) {
                let place_shown = self.ev.show_pos(pos);
                return Err(Error::eval(format!(
                    "flake '{}' has an unsupported attribute '{name}', at {place_shown}",
                    place.resolved
                )));
            }
        }
        Ok(flake)
    }

    fn attr(&mut self, set: SetAttrs, name: &str) -> Option<(Value, Pos)> {
        let name = self.ev.symbols.intern(name.as_bytes());
        set.get_with_pos(name)
    }

    fn expect(&mut self, wanted: Type, value: Value, pos: Pos) -> Result<Value, Error> {
        let value = self.ev.plain_value(value)?;
        if wanted.is_of(value) {
            return Ok(value);
        }
        let (found, place) = (self.ev.show_type(value), self.ev.show_pos(pos));
        Err(Error::eval(format!("expected {} but got {found} at {place}", wanted.name())))
    }

    fn expect_set(&mut self, value: Value, pos: Pos) -> Result<SetAttrs, Error> {
        let value = self.expect(Type::Set, value, pos)?;
        value.as_attrs().ok_or_else(|| Error::eval("expected a set"))
    }

    /// Reads the set `inputs`. `self_attrs` takes what it says of `self`, where that is allowed.
    fn inputs(
        &mut self,
        value: Value,
        pos: Pos,
        input_path: &[String],
        dir: &str,
        mut self_attrs: Option<&mut Attrs>,
    ) -> Result<Inputs, Error> {
        let set = self.expect_set(value, pos)?;
        let mut inputs = Inputs::new();
        for (name, value, pos) in set.iter() {
            let name = self.ev.symbol_name(name).into_owned();
            if name != "self" {
                let input = self.input(value, pos, input_path, dir)?;
                inputs.insert(name, input);
                continue;
            }
            let Some(attrs) = self_attrs.as_deref_mut() else {
                let place = self.ev.show_pos(pos);
                return Err(Error::eval(format!("'self' input attribute not allowed at {place}")));
            };
            for (name, value, _) in self.expect_set(value, pos)?.iter() {
                let name = self.ev.symbol_name(name).into_owned();
                attrs.insert(name.clone(), self.input_attr(&name, value)?);
            }
        }
        Ok(inputs)
    }

    fn input(&mut self, value: Value, pos: Pos, input_path: &[String], dir: &str) -> Result<FlakeInput, Error> {
        let set = self.expect_set(value, pos)?;
        let mut input = FlakeInput::default();
        let mut attrs = Attrs::new();
        for (name, value, place) in set.iter() {
            let name = self.ev.symbol_name(name).into_owned();
            self.input_part(&mut input, &mut attrs, &name, (value, place), input_path, dir)
                .map_err(|error| error.trace(place, format!("while evaluating flake attribute '{name}'")))?;
        }
        if attrs.contains_key("type") {
            let read = FlakeRef::from_attrs(attrs, &mut |warning| crate::inputs::warn(self.shared, warning));
            let reference = read.map_err(refused).and_then(|found| self.check_feature(&found).map(|()| found));
            input.reference = Some(reference.map_err(|error| error.trace(pos, "while evaluating flake input"))?);
        } else {
            let url = attrs.remove("url");
            if let Some(name) = attrs.keys().next() {
                let place = self.ev.show_pos(pos);
                return Err(Error::eval(format!("unexpected flake input attribute '{name}', at {place}")));
            }
            if let Some(Attr::Str(url)) = url {
                let warn: &mut dyn FnMut(String) = &mut |warning| crate::inputs::warn(self.shared, warning);
                let reference = FlakeRef::parse(&url, !input.is_plain, true, warn).map_err(refused)?;
                self.check_feature(&reference)?;
                input.reference = Some(reference);
            }
        }
        if input.reference.is_some() && input.follows.is_some() {
            let place = self.ev.show_pos(pos);
            return Err(Error::eval(format!(
                "flake input has both a flake reference and a follows attribute, at {place}"
            )));
        }
        Ok(input)
    }

    fn input_part(
        &mut self,
        input: &mut FlakeInput,
        attrs: &mut Attrs,
        name: &str,
        (value, pos): (Value, Pos),
        input_path: &[String],
        dir: &str,
    ) -> Result<(), Error> {
        match name {
            "url" => {
                let value = self.ev.plain_value(value)?;
                let url = match value.view() {
                    View::Str(text) => text.to_lossy().into_owned(),
                    View::Path(path) => {
                        let path = String::from_utf8_lossy(path.as_bytes()).into_owned();
                        self.tree_path(&path, pos, dir)?
                    }
                    _ => {
                        let (found, place) = (self.ev.show_type(value), self.ev.show_pos(pos));
                        return Err(Error::eval(format!("expected a string or a path but got {found} at {place}")));
                    }
                };
                attrs.insert("url".to_owned(), Attr::Str(url));
            }
            "flake" => {
                let value = self.expect(Type::Bool, value, pos)?;
                input.is_plain = value.as_bool() == Some(false);
            }
            "inputs" => input.overrides = self.inputs(value, pos, input_path, dir, None)?,
            "follows" => {
                let value = self.expect(Type::Str, value, pos)?;
                let text = value.as_str().map(|text| text.to_lossy().into_owned()).unwrap_or_default();
                let path = parse_input_path(&text).map_err(refused)?;
                input.follows = Some([input_path, &path].concat());
            }
            _ => {
                let value = self.input_attr(name, value)?;
                attrs.insert(name.to_owned(), value);
            }
        }
        Ok(())
    }

    /// A path in the tree of a flake as a URL relative to the flake.
    fn tree_path(&self, path: &str, pos: Pos, dir: &str) -> Result<String, Error> {
        let store_dir = &self.ev.settings.store_dir;
        let tree = |path: &str| store_dir.split(path).ok().map(|(tree, _)| tree);
        if tree(path).is_none() || tree(path) != tree(dir) {
            let place = self.ev.show_pos(pos);
            return Err(Error::eval(format!(
                "input attribute path '{path}' at {place} must be in the same source tree as {dir}"
            )));
        }
        Ok(format!("path:{}", relative(dir, path)))
    }

    fn input_attr(&mut self, name: &str, value: Value) -> Result<Attr, Error> {
        Ok(match value.view() {
            View::Str(text) => Attr::Str(text.to_lossy().into_owned()),
            View::Bool(flag) => Attr::Bool(flag),
            View::Int(number) => match u64::try_from(number) {
                Ok(number) => Attr::Int(number),
                Err(_) => {
                    let message = format!("negative value given for flake input attribute {name}: {number}");
                    return Err(Error::eval(message));
                }
            },
            _ if name == "publicKeys" => {
                Attr::Str(String::from_utf8_lossy(&self.ev.print_json(value, true)?).into_owned())
            }
            _ => {
                let found = self.ev.show_type(value);
                return Err(Error::type_error(format!(
                    "flake input attribute '{name}' is {found} while a string, Boolean, or integer is expected"
                )));
            }
        })
    }

    fn config_of(&mut self, value: Value, pos: Pos) -> Result<Vec<(String, ConfigValue)>, Error> {
        let mut found = Vec::new();
        for (name, value, _) in self.expect_set(value, pos)?.iter() {
            let name = self.ev.symbol_name(name).into_owned();
            let value = self.ev.plain_value(value)?;
            let setting = match value.view() {
                View::Str(text) => ConfigValue::Text(text.to_lossy().into_owned()),
                View::Int(number) => ConfigValue::Text(number.to_string()),
                View::Bool(flag) => ConfigValue::Text(flag.to_string()),
                View::Path(path) => {
                    let (root, path) = (path.root(), path.as_bytes().to_vec());
                    let mut context = nopal_eval::context::Context::EMPTY;
                    let copied = self.ev.copy_path_to_store(&mut context, root, &path)?;
                    ConfigValue::Text(copied.to_string())
                }
                View::List(list) => {
                    let mut words = Vec::new();
                    for element in list.iter() {
                        let View::Str(text) = element.view() else {
                            let found = self.ev.show_type(value);
                            return Err(Error::type_error(format!(
                                "list element in flake configuration setting '{name}' is {found} while a string is \
                                 expected"
                            )));
                        };
                        words.push(text.to_lossy().into_owned());
                    }
                    ConfigValue::Words(words)
                }
                _ => {
                    let found = self.ev.show_type(value);
                    return Err(Error::type_error(format!("flake configuration setting '{name}' is {found}")));
                }
            };
            found.push((name, setting));
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }

    /// The lock file of a flake; empty if there is none.
    pub(super) fn lock_file_of(&mut self, dir: &str) -> Result<LockFile, Error> {
        let path = format!("{dir}/flake.lock");
        let host = self.ev.host();
        let there = host.file_type(path.as_ref()).map_err(|error| self.ev.host_error(error, Pos::NONE))?;
        if there.is_none() {
            return Ok(LockFile::default());
        }
        let text = host.read_file(path.as_ref()).map_err(|error| self.ev.host_error(error, Pos::NONE))?;
        self.parse_lock_file(&text, &path)
    }

    pub(super) fn parse_lock_file(&self, text: &[u8], path: &str) -> Result<LockFile, Error> {
        let text = String::from_utf8_lossy(text);
        LockFile::parse(&text, path, &mut |warning| self.warn(warning)).map_err(refused)
    }
}

/// The way from one directory to another path.
fn relative(from: &str, to: &str) -> String {
    let parts =
        |path: &str| -> Vec<String> { path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect() };
    let (from, to) = (parts(from), parts(to));
    let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - common);
    let way: Vec<String> = up.chain(to[common..].iter().cloned()).collect();
    if way.is_empty() { ".".to_owned() } else { way.join("/") }
}

/// What a reference looks like among a user's data.
pub(super) fn attrs_json(reference: &FlakeRef) -> nopal_format::json::Json {
    let mut attrs = reference.to_attrs();
    attrs.remove(nopal_format::flake::input::FINAL);
    attrs_to_json(&attrs)
}
