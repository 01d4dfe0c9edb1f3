//! etcd's face, as far as it is needed to ask it what raftlet is asked: version 3's JSON gateway,
//! in which keys and values are base64 (RFC 4648 §4).

use std::time::Duration;

use super::options;
use raftlet::cli::failure::Failure;
use raftlet::cli::node;
use raftlet::cli::options::usage;
use raftlet::json::Json;

/// How long a member may take to name the leader.
const TIMEOUT: Duration = Duration::from_secs(5);

/// `host:port` of a URL, `http://localhost:2379`.
pub fn address(url: &str) -> Result<String, Failure> {
    let host = url.strip_prefix("http://").unwrap_or_default().trim_end_matches('/');
    match options::address("--etcd", host) {
        Ok(address) => Ok(address),
        Err(_) => usage(format!("--etcd is a URL as http://localhost:2379, not {url}")),
    }
}

/// The addresses of all members that clients can reach, the leader's first. Any member takes a
/// write or read and sends it on to the leader; to ask the leader itself saves that way.
///
/// # Errors
/// One line, if this member does not say.
pub fn members(address: &str) -> Result<Vec<String>, String> {
    let ask = |path| node::ask(address, "POST", path, Some(&Json::object([])), TIMEOUT);
    let (status, list) = (ask("/v3/maintenance/status")?, ask("/v3/cluster/member/list")?);
    members_of(&status, &list).ok_or(format!("{address} names no leader: is it an etcd of 3.4?"))
}

fn members_of(status: &Json, list: &Json) -> Option<Vec<String>> {
    let leader = status.get("leader")?;
    let mut members = Vec::new();
    for member in list.get("members")?.as_array()? {
        // A member that never ran has no URL.
        let urls = member.get("clientURLs").and_then(Json::as_array).unwrap_or_default();
        let Some(url) = urls.first().and_then(Json::as_str) else { continue };
        let place = if member.get("ID") == Some(leader) { 0 } else { members.len() };
        members.insert(place, address(url).ok()?);
    }
    Some(members)
}

/// The body of `/v3/kv/put`; the key is base64 already.
pub fn put(key: &str, value: &str) -> String {
    format!(r#"{{"key":"{key}","value":"{}"}}"#, base64(value))
}

/// The body of `/v3/kv/range`, which is linearizable unless it is asked not to be.
pub fn range(key: &str) -> String {
    format!(r#"{{"key":"{key}"}}"#)
}

/// The text as base64.
pub fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for group in text.as_bytes().chunks(3) {
        let byte = |at| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            match digit <= group.len() {
                true => encoded.push(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize].into()),
                false => encoded.push('='),
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4648 §10.
    #[test]
    fn base64_of_the_rfc() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
            ("\u{fb}\u{fff}", "w7vgv78="),
        ] {
            assert_eq!(base64(text), encoded);
        }
    }

    #[test]
    fn bodies_are_json() {
        let put = Json::parse(put(&base64("k"), "value")).unwrap();
        let text = |name| put.get(name).and_then(Json::as_str);
        assert_eq!((text("key"), text("value")), (Some("aw=="), Some("dmFsdWU=")));
        assert_eq!(Json::parse(range("aw==")).unwrap(), Json::object([("key", "aw==".into())]));
    }

    #[test]
    fn members_of_puts_the_leader_first() {
        let status = |leader: &str| Json::object([("leader", leader.into())]);
        let list = Json::parse(
            r#"{"members":[{"ID":"7","clientURLs":["http://a:1"]},
                {"ID":"8","clientURLs":["http://b:2","http://c:3"]}]}"#,
        )
        .unwrap();
        let members = |leader| members_of(&status(leader), &list).unwrap();
        assert_eq!(members("8"), ["b:2", "a:1"]);
        assert_eq!(members("7"), ["a:1", "b:2"]);
        assert_eq!(members_of(&Json::object([]), &list), None);
    }
}
