//! The TCP voice: one line a message, one connection a direction.
//!
//! The node that connects speaks, and the node that accepts listens. The first line is a Hello:
//! which cluster, who speaks, to whom, and where clients reach the speaker. The only answer that is
//! ever given is a line that says why the speaker was not understood, before the listener hangs up.
//! A connection that breaks is made anew, and what was to be sent meanwhile is forgotten: Raft will
//! have something newer to say.

use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::codec::{Body, Hello, read, write};
use super::options::Kind;
use super::peer::Next;
use super::shared::{Outbox, SILENT, Shared};
use super::timed::Timed;
use crate::node::message::{Message, NodeId};
use crate::server::inbox::Event;

/// How long a connection may take for its first byte; a peer's, for its first line.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long the last words to a client or peer may take.
const FAREWELL: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a write may wait for room: a peer that has stopped reading is given up then.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two attempts to connect: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Messages that wait together go out together, up to about so many bytes.
const MAX_WRITE_BYTES: usize = 256 * 1024;
/// A read takes at most so much: all that came while the inbox was full, or the reader at work.
const READ_BYTES: usize = 256 * 1024;
/// Why a connection is given up that may be dead in our direction.
const CALLED_ANEW: &str = "it has connected anew";
/// The longest first line; anybody may have sent it.
const MAX_HELLO_BYTES: u64 = 4096;
/// The longest line of a peer.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;
/// How long a line may take. A peer says Hello every second; a student with `nc` needs longer.
const LINE_PATIENCE: Duration = Duration::from_secs(60);

// ---- Speaking ----------------------------------------------------------------------------------

/// The writer of one peer: sends all messages for it, for ever.
pub fn write_all(mut outbox: Outbox) {
    let mut pause = PAUSES.0;
    loop {
        let connected = outbox.may_speak().and_then(|()| connect(outbox.address()));
        let talk = |stream| Speaker { outbox: &mut outbox, stream }.talk();
        let Err(why) = connected.and_then(talk);
        if why == CALLED_ANEW {
            continue; // nothing is lost yet: what waits goes over the next connection
        }
        // A peer that hears us, but cannot be heard, should miss nothing.
        if outbox.shared.is_reachable(outbox.peer) || why == SILENT {
            pause = PAUSES.0;
        }
        outbox.shared.lost(outbox.peer, why);
        outbox.discard_for(pause);
        pause = PAUSES.1.min(pause * 2);
    }
}

/// Connects to the first address of this name that answers.
fn connect(address: &str) -> Result<TcpStream, String> {
    let mut why = "the name has no address".to_string();
    for address in address.to_socket_addrs().map_err(|error| error.to_string())? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).and_then(prepare) {
            // Where nobody listens, the system may give our own end that port, and it meets itself.
            Ok(stream) if stream.local_addr().is_ok_and(|own| own == address) => {
                why = "nobody listens there".to_string();
            }
            Ok(stream) => return Ok(stream),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    Ok(stream)
}

/// The speaking end of a connection.
struct Speaker<'a> {
    outbox: &'a mut Outbox,
    stream: TcpStream,
}

