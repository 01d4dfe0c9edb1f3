//! The script language: commands above, what happened below.
//!
//! A line that begins in column 0 is a command; a line that begins with `#`, or is empty, is for
//! the reader; an indented line is output. Running a script gives the same text with the output
//! under each command, and output that was there before is left out: so a run that was printed
//! can be saved to a file, changed, and run again. The golden traces, the paper's figures and the
//! runs that break a rule are all such files.
//!
//! ```text
//! cluster 5                  servers n1 to n5, all fresh (without this line there are three)
//! without UpToDateLog        all servers leave out this rule, also after another `cluster`
//! batch 1                    most entries in one message; this and `without` must stand before
//!                            anything happens
//! log n1 = 1 1 4             n1 has a log with these terms, as if history had made it so
//! term n1 = 8                n1 has seen this term, and has not voted in it
//!
//! timeout n1                 n1's timer fires now: an election, or a leader's heartbeat
//! tick 150                   so many ms pass; timers fire, no message arrives
//! run                        all messages arrive, in the order of sending, until it is quiet
//! run 500                    so many ms pass; messages arrive 10 ms after they were sent
//! pending                    shows the messages in flight
//! deliver 3                  message 3 arrives
//! deliver n1->n2             the oldest on the link arrives; `n1->n2 4`: the 4 oldest, or `all`
//! deliver n1                 the oldest on its way to n1; a count or `all` may follow
//! deliver all                all that are in flight now, but not the answers to them
//! drop …  duplicate …        the same words: they are lost; they are in flight once more
//! cut n1->n2                 nothing gets from n1 to n2
//! cut n1                     nothing gets to n1 or from it
//! partition n1 n2 | n3       only links within a group are whole; those not named are a group
//! heal                       all links are whole
//! crash n1                   n1 goes down, its disk finishes what it was given
//! crash n1 unsaved           n1's power fails before its disk has finished its last step
//! restart n1                 n1 comes up again
//!
//! propose n1 set x=1         a client asks n1 to write; `@alice:1 set x=1`: in a session
//! read n1 x                  a client asks n1 for x, which is not to go through the log
//! quietly run                any command, without its output, but for a property that falls
//! show                       role, term, vote and log of all; ║ stands behind what is committed
//! expect …                   see `expect.rs`
//! ```
//!
//! A disk takes its time: it has finished when its server takes the next step, or the next command
//! comes, unless that is `crash … unsaved`.

mod clients;
mod expect;
mod show;
mod words;

use crate::kv::Request;
use crate::lab::checker::Violation;
use crate::lab::journal::{Happening, Power};
use crate::lab::network::Slot;
use crate::lab::world::{Setup, World};
use crate::message::{Command, Entry, NodeId, Term};
use crate::step::{Millis, Saved};
use clients::Clients;
use words::{Words, link, server};

/// How many messages `run` delivers before it gives up on quiet.
const MAX_MESSAGES: usize = 10_000;

/// The longest time that may pass in one command: ten minutes.
const MAX_MS: Millis = 600_000;

/// A script that was run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The script with its output.
    pub text: String,
    /// The first property that fell, if one did.
    pub broken: Option<Violation>,
    /// The world as it was at the end.
    pub world: World,
}

/// Runs a script and returns it with its output. The error is a line that begins with the
/// script's name and the line's number.
pub fn run(name: &str, text: &str) -> Result<String, String> {
    play(name, text).map(|outcome| outcome.text)
}

/// Runs a script, for those who want to see more of it than its text.
pub fn play(name: &str, text: &str) -> Result<Outcome, String> {
    let mut lab = Lab::default();
    let mut output = String::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.starts_with(char::is_whitespace) {
            continue;
        }
        output += line;
        output.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let shown = lab.command(line).map_err(|why| format!("{name}:{}: {why}", number + 1))?;
        for line in shown {
            output += &format!("    {line}\n");
        }
    }
    Ok(Outcome { text: output, broken: lab.fell(), world: lab.world })
}

