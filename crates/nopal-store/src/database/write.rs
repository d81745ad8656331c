//! Changes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use nopal_format::signature::Signature;
use nopal_format::{PathInfo, Realisation, StorePath};
use rusqlite::{CachedStatement, ToSql, params, params_from_iter};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::database::Reader;
use crate::error::StoreError;

/// What came of a realisation.
#[derive(Debug)]
pub(crate) enum Registered {
    /// It is recorded.
    Done,
    /// Its path is not valid.
    NotValid,
    /// Another path is recorded for the same output.
    Other(StorePath),
}

/// Rows that one statement inserts where there are many: to begin one takes longer than to insert a row.
const ROWS_AT_ONCE: usize = 64;

/// A derivation by its number, the name of an output and the base name of its path.
type OutputRow<'a> = (i64, &'a str, String);

fn output_rows(id: i64, outputs: &BTreeMap<String, StorePath>) -> impl Iterator<Item = OutputRow<'_>> {
    outputs.iter().map(move |(output, path)| (id, output.as_str(), path.base_name()))
}

/// A transaction that may write.
pub(crate) struct Writer<'a> {
    pub(super) reader: Reader<'a>,
}

/// Why rows could not be registered: a reference that is not valid.
#[derive(Debug)]
pub(crate) struct MissingReference {
    pub(crate) path: StorePath,
    pub(crate) reference: StorePath,
}

/// What is written of a path that becomes valid.
pub(crate) struct Registration<'a> {
    /// The path and what is known of it.
    pub(crate) info: &'a PathInfo,
    /// Of a derivation, its outputs that are known before they are built.
    pub(crate) outputs: Cow<'a, BTreeMap<String, StorePath>>,
}

impl<'a> Writer<'a> {
    /// Makes paths valid. They may refer to each other in any order. A path that is valid already gets what is new:
    /// signatures, `ultimate`, a deriver where there was none.
    pub(crate) fn register(
        &self,
        known: &[Registration<'_>],
        now_s: i64,
    ) -> Result<Result<(), MissingReference>, StoreError> {
        let mut ids: FxHashMap<&StorePath, i64> = FxHashMap::with_capacity_and_hasher(known.len(), FxBuildHasher);
        let (mut fresh, mut again) = (Vec::with_capacity(known.len()), Vec::new());
        let mut insert = self.prepare(
            "insert into ValidPaths
             (path, nar_hash, nar_size, registration_time, deriver, ultimate, signatures, ca)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             on conflict (path) do nothing",
        )?;
        for one in known {
            let path = &one.info.path;
            if let Some(id) = self.insert(&mut insert, one.info, now_s)? {
                ids.insert(path, id);
                fresh.push((one, id));
            } else if let Some(before) = self.reader.path_info(path)? {
                self.update(&before, one.info)?;
                again.push(one);
            }
        }
        let (mut rows, mut outputs) = (Vec::new(), Vec::new());
        for (Registration { info, outputs: known }, id) in &fresh {
            outputs.extend(output_rows(*id, known));
            let begin = rows.len();
            for reference in &info.references {
                let target = match ids.get(reference) {
                    Some(target) => *target,
                    None => {
                        let Some(target) = self.reader.id(reference)? else {
                            return Ok(Err(MissingReference { path: info.path.clone(), reference: reference.clone() }));
                        };
                        ids.insert(reference, target);
                        target
                    }
                };
                rows.push([*id, target]);
            }
            // in the order of the index
            rows[begin..].sort_unstable();
        }
        let into = "insert or ignore into Refs (referrer, reference)";
        self.insert_rows(into, &rows, |[referrer, reference]| [referrer, reference])?;
        // a new derivation has no such rows. Where some may be replaced SQLite copies each page before it changes it
        let into = "insert or fail into DerivationOutputs (drv, output, path)";
        self.insert_rows(into, &outputs, |(id, output, path)| [id, output, path])?;
        // one that was given twice is among both
        for one in again.into_iter().filter(|one| !one.outputs.is_empty()) {
            self.set_derivation_outputs(&one.info.path, &one.outputs)?;
        }
        Ok(Ok(()))
    }

    /// Inserts rows, many with each statement. `columns` tells what is in one.
    fn insert_rows<'r, R, const COLUMNS: usize>(
        &self,
        into: &str,
        rows: &'r [R],
        columns: impl Fn(&'r R) -> [&'r dyn ToSql; COLUMNS],
    ) -> Result<(), StoreError> {
        let row = format!("({})", ["?"; COLUMNS].join(", "));
        let (many, few) = rows.split_at(rows.len() - rows.len() % ROWS_AT_ONCE);
        for (at_once, rows) in [(ROWS_AT_ONCE, many), (1, few)] {
            if rows.is_empty() {
                continue;
            }
            let mut insert = self.prepare(&format!("{into} values {}", vec![&*row; at_once].join(", ")))?;
            for rows in rows.chunks_exact(at_once) {
                let columns = rows.iter().flat_map(&columns);
                insert.execute(params_from_iter(columns)).map_err(|e| self.reader.database.error(e))?;
            }
        }
        Ok(())
    }

