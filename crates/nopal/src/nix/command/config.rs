//! `nix config show`: settings and their values.

use crate::env_vars;
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, JSON, Line};
use crate::nix_conf::{Kind, NixConf, SETTINGS, Setting};
use crate::output;
use nopal_format::json::Json;
use std::collections::BTreeSet;
use std::process::ExitCode;

/// `nix config`.
pub(super) const COMMAND: Command = Command::group(
    "config",
    "look at settings",
    &[
        Command::new("check", "look for what may be wrong with this machine", &[], &[], check).behind(None),
        Command::new(
            "show",
            "print settings and their values",
            &[JSON],
            &[Arg::optional("name", Complete::Setting)],
            show,
        ),
    ],
);

/// What can be checked of a store that belongs to the user: that it opens, and that no other Nix is in the way.
fn check(line: Line) -> Result<ExitCode, CliError> {
    let context = line.context()?;
    let url = context.settings.store_url();
    context.settings.open(context.style)?.store()?;
    output::line(&format!("Running checks against store uri: {url}"))?;
    let mut places = BTreeSet::new();
    for folder in std::env::split_paths(&env_vars::PATH.get().unwrap_or_default()) {
        if let Ok(program) = nopal_fs::canonicalize(&folder.join("nix-env")) {
            places.insert(nopal_fs::parent_of(&program).to_owned());
        }
    }
    if places.len() <= 1 {
        output::line("[PASS] PATH contains only one nix version.")?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line("[FAIL] Multiple versions of nix found in PATH:")?;
    output::lines(places.iter().map(|place| format!("  \"{}\"", place.display())))?;
    Ok(ExitCode::from(2))
}

fn show(line: Line) -> Result<ExitCode, CliError> {
    let context = line.context()?;
    let conf = context.settings.conf();
    if let Some(name) = line.arg(0) {
        if line.has("json") {
            return Err(CliError::usage("'--json' is not supported when specifying a setting name"));
        }
        let named = |setting: &&Setting| setting.name == name && is_on(conf, setting);
        let Some(setting) = SETTINGS.iter().find(named) else {
            return Err(CliError::Found(format!("could not find setting '{name}'")));
        };
        output::line(&context.settings.shown(setting.name))?;
        return Ok(ExitCode::SUCCESS);
    }
    if line.has("json") {
        let all = SETTINGS.iter().map(|setting| {
            let fields = [
                ("aliases", Json::Array(setting.aliases.iter().map(|alias| Json::from(*alias)).collect())),
                ("defaultValue", value(setting, setting.default)),
                ("experimentalFeature", setting.feature.map_or(Json::Null, Json::from)),
                ("value", value(setting, &context.settings.shown(setting.name))),
            ];
            (setting.name, Json::object(fields))
        });
        line.print_json(&Json::object(all))?;
        return Ok(ExitCode::SUCCESS);
    }
    let shown = SETTINGS.iter().filter(|setting| is_on(conf, setting));
    output::lines(shown.map(|setting| format!("{} = {}", setting.name, context.settings.shown(setting.name))))?;
    Ok(ExitCode::SUCCESS)
}

fn is_on(conf: &NixConf, setting: &Setting) -> bool {
    setting.feature.is_none_or(|feature| conf.has_feature(feature))
}

fn value(setting: &Setting, text: &str) -> Json {
    match setting.kind {
        Kind::Flag => Json::Bool(text == "true"),
        Kind::Sandbox if text == "relaxed" => Json::from(text),
        Kind::Sandbox => Json::Bool(text == "true"),
        Kind::Number | Kind::Processors => Json::Number(text.to_owned()),
        Kind::Optional if text.is_empty() => Json::Null,
        Kind::Text | Kind::Optional | Kind::Lint | Kind::Profiler => Json::from(text),
        Kind::Words | Kind::Set => Json::Array(text.split_whitespace().map(Json::from).collect()),
        Kind::Map => Json::object(
            text.split_whitespace()
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name, Json::from(value))),
        ),
    }
}