/// A world that takes commands, line by line.
#[derive(Clone, Debug)]
pub struct Lab {
    /// The world.
    pub world: World,
    setup: Setup,
    clients: Clients,
    /// What fell first in the clusters before this one.
    fell_before: Option<Violation>,
}

impl Default for Lab {
    fn default() -> Lab {
        let setup = Setup::of(3);
        let (world, clients) = (World::new(&setup), Clients::default());
        let mut lab = Lab { world, setup, clients, fell_before: None };
        lab.begin();
        lab
    }
}

impl Lab {
    /// Does what a line says and returns the lines that tell what happened.
    pub fn command(&mut self, line: &str) -> Result<Vec<String>, String> {
        let mut words = Words::of(line);
        let quietly = words.take("quietly");
        let Some(verb) = words.next() else { return Ok(Vec::new()) };
        if !(verb == "crash" && line.ends_with("unsaved")) {
            self.world.finish_disks();
        }
        let shown = self.perform(verb, &mut words).map_err(|why| format!("{verb}: {why}"))?;
        words.end().map_err(|why| format!("{verb}: {why}"))?;
        let lines = self.take_lines(quietly);
        Ok(lines.into_iter().chain(shown).collect())
    }

    /// The first property that fell, in this cluster or an earlier one.
    fn fell(&self) -> Option<Violation> {
        self.fell_before.as_ref().or(self.world.broken()).cloned()
    }

    fn perform(&mut self, verb: &str, words: &mut Words) -> Result<Vec<String>, String> {
        match verb {
            "cluster" => self.cluster(words)?,
            "without" => self.without(words)?,
            "batch" => self.batch(words)?,
            "log" => self.lay_log(words)?,
            "term" => self.lay_term(words)?,
            "timeout" => self.timeout(words)?,
            "tick" => self.pass_time(words, false)?,
            "run" => self.run(words)?,
            "deliver" => self.each_message(words, World::deliver)?,
            "drop" => self.each_message(words, World::drop_message)?,
            "duplicate" => self.each_message(words, World::duplicate)?,
            "cut" => self.cut(words)?,
            "partition" => self.partition(words)?,
            "heal" => self.world.network.heal(),
            "crash" => self.crash(words)?,
            "restart" => self.restart(words)?,
            "propose" => self.propose(words)?,
            "read" => self.read(words)?,
            "expect" => self.expect(words)?,
            "pending" => return Ok(self.pending()),
            "show" => return Ok(show::show(&self.world)),
            _ => return Err("there is no such command".to_string()),
        }
        Ok(Vec::new())
    }

    /// What happened since the last time, as lines; or only that a property fell.
    fn take_lines(&mut self, quietly: bool) -> Vec<String> {
        for answer in std::mem::take(&mut self.world.answers) {
            if let Err(violation) = self.clients.answered(answer) {
                self.world.breaks(violation);
            }
        }
        let Some(journal) = &mut self.world.journal else { return Vec::new() };
        let mut happenings = std::mem::take(journal);
        happenings.retain(|happening| !quietly || matches!(happening, Happening::Broke(_)));
        let text = |happening: &Happening| match happening {
            Happening::Answered(answer) => self.clients.line(answer),
            other => other.to_string(),
        };
        let blocks: Vec<String> = happenings.iter().map(text).collect();
        blocks.iter().flat_map(|block| block.lines()).map(String::from).collect()
    }

    // ---- How it begins -------------------------------------------------------------------------

    fn begin(&mut self) {
        self.fell_before = self.fell();
        let records = self.world.recording.is_some();
        self.world = World::new(&self.setup);
        self.world.journal = Some(Vec::new());
        if records {
            self.world.record();
        }
        self.clients = Clients::default();
    }

    fn cluster(&mut self, words: &mut Words) -> Result<(), String> {
        self.setup.servers = words.number("number of servers", 1, 9)?;
        self.begin();
        Ok(())
    }

    fn without(&mut self, words: &mut Words) -> Result<(), String> {
        self.setup.rules = self.setup.rules.without(words.rule()?);
        self.change_settings()
    }

    fn batch(&mut self, words: &mut Words) -> Result<(), String> {
        self.setup.max_entries = words.number("number of entries", 1, 1000)? as usize;
        self.change_settings()
    }

