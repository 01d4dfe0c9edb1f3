//! The commands of the key-value store, as people type them.
//!
//! A command is one line: a verb, a key, and what else the verb wants. [`Request`] is the command
//! understood. Reading and writing are exact opposites, so a request can be put into the log as
//! text and read there by every server alike. A text that begins with a verb but does not go on
//! as it should is an error, never another command.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::json::text;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1 << 10;

/// The longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// What a client asks for. `parse` reads it, `Display` writes it so that `parse` gives it back.
/// Its texts are its own, but for those of [`Request::read`].
///
/// Keys and values are written in double quotes where the plain form could not tell, with the
/// escapes `\"`, `\\`, `\n`, `\r` and `\t`: `set "my key"=42`, `cas k "a b" c`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the fields are the words of the command")]
pub enum Request<Text = String> {
    /// `set x=42` or `set x 42`. A plain value is the rest of the line, without the spaces around.
    Set { key: Text, value: Text },
    /// `get x`.
    Get { key: Text },
    /// `delete x`.
    Delete { key: Text },
    /// `incr n` or `incr n 5`. A key that is not there counts from 0.
    Increment { key: Text, by: i64 },
    /// `cas x 1 2`: if x is 1, set it to 2.
    CompareAndSet { key: Text, old: Text, new: Text },
    /// Any text that does not begin with one of these verbs. It changes nothing.
    Other(Text),
}

impl<Text: AsRef<str>> Request<Text> {
    /// The key that it is about.
    pub fn key(&self) -> Option<&str> {
        match self {
            Request::Set { key, .. }
            | Request::Get { key }
            | Request::Delete { key }
            | Request::Increment { key, .. }
            | Request::CompareAndSet { key, .. } => Some(key.as_ref()),
            Request::Other(_) => None,
        }
    }
}

impl<'a> Request<Cow<'a, str>> {
    /// Reads it as `parse` does, but borrows its texts: a server reads each command twice, to see
    /// what it is and to apply it, and need not copy it for that.
    ///
    /// # Errors
    /// If the text begins with a verb and does not go on as it should: one line.
    pub fn read(text: &'a str) -> Result<Self, String> {
        let line = trim(text);
        let (verb, rest) = line.split_at(end_of_word(line));
        let mut words = Words { rest };
        let (request, usage) = match verb {
            "set" => (words.set(), "set KEY=VALUE"),
            "get" => (words.key().map(|key| Request::Get { key }), "get KEY"),
            "delete" => (words.key().map(|key| Request::Delete { key }), "delete KEY"),
            "incr" => (words.increment(), "incr KEY [NUMBER]"),
            "cas" => (words.compare_and_set(), "cas KEY OLD NEW"),
            _ => return limit("text", text.into(), MAX_VALUE_BYTES).map(Request::Other),
        };
        let whole = request.and_then(|request| words.end().map(|()| request));
        whole.map_err(|what| format!("{verb}: {what}; write {usage}"))
    }

    fn into_owned(self) -> Request {
        let own = Cow::into_owned;
        match self {
            Request::Set { key, value } => Request::Set { key: own(key), value: own(value) },
            Request::Get { key } => Request::Get { key: own(key) },
            Request::Delete { key } => Request::Delete { key: own(key) },
            Request::Increment { key, by } => Request::Increment { key: own(key), by },
            Request::CompareAndSet { key, old, new } => {
                Request::CompareAndSet { key: own(key), old: own(old), new: own(new) }
            }
            Request::Other(text) => Request::Other(own(text)),
        }
    }
}

/// Fails as [`Request::read`].
impl FromStr for Request {
    type Err = String;

    fn from_str(text: &str) -> Result<Request, String> {
        Request::read(text).map(Request::into_owned)
    }
}

/// A request whose texts are those of the command.
type Borrowed<'a> = Request<Cow<'a, str>>;

