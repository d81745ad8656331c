//! `nix-store --query`.

use super::{Request, resolve};
use crate::error::CliError;
use crate::output;
use crate::settings::Settings;
use nopal_engine::{Engine, RealiseOptions, Wanted};
use nopal_format::StorePath;
use nopal_store::{Direction, RootReason};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Query {
    Outputs,
    Requisites,
    References,
    Referrers,
    ReferrersClosure,
    Deriver,
    ValidDerivers,
    Binding,
    Hash,
    Size,
    Tree,
    Graph,
    GraphMl,
    Resolve,
    Roots,
}

const QUERIES: &[(&str, Query)] = &[
    ("--outputs", Query::Outputs),
    ("--requisites", Query::Requisites),
    ("-R", Query::Requisites),
    ("--references", Query::References),
    ("--referrers", Query::Referrers),
    ("--referers", Query::Referrers),
    ("--referrers-closure", Query::ReferrersClosure),
    ("--referers-closure", Query::ReferrersClosure),
    ("--deriver", Query::Deriver),
    ("-d", Query::Deriver),
    ("--valid-derivers", Query::ValidDerivers),
    ("--binding", Query::Binding),
    ("-b", Query::Binding),
    ("--hash", Query::Hash),
    ("--size", Query::Size),
    ("--tree", Query::Tree),
    ("--graph", Query::Graph),
    ("--graphml", Query::GraphMl),
    ("--resolve", Query::Resolve),
    ("--roots", Query::Roots),
];

impl Query {
    /// The query that a flag names.
    pub(super) fn find(flag: &str) -> Option<Self> {
        QUERIES.iter().find(|(name, _)| *name == flag).map(|(_, query)| *query)
    }
}

/// Whether a flag belongs to queries.
pub(super) fn is_flag(flag: &str) -> bool {
    Query::find(flag).is_some()
        || matches!(flag, "--use-output" | "-u" | "--force-realise" | "--force-realize" | "-f" | "--include-outputs")
}

struct Asker<'a> {
    engine: &'a Engine,
    settings: &'a Settings,
    use_output: bool,
    force: bool,
    include_outputs: bool,
    words: Vec<String>,
}

/// Answers.
pub(super) fn run(engine: &Engine, settings: &Settings, request: &Request) -> Result<(), CliError> {
    let mut query = None;
    for flag in &request.flags {
        let Some(found) = Query::find(flag) else { continue };
        if query.is_some_and(|before| before != found) {
            return Err(CliError::usage(format!("query type '{flag}' conflicts with earlier flag")));
        }
        query = Some(found);
    }
    if let Some(flag) = request.flags.iter().find(|flag| !is_flag(flag)) {
        return Err(CliError::usage(format!("unknown flag '{flag}'")));
    }
    let has = |names: &[&str]| names.iter().any(|name| request.has(name));
    let mut words = request.operands.clone();
    let mut binding = String::new();
    if query == Some(Query::Binding) {
        if words.is_empty() {
            return Err(CliError::usage("expected binding name"));
        }
        binding = words.remove(0);
    }
    let asker = Asker {
        engine,
        settings,
        use_output: has(&["--use-output", "-u"]),
        force: has(&["--force-realise", "--force-realize", "-f"]),
        include_outputs: has(&["--include-outputs"]),
        words,
    };
    let text = match query.unwrap_or(Query::Outputs) {
        Query::Outputs => asker.outputs()?,
        Query::Requisites => asker.set(|path| asker.requisites(path))?,
        Query::References => asker.set(|path| Ok(engine.store()?.references(path)?))?,
        Query::Referrers => asker.set(|path| Ok(engine.store()?.referrers(path)?))?,
        Query::ReferrersClosure => asker.set(|path| {
            let closure = engine.store()?.closure(std::slice::from_ref(path), Direction::Referrers)?;
            Ok(closure.into_iter().collect())
        })?,
        Query::Deriver => asker.each(|path| {
            let deriver = engine.store()?.path_info(path)?.deriver;
            Ok(deriver.map_or_else(|| "unknown-deriver".to_owned(), |drv| asker.print(&drv)))
        })?,
        Query::ValidDerivers => asker.set(|path| Ok(engine.store()?.valid_derivers(path)?))?,
        Query::Binding => asker.each(|path| asker.binding(path, &binding))?,
        Query::Hash => {
            asker.each_output(|path| Ok(format!("sha256:{}", engine.store()?.path_info(path)?.nar_hash.nix32())))?
        }
        Query::Size => asker.each_output(|path| Ok(engine.store()?.path_info(path)?.nar_size.to_string()))?,
        Query::Tree => asker.trees()?,
        Query::Graph => asker.graph()?,
        Query::GraphMl => asker.graph_ml()?,
        Query::Resolve => asker.each(|path| Ok(asker.print(path)))?,
        Query::Roots => asker.roots()?,
    };
    output::data(text.as_bytes())
}

