//! What a node answers over HTTP: one table of paths, one function each.
//!
//! Bodies are JSON both ways, and every refusal is JSON with an `error` that says what to do. Only
//! the leader serves commands and reads; any other node sends clients on to it with 307, or says
//! 503 if it knows of none. `body.rs` reads what a client sends, `refusal.rs` is how we say no,
//! and the other files of this folder are the handlers, by subject.

pub mod body;
mod call;
mod commands;
mod events;
mod faults;
mod look;
mod members;
mod page;
mod raft;
mod refusal;

use std::borrow::Cow;

use super::handler::{Client, Handler, Outcome, Question};
use super::origin_guard::{self, Guard};
use super::request::Request;
use super::response::Response;
pub use call::Api;
use call::{Answered, Call};

/// A path that is served. `{…}` stands for one part of it, whatever it is.
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Such as `/api/get/{key}`.
    pub path: &'static str,
    /// The same under the name that it has elsewhere; empty if there is none.
    pub alias: &'static str,
    handler: fn(&Call) -> Answered,
}

const fn get(path: &'static str, alias: &'static str, handler: fn(&Call) -> Answered) -> Route {
    Route { method: "GET", path, alias, handler }
}

const fn post(path: &'static str, alias: &'static str, handler: fn(&Call) -> Answered) -> Route {
    Route { method: "POST", path, alias, handler }
}

#[rustfmt::skip]
const ROUTES: [Route; 24] = [
    get ("/",                  "",                    page::index),
    get ("/style.css",         "",                    page::style),
    get ("/app.js",            "",                    page::script),
    get ("/api/rules",         "",                    page::rules),
    get ("/health",            "",                    look::health),
    get ("/status",            "/api/status",         look::status),
    post("/client_command",    "",                    commands::client_command),
    post("/api/set",           "",                    commands::set),
    get ("/api/get/{key}",     "",                    commands::get),
    post("/api/delete",        "",                    commands::delete),
    post("/api/cas",           "",                    commands::compare_and_set),
    post("/api/incr",          "",                    commands::increment),
    get ("/api/state_machine", "",                    look::state_machine),
    get ("/log",               "",                    look::log),
    get ("/RaftLog.txt",       "",                    look::log_file),
    post("/request_vote",      "/api/vote",           raft::request_vote),
    post("/append_entries",    "/api/append_entries", raft::append_entries),
    post("/api/election",      "",                    raft::start_election),
    post("/api/heartbeat",     "",                    raft::send_heartbeats),
    post("/api/pause",         "",                    faults::pause),
    get ("/api/links",         "",                    faults::links),
    post("/api/links",         "",                    faults::set_link),
    get ("/events",            "",                    events::events),
    get ("/metrics",           "",                    look::metrics),
];

/// All that a node answers, for the documents to be held against.
pub fn routes() -> &'static [Route] {
    &ROUTES
}

impl Route {
    /// Whether the path of this request leads here, however it is written.
    fn serves(&self, request: &Request) -> bool {
        let mut paths = [self.path, self.alias].into_iter().filter(|path| !path.is_empty());
        paths.any(|path| matches(path, request.segments()))
    }
}

fn matches<'a>(path: &str, mut segments: impl Iterator<Item = Cow<'a, str>>) -> bool {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let is_match = |segment: Cow<str>| {
        parts.next().is_some_and(|part| part.starts_with('{') || part == segment)
    };
    segments.all(is_match) && parts.next().is_none()
}

impl Handler for Api {
    fn answer(&self, request: &Request, client: &Client) -> Outcome {
        let guard = Guard { members: &*self.members, came_in_at: client.own };
        if let Err(refusal) = guard.check(request) {
            return refusal.into();
        }
        let is_from_here = origin_guard::is_from_here(client.peer);
        let headers = origin_guard::sharing_headers(request);
        match dispatch(&Call { request, api: self, is_from_here }) {
            Outcome::Answer(mut response) => {
                response.headers.extend(headers);
                response.into()
            }
            Outcome::Ask(request, question) => {
                Outcome::Ask(request, Question { headers, ..question })
            }
        }
    }
}

