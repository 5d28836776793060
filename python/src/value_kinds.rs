//! Which kind of value an object is, by the names of its classes: nothing is imported to find out.

use std::cell::RefCell;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple, PyType, PyWeakrefReference};

/// How many classes a thread remembers.
const REMEMBERED: usize = 128;

/// How a value that is no built-in type itself becomes JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Str,
    Int,
    Float,
    Bytes,
    Dict,
    /// A list, a tuple, or what can be listed.
    Sequence,
    Set,
    /// A tuple with names.
    Named,
    Enum,
    Datetime,
    /// `isoformat` says it: dates and times of day.
    Iso,
    Timedelta,
    /// `str` says it: UUID, Decimal, paths, addresses.
    Text,
    /// A list with names, from a database.
    Row,
    /// Has `keys` and items by key.
    Mapping,
    /// Has `model_dump`.
    Model,
    Dataclass,
    Attrs,
    /// Its columns are in `__dict__`, as far as they are loaded.
    Record,
    /// A number of numpy.
    Scalar,
    /// A secret that hides itself.
    Secret,
    Exception,
    Other,
}

/// What is known of a class. Nothing keeps it alive; where it is gone, so that another may have its address, the
/// reference is dead.
struct Known {
    address: usize,
    class: Py<PyWeakrefReference>,
    kind: Kind,
}

thread_local! {
    /// By the address of the class.
    static KNOWN: RefCell<[Option<Known>; REMEMBERED]> = const { RefCell::new([const { None }; REMEMBERED]) };
}

/// The kind of this object.
pub(crate) fn kind_of(object: &Bound<'_, PyAny>) -> Kind {
    let (py, class) = (object.py(), object.get_type());
    let address = class.as_ptr() as usize;
    let place = (address >> 4) % REMEMBERED;
    let found = KNOWN.try_with(|known| {
        let known = known.borrow();
        let known = known[place].as_ref().filter(|known| known.address == address)?;
        known.class.bind(py).upgrade().map(|_| known.kind)
    });
    if let Ok(Some(kind)) = found {
        return kind;
    }
    let kind = classify(&class);
    if let Ok(weak) = PyWeakrefReference::new(&class) {
        let known = Known { address, class: weak.unbind(), kind };
        // What it replaces is dropped after the borrow.
        drop(KNOWN.try_with(|all| all.borrow_mut()[place].replace(known)));
    }
    kind
}

fn text_of(object: &Bound<'_, PyAny>, name: &str) -> String {
    let value = object.getattr(name).and_then(|value| value.cast_into::<PyString>().map_err(PyErr::from));
    value.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

fn classify(class: &Bound<'_, PyType>) -> Kind {
    let Ok(order) = class.getattr("__mro__").and_then(|order| Ok(order.cast_into::<PyTuple>()?)) else {
        return Kind::Other;
    };
    let names: Vec<(String, String)> =
        order.iter().map(|base| (text_of(&base, "__module__"), text_of(&base, "__qualname__"))).collect();
    let is = |module: &str, name: &str| names.iter().any(|(of, named)| of == module && named == name);
    let builtin = |name: &str| is("builtins", name);
    let has = |name: &str| class.hasattr(name).unwrap_or(false);
    let pathlib = names.iter().any(|(of, name)| of.starts_with("pathlib") && name == "PurePath");
    let secret = names.iter().any(|(of, name)| of == "pydantic.types" && name.starts_with("Secret"));
    // The first that holds; a str that is an enum is an enum. What is then read as the built-in type that it is must be
    // one: any class may have its name.
    let rules = [
        (is("enum", "Enum"), Kind::Enum),
        (secret, Kind::Secret),
        (is("datetime", "datetime"), Kind::Datetime),
        (is("datetime", "date") || is("datetime", "time"), Kind::Iso),
        (is("datetime", "timedelta"), Kind::Timedelta),
        (is("uuid", "UUID") || is("decimal", "Decimal") || pathlib, Kind::Text),
        (is("ipaddress", "_IPAddressBase") || is("datetime", "tzinfo"), Kind::Text),
        (is("fractions", "Fraction") || is("yarl", "URL"), Kind::Text),
        (is("numpy", "generic"), Kind::Scalar),
        (class.is_subclass_of::<PyString>().unwrap_or(false), Kind::Str),
        (class.is_subclass_of::<PyInt>().unwrap_or(false), Kind::Int),
        (builtin("float"), Kind::Float),
        (builtin("bytes") || builtin("bytearray") || builtin("memoryview"), Kind::Bytes),
        (builtin("BaseException"), Kind::Exception),
        (is("sqlalchemy.engine.row", "Row"), Kind::Row),
        (class.is_subclass_of::<PyDict>().unwrap_or(false), Kind::Dict),
        (builtin("set") || builtin("frozenset"), Kind::Set),
        (builtin("tuple") && has("_fields"), Kind::Named),
        (builtin("list") || builtin("tuple") || builtin("range"), Kind::Sequence),
        (is("collections", "deque") || builtin("dict_values") || builtin("dict_keys"), Kind::Sequence),
        (builtin("type"), Kind::Other),
        (is("sqlalchemy.orm.decl_api", "DeclarativeBase") || has("__mapper__"), Kind::Record),
        (is("django.db.models.base", "Model"), Kind::Record),
        (has("model_dump"), Kind::Model),
        (has("__dataclass_fields__"), Kind::Dataclass),
        (has("__attrs_attrs__"), Kind::Attrs),
        (is("pydantic_core._pydantic_core", "Url"), Kind::Text),
        (has("keys") && has("__getitem__"), Kind::Mapping),
    ];
    rules.into_iter().find(|(holds, _)| *holds).map_or(Kind::Other, |(_, kind)| kind)
}

/// Whether it has the methods of a text without being a `str`: such as a lazy translation, which has letters, too.
pub(crate) fn is_text(object: &Bound<'_, PyAny>) -> bool {
    object.hasattr("casefold").unwrap_or(false)
}

/// Whether it holds values one by one: a sequence, a set or an iterator. That its class can be iterated is not enough:
/// texts can, and proxies of whatever.
pub(crate) fn is_collection(object: &Bound<'_, PyAny>) -> bool {
    let class = object.get_type();
    let has = |name: &str| class.hasattr(name).unwrap_or(false);
    match kind_of(object) {
        Kind::Sequence | Kind::Set | Kind::Named | Kind::Row => true,
        Kind::Other => (has("__next__") || has("__len__")) && !is_text(object) && object.try_iter().is_ok(),
        _ => false,
    }
}

/// Whether the text of an object is more than the address that every object has.
pub(crate) fn says_what_it_is(object: &Bound<'_, PyAny>) -> bool {
    let (class, object_class) = (object.get_type(), object.py().get_type::<PyAny>());
    ["__str__", "__repr__"].into_iter().any(|name| match (class.getattr(name), object_class.getattr(name)) {
        (Ok(own), Ok(usual)) => !own.is(&usual),
        _ => false,
    })
}

/// The name of an object's class, with its module.
pub(crate) fn class_name(object: &Bound<'_, PyAny>) -> String {
    let class = object.get_type();
    let (module, name) = (text_of(&class, "__module__"), text_of(&class, "__qualname__"));
    if module == "builtins" || module.is_empty() { name } else { format!("{module}.{name}") }
}
