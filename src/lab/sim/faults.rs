//! What goes wrong in a random run, and when.
//!
//! Every seed draws its own climate first: in one the network loses a quarter of all messages and
//! no server ever crashes, in the next it is the other way round. Runs in which everything goes
//! wrong at once are all alike and find less.

use std::collections::BTreeSet;

use crate::lab::journal::Power;
use crate::lab::network::Weather;
use crate::lab::world::World;
use crate::message::NodeId;
use crate::step::{Millis, Random};

/// One kind of fault, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Crash,
    /// The power of a server will fail the next time that its disk is at work, or soon after.
    PowerFailure,
    Restart(NodeId),
    Cut,
    Heal,
    /// A clock jumps: a timer fires early.
    Timeout,
}

/// How often things go wrong, and what comes next.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Mean time between two faults of each kind; 0 means never.
    crash_ms: Millis,
    power_failure_ms: Millis,
    cut_ms: Millis,
    timeout_ms: Millis,
    /// The longest that a server stays down, and that a link stays cut.
    outage_ms: Millis,
    /// A power failure waits for a disk at work.
    lurking: bool,
    schedule: BTreeSet<(Millis, Fault)>,
}

impl Faults {
    /// Draws a climate: the weather and the disks of this world, and the faults to come.
    pub fn draw(random: &mut Random, world: &mut World) -> Faults {
        world.network.weather = Weather {
            delay_ms: (1, pick(random, &[2, 10, 30])),
            late_percent: pick(random, &[0, 0, 5, 20]),
            late_ms: pick(random, &[100, 300, 600]),
            lost_percent: pick(random, &[0, 0, 3, 10, 25]),
            doubled_percent: pick(random, &[0, 0, 5, 30]),
        };
        world.disk_ms = (0, pick(random, &[0, 10, 80]));
        let mut faults = Faults {
            crash_ms: pick(random, &[0, 0, 300, 600]),
            power_failure_ms: pick(random, &[0, 0, 300, 600]),
            cut_ms: pick(random, &[0, 250, 500]),
            timeout_ms: pick(random, &[0, 0, 200, 600]),
            outage_ms: pick(random, &[100, 600, 1500]),
            lurking: false,
            schedule: BTreeSet::new(),
        };
        for fault in [Fault::Crash, Fault::PowerFailure, Fault::Cut, Fault::Timeout] {
            faults.plan(random, world.now, fault);
        }
        faults
    }

    /// When the next one comes.
    pub fn due(&self) -> Option<Millis> {
        self.schedule.first().map(|&(due, _)| due)
    }

    /// The next one comes.
    pub fn strike(&mut self, random: &mut Random, world: &mut World) {
        let Some((due, fault)) = self.schedule.pop_first() else { return };
        world.now = due;
        self.plan(random, due, fault);
        let victim = victim(random, world);
        match fault {
            Fault::Crash => self.crash(random, world, victim, Power::Stays),
            Fault::PowerFailure => self.lurking = true,
            Fault::Restart(server) => world.restart(server),
            Fault::Cut => {
                cut(random, world, victim);
                self.schedule.insert((due + random.between(1, self.outage_ms), Fault::Heal));
            }
            Fault::Heal => world.network.heal(),
            Fault::Timeout => world.fire_timer(victim),
        }
    }

    /// A power failure that lurks strikes, if it finds a disk at work.
    pub fn lurk(&mut self, random: &mut Random, world: &mut World) {
        if !self.lurking {
            return;
        }
        let saves =
            |id: &NodeId| world.server(*id).is_some_and(|server| server.disk.due().is_some());
        let found = world.ids().find(saves).filter(|_| random.between(0, 3) == 0);
        if let Some(victim) = found {
            self.lurking = false;
            let power = match random.between(0, 2) {
                0 => Power::FailsMidway(random.between(0, 999)),
                _ => Power::Fails,
            };
            self.crash(random, world, victim, power);
        }
    }

    fn crash(&mut self, random: &mut Random, world: &mut World, victim: NodeId, power: Power) {
        if world.node(victim).is_some() {
            world.crash(victim, power);
            let end = world.now + random.between(1, self.outage_ms);
            self.schedule.insert((end, Fault::Restart(victim)));
        }
    }

    /// When a fault of this kind comes again, if it does so by itself.
    fn plan(&mut self, random: &mut Random, now: Millis, fault: Fault) {
        let mean_ms = match fault {
            Fault::Crash => self.crash_ms,
            Fault::PowerFailure => self.power_failure_ms,
            Fault::Cut => self.cut_ms,
            Fault::Timeout => self.timeout_ms,
            Fault::Restart(_) | Fault::Heal => 0,
        };
        if mean_ms > 0 {
            self.schedule.insert((now + random.between(1, 2 * mean_ms), fault));
        }
    }

