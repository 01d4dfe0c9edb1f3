//! Where the connections of a crowd are looked after.
//!
//! A connection's own thread sleeps until its client says something. That costs nothing while the
//! client is silent; but to wake a thread costs more than all else that is done for a small
//! request, and where many clients were busy, most of the machine's time went into that. So while
//! more than one awaits an answer, a thread that has begun to have its client answered leaves the
//! busy connection in the hall. There the node's own thread goes round before each of its turns
//! ([`Source`]): it takes what has come, without waiting for anybody, and all of it is begun
//! together. Whoever needs more than a glance, or says nothing for a while, goes home to the thread
//! that has brought it.
//!
//! One client that is alone comes in, too, if it asks again as soon as it has its answer. Then
//! whoever writes the answer stays for a moment, and takes the next request itself.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::pen::Errand;
use super::server::{Connection, Glance};
use crate::server::inbox::{Desk, Outlook, Source};
use crate::server::slot::Slot;

/// So many clients that await answers are a crowd.
const CROWD: usize = 2;

const TIMES: Times = Times {
    busy: Duration::from_millis(10),
    soon: Duration::from_micros(120),
    soon_of_crowd: Duration::from_micros(400),
    longest_wait: Duration::from_millis(100),
};

/// The keeper looks at least once in so many of the longest waits.
const ROUND: u32 = 5;

/// The shortest and the longest time for which nobody looks whether someone says something. An
/// eighth of the time for which one has been silent is little to wait longer.
const NAPS: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(1));
const NAP_PART: u32 = 8;

/// Where connections are looked after.
pub struct Hall {
    desk: Desk,
    /// Those who have just come in.
    newcomers: Mutex<Vec<Guest>>,
    guests: Mutex<Guests>,
    times: Times,
    /// Strong once, and once for each answer that is awaited.
    awaited: Arc<()>,
}

struct Guest {
    connection: Connection,
    /// Where the thread waits that has brought it.
    home: Arc<Slot<Connection>>,
    glance: Glance,
    /// When it last asked something, that was soon after an answer.
    is_eager: bool,
    /// It was seen to await its last answer. Who is answered at once neither needs nor is company.
    has_waited: bool,
}

struct Guests {
    all: Vec<Guest>,
    times: Times,
}

/// How long is long, in a hall.
#[derive(Clone, Copy)]
struct Times {
    /// Who asks again within this time is busy, and who of a crowd has not by then goes home.
    busy: Duration,
    /// Within this time a client is back that does nothing else. One that is alone goes home after
    /// it.
    soon: Duration,
    /// Within this time one of a crowd is back that does nothing else, even if one program is many
    /// clients. For so long those who are back already wait for it: a batch takes nearly as long
    /// for few commands as for many, and if some just miss one, and then make up the next, each is
    /// smaller than it could be.
    soon_of_crowd: Duration,
    /// Who has awaited an answer for so long goes home, too.
    longest_wait: Duration,
}

/// What a look at all guests shows.
#[derive(Default)]
struct Sight {
    /// So many ask, or leave.
    to_fetch: usize,
    /// So many await answers.
    await_answers: usize,
    /// So many should be back soon.
    are_soon_back: usize,
    /// So many of them with what is better done for many at once.
    are_company: usize,
    /// How long the one has been silent who was the last to become so.
    silence: Option<Duration>,
}

impl Hall {
    /// Opens a hall, which is empty, and whose clients' errands are for this desk.
    pub fn open(desk: &Desk) -> Arc<Hall> {
        Hall::with_times(desk, TIMES)
    }

    fn with_times(desk: &Desk, times: Times) -> Arc<Hall> {
        let guests = Mutex::new(Guests { all: Vec::new(), times });
        let (newcomers, awaited) = (Mutex::default(), Arc::default());
        let hall = Arc::new(Hall { desk: desk.clone(), newcomers, guests, times, awaited });
        desk.set_source(Arc::clone(&hall) as Arc<dyn Source>);
        hall
    }

    /// What every pen holds on to whose answer is awaited.
    pub fn awaited(&self) -> Weak<()> {
        Arc::downgrade(&self.awaited)
    }

    /// Whether a client that has asked again after such a pause should come in: it does nothing
    /// else, or it is busy, and so many others are, too, that it is worth it.
    pub fn is_worth_it(&self, pause: Duration) -> bool {
        pause < self.times.soon || pause < self.times.busy && self.has_crowd()
    }

