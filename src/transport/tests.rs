//! Transports that talk over the loopback, to each other and to strangers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::time::{Duration, Instant};

use super::codec::write::tests::{APPEND, CONFLICT, GRANTED, REQUEST_VOTE, SUCCESS, messages};
use super::codec::{Hello, read, write};
use super::*;
use crate::node::event::What;
use crate::node::message::{AppendEntries, Command, Entry, Rpc};

const PATIENCE: Duration = Duration::from_secs(30);

/// What a node's raft thread is sent.
#[derive(Clone, Debug, PartialEq)]
enum Received {
    Messages(Vec<Message>),
    Report(What),
}

struct Node {
    transport: Transport,
    received: Receiver<Received>,
    http: Receiver<TcpStream>,
}

impl Node {
    fn start(options: Options) -> Node {
        let (inbox, events) = sync_channel(1000);
        let (to_http, connections) = channel();
        let transport = super::start(options, inbox, to_http).unwrap();
        let (sender, received) = channel();
        // Threads go on when a test is over, and then nobody hears them.
        thread::spawn(move || {
            let tell = |what| sender.send(what).unwrap_or_default();
            for event in events {
                match event {
                    Event::Messages(messages) => messages.into_iter().map(alone).for_each(tell),
                    Event::Report(what) => tell(Received::Report(what)),
                    Event::Requests(_) => unreachable!("no client asks"),
                }
            }
        });
        let (sender, http) = channel();
        thread::spawn(move || {
            for connection in connections {
                let ToHttp::Connection(stream, _) = connection else { unreachable!() };
                stream.set_read_timeout(None).unwrap();
                sender.send(stream).unwrap_or_default();
            }
        });
        Node { transport, received, http }
    }

    fn next(&self) -> Received {
        self.received.recv_timeout(PATIENCE).expect("something to be received")
    }

    fn next_message(&self) -> Message {
        loop {
            if let Received::Messages(mut messages) = self.next() {
                return messages.remove(0);
            }
        }
    }

    fn next_report(&self) -> What {
        match self.next() {
            Received::Report(what) => what,
            Received::Messages(messages) => panic!("{messages:?}"),
        }
    }

    fn wait_until_reachable(&self) {
        while !matches!(self.next_report(), What::Reachable { .. }) {}
    }
}

/// The threads of a node go on when its test is over. Another test may use the addresses of its
/// peers by then, and this node must not connect to the nodes there.
impl Drop for Node {
    fn drop(&mut self) {
        self.transport.set_paused(true);
    }
}

/// A message that was received by itself.
fn alone(message: Message) -> Received {
    Received::Messages(vec![message])
}

/// Addresses at which nobody listens.
fn free_addresses<const COUNT: usize>() -> [String; COUNT] {
    let listeners = [(); COUNT].map(|()| TcpListener::bind("localhost:0").unwrap());
    listeners.map(|listener| format!("localhost:{}", listener.local_addr().unwrap().port()))
}