/// What is still to be read of a command, behind its verb.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn set(&mut self) -> Result<Borrowed<'a>, String> {
        let key = self.key()?;
        let value = self.word("value", MAX_VALUE_BYTES, str::len)?; // to the end of the line
        Ok(Request::Set { key, value })
    }

    fn increment(&mut self) -> Result<Borrowed<'a>, String> {
        let key = self.key()?;
        if self.rest.is_empty() {
            return Ok(Request::Increment { key, by: 1 });
        }
        let word = self.word("number", MAX_VALUE_BYTES, end_of_word)?;
        match word.parse() {
            Ok(by) => Ok(Request::Increment { key, by }),
            Err(_) => Err(format!("{:.20} is not a whole number of 64 bits", rest_of_line(&word))),
        }
    }

    fn compare_and_set(&mut self) -> Result<Borrowed<'a>, String> {
        let key = self.key()?;
        let old = self.word("old value", MAX_VALUE_BYTES, end_of_word)?;
        let new = self.word("new value", MAX_VALUE_BYTES, end_of_word)?;
        Ok(Request::CompareAndSet { key, old, new })
    }

    /// A key, and the `=` that may follow it.
    fn key(&mut self) -> Result<Cow<'a, str>, String> {
        let key = self.word("key", MAX_KEY_BYTES, end_of_key)?;
        let rest = trim(self.rest);
        self.rest = rest.strip_prefix('=').unwrap_or(rest);
        if key.is_empty() { Err("the key is empty".to_string()) } else { Ok(key) }
    }

    /// The next word: a quoted one, or else all up to where `end` finds its end.
    fn word(
        &mut self,
        name: &str,
        max: usize,
        end: fn(&str) -> usize,
    ) -> Result<Cow<'a, str>, String> {
        let text = trim(self.rest);
        if text.is_empty() {
            return Err(format!("the {name} is missing"));
        }
        let (word, rest) = match text.strip_prefix('"') {
            Some(quoted) => {
                let (word, rest) = unquote(quoted)?;
                if end(rest) > 0 {
                    return Err(format!("the {name} goes on behind its closing quote"));
                }
                (word.into(), rest)
            }
            None => {
                let (word, rest) = text.split_at(end(text));
                (word.into(), rest)
            }
        };
        self.rest = rest;
        limit(name, word, max)
    }

    fn end(&self) -> Result<(), String> {
        match trim(self.rest) {
            "" => Ok(()),
            extra => {
                Err(format!("{:.20} is too much (quote what has spaces)", rest_of_line(&extra)))
            }
        }
    }
}

/// Where a word ends that is not quoted.
fn end_of_word(text: &str) -> usize {
    find(text, char::is_whitespace)
}

fn end_of_key(text: &str) -> usize {
    find(text, |c| c.is_whitespace() || c == '=')
}

/// Where the first such character stands. It is sought among bytes while those are plain letters:
/// that is quicker than to put characters together.
fn find(text: &str, is_it: impl Fn(char) -> bool) -> usize {
    let passes = |byte: &u8| byte.is_ascii_graphic() && !is_it(char::from(*byte));
    let place = text.as_bytes().iter().take_while(|byte| passes(byte)).count();
    text[place..].find(&is_it).map_or(text.len(), |more| place + more)
}

/// What `str::trim` gives; mostly the text as it is, which is soon seen.
fn trim(text: &str) -> &str {
    match text.as_bytes() {
        [b'!'..=b'~', .., b'!'..=b'~'] => text,
        _ => text.trim(),
    }
}

fn limit<'a>(name: &str, text: Cow<'a, str>, max_bytes: usize) -> Result<Cow<'a, str>, String> {
    match text.len() {
        bytes if bytes <= max_bytes => Ok(text),
        bytes => Err(format!("the {name} has {bytes} bytes, the most is {max_bytes}")),
    }
}

/// The text within quotes, and what stands behind the closing one.
fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut word = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok((word, chars.as_str())),
            '\\' => word.push(match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(c @ ('"' | '\\')) => c,
                _ => return Err(r#"in quotes only \" \\ \n \r \t begin with a backslash"#.into()),
            }),
            c => word.push(c),
        }
    }
    Err("the closing quote is missing".to_string())
}

