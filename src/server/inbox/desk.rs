//! Who serves an inbox: one thread at a time, and mostly the one that is awake anyway.
//!
//! Whoever deals with what is in the inbox has the **turn**. To wake a thread of its own for that,
//! each time, would cost more than all else that is done for a small request, and take longer. So
//! who hands something in while nobody has the turn takes it, and serves the inbox; who finds it
//! taken goes away, for the other will see to it. If the inbox is not empty after a few rounds, the
//! rest is left to the **keeper**, a thread that has nothing else to do: it goes on until the inbox
//! is empty, and then sleeps until something is due by itself. So a quiet node hands nothing over,
//! and in a busy one nearly all is done by the keeper, in large batches.
//!
//! A client has a thread, too, that must wake to hand in what the client says. Much is saved if who
//! has the turn fetches it from a [`Source`]. Where one client is there, whoever has given it its
//! answer looks for a moment whether it asks again. As long as there is a crowd, the keeper has the
//! turn for good, and fetches, before each round, what has come.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Answer, Ask, Incoming};
use crate::server::slot::Slot;

/// How many things may wait in an inbox: what a client asks, or all that came together from a peer,
/// which is seldom more than a message. Whoever brings more waits too, so that a flood of requests
/// fills the network's buffers and not this process's memory.
const MAX_WAITING: usize = 4096;

/// How often a thread serves the inbox that has its own work to do, before it calls the keeper: its
/// own round, that of the client who has asked again, and those of the answers that came meanwhile.
const MOST_ROUNDS: usize = 6;

/// A server counts its time in milliseconds: to be later by one is to be in time.
const GRAIN: Duration = Duration::from_millis(1);

/// All that has come in and is to be dealt with, in order.
pub type Waiting<'a> = &'a mut dyn Iterator<Item = Incoming>;

/// What serves an inbox: one thing at a time, though not always by the same thread.
pub trait Serve: Send + 'static {
    /// Deals with what has come in, and with what is due. With `more_soon`, more is to be expected
    /// in a moment, and some of it may wait for that: [`Serve::wait`] says then that it wants
    /// another turn at once. It has it when more has come, or is not to be expected any longer.
    ///
    /// # Errors
    /// It cannot go on: why.
    fn turn(&mut self, waiting: Waiting, more_soon: bool) -> Result<(), String>;

    /// How long until it wants a turn, if nothing comes before.
    fn wait(&self) -> Duration;
}

/// Where things are fetched from, since they do not come by themselves.
pub trait Source: Send + Sync {
    /// Looks at what is there, without waiting.
    fn look(&self) -> Outlook;

    /// Fetches what was there at the last look.
    fn fetch(&self, fetched: &mut Vec<Incoming>);
}

/// What a look at a source tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Nobody is there, or only who waits for an answer: look again when it has it. Whoever comes
    /// next and does not wait calls the keeper.
    Nobody,
    /// Nothing is there, nor is to be expected in a moment: the keeper is to look again after so
    /// much time, or when something else has come.
    Nothing(Duration),
    /// More is to be expected in a moment, and worth it.
    More,
    /// Something is there.
    Something {
        /// More is to be expected in a moment, and worth it.
        more_soon: bool,
    },
}

/// The inbox of a server, and where to hand in what is for it.
pub fn open() -> (Desk, Inbox) {
    let (sender, things) = mpsc::sync_channel(MAX_WAITING);
    // Who opens an inbox has the first turn.
    let counted = Arc::new(AtomicUsize::new(0));
    let desk = Desk { sender, counted, service: Arc::default(), source: Arc::default() };
    desk.put(Thing::Bell);
    (desk.clone(), Inbox { things, desk })
}

/// What stands in an inbox.
enum Thing {
    /// Something for the server.
    Incoming(Incoming),
    /// The keeper wants the turn, since something may be due; or it should have it, since somebody
    /// is at the source.
    Bell,
}

/// Where the threads of peers and clients hand in what they have. Clones lead to the same inbox.
#[derive(Clone)]
pub struct Desk {
    sender: SyncSender<Thing>,
    /// How much was put in since the inbox was last empty and at rest. Who raises it from 0 has the
    /// turn, and with it the duty to serve what is counted; who has the turn sets it back to 0, if
    /// no more has come than was served.
    counted: Arc<AtomicUsize>,
    service: Arc<OnceLock<Arc<dyn Turns>>>,
    source: Arc<OnceLock<Arc<dyn Source>>>,
}

