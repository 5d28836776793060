//! Lists, ids and the events that announce a retirement.

use std::ops::ControlFlow;
use std::sync::PoisonError;

use trailseal_event::{Index, Object, Value};
use trailseal_tlog::leaf_hash;

use super::SEAL_TIMEOUT;
use super::error::RetainError;
use super::plain::id_of;
use super::plan::{Plan, PlannedSegment};
use super::rule::RetentionRule;
use crate::retire::{AnnouncedList, Journal, RetiredIds, SEGMENTS_MAX, details};
use crate::segment::{read_list, retired_name, write_range};
use crate::trail::open_trail::Trail;
use crate::tree::SignedLeaves;

/// How often a key rotation that is going on is waited for.
const ROTATIONS_MAX: usize = 3;

impl Trail {
    /// Writes what the events of this plan will name: lists, and hashes of ids. Nothing is announced yet.
    pub(super) fn prepare(&self, plan: &Plan) -> Result<Vec<AnnouncedList>, RetainError> {
        let folder = self.folder();
        let io = |action, path| move |source| RetainError::Io { action, path, source };
        let mut journal = Journal { from: self.inner.log.handoff.next(), lists: Vec::new() };
        for planned in &plan.segments {
            let first = planned.segment.first;
            let path = folder.segments_folder();
            let list = read_list(&**folder.files(), &path, first).map_err(io("read the lists in", path))?;
            journal.lists.push((first, list.as_ref().map_or(0, Vec::len) as u64));
        }
        journal.write(folder).map_err(io("write", folder.root().join("retiring")))?;
        plan.segments.iter().map(|planned| self.write_list(plan, planned)).collect()
    }

    /// Records the events. This is short: it reads and writes no lines.
    pub(super) fn announce(
        &self,
        rule: &RetentionRule,
        plan: &Plan,
        lists: &[AnnouncedList],
        archive: Option<&str>,
    ) -> Result<(), RetainError> {
        for (lists, planned) in lists.chunks(SEGMENTS_MAX).zip(plan.segments.chunks(SEGMENTS_MAX)) {
            let count = planned.iter().map(|planned| planned.events).sum();
            self.record_retired(&said(rule, plan, archive, count), lists)?;
        }
        Ok(())
    }

    /// Adds to a segment's list what goes, after the hashes of its ids are there. Nothing is announced unless every line
    /// is the one that was signed.
    fn write_list(&self, plan: &Plan, planned: &PlannedSegment) -> Result<AnnouncedList, RetainError> {
        let (folder, segment) = (self.folder(), &planned.segment);
        let (files, segments, first) = (&**folder.files(), folder.segments_folder(), segment.first);
        let failed = |action, path| move |source| RetainError::Io { action, path, source };
        let path = segments.join(retired_name(first));
        let list = read_list(files, &segments, first).map_err(failed("read", path.clone()))?;
        let mut list = list.unwrap_or_default();
        let mut ids = RetiredIds::new(files, &segments, first);
        let mut leaves = SignedLeaves::new(folder, self.inner.log.progress.sealed());
        let (mut events, mut range, mut not_signed) = (0, 0..0, None);
        let read = plan.for_each(folder, planned, &mut |index, line, goes| {
            let is_signed = leaves.get(index)? == Some(leaf_hash(line));
            if !is_signed && !cfg!(trailseal_fault = "retired_lines_not_compared") {
                not_signed = Some(Index::new(index));
                return Ok(ControlFlow::Break(()));
            }
            if goes {
                events += 1;
                if index != range.end {
                    write_range(&range, &mut list);
                    range.start = index;
                }
                range.end = index + 1;
                if let Some(id) = id_of(line) {
                    ids.add(id, index - first.get())?;
                }
            }
            Ok(ControlFlow::Continue(()))
        });
        read.map_err(failed("read", segment.path.clone()))?;
        write_range(&range, &mut list);
        if let Some(index) = not_signed {
            return Err(RetainError::NotSigned { index, path: segment.path.clone() });
        }
        if events != planned.events {
            let what = "was changed meanwhile: run `trailseal verify`".into();
            return Err(RetainError::Damaged { path: segment.path.clone(), what });
        }
        let ids =
            ids.write(list.len() as u64).map_err(failed("write the hashed ids beside", path.clone()))?;
        files.replace(&path, &list, false).map_err(failed("write", path.clone()))?;
        Ok(AnnouncedList::new(first, &list, ids))
    }

    /// Records one event, signed by the key in force.
    fn record_retired(&self, rule: &Object, lists: &[AnnouncedList]) -> Result<(), RetainError> {
        let mut trouble = None;
        for _ in 0..ROTATIONS_MAX {
            let keys = self.inner.keys.lock().unwrap_or_else(PoisonError::into_inner);
            if keys.rotating.is_none() {
                let details = details(rule, lists, self.origin(), &keys.signing);
                // Under the lock: a rotation that begins after it takes effect after it.
                self.record_system("trail.retired", details)?;
                return Ok(());
            }
            drop(keys);
            trouble = self.seal(SEAL_TIMEOUT).err();
        }
        Err(RetainError::NotSealed { seconds: SEAL_TIMEOUT.as_secs(), source: trouble })
    }
}

/// What the event says, besides the segments.
fn said(rule: &RetentionRule, plan: &Plan, archive: Option<&str>, count: u64) -> Object {
    let mut said = Object::default();
    said.insert("older_than_days", u64::from(rule.older_than_days));
    said.insert("before", plan.choice.before.to_string());
    if let Some(tenant) = &rule.tenant {
        said.insert("tenant", tenant.as_str());
    }
    if !rule.category.is_empty() {
        let names = rule.category.iter().map(|category| Value::from(category.to_string()));
        said.insert("category", Value::Array(names.collect()));
    }
    said.insert("count", count);
    if let Some(archive) = archive {
        said.insert("archive", archive);
    }
    said
}