/// Of a node of cluster "a", where the nodes 1, 2 … have these addresses.
pub fn options(kind: Kind, me: u64, addresses: &[String]) -> Options {
    let nodes: BTreeMap<_, _> = (1..).map(NodeId).zip(addresses.iter().cloned()).collect();
    let (cluster, me, drop_percent) = ("a".to_string(), NodeId(me), 0);
    let own = nodes.get(&me).cloned().unwrap_or_default();
    Options { cluster, me, nodes, kind, drop_percent, bind: own, advertise: None }
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

fn hello_text(cluster: &str, from: u64, to: u64, instance: Option<u64>) -> String {
    write::hello(cluster, NodeId(from), NodeId(to), &Hello { address: None, instance })
}

/// A peer's connection to a node, and the Hello line that begins it.
fn connect_as_peer(address: &str, from: u64, to: u64) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    writeln!(stream, "{}", hello_text("a", from, to, None)).unwrap();
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
    let advertise = Some(addresses[0].clone());
    let node = Node::start(Options { advertise, ..options(Kind::Tcp, 1, &addresses) });
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
    let address = format!(r#""address":"{}","instance":"#, addresses[0]);
    let mut line = next_line(&mut connection);
    let is_hello = |line: &str| line.contains(r#""type":"Hello""#) && line.contains(&address);
    assert!(is_hello(&line), "the first line: {line}");
    while is_hello(&line) {
        line = next_line(&mut connection);
    }
    assert_eq!(line, REQUEST_VOTE);
    assert!(is_hello(&next_line(&mut connection)), "who has nothing to say says Hello");

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
        assert_eq!(unreachable(node.next_report()), shared::SILENT);
    }
}

/// A peer with a new address has missed us on the old connection, which looks well to us.
#[test]
fn peer_that_connects_anew_is_connected_to_anew() {
    let addresses = free_addresses::<2>();
    let listener = TcpListener::bind(&addresses[1]).unwrap();
    let node = Node::start(options(Kind::Tcp, 1, &addresses));
    let (_old, _) = listener.accept().unwrap();
    listener.set_nonblocking(true).unwrap();
    let start = Instant::now();
    let new = loop {
        assert!(start.elapsed() < PATIENCE, "it waits on the old connection");
        // A word from time to time, so that it does not count as silent.
        drop(connect_as_peer(&addresses[0], 2, 1));
        match listener.accept() {
            Ok((new, _)) => break new,
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    };
    new.set_nonblocking(false).unwrap();
    let mut new = BufReader::new(new); // which must live until the end: a loss would be reported
    assert!(next_line(&mut new).contains(r#""type":"Hello""#));
    while let Ok(report) = node.received.try_recv() {
        let reachable = Received::Report(What::Reachable { peer: NodeId(2) });
        assert_eq!(report, reachable, "nothing was lost");
    }
}

#[test]
fn wrong_lines_are_refused_with_a_reason() {
    let addresses = free_addresses::<2>();
    let _node = Node::start(options(Kind::Tcp, 1, &addresses));
    let hello = |cluster, from, to| hello_text(cluster, from, to, None);
    let welcome = hello("a", 2, 1);
    let cases = [
        (hello("b", 2, 1), r#"this is node 1 of cluster "a", not node 1 of "b""#),
        (hello("a", 2, 3), r#"this is node 1 of cluster "a", not node 3 of "a""#),
        (hello("a", 7, 1), r#"node 1 of cluster "a" knows no peer 7"#),
        (hello("a", 1, 1), "there is another node 1: give each its own number (NODE_ID)"),
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
            Received::Messages(mut messages) => came = messages.pop(),
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
        super::start(options, sync_channel(1).0, channel().0).err().expect(address)
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
    let options = options(Kind::Tcp, 1, &[address]);
    let advertised = super::start(
        Options { advertise: Some("a/b:1".into()), ..options },
        sync_channel(1).0,
        channel().0,
    );
    let why = advertised.err().expect("no address");
    assert!(why.starts_with("node 1 cannot advertise this: "), "{why}");
    assert!(start(1, "localhost").starts_with("cannot find the host of node 1 at localhost: "));
}

#[test]
fn drop_percent_throws_messages_away() {
    let survivors = |drop_percent| {
        let addresses = ["localhost:1".to_string(), "localhost:2".to_string()];
        let (shared, outboxes) = Shared::new(options(Kind::Tcp, 1, &addresses), sync_channel(1).0);
        let transport = Transport { shared, drop_percent };
        (0..1000).for_each(|_| transport.send(message(1, 2, messages()[0].0.clone())));
        std::iter::from_fn(|| outboxes[0].next_message()).count()
    };
    assert_eq!((survivors(0), survivors(100)), (1000, 0));
    assert!((600..800).contains(&survivors(30)));
}

/// Sends until it arrives: a link that was just mended may lose something yet.
fn send_until_it_arrives(from: &Node, to: &Node, message: &Message) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        from.transport.send(message.clone());
        let wait = Duration::from_millis(100);
        if to.received.recv_timeout(wait) == Ok(alone(message.clone())) {
            return;
        }
    }
    panic!("{message} never arrives");
}

fn unreachable(report: What) -> String {
    match report {
        What::Unreachable { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn blocked_link_is_cut_one_way() {
    for kind in [Kind::Tcp, Kind::Udp] {
        let [one, two] = two_nodes(kind, &free_addresses());
        let (to_two, to_one) =
            (message(1, 2, messages()[0].0.clone()), message(2, 1, messages()[1].0.clone()));
        let blocked = Link { blocked: true, ..Link::default() };
        one.transport.set_link(NodeId(2), blocked);
        assert_eq!(one.transport.link(NodeId(2)), blocked);
        one.transport.send(to_two.clone());
        assert_eq!(unreachable(one.next_report()), shared::BLOCKED);
        assert_eq!(unreachable(two.next_report()), shared::SILENT, "and no message came");
        send_until_it_arrives(&two, &one, &to_one);
        assert!(!one.transport.is_reachable(NodeId(2)));

        one.transport.set_link(NodeId(2), Link::default());
        two.wait_until_reachable();
        send_until_it_arrives(&one, &two, &to_two);
    }
}

#[test]
fn delayed_messages_come_at_once_when_the_delay_is_removed() {
    for kind in [Kind::Tcp, Kind::Udp] {
        let [one, two] = two_nodes(kind, &free_addresses());
        one.transport.set_link(NodeId(2), Link { delay_ms: 60_000, ..Link::default() });
        let late = [0, 2].map(|number| message(1, 2, messages()[number].0.clone()));
        late.iter().for_each(|message| one.transport.send(message.clone()));
        send_until_it_arrives(&two, &one, &message(2, 1, messages()[1].0.clone()));
        one.transport.set_link(NodeId(2), Link::default());
        assert_eq!([two.next(), two.next()], late.map(alone));
    }
}

#[test]
fn paused_node_plays_dead() {
    for kind in [Kind::Tcp, Kind::Udp] {
        let [one, two] = two_nodes(kind, &free_addresses());
        let (to_two, to_one) =
            (message(1, 2, messages()[0].0.clone()), message(2, 1, messages()[1].0.clone()));
        one.transport.set_paused(true);
        one.transport.send(to_two.clone());
        two.transport.send(to_one.clone());
        assert_eq!(unreachable(two.next_report()), shared::SILENT);
        one.transport.set_paused(false);
        assert_eq!(two.next(), Received::Report(What::Reachable { peer: NodeId(1) }));
        assert_eq!(one.received.try_iter().count(), 0, "it heard and noticed nothing");
        send_until_it_arrives(&one, &two, &to_two);
        send_until_it_arrives(&two, &one, &to_one);
        assert!(one.transport.is_reachable(NodeId(2)));
    }
}

#[test]
fn advertised_address_reaches_the_peers() {
    for kind in [Kind::Tcp, Kind::Udp] {
        let addresses = free_addresses::<2>();
        let advertise = "outside.example:80".to_string();
        let outside =
            Options { advertise: Some(advertise.clone()), ..options(kind, 1, &addresses) };
        let _one = Node::start(outside);
        let two = Node::start(options(kind, 2, &addresses));
        two.wait_until_reachable();
        let end = Instant::now() + PATIENCE;
        while two.transport.address_of(NodeId(1)) != advertise {
            assert!(Instant::now() < end, "it is never known");
            thread::yield_now();
        }
        assert!(two.transport.advertised().contains(&advertise));
        assert_eq!(two.transport.address_of(NodeId(2)), addresses[1]);
    }
}

/// A connection in which node 2 says Hello to node 1.
fn connect_as_instance(address: &str, instance: Option<u64>) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    writeln!(stream, "{}", hello_text("a", 2, 1, instance)).unwrap();
    stream
}

/// The same, until it is welcome.
fn enter_as_instance(node: &Node, address: &str, instance: Option<u64>) -> TcpStream {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let mut stream = connect_as_instance(address, instance);
        writeln!(stream, "{GRANTED}").unwrap();
        while let Ok(received) = node.received.recv_timeout(Duration::from_secs(1)) {
            if matches!(received, Received::Messages(_)) {
                return stream;
            }
        }
    }
    panic!("instance {instance:?} is never welcome");
}

#[test]
fn tcp_refuses_a_second_node_of_the_same_number() {
    let addresses = free_addresses::<2>();
    let node = Node::start(options(Kind::Tcp, 1, &addresses));
    let address = addresses[0].as_str();
    let assert_refused_for = |holder: &TcpStream, instance| {
        let answer = next_line(&mut BufReader::new(connect_as_instance(address, Some(instance))));
        let from = holder.local_addr().unwrap();
        let why = format!("refused: another node 2 speaks from {from}: {}", shared::OWN_NUMBER);
        assert_eq!(read::refusal(answer.as_bytes()), why);
    };
    let first = enter_as_instance(&node, address, Some(1));
    let _by_hand = enter_as_instance(&node, address, None);
    assert_refused_for(&first, 2);
    drop(first);
    let mut restarted = enter_as_instance(&node, address, Some(3));
    assert_refused_for(&restarted, 4);

    // It falls silent, and after some seconds another one may speak.
    let next = enter_as_instance(&node, address, Some(5));
    writeln!(restarted, "{GRANTED}").unwrap();
    let refusal = read::refusal(next_line(&mut BufReader::new(restarted)).as_bytes());
    assert!(refusal.contains(&next.local_addr().unwrap().to_string()), "{refusal}");
}

#[test]
fn udp_refuses_a_second_node_of_the_same_number() {
    let [one, two, three] = free_addresses();
    let first = Node::start(options(Kind::Udp, 1, &[one.clone(), two.clone()]));
    let _second = Node::start(options(Kind::Udp, 2, &[one.clone(), two]));
    first.wait_until_reachable();
    let third = Node::start(options(Kind::Udp, 2, &[one, three.clone()]));
    let why = unreachable(third.next_report());
    assert!(why.starts_with("refused: another node 2 speaks from "), "{why}");
    assert!(why.ends_with(shared::OWN_NUMBER), "{why}");
    let What::Dropped { from, .. } = first.next_report() else { panic!("something else") };
    assert_eq!(from.rsplit(':').next(), three.rsplit(':').next());
}

#[test]
fn node_listens_where_it_is_told_to() {
    let [bind] = free_addresses();
    let elsewhere = options(Kind::Tcp, 1, &["192.0.2.1:5001".to_string()]);
    let node = Node::start(Options { bind: bind.clone(), ..elsewhere });
    TcpStream::connect(&bind).unwrap().write_all(b"GET").unwrap();
    node.http.recv_timeout(PATIENCE).unwrap();

    // Everywhere, and over IPv6 also for peers that use IPv4.
    let mut hosts = vec!["0.0.0.0"];
    if UdpSocket::bind("[::1]:0").is_ok() {
        hosts.push("[::]");
    }
    for (host, kind) in hosts.iter().flat_map(|host| [(host, Kind::Tcp), (host, Kind::Udp)]) {
        let addresses = free_addresses::<2>().map(|name| name.replace("localhost", "127.0.0.1"));
        let nodes = [1, 2].map(|me| {
            let options = options(kind, me, &addresses);
            let bind = options.bind.replace("127.0.0.1", host);
            Node::start(Options { bind, ..options })
        });
        nodes.iter().for_each(Node::wait_until_reachable);
    }
}