impl Desk {
    /// Hands in what needs no answer, and serves it, if nobody else has the turn.
    pub fn hand_in(&self, incoming: Incoming) {
        if self.put(Thing::Incoming(incoming))
            && let Some(service) = self.service.get()
        {
            service.take_turn();
        }
    }

    /// Hands in what needs no answer, and leaves it to others to serve it.
    pub fn leave(&self, incoming: Incoming) {
        self.leave_to_keeper(Thing::Incoming(incoming));
    }

    /// Where things are to be fetched. Of several sources only the first counts.
    pub fn set_source(&self, source: Arc<dyn Source>) {
        let _ = self.source.set(source);
    }

    /// Tells the keeper that somebody is at the source.
    pub fn call_to_source(&self) {
        self.leave_to_keeper(Thing::Bell);
    }

    /// Asks the server and waits; `None` if no answer came in time, or none will ever come. What
    /// was asked may still be done.
    pub fn ask(&self, ask: Ask, patience: Duration) -> Option<Answer> {
        let (sender, answer) = mpsc::sync_channel(1);
        let tell = move |answer| sender.try_send(answer).is_ok();
        self.hand_in(Incoming::Client(ask, Box::new(tell)));
        answer.recv_timeout(patience).ok()
    }

    /// Puts it in; if the turn now is ours, the keeper gets it.
    fn leave_to_keeper(&self, thing: Thing) {
        if self.put(thing)
            && let Some(service) = self.service.get()
        {
            service.call_keeper(Call::Turn { served: 0 });
        }
    }

    /// True if the turn now is ours.
    fn put(&self, thing: Thing) -> bool {
        // The inbox lives as long as the process: if it has gone, so has everyone who would care.
        self.sender.send(thing).is_ok() && self.count()
    }

    /// Rings for the keeper, who must not wait here: if the inbox is full, it is the keeper who is
    /// called next. Whether the turn now is ours; `None` if there is no room for the bell.
    fn ring(&self) -> Option<bool> {
        self.sender.try_send(Thing::Bell).ok().map(|()| self.count())
    }

    /// Counts what was put in; true if the turn now is ours.
    fn count(&self) -> bool {
        self.counted.fetch_add(1, Ordering::AcqRel) == 0
    }
}

/// What those who hand things in know of the service.
trait Turns: Send + Sync {
    /// Serves some rounds. The caller has the turn.
    fn take_turn(&self);

    /// Gives the turn to the keeper.
    fn call_keeper(&self, call: Call);
}

/// What the keeper is told.
enum Call {
    /// The turn is yours. So many of the things counted are served already.
    Turn { served: usize },
    /// The server cannot go on.
    Failed(String),
}

/// What a desk is for.
pub struct Inbox {
    things: Receiver<Thing>,
    desk: Desk,
}

impl Inbox {
    /// Has a server serve all that comes, until it cannot go on. This thread is the keeper.
    ///
    /// # Errors
    /// Why it cannot go on.
    pub fn keep(self, server: impl Serve) -> Result<(), String> {
        let Inbox { things, desk } = self;
        let keeper = Slot::new();
        let (counted, alarm) = (Arc::clone(&desk.counted), Instant::now());
        let state = Mutex::new(State { server, things, alarm });
        let source = Arc::clone(&desk.source);
        let calls = Arc::clone(&keeper);
        let service = Arc::new(Service { state, counted, keeper, source });
        let for_others = Arc::clone(&service);
        let _ = desk.service.set(for_others); // the first time, and the only one
        let mut served = 0; // `open` has given us the turn
        loop {
            let mut rest = service.serve_all(served)?;
            served = loop {
                match calls.wait(rest) {
                    Some(Call::Turn { served }) => break served,
                    Some(Call::Failed(why)) => return Err(why),
                    None => match desk.ring() {
                        Some(true) => break 0,
                        // Whoever has the turn will find the bell, and give it to us.
                        Some(false) => rest = Duration::MAX,
                        None => rest = GRAIN,
                    },
                }
            };
        }
    }
}

/// A server, and who serves.
struct Service<S> {
    /// Locked by whoever has the turn.
    state: Mutex<State<S>>,
    counted: Arc<AtomicUsize>,
    keeper: Arc<Slot<Call>>,
    source: Arc<OnceLock<Arc<dyn Source>>>,
}

