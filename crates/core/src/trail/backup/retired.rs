//! What a backup has to do with retired lines.
//!
//! Lists and ids go into the copy before its checkpoint, and lines go from it only after that: whenever it is
//! interrupted, what is missing in the copy is vouched for by what its checkpoint covers.

use std::io;
use std::path::{Path, PathBuf};

use trailseal_event::Index;

use super::beginning::{ends_alike, remove_for_good};
use super::error::failed;
use super::lists::{Lists, list_len};
use super::{BackupError, Copy};
use crate::file::ReadFile;
use crate::retire::parse_ids_name;
use crate::segment::{Form, SegmentFile, parse_segment_name, retired_name, segment_name};

const RETIRED_FILE_BYTES_MAX: u64 = 1 << 30;

impl Copy<'_> {
    /// Opens a segment of the trail; `None` if it is not there, or more of it was retired than these lists say. A list
    /// grows before lines go, so what is opened here stays as it is, whatever becomes of its name.
    pub(super) fn open_segment(
        &self,
        segment: &SegmentFile,
        lists: &Lists,
    ) -> Result<Option<Box<dyn ReadFile>>, BackupError> {
        let source = match self.from.files().open_read(&segment.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed("open", &segment.path))?,
        };
        Ok(self.is_as_listed(segment.first, lists)?.then_some(source))
    }

    fn is_as_listed(&self, first: Index, lists: &Lists) -> Result<bool, BackupError> {
        let listed = lists.iter().find(|(other, _)| *other == first).map(|(_, len)| *len);
        Ok(list_len(self.from, first)? == listed || cfg!(trailseal_fault = "backup_of_newer_segment"))
    }

    /// Copies the lists as they were, the hashed ids, and what else only retirements write. Returns whether they were
    /// there.
    pub(super) fn copy_lists(&mut self, lists: &Lists) -> Result<bool, BackupError> {
        let folder = self.from.segments_folder();
        for (first, len) in lists {
            let name = retired_name(*first);
            let Some(bytes) = self.read_if_there(&folder.join(&name))? else { return Ok(false) };
            let Some(part) = bytes.get(..*len as usize) else { return Ok(false) };
            self.put(&Path::new("segments").join(&name), part, false)?;
        }
        let names = self.from.files().list(&folder).map_err(failed("list", &folder))?;
        for name in names {
            let Some((first, bytes)) = parse_ids_name(&name) else { continue };
            // Others belong to a retirement that began meanwhile.
            if lists.iter().any(|(other, len)| *other == first && bytes <= *len) {
                let Some(ids) = self.read_if_there(&folder.join(&name))? else { return Ok(false) };
                self.put(&Path::new("segments").join(&name), &ids, true)?;
            }
        }
        let last_leaves = Path::new("tree").join("last-leaves");
        if let Some(bytes) = self.read_if_there(&self.from.root().join(&last_leaves))? {
            self.put(&last_leaves, &bytes, false)?;
        }
        Ok(true)
    }

    fn read_if_there(&self, path: &Path) -> Result<Option<Vec<u8>>, BackupError> {
        match self.from.files().read(path, RETIRED_FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(failed("read", path)),
        }
    }

    /// Takes out of the copy what was retired since an earlier backup. Returns whether nothing more was retired
    /// meanwhile; the copy is whole in any case.
    pub(super) fn retire_in_copy(&mut self, lists: &Lists) -> Result<bool, BackupError> {
        let (folder, to) = (self.from.segments_folder(), self.to.segments_folder());
        let segments = self.from.segments().map_err(failed("list", &folder))?;
        for (first, _) in lists {
            match segments.iter().find(|segment| segment.first == *first) {
                Some(segment) => match self.open_segment(segment, lists)? {
                    Some(source) => self.copy_whole(segment, &*source)?,
                    None => return Ok(false),
                },
                None if !self.is_as_listed(*first, lists)? => return Ok(false),
                None => {
                    for form in [Form::Plain, Form::Compressed] {
                        let path = to.join(segment_name(*first, form));
                        remove_for_good(&**self.to.files(), &path)?;
                    }
                }
            }
        }
        Ok(true)
    }

    /// Whether the copy has this segment, in any form.
    pub(super) fn has_segment(&self, first: Index) -> Result<bool, BackupError> {
        let folder = self.to.segments_folder();
        let names = self.to.files().list(&folder).map_err(failed("list", &folder))?;
        Ok(names.iter().filter_map(|name| parse_segment_name(name)).any(|(other, _)| other == first))
    }

    /// Writes the first `len` bytes of a segment beside `to`.
    pub(super) fn write_aside(
        &mut self,
        segment: &SegmentFile,
        source: &dyn ReadFile,
        to: &Path,
        len: u64,
    ) -> Result<PathBuf, BackupError> {
        let mut unfinished = to.to_owned().into_os_string();
        unfinished.push(".tmp");
        let unfinished = PathBuf::from(unfinished);
        match self.to.files().remove(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &unfinished)(error));
            }
            _ => {}
        }
        self.extend(source, &segment.path, &unfinished, len)?;
        Ok(unfinished)
    }

    /// Replaces a segment of the copy, unless it is the same.
    pub(super) fn copy_whole(
        &mut self,
        segment: &SegmentFile,
        source: &dyn ReadFile,
    ) -> Result<(), BackupError> {
        let files = self.to.files().clone();
        let name = segment_name(segment.first, segment.form);
        let to = self.to.segments_folder().join(&name);
        let len = source.len_bytes().map_err(failed("look at", &segment.path))?;
        let is_copied = match files.open_read(&to) {
            Ok(there) => {
                there.len_bytes().is_ok_and(|bytes| bytes == len)
                    && ends_alike(source, &*there, len).map_err(failed("compare", &to))?
            }
            Err(_) => false,
        };
        if !is_copied {
            let unfinished = self.write_aside(segment, source, &to, len)?;
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
