//! What goes wrong in a random run, and when. Its [`FaultProfile`] says how often.

use crate::lab::journal::Power;
use crate::lab::network::Weather;
use crate::lab::sim::fault_profile::{Fault, FaultProfile, Kinds, pick};
use crate::lab::world::World;
use crate::node::message::NodeId;
use crate::node::step::{Millis, Random};

/// How often things go wrong, and what comes next.
#[derive(Clone, Debug)]
pub struct Faults {
    profile: FaultProfile,
    /// Whom faults strike often. A server that is elected again and again meets what it sent
    /// when it led before.
    pub favourite: NodeId,
    /// A power failure waits for a disk at work.
    lurking: bool,
    /// What comes, in order.
    schedule: Vec<(Millis, Fault)>,
}

impl Faults {
    /// Draws a profile, and the first faults to come.
    pub fn draw(random: &mut Random, kinds: Kinds, world: &mut World) -> Faults {
        let favourite = any(random, world);
        let profile = FaultProfile::draw(random, kinds);
        world.network.weather = profile.weather;
        world.disk_ms = profile.disk_ms;
        let mut faults = Faults { profile, favourite, lurking: false, schedule: Vec::new() };
        for fault in FaultProfile::RECURRING {
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
        if self.schedule.is_empty() {
            return;
        }
        let (due, fault) = self.schedule.remove(0);
        world.now = due;
        self.plan(random, due, fault);
        let victim = self.victim(random, world);
        match fault {
            Fault::Crash => self.crash(random, world, victim, Power::Stays),
            Fault::PowerFailure => self.lurking = true,
            Fault::Restart(server) => world.restart(server),
            Fault::Cut => {
                cut(random, world, victim);
                self.after_outage(random, due, Fault::Heal);
            }
            Fault::Heal => world.network.heal(),
            Fault::Stall => self.stall(random, world, victim),
            Fault::Release(from, to) => world.network.release(due, from, to),
            Fault::Mislead => self.mislead(random, world),
            Fault::Enlighten(server) => world.enlighten(server),
            Fault::OldDuplicates => world.network.deliver_old_duplicates(due, any(random, world)),
            Fault::OldDuplicatesTo(server) => world.network.deliver_old_duplicates(due, server),
            Fault::Jump => {
                world.counts.clock_faults += 1;
                world.fire_timer(victim);
            }
            Fault::Rate => {
                world.counts.clock_faults += 1;
                world.set_clock_rate(victim, pick(random, &[50, 70, 100, 100, 150, 200]));
            }
            Fault::Pause => {
                world.pause(victim);
                self.after_outage(random, due, Fault::Resume(victim));
            }
            Fault::Resume(server) => world.resume(server),
            Fault::Snapshot => {
                let server = any(random, world);
                if !world.is_paused(server) {
                    world.take_snapshot(server);
                }
            }
        }
    }

    /// Whom a fault strikes: often a leader, whose trouble has the most to show.
    fn victim(&self, random: &mut Random, world: &World) -> NodeId {
        match random.between(0, 3) {
            0 => leader(world).unwrap_or(self.favourite),
            1 | 2 => self.favourite,
            _ => any(random, world),
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
                0 => Power::Fails,
                _ => Power::FailsMidway(random.between(0, 999)),
            };
            self.crash(random, world, victim, power);
        }
    }

    fn crash(&mut self, random: &mut Random, world: &mut World, victim: NodeId, power: Power) {
        if world.node(victim).is_some() {
            world.crash(victim, power);
            self.after_outage(random, world.now, Fault::Restart(victim));
        }
    }

    /// Some of the links of a server stall, each for a time of its own.
    fn stall(&mut self, random: &mut Random, world: &mut World, victim: NodeId) {
        world.counts.cuts += 1;
        for other in world.ids().filter(|&id| id != victim) {
            for (from, to) in [(victim, other), (other, victim)] {
                if random.between(0, 1) == 0 {
                    world.network.stall(from, to);
                    self.after_outage(random, world.now, Fault::Release(from, to));
                }
            }
        }
    }

    /// A leader is not heard, and hears nothing but old messages, until long after another was
    /// elected: it goes on believing that it leads.
    fn mislead(&mut self, random: &mut Random, world: &mut World) {
        let Some(victim) = leader(world) else { return };
        world.counts.cuts += 1;
        let end = world.now + random.between(500, 1500);
        world.mislead(victim);
        for _ in 0..8 {
            let moment = random.between(world.now, end);
            self.schedule(moment, Fault::OldDuplicatesTo(victim));
        }
        self.schedule(end, Fault::Enlighten(victim));
        for other in world.ids().filter(|&id| id != victim) {
            world.network.stall(victim, other);
            self.schedule(end, Fault::Release(victim, other));
        }
    }

    fn after_outage(&mut self, random: &mut Random, now: Millis, end: Fault) {
        self.schedule(now + random.between(1, self.profile.outage_ms), end);
    }

    /// The same fault at the same moment comes once.
    fn schedule(&mut self, due: Millis, fault: Fault) {
        if let Err(place) = self.schedule.binary_search(&(due, fault)) {
            self.schedule.insert(place, (due, fault));
        }
    }

    /// When a fault of this kind comes again, if it does so by itself.
    fn plan(&mut self, random: &mut Random, now: Millis, fault: Fault) {
        let mean_ms = self.profile.mean_ms(fault);
        if mean_ms > 0 {
            self.schedule(now + random.between(1, 2 * mean_ms), fault);
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
            world.resume(id);
            world.enlighten(id);
            world.set_clock_rate(id, 100);
            world.ids().for_each(|to| world.network.release(world.now, id, to));
            if world.node(id).is_some() || may_stay_down == 0 {
                world.restart(id);
            } else {
                may_stay_down -= 1;
            }
        }
    }
}

fn leader(world: &World) -> Option<NodeId> {
    let leads = |id: &NodeId| world.node(*id).is_some_and(|node| node.leader() == Some(*id));
    world.ids().find(leads)
}

/// Cuts the links between two random groups, or between one server and the rest: all of them or
/// about half, in both directions or in one.
fn cut(random: &mut Random, world: &mut World, victim: NodeId) {
    world.counts.cuts += 1;
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

fn any(random: &mut Random, world: &World) -> NodeId {
    NodeId(random.between(1, world.ids().count() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::world::Setup;
    use crate::node::message::Command;

    fn draw(seed: u64, servers: u64) -> (Random, World, Faults) {
        let (mut random, mut world) = (Random(seed), World::new(&Setup::of(servers)));
        let faults = Faults::draw(&mut random, Kinds::ALL, &mut world);
        (random, world, faults)
    }

    #[test]
    fn end_mends_all_links_and_leaves_a_majority() {
        let mut down = [0; 4];
        for seed in 0..50 {
            let (mut random, mut world, mut faults) = draw(seed, 5);
            for id in world.ids() {
                faults.stall(&mut random, &mut world, id);
                world.set_clock_rate(id, 50);
                world.pause(id);
                cut(&mut random, &mut world, id);
            }
            world.crash(NodeId(1 + seed % 5), Power::Stays);
            world.crash(NodeId(1 + seed % 4), Power::Stays);
            faults.end(&mut random, &mut world);
            assert_eq!(faults.due(), None);
            assert!(
                world.ids().all(|id| world.ids().all(|other| !world.network.is_cut(id, other)))
            );
            assert!(world.ids().all(|id| !world.is_paused(id)));
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
