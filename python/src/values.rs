//! Anything as JSON text. No value is a reason to fail: what JSON does not have is converted, and what cannot be is
//! written as its `repr`, bounded, and noted.
//!
//! This module uses `unsafe`, for speed: exact built-in types are read by borrowed references. What must hold: between
//! getting a borrowed reference and its last use nothing runs Python, and whatever may run Python has a reference of its
//! own. Containers are owned while they are walked, since what their members run may drop them.
#![allow(unsafe_code)]

mod classes;
mod scalars;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{ffi, intern};

use crate::json_strings::escape;

/// Containers below this level are left out. The core goes to 64, and the event is one level itself.
const DEPTH_MAX: usize = 60;
/// Objects within each other, of which not all are containers: an enum's value, `isoformat`, and keys may go on and on,
/// and so use up the stack.
const NESTED_MAX: usize = 2 * DEPTH_MAX;
/// Values of one field, of which more than a line can hold, and bytes of its text, which the core shortens.
const VALUES_MAX: u32 = 50_000;
const BYTES_MAX: usize = 32 << 20;
/// Keys within keys. Each is a string in the string of the one around it, which doubles what is escaped.
const KEYS_MAX: usize = 4;
/// Values of a key, however many its field has left.
const KEY_VALUES_MIN: u32 = 16;
/// How many conversions are noted.
const NOTES_MAX: usize = 16;
const LEFT_OUT: &[u8] = "\"…\"".as_bytes();

/// What was not exact about a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// A time without a zone, taken as UTC.
    Naive,
    /// It is its `repr`.
    Repr,
    /// A container within itself.
    Cycle,
    /// Too deep.
    Depth,
    /// Too much.
    Cut,
    /// Its `repr` or its conversion raised.
    Error,
    /// Bytes that are no text, as base64.
    Bytes,
}

impl Note {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Note::Naive => "naive",
            Note::Repr => "repr",
            Note::Cycle => "cycle",
            Note::Depth => "depth",
            Note::Cut => "cut",
            Note::Error => "error",
            Note::Bytes => "bytes",
        }
    }
}

/// A container that is being walked.
struct Open {
    address: usize,
    /// The key of the member that is being written: its inside in the text.
    key: (usize, usize),
}

/// Writes values.
pub(crate) struct Writer<'a, 'py> {
    py: Python<'py>,
    pub(crate) out: &'a mut Vec<u8>,
    open: Vec<Open>,
    values_left: u32,
    bytes_end: usize,
    /// How many objects are being written within each other: containers, keys, and what stands for another.
    depth: usize,
    /// How many keys are being written within each other: a key may be a container that has keys.
    keys: usize,
    root: &'static str,
    /// Paths, as the inside of a JSON string, and what was not exact there.
    notes: Vec<(String, Note)>,
    /// What stopped Python while it was asked for a value, such as KeyboardInterrupt.
    stopped: Option<PyErr>,
}

/// Whether the object's class is exactly this one.
#[inline(always)]
fn is_exactly(object: *mut ffi::PyObject, class: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: callers have a live object.
    unsafe { ffi::Py_TYPE(object) == class }
}

impl<'a, 'py> Writer<'a, 'py> {
    pub(crate) fn new(py: Python<'py>, out: &'a mut Vec<u8>) -> Self {
        let (open, notes) = (Vec::new(), Vec::new());
        Writer {
            py,
            out,
            open,
            values_left: VALUES_MAX,
            bytes_end: BYTES_MAX,
            depth: 0,
            keys: 0,
            root: "",
            notes,
            stopped: None,
        }
    }

    /// Writes the value of a field.
    pub(crate) fn value(&mut self, root: &'static str, value: &Bound<'py, PyAny>) {
        self.root = root;
        // Each field has a budget of its own, so that none takes the others' room.
        self.values_left = VALUES_MAX;
        self.bytes_end = self.out.len() + BYTES_MAX;
        self.any(value.as_ptr());
        self.open.clear();
    }

