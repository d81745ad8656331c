//! `flake show`: the outputs of a flake as a tree, evaluated as little as showing them needs.

use std::collections::BTreeMap;

use nopal_eval::value::RootVec;
use nopal_eval::{Error, ErrorKind, Pos, Value, View};
use nopal_format::json::Json;
use nopal_syntax::Symbol;

use super::{Flakes, LockFlags};
use crate::engine::Engine;
use crate::error::EngineError;

/// What is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShowOptions {
    /// `legacyPackages`, too.
    pub legacy: bool,
    /// What is for other systems, too.
    pub all_systems: bool,
    /// As JSON; nothing is printed line by line.
    pub json: bool,
}

/// Takes lines for standard output, as they come.
pub(super) type Lines<'a> = &'a mut (dyn FnMut(&str) + Send);

impl Engine {
    /// Shows the outputs of a flake. Returns them as JSON.
    ///
    /// # Errors
    /// Evaluation fails.
    pub fn flake_show(
        &self,
        text: &str,
        flags: &LockFlags,
        options: ShowOptions,
        print: Lines<'_>,
    ) -> Result<Json, EngineError> {
        self.with_flakes(|flakes| {
            flakes.ev.settings.allow_import_from_derivation = false;
            let reference = flakes.parse_plain(text, false)?;
            let locked = flakes.lock(&reference, flags)?;
            let flake = flakes.call(&locked)?;
            let outputs = flakes.outputs(flake)?;
            let header = format!("{BOLD}{}{NORMAL}", locked.flake.locked);
            Show { flakes, options, print }.visit(outputs, &[], &header, "")
        })
    }
}

struct Show<'a, 'b> {
    flakes: &'a mut Flakes<'b>,
    options: ShowOptions,
    print: Lines<'a>,
}

// Nix writes colours to standard output wherever it goes
pub(super) const BOLD: &str = "\x1b[1m";
pub(super) const NORMAL: &str = "\x1b[0m";
const GREEN: &str = "\x1b[32;1m";
const WARNING: &str = "\x1b[35;1m";

/// Outputs that have systems, and below these names.
const BY_SYSTEM: [&str; 4] = ["checks", "packages", "devShells", "apps"];

/// Outputs that have names or systems only.
const FLAT: [&str; 8] = [
    "defaultPackage",
    "devShell",
    "formatter",
    "nixosConfigurations",
    "nixosModules",
    "defaultApp",
    "templates",
    "overlays",
];

type Pairs = BTreeMap<String, Json>;

/// Attributes that outlive an evaluation.
type Members = RootVec<(Symbol, Pos, Value)>;

impl Show<'_, '_> {
    fn line(&mut self, text: &str) {
        if !self.options.json {
            (self.print)(text);
        }
    }

    fn visit(&mut self, value: Value, path: &[String], header: &str, indent: &str) -> Result<Json, Error> {
        self.flakes.notice(format!("evaluating '{}'...", path.join(".")));
        let shown = self.visit_kind(value, path, header, indent);
        match shown {
            Ok(pairs) => Ok(Json::Object(pairs)),
            // whatever is wrong there is left out
            Err(error) if path.first().is_some_and(|first| first == "legacyPackages") && is_eval_error(&error) => {
                Ok(Json::Object(Pairs::new()))
            }
            Err(error) => Err(error),
        }
    }

