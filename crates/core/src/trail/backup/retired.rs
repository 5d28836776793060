//! What a backup has to do with retired lines.
//!
//! Lists and ids go into the copy before its checkpoint, and lines go from it only after that: whenever it is
//! interrupted, what is missing in the copy is vouched for by what its checkpoint covers.

use std::io;
use std::path::Path;

use trailseal_event::Index;

use super::beginning::{ends_alike, remove_for_good};
use super::error::failed;
use super::lists::Lists;
use super::{BackupError, Copy};
use crate::retire::parse_ids_name;
use crate::segment::{Form, SegmentFile, parse_retired_name, parse_segment_name, segment_name};

impl Copy<'_> {
    /// Copies the lists, the hashed ids, and what else only retirements write.
    pub(super) fn copy_lists(&mut self) -> Result<(), BackupError> {
        let folder = self.from.segments_folder();
        let names = self.from.files().list(&folder).map_err(failed("list", &folder))?;
        for name in names {
            let is_ids = parse_ids_name(&name).is_some();
            if is_ids || parse_retired_name(&name).is_some() {
                let path = Path::new("segments").join(&name);
                let bytes = self.read(&folder.join(&name))?;
                self.put(&path, &bytes, is_ids)?;
            }
        }
        let last_leaves = Path::new("tree").join("last-leaves");
        match self.from.files().read(&self.from.root().join(&last_leaves), super::SMALL_FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            read => self.put(&last_leaves, &read.map_err(failed("read", &last_leaves))?, false),
        }
    }

    /// Takes out of the copy what was retired since an earlier backup.
    pub(super) fn retire_in_copy(&mut self, lists: &Lists) -> Result<(), BackupError> {
        let (folder, to) = (self.from.segments_folder(), self.to.segments_folder());
        let segments = self.from.segments().map_err(failed("list", &folder))?;
        for (first, _) in lists {
            match segments.iter().find(|segment| segment.first == *first) {
                Some(segment) => self.copy_whole(segment)?,
                None => {
                    for form in [Form::Plain, Form::Compressed] {
                        let path = to.join(segment_name(*first, form));
                        remove_for_good(&**self.to.files(), &path)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the copy has this segment, in any form.
    pub(super) fn has_segment(&self, first: Index) -> Result<bool, BackupError> {
        let folder = self.to.segments_folder();
        let names = self.to.files().list(&folder).map_err(failed("list", &folder))?;
        Ok(names.iter().filter_map(|name| parse_segment_name(name)).any(|(other, _)| other == first))
    }

    /// Replaces a segment of the copy, unless it is the same.
    pub(super) fn copy_whole(&mut self, segment: &SegmentFile) -> Result<(), BackupError> {
        let files = self.to.files().clone();
        let name = segment_name(segment.first, segment.form);
        let to = self.to.segments_folder().join(&name);
        let source = files.open_read(&segment.path).map_err(failed("open", &segment.path))?;
        let len = source.len_bytes().map_err(failed("look at", &segment.path))?;
        let is_copied = match files.open_read(&to) {
            Ok(there) => {
                there.len_bytes().is_ok_and(|bytes| bytes == len)
                    && ends_alike(&*source, &*there, len).map_err(failed("compare", &to))?
            }
            Err(_) => false,
        };
        if !is_copied {
            let mut unfinished = to.clone().into_os_string();
            unfinished.push(".tmp");
            let unfinished = std::path::PathBuf::from(unfinished);
            match files.remove(&unfinished) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", &unfinished)(error));
                }
                _ => {}
            }
            self.extend(&segment.path, &unfinished, len)?;
            files.rename(&unfinished, &to).map_err(failed("rename", &unfinished))?;
        }
        if cfg!(trailseal_fault = "backup_plain_form_left") && is_copied {
            return Ok(());
        }
        // The other form counts, or would: an earlier or an interrupted backup has left it.
        let other = if segment.form == Form::Plain { Form::Compressed } else { Form::Plain };
        let other = self.to.segments_folder().join(segment_name(segment.first, other));
        remove_for_good(&*files, &other)
    }
}
