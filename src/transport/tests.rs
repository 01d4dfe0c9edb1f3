//! Transports that talk over the loopback, to each other and to strangers.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::write::tests::{APPEND, CONFLICT, GRANTED, REQUEST_VOTE, SUCCESS, messages};
use super::*;
use crate::message::{AppendEntries, Command, Entry, Rpc};

const PATIENCE: Duration = Duration::from_secs(30);

struct Node {
    transport: Transport,
    received: Receiver<Received>,
    http: Receiver<TcpStream>,
}

impl Node {
    fn start(options: Options) -> Node {
        let (deliver, received) = channel();
        let (serve, http) = channel();
        // Threads go on when a test is over, and then nobody hears them.
        let deliver = move |what| deliver.send(what).unwrap_or_default();
        let serve = move |stream| serve.send(stream).unwrap_or_default();
        let transport = super::start(options, deliver, serve).unwrap();
        Node { transport, received, http }
    }

    fn next(&self) -> Received {
        self.received.recv_timeout(PATIENCE).expect("something to be received")
    }

    fn next_message(&self) -> Message {
        loop {
            if let Received::Message(message) = self.next() {
                return message;
            }
        }
    }

    fn next_report(&self) -> What {
        match self.next() {
            Received::Report(what) => what,
            Received::Message(message) => panic!("{message}"),
        }
    }

    fn wait_until_reachable(&self) {
        while !matches!(self.next_report(), What::Reachable { .. }) {}
    }
}

/// Addresses at which nobody listens.
fn free_addresses<const COUNT: usize>() -> [String; COUNT] {
    let listeners = [(); COUNT].map(|()| TcpListener::bind("localhost:0").unwrap());
    listeners.map(|listener| format!("localhost:{}", listener.local_addr().unwrap().port()))
}

fn options(kind: Kind, me: u64, addresses: &[String]) -> Options {
    let nodes = (1..).map(NodeId).zip(addresses.iter().cloned()).collect();
    Options { cluster: "a".to_string(), me: NodeId(me), nodes, bind: None, kind, drop_percent: 0 }
}

/// Two nodes that have found each other.
fn two_nodes(kind: Kind, addresses: &[String; 2]) -> [Node; 2] {
    let nodes = [1, 2].map(|me| Node::start(options(kind, me, addresses)));
    nodes.iter().for_each(Node::wait_until_reachable);
    nodes
}

fn message(from: u64, to: u64, rpc: Rpc) -> Message {
    Message { from: NodeId(from), to: NodeId(to), rpc }
}

fn entry(index: u64, bytes: usize) -> Entry {
    Entry { index, term: 1, command: Command::new(&"x".repeat(bytes)) }
}

fn append(entries: Vec<Entry>) -> Message {
    let (leader_id, prev_log_index, prev_log_term) = (NodeId(1), 0, 0);
    let (term, leader_commit, round) = (1, 0, 0);
    #[rustfmt::skip]
    let rpc = AppendEntries {
        term, leader_id, prev_log_index, prev_log_term, entries, leader_commit, round,
    };
    message(1, 2, Rpc::AppendEntries(rpc))
}

fn talk(kind: Kind, addresses: &[String; 2]) {
    let [one, two] = two_nodes(kind, addresses);
    assert!(one.transport.is_reachable(NodeId(2)) && two.transport.is_reachable(NodeId(1)));
    assert!(!one.transport.is_reachable(NodeId(3)));
    for (rpc, text) in messages() {
        match text.contains(r#""from":1"#) {
            true => {
                one.transport.send(message(1, 2, rpc.clone()));
                assert_eq!(two.next_message(), message(1, 2, rpc));
            }
            false => {
                two.transport.send(message(2, 1, rpc.clone()));
                assert_eq!(one.next_message(), message(2, 1, rpc));
            }
        }
    }
}

#[test]
fn nodes_talk() {
    talk(Kind::Tcp, &free_addresses());
    talk(Kind::Udp, &free_addresses());
    if TcpListener::bind("[::1]:0").is_ok() {
        let version_6 = || free_addresses().map(|name| name.replace("localhost", "[::1]"));
        talk(Kind::Tcp, &version_6());
        talk(Kind::Udp, &version_6());
    }
}

#[test]
fn udp_cuts_long_batches_and_reports_what_never_fits() {
    let [one, two] = two_nodes(Kind::Udp, &free_addresses());
    one.transport.send(append(vec![entry(1, 70_000)]));
    let What::Dropped { from, why } = one.next_report() else { panic!("something else") };
    assert_eq!((from.as_str(), why.contains("1@1")), ("n1 to n2", true), "{why}");
    one.transport.send(append((1..=10).map(|index| entry(index, 10_000)).collect()));
    assert_eq!(two.next_message(), append((1..=5).map(|index| entry(index, 10_000)).collect()));
}

