//! The lines of nix.conf, and the files they include.

use super::NixConf;
use crate::error::CliError;
use std::path::Path;

/// A line that sets something.
type Assignment = (String, String);

impl NixConf {
    /// Takes the lines of a configuration. `place` is the file they are from, or the name of the variable; files that
    /// are included lie beside it. Where `has_search_path` says that the environment has one, the configuration's is
    /// passed over.
    pub(crate) fn read(&mut self, text: &str, place: &Path, has_search_path: bool) -> Result<(), CliError> {
        let mut lines = Vec::new();
        parse(text, place, &mut lines)?;
        // what the others mean depends on the features
        let is_features = |name: &str| name.trim_start_matches("extra-") == "experimental-features";
        for (name, value) in lines.iter().filter(|(name, _)| is_features(name)) {
            self.set(name, value)?;
        }
        for (name, value) in lines.iter().filter(|(name, _)| !is_features(name)) {
            if !has_search_path || !matches!(name.as_str(), "nix-path" | "extra-nix-path") {
                self.set(name, value)?;
            }
        }
        Ok(())
    }

    /// Takes a file if it can be read.
    pub(crate) fn read_file(&mut self, path: &Path, has_search_path: bool) -> Result<(), CliError> {
        match nopal_fs::read_file(path) {
            Ok(text) => self.read(&String::from_utf8_lossy(&text), path, has_search_path),
            Err(_) => Ok(()),
        }
    }
}

fn parse(text: &str, place: &Path, lines: &mut Vec<Assignment>) -> Result<(), CliError> {
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let bad = || CliError::usage(format!("syntax error in configuration line '{line}' in \"{}\"", place.display()));
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            [word @ ("include" | "!include"), file] => include(file, word == "include", place, lines)?,
            ["include" | "!include", ..] => return Err(bad()),
            [name, "=", ref value @ ..] => lines.push((name.to_owned(), value.join(" "))),
            _ => return Err(bad()),
        }
    }
    Ok(())
}

fn include(file: &str, must_exist: bool, place: &Path, lines: &mut Vec<Assignment>) -> Result<(), CliError> {
    let path = nopal_fs::parent_of(place).join(file);
    match nopal_fs::read_file(&path) {
        Ok(text) => parse(&String::from_utf8_lossy(&text), &path, lines),
        Err(error) if error.is_not_found() && must_exist => {
            let message = format!("file \"{}\" included from \"{}\" not found", path.display(), place.display());
            Err(CliError::Found(message))
        }
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_comments_and_bad_syntax() {
        let mut conf = NixConf::default();
        let place = Path::new("NIX_CONFIG");
        conf.read("# c\nmax-jobs = 3 # three\nsubstituters =\nnix-path = a b\n", place, true).unwrap();
        assert_eq!((conf.text("max-jobs"), conf.get("substituters"), conf.get("nix-path")), ("3", Some(""), None));
        let error = conf.read("foo bar", place, false).unwrap_err();
        assert_eq!(error.to_string(), "syntax error in configuration line 'foo bar' in \"NIX_CONFIG\"");
        assert!(conf.read("include no-such-file-anywhere", place, false).is_err());
        conf.read("!include no-such-file-anywhere", place, false).unwrap();
    }
}