impl<Text: AsRef<str>> Request<Text> {
    /// Its text. `Display` gives the same, and takes longer.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.append_to(&mut text);
        text
    }

    /// Appends its text to another.
    pub fn append_to(&self, text: &mut String) {
        match self {
            Request::Set { key, value } => {
                append(text, ["set ", &word(key), "=", &rest_of_line(value)]);
            }
            Request::Get { key } => append(text, ["get ", &word(key)]),
            Request::Delete { key } => append(text, ["delete ", &word(key)]),
            Request::Increment { key, by: 1 } => append(text, ["incr ", &word(key)]),
            Request::Increment { key, by } => {
                append(text, ["incr ", &word(key), " ", &by.to_string()]);
            }
            Request::CompareAndSet { key, old, new } => {
                append(text, ["cas ", &word(key), " ", &word(old), " ", &word(new)]);
            }
            Request::Other(other) => text.push_str(other.as_ref()),
        }
    }
}

impl<Text: AsRef<str>> fmt::Display for Request<Text> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text())
    }
}

fn append<const N: usize>(text: &mut String, pieces: [&str; N]) {
    text.reserve(pieces.iter().map(|piece| piece.len()).sum());
    pieces.iter().for_each(|piece| text.push_str(piece));
}

/// A key or value among others: quoted if it would end too soon.
fn word(text: &impl AsRef<str>) -> Cow<'_, str> {
    let text = text.as_ref();
    let ends_too_soon = end_of_key(text) < text.len();
    quote_if(text.is_empty() || text.starts_with('"') || ends_too_soon, text)
}

/// A value at the end of the line: spaces within need no quotes.
fn rest_of_line(text: &impl AsRef<str>) -> Cow<'_, str> {
    let text = text.as_ref();
    let rest = &text.as_bytes()[text::plain(text.as_bytes())..];
    let breaks = rest.iter().any(|byte| matches!(byte, b'\n' | b'\r' | b'\t'));
    let is_trimmed = trim(text).len() == text.len();
    quote_if(text.is_empty() || text.starts_with('"') || breaks || !is_trimmed, text)
}