    /// Whether a crowd awaits answers, here or elsewhere.
    fn has_crowd(&self) -> bool {
        Arc::strong_count(&self.awaited) > CROWD
    }

    /// Has a connection looked after until it goes home. Its last answer may be awaited still.
    ///
    /// # Errors
    /// The system does not let it be read without waiting.
    pub fn look_after(&self, connection: Connection) -> io::Result<Connection> {
        if !connection.enter_hall()? {
            return Ok(connection);
        }
        let home = Slot::new();
        let guest = Guest {
            is_eager: connection.pause().is_some_and(|pause| pause < self.times.soon_of_crowd),
            has_waited: true,
            connection,
            home: Arc::clone(&home),
            glance: Glance::Leaves,
        };
        if self.admit(guest) {
            self.desk.call_to_source();
        }
        loop {
            match home.wait(ROUND * self.times.longest_wait) {
                Some(connection) => return connection.leave_hall().map(|()| connection),
                None => self.desk.call_to_source(), // its answer may never come
            }
        }
    }

    /// Lets a guest in. True if it has had its answer by now: whoever gave it may not have seen it
    /// here. For one who awaits it still, someone will look then.
    fn admit(&self, guest: Guest) -> bool {
        let mut newcomers = lock(&self.newcomers);
        newcomers.push(guest);
        newcomers.last().is_some_and(|guest| !guest.connection.awaits())
    }
}

impl Source for Hall {
    fn look(&self) -> Outlook {
        let mut guests = lock(&self.guests);
        guests.all.append(&mut lock(&self.newcomers));
        match guests.all.len() {
            0 => Outlook::Nobody,
            1 if !self.has_crowd() => guests.look_at_one(),
            _ => guests.look(),
        }
    }

    fn fetch(&self, fetched: &mut Vec<Errand>) {
        let mut guests = lock(&self.guests);
        let now = Instant::now();
        for guest in &mut guests.all {
            if let Glance::Asks(_) = guest.glance {
                guest.has_waited = false;
                let errand = guest.connection.begin_quickly();
                guest.glance = if errand.is_some() { Glance::Awaits(now) } else { Glance::Leaves };
                fetched.extend(errand);
            }
        }
        guests.send_home();
    }
}

impl Guests {
    fn look_at_one(&mut self) -> Outlook {
        match self.see() {
            Sight { to_fetch: 1, .. } => Outlook::Something { more_soon: false },
            Sight { await_answers: 1, .. } => Outlook::Nobody,
            Sight { are_soon_back: 1, .. } => Outlook::More,
            _ => {
                self.all[0].glance = Glance::Leaves;
                Outlook::Something { more_soon: false }
            }
        }
    }

    fn look(&mut self) -> Outlook {
        let Sight { to_fetch, await_answers, are_soon_back, are_company, silence } = self.see();
        // Where some await answers, those come next; unless they await company.
        let may_stay = await_answers == 0 || are_company > 0;
        match silence {
            _ if to_fetch > 0 => Outlook::Something { more_soon: are_company > 0 },
            _ if are_soon_back > 0 && may_stay => Outlook::More,
            Some(silence) => Outlook::Nothing((silence / NAP_PART).clamp(NAPS.0, NAPS.1)),
            None => Outlook::Nothing(NAPS.1),
        }
    }

    fn see(&mut self) -> Sight {
        let (now, times, mut sight) = (Instant::now(), self.times, Sight::default());
        let soon = if self.all.len() == 1 { times.soon } else { times.soon_of_crowd };
        for guest in &mut self.all {
            let asked_before = matches!(guest.glance, Glance::Asks(_));
            guest.glance = guest.connection.glance();
            match guest.glance {
                Glance::Asks(_) if asked_before => {}
                Glance::Asks(since) => guest.is_eager = now < since + soon,
                Glance::Awaits(since) if now < since + times.longest_wait => {
                    guest.has_waited = true;
                    sight.await_answers += 1;
                    continue;
                }
                Glance::Silent(since) if now < since + times.busy => {
                    let silence = now.saturating_duration_since(since);
                    sight.silence = Some(sight.silence.map_or(silence, |last| last.min(silence)));
                    let is_soon_back = guest.is_eager && silence < soon;
                    sight.are_soon_back += usize::from(is_soon_back);
                    sight.are_company += usize::from(is_soon_back && guest.has_waited);
                    continue;
                }
                _ => guest.glance = Glance::Leaves,
            }
            sight.to_fetch += 1;
        }
        sight
    }

