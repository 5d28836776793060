//! What an opening does with the keys of people.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use trailseal_event::line::parse_front;
use trailseal_event::personal::{KeyName, tokens};
use trailseal_event::policy::Policy;
use trailseal_event::{Index, Object, Timestamp};
use trailseal_tlog::{KeyRing, leaf_hash};

use crate::folder::Folder;
use crate::personal::{
    ErasedEvent, ErasedList, Erasing, KeyStore, KeysFound, PersonalKeysError, PersonalKeysOptions, SaidKeys,
    key_file, may_be_erased, open_or_make, read_erased,
};
use crate::segment::{LineReader, NumberedLines};
use crate::trail::error::OpenError;
use crate::trail::open_trail::Inner;
use crate::trail::opening::options::Options;
use crate::trail::opening::recover::Recovered;
use crate::tree::SignedLeaves;

/// Makes durable what is in the key file. A killed process may have left keys that only the system's cache has, of lines
/// that recovery is about to make durable.
pub(in crate::trail) fn sync_keys(folder: &Folder, options: &PersonalKeysOptions) -> Result<(), OpenError> {
    let path = key_file(folder, options);
    match folder.files().open_update(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened.and_then(|file| file.sync_data()).map_err(OpenError::io("sync", path)),
    }
}

/// The keys of a trail's people, and what is to be told of them. `None` if there are none and the policy needs none.
pub(in crate::trail) fn load_keys(
    folder: &Folder,
    options: &Options,
    (origin, ring): (&str, &KeyRing),
    policy: &Policy,
    recovered: &Recovered,
    now: Timestamp,
) -> Result<Option<(KeyStore, KeysFound)>, OpenError> {
    let said = recovered.said.as_ref().and_then(|said| said.keys);
    let is_needed = !policy.personal.is_empty();
    let opened = open_or_make(folder, origin, &options.personal, is_needed, said)?;
    let Some((keys, mut found)) = opened else { return Ok(None) };
    let failed = |action, path: std::path::PathBuf| OpenError::io(action, path);
    let segments = folder.segments_folder();
    let named =
        named_by_unsealed(folder, recovered).map_err(failed("read the lines in", segments.clone()))?;
    let own: Vec<u64> = named.iter().filter(|name| name.file == keys.id()).map(|name| name.slot).collect();
    if let Some(last) = own.last().filter(|_| !cfg!(trailseal_fault = "personal_slots_used_again")) {
        found.lost = keys.skip_to(last + 1, &own).map_err(failed("write", keys.path().to_owned()))?;
    }
    let list = ErasedList::read(folder).map_err(failed("read", ErasedList::path(folder)))?;
    keys.note_erased_elsewhere(list.names());
    let erasing = Erasing::read(folder).map_err(failed("read", Erasing::path(folder)))?;
    let begun: BTreeSet<KeyName> = erasing.iter().flat_map(|erasing| erasing.keys.clone()).collect();
    let back: BTreeSet<u64> = list
        .names()
        .filter(|name| name.file == keys.id() && !begun.contains(name) && !keys.is_erased(name.slot))
        .map(|name| name.slot)
        .collect();
    if !back.is_empty() && !cfg!(trailseal_fault = "personal_keys_come_back") {
        // Only a signed event says that a key was destroyed: the list alone could be anybody's.
        let events = erased_events(folder, ring, 0, recovered.edge.size());
        let events = events.map_err(failed("read the lines in", segments))?;
        for event in events.iter().filter(|event| event.vouches_for(&list)) {
            let slots: Vec<u64> = event
                .keys
                .iter()
                .filter(|name| name.file == keys.id() && back.contains(&name.slot))
                .map(|name| name.slot)
                .collect();
            keys.destroy(&slots, event.index.get(), now.as_micros())
                .map_err(failed("write", keys.path().to_owned()))?;
            found.erased_again += slots.len() as u64;
        }
    }
    // Until it is finished or undone, the people whose keys these are get other ones.
    let begun = keys.to_erase(begun).map_err(failed("read", keys.path().to_owned()))?;
    keys.detach(&begun);
    Ok(Some((keys, found)))
}

