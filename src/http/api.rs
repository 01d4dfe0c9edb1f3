//! What a node answers over HTTP: one table of paths, one function each.
//!
//! Bodies are JSON both ways, and every refusal is JSON with an `error` that says what to do. Only
//! the leader serves commands and reads; any other node sends clients on to it with 307, or says
//! 503 if it knows of none. `body.rs` reads what a client sends, `refusal.rs` is how we say no,
//! and the other files of this folder are the handlers, by subject.

pub mod body;
mod commands;
mod events;
mod faults;
mod look;
mod page;
mod raft;
mod refusal;

use std::borrow::Cow;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::hall::Hall;
use super::origin_guard::{self, Guard};
use super::pen::{Errand, Later, Pen};
use super::server::{self, Deadlines, Handler};
use super::{Request, Response};
use crate::json::{ObjectWriter, Value};
use crate::server::inbox::{Answer, Ask, Desk, Incoming};

/// How long a client waits for the cluster before it is told that nobody knows.
const PATIENCE: Duration = Duration::from_secs(5);

/// Room for most answers, in bytes.
const MEMBERS_ROOM: usize = 256;

/// What the handlers need to know of their node.
pub struct Site {
    /// Where the node is asked.
    pub desk: Desk,
    /// Where connections are looked after while their clients are busy.
    pub hall: Arc<Hall>,
    /// Where the members of the cluster are reached, `host:port` each, as known now: their web
    /// pages may ask.
    pub members: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Where nodes are killed and restarted, `host:port`, if anywhere: our page may ask there.
    pub launcher: Option<String>,
    /// Faults may be made by whoever reaches the node, and not only from its own machine.
    pub faults_from_anywhere: bool,
}

/// One request, on its way to its handler.
struct Call<'a> {
    request: &'a Request<'a>,
    site: &'a Site,
    /// Its path as the table has it, once its handler is found.
    route_path: &'static str,
    /// It comes from the node's own machine.
    is_from_here: bool,
}

impl Call<'_> {
    fn ask(&self, ask: Ask) -> Option<Answer> {
        self.site.desk.ask(ask, PATIENCE)
    }

    /// The path as it came, for whoever needs it after the request has gone.
    fn path(&self) -> Cow<'static, str> {
        match self.request.path == self.route_path {
            true => self.route_path.into(),
            false => self.request.path.to_string().into(),
        }
    }

    /// What `then` makes of the answer to this. Whoever has the node's turn writes it.
    fn answer_later(
        &self,
        ask: Ask,
        too_late: fn() -> Response,
        then: impl FnOnce(Answer) -> Response + Send + 'static,
    ) -> Response {
        let errand = move |pen: Pen| {
            let tell = move |answer| pen.write(then(answer));
            Incoming::Client(ask, Box::new(tell))
        };
        Response::later(Later { errand: Box::new(errand), patience: PATIENCE, too_late })
    }
}

/// What a handler gives: an answer, or a refusal.
type Outcome = Result<Response, Response>;

/// A path that is served. `{…}` stands for one part of it, whatever it is.
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Such as `/api/get/{key}`.
    pub path: &'static str,
    /// The same under the name that it has elsewhere; empty if there is none.
    pub alias: &'static str,
    handler: fn(&Call) -> Outcome,
    /// The answer comes later, and the handler itself waits for nothing.
    is_quick: bool,
}

const fn get(path: &'static str, alias: &'static str, handler: fn(&Call) -> Outcome) -> Route {
    Route { method: "GET", path, alias, handler, is_quick: false }
}

const fn post(path: &'static str, alias: &'static str, handler: fn(&Call) -> Outcome) -> Route {
    Route { method: "POST", path, alias, handler, is_quick: false }
}

