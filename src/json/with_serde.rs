//! Lets the crate serde_json read and write, through its traits for types of one's own.
//!
//! serde_json's own value would forget a repeated name and the order of the members, and it writes
//! floats and bounds depth in its own way. Here the face decides all of these, so that a reader of
//! the wire cannot tell which build wrote.

use std::cell::Cell;
use std::{fmt, io};

use serde_bridge::serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_bridge::serde::ser::{Serialize, Serializer};
use serde_bridge::serde_json;

use super::value::{Error, MAX_DEPTH, MAX_VALUES, Number, Value, repeats_a_name};

/// Reads a whole text as one value.
pub fn parse(text: &str) -> Result<Value<'_>, Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let left = Left { levels: MAX_DEPTH, values: &Cell::new(MAX_VALUES) };
    let value = left.deserialize(&mut reader);
    value.and_then(|value| reader.end().map(|()| value)).map_err(|error| Error(error.to_string()))
}

/// Appends a value to a text.
pub fn append(value: &Value, out: &mut String) {
    let mut writer = serde_json::Serializer::with_formatter(Pieces(out), RustFloats);
    value.serialize(&mut writer).expect("a String takes every text");
}

/// Takes what serde_json writes: whole characters, piece by piece.
struct Pieces<'a>(&'a mut String);

impl io::Write for Pieces<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.push_str(str::from_utf8(piece).map_err(io::Error::other)?);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a value which may hold so many more levels of arrays and objects, and with all of them so
/// many more values.
#[derive(Clone, Copy)]
struct Left<'a> {
    levels: usize,
    values: &'a Cell<usize>,
}

impl Left<'_> {
    fn inside<E: de::Error>(self) -> Result<Self, E> {
        let message = "more levels of arrays and objects than are allowed";
        let levels = self.levels.checked_sub(1).ok_or_else(|| E::custom(message))?;
        Ok(Left { levels, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Left<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value<'de>, D::Error> {
        let Some(left) = self.values.get().checked_sub(1) else {
            return Err(de::Error::custom(format!("more than {MAX_VALUES} values")));
        };
        self.values.set(left);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Left<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(number.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(number.into())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value<'de>, A::Error> {
        let left = self.inside()?;
        let mut items = Vec::new();
        while let Some(item) = values.next_element_seed(left)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value<'de>, A::Error> {
        let left = self.inside()?;
        let mut members = Vec::new();
        while let Some(name) = entries.next_key::<String>()? {
            members.push((name.into(), entries.next_value_seed(left)?));
        }
        if repeats_a_name(&members) {
            return Err(de::Error::custom("a name twice in the object that ends"));
        }
        Ok(Value::Object(members))
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => writer.serialize_unit(),
            Value::Bool(value) => writer.serialize_bool(*value),
            Value::Number(Number::Unsigned(number)) => writer.serialize_u64(*number),
            Value::Number(Number::Negative(number)) => writer.serialize_i64(*number),
            Value::Number(Number::Float(number)) => writer.serialize_f64(*number),
            Value::String(text) => writer.serialize_str(text),
            Value::Array(items) => writer.collect_seq(items),
            Value::Object(members) => {
                writer.collect_map(members.iter().map(|(name, value)| (name, value)))
            }
        }
    }
}

/// serde_json's compact format, but floats as Rust itself writes them.
struct RustFloats;

impl serde_json::ser::Formatter for RustFloats {
    fn write_f64<W: io::Write + ?Sized>(&mut self, out: &mut W, number: f64) -> io::Result<()> {
        write!(out, "{number:?}")
    }
}
