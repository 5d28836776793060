//! The layout of a bundle: exactly the one that `write` produces, byte for byte.
//!
//! ```text
//! member:     local header | deflated bytes | descriptor, if it was written to a pipe
//! bundle:     members, back to back from byte 0 | directory, in the same order | its end record
//! ```
//!
//! Zip states many things twice, and tools differ in which one they believe: some read the directory, some the local
//! headers. So every byte outside a member's content is rebuilt from the sizes in the directory, and must match the
//! file. Then nothing is left that another tool could read differently.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

/// More members than any bundle has.
const MEMBERS_MAX: usize = 40_001;
const NAME_BYTES_MAX: usize = 64;
/// Numbers from here on do not fit their field and are stored in the one for large files.
const LARGE: u64 = u32::MAX as u64;

const LOCAL: &[u8; 4] = b"PK\x03\x04";
const DESCRIPTOR: &[u8; 4] = b"PK\x07\x08";
const ENTRY: &[u8; 4] = b"PK\x01\x02";
const LARGE_END: &[u8; 4] = b"PK\x06\x06";
const LARGE_END_PLACE: &[u8; 4] = b"PK\x06\x07";
const END: &[u8; 4] = b"PK\x05\x06";
const ENTRY_BYTES: usize = 46;
const END_BYTES: u64 = 22;
const LARGE_ENDS_BYTES: u64 = 56 + 20;

/// The version of the format with large files, and "made on Unix".
const VERSION: u16 = 45;
const MADE_BY: u16 = 3 << 8 | VERSION;
/// The sizes follow the member.
const FLAG_PIPED: u16 = 8;
const DEFLATED: u16 = 8;
/// 1980-01-01, midnight: no time given.
const TIME_AND_DATE: u32 = 0x21 << 16;
/// A regular file, mode 644.
const ATTRIBUTES: u32 = 0o100_644 << 16;

/// A member, and where its deflated bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) packed: Range<u64>,
    pub(super) size: u64,
    pub(super) crc: u32,
}

/// Why a file does not have the layout of a bundle.
#[derive(Debug)]
pub(super) enum LayoutError {
    /// It is not a zip.
    NoZip,
    /// It contains something that a bundle does not.
    Other(String),
    Io(io::Error),
}

impl From<io::Error> for LayoutError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                LayoutError::Other("it ends before the members that it lists".into())
            }
            _ => LayoutError::Io(error),
        }
    }
}

fn other<T>(what: impl Into<String>) -> Result<T, LayoutError> {
    Err(LayoutError::Other(what.into()))
}

/// The members of a bundle in order, if it contains nothing else.
pub(super) fn walk<F: Read + Seek>(file: &mut F) -> Result<Vec<Place>, LayoutError> {
    walk_from(file, 0)
}

/// Like [`walk`], for a bundle whose first member begins at `begin`.
pub(super) fn walk_from<F: Read + Seek>(file: &mut F, begin: u64) -> Result<Vec<Place>, LayoutError> {
    let len = file.seek(SeekFrom::End(0))?;
    let directory = directory_begin(file, len)?;
    if directory > len {
        return other("its directory is not where its end says");
    }
    let entries = read_entries(file, directory, begin)?;
    let (mut at, mut places) = (begin, Vec::with_capacity(entries.len()));
    for entry in entries {
        let header = entry.local_header();
        expect(file, at, &header, || format!("the header of {} does not match the directory", entry.name))?;
        let from = at + header.len() as u64;
        let to = from.checked_add(entry.packed).filter(|to| *to <= directory);
        let Some(to) = to else { return other(format!("{} reaches into the directory", entry.name)) };
        let descriptor = entry.descriptor();
        expect(file, to, &descriptor, || {
            format!("what follows {} does not match the directory", entry.name)
        })?;
        at = to + descriptor.len() as u64;
        places.push(Place { name: entry.name, packed: from..to, size: entry.size, crc: entry.crc });
    }
    if at != directory {
        return other("there are bytes before its directory that belong to no member");
    }
    Ok(places)
}

