//! The TCP voice: one line a message, one connection a direction.
//!
//! Who connects speaks, and who accepts listens. The first line is a Hello: which cluster, who
//! speaks, to whom, and where clients reach the speaker. The only answer that is ever given is a
//! line that says why the speaker was not understood, before the listener hangs up. A connection
//! that breaks is made anew, and what was to be sent meanwhile is forgotten: Raft will have
//! something newer to say.

use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Kind;
use super::door::{PATIENCE, farewell};
use super::links::Errand;
use super::read::{Body, Hello};
use super::rhythm::Rhythm;
use super::shared::{Outbox, SILENT, Shared};
use super::write::LastEntries;
use super::{read, write};
use crate::node::message::{Message, NodeId};
use crate::transport::timed::Timed;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a message may wait for room. One that finds a little room waits again for the rest, so
/// a peer that has stopped reading is given up after some seconds.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a single write waits: whoever borrows the connection has no time.
const WRITE_WAIT: Duration = Duration::from_millis(5);
/// Between two attempts to connect: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Messages that wait together go out together, up to about so many bytes.
const MAX_WRITE_BYTES: usize = 256 * 1024;
/// So much is read at once, if it is there: what came while the last messages were served.
const READ_BYTES: usize = 256 * 1024;
/// Why a connection is given up that may be dead in our direction.
const CALLED_ANEW: &str = "it has connected anew";
/// The longest first line, from whoever it may be.
const MAX_HELLO_BYTES: u64 = 4096;
/// The longest line of a peer.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;
/// How long a line may take. A peer says Hello every second; a student with `nc` needs longer.
const LINE_PATIENCE: Duration = Duration::from_secs(60);

// ---- Speaking ----------------------------------------------------------------------------------

/// Sends all messages for one peer, for ever.
pub fn send_all(mut outbox: Outbox) {
    let mut pause = PAUSES.0;
    loop {
        let connected = outbox.may_speak().and_then(|()| connect(outbox.address()));
        let talk = |stream| Speaker { outbox: &mut outbox, stream: Arc::new(stream) }.talk();
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
            // A port where nobody listens may be lent to our own end, which then meets itself.
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
    stream.set_write_timeout(Some(WRITE_WAIT))?;
    Ok(stream)
}

/// The speaking end of a connection.
struct Speaker<'a> {
    outbox: &'a mut Outbox,
    stream: Arc<TcpStream>,
}

impl Speaker<'_> {
    /// Speaks until the connection is lost, and tells why it was.
    fn talk(mut self) -> Result<Infallible, String> {
        self.outbox.begin_listening();
        self.outbox.may_speak()?;
        let hello = self.outbox.hello();
        self.write((hello + "\n").as_bytes())?;
        loop {
            match self.outbox.next(Some(&self.stream)) {
                Errand::Send(message) => self.send(message)?,
                Errand::Finish(rest) => self.write(&rest)?,
                Errand::Look => self.look()?,
            }
        }
    }

    fn send(&mut self, message: Message) -> Result<(), String> {
        let (mut text, mut last) = (String::new(), LastEntries::default());
        let mut next = Some(message);
        while let Some(message) = next {
            write::append_message(&mut text, &message, None, &mut last);
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

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        let mut since = Instant::now();
        while !bytes.is_empty() {
            match (&*self.stream).write(bytes) {
                Ok(count) => (bytes, since) = (&bytes[count..], Instant::now()),
                Err(error) if is_passing(&error) && since.elapsed() < WRITE_TIMEOUT => {}
                Err(error) => {
                    self.read_refusal()?; // which is the better reason, if there is one
                    return Err(match is_passing(&error) {
                        true => "it takes no data".to_string(),
                        false => error.to_string(),
                    });
                }
            }
        }
        Ok(())
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
        let result = (&*self.stream).read(bytes);
        self.stream.set_nonblocking(false)?;
        result
    }
}

/// Whether a write failed only because it found no room in time, or was interrupted.
fn is_passing(error: &io::Error) -> bool {
    use ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

// ---- Listening ---------------------------------------------------------------------------------

/// Hears out a peer, until it hangs up or says what makes no sense.
pub fn hear(shared: &Shared, stream: TcpStream) {
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
    let (mut messages, mut rhythm) = (Vec::new(), Rhythm::new());
    loop {
        // What came together is handed in together: then it is also saved together.
        if !reader.buffer().contains(&b'\n') && !messages.is_empty() {
            shared.deliver(mem::take(&mut messages));
        }
        reader.get_mut().allow(LINE_PATIENCE);
        // The rest of a line that has begun is on its way.
        if reader.buffer().is_empty() && rhythm.wait(reader).is_err() {
            return Ok(());
        }
        if !read_line(reader, &mut line, MAX_LINE_BYTES)? {
            return Ok(());
        }
        if let Some(speaker) = &speaker {
            shared.check_speaker(peer, speaker)?;
        }
        messages.extend(hear_line(shared, peer, &line)?);
    }
}

/// What a line of this peer says to the node, if anything.
fn hear_line(shared: &Shared, peer: NodeId, line: &[u8]) -> Result<Option<Message>, String> {
    let letter = read::letter(line)?;
    let (from, to) = (letter.from, letter.to);
    if (from, to) != (peer, shared.me) {
        return Err(format!("{peer} may not send a message from {from} to {to}"));
    }
    shared.heard(peer);
    match letter.body {
        Body::Rpc(rpc) => Ok(Some(Message { from, to, rpc })),
        _ => Ok(None),
    }
}

fn check_hello(shared: &Shared, line: &[u8]) -> Result<(NodeId, Hello), String> {
    let letter = read::letter(line)?;
    let Body::Hello(hello) = &letter.body else {
        return Err("the first line must be a Hello".to_string());
    };
    shared.check(&letter)?;
    match shared.kind {
        Kind::Tcp => Ok((letter.from, hello.clone())),
        Kind::Udp => Err("this node speaks UDP: start all with the same transport".to_string()),
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
