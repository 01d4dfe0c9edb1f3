//! The dashboard: three files of `src/dashboard/`, built in, and the rules of the paper for it to
//! explain.
//!
//! Any node serves the page, and the page then speaks with all of them. A Content-Security-Policy
//! (CSP Level 3) tells the browser to load nothing but these files and to speak with nobody but
//! the members of the cluster and who started them, whatever a value in the store may try to make
//! it do.

use super::call::{Answered, Call};
use super::members::json;
use crate::http::response::Response;
use crate::json::Json;
use crate::node::rules::{About, Rule};

/// The page itself.
pub fn index(call: &Call) -> Answered {
    let page = file("text/html; charset=utf-8", include_str!("../../dashboard/index.html"));
    let mut others = (call.api.members)();
    others.extend(call.api.launcher.clone());
    Ok(page.with_header("Content-Security-Policy", policy(&others)).into())
}

/// How it looks.
pub fn style(_: &Call) -> Answered {
    Ok(file("text/css; charset=utf-8", include_str!("../../dashboard/style.css")).into())
}

/// What it does.
pub fn script(_: &Call) -> Answered {
    Ok(file("text/javascript; charset=utf-8", include_str!("../../dashboard/app.js")).into())
}

/// A built-in file. Another build of the program may have another, so a browser is to ask each
/// time; it is to take it for what we call it; and links out of it tell nobody where they were.
fn file(kind: &'static str, text: &str) -> Response {
    Response::new(200, kind, text)
        .with_header("Cache-Control", "no-cache")
        .with_header("X-Content-Type-Options", "nosniff")
        .with_header("Referrer-Policy", "no-referrer")
}

/// What the page may load, and whom it may ask: itself and these.
fn policy(others: &[String]) -> String {
    let others: String = others.iter().map(|address| format!(" {}", source(address))).collect();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'{others}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// An address as a policy may name it. Names there are of letters, digits and `-` (CSP §2.3.1), and
/// a browser passes over all others: IPv6 addresses, and the `_` that containers have. There it
/// must do to name the port.
fn source(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "*"));
    let may_stand = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let host = if host.chars().all(may_stand) { host } else { "*" };
    format!("http://{host}:{port}")
}

/// The rules, in the order of Figure 2.
pub fn rules(_: &Call) -> Answered {
    let rules: Vec<Json> = Rule::all().map(rule_to_json).collect();
    Ok(json(200, [("rules", rules.into())]).into())
}

fn rule_to_json(rule: Rule) -> Json {
    let About { place, section, sentence, falls, .. } = *rule.about();
    Json::object([
        ("name", rule.name().into()),
        ("place", place.into()),
        ("section", section.into()),
        ("cites", rule.to_string().into()),
        ("sentence", sentence.into()),
        ("property", falls.to_string().into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_lets_the_page_ask_members_and_nobody_else() {
        let policy = policy(&["localhost:5001".to_string(), "node2.lan:5000".to_string()]);
        let allowed = "connect-src 'self' http://localhost:5001 http://node2.lan:5000";
        assert!(policy.split("; ").any(|directive| directive == allowed), "{policy}");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    }

    #[test]
    fn policy_names_the_port_where_browsers_know_no_such_name() {
        let addresses = ["[::1]:5003", "raft_1.lan:5001", "10.0.0.2:80", "node-2:5000"];
        let policy = policy(&addresses.map(str::to_string));
        let sources = "http://*:5003 http://*:5001 http://10.0.0.2:80 http://node-2:5000";
        assert!(policy.contains(&format!("; connect-src 'self' {sources};")), "{policy}");
    }

    #[test]
    fn rule_to_json_tells_all_that_the_table_says() {
        let expected = concat!(
            r#"{"name":"UpToDateLog","place":"RequestVote 2","section":"§5.4.1","#,
            r#""cites":"RequestVote 2, §5.4.1","sentence":"A server votes only for a candidate "#,
            r#"whose log is at least as up to date as its own.","#,
            r#""property":"Leader Completeness"}"#
        );
        assert_eq!(rule_to_json(Rule::UpToDateLog).to_string(), expected);
    }
}