/// A peer's connection to a node, and the Hello line that begins it.
fn connect_as_peer(address: &str, from: u64, to: u64) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let hello = write::hello("a", NodeId(from), NodeId(to));
    writeln!(stream, "{hello}").unwrap();
    stream
}

fn next_line(connection: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    connection.read_line(&mut line).unwrap();
    line.trim_end().to_string()
}

#[test]
fn peers_that_come_and_go_are_reported_once() {
    let addresses = free_addresses::<2>();
    let node = Node::start(options(Kind::Tcp, 1, &addresses));
    let goes = |report| match report {
        What::Unreachable { peer: NodeId(2), address, .. } => address == addresses[1],
        _ => false,
    };
    assert!(goes(node.next_report()), "nobody is there yet");

    let listener = TcpListener::bind(&addresses[1]).unwrap();
    let peer = connect_as_peer(&addresses[0], 2, 1);
    assert_eq!(node.next_report(), What::Reachable { peer: NodeId(2) });
    let (connection, _) = listener.accept().unwrap();
    let mut connection = BufReader::new(connection);
    node.transport.send(message(1, 2, messages()[0].0.clone()));
    let hello = write::hello("a", NodeId(1), NodeId(2));
    let mut line = next_line(&mut connection);
    assert_eq!(line, hello, "the first line");
    while line == hello {
        line = next_line(&mut connection);
    }
    assert_eq!(line, REQUEST_VOTE);
    assert_eq!(next_line(&mut connection), hello, "who has nothing to say says Hello");

    drop((listener, peer, connection));
    assert!(goes(node.next_report()), "it hung up");
    assert!(!node.transport.is_reachable(NodeId(2)));
    let _second = Node::start(options(Kind::Tcp, 2, &addresses));
    assert_eq!(node.next_report(), What::Reachable { peer: NodeId(2) });
}

#[test]
fn peer_that_reads_nothing_is_unreachable() {
    let addresses = free_addresses::<2>();
    let listener = TcpListener::bind(&addresses[1]).unwrap();
    let node = Node::start(options(Kind::Tcp, 1, &addresses));
    let (_never_read, _) = listener.accept().unwrap();
    (0..200_000).for_each(|_| node.transport.send(append(vec![entry(1, 1000)])));
    assert!(matches!(node.next_report(), What::Unreachable { .. }));
}

#[test]
fn silent_peer_is_unreachable() {
    let [udp, tcp, peer] = free_addresses();
    let _listener = TcpListener::bind(&peer).unwrap();
    let _socket = UdpSocket::bind(&peer).unwrap();
    let start = |(kind, own)| Node::start(options(kind, 1, &[own, peer.clone()]));
    for node in [(Kind::Udp, udp), (Kind::Tcp, tcp)].map(start) {
        let What::Unreachable { why, .. } = node.next_report() else { panic!("something else") };
        assert_eq!(why, shared::SILENT);
    }
}

