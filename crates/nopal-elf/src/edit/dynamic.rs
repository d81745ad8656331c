//! Edits of the dynamic section: run path, needed libraries, name, flags.

use std::collections::{BTreeMap, BTreeSet};

use super::Editor;
use crate::error::ElfError;
use crate::raw::{
    DF_1_NODEFLIB, DT_DEBUG, DT_FLAGS_1, DT_MIPS_RLD_MAP_REL, DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, Dynamic,
};
use crate::read::kind;

/// What becomes of a run path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunPath {
    /// This is it.
    Set(Vec<u8>),
    /// This is appended.
    Add(Vec<u8>),
    /// It goes, and both tags with it.
    Remove,
}

impl Editor<'_> {
    fn find(&self, tag: u64) -> Option<usize> {
        self.entries.iter().position(|entry| entry.tag == tag)
    }

    /// The entry whose string is the run path: `DT_RUNPATH` wins over `DT_RPATH`.
    fn run_path_entry(&self) -> Option<usize> {
        let last = |tag: u64| self.entries.iter().rposition(|entry| entry.tag == tag);
        last(DT_RUNPATH).or_else(|| last(DT_RPATH))
    }

    /// The entries of the dynamic section; none of debugging information.
    fn dynamic_entries(&self) -> Result<&[Dynamic], ElfError> {
        if !self.is_debug_information() {
            self.dynamic_place()?;
        }
        Ok(&self.entries)
    }

    /// The directories to look for libraries in; empty if there are none.
    ///
    /// # Errors
    /// The file is not linked dynamically, or its strings lie outside of it.
    pub fn run_path(&self) -> Result<Option<Vec<u8>>, ElfError> {
        self.dynamic_entries()?;
        self.run_path_entry().map(|index| self.string(self.entries[index].value)).transpose()
    }

    /// The libraries that are needed, in their order.
    ///
    /// # Errors
    /// As for [`Editor::run_path`].
    pub fn needed(&self) -> Result<Vec<Vec<u8>>, ElfError> {
        let needed = self.dynamic_entries()?.iter().filter(|entry| entry.tag == DT_NEEDED);
        needed.map(|entry| self.string(entry.value)).collect()
    }

    /// The name of a library; `None` for what has none and for programs that are no libraries as well.
    ///
    /// # Errors
    /// As for [`Editor::run_path`].
    pub fn soname(&self) -> Result<Option<Vec<u8>>, ElfError> {
        if self.header.kind != kind::SHARED {
            return Ok(None);
        }
        let entry = self.dynamic_entries()?.iter().rfind(|entry| entry.tag == DT_SONAME);
        entry.map(|entry| self.string(entry.value)).transpose()
    }

    fn push_first(&mut self, tag: u64, value: u64) {
        self.move_debug_map(self.format().dynamic_bytes() as u64);
        self.entries.insert(0, Dynamic { tag, value });
        self.entries_changed = true;
    }

    /// What is relative to the place of its own entry stays right where all entries move by so many bytes.
    pub(super) fn move_debug_map(&mut self, bytes: u64) {
        for entry in self.entries.iter_mut().filter(|entry| entry.tag == DT_MIPS_RLD_MAP_REL) {
            entry.value = entry.value.wrapping_sub(bytes);
        }
    }

    /// Removes entries; whether there were any.
    fn remove_entries(&mut self, mut goes: impl FnMut(&Dynamic) -> bool) -> bool {
        let size = self.format().dynamic_bytes() as u64;
        let before = self.entries.len();
        let mut gone = 0;
        self.entries.retain_mut(|entry| {
            if goes(entry) {
                gone += 1;
                return false;
            }
            if entry.tag == DT_MIPS_RLD_MAP_REL {
                entry.value = entry.value.wrapping_add(gone * size);
            }
            true
        });
        let changed = self.entries.len() != before;
        self.entries_changed |= changed;
        changed
    }

    /// Gives a library another name; what is none is left alone.
    ///
    /// # Errors
    /// As for [`Editor::run_path`].
    pub fn set_soname(&mut self, name: &[u8]) -> Result<(), ElfError> {
        if self.header.kind != kind::SHARED || self.soname()?.as_deref() == Some(name) {
            return Ok(());
        }
        let string = self.add_string(name)?;
        match self.entries.iter().rposition(|entry| entry.tag == DT_SONAME) {
            Some(index) => self.entries[index].value = string,
            None => self.push_first(DT_SONAME, string),
        }
        self.entries_changed = true;
        Ok(())
    }

    /// Changes the run path. A resolution cache that no longer holds goes.
    ///
    /// # Errors
    /// As for [`Editor::run_path`].
    pub fn change_run_path(&mut self, change: RunPath) -> Result<(), ElfError> {
        let old = self.run_path()?;
        let new = match change {
            RunPath::Remove => {
                self.remove_cache()?;
                if let (Some(index), Some(old)) = (self.run_path_entry(), &old) {
                    self.take_string(self.entries[index].value, old)?;
                }
                self.remove_entries(|entry| entry.tag == DT_RPATH || entry.tag == DT_RUNPATH);
                return Ok(());
            }
            RunPath::Set(path) => path,
            RunPath::Add(path) => match &old {
                Some(old) if !old.is_empty() => [old, &b":"[..], &path].concat(),
                _ => path,
            },
        };
        let (from, to) = if self.options.force_rpath { (DT_RUNPATH, DT_RPATH) } else { (DT_RPATH, DT_RUNPATH) };
        // with both, nothing is to be converted to a run path
        if (self.options.force_rpath || self.find(to).is_none())
            && let Some(index) = self.entries.iter().rposition(|entry| entry.tag == from)
        {
            self.entries[index].tag = to;
            self.entries_changed = true;
        }
        if old.as_ref() == Some(&new) {
            return Ok(());
        }
        self.remove_cache()?;
        let mut place = None;
        if let (Some(index), Some(old)) = (self.run_path_entry(), &old) {
            let string = self.entries[index].value;
            place = self.take_string(string, old)?;
        }
        let string = match place {
            Some((string, room)) if new.len() <= room => {
                let offset = self.dynamic_place()?.strings_offset + string;
                self.patch(offset, [&new[..], b"\0"].concat());
                string
            }
            _ => self.add_string(&new)?,
        };
        let mut is_set = false;
        for entry in self.entries.iter_mut().filter(|entry| entry.tag == DT_RPATH || entry.tag == DT_RUNPATH) {
            self.entries_changed |= entry.value != string;
            entry.value = string;
            is_set = true;
        }
        if !is_set {
            self.push_first(to, string);
        }
        Ok(())
    }

    /// Overwrites a string that nothing refers to any more, so that no scanner takes it for a reference. Its place and
    /// length, if it was.
    fn take_string(&mut self, string: u64, text: &[u8]) -> Result<Option<(u64, usize)>, ElfError> {
        let place = self.dynamic_place()?;
        if string >= place.strings_bytes || self.is_shared(string, text.len())? {
            return Ok(None);
        }
        self.patch(place.strings_offset + string, vec![b'X'; text.len()]);
        Ok(Some((string, text.len())))
    }

    /// Removes libraries from those that are needed.
    ///
    /// # Errors
    /// As for [`Editor::run_path`].
    pub fn remove_needed(&mut self, libraries: &BTreeSet<Vec<u8>>) -> Result<(), ElfError> {
        if libraries.is_empty() {
            return Ok(());
        }
        let mut gone = BTreeSet::new();
        self.dynamic_place()?;
        for entry in self.entries.iter().filter(|entry| entry.tag == DT_NEEDED) {
            if libraries.contains(&self.string(entry.value)?) {
                gone.insert(entry.value);
            }
        }
        if self.remove_entries(|entry| entry.tag == DT_NEEDED && gone.contains(&entry.value)) {
            self.remove_cache()?;
        }
        Ok(())
    }

    /// Replaces needed libraries by others, also where versions of their symbols are asked for.
    ///
    /// # Errors
    /// As for [`Editor::run_path`].
    pub fn replace_needed(&mut self, libraries: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), ElfError> {
        if libraries.is_empty() {
            return Ok(());
        }
        self.dynamic_place()?;
        let mut replaced = false;
        for index in 0..self.entries.len() {
            let entry = self.entries[index];
            if entry.tag != DT_NEEDED {
                continue;
            }
            if let Some(string) = self.replacement(entry.value, libraries)? {
                self.entries[index].value = string;
                self.entries_changed = true;
                replaced = true;
            }
        }
        for name in self.version_names()?.into_iter().filter(|name| name.is_file) {
            if let Some(string) = self.replacement(name.string, libraries)? {
                let mut raw = vec![0; 4];
                self.format().put(&mut raw, 0, 4, string);
                self.patch(name.at, raw);
                replaced = true;
            }
        }
        if replaced {
            self.remove_cache()?;
        }
        Ok(())
    }

    /// The string that takes the place of another one.
    fn replacement(&mut self, string: u64, libraries: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Option<u64>, ElfError> {
        let name = self.string(string)?;
        match libraries.get(&name) {
            Some(new) if *new != name => match name.strip_suffix(&new[..]) {
                Some(before) => Ok(Some(string + before.len() as u64)),
                None => self.add_string(new).map(Some),
            },
            _ => Ok(None),
        }
    }

    /// Adds needed libraries, before all others.
    ///
    /// # Errors
    /// As for [`Editor::run_path`].
    pub fn add_needed(&mut self, libraries: &BTreeSet<Vec<u8>>) -> Result<(), ElfError> {
        if libraries.is_empty() {
            return Ok(());
        }
        let strings = libraries.iter().map(|library| self.add_string(library)).collect::<Result<Vec<_>, _>>()?;
        for string in strings.into_iter().rev() {
            self.push_first(DT_NEEDED, string);
        }
        self.remove_cache()
    }

    /// Lets the loader not look in its own directories.
    ///
    /// # Errors
    /// The file is not linked dynamically.
    pub fn no_default_libraries(&mut self) -> Result<(), ElfError> {
        self.dynamic_place()?;
        match self.find(DT_FLAGS_1) {
            Some(index) => {
                let flags = self.entries[index].value | DF_1_NODEFLIB;
                self.entries_changed |= flags != self.entries[index].value;
                self.entries[index].value = flags;
            }
            None => self.push_first(DT_FLAGS_1, DF_1_NODEFLIB),
        }
        Ok(())
    }

    /// Adds the entry in which the loader leaves what debuggers look for.
    ///
    /// # Errors
    /// The file is not linked dynamically.
    pub fn add_debug_tag(&mut self) -> Result<(), ElfError> {
        self.dynamic_place()?;
        if self.find(DT_DEBUG).is_none() {
            self.push_first(DT_DEBUG, 0);
        }
        Ok(())
    }
}
