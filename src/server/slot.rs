//! A place where one thread waits for one thing that another brings.
//!
//! A channel could do it, and does where one must hear that nothing will ever come. But a channel
//! carries many things from many threads, and each kind of thing that one carries makes the program
//! larger by six thousand bytes.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Holds one thing at most, for the thread that has made the slot.
pub struct Slot<T> {
    thread: Thread,
    thing: Mutex<Option<T>>,
}

impl<T> Slot<T> {
    /// An empty slot, for this thread to wait at.
    pub fn new() -> Arc<Slot<T>> {
        Arc::new(Slot { thread: thread::current(), thing: Mutex::new(None) })
    }

    /// Brings it, in the place of what may be there.
    pub fn bring(&self, thing: T) {
        *self.thing.lock().unwrap_or_else(PoisonError::into_inner) = Some(thing);
        self.thread.unpark();
    }

    /// Takes what is brought; `None` if nothing was in so much time.
    pub fn wait(&self, patience: Duration) -> Option<T> {
        let begun_at = Instant::now();
        loop {
            let thing = self.take();
            let left = patience.saturating_sub(begun_at.elapsed());
            if thing.is_some() || left.is_zero() {
                return thing;
            }
            thread::park_timeout(left);
        }
    }

    fn take(&self) -> Option<T> {
        self.thing.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_takes_what_is_brought_once() {
        let slot = Slot::new();
        slot.bring(1);
        assert_eq!(slot.wait(Duration::ZERO), Some(1));
        assert_eq!(slot.wait(Duration::from_millis(1)), None);
        let for_other = Arc::clone(&slot);
        thread::spawn(move || for_other.bring(2));
        assert_eq!(slot.wait(Duration::MAX), Some(2));
    }

    #[test]
    fn wait_goes_on_when_it_is_woken_for_nothing() {
        let slot = Slot::new();
        let for_other = Arc::clone(&slot);
        thread::spawn(move || {
            for_other.thread.unpark();
            thread::sleep(Duration::from_millis(5));
            for_other.bring(1);
        });
        assert_eq!(slot.wait(Duration::MAX), Some(1));
    }
}
