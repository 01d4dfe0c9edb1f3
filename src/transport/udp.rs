//! The UDP voice: one datagram a message.
//!
//! There is no connection to break, and no word of thanks: a datagram may be lost, come twice, or
//! come late, and Raft is content with that. Each names its cluster. AppendEntries that are too
//! long for a datagram are cut: the rest is missing to the follower, it refuses what comes behind,
//! and the leader sends it again.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::codec::{Body, REFUSED, read, write};
use super::identity::SILENCE;
use super::peer::Next;
use super::shared::{HELLO_EVERY, Outbox, PAUSE, SILENT, Shared};
use crate::node::message::{Command, Entry, Index, Message, Rpc, Term};
use crate::server::inbox::Event;

/// The longest text that is sent. A datagram over IPv4 holds 65,507 bytes.
const MAX_DATAGRAM_BYTES: usize = 60_000;
/// What AppendEntries have around their entries, at most: a dozen names and numbers.
const MAX_ENVELOPE_BYTES: usize = 1_000;

// ---- Speaking ----------------------------------------------------------------------------------

/// The writer of one peer: sends all messages for it, for ever, from the sockets at which the
/// answers are awaited.
pub fn write_all(outbox: Outbox, sockets: Arc<Vec<UdpSocket>>) {
    let (addresses, trouble) = (Vec::new(), None);
    let mut speaker = Speaker { outbox, sockets, addresses, trouble, looked_up_at: Instant::now() };
    speaker.look_up();
    speaker.greet();
    loop {
        match speaker.outbox.next() {
            Next::Send(message) => speaker.send(message),
            Next::Look => speaker.look(),
        }
    }
}

struct Speaker {
    outbox: Outbox,
    sockets: Arc<Vec<UdpSocket>>,
    /// Where the peer's name led when it was last looked up.
    addresses: Vec<SocketAddr>,
    looked_up_at: Instant,
    /// Why the last datagram could not be sent.
    trouble: Option<String>,
}

impl Speaker {
    fn send(&mut self, message: Message) {
        let shared = &self.outbox.shared;
        match datagram(message, &shared.cluster) {
            Ok(text) => self.post(&text),
            Err(why) => {
                shared.dropped(format!("{} to {}", shared.me, self.outbox.peer), why);
            }
        }
    }

    fn look(&mut self) {
        if self.outbox.looks_away() {
            return;
        }
        let trouble = match self.outbox.may_speak() {
            Err(why) => Some(why),
            Ok(()) if self.outbox.finds_silence() => {
                Some(self.trouble.clone().unwrap_or(SILENT.to_string()))
            }
            Ok(()) => None,
        };
        let is_lost = trouble.is_some() || self.addresses.is_empty();
        if let Some(why) = trouble {
            self.outbox.shared.lost(self.outbox.peer, why);
        }
        // It may have another address now. One that is heard from there may still not hear us.
        let is_elsewhere = |source| !self.addresses.contains(&source);
        let age = self.looked_up_at.elapsed();
        if is_lost && age >= HELLO_EVERY
            || age >= SILENCE && self.outbox.heard_from().is_some_and(is_elsewhere)
        {
            self.look_up();
        }
        self.greet();
    }

    fn greet(&mut self) {
        if let Some(hello) = self.outbox.hello_if_due() {
            self.post(&hello);
        }
    }

    fn look_up(&mut self) {
        match self.outbox.address().to_socket_addrs() {
            Ok(addresses) => self.addresses = addresses.collect(),
            Err(error) => self.trouble = Some(error.to_string()),
        }
        self.looked_up_at = Instant::now();
    }

    /// Sends a text to the first of the peer's addresses that takes it.
    fn post(&mut self, text: &str) {
        for &address in &self.addresses {
            let Some((socket, address)) = way_to(&self.sockets, address) else { continue };
            match socket.send_to(text.as_bytes(), address) {
                Ok(_) => return self.trouble = None,
                Err(error) => self.trouble = Some(error.to_string()),
            }
        }
    }
}

