//! Reads and writes JSON with nothing but the standard library.
//!
//! The reader walks over the text once, from left to right, with one function for each rule of the
//! grammar in RFC 8259. Arrays and objects hold values, so those functions call each other; a
//! count of the levels left bounds how deep, and a count of the values left how often.

use std::borrow::Cow;
use std::fmt::Write;

use super::text::{self, append_array, append_separated};
use super::value::{Error, MAX_DEPTH, MAX_VALUES, Member, Number, Value, repeats_a_name};

/// Room for the members of most objects that are read: entries of the log.
const USUAL_MEMBERS: usize = 3;

/// Reads a whole text as one value.
pub fn parse(text: &str) -> Result<Value<'_>, Error> {
    let mut parser = Parser { text, at: 0, values_left: MAX_VALUES };
    let value = parser.value(MAX_DEPTH)?;
    parser.skip_whitespace();
    if parser.at < text.len() {
        return parser.fail("the end of the text");
    }
    Ok(value)
}

struct Parser<'a> {
    text: &'a str,
    /// The position of the next byte. Always at the start of a character.
    at: usize,
    values_left: usize,
}

impl<'a> Parser<'a> {
    /// Reads a value which may hold so many more levels of arrays and objects.
    fn value(&mut self, levels: usize) -> Result<Value<'a>, Error> {
        self.skip_whitespace();
        let Some(values_left) = self.values_left.checked_sub(1) else {
            return self.fail(&format!("no more than {MAX_VALUES} values"));
        };
        self.values_left = values_left;
        match self.peek() {
            Some(b'{') => self.object(levels),
            Some(b'[') => self.array(levels),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.take_all("null") => Ok(Value::Null),
            _ if self.take_all("true") => Ok(Value::Bool(true)),
            _ if self.take_all("false") => Ok(Value::Bool(false)),
            _ => self.fail("a value"),
        }
    }

    fn object(&mut self, levels: usize) -> Result<Value<'a>, Error> {
        let levels = self.enter(levels)?;
        if self.take_token(b'}') {
            return Ok(Value::Object(Vec::new()));
        }
        let mut members = Vec::with_capacity(USUAL_MEMBERS);
        loop {
            self.skip_whitespace();
            if self.peek() != Some(b'"') {
                return self.fail("a name in double quotes");
            }
            let name = self.string()?;
            if !self.take_token(b':') {
                return self.fail("':'");
            }
            members.push((name, self.value(levels)?));
            if self.take_token(b'}') {
                return self.finish_object(members);
            }
            if !self.take_token(b',') {
                return self.fail("',' or '}'");
            }
        }
    }

    fn finish_object(&self, members: Vec<Member<'a>>) -> Result<Value<'a>, Error> {
        if repeats_a_name(&members) {
            return Err(Error(format!("a name twice in the object that ends at byte {}", self.at)));
        }
        Ok(Value::Object(members))
    }

    fn array(&mut self, levels: usize) -> Result<Value<'a>, Error> {
        let levels = self.enter(levels)?;
        let mut items = Vec::new();
        if self.take_token(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(levels)?);
            if self.take_token(b']') {
                return Ok(Value::Array(items));
            }
            if !self.take_token(b',') {
                return self.fail("',' or ']'");
            }
        }
    }

    /// Steps over the opening bracket and returns how many levels are left inside.
    fn enter(&mut self, levels: usize) -> Result<usize, Error> {
        if levels == 0 {
            return self.fail(&format!("no more than {MAX_DEPTH} levels of arrays and objects"));
        }
        self.at += 1;
        Ok(levels - 1)
    }

    fn number(&mut self) -> Result<Value<'a>, Error> {
        let start = self.at;
        self.take(b'-');
        // Nothing may follow a leading zero: 01 is the number 0 with garbage behind it.
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        let number = &self.text[start..self.at];
        if let Ok(number) = number.parse::<u64>() {
            return Ok(number.into());
        }
        // -0 is not the whole number 0: its sign would be lost.
        if let Ok(number @ ..0) = number.parse::<i64>() {
            return Ok(number.into());
        }
        match number.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number.into()),
            _ => Err(Error(format!("a number too great for an f64 at byte {}", start + 1))),
        }
    }

    /// Steps over one or more digits.
    fn digits(&mut self) -> Result<(), Error> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.fail("a digit");
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    /// Reads a text in quotes, and copies it only if it has escapes.
    fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.at += 1; // the opening quote
        let mut string = Cow::Borrowed(self.plain_run());
        loop {
            if self.take(b'"') {
                return Ok(string);
            }
            if !self.take(b'\\') {
                return self.fail("'\"', or an escape such as \\n,");
            }
            string.to_mut().push(self.escape()?);
            string.to_mut().push_str(self.plain_run());
        }
    }

    fn plain_run(&mut self) -> &'a str {
        let run = plain_run(&self.text[self.at..]);
        self.at += run.len();
        run
    }

    /// Reads what stands behind a backslash.
    fn escape(&mut self) -> Result<char, Error> {
        if self.take(b'u') {
            return self.unicode_escape();
        }
        let escaped = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return self.fail("one of \" \\ / b f n r t u behind the backslash"),
        };
        self.at += 1;
        Ok(escaped)
    }

    /// Reads a character that is written as a UTF-16 unit, or as two that are a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char, Error> {
        let first = self.utf16_unit()?;
        let is_half = (0xd800..0xdc00).contains(&first);
        let second = if is_half && self.take_all("\\u") { self.utf16_unit()? } else { 0 };
        match char::decode_utf16([first, second]).next() {
            Some(Ok(character)) => Ok(character),
            _ => self.fail("both halves of a surrogate pair"),
        }
    }

    /// Reads the four digits of a \u escape.
    fn utf16_unit(&mut self) -> Result<u16, Error> {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return self.fail("four hexadecimal digits behind \\u");
            };
            unit = unit << 4 | digit as u16;
            self.at += 1;
        }
        Ok(unit)
    }

    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over this byte, if it stands here.
    fn take(&mut self, expected: u8) -> bool {
        let taken = self.peek() == Some(expected);
        self.at += usize::from(taken);
        taken
    }

    /// Steps over these bytes, if they stand here.
    fn take_all(&mut self, expected: &str) -> bool {
        let taken = self.text.as_bytes()[self.at..].starts_with(expected.as_bytes());
        if taken {
            self.at += expected.len();
        }
        taken
    }

    /// Steps over this byte and whitespace in front, if it stands here.
    fn take_token(&mut self, expected: u8) -> bool {
        self.skip_whitespace();
        self.take(expected)
    }

    fn fail<T>(&self, expected: &str) -> Result<T, Error> {
        let found = match self.text[self.at..].chars().next() {
            Some(character) => format!("{character:?}"),
            None => "the end".to_string(),
        };
        Err(Error(format!("expected {expected} at byte {}, found {found}", self.at + 1)))
    }
}

