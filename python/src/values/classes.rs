//! Objects of other classes than the plain ones: each is written as what stands for it.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::{LEFT_OUT, Note, Open, Writer, dict_of, list_of};
use crate::value_kinds::{Kind, class_name, kind_of};

impl<'py> Writer<'_, 'py> {
    pub(super) fn other(&mut self, object: &Bound<'py, PyAny>) {
        let kind = kind_of(object);
        let from = (self.out.len(), self.open.len());
        let written = self.by_kind(kind, object);
        if let Err(error) = written {
            self.out.truncate(from.0);
            self.open.truncate(from.1);
            let is_stop = !error.is_instance_of::<PyException>(self.py);
            if is_stop {
                self.stopped.get_or_insert(error);
                self.note(Note::Error);
                self.string(format!("<{}>", class_name(object)).as_bytes());
            } else {
                self.repr(object);
            }
        }
    }

    fn by_kind(&mut self, kind: Kind, object: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = self.py;
        match kind {
            Kind::Str => self.text(object.as_ptr()),
            Kind::Int => self.whole(object.as_ptr()),
            Kind::Float => self.float(object.extract::<f64>()?),
            Kind::Dict => self.dict(object),
            Kind::Bytes => {
                let bytes = object.call_method0(intern!(py, "tobytes")).unwrap_or_else(|_| object.clone());
                self.bytes(&bytes.extract::<Vec<u8>>()?);
            }
            Kind::Sequence => self.list(PyList::new(py, list_of(object)?)?.as_any()),
            Kind::Set => self.set(object)?,
            Kind::Enum => self.any(object.getattr(intern!(py, "_value_"))?.as_ptr()),
            Kind::Datetime => self.datetime(object)?,
            Kind::Iso => self.any(object.call_method0(intern!(py, "isoformat"))?.as_ptr()),
            Kind::Timedelta => {
                let seconds = object.call_method0(intern!(py, "total_seconds"))?;
                self.float(seconds.extract::<f64>()?);
            }
            Kind::Text | Kind::Secret => self.text(object.str()?.as_ptr()),
            Kind::Scalar => {
                let item = object.call_method0(intern!(py, "item"))?;
                match item.get_type().is(object.get_type()) {
                    true => self.repr(object),
                    false => self.any(item.as_ptr()),
                }
            }
            Kind::Exception => self.exception(object)?,
            Kind::Named => self.walk(object, &object.call_method0(intern!(py, "_asdict"))?)?,
            Kind::Row => self.walk(object, &dict_of(&object.getattr(intern!(py, "_mapping"))?)?)?,
            Kind::Mapping => self.walk(object, &dict_of(object)?)?,
            Kind::Model => self.walk(object, &object.call_method0(intern!(py, "model_dump"))?)?,
            Kind::Dataclass => {
                let names = object.getattr(intern!(py, "__dataclass_fields__"))?;
                let names: Vec<Bound<'py, PyAny>> = list_of(&names)?;
                self.walk(object, &attributes(object, names)?)?;
            }
            Kind::Attrs => {
                let names = list_of(&object.getattr(intern!(py, "__attrs_attrs__"))?)?;
                let names: PyResult<Vec<_>> =
                    names.iter().map(|name| name.getattr(intern!(py, "name"))).collect();
                self.walk(object, &attributes(object, names?)?)?;
            }
            Kind::Record => {
                let loaded = object.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?.copy()?;
                for own in ["_sa_instance_state", "_state"] {
                    if loaded.contains(own)? {
                        loaded.del_item(own)?;
                    }
                }
                self.walk(object, &loaded)?;
            }
            Kind::Other => self.repr(object),
        }
        Ok(())
    }

    /// Writes what stands for an object, which may contain the object itself.
    pub(super) fn walk(&mut self, object: &Bound<'py, PyAny>, members: &Bound<'py, PyAny>) -> PyResult<()> {
        let members = members.cast::<PyDict>()?;
        let address = object.as_ptr() as usize;
        if self.open.iter().any(|open| open.address == address) {
            self.note(Note::Cycle);
            self.out.extend_from_slice(LEFT_OUT);
            return Ok(());
        }
        // Without a key, so not a step of the path.
        self.open.push(Open { address, key: (0, 0) });
        self.dict(members.as_any());
        self.open.pop();
        Ok(())
    }

    pub(super) fn set(&mut self, set: &Bound<'py, PyAny>) -> PyResult<()> {
        let elements = list_of(set)?;
        if !self.enter(set) {
            return Ok(());
        }
        let start = self.out.len();
        let mut texts = Vec::with_capacity(elements.len());
        for element in &elements {
            let from = self.out.len();
            if self.values_left == 0 {
                break;
            }
            self.values_left -= 1;
            self.any(element.as_ptr());
            texts.push(self.out.split_off(from));
        }
        if texts.len() < elements.len() {
            self.note(Note::Cut);
        }
        self.open.pop();
        self.out.truncate(start);
        // Equal sets are then written alike.
        texts.sort();
        self.out.push(b'[');
        self.out.extend_from_slice(&texts.join(&b','));
        self.out.push(b']');
        Ok(())
    }
}

fn attributes<'py>(object: &Bound<'py, PyAny>, names: Vec<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    let members = PyDict::new(object.py());
    for name in names {
        let name = name.cast_into::<PyString>()?;
        // One that is not set is not there.
        if let Ok(value) = object.getattr(&name) {
            members.set_item(name, value)?;
        }
    }
    Ok(members.into_any())
}
