//! Random runs, made of the moves in which the paper's own stories are told.
//!
//! Single messages, drawn at random, almost never come to anything: an election takes four of them
//! in the right order. So the moves are whole round trips (a candidate asks, a voter answers; a
//! leader sends, a follower acknowledges), and only sometimes a single message, a late one, or one
//! that comes twice. Nothing here knows which rule is left out.

use super::step::Step;
use crate::lab::network::Number;
use crate::lab::script::Lab;
use crate::node::message::{Message, NodeId};
use crate::node::role::Role;
use crate::node::step::Random;

/// How likely each move is. Each run draws its own odds: runs in which everything goes wrong at
/// once are all alike, and find less.
struct Odds {
    /// Of a hundred moves, how many are single messages, however late; and how many are clients'.
    late: u64,
    clients: u64,
    /// Of a hundred answers, how many are late, and how many come twice.
    late_answers: u64,
    twice: u64,
    /// Of a hundred messages that arrive, how many take their server's power down.
    crashes: u64,
    /// Of a hundred moves, how many are snapshots.
    snapshots: u64,
}

impl Odds {
    fn draw(random: &mut Random, snapshots: u64) -> Odds {
        let mut pick = |of: [u64; 4]| of[random.between(0, 3) as usize];
        Odds {
            late: pick([0, 5, 10, 20]),
            clients: pick([0, 5, 15, 25]),
            late_answers: pick([0, 5, 15, 35]),
            twice: pick([0, 0, 0, 12]),
            crashes: pick([0, 2, 5, 10]),
            snapshots,
        }
    }
}

/// A run that goes on at random.
pub struct Walk {
    /// The cluster as it is now.
    pub lab: Lab,
    /// What brought it there.
    pub steps: Vec<Step>,
    random: Random,
    odds: Odds,
    proposals: u64,
    /// A server that nobody hears for a while, and that hears nobody.
    cut_off: Option<NodeId>,
    /// Messages that are late, and will come when nobody expects them any more.
    late: Vec<Message>,
}

impl Walk {
    /// A run that begins here. Of a hundred moves so many are snapshots.
    pub fn new(lab: Lab, seed: u64, snapshots: u64) -> Walk {
        let mut random = Random(seed);
        let odds = Odds::draw(&mut random, snapshots);
        Walk { lab, steps: Vec::new(), random, odds, proposals: 0, cut_off: None, late: Vec::new() }
    }

    /// Goes on until a property falls, or there were so many commands; true if one fell.
    pub fn run(&mut self, max_steps: usize) -> bool {
        // A move may come to nothing, but not all of them, again and again.
        for _ in 0..2 * max_steps {
            if self.is_broken() || self.steps.len() >= max_steps {
                break;
            }
            self.make_a_move();
        }
        self.is_broken()
    }

    fn is_broken(&self) -> bool {
        self.lab.world.broken().is_some()
    }

    /// Gives a command, unless all is over. One that cannot be done is not part of the run.
    fn act(&mut self, step: Step) {
        if !self.is_broken()
            && let Some(line) = step.line(&self.lab)
            && self.lab.command(&line).is_ok()
        {
            self.steps.push(step);
        }
    }

    fn server(&mut self, verb: &'static str, id: NodeId, rest: &str) {
        self.act(Step::Server(verb, id, rest.to_string()));
    }

    fn deliver(&mut self, message: &Message) {
        self.act(Step::Message("deliver", message.clone()));
        if self.chance(self.odds.crashes) {
            self.lose_power(message.to);
        }
    }

    /// A server loses what its disk has not saved; what it has sent is on its way.
    fn lose_power(&mut self, id: NodeId) {
        let in_flight = self.lab.world.network.in_flight();
        let sent = in_flight.into_iter().rev().filter(|(_, message)| message.from == id);
        self.late.extend(sent.take(2).map(|(_, message)| message.clone()));
        self.server("crash", id, "unsaved");
        self.server("restart", id, "");
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random.between(1, 100) <= percent
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let last = all.len().checked_sub(1)?;
        Some(all[self.random.between(0, last as u64) as usize])
    }

    // ---- Moves ---------------------------------------------------------------------------------

    fn make_a_move(&mut self) {
        if self.odds.snapshots > 0 && self.chance(self.odds.snapshots) {
            return self.take_snapshot();
        }
        if self.chance(self.odds.late) {
            return self.one_way();
        }
        if self.chance(self.odds.clients) {
            return if self.chance(60) { self.propose() } else { self.read() };
        }
        match self.random.between(0, 9) {
            0..=3 => self.elect(),
            4..=7 => self.round_trip(),
            8 => self.heartbeat(),
            _ if self.chance(50) => self.cut_off_or_heal(),
            _ if self.odds.crashes > 0 => self.crash_and_restart(),
            _ => {}
        }
    }

    /// A timer fires, and some of those who are asked for their vote answer: mostly just enough.
    fn elect(&mut self) {
        let Some(candidate) = self.any(|_| true).filter(|&id| !self.is_cut_off(id)) else { return };
        self.server("timeout", candidate, "");
        let mut voters: Vec<NodeId> = self.lab.world.ids().filter(|&id| id != candidate).collect();
        let enough = voters.len().div_ceil(2);
        let wanted = match self.random.between(0, 9) {
            0 => 0,
            1 => voters.len(),
            2 => enough.saturating_sub(1),
            _ => enough,
        };
        while voters.len() > wanted {
            let out = self.random.between(0, voters.len() as u64 - 1) as usize;
            voters.remove(out);
        }
        for voter in voters {
            self.exchange(candidate, voter);
        }
    }

