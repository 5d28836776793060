//! What changed between `before` and `after`, found from their text in the line: there, equal values have equal text,
//! except for the order of keys below lists.

use super::scan::Member;
use super::span::Span;
use crate::event::CHANGES_MAX;
use crate::line::REST_BYTES_MAX;

/// More pairs of keys are not compared one by one.
const PAIRS_MAX: usize = 4_096;

/// Two states: their text, and the members of all their objects.
pub(super) struct States<'a> {
    pub(super) text: &'a [u8],
    pub(super) members: &'a [Member],
    /// How much was written before them.
    pub(super) start: usize,
}

/// The keys that lead to a value, the innermost first.
#[derive(Clone, Copy)]
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    key: &'a [u8],
}

impl States<'_> {
    /// Appends what differs between two objects, given by the places of their members, as one JSON object. `None` if
    /// only the slow path can tell; then something may have been appended.
    pub(super) fn write_changes(&self, before: Span, after: Span, out: &mut Vec<u8>) -> Option<()> {
        out.push(b'{');
        let from = out.len();
        let mut count = 0;
        self.objects(before, after, None, &mut count, out)?;
        if out.len() > from {
            // The last comma.
            out.pop();
        }
        out.push(b'}');
        Some(())
    }

    fn objects(
        &self,
        before: Span,
        after: Span,
        path: Option<&Path<'_>>,
        count: &mut usize,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let same_keys = {
            let (mut old, mut new) = (self.object(before), self.object(after));
            loop {
                match (old.next(), new.next()) {
                    (None, None) => break true,
                    (Some(old), Some(new)) if self.key(old) == self.key(new) => {}
                    _ => break false,
                }
            }
        };
        if same_keys {
            return self
                .object(before)
                .zip(self.object(after))
                .try_for_each(|(old, new)| self.pair(Some(old), Some(new), path, count, out));
        }
        if self.object(before).count() * self.object(after).count() > PAIRS_MAX {
            return None;
        }
        let find = |object, key: &Member| self.object(object).find(|other| self.key(other) == self.key(key));
        for old in self.object(before) {
            self.pair(Some(old), find(after, old), path, count, out)?;
        }
        for new in self.object(after).filter(|new| find(before, new).is_none()) {
            self.pair(None, Some(new), path, count, out)?;
        }
        Some(())
    }

    fn pair(
        &self,
        old: Option<&Member>,
        new: Option<&Member>,
        path: Option<&Path<'_>>,
        count: &mut usize,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        const NOTHING: Span = Span { from: 0, to: 0 };
        let texts = (old.map(|old| self.span(old.value)), new.map(|new| self.span(new.value)));
        if texts.0 == texts.1 {
            return Some(());
        }
        let key = self.key(old.or(new)?);
        let path = Path { parent: path, key };
        let inside = |side: Option<&Member>| side.map_or(NOTHING, |member| self.inside(member));
        match texts {
            (Some([b'{', ..]), Some([b'{', ..])) => {
                return self.objects(inside(old), inside(new), Some(&path), count, out);
            }
            (Some([b'{', b'"', ..]), None) | (None, Some([b'{', b'"', ..])) => {
                return self.objects(inside(old), inside(new), Some(&path), count, out);
            }
            // Lists of equal length may hold the same objects with their keys in another order.
            (Some(old @ [b'[', ..]), Some(new @ [b'[', ..]))
                if old.len() == new.len() && old.contains(&b'{') =>
            {
                return None;
            }
            _ => {}
        }
        *count += 1;
        if *count > CHANGES_MAX || out.len() - self.start > REST_BYTES_MAX {
            return None;
        }
        out.push(b'"');
        write_path(&path, out);
        out.extend_from_slice(b"\":{");
        if let Some(old) = texts.0 {
            out.extend_from_slice(b"\"before\":");
            out.extend_from_slice(old);
        }
        if let Some(new) = texts.1 {
            out.extend_from_slice(if old.is_some() { b",\"after\":" } else { b"\"after\":" });
            out.extend_from_slice(new);
        }
        out.extend_from_slice(b"},");
        Some(())
    }

    fn span(&self, span: Span) -> &[u8] {
        self.text.get(span.range()).unwrap_or_default()
    }

    fn key(&self, member: &Member) -> &[u8] {
        self.span(member.key)
    }

    /// The members of an object, given by the places of all members below it.
    fn object(&self, places: Span) -> impl Iterator<Item = &Member> {
        let mut at = places.from;
        std::iter::from_fn(move || {
            let member = self.members.get(at as usize).filter(|_| at < places.to)?;
            at = member.next;
            Some(member)
        })
    }

    /// The places of the members below a member.
    fn inside(&self, member: &Member) -> Span {
        let place = self.members.element_offset(member).unwrap_or(usize::MAX - 1);
        Span { from: place as u32 + 1, to: member.next }
    }
}

/// Writes keys joined by dots; a dot in a key gets a backslash. Keys here contain no backslash of their own.
fn write_path(path: &Path<'_>, out: &mut Vec<u8>) {
    if let Some(parent) = path.parent {
        write_path(parent, out);
        out.push(b'.');
    }
    for (place, part) in path.key.split(|&byte| byte == b'.').enumerate() {
        if place > 0 {
            out.extend_from_slice(b"\\\\.");
        }
        out.extend_from_slice(part);
    }
}
