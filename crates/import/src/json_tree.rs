//! A record's JSON as a list of places in its text: what a mapping looks values up in.
//!
//! In: the text of an ordinary object ([`Tree::read`]), or any value ([`Tree::of`]). Out: [`Item`]s, which borrow the text.
//! No key and no string is copied, and a thread uses one list for all of its records.
//!
//! What must hold: whatever [`Tree::read`] takes, [`Value::parse_within`] reads as the same value. It takes nothing that
//! is changed there: a key twice, a number that does not fit, half a surrogate pair, a container that is too deep.

mod read;

use std::borrow::Cow;

use trailseal_event::{Object, Value};

/// What kind of value a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    True,
    False,
    Number,
    /// Its text is as it is.
    Plain,
    /// Its text has escapes.
    Escaped,
    Array,
    Object,
}

/// A part of the text.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    from: u32,
    to: u32,
}

impl Span {
    fn new(from: usize, to: usize) -> Span {
        // No record is as long. What is behind the end of a longer text is empty.
        let place = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Span { from: place(from), to: place(to) }
    }

    fn of(self, text: &str) -> &str {
        text.get(self.from as usize..self.to as usize).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// The inside of its key, which has no escapes; empty in an array.
    key: Span,
    /// [`hash`] of the key.
    hash: u32,
    /// Of a string the inside, of a container nothing.
    text: Span,
    /// The place of the next node that is not inside this one.
    next: u32,
    kind: Kind,
}

/// The values of one text, each followed by those inside it.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    open: Vec<Open>,
}

/// A container that is being read.
#[derive(Clone, Copy, Debug)]
struct Open {
    place: usize,
    /// One bit for each key, by its hash: a new bit is a new key.
    seen: u64,
    members: u32,
}

/// A text and its values.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    text: String,
    tree: Tree,
}

/// The address of a text in memory and its length; only compared, never dereferenced.
pub(crate) type TextPlace = (*const u8, usize);

/// A value in a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'t> {
    nodes: &'t [Node],
    text: &'t str,
    place: usize,
}

/// Equal for keys that differ at most in the case of ASCII letters.
pub(crate) fn hash(key: &[u8]) -> u32 {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut hash = key.len() as u64;
    let (words, rest) = key.as_chunks::<8>();
    for word in words {
        hash = (hash.rotate_left(23) ^ (u64::from_le_bytes(*word) | LOWER)).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash.rotate_left(23) ^ (u64::from_le_bytes(word) | LOWER)).wrapping_mul(FACTOR);
    }
    (hash >> 32) as u32
}

impl Tree {
    /// Reads one JSON text, in which containers are at most at level `levels`. `None` if it is out of the ordinary, or no JSON.
    pub(crate) fn read<'t>(&'t mut self, text: &'t str, levels: usize) -> Option<Item<'t>> {
        self.nodes.clear();
        self.open.clear();
        u32::try_from(text.len()).ok()?;
        self.fill(text, levels)?;
        Some(Item { nodes: &self.nodes, text, place: 0 })
    }

    fn push(&mut self, key: Span, hash: u32, text: Span, kind: Kind) {
        let next = u32::try_from(self.nodes.len() + 1).unwrap_or(u32::MAX);
        self.nodes.push(Node { key, hash, text, next, kind });
    }

    /// Everything from the node at `place` on is inside it.
    fn close(&mut self, place: usize) {
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if let Some(node) = self.nodes.get_mut(place) {
            node.next = next;
        }
    }
}

impl Owned {
    /// The values of any value.
    pub(crate) fn of(value: &Value) -> Owned {
        let mut owned = Owned::default();
        owned.add(Span::default(), 0, value);
        owned
    }

    /// Reads the JSON in a string, which [`Value::parse`] must be able to read.
    pub(crate) fn parse(text: Cow<'_, str>, levels: usize) -> Option<Owned> {
        let mut tree = Tree::default();
        if tree.read(&text, levels).is_some() {
            return Some(Owned { text: text.into_owned(), tree });
        }
        Some(Owned::of(&Value::parse(text.as_bytes()).ok()?))
    }

