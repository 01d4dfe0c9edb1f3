//! Judges whether clients saw one store: the checker of linearizability (Herlihy & Wing 1990).
//!
//! A history is linearizable if each operation seems to take effect at one moment between its call
//! and its answer (§8). That is: the operations can be put in an order in which none stands before
//! one that was answered before it was called, and in which the store, doing them one by one, gives
//! every answer that the clients got. Linearizability is local: a history has such an order if the
//! operations on each key have one, so each key is judged alone.
//!
//! The order is searched for from the front (Wing & Gong 1993): place any operation that may come
//! next and whose answer fits, go on from there, and come back if that leads nowhere. Most ways
//! lead to the same operations placed and the same value, so what was tried is remembered and never
//! tried again (Lowe 2017); that makes the search fast. Operations without an answer would make it
//! slow all the same, for each may be placed or not: two short rules keep them in check.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::node::step::Millis;
use crate::state_machine::Reply;
use crate::state_machine::kv::{Change, Request};

/// How many operations of an order are shown at most: the last ones.
const MAX_SHOWN: usize = 10;

/// What a client did and saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who.
    pub client: String,
    /// What was asked.
    pub request: Request,
    /// When it was asked.
    pub called: Millis,
    /// When the answer came, and what it was. Without one the operation may have taken effect at
    /// any time since its call, or never.
    pub answer: Option<(Millis, Reply)>,
}

impl Operation {
    /// By when it took effect, if it ever did.
    fn answered_at(&self) -> Millis {
        self.answer.as_ref().map_or(Millis::MAX, |(at, _)| *at)
    }
}

/// One line: the client, the call and the answer.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Operation { client, request, called, answer } = self;
        match answer {
            Some((at, reply)) => write!(f, "{client}  {called}..{at} ms  {request} → {reply}"),
            None => write!(f, "{client}  {called}.. ms  {request} → no answer"),
        }
    }
}

/// Whether some order explains all answers. Operations that touch in the same millisecond count
/// as concurrent; those that are about no key are not looked at.
///
/// The error is a few lines for people: on the first key without such an order, how far one gets,
/// and the answer for which no place is left.
pub fn check(history: &[Operation]) -> Result<(), String> {
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history {
        if let Some(key) = operation.request.key() {
            keys.entry(key).or_default().push(operation);
        }
    }
    keys.into_iter().try_for_each(|(key, operations)| check_key(key, operations))
}

/// The beginning of an order, as far as it matters for what may follow.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Prefix {
    /// Placed are all operations before this one,
    first_left: usize,
    /// and of those behind it, these, in order.
    ahead: Vec<usize>,
    /// What they leave behind.
    value: Option<String>,
}

impl Prefix {
    /// One operation longer, if its answer fits.
    fn with(&self, number: usize, operation: &Operation) -> Option<Prefix> {
        let (change, reply) = operation.request.effect(|| self.value.as_deref());
        if operation.answer.as_ref().is_some_and(|(_, seen)| *seen != reply) {
            return None;
        }
        let mut longer = self.clone();
        match change {
            Change::Keep => {}
            Change::Write(value) => longer.value = Some(value.into_owned()),
            Change::Remove => longer.value = None,
        }
        longer.ahead.insert(longer.ahead.partition_point(|&other| other < number), number);
        while longer.ahead.first() == Some(&longer.first_left) {
            longer.ahead.remove(0);
            longer.first_left += 1;
        }
        Some(longer)
    }
}

fn check_key(key: &str, operations: Vec<&Operation>) -> Result<(), String> {
    let mut search = Search::new(operations);
    let Err((furthest, last_step)) = search.run() else { return Ok(()) };
    let order = search.order_up_to(last_step);
    let shown = &order[order.len().saturating_sub(MAX_SHOWN)..];
    let mut text = format!("no order of the operations on {key} explains every answer\n");
    if shown.len() < order.len() {
        text += &format!("  ({} before these)\n", order.len() - shown.len());
    }
    for operation in shown {
        text += &format!("  {operation}\n");
    }
    let value = furthest.value.unwrap_or(Reply::NotFound.to_string());
    let unexplained = search.operations[furthest.first_left];
    Err(text + &format!("here {key} is {value}, and there is no place for\n  {unexplained}"))
}

