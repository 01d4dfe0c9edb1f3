//! What a client sends: a JSON object, read member by member.
//!
//! Members that nobody asked for are passed over. The header Content-Type is, too: `curl -d` calls
//! every body a form.

use std::borrow::Cow;

use super::refusal::bad;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::json::{Number, Value};
use crate::node::message::Command;
use crate::state_machine::kv::{MAX_KEY_BYTES, MAX_VALUE_BYTES};

/// The object, and an example of it, for clients that send something else.
pub struct Body<'a> {
    /// The object.
    pub json: Value<'a>,
    example: &'static str,
}

impl<'a> Body<'a> {
    /// Reads a request's body.
    ///
    /// # Errors
    /// 400 if it is no JSON object, here and below if a member is not as it must be.
    pub fn read(request: &'a Request<'a>, example: &'static str) -> Result<Body<'a>, Response> {
        match Value::read(request.body) {
            Ok(json @ Value::Object(_)) => Ok(Body { json, example }),
            Ok(_) => Err(bad(&format!("the body is no JSON object; send {example}"))),
            Err(_) if request.body.is_empty() => {
                Err(bad(&format!("the body is empty; send {example}")))
            }
            Err(error) => Err(bad(&format!("the body is not JSON: {error}; send {example}"))),
        }
    }

    /// Refuses it, and shows how it should be.
    pub fn bad(&self, why: &str) -> Response {
        bad(&format!("{why}; send {}", self.example))
    }

    /// A member that is a text.
    pub fn text(&self, name: &str) -> Result<&str, Response> {
        let text = self.json.get(name).and_then(Value::as_str);
        text.ok_or_else(|| self.bad(&format!("\"{name}\" must be a text")))
    }

    /// The key that it is about.
    pub fn key(&self) -> Result<&str, Response> {
        let key = self.text("key")?;
        check_key(key).map_err(|why| self.bad(&why))?;
        Ok(key)
    }

    /// A value. Numbers and truth values stand for the text that they are written as.
    pub fn value(&self, name: &str) -> Result<Cow<'_, str>, Response> {
        let value = match self.json.get(name) {
            Some(Value::String(text)) => Cow::Borrowed(&**text),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string().into(),
            _ => return Err(self.bad(&format!("\"{name}\" must be a text or a number"))),
        };
        match value.len() {
            bytes if bytes <= MAX_VALUE_BYTES => Ok(value),
            bytes => {
                let most = format!("the most is {MAX_VALUE_BYTES}");
                Err(self.bad(&format!("\"{name}\" has {bytes} bytes, {most}")))
            }
        }
    }

    /// A whole number of 64 bits, or `default` if it is left out.
    pub fn integer(&self, name: &str, default: i64) -> Result<i64, Response> {
        let number = match self.json.get(name) {
            None => Some(default),
            Some(Value::Number(Number::Unsigned(number))) => i64::try_from(*number).ok(),
            Some(Value::Number(Number::Negative(number))) => Some(*number),
            Some(_) => None,
        };
        number.ok_or_else(|| self.bad(&format!("\"{name}\" must be a whole number of 64 bits")))
    }

    /// A number from 0 to `most`, or 0 if it is left out.
    pub fn up_to(&self, name: &str, most: u64) -> Result<u64, Response> {
        let number = self.json.get(name).map_or(Some(0), Value::as_u64);
        let number = number.filter(|&number| number <= most);
        number.ok_or_else(|| self.bad(&format!("\"{name}\" must be a number from 0 to {most}")))
    }

    /// A command with this text, in the session that the body names, if it does.
    pub fn command(&self, text: &str) -> Result<Command, Response> {
        let (client, serial) = match (self.json.get("client"), self.json.get("serial")) {
            (None, None) => {
                let command = Command::new(text);
                return match command.split().0 {
                    None => Ok(command),
                    Some(_) => Err(self.bad("a session is given as \"client\" and \"serial\"")),
                };
            }
            (client, serial) => (client.and_then(Value::as_str), serial.and_then(Value::as_u64)),
        };
        match (client.filter(|name| is_client_name(name)), serial) {
            (Some(client), Some(serial)) => Ok(Command::in_session(client, serial, text)),
            _ => {
                let client = "\"client\" (1 to 64 letters, digits, - or _)";
                Err(self.bad(&format!("{client} and \"serial\" (a number) go together")))
            }
        }
    }
}

fn is_client_name(name: &str) -> bool {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(is_fit)
}