    fn change_settings(&mut self) -> Result<(), String> {
        if self.world.counts.steps > 0 {
            return Err("this must stand before anything happens".to_string());
        }
        self.world.change_settings(self.setup.rules, self.setup.max_entries);
        Ok(())
    }

    /// The entry 4@2 is always the same: `set x=4@2`.
    fn lay_log(&mut self, words: &mut Words) -> Result<(), String> {
        let id = words.server(&self.world)?;
        words.take("=");
        let entry = |(before, term): (usize, Term)| {
            let index = before as u64 + 1;
            Entry { index, term, command: Command::new(&format!("set x={index}@{term}")) }
        };
        let entries: Vec<Entry> = words.terms()?.into_iter().enumerate().map(entry).collect();
        let last_term = entries.last().map_or(0, |entry| entry.term);
        let saved = self.saved(id);
        let voted_for = saved.voted_for.filter(|_| saved.current_term >= last_term);
        let current_term = saved.current_term.max(last_term);
        self.world.lay(id, Saved { current_term, voted_for, entries });
        Ok(())
    }

    fn lay_term(&mut self, words: &mut Words) -> Result<(), String> {
        let id = words.server(&self.world)?;
        words.take("=");
        let Saved { entries, .. } = self.saved(id);
        let least = entries.last().map_or(0, |entry| entry.term);
        let current_term = words.number("term", least, words::MAX_TERM)?;
        self.world.lay(id, Saved { current_term, voted_for: None, entries });
        Ok(())
    }

    fn saved(&self, id: NodeId) -> Saved {
        let server = self.world.server(id);
        server.map(|server| server.disk.safe().clone()).unwrap_or_default()
    }

    // ---- Time and messages ---------------------------------------------------------------------

    fn timeout(&mut self, words: &mut Words) -> Result<(), String> {
        let id = self.running(words)?;
        self.world.fire_timer(id);
        Ok(())
    }

    /// A server that has not crashed.
    fn running(&mut self, words: &mut Words) -> Result<NodeId, String> {
        let id = words.server(&self.world)?;
        match self.world.node(id) {
            Some(_) => Ok(id),
            None => Err(format!("{id} is down: restart it first")),
        }
    }

    fn pass_time(&mut self, words: &mut Words, messages: bool) -> Result<(), String> {
        let end = self.world.now + words.number("time in ms", 0, MAX_MS)?;
        self.world.pass_until(end, messages);
        Ok(())
    }

    fn run(&mut self, words: &mut Words) -> Result<(), String> {
        if words.end().is_err() {
            return self.pass_time(words, true);
        }
        for _ in 0..MAX_MESSAGES {
            let Some(oldest) = self.world.network.oldest() else {
                self.world.finish_disks();
                return Ok(());
            };
            self.world.deliver(oldest);
        }
        Err(format!("it is not quiet after {MAX_MESSAGES} messages"))
    }

    fn each_message(
        &mut self,
        words: &mut Words,
        what: fn(&mut World, Slot),
    ) -> Result<(), String> {
        for slot in words.messages(&self.world)? {
            what(&mut self.world, slot);
        }
        Ok(())
    }

    fn pending(&self) -> Vec<String> {
        let in_flight = self.world.network.in_flight();
        let line = |((_, number), message)| format!("[{number}] {message}");
        in_flight.into_iter().map(line).collect()
    }

    fn cut(&mut self, words: &mut Words) -> Result<(), String> {
        let word = words.need("link")?;
        if word.contains("->") {
            let (from, to) = link(word, &self.world)?;
            self.world.network.cut(from, to);
        } else {
            let alone = server(word, &self.world)?;
            self.separate(&[alone]);
        }
        Ok(())
    }

    fn partition(&mut self, words: &mut Words) -> Result<(), String> {
        let mut groups = vec![Vec::new()];
        while let Some(word) = words.next() {
            match word {
                "|" => groups.push(Vec::new()),
                _ => groups.last_mut().expect("it is never empty").push(server(word, &self.world)?),
            }
        }
        self.world.network.heal();
        for group in groups {
            self.separate(&group);
        }
        Ok(())
    }