/// The socket from which an address can be reached, and its name there: `[::]` alone may serve IPv4
/// as well (RFC 4038 §4.2).
fn way_to(sockets: &[UdpSocket], address: SocketAddr) -> Option<(&UdpSocket, SocketAddr)> {
    let is_same_kind = |own: SocketAddr| own.is_ipv4() == address.is_ipv4();
    let fits = |socket: &&UdpSocket| socket.local_addr().is_ok_and(is_same_kind);
    if let Some(socket) = sockets.iter().find(fits) {
        return Some((socket, address));
    }
    let IpAddr::V4(ip) = address.ip() else { return None };
    let mapped = SocketAddr::from((ip.to_ipv6_mapped(), address.port()));
    sockets.first().map(|socket| (socket, mapped))
}

/// Whether a datagram has room for an entry with this command.
pub fn carries(command: &Command) -> bool {
    let entry = Entry { index: Index::MAX, term: Term::MAX, command: command.clone() };
    write::entry_bytes(&entry) <= MAX_DATAGRAM_BYTES - MAX_ENVELOPE_BYTES
}

/// The text of a message, with as many entries as fit.
fn datagram(mut message: Message, cluster: &str) -> Result<String, String> {
    let text = write::message(&message, Some(cluster));
    if text.len() <= MAX_DATAGRAM_BYTES {
        return Ok(text);
    }
    if let Rpc::InstallSnapshot(rpc) = &mut message.rpc {
        // As JSON it may be several times as long. Its answer says how far it came.
        (rpc.data, rpc.done) = (first_half(&rpc.data), false);
        return datagram(message, cluster);
    }
    let Rpc::AppendEntries(rpc) = &mut message.rpc else { return Ok(text) };
    let bytes_of = |entry: &Entry| write::entry_bytes(entry) + ",".len();
    let mut bytes = text.len() - rpc.entries.iter().map(bytes_of).sum::<usize>();
    let fits = |entry: &&Entry| {
        bytes += bytes_of(entry);
        bytes <= MAX_DATAGRAM_BYTES
    };
    let count = rpc.entries.iter().take_while(fits).count();
    if count == 0 {
        let id = rpc.entries[0].id();
        return Err(format!("entry {id} does not fit into a datagram: use TCP"));
    }
    rpc.entries.truncate(count);
    Ok(write::message(&message, Some(cluster)))
}

/// The first half of a text, and a character at least.
fn first_half(text: &str) -> Arc<str> {
    let mut end = text.len().div_ceil(2);
    while !text.is_char_boundary(end) {
        end += 1;
    }
    text[..end].into()
}

// ---- Listening ---------------------------------------------------------------------------------