struct State<S> {
    server: S,
    things: Receiver<Thing>,
    /// When the keeper will ring the bell.
    alarm: Instant,
}

/// What a round begins with.
#[derive(Default)]
struct Fetched {
    things: Vec<Incoming>,
    /// More is to be expected in a moment.
    more_soon: bool,
}

/// What came of a round.
struct Round {
    /// How much of what is counted is served now.
    served: usize,
    /// How long the server can do without another.
    rest: Duration,
    /// The keeper is to have the turn.
    is_rung: bool,
}

impl<S: Serve> Service<S> {
    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keeper's turn: serves until nothing is left. Returns how long the keeper may sleep.
    fn serve_all(&self, mut served: usize) -> Result<Duration, String> {
        let mut first = Fetched::default();
        loop {
            let round = self.serve(served, first)?;
            served = round.served;
            // Only now: who has come to the source and rung before the round, is seen there; who
            // rings later, is counted, and the turn is not over.
            if let Some(come) = self.go_to_source(&mut served, round.rest) {
                first = come;
                continue;
            }
            // Others must know it, who may have the turn next.
            self.state().alarm = Instant::now() + round.rest;
            if self.is_over(served) {
                return Ok(round.rest);
            }
            first = Fetched::default();
        }
    }

    /// What the next round begins with, if somebody is at the source: what was fetched there, or
    /// what else came first, which is then served.
    fn go_to_source(&self, served: &mut usize, rest: Duration) -> Option<Fetched> {
        match self.look_at_source(*served) {
            Outlook::Nobody => None,
            Outlook::Something { more_soon } => Some(self.fetch(more_soon)),
            Outlook::Nothing(time) if !self.has_more(*served) => {
                let things = self.await_thing(time.min(rest), served).into_iter().collect();
                Some(Fetched { things, more_soon: false })
            }
            Outlook::Nothing(_) => Some(Fetched::default()),
            Outlook::More => Some(Fetched { more_soon: true, ..Fetched::default() }),
        }
    }

    /// How it looks at the source. As long as more is to be expected there in a moment, and nothing
    /// else waits to be served, one stays and looks again.
    fn look_at_source(&self, served: usize) -> Outlook {
        let Some(source) = self.source.get() else { return Outlook::Nobody };
        loop {
            let has_more = self.has_more(served);
            match source.look() {
                Outlook::More if !has_more => thread::yield_now(),
                outlook => return outlook,
            }
        }
    }

    /// What was there at the last look.
    fn fetch(&self, more_soon: bool) -> Fetched {
        let mut things = Vec::new();
        if let Some(source) = self.source.get() {
            source.fetch(&mut things);
        }
        Fetched { things, more_soon }
    }

    /// Whether more is counted than was served.
    fn has_more(&self, served: usize) -> bool {
        self.counted.load(Ordering::Acquire) > served
    }

    /// Waits for something to be handed in. It counts as served, though it may be counted later.
    fn await_thing(&self, time: Duration, served: &mut usize) -> Option<Incoming> {
        let thing = self.state().things.recv_timeout(time).ok()?;
        *served += 1;
        match thing {
            Thing::Incoming(incoming) => Some(incoming),
            Thing::Bell => None,
        }
    }

    /// Serves these, and all that is counted and not served yet.
    fn serve(&self, served: usize, first: Fetched) -> Result<Round, String> {
        let mut state = self.state();
        let State { server, things, .. } = &mut *state;
        let counted = self.counted.load(Ordering::Acquire).max(served);
        let mut is_rung = false;
        let things = things.iter().take(counted - served); // they are all there
        let things = things.filter_map(|thing| match thing {
            Thing::Incoming(incoming) => Some(incoming),
            Thing::Bell => {
                is_rung = true;
                None
            }
        });
        let mut waiting = first.things.into_iter().chain(things);
        server.turn(&mut waiting, first.more_soon)?;
        waiting.for_each(drop);
        Ok(Round { served: counted, rest: server.wait(), is_rung })
    }

