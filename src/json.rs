//! JSON (RFC 8259): the language of the messages between nodes and of the HTTP interface.
//!
//! [`Json::parse`] reads a text into a tree of values, and [`Json::append_to`] (or its `Display`)
//! writes it back, compact and on one line. A [`Value`] may borrow its texts, from what was read or
//! for what is to be written: entries come and go by thousands, and need not be copied for that.
//! Nor need a tree of them be built to be written: an [`ObjectWriter`] does without.
//! [`Json`] is a value that has all its texts to itself. Reading is strict: what two readers could
//! understand in two ways is refused, so an object may not hold a name twice. Nor may a text nest
//! deeper than [`MAX_DEPTH`], or a hostile message could exhaust the stack, nor hold
//! more than [`MAX_VALUES`] values, or one of many tiny ones could take many times its own length
//! of memory.
//!
//! `value.rs` has the values. Behind this one face stand two workers: `by_hand`, the
//! default, and `with_serde`, which lets the crate serde_json do the work when the feature
//! `serde_json` is on. Both accept the same texts, read the same values and write the same bytes;
//! only the wording of errors differs.

use std::fmt;

// rustdoc is not told where the bridge to serde_json lies, so it always reads the default.
#[cfg(any(not(feature = "serde_json"), doc, test))]
mod by_hand;
pub mod text;
mod value;
#[cfg(all(feature = "serde_json", not(doc)))]
mod with_serde;

#[cfg(any(not(feature = "serde_json"), doc))]
use by_hand as worker;
#[cfg(all(feature = "serde_json", not(doc)))]
use with_serde as worker;

pub use text::append_array;
pub use value::{Error, Json, MAX_DEPTH, MAX_VALUES, Member, Number, Value};

/// Room for most texts that are written, in bytes.
const ROOM: usize = 256;

impl Json {
    /// Reads one value from a whole text, which may be a `&str` or bytes straight from the wire.
    ///
    /// # Errors
    /// As [`Value::read`].
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Json, Error> {
        Value::read(text.as_ref()).map(Value::into_owned)
    }
}

impl<'a> Value<'a> {
    /// Reads one value from a whole text, from which it borrows.
    ///
    /// # Errors
    /// If the text is not UTF-8, not JSON, goes on behind the value, nests deeper than
    /// [`MAX_DEPTH`], has more than [`MAX_VALUES`], repeats a name in an object, or holds a number
    /// that overflows an `f64`.
    pub fn read(text: &'a [u8]) -> Result<Value<'a>, Error> {
        match str::from_utf8(text) {
            Ok(text) => worker::parse(text),
            Err(error) => Err(Error(format!("not UTF-8 at byte {}", error.valid_up_to() + 1))),
        }
    }

    /// The text of the value, as compact JSON.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(ROOM);
        self.append_to(&mut text);
        text
    }

    /// Appends compact JSON to a text, without any allocation but what the text itself needs.
    pub fn append_to(&self, text: &mut String) {
        worker::append(self, text);
    }
}

/// Writes an object member by member, where a tree of it would only be built to be written.
///
/// ```
/// use raftlet::json::ObjectWriter;
///
/// let mut text = String::new();
/// let mut vote = ObjectWriter::new(&mut text);
/// vote.add([("term", 4_u64.into()), ("vote_granted", true.into())]);
/// vote.end();
/// assert_eq!(text, r#"{"term":4,"vote_granted":true}"#);
/// ```
pub struct ObjectWriter<'a> {
    text: &'a mut String,
}

