//! The fault profile of a random run: which faults strike, and how often.
//!
//! Every seed first draws a profile of its own: in one run the network loses a quarter of all
//! messages and no server ever crashes, in the next it is the other way round. Runs in which
//! everything goes wrong at once are all alike and find less. This is swarm testing (Groce et al.,
//! 2012).

use std::fmt;

use crate::lab::network::Weather;
use crate::node::message::NodeId;
use crate::node::step::{Millis, Random};

/// Which kinds of faults may strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// Messages are lost, late, or come twice; links are cut, or stall.
    pub network: bool,
    /// Processes end and start again.
    pub crash: bool,
    /// Disks are slow, and power failures take what was not synced.
    pub disk: bool,
    /// Clocks jump, run fast or slow; servers stand still.
    pub clock: bool,
}

impl Kinds {
    /// Everything may go wrong.
    pub const ALL: Kinds = Kinds { network: true, crash: true, disk: true, clock: true };

    /// Kinds by their names, with commas between them: `network,crash`.
    ///
    /// # Errors
    /// The name that is none.
    pub fn named(names: &str) -> Result<Kinds, String> {
        let mut kinds = Kinds { network: false, crash: false, disk: false, clock: false };
        for name in names.split(',') {
            match name {
                "all" => kinds = Kinds::ALL,
                "network" => kinds.network = true,
                "crash" => kinds.crash = true,
                "disk" => kinds.disk = true,
                "clock" => kinds.clock = true,
                _ => return Err(format!("{name} is no kind of fault")),
            }
        }
        Ok(kinds)
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if *self == Kinds::ALL {
            return f.write_str("all");
        }
        let Kinds { network, crash, disk, clock } = *self;
        let all = [(network, "network"), (crash, "crash"), (disk, "disk"), (clock, "clock")];
        let names: Vec<&str> =
            all.into_iter().filter(|(strikes, _)| *strikes).map(|(_, name)| name).collect();
        f.write_str(&names.join(","))
    }
}

/// One fault, or its end, or what else comes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Crash,
    /// The power of a server will fail the next time that its disk is at work, or soon after.
    PowerFailure,
    Restart(NodeId),
    Cut,
    Heal,
    /// Links hold back what is sent on them.
    Stall,
    Release(NodeId, NodeId),
    /// A server is not heard, and hears nothing of newer terms.
    Mislead,
    Enlighten(NodeId),
    /// Old duplicates of messages from a server and to it arrive.
    OldDuplicates,
    OldDuplicatesTo(NodeId),
    /// A clock jumps: a timer fires early.
    Jump,
    /// A clock runs fast or slow from now on.
    Rate,
    /// A server stands still.
    Pause,
    Resume(NodeId),
    /// No fault: a server takes a snapshot of what it has applied.
    Snapshot,
}

/// How often things go wrong.
#[derive(Clone, Debug)]
pub struct FaultProfile {
    /// What becomes of messages by chance.
    pub weather: Weather,
    /// Least and greatest time that a disk takes.
    pub disk_ms: (Millis, Millis),
    /// The longest that a server stays down or stands still, and that a link stays cut.
    pub outage_ms: Millis,
    /// The mean time between two faults of a kind; 0 means never.
    mean_ms: [Millis; FaultProfile::RECURRING.len()],
}

impl FaultProfile {
    /// The faults that come again and again by themselves, and snapshots, whatever is wanted.
    pub const RECURRING: [Fault; 10] = [
        Fault::Crash,
        Fault::PowerFailure,
        Fault::Cut,
        Fault::Stall,
        Fault::Mislead,
        Fault::OldDuplicates,
        Fault::Jump,
        Fault::Rate,
        Fault::Pause,
        Fault::Snapshot,
    ];

    /// Draws one, of these kinds of faults.
    pub fn draw(random: &mut Random, kinds: Kinds) -> FaultProfile {
        if kinds.network && kinds.clock && random.between(0, 3) == 0 {
            return FaultProfile::haunted();
        }
        let weather = draw_weather(random);
        let disk_ms = pick(random, &[0, 10, 80]);
        let outage_ms = pick(random, &[100, 600, 1500]);
        let mean_ms = FaultProfile::RECURRING.map(|fault| draw_mean_ms(random, kinds, fault));
        FaultProfile {
            weather: if kinds.network { weather } else { Weather::FAIR },
            disk_ms: (0, if kinds.disk { disk_ms } else { 0 }),
            outage_ms,
            mean_ms,
        }
    }

