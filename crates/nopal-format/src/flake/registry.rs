//! Registries: what short names of flakes stand for.

use super::input::{Input, attrs_from_json, attrs_to_json};
use super::{Attr, Attrs, FlakeError};
use crate::json::Json;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryEntry {
    /// What is looked up.
    pub from: Input,
    /// What it stands for.
    pub to: Input,
    /// `dir`, if the flake is not at the root of its tree.
    pub extra: Attrs,
    /// Whether branch and commit must be equal, too.
    pub exact: bool,
}

/// A list of rules; the first that fits counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    /// The rules.
    pub entries: Vec<RegistryEntry>,
}

impl Registry {
    /// Reads a registry. `shown_path` is for messages.
    ///
    /// # Errors
    /// No JSON, another version, or an input that is refused.
    pub fn parse(text: &str, shown_path: &str) -> Result<Self, FlakeError> {
        let malformed = |error: crate::json::JsonError| FlakeError::invalid(error.to_string());
        let json = Json::parse(text).map_err(malformed)?;
        let version = json.get("version").and_then(|version| version.as_u64("version").ok()).unwrap_or(0);
        if version != 2 {
            return Err(FlakeError::invalid(format!(
                "flake registry '{shown_path}' has unsupported version {version}"
            )));
        }
        let entry = |json: &Json| {
            let from = Input::from_attrs(attrs_from_json(json.key("from").map_err(malformed)?)?, &mut |_| {})?;
            let mut to = attrs_from_json(json.key("to").map_err(malformed)?)?;
            let extra: Attrs = to.remove_entry("dir").into_iter().collect();
            let exact = json.get("exact") == Some(&Json::Bool(true));
            Ok(RegistryEntry { from, to: Input::from_attrs(to, &mut |_| {})?, extra, exact })
        };
        let entries = match json.get("flakes") {
            None => Vec::new(),
            Some(list) => {
                list.as_array("flakes").map_err(malformed)?.iter().map(entry).collect::<Result<_, FlakeError>>()?
            }
        };
        Ok(Self { entries })
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let entry = |entry: &RegistryEntry| {
            let mut to = entry.to.attrs().clone();
            to.extend(entry.extra.clone());
            let mut pairs = vec![("from", attrs_to_json(entry.from.attrs())), ("to", attrs_to_json(&to))];
            if entry.exact {
                pairs.push(("exact", Json::from(true)));
            }
            Json::object(pairs)
        };
        let flakes = if self.entries.is_empty() { Json::Null } else { self.entries.iter().map(entry).collect() };
        Json::object([("flakes", flakes), ("version", Json::from(2))]).to_pretty()
    }

    /// The rule for an input.
    pub fn find(&self, input: &Input) -> Option<&RegistryEntry> {
        self.entries.iter().find(|entry| if entry.exact { entry.from == *input } else { entry.from.contains(input) })
    }

    /// What an input stands for by a rule: its branch and commit go along.
    ///
    /// # Errors
    /// What it stands for takes none.
    pub fn apply(entry: &RegistryEntry, input: &Input) -> Result<Input, FlakeError> {
        if entry.exact {
            return Ok(entry.to.clone());
        }
        let reference = if entry.from.text("ref")?.is_none() { input.text("ref")? } else { None };
        let rev = if entry.from.rev()?.is_none() { input.rev()? } else { None };
        entry.to.with_overrides(reference, rev.as_deref())
    }
}

impl RegistryEntry {
    /// The directory of the flake.
    pub fn dir(&self) -> Option<&str> {
        match self.extra.get("dir") {
            Some(Attr::Str(dir)) => Some(dir),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flake::FlakeRef;

    #[test]
    fn looks_up() {
        let text = r#"{
  "flakes": [
    {
      "from": {
        "id": "n",
        "type": "indirect"
      },
      "to": {
        "dir": "d",
        "owner": "o",
        "repo": "r",
        "type": "github"
      }
    }
  ],
  "version": 2
}"#;
        let registry = Registry::parse(text, "r").unwrap();
        assert_eq!(registry.to_text(), text);
        let input = FlakeRef::parse("n/main", true, false, &mut |_| {}).unwrap().input;
        let entry = registry.find(&input).unwrap();
        assert_eq!(Registry::apply(entry, &input).unwrap().to_text().unwrap(), "github:o/r/main");
        assert_eq!(entry.dir(), Some("d"));
        assert_eq!(registry.find(&FlakeRef::indirect("m").unwrap().input), None);
        assert!(Registry::parse(r#"{"version":1}"#, "r").is_err());
    }
}
