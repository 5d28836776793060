//! Any type that can be serialised as a [`Value`]: for details, and the state before and after.

use std::fmt;

use serde::ser::{self, Serialize};

use crate::{Number, Object, Value};

/// The value that serde makes of `data`, which may be a `serde_json::Value`. Keys that are numbers or booleans become
/// strings, as in JSON.
///
/// ```
/// #[derive(serde::Serialize)]
/// struct Limits { amount: u64, currency: &'static str }
///
/// let event = trailseal::Event::new("limits.change")
///     .before(trailseal::to_value(&Limits { amount: 100, currency: "EUR" })?)
///     .after(trailseal::to_value(&Limits { amount: 200, currency: "EUR" })?);
/// assert_eq!(event.after.as_ref().unwrap().to_string(), r#"{"amount":200,"currency":"EUR"}"#);
///
/// let event = event.detail("reason", trailseal::to_value(&serde_json::json!([{"code": 7}, null]))?);
/// assert_eq!(event.details.get("reason").unwrap().to_string(), r#"[{"code":7},null]"#);
/// # Ok::<(), trailseal::ToValueError>(())
/// ```
///
/// # Errors
/// When the type's own code fails, or a map has keys that JSON cannot have.
pub fn to_value<T: Serialize + ?Sized>(data: &T) -> Result<Value, ToValueError> {
    data.serialize(Serializer)
}

/// Why data could not become a [`Value`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ToValueError(String);

impl ser::Error for ToValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        ToValueError(message.to_string())
    }
}

struct Serializer;

struct List {
    elements: Vec<Value>,
    /// The name under which a variant of an enum has them.
    variant: Option<&'static str>,
}

struct Members {
    object: Object,
    key: Option<String>,
    variant: Option<&'static str>,
}

fn named(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(variant) => Value::Object(Object::from_iter([(variant, value)])),
        None => value,
    }
}

macro_rules! whole_numbers {
    ($($method:ident: $type:ty,)*) => {$(
        fn $method(self, number: $type) -> Result<Value, ToValueError> {
            Ok(i64::from(number).into())
        }
    )*};
}

impl ser::Serializer for Serializer {
    type Ok = Value;
    type Error = ToValueError;
    type SerializeSeq = List;
    type SerializeTuple = List;
    type SerializeTupleStruct = List;
    type SerializeTupleVariant = List;
    type SerializeMap = Members;
    type SerializeStruct = Members;
    type SerializeStructVariant = Members;

    whole_numbers! {
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
    }

    fn serialize_bool(self, truth: bool) -> Result<Value, ToValueError> {
        Ok(truth.into())
    }

    fn serialize_u64(self, number: u64) -> Result<Value, ToValueError> {
        Ok(number.into())
    }

    fn serialize_i128(self, number: i128) -> Result<Value, ToValueError> {
        Ok(Value::Number(Number::Text(number.to_string().into())))
    }

    fn serialize_u128(self, number: u128) -> Result<Value, ToValueError> {
        Ok(Value::Number(Number::Text(number.to_string().into())))
    }

    fn serialize_f32(self, number: f32) -> Result<Value, ToValueError> {
        Ok(f64::from(number).into())
    }

    fn serialize_f64(self, number: f64) -> Result<Value, ToValueError> {
        Ok(number.into())
    }

    fn serialize_char(self, character: char) -> Result<Value, ToValueError> {
        Ok(character.to_string().into())
    }

    fn serialize_str(self, text: &str) -> Result<Value, ToValueError> {
        Ok(text.into())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Value, ToValueError> {
        Ok(bytes.iter().map(|byte| i64::from(*byte)).collect::<Vec<_>>().into())
    }

    fn serialize_none(self) -> Result<Value, ToValueError> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, ToValueError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, ToValueError> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Value, ToValueError> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Value, ToValueError> {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Value, ToValueError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, ToValueError> {
        Ok(named(Some(variant), value.serialize(self)?))
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<List, ToValueError> {
        Ok(List { elements: Vec::new(), variant: None })
    }

    fn serialize_tuple(self, _len: usize) -> Result<List, ToValueError> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<List, ToValueError> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<List, ToValueError> {
        Ok(List { elements: Vec::new(), variant: Some(variant) })
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Members, ToValueError> {
        Ok(Members { object: Object::new(), key: None, variant: None })
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Members, ToValueError> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Members, ToValueError> {
        Ok(Members { object: Object::new(), key: None, variant: Some(variant) })
    }
}

impl List {
    fn push<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), ToValueError> {
        self.elements.push(to_value(element)?);
        Ok(())
    }

    fn done(self) -> Result<Value, ToValueError> {
        Ok(named(self.variant, Value::Array(self.elements)))
    }
}

macro_rules! lists {
    ($($name:ident: $method:ident,)*) => {$(
        impl ser::$name for List {
            type Ok = Value;
            type Error = ToValueError;

            fn $method<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), ToValueError> {
                self.push(element)
            }

            fn end(self) -> Result<Value, ToValueError> {
                self.done()
            }
        }
    )*};
}

lists! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
}

impl Members {
    fn done(self) -> Result<Value, ToValueError> {
        Ok(named(self.variant, Value::Object(self.object)))
    }
}

impl ser::SerializeMap for Members {
    type Ok = Value;
    type Error = ToValueError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), ToValueError> {
        self.key = Some(match to_value(key)? {
            Value::String(key) => key,
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            other => return Err(ToValueError(format!("{} cannot be the key of a map", other.kind()))),
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ToValueError> {
        let key = self.key.take().ok_or_else(|| ToValueError("a value came before its key".into()))?;
        self.object.insert(key, to_value(value)?);
        Ok(())
    }

    fn end(self) -> Result<Value, ToValueError> {
        self.done()
    }
}

macro_rules! structs {
    ($($name:ident,)*) => {$(
        impl ser::$name for Members {
            type Ok = Value;
            type Error = ToValueError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), ToValueError> {
                self.object.insert(key, to_value(value)?);
                Ok(())
            }

            fn end(self) -> Result<Value, ToValueError> {
                self.done()
            }
        }
    )*};
}

structs! {
    SerializeStruct,
    SerializeStructVariant,
}
