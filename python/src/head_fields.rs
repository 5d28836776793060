//! Fields with parts of their own, such as the actor, in all the forms that a caller may give.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::value_kinds::{Kind, class_name, is_collection, is_text, kind_of, says_what_it_is};
use crate::values::{Note, Writer};

/// Members of enums of which each is the value of the one before.
const ENUMS_MAX: usize = 64;

/// Of `related`, of which the core keeps fewer, and says so.
const RELATED_READ: usize = 10_000;

/// A field with parts of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    Actor,
    Resource,
    /// A list of resources.
    Related,
    Context,
}

impl Head {
    fn name(self) -> &'static str {
        match self {
            Head::Actor => "actor",
            Head::Resource => "resource",
            Head::Related => "related",
            Head::Context => "context",
        }
    }
}

/// Writes such a field. Ids may be numbers; they become texts.
pub(crate) fn head_text<'py>(
    writer: &mut Writer<'_, 'py>,
    head: Head,
    value: &Bound<'py, PyAny>,
) -> PyResult<()> {
    if value.is_exact_instance_of::<PyString>() {
        return own_text(writer, head, value);
    }
    match kind_of(value) {
        Kind::Str | Kind::Enum | Kind::Text | Kind::Int if head != Head::Context => {
            let text = plain_text(value)?;
            own_text(writer, head, PyString::new(value.py(), &text).as_any())
        }
        Kind::Dict | Kind::Mapping => {
            writer.flat(head.name(), value);
            Ok(())
        }
        _ if head == Head::Related => related(writer, value),
        _ if head == Head::Resource => match value.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>() {
            Ok((kind, id)) => {
                writer.out.extend_from_slice(b"{\"type\":");
                writer.string(plain_text(&kind)?.as_bytes());
                writer.out.extend_from_slice(b",\"id\":");
                writer.string(plain_text(&id)?.as_bytes());
                writer.out.push(b'}');
                Ok(())
            }
            Err(_) => of_object(writer, head, value),
        },
        _ => of_object(writer, head, value),
    }
}

/// A list of resources. What cannot be listed is kept as it is, and a list that ends by an error ends there.
fn related<'py>(writer: &mut Writer<'_, 'py>, value: &Bound<'py, PyAny>) -> PyResult<()> {
    let all = match value.try_iter() {
        Ok(all) => all,
        Err(error) => {
            writer.stop(error);
            writer.value(Head::Related.name(), value);
            return Ok(());
        }
    };
    let start = writer.out.len();
    for (place, one) in all.enumerate() {
        // It may be endless, or its next element may raise.
        let one = match one {
            Ok(_) if place == RELATED_READ => {
                writer.note_at(Head::Related.name(), Note::Cut);
                break;
            }
            Ok(one) => one,
            Err(error) => {
                writer.stop(error);
                writer.note_at(Head::Related.name(), Note::Error);
                break;
            }
        };
        writer.out.push(if place == 0 { b'[' } else { b',' });
        head_text(writer, Head::Resource, &one)?;
    }
    if writer.out.len() == start {
        writer.out.push(b'[');
    }
    writer.out.push(b']');
    Ok(())
}

/// An id, or `TYPE/ID`, as the line has it. What is neither is for the core to judge.
fn own_text<'py>(writer: &mut Writer<'_, 'py>, head: Head, text: &Bound<'py, PyAny>) -> PyResult<()> {
    let from = writer.out.len();
    writer.value(head.name(), text);
    let inside = from + 1..writer.out.len() - 1;
    let is_plain = !writer.out[inside.clone()].contains(&b'\\');
    match head {
        Head::Actor if !inside.is_empty() => {
            writer.out.splice(from..from, *b"{\"id\":");
            writer.out.push(b'}');
        }
        Head::Resource if is_plain => {
            let slash = writer.out[inside.clone()].iter().position(|&byte| byte == b'/');
            if let Some(slash) = slash.filter(|slash| (1..inside.len() - 1).contains(slash)) {
                let slash = inside.start + slash;
                writer.out.splice(slash..=slash, *b"\",\"id\":\"");
                writer.out.splice(from..from, *b"{\"type\":");
                writer.out.push(b'}');
            }
        }
        _ => {}
    }
    Ok(())
}

