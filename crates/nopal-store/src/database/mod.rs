//! The database of valid paths: SQLite in WAL mode, one writer, readers beside it.

mod read;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::config::{Durability, StoreConfig};
use crate::error::StoreError;

pub(crate) use read::Reader;
pub(crate) use write::{Registered, Registration, Writer};

/// The schema version that this code reads and writes.
const SCHEMA_VERSION: i64 = 1;

/// Marks the file as ours in SQLite's header ("nopl").
const APPLICATION_ID: i64 = 0x6e6f_706c;

/// How long to wait for another process that writes. Its transactions take milliseconds; a collector's batch with a
/// slow disk can take seconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// Between two attempts at what SQLite does not wait for.
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// Readers kept open for the next query; more than the threads that usually ask at once is waste.
const MAX_IDLE_READERS: usize = 4;

/// What whoever writes keeps of the database, so that thousands of paths that become valid together need not be read
/// back from the log.
const WRITER_CACHE_KIB: i64 = 16 * 1024;

/// Pages in the log from which on what is in it goes to the database, with two syncs. A thousand paths touch more pages
/// than SQLite's 1,000, many of them again and again. (Nix: 40,000, so that a whole system takes one.)
const LOG_PAGES: i64 = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    mode: OpenMode,
    durability: Durability,
    writer: Option<Mutex<Connection>>,
    readers: Mutex<Vec<Connection>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenMode {
    ReadWrite,
    ReadOnly,
    /// On a file system that cannot be written to, so that no other process can either.
    Immutable,
}

