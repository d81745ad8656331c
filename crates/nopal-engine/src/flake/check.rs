//! `flake check`: whether the outputs of a flake are what their names promise.

use std::collections::BTreeSet;

use nopal_eval::value::RootVec;
use nopal_eval::{Error, Pos, Value, View};
use nopal_report::Level;
use nopal_syntax::Symbol;

use super::{Flakes, LockFlags, Locked};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::packages::installed;
use crate::realise::Wanted;

/// How a flake is checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOptions {
    /// What is for other systems, too.
    pub all_systems: bool,
    /// Go on after a failure.
    pub keep_going: bool,
    /// Whether import from derivation is off, as without building.
    pub no_build: bool,
}

impl Engine {
    /// Checks a flake. Returns the checks to build.
    ///
    /// # Errors
    /// Something is not as it should be.
    pub fn flake_check(
        &self,
        text: &str,
        flags: &LockFlags,
        options: CheckOptions,
    ) -> Result<(Vec<Wanted>, BTreeSet<String>), EngineError> {
        self.with_flakes(|flakes| {
            if options.no_build {
                flakes.ev.settings.allow_import_from_derivation = false;
            }
            let reference = flakes.parse_plain(text, false)?;
            let locked = flakes.lock(&reference, flags)?;
            flakes.apply_config(&locked.flake)?;
            let mut check = Check { flakes, options, checks: Vec::new(), omitted: BTreeSet::new(), has_errors: false };
            check.flake(&locked)?;
            if check.has_errors {
                return Err(Error::eval("some errors were encountered during the evaluation"));
            }
            Ok((check.checks, check.omitted))
        })
    }
}

struct Check<'a, 'b> {
    flakes: &'a mut Flakes<'b>,
    options: CheckOptions,
    checks: Vec<Wanted>,
    omitted: BTreeSet<String>,
    has_errors: bool,
}

/// What a member of an output is checked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Derivation,
    App,
    Bundler,
    Overlay,
    Module,
    Configuration,
    Template,
}

/// Names of outputs that should not be used any more.
const DEPRECATED: [(&str, &str); 7] = [
    ("defaultPackage", "packages.<system>.default"),
    ("defaultApp", "apps.<system>.default"),
    ("defaultTemplate", "templates.default"),
    ("defaultBundler", "bundlers.<system>.default"),
    ("overlay", "overlays.default"),
    ("devShell", "devShells.<system>.default"),
    ("nixosModule", "nixosModules.default"),
];

/// Outputs that others use and that nothing is known of.
const UNCHECKED: [&str; 10] = [
    "lib",
    "darwinConfigurations",
    "darwinModules",
    "flakeModule",
    "flakeModules",
    "herculesCI",
    "homeConfigurations",
    "homeModule",
    "homeModules",
    "nixopsConfigurations",
];

/// Attributes that outlive an evaluation.
type Items = RootVec<(Symbol, Pos, Value)>;

impl Check<'_, '_> {
    fn flake(&mut self, locked: &Locked) -> Result<(), Error> {
        self.say("evaluating flake...");
        let flake = self.flakes.call(locked)?;
        let outputs = self.flakes.outputs(flake)?;
        let what = "while evaluating the outputs of a flake";
        let outputs = self.flakes.ev.force_attrs(outputs, Pos::NONE, what)?;
        let jobs = self.flakes.ev.symbols.intern(b"hydraJobs");
        let all: Items = outputs.iter().map(|(name, value, pos)| (name, pos, value)).collect();
        let may_build = self.flakes.ev.settings.allow_import_from_derivation;
        // jobs first: they may not build anything while they are evaluated
        let first = all.iter().filter(|(name, ..)| *name == jobs);
        let others = all.iter().filter(|(name, ..)| *name != jobs);
        for (name, pos, value) in first.chain(others).copied() {
            let name = self.name(name);
            self.flakes.ev.settings.allow_import_from_derivation = may_build && name != "hydraJobs";
            let result = self.output(&name, value, pos);
            self.report(result.map_err(|error| error.trace(pos, format!("while checking flake output '{name}'"))))?;
        }
        self.flakes.ev.settings.allow_import_from_derivation = may_build;
        Ok(())
    }

