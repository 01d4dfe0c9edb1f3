//! No one gets in from a web page.
//!
//! A node on a student's machine has no password, and the student's browser can reach it. So any
//! web page that the student looks at could send it requests. A browser cannot keep two things
//! from us, and they give such a page away:
//!
//! - **Host**, the name in the address that the browser asked for. A page may point a name of its
//!   own at 127.0.0.1, to look to the browser as if it came from the node itself ("DNS
//!   rebinding"); but then Host is that name, and it is not the cluster's.
//! - **Origin**, where the page came from. If that is neither a member of the cluster nor the very
//!   address that was asked, someone else's page asks.
//!
//! Programs such as `curl` send no Origin, and the Host to which they connect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::request::Request;
use super::response::{Header, Response};
use super::wire::Only;

/// How long a browser may remember what a preflight was told, in seconds.
const PREFLIGHT_SECONDS: &str = "600";

/// Lets the requests of one connection in, or refuses them.
pub struct Guard<'a> {
    /// Tells where the members of the cluster are reached, `host:port` each; most requests are let
    /// in without that.
    pub members: &'a dyn Fn() -> Vec<String>,
    /// The address of ours at which the connection came in.
    pub came_in_at: IpAddr,
}

impl Guard<'_> {
    /// Whether the request may come in; if not, the answer that says why.
    ///
    /// # Errors
    /// 403: the Host is not the cluster's, or a page from elsewhere asks.
    pub fn check(&self, request: &Request) -> Result<(), Response> {
        // Every browser sends Host. Only HTTP/1.0 may leave it out, and only programs speak that.
        if let Some(host) = request.host
            && !self.is_own_host(host)
        {
            return refuse("the Host is not this cluster's: ask for localhost or a member's name");
        }
        let mut origins = request.headers.all("Origin");
        let origin = origins.next();
        if origin.is_some_and(|origin| !self.is_own_origin(origin, request))
            || origins.next().is_some()
        {
            return refuse("a web page from elsewhere may not ask here: its Origin is no member");
        }
        // Where a browser tells no Origin, it may say this (Fetch Metadata). A link that is
        // followed may come from anywhere; an image, a frame or a form may not.
        let site = request.headers.get("Sec-Fetch-Site").unwrap_or("none");
        let is_own = ["none", "same-origin"].contains(&site);
        let is_page =
            || request.method == "GET" && request.headers.get("Sec-Fetch-Dest") == Some("document");
        if origin.is_none() && !is_own && !is_page() {
            return refuse("a web page from elsewhere may not ask here");
        }
        Ok(())
    }

    /// This machine by its usual names, a member, or the address that was connected to. The port
    /// says nothing: it may lead here through a tunnel or a container.
    fn is_own_host(&self, host: &str) -> bool {
        let Some((name, _)) = split_host(host) else { return false };
        let is_ours = |ip: IpAddr| ip.is_loopback() || ip == self.came_in_at.to_canonical();
        if name.eq_ignore_ascii_case("localhost") || ip_address(name).is_some_and(is_ours) {
            return true;
        }
        (self.members)().iter().any(|member| {
            split_host(member).is_some_and(|(member, _)| member.eq_ignore_ascii_case(name))
        })
    }

    /// A member, or the very address that was asked, which [`Guard::is_own_host`] has checked:
    /// then the page is our own.
    fn is_own_origin(&self, origin: &str, request: &Request) -> bool {
        let Some(address) = origin.strip_prefix("http://").and_then(split_host) else {
            return false;
        };
        let members = (self.members)();
        let own = members.iter().map(String::as_str).chain(request.host);
        own.filter_map(split_host).any(|own| {
            let is_same = own.0.eq_ignore_ascii_case(address.0);
            own.1 == address.1 && (is_same || (is_local(own.0) && is_local(address.0)))
        })
    }
}

/// The headers that let the member's page that asked read the answer (CORS, in the Fetch standard).
/// To be called for requests that [`Guard::check`] lets in.
pub fn sharing_headers(request: &Request) -> Vec<Header> {
    let Some(origin) = request.headers.get("Origin") else { return Vec::new() };
    let mut headers =
        vec![("Access-Control-Allow-Origin", origin.to_string()), ("Vary", "Origin".to_string())];
    if request.method == "OPTIONS" {
        headers.extend([
            ("Access-Control-Allow-Methods", "GET, POST".to_string()),
            ("Access-Control-Allow-Headers", "Content-Type".to_string()),
            ("Access-Control-Max-Age", PREFLIGHT_SECONDS.to_string()),
        ]);
    }
    headers
}

fn refuse(why: &str) -> Result<(), Response> {
    Err(Response::error(403, why))
}

/// The host and the port of `host:port`; without a port it is HTTP's. `None` for
/// whatever has another form: what is not understood is not trusted.
fn split_host(text: &str) -> Option<(&str, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, "80"),
    };
    static NAME: Only = Only::alphanumeric_and(b"-._");
    let is_name = !host.is_empty() && NAME.fits(host);
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || !(is_name || ip_address(host).is_some()) {
        return None;
    }
    Some((host, port.parse().ok()?))
}

/// The address that a host writes in numbers: `127.0.0.1`, `[::1]`.
fn ip_address(host: &str) -> Option<IpAddr> {
    let ip = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(ip) => IpAddr::V6(ip.parse::<Ipv6Addr>().ok()?),
        None => IpAddr::V4(host.parse::<Ipv4Addr>().ok()?),
    };
    Some(ip.to_canonical())
}

/// The three ways to write this machine, which browsers tell apart and people do not.
fn is_local(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| host.eq_ignore_ascii_case(name))
}

