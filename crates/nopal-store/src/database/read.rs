//! Queries.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use nopal_format::signature::Signature;
use nopal_format::{DrvOutput, Hash, Realisation, StorePath};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::closure::Direction;
use crate::database::Database;
use crate::error::StoreError;
use nopal_format::PathInfo;

/// One consistent view of the database.
pub(crate) struct Reader<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) database: &'a Database,
}

const INFO_COLUMNS: &str = "id, path, nar_hash, nar_size, registration_time, deriver, ultimate, signatures, ca";

/// A row of ValidPaths as SQLite gives it.
struct InfoRow {
    id: i64,
    path: String,
    nar_hash: String,
    nar_size: i64,
    registration_time: i64,
    deriver: Option<String>,
    ultimate: bool,
    signatures: String,
    ca: Option<String>,
}

impl InfoRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            path: row.get(1)?,
            nar_hash: row.get(2)?,
            nar_size: row.get(3)?,
            registration_time: row.get(4)?,
            deriver: row.get(5)?,
            ultimate: row.get(6)?,
            signatures: row.get(7)?,
            ca: row.get(8)?,
        })
    }
}

impl Reader<'_> {
    pub(crate) fn id(&self, path: &StorePath) -> Result<Option<i64>, StoreError> {
        self.one("select id from ValidPaths where path = ?1", path.base_name(), |row| row.get(0))
    }

    pub(crate) fn is_valid(&self, path: &StorePath) -> Result<bool, StoreError> {
        Ok(self.id(path)?.is_some())
    }

    pub(crate) fn path_info(&self, path: &StorePath) -> Result<Option<PathInfo>, StoreError> {
        let sql = format!("select {INFO_COLUMNS} from ValidPaths where path = ?1");
        self.one(&sql, path.base_name(), InfoRow::read)?.map(|row| self.info(row)).transpose()
    }

    pub(crate) fn all_paths(&self) -> Result<BTreeSet<StorePath>, StoreError> {
        self.paths("select path from ValidPaths", [])
    }

    pub(crate) fn all_infos(&self) -> Result<Vec<PathInfo>, StoreError> {
        let sql = format!("select {INFO_COLUMNS} from ValidPaths order by path");
        let mut statement = self.transaction.prepare_cached(&sql).map_err(|e| self.database.error(e))?;
        let rows = statement.query_map([], InfoRow::read).map_err(|e| self.database.error(e))?;
        rows.map(|row| self.info(row.map_err(|e| self.database.error(e))?)).collect()
    }

    /// Every valid path with the size of its NAR and its deriver.
    pub(crate) fn all_derivers(&self) -> Result<Vec<(StorePath, u64, Option<StorePath>)>, StoreError> {
        let rows = self.all("select path, nar_size, deriver from ValidPaths", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<String>>(2)?))
        })?;
        rows.into_iter()
            .map(|(path, size, deriver)| {
                let deriver = deriver.as_deref().map(|path| self.parse(path)).transpose()?;
                Ok((self.parse(&path)?, u64::try_from(size).unwrap_or_default(), deriver))
            })
            .collect()
    }

    pub(crate) fn references(&self, id: i64) -> Result<BTreeSet<StorePath>, StoreError> {
        self.paths("select path from Refs join ValidPaths on reference = id where referrer = ?1", [id])
    }

    pub(crate) fn referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, StoreError> {
        self.paths(
            "select v.path from Refs join ValidPaths v on referrer = v.id
             where reference = (select id from ValidPaths where path = ?1)",
            [path.base_name()],
        )
    }

    pub(crate) fn derivers(&self, output: &StorePath) -> Result<BTreeSet<StorePath>, StoreError> {
        self.paths(
            "select v.path from DerivationOutputs d join ValidPaths v on d.drv = v.id where d.path = ?1",
            [output.base_name()],
        )
    }

    pub(crate) fn outputs_of_deriver(&self, drv: &StorePath) -> Result<BTreeSet<StorePath>, StoreError> {
        self.paths("select path from ValidPaths where deriver = ?1", [drv.base_name()])
    }

    pub(crate) fn derivation_outputs(&self, drv: &StorePath) -> Result<BTreeMap<String, StorePath>, StoreError> {
        let rows = self.all(
            "select output, path from DerivationOutputs
             where drv = (select id from ValidPaths where path = ?1)",
            [drv.base_name()],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )?;
        rows.into_iter().map(|(output, path)| Ok((output, self.parse(&path)?))).collect()
    }

    /// All outputs by deriving path: for the collector, which would otherwise ask once per derivation.
    pub(crate) fn all_derivation_outputs(&self) -> Result<Vec<(StorePath, StorePath)>, StoreError> {
        let rows =
            self.all("select v.path, d.path from DerivationOutputs d join ValidPaths v on d.drv = v.id", [], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })?;
        rows.into_iter().map(|(drv, path)| Ok((self.parse(&drv)?, self.parse(&path)?))).collect()
    }

    /// Valid paths whose base name begins with `prefix`, at most `limit` of them.
    pub(crate) fn with_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<StorePath>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.all(
            "select path from ValidPaths where path >= ?1 order by path limit ?2",
            params![prefix, limit],
            |row| row.get::<_, String>(0),
        )?;
        rows.iter().take_while(|path| path.starts_with(prefix)).map(|path| self.parse(path)).collect()
    }

    pub(crate) fn realisation(&self, id: &DrvOutput) -> Result<Option<Realisation>, StoreError> {
        let row = self.one(
            "select v.path, r.signatures from Realisations r join ValidPaths v on r.path = v.id where r.drv_output = ?1",
            id.to_string(),
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )?;
        let Some((path, signatures)) = row else { return Ok(None) };
        let (path, signatures) = (self.parse(&path)?, self.signatures(&signatures)?);
        Ok(Some(Realisation { id: id.clone(), path, signatures }))
    }

    /// Everything that is recorded of outputs that became one of these paths.
    pub(crate) fn realisations_of(&self, path: &StorePath) -> Result<Vec<Realisation>, StoreError> {
        let rows = self.all(
            "select r.drv_output, r.signatures from Realisations r join ValidPaths v on r.path = v.id where v.path = ?1",
            [path.base_name()],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )?;
        let read = |(id, signatures): (String, String)| {
            let id = id.parse().map_err(|_| self.database.corrupt(format!("the realisation '{id}' cannot be read")))?;
            Ok(Realisation { id, path: path.clone(), signatures: self.signatures(&signatures)? })
        };
        rows.into_iter().map(read).collect()
    }

    /// The closure of `start`, each path before those that refer to it. The inner error tells which start is not valid.
    pub(crate) fn closure(
        &self,
        start: &[StorePath],
        direction: Direction,
    ) -> Result<Result<Vec<StorePath>, StorePath>, StoreError> {
        let sql = match direction {
            Direction::References => "select reference from Refs where referrer = ?1",
            Direction::Referrers => "select referrer from Refs where reference = ?1",
        };
        let mut edges = self.transaction.prepare_cached(sql).map_err(|e| self.database.error(e))?;
        let mut seen = HashSet::new();
        let mut order = Vec::new();
        for path in start {
            let Some(root) = self.id(path)? else { return Ok(Err(path.clone())) };
            if !seen.insert(root) {
                continue;
            }
            // depth first with a stack of our own: a node is put out when all it leads to has been
            let mut stack: Vec<(i64, Vec<i64>)> = Vec::new();
            let mut enter = Some(root);
            loop {
                if let Some(node) = enter.take() {
                    let next: Result<Vec<i64>, _> =
                        edges.query_map([node], |row| row.get(0)).map_err(|e| self.database.error(e))?.collect();
                    stack.push((node, next.map_err(|e| self.database.error(e))?));
                }
                let Some((node, next)) = stack.last_mut() else { break };
                match next.pop() {
                    Some(child) if seen.insert(child) => enter = Some(child),
                    Some(_) => {}
                    None => {
                        order.push(*node);
                        stack.pop();
                    }
                }
            }
        }
        let mut names = self
            .transaction
            .prepare_cached("select path from ValidPaths where id = ?1")
            .map_err(|e| self.database.error(e))?;
        let mut paths = Vec::with_capacity(order.len());
        for id in order {
            let name: String = names.query_row([id], |row| row.get(0)).map_err(|e| self.database.error(e))?;
            paths.push(self.parse(&name)?);
        }
        // that walk puts referrers out first
        if direction == Direction::Referrers {
            paths.reverse();
        }
        Ok(Ok(paths))
    }

    /// Every reference between two different paths: referrer, reference.
    pub(crate) fn all_references(&self) -> Result<HashMap<StorePath, Vec<StorePath>>, StoreError> {
        let rows = self.all(
            "select a.path, b.path from Refs join ValidPaths a on referrer = a.id join ValidPaths b on reference = b.id
             where referrer != reference",
            [],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )?;
        let mut edges: HashMap<StorePath, Vec<StorePath>> = HashMap::new();
        for (referrer, reference) in rows {
            edges.entry(self.parse(&referrer)?).or_default().push(self.parse(&reference)?);
        }
        Ok(edges)
    }

    pub(crate) fn integrity_problems(&self) -> Result<Vec<String>, StoreError> {
        let mut problems: Vec<String> = self
            .all("pragma integrity_check", [], |row| row.get::<_, String>(0))?
            .into_iter()
            .filter(|line| line != "ok")
            .collect();
        let dangling: i64 = self
            .transaction
            .query_row("select count(*) from pragma_foreign_key_check", [], |row| row.get(0))
            .map_err(|e| self.database.error(e))?;
        if dangling > 0 {
            problems.push(format!("{dangling} rows refer to rows that do not exist"));
        }
        Ok(problems)
    }

    fn info(&self, row: InfoRow) -> Result<PathInfo, StoreError> {
        let wrong = |what: &str| self.database.corrupt(format!("the {what} of path '{}' cannot be read", row.path));
        Ok(PathInfo {
            path: self.parse(&row.path)?,
            nar_hash: Hash::parse_prefixed(&row.nar_hash).map_err(|_| wrong("NAR hash"))?,
            nar_size: u64::try_from(row.nar_size).map_err(|_| wrong("NAR size"))?,
            references: self.references(row.id)?,
            deriver: row.deriver.as_deref().map(|path| self.parse(path)).transpose()?,
            registration_time_seconds: u64::try_from(row.registration_time).unwrap_or_default(),
            ultimate: row.ultimate,
            signatures: self.signatures(&row.signatures)?,
            ca: row.ca.as_deref().map(|ca| ca.parse().map_err(|_| wrong("content address"))).transpose()?,
        })
    }

    fn signatures(&self, text: &str) -> Result<BTreeSet<Signature>, StoreError> {
        let words = text.split(' ').filter(|word| !word.is_empty());
        words.map(|word| word.parse().map_err(|_| self.database.corrupt(format!("signature '{word}'")))).collect()
    }

    pub(super) fn parse(&self, base_name: &str) -> Result<StorePath, StoreError> {
        StorePath::from_base_name(base_name).map_err(|error| self.database.corrupt(error.to_string()))
    }

    fn paths(&self, sql: &str, params: impl rusqlite::Params) -> Result<BTreeSet<StorePath>, StoreError> {
        self.all(sql, params, |row| row.get::<_, String>(0))?.iter().map(|path| self.parse(path)).collect()
    }

    fn all<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.transaction.prepare_cached(sql).map_err(|e| self.database.error(e))?;
        let rows = statement.query_map(params, read).map_err(|e| self.database.error(e))?;
        rows.collect::<Result<_, _>>().map_err(|e| self.database.error(e))
    }

    fn one<T>(
        &self,
        sql: &str,
        parameter: String,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.transaction.prepare_cached(sql).map_err(|e| self.database.error(e))?;
        statement.query_row([parameter], read).optional().map_err(|e| self.database.error(e))
    }
}