    /// With `--keep-going` an error is shown and not returned.
    fn report(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        match result {
            Err(error) if self.options.keep_going => {
                let text = self.flakes.ev.render_error(&error);
                let text = String::from_utf8_lossy(&text);
                self.flakes.shared.config.reporter.message(Level::Notice, text.trim_end_matches('\n'));
                self.has_errors = true;
                Ok(())
            }
            other => other,
        }
    }

    /// Tells what is going on.
    fn say(&self, text: impl Into<String>) {
        self.flakes.notice(text);
    }

    fn output(&mut self, name: &str, value: Value, pos: Pos) -> Result<(), Error> {
        self.say(format!("checking flake output '{name}'..."));
        self.flakes.ev.force(value, pos)?;
        if let Some((_, instead)) = DEPRECATED.iter().find(|(old, _)| *old == name) {
            self.flakes.warn(format!("flake output attribute '{name}' is deprecated; use '{instead}' instead"));
        }
        match name {
            "checks" | "packages" | "devShells" => self.by_system(name, value, pos, Member::Derivation, true),
            "formatter" | "defaultPackage" | "devShell" => self.by_system(name, value, pos, Member::Derivation, false),
            "apps" => self.by_system(name, value, pos, Member::App, true),
            "defaultApp" => self.by_system(name, value, pos, Member::App, false),
            "bundlers" => self.by_system(name, value, pos, Member::Bundler, true),
            "defaultBundler" => self.by_system(name, value, pos, Member::Bundler, false),
            "legacyPackages" => {
                for (system, place, _) in self.items(value, pos)?.iter().copied() {
                    let system = self.name(system);
                    self.check_system(&system, place)?;
                    self.is_for_us(&system);
                }
                Ok(())
            }
            "overlay" => self.member(Member::Overlay, name, value, pos),
            "overlays" => self.members(name, value, pos, Member::Overlay),
            "nixosModule" => self.member(Member::Module, name, value, pos),
            "nixosModules" => self.members(name, value, pos, Member::Module),
            "nixosConfigurations" => self.members(name, value, pos, Member::Configuration),
            "hydraJobs" => self.jobs(name, value, pos),
            "defaultTemplate" => self.member(Member::Template, name, value, pos),
            "templates" => self.members(name, value, pos, Member::Template),
            _ if UNCHECKED.contains(&name) => Ok(()),
            _ => {
                self.flakes.warn(format!("unknown flake output '{name}'"));
                Ok(())
            }
        }
    }

    fn items(&mut self, value: Value, pos: Pos) -> Result<Items, Error> {
        let set = self.flakes.ev.force_attrs(value, pos, "")?;
        Ok(set.iter().map(|(name, value, pos)| (name, pos, value)).collect())
    }

    fn name(&self, symbol: Symbol) -> String {
        self.flakes.ev.symbol_name(symbol).into_owned()
    }

    fn by_system(&mut self, name: &str, value: Value, pos: Pos, kind: Member, named: bool) -> Result<(), Error> {
        for (system, place, value) in self.items(value, pos)?.iter().copied() {
            let system = self.name(system);
            self.check_system(&system, place)?;
            if !self.is_for_us(&system) {
                continue;
            }
            if !named {
                self.member(kind, &format!("{name}.{system}"), value, place)?;
                continue;
            }
            for (member, place, value) in self.items(value, place)?.iter().copied() {
                let member = self.name(member);
                self.member(kind, &format!("{name}.{system}.{member}"), value, place)?;
            }
        }
        Ok(())
    }

    fn members(&mut self, name: &str, value: Value, pos: Pos, kind: Member) -> Result<(), Error> {
        for (member, place, value) in self.items(value, pos)?.iter().copied() {
            let member = self.name(member);
            self.member(kind, &format!("{name}.{member}"), value, place)?;
        }
        Ok(())
    }

