//! What JSON can say: the type of its values, and the limits of what is read.

use std::borrow::Cow;
use std::fmt;

/// How many arrays and objects may stand inside one another in a text that is read.
pub const MAX_DEPTH: usize = 64;

/// How many values a text that is read may hold, arrays and objects and what is in them alike.
pub const MAX_VALUES: usize = 100_000;

/// A value that borrows nothing.
pub type Json = Value<'static>;

/// Any JSON value.
///
/// ```
/// use raftlet::json::Json;
///
/// let vote = Json::object([("term", 4_u64.into()), ("vote_granted", true.into())]);
/// assert_eq!(vote.to_string(), r#"{"term":4,"vote_granted":true}"#);
///
/// let vote = Json::parse(r#"{ "term": 4, "vote_granted": true }"#)?;
/// assert_eq!(vote.get("term").and_then(Json::as_u64), Some(4));
/// # Ok::<(), raftlet::json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(Cow<'a, str>),
    /// Values in order.
    Array(Vec<Value<'a>>),
    /// Named values. They keep the order in which they were put or read, so that a message reads
    /// in the order of Figure 2.
    Object(Vec<Member<'a>>),
}

/// A named value in an object.
pub type Member<'a> = (Cow<'a, str>, Value<'a>);

/// A number, as it is written: terms and indexes are whole and must survive exactly, which a
/// floating-point number cannot promise above 2^53.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number from 0 to `u64::MAX`.
    Unsigned(u64),
    /// A whole number below 0.
    Negative(i64),
    /// Everything else: with a fraction or an exponent, or too great for the other two. JSON
    /// knows no infinity and no NaN: reading never gives one, and one is written as `null`.
    Float(f64),
}

/// Why a text is not JSON: one line that says what was expected, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub(super) String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl<'a> Value<'a> {
    /// An object with these members, in this order. Their names must differ.
    pub fn object(members: impl IntoIterator<Item = (&'a str, Value<'a>)>) -> Value<'a> {
        let members = members.into_iter();
        Value::Object(members.map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }

    /// A text that is borrowed.
    pub fn borrowed(text: &'a str) -> Value<'a> {
        Value::String(Cow::Borrowed(text))
    }

    /// The same value with all its texts to itself.
    pub fn into_owned(self) -> Json {
        let own = |text: Cow<str>| Cow::Owned(text.into_owned());
        match self {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(value),
            Value::Number(number) => Json::Number(number),
            Value::String(text) => Json::String(own(text)),
            Value::Array(items) => Json::Array(items.into_iter().map(Value::into_owned).collect()),
            Value::Object(members) => {
                let member = |(name, value): Member| (own(name), value.into_owned());
                Json::Object(members.into_iter().map(member).collect())
            }
        }
    }

    /// The member of an object; `None` if there is none of this name, or this is no object.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let Value::Object(members) = self else { return None };
        members.iter().find(|(its_name, _)| its_name == name).map(|(_, value)| value)
    }

    /// The number, if it is whole and not negative.
    pub fn as_u64(&self) -> Option<u64> {
        let Value::Number(Number::Unsigned(number)) = self else { return None };
        Some(*number)
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        let Value::Bool(value) = self else { return None };
        Some(*value)
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        let Value::String(text) = self else { return None };
        Some(text)
    }

    /// The values of an array, if it is one.
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        let Value::Array(items) = self else { return None };
        Some(items)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Value::Number(Number::Unsigned(number))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Value::Number(match u64::try_from(number) {
            Ok(number) => Number::Unsigned(number),
            Err(_) => Number::Negative(number),
        })
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Value::Number(Number::Float(number))
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::String(text.to_string().into())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Json {
        Json::String(text.into())
    }
}

impl<'a> From<Vec<Value<'a>>> for Value<'a> {
    fn from(items: Vec<Value<'a>>) -> Self {
        Value::Array(items)
    }
}

/// `None` is `null`.
impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// Whether two members of an object have the same name. Sorts if there are many, so that a hostile
/// object of thousands costs no more than its length is worth.
pub(super) fn repeats_a_name(members: &[Member]) -> bool {
    if members.len() <= 16 {
        let stands_before =
            |(i, name)| members[..i].iter().any(|(before, _): &Member| before == name);
        return members.iter().map(|(name, _)| name).enumerate().any(stands_before);
    }
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}