/// Where the directory begins, according to the end of the file.
fn directory_begin<F: Read + Seek>(file: &mut F, len: u64) -> Result<u64, LayoutError> {
    let mut begin = [0; 4];
    file.rewind()?;
    let is_zip = file.read_exact(&mut begin).is_ok() && begin == *LOCAL;
    let mut end = [0; END_BYTES as usize];
    if len < END_BYTES {
        return if is_zip { other("it is truncated") } else { Err(LayoutError::NoZip) };
    }
    file.seek(SeekFrom::Start(len - END_BYTES))?;
    file.read_exact(&mut end)?;
    match (end.starts_with(END), is_zip) {
        (true, _) => {}
        (false, true) => return other("it is truncated, or there are bytes after its end"),
        (false, false) => return Err(LayoutError::NoZip),
    }
    let short = u64::from(u32_at(&end, 16));
    if short < LARGE {
        return Ok(short);
    }
    let Some(large) = len.checked_sub(END_BYTES + LARGE_ENDS_BYTES) else {
        return other("its directory is not where its end says");
    };
    let mut long = [0; 8];
    file.seek(SeekFrom::Start(large + 48))?;
    file.read_exact(&mut long)?;
    Ok(u64::from_le_bytes(long))
}

/// Reads the directory, which must be followed only by its end record. The first member begins at `begin`.
fn read_entries<F: Read + Seek>(file: &mut F, directory: u64, begin: u64) -> Result<Vec<Entry>, LayoutError> {
    file.seek(SeekFrom::Start(directory))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut entries, mut at, mut len): (Vec<Entry>, u64, u64) = (Vec::new(), begin, 0);
    loop {
        let mut fixed = [0; ENTRY_BYTES];
        reader.read_exact(&mut fixed[..4])?;
        if fixed[..4] != *ENTRY {
            let mut rest = fixed[..4].to_vec();
            reader.take(END_BYTES + LARGE_ENDS_BYTES).read_to_end(&mut rest)?;
            return match rest == end_of(entries.len(), directory, len) {
                true => Ok(entries),
                false => other("its directory is not followed by its end"),
            };
        }
        reader.read_exact(&mut fixed[4..])?;
        let entry = Entry::read(&fixed, &mut reader, at)?;
        len += entry.directory_bytes(at).len() as u64;
        let all = entry.local_header().len() as u64 + entry.descriptor().len() as u64;
        let Some(next) = entry.packed.checked_add(all).and_then(|bytes| at.checked_add(bytes)) else {
            return other(format!("{} is larger than any file", entry.name));
        };
        at = next;
        entries.push(entry);
        if entries.len() > MEMBERS_MAX {
            return other("it has too many members");
        }
    }
}

/// Fails unless the bytes of `file` from `at` on are these.
fn expect<F: Read + Seek>(
    file: &mut F,
    at: u64,
    wanted: &[u8],
    what: impl FnOnce() -> String,
) -> Result<(), LayoutError> {
    let mut found = vec![0; wanted.len()];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut found)?;
    if found == wanted || cfg!(trailseal_fault = "zip_believed") { Ok(()) } else { other(what()) }
}

/// What the directory says about a member.
#[derive(Debug)]
struct Entry {
    name: String,
    packed: u64,
    size: u64,
    crc: u32,
    is_piped: bool,
}

impl Entry {
    /// Reads the rest of an entry whose member begins at `at`.
    fn read(fixed: &[u8; ENTRY_BYTES], reader: &mut impl Read, at: u64) -> Result<Entry, LayoutError> {
        let name_len = usize::from(u16::from_le_bytes([fixed[28], fixed[29]]));
        let mut name = vec![0; name_len.min(NAME_BYTES_MAX)];
        reader.read_exact(&mut name)?;
        let mut extra = vec![0; extra_len(at)];
        reader.read_exact(&mut extra)?;
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/.-".contains(byte);
        let name = String::from_utf8(name).ok().filter(|name| name.as_bytes().iter().all(is_plain));
        let Some(name) = name else { return other("a member has a name that is not allowed") };
        let entry = Entry {
            size: u64_at(&extra, 4),
            packed: u64_at(&extra, 12),
            crc: u32_at(fixed, 16),
            is_piped: u16::from_le_bytes([fixed[8], fixed[9]]) == FLAG_PIPED,
            name,
        };
        let found = [&fixed[..], entry.name.as_bytes(), &extra].concat();
        if found != entry.directory_bytes(at) {
            return other(format!("the directory entry of {} is not a bundle's", entry.name));
        }
        Ok(entry)
    }