/// Appends a value to a text.
pub fn append(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => append_number(*number, out),
        Value::String(text) => append_string(text, out),
        Value::Array(items) => append_array(out, items, |out, item| append(item, out)),
        Value::Object(members) => append_object(members, out),
    }
}

fn append_number(number: Number, out: &mut String) {
    let written = match number {
        Number::Unsigned(number) => write!(out, "{number}"),
        Number::Negative(number) => write!(out, "{number}"),
        // Debug, unlike Display, marks every float as one: 1.0 and 1e300, not 1 and 300 zeros.
        Number::Float(number) if number.is_finite() => write!(out, "{number:?}"),
        Number::Float(_) => out.write_str("null"),
    };
    written.expect("a String takes every text");
}

fn append_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    loop {
        let run = plain_run(rest);
        out.push_str(run);
        let mut behind = rest[run.len()..].chars();
        let Some(special) = behind.next() else { break };
        match special {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control => {
                write!(out, "\\u{:04x}", u32::from(control)).expect("a String takes every text")
            }
        }
        rest = behind.as_str();
    }
    out.push('"');
}

fn append_object(members: &[Member], out: &mut String) {
    out.push('{');
    append_separated(out, members, |out, (name, value)| {
        append_string(name, out);
        out.push(':');
        append(value, out);
    });
    out.push('}');
}

/// The start of a text up to the first character that cannot stand in a JSON string as it is.
fn plain_run(text: &str) -> &str {
    let bytes = text.as_bytes();
    let mut end = text::plain(bytes);
    while let Some(0x7f..) = bytes.get(end) {
        end += 1; // beyond ASCII all can
        end += text::plain(&bytes[end..]);
    }
    &text[..end]
}