    /// Everything is mended for good, but for some servers that stay down: fewer than half.
    pub fn end(&mut self, random: &mut Random, world: &mut World) {
        self.schedule.clear();
        self.lurking = false;
        world.network.heal();
        world.network.weather = Weather { delay_ms: (1, 10), ..Weather::FAIR };
        let mut may_stay_down = random.between(0, (world.ids().count() as u64 - 1) / 2);
        for id in world.ids() {
            if world.node(id).is_some() || may_stay_down == 0 {
                world.restart(id);
            } else {
                may_stay_down -= 1;
            }
        }
    }
}

/// Whom a fault strikes: often a leader, whose trouble has the most to show.
fn victim(random: &mut Random, world: &World) -> NodeId {
    let leads = |id: &NodeId| world.node(*id).is_some_and(|node| node.leader() == Some(*id));
    let leader = world.ids().find(leads).filter(|_| random.between(0, 1) == 0);
    leader.unwrap_or(NodeId(random.between(1, world.ids().count() as u64)))
}

/// Cuts the links between two random groups, or between one server and the rest: all of them or
/// about half, in both directions or in one.
fn cut(random: &mut Random, world: &mut World, victim: NodeId) {
    let group = match random.between(0, 2) {
        0 => random.bits(),
        _ => 1 << victim.0,
    };
    let all = random.between(0, 3) > 0;
    let (out, back) =
        [(true, false), (false, true), (true, true), (true, true)][random.between(0, 3) as usize];
    let within = |id: &NodeId| group >> id.0 & 1 == 1;
    for one in world.ids().filter(within) {
        for other in world.ids().filter(|id| !within(id)) {
            if !all && random.between(0, 1) == 0 {
                continue;
            }
            if out {
                world.network.cut(one, other);
            }
            if back {
                world.network.cut(other, one);
            }
        }
    }
}

/// One of these.
pub fn pick(random: &mut Random, choices: &[u64]) -> u64 {
    choices[random.between(0, choices.len() as u64 - 1) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::world::Setup;
    use crate::message::Command;

    fn draw(seed: u64, servers: u64) -> (Random, World, Faults) {
        let (mut random, mut world) = (Random(seed), World::new(&Setup::of(servers)));
        let faults = Faults::draw(&mut random, &mut world);
        (random, world, faults)
    }

    #[test]
    fn draw_gives_quiet_climates_and_rough_ones() {
        let all: Vec<(Random, World, Faults)> = (0..100).map(|seed| draw(seed, 3)).collect();
        for never in [true, false] {
            assert!(all.iter().any(|(_, _, faults)| (faults.crash_ms == 0) == never));
            assert!(all.iter().any(|(_, _, faults)| (faults.power_failure_ms == 0) == never));
            assert!(all.iter().any(|(_, _, faults)| (faults.cut_ms == 0) == never));
            let lossless = |world: &World| world.network.weather.lost_percent == 0;
            assert!(all.iter().any(|(_, world, _)| lossless(world) == never));
        }
    }

    #[test]
    fn end_mends_all_links_and_leaves_a_majority() {
        let mut down = [0; 4];
        for seed in 0..50 {
            let (mut random, mut world, mut faults) = draw(seed, 5);
            for id in world.ids() {
                world.crash(id, Power::Stays);
                cut(&mut random, &mut world, id);
            }
            faults.end(&mut random, &mut world);
            assert_eq!(faults.due(), None);
            assert!(
                world.ids().all(|id| world.ids().all(|other| !world.network.is_cut(id, other)))
            );
            down[world.ids().filter(|&id| world.node(id).is_none()).count()] += 1;
        }
        assert!(down[0] > 0 && down[1] > 0 && down[2] > 0 && down[3] == 0, "{down:?}");
    }

    #[test]
    fn lurk_waits_for_a_disk_at_work() {
        let (mut random, mut world, mut faults) = draw(1, 3);
        (world.disk_ms, faults.lurking) = ((5, 5), true);
        (0..100).for_each(|_| faults.lurk(&mut random, &mut world));
        assert_eq!(world.counts.crashes, 0);
        world.fire_timer(NodeId(1));
        world.network.weather = Weather::FAIR;
        world.pass_until(100, true);
        world.propose(NodeId(1), vec![(0, Command::new("set x=1"))]);
        (0..100).for_each(|_| faults.lurk(&mut random, &mut world));
        assert_eq!((world.counts.crashes, world.counts.saves_lost), (1, 1), "once");
    }

    #[test]
    fn cut_leaves_the_links_within_a_group() {
        let mut random = Random(1);
        let mut one_way = 0;
        for _ in 0..100 {
            let mut world = World::new(&Setup::of(3));
            cut(&mut random, &mut world, NodeId(1));
            let cut = |a, b| world.network.is_cut(NodeId(a), NodeId(b));
            one_way += u32::from(cut(1, 2) != cut(2, 1));
            let groups = (cut(1, 2) || cut(2, 1)) as u32
                + (cut(1, 3) || cut(3, 1)) as u32
                + (cut(2, 3) || cut(3, 2)) as u32;
            assert!(groups < 3, "two of three are on the same side");
        }
        assert!((10..90).contains(&one_way), "{one_way} of 100 in one direction");
    }
}