    fn flags(&self) -> u16 {
        if self.is_piped { FLAG_PIPED } else { 0 }
    }

    /// What local header and entry have in common.
    fn put_shared(&self, crc: u32, sizes: u32, extra_len: usize, out: &mut Vec<u8>) {
        put(out, &[VERSION, self.flags(), DEFLATED]);
        out.extend_from_slice(&TIME_AND_DATE.to_le_bytes());
        for number in [crc, sizes, sizes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put(out, &[self.name.len() as u16, extra_len as u16]);
    }

    fn local_header(&self) -> Vec<u8> {
        let mut out = LOCAL.to_vec();
        // When writing to a pipe, it is written before the sizes are known.
        let (crc, sizes, long) =
            if self.is_piped { (0, 0, [0, 0]) } else { (self.crc, u32::MAX, [self.size, self.packed]) };
        self.put_shared(crc, sizes, extra_len(0), &mut out);
        out.extend_from_slice(self.name.as_bytes());
        put_large(&long, &mut out);
        out
    }

    fn descriptor(&self) -> Vec<u8> {
        if !self.is_piped {
            return Vec::new();
        }
        let mut out = DESCRIPTOR.to_vec();
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&self.packed.to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        out
    }

    /// The entry of a member that begins at `at`.
    fn directory_bytes(&self, at: u64) -> Vec<u8> {
        let mut out = ENTRY.to_vec();
        put(&mut out, &[MADE_BY]);
        self.put_shared(self.crc, u32::MAX, extra_len(at), &mut out);
        // No comment, the first disk, no attributes of the content.
        put(&mut out, &[0, 0, 0]);
        out.extend_from_slice(&ATTRIBUTES.to_le_bytes());
        out.extend_from_slice(&(at.min(LARGE) as u32).to_le_bytes());
        out.extend_from_slice(self.name.as_bytes());
        let long = [self.size, self.packed, at];
        put_large(if at < LARGE { &long[..2] } else { &long }, &mut out);
        out
    }
}

/// The field for large files in the entry of a member that begins at `at`.
fn extra_len(at: u64) -> usize {
    if at < LARGE { 20 } else { 28 }
}

fn put_large(numbers: &[u64], out: &mut Vec<u8>) {
    put(out, &[1, 8 * numbers.len() as u16]);
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

fn put(out: &mut Vec<u8>, numbers: &[u16]) {
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

/// What follows a directory with so many members and bytes that begins at `directory`.
fn end_of(members: usize, directory: u64, len: u64) -> Vec<u8> {
    let (mut out, is_large) = (Vec::new(), directory > LARGE);
    if is_large {
        out.extend_from_slice(LARGE_END);
        out.extend_from_slice(&44_u64.to_le_bytes());
        put(&mut out, &[VERSION, VERSION, 0, 0, 0, 0]);
        for number in [members as u64, members as u64, len, directory] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(LARGE_END_PLACE);
        put(&mut out, &[0, 0]);
        out.extend_from_slice(&(directory + len).to_le_bytes());
        put(&mut out, &[1, 0]);
    }
    out.extend_from_slice(END);
    put(&mut out, &[0, 0, members as u16, members as u16]);
    let len = if is_large { u32::MAX } else { len as u32 };
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&(directory.min(LARGE) as u32).to_le_bytes());
    put(&mut out, &[0]);
    out
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|found| found.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|found| found.try_into().ok()).map_or(0, u64::from_le_bytes)
}