    /// Returns nothing if the path is valid already.
    fn insert(&self, insert: &mut CachedStatement<'_>, info: &PathInfo, now_s: i64) -> Result<Option<i64>, StoreError> {
        let known = i64::try_from(info.registration_time_seconds).unwrap_or(i64::MAX);
        let time = if known == 0 { now_s } else { known };
        let size = i64::try_from(info.nar_size).map_err(|_| self.reader.database.corrupt("a NAR size over 2^63"))?;
        let row = params![
            info.path.base_name(),
            format!("{}:{}", info.nar_hash.algorithm(), info.nar_hash.base16()),
            size,
            time,
            info.deriver.as_ref().map(StorePath::base_name),
            info.ultimate,
            join_words(&info.signatures),
            info.ca.as_ref().map(ToString::to_string),
        ];
        let inserted = insert.execute(row).map_err(|e| self.reader.database.error(e))?;
        Ok((inserted == 1).then(|| self.reader.transaction.last_insert_rowid()))
    }

    fn update(&self, known: &PathInfo, info: &PathInfo) -> Result<(), StoreError> {
        let deriver = known.deriver.as_ref().or(info.deriver.as_ref());
        let ultimate = known.ultimate || info.ultimate;
        let ca = known.ca.as_ref().or(info.ca.as_ref());
        // signatures are over hash, size and references: those of other contents say nothing of ours
        let same = known.nar_hash == info.nar_hash && known.references == info.references;
        let mut signatures = known.signatures.clone();
        if same {
            signatures.extend(info.signatures.iter().cloned());
        }
        if deriver == known.deriver.as_ref()
            && ultimate == known.ultimate
            && ca == known.ca.as_ref()
            && signatures == known.signatures
        {
            return Ok(());
        }
        let row = params![
            known.path.base_name(),
            deriver.map(StorePath::base_name),
            ultimate,
            join_words(&signatures),
            ca.map(ToString::to_string)
        ];
        self.execute("update ValidPaths set deriver = ?2, ultimate = ?3, signatures = ?4, ca = ?5 where path = ?1", row)
            .map(drop)
    }

    /// Adds signatures to a valid path.
    pub(crate) fn add_signatures(&self, path: &StorePath, fresh: &BTreeSet<Signature>) -> Result<bool, StoreError> {
        let Some(known) = self.reader.path_info(path)? else { return Ok(false) };
        let all: BTreeSet<Signature> = known.signatures.union(fresh).cloned().collect();
        self.execute(
            "update ValidPaths set signatures = ?2 where path = ?1",
            params![path.base_name(), join_words(&all)],
        )?;
        Ok(true)
    }

    /// Replaces what is known of the outputs of a valid derivation.
    pub(crate) fn set_derivation_outputs(
        &self,
        drv: &StorePath,
        outputs: &BTreeMap<String, StorePath>,
    ) -> Result<bool, StoreError> {
        let Some(id) = self.reader.id(drv)? else { return Ok(false) };
        for (id, output, path) in output_rows(id, outputs) {
            let row = params![id, output, path];
            self.execute("insert or replace into DerivationOutputs (drv, output, path) values (?1, ?2, ?3)", row)?;
        }
        Ok(true)
    }

    /// Records a realisation, or adds its signatures to the one that is there. An inner error is the other path that
    /// is recorded already.
    pub(crate) fn register_realisation(&self, realisation: &Realisation) -> Result<Registered, StoreError> {
        let Some(id) = self.reader.id(&realisation.path)? else { return Ok(Registered::NotValid) };
        let mut signatures = realisation.signatures.clone();
        if let Some(known) = self.reader.realisation(&realisation.id)? {
            if known.path != realisation.path {
                return Ok(Registered::Other(known.path));
            }
            if signatures.is_subset(&known.signatures) {
                return Ok(Registered::Done);
            }
            signatures.extend(known.signatures);
        }
        self.execute(
            "insert or replace into Realisations (drv_output, path, signatures) values (?1, ?2, ?3)",
            params![realisation.id.to_string(), id, join_words(&signatures)],
        )?;
        Ok(Registered::Done)
    }

    /// Makes a path invalid, unless a valid path (itself aside) refers to it; says whether it is invalid now.
    pub(crate) fn invalidate(&self, path: &StorePath) -> Result<bool, StoreError> {
        let mut referrers = self.reader.referrers(path)?;
        referrers.remove(path);
        if !referrers.is_empty() {
            return Ok(false);
        }
        self.execute("delete from ValidPaths where path = ?1", [path.base_name()])?;
        Ok(true)
    }

    /// Returns how many rows were changed.
    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, StoreError> {
        self.prepare(sql)?.execute(params).map_err(|e| self.reader.database.error(e))
    }

    fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        self.reader.transaction.prepare_cached(sql).map_err(|e| self.reader.database.error(e))
    }
}

fn join_words(signatures: &BTreeSet<Signature>) -> String {
    signatures.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