    /// Cuts all links between these servers and the others.
    fn separate(&mut self, group: &[NodeId]) {
        for other in self.world.ids().filter(|id| !group.contains(id)) {
            for &id in group {
                self.world.network.cut(id, other);
                self.world.network.cut(other, id);
            }
        }
    }

    fn crash(&mut self, words: &mut Words) -> Result<(), String> {
        let id = self.running(words)?;
        let power = if words.take("unsaved") { Power::Fails } else { Power::Stays };
        self.world.crash(id, power);
        Ok(())
    }

    fn restart(&mut self, words: &mut Words) -> Result<(), String> {
        let id = words.server(&self.world)?;
        if self.world.node(id).is_some() {
            return Err(format!("{id} is running: crash it first"));
        }
        self.world.restart(id);
        Ok(())
    }

    // ---- Clients -------------------------------------------------------------------------------

    fn propose(&mut self, words: &mut Words) -> Result<(), String> {
        let id = self.running(words)?;
        let command = Command::new(words.text("command")?);
        let request = self.clients.propose(&command)?;
        self.world.propose(id, vec![(request, command)]);
        Ok(())
    }

    fn read(&mut self, words: &mut Words) -> Result<(), String> {
        let id = self.running(words)?;
        let key = words.text("key")?;
        let what: Request = format!("get {key}").parse()?;
        let request = self.clients.read(what.clone());
        self.world.read(id, request, what);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Property;

    fn error(text: &str) -> String {
        run("test", text).expect_err("the script is wrong")
    }

    fn broken(text: &str) -> Option<Property> {
        let outcome = play("test", text).unwrap_or_else(|why| panic!("{why}"));
        outcome.broken.map(|violation| violation.property)
    }

    #[test]
    fn run_puts_output_under_commands_and_keeps_comments() {
        let text = "# A comment\n\ncluster 1\ntimeout n1\nexpect leader n1\n";
        let output = run("test", text).unwrap();
        assert!(output.starts_with("# A comment\n\ncluster 1\ntimeout n1\n    n1  term 1  FOLL"));
        let commands: String = output
            .lines()
            .filter(|line| !line.starts_with(' '))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(commands, text);
        assert_eq!(run("test", &output).unwrap(), output, "a printed run can be run again");
    }

    #[test]
    fn errors_name_the_script_the_line_and_the_word() {
        for (text, expected) in [
            ("\nfly n1", "test:2: fly: there is no such command"),
            ("timeout n4", "test:1: timeout: there is no server n4: they are n1 to n3"),
            ("timeout", "test:1: timeout: server is missing"),
            ("timeout n1 n2", "test:1: timeout: n2 is too much"),
            ("without Luck", "test:1: without: there is no rule Luck"),
            ("deliver 7", "test:1: deliver: no message is in flight for 7"),
            (
                "timeout n1\ndeliver n1->n2 2",
                "test:2: deliver: only 1 message is in flight for n1->n2",
            ),
            (
                "cluster 12",
                "test:1: cluster: 12 is no number of servers: write a number from 1 to 9",
            ),
            ("log n1 = 2 1", "test:1: log: term 1 stands behind a later one"),
            ("timeout n1\nbatch 1", "test:2: batch: this must stand before anything happens"),
            ("crash n1\ntimeout n1", "test:2: timeout: n1 is down: restart it first"),
            ("restart n1", "test:1: restart: n1 is running: crash it first"),
            ("propose n1 set", "test:1: propose: set: the key is missing; write set KEY=VALUE"),
            ("expect joy", "test:1: expect: joy is nothing that can be expected"),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
    }

    #[test]
    fn expect_prints_expected_and_found() {
        for (text, expected) in [
            ("expect leader n1", "expected leader n1, found: n1 is follower"),
            ("expect not follower n1", "expected not follower n1, found: n1 is follower"),
            ("expect term n1 2", "expected term n1 2, found: term 0"),
            ("expect vote n1 n2", "expected vote n1 n2, found: none"),
            ("log n1 = 1 1\nexpect log n1 = 1 2", "expected log n1 = 1 2, found: 1 1"),
            (
                "expect committed 1@1",
                "expected committed 1@1, found: committed is up to n1 0@0, n2 0@0, n3 0@0",
            ),
            ("expect committed 1@1 on n2", "expected committed 1@1 on n2, found: n2 commits 0@0"),
            (
                "timeout n1\nrun\nexpect committed 2@1",
                "expected committed 2@1, found: committed is up to n1 1@1, n2 0@0, n3 0@0",
            ),
            ("expect applied n1 x=1", "expected applied n1 x=1, found: no x"),
            ("expect answer ok", "expected answer ok, found: none"),
            ("expect pending 1", "expected pending 1, found: 0"),
            ("expect broken LogMatching", "expected broken LogMatching, found: no property fell"),
            ("expect not safe", "expected not safe, found: no property fell"),
        ] {
            let found = error(text);
            let (place, found) = found.split_once("expect: ").expect("the verb stands first");
            assert_eq!(found, expected);
            assert_eq!(place, format!("test:{}: ", text.lines().count()));
        }
    }

    #[test]
    fn cluster_replicates_commits_and_answers() {
        let text = "timeout n2\nrun\npropose n2 set x=1\nexpect answer none\nrun\n\
            expect answer ok\nexpect committed 2@1 on n2\nexpect not committed 2@1 on n1\n\
            timeout n2\nrun\nexpect applied n1 x=1\nexpect applied n1 y\n\
            propose n1 set x=2\nexpect answer refused\nread n2 x\nrun\nexpect answer 1\n\
            expect log n3 = 1 1\nexpect vote n3 n2\nexpect pending 0\nexpect safe";
        assert_eq!(broken(text), None);
    }

    #[test]
    fn selectors_choose_by_number_link_server_and_count() {
        let text = "timeout n1\ntimeout n1\nexpect pending 4\ndeliver n1->n2 2\n\
            expect term n2 2\nexpect term n3 0\ndrop 4\nexpect pending 3\ndeliver n3\n\
            expect term n3 1\nduplicate all\nexpect pending 6\ndrop n1 all\nexpect pending 0";
        assert_eq!(broken(text), None);
    }

    #[test]
    fn partition_cuts_between_groups_and_replaces_what_was_cut() {
        let text = "cluster 5\npartition n1 n2 | n3\ntimeout n1\nexpect pending 1\n\
            partition n1 n2 n3\ntimeout n1\nexpect pending 3\ndrop all\nheal\ncut n1->n2\ncut n3\n\
            timeout n1\nexpect pending 2\nheal\ntimeout n1\nexpect pending 6";
        assert_eq!(broken(text), None);
    }

    #[test]
    fn laid_logs_survive_and_are_checked() {
        let text = "log n1 = 1 1 4\nterm n1 = 7\nwithout NoOp\nexpect log n1 = 1 1 4\n\
            expect term n1 7\ncrash n1\nrestart n1\nexpect log n1 = 1 1 4\nexpect safe";
        assert_eq!(broken(text), None);
        let text = "timeout n1\nlog n1 = 1 1\nexpect vote n1 n1\nexpect term n1 1\n\
            log n1 = 1 2\nexpect vote n1 none\nexpect term n1 2";
        assert_eq!(broken(text), None, "a vote is one of its term");
        let text = "log n1 = 1 3\nlog n2 = 2 3\nexpect broken LogMatching";
        assert_eq!(broken(text), Some(Property::LogMatching));
    }

    #[test]
    fn what_fell_in_one_cluster_is_not_forgotten_in_the_next() {
        let text = "log n1 = 1 3\nlog n2 = 2 3\ncluster 5\nexpect safe";
        assert_eq!(broken(text), Some(Property::LogMatching));
    }

    #[test]
    fn time_passes_in_tick_without_messages_and_in_run_with_them() {
        let text = "tick 300\nexpect candidate n1\nexpect term n2 1\nexpect not pending 0\n\
            run 10\nrun 10\nexpect pending 0";
        assert_eq!(broken(text), None);
        let text = "run 2000\npropose n1 set x=1\nrun 200\nexpect safe";
        assert_eq!(broken(text), None);
    }

    const VOTE_FORGOTTEN: &str = "timeout n1\ntimeout n2\ndeliver n1->n3\ncrash n3 unsaved\n\
        restart n3\ndeliver n2->n3\ndeliver n3->n1\nrun\n";

    #[test]
    fn quietly_shows_nothing_but_a_property_that_falls() {
        let output = run("test", "quietly timeout n1\nquietly run\nexpect leader n1").unwrap();
        assert_eq!(output, "quietly timeout n1\nquietly run\nexpect leader n1\n");
        let text = "quietly log n1 = 1 3\nquietly log n2 = 2 3";
        let output = run("test", text).unwrap();
        assert_eq!(output.lines().count(), 3);
        assert!(
            output.ends_with(
                "\n    *** Log Matching is broken: 2@3 follows 1@1 on n1 and 1@2 on n2\n"
            )
        );
    }

    #[test]
    fn forgotten_vote_breaks_election_safety_and_a_saved_one_does_not() {
        assert_eq!(broken(VOTE_FORGOTTEN), None);
        let without = format!("without SaveVote\n{VOTE_FORGOTTEN}expect broken ElectionSafety");
        assert_eq!(broken(&without), Some(Property::ElectionSafety));
        assert!(run("test", &without).unwrap().contains(
            "    *** Election Safety is broken: n1 and n2 were both elected in term 1\n"
        ));
    }

    #[test]
    fn disk_has_finished_when_the_next_command_comes_or_the_crash_is_a_plain_one() {
        let vote = "without SaveVote\ntimeout n1\ndeliver n1->n3\n";
        let after = "restart n3\nexpect vote n3";
        assert_eq!(broken(&format!("{vote}crash n3 unsaved\n{after} none")), None);
        assert_eq!(broken(&format!("{vote}crash n3\n{after} n1")), None);
        assert_eq!(broken(&format!("{vote}crash n1\ncrash n3 unsaved\n{after} n1")), None);
        assert_eq!(broken(&format!("{vote}show\ncrash n3 unsaved\n{after} n1")), None);
    }

    const ACKNOWLEDGED_AND_LOST: &str = "timeout n1\nrun\ncut n1->n3\npropose n1 set x=1\n\
        deliver n1->n2\ncrash n2 unsaved\nrestart n2\nrun\ncrash n1\ntimeout n2\nrun\n";

    #[test]
    fn forgotten_entry_breaks_leader_completeness_and_a_saved_one_does_not() {
        assert_eq!(broken(ACKNOWLEDGED_AND_LOST), None);
        let without = format!("without SaveEntries\n{ACKNOWLEDGED_AND_LOST}");
        assert_eq!(broken(&without), Some(Property::LeaderCompleteness));
    }

    /// Runs 28 and 29 of PAPER.md.
    #[test]
    fn client_histories_are_judged() {
        let retry = "timeout n1\nrun\npropose n1 @alice:1 incr x\ndeliver n1->n2\ndeliver n2->n1\n\
            expect answer 1\n";
        assert_eq!(broken(retry), None);
        let retry = "timeout n1\nrun\npropose n1 @alice:1 incr x\ndeliver n1->n2\ncrash n1\n\
            timeout n2\nrun\npropose n2 @alice:1 incr x\nrun\nexpect answer";
        assert_eq!(broken(&format!("{retry} 1")), None);
        let twice = format!("without RetryAppliedOnce\n{retry} 2\nexpect broken Linearizability");
        assert_eq!(broken(&twice), Some(Property::Linearizability));
        let stale = "timeout n1\nrun\ncut n1\ntimeout n2\nrun\npropose n2 set x=2\nrun\n\
            expect answer ok\nread n1 x\nrun\nexpect answer";
        assert_eq!(broken(&format!("{stale} none")), None);
        let stale = format!("without ConfirmLeadership\n{stale} not found");
        assert_eq!(broken(&stale), Some(Property::Linearizability));
    }
}