impl<'a> ObjectWriter<'a> {
    /// Begins an object at the end of a text.
    pub fn new(text: &'a mut String) -> ObjectWriter<'a> {
        text.push('{');
        ObjectWriter { text }
    }

    /// Goes on with the object at the end of a text, which was begun and not ended.
    pub fn resume(text: &'a mut String) -> ObjectWriter<'a> {
        ObjectWriter { text }
    }

    /// Appends these members. Their names must differ, and need no escapes.
    pub fn add<'v>(&mut self, members: impl IntoIterator<Item = (&'static str, Value<'v>)>) {
        for (name, value) in members {
            value.append_to(self.name(name));
        }
    }

    /// Appends a member whose value is JSON text already.
    pub fn add_text(&mut self, name: &'static str, value: &str) {
        self.name(name).push_str(value);
    }

    /// Appends a name, and returns the text in which its value is to follow.
    fn name(&mut self, name: &'static str) -> &mut String {
        // No value ends so.
        self.text.push_str(if self.text.ends_with('{') { "\"" } else { ",\"" });
        self.text.push_str(name);
        self.text.push_str("\":");
        self.text
    }

    /// Ends the object.
    pub fn end(self) {
        self.text.push('}');
    }
}

/// Compact JSON. [`Json::text`] is the faster way.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts, and what they must become when they are read and written again.
    const ACCEPTED: &[(&str, &str)] = &[
        ("null", "null"),
        (" \t\r\n[ true , false ]\n", "[true,false]"),
        ("[ [] , { } ]", "[[],{}]"),
        (r#"{"b":1,"a":{"":""}}"#, r#"{"b":1,"a":{"":""}}"#),
        (r#""\"\\\/\b\f\n\r\t""#, r#""\"\\/\b\f\n\r\t""#),
        (r#""\u0000\u001F\u0041\u00e9\u007f""#, "\"\\u0000\\u001fA\u{e9}\u{7f}\""),
        // The clef is the example of RFC 8259, section 7.
        (r#""\uD834\uDD1E \uD7FF\uE000""#, "\"\u{1d11e} \u{d7ff}\u{e000}\""),
        ("\"\u{2028}\u{ffff}\"", "\"\u{2028}\u{ffff}\""),
        // Whole numbers, to the very last of u64 and i64; beyond, the nearest float.
        ("[18446744073709551615,9007199254740993]", "[18446744073709551615,9007199254740993]"),
        ("18446744073709551616", "1.8446744073709552e19"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("-9223372036854775809", "-9.223372036854776e18"),
        ("[0, -1, -0]", "[0,-1,-0.0]"),
        ("[1.0, 1E2, 1e+2, -2.50e-1]", "[1.0,100.0,100.0,-0.25]"),
        ("[0.1, 1e15, 1e16, 0.0001, 0.00001]", "[0.1,1000000000000000.0,1e16,0.0001,1e-5]"),
        ("[1.7976931348623157e308, 5e-324]", "[1.7976931348623157e308,5e-324]"),
        ("[2.2250738585072011e-308, 1e-400, 0e999]", "[2.225073858507201e-308,0.0,0.0]"),
    ];

    /// What must be refused, with a bar between one text and the next.
    const REFUSED: &str = r#"
        | nul | nulll | True | NaN | Infinity | -Infinity | 'a' | 1 2 | [1] x | //x | 1/**/ | *
        | [ | ] | [1 | [1, | [1,] | [,1] | [1 2] | [1} | [} | [1:2] | ["a" | {1} | {1:1} | {a:1}
        | { | } | {] | {,} | {"a | {"a" | {"a"} | {"a": | {"a":} | {"a":1 | {"a":1, | {"a":1,}
        | {"a" 1} | {"a":1 "b":2} | {"a"::1} | {"a":1;"b":2} | {"a":1]
        | - | +1 | 01 | -01 | 00 | 1. | .5 | -.5 | 1.e1 | 1e | 1e+ | 1e1.5 | 0x10 | 1_000 | --1
        | 1e309 | -1e309 | 1e99999999999999999999
        | " | "a | "\" | "\ | "\a" | "\'" | "\x41" | "\U0041" | "\u" | "\u004" | "\u00g1" | "\u+041"
        | "\u{41}" | "\u00é" | "\ud834" | "\ud834x" | "\ud834\n" | "\ud834\u0041" | "\ud834\ud834"
        | "\udd1e" | "\udd1e\ud834" | "\ud834\udd1" | "\ud834\u
        | {"a":1,"a":1} | {"a":1,"b":2,"\u0061":3} | [{"":{"x":1,"y":2,"x":3}}]"#;

    /// More of these, which cannot be shown: control characters, foreign spaces, broken UTF-8.
    const REFUSED_BYTES: &[&[u8]] = &[
        b"\0",
        b"\x0c1",
        "\u{feff}1".as_bytes(),
        "\u{a0}1".as_bytes(),
        b"\"\n\"",
        b"\"\t\"",
        b"\"\0\"",
        b"\"\x1f\"",
        b"\"\xff\"",
        b"\"\xc0\x80\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xc3",
    ];

    fn refused() -> impl Iterator<Item = &'static str> {
        REFUSED.split('|').map(str::trim)
    }

    fn nested(levels: usize) -> String {
        "[{\"a\":".repeat(levels / 2) + &"[".repeat(levels % 2)
    }

    /// The text that the worker written by hand gives, whichever worker is on duty.
    fn by_hand_text(value: &Json) -> String {
        let mut text = String::new();
        by_hand::append(value, &mut text);
        text
    }

    /// The same numbers in every run (Marsaglia's xorshift).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn below(&mut self, limit: usize) -> usize {
            (self.next() % limit as u64) as usize
        }
    }

    #[test]
    fn parse_accepts() {
        for (text, written) in ACCEPTED {
            let value = Json::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(value.to_string(), *written, "{text}");
            assert_eq!(Json::parse(written), Ok(value), "{written}");
        }
    }

    #[test]
    fn parse_refuses_in_one_line() {
        for text in refused().map(str::as_bytes).chain(REFUSED_BYTES.iter().copied()) {
            let error = Json::parse(text).expect_err(&String::from_utf8_lossy(text));
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
        }
    }

    #[test]
    #[cfg(not(feature = "serde_json"))]
    fn parse_error_says_what_and_where() {
        let error = |text| Json::parse(text).unwrap_err().to_string();
        assert_eq!(error(r#"{"term" 4}"#), "expected ':' at byte 9, found '4'");
        assert_eq!(error("[1,"), "expected a value at byte 4, found the end");
        assert_eq!(
            error("\"é\n"),
            r#"expected '"', or an escape such as \n, at byte 4, found '\n'"#
        );
        assert_eq!(error(r#"{"é":1,"é":2} "#), "a name twice in the object that ends at byte 15");
        assert_eq!(error("[1e999]"), "a number too great for an f64 at byte 2");
        assert_eq!(Json::parse(b"[\"\xff\"]").unwrap_err().to_string(), "not UTF-8 at byte 3");
    }

    #[test]
    fn parse_bounds_depth() {
        let close = |levels| "}]".repeat(levels / 2);
        assert!(Json::parse(nested(MAX_DEPTH) + "1" + &close(MAX_DEPTH)).is_ok());
        assert!(Json::parse(nested(MAX_DEPTH + 1) + "]" + &close(MAX_DEPTH)).is_err());
        assert!(Json::parse(nested(1_000_000)).is_err());
    }

    fn read(text: &str) -> Result<Value<'_>, Error> {
        Value::read(text.as_bytes())
    }

    #[test]
    fn parse_bounds_the_number_of_values() {
        for value in ["[]", "0", "\"\"", "{\"a\":null}"] {
            let values = if value.starts_with('{') { 2 } else { 1 };
            let list = |count| format!("[{}{value}]", format!("{value},").repeat(count - 1));
            let most = (MAX_VALUES - 1) / values;
            for parse in [read, by_hand::parse] {
                assert!(parse(&list(most)).is_ok(), "{value}");
                let error = parse(&list(most + 1)).expect_err(value).to_string();
                assert!(error.contains("100000 values"), "{error}");
            }
        }
    }

    #[test]
    fn rfc_8259_section_13() {
        let text = r#" { "Image": {
            "Width": 800, "Title": "View from 15th Floor",
            "Thumbnail": { "Url": "http://www.example.com/image/481989943", "Height": 125 },
            "Animated" : false, "IDs": [116, 943, 234, 38793] } } "#;
        let url = "http://www.example.com/image/481989943".into();
        let ids = [116, 943, 234, 38793].map(|id: u64| id.into());
        let image = Json::object([
            ("Width", 800_u64.into()),
            ("Title", "View from 15th Floor".into()),
            ("Thumbnail", Json::object([("Url", url), ("Height", 125_u64.into())])),
            ("Animated", false.into()),
            ("IDs", Json::Array(ids.to_vec())),
        ]);
        assert_eq!(Json::parse(text), Ok(Json::object([("Image", image)])));
    }

    #[test]
    fn append_to_keeps_what_stands_there() {
        let mut line = "é ".to_string();
        Json::object([("term", 4_u64.into())]).append_to(&mut line);
        assert_eq!(line, r#"é {"term":4}"#);
    }

    #[test]
    fn object_writer_writes_what_a_tree_would() {
        let item = |n: u64| Json::object([("n", n.into()), ("text", "é\n\"".into())]);
        let array = |items: &[Json]| {
            let mut text = String::new();
            append_array(&mut text, items, |text, item| item.append_to(text));
            text
        };
        let mut text = "é ".to_string();
        let mut out = ObjectWriter::new(&mut text);
        out.add([("a", 4_u64.into()), ("b", item(7))]);
        out.add(None);
        out.add_text("none", &array(&[]));
        out.add_text("two", &array(&[item(1), item(2)]));
        out.add([("last", (-1.5).into())]);
        out.end();
        let none = Json::Array(Vec::new());
        let tree = Json::object([
            ("a", 4_u64.into()),
            ("b", item(7)),
            ("none", none),
            ("two", vec![item(1), item(2)].into()),
            ("last", (-1.5).into()),
        ]);
        assert_eq!(text, format!("é {tree}"));
        text.clear();
        ObjectWriter::new(&mut text).end();
        assert_eq!(text, "{}");
    }

    #[test]
    fn members_are_found_and_typed() {
        let json = Json::parse(r#"{"term":4,"ok":true,"name":"n1","list":[1]}"#).unwrap();
        let get = |name| json.get(name).unwrap_or(&Json::Null);
        assert_eq!(get("term").as_u64(), Some(4));
        assert_eq!(get("ok").as_bool(), Some(true));
        assert_eq!(get("name").as_str(), Some("n1"));
        assert_eq!(get("list").as_array(), Some(&[Json::from(1_u64)][..]));
        assert_eq!((json.get("terms"), get("term").get("term")), (None, None));
        assert_eq!((get("term").as_bool(), get("term").as_str()), (None, None));
        assert_eq!((get("name").as_u64(), get("name").as_array()), (None, None));
        assert_eq!((Json::from(-4_i64).as_u64(), Json::from(4.0).as_u64()), (None, None));
    }

    #[test]
    fn values_of_the_program_become_json() {
        assert_eq!(Json::from(-5_i64), Json::Number(Number::Negative(-5)));
        assert_eq!(Json::from(5_i64), Json::from(5_u64));
        assert_eq!(Json::from(None::<u64>), Json::Null);
        assert_eq!(Json::from(Some("a")), Json::from("a".to_string()));
        assert_eq!(Json::from(f64::NAN).to_string(), "null");
        assert_eq!(Json::from(f64::NEG_INFINITY).to_string(), "null");
    }

    #[test]
    fn every_float_survives() {
        let mut random = Random(1);
        let floats = (0..10_000).map(|_| f64::from_bits(random.next()));
        for float in floats.filter(|float| float.is_finite()) {
            let value = Json::from(float);
            let text = value.to_string();
            assert_eq!(text, by_hand_text(&value));
            let Ok(Json::Number(Number::Float(read))) = Json::parse(&text) else {
                panic!("{text}")
            };
            assert_eq!(read.to_bits(), float.to_bits(), "{text}");
        }
    }

    /// Texts cut, joined and scratched at random: none may make the reader panic, what is read
    /// must survive writing, and both workers must agree on every one.
    #[test]
    fn mangled_texts_do_no_harm() {
        let mut random = Random(2);
        let mut texts: Vec<Vec<u8>> = refused().map(|text| text.into()).collect();
        texts.extend(ACCEPTED.iter().map(|(text, _)| text.as_bytes().to_vec()));
        let (mut read, mut refused) = (0, 0);
        for _ in 0..50_000 {
            let mut text = texts[random.below(texts.len())].clone();
            for _ in 0..=random.below(3) {
                mangle(&mut text, &texts, &mut random);
            }
            match Json::parse(&text) {
                Ok(value) => {
                    read += 1;
                    let written = value.to_string();
                    assert_eq!(written, by_hand_text(&value));
                    assert_eq!(Json::parse(&written), Ok(value), "{written}");
                }
                Err(_) => refused += 1,
            }
            if let Ok(text) = str::from_utf8(&text) {
                assert_eq!(Json::parse(text).ok(), by_hand::parse(text).ok(), "{text}");
            }
        }
        assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
    }

    fn mangle(text: &mut Vec<u8>, texts: &[Vec<u8>], random: &mut Random) {
        const BYTES: &[u8] = b"[]{}\",:\\/ntu0123489abdDeE+-. \n\x00\xc3\xa9\xff";
        let start = random.below(text.len() + 1);
        let end = start + random.below(3).min(text.len() - start);
        let new = match random.below(3) {
            0 => &[],
            1 => &BYTES[random.below(BYTES.len())..][..1],
            _ => &texts[random.below(texts.len())][..],
        };
        text.splice(start..end, new.iter().copied());
    }
}