    /// The newest message of a link arrives, and so does the answer. Either may be late instead;
    /// the answer may come twice; and the server may lose power while it answers.
    fn exchange(&mut self, from: NodeId, to: NodeId) {
        let Some((number, message)) = self.newest(from, to) else { return };
        if self.is_kept_back(&message) {
            return;
        }
        if self.chance(self.odds.late_answers / 2) {
            return self.late.push(message);
        }
        self.deliver(&message);
        let Some((_, answer)) = self.newest(to, from).filter(|(newest, _)| *newest > number) else {
            return;
        };
        if self.chance(self.odds.late_answers) {
            return self.late.push(answer);
        }
        if self.chance(self.odds.twice) {
            self.act(Step::Message("duplicate", answer.clone()));
            self.deliver(&answer);
        }
        self.deliver(&answer);
    }

    /// One of the newest messages, and its answer.
    fn round_trip(&mut self) {
        if let Some(message) = self.sent_lately(6) {
            self.exchange(message.from, message.to);
        }
    }

    /// Any message, however late.
    fn one_way(&mut self) {
        let message = match self.late.len() as u64 {
            many if many > 0 && self.chance(70) => {
                let place = self.random.between(0, many - 1) as usize;
                Some(self.late.swap_remove(place))
            }
            _ => self.sent_lately(u64::MAX),
        };
        let Some(message) = message.filter(|it| !self.is_kept_back(it)) else { return };
        self.deliver(&message);
        // What answers a late message is later still.
        if self.chance(50)
            && let Some((_, answer)) = self.newest(message.to, message.from)
        {
            self.late.push(answer);
        }
    }

    fn propose(&mut self) {
        let Some(leader) = self.any_leader() else { return };
        self.proposals += 1;
        let command = match self.random.between(0, 3) {
            0 => "@alice:1 incr x".to_string(),
            _ => format!("set x={}", self.proposals),
        };
        self.server("propose", leader, &command);
        self.follow_up(leader);
    }

    fn heartbeat(&mut self) {
        let Some(leader) = self.any_leader() else { return };
        self.server("timeout", leader, "");
        self.follow_up(leader);
    }

    fn read(&mut self) {
        let Some(leader) = self.any_leader() else { return };
        self.server("read", leader, "x");
        self.follow_up(leader);
    }

    /// What a leader has just sent reaches some followers, or none.
    fn follow_up(&mut self, leader: NodeId) {
        let others: Vec<NodeId> = self.lab.world.ids().filter(|&id| id != leader).collect();
        if self.chance(25) {
            return;
        }
        for _ in 0..self.random.between(1, others.len() as u64) {
            let Some(follower) = self.pick(&others) else { return };
            self.exchange(leader, follower);
        }
    }

    /// Some server forgets what it has applied. A leader then sends what it has to those behind.
    fn take_snapshot(&mut self) {
        let world = &self.lab.world;
        let has_new = |id: &NodeId| {
            world.node(*id).is_some_and(|node| node.last_applied > node.log.base().index)
        };
        let able: Vec<NodeId> = world.ids().filter(has_new).collect();
        let Some(id) = self.pick(&able) else { return };
        self.server("snapshot", id, "");
        if self.leads(id) && self.chance(80) {
            self.server("timeout", id, "");
            self.follow_up(id);
        }
    }

    fn leads(&self, id: NodeId) -> bool {
        self.lab.world.node(id).is_some_and(|node| matches!(node.role, Role::Leader(_)))
    }

    fn crash_and_restart(&mut self) {
        let Some(victim) = self.any(|_| true) else { return };
        let power = if self.chance(50) { "unsaved" } else { "" };
        self.server("crash", victim, power);
        self.server("restart", victim, "");
    }

    /// A leader is alone for a while, and does not know it.
    fn cut_off_or_heal(&mut self) {
        self.cut_off = match self.cut_off {
            None => self.any_leader(),
            Some(_) => None,
        };
    }

    fn is_cut_off(&self, id: NodeId) -> bool {
        self.cut_off == Some(id)
    }

    /// A message of a server that is cut off, or for it.
    fn is_kept_back(&self, message: &Message) -> bool {
        self.is_cut_off(message.from) || self.is_cut_off(message.to)
    }

    // ---- Choices -------------------------------------------------------------------------------

    fn any(&mut self, fits: impl Fn(&Role) -> bool) -> Option<NodeId> {
        let world = &self.lab.world;
        let fits = |id: &NodeId| world.node(*id).is_some_and(|node| fits(&node.role));
        let ids: Vec<NodeId> = world.ids().filter(fits).collect();
        self.pick(&ids)
    }

    fn any_leader(&mut self) -> Option<NodeId> {
        self.any(|role| matches!(role, Role::Leader(_)))
    }

    /// One of the messages in flight that were sent last.
    fn sent_lately(&mut self, how_many: u64) -> Option<Message> {
        let in_flight = self.lab.world.network.in_flight();
        let last = in_flight.len().checked_sub(1)? as u64;
        let back = self.random.between(0, last.min(how_many - 1));
        Some(in_flight[(last - back) as usize].1.clone())
    }

    /// The message that was sent last on a link, and its number.
    fn newest(&self, from: NodeId, to: NodeId) -> Option<(Number, Message)> {
        let link = self.lab.world.network.on_link(from, to);
        link.last().map(|&(number, message)| (number, message.clone()))
    }
}