    fn check_system(&mut self, system: &str, pos: Pos) -> Result<(), Error> {
        if system.contains('-') {
            return Ok(());
        }
        let place = self.flakes.ev.show_pos(pos);
        self.report(Err(Error::eval(format!("'{system}' is not a valid system type, at {place}"))))
    }

    fn is_for_us(&mut self, system: &str) -> bool {
        let is_ours = self.options.all_systems || system == self.flakes.ev.settings.system;
        if !is_ours {
            self.omitted.insert(system.to_owned());
        }
        is_ours
    }

    fn member(&mut self, kind: Member, path: &str, value: Value, pos: Pos) -> Result<(), Error> {
        self.say(match kind {
            Member::Derivation => format!("checking derivation {path}..."),
            Member::App => format!("checking app '{path}'..."),
            Member::Overlay => format!("checking overlay '{path}'..."),
            Member::Module => format!("checking NixOS module '{path}'..."),
            Member::Configuration => format!("checking NixOS configuration '{path}'..."),
            Member::Template => format!("checking template '{path}'..."),
            Member::Bundler => format!("checking bundler '{path}'..."),
        });
        let (result, what) = match kind {
            Member::Derivation => (self.derivation(path, value), "derivation"),
            Member::App => (self.app(path, value, pos), "app definition"),
            Member::Overlay => (self.overlay(value, pos), "overlay"),
            Member::Module => (self.flakes.ev.force(value, pos).map(drop), "NixOS module"),
            Member::Configuration => (self.configuration(value, pos), "NixOS configuration"),
            Member::Template => (self.template(path, value, pos), "template"),
            // the word is Nix's
            Member::Bundler => (self.bundler(value, pos), "template"),
        };
        self.report(result.map_err(|error| error.trace(pos, format!("while checking the {what} '{path}'"))))
    }

    fn derivation(&mut self, path: &str, value: Value) -> Result<(), Error> {
        let forced = self.flakes.ev.force(value, Pos::NONE)?;
        let not_one = || Error::eval(format!("flake attribute '{path}' is not a derivation"));
        let View::Attrs(attrs) = forced.view() else { return Err(not_one()) };
        if !self.flakes.ev.is_derivation(attrs)? {
            return Err(not_one());
        }
        let mut found = installed(self.flakes.ev, attrs, path)?;
        let shown = self.flakes.ev.settings.store_dir.print(&found.drv_path);
        self.say(format!("derivation evaluated to {shown}"));
        let system = path.strip_prefix("checks.").and_then(|rest| rest.split('.').next());
        if system.is_some_and(|system| system == self.flakes.ev.settings.system) {
            // all outputs
            found.outputs.clear();
            self.checks.push(found);
        }
        Ok(())
    }

    fn attr(&mut self, value: Value, name: &str, pos: Pos) -> Result<Option<(Value, Pos)>, Error> {
        let set = self.flakes.ev.force_attrs(value, pos, "")?;
        let symbol = self.flakes.ev.symbols.intern(name.as_bytes());
        Ok(set.get_with_pos(symbol))
    }

    fn app(&mut self, path: &str, value: Value, pos: Pos) -> Result<(), Error> {
        let missing = |name: &str| Error::eval(format!("app '{path}' lacks attribute '{name}'"));
        let (kind, place) = self.attr(value, "type", pos)?.ok_or_else(|| missing("type"))?;
        self.flakes.ev.force_string_no_ctx(kind, place, "")?;
        let (program, place) = self.attr(value, "program", pos)?.ok_or_else(|| missing("program"))?;
        self.flakes.ev.force_string(program, place, "")?;
        match self.attr(value, "meta", pos)? {
            None => self.flakes.warn(format!("app '{path}' lacks attribute 'meta'")),
            Some((meta, place)) => match self.attr(meta, "description", place)? {
                None => self.flakes.warn(format!("app '{path}' lacks attribute 'meta.description'")),
                Some((text, place)) => drop(self.flakes.ev.force_string_no_ctx(text, place, "")?),
            },
        }
        self.only(path, value, pos, "app", &["type", "program", "meta"])
    }

