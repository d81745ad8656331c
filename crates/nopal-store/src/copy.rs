//! Copying paths from one store to another.

use std::io::{BufReader, BufWriter, Write as _};
use std::os::unix::net::UnixStream;

use nopal_format::StorePath;

use crate::add::NarChecks;
use crate::cache::CacheImport;
use crate::error::StoreError;
use crate::store::Store;
use crate::tree::TreeError;

impl Store {
    /// Makes paths of another store valid in this one, what they refer to first; it must be among them or valid here.
    /// Returns how many were copied.
    ///
    /// # Errors
    /// A path is not valid there, refers to one that is not valid here, or is not trusted.
    pub fn copy_from(&self, other: &Store, paths: &[StorePath], trust: &CacheImport) -> Result<usize, StoreError> {
        let mut copied = 0;
        for info in other.closure_infos(paths)?.into_iter().filter(|info| paths.contains(&info.path)) {
            self.add_temp_root(&info.path)?;
            if self.is_valid(&info.path)? {
                continue;
            }
            if !trust.accept_unsigned && !info.is_content_addressed(self.store_dir()) {
                let valid = info.count_valid_signatures(self.store_dir(), &trust.trusted_keys);
                if valid.unwrap_or_default() == 0 {
                    return Err(StoreError::Untrusted { path: self.print(&info.path) });
                }
            }
            let mut info = info;
            info.ultimate = false;
            let (reader, writer) = UnixStream::pair().map_err(TreeError::Stream)?;
            std::thread::scope(|scope| {
                let sender = scope.spawn(|| {
                    let mut writer = BufWriter::new(writer);
                    other.dump(&info.path, &mut writer)?;
                    writer.flush().map_err(|error| StoreError::from(TreeError::Stream(error)))
                });
                let added = self.add_nar(&info, &mut BufReader::new(reader), &NarChecks::default());
                // the reader's error says more than that nobody reads any more
                let sent = sender.join().unwrap_or(Ok(()));
                added.and(sent)
            })?;
            copied += 1;
        }
        Ok(copied)
    }
}