    /// Notes something about a whole field.
    pub(crate) fn note_at(&mut self, root: &'static str, note: Note) {
        self.root = root;
        self.note(note);
    }

    /// Writes a field with parts of its own: numbers in it, such as ids, become texts.
    pub(crate) fn flat(&mut self, root: &'static str, mapping: &Bound<'py, PyAny>) {
        self.root = root;
        // What fields before it took is not its own.
        self.values_left = VALUES_MAX;
        self.bytes_end = self.out.len() + BYTES_MAX;
        let members = match mapping.cast::<PyDict>() {
            Ok(members) => Ok(members.clone()),
            Err(_) => dict_of(mapping).and_then(|members| Ok(members.cast_into::<PyDict>()?)),
        };
        let Ok(members) = members else { return self.repr(mapping) };
        let start = self.out.len();
        for (key, value) in members {
            self.out.push(b',');
            self.key(&key);
            let from = self.out.len();
            self.open.clear();
            self.any(value.as_ptr());
            if self.out.get(from).is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-') {
                self.out.insert(from, b'"');
                self.out.push(b'"');
            }
        }
        match self.out.get_mut(start) {
            Some(comma) => *comma = b'{',
            None => self.out.push(b'{'),
        }
        self.out.push(b'}');
    }

    /// Keeps what is no failure of a value but stops Python, such as KeyboardInterrupt.
    pub(crate) fn stop(&mut self, error: PyErr) {
        if !error.is_instance_of::<PyException>(self.py) {
            self.stopped.get_or_insert(error);
        }
    }

    /// What stopped Python meanwhile; the text is whole all the same.
    pub(crate) fn finish(self) -> PyResult<()> {
        self.stopped.map_or(Ok(()), Err)
    }

    pub(crate) fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    /// Notes that something was not exact, as an object of paths.
    pub(crate) fn write_notes(&mut self) {
        for (place, (path, note)) in std::mem::take(&mut self.notes).into_iter().enumerate() {
            self.out.push(if place == 0 { b'{' } else { b',' });
            self.out.push(b'"');
            self.out.extend_from_slice(path.as_bytes());
            self.out.extend_from_slice(b"\":\"");
            self.out.extend_from_slice(note.name().as_bytes());
            self.out.push(b'"');
        }
        self.out.push(b'}');
    }

    #[cold]
    pub(crate) fn note(&mut self, note: Note) {
        if self.notes.len() == NOTES_MAX {
            return;
        }
        let mut path = self.root.to_owned();
        for Open { key: (from, to), .. } in &self.open {
            if to > from {
                path.push('.');
                path.push_str(&String::from_utf8_lossy(self.out.get(*from..*to).unwrap_or_default()));
            }
        }
        if !self.notes.iter().any(|(known, _)| *known == path) {
            self.notes.push((path, note));
        }
    }

    /// Writes an object. The caller's reference lives until this returns, unless what it runs drops it: whatever is not
    /// done with at once gets one of its own.
    fn any(&mut self, object: *mut ffi::PyObject) {
        // SAFETY: the classes are static.
        unsafe {
            if is_exactly(object, &raw mut ffi::PyUnicode_Type) {
                self.text(object);
            } else if is_exactly(object, &raw mut ffi::PyLong_Type) {
                self.whole(object);
            } else if is_exactly(object, &raw mut ffi::PyDict_Type) {
                self.owned(object, Self::dict);
            } else if object == ffi::Py_None() {
                self.out.extend_from_slice(b"null");
            } else if object == ffi::Py_True() {
                self.out.extend_from_slice(b"true");
            } else if object == ffi::Py_False() {
                self.out.extend_from_slice(b"false");
            } else if is_exactly(object, &raw mut ffi::PyList_Type) {
                self.owned(object, Self::list);
            } else if is_exactly(object, &raw mut ffi::PyFloat_Type) {
                self.float(ffi::PyFloat_AsDouble(object));
            } else if is_exactly(object, &raw mut ffi::PyTuple_Type) {
                self.owned(object, Self::list);
            } else {
                self.owned(object, Self::other);
            }
        }
    }

    #[inline(always)]
    fn owned(&mut self, object: *mut ffi::PyObject, write: fn(&mut Self, &Bound<'py, PyAny>)) {
        if self.values_left == 0 || self.out.len() > self.bytes_end {
            self.note(Note::Cut);
            self.out.extend_from_slice(LEFT_OUT);
            return;
        }
        if self.depth >= NESTED_MAX {
            self.note(Note::Depth);
            self.out.extend_from_slice(LEFT_OUT);
            return;
        }
        self.values_left -= 1;
        // SAFETY: a live object; from here on it has a reference of its own.
        let object = unsafe { Bound::from_borrowed_ptr(self.py, object) };
        self.depth += 1;
        write(self, &object);
        self.depth -= 1;
    }

    /// Opens a container, or says why not.
    #[inline(always)]
    fn enter(&mut self, object: &Bound<'py, PyAny>) -> bool {
        let address = object.as_ptr() as usize;
        let why = if self.open.len() >= DEPTH_MAX {
            Note::Depth
        } else if self.open.iter().any(|open| open.address == address) {
            Note::Cycle
        } else {
            self.open.push(Open { address, key: (0, 0) });
            return true;
        };
        self.note(why);
        self.out.extend_from_slice(LEFT_OUT);
        false
    }

    fn dict(&mut self, dict: &Bound<'py, PyAny>) {
        if !self.enter(dict) {
            return;
        }
        #[cfg(Py_GIL_DISABLED)]
        let copy = dict.cast::<PyDict>().ok().and_then(|dict| dict.copy().ok());
        #[cfg(Py_GIL_DISABLED)]
        let dict = copy.as_ref().map_or(dict, |copy| copy.as_any());
        let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        let start = self.out.len();
        // SAFETY: a dict that this function owns. Its members are borrowed until they get references, before anything
        // else. If what they run changes the dict, the walk goes on somewhere in it, or ends. Without the GIL nobody
        // else has this copy.
        while unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut at, &raw mut key, &raw mut value) } != 0 {
            // SAFETY: live objects. Even a key that is a text may run Python, which may drop the value: that of a text
            // without UTF-8.
            let (key, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) =
                unsafe { (Bound::from_borrowed_ptr(self.py, key), Bound::from_borrowed_ptr(self.py, value)) };
            self.out.push(b',');
            if is_exactly(key.as_ptr(), &raw mut ffi::PyUnicode_Type) {
                self.key_text(&key);
            } else {
                self.key(&key);
            }
            self.any(value.as_ptr());
            if self.values_left == 0 {
                break;
            }
        }
        self.leave(start, b'{', b'}');
    }

    /// Ends a container whose members have a comma before each.
    #[inline(always)]
    fn leave(&mut self, start: usize, open: u8, close: u8) {
        match self.out.get_mut(start) {
            Some(comma) => *comma = open,
            None => self.out.push(open),
        }
        self.out.push(close);
        self.open.pop();
    }

    fn key_text(&mut self, key: &Bound<'py, PyAny>) {
        let from = self.out.len() + 1;
        self.text(key.as_ptr());
        self.has_key(from);
    }

    #[inline(always)]
    fn has_key(&mut self, from: usize) {
        let to = self.out.len() - 1;
        if let Some(open) = self.open.last_mut() {
            open.key = (from, to);
        }
        self.out.push(b':');
    }

    /// A key that is no plain text: as `json.dumps` writes it, or as its text. However much was written, a key is a
    /// string with a colon behind it: without, the text is no JSON, and nothing in it would be masked by its key.
    #[cold]
    fn key(&mut self, key: &Bound<'py, PyAny>) {
        // What a value is masked by must not be cut off, so that there is always something left for the key itself.
        let left = self.values_left;
        let given = if self.keys > 0 { left } else { left.max(KEY_VALUES_MIN) };
        self.values_left = given;
        self.keys += 1;
        let mut inside = Vec::new();
        std::mem::swap(self.out, &mut inside);
        let open = std::mem::take(&mut self.open);
        if self.keys > KEYS_MAX {
            self.note(Note::Depth);
            self.out.extend_from_slice(LEFT_OUT);
        } else {
            self.any(key.as_ptr());
        }
        self.open = open;
        self.keys -= 1;
        self.values_left = left.saturating_sub(given - self.values_left);
        std::mem::swap(self.out, &mut inside);
        let from = self.out.len() + 1;
        if inside.first() == Some(&b'"') {
            self.out.extend_from_slice(&inside);
        } else {
            self.out.push(b'"');
            escape(&inside, self.out);
            self.out.push(b'"');
        }
        self.has_key(from);
    }

    fn list(&mut self, list: &Bound<'py, PyAny>) {
        if !self.enter(list) {
            return;
        }
        let start = self.out.len();
        let mut at = 0;
        loop {
            // SAFETY: a list or a tuple that this function owns. The length is asked each time, since what an element
            // runs may change a list.
            let element = unsafe {
                if ffi::PyTuple_Check(list.as_ptr()) != 0 {
                    if at >= ffi::PyTuple_Size(list.as_ptr()) {
                        break;
                    }
                    ffi::Py_NewRef(ffi::PyTuple_GetItem(list.as_ptr(), at))
                } else {
                    if at >= ffi::PyList_Size(list.as_ptr()) {
                        break;
                    }
                    list_element(list.as_ptr(), at)
                }
            };
            // SAFETY: null, or a reference of our own.
            let Some(element) = (unsafe { Bound::from_owned_ptr_or_opt(self.py, element) }) else {
                // SAFETY: attached. Somebody else has just made the list shorter.
                unsafe { ffi::PyErr_Clear() };
                break;
            };
            self.out.push(b',');
            if self.values_left > 0 {
                self.values_left -= 1;
            }
            self.any(element.as_ptr());
            if self.values_left == 0 {
                self.note(Note::Cut);
                break;
            }
            at += 1;
        }
        self.leave(start, b'[', b']');
    }
}