    fn visit_kind(&mut self, value: Value, path: &[String], header: &str, indent: &str) -> Result<Pairs, Error> {
        let Some(first) = path.first().map(String::as_str) else { return self.recurse(value, path, header, indent) };
        let depth = path.len();
        if (depth == 1 && FLAT.contains(&first)) || (depth <= 2 && BY_SYSTEM.contains(&first)) {
            return self.recurse(value, path, header, indent);
        }
        let is_derivation = (depth == 2 && ["defaultPackage", "devShell", "formatter"].contains(&first))
            || (depth == 3 && ["checks", "packages", "devShells"].contains(&first));
        if is_derivation {
            if self.is_omitted(path, header) {
                return Ok(Pairs::new());
            }
            return self.unless_ifd(path, header, |show| match show.derivation(value)? {
                true => show.show_derivation(value, path, header),
                false => {
                    show.flakes
                        .warn(format!("{} is not a derivation", [path, &["name".to_owned()]].concat().join(".")));
                    Ok(Pairs::new())
                }
            });
        }
        match first {
            "hydraJobs" => self.unless_ifd(path, header, |show| match show.derivation(value)? {
                true => show.show_derivation(value, path, header),
                false => show.recurse(value, path, header, indent),
            }),
            "legacyPackages" => self.legacy(value, path, header, indent),
            "defaultApp" if depth == 2 => self.app(value, header),
            "apps" if depth == 3 => self.app(value, header),
            "defaultTemplate" if depth == 1 => self.template(value, header),
            "templates" if depth == 2 => self.template(value, header),
            _ => {
                let (kind, text) = match (first, depth) {
                    ("overlay", 1) | ("overlays", 2) => ("nixpkgs-overlay", "Nixpkgs overlay"),
                    ("nixosConfigurations", 2) => ("nixos-configuration", "NixOS configuration"),
                    ("nixosModule", 1) | ("nixosModules", 2) => ("nixos-module", "NixOS module"),
                    _ => ("unknown", "unknown"),
                };
                self.line(&format!("{header}: {WARNING}{text}{NORMAL}"));
                Ok(Pairs::from([("type".to_owned(), Json::from(kind))]))
            }
        }
    }

    /// Tells that something is for another system.
    fn is_omitted(&mut self, path: &[String], header: &str) -> bool {
        let system = path.get(1);
        if self.options.all_systems || system.is_some_and(|system| *system == self.flakes.ev.settings.system) {
            return false;
        }
        self.omit(path, header, "(use '--all-systems' to show)");
        true
    }

    fn omit(&mut self, path: &[String], header: &str, why: &str) {
        if self.options.json {
            self.flakes.warn(format!("{} omitted {why}", path.join(".")));
        } else {
            self.line(&match why.strip_prefix("due") {
                Some(_) => format!("{header} {WARNING}omitted {why}{NORMAL}"),
                None => format!("{header} {WARNING}omitted{NORMAL} {why}"),
            });
        }
    }

    /// What needs something built is not shown.
    fn unless_ifd(
        &mut self,
        path: &[String],
        header: &str,
        show: impl FnOnce(&mut Self) -> Result<Pairs, Error>,
    ) -> Result<Pairs, Error> {
        match show(self) {
            Err(error) if error.kind() == ErrorKind::Ifd => {
                self.omit(path, header, "due to use of import from derivation");
                Ok(Pairs::new())
            }
            other => other,
        }
    }

    fn legacy(&mut self, value: Value, path: &[String], header: &str, indent: &str) -> Result<Pairs, Error> {
        if path.len() == 1 {
            return self.recurse(value, path, header, indent);
        }
        if !self.options.legacy {
            self.omit(path, header, "(use '--legacy' to show)");
            return Ok(Pairs::new());
        }
        if self.is_omitted(path, header) {
            return Ok(Pairs::new());
        }
        self.unless_ifd(path, header, |show| match show.derivation(value)? {
            true => show.show_derivation(value, path, header),
            false if path.len() <= 2 => show.recurse(value, path, header, indent),
            false => Ok(Pairs::new()),
        })
    }

    fn recurse(&mut self, value: Value, path: &[String], header: &str, indent: &str) -> Result<Pairs, Error> {
        self.line(header);
        let all = self.members(value)?;
        let mut members = Members::new();
        for (symbol, pos, value) in all.iter().copied() {
            let below = self.below(path, symbol);
            if self.has_content(value, &below) {
                members.push((symbol, pos, value));
            }
        }
        let mut pairs = Pairs::new();
        let count = members.len();
        for (index, (symbol, _, value)) in members.iter().copied().enumerate() {
            let (name, below) = (self.flakes.ev.symbol_name(symbol).into_owned(), self.below(path, symbol));
            let (branch, next) = if index + 1 == count { ("└───", "    ") } else { ("├───", "│   ") };
            let json = self.visit(
                value,
                &below,
                &format!("{GREEN}{indent}{branch}{NORMAL}{BOLD}{name}{NORMAL}"),
                &format!("{indent}{next}"),
            )?;
            pairs.insert(name, json);
        }
        Ok(pairs)
    }