    /// Sends those home who need their thread.
    fn send_home(&mut self) {
        let leaves = |guest: &mut Guest| matches!(guest.glance, Glance::Leaves);
        for guest in self.all.extract_if(.., leaves) {
            guest.home.bring(guest.connection);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use super::super::pen::{Later, Pen};
    use super::super::server::{Deadlines, Handler, serve};
    use super::super::{Request, Response};
    use super::*;
    use crate::node::event::What;
    use crate::server::inbox::{self, Answer, Ask, Incoming, Serve, Tell, Waiting};
    use crate::transport::timed::tests::pair;

    const PATIENCE: Duration = Duration::from_secs(30);
    const LONG: Duration = Duration::from_secs(3600);
    const AGES: Times = Times {
        busy: LONG,
        soon: Duration::ZERO,
        soon_of_crowd: Duration::ZERO,
        longest_wait: LONG,
    };
    const SOMETHING: Outlook = Outlook::Something { more_soon: false };

    /// A hall in which the test goes round itself.
    struct House {
        hall: Arc<Hall>,
        errands: (Sender<Errand>, Receiver<Errand>),
        /// So many await answers elsewhere that it is worth it.
        crowd: Vec<Arc<()>>,
    }

    /// Answers what is asked at `/slow` at once, and all else with an errand.
    struct Host<F> {
        hall: Arc<Hall>,
        patience: Duration,
        hand_in: F,
    }

    impl<F: Fn(Errand) + Send> Handler for Host<F> {
        fn answer(&self, request: &Request) -> Response {
            self.answer_quickly(request).unwrap_or_else(|| Response::text(200, "slow"))
        }

        fn answer_quickly(&self, request: &Request) -> Option<Response> {
            if request.path == "/slow" {
                return None;
            }
            let path = request.path.to_string();
            let tell = |pen: Pen| {
                Box::new(move |answer| match answer {
                    Answer::Text(text) => pen.write(Response::text(200, path + &text)),
                    _ => unreachable!(),
                })
            };
            let errand = Box::new(|pen| Incoming::Client(Ask::State, tell(pen)));
            let too_late = || Response::text(504, "too late");
            Some(Response::later(Later { errand, patience: self.patience, too_late }))
        }

        fn hand_in(&self, errand: Errand) {
            (self.hand_in)(errand);
        }

        fn hall(&self) -> Option<Arc<Hall>> {
            Some(Arc::clone(&self.hall))
        }
    }

    impl House {
        fn open(times: Times) -> House {
            let hall = Hall::with_times(&inbox::open().0, times);
            let crowd = vec![hall.awaited().upgrade().unwrap(); CROWD];
            House { hall, errands: channel(), crowd }
        }

        /// A client whose first errands are done, and whose connection is in the hall.
        fn guest(&self) -> TcpStream {
            let errands = self.errands.0.clone();
            let hand_in = move |errand| errands.send(errand).unwrap();
            let mut client =
                client(Host { hall: Arc::clone(&self.hall), patience: PATIENCE, hand_in });
            let before = lock(&self.hall.guests).all.len();
            for path in ["/first", "/second"] {
                client.write_all(&request(path)).unwrap();
                let errand = self.errands.1.recv_timeout(PATIENCE).unwrap();
                if path == "/second" {
                    self.look_until(|_| lock(&self.hall.guests).all.len() > before);
                }
                tell(errand, " done");
                expect(&mut client, &format!("{path} done"));
            }
            client
        }

        /// Goes round until this is what it looks like.
        fn look_until(&self, is_it: impl Fn(Outlook) -> bool) {
            let begun_at = Instant::now();
            while !is_it(self.hall.look()) {
                assert!(begun_at.elapsed() < PATIENCE);
                thread::yield_now();
            }
        }

        fn fetch(&self) -> Vec<Errand> {
            let mut fetched = Vec::new();
            self.hall.fetch(&mut fetched);
            fetched
        }

        /// The errand of a guest that asks this.
        fn errand(&self, guest: &mut TcpStream, path: &str) -> Errand {
            guest.write_all(&request(path)).unwrap();
            self.look_until(|outlook| outlook == SOMETHING);
            self.fetch().pop().unwrap()
        }

        /// The last guest goes home.
        fn empties(&self) {
            self.look_until(|outlook| outlook == SOMETHING);
            assert!(self.fetch().is_empty());
            assert_eq!(self.hall.look(), Outlook::Nobody);
        }
    }

    /// A client of this host.
    fn client(host: impl Handler + 'static) -> TcpStream {
        let (client, stream) = pair();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        thread::spawn(move || serve(stream, Deadlines::default(), Box::new(host)));
        client
    }

    fn request(path: &str) -> Vec<u8> {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into()
    }

    fn tell(errand: Errand, text: &str) {
        let Incoming::Client(_, tell) = errand else { unreachable!() };
        assert!(tell(Answer::Text(text.to_string())));
    }

    /// Reads an answer that says this.
    fn expect(client: &mut TcpStream, body: &str) {
        let mut found = Vec::new();
        while !found.ends_with(body.as_bytes()) {
            let mut bytes = [0; 4096];
            let count = client.read(&mut bytes).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&found));
            found.extend_from_slice(&bytes[..count]);
        }
    }

