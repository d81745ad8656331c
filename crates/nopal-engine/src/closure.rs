//! `builtins.fetchClosure`: closures from binary caches in folders.

use std::path::Path;

use nopal_eval::host::ClosureRequest;
use nopal_format::StorePath;
use nopal_store::{CacheImport, CacheSource};

use crate::engine::Shared;
use crate::error::EngineError;

/// Copies a closure, as it is or with content addresses; returns the path that the wanted one has then.
pub(crate) fn fetch(shared: &Shared, request: &ClosureRequest<'_>) -> Result<StorePath, EngineError> {
    let Some(directory) = request.store.strip_prefix("file://") else {
        return Err(EngineError::Cache { address: request.store.to_owned() });
    };
    let (store, directory) = (shared.store()?, Path::new(directory));
    let wanted = std::slice::from_ref(request.path);
    if !request.rewrite {
        let trust = CacheImport {
            trusted_keys: shared.config.trusted_public_keys.iter().map(|key| key.parse()).collect::<Result<_, _>>()?,
            accept_unsigned: !shared.config.require_sigs,
        };
        store.import_from_cache(directory, wanted, &trust)?;
        return Ok(request.path.clone());
    }
    let renamed = store.make_content_addressed(&CacheSource { store, directory }, wanted)?;
    renamed.get(request.path).cloned().ok_or_else(|| EngineError::NotValid { path: store.print(request.path) })
}