/// The keys that lines name that no checkpoint covers.
fn named_by_unsealed(folder: &Folder, recovered: &Recovered) -> io::Result<BTreeSet<KeyName>> {
    let mut named = BTreeSet::new();
    if recovered.edge.size() >= recovered.next {
        return Ok(named);
    }
    let (first, offset) = recovered.place;
    for segment in folder.segments()?.iter().filter(|segment| segment.first.get() >= first) {
        let offset = if segment.first.get() == first { offset } else { 0 };
        let mut lines = LineReader::open(folder.files(), segment, offset)?;
        while let Some(line) = lines.next_line()? {
            tokens(line, |token, _| _ = named.insert(token.key));
        }
    }
    Ok(named)
}

/// The events `trail.erased` in the sealed lines from `from` on that count.
pub(in crate::trail) fn erased_events(
    folder: &Folder,
    ring: &KeyRing,
    from: u64,
    sealed: u64,
) -> io::Result<Vec<ErasedEvent>> {
    let mut found = Vec::new();
    let mut leaves = SignedLeaves::new(folder, sealed);
    for segment in folder.segments()?.iter().filter(|segment| segment.end.is_none_or(|end| end.get() > from))
    {
        if segment.first.get() >= sealed {
            break;
        }
        let mut lines = NumberedLines::open(folder.files(), segment)?;
        let end = segment.end.map_or(sealed, |end| end.get().min(sealed));
        while let Some((index, line)) = lines.next()?.filter(|(index, _)| *index < end) {
            if index >= from
                && may_be_erased(index, line)
                && leaves.get(index)? == Some(leaf_hash(line))
                && let Some(event) = read_erased(line, ring)
            {
                found.push(event);
            }
        }
    }
    Ok(found)
}

/// Calls `visit` for each line of a trail that is on disk, but for its own.
pub(in crate::trail) fn each_line(
    folder: &Folder,
    durable: u64,
    visit: &mut dyn FnMut(Index, &[u8]),
) -> io::Result<()> {
    for segment in folder.segments()? {
        let mut lines = match NumberedLines::open(folder.files(), &segment) {
            // Compressed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let again = folder.segments()?;
                let again = again.iter().find(|again| again.first == segment.first);
                let Some(again) = again else { continue };
                NumberedLines::open(folder.files(), again)?
            }
            opened => opened?,
        };
        let end = segment.end.map_or(durable, |end| end.get().min(durable));
        while let Some((index, line)) = lines.next()?.filter(|(index, _)| *index < end) {
            if parse_front(line).is_some_and(|front| !front.system) {
                visit(Index::new(index), line);
            }
        }
    }
    Ok(())
}

impl Inner {
    /// Makes sure that there are keys if this policy needs any.
    pub(in crate::trail) fn ensure_keys(&self, policy: &Policy) -> Result<(), PersonalKeysError> {
        if policy.personal.is_empty() || self.log.personal.get().is_some() {
            return Ok(());
        }
        let (folder, origin) = (&self.log.folder, self.log.origin.as_str());
        if let Some((keys, _)) = open_or_make(folder, origin, &self.personal_keys, true, None)? {
            let _ = self.log.personal.set(Arc::new(keys));
        }
        Ok(())
    }
}

/// What `trail.opened` says of the keys.
pub(in crate::trail) fn told_of_keys(keys: &KeyStore, found: &KeysFound) -> Object {
    let (file, slots) = keys.used();
    let mut details = SaidKeys { file, slots }.to_details();
    if let Some(trouble) = found.trouble {
        details.insert("trouble", trouble);
    }
    if let Some(path) = &found.put_aside {
        details.insert("put_aside", path.display().to_string());
    }
    for (name, count) in
        [("lost", found.lost), ("damaged", found.damaged), ("erased_again", found.erased_again)]
    {
        if count > 0 {
            details.insert(name, count);
        }
    }
    details
}