/// Finds the route of a request, and has its handler answer.
fn dispatch(call: &Call) -> Outcome {
    let &Request { method, path, .. } = call.request;
    let is_it = |route: &&Route| route.method == method && route.serves(call.request);
    if let Some(route) = ROUTES.iter().find(is_it) {
        return (route.handler)(call).unwrap_or_else(Outcome::Answer);
    }
    let methods: Vec<&str> = match path {
        "*" if method == "OPTIONS" => vec!["GET", "POST"], // of the node as a whole
        _ => {
            let routes = ROUTES.iter().filter(|route| route.serves(call.request));
            routes.map(|route| route.method).collect()
        }
    };
    if methods.is_empty() {
        return not_found(path).into();
    }
    let response = match method {
        "OPTIONS" => Response::empty(),
        _ => Response::error(405, &format!("{path} takes {}, not {method}", methods.join(" and "))),
    };
    response.with_header("Allow", allow(&methods)).into()
}

/// The methods that a path takes, with those that come with them.
fn allow(methods: &[&str]) -> String {
    let with_head =
        methods.iter().map(|&method| if method == "GET" { "GET, HEAD" } else { method });
    with_head.chain(["OPTIONS"]).collect::<Vec<_>>().join(", ")
}

fn not_found(path: &str) -> Response {
    let known = ROUTES.iter().map(|route| format!("{} {}", route.method, route.path));
    let known = known.collect::<Vec<_>>().join(", ");
    let why = format!("no such path: {path} (in a key, / is %2F); there are {known}");
    Response::error(404, &why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to a request to a node that never says a word.
    fn ask(method: &str, target: &str) -> Response {
        let members = Box::new(Vec::new);
        let api = Api { members, launcher: None, faults_from_anywhere: false };
        let request = Request::new(method, target).unwrap();
        match dispatch(&Call { request: &request, api: &api, is_from_here: false }) {
            Outcome::Answer(response) => response,
            Outcome::Ask(_, question) => (question.then)(None),
        }
    }

    fn header(response: &Response, name: &str) -> String {
        let found = response.headers.iter().find(|header| header.0 == name);
        found.map(|header| header.1.clone()).unwrap_or_default()
    }

    #[test]
    fn dispatch_says_what_a_path_takes() {
        for (method, target, status, allowed) in [
            ("POST", "/health", 405, "GET, HEAD, OPTIONS"),
            ("POST", "/", 405, "GET, HEAD, OPTIONS"),
            ("DELETE", "/api/set", 405, "POST, OPTIONS"),
            ("PUT", "/api/links", 405, "GET, HEAD, POST, OPTIONS"),
            ("OPTIONS", "/api/links", 204, "GET, HEAD, POST, OPTIONS"),
            ("OPTIONS", "/api/get/a%2Fb", 204, "GET, HEAD, OPTIONS"),
            ("OPTIONS", "/api/vote", 204, "POST, OPTIONS"),
            ("OPTIONS", "*", 204, "GET, HEAD, POST, OPTIONS"),
            ("GET", "*", 404, ""),
            ("OPTIONS", "/nowhere", 404, ""),
        ] {
            let response = ask(method, target);
            let found = (response.status, header(&response, "Allow"));
            assert_eq!(found, (status, allowed.to_string()), "{method} {target}");
        }
    }

    #[test]
    fn dispatch_knows_only_whole_paths() {
        for path in
            ["//", "/healt", "/health/", "/api", "/api/get", "/api/get/a/b", "/HEALTH", "/h/health"]
        {
            assert_eq!(ask("GET", path).status, 404, "{path}");
        }
        for path in ["/", "/?x=1", "/style.css", "/app.js", "/api/rules"] {
            assert_eq!(ask("GET", path).status, 200, "{path}: the node need not be asked");
        }
        // The node is silent, but it was asked.
        let usual = ["/health", "/status?x=1", "/api/status", "/api/get/x", "/log"];
        let escaped = ["/api/get/%C3%A9%2F", "/%68ealth", "/%61pi/get/x", "//health"];
        for path in [&usual[..], &escaped].concat() {
            assert_eq!(ask("GET", path).status / 100, 5, "{path}");
        }
    }

    #[test]
    fn faults_are_made_from_the_own_machine_only() {
        for (method, target, status) in
            [("POST", "/api/pause", 403), ("POST", "/api/links", 403), ("GET", "/api/links", 503)]
        {
            assert_eq!(ask(method, target).status, status, "{method} {target}");
        }
    }
}