    /// Gives the turn back, if no more has come than this.
    fn is_over(&self, served: usize) -> bool {
        self.counted.compare_exchange(served, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl<S: Serve> Turns for Service<S> {
    fn take_turn(&self) {
        let _crash = Crash(&self.keeper);
        let (mut served, mut first) = (0, Fetched::default());
        for round in 1..=MOST_ROUNDS {
            let is_last = round == MOST_ROUNDS;
            let round = match self.serve(served, first) {
                Ok(round) => round,
                Err(why) => return self.call_keeper(Call::Failed(why)),
            };
            served = round.served;
            let keeper_sleeps_too_long = Instant::now() + round.rest + GRAIN < self.state().alarm;
            if round.is_rung || keeper_sleeps_too_long {
                break;
            }
            first = match self.look_at_source(served) {
                Outlook::Something { more_soon: false } if !is_last => self.fetch(false),
                Outlook::Something { .. } | Outlook::Nothing(_) => break, // the keeper sees to it
                Outlook::Nobody | Outlook::More => Fetched::default(),
            };
            if first.things.is_empty() && self.is_over(served) {
                return;
            }
        }
        self.call_keeper(Call::Turn { served });
    }

    fn call_keeper(&self, call: Call) {
        self.keeper.bring(call);
    }
}

/// A server that panics is in no state to go on, whichever thread it was. A release build has ended
/// by then: this is for the others, which unwind.
struct Crash<'a>(&'a Slot<Call>);

impl Drop for Crash<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.bring(Call::Failed("it has panicked, as told above".to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel, sync_channel};
    use std::thread::ThreadId;

    use super::*;
    use crate::node::event::What;

    const PATIENCE: Duration = Duration::from_secs(30);
    const LONG: Duration = Duration::from_secs(3600);

    /// Tells what it was given in each turn, and on which thread; does then what it is told to.
    struct Probe<F> {
        turns: Sender<(ThreadId, Vec<Incoming>)>,
        then: F,
        wait: Duration,
    }

    impl<F> Serve for Probe<F>
    where
        F: FnMut(&[Incoming]) -> Result<Duration, String> + Send + 'static,
    {
        fn turn(&mut self, waiting: Waiting, _more_soon: bool) -> Result<(), String> {
            let incoming: Vec<Incoming> = waiting.collect();
            let done = (self.then)(&incoming);
            let _ = self.turns.send((thread::current().id(), incoming));
            self.wait = done?;
            Ok(())
        }

        fn wait(&self) -> Duration {
            self.wait
        }
    }

    /// A desk, the turns that are taken, and how the keeper ends.
    struct Office {
        desk: Desk,
        turns: Receiver<(ThreadId, Vec<Incoming>)>,
        keeper: thread::JoinHandle<Result<(), String>>,
    }

    impl Office {
        /// Its keeper has had the first turn, in which nothing was there, and rests.
        fn open(
            then: impl FnMut(&[Incoming]) -> Result<Duration, String> + Send + 'static,
        ) -> Office {
            let (desk, inbox) = open();
            let (sender, turns) = channel();
            let probe = Probe { turns: sender, then, wait: LONG };
            let keeper = thread::spawn(move || inbox.keep(probe));
            let office = Office { desk, turns, keeper };
            assert!(office.next().1.is_empty());
            while office.desk.counted.load(Ordering::Acquire) > 0 {
                thread::yield_now();
            }
            office
        }

        fn next(&self) -> (ThreadId, Vec<Incoming>) {
            self.turns.recv_timeout(PATIENCE).expect("a turn")
        }

        /// Each turn in which there is something stops at the gate.
        fn with_gate(wait: Duration) -> (Office, Gate) {
            let (gate, pass) = Gate::new();
            let office = Office::open(move |incoming| {
                if !incoming.is_empty() {
                    pass();
                }
                Ok(wait)
            });
            (office, gate)
        }
    }

    /// Where a turn stops: it tells that it has begun, and waits until it may go on.
    struct Gate {
        begins: Receiver<()>,
        go_on: SyncSender<()>,
    }

    impl Gate {
        /// A gate, and how to come to it.
        fn new() -> (Gate, impl Fn() + Send) {
            let ((begun, begins), (go_on, wait)) = (channel(), sync_channel(0));
            let pass = move || {
                begun.send(()).unwrap();
                wait.recv().unwrap();
            };
            (Gate { begins, go_on }, pass)
        }

        fn await_turn(&self) {
            self.begins.recv_timeout(PATIENCE).expect("a turn to begin");
        }

        fn open(&self) {
            self.go_on.send(()).unwrap();
        }
    }

    /// Something to hand in.
    fn thing(words: &'static str) -> Incoming {
        Incoming::Report(What::Asked(words))
    }

    fn words(incoming: &[Incoming]) -> Vec<&str> {
        let words = |one: &Incoming| match one {
            Incoming::Report(What::Asked(words)) => *words,
            _ => unreachable!(),
        };
        incoming.iter().map(words).collect::<Vec<&str>>()
    }

    #[test]
    fn who_finds_nobody_serving_serves() {
        let office = Office::open(|_| Ok(LONG));
        for what in ["one", "two"] {
            office.desk.hand_in(thing(what));
            let (thread, incoming) = office.next();
            assert_eq!((thread, words(&incoming)), (thread::current().id(), vec![what]));
        }
        office.desk.leave(thing("three"));
        let (thread, incoming) = office.next();
        assert_eq!((thread, words(&incoming)), (office.keeper.thread().id(), vec!["three"]));
    }

    #[test]
    fn what_comes_in_meanwhile_is_served_together_and_at_last_by_the_keeper() {
        let (office, gate) = Office::with_gate(LONG);
        let desk = office.desk.clone();
        let helper = thread::spawn(move || desk.hand_in(thing("first")));
        let mut found = Vec::new();
        for round in 0..=MOST_ROUNDS {
            gate.await_turn();
            if round < MOST_ROUNDS {
                ["one", "two"].map(thing).into_iter().for_each(|thing| office.desk.hand_in(thing));
            }
            gate.open();
            let (thread, incoming) = office.next();
            found.push((thread, words(&incoming).join(" ")));
        }
        let (helper, keeper) = (helper.thread().id(), office.keeper.thread().id());
        let both = "one two".to_string();
        let mut expected = vec![(helper, "first".to_string())];
        expected.extend(vec![(helper, both.clone()); MOST_ROUNDS - 1]);
        expected.push((keeper, both));
        assert_eq!(found, expected);
    }

    #[test]
    fn keeper_wakes_when_something_is_due_though_others_decide_when() {
        let mut waits = [LONG, Duration::ZERO, LONG].into_iter();
        let office = Office::open(move |_| Ok(waits.next().unwrap_or(LONG)));
        office.desk.hand_in(thing("now it is due at once"));
        let threads = [office.next().0, office.next().0];
        assert_eq!(threads, [thread::current().id(), office.keeper.thread().id()]);
        assert!(office.turns.recv_timeout(Duration::from_millis(50)).is_err(), "it sleeps again");
    }

    #[test]
    fn keeper_is_not_called_for_less_than_the_grain_of_time() {
        let mut waits = [LONG, LONG - GRAIN / 2].into_iter();
        let office = Office::open(move |_| Ok(waits.next().unwrap_or(LONG)));
        office.desk.hand_in(thing("now it is due a little sooner"));
        assert_eq!(office.next().0, thread::current().id());
        assert!(office.turns.recv_timeout(Duration::from_millis(50)).is_err(), "the keeper sleeps");
    }

    #[test]
    fn keeper_that_rings_during_another_turn_gets_the_next() {
        let (office, gate) = Office::with_gate(Duration::from_millis(1));
        let desk = office.desk.clone();
        let helper = thread::spawn(move || desk.hand_in(thing("one")));
        gate.await_turn();
        while office.desk.counted.load(Ordering::Acquire) < 2 {
            thread::yield_now(); // until the bell stands in the inbox, too
        }
        gate.open();
        helper.join().unwrap();
        while office.next().0 == office.keeper.thread().id() {} // its turns before that
        while office.next().0 != office.keeper.thread().id() {}
    }

    /// A keeper who waited for room would not hear that it has the turn, and all would wait.
    #[test]
    fn keeper_that_finds_no_room_for_the_bell_is_called_all_the_same() {
        let (gate, pass) = Gate::new();
        let alarm = Duration::from_millis(300);
        let mut rounds = MOST_ROUNDS;
        let office = Office::open(move |incoming| {
            if !incoming.is_empty() && rounds > 0 {
                rounds -= 1;
                pass();
            }
            Ok(alarm)
        });
        let desk = office.desk.clone();
        thread::spawn(move || desk.hand_in(thing("first")));
        for round in 1..=MOST_ROUNDS {
            gate.await_turn();
            let more = if round == MOST_ROUNDS { MAX_WAITING } else { 1 };
            (0..more).for_each(|_| office.desk.hand_in(thing("more")));
            if more > 1 {
                thread::sleep(2 * alarm); // it is time to ring, but the inbox is full
            }
            gate.open();
        }
        let mut left = MOST_ROUNDS + MAX_WAITING;
        while left > 0 {
            left -= office.next().1.len();
        }
    }

    #[test]
    fn keeper_wakes_by_itself() {
        let mut waits = [Duration::from_millis(1), LONG].into_iter();
        let office = Office::open(move |_| Ok(waits.next().unwrap_or(LONG)));
        assert_eq!(office.next().0, office.keeper.thread().id());
    }

    #[test]
    fn keeper_serves_what_is_handed_in_while_all_at_the_source_are_silent() {
        let office = Office::open(|_| Ok(LONG));
        office.desk.set_source(Arc::new(Letters(Mutex::new("--".chars()))));
        office.desk.call_to_source();
        assert!(office.next().1.is_empty(), "the bell's");
        for what in ["one", "two"] {
            office.desk.hand_in(thing(what));
            // There may be empty turns, until what was received is counted.
            let served = loop {
                let (thread, incoming) = office.next();
                assert_eq!(thread, office.keeper.thread().id());
                if !incoming.is_empty() {
                    break words(&incoming).join(" ");
                }
            };
            assert_eq!(served, what);
        }
        while office.desk.counted.load(Ordering::Acquire) > 0 {
            thread::yield_now(); // until the keeper has given the turn back
        }
        while office.turns.try_recv().is_ok() {}
        office.desk.hand_in(thing("three"));
        assert_eq!(office.next().0, thread::current().id());
    }

    #[test]
    fn ask_knows_when_no_answer_will_ever_come() {
        let (desk, inbox) = open();
        drop(inbox);
        assert!(desk.ask(Ask::State, LONG).is_none());
    }

    /// A source where one thing is for each letter: `s`omething, `S`omething and more soon, `m`ore
    /// in a moment, `-` nothing. At the end there is nobody.
    struct Letters(Mutex<std::str::Chars<'static>>);

    impl Source for Letters {
        fn look(&self) -> Outlook {
            match self.0.lock().unwrap().next() {
                Some(letter @ ('s' | 'S')) => Outlook::Something { more_soon: letter == 'S' },
                Some('m') => Outlook::More,
                Some(_) => Outlook::Nothing(LONG),
                None => Outlook::Nobody,
            }
        }

        fn fetch(&self, fetched: &mut Vec<Incoming>) {
            fetched.push(thing("fetched"));
        }
    }

    #[test]
    fn keeper_fetches_before_each_round_while_somebody_is_at_the_source() {
        let (office, gate) = Office::with_gate(LONG);
        office.desk.set_source(Arc::new(Letters(Mutex::new("sms-ms".chars()))));
        office.desk.call_to_source();
        let mut found = Vec::new();
        assert!(office.next().1.is_empty(), "the bell's");
        for handed_in in [None, Some("one"), Some("two"), Some("three"), None] {
            gate.await_turn();
            // What is handed in during a turn belongs to the next.
            handed_in.into_iter().for_each(|what| office.desk.hand_in(thing(what)));
            gate.open();
            let (thread, incoming) = office.next();
            assert_eq!(thread, office.keeper.thread().id());
            found.push(words(&incoming).join(" "));
        }
        // While something waits, nobody waits for more; what waits goes with what is fetched.
        assert_eq!(found, ["fetched", "fetched", "one", "two", "fetched three"]);
    }

    /// Tells how much came in each turn, and whether more was to be expected soon. While it is, it
    /// wants the next turn at once.
    struct Hopes {
        turns: Sender<(usize, bool)>,
        more_soon: bool,
    }

    impl Serve for Hopes {
        fn turn(&mut self, waiting: Waiting, more_soon: bool) -> Result<(), String> {
            self.more_soon = more_soon;
            let _ = self.turns.send((waiting.count(), more_soon));
            Ok(())
        }

        fn wait(&self) -> Duration {
            if self.more_soon { Duration::ZERO } else { LONG }
        }
    }

    #[test]
    fn server_is_told_whether_more_comes_soon_and_does_not_wait_for_it_in_vain() {
        let (desk, inbox) = open();
        let (turns, told) = channel();
        desk.set_source(Arc::new(Letters(Mutex::new("SmsS-".chars()))));
        thread::spawn(move || inbox.keep(Hopes { turns, more_soon: false }));
        let told: Vec<_> = (0..5).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect();
        assert_eq!(told, [(0, false), (1, true), (1, false), (1, true), (0, false)]);
    }

    #[test]
    fn who_serves_waits_a_moment_for_what_comes_to_the_source() {
        let office = Office::open(|_| Ok(LONG));
        office.desk.set_source(Arc::new(Letters(Mutex::new("mmsmsmm-".chars()))));
        office.desk.hand_in(thing("one"));
        for expected in ["one", "fetched", "fetched"] {
            let (thread, incoming) = office.next();
            assert_eq!((thread, words(&incoming)), (thread::current().id(), vec![expected]));
        }
        // Whoever is silent for longer is the keeper's.
        let (thread, incoming) = office.next();
        assert_eq!((thread, incoming.len()), (office.keeper.thread().id(), 0));
    }

    #[test]
    fn who_serves_waits_for_nobody_while_something_waits() {
        let (office, gate) = Office::with_gate(LONG);
        let desk = office.desk.clone();
        office.desk.set_source(Arc::new(Letters(Mutex::new("mms".chars()))));
        let helper = thread::spawn(move || desk.hand_in(thing("one"))).thread().id();
        gate.await_turn();
        office.desk.hand_in(thing("two"));
        for expected in ["one", "two", "fetched"] {
            gate.open();
            let (thread, incoming) = office.next();
            assert_eq!((thread, words(&incoming)), (helper, vec![expected]));
            if expected != "fetched" {
                gate.await_turn();
            }
        }
    }

    /// Somebody comes to it, and rings, when the keeper has just seen that nobody is there.
    struct JustMissed {
        desk: Desk,
        looks: AtomicUsize,
    }

    impl Source for JustMissed {
        fn look(&self) -> Outlook {
            match self.looks.fetch_add(1, Ordering::AcqRel) {
                0 => {
                    self.desk.call_to_source();
                    Outlook::Nobody
                }
                1 => Outlook::Something { more_soon: false },
                _ => Outlook::Nobody,
            }
        }

        fn fetch(&self, fetched: &mut Vec<Incoming>) {
            fetched.push(thing("fetched"));
        }
    }

    #[test]
    fn keeper_looks_again_at_the_source_if_it_was_called_meanwhile() {
        let office = Office::open(|_| Ok(LONG));
        let (desk, looks) = (office.desk.clone(), AtomicUsize::new(0));
        office.desk.set_source(Arc::new(JustMissed { desk, looks }));
        office.desk.call_to_source();
        let turns = [office.next().1, office.next().1, office.next().1];
        let turns = turns.iter().map(|incoming| words(incoming).join(" ")).collect::<Vec<_>>();
        assert_eq!(turns, ["", "", "fetched"]);
    }

    /// Whoever would find the turn taken twice, or a thing twice or never, counts wrong here.
    #[test]
    fn many_hands_lose_nothing_and_never_serve_at_once() {
        const HANDS: usize = 8;
        const EACH: usize = 2000;
        let (mut left, (done, all)) = (HANDS * EACH, channel());
        let office = Office::open(move |incoming| {
            left -= incoming.len();
            if left == 0 {
                done.send(()).unwrap();
            }
            // Now and then the keeper must ring.
            Ok(if left.is_multiple_of(3) { Duration::ZERO } else { LONG })
        });
        thread::scope(|scope| {
            for _ in 0..HANDS {
                scope.spawn(|| (0..EACH).for_each(|_| office.desk.hand_in(thing("one of many"))));
            }
        });
        all.recv_timeout(PATIENCE).expect("all to be served");
    }

    #[test]
    fn server_that_fails_or_panics_ends_the_keeper_whose_turn_it_ever_is() {
        let office = Office::open(|incoming| match words(incoming)[..] {
            ["fail"] => Err("the disk is full".to_string()),
            _ => Ok(LONG),
        });
        office.desk.hand_in(thing("fail"));
        assert_eq!(office.keeper.join().unwrap(), Err("the disk is full".to_string()));

        let office = Office::open(|incoming| match words(incoming)[..] {
            ["panic"] => panic!("a test of what happens then"),
            _ => Ok(LONG),
        });
        let desk = office.desk.clone();
        assert!(thread::spawn(move || desk.hand_in(thing("panic"))).join().is_err());
        let why = office.keeper.join().unwrap().expect_err("it cannot go on");
        assert!(why.contains("panicked"), "{why}");
        office.desk.hand_in(thing("nobody serves any more, and nobody waits"));
    }
}