    fn only(&mut self, path: &str, value: Value, pos: Pos, what: &str, known: &[&str]) -> Result<(), Error> {
        let names: Vec<String> = self.items(value, pos)?.iter().map(|(name, ..)| self.name(*name)).collect();
        match names.iter().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(Error::eval(format!("{what} '{path}' has unsupported attribute '{name}'"))),
        }
    }

    fn overlay(&mut self, value: Value, pos: Pos) -> Result<(), Error> {
        let function = self.flakes.ev.force(value, pos)?;
        if !matches!(function.view(), View::Closure(_)) {
            let found = self.flakes.ev.show_type(function);
            return Err(Error::eval(format!("overlay is not a function, but {found} instead")));
        }
        match self.flakes.ev.plain_argument(function).as_deref() {
            Some("final" | "_" | "_final") => Ok(()),
            _ => Err(Error::eval("overlay does not take an argument named 'final'")),
        }
    }

    fn bundler(&mut self, value: Value, pos: Pos) -> Result<(), Error> {
        let function = self.flakes.ev.force(value, pos)?;
        if matches!(function.view(), View::Closure(_)) {
            Ok(())
        } else {
            Err(Error::eval("bundler must be a function"))
        }
    }

    fn configuration(&mut self, value: Value, pos: Pos) -> Result<(), Error> {
        let none = self.flakes.ev.no_arguments();
        let (top, _) = self.flakes.ev.select_path("config.system.build.toplevel", none, value)?;
        let top = self.flakes.ev.force(top, pos)?;
        let is_derivation = match top.view() {
            View::Attrs(attrs) => self.flakes.ev.is_derivation(attrs)?,
            _ => false,
        };
        if is_derivation {
            return Ok(());
        }
        Err(Error::eval("attribute 'config.system.build.toplevel' is not a derivation"))
    }

    fn template(&mut self, path: &str, value: Value, pos: Pos) -> Result<(), Error> {
        let missing = |name: &str| Error::eval(format!("template '{path}' lacks attribute '{name}'"));
        let (dir, place) = self.attr(value, "path", pos)?.ok_or_else(|| missing("path"))?;
        let dir = self.flakes.ev.force(dir, place)?;
        let mut context = nopal_eval::context::Context::EMPTY;
        let (root, dir) = self.flakes.ev.coerce_to_path(dir, place, &mut context, "")?;
        if self.flakes.ev.source_type(root, &dir)?.is_none() {
            let dir = String::from_utf8_lossy(&dir).into_owned();
            return Err(Error::eval(format!("template '{path}' refers to a non-existent path '{dir}'")));
        }
        let (text, place) = self.attr(value, "description", pos)?.ok_or_else(|| missing("description"))?;
        self.flakes.ev.force_string_no_ctx(text, place, "")?;
        self.only(path, value, pos, "template", &["path", "description", "welcomeText"])
    }

    fn jobs(&mut self, path: &str, value: Value, pos: Pos) -> Result<(), Error> {
        let result = self.job_set(path, value, pos);
        self.report(result.map_err(|error| error.trace(pos, format!("while checking the Hydra jobset '{path}'"))))
    }

    fn job_set(&mut self, path: &str, value: Value, pos: Pos) -> Result<(), Error> {
        self.say(format!("checking Hydra job '{path}'..."));
        let set = self.flakes.ev.force_attrs(value, pos, "")?;
        if self.flakes.ev.is_derivation(set)? {
            return Err(Error::eval("jobset should not be a derivation at top-level"));
        }
        for (name, place, value) in self.items(value, pos)?.iter().copied() {
            let name = self.name(name);
            let member = self.flakes.ev.force_attrs(value, place, "")?;
            let path = format!("{path}.{name}");
            if self.flakes.ev.is_derivation(member)? {
                self.say(format!("checking Hydra job '{path}'..."));
                self.member(Member::Derivation, &path, value, place)?;
            } else {
                self.jobs(&path, value, place)?;
            }
        }
        Ok(())
    }
}