impl Speaker<'_> {
    /// Speaks until the connection is lost, and tells why it was.
    fn talk(mut self) -> Result<Infallible, String> {
        self.outbox.begin_listening();
        self.outbox.may_speak()?;
        let hello = self.outbox.hello();
        self.write((hello + "\n").as_bytes())?;
        loop {
            match self.outbox.next() {
                Next::Send(message) => self.send(message)?,
                Next::Look => self.look()?,
            }
        }
    }

    fn send(&mut self, message: Message) -> Result<(), String> {
        let mut text = String::new();
        let mut next = Some(message);
        while let Some(message) = next {
            write::append_message(&mut text, &message, None);
            text.push('\n');
            let has_room = text.len() < MAX_WRITE_BYTES;
            next = if has_room { self.outbox.next_message() } else { None };
        }
        self.write(text.as_bytes())
    }

    fn look(&mut self) -> Result<(), String> {
        if self.outbox.looks_away() {
            return Ok(());
        }
        self.outbox.may_speak()?;
        self.read_refusal()?;
        if self.outbox.finds_silence() {
            return Err(SILENT.to_string());
        }
        if self.outbox.finds_new_call() {
            return Err(CALLED_ANEW.to_string());
        }
        let hello = self.outbox.hello_if_due();
        hello.map_or(Ok(()), |hello| self.write((hello + "\n").as_bytes()))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Err(error) = (&self.stream).write_all(bytes) else { return Ok(()) };
        self.read_refusal()?; // which is the better reason, if there is one
        Err(match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "it takes no data".to_string(),
            _ => error.to_string(),
        })
    }

    /// Sees whether the peer has hung up, and what it said then, without waiting.
    fn read_refusal(&mut self) -> Result<(), String> {
        let mut bytes = [0; 1024];
        match self.read_at_once(&mut bytes) {
            Ok(0) => Err("it closed the connection".to_string()),
            Ok(count) => Err(read::refusal(&bytes[..count])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn read_at_once(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_nonblocking(true)?;
        let result = (&self.stream).read(bytes);
        self.stream.set_nonblocking(false)?;
        result
    }
}

// ---- Listening ---------------------------------------------------------------------------------

/// The reader of a connection: hears a peer, until it hangs up or says what makes no sense.
pub fn read_all(shared: &Shared, stream: TcpStream) {
    let Ok(address) = stream.peer_addr() else { return };
    let mut reader = BufReader::with_capacity(READ_BYTES, Timed::new(stream));
    reader.get_mut().allow(PATIENCE);
    if let Err(why) = hear_lines(shared, &mut reader, address)
        && !shared.is_paused()
    {
        let refusal = write::refused(&why) + "\n";
        shared.dropped(address.to_string(), why);
        farewell(reader.into_inner(), &refusal);
    }
}

fn hear_lines(
    shared: &Shared,
    reader: &mut BufReader<Timed>,
    source: SocketAddr,
) -> Result<(), String> {
    let mut line = Vec::new();
    if !read_line(reader, &mut line, MAX_HELLO_BYTES)? {
        return Ok(());
    }
    let (peer, hello) = check_hello(shared, &line)?;
    let speaker = shared.enter(peer, hello, source)?;
    shared.heard_first(peer);
    let mut messages = Vec::new();
    loop {
        // Messages that came together go to the raft thread together: one write saves them all.
        if !reader.buffer().contains(&b'\n') && !messages.is_empty() {
            shared.deliver(Event::Messages(mem::take(&mut messages)));
        }
        reader.get_mut().allow(LINE_PATIENCE);
        if !read_line(reader, &mut line, MAX_LINE_BYTES)? {
            return Ok(());
        }
        let may_speak = speaker.iter().try_for_each(|one| shared.check_speaker(peer, one));
        match may_speak.and_then(|()| hear_line(shared, peer, &line)) {
            Ok(message) => messages.extend(message),
            Err(why) => {
                shared.deliver(Event::Messages(messages)); // what came before counts
                return Err(why);
            }
        }
    }
}

/// What a line of this peer says to the node, if anything.
fn hear_line(shared: &Shared, peer: NodeId, line: &[u8]) -> Result<Option<Message>, String> {
    let envelope = read::envelope(line)?;
    let (from, to) = (envelope.from, envelope.to);
    if (from, to) != (peer, shared.me) {
        return Err(format!("{peer} may not send a message from {from} to {to}"));
    }
    shared.heard(peer);
    match envelope.body {
        Body::Rpc(rpc) => Ok(Some(Message { from, to, rpc })),
        _ => Ok(None),
    }
}

fn check_hello(shared: &Shared, line: &[u8]) -> Result<(NodeId, Hello), String> {
    let envelope = read::envelope(line)?;
    let Body::Hello(hello) = &envelope.body else {
        return Err("the first line must be a Hello".to_string());
    };
    shared.check(&envelope)?;
    match shared.kind {
        Kind::Tcp => Ok((envelope.from, hello.clone())),
        Kind::Udp => Err("this node speaks UDP: start all with the same transport".to_string()),
    }
}

/// Says a last word and waits for the other side to close. Closing first, with bytes still unread,
/// would reset the connection and destroy what was said (RFC 9293 §3.10.4).
pub fn farewell(mut timed: Timed, words: &str) {
    timed.allow(FAREWELL);
    let said = timed.write_all(words.as_bytes());
    if said.and_then(|()| timed.stream.shutdown(Shutdown::Write)).is_ok() {
        timed.allow(FAREWELL);
        let _ = io::copy(&mut timed.take(1 << 20), &mut io::sink());
    }
}

/// Reads a line. False if the connection is over, however it ended.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>, max: u64) -> Result<bool, String> {
    line.clear();
    let read = reader.take(max).read_until(b'\n', line);
    if line.len() as u64 == max && !line.ends_with(b"\n") {
        return Err(format!("a line of more than {max} bytes"));
    }
    Ok(read.is_ok() && line.ends_with(b"\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_line_bounds_its_length() {
        let mut line = Vec::new();
        let mut endless = BufReader::new(io::repeat(b' '));
        assert!(read_line(&mut endless, &mut line, 100).is_err());
        let mut three = &b"one\n\ntwo"[..];
        assert_eq!((read_line(&mut three, &mut line, 100), &line[..]), (Ok(true), &b"one\n"[..]));
        assert_eq!((read_line(&mut three, &mut line, 100), &line[..]), (Ok(true), &b"\n"[..]));
        assert_eq!(read_line(&mut three, &mut line, 100), Ok(false), "the peer died in mid-line");
        assert_eq!(read_line(&mut three, &mut line, 100), Ok(false));
    }
}
