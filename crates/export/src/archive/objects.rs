//! Bundles in an object store.
//!
//! An upload is complete, or nothing is there under its name. Credentials come from the environment, as for every other tool
//! of that store (`AWS_ACCESS_KEY_ID` …), and are never in a name, a message or an event.

use std::io::{self, Write};
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart};
use tokio::runtime::{Builder, Runtime};
use trailseal_core::{Archive, ArchiveError, Archived, RetentionRule, Retiring};
use url::Url;

use super::fill::{fill, name};
use crate::bundle::BundleWriter;

/// Parts that are under way at once, of 5 MiB each.
const PARTS_MAX: usize = 4;

/// An object store that gets a bundle for each run.
pub(super) struct ObjectArchive {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Without anything secret.
    address: String,
    rule: RetentionRule,
    runtime: Runtime,
}

impl ObjectArchive {
    pub(super) fn new(address: &str, rule: &RetentionRule) -> Result<Self, ArchiveError> {
        let url = Url::parse(address).map_err(|error| format!("the archive's address is no URL: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(
                "the archive's address must not hold credentials: put them into the environment, such as \
                        AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    .into(),
            );
        }
        let settings = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("AWS_"));
        let settings = settings.map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (store, prefix) = object_store::parse_url_opts(&url, settings)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let address = url.as_str().trim_end_matches('/').to_owned();
        Ok(ObjectArchive { store: store.into(), prefix, address, rule: rule.clone(), runtime })
    }
}

impl Archive for ObjectArchive {
    fn keep(&mut self, retiring: &mut Retiring<'_>) -> Result<Archived, ArchiveError> {
        let name = name(retiring)?;
        let place = self.prefix.clone().join(name.as_str());
        let begun = self.runtime.block_on(self.store.put_multipart(&place))?;
        let mut upload = Upload { runtime: &self.runtime, parts: WriteMultipart::new(begun) };
        match fill(BundleWriter::to_pipe(&mut upload), retiring, &self.rule) {
            // Only now it is there.
            Ok(_) => self.runtime.block_on(upload.parts.finish())?,
            Err(error) => {
                let _ = self.runtime.block_on(upload.parts.abort());
                return Err(error);
            }
        };
        Ok(Archived { location: format!("{}/{name}", self.address) })
    }
}

struct Upload<'a> {
    runtime: &'a Runtime,
    parts: WriteMultipart,
}

impl Write for Upload<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The parts are sent while it is waited for room.
        self.runtime.block_on(async {
            self.parts.wait_for_capacity(PARTS_MAX).await?;
            self.parts.write(bytes);
            Ok::<(), object_store::Error>(())
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
