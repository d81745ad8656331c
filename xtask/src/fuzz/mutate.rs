//! Programs made from real ones by small changes: a part replaced by another part or by something made up, taken out,
//! doubled, or cut without regard to the syntax.

use super::generate::Generator;
use super::shrink::spans;
use crate::files;
use crate::random::Random;
use std::fs;
use std::path::PathBuf;

/// Larger files are left out: each of their parts matters too little.
const LARGEST: u64 = 6000;

/// Real programs.
pub(super) struct Corpus {
    texts: Vec<String>,
    random: Random,
}

impl Corpus {
    /// Reads all small Nix files below some folders.
    pub(super) fn read(folders: &[PathBuf], seed: u64) -> Result<Self, String> {
        let mut texts = Vec::new();
        for folder in folders {
            let small = files::nix_below(folder)?.into_iter().filter(|(_, metadata)| metadata.len() <= LARGEST);
            texts.extend(small.filter_map(|(path, _)| fs::read_to_string(path).ok()));
        }
        if texts.is_empty() {
            return Err("no Nix files to change".to_owned());
        }
        Ok(Self { texts, random: Random::new(seed) })
    }

    /// A real program with one to three changes.
    pub(super) fn program(&mut self, generator: &mut Generator<'_>) -> String {
        let mut text = self.random.pick(&self.texts).clone();
        for _ in 0..=self.random.below(3) {
            text = self.change(&text, generator).unwrap_or(text);
        }
        text
    }

    fn change(&mut self, text: &str, generator: &mut Generator<'_>) -> Option<String> {
        let parts = spans(text);
        if parts.is_empty() || self.random.one_in(12) {
            return self.cut(text);
        }
        let part = self.random.pick(&parts).clone();
        let old = text.get(part.clone())?;
        let new = match self.random.below(6) {
            0 => format!("({})", generator.program()),
            1 => {
                let donor = self.random.pick(&self.texts).clone();
                let theirs = spans(&donor);
                let chosen = theirs.get(self.random.below(theirs.len().max(1) as u64) as usize)?;
                format!("({})", donor.get(chosen.clone())?)
            }
            2 => format!("({})", text.get(self.random.pick(&parts).clone())?),
            3 => {
                self.random.pick(&["null", "1", "\"\"", "[ ]", "{ }", "(x: x)", "-1", "1.5", "./.", "true"]).to_string()
            }
            4 => format!("({old}) {old}"),
            _ => String::new(),
        };
        Some(format!("{}{new}{}", &text[..part.start], &text[part.end..]))
    }

    /// Takes out or doubles some characters.
    fn cut(&mut self, text: &str) -> Option<String> {
        let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let start = self.random.below(ends.len() as u64) as usize;
        let end = (start + 1 + self.random.below(8) as usize).min(ends.len() - 1);
        let (start, end) = (ends[start.min(end)], ends[end]);
        let twice = if self.random.one_in(3) { &text[start..end] } else { "" };
        Some(format!("{}{twice}{twice}{}", &text[..start], &text[end..]))
    }
}