    #[test]
    fn what_guests_ask_is_fetched_together() {
        let house = House::open(AGES);
        let mut guests = [house.guest(), house.guest()];
        for path in ["/a", "/b"] {
            for guest in &mut guests {
                guest.write_all(&request(path)).unwrap();
            }
            let asks = || lock(&house.hall.guests).all.iter().filter(|it| it.asks()).count();
            house.look_until(|_| asks() == 2);
            let errands = house.fetch();
            assert_eq!(errands.len(), 2);
            let outlook = house.hall.look();
            assert_eq!(outlook, Outlook::Nothing(NAPS.1), "both await their answers");
            errands.into_iter().for_each(|errand| tell(errand, " done"));
            guests.iter_mut().for_each(|guest| expect(guest, &format!("{path} done")));
        }
    }

    impl Guest {
        fn asks(&self) -> bool {
            matches!(self.glance, Glance::Asks(_))
        }
    }

    #[test]
    fn who_asks_twice_at_once_is_answered_in_order() {
        let house = House::open(AGES);
        let mut guest = house.guest();
        guest.write_all(&[request("/a"), request("/b")].concat()).unwrap();
        for path in ["/a", "/b"] {
            house.look_until(|outlook| outlook == SOMETHING);
            let errand = house.fetch().pop().unwrap();
            let outlook = house.hall.look();
            assert_eq!(outlook, Outlook::Nothing(NAPS.1), "the next waits for this answer");
            tell(errand, " done");
            expect(&mut guest, &format!("{path} done"));
        }
    }

    #[test]
    fn who_needs_more_than_a_glance_goes_home_and_is_served_there() {
        let whole = request("/x");
        let close = b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        for (first, rest, body) in [
            (&request("/slow")[..], &b""[..], "slow"),
            (b"GET /x HTTP/1.1\r\n\r\n", b"", "the header Host is missing\"}"),
            (&whole[..10], &whole[10..], "/x done"),
            (close, b"", "/x done"),
        ] {
            let house = House::open(AGES);
            let mut guest = house.guest();
            guest.write_all(first).unwrap();
            house.empties();
            guest.write_all(rest).unwrap();
            if body.ends_with("done") {
                tell(house.errands.1.recv_timeout(PATIENCE).unwrap(), " done");
            }
            expect(&mut guest, body);
        }
    }

    #[test]
    fn who_says_nothing_goes_home_and_so_does_who_waits_for_long() {
        let house = House::open(AGES);
        let mut guests = [house.guest(), house.guest()];
        let errand = house.errand(&mut guests[0], "/a");
        for (times, left) in [
            (Times { busy: Duration::ZERO, ..AGES }, 1),
            (Times { longest_wait: Duration::ZERO, ..AGES }, 0),
        ] {
            lock(&house.hall.guests).times = times;
            assert_eq!(house.hall.look(), SOMETHING);
            assert!(house.fetch().is_empty());
            assert_eq!(lock(&house.hall.guests).all.len(), left);
        }
        tell(errand, " done");
        expect(&mut guests[0], "/a done");
        guests[1].write_all(&request("/b")).unwrap();
        tell(house.errands.1.recv_timeout(PATIENCE).unwrap(), " done");
        expect(&mut guests[1], "/b done");
    }