/// An object of the application's own, such as a user or a row: by its id and its name, never all that it has. What
/// has the methods of a text, such as a lazy translation, is one.
fn of_object<'py>(writer: &mut Writer<'_, 'py>, head: Head, value: &Bound<'py, PyAny>) -> PyResult<()> {
    let Some(id) = attribute(value, &IDS)? else {
        if kind_of(value) == Kind::Other && head != Head::Context && is_text(value) {
            let text = plain_text(value)?;
            return own_text(writer, head, PyString::new(value.py(), &text).as_any());
        }
        if kind_of(value) == Kind::Other && head == Head::Actor {
            // The text that stands for it is its id.
            return own_text(writer, head, value);
        }
        writer.value(head.name(), value);
        return Ok(());
    };
    let name = attribute(value, &["name", "username", "title"])?;
    let email = if head == Head::Actor { attribute(value, &["email"])? } else { None };
    let parts = [("type", Some(kind_name(value))), ("id", Some(id)), ("name", name), ("email", email)];
    let start = writer.out.len();
    for (part, text) in parts {
        let Some(text) = text else { continue };
        writer.out.push(if writer.out.len() == start { b'{' } else { b',' });
        writer.string(part.as_bytes());
        writer.out.push(b':');
        writer.string(text.as_bytes());
    }
    writer.out.push(b'}');
    Ok(())
}

/// Where an object may have its id.
const IDS: [&str; 3] = ["id", "pk", "uuid"];

/// The first of these attributes that it has.
fn attribute(value: &Bound<'_, PyAny>, names: &[&str]) -> PyResult<Option<String>> {
    let found = names.iter().find_map(|name| value.getattr(*name).ok().filter(|found| !found.is_none()));
    found.filter(|found| !found.is_callable()).map(|found| plain_text(&found)).transpose()
}

/// The type of an object: its class, without the module.
fn kind_name(value: &Bound<'_, PyAny>) -> String {
    class_name(value).rsplit('.').next().unwrap_or_default().to_lowercase()
}

/// What finds the actor or the resource that `record` makes of this value: an id, or `TYPE/ID`; `None` if it has none.
pub(crate) fn found_by(head: Head, value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let is_mapping = matches!(kind_of(value), Kind::Dict | Kind::Mapping);
    let has_id = is_mapping || attribute(value, &IDS)?.is_some();
    if !has_id && (is_collection(value) || !says_what_it_is(value)) {
        return Ok(None);
    }
    let mut text = Vec::new();
    let mut writer = Writer::new(value.py(), &mut text);
    head_text(&mut writer, head, value)?;
    writer.finish()?;
    let written = match serde_json::from_slice(&text) {
        // That of a resource has no type, and is not kept.
        Ok(serde_json::Value::String(text)) => {
            return Ok((head != Head::Resource || is_text(value)).then_some(text));
        }
        Ok(serde_json::Value::Object(written)) => written,
        _ => return Ok(None),
    };
    let part = |name: &str| written.get(name).and_then(serde_json::Value::as_str);
    Ok(match (head, part("type"), part("id")) {
        (Head::Resource, Some(kind), Some(id)) => Some(format!("{kind}/{id}")),
        (Head::Resource, None, _) | (_, _, None) => None,
        (_, _, Some(id)) => Some(id.to_owned()),
    })
}

/// The text of a value: of an enum its value's, of anything else what `str` says.
pub(crate) fn plain_text(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let mut value = value.clone();
    // A member may be the value of another, and so on.
    for _ in 0..ENUMS_MAX {
        if kind_of(&value) != Kind::Enum {
            break;
        }
        match value.getattr(intern!(value.py(), "_value_")) {
            Ok(inside) if !inside.is(&value) => value = inside,
            Ok(_) => break,
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(value.py()) => break,
            Err(error) => return Err(error),
        }
    }
    if let Ok(text) = value.cast::<PyString>()
        && kind_of(&value) != Kind::Enum
    {
        return Ok(text.to_string_lossy().into_owned());
    }
    match value.str() {
        Ok(text) => Ok(text.to_string_lossy().into_owned()),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(value.py()) => {
            Ok(format!("<{}>", class_name(&value)))
        }
        Err(error) => Err(error),
    }
}