/// What is wrong with a key.
pub fn check_key(key: &str) -> Result<(), String> {
    match key.len() {
        1..=MAX_KEY_BYTES => Ok(()),
        bytes => Err(format!("the key has {bytes} bytes, it must have 1 to {MAX_KEY_BYTES}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    fn body(text: &str) -> Result<Body<'static>, Response> {
        let mut request = Request::new("POST", "/").unwrap();
        request.body = text.to_string().leak().as_bytes();
        Body::read(Box::leak(Box::new(request)), "{\"key\":\"x\"}")
    }

    /// Why the body is refused.
    fn why<T>(text: &str, read: impl Fn(&Body) -> Result<T, Response>) -> String {
        let refusal = match body(text).and_then(|body| read(&body)) {
            Ok(_) => panic!("{text} was taken"),
            Err(refusal) => refusal,
        };
        assert_eq!(refusal.status, 400, "{text}");
        let crate::http::response::Body::Whole(bytes) = refusal.body else { panic!("a stream") };
        let json = Json::parse(bytes).unwrap();
        json.get("error").and_then(Json::as_str).unwrap().to_string()
    }

    #[test]
    fn read_takes_only_objects_and_shows_an_example() {
        for (text, reason) in [
            ("", "the body is empty; send {\"key\":\"x\"}"),
            ("[]", "the body is no JSON object; send {\"key\":\"x\"}"),
            ("key=x", "the body is not JSON: "),
            ("{\"key\":1}", "\"key\" must be a text; send {\"key\":\"x\"}"),
            ("{\"key\":\"\"}", "the key has 0 bytes, it must have 1 to 1024; send "),
        ] {
            let why = why(text, |body| body.key().map(str::to_string));
            assert!(why.starts_with(reason), "{text}: {why}");
        }
        let longest = "k".repeat(MAX_KEY_BYTES);
        assert!(body(&format!("{{\"key\":\"{longest}\"}}")).ok().unwrap().key().is_ok());
        why(&format!("{{\"key\":\"k{longest}\"}}"), |body| body.key().map(drop));
    }

    #[test]
    fn value_is_text_or_becomes_one() {
        for (json, value) in
            [("\"a b\"", "a b"), ("\"\"", ""), ("42", "42"), ("-1.5", "-1.5"), ("true", "true")]
        {
            let body = body(&format!("{{\"v\":{json}}}")).ok().unwrap();
            assert_eq!(body.value("v").ok().as_deref(), Some(value));
        }
        for json in ["null", "[]", "{}"] {
            why(&format!("{{\"v\":{json}}}"), |body| body.value("v").map(drop));
        }
        why(&format!("{{\"v\":\"v{}\"}}", "v".repeat(MAX_VALUE_BYTES)), |body| {
            body.value("v").map(drop)
        });
    }

    #[test]
    fn numbers_have_limits_and_defaults() {
        let numbers = body("{\"a\":-9223372036854775808,\"b\":100}").ok().unwrap();
        assert_eq!(numbers.integer("a", 1).ok(), Some(i64::MIN));
        assert_eq!(numbers.integer("none", 1).ok(), Some(1));
        assert_eq!(numbers.up_to("b", 100).ok(), Some(100));
        assert_eq!(numbers.up_to("none", 100).ok(), Some(0));
        for json in ["9223372036854775808", "1.0", "\"1\"", "null"] {
            why(&format!("{{\"a\":{json}}}"), |body| body.integer("a", 1));
        }
        for json in ["101", "-1", "true"] {
            why(&format!("{{\"a\":{json}}}"), |body| body.up_to("a", 100));
        }
    }

    #[test]
    fn command_is_in_the_session_that_the_body_names() {
        let command = |text: &str| body(text).ok().unwrap().command("set x=1").ok();
        assert_eq!(command("{}"), Some(Command::new("set x=1")));
        let session = Command::in_session("c-1_A", 7, "set x=1");
        assert_eq!(command("{\"client\":\"c-1_A\",\"serial\":7}"), Some(session));
        let long = format!("{{\"client\":\"{}\",\"serial\":7}}", "c".repeat(65));
        for text in [
            "{\"client\":\"c\"}",
            "{\"serial\":7}",
            "{\"client\":\"\",\"serial\":7}",
            "{\"client\":\"a:1 b\",\"serial\":7}",
            "{\"client\":\"c\",\"serial\":-1}",
            "{\"client\":7,\"serial\":7}",
            &long,
        ] {
            why(text, |body| body.command("set x=1"));
        }
        why("{}", |body| body.command("@c:1 set x=2"));
    }
}
