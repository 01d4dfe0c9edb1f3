//! One number, one node: which process speaks for a peer.
//!
//! Two nodes of the same number would vote twice in one term, so the second one is turned away. To
//! tell it from the first one restarted, each process draws a random number, its instance, and
//! says it in the Hello. On TCP the number is held by the instance whose connection is open; on UDP
//! by the address from which the instance speaks. An instance that is silent for some seconds holds
//! it no longer. A student with `nc` names no instance, and neither holds the number nor needs it.

use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::peer::lock;

/// After this time without a word a peer is not reachable any more, and another process may speak
/// for it.
pub const SILENCE: Duration = Duration::from_secs(3);

/// How long a connection waits for the end of an older one. That of a process that was killed may
/// be there a moment longer than the process.
const GRACE: Duration = Duration::from_millis(250);

/// Who speaks for one peer.
#[derive(Default)]
pub struct Identity {
    holder: Mutex<Option<Holder>>,
    left: Condvar,
}

struct Holder {
    instance: u64,
    /// From where it was heard last.
    source: SocketAddr,
    heard_at: Instant,
    /// How many are open; on UDP none.
    connections: usize,
}

impl Holder {
    fn is_alive(&self) -> bool {
        self.heard_at.elapsed() < SILENCE
    }
}

impl Identity {
    /// A connection begins in which this instance speaks for the peer.
    ///
    /// # Errors
    /// If another one does: from where.
    pub fn enter(&self, instance: u64, source: SocketAddr) -> Result<Speaker<'_>, SocketAddr> {
        self.enter_within(GRACE, instance, source)
    }

    fn enter_within(
        &self,
        grace: Duration,
        instance: u64,
        source: SocketAddr,
    ) -> Result<Speaker<'_>, SocketAddr> {
        let is_taken = |holder: &mut Option<Holder>| {
            holder.as_ref().is_some_and(|holder| holder.instance != instance && holder.is_alive())
        };
        let waited = self.left.wait_timeout_while(lock(&self.holder), grace, is_taken);
        let mut holder = waited.unwrap_or_else(PoisonError::into_inner).0;
        let connections = match &*holder {
            Some(holder) if holder.instance == instance => holder.connections + 1,
            Some(holder) if holder.is_alive() => return Err(holder.source),
            _ => 1,
        };
        *holder = Some(Holder { instance, source, heard_at: Instant::now(), connections });
        Ok(Speaker { identity: self, instance, source })
    }

    /// From where the peer was heard last.
    pub fn source(&self) -> Option<SocketAddr> {
        lock(&self.holder).as_ref().map(|holder| holder.source)
    }

    /// A datagram came. Only a Hello names its instance, and only with a Hello is the number taken.
    ///
    /// # Errors
    /// If another one speaks for the peer: from where.
    pub fn hear(&self, instance: Option<u64>, source: SocketAddr) -> Result<(), SocketAddr> {
        let mut holder = lock(&self.holder);
        let is_other =
            |holder: &&mut Holder| holder.source != source && instance != Some(holder.instance);
        if let Some(other) = holder.as_mut().filter(is_other)
            && other.is_alive()
        {
            return Err(other.source);
        }
        let heard_at = Instant::now();
        match (&mut *holder, instance) {
            (_, Some(instance)) => {
                *holder = Some(Holder { instance, source, heard_at, connections: 0 });
            }
            (Some(holder), None) if holder.source == source => holder.heard_at = heard_at,
            (_, None) => {}
        }
        Ok(())
    }
}

/// A connection whose instance holds the peer's number, or held it when it was last heard.
pub struct Speaker<'a> {
    identity: &'a Identity,
    instance: u64,
    source: SocketAddr,
}

impl Speaker<'_> {
    /// A line came on this connection.
    ///
    /// # Errors
    /// If it was silent for so long that another one now speaks for the peer: from where.
    pub fn speaks(&self) -> Result<(), SocketAddr> {
        let mut holder = lock(&self.identity.holder);
        let connections = match &*holder {
            Some(holder) if holder.instance == self.instance => holder.connections,
            Some(other) => return Err(other.source),
            None => 1, // the other one has gone again
        };
        let Speaker { instance, source, .. } = *self;
        *holder = Some(Holder { instance, source, heard_at: Instant::now(), connections });
        Ok(())
    }
}

impl Drop for Speaker<'_> {
    fn drop(&mut self) {
        let mut holder = lock(&self.identity.holder);
        let Some(held) = holder.as_mut().filter(|held| held.instance == self.instance) else {
            return;
        };
        held.connections -= 1;
        if held.connections == 0 {
            *holder = None;
            self.identity.left.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// As if nothing had been heard for so long.
    fn fall_silent(identity: &Identity) {
        lock(&identity.holder).as_mut().unwrap().heard_at -= SILENCE;
    }

    #[test]
    fn connection_of_another_instance_is_refused_while_the_first_speaks() {
        let identity = Identity::default();
        let first = identity.enter(1, at(1)).unwrap();
        let again = identity.enter(1, at(2)).unwrap();
        assert_eq!(identity.enter(2, at(3)).err(), Some(at(2)));
        drop(again);
        assert_eq!(identity.enter(2, at(3)).err(), Some(at(2)), "one is still open");
        drop(first);
        assert!(identity.enter(2, at(3)).is_ok());
    }

    #[test]
    fn silent_connection_loses_its_place() {
        let identity = Identity::default();
        let first = identity.enter(1, at(1)).unwrap();
        fall_silent(&identity);
        assert_eq!(first.speaks(), Ok(()), "nobody else came");
        fall_silent(&identity);
        let second = identity.enter(2, at(2)).unwrap();
        assert_eq!(first.speaks(), Err(at(2)));
        assert_eq!(second.speaks(), Ok(()));
        assert_eq!(identity.enter(1, at(1)).err(), Some(at(2)), "the second holds it");
        drop(second);
        assert_eq!(first.speaks(), Ok(()), "it is alone again");
        assert_eq!(identity.enter(2, at(2)).err(), Some(at(1)));
    }

    #[test]
    fn newcomer_waits_for_the_end_of_the_old() {
        let identity = Arc::new(Identity::default());
        let (entered, go) = channel();
        let of_thread = Arc::clone(&identity);
        let old = thread::spawn(move || {
            let old = of_thread.enter(1, at(1)).unwrap();
            entered.send(()).unwrap();
            thread::sleep(GRACE / 10); // so that the newcomer most likely has to wait
            drop(old);
        });
        go.recv().unwrap();
        assert!(identity.enter_within(GRACE * 100, 2, at(2)).is_ok());
        old.join().unwrap();
    }

    #[test]
    fn datagrams_from_another_source_are_refused_while_the_first_speaks() {
        let identity = Identity::default();
        assert_eq!(identity.hear(None, at(9)), Ok(()), "nobody holds the number");
        assert_eq!(identity.hear(Some(1), at(1)), Ok(()));
        assert_eq!(identity.hear(None, at(9)), Err(at(1)));
        assert_eq!(identity.hear(Some(2), at(9)), Err(at(1)));
        assert_eq!(identity.hear(Some(1), at(2)), Ok(()), "it speaks from another address");
        assert_eq!(identity.hear(Some(3), at(2)), Ok(()), "it was restarted");
        fall_silent(&identity);
        assert_eq!(identity.hear(None, at(2)), Ok(()), "it speaks again");
        assert_eq!(identity.hear(Some(2), at(9)), Err(at(2)));
        fall_silent(&identity);
        assert_eq!(identity.hear(Some(2), at(9)), Ok(()));
        assert_eq!(identity.hear(Some(3), at(2)), Err(at(9)));
    }
}