#[test]
fn wrong_lines_are_refused_with_a_reason() {
    let addresses = free_addresses::<2>();
    let _node = Node::start(options(Kind::Tcp, 1, &addresses));
    let hello = |cluster, from, to| write::hello(cluster, NodeId(from), NodeId(to));
    let welcome = hello("a", 2, 1);
    let cases = [
        (hello("b", 2, 1), r#"this is node 1 of cluster "a", not node 1 of "b""#),
        (hello("a", 2, 3), r#"this is node 1 of cluster "a", not node 3 of "a""#),
        (hello("a", 7, 1), r#"node 1 of cluster "a" knows no peer 7"#),
        (hello("a", 1, 1), r#"node 1 of cluster "a" knows no peer 1"#),
        (GRANTED.to_string(), "the first line must be a Hello"),
        ("{nonsense".to_string(), "not JSON"),
        (format!("{welcome}\n{APPEND}"), "n2 may not send a message from n1 to n2"),
        (format!("{welcome}\n{{}}"), r#""type" must be a text"#),
    ];
    for (lines, why) in cases {
        let mut stream = TcpStream::connect(&addresses[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(stream, "{lines}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(r#""type":"Refused""#), "{lines}: {answer}");
        assert!(read::refusal(answer.as_bytes()).contains(why), "{lines}: {answer}");
    }
}

#[test]
fn refusal_is_shown_to_the_refused() {
    let [own, nobody, strange] = free_addresses();
    let options_b = options(Kind::Tcp, 2, &[nobody, strange.clone()]);
    let _stranger = Node::start(Options { cluster: "b".to_string(), ..options_b });
    let node = Node::start(options(Kind::Tcp, 1, &[own, strange]));
    let What::Unreachable { why, .. } = node.next_report() else { panic!("something else") };
    assert_eq!(why, r#"refused: this is node 2 of cluster "b", not node 2 of "a""#);
}

#[test]
fn tcp_peers_of_a_udp_node_are_told_so() {
    let addresses = free_addresses::<2>();
    let _node = Node::start(options(Kind::Udp, 1, &addresses));
    let answer = next_line(&mut BufReader::new(connect_as_peer(&addresses[0], 2, 1)));
    assert!(answer.contains("this node speaks UDP"), "{answer}");
}

#[test]
fn garbage_is_reported_once_a_second_and_does_no_harm() {
    let addresses = free_addresses::<2>();
    let begun = Instant::now();
    let node = Node::start(options(Kind::Udp, 1, &addresses));
    let address = addresses[0].replace("localhost", "127.0.0.1");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let bytes = "{\"type\":\u{0}[,\n{\"from\":1".repeat(9).into_bytes();
    for length in 0..50 {
        let mut stream = TcpStream::connect(&address).unwrap();
        let _ = stream.write_all(&bytes[..length]);
        socket.send_to(&bytes[length..], &address).unwrap();
    }
    // Only the last one names the cluster to which the node belongs.
    for (text, cluster) in
        [(CONFLICT, ""), (SUCCESS, r#""cluster":"b","#), (GRANTED, r#""cluster":"a","#)]
    {
        let text = text.replace(r#""from""#, &format!(r#"{cluster}"from""#));
        socket.send_to(text.as_bytes(), &address).unwrap();
    }
    let (mut reports, mut came) = (0, None);
    while reports == 0 || came.is_none() {
        match node.next() {
            Received::Report(What::Dropped { .. }) => reports += 1,
            Received::Report(_) => {}
            Received::Message(message) => came = Some(message),
        }
    }
    assert_eq!(came, Some(message(2, 1, messages()[1].0.clone())));
    let seconds = begun.elapsed().as_secs() as usize;
    assert!(reports <= seconds + 1, "{reports} reports in {seconds} s");
}

#[test]
fn http_is_passed_on_unread_from_every_address_of_the_name() {
    let [address] = free_addresses();
    let node = Node::start(options(Kind::Tcp, 1, std::slice::from_ref(&address)));
    for address in address.to_socket_addrs().unwrap() {
        if TcpListener::bind((address.ip(), 0)).is_err() {
            continue; // localhost is also ::1 here, but this machine has no such address
        }
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET /{").unwrap();
        let mut served = node.http.recv_timeout(PATIENCE).unwrap();
        served.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = [0; 6];
        served.read_exact(&mut request).unwrap();
        assert_eq!(&request, b"GET /{");
        served.write_all(b"!").unwrap();
        client.read_exact(&mut request[..1]).unwrap();
    }
}

#[test]
fn start_says_why_it_cannot() {
    let start = |me, address: &str| {
        let options = options(Kind::Udp, me, &[address.to_string()]);
        super::start(options, |_| {}, |_| {}).err().expect(address)
    };
    let [address] = free_addresses();
    assert_eq!(start(2, &address), "node 2 is not in the registry");
    let listener = TcpListener::bind(&address).unwrap();
    let in_use = format!("{address} is in use: is node 1 already running?");
    assert_eq!(start(1, &address), in_use);
    drop(listener);
    let _socket = UdpSocket::bind(&address).unwrap();
    assert_eq!(start(1, &address), in_use, "the port is taken for UDP");
    // An address for examples, which no machine has (RFC 5737).
    let elsewhere = "192.0.2.1:5001 is not on this machine: start node 1 where it is";
    assert_eq!(start(1, "192.0.2.1:5001"), elsewhere);
    assert!(start(1, "localhost").starts_with("cannot find the host of node 1 at localhost: "));
}

#[test]
fn drop_percent_throws_messages_away() {
    let survivors = |drop_percent| {
        let addresses = ["localhost:1".to_string(), "localhost:2".to_string()];
        let (shared, mut outboxes) = Shared::new(options(Kind::Tcp, 1, &addresses), |_| {});
        let transport = Transport { shared, drop_percent };
        (0..1000).for_each(|_| transport.send(message(1, 2, messages()[0].0.clone())));
        std::iter::from_fn(|| outboxes[0].next_message()).count()
    };
    assert_eq!((survivors(0), survivors(100)), (1000, 0));
    assert!((600..800).contains(&survivors(30)));
}