    pub(crate) fn root(&self) -> Item<'_> {
        Item { nodes: &self.tree.nodes, text: &self.text, place: 0 }
    }

    fn put(&mut self, text: &str) -> Span {
        let from = self.text.len();
        self.text.push_str(text);
        Span::new(from, self.text.len())
    }

    fn add(&mut self, key: Span, hash: u32, value: &Value) {
        let place = self.tree.nodes.len();
        let (text, kind) = match value {
            Value::Null => (Span::default(), Kind::Null),
            Value::Bool(true) => (Span::default(), Kind::True),
            Value::Bool(false) => (Span::default(), Kind::False),
            Value::Number(number) => (self.put(&number.to_string()), Kind::Number),
            Value::String(text) => (self.put(text), Kind::Plain),
            Value::Array(_) => (Span::default(), Kind::Array),
            Value::Object(_) => (Span::default(), Kind::Object),
        };
        self.tree.push(key, hash, text, kind);
        match value {
            Value::Array(elements) => {
                elements.iter().for_each(|element| self.add(Span::default(), 0, element))
            }
            Value::Object(object) => {
                for (key, value) in object.iter() {
                    let span = self.put(key);
                    self.add(span, self::hash(key.as_bytes()), value);
                }
            }
            _ => {}
        }
        self.tree.close(place);
    }
}

impl<'t> Item<'t> {
    fn node(&self) -> Option<&'t Node> {
        self.nodes.get(self.place)
    }

    fn kind(&self) -> Kind {
        self.node().map_or(Kind::Null, |node| node.kind)
    }

    pub(crate) fn is_object(&self) -> bool {
        self.kind() == Kind::Object
    }

    pub(crate) fn is_array(&self) -> bool {
        self.kind() == Kind::Array
    }

    /// The values inside an object or an array; nothing is inside others.
    pub(crate) fn inside(&self) -> Inside<'t> {
        let end = self.node().map_or(0, |node| node.next as usize);
        Inside { nodes: self.nodes, text: self.text, place: self.place + 1, end }
    }

    /// The key of a member.
    pub(crate) fn key(&self) -> &'t str {
        self.node().map_or("", |node| node.key.of(self.text))
    }

    /// [`hash`] of the key.
    pub(crate) fn hash(&self) -> u32 {
        self.node().map_or(0, |node| node.hash)
    }

    /// The text, if this is a string, and where in memory it is written.
    pub(crate) fn as_str(&self) -> Option<(Cow<'t, str>, TextPlace)> {
        let node = self.node()?;
        let text = node.text.of(self.text);
        let place = (text.as_ptr(), text.len());
        match node.kind {
            Kind::Plain => Some((Cow::Borrowed(text), place)),
            Kind::Escaped => Some((Cow::Owned(unescaped(text)), place)),
            _ => None,
        }
    }

    /// As text: non-blank text, numbers as they were sent, true and false.
    pub(crate) fn scalar(self) -> Option<Cow<'t, str>> {
        let node = self.node()?;
        match node.kind {
            Kind::Plain | Kind::Escaped => {
                self.as_str().map(|(text, _)| text).filter(|text| !text.trim().is_empty())
            }
            Kind::Number => Some(Cow::Borrowed(node.text.of(self.text))),
            Kind::True => Some(Cow::Borrowed("true")),
            Kind::False => Some(Cow::Borrowed("false")),
            Kind::Null | Kind::Array | Kind::Object => None,
        }
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        match self.kind() {
            Kind::Null => true,
            Kind::Plain | Kind::Escaped => self.node().is_none_or(|node| node.text.of(self.text).is_empty()),
            Kind::Array | Kind::Object => self.inside().next().is_none(),
            Kind::Number | Kind::True | Kind::False => false,
        }
    }

    pub(crate) fn to_value(self) -> Value {
        let text = || self.node().map_or("", |node| node.text.of(self.text));
        match self.kind() {
            Kind::Null => Value::Null,
            Kind::True => Value::Bool(true),
            Kind::False => Value::Bool(false),
            Kind::Number => Value::parse(text().as_bytes()).unwrap_or_else(|_| Value::from(text())),
            Kind::Plain => Value::from(text()),
            Kind::Escaped => Value::String(unescaped(text())),
            Kind::Array => Value::Array(self.inside().map(Item::to_value).collect()),
            Kind::Object => {
                let members = self.inside().map(|member| (member.key().to_owned(), member.to_value()));
                Value::Object(Object::from_distinct(members.collect()))
            }
        }
    }
}

/// The inside of a string whose grammar was checked.
fn unescaped(inside: &str) -> String {
    match Value::parse(format!("\"{inside}\"").as_bytes()) {
        Ok(Value::String(text)) => text,
        _ => inside.to_owned(),
    }
}

/// The values inside a container.
pub(crate) struct Inside<'t> {
    nodes: &'t [Node],
    text: &'t str,
    place: usize,
    end: usize,
}

impl<'t> Iterator for Inside<'t> {
    type Item = Item<'t>;

    #[inline]
    fn next(&mut self) -> Option<Item<'t>> {
        if self.place >= self.end {
            return None;
        }
        let item = Item { nodes: self.nodes, text: self.text, place: self.place };
        self.place = self.nodes.get(self.place)?.next as usize;
        Some(item)
    }
}

#[cfg(test)]
mod tests;
