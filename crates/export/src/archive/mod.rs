//! Where lines go before they are retired: bundles in a folder, or in an object store.
//!
//! What must hold: what [`Archive::keep`](trailseal_core::Archive::keep) has reported as kept survives a power loss; a bundle
//! is there whole under its name, or not at all; a name stands for its lines, so nothing else is ever written over.

mod fill;
mod folder;
#[cfg(feature = "object-store")]
mod objects;

use std::path::Path;

use trailseal_core::{Archive, ArchiveError, RetentionRule};

/// The archive at `place`: a folder, which is made when it is needed, or a URL such as `s3://bucket/prefix`. What `rule`
/// selects is noted in each bundle.
///
/// ```
/// use trailseal_core::RetentionRule;
///
/// let rule = RetentionRule::older_than_days(90);
/// let _archive = trailseal_export::archive("/mnt/archive", &rule)?;
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
///
/// # Errors
/// When the URL is none, or this build has no object stores.
pub fn archive(place: &str, rule: &RetentionRule) -> Result<Box<dyn Archive + Send>, ArchiveError> {
    match place.split_once("://") {
        None => Ok(Box::new(folder::FolderArchive::new(Path::new(place), rule))),
        // The folder that it names; an object store would not sync its files.
        Some(("file", path)) if path.starts_with('/') && !path.contains(['%', '?', '#']) => {
            Ok(Box::new(folder::FolderArchive::new(Path::new(path), rule)))
        }
        #[cfg(feature = "object-store")]
        Some(_) => Ok(Box::new(objects::ObjectArchive::new(place, rule)?)),
        #[cfg(not(feature = "object-store"))]
        Some((scheme, _)) => Err(format!(
            "this build cannot archive to {scheme}:// addresses: name a folder, or build with the feature object-store"
        )
        .into()),
    }
}