impl Asker<'_> {
    fn print(&self, path: &StorePath) -> String {
        self.engine.config().store_dir.print(path)
    }

    fn lines<'a>(&self, paths: impl IntoIterator<Item = &'a StorePath>) -> String {
        paths.into_iter().map(|path| format!("{}\n", self.print(path))).collect()
    }

    /// The paths that words name.
    fn named(&self) -> Result<Vec<StorePath>, CliError> {
        let store = self.engine.store()?;
        let mut paths = Vec::with_capacity(self.words.len());
        for word in &self.words {
            let (path, _) = resolve(self.engine, word)?;
            store.add_temp_root(&path)?;
            paths.push(path);
        }
        Ok(paths)
    }

    /// The path itself, or the outputs of the derivation.
    fn maybe_outputs(&self, path: &StorePath, use_output: bool) -> Result<BTreeSet<StorePath>, CliError> {
        if self.force && path.is_derivation() {
            let wanted =
                Wanted { drv_path: path.clone(), outputs: Vec::new(), output: String::new(), attr: String::new() };
            self.engine.realise(&[wanted], &RealiseOptions::default())?;
        }
        if !use_output || !path.is_derivation() {
            return Ok(BTreeSet::from([path.clone()]));
        }
        let outputs = self.engine.output_paths(path)?;
        let known: Option<BTreeSet<StorePath>> = outputs.into_values().collect();
        known.ok_or_else(|| {
            CliError::usage(
                "Cannot use output path of floating content-addressing derivation until we know what it is (e.g. by \
                 building it)",
            )
        })
    }

    fn outputs(&self) -> Result<String, CliError> {
        let mut text = String::new();
        for path in self.named()? {
            text += &self.lines(&self.maybe_outputs(&path, true)?);
        }
        Ok(text)
    }

    fn each(&self, answer: impl Fn(&StorePath) -> Result<String, CliError>) -> Result<String, CliError> {
        let mut text = String::new();
        for path in self.named()? {
            let _ = writeln!(text, "{}", answer(&path)?);
        }
        Ok(text)
    }

    fn each_output(&self, answer: impl Fn(&StorePath) -> Result<String, CliError>) -> Result<String, CliError> {
        let mut text = String::new();
        for path in self.named()? {
            for path in self.maybe_outputs(&path, self.use_output)? {
                let _ = writeln!(text, "{}", answer(&path)?);
            }
        }
        Ok(text)
    }

    /// A set of paths, what is referred to before what refers to it.
    fn set(&self, answer: impl Fn(&StorePath) -> Result<BTreeSet<StorePath>, CliError>) -> Result<String, CliError> {
        let mut all = BTreeSet::new();
        for path in self.named()? {
            for path in self.maybe_outputs(&path, self.use_output)? {
                all.extend(answer(&path)?);
            }
        }
        Ok(self.lines(&self.sorted(&all)?))
    }

    /// Of paths that do not refer to each other, the one that sorts first comes first, as in Nix.
    fn sorted(&self, paths: &BTreeSet<StorePath>) -> Result<Vec<StorePath>, CliError> {
        let store = self.engine.store()?;
        let mut order = Vec::with_capacity(paths.len());
        let mut seen = BTreeSet::new();
        let mut stack: Vec<(StorePath, std::collections::btree_set::IntoIter<StorePath>)> = Vec::new();
        for root in paths {
            let mut enter = Some(root.clone());
            loop {
                if let Some(path) = enter.take().filter(|path| paths.contains(path) && seen.insert(path.clone())) {
                    let references = store.find_path_info(&path)?.map(|info| info.references).unwrap_or_default();
                    stack.push((path, references.into_iter()));
                }
                let Some((_, references)) = stack.last_mut() else { break };
                enter = references.next();
                if enter.is_none() {
                    order.extend(stack.pop().map(|(path, _)| path));
                }
            }
        }
        Ok(order)
    }

    fn requisites(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, CliError> {
        let store = self.engine.store()?;
        let mut found: BTreeSet<StorePath> =
            store.closure(std::slice::from_ref(path), Direction::References)?.into_iter().collect();
        if self.include_outputs {
            let mut pending: Vec<StorePath> = found.iter().filter(|path| path.is_derivation()).cloned().collect();
            while let Some(drv) = pending.pop() {
                for output in self.engine.output_paths(&drv)?.into_values().flatten() {
                    if !found.contains(&output) && store.is_valid(&output)? {
                        let closure = store.closure(std::slice::from_ref(&output), Direction::References)?;
                        let fresh = closure.into_iter().filter(|path| !found.contains(path)).collect::<Vec<_>>();
                        pending.extend(fresh.iter().filter(|path| path.is_derivation()).cloned());
                        found.extend(fresh);
                    }
                }
            }
        }
        Ok(found)
    }

    fn binding(&self, path: &StorePath, name: &str) -> Result<String, CliError> {
        let drv = if path.is_derivation() {
            path.clone()
        } else {
            let message = || CliError::Found(format!("deriver of path '{}' is not known", self.print(path)));
            self.engine.store()?.path_info(path)?.deriver.ok_or_else(message)?
        };
        let derivation = self.engine.derivation(&drv)?;
        let value = derivation.env_value(name).ok_or_else(|| {
            CliError::Found(format!("derivation '{}' has no environment binding named '{name}'", self.print(&drv)))
        })?;
        Ok(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    fn trees(&self) -> Result<String, CliError> {
        let mut text = String::new();
        let mut done = BTreeSet::new();
        for path in self.named()? {
            self.tree(&path, "", "", &mut done, &mut text)?;
        }
        Ok(text)
    }

    fn tree(
        &self,
        path: &StorePath,
        first: &str,
        tail: &str,
        done: &mut BTreeSet<StorePath>,
        text: &mut String,
    ) -> Result<(), CliError> {
        if !done.insert(path.clone()) {
            let _ = writeln!(text, "{first}{} [...]", self.print(path));
            return Ok(());
        }
        let _ = writeln!(text, "{first}{}", self.print(path));
        let references = self.sorted(&self.engine.store()?.references(path)?)?;
        let count = references.len();
        for (index, reference) in references.iter().enumerate() {
            let (branch, below) =
                if index + 1 == count { ("└───", "    ") } else { ("├───", "│   ") };
            self.tree(reference, &format!("{tail}{branch}"), &format!("{tail}{below}"), done, text)?;
        }
        Ok(())
    }

    /// The paths that words name, or their outputs, for a drawing.
    fn drawn(&self) -> Result<BTreeSet<StorePath>, CliError> {
        let mut roots = BTreeSet::new();
        for path in self.named()? {
            roots.extend(self.maybe_outputs(&path, self.use_output)?);
        }
        Ok(roots)
    }

    fn graph(&self) -> Result<String, CliError> {
        const COLOURS: [&str; 6] = ["black", "red", "green", "blue", "magenta", "burlywood"];
        let mut text = "digraph G {\n".to_owned();
        let mut work = self.drawn()?;
        let mut done = BTreeSet::new();
        let mut edges = 0;
        while let Some(path) = work.pop_first() {
            if !done.insert(path.clone()) {
                continue;
            }
            let name = path.name();
            let _ = writeln!(
                text,
                "\"{path}\" [label = \"{name}\", shape = box, style = filled, fillcolor = \"#ff0000\"];"
            );
            for reference in self.engine.store()?.references(&path)? {
                if reference != path {
                    let colour = COLOURS[edges % COLOURS.len()];
                    edges += 1;
                    let _ = writeln!(text, "\"{reference}\" -> \"{path}\" [color = \"{colour}\"];");
                    work.insert(reference);
                }
            }
        }
        text += "}\n";
        Ok(text)
    }

    fn graph_ml(&self) -> Result<String, CliError> {
        let mut text = "<?xml version='1.0' encoding='utf-8'?>\n\
            <graphml xmlns='http://graphml.graphdrawing.org/xmlns'\n    \
            xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'\n    \
            xsi:schemaLocation='http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd'>\n\
            <key id='narSize' for='node' attr.name='narSize' attr.type='long'/>\
            <key id='name' for='node' attr.name='name' attr.type='string'/>\
            <key id='type' for='node' attr.name='type' attr.type='string'/>\
            <graph id='G' edgedefault='directed'>\n"
            .to_owned();
        let mut work = self.drawn()?;
        let mut done = BTreeSet::new();
        while let Some(path) = work.pop_first() {
            if !done.insert(path.clone()) {
                continue;
            }
            let info = self.engine.store()?.path_info(&path)?;
            let kind = if path.is_derivation() { "derivation" } else { "output-path" };
            let name = path.name().find('-').map_or("", |dash| &path.name()[..=dash]);
            let _ = write!(
                text,
                "  <node id=\"{path}\">\n    <data key=\"narSize\">{}</data>\n    <data key=\"name\">{name}</data>\n    \
                 <data key=\"type\">{kind}</data>\n  </node>\n",
                info.nar_size
            );
            for reference in info.references {
                if reference != path {
                    let _ = writeln!(text, "  <edge source=\"{path}\" target=\"{reference}\"/>");
                    work.insert(reference);
                }
            }
        }
        text += "</graph>\n</graphml>\n";
        Ok(text)
    }

    fn roots(&self) -> Result<String, CliError> {
        let store = self.engine.store()?;
        let options = super::garbage::options(self.settings);
        let mut wanted: BTreeSet<StorePath> = BTreeSet::new();
        let mut pending: Vec<StorePath> = self.drawn()?.into_iter().collect();
        while let Some(path) = pending.pop() {
            if !wanted.insert(path.clone()) {
                continue;
            }
            pending.extend(store.referrers(&path)?);
            if options.keep_outputs {
                pending.extend(store.valid_derivers(&path)?);
            }
            if options.keep_derivations && path.is_derivation() {
                pending.extend(store.valid_outputs(&path)?);
            }
        }
        let mut text = String::new();
        for root in store.roots()?.iter().filter(|root| wanted.contains(&root.path)) {
            if !matches!(root.reason, RootReason::OpenStore(_)) {
                let _ = writeln!(text, "{} -> {}", root.reason, self.print(&root.path));
            }
        }
        Ok(text)
    }
}