    #[test]
    fn who_does_not_take_an_answer_holds_nobody_up() {
        let house = House::open(AGES);
        let mut guest = house.guest();
        let long = "x".repeat(16 * 1024 * 1024); // more than any socket takes
        tell(house.errand(&mut guest, "/long"), &long);
        house.empties();
        let mut taken = 0;
        while taken < long.len() {
            taken += guest.read(&mut vec![0; 1 << 20]).unwrap();
        }
        guest.write_all(&request("/slow")).unwrap();
        expect(&mut guest, "slow");
    }

    /// A thread writes the rest of a long answer, and may wait. So would whoever reads then.
    #[test]
    fn who_was_slow_to_take_an_answer_has_left_even_if_it_has_it_now() {
        let house = House::open(AGES);
        let mut guest = house.guest();
        tell(house.errand(&mut guest, "/long"), &("x".repeat(16 * 1024 * 1024) + " done"));
        expect(&mut guest, " done");
        thread::sleep(NAPS.1 * 20); // until it counts as written
        assert_eq!(house.hall.look(), SOMETHING);
        assert!(house.fetch().is_empty());
        assert_eq!(house.hall.look(), Outlook::Nobody);
    }

    #[test]
    fn client_that_hangs_up_leaves() {
        let house = House::open(AGES);
        drop(house.guest());
        house.empties();
    }

    /// One asks, and one has just been answered.
    #[test]
    fn who_is_soon_back_is_told_of_and_waited_for() {
        let house = House::open(AGES);
        let mut guests = [house.guest(), house.guest()];
        let ask_again = |guest: &mut TcpStream| {
            guest.write_all(&request("/again")).unwrap();
            house.look_until(|_| lock(&house.hall.guests).all.iter().any(Guest::asks));
        };
        let answer = |errand: Option<Errand>, guest: &mut TcpStream| {
            tell(errand.unwrap(), " done");
            expect(guest, "/again done");
        };
        lock(&house.hall.guests).times.soon_of_crowd = LONG;
        for (guest, more_soon) in [(0, false), (1, true)] {
            // Who has not been back soon before, is not waited for.
            ask_again(&mut guests[guest]);
            assert_eq!(house.hall.look(), Outlook::Something { more_soon });
            let errand = house.fetch().pop();
            house.hall.look();
            answer(errand, &mut guests[guest]);
        }
        assert_eq!(house.hall.look(), Outlook::More);
        // Who was answered at once is waited for, too, but not by others who ask something.
        for (guest, more_soon) in [(0, true), (1, false)] {
            ask_again(&mut guests[guest]);
            assert_eq!(house.hall.look(), Outlook::Something { more_soon });
            answer(house.fetch().pop(), &mut guests[guest]);
        }
        assert_eq!(house.hall.look(), Outlook::More);
        let errand = house.errand(&mut guests[0], "/again");
        assert!(matches!(house.hall.look(), Outlook::Nothing(_)), "this answer comes next");
        answer(Some(errand), &mut guests[0]);
    }

    #[test]
    fn one_that_asks_again_at_once_comes_in_and_is_waited_for() {
        let mut house = House::open(Times { soon: LONG, soon_of_crowd: LONG, ..AGES });
        house.crowd.clear();
        let mut guest = house.guest();
        for path in ["/a", "/b"] {
            assert_eq!(house.hall.look(), Outlook::More);
            let errand = house.errand(&mut guest, path);
            assert_eq!(house.hall.look(), Outlook::Nobody, "whoever answers it will look");
            tell(errand, " done");
            expect(&mut guest, &format!("{path} done"));
        }
        lock(&house.hall.guests).times.soon = Duration::ZERO;
        house.empties();
        guest.write_all(&request("/c")).unwrap();
        tell(house.errands.1.recv_timeout(PATIENCE).unwrap(), " done");
        expect(&mut guest, "/c done");
    }

    #[test]
    fn last_of_a_crowd_goes_home() {
        let mut house = House::open(AGES);
        let guests = [house.guest(), house.guest()];
        house.crowd.clear();
        assert!(matches!(house.hall.look(), Outlook::Nothing(_)), "two are a crowd");
        let [mut first, second] = guests;
        let errand = house.errand(&mut first, "/a");
        drop(second);
        house.look_until(|outlook| outlook == SOMETHING);
        assert!(house.fetch().is_empty());
        assert_eq!(house.hall.look(), Outlook::Nobody, "whoever answers the other will look");
        tell(errand, " done");
        expect(&mut first, "/a done");
        house.empties();
        first.write_all(&request("/b")).unwrap();
        tell(house.errands.1.recv_timeout(PATIENCE).unwrap(), " done");
        expect(&mut first, "/b done");
    }

