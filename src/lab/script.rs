//! The script language: commands above, what happened below.
//!
//! A line that begins in column 0 is a command; a line that begins with `#`, or is empty, is for
//! the reader; an indented line is output. Running a script gives the same text with the output
//! under each command, and output that was there before is left out: so a run that was printed
//! can be saved to a file, changed, and run again. The golden traces, the paper's figures, the
//! stories and the runs that break a rule are all such files.
//!
//! ```text
//! # Two of three servers are enough.
//! cluster 3
//! crash n3
//! timeout n1
//! run
//! expect leader n1
//! ```
//!
//! `commands.rs` has the table of commands, `expect.rs` what can be expected; `raftlet lab` is a
//! prompt for them, with `help`. A disk takes its time: it has finished when its server takes the
//! next step, or the next command comes, unless that is `crash … unsaved`.
//!
//! Read [`lab`] first, the world of a script; then `interpreter`, which does what one line says;
//! then [`debugger`], which remembers the lines. `setup`, `traffic` and `accidents` are the
//! commands themselves.

mod accidents;
mod clients;
mod commands;
pub mod debugger;
mod expect;
mod interpreter;
pub mod lab;
mod setup;
mod show;
mod traffic;
mod why;
mod words;

use crate::lab::checker::Violation;
use crate::lab::world::World;
pub use debugger::Debugger;
pub use lab::Lab;

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
    let mut script = Script::new(name);
    let mut output = String::new();
    for line in text.lines() {
        output += &script.line(line)?;
    }
    let lab = script.debugger.lab;
    Ok(Outcome { text: output, broken: lab.fell(), world: lab.world })
}

/// A script that is run line by line.
pub struct Script {
    name: String,
    debugger: Debugger,
    lines: usize,
}

impl Script {
    /// A script of this name, for errors, of which nothing was run yet.
    pub fn new(name: &str) -> Script {
        Script { name: name.to_string(), debugger: Debugger::default(), lines: 0 }
    }

    /// Begins to record the run, for what it is to leave behind.
    pub fn record(&mut self) {
        self.debugger.lab.world.record();
    }

    /// Its world, and what was recorded of it.
    pub fn lab(&self) -> &Lab {
        &self.debugger.lab
    }