/// A new reference to an element, or null.
///
/// # Safety
/// Attached, and `list` is a live list.
unsafe fn list_element(list: *mut ffi::PyObject, at: ffi::Py_ssize_t) -> *mut ffi::PyObject {
    // SAFETY: by the caller.
    unsafe {
        #[cfg(Py_GIL_DISABLED)]
        return ffi::PyList_GetItemRef(list, at);
        #[cfg(not(Py_GIL_DISABLED))]
        return ffi::Py_XNewRef(ffi::PyList_GetItem(list, at));
    }
}

/// The text of a value as an event has it, without quotes; `None` if it has several.
pub(crate) fn written(value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let mut text = Vec::new();
    let mut writer = Writer::new(value.py(), &mut text);
    writer.value("text", value);
    writer.finish()?;
    Ok(match serde_json::from_slice(&text) {
        Ok(serde_json::Value::String(text)) => Some(text),
        Ok(serde_json::Value::Array(_) | serde_json::Value::Object(_)) | Err(_) => None,
        // A number, as it was written.
        Ok(_) => String::from_utf8(text).ok(),
    })
}

/// A mapping of whatever class as a dict.
fn dict_of<'py>(mapping: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let dict = PyDict::new(mapping.py());
    for key in list_of(&mapping.call_method0(intern!(mapping.py(), "keys"))?)? {
        dict.set_item(&key, mapping.get_item(&key)?)?;
    }
    Ok(dict.into_any())
}

fn list_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    object.try_iter()?.take(VALUES_MAX as usize).collect()
}