    /// Answers every third client at once, and the others when another thread says so. It never
    /// wants a turn by itself.
    struct Slow {
        clients: usize,
        tells: Vec<Tell>,
        asked: Sender<()>,
    }

    impl Serve for Slow {
        fn turn(&mut self, waiting: Waiting, _more_soon: bool) -> Result<(), String> {
            for one in waiting {
                match one {
                    Incoming::Client(_, tell) => {
                        self.clients += 1;
                        self.tells.push(tell);
                        if self.clients.is_multiple_of(3) {
                            self.tell_all();
                        }
                        self.asked.send(()).unwrap();
                    }
                    _ => self.tell_all(),
                }
            }
            Ok(())
        }

        fn wait(&self) -> Duration {
            LONG
        }
    }

    impl Slow {
        fn tell_all(&mut self) {
            for tell in self.tells.drain(..) {
                tell(Answer::Text(" done".to_string()));
            }
        }
    }

    /// Whoever is left in the hall, and for whom nobody looks, waits in vain.
    #[test]
    fn nobody_is_forgotten_who_comes_and_goes() {
        const REQUESTS: usize = 1000;
        let ((desk, inbox), (asked, signals)) = (inbox::open(), channel());
        let soon = Duration::from_millis(2);
        let hall = Hall::with_times(
            &desk,
            Times { soon, soon_of_crowd: soon, longest_wait: LONG, ..TIMES },
        );
        thread::spawn(move || inbox.keep(Slow { clients: 0, tells: Vec::new(), asked }));
        let for_other = desk.clone();
        thread::spawn(move || {
            signals.iter().for_each(|()| for_other.hand_in(Incoming::Report(What::Asked("it"))));
        });
        let ask = |requests: usize, pause: Duration| {
            let (hall, desk) = (Arc::clone(&hall), desk.clone());
            let hand_in = move |errand| desk.hand_in(errand);
            let mut client = client(Host { hall, patience: PATIENCE, hand_in });
            for number in 0..requests {
                client.write_all(&request("/x")).unwrap();
                expect(&mut client, "/x done");
                if number % 8 == 0 {
                    thread::sleep(pause);
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| ask(REQUESTS, soon / 2));
            scope.spawn(|| ask(REQUESTS / 2, 2 * soon));
            scope.spawn(|| (0..100).for_each(|_| ask(REQUESTS / 100, Duration::ZERO)));
        });
    }

    #[test]
    fn one_that_is_never_answered_is_told_so() {
        let ((desk, inbox), (asked, _asked)) = (inbox::open(), channel());
        let hall = Hall::with_times(&desk, Times { soon: LONG, soon_of_crowd: LONG, ..TIMES });
        // Of three the second has its answer with the first's, and the third has none.
        thread::spawn(move || inbox.keep(Slow { clients: 1, tells: Vec::new(), asked }));
        let hand_in = move |errand| desk.hand_in(errand);
        let patience = TIMES.longest_wait;
        let mut client = client(Host { hall, patience, hand_in });
        for (path, told) in
            [("/first", "too late"), ("/second", "/second done"), ("/third", "too late")]
        {
            client.write_all(&request(path)).unwrap();
            expect(&mut client, told);
        }
    }

    #[test]
    fn naps_grow_with_the_silence() {
        let house = House::open(AGES);
        let _guest = house.guest();
        let nap = || match house.hall.look() {
            Outlook::Nothing(nap) => nap,
            outlook => panic!("{outlook:?}"),
        };
        let first = nap();
        assert!(first >= NAPS.0);
        thread::sleep(NAP_PART * NAPS.1);
        assert_eq!(nap(), NAPS.1);
    }

    #[test]
    fn who_is_busy_comes_in_if_others_are() {
        let House { hall, crowd, .. } = House::open(Times { busy: NAPS.1, ..AGES });
        assert!(hall.is_worth_it(NAPS.0));
        assert!(!hall.is_worth_it(NAPS.1));
        drop(crowd);
        assert!(!hall.is_worth_it(NAPS.0));
    }
}