impl Database {
    pub(crate) fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let path = config.database_file();
        let mut database = Self {
            path,
            mode: OpenMode::ReadOnly,
            durability: config.durability,
            writer: None,
            readers: Mutex::new(Vec::new()),
        };
        if config.read_only {
            database.open_read_only(config)?;
        } else {
            database.mode = OpenMode::ReadWrite;
            let mut connection = database.connect()?;
            let version = database.check_header(&connection)?;
            if version != SCHEMA_VERSION {
                let _lock = nopal_fs::LockFile::open(&config.schema_lock())?.exclusive()?;
                database.migrate(&mut connection, config)?;
            }
            database.check_store_dir(&connection, config)?;
            database.writer = Some(Mutex::new(connection));
        }
        Ok(database)
    }

    fn open_read_only(&mut self, config: &StoreConfig) -> Result<(), StoreError> {
        let connection = match self.connect().and_then(|connection| self.check_header(&connection).map(|_| connection))
        {
            // a database in WAL mode needs files beside it, which a read-only file system cannot give
            Err(error) if !nopal_fs::is_writable(&config.state_dir) && !has_log(&self.path) => {
                self.mode = OpenMode::Immutable;
                let connection = self.connect().map_err(|_| error)?;
                self.check_header(&connection)?;
                connection
            }
            other => other?,
        };
        if self.check_header(&connection)? == 0 {
            return Err(StoreError::NoStore { path: config.state_dir.clone() });
        }
        self.check_store_dir(&connection, config)?;
        self.put_back(connection);
        Ok(())
    }

    /// Runs `read` within one consistent view of the database.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Reader<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.lock_readers().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let transaction = connection.transaction().map_err(|e| self.error(e))?;
        let result = read(&Reader { transaction: &transaction, database: self });
        drop(transaction);
        self.put_back(connection);
        result
    }

    /// Runs `write` in a transaction that is rolled back if it fails. With `Persist::Now` the transaction survives a
    /// power cut once this returns; otherwise it may be undone by one, as a whole.
    pub(crate) fn write<T>(
        &self,
        persist: Persist,
        keys: ForeignKeys,
        write: impl FnOnce(&Writer<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some(writer) = &self.writer else {
            return Err(StoreError::ReadOnly { operation: "write to the database", path: self.path.clone() });
        };
        let mut connection = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let synchronous = match (self.durability.database, persist) {
            (false, _) => "off",
            (true, Persist::Now) => "full",
            (true, Persist::Soon) => "normal",
        };
        connection.pragma_update(None, "synchronous", synchronous).map_err(|e| self.error(e))?;
        let checked = keys == ForeignKeys::Checked;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, checked).map_err(|e| self.error(e))?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| self.error(e))?;
        let value = write(&Writer { reader: Reader { transaction: &transaction, database: self } })?;
        transaction.commit().map_err(|e| self.error(e))?;
        Ok(value)
    }

    /// SQLite's own check of the whole file, and that every reference leads to a row. One line per problem.
    pub(crate) fn integrity_problems(&self) -> Result<Vec<String>, StoreError> {
        self.read(|reader| reader.integrity_problems())
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let base = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let flags = match self.mode {
            OpenMode::ReadWrite => base | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            OpenMode::ReadOnly | OpenMode::Immutable => base | OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let query = if self.mode == OpenMode::Immutable { "?immutable=1" } else { "" };
        let uri = format!("file:{}{query}", escape_uri(&self.path));
        let connection = Connection::open_with_flags(uri, flags).map_err(|e| self.error(e))?;
        self.configure(&connection).map_err(|e| self.error(e))?;
        Ok(connection)
    }

    fn configure(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "foreign_keys", true)?;
        // a crafted file must not make SQLite run what we did not write
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "mmap_size", 64 * 1024 * 1024)?;
        if self.mode == OpenMode::ReadWrite {
            connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
            connection.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, |row| row.get::<_, i64>(0))?;
            let mode = to_wal(connection)?;
            if mode != "wal" {
                // a file system without shared memory; the rollback journal is slower and as safe
                connection.pragma_update_and_check(None, "journal_mode", "truncate", |row| row.get::<_, String>(0))?;
            }
        }
        Ok(())
    }

    /// The schema version, zero for a new file; an error for a file that is not ours or too new.
    fn check_header(&self, connection: &Connection) -> Result<i64, StoreError> {
        // all at one moment: another process may be making it
        let snapshot = connection.unchecked_transaction().map_err(|e| self.error(e))?;
        let pragma = |name| snapshot.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let version = pragma("user_version").map_err(|e| self.error(e))?;
        let application = pragma("application_id").map_err(|e| self.error(e))?;
        let tables: i64 = snapshot
            .query_row("select count(*) from sqlite_schema", [], |row| row.get(0))
            .map_err(|e| self.error(e))?;
        if application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0) {
            return Err(StoreError::NotADatabase { path: self.path.clone() });
        }
        if version > SCHEMA_VERSION {
            return Err(StoreError::NewerSchema { path: self.path.clone(), found: version, supported: SCHEMA_VERSION });
        }
        Ok(version)
    }

    /// Brings an older or new file to the current schema, in one transaction. The caller holds the schema lock.
    fn migrate(&self, connection: &mut Connection, config: &StoreConfig) -> Result<(), StoreError> {
        // another process may have done it while we waited for the lock
        let version = self.check_header(connection)?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Exclusive).map_err(|e| self.error(e))?;
        for next in version + 1..=SCHEMA_VERSION {
            match next {
                1 => {
                    transaction.execute_batch(include_str!("schema.sql")).map_err(|e| self.error(e))?;
                    transaction
                        .execute("insert into Store (key, value) values ('store_dir', ?1)", [config.store_dir.as_str()])
                        .map_err(|e| self.error(e))?;
                }
                _ => return Err(self.corrupt(format!("no migration to schema version {next}"))),
            }
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(|e| self.error(e))?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(|e| self.error(e))?;
        transaction.commit().map_err(|e| self.error(e))
    }

    /// A store made for one logical directory holds paths that mean nothing under another.
    fn check_store_dir(&self, connection: &Connection, config: &StoreConfig) -> Result<(), StoreError> {
        let found: String = connection
            .query_row("select value from Store where key = 'store_dir'", [], |row| row.get(0))
            .map_err(|e| self.error(e))?;
        if found == config.store_dir.as_str() {
            return Ok(());
        }
        Err(StoreError::OtherStoreDir {
            path: self.path.clone(),
            found,
            expected: config.store_dir.as_str().to_owned(),
        })
    }

    fn lock_readers(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_back(&self, connection: Connection) {
        let mut readers = self.lock_readers();
        if readers.len() < MAX_IDLE_READERS {
            readers.push(connection);
        }
    }

    pub(crate) fn corrupt(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Corrupt { path: self.path.clone(), reason: reason.into() }
    }

    /// Names SQLite's error.
    pub(crate) fn error(&self, source: rusqlite::Error) -> StoreError {
        let path = self.path.clone();
        let code = source.sqlite_error_code();
        match code {
            Some(ErrorCode::DatabaseCorrupt) => StoreError::Corrupt { path, reason: source.to_string() },
            Some(ErrorCode::NotADatabase) => StoreError::NotADatabase { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { path },
            Some(ErrorCode::DiskFull) => StoreError::DiskFull { path },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::NotWritable { path },
            Some(ErrorCode::CannotOpen) if !nopal_fs::is_writable(nopal_fs::parent_of(&path)) => {
                StoreError::NotWritable { path }
            }
            _ => {
                // SQLite reports a full disk as an input/output error when it grows its shared memory
                let full = matches!(code, Some(ErrorCode::SystemIoFailure))
                    && nopal_fs::disk_free_bytes(nopal_fs::parent_of(&path)).is_ok_and(|free| free < 64 * 1024);
                if full { StoreError::DiskFull { path } } else { StoreError::Database { path, source } }
            }
        }
    }
}

/// When a transaction has to survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persist {
    /// Before the call returns: what follows destroys data that the old state needs.
    Now,
    /// Whenever the log is next synced: losing it leaves a consistent older state.
    Soon,
}

/// Whether SQLite looks for the rows that others lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForeignKeys {
    /// As the schema says.
    Checked,
    /// Not for rows that lead to such as the transaction has just made or found itself: to look for them again takes a
    /// third of the time of registering.
    Found,
}

/// Whether committed transactions may still be in the write-ahead log only.
fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    nopal_fs::symlink_metadata(Path::new(&log)).is_ok_and(|metadata| metadata.len() > 0)
}

/// A path as the path part of a `file:` URI.
fn escape_uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut out = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(*byte)),
            other => out.push_str(&format!("%{other:02x}")),
        }
    }
    out
}

/// Changes the journal of a database to a write-ahead log, if it can. SQLite does not wait by itself for another process that
/// is doing the same.
fn to_wal(connection: &Connection) -> rusqlite::Result<String> {
    let begin = Instant::now();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && begin.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(BUSY_PAUSE);
            }
            mode => return mode,
        }
    }
}