    /// One profile in four is made for leaders that meet their own past: a server is elected again
    /// and again, and misled, and old messages come. Drawn one by one, these faults hardly ever
    /// come together, and the others get in their way.
    fn haunted() -> FaultProfile {
        let mean_ms = FaultProfile::RECURRING.map(|fault| match fault {
            Fault::Mislead => 400,
            Fault::Jump => 200,
            Fault::OldDuplicates => 100,
            Fault::Snapshot => 300,
            _ => 0,
        });
        let weather = Weather { delay_ms: (1, 10), kept_percent: 50, ..Weather::FAIR };
        FaultProfile { weather, disk_ms: (0, 0), outage_ms: 600, mean_ms }
    }

    /// The mean time between two faults of this kind; 0 if it does not come by itself.
    pub fn mean_ms(&self, fault: Fault) -> Millis {
        let place = FaultProfile::RECURRING.iter().position(|&recurring| recurring == fault);
        place.map_or(0, |place| self.mean_ms[place])
    }
}

fn draw_mean_ms(random: &mut Random, kinds: Kinds, fault: Fault) -> Millis {
    let (strikes, choices): (bool, &[Millis]) = match fault {
        Fault::Crash => (kinds.crash, &[0, 0, 300, 600]),
        Fault::PowerFailure => (kinds.disk, &[0, 0, 300, 600]),
        Fault::Cut => (kinds.network, &[0, 0, 250, 500]),
        Fault::Stall => (kinds.network, &[0, 0, 150, 400]),
        Fault::Mislead => (kinds.network, &[0, 0, 200, 600]),
        Fault::OldDuplicates => (kinds.network, &[0, 0, 50, 200]),
        Fault::Jump => (kinds.clock, &[0, 0, 100, 200, 600]),
        Fault::Rate => (kinds.clock, &[0, 0, 100, 400]),
        Fault::Pause => (kinds.clock, &[0, 0, 200, 600]),
        Fault::Snapshot => (true, &[0, 100, 300]),
        _ => (false, &[0]),
    };
    let mean_ms = pick(random, choices);
    if strikes { mean_ms } else { 0 }
}

fn draw_weather(random: &mut Random) -> Weather {
    Weather {
        delay_ms: (1, pick(random, &[2, 10, 30])),
        late_percent: pick(random, &[0, 0, 5, 20]),
        late_ms: pick(random, &[100, 300, 600]),
        kept_percent: pick(random, &[0, 0, 10, 50]),
        lost_percent: pick(random, &[0, 0, 3, 10, 25]),
        doubled_percent: pick(random, &[0, 0, 5, 30]),
    }
}

/// One of these.
pub fn pick(random: &mut Random, choices: &[u64]) -> u64 {
    choices[random.between(0, choices.len() as u64 - 1) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draw_gives_quiet_profiles_and_rough_ones() {
        let mut random = Random(1);
        let all: Vec<FaultProfile> =
            (0..100).map(|_| FaultProfile::draw(&mut random, Kinds::ALL)).collect();
        for quiet in [true, false] {
            for fault in FaultProfile::RECURRING {
                assert!(all.iter().any(|profile| (profile.mean_ms(fault) == 0) == quiet));
            }
            assert!(all.iter().any(|profile| (profile.weather.lost_percent == 0) == quiet));
        }
    }

    #[test]
    fn draw_leaves_out_the_kinds_that_are_not_wanted() {
        let only_crashes = Kinds::named("crash").unwrap();
        for seed in 0..50 {
            let profile = FaultProfile::draw(&mut Random(seed), only_crashes);
            let mut recurring = FaultProfile::RECURRING.into_iter();
            let may_come = [Fault::Crash, Fault::Snapshot];
            assert!(recurring.all(|one| may_come.contains(&one) || profile.mean_ms(one) == 0));
            assert_eq!((profile.weather, profile.disk_ms), (Weather::FAIR, (0, 0)));
        }
    }

    #[test]
    fn kinds_are_named_as_they_are_shown() {
        for names in ["network", "crash,disk", "network,clock", "all"] {
            assert_eq!(Kinds::named(names).unwrap().to_string(), names);
        }
        assert_eq!(Kinds::named("network,crash,disk,clock"), Ok(Kinds::ALL));
        assert_eq!(Kinds::named("crash,rain").unwrap_err(), "rain is no kind of fault");
    }
}