    /// The attributes of a set by name.
    fn members(&mut self, value: Value) -> Result<Members, Error> {
        let what = "while evaluating an attribute set";
        let set = self.flakes.ev.force_attrs(value, Pos::NONE, what)?;
        Ok(set.sorted(&self.flakes.ev.symbols))
    }

    fn below(&self, path: &[String], name: Symbol) -> Vec<String> {
        [path, &[self.flakes.ev.symbol_name(name).into_owned()]].concat()
    }

    /// Whether there is anything to show. Frameworks make empty sets of everything there might be.
    fn has_content(&mut self, value: Value, path: &[String]) -> bool {
        let first = path[0].as_str();
        let by_system = ["apps", "checks", "devShells", "legacyPackages", "packages"].contains(&first);
        let flat = ["formatter", "nixosConfigurations", "nixosModules", "overlays"].contains(&first);
        if !(by_system && path.len() <= 2 || flat && path.len() == 1) {
            return true;
        }
        let Ok(members) = self.members(value) else { return true };
        members.iter().copied().any(|(name, _, value)| {
            let below = self.below(path, name);
            self.has_content(value, &below)
        })
    }

    fn derivation(&mut self, value: Value) -> Result<bool, Error> {
        match self.flakes.ev.force(value, Pos::NONE)?.view() {
            View::Attrs(attrs) => self.flakes.ev.is_derivation(attrs),
            _ => Ok(false),
        }
    }

    /// A string in a set.
    fn text(&mut self, value: Value, name: &str) -> Result<Option<String>, Error> {
        let View::Attrs(attrs) = self.flakes.ev.force(value, Pos::NONE)?.view() else { return Ok(None) };
        let symbol = self.flakes.ev.symbols.intern(name.as_bytes());
        let Some((value, pos)) = attrs.get_with_pos(symbol) else { return Ok(None) };
        let text = self.flakes.ev.force_string(value, pos, "")?;
        Ok(Some(text.to_lossy().into_owned()))
    }

    /// `meta.description`.
    fn description(&mut self, value: Value) -> Result<Option<String>, Error> {
        let View::Attrs(attrs) = self.flakes.ev.force(value, Pos::NONE)?.view() else { return Ok(None) };
        let meta = self.flakes.ev.symbols.intern(b"meta");
        match attrs.get(meta) {
            None => Ok(None),
            Some(meta) => self.text(meta, "description"),
        }
    }

    fn show_derivation(&mut self, value: Value, path: &[String], header: &str) -> Result<Pairs, Error> {
        let name = self.text(value, "name")?.ok_or_else(|| Error::eval("attribute 'name' missing"))?;
        if self.options.json {
            let description = self.description(value)?.unwrap_or_default();
            return Ok(pairs([("type", "derivation"), ("name", &name), ("description", &description)]));
        }
        let kind = match (path[0].as_str(), path.len()) {
            ("devShell", 2) | ("devShells", 2..) => "development environment",
            ("checks", 3) | ("hydraJobs", _) => "derivation",
            _ => "package",
        };
        self.line(&format!("{header}: {kind} '{name}'"));
        Ok(Pairs::new())
    }

    fn app(&mut self, value: Value, header: &str) -> Result<Pairs, Error> {
        let kind = self.text(value, "type")?;
        let description = self.description(value)?;
        if kind.as_deref() != Some("app") {
            return Err(Error::eval("not an app definition"));
        }
        self.line(&format!("{header}: app: {BOLD}{}{NORMAL}", description.as_deref().unwrap_or("no description")));
        let mut found = pairs([("type", "app")]);
        found.extend(description.map(|text| ("description".to_owned(), Json::from(text))));
        Ok(found)
    }

    fn template(&mut self, value: Value, header: &str) -> Result<Pairs, Error> {
        let description = self.text(value, "description")?;
        let description = description.ok_or_else(|| Error::eval("attribute 'description' missing"))?;
        self.line(&format!("{header}: template: {BOLD}{description}{NORMAL}"));
        Ok(pairs([("type", "template"), ("description", &description)]))
    }
}

fn pairs<const N: usize>(items: [(&str, &str); N]) -> Pairs {
    items.into_iter().map(|(key, value)| (key.to_owned(), Json::from(value))).collect()
}

/// Errors of evaluation itself, not of the machine.
fn is_eval_error(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::Interrupted)
}