/// Whether a connection comes from this very machine.
pub fn is_from_here(peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::super::wire::Headers;
    use super::*;

    fn members() -> Vec<String> {
        let members = ["localhost:5001", "Node2.lan:5000", "192.168.0.3:5003", "[fd00::4]:5004"];
        members.map(str::to_string).to_vec()
    }

    fn guard(came_in_at: &str) -> Guard<'static> {
        Guard { members: &members, came_in_at: came_in_at.parse().unwrap() }
    }

    /// The status with which a request is refused, 200 if it comes in.
    fn status(method: &str, host: Option<&str>, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::new(method, "/").unwrap();
        request.host = host;
        request.headers = Headers(headers.to_vec());
        guard("::ffff:10.0.0.9").check(&request).map_or_else(|refusal| refusal.status, |()| 200)
    }

    #[test]
    fn host_of_the_cluster_comes_in() {
        let by_name = "localhost,localhost:5001,LOCALHOST:1,node2.lan,NODE2.LAN:80";
        let by_number = "127.0.0.1,127.8.9.1:5001,[::1],[::1]:5001,[0:0:0:0:0:0:0:1]:9";
        let members = "192.168.0.3:5003,192.168.0.3,[fd00::4],[FD00::4]:80,10.0.0.9:5001,10.0.0.9";
        for host in [by_name, by_number, members, "[::ffff:10.0.0.9]"].join(",").split(',') {
            assert_eq!(status("POST", Some(host), &[]), 200, "{host}");
        }
        assert_eq!(status("POST", None, &[]), 200, "HTTP/1.0");
    }

    #[test]
    fn host_of_another_is_refused() {
        let names = "evil.com,localhost.evil.com,127.0.0.1.evil.com,node2.lan.evil.com,a.localhost";
        let tricks = ",:5001,localhost.,localhost.:5001,u@localhost,localhost:5001@evil.com";
        let ports = "localhost:5001:5001,localhost:,localhost:+80,localhost:99999,localhost:x";
        let numbers = "0.0.0.0,127.1,2130706433,0x7f.0.0.1,0177.0.0.1,128.0.0.1,10.0.0.8";
        let brackets = "::1,[::1,::1],[localhost],[127.0.0.1],[::1].evil.com,[::1]a:80,[::2],[::]";
        let escapes = "loc%61lhost,[::1%25lo],a:localhost";
        let all = [names, tricks, ports, numbers, brackets, escapes].join(",");
        for host in all.split(',') {
            assert_eq!(status("GET", Some(host), &[]), 403, "{host}");
        }
    }

    #[test]
    fn origin_of_a_member_comes_in() {
        let members = "http://localhost:5001,http://127.0.0.1:5001,http://[::1]:5001";
        let more = "http://node2.lan:5000,http://192.168.0.3:5003,http://[fd00::4]:5004";
        let same = "http://10.0.0.9:8080"; // as if through a tunnel
        for origin in [members, more, same].join(",").split(',') {
            let origin = [("origin", origin)];
            assert_eq!(status("POST", Some("10.0.0.9:8080"), &origin), 200, "{origin:?}");
        }
    }

    #[test]
    fn origin_of_another_is_refused() {
        let others = "null,http://evil.com,http://evil.com:5001,http://localhost,http://";
        let ports = "http://localhost:3000,http://127.0.0.2:5001,http://localhost:5001/";
        let schemes = "https://localhost:5001,file://,localhost:5001,HTTP://localhost:5001";
        let tricks = "http://localhost:5001.evil.com,http://localhost:5001@evil.com";
        let more = "http://localhost.evil.com:5001,http://u@localhost:5001";
        let lists = "http://localhost:5001 http://evil.com|http://localhost:5001, http://evil.com";
        let all = [others, ports, schemes, tricks, more].join(",").replace(',', "|") + "||" + lists;
        for origin in all.split('|') {
            for method in ["GET", "POST", "OPTIONS"] {
                let headers = [("origin", origin)];
                assert_eq!(status(method, Some("localhost:5001"), &headers), 403, "{origin:?}");
            }
        }
        let member = ("origin", "http://localhost:5001");
        assert_eq!(status("GET", Some("localhost"), &[member, member]), 403, "several");
    }

    #[test]
    fn page_without_an_origin_may_only_be_a_link() {
        for (method, site, dest, expected) in [
            ("POST", "cross-site", "document", 403),
            ("POST", "same-site", "empty", 403),
            ("DELETE", "anything", "document", 403),
            ("GET", "cross-site", "image", 403),
            ("GET", "cross-site", "iframe", 403),
            ("GET", "cross-site", "document", 200),
            ("POST", "same-origin", "empty", 200),
            ("GET", "none", "image", 200),
        ] {
            let headers = [("sec-fetch-site", site), ("sec-fetch-dest", dest)];
            let found = status(method, Some("localhost"), &headers);
            assert_eq!(found, expected, "{method} {site} {dest}");
        }
    }

    #[test]
    fn sharing_headers_let_members_read() {
        let headers = |method: &str, origin: Option<&'static str>| {
            let mut request = Request::new(method, "/").unwrap();
            request.headers.0.extend(origin.map(|origin| ("origin", origin)));
            let headers = sharing_headers(&request).into_iter();
            headers.map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
        };
        assert_eq!(headers("GET", None), [""; 0]);
        let origin = "http://localhost:5001";
        let allowed = format!("Access-Control-Allow-Origin: {origin}");
        assert_eq!(headers("POST", Some(origin)), [&allowed, "Vary: Origin"]);
        let preflight = headers("OPTIONS", Some(origin));
        assert!(preflight.contains(&"Access-Control-Allow-Headers: Content-Type".to_string()));
    }

    #[test]
    fn is_from_here_knows_loopback_in_both_families() {
        for (peer, here) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(is_from_here(peer.parse().unwrap()), here, "{peer}");
        }
    }
}