/// Takes in all datagrams that come to a socket, for ever.
pub fn read_all(shared: &Shared, socket: &UdpSocket) {
    let mut bytes = vec![0; 1 << 16];
    loop {
        match socket.recv_from(&mut bytes) {
            Ok((count, source)) => {
                if let Err(why) = hear(shared, socket, &bytes[..count], source) {
                    shared.dropped(source.to_string(), why);
                }
            }
            // Some systems report here that an earlier datagram did not arrive.
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn hear(
    shared: &Shared,
    socket: &UdpSocket,
    text: &[u8],
    source: SocketAddr,
) -> Result<(), String> {
    let envelope = read::envelope(text)?;
    shared.check(&envelope)?;
    let (from, to) = (envelope.from, envelope.to);
    let plain_source = SocketAddr::new(source.ip().to_canonical(), source.port());
    if let Err(why) = shared.check_source(&envelope, plain_source) {
        let refusal = write::refused_datagram(&shared.cluster, to, from, &why);
        // The answer goes with the report, at most once a second: no flood can be made of it.
        let is_reported = shared.dropped(plain_source.to_string(), why);
        if is_reported && !matches!(envelope.body, Body::Refused(_)) {
            let _ = socket.send_to(refusal.as_bytes(), source);
        }
        return Ok(());
    }
    match envelope.body {
        Body::Refused(why) => shared.lost(from, format!("{}{why}", REFUSED)),
        Body::Hello(hello) => {
            shared.heard(from);
            shared.note_address(from, hello);
        }
        Body::Rpc(rpc) => {
            shared.heard(from);
            shared.deliver(Event::Messages(vec![Message { from, to, rpc }]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::super::codec::{Envelope, Hello};
    use super::super::options::Kind;
    use super::super::tests::options;
    use super::*;
    use crate::node::message::{AppendEntries, Command, InstallSnapshot, NodeId};

    fn append_entries(commands: impl Iterator<Item = String>) -> Message {
        let entry = |(index, text): (u64, String)| {
            let command = Command::new(&text);
            Entry { index, term: 1, command }
        };
        let rpc = AppendEntries {
            term: 1,
            leader_id: NodeId(1),
            prev_log_index: 0,
            prev_log_term: 0,
            entries: (1..).zip(commands).map(entry).collect(),
            leader_commit: 0,
            round: 0,
        };
        Message { from: NodeId(1), to: NodeId(2), rpc: Rpc::AppendEntries(rpc) }
    }

    #[test]
    fn look_looks_up_a_peer_that_is_heard_from_elsewhere() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let names = [1, 2].map(|port| at(port).to_string());
        let (shared, mut outboxes) = Shared::new(options(Kind::Udp, 1, &names), sync_channel(1).0);
        let long_ago = Instant::now().checked_sub(SILENCE).expect("the machine is up for longer");
        let mut speaker = Speaker {
            outbox: outboxes.remove(0),
            sockets: Arc::default(),
            addresses: vec![at(9)], // where it was
            trouble: None,
            looked_up_at: long_ago,
        };
        let mut address_after_hello_from = |source| {
            let body = Body::Hello(Hello { address: None, instance: Some(7) });
            let envelope = Envelope { cluster: None, from: NodeId(2), to: NodeId(1), body };
            shared.check_source(&envelope, source).unwrap();
            speaker.look();
            speaker.addresses[0]
        };
        assert_eq!(address_after_hello_from(at(9)), at(9));
        assert_eq!(address_after_hello_from(at(2)), at(2));
    }

    #[test]
    fn datagram_takes_as_many_entries_as_fit() {
        let mut long = append_entries((0..5000).map(|number| format!("set x=\"{number}\"")));
        let text = datagram(long.clone(), "a").unwrap();
        let Body::Rpc(Rpc::AppendEntries(sent)) = read::envelope(text.as_bytes()).unwrap().body
        else {
            panic!("{text}")
        };
        let Rpc::AppendEntries(rpc) = &mut long.rpc else { unreachable!() };
        assert!(rpc.entries.starts_with(&sent.entries) && text.len() <= MAX_DATAGRAM_BYTES);
        rpc.entries.truncate(sent.entries.len() + 1);
        assert!(write::message(&long, Some("a")).len() > MAX_DATAGRAM_BYTES);
    }

    #[test]
    fn datagram_fits_to_the_byte() {
        let head = write::message(&append_entries(["".to_string()].into_iter()), Some("a")).len();
        let first_fills = |bytes| {
            let commands = [".".repeat(bytes - head), "no room for me".to_string()];
            datagram(append_entries(commands.into_iter()), "a")
        };
        assert_eq!(first_fills(MAX_DATAGRAM_BYTES).unwrap().len(), MAX_DATAGRAM_BYTES);
        let why = first_fills(MAX_DATAGRAM_BYTES + 1).unwrap_err();
        assert_eq!(why, "entry 1@1 does not fit into a datagram: use TCP");
    }

    /// Quotes and line feeds take two bytes in JSON, other control characters six.
    #[test]
    fn datagram_shortens_a_chunk_that_does_not_fit() {
        for (character, longest) in [('x', 32_768), ('\n', 16_384), ('\u{1}', 8_192), ('é', 32_768)]
        {
            let data: String = character.to_string().repeat(32_768 / character.len_utf8());
            let rpc = InstallSnapshot {
                term: 4,
                leader_id: NodeId(1),
                last_included_index: 9,
                last_included_term: 3,
                offset: 7,
                data: data.as_str().into(),
                done: true,
            };
            let rpc = Rpc::InstallSnapshot(rpc);
            let text = datagram(Message { from: NodeId(1), to: NodeId(2), rpc }, "demo").unwrap();
            assert!(text.len() <= MAX_DATAGRAM_BYTES);
            let body = read::envelope(text.as_bytes()).unwrap().body;
            let Body::Rpc(Rpc::InstallSnapshot(sent)) = body else { panic!("{text}") };
            assert!(data.starts_with(&*sent.data));
            assert_eq!((sent.data.len(), sent.done), (longest, longest == 32_768), "{character:?}");
        }
    }
}
