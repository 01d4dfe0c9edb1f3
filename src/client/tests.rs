//! The client against nodes that act out a script: what it sends, and what it makes of answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(300);

/// What a server does with one request: a status and a body, or it hangs up.
type Script = &'static [Option<(u16, &'static str)>];

/// A node that acts out a script, and gives back the bodies that it was sent. `hang_up` closes
/// the connection after each answer, without a word.
fn node(script: Script, hang_up: bool) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (listener.local_addr().unwrap().to_string(), node_at(listener, script, hang_up))
}

fn node_at(listener: TcpListener, script: Script, hang_up: bool) -> JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let mut connection: Option<BufReader<TcpStream>> = None;
        let mut bodies = Vec::new();
        for answer in script {
            let mut reader =
                connection.take().unwrap_or_else(|| BufReader::new(listener.accept().unwrap().0));
            let Some(body) = read_body(&mut reader) else { break };
            bodies.push(body);
            if let Some((status, body)) = answer {
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
                reader.get_mut().write_all((head + body).as_bytes()).unwrap();
                connection = Some(reader).filter(|_| !hang_up);
            }
        }
        bodies
    })
}

/// The body of the next request; none if there is no more.
fn read_body(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            return String::from_utf8(body).ok();
        }
    }
}

fn client(address: &str, timeout: Duration) -> Client {
    Client::new(vec![address.to_string()], timeout, |_| {})
}

const OK: Option<(u16, &str)> = Some((200, r#"{"index":5,"term":2,"result":"ok"}"#));

#[test]
fn commands_share_a_connection_and_count_their_serials() {
    let (address, node) = node(&[OK, OK], false);
    let mut client = client(&address, PATIENCE);
    let entry = EntryId { index: 5, term: 2 };
    assert_eq!(client.set("x", "1"), Ok(Written { entry, result: () }));
    client.set("a b", "2").unwrap();
    let name = client.name.clone();
    let body = |command: &str, serial| {
        format!(r#"{{"command":"{command}","client":"{name}","serial":{serial}}}"#)
    };
    let expected = [body("set x=1", 1), body(r#"set \"a b\"=2"#, 2)];
    assert_eq!(node.join().unwrap(), expected);
}

#[test]
fn closed_connection_is_opened_again_with_the_same_serial() {
    let (address, node) = node(&[OK, OK, None, OK], true);
    let mut client = client(&address, PATIENCE);
    client.set("x", "1").unwrap();
    client.set("x", "2").unwrap();
    client.set("x", "3").unwrap(); // the node dies instead of answering
    let bodies = node.join().unwrap();
    assert!(bodies[1].contains("\"serial\":2"), "{bodies:?}");
    assert!(bodies[2].contains("\"serial\":3"), "{bodies:?}");
    assert_eq!(bodies[2], bodies[3]);
}

/// Where to look for the leader, as a node says it.
fn sends_to(address: &str) -> Option<(u16, &'static str)> {
    let body = format!(r#"{{"error":"not here","leader_address":"{address}"}}"#);
    Some((307, body.leak()))
}

#[test]
fn leader_is_followed_and_remembered() {
    let (leader, leading) = node(&[OK, OK], false);
    let (address, follower) = node(Box::leak(Box::new([sends_to(&leader)])), false);
    let mut client = client(&address, PATIENCE);
    client.set("x", "1").unwrap();
    client.set("x", "2").unwrap();
    let asked = follower.join().unwrap();
    assert_eq!(asked, leading.join().unwrap()[..1], "the same request, with the same serial");
}

#[test]
fn nodes_that_send_in_circles_are_left() {
    let (sane, leading) = node(&[OK], false);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mad = listener.local_addr().unwrap().to_string();
    let circling = node_at(listener, vec![sends_to(&mad); 100].leak(), false);
    Client::new(vec![mad, sane], PATIENCE, |_| {}).set("x", "1").unwrap();
    assert_eq!(leading.join().unwrap().len(), 1);
    assert_eq!(circling.join().unwrap().len() as u32, MAX_REDIRECTS + 1);
}

#[test]
fn lost_answer_leaves_the_fate_of_a_write_unknown_and_not_of_a_read() {
    let (address, write) = node(&[None], false);
    let lost = client(&address, SOON).set("x", "1");
    write.join().unwrap();
    assert!(matches!(&lost, Err(Error::Unknown(why)) if why.contains("may still be done")));
    let (address, read) = node(&[None], false);
    let lost = client(&address, SOON).get("x");
    read.join().unwrap();
    let Err(Error::NotDone(why)) = lost else { panic!("{lost:?}") };
    assert!(why.starts_with("gave up after 0.3 s: "), "{why}");
}

#[test]
fn nobody_there_means_not_done() {
    let nobody = client("127.0.0.1:0", SOON).set("x", "1");
    let Err(Error::NotDone(why)) = nobody else { panic!("{nobody:?}") };
    assert!(why.starts_with("gave up after 0.3 s, it was not done: cannot reach "), "{why}");
    let nowhere = Client::new(Vec::new(), SOON, |_| {}).set("x", "1");
    assert!(matches!(nowhere, Err(Error::NotDone(_))), "{nowhere:?}");
}

#[test]
fn judge_tells_what_each_answer_means() {
    let outcome =
        |status, body: &str| judge("n1", &Reply { status, headers: Vec::new(), body: body.into() });
    let trouble = |why: &str, unknown| {
        Outcome::Trouble(Trouble { why: why.to_string(), unknown, said_by_node: true })
    };
    let done = Done { index: 1, term: None, result: None };
    assert_eq!(outcome(200, r#"{"index":1,"term":null,"result":null}"#), Outcome::Done(done));
    assert_eq!(outcome(200, "hello"), trouble("n1: it answered 200", true));
    let there = r#"{"error":"no","leader_address":"n2:1"}"#;
    assert_eq!(outcome(307, there), Outcome::Leader("n2:1".to_string()));
    let error = r#"{"error":"no"}"#;
    for status in [400, 409, 413] {
        assert_eq!(outcome(status, error), Outcome::Refused("no".to_string()));
    }
    for (status, unknown) in
        [(307, false), (403, false), (404, false), (503, false), (500, true), (504, true)]
    {
        assert_eq!(outcome(status, error), trouble("n1: no", unknown), "{status}");
    }
}

#[test]
fn replies_of_the_store_are_understood() {
    fn reply(result: &str) -> Client {
        let body = format!(r#"{{"index":5,"term":2,"result":"{result}"}}"#);
        let (address, _) = node(Box::leak(Box::new([Some((200, &*body.leak()))])), false);
        client(&address, PATIENCE)
    }
    let refused = Error::Refused("x is text".to_string());
    assert_eq!(reply("error: x is text").increment("x", 1).unwrap_err(), refused);
    assert_eq!(reply("error: x is text").set("x", "1").unwrap_err(), refused);
    assert_eq!(reply("-7").increment("x", 1).unwrap().result, -7);
    assert!(reply("deleted").delete("x").unwrap().result);
    assert!(!reply("not found").delete("x").unwrap().result);
    assert_eq!(reply("error: a").get("x"), Ok(Some("error: a".to_string())));
    let swap = |result: &str| reply(result).compare_and_set("x", "1", "2").unwrap().result;
    assert_eq!(swap("ok"), Swap::Swapped);
    assert_eq!(swap("not swapped: not found"), Swap::Kept(None));
    assert_eq!(swap("not swapped: it is ok"), Swap::Kept(Some("ok".to_string())));
}