fn quote_if(needed: bool, text: &str) -> Cow<'_, str> {
    if !needed {
        return text.into();
    }
    let text = text.replace('\\', r"\\").replace('"', r#"\""#);
    let text = text.replace('\n', r"\n").replace('\r', r"\r").replace('\t', r"\t");
    format!("\"{text}\"").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::step::Random;

    fn set(key: &str, value: &str) -> Request {
        Request::Set { key: key.into(), value: value.into() }
    }

    fn incr(key: &str, by: i64) -> Request {
        Request::Increment { key: key.into(), by }
    }

    fn cas(key: &str, old: &str, new: &str) -> Request {
        Request::CompareAndSet { key: key.into(), old: old.into(), new: new.into() }
    }

    #[test]
    fn parse_reads_what_people_type() {
        let other = |text: &str| Request::Other(text.into());
        for (text, request) in [
            ("set x=42", set("x", "42")),
            ("set x 42", set("x", "42")),
            (" set  x = 42 ", set("x", "42")),
            ("set x a = b  c", set("x", "a = b  c")),
            ("set x=y=z", set("x", "y=z")),
            ("set x==", set("x", "=")),
            (r#"set x say "hi" \o/"#, set("x", r#"say "hi" \o/"#)),
            (r#"set x="""#, set("x", "")),
            (r#"set "my = key"="a\n\"b\\n""#, set("my = key", "a\n\"b\\n")),
            (r#"set "k" " v ""#, set("k", " v ")),
            ("get x", Request::Get { key: "x".into() }),
            (r#"delete "a b""#, Request::Delete { key: "a b".into() }),
            ("incr n", incr("n", 1)),
            ("incr n -5", incr("n", -5)),
            ("cas k 1 2", cas("k", "1", "2")),
            (r#"cas k "a b" c=d"#, cas("k", "a b", "c=d")),
            ("no-op", other("no-op")),
            ("settle down", other("settle down")),
            (" x=1 ", other(" x=1 ")),
        ] {
            assert_eq!(text.parse(), Ok(request), "{text}");
        }
    }

    #[test]
    fn parse_refuses_a_verb_that_does_not_go_on_as_it_should() {
        for (text, why) in [
            ("set", "set: the key is missing; write set KEY=VALUE"),
            ("set x", "set: the value is missing; write set KEY=VALUE"),
            ("set x=", "set: the value is missing; write set KEY=VALUE"),
            ("set =1", "set: the key is empty; write set KEY=VALUE"),
            ("get \"\"", "get: the key is empty; write get KEY"),
            ("get a\nb", "get: b is too much (quote what has spaces); write get KEY"),
            ("delete", "delete: the key is missing; write delete KEY"),
            ("incr n ten", "incr: ten is not a whole number of 64 bits; write incr KEY [NUMBER]"),
            ("cas k 1", "cas: the new value is missing; write cas KEY OLD NEW"),
            ("set x \"1", "set: the closing quote is missing; write set KEY=VALUE"),
            ("set \"x\"y 1", "set: the key goes on behind its closing quote; write set KEY=VALUE"),
            (
                "set x \"1\" 2",
                "set: the value goes on behind its closing quote; write set KEY=VALUE",
            ),
        ] {
            assert_eq!(text.parse::<Request>(), Err(why.to_string()));
        }
        let escape = r#"get "\d""#.parse::<Request>().expect_err("there is no such escape");
        assert!(escape.contains("backslash"), "{escape}");
    }

    #[test]
    fn parse_limits_keys_and_values() {
        let (key, value) = ("k".repeat(MAX_KEY_BYTES), "v".repeat(MAX_VALUE_BYTES));
        assert_eq!(format!("set {key}={value}").parse(), Ok(set(&key, &value)));
        for text in [
            format!("get {key}k"),
            format!("set x={value}v"),
            format!("cas x {value}v 1"),
            format!("cas x 1 {value}v"),
            format!("{value}v"),
        ] {
            let why = text.parse::<Request>().expect_err("it is too long");
            assert!(why.contains("bytes, the most is 10"), "{why:.200}");
        }
    }

    #[test]
    fn display_quotes_only_what_the_plain_form_cannot_tell() {
        for (request, text) in [
            (set("x", "a = \"b\" \\"), r#"set x=a = "b" \"#),
            (set("a b", " c"), r#"set "a b"=" c""#),
            (set("a=b", "two\nlines\t\\"), r#"set "a=b"="two\nlines\t\\""#),
            (set("\"x", ""), r#"set "\"x"="""#),
            (incr("n", 1), "incr n"),
            (incr("n", -1), "incr n -1"),
            (cas("k", "a b", "=\r"), r#"cas k "a b" "=\r""#),
        ] {
            assert_eq!(request.to_string(), text);
        }
    }

    #[test]
    fn display_then_parse_gives_the_request_back() {
        let mut random = Random(1);
        let mut text = |least| -> String {
            let length = random.between(least, 4);
            let any = ['a', '=', ' ', '"', '\\', '\n', '\r', '\t', 'n', '\u{a0}', '-', 'é'];
            (0..length).map(|_| any[random.between(0, any.len() as u64 - 1) as usize]).collect()
        };
        for by in -2000..2000 {
            let key = text(1);
            for request in [
                set(&key, &text(0)),
                Request::Get { key: key.clone() },
                Request::Delete { key: key.clone() },
                incr(&key, by),
                cas(&key, &text(0), &text(0)),
                Request::Other(text(0)),
            ] {
                assert_eq!(request.to_string().parse(), Ok(request.clone()), "{request}");
            }
        }
    }
}
