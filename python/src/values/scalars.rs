//! Texts, numbers, times, bytes, and the `repr` of what is none of them.
//!
//! This module uses `unsafe` for two calls on objects that have references of their own.
#![allow(unsafe_code)]

use std::ffi::c_int;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{ffi, intern};

use super::{LEFT_OUT, Note, Writer};
use crate::json_strings::{error_text, escape, shortened};
use crate::times::timestamp;
use crate::value_kinds::class_name;

impl<'py> Writer<'_, 'py> {
    #[inline]
    pub(super) fn text(&mut self, text: *mut ffi::PyObject) {
        let mut len = 0;
        // SAFETY: a live object, which has a reference of its own from here on: the call below makes an exception if it
        // fails, and that may run Python.
        let text: Bound<'py, PyAny> = unsafe { Bound::from_borrowed_ptr(self.py, text) };
        // SAFETY: a str with a reference of its own. The bytes belong to it, and nothing runs before they are copied.
        let bytes = unsafe {
            let bytes = ffi::PyUnicode_AsUTF8AndSize(text.as_ptr(), &raw mut len);
            if bytes.is_null() {
                ffi::PyErr_Clear();
                return self.broken_text(&text);
            }
            std::slice::from_raw_parts(bytes.cast::<u8>(), len as usize)
        };
        self.string(bytes);
    }

    /// Writes a string.
    #[inline]
    pub(crate) fn string(&mut self, text: &[u8]) {
        self.out.reserve(text.len() + 2);
        self.out.push(b'"');
        escape(text, self.out);
        self.out.push(b'"');
    }

    /// A text with halves of surrogate pairs, which UTF-8 does not have. JSON has, and the core says what they were.
    #[cold]
    fn broken_text(&mut self, text: &Bound<'py, PyAny>) {
        let encoded = text.call_method1(intern!(self.py, "encode"), ("utf-8", "surrogatepass"));
        let encoded = encoded.and_then(|encoded| Ok(encoded.cast_into::<PyBytes>()?));
        let Ok(encoded) = encoded else {
            self.note(Note::Error);
            self.out.extend_from_slice(LEFT_OUT);
            return;
        };
        self.out.push(b'"');
        let mut rest = encoded.as_bytes();
        while !rest.is_empty() {
            let valid = match std::str::from_utf8(rest) {
                Ok(_) => rest.len(),
                Err(error) => error.valid_up_to(),
            };
            escape(&rest[..valid], self.out);
            rest = &rest[valid..];
            if let [0xED, high, low, ..] = rest {
                let unit = 0xD000 | u32::from(high & 0x3F) << 6 | u32::from(low & 0x3F);
                self.out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                rest = &rest[3..];
            } else if !rest.is_empty() {
                rest = &rest[1..];
            }
        }
        self.out.push(b'"');
    }

    #[inline]
    pub(super) fn whole(&mut self, number: *mut ffi::PyObject) {
        let mut overflow: c_int = 0;
        // SAFETY: a live int, or a subclass of it; neither runs Python.
        let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(number, &raw mut overflow) };
        if overflow == 0 {
            let mut digits = itoa::Buffer::new();
            self.out.extend_from_slice(digits.format(value).as_bytes());
        } else {
            self.owned(number, Self::large);
        }
    }

    #[cold]
    pub(super) fn large(&mut self, number: &Bound<'py, PyAny>) {
        // As an exact int, whatever its class says of itself.
        let exact = number.call_method0(intern!(self.py, "__index__"));
        let text = exact.and_then(|exact| exact.str()?.to_str().map(str::to_owned));
        match text {
            Ok(digits) if digits.len() <= 300 => self.out.extend_from_slice(digits.as_bytes()),
            Ok(digits) => {
                self.note(Note::Cut);
                self.string(
                    format!("{}… ({} digits)", &digits[..300.min(digits.len())], digits.len()).as_bytes(),
                );
            }
            // Python refuses to write out more than some thousand digits.
            Err(_) => {
                let bits = number.call_method0(intern!(self.py, "bit_length"));
                let bits = bits.and_then(|bits| bits.extract::<u64>()).unwrap_or_default();
                self.note(Note::Cut);
                self.string(format!("a whole number of {bits} bits").as_bytes());
            }
        }
    }

    pub(super) fn float(&mut self, number: f64) {
        if number.is_finite() {
            let mut buffer = zmij::Buffer::new();
            self.out.extend_from_slice(buffer.format_finite(number).as_bytes());
        } else {
            self.string(number.to_string().as_bytes());
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.string(text.as_bytes()),
            Err(_) => {
                self.note(Note::Bytes);
                let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
                self.string(text.as_bytes());
            }
        }
    }

    pub(super) fn datetime(&mut self, time: &Bound<'py, PyAny>) -> PyResult<()> {
        let (time, is_naive) = timestamp(time)?;
        if is_naive {
            self.note(Note::Naive);
        }
        self.string(&time.to_text());
        Ok(())
    }

    pub(super) fn exception(&mut self, error: &Bound<'py, PyAny>) -> PyResult<()> {
        let text = error_text(error)?;
        self.string(text.as_bytes());
        Ok(())
    }

    #[cold]
    pub(super) fn repr(&mut self, object: &Bound<'py, PyAny>) {
        let repr = object.repr().and_then(|repr| Ok(repr.to_str()?.to_owned()));
        match repr {
            Ok(text) => {
                self.note(Note::Repr);
                self.string(shortened(&text).as_bytes());
            }
            Err(error) => {
                self.stop(error);
                self.note(Note::Error);
                self.string(format!("<{}>", class_name(object)).as_bytes());
            }
        }
    }
}
