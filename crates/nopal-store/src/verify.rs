//! Comparing what the database says with what is on disk.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use nopal_format::{Hash, PathInfo, StorePath};
use nopal_report::Activity;

use crate::error::StoreError;
use crate::store::Store;
use crate::tree::{hash_tree, hash_tree_pipelined};

/// What to compare.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// Read everything and compare hashes; otherwise only see that the paths are there.
    pub contents: bool,
    /// Threads that read and hash.
    pub threads: usize,
    /// These paths only; all, if `None`.
    pub only: Option<BTreeSet<StorePath>>,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { contents: true, threads: 2, only: None }
    }
}

/// Size from which one thread reads a path while another hashes it: a store's largest path would otherwise keep one
/// core busy alone at the end.
const PIPELINE_BYTES: u64 = 64 * 1024 * 1024;

/// What is wrong with a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The database says it is valid, and it is not on disk.
    #[error("it is missing from the disk")]
    Missing,
    /// Its contents are not those that were registered.
    #[error("its contents have changed: expected {expected}, got {got}", expected = .expected.sri(), got = .got.sri())]
    HashMismatch {
        /// The hash registered.
        expected: Box<Hash>,
        /// The hash of what is there.
        got: Box<Hash>,
    },
    /// The hash is right and the size is not: the registration is wrong.
    #[error("its registered size is {expected} bytes, its size {got}")]
    SizeMismatch {
        /// The size registered.
        expected: u64,
        /// The size of what is there.
        got: u64,
    },
    /// It cannot be read.
    #[error("{reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
    /// A path that was asked for is not valid.
    #[error("it is not valid")]
    NotValid,
}

/// A path and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathProblem {
    /// The path.
    pub path: StorePath,
    /// What is wrong.
    pub problem: Problem,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Paths looked at.
    pub paths: usize,
    /// Bytes of NAR hashed.
    pub bytes: u64,
    /// What is wrong with the database itself.
    pub database: Vec<String>,
    /// What is wrong with paths, in order of paths.
    pub problems: Vec<PathProblem>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.database.is_empty() && self.problems.is_empty()
    }
}

impl Store {
    /// Compares the database with the disk. Fails only where it cannot be done; what is wrong is in the report.
    pub fn verify(&self, options: &VerifyOptions) -> Result<VerifyReport, StoreError> {
        let activity = self.reporter().start(Activity::Verify);
        let mut report = VerifyReport { database: self.database().integrity_problems()?, ..VerifyReport::default() };
        let infos = self.infos_to_verify(options, &mut report)?;
        // the largest first, so that no thread is left alone with it at the end
        let mut order: Vec<&PathInfo> = infos.iter().collect();
        order.sort_by_key(|info| std::cmp::Reverse(info.nar_size));
        let next = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        let bytes = AtomicU64::new(0);
        let problems = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..options.threads.clamp(1, order.len().max(1)) {
                scope.spawn(|| {
                    while let Some(info) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let pipelined = options.threads > 1 && info.nar_size >= PIPELINE_BYTES;
                        let problem = self.verify_path(info, options.contents, pipelined, &bytes);
                        if let Some(problem) = problem {
                            problems
                                .lock()
                                .unwrap_or_else(std::sync::PoisonError::into_inner)
                                .push(PathProblem { path: info.path.clone(), problem });
                        }
                        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                        activity.progress(done as u64, Some(order.len() as u64));
                    }
                });
            }
        });
        report.paths += infos.len();
        report.bytes = bytes.into_inner();
        for problem in problems.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            // a path collected as garbage while we read it has no problem
            if self.is_valid(&problem.path)? {
                report.problems.push(problem);
            }
        }
        report.problems.sort_by(|a, b| a.path.cmp(&b.path));
        activity.succeed();
        Ok(report)
    }

    fn infos_to_verify(&self, options: &VerifyOptions, report: &mut VerifyReport) -> Result<Vec<PathInfo>, StoreError> {
        let Some(only) = &options.only else { return self.all_path_infos() };
        let mut infos = Vec::new();
        for path in only {
            match self.find_path_info(path)? {
                Some(info) => infos.push(info),
                None => {
                    report.paths += 1;
                    report.problems.push(PathProblem { path: path.clone(), problem: Problem::NotValid });
                }
            }
        }
        Ok(infos)
    }

    fn verify_path(&self, info: &PathInfo, contents: bool, pipelined: bool, bytes: &AtomicU64) -> Option<Problem> {
        let tree = self.physical_path(&info.path);
        match nopal_fs::symlink_metadata_if_exists(&tree) {
            Ok(None) => return Some(Problem::Missing),
            Err(error) => return Some(Problem::Unreadable { reason: error.to_string() }),
            Ok(Some(_)) => {}
        }
        if !contents {
            return None;
        }
        let hashed = if pipelined { hash_tree_pipelined(&tree) } else { hash_tree(&tree) };
        match hashed {
            Err(error) => Some(Problem::Unreadable { reason: error.to_string() }),
            Ok(found) => {
                bytes.fetch_add(found.nar_size, Ordering::Relaxed);
                if found.nar_hash != info.nar_hash {
                    let (expected, got) = (Box::new(info.nar_hash), Box::new(found.nar_hash));
                    Some(Problem::HashMismatch { expected, got })
                } else if found.nar_size != info.nar_size {
                    Some(Problem::SizeMismatch { expected: info.nar_size, got: found.nar_size })
                } else {
                    None
                }
            }
        }
    }
}