#[rustfmt::skip]
const ROUTES: [Route; 24] = [
    get ("/",                  "",                    page::index),
    get ("/style.css",         "",                    page::style),
    get ("/app.js",            "",                    page::script),
    get ("/api/rules",         "",                    page::rules),
    get ("/health",            "",                    look::health),
    get ("/status",            "/api/status",         look::status),
    post("/client_command",    "",                    commands::client_command).quick(),
    post("/api/set",           "",                    commands::set).quick(),
    get ("/api/get/{key}",     "",                    commands::get).quick(),
    post("/api/delete",        "",                    commands::delete).quick(),
    post("/api/cas",           "",                    commands::compare_and_set).quick(),
    post("/api/incr",          "",                    commands::increment).quick(),
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
    /// The same, known to be quick.
    const fn quick(self) -> Route {
        Route { is_quick: true, ..self }
    }

    /// Whether this path leads here, and is written as nearly all write it.
    fn is_plainly(&self, path: &str) -> bool {
        match self.path.strip_suffix("{key}") {
            Some(start) => path.strip_prefix(start).is_some_and(|key| !key.contains('/')),
            None => path == self.path,
        }
    }

    /// What its handler answers.
    fn answer(&self, call: &Call) -> Response {
        let call = &Call { route_path: self.path, ..*call };
        (self.handler)(call).unwrap_or_else(|refusal| refusal)
    }

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

/// Serves one connection until it ends.
pub fn serve(stream: TcpStream, site: &Arc<Site>) {
    // A connection that breaks is the client's affair, here and below.
    let (Ok(peer), Ok(own)) = (stream.peer_addr(), stream.local_addr()) else { return };
    let for_guard = Arc::clone(site);
    let guard = Guard::new(move || (for_guard.members)(), own.ip());
    let is_from_here = origin_guard::is_from_here(peer.ip());
    let visit = Visit { site: Arc::clone(site), guard, is_from_here };
    let _ = server::serve(stream, Deadlines::default(), Box::new(visit));
}

/// One connection.
struct Visit {
    site: Arc<Site>,
    guard: Guard,
    /// It comes from the node's own machine.
    is_from_here: bool,
}

impl Handler for Visit {
    fn answer(&self, request: &Request) -> Response {
        self.guard.let_in(request, || dispatch(&self.call(request)))
    }

    fn hand_in(&self, errand: Errand) {
        self.site.desk.hand_in(errand);
    }

    fn hall(&self) -> Option<Arc<Hall>> {
        Some(Arc::clone(&self.site.hall))
    }

    fn answer_quickly(&self, request: &Request) -> Option<Response> {
        let route = find(request).filter(|route| route.is_quick)?;
        Some(self.guard.let_in(request, || route.answer(&self.call(request))))
    }
}

impl Visit {
    fn call<'a>(&'a self, request: &'a Request<'a>) -> Call<'a> {
        Call { request, site: &self.site, route_path: "", is_from_here: self.is_from_here }
    }
}

/// The route of a request.
fn find(request: &Request) -> Option<&'static Route> {
    let &Request { method, path, .. } = request;
    let plain = ROUTES.iter().find(|route| route.is_plainly(path) && route.method == method);
    let is_it = |route: &&Route| route.method == method && route.serves(request);
    plain.or_else(|| ROUTES.iter().find(is_it))
}

fn dispatch(call: &Call) -> Response {
    let &Request { method, path, .. } = call.request;
    if let Some(route) = find(call.request) {
        return route.answer(call);
    }
    let methods: Vec<&str> = match path {
        "*" if method == "OPTIONS" => vec!["GET", "POST"], // of the node as a whole
        _ => {
            let routes = ROUTES.iter().filter(|route| route.serves(call.request));
            routes.map(|route| route.method).collect()
        }
    };
    if methods.is_empty() {
        return not_found(path);
    }
    let response = match method {
        "OPTIONS" => Response::empty(),
        _ => Response::error(405, &format!("{path} takes {}, not {method}", methods.join(" and "))),
    };
    response.with_header("Allow", allow(&methods))
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

/// An answer with these members.
fn json<const N: usize>(status: u16, members: [(&'static str, Value); N]) -> Response {
    Members::new(members).answer(status)
}

/// Members of an object, as text: some may be known before the others, and to another thread.
struct Members(String);

impl Members {
    fn new<const N: usize>(members: [(&'static str, Value); N]) -> Members {
        let mut text = String::with_capacity(MEMBERS_ROOM);
        ObjectWriter::new(&mut text).add(members);
        Members(text)
    }

    /// These as well.
    fn and<const N: usize>(mut self, members: [(&'static str, Value); N]) -> Members {
        ObjectWriter::resume(&mut self.0).add(members);
        self
    }

    /// The answer that is made of them.
    fn answer(mut self, status: u16) -> Response {
        ObjectWriter::resume(&mut self.0).end();
        Response::json(status, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Body;
    use super::*;
    use crate::server::inbox;

    /// An answer of a node that never says a word.
    fn ask(method: &str, target: &str) -> Response {
        let (desk, inbox) = inbox::open();
        drop(inbox);
        let (hall, members, launcher) = (Hall::open(&desk), Box::new(Vec::new), None);
        let site = Site { desk, hall, members, launcher, faults_from_anywhere: false };
        let request = Request::new(method, target).unwrap();
        let (request, site) = (&request, &site);
        let response = dispatch(&Call { request, site, route_path: "", is_from_here: false });
        match response.body {
            Body::Later(later) => (later.too_late)(),
            _ => response,
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