    /// Runs its next line, and returns what the script's text has there: the line and its output,
    /// or nothing for output that was there before, and behind `quit`.
    pub fn line(&mut self, line: &str) -> Result<String, String> {
        self.lines += 1;
        let line = line.trim_end();
        if line.starts_with(char::is_whitespace) || self.debugger.is_over {
            return Ok(String::new());
        }
        let shown = self.debugger.command(line);
        let shown = shown.map_err(|why| format!("{}:{}: {why}", self.name, self.lines))?;
        let mut text = format!("{line}\n");
        for line in shown {
            text += &format!("    {line}\n");
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::rules::Property;

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
            ("\nfly n1", "test:2: fly: there is no such command; help lists them"),
            ("timeout n4", "test:1: timeout: there is no server n4: they are n1 to n3"),
            ("timeout", "test:1: timeout: server is missing"),
            ("timeout n1 n2", "test:1: timeout: n2 is too much"),
            ("without Luck", "test:1: without: there is no rule Luck; `help without` lists them"),
            (
                "without UpToDate",
                "test:1: without: there is no rule UpToDate; did you mean UpToDateLog?",
            ),
            (
                "expect broken LogMatchin",
                "test:1: expect: there is no property LogMatchin: they are ElectionSafety, \
                 LeaderAppendOnly, LogMatching, LeaderCompleteness, StateMachineSafety, \
                 Linearizability, Liveness; did you mean LogMatching?",
            ),
            (
                "expect leadr n1",
                "test:1: expect: leadr is nothing that can be expected; did you mean leader?",
            ),
            ("expect leader n1", "test:1: expect: expected leader n1, found: n1 is follower"),
            (
                "expect refusals n1 1",
                "test:1: expect: expected refusals n1 1, found: n1 has refused 0",
            ),
            ("t n4", "test:1: timeout: there is no server n4: they are n1 to n3"),
            ("delay 3", "test:1: delay: no message is in flight for 3"),
            (
                "delay n1->n2 0",
                "test:1: delay: 0 is no time in ms: write a number from 1 to 600000",
            ),
            ("save x", "test:1: save: only at the prompt"),
            ("quietly why", "test:1: quietly: why cannot be quiet"),
            ("\nback", "test:2: back: nothing has been done"),
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
            (
                "timeout n1\nrun\nexpect next_index n1 n2 1",
                "expected next_index n1 n2 1, found: next_index[n2] = 2",
            ),
            ("expect next_index n2 n1 1", "expected next_index n2 n1 1, found: n2 does not lead"),
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
        let text = "term n1 = 3\nlog n1 = 1 2\nexpect term n1 3\nlog n1 = 1 4\nexpect term n1 4\n\
            expect vote n1 none";
        assert_eq!(broken(text), None, "a log is never of a later term than its server");
        let late = "test:2: log: this must stand before anything happens";
        assert_eq!(error("timeout n1\nlog n1 = 1 1"), late);
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

    #[test]
    fn delay_lets_what_comes_later_overtake() {
        let text = "timeout n1\ndelay 1\nrun\n";
        let output = run("test", text).unwrap();
        let at = |text| output.find(text).unwrap_or_else(|| panic!("{text}: {output}"));
        assert!(at("[4] reaches n2: AppendEntries") < at("[1] reaches n2: RequestVote"));
        let text = "delay n1->n2\ntimeout n1\nrun 109\nexpect leader n1\nexpect term n2 0\n\
            run 1\nexpect term n2 1\nheal\ntimeout n1\nexpect not follows n2 n1\nrun 10\n\
            expect follows n2 n1";
        assert_eq!(broken(text), None);
    }

    #[test]
    fn quit_ends_a_script() {
        assert_eq!(run("test", "show\nq\nfly\n").unwrap().lines().last(), Some("q"));
    }

    /// n1 alone has a slow disk at work: its entry is committed by the others, and by itself later.
    #[test]
    fn slow_disk_finishes_when_it_is_told_to_or_never() {
        let begin = "disks slow\ntimeout n1\ndeliver n1->n2\ndeliver n2->n1\n";
        let sent = format!("{begin}deliver n1->n2 all\ndeliver n2->n1 all\n");
        assert_eq!(broken(&format!("{sent}expect not committed 1@1 on n1")), None);
        assert_eq!(broken(&format!("{sent}sync n1\nexpect committed 1@1 on n1")), None);
        let lost = format!("{sent}crash n1 unsaved\nrestart n1\nexpect log n1 =");
        assert_eq!(broken(&lost), None);
        assert_eq!(error("sync n1"), "test:1: sync: the disk of n1 has nothing to do");
        assert_eq!(error("disks wet"), "test:1: disks: disks are slow or fast, not wet");
    }

    #[test]
    fn crash_midway_may_tear_a_record_that_the_storage_cuts_off() {
        let torn = |number: u64| {
            let script = format!(
                "timeout n1\ndeliver n1->n2\ndeliver n2->n1\n\
                crash n1 midway {number}\nrestart n1\nexpect safe"
            );
            run("test", &script).unwrap().contains("only partly written")
        };
        let count = (0..100).filter(|&number| torn(number)).count();
        assert!((10..90).contains(&count), "{count} of 100");
        let wrong = "test:1: crash: midnight: write unsaved, midway N, or nothing";
        assert_eq!(error("crash n1 midnight"), wrong);
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
        assert_eq!(broken(&format!("{vote}expect safe\ncrash n3 unsaved\n{after} n1")), None);
        assert_eq!(broken(&format!("{vote}show\ncrash n3 unsaved\n{after} none")), None);
    }

    const ACKNOWLEDGED_AND_LOST: &str = "timeout n1\nrun\ncut n1->n3\npropose n1 set x=1\n\
        deliver n1->n2\ncrash n2 unsaved\nrestart n2\nrun\ncrash n1\ntimeout n2\nrun\n";

    #[test]
    fn forgotten_entry_breaks_leader_completeness_and_a_saved_one_does_not() {
        assert_eq!(broken(ACKNOWLEDGED_AND_LOST), None);
        let without = format!("without SaveEntries\n{ACKNOWLEDGED_AND_LOST}");
        assert_eq!(broken(&without), Some(Property::LeaderCompleteness));
    }

    /// §8: a retry after the leader has died, and a read from a leader that was deposed.
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