/// The search for an order of the operations on one key.
struct Search<'a> {
    /// In the order of their answers; those without one come last, in the order of their calls.
    operations: Vec<&'a Operation>,
    /// How many have an answer.
    answered: usize,
    /// What was placed so far in any try: the operation, and the step before.
    steps: Vec<(usize, Option<usize>)>,
    /// The prefixes met, less their operations without answer; and these, for each time.
    tried: HashMap<Prefix, Vec<Vec<usize>>>,
}

impl<'a> Search<'a> {
    fn new(mut operations: Vec<&'a Operation>) -> Search<'a> {
        operations.sort_unstable_by_key(|operation| (operation.answered_at(), operation.called));
        let answered = operations.partition_point(|operation| operation.answer.is_some());
        Search { operations, answered, steps: Vec::new(), tried: HashMap::new() }
    }

    /// Finds an order of all that were answered, or else how far one gets, with its last step.
    fn run(&mut self) -> Result<(), (Prefix, Option<usize>)> {
        let mut furthest = (Prefix::default(), None);
        let mut to_try = vec![furthest.clone()];
        while let Some((prefix, last_step)) = to_try.pop() {
            if prefix.first_left >= self.answered {
                return Ok(());
            }
            // What is pushed last is tried first: the operation that was answered first.
            for number in (prefix.first_left..self.operations.len()).rev() {
                if self.may_be_next(&prefix, number)
                    && let Some(longer) = prefix.with(number, self.operations[number])
                    && self.is_new(&longer)
                {
                    to_try.push((longer, Some(self.steps.len())));
                    self.steps.push((number, last_step));
                }
            }
            if prefix.first_left > furthest.0.first_left {
                furthest = (prefix, last_step);
            }
        }
        Err(furthest)
    }

    /// An operation cannot stand before one that was answered before it was called. And of equal
    /// ones without an answer, it is enough to try the one that was called first.
    fn may_be_next(&self, prefix: &Prefix, number: usize) -> bool {
        let operation = self.operations[number];
        let is_left = |number: &usize| !prefix.ahead.contains(number);
        let mut older = (self.answered..number).filter(is_left);
        operation.called <= self.operations[prefix.first_left].answered_at()
            && is_left(&number)
            && !older.any(|older| self.operations[older].request == operation.request)
    }

    /// Whether nothing as good was tried before: the same operations placed and the same value, and
    /// no other operation without an answer used up.
    fn is_new(&mut self, prefix: &Prefix) -> bool {
        let mut prefix = prefix.clone();
        let answered = prefix.ahead.partition_point(|&number| number < self.answered);
        let used_up = prefix.ahead.split_off(answered);
        let earlier = self.tried.entry(prefix).or_default();
        let is_new =
            !earlier.iter().any(|fewer| fewer.iter().all(|number| used_up.contains(number)));
        if is_new {
            earlier.push(used_up);
        }
        is_new
    }

    fn order_up_to(&self, mut last: Option<usize>) -> Vec<&'a Operation> {
        let mut order = Vec::new();
        while let Some(step) = last {
            let (number, before) = self.steps[step];
            order.push(self.operations[number]);
            last = before;
        }
        order.reverse();
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::step::Random;
    use crate::state_machine::StateMachine;
    use crate::state_machine::kv::Store;

    fn done(client: &str, called: Millis, at: Millis, text: &str, reply: Reply) -> Operation {
        let request = text.parse().expect("the tests write commands that are right");
        Operation { client: client.to_string(), request, called, answer: Some((at, reply)) }
    }

    fn unknown(client: &str, called: Millis, text: &str) -> Operation {
        Operation { answer: None, ..done(client, called, 0, text, Reply::Ok) }
    }

    fn value(text: &str) -> Reply {
        Reply::Value(text.to_string())
    }

    /// PAPER 29: S1 is cut off with its client, S2 commits x=2, S1 still answers x=1.
    #[test]
    fn check_refuses_a_stale_read_and_explains_it() {
        let history = [
            done("c1", 10, 20, "set x=1", Reply::Ok),
            done("c1", 50, 60, "get x", value("1")),
            done("c2", 30, 40, "set x=2", Reply::Ok),
            unknown("c3", 45, "set x=3"), // does not help, so it is not shown
            done("c2", 30, 90, "get y", Reply::NotFound),
        ];
        let explanation = "no order of the operations on x explains every answer\n  \
             c1  10..20 ms  set x=1 → ok\n  \
             c2  30..40 ms  set x=2 → ok\n\
             here x is 2, and there is no place for\n  \
             c1  50..60 ms  get x → 1";
        assert_eq!(check(&history), Err(explanation.to_string()));
    }

    #[test]
    fn check_explains_with_the_last_operations_of_a_long_order() {
        let count =
            |n| done("c1", 10 * n as Millis, 10 * n as Millis + 5, "incr n", Reply::Number(n));
        let history = [(1..=12).map(count).collect(), vec![count(14)]].concat();
        let explanation = check(&history).expect_err("13 is missing");
        let begin = "no order of the operations on n explains every answer\n  \
             (2 before these)\n  \
             c1  30..35 ms  incr n → 3\n";
        assert!(explanation.starts_with(begin), "{explanation}");
    }

    #[test]
    fn check_refuses_a_lost_acknowledged_write() {
        let history = [
            done("c1", 10, 20, "set x=1", Reply::Ok),
            done("c2", 20, 30, "get x", value("1")),
            done("c2", 40, 50, "get x", Reply::NotFound),
        ];
        assert!(check(&history).is_err());
        assert_eq!(check(&history[..2]), Ok(()));
    }

    /// PAPER 28: the retry of an increment counts again.
    #[test]
    fn check_refuses_an_increment_applied_twice() {
        assert_eq!(check(&[done("c1", 0, 9, "incr n", Reply::Number(1))]), Ok(()));
        assert!(check(&[done("c1", 0, 9, "incr n", Reply::Number(2))]).is_err());
        let unseen = [unknown("c1", 0, "incr n"), done("c2", 5, 9, "get n", value("2"))];
        assert!(check(&unseen).is_err());
    }

    #[test]
    fn check_lets_an_operation_without_answer_take_effect_late_or_never() {
        let [write, before] =
            [unknown("c1", 0, "set x=1"), done("c2", 10, 20, "get x", Reply::NotFound)];
        let late = done("c2", 90, 95, "get x", value("1"));
        let gone = done("c2", 97, 99, "get x", Reply::NotFound);
        assert_eq!(check(&[write.clone(), before.clone()]), Ok(()));
        assert_eq!(check(&[write.clone(), before.clone(), late.clone()]), Ok(()));
        assert!(check(&[write, before, late, gone]).is_err(), "it took effect and was undone");
        let too_early = [done("c2", 0, 9, "get x", value("1")), unknown("c1", 10, "set x=1")];
        assert!(check(&too_early).is_err(), "it was read before it was called");
    }

    #[test]
    fn check_accepts_concurrent_operations_in_either_order_but_in_one() {
        let writes =
            [done("c1", 0, 50, "set x=1", Reply::Ok), done("c2", 0, 50, "set x=2", Reply::Ok)];
        for last in ["1", "2"] {
            let read = |at| done("c3", at, at + 5, "get x", value(last));
            assert_eq!(check(&[&writes[..], &[read(20), read(60)]].concat()), Ok(()));
        }
        let one = done("c3", 60, 65, "get x", value("1"));
        let two = done("c4", 70, 75, "get x", value("2"));
        assert!(check(&[&writes[..], &[one, two]].concat()).is_err());
    }

    #[test]
    fn check_accepts_one_winner_among_concurrent_swaps() {
        let lost = |found: &str| Reply::NotSwapped(Some(found.to_string()));
        let set = done("c1", 0, 9, "set x=0", Reply::Ok);
        let swap = |to: &str, reply| done(to, 10, 20, &format!("cas x 0 {to}"), reply);
        let one_wins = [set.clone(), swap("1", lost("2")), swap("2", Reply::Ok)];
        assert_eq!(check(&one_wins), Ok(()));
        let both_win = [set.clone(), swap("1", Reply::Ok), swap("2", Reply::Ok)];
        assert!(check(&both_win).is_err());
        assert!(check(&[set, swap("1", lost("2")), swap("2", lost("1"))]).is_err());
    }

    /// Each of these would take hours or years if all orders, or all subsets, were tried.
    #[test]
    fn check_ends_soon_though_many_orders_are_possible() {
        let wrong = done("c0", 10, 20, "get x", value("never written"));
        let answered = (1..=12).map(|_| done("c1", 0, 9, "set x=1", Reply::Ok)).collect();
        let equal = (1..=60).map(|_| unknown("c1", 0, "incr x")).collect();
        let different = (1..=60).map(|n| unknown("c1", 0, &format!("set x={n}"))).collect();
        for mut history in [answered, equal, different] as [Vec<Operation>; 3] {
            assert_eq!(check(&history), Ok(()));
            history.push(wrong.clone());
            assert!(check(&history).is_err());
        }
    }

    fn any_request(random: &mut Random, keys: u64) -> Request {
        let key = format!("k{}", random.between(1, keys));
        let kind = random.between(0, 5);
        let mut number = || random.between(0, 3).to_string();
        match kind {
            0 => Request::Delete { key },
            1 => Request::Increment { key, by: 1 },
            2 => Request::CompareAndSet { key, old: number(), new: number() },
            3 => Request::Set { key, value: number() },
            _ => Request::Get { key },
        }
    }

    /// What five clients see of a store that does each operation at one moment between its call and
    /// its answer. Some answers get lost, of operations that are done late or never.
    fn true_history(random: &mut Random, length: u64, keys: u64) -> Vec<Operation> {
        let mut free_at = [0; 5];
        let mut moments = Vec::new();
        for number in 0..length {
            let client = number as usize % 5;
            let called = free_at[client] + random.between(0, 20);
            let mut moment = called + random.between(0, 20);
            let mut answer = Some((moment + random.between(0, 20), Reply::Ok));
            free_at[client] = called + 41;
            if random.between(0, 9) == 0 {
                (moment, answer) = (called + random.between(0, 300), None);
            }
            let (client, request) = (format!("c{client}"), any_request(random, keys));
            moments.push((moment, Operation { client, request, called, answer }));
        }
        moments.sort_by_key(|(moment, _)| *moment);
        let mut store = Store::default();
        for (_, Operation { request, answer, .. }) in &mut moments {
            if answer.is_some() || random.between(0, 1) == 0 {
                let reply = store.apply(&request.to_string());
                answer.iter_mut().for_each(|(_, seen)| *seen = reply.clone());
            }
        }
        moments.into_iter().map(|(_, operation)| operation).collect()
    }

    #[test]
    fn check_accepts_what_a_real_store_did_and_refuses_an_answer_it_never_gave() {
        let mut random = Random(1);
        for _ in 0..200 {
            let mut history = true_history(&mut random, 60, 3);
            assert_eq!(check(&history), Ok(()));
            let answered = history.iter_mut().filter_map(|operation| operation.answer.as_mut());
            let mut replies: Vec<&mut Reply> = answered.map(|(_, reply)| reply).collect();
            let changed = random.between(0, replies.len() as u64 - 1) as usize;
            *replies[changed] = value("never written");
            assert!(check(&history).is_err());
        }
    }

    /// The definition, word by word: slow, and so simple that it is right.
    fn explained(left: &[Operation], value: Option<&str>) -> bool {
        left.iter().all(|operation| operation.answer.is_none())
            || (0..left.len()).any(|first| {
                let mut rest = left.to_vec();
                let operation = rest.remove(first);
                let (change, reply) = operation.request.effect(|| value);
                let in_time = rest.iter().all(|other| other.answered_at() >= operation.called);
                let fits = operation.answer.is_none_or(|(_, seen)| seen == reply);
                in_time
                    && fits
                    && match change {
                        Change::Keep => explained(&rest, value),
                        Change::Write(value) => explained(&rest, Some(&value)),
                        Change::Remove => explained(&rest, None),
                    }
            })
    }

    #[test]
    fn check_agrees_with_the_definition_when_requests_change_places() {
        let mut random = Random(2);
        let mut refused = 0;
        for _ in 0..1000 {
            let mut history = true_history(&mut random, 6, 1);
            let (one, other) = (random.between(0, 5) as usize, random.between(0, 5) as usize);
            let request = history[one].request.clone();
            history[one].request = std::mem::replace(&mut history[other].request, request);
            let verdict = check(&history);
            assert_eq!(verdict.is_ok(), explained(&history, None), "{verdict:?} of {history:#?}");
            refused += u32::from(verdict.is_err());
        }
        assert!((200..800).contains(&refused), "{refused} of 1000 refused: both must be common");
    }
}
